/* An inference in neutral terms: what is asked (struct inference_request) and what comes back, one
 * event after another (struct inference_event). Every dialect is translated to and from these;
 * every provider takes and gives them. A provider that cannot do what a request asks refuses it by
 * the parameter's name (err_set_param, E_UNSUPPORTED); it never ignores what would change the
 * answer's meaning. */
#ifndef DIALECT_INFERENCE_H
#define DIALECT_INFERENCE_H

#include "base/bytes.h"
#include "base/units.h"

/* ---- the request --------------------------------------------------------------------------- */

#define INFERENCE_MESSAGES_MAX  4096
#define INFERENCE_STOPS_MAX     16  /* dialects may allow fewer */
#define INFERENCE_STOP_MAX      256 /* bytes of one stop string */
#define INFERENCE_TOOLS_MAX     512
#define INFERENCE_TOOL_NAME_MAX 256 /* bytes, with its NUL */
#define INFERENCE_CHOICES_MAX   128
#define INFERENCE_TOP_LOGPROBS  20
#define INFERENCE_BIASES_MAX    1024
#define INFERENCE_SCHEMA_MAX    (256u << 10) /* bytes of one JSON Schema */
#define MODEL_ID_MAX            256          /* bytes of a model's name, with its NUL */

enum inference_part_kind {
	INFERENCE_PART_TEXT,
	INFERENCE_PART_IMAGE
};

/* A piece of a message that is not text alone. */
struct inference_part {
	enum inference_part_kind kind;
	struct bytes text; /* TEXT: UTF-8. IMAGE: its URL, https: or data: */
	char *detail;      /* IMAGE: "low", "high", "auto", or NULL */
};

/* A tool call that the assistant made: in a message, and when collected from an answer. */
struct inference_tool_call {
	char *id;
	char *name;
	struct bytes arguments; /* as the model wrote them; JSON where it kept to it */
};

struct inference_message {
	char *role;           /* "system", "developer", "user", "assistant", "tool" */
	struct bytes content; /* UTF-8 text; the text parts joined */
	/* All the parts, in order, when there are others than text; else none. */
	struct inference_part *parts;
	size_t n_parts;
	struct bytes reasoning; /* assistant: its thoughts, given back by the client */
	/* What their maker sealed them with, and wants back to trust them; else empty. Others have
	 * no use for it. */
	struct bytes reasoning_seal;
	struct inference_tool_call *tool_calls; /* assistant */
	size_t n_tool_calls;
	char *tool_call_id; /* tool: the call that it answers; may be NULL */
	bool failed;        /* tool: the call went wrong, and the content says how */
	char *name;         /* the speaker's; may be NULL */
};

struct inference_tool {
	char *name;
	char *description;       /* may be NULL */
	struct bytes parameters; /* a JSON Schema, as JSON text; empty: none */
	bool strict;             /* the arguments must be valid under it */
	char *group; /* in Responses, whose group's tool it is: `name` is "group__tool"; may be NULL
		      */
};

enum inference_tool_choice {
	TOOL_CHOICE_AUTO, /* also when nothing was said */
	TOOL_CHOICE_NONE,
	TOOL_CHOICE_REQUIRED, /* some tool */
	TOOL_CHOICE_NAMED     /* tool_name */
};

enum inference_format {
	FORMAT_TEXT,
	FORMAT_JSON,  /* some JSON object */
	FORMAT_SCHEMA /* JSON that is valid under `schema` */
};

/* Sampling. `has_` tells a parameter that the client set from one left to the provider. */
struct inference_sampling {
	bool has_temperature, has_top_p, has_top_k, has_min_p, has_repeat_penalty, has_seed;
	double temperature;       /* 0 … 2 */
	double top_p;             /* 0 … 1 */
	int32_t top_k;            /* ≥ 0; 0 keeps all */
	double min_p;             /* 0 … 1 */
	double repeat_penalty;    /* > 0; 1 is none */
	double frequency_penalty; /* −2 … 2; 0 is none */
	double presence_penalty;
	int64_t seed;
};

struct inference_bias {
	int32_t token;
	double bias; /* −100 … 100 */
};

enum inference_kind {
	INFERENCE_CHAT,      /* messages, through the model's template */
	INFERENCE_COMPLETION /* a bare prompt */
};

/* What of the answer is there already: the provider goes on from it, and emits only what is new.
 * With `tokens` (of a model with the same file hash) it goes on exactly; from `text` alone, as
 * nearly as its tokenizer allows. */
struct inference_continuation {
	struct bytes text;
	int32_t *tokens;
	size_t n_tokens;
};

/* Everything in it is a talloc child of the request itself: freeing the request frees all. */
struct inference_request {
	enum inference_kind kind;
	char model[MODEL_ID_MAX]; /* "" lets the node choose */
	/* CHAT */
	struct inference_message *messages;
	size_t n_messages;
	struct inference_tool *tools;
	size_t n_tools;
	enum inference_tool_choice tool_choice;
	char *tool_name;             /* NAMED */
	bool no_parallel_tool_calls; /* at most one call */
	bool function_call;          /* asked and answered in OpenAI's form from before tools */
	bool sealed_reasoning; /* in Responses: thoughts are to be such as can be given back */
	/* COMPLETION */
	struct bytes prompt;
	struct bytes suffix; /* what follows the gap; empty: none */
	bool echo;           /* the prompt comes back before the answer */

