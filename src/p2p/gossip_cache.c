/* Messages seen, and messages kept for those who ask. The tables are keyed with a secret, so that
 * no author can choose sequence numbers that collide. */
#include "p2p/gossip_priv.h"

#include <stdlib.h>

/* An author's key as some implementations put it in place of its id, which is "00 24" and the key.
 */
#define KEY_FORM_SIZE (4 + ED25519_PUBLIC_SIZE + GOSSIP_SEQNO_SIZE)
static const uint8_t key_head[4] = {0x08, 0x01, 0x12, 0x20};
static const uint8_t id_head[2] = {0x00, 0x24};

/* ---- ids ----------------------------------------------------------------------------------- */

bool gossip_id_is_key_form(struct bytes wire)
{
	return wire.n == KEY_FORM_SIZE && memcmp(wire.p, key_head, sizeof key_head) == 0;
}

bool gossip_id_of(struct bytes wire, struct gossip_id *out)
{
	size_t at = 0;

	*out = (struct gossip_id){0};
	if (wire.n == 0 || wire.n > GOSSIP_ID_MAX)
		return false;
	if (gossip_id_is_key_form(wire)) {
		memcpy(out->bytes, id_head, sizeof id_head);
		at = sizeof id_head;
	}
	memcpy(out->bytes + at, wire.p, wire.n);
	out->n = (uint8_t)(at + wire.n);
	return true;
}

struct bytes gossip_id_for(const struct gossip_peer *p, const struct gossip_id *id)
{
	struct bytes key = bytes_of(id->bytes + sizeof id_head, id->n - sizeof id_head);

	if (p->key_ids && id->n > sizeof id_head &&
	    memcmp(id->bytes, id_head, sizeof id_head) == 0 && gossip_id_is_key_form(key))
		return key;
	return bytes_of(id->bytes, id->n);
}

/* SPEC pubsub "Message Identification": the author and its sequence number. */
bool gossip_id_of_message(const struct gossip_message *m, struct gossip_id *out)
{
	*out = (struct gossip_id){0};
	if (m->from.n == 0 || m->from.n > PEER_ID_MAX || m->seqno.n != GOSSIP_SEQNO_SIZE)
		return false;
	memcpy(out->bytes, m->from.p, m->from.n);
	memcpy(out->bytes + m->from.n, m->seqno.p, GOSSIP_SEQNO_SIZE);
	out->n = (uint8_t)(m->from.n + GOSSIP_SEQNO_SIZE);
	return true;
}

uint64_t gossip_id_key(const struct gossip_router *r, const struct gossip_id *id)
{
	uint8_t out[crypto_shorthash_BYTES];

	(void)crypto_shorthash(out, id->bytes, id->n, r->hash_key);
	return get_u64be(out);
}

static unsigned hash_of(const struct gossip_router *r, const struct gossip_id *id)
{
	return (unsigned)(gossip_id_key(r, id) >> 32);
}

struct gossip_entry *gossip_seen(const struct gossip_router *r, const struct gossip_id *id)
{
	struct gossip_entry *e;

	HASH_FIND_BYHASHVALUE(hh, r->seen, id, sizeof *id, hash_of(r, id), e);
	return e;
}

/* ---- messages kept ------------------------------------------------------------------------- */

static void unkeep(struct gossip_router *r, struct gossip_entry *e)
{
	*(e->kept_older ? &e->kept_older->kept_newer : &r->kept_oldest) = e->kept_newer;
	*(e->kept_newer ? &e->kept_newer->kept_older : &r->kept_newest) = e->kept_older;
	e->kept_older = e->kept_newer = NULL;
	r->kept_bytes -= e->frame->n;
	gossip_frame_unref(e->frame);
	e->frame = NULL;
	free(e->askers);
	e->askers = NULL;
	e->n_askers = 0;
}

