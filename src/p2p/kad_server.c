/* The DHT's answers: several requests a stream, one after the other; an error resets it.
 * SPEC libp2p kad-dht, "RPC messages". */
#include "p2p/framed_priv.h"
#include "p2p/kad_priv.h"

#include <stdio.h>
#include <time.h>

#define IDLE_S      10 /* a stream without a request is ended */
#define GIVES_WAY_S 1  /* or so long after the last one, when there is no room */

/* A request under way and the answer that is made for it. */
struct answering {
	struct p2p_kad *k;
	const struct peer_id *from;
	const struct multiaddr *remote; /* it is seen at; NULL when it has gone meanwhile */
	struct kad_message answer;
	char received[KAD_TIME_MAX];
};

/* ---- peers in answers ---------------------------------------------------------------------- */

static int put_addrs(
    struct answering *a, struct kad_peer *p, const struct multiaddr *addrs, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (kad_addr_fits(&addrs[i], a->remote))
			rc = addr_list_add(&p->addrs, &addrs[i], KAD_PEER_ADDRS_MAX);
	return rc;
}

/* A peer with the addresses that are known; without any it is left out of `closer`. */
static int put_peer(struct answering *a, struct kad_peers *list, const struct peer_id *id,
    const struct addr_list *known, bool even_without)
{
	struct p2p_peer_info info = {0};
	struct kad_peer *p = kad_peers_add(list, id);
	int rc;

	if (!p)
		return list->n == KAD_PEERS_MAX ? 0 : E_MEMORY;
	p->connection = p2p_connected(a->k->host, id) ? KAD_CONNECTED : KAD_NOT_CONNECTED;
	rc = put_addrs(a, p, known->v, known->n);
	if (rc == 0 && p->addrs.n == 0 && p2p_peer_info(a->k->host, id, &info))
		rc = put_addrs(a, p, info.addrs, info.n_addrs);
	if (p->addrs.n == 0 && !even_without)
		list->n--;
	return rc;
}

/* Borrowed from the host. */
static struct addr_list own_addrs(const struct p2p_host *h)
{
	return (struct addr_list){.v = (struct multiaddr *)h->addrs, .n = h->n_addrs};
}

static int put_closest(struct answering *a, struct bytes key)
{
	const struct kad_entry *near[KAD_K];
	struct kad_key target = kad_key_of(key);
	size_t n = kad_table_closest(&a->k->table, &target, a->from, near, KAD_K);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		/* The one that was asked for stands in front already. */
		if (a->answer.closer.n > 0 &&
		    peer_id_equal(&a->answer.closer.v[0].id, &near[i]->id))
			continue;
		rc = put_peer(a, &a->answer.closer, &near[i]->id, &near[i]->addrs, false);
	}
	return rc;
}

/* ---- the requests -------------------------------------------------------------------------- */

static int find_node(struct answering *a, const struct kad_message *m)
{
	struct p2p_host *h = a->k->host;
	struct addr_list none = {0};
	struct addr_list own = own_addrs(h);
	struct peer_id target;
	int rc = 0;

	/* SPEC kad-dht: the target itself too, when it is known. Keys of records are asked for in
	 * the same way. */
	if (peer_id_from_bytes(m->key, &target, NULL) == 0 && !peer_id_equal(&target, a->from)) {
		if (peer_id_equal(&target, &h->identity.peer_id))
			rc = put_peer(a, &a->answer.closer, &target, &own, false);
		else if (peer_find(h, &target))
			rc = put_peer(a, &a->answer.closer, &target, &none, false);
	}
	return rc != 0 ? rc : put_closest(a, m->key);
}

/* RFC 3339, as others parse it. */
static void print_time(int64_t wall_ms, char out[KAD_TIME_MAX])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t n;

	out[0] = 0;
	if (!gmtime_r(&seconds, &tm) ||
	    (n = strftime(out, KAD_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm)) == 0)
		return;
	(void)snprintf(out + n, KAD_TIME_MAX - n, ".%03d000000Z", (int)(wall_ms % 1000));
}

