/* Jobs: from a request to an answer. Admits (or says busy), queues for the local engine, chooses a
 * provider from the catalog, retries on another as long as nothing of the answer has come, and
 * keeps count.
 *
 * Choice: the node that X-Target-Node names; else this node when it has the model; else the member
 * with the least work, then the shortest way. Requests from peers are served here or, when they
 * name a target, forwarded; never forwarded by our own choice, so they cannot run in circles. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "provider/catalog.h"

struct jobs;

struct jobs_options {
	struct world *world;
	struct catalog *catalog;
	struct peer_id self;
	const char *label;          /* this node's; borrowed for the lifetime */
	unsigned max_queue;         /* requests waiting for the local engine; more are E_BUSY */
	unsigned parallel;          /* answers the local engine gives at once; ≥ 1 */
	void (*changed)(void *arg); /* the local load changed; must not park */
	/* Why a node that serves nothing here cannot be asked, with the text in *err; 0 when there
	 * is nothing to say against it. `name` as in struct job. Must not park; may be NULL. */
	int (*absent)(void *arg, const char *name, struct err *err);
	void *arg;
};

/* Attempts at one request, each at another provider. */
#define JOB_ATTEMPTS_MAX 3
/* A provider that is silent for so long has failed. */
#define JOB_STALL_MS 300000

struct job {
	const struct inference_request *req;
	struct request_context ctx;
	const char *target_node; /* NodeId, PeerId or unique label; NULL: our choice */
	/* Filled before the first event. */
	struct peer_id served_by;
	char served_by_label[NODE_LABEL_MAX];
	char model[MODEL_ID_MAX];
	unsigned attempts;
};

struct jobs_stats {
	uint32_t running, queued;
	uint64_t completed, failed, retried;
	uint64_t cancelled; /* given up by who had asked */
	int64_t tokens_in, tokens_out;
};

struct jobs *jobs_new(const struct jobs_options *opt); /* NULL without memory */
/* After jobs_stop, when nobody is inside jobs_run any more. */
void jobs_free(struct jobs *j);

/* [parks] Answers the job; see provider_infer for events and errors. Further errors:
 * E_MODEL_NOT_FOUND (nobody has it; the text lists what there is), E_NOT_FOUND (no such target),
 * what jobs_options.absent says of the target,
 * E_BUSY (the queue is full), E_LOOP, E_UNAVAILABLE (shutting down). */
int jobs_run(struct jobs *j, struct job *job, inference_emit_fn emit, void *arg,
    struct err *err) WARN_UNUSED;

/* [parks] Admits nothing more, gives what runs `grace` to finish, then ends it with E_UNAVAILABLE
 * and waits for that. */
void jobs_stop(struct jobs *j, struct duration grace);

void jobs_stats(const struct jobs *j, struct jobs_stats *out);

#endif
