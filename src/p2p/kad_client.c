/* The DHT's questions: one request, a lookup by some fibers at once, and what is made of them.
 * SPEC libp2p kad-dht, "DHT operations". */
#include "p2p/framed_priv.h"
#include "p2p/kad_priv.h"

#include <stdlib.h>

/* ---- one request --------------------------------------------------------------------------- */

static int encode(const struct kad_message *m, struct buf *out, struct err *err)
{
	*out = BUF_INIT(KAD_ANSWER_MAX);
	kad_message_encode(m, out);
	return buf_ok(out, err);
}

/* "Who is nearest to us": a question that every server answers. */
static int encode_probe(const struct p2p_kad *k, struct buf *out, struct err *err)
{
	struct kad_message m = {
	    .type = KAD_FIND_NODE, .key = peer_id_bytes(&k->host->identity.peer_id)};

	return encode(&m, out, err);
}

/* SPEC kad-dht: nothing answers ADD_PROVIDER. A question behind it on the same stream is answered
 * once it was taken in, or the stream is reset. */
static int send_probe(const struct p2p_kad *k, struct stream *s, struct err *err)
{
	struct buf probe;
	int rc = encode_probe(k, &probe, err);

	if (rc == 0)
		rc = framed_write(s, buf_view(&probe), err);
	buf_free(&probe);
	return rc;
}

/* The half-close comes last: some servers do not read what an ended stream still holds. */
static int exchange(const struct p2p_kad *k, struct stream *s, struct bytes request,
    enum kad_type type, struct buf *in, struct kad_message *answer, struct err *err)
{
	int rc = framed_write(s, request, err);

	if (rc == 0 && type == KAD_ADD_PROVIDER) {
		type = KAD_FIND_NODE;
		rc = send_probe(k, s, err);
	}
	if (rc != 0)
		return rc;
	rc = framed_read(s, in, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, E_CLOSED, "no answer");
	if ((rc = kad_message_decode(buf_view(in), answer, err)) != 0)
		return rc;
	if (answer->type == type && stream_close_write(s, err) == 0)
		return 0;
	kad_message_free(answer);
	return err_set(err, E_PROTOCOL, "an answer to another question");
}

/* The peer book may have forgotten where a member of the table is. */
static void remind(struct p2p_kad *k, const struct peer_id *peer)
{
	const struct kad_entry *e = kad_table_find(&k->table, peer);

	if (e && e->addrs.n > 0 && !p2p_connected(k->host, peer))
		p2p_add_addrs(k->host, peer, e->addrs.v, e->addrs.n);
}

int kad_request(struct p2p_kad *k, const struct peer_id *peer, struct bytes request,
    enum kad_type type, struct buf *in, struct kad_message *answer, struct err *err)
{
	const char *protocol = k->protocol;
	struct stream *s = NULL;
	struct scope sc;
	int rc;

	remind(k, peer);
	k->requests_out++;
	scope_open(&sc, k->options.request);
	rc = p2p_open_stream(k->host, peer, &protocol, 1, &s, NULL, err);
	if (rc == 0)
		rc = exchange(k, s, request, type, in, answer, err);
	if (rc != 0 && s)
		stream_reset(s, rc);
	stream_close(s);
	scope_close(&sc);
	/* That we stopped waiting says nothing about the peer. */
	if (rc == 0)
		kad_note_answer(k, peer);
	else if (scope_check(NULL) == 0)
		kad_note_failure(k, peer, rc);
	return rc;
}

void kad_check_peer(struct p2p_kad *k, const struct peer_id *peer)
{
	struct buf request, in = BUF_INIT(KAD_ANSWER_MAX);
	struct kad_message answer;
	struct err err = {0};
	int rc = encode_probe(k, &request, &err);

	if (rc == 0)
		rc = kad_request(k, peer, buf_view(&request), KAD_FIND_NODE, &in, &answer, &err);
	if (rc == 0)
		kad_message_free(&answer);
	else
		rt_log(LOG_DEBUG, "p2p", "kad: a peer did not pass: %s", err_text(&err));
	buf_free(&request);
	buf_free(&in);
}

/* ---- a lookup ------------------------------------------------------------------------------ */