	struct inference_sampling sampling;
	struct inference_bias *biases;
	size_t n_biases;
	unsigned choices;   /* n: ≥ 1 */
	int64_t max_tokens; /* ≥ 1; 0: up to the context's end */
	struct bytes stop[INFERENCE_STOPS_MAX];
	size_t n_stop;
	enum inference_format format;
	struct bytes schema;       /* SCHEMA: JSON text */
	char *schema_name;         /* SCHEMA: may be NULL */
	char *schema_description;  /* SCHEMA: may be NULL */
	bool schema_strict;        /* SCHEMA: the client insists on it */
	bool logprobs;             /* of each token of the answer … */
	unsigned top_logprobs;     /* … and of so many others; ≤ INFERENCE_TOP_LOGPROBS */
	char reasoning_effort[16]; /* "none", "low", "medium", "high" …; "" not said */
	struct inference_continuation continuation;
	bool want_tokens; /* events carry token ids, where the provider has them */

	bool has_keep_alive;
	int64_t keep_alive_s; /* how long the model stays loaded afterwards; < 0: for ever */

	bool stream;        /* how the client wants it answered */
	bool include_usage; /* stream_options.include_usage */
	/* What the answer repeats of its request, in dialects where it does: JSON members, in the
	 * form of `extra`. */
	struct bytes repeated;
	/* Members of the request that are not ours to understand, for upstreams of the OpenAI
	 * dialect: JSON text `"a":1,"b":{}` without braces; empty: none. */
	struct bytes extra;
};

/* ---- the events ---------------------------------------------------------------------------- */

enum inference_finish {
	FINISH_STOP,          /* an end-of-generation token or a stop string */
	FINISH_LENGTH,        /* max_tokens or the context's end */
	FINISH_TOOL_CALLS,    /* the answer is tool calls */
	FINISH_CONTENT_FILTER /* the provider kept back the rest */
};

/* −1 where unknown. */
struct inference_usage {
	int64_t prompt_tok;
	int64_t completion_tok;
	int64_t cached_tok;    /* of the prompt, not computed anew */
	int64_t reasoning_tok; /* of the completion */
};
#define INFERENCE_USAGE_UNKNOWN ((struct inference_usage){-1, -1, -1, -1})

struct inference_logprob {
	struct bytes token; /* its bytes: not always whole UTF-8 sequences */
	double logprob;
	const struct inference_logprob
	    *top; /* the likeliest, best first; their own `top` is NULL */
	size_t n_top;
};

enum inference_event_kind {
	INFERENCE_STARTED,    /* the provider has begun: nothing of the answer yet */
	INFERENCE_TEXT,       /* a piece of the answer: whole UTF-8 sequences */
	INFERENCE_REASONING,  /* a piece of the thoughts before it */
	INFERENCE_TOOL_CALL,  /* a tool call begins (id and name), or a piece of its arguments */
	INFERENCE_NOTICE,     /* for the reader of the stream, not part of the answer */
	INFERENCE_CHOICE_END, /* one choice is complete */
	INFERENCE_FINISHED    /* the last event of every success, after each choice's end */
};

/* An inference that fails ends with an error instead of FINISHED. Pointers are valid during the
 * call that delivers the event. */
struct inference_event {
	enum inference_event_kind kind;
	unsigned choice;   /* TEXT, REASONING, TOOL_CALL, CHOICE_END: which of the `choices` */
	struct bytes text; /* TEXT, REASONING, NOTICE; TOOL_CALL: a piece of the arguments */
	struct bytes
	    seal; /* REASONING: of the thoughts so far (see reasoning_seal); without text */
	/* TOOL_CALL: which call of the choice; id and name with its first event, then NULL. */
	unsigned tool_index;
	const char *tool_id, *tool_name;
	/* TEXT: of the tokens that became final with this piece. */
	const struct inference_logprob *logprobs;
	size_t n_logprobs;
	const int32_t *tokens; /* ids since the event before; NULL unless want_tokens */
	size_t n_tokens;
	enum inference_finish finish; /* CHOICE_END */
	struct bytes stop;            /* CHOICE_END: the stop string that was met, if known */
	struct inference_usage usage; /* FINISHED */
};

/* Takes an event; may park. An error stops the inference and is returned by it. */
typedef int (*inference_emit_fn)(void *arg, const struct inference_event *e, struct err *err);

/* ---- embeddings ---------------------------------------------------------------------------- */

#define EMBEDDING_INPUTS_MAX 2048
#define EMBEDDING_DIMS_MAX   16384

/* Children of the request, as above. */
struct embedding_request {
	char model[MODEL_ID_MAX];
	struct bytes *inputs; /* UTF-8 */
	size_t n_inputs;      /* ≥ 1 */
	int32_t dimensions;   /* 0: the model's */
	bool base64;          /* how the client wants the vectors */
};

struct embedding_result {
	float *values; /* n × dims, a talloc child of whatever was passed as `mem` */
	size_t n, dims;
	int64_t prompt_tok; /* −1 unknown */
};

/* ---- models -------------------------------------------------------------------------------- */

enum model_ability {
	MODEL_CHAT = 1 << 0,
	MODEL_COMPLETION = 1 << 1,
	MODEL_EMBEDDING = 1 << 2,
	MODEL_TOOLS = 1 << 3,
	MODEL_VISION = 1 << 4
};
#define MODEL_ABILITIES_ALL ((1 << 5) - 1)

#define MODEL_HASH_MAX 65 /* SHA-256 in hex */

/* One model as listed by a node, with the nodes that serve it. */
struct model_entry {
	char id[MODEL_ID_MAX];
	int64_t created_s;         /* Unix seconds */
	uint32_t n_ctx;            /* tokens; 0 unknown */
	bool ready;                /* loaded and answering, not only configured */
	unsigned abilities;        /* enum model_ability; 0 unknown */
	char hash[MODEL_HASH_MAX]; /* of the model's file; "" unknown */
	char owner[65];            /* NodeId of the serving node, "" unknown */
	char owner_label[64];
};

#endif
