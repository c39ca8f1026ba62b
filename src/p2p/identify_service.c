/* Identify and identify/push over streams. SPEC libp2p identify.
 * What a peer says counts only when its key hashes to the peer that the handshake authenticated. */
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what we say --------------------------------------------------------------------------- */

static int describe_host(struct p2p_host *h, struct identify *id)
{
	struct public_key key = public_key_ed25519(h->identity.public_key);
	int rc = 0;

	id->public_key_n = public_key_encode(&key, id->public_key);
	(void)snprintf(id->protocol_version, sizeof id->protocol_version, "%s", PROTOCOL_VERSION);
	(void)snprintf(id->agent_version, sizeof id->agent_version, "%s", h->agent);
	for (size_t i = 0; rc == 0 && i < h->n_addrs; i++)
		rc = addr_list_add(&id->listen, &h->addrs[i], IDENTIFY_ADDRS_MAX);
	for (size_t i = 0; rc == 0 && i < h->n_handlers; i++)
		rc = identify_add_protocol(id, bytes_str(h->handlers[i].protocol));
	return rc;
}

/* Signed once for each set of addresses. */
static struct bytes signed_record(struct p2p_host *h)
{
	if (h->record.n == 0) {
		h->record = BUF_INIT(IDENTIFY_MESSAGE_MAX);
		peer_record_seal(&h->identity, ++h->record_seq, h->addrs, h->n_addrs, &h->record);
	}
	return buf_view(&h->record);
}

/* The signed record is left out when all together is too long for one message,
 * which is as much as many implementations read. */
static int compose(struct p2p_host *h, const struct conn *c, struct buf *out, struct err *err)
{
	struct identify *id = calloc(1, sizeof *id);
	int rc = id ? describe_host(h, id) : E_MEMORY;

	if (rc == 0) {
		id->observed = c->remote;
		multiaddr_strip_peer(&id->observed);
		id->record = BUF_INIT(IDENTIFY_MESSAGE_MAX);
		buf_bytes(&id->record, signed_record(h));
		identify_encode(id, out);
		if (out->failed) {
			buf_free(out);
			buf_free(&id->record);
			out->failed = false;
			identify_encode(id, out);
		}
	}
	if (id)
		identify_free(id);
	free(id);
	return rc != 0 ? err_set(err, rc, "cannot describe this host") : buf_ok(out, err);
}

static int say(struct p2p_host *h, const struct conn *c, struct stream *s, struct err *err)
{
	struct buf out = BUF_INIT(IDENTIFY_MESSAGE_MAX);
	struct scope sc;
	int rc = compose(h, c, &out, err);

	scope_open(&sc, h->timeouts.negotiate);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	if (rc == 0)
		rc = stream_close_write(s, err);
	scope_close(&sc);
	buf_free(&out);
	return rc;
}

void identify_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct p2p_host *h = arg;
	const struct conn *c = conn_find(h, info->conn);
	int rc = c ? say(h, c, s, NULL) : E_CLOSED;

	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
}

/* ---- what they say ------------------------------------------------------------------------- */

/* Everything up to the end, checked. */
static int hear(struct p2p_host *h, struct stream *s, const struct peer_id *peer,
    struct identify *id, struct err *err)
{
	struct buf in = BUF_INIT(IDENTIFY_MESSAGE_MAX);
	struct scope sc;
	int rc = 0;

	scope_open(&sc, h->timeouts.negotiate);
	for (int i = 0; rc == 0 && i < IDENTIFY_MESSAGES_MAX; i++) {
		int got = framed_read(s, &in, err);
		if (got == 0)
			break;
		rc = got < 0 ? got : identify_add_message(id, buf_view(&in), err);
	}
	scope_close(&sc);
	buf_free(&in);
	return rc != 0 ? rc : identify_check(id, peer, err);
}

/* Reads all that the peer says on `s`, takes it over, and closes `s`. */
static void listen_to(
    struct p2p_host *h, struct stream *s, const struct peer_id *peer, p2p_conn_id conn, bool push)
{
	struct identify *id = calloc(1, sizeof *id);
	struct err err = {0};
	int rc = id ? hear(h, s, peer, id, &err) : err_set(&err, E_MEMORY, "no memory");
	struct peer *p = peer_find(h, peer);

	if (rc == 0 && p) {
		struct conn *c = conn_find(h, conn);
		rc = peer_learn(p, id, push, &err);
		p2p_report_end(h, peer, rc, err_text(&err));
		rc = 0; /* what is not signed counts all the same */
		if (c)
			c->identified = true;
		host_emit(h,
		    &(struct p2p_event){.kind = P2P_PEER_IDENTIFIED, .peer = *peer, .conn = conn});
	} else if (rc != E_CANCELLED) {
		p2p_report_end(h, peer, rc, err_text(&err));
		rt_log(LOG_DEBUG, "p2p", "%s: not identified: %s", s->remote, err_text(&err));
	}
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	if (id)
		identify_free(id);
	free(id);
}

void identify_push_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	listen_to(arg, s, &info->peer, info->conn, true);
}

void identify_ask(void *arg)
{
	struct conn *c = arg;
	struct peer_id peer = c->peer->id;
	const char *protocol = IDENTIFY_PROTOCOL;
	struct stream *s;
	struct err err;
	int rc = protocols_open(c, &protocol, 1, &s, NULL, &err);

	if (rc == 0)
		listen_to(c->host, s, &peer, c->id, false);
	else if (rc != E_CANCELLED)
		rt_log(LOG_DEBUG, "p2p", "%s: cannot ask who it is: %s", session_remote(c->session),
		    err_text(&err));
}

/* ---- push ---------------------------------------------------------------------------------- */

static void push_fiber(void *arg)
{
	struct conn *c = arg;
	const char *protocol = IDENTIFY_PUSH_PROTOCOL;
	struct stream *s;
	struct err err;
	int rc = protocols_open(c, &protocol, 1, &s, NULL, &err);

	if (rc == 0) {
		rc = say(c->host, c, s, &err);
		if (rc != 0)
			stream_reset(s, rc);
		stream_close(s);
	}
	if (rc != 0 && rc != E_CANCELLED)
		rt_log(LOG_DEBUG, "p2p", "%s: cannot tell of a change: %s",
		    session_remote(c->session), err_text(&err));
}

void identify_push_all(struct p2p_host *h)
{
	for (struct conn *c = h->conns; c; c = c->next)
		if (c->scope && conn_preferred(h, c->peer) == c &&
		    peer_speaks(c->peer, IDENTIFY_PUSH_PROTOCOL) &&
		    fiber_spawn(c->scope, "p2p push", push_fiber, c, NULL) != 0)
			h->push_due = true;
}
