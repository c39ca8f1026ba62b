/* Finding peers on the local network: one datagram socket per interface and IP version, a fiber
 * that answers and listens on each, and one that asks. SPEC libp2p mdns.
 *
 * What comes from the network is only ever an address to try: the handshake tells who is there.
 * Not having multicast is no error, only worth one line. */
#include "p2p/host_priv.h"
#include "p2p/mdns_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define SOCKETS_MAX      16
#define ASK_FIRST_MS     1000
#define ASK_MAX_MS       60000
#define ANSWER_EVERY_MS  1000 /* RFC 6762 section 6: a record is multicast once a second at most */
#define ANSWER_JITTER_MS 100
#define TELL_EVERY_S     10 /* about a peer whose addresses are all known */
#define FOUND_ADDRS_MAX  P2P_PEER_ADDRS_MAX

static const struct netaddr groups[] = {
    {.family = NET_IP4, .ip = {224, 0, 0, 251}, .port = MDNS_PORT},
    {.family = NET_IP6, .ip = {0xff, 0x02, [15] = 0xfb}, .port = MDNS_PORT},
};

struct mdns_socket {
	struct mdns *mdns;
	struct udp *udp;
	struct netaddr group;
	uint32_t ifindex;
	bool loopback;
	struct instant answered;
};

struct mdns {
	struct p2p_host *host;
	char name[MDNS_NAME_MAX + 1];
	struct mdns_socket sockets[SOCKETS_MAX];
	size_t n_sockets;
	bool heard_itself;
	unsigned heard;
};

/* ---- answering ----------------------------------------------------------------------------- */

/* Loopback addresses stay on the loopback interface; whoever is there can use the others too. */
static bool fits(const struct mdns_socket *s, const struct multiaddr *a)
{
	return s->loopback || multiaddr_reach(a) != MA_REACH_LOOPBACK;
}

/* Own addresses with /p2p as texts, talloc children of `mem`. */
static size_t own_texts(const struct mdns_socket *s, void *mem, const char *texts[HOST_ADDRS_MAX])
{
	const struct p2p_host *h = s->mdns->host;
	size_t n = 0;

	for (size_t i = 0; i < h->n_addrs; i++) {
		struct multiaddr full = h->addrs[i];
		char text[MULTIADDR_TEXT_MAX];
		if (!fits(s, &full) ||
		    multiaddr_append_peer(&full, &h->identity.peer_id, NULL) != 0)
			continue;
		multiaddr_print(&full, text);
		if ((texts[n] = talloc_strdup(mem, text)) != NULL)
			n++;
	}
	return n;
}

static void answer(struct mdns_socket *s, const struct netaddr *to)
{
	const char *texts[HOST_ADDRS_MAX];
	void *mem = talloc_new(s->mdns);
	size_t n = mem ? own_texts(s, mem, texts) : 0;
	struct err err;

	for (size_t at = 0; at < n;) {
		struct buf out = BUF_INIT(MDNS_SEND_MAX);
		size_t taken = mdns_put_answer(&out, s->mdns->name, texts + at, n - at);
		if (buf_ok(&out, &err) != 0 || udp_send(s->udp, to, buf_view(&out), &err) != 0)
			rt_log(LOG_DEBUG, "p2p", "mdns: cannot answer: %s", err_text(&err));
		buf_free(&out);
		at += taken;
	}
	talloc_free(mem);
	s->answered = rt_now();
}

static void answer_question(
    struct mdns_socket *s, const struct mdns_packet *packet, const struct netaddr *from)
{
	struct p2p_host *h = s->mdns->host;

	if (packet->unicast_answer) {
		answer(s, from);
		return;
	}
	if (s->answered.ns != 0 &&
	    instant_since(rt_now(), s->answered).ns < duration_ms(ANSWER_EVERY_MS).ns)
		return;
	/* So that many hosts do not answer at the same instant. */
	if (fiber_sleep(duration_ms((int64_t)(world_random_u64(h->world) % ANSWER_JITTER_MS))) == 0)
		answer(s, &s->group);
}

