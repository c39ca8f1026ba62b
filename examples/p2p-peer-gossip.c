/* The gossiping part of the example: two topics, one of which answers. */
#include "p2p-peer.h"

#define PING     "ping:"
#define PONG     "pong:"
#define TEXT_MAX 1024

/* ping:x is answered by pong:x, to everybody. */
static enum gossip_verdict on_interop(void *arg, const struct p2p_gossip_message *m)
{
	struct p2p_gossip **g = arg;
	char from[PEER_ID_TEXT_MAX];
	struct buf answer = BUF_INIT(TEXT_MAX);
	struct err err = {0};
	size_t n = strlen(PING);

	peer_id_print(&m->from, from);
	rt_log(LOG_INFO, "peer", "%s: %zu bytes from %s", TOPIC_INTEROP, m->data.n, from);
	if (m->data.n < n || memcmp(m->data.p, PING, n) != 0)
		return GOSSIP_ACCEPT;
	buf_str(&answer, PONG);
	buf_put(&answer, m->data.p + n, m->data.n - n);
	if (buf_ok(&answer, &err) != 0 ||
	    p2p_gossip_publish(*g, TOPIC_INTEROP, buf_view(&answer), &err) != 0)
		rt_log(LOG_WARN, "peer", "no answer to a ping: %s", err_text(&err));
	buf_free(&answer);
	return GOSSIP_ACCEPT;
}

static enum gossip_verdict on_bulk(void *arg, const struct p2p_gossip_message *m)
{
	return GOSSIP_ACCEPT;
}

int peer_gossip(struct p2p_host *h, struct p2p_gossip **out, struct err *err)
{
	struct p2p_gossip_options opt;
	int rc;

	p2p_gossip_options_default(&opt);
	rc = p2p_gossip_new(h, &opt, out, err);
	if (rc == 0)
		rc = p2p_gossip_subscribe(*out, TOPIC_INTEROP, NULL, on_interop, out, err);
	if (rc == 0)
		rc = p2p_gossip_subscribe(*out, TOPIC_BULK, NULL, on_bulk, NULL, err);
	return rc;
}
