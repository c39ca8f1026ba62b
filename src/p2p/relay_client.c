/* Being reached through relays, and reaching others: both ends of a circuit but the relay's own.
 * relay_slots.c keeps the reservations. SPEC circuit-v2. */
#include "p2p/relay_client_priv.h"

#include "p2p/framed_priv.h"
#include "p2p/pnet_priv.h"

#include <talloc.h>

/* Circuits that others open to us, before their handshake is done. */
#define INCOMING_MAX 64

/* ---- asking a relay ------------------------------------------------------------------------ */

int relay_ask(struct stream *s, const struct relay_hop *ask, struct buf *in,
    struct relay_hop *answer, struct err *err)
{
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);
	int rc;

	relay_hop_encode(ask, &out);
	rc = buf_ok(&out, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	buf_free(&out);
	if (rc == 0 && (rc = framed_read(s, in, err)) == 0)
		rc = err_set(err, E_CLOSED, "the relay closed without an answer");
	if (rc < 0)
		return rc;
	if ((rc = relay_hop_decode(buf_view(in), answer, err)) != 0)
		return rc;
	if (answer->type == RELAY_HOP_STATUS && answer->status == RELAY_OK)
		return 0;
	rc = answer->status == RELAY_RESOURCE_LIMIT ? E_BUSY : E_REFUSED;
	rc = err_set(err, answer->type == RELAY_HOP_STATUS ? rc : E_PROTOCOL, "%s (%u)",
	    relay_status_text(answer->status), answer->status);
	relay_hop_free(answer);
	return rc;
}

/* The stream carries the circuit from here on: not a byte behind the status was read. */
static int ask_for_circuit(
    struct stream *s, const struct peer_id *target, bool *limited, struct err *err)
{
	struct relay_hop ask = {.type = RELAY_HOP_CONNECT, .peer = *target}, answer;
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	int rc = relay_ask(s, &ask, &in, &answer, err);

	if (rc == 0) {
		*limited = answer.has_limit && relay_limits(&answer.limit);
		relay_hop_free(&answer);
	}
	buf_free(&in);
	return rc;
}

/* ---- dialling through a relay -------------------------------------------------------------- */

static void circuit_addr(const struct multiaddr *relay, struct multiaddr *out)
{
	*out = *relay;
	/* A relay's address is short enough for one more part, or the circuit has no name. */
	if (multiaddr_append(out, MA_P2P_CIRCUIT, (struct bytes){0}, NULL) != 0)
		out->n = 0;
}

/* Takes `s` over on success. */
static int enter(struct p2p_host *h, struct stream *s, const struct multiaddr *relay,
    const struct peer_id *target, p2p_conn_id *out, struct err *err)
{
	struct multiaddr remote;
	struct upgraded up;
	bool limited = false;
	int rc = ask_for_circuit(s, target, &limited, err);

	if (rc == 0)
		rc = upgrade_outbound(h, s, target, &up, err);
	if (rc != 0) {
		stream_reset(s, rc);
		stream_close(s);
		return rc;
	}
	INVARIANT(multiaddr_peer(relay, &up.relay));
	up.limited = limited;
	circuit_addr(relay, &remote);
	return conn_start(h, &up, P2P_OUTBOUND, &remote, out, err);
}

int relay_reach(struct p2p_host *h, const struct multiaddr *relay, const struct peer_id *target,
    p2p_conn_id *out, struct err *err)
{
	static const char *const hop = P2P_RELAY_HOP;
	struct peer_id relay_id;
	struct stream *s;
	p2p_conn_id conn;
	int rc;

	INVARIANT(multiaddr_peer(relay, &relay_id));
	if ((rc = dial_relay(h, &relay_id, relay, 1, &conn, err)) != 0)
		return err_wrap(err, rc, "the relay");
	if ((rc = p2p_open_stream_on(h, conn, &hop, 1, &s, NULL, err)) != 0)
		return err_wrap(err, rc, "the relay");
	return enter(h, s, relay, target, out, err);
}

/* ---- being reached ------------------------------------------------------------------------- */

