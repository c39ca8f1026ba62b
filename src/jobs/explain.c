/* A decision as JSON: everything that went into it, so that it can be computed again, and what came
 * out. Times are whole microseconds. */
#include "dialect/json.h"
#include "jobs/jobs_priv.h"

#include <inttypes.h>
#include <string.h>

#define KEY_MAX 32 /* bytes of a member's name */

/* By hand: there are 25 in each candidate, and printf was half of what a decision cost. */
static void put_int(struct buf *out, const char *key, int64_t v)
{
	char text[KEY_MAX + 32], *end = text + sizeof text, *p = end;
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	size_t n = strlen(key);
	INVARIANT(n <= KEY_MAX);
	do
		*--p = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		*--p = '-';
	p -= 2;
	memcpy(p, "\":", 2);
	p -= n;
	memcpy(p, key, n);
	p -= 2;
	memcpy(p, ",\"", 2);
	buf_put(out, p, (size_t)(end - p));
}

static void put_text(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, ",\"%s\":", key);
	json_put_text(out, bytes_str(text));
}

static void put_facts(struct buf *out, const struct schedule_facts *f)
{
	buf_printf(out, ",\"facts\":{\"local\":%s,\"ready\":%s,\"degraded\":%s",
	    f->local ? "true" : "false", f->ready ? "true" : "false",
	    f->degraded ? "true" : "false");
	put_int(out, "running", f->running);
	put_int(out, "queued", f->queued);
	put_int(out, "slots", f->slots);
	put_int(out, "rtt_us", f->rtt_us);
	put_int(out, "answer_us", f->answer_us);
	put_int(out, "load_us", f->load_us);
	put_int(out, "prefill_ns", f->prefill_ns);
	put_int(out, "decode_ns", f->decode_ns);
	put_int(out, "cached_tok", f->cached_tok);
	put_int(out, "price_in_msat", f->price_in_msat);
	put_int(out, "price_out_msat", f->price_out_msat);
	put_int(out, "failed_permille", f->failed_permille);
	put_int(out, "trust_permille", f->trust_permille);
	buf_printf(out, ",\"tie\":\"%016" PRIx64 "\"}", f->tie);
}

static void put_terms(struct buf *out, const struct schedule_terms *t)
{
	buf_printf(out, ",\"terms_us\":{\"queue\":%" PRId64, t->queue);
	put_int(out, "network", t->network);
	put_int(out, "load", t->load);
	put_int(out, "prefill", t->prefill);
	put_int(out, "decode", t->decode);
	put_int(out, "risk", t->risk);
	put_int(out, "away", t->away);
	put_int(out, "price", t->price);
	buf_str(out, "}");
	put_int(out, "price_msat", t->price_msat);
	put_int(out, "total_us", t->total);
}

/* 1 is the best of the eligible; 0: not eligible. */
static size_t rank_of(const struct decision *d, size_t i)
{
	for (size_t at = 0; at < d->eligible; at++)
		if (d->order[at] == i)
			return at + 1;
	return 0;
}

static void put_why(struct buf *out, const struct decision *d, size_t i, size_t rank)
{
	char why[96];
	if (rank == 1)
		snprintf(why, sizeof why, "chosen: the smallest total");
	else if (rank > 1)
		snprintf(why, sizeof why, "%" PRId64 " ms more than the best",
		    (d->verdicts[i].terms.total - d->verdicts[d->order[0]].terms.total) / 1000);
	else
		snprintf(why, sizeof why, "%s", schedule_exclusion_text(d->verdicts[i].excluded));
	put_text(out, "why", why);
}

static void put_candidate(struct buf *out, const struct decision *d, size_t i)
{
	const struct catalog_entry *e = d->entries[i];
	size_t rank = rank_of(d, i);
	char id[NODE_ID_TEXT_MAX];
	if (node_id_print(&e->node.id, id, NULL) != 0)
		id[0] = '\0';
	buf_printf(out, "{\"rank\":%zu", rank);
	put_text(out, "node", id);
	put_text(out, "label", e->node.label);
	put_text(out, "provider", e->provider->name);
	put_text(out, "kind", e->provider->ops->kind);
	put_text(out, "breaker", jobs_breaker(e));
	put_why(out, d, i, rank);
	put_terms(out, &d->verdicts[i].terms);
	put_facts(out, &d->facts[i]);
	buf_u8(out, '}');
}

void decision_explain(const struct decision *d, struct buf *out)
{
	buf_printf(out, "{\"strategy\":\"%s\"", schedule_strategy_name(d->ask.strategy));
	put_int(out, "prompt_tok", d->ask.prompt_tok);
	put_int(out, "answer_tok", d->ask.answer_tok);
	put_int(out, "known", (int64_t)d->known);
	buf_str(out, ",\"candidates\":[");
	/* The eligible by rank, then the others. */
	bool any = false;
	for (size_t at = 0; at < d->eligible; at++, any = true) {
		buf_str(out, any ? "," : "");
		put_candidate(out, d, d->order[at]);
	}
	for (size_t i = 0; i < d->n; i++) {
		if (d->verdicts[i].excluded == SCHEDULE_ELIGIBLE)
			continue;
		buf_str(out, any ? "," : "");
		put_candidate(out, d, i);
		any = true;
	}
	buf_str(out, "]}");
}
