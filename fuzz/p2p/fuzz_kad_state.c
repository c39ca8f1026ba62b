/* Kademlia's routing table and lookup under any history. The input is a sequence of steps, each a
 * byte that says what happens and one that says to whom: to one of 64 peers in a few networks.
 * After each step the invariants of kad_table_priv.h and kad_lookup_priv.h must hold. */
#include "p2p/kad_lookup_priv.h"
#include "p2p/kad_table_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS     64
#define STEPS_MAX 400 /* longer histories find nothing that shorter ones do not */

struct state {
	struct peer_id peers[PEERS];
	struct kad_table table;
	struct kad_lookup lookup;
	struct peer_id waiting[16];
	size_t n_waiting;
	struct instant now;
};

static void make_peers(struct state *s)
{
	uint8_t digest[2 + SHA256_SIZE] = {0x12, SHA256_SIZE};

	for (uint8_t i = 0; i < PEERS; i++) {
		digest[2] = i;
		INVARIANT(
		    peer_id_from_bytes(bytes_of(digest, sizeof digest), &s->peers[i], NULL) == 0);
	}
}

static void check_table(const struct kad_table *t)
{
	size_t members[KAD_BITS] = {0}, spares[KAD_BITS] = {0}, candidates = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct kad_entry *e = &t->v[i];
		INVARIANT(e->bucket < KAD_BITS && !peer_id_equal(&e->id, &t->self));
		INVARIANT(kad_shared_bits(&e->key, &t->key) == e->bucket);
		INVARIANT(kad_table_find(t, &e->id) == e);
		members[e->bucket] += e->standing == KAD_MEMBER;
		spares[e->bucket] += e->standing == KAD_SPARE;
		candidates += e->standing == KAD_CANDIDATE;
	}
	for (unsigned b = 0; b < KAD_BITS; b++)
		INVARIANT(members[b] <= t->config.k && spares[b] <= KAD_SPARES_MAX);
	INVARIANT(candidates <= KAD_CANDIDATES_MAX);
}

static void check_lookup(const struct state *s)
{
	const struct kad_lookup *l = &s->lookup;
	size_t waiting = 0;

	INVARIANT(l->n <= KAD_LOOKUP_PEERS_MAX && l->asked <= l->config.max_asked);
	for (size_t i = 0; i < l->n; i++) {
		INVARIANT(i == 0 || kad_nearer(&l->v[i - 1].key, &l->v[i].key, &l->target) < 0);
		INVARIANT(l->v[i].tries <= l->config.tries && l->v[i].paths != 0);
		INVARIANT(!peer_id_equal(&l->v[i].id, &l->self));
		waiting += l->v[i].state == KAD_WAITING;
	}
	INVARIANT(waiting == s->n_waiting && waiting <= l->config.alpha);
	INVARIANT(!kad_lookup_done(l) || waiting == 0);
}

static struct kad_net net_of(uint8_t who)
{
	return (struct kad_net){.n = who & 1 ? 3 : 0, .wide = 2, .bytes = {1, who >> 6, who >> 5}};
}

static void step_table(struct state *s, uint8_t what, uint8_t who)
{
	const struct peer_id *id = &s->peers[who % PEERS];
	const struct kad_entry *near[8];
	struct kad_net net = net_of(who);
	struct kad_key target = kad_key_of_peer(id);
	struct peer_id next;

	switch (what % 6) {
	case 0:
		if (kad_table_suggest(&s->table, id, &net, s->now))
			INVARIANT(kad_table_find(&s->table, id)->standing == KAD_CANDIDATE);
		return;
	case 1:
		if (kad_table_answered(&s->table, id, &net, s->now))
			INVARIANT(kad_table_find(&s->table, id)->standing == KAD_MEMBER);
		return;
	case 2:
		kad_table_failed(&s->table, id, s->now);
		return;
	case 3:
		kad_table_remove(&s->table, id, s->now);
		INVARIANT(!kad_table_find(&s->table, id));
		return;
	case 4:
		if (kad_table_next_check(&s->table, s->now, &next))
			INVARIANT(kad_table_find(&s->table, &next));
		return;
	default:
		INVARIANT(kad_table_closest(&s->table, &target, id, near, 8) <= 8);
	}
}

/* Up to 15 peers that follow `who`, some of them named twice. */
static void answer(struct state *s, const struct peer_id *from, uint8_t who)
{
	struct kad_peer told[15];
	size_t n = who & 15;

	for (size_t i = 0; i < n; i++)
		told[i] = (struct kad_peer){.id = s->peers[(who + 7 * (i / 2)) % PEERS]};
	kad_lookup_answered(&s->lookup, from, told, n, NULL, NULL);
}

static void step_lookup(struct state *s, uint8_t what, uint8_t who)
{
	struct peer_id id = s->peers[who % PEERS];
	size_t pick = s->n_waiting > 0 ? who % s->n_waiting : 0;

	switch (what % 4) {
	case 0:
		kad_lookup_seed(&s->lookup, &id, what & 4 ? KAD_OUTSIDER : KAD_NEAR);
		return;
	case 1:
		if (kad_lookup_next(&s->lookup, &id))
			s->waiting[s->n_waiting++] = id;
		return;
	case 2:
	default:
		if (s->n_waiting == 0 || (what & 64)) { /* perhaps somebody who was not asked */
			for (size_t i = 0; i < s->n_waiting; i++)
				if (peer_id_equal(&s->waiting[i], &id))
					return;
			answer(s, &id, who);
			kad_lookup_failed(&s->lookup, &id);
			return;
		}
		id = s->waiting[pick];
		s->waiting[pick] = s->waiting[--s->n_waiting];
		if (what % 4 == 2)
			answer(s, &id, who);
		else
			kad_lookup_failed(&s->lookup, &id);
	}
}

static void begin(struct state *s, uint8_t shape)
{
	struct kad_table_config table = {.k = 1 + (shape & 3),
	    .narrow_per_bucket = shape >> 2 & 1,
	    .narrow_per_table = shape >> 3 & 3,
	    .wide_per_table = shape >> 4 & 7};
	struct kad_lookup_config lookup = {.k = 1 + (shape & 7),
	    .alpha = 1 + (shape >> 3 & 3),
	    .paths = 1 + (shape >> 5),
	    .tries = 1 + (shape & 1),
	    .max_asked = 40};
	struct kad_key target;

	make_peers(s);
	s->now.ns = 1;
	target = kad_key_of_peer(&s->peers[1]);
	kad_table_init(&s->table, &s->peers[0], &table, s->now);
	INVARIANT(kad_lookup_init(&s->lookup, &target, &s->peers[0], &lookup, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(bytes_of(data, size));
	struct state s = {0};
	uint8_t what, who;

	if (!cursor_u8(&c, &what))
		return 0;
	begin(&s, what);
	for (int i = 0; i < STEPS_MAX && cursor_u8(&c, &what) && cursor_u8(&c, &who); i++) {
		s.now = instant_add(s.now, duration_s(what & 63));
		if (what & 128)
			step_table(&s, what, who);
		else
			step_lookup(&s, what, who);
		check_table(&s.table);
		check_lookup(&s);
	}
	kad_table_free(&s.table);
	kad_lookup_free(&s.lookup);
	return 0;
}
