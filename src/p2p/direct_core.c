/* When to try again to reach a relayed peer directly. */
#include "p2p/direct_priv.h"

#define FNV_BASIS UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static uint64_t hash(struct bytes b)
{
	uint64_t h = FNV_BASIS;

	for (size_t i = 0; i < b.n; i++)
		h = (h ^ b.p[i]) * FNV_PRIME;
	return h;
}

static bool has(const struct direct_set *s, uint64_t h)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] == h)
			return true;
	return false;
}

void direct_set_add(struct direct_set *s, const struct multiaddr *a)
{
	uint64_t h = hash(multiaddr_bytes(a));

	if (s->n < DIRECT_SET_MAX && !has(s, h))
		s->v[s->n++] = h;
}

bool direct_set_grew(const struct direct_set *before, const struct direct_set *now)
{
	for (size_t i = 0; i < now->n; i++)
		if (!has(before, now->v[i]))
			return true;
	return false;
}

/* A quarter by chance: both ends, and all the peers of a healed router, should not try in step. */
void direct_plan_wait(struct direct_plan *p, struct instant now, uint64_t random)
{
	int64_t ms = DIRECT_FIRST_MS;

	for (unsigned i = 0; i < p->failures && ms < DIRECT_MAX_MS; i++)
		ms *= 2;
	if (ms > DIRECT_MAX_MS)
		ms = DIRECT_MAX_MS;
	else
		p->failures++;
	ms -= (int64_t)(random % (uint64_t)(ms / 4));
	p->begun = true;
	p->last = now;
	p->next = instant_add(now, duration_ms(ms));
}

void direct_plan_hint(struct direct_plan *p, struct instant now, int64_t gap_ms)
{
	struct instant soonest = instant_add(p->last, duration_ms(gap_ms));

	p->failures = 0;
	if (instant_before(soonest, now))
		soonest = now;
	if (instant_before(soonest, p->next))
		p->next = soonest;
}

bool direct_plan_due(const struct direct_plan *p, struct instant now)
{
	return p->begun && !p->running && !instant_before(now, p->next);
}