static int get_value(struct answering *a, const struct kad_message *m)
{
	struct kad_stored found;

	if (kad_store_get(&a->k->store, m->key, rt_now(), &found)) {
		print_time(found.received_wall_ms, a->received);
		a->answer.has_record = true;
		a->answer.record = (struct kad_record){
		    .key = found.key, .value = found.value, .received = bytes_str(a->received)};
	}
	return put_closest(a, m->key);
}

static int put_value(struct answering *a, const struct kad_message *m, struct err *err)
{
	struct p2p_kad *k = a->k;
	int rc;

	/* SPEC kad-dht: the record's key is the message's. */
	if (!m->has_record || !bytes_equal(m->key, m->record.key))
		return err_set(err, E_PROTOCOL, "a record under another key");
	rc = kad_store_put(
	    &k->store, m->key, m->record.value, rt_now(), world_wall_ms(k->host->world), err);
	a->answer.has_record = true;
	a->answer.record = m->record;
	return rc;
}

static int add_provider(struct answering *a, const struct kad_message *m, struct err *err)
{
	struct kad_peer sender = {.id = *a->from};
	bool named = false;
	int rc = 0;

	/* SPEC kad-dht: only entries about the sender itself. */
	for (size_t i = 0; rc == 0 && i < m->providers.n; i++) {
		const struct kad_peer *p = &m->providers.v[i];
		if (!peer_id_equal(&p->id, a->from))
			continue;
		named = true;
		rc = put_addrs(a, &sender, p->addrs.v, p->addrs.n);
	}
	if (!named && m->providers.n > 0)
		rc = err_set(err, E_WRONG_PEER, "a provider record in another's name");
	if (rc == 0 && named)
		rc = kad_store_provide(
		    &a->k->store, m->key, a->from, sender.addrs.v, sender.addrs.n, rt_now(), err);
	addr_list_free(&sender.addrs);
	return rc;
}

struct listing {
	struct answering *a;
	int rc;
};

static void list_provider(void *arg, const struct kad_provider *p)
{
	struct listing *l = arg;
	const struct p2p_host *h = l->a->k->host;
	struct addr_list own = own_addrs(h);
	bool me = peer_id_equal(&p->id, &h->identity.peer_id);

	if (l->rc == 0)
		l->rc =
		    put_peer(l->a, &l->a->answer.providers, &p->id, me ? &own : &p->addrs, true);
}

static int get_providers(struct answering *a, const struct kad_message *m, struct err *err)
{
	struct listing l = {.a = a};

	if (!kad_is_multihash(m->key))
		return err_set(err, E_PROTOCOL, "a provider's key is a multihash");
	kad_store_providers(&a->k->store, m->key, rt_now(), list_provider, &l);
	return l.rc != 0 ? l.rc : put_closest(a, m->key);
}

static int answer(struct answering *a, const struct kad_message *m, struct err *err)
{
	a->answer.type = m->type;
	a->answer.key = m->key;
	if (m->key.n == 0)
		return err_set(err, E_PROTOCOL, "a request without a key");
	switch (m->type) {
	case KAD_PUT_VALUE:
		return put_value(a, m, err);
	case KAD_GET_VALUE:
		return get_value(a, m);
	case KAD_ADD_PROVIDER:
		return add_provider(a, m, err);
	case KAD_GET_PROVIDERS:
		return get_providers(a, m, err);
	case KAD_FIND_NODE:
		return find_node(a, m);
	case KAD_PING:
		break;
	}
	return err_set(err, E_PROTOCOL, "a request that is no longer used");
}

/* ---- streams ------------------------------------------------------------------------------- */

/* Makes the answer to one request into `out`, which stays empty when there is none. */
static int respond(struct p2p_kad *k, const struct peer_id *from, struct bytes in, struct buf *out,
    struct err *err)
{
	struct answering a = {.k = k, .from = from, .remote = kad_remote(k, from)};
	struct kad_message m;
	int rc = kad_message_decode(in, &m, err);

