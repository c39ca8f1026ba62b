/* Finds out how the router in front of this host maps ports: some peers outside are dialled from
 * the port that we listen on, and say by identify where they see that. Under a passing identity, so
 * that no connection is disturbed. */
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/mapping_priv.h"
#include "p2p/negotiate_priv.h"

#include <stdlib.h>
#include <talloc.h>

#define WITNESSES_MAX  P2P_MAPPING_SEEN_MAX
#define WITNESS_S      3  /* for one */
#define VALID_S        90 /* longer than closed connections keep their ports from us */
#define INTERFACES_MAX 32

struct mapping {
	bool running, known;
	struct instant found;
	struct p2p_mapping_info info;
	struct waitq done;
};

struct witness {
	struct p2p_host *host;
	struct peer_id id;
	struct netaddr at, seen;
	bool spoke;
};

/* ---- one witness --------------------------------------------------------------------------- */

static int refuse(void *arg, struct stream *s)
{
	(void)arg;
	(void)s;
	return E_UNSUPPORTED;
}

static void run_fiber(void *arg)
{
	(void)session_run(arg, NULL);
}

static int ask(
    struct session *session, const struct peer_id *id, struct identify *out, struct err *err)
{
	static const char *const protocol = IDENTIFY_PROTOCOL;
	struct buf in = BUF_INIT(IDENTIFY_MESSAGE_MAX);
	struct stream *s;
	size_t chosen;
	int rc = session_open(session, &s, err);

	if (rc != 0)
		return rc;
	rc = negotiate_dial(s, &protocol, 1, &chosen, err);
	if (rc == 0)
		rc = framed_read(s, &in, err);
	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed without an answer");
	if (rc > 0)
		rc = identify_add_message(out, buf_view(&in), err);
	if (rc == 0)
		rc = identify_check(out, id, err);
	buf_free(&in);
	stream_reset(s, E_CANCELLED);
	stream_close(s);
	return rc;
}

/* Takes up->secure over. */
static int question(struct witness *w, struct upgraded *up, struct identify *out, struct err *err)
{
	const struct p2p_host *h = w->host;
	struct session_options opt = {
	    .dialer = true,
	    .max_in = 1,
	    .max_out = 1,
	    .max_early = 1,
	    .max_buffered = h->limits.buffered,
	    .ping_every = DURATION_FOREVER,
	    .ping_answer = DURATION_FOREVER,
	    .on_stream = refuse,
	    .peer = w->id,
	    .remote = "a witness",
	};
	struct session *session;
	struct scope sc;
	int rc = session_new(up->secure, &opt, &session, err);

	if (rc != 0) {
		secure_close(up->secure);
		return rc;
	}
	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(&sc, "p2p witness", run_fiber, session, err);
	if (rc == 0)
		rc = ask(session, &w->id, out, err);
	scope_close(&sc);
	session_release(session);
	return rc;
}

static int hear(struct witness *w, struct identify *out, struct err *err)
{
	struct upgraded up;
	struct stream *raw;
	int rc = host_dial_from_port(w->host, &w->at, &raw, err);

	if (rc != 0)
		return rc;
	rc = upgrade_passing(w->host, raw, &w->id, &up, err);
	if (rc != 0) {
		stream_reset(raw, rc);
		stream_close(raw);
		return rc;
	}
	return question(w, &up, out, err);
}

static void witness_fiber(void *arg)
{
	struct witness *w = arg;
	struct identify *said = calloc(1, sizeof *said);
	struct multiaddr_tcp tcp;
	struct err err = {0};
	struct scope sc;
	int rc = said ? 0 : err_set(&err, E_MEMORY, "no memory");

	scope_open(&sc, duration_s(WITNESS_S));
	if (rc == 0)
		rc = hear(w, said, &err);
	scope_close(&sc);
	if (rc == 0)
		rc = multiaddr_tcp(&said->observed, &tcp, &err);
	if (rc == 0)
		rc = netaddr_parse_ip(tcp.host, &w->seen, &err);
	if (rc == 0)
		w->seen.port = tcp.port;
	else
		rt_log(LOG_DEBUG, "p2p", "where a peer sees this host: %s", err_text(&err));
	w->spoke = rc == 0;
	if (said)
		identify_free(said);
	free(said);
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Peers that we have dialled beyond this machine, each at an address of its own. */
static size_t choose(struct p2p_host *h, struct witness *w)
{
	size_t n = 0;

	for (const struct conn *c = h->conns; c && n < WITNESSES_MAX; c = c->next) {
		struct netaddr at;
		bool again = false;
		if (c->direction != P2P_OUTBOUND || c->closing || c->punched ||
		    !conn_netaddr(c, &at) || netaddr_is_loopback(&at))
			continue;
		for (size_t i = 0; i < n; i++)
			again |= memcmp(w[i].at.ip, at.ip, sizeof at.ip) == 0;
		if (!again)
			w[n++] = (struct witness){.host = h, .id = c->peer->id, .at = at};
	}
	return n;
}

/* This machine's own addresses: not what AutoNAT and the router tell of the outside. */
static size_t own_ips(struct p2p_host *h, struct netaddr *out)
{
	struct netif ifs[INTERFACES_MAX];
	size_t n = 0;

	if (world_interfaces(h->world, ifs, INTERFACES_MAX, &n, NULL) != 0)
		return 0;
	n = n < INTERFACES_MAX ? n : INTERFACES_MAX;
	for (size_t i = 0; i < n; i++)
		out[i] = ifs[i].addr;
	return n;
}

static int find_out(struct p2p_host *h, struct p2p_mapping_info *out)
{
	struct witness w[WITNESSES_MAX];
	struct netaddr seen[WITNESSES_MAX], own[INTERFACES_MAX];
	size_t n = choose(h, w), spoke = 0;
	struct scope sc;
	int rc = 0;

	scope_open(&sc, DURATION_FOREVER);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = fiber_spawn(&sc, "p2p witness", witness_fiber, &w[i], NULL);
	if (rc == 0)
		rc = scope_join(&sc);
	scope_close(&sc);
	for (size_t i = 0; i < n; i++)
		if (w[i].spoke)
			seen[spoke++] = w[i].seen;
	mapping_judge(seen, spoke, own, own_ips(h, own), out);
	return rc;
}

void p2p_mapping(struct p2p_host *h, struct p2p_mapping_info *out)
{
	struct mapping *m = h->mapping;

	*out = (struct p2p_mapping_info){0};
	if (!m && !(m = h->mapping = talloc_zero(h, struct mapping)))
		return;
	while (m->running)
		if (waitq_wait(&m->done, NULL) != 0)
			return;
	if (!m->known || instant_since(rt_now(), m->found).ns >= duration_s(VALID_S).ns) {
		m->running = true;
		m->known = find_out(h, &m->info) == 0;
		m->running = false;
		m->found = rt_now();
		waitq_wake_all(&m->done);
	}
	*out = m->info;
}