/* A lookup under way: alpha fibers take peers from the core and bring it answers. */
struct query {
	struct p2p_kad *k;
	struct kad_lookup lookup;
	struct buf request;
	enum kad_type type;
	struct waitq changed; /* an answer came, or not */
	bool enough;
	/* Called with each answer; sets `enough` to end early. May be NULL. Must not park. */
	void (*on_answer)(struct query *q, const struct peer_id *from, const struct kad_message *m);
	void *arg;
};

struct teller {
	struct p2p_kad *k;
	const struct multiaddr *remote; /* of whoever tells */
};

/* A peer that the lookup took up: its addresses are needed to ask it. */
static void learn_peer(void *arg, const struct kad_peer *p)
{
	struct teller *t = arg;

	for (size_t i = p->addrs.n; i > 0; i--)
		if (kad_addr_fits(&p->addrs.v[i - 1], t->remote))
			p2p_add_addrs(t->k->host, &p->id, &p->addrs.v[i - 1], 1);
}

static void ask(struct query *q, const struct peer_id *peer)
{
	struct buf in = BUF_INIT(KAD_ANSWER_MAX);
	struct kad_message answer;
	struct err err = {0};
	int rc = kad_request(q->k, peer, buf_view(&q->request), q->type, &in, &answer, &err);

	if (rc == 0) {
		struct teller t = {.k = q->k, .remote = kad_remote(q->k, peer)};
		kad_lookup_answered(
		    &q->lookup, peer, answer.closer.v, answer.closer.n, learn_peer, &t);
		if (q->on_answer)
			q->on_answer(q, peer, &answer);
		kad_message_free(&answer);
	} else {
		kad_lookup_failed(&q->lookup, peer);
	}
	buf_free(&in);
	waitq_wake_all(&q->changed);
}

static bool over(const struct query *q)
{
	return q->enough || kad_lookup_done(&q->lookup);
}

static void asking_fiber(void *arg)
{
	struct query *q = arg;
	struct peer_id next;

	while (scope_check(NULL) == 0 && !over(q)) {
		if (kad_lookup_next(&q->lookup, &next))
			ask(q, &next);
		else if (waitq_wait(&q->changed, NULL) != 0)
			return;
	}
}

static int run_fibers(struct query *q, struct err *err)
{
	struct scope limit, fibers;
	int rc = 0;

	scope_open(&limit, q->k->options.lookup);
	scope_init(&fibers, NULL);
	for (unsigned i = 0; rc == 0 && i < q->k->options.alpha; i++)
		rc = fiber_spawn(&fibers, "p2p kad ask", asking_fiber, q, err);
	while (rc == 0 && !over(q))
		rc = waitq_wait(&q->changed, err);
	scope_close(&fibers); /* those that are not needed any more */
	scope_close(&limit);
	return rc;
}

/* Those nearest to the target, and some from elsewhere. */
static void seed_lookup(
    struct p2p_kad *k, struct kad_lookup *l, const struct kad_entry **near, size_t n)
{
	const struct kad_entry *others[KAD_OUTSIDERS];
	size_t m = kad_table_others(
	    &k->table, near, n, world_random_u64(k->host->world), others, KAD_OUTSIDERS);

	for (size_t i = 0; i < n; i++)
		kad_lookup_seed(l, &near[i]->id, KAD_NEAR);
	for (size_t i = 0; i < m; i++)
		kad_lookup_seed(l, &others[i]->id, KAD_OUTSIDER);
}

static int query_start(struct query *q, struct p2p_kad *k, const struct kad_message *m,
    const struct kad_key *target, struct err *err)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	const struct kad_entry *near[KAD_K];
	size_t n = kad_table_closest(&k->table, target, NULL, near, KAD_K);
	int rc;

	*q = (struct query){.k = k, .type = m->type};
	if (n == 0)
		return err_set(err, E_UNAVAILABLE, "no peer of the DHT is known");
	if ((rc = encode(m, &q->request, err)) != 0)
		return rc;
	config.alpha = k->options.alpha;
	config.paths = k->options.paths;
	rc = kad_lookup_init(&q->lookup, target, &k->host->identity.peer_id, &config, err);
	if (rc == 0)
		seed_lookup(k, &q->lookup, near, n);
	k->lookups++;
	return rc;
}

/* [parks] Runs to its end: 0 also when its time was up, which is an end like another. */
static int query_run(struct query *q, struct err *err)
{
	int rc = run_fibers(q, err);

	if (rc == E_TIMEOUT && scope_check(NULL) == 0)
		rc = 0;
	if (rc == 0)
		kad_table_refreshed(&q->k->table, &q->lookup.target, rt_now());
	return rc;
}

