/* Parties: whoever limits are kept for, and those of them that come and go.
 *
 * Must stay true: a party with grants outstanding is never freed; the table of guests is bounded,
 * whoever asks. */
#include "access/access_priv.h"

#include <stdlib.h>
#include <utlist.h>

static int busy(
    struct access_grant *g, struct duration wait, const char *limit, int64_t of, struct err *err)
{
	int64_t ms = duration_to_ms(wait) + 1;
	g->retry_after_ms = ms < ACCESS_RETRY_MAX_MS ? ms : ACCESS_RETRY_MAX_MS;
	g->limit = limit;
	err_set(err, E_BUSY, "the limit of %lld %s is reached: again in %lld s", (long long)of,
	    limit, (long long)(g->retry_after_ms + 999) / 1000);
	if (err)
		err->retry_ms = (unsigned)g->retry_after_ms;
	return E_BUSY;
}

static struct bucket_rate rate_of(int64_t per_min)
{
	return (struct bucket_rate){.per_min = per_min};
}

int party_take_tokens(struct access_party *p, struct access_grant *g, int64_t tokens,
    struct instant now, struct err *err)
{
	int64_t limit = p->limits.tokens_per_min;
	/* Who owes may not ask, be it for nothing. */
	if (limit > 0 && tokens <= 0)
		tokens = 1;
	struct duration wait = token_bucket_take(&p->tokens, rate_of(limit), tokens, now);
	if (wait.ns > 0)
		return busy(g, wait, "tokens per minute", limit, err);
	g->reserved += tokens;
	return 0;
}

int party_take(struct access_party *p, struct access_grant *g, int64_t tokens, struct instant now,
    struct err *err)
{
	const struct access_limits *l = &p->limits;
	if (l->concurrent > 0 && p->running >= l->concurrent)
		return busy(g, duration_ms(999), "requests at once", l->concurrent, err);
	struct duration wait =
	    token_bucket_take(&p->requests, rate_of(l->requests_per_min), 1, now);
	if (wait.ns > 0)
		return busy(g, wait, "requests per minute", l->requests_per_min, err);
	int rc = tokens > 0 ? party_take_tokens(p, g, tokens, now, err) : 0;
	if (rc)
		token_bucket_charge(&p->requests, rate_of(l->requests_per_min), -1, 0, now);
	return rc;
}

void party_settle(struct access_party *p, int64_t reserved, int64_t tokens, struct instant now)
{
	int64_t limit = p->limits.tokens_per_min;
	if (tokens >= 0)
		token_bucket_charge(&p->tokens, rate_of(limit), tokens - reserved, limit, now);
}

void party_unlist(struct access_party *p)
{
	p->listed = false;
	if (p->refs == 0)
		p->free(p);
}

void party_release(struct access_party *p)
{
	if (--p->refs == 0 && !p->listed)
		p->free(p);
}

/* ---- guests --------------------------------------------------------------------------------- */

static void guest_free(struct access_party *p)
{
	free(p);
}

static void forget(struct access *a, struct guest *g)
{
	HASH_DEL(a->guests, g);
	DL_DELETE(a->order, g);
	a->n_guests--;
	party_unlist(&g->party);
}

/* The one that was not seen for the longest time, and has nothing under way. */
static bool make_room(struct access *a)
{
	struct guest *g;
	DL_FOREACH(a->order, g)
	if (g->party.refs == 0) {
		forget(a, g);
		return true;
	}
	return false;
}

int guest_of(struct access *a, const uint8_t *id, size_t n, struct guest **out, struct err *err)
{
	struct guest *g;
	INVARIANT(n <= GUEST_ID_MAX);
	HASH_FIND(hh, a->guests, id, n, g);
	if (g) {
		DL_DELETE(a->order, g);
		DL_APPEND(a->order, g);
		*out = g;
		return 0;
	}
	if (a->n_guests == ACCESS_GUESTS_MAX && !make_room(a))
		return err_set(err, E_UNAVAILABLE, "%d others are being served", ACCESS_GUESTS_MAX);
	g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, E_MEMORY, "no memory for another client");
	g->party.listed = true;
	g->party.models = "";
	g->party.free = guest_free;
	memcpy(g->id, id, n);
	HASH_ADD_KEYPTR(hh, a->guests, g->id, n, g);
	DL_APPEND(a->order, g);
	a->n_guests++;
	*out = g;
	return 0;
}

void guests_free(struct access *a)
{
	while (a->order)
		forget(a, a->order);
}
