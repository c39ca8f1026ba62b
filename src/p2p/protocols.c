/* Named protocols: the table of handlers, inbound streams, opening outbound ones. */
#include "p2p/host_priv.h"
#include "p2p/negotiate_priv.h"

#include <stdlib.h>

static struct handler *find_handler(const struct p2p_host *h, struct bytes name)
{
	for (size_t i = 0; i < h->n_handlers; i++)
		if (bytes_equal(bytes_str(h->handlers[i].protocol), name))
			return (struct handler *)&h->handlers[i];
	return NULL;
}

int p2p_handle(
    struct p2p_host *h, const char *protocol, p2p_handler_fn fn, void *arg, struct err *err)
{
	size_t n = strlen(protocol);

	if (n == 0 || n > P2P_PROTOCOL_MAX || strchr(protocol, '\n'))
		return err_set(err, E_INVALID, "not a protocol name: \"%s\"", protocol);
	if (find_handler(h, bytes_str(protocol)))
		return err_set(err, E_EXISTS, "%s is served already", protocol);
	if (h->n_handlers == HANDLERS_MAX)
		return err_set(err, E_LIMIT, "at most %d protocols are served", HANDLERS_MAX);
	struct handler *entry = &h->handlers[h->n_handlers++];
	*entry = (struct handler){.fn = fn, .arg = arg};
	memcpy(entry->protocol, protocol, n + 1);
	h->push_due = true;
	return 0;
}

void p2p_unhandle(struct p2p_host *h, const char *protocol)
{
	struct handler *entry = find_handler(h, bytes_str(protocol));

	if (!entry)
		return;
	*entry = h->handlers[--h->n_handlers];
	h->push_due = true;
}

void p2p_set_gate(struct p2p_host *h, p2p_gate_fn fn, void *arg)
{
	h->gate = fn;
	h->gate_arg = arg;
}

bool p2p_stream_info(const struct stream *s, struct p2p_stream_info *out)
{
	return ystream_info(s, out);
}

/* ---- limited connections ------------------------------------------------------------------- */

static bool may_run_limited(const struct p2p_host *h, const char *protocol)
{
	for (size_t i = 0; i < h->n_limited_ok; i++)
		if (strcmp(h->limited_ok[i], protocol) == 0)
			return true;
	return false;
}

int p2p_allow_limited(struct p2p_host *h, const char *protocol, struct err *err)
{
	size_t n = strlen(protocol);

	if (n == 0 || n > P2P_PROTOCOL_MAX || strchr(protocol, '\n'))
		return err_set(err, E_INVALID, "not a protocol name: \"%s\"", protocol);
	if (may_run_limited(h, protocol))
		return 0;
	if (h->n_limited_ok == P2P_LIMITED_PROTOCOLS_MAX)
		return err_set(err, E_LIMIT, "at most %d protocols run on limited connections",
		    P2P_LIMITED_PROTOCOLS_MAX);
	memcpy(h->limited_ok[h->n_limited_ok++], protocol, n + 1);
	return 0;
}

void protocols_allow_builtin(struct p2p_host *h)
{
	static const char *const builtin[] = {
	    IDENTIFY_PROTOCOL, IDENTIFY_PUSH_PROTOCOL, PROTOCOL_PING, PROTOCOL_DCUTR};

	for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++)
		INVARIANT(p2p_allow_limited(h, builtin[i], NULL) == 0);
}

/* Those of `protocols` that may run on `c`: how many, in `out`. */
static size_t allowed_on(
    const struct conn *c, const char *const *protocols, size_t n, const char **out)
{
	size_t allowed = 0;

	for (size_t i = 0; i < n; i++)
		if (!c->limited || may_run_limited(c->host, protocols[i]))
			out[allowed++] = protocols[i];
	return allowed;
}

/* ---- inbound ------------------------------------------------------------------------------- */

struct inbound {
	struct conn *conn;
	struct stream *stream;
	struct handler handler; /* a copy: the table may change meanwhile */
};

static bool admit(void *arg, struct bytes name)
{
	struct inbound *in = arg;
	const struct p2p_host *h = in->conn->host;
	const struct handler *found = find_handler(h, name);

	if (!found || (in->conn->limited && !may_run_limited(h, found->protocol)))
		return false;
	if (!found->builtin && h->gate) {
		struct p2p_stream_info info;
		if (!ystream_info(in->stream, &info))
			return false;
		info.protocol = found->protocol;
		if (!h->gate(h->gate_arg, &info))
			return false;
	}
	in->handler = *found;
	return true;
}

static int agree(struct inbound *in, struct err *err)
{
	char chosen[MSS_NAME_MAX + 1];
	struct scope sc;
	int rc;

	scope_open(&sc, in->conn->host->timeouts.negotiate);
	rc = negotiate_listen(in->stream, admit, in, chosen, err);
	scope_close(&sc);
	return rc != 0 ? rc : ystream_set_protocol(in->stream, in->handler.protocol, false, err);
}

/* Not inlined: the negotiation's buffers must not weigh on the handler's stack. */
static __attribute__((noinline)) bool agreed(struct inbound *in)
{
	struct err err = {0};
	int rc = agree(in, &err);

	if (rc == 0)
		return true;
	rt_log(
	    LOG_DEBUG, "p2p", "%s: no protocol agreed on: %s", in->stream->remote, err_text(&err));
	stream_reset(in->stream, rc);
	stream_close(in->stream);
	return false;
}

/* Agreeing parks: what was served may have ended meanwhile, and its argument with it. */
static bool still_served(struct inbound *in)
{
	const struct handler *now = find_handler(in->conn->host, bytes_str(in->handler.protocol));

	if (now && now->fn == in->handler.fn && now->arg == in->handler.arg)
		return true;
	stream_reset(in->stream, E_UNSUPPORTED);
	stream_close(in->stream);
	return false;
}