/* ---- listening ----------------------------------------------------------------------------- */

/* Addresses of one peer out of a packet, told together. */
struct found {
	struct mdns *mdns;
	bool own; /* our own packet */
	struct peer_id peer;
	struct multiaddr addrs[FOUND_ADDRS_MAX];
	size_t n;
};

/* Packets arrive several times, on each socket and with each question. */
static bool is_news(struct p2p_host *h, const struct found *f)
{
	struct peer *p = peer_get(h, &f->peer);
	struct instant now = rt_now();
	bool news;

	if (!p)
		return false;
	news = p->discovered.ns == 0 ||
	       instant_since(now, p->discovered).ns >= duration_s(TELL_EVERY_S).ns;
	for (size_t i = 0; !news && i < f->n; i++)
		news = !peer_has_addr(p, &f->addrs[i]);
	if (news)
		p->discovered = now;
	return news;
}

static void tell(struct found *f)
{
	struct p2p_host *h = f->mdns->host;
	struct p2p_event e = {
	    .kind = P2P_PEER_DISCOVERED, .peer = f->peer, .addrs = f->addrs, .n_addrs = f->n};

	if (f->n > 0 && is_news(h, f)) {
		p2p_add_addrs(h, &f->peer, f->addrs, f->n);
		host_emit(h, &e);
	}
	f->n = 0;
}

static void found_addr(void *arg, const char *peer_name, const struct multiaddr *addr)
{
	struct found *f = arg;
	const struct p2p_host *h = f->mdns->host;
	struct multiaddr_tcp tcp;

	if (strcmp(peer_name, f->mdns->name) == 0) {
		f->own = true;
		return;
	}
	if (multiaddr_tcp(addr, &tcp, NULL) != 0 || !tcp.has_peer ||
	    peer_id_equal(&tcp.peer, &h->identity.peer_id))
		return;
	if (f->n > 0 && (f->n == FOUND_ADDRS_MAX || !peer_id_equal(&f->peer, &tcp.peer)))
		tell(f);
	f->peer = tcp.peer;
	f->addrs[f->n] = *addr;
	multiaddr_strip_peer(&f->addrs[f->n]);
	for (size_t i = 0; i < f->n; i++)
		if (multiaddr_equal(&f->addrs[i], &f->addrs[f->n]))
			return;
	f->n++;
}

/* Loopback proves nothing about the network. Questions bear no name: answers alone tell whose. */
static void note_heard(struct mdns_socket *s, bool own, const struct mdns_packet *packet)
{
	if (s->loopback || packet->asks_peers)
		return;
	s->mdns->heard_itself = s->mdns->heard_itself || own;
	s->mdns->heard += !own;
}

static void packet_came(struct mdns_socket *s, struct bytes data, const struct netaddr *from)
{
	struct found *f = calloc(1, sizeof *f);
	struct mdns_packet packet;

	if (!f)
		return;
	f->mdns = s->mdns;
	if (mdns_parse(data, found_addr, f, &packet, NULL) == 0) {
		tell(f);
		note_heard(s, f->own, &packet);
		if (packet.asks_peers)
			answer_question(s, &packet, from);
	}
	free(f);
}

static void listen_fiber(void *arg)
{
	struct mdns_socket *s = arg;
	uint8_t *packet = malloc(MDNS_PACKET_MAX);
	struct netaddr from;
	struct err err;
	ssize_t n = packet ? 0 : err_set(&err, E_MEMORY, "no memory");

	while (packet && (n = udp_recv(s->udp, packet, MDNS_PACKET_MAX, &from, &err)) >= 0)
		packet_came(s, bytes_of(packet, (size_t)n), &from);
	if (n != E_CANCELLED)
		rt_log(LOG_WARN, "p2p", "mdns: one interface given up: %s", err_text(&err));
	free(packet);
	udp_close(s->udp);
	s->udp = NULL;
}

/* ---- asking -------------------------------------------------------------------------------- */

