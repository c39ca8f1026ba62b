/* An inference in neutral terms: what is asked (struct inference_request) and what comes back, one
 * event after another (struct inference_event). Every dialect is translated to and from these;
 * every provider takes and gives them. */
#ifndef DIALECT_INFERENCE_H
#define DIALECT_INFERENCE_H

#include "base/bytes.h"
#include "base/units.h"

/* ---- the request --------------------------------------------------------------------------- */

#define INFERENCE_MESSAGES_MAX 4096
#define INFERENCE_STOPS_MAX    4   /* as the OpenAI API */
#define INFERENCE_STOP_MAX     256 /* bytes of one stop string */
#define MODEL_ID_MAX           256 /* bytes of a model's name, with its NUL */

struct inference_message {
	char *role;           /* "system", "developer", "user", "assistant", "tool" */
	struct bytes content; /* UTF-8 text, parts joined */
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

/* Everything in it is a talloc child of the request itself: freeing the request frees all. */
struct inference_request {
	char model[MODEL_ID_MAX]; /* "" lets the node choose */
	struct inference_message *messages;
	size_t n_messages;
	struct inference_sampling sampling;
	int64_t max_tokens; /* ≥ 1; 0: up to the context's end */
	struct bytes stop[INFERENCE_STOPS_MAX];
	size_t n_stop;
	bool stream;        /* how the client wants it answered */
	bool include_usage; /* stream_options.include_usage */
};

/* ---- the events ---------------------------------------------------------------------------- */

enum inference_finish {
	FINISH_STOP,   /* an end-of-generation token or a stop string */
	FINISH_LENGTH, /* max_tokens or the context's end */
};

struct inference_usage {
	int64_t prompt_tok;
	int64_t completion_tok;
};

enum inference_event_kind {
	INFERENCE_STARTED, /* the provider has begun: nothing of the answer yet */
	INFERENCE_TEXT,    /* a piece of the answer: whole UTF-8 sequences */
	INFERENCE_FINISHED /* the last event of every success */
};

/* An inference that fails ends with an error instead of FINISHED. Pointers are valid during the
 * call that delivers the event. */
struct inference_event {
	enum inference_event_kind kind;
	struct bytes text;            /* TEXT */
	enum inference_finish finish; /* FINISHED */
	struct inference_usage usage; /* FINISHED; −1 where unknown */
};

/* Takes an event; may park. An error stops the inference and is returned by it. */
typedef int (*inference_emit_fn)(void *arg, const struct inference_event *e, struct err *err);

/* ---- models -------------------------------------------------------------------------------- */

/* One model as listed by a node, with the nodes that serve it. */
struct model_entry {
	char id[MODEL_ID_MAX];
	int64_t created_s; /* Unix seconds */
	uint32_t n_ctx;    /* tokens; 0 unknown */
	bool ready;        /* loaded and answering, not only configured */
	char owner[65];    /* NodeId of the serving node, "" unknown */
	char owner_label[64];
};

#endif
