/* Inside jobs: what is kept about each provider, one run of a job, and its decisions. */
#ifndef JOBS_JOBS_PRIV_H
#define JOBS_JOBS_PRIV_H

#include "jobs/jobs.h"
#include "schedule/affinity.h"
#include "schedule/breaker.h"
#include "schedule/speed.h"

struct jobs {
	struct jobs_options opt;
	uint8_t key[16]; /* of fingerprints: nobody outside can aim at a collision */
	struct affinity *affinity;
	struct running *first;
	struct waitq idle;
	bool stopping;
	struct jobs_stats stats;
};

/* What experience tells about a provider. */
struct catalog_standing {
	uint64_t id; /* random, never 0 */
	struct breaker breaker;
	struct speed speed;
	struct instant busy_until; /* it said that it has too much to do */
	unsigned busy;             /* in a row */
	uint32_t running, queued;  /* requests of ours */
	struct sem places;         /* where we keep its line */
};

/* The entry's standing, made when it has none. NULL without memory. */
struct catalog_standing *standing_of(struct jobs *j, struct catalog_entry *e);

/* ---- one run of a job ------------------------------------------------------------------------ */

/* The conversation's fingerprints: prints[i] is of the first i + 1 messages. The last few. */
#define PRINTS_MAX 16

struct conversation {
	uint64_t prints[PRINTS_MAX]; /* the newest last */
	size_t n;
	uint64_t whole; /* of all of it */
	uint64_t start; /* of its beginning: the same for all its turns */
	int64_t prompt_tok;
};

void conversation_read(
    struct conversation *c, const uint8_t key[16], const struct inference_request *req);

/* What the client has of the answer: what another node needs to go on with it. */
struct transcript {
	struct buf text;
	struct buf tokens; /* int32_t each */
	bool whole;        /* it is all text of one choice, and nothing is missing here */
	bool has_tokens;
};

struct run {
	struct jobs *jobs;
	struct job *job;
	const char *names[ALIAS_TARGETS_MAX]; /* the models that would do, the first wish first */
	size_t n_names, at;
	inference_emit_fn emit;
	void *arg;
	struct conversation conversation;
	struct transcript transcript;
	uint64_t failed[JOB_ATTEMPTS_MAX + JOB_CONTINUATIONS_MAX];
	size_t n_failed;
	bool told;                 /* something of the answer went out */
	char hash[MODEL_HASH_MAX]; /* of the file that it comes from */
	char notice[200];          /* to be told with the next event; "" nothing */
	struct lane *winner;       /* of the present race */
	struct waitq progress;     /* a lane won or ended */
};

/* ---- deciding (decide.c) --------------------------------------------------------------------- */

/* Up to so many candidates are all looked at; of more, a few are drawn. */
#define DECIDE_ALL_MAX 100

struct decision {
	struct schedule_ask ask;
	size_t known; /* providers of the model */
	size_t n;     /* of these, looked at */
	size_t eligible;
	struct instant opens_at; /* when the first that only has to wait may be asked */
	size_t cap;
	/* cap of each, behind this struct in one piece of memory: it lives as long as the attempt.
	 */
	struct schedule_facts *facts;
	struct schedule_verdict *verdicts;
	struct catalog_entry **entries;
	size_t *order;
};

/* The model that is asked for now. */
static inline const char *run_model(const struct run *r)
{
	return r->names[r->at];
}

/* A malloc'ed decision that holds its entries. E_MODEL_NOT_FOUND, E_NOT_FOUND, E_INVALID (the
 * target), E_MEMORY; 0 also when nobody is eligible. */
int decide(struct run *r, struct decision **out, struct err *err) WARN_UNUSED;
void decision_free(struct decision *d); /* NULL is fine */
/* Why nobody can be asked, with the code that fits. */
int decision_refusal(const struct decision *d, struct err *err);
/* The model's entry in the provider's list ("": its first); NULL when it is gone. Borrowed. */
const struct model_entry *entry_model(const struct catalog_entry *e, const char *model);

/* Appends it as JSON (explain.c). */
void decision_explain(const struct decision *d, struct buf *out);

/* ---- attempts (attempt.c) -------------------------------------------------------------------- */

/* One provider at work on the run. */
struct lane {
	struct run *run;
	struct catalog_entry *e;
	struct duration patience; /* for its first event */
	struct scope life;        /* of its fiber, in a race */
	struct scope scope;       /* of the provider's work */
	struct timer stall;
	struct instant last_event;
	struct instant began;
	struct err err;
	int rc;
	bool heard, stalled, refused_by_client, done;
};

/* [parks] Asks lane->e to its end; the result is in lane->rc and lane->err. */
void attempt(struct lane *l);

#endif
