/* A dialect is one form in which clients ask for an inference and get their answer: OpenAI's chat
 * completions, completions and responses, Anthropic's messages, Ollama's chat and generate. Each is
 * a pure codec: a body becomes a struct inference_request; events become bytes.
 *
 * Serving is the same for all of them (provider/serve.h): parse, run, and hand each event either to
 * a writer (when the client wants a stream) or to a collector (when it wants one document). */
#ifndef DIALECT_DIALECT_H
#define DIALECT_DIALECT_H

#include "dialect/inference.h"

/* ---- an answer, collected ------------------------------------------------------------------ */

struct inference_choice {
	struct buf text, reasoning;
	struct bytes reasoning_seal; /* empty also when there was more than one */
	bool resealed;
	struct inference_tool_call *tool_calls; /* children of the result */
	size_t n_tool_calls;
	struct inference_logprob *logprobs;
	size_t n_logprobs;
	int32_t *tokens; /* where the provider told them */
	size_t n_tokens;
	bool ended;
	enum inference_finish finish;
	struct bytes stop; /* the stop string that was met, if known */
};

/* A talloc object; its destructor frees the buffers. */
struct inference_result {
	struct inference_choice *choices;
	size_t n_choices;
	struct inference_usage usage;
	bool finished;
	size_t left; /* bytes that it may still grow by */
};

/* For `choices` answers of at most `limit` bytes in all. NULL without memory. */
struct inference_result *inference_result_new(void *mem, unsigned choices, size_t limit);
/* An inference_emit_fn whose arg is the result. E_TOO_LARGE, E_MEMORY; E_UPSTREAM for events that
 * fit no answer (a choice beyond the last, a piece of a call that did not begin). */
int inference_collect(void *result, const struct inference_event *e, struct err *err) WARN_UNUSED;

/* ---- dialects ------------------------------------------------------------------------------ */

#define DIALECT_ID_RANDOM 12 /* bytes of randomness that the writer makes its ids from */

/* What an answer repeats about itself and its request. Borrowed; outlives the writer. */
struct dialect_answer {
	uint8_t random[DIALECT_ID_RANDOM];
	const char *model; /* may become known with the first event only */
	int64_t created_s; /* Unix seconds */
	int64_t began_us;  /* monotonic, when the request came; Ollama tells durations */
	const struct inference_request *req;
};

/* The state of one answer. `state` is the dialect's own, a talloc child of the writer. */
struct dialect_writer {
	const struct dialect *dialect;
	const struct dialect_answer *answer;
	int64_t now_us; /* set by the server before each call, on the clock of began_us */
	void *state;
};

struct dialect {
	const char *name;        /* "openai.chat", for logs and records */
	const char *stream_type; /* media type of a streamed answer */

	/* Reads a request's body. *out is a talloc child of `mem`. E_SYNTAX, E_INVALID,
	 * E_UNSUPPORTED (with err->param), E_MEMORY. */
	int (*parse)(void *mem, struct bytes body, struct inference_request **out, struct err *err);

	/* Fills writer->state. E_MEMORY. NULL: none is needed. */
	int (*begin)(struct dialect_writer *w, struct err *err);
	/* Streaming: appends what the event becomes, framed (server-sent events or lines), which
	 * may be nothing. FINISHED appends the end of the stream. Errors stay in `out` (buf_ok). */
	void (*event)(struct dialect_writer *w, const struct inference_event *e, struct buf *out);
	/* Streaming: appends what keeps a silent stream alive; nothing where the form has no way.
	 */
	void (*pulse)(struct dialect_writer *w, struct buf *out);
	/* Streaming: appends the failure of an answer that had begun; nothing follows. */
	void (*failure)(struct dialect_writer *w, const struct err *why, struct buf *out);
	/* Not streaming: appends the whole answer, a JSON document. */
	void (*whole)(struct dialect_writer *w, const struct inference_result *r, struct buf *out);
	/* The body of an error answer, JSON. */
	void (*error)(const struct err *why, struct buf *out);
};

/* Embeddings in a dialect: one request, one document. */
struct embedding_dialect {
	const char *name; /* "openai.embeddings" */
	/* *out is a talloc child of `mem`. Errors as dialect.parse. */
	int (*parse)(void *mem, struct bytes body, struct embedding_request **out, struct err *err);
	void (*write)(const struct embedding_request *req, const struct embedding_result *result,
	    const char *model, int64_t took_us, struct buf *out);
	void (*error)(const struct err *why, struct buf *out);
};

/* NULL without memory, E_MEMORY in err. A talloc child of `mem`. */
int dialect_writer_new(void *mem, const struct dialect *d, const struct dialect_answer *a,
    struct dialect_writer **out, struct err *err) WARN_UNUSED;

/* ---- upstreams ----------------------------------------------------------------------------- */

/* The other side: how a server of some dialect is asked, and how its answer is read back into
 * events. One reader reads one streamed answer. */
struct upstream_reader {
	const struct upstream *upstream;
	inference_emit_fn emit;
	void *arg;
	const struct inference_request *req;
	bool started;  /* STARTED was emitted */
	bool finished; /* the upstream said that it is done, FINISHED was emitted */
	void *state;   /* the dialect's own, a talloc child of the reader */
};

enum upstream_framing {
	UPSTREAM_SSE,
	UPSTREAM_LINES /* newline-delimited JSON */
};

struct upstream {
	const char *name; /* "openai", "anthropic", "ollama" */
	enum upstream_framing framing;

	/* Whether a client that does not stream has its answer asked for as one document, too; else
	 * all answers are streams. Either way the answer may come as the other. */
	bool whole;

	/* Appends the body of a request and sets *path (static text, below the base URL).
	 * E_UNSUPPORTED with err->param for what the form cannot say; E_TOO_LARGE. */
	int (*request)(const struct inference_request *req, const char **path, struct buf *out,
	    struct err *err);
	/* Takes one server-sent event (its name, "" without one) or one line, and emits what it
	 * means. E_UPSTREAM for what is no such answer, the error it carries, or what emit
	 * returned. */
	int (*take)(
	    struct upstream_reader *r, const char *name, struct bytes data, struct err *err);
	/* The body has ended. 0 when `finished`, emitting FINISHED first where the form needs the
	 * end to know; else E_CLOSED. */
	int (*end)(struct upstream_reader *r, struct err *err);
	/* The error of an answer with another status than 200. Sets *err, returns its code. */
	int (*error)(struct bytes body, int status, struct err *err);

	const char *models_path;
	/* Reads the answer of models_path; *out is a talloc child of `mem`. E_UPSTREAM. */
	int (*models)(
	    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err);

	/* Embeddings; NULL where the form has none. */
	int (*embed_request)(const struct embedding_request *req, const char **path,
	    struct buf *out, struct err *err);
	int (*embed_answer)(
	    void *mem, struct bytes body, struct embedding_result *out, struct err *err);
};

/* A talloc child of `mem`. E_MEMORY. */
int upstream_reader_new(void *mem, const struct upstream *u, const struct inference_request *req,
    inference_emit_fn emit, void *arg, struct upstream_reader **out, struct err *err) WARN_UNUSED;

#endif
