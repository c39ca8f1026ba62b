/* Scoring and ranking: see schedule.h. All arithmetic saturates at SCHEDULE_CAP_US, so that absurd
 * claims of a peer lose instead of wrapping around. */
#include "schedule/schedule.h"

#include <string.h>

#define DISTRUST_US    2000000 /* what trust 0 counts for */
#define DEGRADED_US    5000000
#define RETRY_US       1000000 /* a failed attempt costs what it promised, and this */
#define BYTES_PER_TOK  4
#define TOKENS_PER_MSG 8 /* markers around what is said */

static const char *const strategy_names[] = {
    [SCHEDULE_PREFER_LOCAL] = "prefer-local",
    [SCHEDULE_LOCAL_ONLY] = "local-only",
    [SCHEDULE_LOAD_BALANCE] = "load-balance",
    [SCHEDULE_CHEAPEST] = "cheapest",
    [SCHEDULE_FASTEST] = "fastest",
};

/* What a millisatoshi is worth in microseconds. */
static const int64_t us_per_msat[] = {
    [SCHEDULE_PREFER_LOCAL] = 1000,
    [SCHEDULE_LOCAL_ONLY] = 1000,
    [SCHEDULE_LOAD_BALANCE] = 1000,
    [SCHEDULE_CHEAPEST] = 1000000000,
    [SCHEDULE_FASTEST] = 0,
};

const char *schedule_strategy_name(enum schedule_strategy s)
{
	return strategy_names[s];
}

bool schedule_strategy_parse(const char *name, enum schedule_strategy *out)
{
	for (size_t i = 0; i < sizeof strategy_names / sizeof *strategy_names; i++)
		if (strcmp(name, strategy_names[i]) == 0) {
			*out = (enum schedule_strategy)i;
			return true;
		}
	return false;
}

const char *schedule_exclusion_text(enum schedule_exclusion e)
{
	switch (e) {
	case SCHEDULE_ELIGIBLE:
		return "";
	case SCHEDULE_NOT_TARGET:
		return "not the target";
	case SCHEDULE_NOT_LOCAL:
		return "not this node";
	case SCHEDULE_UNNAMED:
		return "asked only by a model's name";
	case SCHEDULE_UNHEALTHY:
		return "unhealthy";
	case SCHEDULE_BROKEN:
		return "circuit breaker open";
	case SCHEDULE_FULL:
		return "queue full";
	case SCHEDULE_FAILED:
		return "failed this request";
	case SCHEDULE_OTHER_FILE:
		return "cannot continue: another model file";
	case SCHEDULE_FORBIDDEN:
		return "not allowed for this caller";
	}
	return "";
}

static int64_t capped(int64_t v)
{
	return v < 0 ? 0 : v > SCHEDULE_CAP_US ? SCHEDULE_CAP_US : v;
}

/* a × b / c for what is not negative, c > 0. */
static int64_t scaled(int64_t a, int64_t b, int64_t c)
{
	__int128 v = (__int128)capped(a) * capped(b) / c;
	return v > SCHEDULE_CAP_US ? SCHEDULE_CAP_US : (int64_t)v;
}

static int64_t known(int64_t v, int64_t otherwise)
{
	return v > 0 ? v : otherwise;
}

static void price(
    const struct schedule_ask *ask, const struct schedule_facts *f, struct schedule_terms *t)
{
	t->price_msat = capped(scaled(ask->prompt_tok, f->price_in_msat, 1000000) +
			       scaled(ask->answer_tok, f->price_out_msat, 1000000));
	t->price = scaled(t->price_msat, us_per_msat[ask->strategy], 1);
}

/* Those before us take their turns on all the slots at once. */
static int64_t queue_us(const struct schedule_facts *f, int64_t one_answer_us)
{
	int64_t slots = f->slots ? f->slots : 1;
	int64_t ahead = (int64_t)f->running + f->queued - slots + 1;
	return ahead > 0 ? scaled(known(f->answer_us, one_answer_us), ahead, slots) : 0;
}

static enum schedule_exclusion exclude(
    const struct schedule_ask *ask, const struct schedule_facts *f)
{
	if (f->excluded != SCHEDULE_ELIGIBLE)
		return f->excluded;
	if (ask->strategy == SCHEDULE_LOCAL_ONLY && !f->local)
		return SCHEDULE_NOT_LOCAL;
	return SCHEDULE_ELIGIBLE;
}

struct schedule_verdict schedule_judge(
    const struct schedule_ask *ask, const struct schedule_facts *f)
{
	struct schedule_terms t = {0};
	int64_t cached = f->cached_tok < ask->prompt_tok ? capped(f->cached_tok) : ask->prompt_tok;
	t.network = capped(f->rtt_us);
	t.load = f->ready ? 0 : capped(known(f->load_us, SCHEDULE_LOAD_US));
	t.prefill =
	    scaled(ask->prompt_tok - cached, known(f->prefill_ns, SCHEDULE_PREFILL_NS), 1000);
	t.decode = scaled(ask->answer_tok, known(f->decode_ns, SCHEDULE_DECODE_NS), 1000);
	t.queue = queue_us(f, t.prefill + t.decode);
	int64_t promised = capped(t.queue + t.network + t.load + t.prefill + t.decode);
	uint32_t trust = f->trust_permille < 1000 ? f->trust_permille : 1000;
	t.risk = capped(scaled(promised + RETRY_US, f->failed_permille, 1000) +
			scaled(DISTRUST_US, 1000 - trust, 1000) + (f->degraded ? DEGRADED_US : 0));
	t.away = ask->strategy == SCHEDULE_PREFER_LOCAL && !f->local ? SCHEDULE_AWAY_US : 0;
	price(ask, f, &t);
	t.total = capped(promised + t.risk + t.away + t.price);
	return (struct schedule_verdict){exclude(ask, f), t};
}

/* Whether a comes before b. Among equals: less waiting, the shorter way, then the tie-breaker. */
static bool before(
    const struct schedule_facts *facts, const struct schedule_verdict *verdicts, size_t a, size_t b)
{
	const struct schedule_facts *fa = &facts[a], *fb = &facts[b];
	int64_t work_a = (int64_t)fa->running + fa->queued;
	int64_t work_b = (int64_t)fb->running + fb->queued;
	if (verdicts[a].terms.total != verdicts[b].terms.total)
		return verdicts[a].terms.total < verdicts[b].terms.total;
	if (work_a != work_b)
		return work_a < work_b;
	if (fa->rtt_us != fb->rtt_us)
		return fa->rtt_us < fb->rtt_us;
	return fa->tie < fb->tie;
}

size_t schedule_rank(const struct schedule_ask *ask, const struct schedule_facts *facts, size_t n,
    struct schedule_verdict *verdicts, size_t *order)
{
	size_t eligible = 0;
	for (size_t i = 0; i < n; i++) {
		verdicts[i] = schedule_judge(ask, &facts[i]);
		if (verdicts[i].excluded != SCHEDULE_ELIGIBLE)
			continue;
		size_t at = eligible++;
		for (; at > 0 && before(facts, verdicts, i, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return eligible;
}

int64_t schedule_estimate_tok(size_t bytes)
{
	return (int64_t)(bytes / BYTES_PER_TOK) + TOKENS_PER_MSG;
}
