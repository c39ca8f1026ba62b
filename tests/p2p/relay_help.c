/* See relay_help.h. */
#include "relay_help.h"

struct p2p_relay_limits unlimited(void)
{
	struct p2p_relay_limits l;

	p2p_relay_limits_default(&l);
	l.circuit = (struct duration){0};
	l.circuit_bytes = 0;
	return l;
}

void serve_relay(struct node *r, const struct p2p_relay_limits *limits)
{
	OK(p2p_relay_serve(r->host, limits, NULL));
}

size_t reserved(const struct node *n)
{
	struct p2p_relay_info info[P2P_RELAYS_MAX];
	size_t count = p2p_relays(n->host, info, P2P_RELAYS_MAX), n_reserved = 0;

	for (size_t i = 0; i < count; i++)
		n_reserved += info[i].reserved;
	return n_reserved;
}

bool reserved_at(const struct node *n, const struct node *relay)
{
	struct p2p_relay_info info[P2P_RELAYS_MAX];
	size_t count = p2p_relays(n->host, info, P2P_RELAYS_MAX);

	for (size_t i = 0; i < count; i++)
		if (info[i].reserved && peer_id_equal(&info[i].relay, &relay->id.peer_id))
			return true;
	return false;
}

void listen_through(struct node *b, struct node *relay)
{
	struct multiaddr at = node_full_addr(relay);
	struct err err = {0};

	if (p2p_relay_use(b->host, &at, &err) != 0)
		fail_msg("no relay: %s", err_text(&err));
}

/* /…/p2p/RELAY/p2p-circuit/p2p/TARGET */
struct multiaddr circuit(struct node *relay, struct node *target)
{
	struct multiaddr a = node_full_addr(relay);

	OK(multiaddr_append(&a, MA_P2P_CIRCUIT, (struct bytes){0}, NULL));
	OK(multiaddr_append_peer(&a, &target->id.peer_id, NULL));
	return a;
}

int dial_through(
    struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn, struct err *err)
{
	struct multiaddr to = circuit(relay, b);

	*err = (struct err){0};
	return p2p_dial(a->host, NULL, &to, 1, conn, err);
}

void reach_through(struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn)
{
	struct err err;

	if (dial_through(a, relay, b, conn, &err) != 0)
		fail_msg("no circuit: %s", err_text(&err));
	eventually(5, p2p_peer_speaks(a->host, &b->id.peer_id, ECHO) &&
			  p2p_peer_speaks(b->host, &a->id.peer_id, ECHO));
}

/* a and b cannot reach each other; both reach the relay. */
void separate(struct net *n, struct node *a, struct node *b)
{
	universe_partition(n->u, a->world, b->world, true);
}

void trio_new(struct net *n, struct trio *t, const struct p2p_relay_limits *limits)
{
	node_new(n, "a", &t->a);
	node_new(n, "b", &t->b);
	node_new(n, "r", &t->r);
	separate(n, &t->a, &t->b);
	serve_relay(&t->r, limits);
	listen_through(&t->b, &t->r);
	eventually(2, reserved(&t->b) == 1);
}

void trio_close(struct trio *t)
{
	node_close(&t->a);
	node_close(&t->b);
	node_close(&t->r);
}

p2p_conn_id conn_to(struct node *a, struct node *b)
{
	struct multiaddr to = node_full_addr(b);
	p2p_conn_id conn;

	OK(p2p_dial(a->host, NULL, &to, 1, &conn, NULL));
	return conn;
}