static void query_end(struct query *q)
{
	kad_lookup_free(&q->lookup);
	buf_free(&q->request);
}

int kad_visit(struct p2p_kad *k, const struct peer_id *target, struct err *err)
{
	struct kad_message m = {.type = KAD_FIND_NODE, .key = peer_id_bytes(target)};
	struct kad_key key = kad_key_of_peer(target);
	struct query q;
	int rc = query_start(&q, k, &m, &key, err);

	if (rc == 0)
		rc = query_run(&q, err);
	query_end(&q);
	return rc;
}

static int find_closest(struct p2p_kad *k, struct bytes key, struct peer_id *out, size_t cap,
    size_t *n, struct err *err)
{
	struct kad_message m = {.type = KAD_FIND_NODE, .key = key};
	struct kad_key target = kad_key_of(key);
	struct query q;
	int rc = query_start(&q, k, &m, &target, err);

	*n = 0;
	if (rc == 0)
		rc = query_run(&q, err);
	if (rc == 0)
		*n = kad_lookup_closest(&q.lookup, out, cap);
	query_end(&q);
	return rc;
}

static int check_key(struct bytes key, struct err *err)
{
	if (key.n == 0 || key.n > KAD_KEY_MAX)
		return err_set(err, E_INVALID, "a key has 1 to %d bytes", KAD_KEY_MAX);
	return 0;
}

int p2p_kad_closest(struct p2p_kad *k, struct bytes key, struct peer_id *out, size_t cap, size_t *n,
    struct err *err)
{
	int rc = check_key(key, err);

	return rc != 0 ? rc : find_closest(k, key, out, cap, n, err);
}

/* ---- peers --------------------------------------------------------------------------------- */

/* The lookup asks the peer itself as soon as somebody knows it, being nearest to its own key: when
 * that makes a connection, it is found. */
static void meet(struct query *q, const struct peer_id *from, const struct kad_message *m)
{
	q->enough = p2p_connected(q->k->host, q->arg);
}

static size_t copy_addrs(
    const struct p2p_kad *k, const struct peer_id *peer, struct multiaddr *out, size_t cap)
{
	struct p2p_peer_info info;
	size_t n;

	if (!p2p_peer_info(k->host, peer, &info))
		return 0;
	n = info.n_addrs < cap ? info.n_addrs : cap;
	if (n > 0)
		memcpy(out, info.addrs, n * sizeof *out);
	return n;
}

int p2p_kad_find_peer(struct p2p_kad *k, const struct peer_id *peer, struct multiaddr *addrs,
    size_t cap, size_t *n, struct err *err)
{
	struct kad_message m = {.type = KAD_FIND_NODE, .key = peer_id_bytes(peer)};
	struct kad_key key = kad_key_of_peer(peer);
	struct peer_id wanted = *peer;
	struct query q;
	int rc;

	remind(k, peer);
	if (p2p_connected(k->host, peer) && (*n = copy_addrs(k, peer, addrs, cap)) > 0)
		return 0;
	*n = 0;
	rc = query_start(&q, k, &m, &key, err);
	q.on_answer = meet;
	q.arg = &wanted;
	if (rc == 0)
		rc = query_run(&q, err);
	query_end(&q);
	if (rc == 0 && (*n = copy_addrs(k, peer, addrs, cap)) == 0)
		rc = err_set(err, E_NOT_FOUND, "nobody knows where this peer is");
	return rc;
}

/* ---- sending to the nearest ---------------------------------------------------------------- */

/* One request to several peers, by some fibers at once. */
struct spreading {
	struct p2p_kad *k;
	const struct peer_id *peers;
	size_t n, next, taken;
	struct bytes request;
	enum kad_type type;
	struct err err; /* of one that did not take it */
};

static void spread_one(struct spreading *s, const struct peer_id *peer)
{
	struct buf in = BUF_INIT(KAD_ANSWER_MAX);
	struct kad_message answer;

	if (kad_request(s->k, peer, s->request, s->type, &in, &answer, &s->err) == 0) {
		s->taken++;
		kad_message_free(&answer);
	}
	buf_free(&in);
}

static void spreading_fiber(void *arg)
{
	struct spreading *s = arg;

	while (s->next < s->n && scope_check(NULL) == 0)
		spread_one(s, &s->peers[s->next++]);
}

