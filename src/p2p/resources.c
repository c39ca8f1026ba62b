/* See resources_priv.h. */
#include "p2p/resources_priv.h"

#include <stddef.h>

void resources_init(struct resources *r, const struct res_limits *limits)
{
	INVARIANT(limits->reserve_percent <= 50);
	INVARIANT(limits->rate == 0 || limits->rate >= RES_RATE_MIN);
	*r = (struct resources){.limits = *limits};
	for (int k = 0; k < RES_KINDS; k++)
		r->strangers_max[k] = limits->total[k] -
				      limits->total[k] / 100 * limits->reserve_percent -
				      limits->total[k] % 100 * limits->reserve_percent / 100;
}

/* ---- taking and giving --------------------------------------------------------------------- */

static unsigned rank(uint64_t amount)
{
	unsigned n = 0;

	while (amount >>= 1)
		n++;
	return n;
}

/* Moves it between the lists after it had `before`. */
static void sort_in(struct resources *r, struct res_peer *p, enum res_kind kind, uint64_t before)
{
	struct res_idle *item = &p->by_amount[kind];
	uint64_t now = p->class == RES_STRANGER ? p->used[kind] : 0;

	if (item->listed && (now == 0 || rank(now) != rank(before)))
		res_unlist(&r->by_amount[kind][rank(before)], item);
	if (!item->listed && now > 0)
		res_touch(&r->by_amount[kind][rank(now)], item, (struct instant){0});
}

struct res_peer *resources_greediest(const struct resources *r, enum res_kind kind, uint64_t least)
{
	for (unsigned i = 64; i-- > rank(least);) {
		struct res_idle *item = r->by_amount[kind][i].oldest;
		if (!item)
			continue;
		struct res_peer *p = (struct res_peer *)((uint8_t *)(item - kind) -
							 offsetof(struct res_peer, by_amount));
		return p->used[kind] >= least ? p : NULL;
	}
	return NULL;
}

enum res_answer resources_judge(
    const struct resources *r, const struct res_peer *p, enum res_kind kind, uint64_t n)
{
	uint64_t total = r->used[RES_STRANGER][kind] + r->used[RES_KNOWN][kind];

	if (p->used[kind] + n > r->limits.per_peer[kind])
		return RES_OVER_PEER;
	if (total + n > r->limits.total[kind])
		return RES_OVER_TOTAL;
	if (p->class == RES_STRANGER && r->used[RES_STRANGER][kind] + n > r->strangers_max[kind])
		return RES_OVER_STRANGERS;
	return RES_TAKEN;
}

enum res_answer resources_take(
    struct resources *r, struct res_peer *p, enum res_kind kind, uint64_t n)
{
	enum res_answer answer = resources_judge(r, p, kind, n);

	if (answer == RES_TAKEN) {
		p->used[kind] += n;
		r->used[p->class][kind] += n;
		sort_in(r, p, kind, p->used[kind] - n);
	} else {
		r->refused[kind]++;
	}
	return answer;
}

void resources_give(struct resources *r, struct res_peer *p, enum res_kind kind, uint64_t n)
{
	INVARIANT(p->used[kind] >= n && r->used[p->class][kind] >= n);
	p->used[kind] -= n;
	r->used[p->class][kind] -= n;
	sort_in(r, p, kind, p->used[kind] + n);
}

int resources_explain(const struct resources *r, const struct res_peer *p, enum res_kind kind,
    enum res_answer answer, struct err *err)
{
	static const char *const names[RES_KINDS] = {
	    "inbound connections", "inbound streams", "bytes of buffers"};
	unsigned long long strangers = r->used[RES_STRANGER][kind];

	switch (answer) {
	case RES_TAKEN:
		return 0;
	case RES_OVER_PEER:
		return err_set(err, E_LIMIT, "the peer has %llu %s, one may have %llu",
		    (unsigned long long)p->used[kind], names[kind],
		    (unsigned long long)r->limits.per_peer[kind]);
	case RES_OVER_STRANGERS:
		return err_set(err, E_LIMIT, "strangers have %llu %s of %llu, this one %llu",
		    strangers, names[kind], (unsigned long long)r->strangers_max[kind],
		    (unsigned long long)p->used[kind]);
	case RES_OVER_TOTAL:
		break;
	}
	return err_set(err, E_LIMIT, "all peers together have %llu %s, as many as they may",
	    strangers + (unsigned long long)r->used[RES_KNOWN][kind], names[kind]);
}

void resources_set_class(struct resources *r, struct res_peer *p, enum res_class class)
{
	for (int k = 0; k < RES_KINDS; k++) {
		r->used[p->class][k] -= p->used[k];
		r->used[class][k] += p->used[k];
	}
	p->class = class;
	for (int k = 0; k < RES_KINDS; k++)
		sort_in(r, p, (enum res_kind)k, p->used[k]);
}

/* ---- bytes a second ------------------------------------------------------------------------ */

/* Until when all is paid for with `n` bytes more, at `rate`: that moment is all that is kept. */
static struct instant after(struct instant paid, uint64_t rate, uint64_t n, struct instant now)
{
	int64_t earliest = now.ns - duration_s(RES_BURST_S).ns;
	uint64_t ns = n / rate * 1000000000 + n % rate * 1000000000 / rate;

	if (paid.ns < earliest)
		paid.ns = earliest;
	paid.ns += (int64_t)ns;
	return paid;
}

/* From what is there for all, or, for those who are known, from the reserve when that is sooner. */
static struct instant pay_shared(struct resources *r, enum res_class class, enum res_direction way,
    uint64_t n, struct instant now)
{
	uint64_t reserve = (r->limits.rate * r->limits.reserve_percent + 99) / 100;
	struct instant *from = &r->paid[RES_STRANGER][way];
	struct instant paid = after(*from, r->limits.rate - reserve, n, now);

	if (class == RES_KNOWN && reserve > 0) {
		struct instant sooner = after(r->paid[RES_KNOWN][way], reserve, n, now);
		if (instant_before(sooner, paid)) {
			from = &r->paid[RES_KNOWN][way];
			paid = sooner;
		}
	}
	*from = paid;
	return paid;
}

struct duration resources_pay(
    struct resources *r, struct res_peer *p, enum res_direction way, uint64_t n, struct instant now)
{
	struct instant until = now;

	if (r->limits.rate_per_peer > 0 && p->class == RES_STRANGER)
		until = p->paid[way] = after(p->paid[way], r->limits.rate_per_peer, n, now);
	if (r->limits.rate > 0) {
		struct instant paid = pay_shared(r, p->class, way, n, now);
		until = instant_before(until, paid) ? paid : until;
	}
	return instant_before(now, until) ? instant_since(until, now) : (struct duration){0};
}

/* ---- what is idle -------------------------------------------------------------------------- */

void res_unlist(struct res_list *list, struct res_idle *item)
{
	if (!item->listed)
		return;
	*(item->older ? &item->older->newer : &list->oldest) = item->newer;
	*(item->newer ? &item->newer->older : &list->newest) = item->older;
	*item = (struct res_idle){0};
}

void res_touch(struct res_list *list, struct res_idle *item, struct instant now)
{
	res_unlist(list, item);
	*item = (struct res_idle){.older = list->newest, .since = now, .listed = true};
	*(list->newest ? &list->newest->newer : &list->oldest) = item;
	list->newest = item;
}