static void ask_fiber(void *arg)
{
	struct mdns *m = arg;
	struct buf query = BUF_INIT(MDNS_SEND_MAX);
	int64_t pause = ASK_FIRST_MS;
	struct err err;

	mdns_put_query(&query);
	for (size_t i = 0; i < m->n_sockets; i++)
		if (m->sockets[i].udp)
			answer(&m->sockets[i], &m->sockets[i].group); /* announces us */
	do {
		for (size_t i = 0; i < m->n_sockets; i++)
			if (m->sockets[i].udp && udp_send(m->sockets[i].udp, &m->sockets[i].group,
						     buf_view(&query), &err) != 0)
				rt_log(LOG_DEBUG, "p2p", "mdns: cannot ask: %s", err_text(&err));
		pause = pause * 2 < ASK_MAX_MS ? pause * 2 : ASK_MAX_MS;
	} while (fiber_sleep(duration_ms(pause / 2)) == 0);
	buf_free(&query);
}

/* ---- starting ------------------------------------------------------------------------------ */

static bool has_socket(const struct mdns *m, const struct netif *nif)
{
	for (size_t i = 0; i < m->n_sockets; i++)
		if (m->sockets[i].ifindex == nif->index &&
		    m->sockets[i].group.family == nif->addr.family)
			return true;
	return false;
}

/* Loopback carries IPv4 multicast alone. */
static bool carries_multicast(const struct netif *nif)
{
	return nif->multicast || (nif->loopback && nif->addr.family == NET_IP4);
}

static int open_socket(struct mdns *m, const struct netif *nif, struct err *err)
{
	struct netaddr any = {.family = nif->addr.family, .port = MDNS_PORT};
	struct mdns_socket *s = &m->sockets[m->n_sockets];

	*s = (struct mdns_socket){.mdns = m, .loopback = nif->loopback, .ifindex = nif->index};
	s->group = groups[nif->addr.family == NET_IP6];
	s->group.scope_id = nif->addr.family == NET_IP6 ? nif->index : 0;
	int rc = world_udp_open(m->host->world, &any, &s->group, nif->index, &s->udp, err);
	if (rc != 0)
		return rc;
	rc = fiber_spawn(&m->host->scope, "p2p mdns listen", listen_fiber, s, err);
	if (rc != 0) {
		udp_close(s->udp);
		s->udp = NULL;
		return rc;
	}
	m->n_sockets++;
	return 0;
}

void mdns_start(struct p2p_host *h)
{
	struct mdns *m = talloc_zero(h, struct mdns);
	struct netif ifs[32];
	uint8_t random[MDNS_NAME_RANDOM];
	struct err err = {0};
	size_t n = 0;

	if (!m)
		return;
	m->host = h;
	h->mdns = m;
	world_random(h->world, random, sizeof random);
	mdns_make_name(random, m->name);
	int rc = world_interfaces(h->world, ifs, sizeof ifs / sizeof ifs[0], &n, &err);
	for (size_t i = 0; rc == 0 && i < n && m->n_sockets < SOCKETS_MAX; i++)
		if (carries_multicast(&ifs[i]) && !has_socket(m, &ifs[i]) &&
		    open_socket(m, &ifs[i], &err) != 0)
			rt_log(
			    LOG_DEBUG, "p2p", "mdns: one interface left out: %s", err_text(&err));
	if (m->n_sockets == 0)
		rt_log(LOG_WARN, "p2p", "no discovery on the local network: %s",
		    err.code != 0 ? err_text(&err) : "no interface for it");
	else if (fiber_spawn(&h->scope, "p2p mdns ask", ask_fiber, m, &err) != 0)
		rt_log(LOG_WARN, "p2p", "no questions to the local network: %s", err_text(&err));
}

void p2p_mdns_info(const struct p2p_host *h, struct p2p_mdns_info *out)
{
	const struct mdns *m = h->mdns;

	*out = (struct p2p_mdns_info){.enabled = m != NULL};
	for (size_t i = 0; m && i < m->n_sockets; i++)
		out->sockets += m->sockets[i].udp && !m->sockets[i].loopback;
	if (m) {
		out->heard_itself = m->heard_itself;
		out->heard = m->heard;
	}
}