/* How many took it, in *taken. */
static int spread(struct p2p_kad *k, const struct peer_id *peers, size_t n,
    const struct kad_message *m, size_t *taken, struct err *err)
{
	struct spreading s = {.k = k, .peers = peers, .n = n, .type = m->type};
	struct buf request;
	struct scope sc;
	int rc = encode(m, &request, err);

	s.request = buf_view(&request);
	scope_open(&sc, k->options.lookup);
	for (unsigned i = 0; rc == 0 && i < k->options.alpha && i < n; i++)
		rc = fiber_spawn(&sc, "p2p kad spread", spreading_fiber, &s, err);
	if (rc == 0)
		rc = scope_join(&sc);
	scope_close(&sc);
	buf_free(&request);
	*taken = s.taken;
	if (rc == E_TIMEOUT && scope_check(NULL) == 0)
		rc = 0;
	if (rc == 0 && s.taken == 0 && n > 0)
		return err_set(err, E_UNAVAILABLE, "nobody took it: %s", err_text(&s.err));
	return rc;
}

static struct kad_own *find_own(struct p2p_kad *k, bool is_value, struct bytes key)
{
	struct kad_own *o = k->own;

	while (o && (o->is_value != is_value || !bytes_equal(buf_view(&o->key), key)))
		o = o->next;
	return o;
}

/* What is sent for it; the texts are copies in `key` and `value`. */
static int describe(struct p2p_kad *k, const struct kad_own *own, struct buf *key,
    struct buf *value, struct kad_message *m, struct err *err)
{
	struct kad_peer *me;
	int rc = 0;

	*key = BUF_INIT(KAD_KEY_MAX);
	*value = BUF_INIT(KAD_VALUE_MAX);
	buf_bytes(key, buf_view(&own->key));
	buf_bytes(value, buf_view(&own->value));
	*m = (struct kad_message){
	    .type = own->is_value ? KAD_PUT_VALUE : KAD_ADD_PROVIDER, .key = buf_view(key)};
	if (key->failed || value->failed)
		return err_set(err, E_MEMORY, "no memory to publish");
	if (own->is_value) {
		m->has_record = true;
		m->record = (struct kad_record){.key = m->key, .value = buf_view(value)};
		return 0;
	}
	if (!(me = kad_peers_add(&m->providers, &k->host->identity.peer_id)))
		return err_set(err, E_MEMORY, "no memory to publish");
	for (size_t i = 0; rc == 0 && i < k->host->n_addrs; i++)
		rc = addr_list_add(&me->addrs, &k->host->addrs[i], KAD_PEER_ADDRS_MAX);
	return rc == 0 ? 0 : err_set(err, rc, "no memory to publish");
}

/* Our own store has it as well, where there is room, and lets it grow old like any other. */
static int keep_here(struct p2p_kad *k, const struct kad_message *m, struct err *err)
{
	struct p2p_host *h = k->host;
	int rc;

	if (m->has_record)
		rc = kad_store_put(
		    &k->store, m->key, m->record.value, rt_now(), world_wall_ms(h->world), err);
	else
		rc = kad_store_provide(
		    &k->store, m->key, &h->identity.peer_id, h->addrs, h->n_addrs, rt_now(), err);
	return rc == E_LIMIT ? 0 : rc;
}

int kad_publish(struct p2p_kad *k, struct kad_own *own, struct err *err)
{
	struct peer_id peers[KAD_K];
	struct kad_message m;
	struct buf key, value;
	bool is_value = own->is_value;
	size_t n = 0, taken = 0;
	int rc = describe(k, own, &key, &value, &m, err);

	own->published = own->tried = rt_now(); /* nobody else begins meanwhile */
	if (rc == 0)
		rc = keep_here(k, &m, err);
	if (rc == 0)
		rc = find_closest(k, m.key, peers, KAD_K, &n, err);
	if (rc == 0 && n == 0)
		rc = err_set(err, E_UNAVAILABLE, "no peer of the DHT answered");
	if (rc == 0)
		rc = spread(k, peers, n, &m, &taken, err);
	if (rc == 0)
		rt_log(LOG_DEBUG, "p2p", "kad: published with %zu of %zu peers", taken, n);
	else if ((own = find_own(k, is_value, m.key)))
		own->published = (struct instant){0};
	kad_message_free(&m);
	buf_free(&key);
	buf_free(&value);
	return rc;
}