static void inbound_fiber(void *arg)
{
	struct inbound *in = arg;
	struct p2p_stream_info info;

	if (agreed(in) && still_served(in) && ystream_info(in->stream, &info)) {
		struct stream *s = in->stream;
		p2p_handler_fn fn = in->handler.fn;
		void *fn_arg = in->handler.arg;
		free(in);
		fn(fn_arg, s, &info);
		return;
	}
	free(in);
}

int protocols_inbound(void *arg, struct stream *s)
{
	struct conn *c = arg;
	struct inbound *in = malloc(sizeof *in);
	int rc;

	if (!in)
		return E_MEMORY;
	*in = (struct inbound){.conn = c, .stream = s};
	rc = fiber_spawn(c->scope, "p2p stream", inbound_fiber, in, NULL);
	if (rc != 0)
		free(in);
	return rc;
}

/* ---- outbound ------------------------------------------------------------------------------ */

static int propose(struct conn *c, struct stream *s, const char *const *protocols, size_t n,
    const char **chosen, struct err *err)
{
	struct scope sc;
	size_t i = 0;
	int rc;

	scope_open(&sc, c->host->timeouts.negotiate);
	rc = negotiate_dial(s, protocols, n, &i, err);
	scope_close(&sc);
	if (rc == 0)
		rc = ystream_set_protocol(s, protocols[i], false, err);
	*chosen = protocols[i];
	return rc;
}

/* The only candidate is known to be served: its name goes out together with the first data. */
static int presume(struct stream *s, const char *protocol, struct err *err)
{
	struct buf lines = BUF_INIT(NEGOTIATE_EXPECT_MAX);
	int rc = ystream_set_protocol(s, protocol, true, err);

	negotiate_expected(protocol, &lines);
	if (rc == 0)
		rc = buf_ok(&lines, err);
	if (rc == 0)
		rc = stream_write(s, lines.p, lines.n, err);
	buf_free(&lines);
	return rc;
}

int protocols_open(struct conn *c, const char *const *protocols, size_t n, struct stream **out,
    const char **chosen, struct err *err)
{
	const char *allowed[MSS_PROPOSALS_MAX];
	const char *first = protocols[0];
	struct p2p_host *h = c->host;
	p2p_conn_id id = c->id;
	struct stream *s;
	int rc;

	INVARIANT(n <= MSS_PROPOSALS_MAX);
	n = allowed_on(c, protocols, n, allowed);
	if (n == 0)
		return err_set(err, E_FORBIDDEN, "%s does not run on a limited connection", first);
	protocols = allowed;
	first = allowed[0];
	rc = session_open(c->session, &s, err);
	if (rc != 0)
		return rc;
	c = conn_find(h, id); /* it may have ended while we waited */
	if (!c)
		rc = err_set(err, E_CLOSED, "the connection has ended");
	else if (n == 1 && c->identified && peer_speaks(c->peer, first))
		rc = presume(s, first, err);
	else
		rc = propose(c, s, protocols, n, &first, err);
	if (rc != 0) {
		stream_reset(s, rc);
		stream_close(s);
		return rc;
	}
	*out = s;
	if (chosen)
		*chosen = first;
	return 0;
}

static int check_names(const char *const *protocols, size_t n, struct err *err)
{
	if (n == 0 || n > MSS_PROPOSALS_MAX)
		return err_set(err, E_INVALID, "propose 1 to %d protocols", MSS_PROPOSALS_MAX);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(protocols[i]);
		if (len == 0 || len > P2P_PROTOCOL_MAX || strchr(protocols[i], '\n'))
			return err_set(err, E_INVALID, "not a protocol name: \"%s\"", protocols[i]);
	}
	return 0;
}

int p2p_open_stream_on(struct p2p_host *h, p2p_conn_id conn, const char *const *protocols, size_t n,
    struct stream **out, const char **chosen, struct err *err)
{
	struct conn *c = conn_find(h, conn);
	int rc = check_names(protocols, n, err);

	if (rc != 0)
		return rc;
	if (!c)
		return err_set(err, E_NOT_FOUND, "the connection is gone");
	return protocols_open(c, protocols, n, out, chosen, err);
}

/* Dials unless recent failures advise against it. */
static int connect_for_stream(
    struct p2p_host *h, const struct peer_id *peer, p2p_conn_id *out, struct err *err)
{
	const struct peer *p = peer_find(h, peer);
	char id[PEER_ID_TEXT_MAX];

	peer_id_print(peer, id);
	if (peer_id_equal(peer, &h->identity.peer_id))
		return err_set(err, E_INVALID, "%s is this host itself", id);
	if (p && instant_before(rt_now(), p->dial_after))
		return err_set(err, E_BUSY,
		    "%s could not be reached %u times; the next try is in %lld ms", id, p->failures,
		    (long long)duration_to_ms(instant_since(p->dial_after, rt_now())));
	return p2p_dial(h, peer, NULL, 0, out, err);
}

int p2p_open_stream(struct p2p_host *h, const struct peer_id *peer, const char *const *protocols,
    size_t n, struct stream **out, const char **chosen, struct err *err)
{
	const struct peer *p = peer_find(h, peer);
	struct conn *c = p ? conn_preferred(h, p) : NULL;
	p2p_conn_id id;
	int rc = check_names(protocols, n, err);

	if (rc == 0 && !c) {
		rc = connect_for_stream(h, peer, &id, err);
		c = rc == 0 ? conn_find(h, id) : NULL;
		if (rc == 0 && !c)
			rc = err_set(err, E_CLOSED, "the connection ended at once");
	}
	return rc != 0 ? rc : protocols_open(c, protocols, n, out, chosen, err);
}
