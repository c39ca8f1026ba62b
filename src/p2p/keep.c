/* Connections to be kept: one fiber per address dials, waits for the loss, dials again. */
#include "p2p/host_priv.h"

#include <stdio.h>
#include <talloc.h>

/* Attempts come at most this far apart while the loss is young. */
#define EAGER_MS    2000
#define EAGER_FOR_S 60
#define LAZY_MAX_MS 60000

struct keep {
	struct keep *next;
	struct p2p_host *host;
	struct multiaddr addr;
	struct peer_id peer; /* empty until known */
	struct scope *scope; /* while its fiber runs */
	bool removed;
	char tag[TAG_SIZE];
	int64_t lazy_ms;
	struct instant since; /* of the loss, or the beginning */
	int told_code;        /* the reason last told */
	char told[ERR_TEXT_MAX];
};

static bool is_connected(const struct keep *k)
{
	const struct peer *p = k->peer.n > 0 ? peer_find(k->host, &k->peer) : NULL;

	return p && conn_preferred(k->host, p);
}

static void tell(struct keep *k, int code, const char *text)
{
	char addr[MULTIADDR_TEXT_MAX];

	/* A ban's text counts down. */
	if (code == k->told_code && (code == E_FORBIDDEN || strcmp(text, k->told) == 0))
		return;
	k->told_code = code;
	(void)snprintf(k->told, sizeof k->told, "%s", text);
	multiaddr_print(&k->addr, addr);
	rt_log(LOG_DEBUG, "p2p", "cannot reach %s, trying on: %s", addr, text);
	host_emit(k->host, &(struct p2p_event){.kind = P2P_KEEP_FAILED,
			       .peer = k->peer,
			       .addrs = &k->addr,
			       .n_addrs = 1,
			       .code = code,
			       .text = text});
}

/* Somewhere between 80 % and 100 % of it, so that many nodes do not knock together. */
static int64_t jitter(struct keep *k, int64_t ms)
{
	return ms - (int64_t)(world_random_u64(k->host->world) % (uint64_t)(ms / 5 + 1));
}

/* How long to wait before the next attempt; the last one began at `begun`. */
static struct duration pause_after(struct keep *k, struct instant begun)
{
	int64_t spent = duration_to_ms(instant_since(rt_now(), begun));
	int64_t ms = EAGER_MS;

	if (instant_since(rt_now(), k->since).ns >= duration_s(EAGER_FOR_S).ns) {
		k->lazy_ms = k->lazy_ms * 2 < LAZY_MAX_MS ? k->lazy_ms * 2 : LAZY_MAX_MS;
		ms = k->lazy_ms;
	}
	ms = jitter(k, ms);
	return duration_ms(ms > spent ? ms - spent : 0);
}

/* The connection is there: protect it, forget the trouble, and park until it is lost. */
static int rest(struct keep *k)
{
	int rc = 0;

	if (p2p_protect(k->host, &k->peer, k->tag, NULL) != 0)
		rt_log(LOG_DEBUG, "p2p", "a kept connection cannot be protected: too many tags");
	k->told_code = 0;
	k->lazy_ms = EAGER_MS;
	while (rc == 0 && is_connected(k))
		rc = waitq_wait(&k->host->conns_changed, NULL);
	k->since = rt_now();
	return rc;
}

static int attempt(struct keep *k)
{
	struct p2p_conn_info info;
	struct err err = {0};
	struct peer_id named;
	p2p_conn_id conn;
	struct instant begun = rt_now();
	const struct peer_id *peer = k->peer.n > 0 ? &k->peer : NULL;
	int rc = p2p_dial(k->host, peer, &k->addr, 1, &conn, &err);

	if (rc == 0) {
		if (p2p_conn_info(k->host, conn, &info))
			k->peer = info.peer;
		return 0;
	}
	if (scope_check(NULL) != 0)
		return E_CANCELLED;
	tell(k, rc, err_text(&err));
	/* An address without /p2p whose peer changed its key: whoever answers is meant. */
	if (rc == E_WRONG_PEER && !multiaddr_peer(&k->addr, &named))
		k->peer = (struct peer_id){0};
	return fiber_sleep(pause_after(k, begun));
}

static void unlink_keep(struct keep *k)
{
	struct keep **at = &k->host->keeps;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	k->host->n_keeps--;
}

static void keep_fiber(void *arg)
{
	struct keep *k = arg;
	struct scope sc;
	int rc = 0;

	scope_open(&sc, DURATION_FOREVER);
	k->scope = &sc;
	if (k->removed)
		scope_cancel(&sc);
	k->since = rt_now();
	while (rc == 0)
		rc = is_connected(k) ? rest(k) : attempt(k);
	k->scope = NULL;
	scope_close(&sc);
	if (k->peer.n > 0)
		p2p_unprotect(k->host, &k->peer, k->tag);
	unlink_keep(k);
	talloc_free(k);
}

static struct keep *find_keep(const struct p2p_host *h, const struct multiaddr *addr)
{
	struct keep *k = h->keeps;

	while (k && (k->removed || !multiaddr_equal(&k->addr, addr)))
		k = k->next;
	return k;
}

/* A circuit names its target; a TCP address may. */
static int who_is_kept(const struct multiaddr *addr, struct peer_id *out, struct err *err)
{
	struct multiaddr relay;
	struct multiaddr_tcp tcp;
	struct err why = {0};

	if (multiaddr_circuit(addr, &relay, out))
		return out->n > 0 ? 0 : err_set(err, E_INVALID, "a circuit to nobody");
	if (multiaddr_tcp(addr, &tcp, &why) != 0)
		return err_set(err, E_INVALID, "not an address to dial: %s", err_text(&why));
	*out = tcp.peer;
	return 0;
}

int p2p_keep(struct p2p_host *h, const struct multiaddr *addr, struct err *err)
{
	struct peer_id peer = {0};
	struct keep *k;
	int rc = who_is_kept(addr, &peer, err);

	if (rc != 0)
		return rc;
	if (peer_id_equal(&peer, &h->identity.peer_id))
		return err_set(err, E_INVALID, "a host does not dial itself");
	if (find_keep(h, addr))
		return err_set(err, E_EXISTS, "this address is kept already");
	if (h->n_keeps == KEEPS_MAX)
		return err_set(err, E_LIMIT, "at most %d addresses are kept", KEEPS_MAX);
	if (!(k = talloc_zero(h, struct keep)))
		return err_set(err, E_MEMORY, "no memory to keep a connection");
	*k = (struct keep){.host = h, .addr = *addr, .peer = peer, .lazy_ms = EAGER_MS};
	/* A tag of its own: two addresses may turn out to be one peer's. */
	(void)snprintf(k->tag, sizeof k->tag, "keep-%llu", (unsigned long long)++h->next_keep);
	if ((rc = fiber_spawn(&h->scope, "p2p keep", keep_fiber, k, err)) != 0) {
		talloc_free(k);
		return rc;
	}
	k->next = h->keeps;
	h->keeps = k;
	h->n_keeps++;
	return 0;
}

bool p2p_kept(const struct p2p_host *h, const struct peer_id *peer)
{
	const struct keep *k = h->keeps;

	while (k && (k->removed || !peer_id_equal(&k->peer, peer)))
		k = k->next;
	return k != NULL;
}

void p2p_unkeep(struct p2p_host *h, const struct multiaddr *addr)
{
	struct keep *k = find_keep(h, addr);

	if (!k)
		return;
	k->removed = true;
	if (k->scope)
		scope_cancel(k->scope);
}