static void drop_own(struct p2p_kad *k, struct kad_own *o)
{
	struct kad_own **at = &k->own;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	buf_free(&o->key);
	buf_free(&o->value);
	free(o);
}

/* Remembers it for republishing; a value replaces the one before. */
static int keep_own(struct p2p_kad *k, bool is_value, struct bytes key, struct bytes value,
    struct kad_own **out, struct err *err)
{
	struct kad_own *o = find_own(k, is_value, key);
	size_t max = is_value ? KAD_OWN_VALUES_MAX : KAD_OWN_PROVIDED_MAX, n = 0;

	for (const struct kad_own *other = k->own; other; other = other->next)
		n += other->is_value == is_value;
	if (!o && n >= max)
		return err_set(err, E_LIMIT, "at most %zu are published", max);
	if (!o) {
		if (!(o = calloc(1, sizeof *o)))
			return err_set(err, E_MEMORY, "no memory to publish");
		*o = (struct kad_own){.next = k->own,
		    .is_value = is_value,
		    .key = BUF_INIT(KAD_KEY_MAX),
		    .value = BUF_INIT(KAD_VALUE_MAX)};
		k->own = o;
		buf_bytes(&o->key, key);
	}
	buf_reset(&o->value);
	buf_bytes(&o->value, value);
	if (o->key.failed || o->value.failed) {
		drop_own(k, o);
		return err_set(err, E_MEMORY, "no memory to publish");
	}
	*out = o;
	return 0;
}

/* ---- providers ----------------------------------------------------------------------------- */

void p2p_kad_multihash(struct bytes of, uint8_t out[P2P_KAD_MULTIHASH_SIZE])
{
	out[0] = 0x12; /* sha2-256 */
	out[1] = SHA256_SIZE;
	sha256(of, out + 2);
}

int p2p_kad_provide(struct p2p_kad *k, struct bytes key, struct err *err)
{
	struct kad_message m = {.type = KAD_ADD_PROVIDER, .key = key};
	struct kad_own *own;
	int rc = keep_here(k, &m, err);

	if (rc == 0)
		rc = keep_own(k, false, key, (struct bytes){0}, &own, err);
	return rc != 0 ? rc : kad_publish(k, own, err);
}

void p2p_kad_unprovide(struct p2p_kad *k, struct bytes key)
{
	struct kad_own *o = find_own(k, false, key);

	if (o)
		drop_own(k, o);
}

struct collecting {
	struct p2p_kad *k;
	struct peer_id *out;
	size_t cap, n;
};

static bool collect(struct collecting *c, const struct peer_id *id)
{
	if (peer_id_equal(id, &c->k->host->identity.peer_id) || c->n == c->cap)
		return false;
	for (size_t i = 0; i < c->n; i++)
		if (peer_id_equal(&c->out[i], id))
			return false;
	c->out[c->n++] = *id;
	return true;
}

static void collect_answer(struct query *q, const struct peer_id *from, const struct kad_message *m)
{
	struct collecting *c = q->arg;
	struct teller t = {.k = q->k, .remote = kad_remote(q->k, from)};

	for (size_t i = 0; i < m->providers.n; i++)
		if (collect(c, &m->providers.v[i].id))
			learn_peer(&t, &m->providers.v[i]);
	q->enough = c->n == c->cap;
}

static void collect_stored(void *arg, const struct kad_provider *p)
{
	struct collecting *c = arg;

	if (collect(c, &p->id) && p->addrs.n > 0)
		p2p_add_addrs(c->k->host, &p->id, p->addrs.v, p->addrs.n);
}

int p2p_kad_find_providers(struct p2p_kad *k, struct bytes key, struct peer_id *out, size_t cap,
    size_t *n, struct err *err)
{
	struct collecting c = {.k = k, .out = out, .cap = cap};
	struct kad_message m = {.type = KAD_GET_PROVIDERS, .key = key};
	struct kad_key target = kad_key_of(key);
	struct query q;
	int rc = 0;

	*n = 0;
	if (!kad_is_multihash(key))
		return err_set(err, E_INVALID, "a provider's key is a multihash");
	kad_store_providers(&k->store, key, rt_now(), collect_stored, &c);
	if (c.n < cap) {
		rc = query_start(&q, k, &m, &target, err);
		q.on_answer = collect_answer;
		q.arg = &c;
		if (rc == 0)
			rc = query_run(&q, err);
		query_end(&q);
	}
	*n = c.n;
	return rc == E_UNAVAILABLE && c.n > 0 ? 0 : rc;
}

