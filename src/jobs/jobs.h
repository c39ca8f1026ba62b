/* Jobs: from a request to an answer. Admits (or says busy), waits in line for providers whose line
 * is kept here, chooses by schedule/schedule.h, retries on another as long as nothing of the answer
 * has come, goes on with another node's copy of the same model file when one dies in the middle of
 * an answer, and keeps count.
 *
 * Rules kept here:
 * - One deadline, the calling scope's, holds for everything; while others could answer, a silent
 *   provider gets half of what is left until its first event.
 * - A provider that failed a request is not asked again for it.
 * - A provider's own failure opens its circuit breaker (schedule/breaker.h).
 * - Requests from peers are served by this node's own providers or, when they name a target,
 *   forwarded; never forwarded by our own choice, so they cannot run in circles. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "jobs/alias.h"
#include "provider/catalog.h"
#include "schedule/schedule.h"

struct jobs;
struct record;

struct jobs_options {
	struct world *world;
	struct catalog *catalog;
	struct peer_id self;
	const char *label;               /* this node's; borrowed for the lifetime */
	unsigned max_queue;              /* waiting in each line kept here; more are E_BUSY */
	enum schedule_strategy strategy; /* of requests that name none */
	/* When the first event of an answer has not come by then, the next best is asked as well,
	 * and the first to begin wins. Zero: off. */
	struct duration hedge;
	const struct alias *aliases; /* borrowed for the lifetime */
	size_t n_aliases;
	void (*changed)(void *arg); /* the local load changed; must not park */
	/* Why a node that serves nothing here cannot be asked, with the text in *err; 0 when there
	 * is nothing to say against it. `name` as in struct job. Must not park; may be NULL. */
	int (*absent)(void *arg, const char *name, struct err *err);
	void *arg;
};

/* Attempts at one request, each at another provider, before its first event. */
#define JOB_ATTEMPTS_MAX 5
/* Nodes that may continue one another's answer. */
#define JOB_CONTINUATIONS_MAX 4
/* A provider that is silent for so long has failed. */
#define JOB_STALL_MS 300000
/* The longest wait for the breaker of the only candidates to let a trial pass. */
#define JOB_WAIT_MS 10000

struct job {
	const struct inference_request *req;
	/* For embeddings: req has the model only; the events are those of an answer without text.
	 */
	const struct embedding_request *embed;
	void *mem; /* the vectors become its talloc children */
	struct embedding_result embedded;
	struct request_context ctx;
	const char *target_node; /* NodeId, PeerId or unique label; NULL: our choice */
	bool has_strategy;
	enum schedule_strategy strategy;
	/* Gets each decision, a JSON object with all candidates, their facts, terms and why they
	 * lost, separated by commas. Its limit is the caller's; what does not fit makes it fail
	 * (buf_ok). NULL: not wanted. */
	struct buf *decisions;
	size_t latest;         /* where in it the latest begins */
	struct record *record; /* told of attempts and events (records.h); NULL: none */
	/* Filled before the first event; what answered last, where one continued another. */
	struct peer_id served_by;
	char served_by_label[NODE_LABEL_MAX];
	char model[MODEL_ID_MAX];
	unsigned attempts;
	unsigned continuations;
	struct instant started; /* the provider that answered was asked; INSTANT_NEVER: none */
	struct instant first;   /* the first event of the answer */
	struct instant last;
	struct inference_usage usage;
};

struct jobs_stats {
	uint32_t running, queued; /* at and before the providers whose line is kept here */
	uint64_t completed, failed, retried, hedged, continued;
	uint64_t cancelled; /* given up by who had asked */
	int64_t tokens_in, tokens_out;
};

struct jobs *jobs_new(const struct jobs_options *opt); /* NULL without memory */
/* After jobs_stop, when nobody is inside jobs_run any more. */
void jobs_free(struct jobs *j);

/* [parks] Answers the job; see provider_infer for events and errors. Further errors:
 * E_MODEL_NOT_FOUND (nobody has it; the text lists what there is), E_NOT_FOUND (no such target),
 * what jobs_options.absent says of the target, E_BUSY (every line is full), E_LOOP, E_UNAVAILABLE
 * (nobody who has it is well, or shutting down). */
int jobs_run(struct jobs *j, struct job *job, inference_emit_fn emit, void *arg,
    struct err *err) WARN_UNUSED;

/* What jobs_run would decide now, appended to `out` as in struct job; nothing is asked. */
int jobs_explain(
    struct jobs *j, const struct job *job, struct buf *out, struct err *err) WARN_UNUSED;

/* [parks] Admits nothing more, gives what runs `grace` to finish, then ends it with E_UNAVAILABLE
 * and waits for that. */
void jobs_stop(struct jobs *j, struct duration grace);

void jobs_stats(const struct jobs *j, struct jobs_stats *out);

/* The other names of models, as given to jobs_new. */
const struct alias *jobs_aliases(const struct jobs *j, size_t *n);

/* The breaker of a provider, for whoever shows it. */
const char *jobs_breaker(const struct catalog_entry *e);

#endif