static void keep(struct gossip_router *r, struct gossip_entry *e)
{
	e->window = r->ticks;
	e->kept_older = r->kept_newest;
	*(r->kept_newest ? &r->kept_newest->kept_newer : &r->kept_oldest) = e;
	r->kept_newest = e;
	r->kept_bytes += e->frame->n;
	while (r->kept_bytes > GOSSIP_MCACHE_BYTES && r->kept_oldest != e)
		unkeep(r, r->kept_oldest);
}

void gossip_settle(struct gossip_router *r, struct gossip_entry *e, enum gossip_status status)
{
	INVARIANT(e->status == GOSSIP_PENDING && status != GOSSIP_PENDING);
	e->status = status;
	r->n_pending--;
	if (status == GOSSIP_ACCEPTED) {
		e->accepted = r->now;
		keep(r, e);
	} else {
		gossip_frame_unref(e->frame);
		e->frame = NULL;
	}
}

bool gossip_may_ask(struct gossip_router *r, struct gossip_entry *e, const struct gossip_peer *p)
{
	for (uint32_t i = 0; i < e->n_askers; i++)
		if (e->askers[i].serial == p->serial)
			return e->askers[i].times++ < r->params.iwant_repeats_max;
	if (e->n_askers == GOSSIP_ASKERS_MAX)
		return false;
	struct gossip_asker *all = realloc(e->askers, (e->n_askers + 1) * sizeof *all);
	if (!all)
		return false;
	e->askers = all;
	all[e->n_askers++] = (struct gossip_asker){p->serial, 1};
	return true;
}

size_t gossip_recent(const struct gossip_router *r, const struct gossip_topic *t,
    const struct gossip_entry **out, size_t cap)
{
	size_t n = 0;

	for (const struct gossip_entry *e = r->kept_newest; e && n < cap; e = e->kept_older) {
		if (e->window + r->params.mcache_gossip <= r->ticks)
			break;
		if (e->topic != t->number)
			continue;
		if (out)
			out[n] = e;
		n++;
	}
	return n;
}

/* ---- messages seen ------------------------------------------------------------------------- */

static void forget_oldest(struct gossip_router *r)
{
	struct gossip_entry *e = r->seen_oldest;

	r->seen_oldest = e->newer;
	if (!r->seen_oldest)
		r->seen_newest = NULL;
	r->n_seen--;
	HASH_DEL(r->seen, e);
	if (e->status == GOSSIP_PENDING)
		gossip_settle(r, e, GOSSIP_IGNORED);
	if (e->frame)
		unkeep(r, e);
	free(e);
}

struct gossip_entry *gossip_remember(struct gossip_router *r, const struct gossip_id *id,
    const struct gossip_topic *t, struct gossip_frame *f)
{
	struct gossip_entry *e = r->n_pending < GOSSIP_PENDING_MAX ? calloc(1, sizeof *e) : NULL;

	if (!e)
		return NULL;
	e->id = *id;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, r->seen, &e->id, sizeof e->id, hash_of(r, id), e);
	if (!e->hh.tbl) {
		free(e);
		return NULL;
	}
	e->topic = t->number;
	e->frame = f;
	e->expires = instant_add(r->now, r->params.seen_ttl);
	*(r->seen_newest ? &r->seen_newest->newer : &r->seen_oldest) = e;
	r->seen_newest = e;
	r->n_seen++;
	r->n_pending++;
	if (r->n_seen > GOSSIP_SEEN_MAX)
		forget_oldest(r);
	return e;
}

void gossip_cache_tick(struct gossip_router *r)
{
	while (r->seen_oldest && !instant_before(r->now, r->seen_oldest->expires))
		forget_oldest(r);
	while (r->kept_oldest && r->kept_oldest->window + r->params.mcache_len <= r->ticks)
		unkeep(r, r->kept_oldest);
}

void gossip_cache_free(struct gossip_router *r)
{
	while (r->seen_oldest)
		forget_oldest(r);
}
