/* What a node's user does: asks over HTTP, streaming or not, or through the control socket, and
 * looks at the lists. Judges the form of what comes back as strictly as any client would; whether
 * it is the right answer is the caller's to say. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "dialect/json.h"
#include "dialect/openai.h"
#include "rt/world.h"

enum ask_way {
	ASK_STREAM,
	ASK_WHOLE,
	ASK_CONTROL
};

struct ask {
	enum ask_way way;
	const char *prompt, *model; /* model "": any */
	const char *target;         /* X-Target-Node; NULL: the node chooses */
	int64_t max_tokens;         /* 0: no limit */
	unsigned hang_up_after;     /* ASK_STREAM: pieces of text; 0: never */
	const char *data_dir;       /* ASK_CONTROL: the node's */
	uint16_t http_port;
	struct duration limit; /* nothing takes longer */
};

enum reply_end {
	REPLY_ANSWERED, /* complete: text, finish, usage, owner */
	REPLY_FAILED,   /* a well-formed error */
	REPLY_HUNG_UP,  /* as wished */
	REPLY_AWAY,     /* nobody took the request */
	REPLY_BROKEN    /* anything else: cut short without a word, late, malformed */
};

#define REPLY_TEXT_MAX (64u << 10)

struct reply {
	enum reply_end end;
	int code;      /* FAILED: an E_ code, 0 when it is none of ours */
	char why[400]; /* FAILED, AWAY, BROKEN */
	struct buf text;
	enum inference_finish finish;
	struct inference_usage usage;
	char owner[65]; /* NodeId of the node that answered */
};

/* [parks] Asks the node on `w`. The caller frees reply->text. */
void client_ask(struct world *w, const struct ask *ask, struct reply *reply);

/* [parks] One call over the control socket. `params` is taken over and may be NULL; the caller owns
 * *result. */
int client_call(struct world *w, const char *data_dir, const char *method, json_t *params,
    json_t **result, struct err *err) WARN_UNUSED;

#endif
