/* Trying an address step by step, to tell where it fails: the name, the connection, the handshake.
 * Nothing is kept: the connection is closed again as soon as it has told what it can. */
#include "p2p/host_priv.h"

#include <stdio.h>

#define RESOLVE_LIMIT_S 5

/* Passes everything through and remembers how the answer began. */
struct recorder {
	struct stream stream;
	struct stream *inner;
	struct p2p_probe *probe;
};

static ssize_t recorder_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct recorder *r = (struct recorder *)s;
	struct p2p_probe *p = r->probe;
	ssize_t n = stream_read(r->inner, buf, cap, err);

	if (n > 0 && p->n_said < sizeof p->said) {
		size_t room = sizeof p->said - p->n_said;
		size_t take = (size_t)n < room ? (size_t)n : room;
		memcpy(p->said + p->n_said, buf, take);
		p->n_said += take;
	}
	return n;
}

static int recorder_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return stream_writev(((struct recorder *)s)->inner, v, count, err);
}

/* A handshake only reads and writes. */
static const struct stream_ops recorder_ops = {
    .kind = "probe",
    .read = recorder_read,
    .write = recorder_write,
};

static void failed(struct p2p_probe *p, enum p2p_hop hop, int code, const struct err *err)
{
	p->hop = hop;
	p->code = code;
	(void)snprintf(p->why, sizeof p->why, "%s", err_text(err));
}

/* Under an identity made for the moment: a second connection of ours could cost us the first. */
static void shake_hands(struct p2p_host *h, struct stream *raw, struct p2p_probe *p)
{
	struct recorder r = {.stream = {&recorder_ops, raw->remote}, .inner = raw, .probe = p};
	struct err err = {0};
	int rc = upgrade_probe(h, &r.stream, NULL, &p->met, &err);

	if (rc != 0) {
		failed(p, P2P_HOP_SECURE, rc, &err);
		stream_reset(raw, rc);
	}
	stream_close(raw);
}

static void try_one(struct p2p_host *h, struct p2p_probe *p)
{
	struct instant began = rt_now();
	struct err err = {0};
	struct stream *raw;
	struct scope sc;

	scope_open(&sc, h->timeouts.dial_address);
	int rc = world_tcp_dial(h->world, &p->at, &raw, &err);
	p->took = instant_since(rt_now(), began);
	if (rc != 0)
		failed(p, P2P_HOP_CONNECT, rc, &err);
	else
		shake_hands(h, raw, p);
	scope_close(&sc);
}

/* The socket addresses that `addr` stands for. */
static int find_all(struct p2p_host *h, const struct multiaddr *addr, struct netaddr *out,
    size_t cap, size_t *n, struct err *err)
{
	struct multiaddr_tcp tcp;
	struct scope sc;
	int rc = multiaddr_tcp(addr, &tcp, err);

	*n = 0;
	if (rc != 0)
		return rc;
	if (tcp.kind == MA_HOST_IP4 || tcp.kind == MA_HOST_IP6) {
		rc = netaddr_parse_ip(tcp.host, &out[0], err);
		*n = rc == 0;
	} else {
		int family = tcp.kind == MA_HOST_DNS4   ? NET_IP4
			     : tcp.kind == MA_HOST_DNS6 ? NET_IP6
							: 0;
		scope_open(&sc, duration_s(RESOLVE_LIMIT_S));
		rc = world_resolve(h->world, tcp.host, family, out, cap, n, err);
		scope_close(&sc);
	}
	for (size_t i = 0; i < *n; i++)
		out[i].port = tcp.port;
	return rc;
}

size_t p2p_probe(
    struct p2p_host *h, const struct multiaddr *addr, struct p2p_probe *out, size_t cap)
{
	struct netaddr found[P2P_PROBES_MAX];
	struct err err = {0};
	size_t n;
	int rc;

	INVARIANT(cap > 0);
	cap = cap < P2P_PROBES_MAX ? cap : P2P_PROBES_MAX;
	rc = find_all(h, addr, found, cap, &n, &err);
	if (rc != 0) {
		out[0] = (struct p2p_probe){0};
		failed(&out[0], P2P_HOP_NAME, rc, &err);
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct p2p_probe){.at = found[i], .swarm_key = h->swarm_key != NULL};
		try_one(h, &out[i]);
	}
	return n;
}