/* ---- values -------------------------------------------------------------------------------- */

int p2p_kad_put(struct p2p_kad *k, struct bytes key, struct bytes value, struct err *err)
{
	struct kad_message m = {.type = KAD_PUT_VALUE,
	    .key = key,
	    .has_record = true,
	    .record = {.key = key, .value = value}};
	struct kad_own *own;
	int rc = check_key(key, err);

	if (rc == 0)
		rc = keep_here(k, &m, err);
	if (rc == 0)
		rc = keep_own(k, true, key, value, &own, err);
	return rc != 0 ? rc : kad_publish(k, own, err);
}

struct getting {
	struct bytes key;
	struct buf best;
	bool found;
	struct peer_id holders[2 * KAD_K]; /* of the best */
	size_t n;
};

static void prefer(struct query *q, struct getting *g, struct bytes value)
{
	if (g->found && (bytes_equal(buf_view(&g->best), value) ||
			    !kad_store_prefers(&q->k->store, g->key, buf_view(&g->best), value)))
		return;
	buf_reset(&g->best);
	buf_bytes(&g->best, value);
	g->found = !g->best.failed;
	g->n = 0;
}

static void weigh(struct query *q, const struct peer_id *from, const struct kad_message *m)
{
	struct getting *g = q->arg;

	if (!m->has_record || !bytes_equal(m->record.key, g->key) ||
	    kad_store_validate(&q->k->store, g->key, m->record.value, NULL) != 0)
		return;
	prefer(q, g, m->record.value);
	if (bytes_equal(buf_view(&g->best), m->record.value) && g->n < 2 * KAD_K)
		g->holders[g->n++] = *from;
	q->enough = g->n >= q->k->options.quorum;
}

static bool holds(const struct getting *g, const struct peer_id *id)
{
	for (size_t i = 0; i < g->n; i++)
		if (peer_id_equal(&g->holders[i], id))
			return true;
	return false;
}

/* SPEC kad-dht, "Value retrieval": those of the nearest that had none, or a worse one, get it. */
static int correct(struct query *q, const struct getting *g, struct err *err)
{
	struct peer_id near[KAD_K], lacking[KAD_K];
	struct kad_message m = {.type = KAD_PUT_VALUE,
	    .key = g->key,
	    .has_record = true,
	    .record = {.key = g->key, .value = buf_view(&g->best)}};
	size_t n = kad_lookup_closest(&q->lookup, near, KAD_K), n_lacking = 0, taken;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (!holds(g, &near[i]))
			lacking[n_lacking++] = near[i];
	rc = spread(q->k, lacking, n_lacking, &m, &taken, err);
	return rc == E_UNAVAILABLE ? 0 : rc; /* they need not take it */
}

static int get(struct p2p_kad *k, struct getting *g, struct err *err)
{
	struct kad_message m = {.type = KAD_GET_VALUE, .key = g->key};
	struct kad_key target = kad_key_of(g->key);
	struct kad_stored own;
	struct query q;
	int rc = query_start(&q, k, &m, &target, err);

	if (kad_store_get(&k->store, g->key, rt_now(), &own))
		prefer(&q, g, own.value);
	q.on_answer = weigh;
	q.arg = g;
	if (rc == 0)
		rc = query_run(&q, err);
	if (rc == 0 && g->found)
		rc = correct(&q, g, err);
	query_end(&q);
	return rc == E_UNAVAILABLE && g->found ? 0 : rc;
}

int p2p_kad_get(struct p2p_kad *k, struct bytes key, struct buf *out, struct err *err)
{
	struct getting *g;
	int rc = check_key(key, err);

	if (rc != 0)
		return rc;
	if (!kad_store_has_validator(&k->store, key))
		return err_set(err, E_UNSUPPORTED, "no validator for this key");
	if (!(g = calloc(1, sizeof *g)))
		return err_set(err, E_MEMORY, "no memory to look for a value");
	g->key = key;
	g->best = BUF_INIT(KAD_VALUE_MAX);
	rc = get(k, g, err);
	if (rc == 0 && !g->found)
		rc = err_set(err, E_NOT_FOUND, "nobody has a valid value");
	if (rc == 0) {
		buf_bytes(out, buf_view(&g->best));
		rc = buf_ok(out, err);
	}
	buf_free(&g->best);
	free(g);
	return rc;
}
