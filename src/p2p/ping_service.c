/* Ping: 32 bytes that come back. SPEC libp2p ping. */
#include "p2p/host_priv.h"

#define PING_SIZE     32
#define PING_PATIENCE 60 /* seconds that an asker may pause between two pings */
#define PINGS_IN_MAX  2  /* SPEC: streams accepted per connection */

/* Echoes until the end, an error, or too long a pause. */
static void echo(struct stream *s)
{
	uint8_t bytes[PING_SIZE];
	struct scope sc;
	int rc = 0;

	while (rc == 0) {
		scope_open(&sc, duration_s(PING_PATIENCE));
		rc = stream_read_full(s, bytes, sizeof bytes, NULL);
		if (rc == 0)
			rc = stream_write(s, bytes, sizeof bytes, NULL);
		scope_close(&sc);
	}
	if (rc != E_CLOSED)
		stream_reset(s, rc);
}

void ping_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct p2p_host *h = arg;
	struct conn *c = conn_find(h, info->conn);

	if (!c || c->pings_in >= PINGS_IN_MAX) {
		stream_reset(s, E_LIMIT);
	} else {
		c->pings_in++;
		echo(s);
		/* The connection outlives the fibers in its scope. */
		c->pings_in--;
	}
	stream_close(s);
}

static int round_trip(struct p2p_host *h, struct stream *s, struct duration *rtt, struct err *err)
{
	uint8_t sent[PING_SIZE], got[PING_SIZE];
	struct instant start = rt_now();
	int rc;

	world_random(h->world, sent, sizeof sent);
	rc = stream_write(s, sent, sizeof sent, err);
	if (rc == 0)
		rc = stream_read_full(s, got, sizeof got, err);
	if (rc == 0 && memcmp(sent, got, sizeof sent) != 0)
		rc = err_set(err, E_PROTOCOL, "other bytes than those sent came back");
	*rtt = instant_since(rt_now(), start);
	return rc;
}

int p2p_ping(struct p2p_host *h, const struct peer_id *peer, struct duration *rtt, struct err *err)
{
	const char *protocol = PROTOCOL_PING;
	struct stream *s;
	struct scope sc;
	int rc = p2p_open_stream(h, peer, &protocol, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	scope_open(&sc, h->timeouts.negotiate);
	rc = round_trip(h, s, rtt, err);
	scope_close(&sc);
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	return rc == 0 ? 0 : err_wrap(err, rc, "ping");
}
