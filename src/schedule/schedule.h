/* Who should answer? A pure function: what is known about each candidate goes in, an order comes
 * out, with every term that made it. Nothing here reads a clock, draws a number or keeps state, so
 * that a choice recomputes from its record, and the simulator runs the same code.
 *
 * All terms are expected microseconds until the answer is complete; money is turned into them by
 * the strategy's price of time. The candidate with the smallest total is the best. */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schedule_strategy {
	SCHEDULE_PREFER_LOCAL, /* others only where they are SCHEDULE_AWAY_US faster */
	SCHEDULE_LOCAL_ONLY,   /* nobody else, ever */
	SCHEDULE_LOAD_BALANCE, /* the shortest expected time, money counted */
	SCHEDULE_CHEAPEST,     /* the least money; time decides among equals */
	SCHEDULE_FASTEST       /* the shortest expected time, whatever it costs */
};

/* "prefer-local", … */
const char *schedule_strategy_name(enum schedule_strategy s);
bool schedule_strategy_parse(const char *name, enum schedule_strategy *out);

#define SCHEDULE_AWAY_US 10000000           /* what prefer-local adds to all but this node */
#define SCHEDULE_CAP_US  (INT64_C(1) << 50) /* no term and no total is larger: 35 years */

/* What is assumed of a candidate that has not been measured. */
#define SCHEDULE_PREFILL_NS 2000000  /* for each token of a prompt */
#define SCHEDULE_DECODE_NS  50000000 /* for each token of an answer */
#define SCHEDULE_LOAD_US    20000000 /* for a model that is not loaded */
#define SCHEDULE_ANSWER_TOK 256      /* tokens of an answer whose length nobody limits */

/* Why a candidate cannot be chosen. */
enum schedule_exclusion {
	SCHEDULE_ELIGIBLE,
	SCHEDULE_NOT_TARGET, /* the request names another node */
	SCHEDULE_NOT_LOCAL,  /* local-only, or a request that came from a peer */
	SCHEDULE_UNNAMED,    /* asked only for a model that is named */
	SCHEDULE_UNHEALTHY,
	SCHEDULE_BROKEN,     /* its circuit breaker is open */
	SCHEDULE_FULL,       /* no place in its queue */
	SCHEDULE_FAILED,     /* it failed this very request */
	SCHEDULE_OTHER_FILE, /* an answer has begun with another file of that model */
	SCHEDULE_FORBIDDEN   /* the caller may not use it */
};
/* "not the target", "circuit breaker open", … ; "" for ELIGIBLE */
const char *schedule_exclusion_text(enum schedule_exclusion e);

/* What is known about a candidate. Zero means unknown where that makes sense. */
struct schedule_facts {
	enum schedule_exclusion excluded; /* what its keeper knows already */
	bool local;
	bool ready;    /* the model is loaded */
	bool degraded; /* answers, but not well */
	uint32_t running, queued;
	uint32_t slots;           /* answers it gives at once; 0 reads as 1 */
	int64_t rtt_us;           /* to it and back */
	int64_t answer_us;        /* a whole answer there, on average */
	int64_t load_us;          /* until a model that is not loaded is */
	int64_t prefill_ns;       /* for each uncached token of a prompt */
	int64_t decode_ns;        /* for each token of an answer */
	int64_t cached_tok;       /* of this prompt, believed to be in its cache */
	int64_t price_in_msat;    /* for a million tokens of a prompt */
	int64_t price_out_msat;   /* for a million tokens of an answer */
	uint32_t failed_permille; /* of its recent answers */
	uint32_t trust_permille;  /* 1000: as ourselves */
	uint64_t tie;             /* decides among equals: the smaller */
};

struct schedule_ask {
	enum schedule_strategy strategy;
	int64_t prompt_tok; /* estimated */
	int64_t answer_tok; /* the limit, or an estimate */
};

/* All in microseconds; price_msat is what they cost, price_us what that counts for. */
struct schedule_terms {
	int64_t queue, network, load, prefill, decode, risk, away, price;
	int64_t price_msat;
	int64_t total;
};

struct schedule_verdict {
	enum schedule_exclusion excluded;
	struct schedule_terms terms; /* also of the excluded */
};

/* The verdict on one candidate. */
struct schedule_verdict schedule_judge(
    const struct schedule_ask *ask, const struct schedule_facts *facts);

/* Judges n candidates and writes the indexes of the eligible ones to `order`, best first; returns
 * how many those are. `verdicts` and `order` have room for n. */
size_t schedule_rank(const struct schedule_ask *ask, const struct schedule_facts *facts, size_t n,
    struct schedule_verdict *verdicts, size_t *order);

/* Tokens of a text of so many bytes, roughly: for estimates before a tokenizer has seen it. */
int64_t schedule_estimate_tok(size_t bytes);

#endif