	if (rc != 0)
		return rc;
	rc = answer(&a, &m, err);
	if (rc == 0 && m.type != KAD_ADD_PROVIDER) {
		kad_message_encode(&a.answer, out);
		rc = buf_ok(out, err);
	}
	kad_message_free(&a.answer);
	kad_message_free(&m);
	return rc;
}

/* 1 after a request, 0 at the end of the stream. */
static int serve_one(
    struct p2p_kad *k, struct kad_serving *s, struct buf *in, struct buf *out, struct err *err)
{
	struct scope sc;
	int rc;

	scope_open(&sc, duration_s(IDLE_S));
	rc = framed_read(s->stream, in, err);
	if (rc > 0) {
		k->requests_in++;
		res_touch(&k->serving, &s->idle, rt_now());
		buf_reset(out);
		int failed = respond(k, &s->peer, buf_view(in), out, err);
		if (failed == 0 && out->n > 0)
			failed = framed_write(s->stream, buf_view(out), err);
		rc = failed != 0 ? failed : rc;
	}
	scope_close(&sc);
	return rc;
}

static int serve_all(struct p2p_kad *k, struct kad_serving *s, struct err *err)
{
	struct buf in = BUF_INIT(KAD_REQUEST_MAX), out = BUF_INIT(KAD_ANSWER_MAX);
	int rc = 1;

	while (rc > 0 && !k->closed && k->mode == P2P_KAD_SERVER)
		rc = serve_one(k, s, &in, &out, err);
	buf_free(&in);
	buf_free(&out);
	return rc < 0 ? rc : stream_close_write(s->stream, err);
}

static struct kad_serving *serving_of(struct res_idle *item)
{
	return (struct kad_serving *)((uint8_t *)item - offsetof(struct kad_serving, idle));
}

/* Whoever sits there without asking gives its place to one who comes. */
static bool make_room(struct p2p_kad *k)
{
	struct res_idle *item = k->serving.oldest;

	while (item && serving_of(item)->ending)
		item = item->newer;
	if (k->n_serving - k->n_ending < KAD_SERVING_MAX)
		return true;
	if (!item || instant_since(rt_now(), item->since).ns < duration_s(GIVES_WAY_S).ns)
		return false;
	serving_of(item)->ending = true;
	k->n_ending++;
	stream_reset(serving_of(item)->stream, E_LIMIT);
	return true;
}

static bool admit(struct p2p_kad *k, const struct peer_id *peer)
{
	size_t same = 0;

	for (struct res_idle *item = k->serving.oldest; item; item = item->newer)
		same += peer_id_equal(&serving_of(item)->peer, peer);
	return same < KAD_SERVING_PER_PEER_MAX && make_room(k);
}

static void list(struct p2p_kad *k, struct kad_serving *s)
{
	res_touch(&k->serving, &s->idle, rt_now());
	k->n_serving++;
}

static void unlist(struct p2p_kad *k, struct kad_serving *s)
{
	res_unlist(&k->serving, &s->idle);
	k->n_serving--;
	k->n_ending -= s->ending;
	waitq_wake_all(&k->served);
}

void kad_end_serving(struct p2p_kad *k)
{
	for (struct res_idle *item = k->serving.oldest; item; item = item->newer)
		stream_reset(serving_of(item)->stream, E_CLOSED);
}

void kad_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct p2p_kad *k = arg;
	struct kad_serving me = {.stream = s, .peer = info->peer};
	struct err err = {0};
	int rc = E_CLOSED;

	if (!k->closed && k->mode == P2P_KAD_SERVER && admit(k, &me.peer)) {
		list(k, &me);
		rc = serve_all(k, &me, &err);
		unlist(k, &me);
	}
	if (rc != 0) {
		k->refused_in++;
		rt_log(LOG_DEBUG, "p2p", "%s: kad stream ended: %s", s->remote, err_text(&err));
		p2p_report_end(k->host, &info->peer, rc, err_text(&err));
		stream_reset(s, rc);
	}
	stream_close(s);
}