static int send_status(struct stream *s, enum relay_status status, struct err *err)
{
	struct relay_stop m = {.type = RELAY_STOP_STATUS, .status = (uint32_t)status};
	struct buf out = BUF_INIT(64);

	relay_stop_encode(&m, &out);
	int rc = buf_ok(&out, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	buf_free(&out);
	return rc;
}

static enum relay_status judge(
    const struct relay_listening *l, const struct relay_stop *m, const struct p2p_stream_info *info)
{
	const struct conn *c = conn_find(l->host, info->conn);

	if (m->type != RELAY_STOP_CONNECT)
		return RELAY_UNEXPECTED;
	if (m->peer.n == 0)
		return RELAY_MALFORMED;
	/* SPEC: only relays that hold a reservation of ours, and no circuits within circuits. */
	if (!c || c->relay.n > 0 || !relay_is_ours(l, &info->peer))
		return RELAY_PERMISSION_DENIED;
	if (l->n_incoming >= INCOMING_MAX || !conn_room_in(l->host))
		return RELAY_RESOURCE_LIMIT;
	return RELAY_OK;
}

/* Reads the relay's request and answers it; 0 when it was accepted. */
static int accept_stop(struct relay_listening *l, struct stream *s,
    const struct p2p_stream_info *info, struct relay_stop *m, struct err *err)
{
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	int rc = framed_read(s, &in, err);

	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed without a request");
	if (rc > 0)
		rc = relay_stop_decode(buf_view(&in), m, err);
	buf_free(&in);
	if (rc != 0 && rc != E_PROTOCOL)
		return rc;
	enum relay_status status = rc == 0 ? judge(l, m, info) : RELAY_MALFORMED;
	rc = send_status(s, status, err);
	if (rc == 0 && status != RELAY_OK)
		rc = err_set(err, E_REFUSED, "%s", relay_status_text((uint32_t)status));
	return rc;
}

static int secure_incoming(struct p2p_host *h, struct stream *s, const struct relay_stop *m,
    struct upgraded *up, struct err *err)
{
	int rc = upgrade_inbound(h, s, up, err);

	if (rc == 0 && !peer_id_equal(&up->peer, &m->peer)) {
		struct stream *in = secure_detach(up->secure);
		if (in != s)
			pnet_unwrap(in);
		rc = err_set(err, E_WRONG_PEER, "not the peer that the relay announced");
	}
	return rc;
}

/* Takes `s` over on success. */
static int receive(struct relay_listening *l, struct stream *s, const struct p2p_stream_info *info,
    struct err *err)
{
	struct multiaddr relay = {0}, remote;
	struct upgraded up;
	struct relay_stop m;
	struct scope sc;
	p2p_conn_id conn;

	scope_open(&sc, l->host->timeouts.handshake);
	int rc = accept_stop(l, s, info, &m, err);
	if (rc == 0)
		rc = secure_incoming(l->host, s, &m, &up, err);
	scope_close(&sc);
	if (rc != 0)
		return rc;
	const struct conn *c = conn_find(l->host, info->conn);
	if (c)
		relay = c->remote;
	if (!c || multiaddr_append_peer(&relay, &info->peer, err) != 0)
		relay.n = 0;
	circuit_addr(&relay, &remote);
	up.relay = info->peer;
	up.limited = m.has_limit && relay_limits(&m.limit);
	if (conn_start(l->host, &up, P2P_INBOUND, &remote, &conn, err) != 0)
		rt_log(LOG_INFO, "p2p", "a relayed connection is refused: %s", err_text(err));
	return 0;
}

void relay_stop_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct relay_listening *l = arg;
	struct err err = {0};

	l->n_incoming++;
	int rc = receive(l, s, info, &err);
	l->n_incoming--;
	if (rc == 0)
		return;
	rt_log(LOG_DEBUG, "p2p", "%s: no circuit: %s", s->remote, err_text(&err));
	if (rc != E_REFUSED) /* a refusal is to arrive */
		stream_reset(s, rc);
	stream_close(s);
}
