/* See host_help.h. */
#include "host_help.h"

#include <stdio.h>

/* ---- the universe -------------------------------------------------------------------------- */

static void keep_line(void *arg, enum log_level level, const char *line, size_t n)
{
	struct net *net = arg;

	if (net->n_lines + n + 1 >= sizeof net->lines)
		return;
	memcpy(net->lines + net->n_lines, line, n);
	net->lines[net->n_lines + n] = '\n';
	net->n_lines += n + 1;
}

static int64_t no_clock(void *arg)
{
	return 0;
}

static void main_fiber(void *arg)
{
	struct net *n = arg;

	n->story(n);
}

void net_run(uint64_t seed, struct duration latency, void (*story)(struct net *n))
{
	net_run_for(seed, latency, duration_s(3600), story);
}

void net_run_for(
    uint64_t seed, struct duration latency, struct duration limit, void (*story)(struct net *n))
{
	struct universe_options opt = {
	    .seed = seed, .latency_min = latency, .latency_max = latency, .time_limit = limit};
	struct net *n = calloc(1, sizeof *n);

	assert_non_null(n);
	n->story = story;
	OK(universe_new(&opt, &n->u, NULL));
	n->log = log_new("", LOG_INFO, LOG_TEXT, keep_line, n, no_clock, NULL);
	OK(universe_boot(n->u, universe_host(n->u, "driver"), n->log, main_fiber, n, NULL));
	enum universe_end end = universe_run(n->u);
	if (end != UNIVERSE_DONE)
		fail_msg("the story did not end (%d); log:\n%s", (int)end, n->lines);
	universe_free(n->u);
	log_free(n->log);
	free(n);
}

size_t net_logged(const struct net *n, const char *text)
{
	size_t count = 0;

	for (const char *p = n->lines; (p = strstr(p, text)) != NULL; p++)
		count++;
	return count;
}

/* ---- protocols ----------------------------------------------------------------------------- */

static void serve_echo(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct node *node = arg;
	uint8_t buf[4096];
	ssize_t n;
	int rc = 0;

	node->net->served++;
	while ((n = stream_read(s, buf, sizeof buf, NULL)) > 0 && rc == 0)
		rc = stream_write(s, buf, (size_t)n, NULL);
	if (n == 0)
		rc = stream_close_write(s, NULL);
	stream_close(s);
}

static void serve_sink(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct node *node = arg;
	uint8_t buf[4096], answer[8];
	uint64_t total = 0;
	ssize_t n;

	node->net->served++;
	while ((n = stream_read(s, buf, sizeof buf, NULL)) > 0)
		total += (uint64_t)n;
	put_u64be(answer, total);
	if (n == 0 && stream_write(s, answer, sizeof answer, NULL) != 0)
		stream_reset(s, E_IO);
	stream_close(s);
}

static void serve_stall(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct node *node = arg;

	node->net->served++;
	while (fiber_sleep(duration_s(1)) == 0) {
	}
	stream_close(s);
}

void node_serve(struct node *node)
{
	OK(p2p_handle(node->host, ECHO, serve_echo, node, NULL));
	OK(p2p_handle(node->host, SINK, serve_sink, node, NULL));
	OK(p2p_handle(node->host, STALL, serve_stall, node, NULL));
}

/* ---- nodes --------------------------------------------------------------------------------- */

static void count_event(void *arg, const struct p2p_event *e)
{
	struct node *node = arg;

	switch (e->kind) {
	case P2P_CONN_OPENED:
		node->opened++;
		node->last_conn = e->conn;
		break;
	case P2P_CONN_CLOSED:
		node->closed++;
		break;
	case P2P_PEER_CONNECTED:
		node->connected++;
		break;
	case P2P_PEER_DISCONNECTED:
		node->disconnected++;
		break;
	case P2P_PEER_IDENTIFIED:
		node->identified++;
		break;
	case P2P_PEER_DISCOVERED:
		node->discovered++;
		break;
	case P2P_KEEP_FAILED:
		node->keep_failed++;
		break;
	}
	if (e->code != 0) {
		node->last_code = e->code;
		(void)snprintf(node->last_text, sizeof node->last_text, "%s", e->text);
	}
}

void node_options(struct net *n, const char *name, struct node *node, struct p2p_options *opt,
    struct multiaddr *listen)
{
	uint8_t seed[ED25519_SEED_SIZE];
	struct netaddr at;

	*node = (struct node){.net = n, .world = universe_host(n->u, name)};
	sha256(bytes_str(name), seed);
	identity_from_seed(seed, &node->id);
	universe_host_addr(node->world, &at);
	multiaddr_from_tcp(bytes_of(at.ip, 4), NET_PORT, listen);
	node->addr = *listen;
	p2p_options_default(opt);
	opt->identity = &node->id;
	opt->listen = listen;
	opt->n_listen = 1;
}

void node_start(struct node *node, const struct p2p_options *opt)
{
	struct err err = {0};

	if (p2p_host_new(node->world, opt, &node->host, &err) != 0)
		fail_msg("no host: %s", err_text(&err));
	p2p_on_event(node->host, count_event, node);
}

void node_new(struct net *n, const char *name, struct node *node)
{
	struct p2p_options opt;
	struct multiaddr listen;

	node_options(n, name, node, &opt, &listen);
	node_start(node, &opt);
	node_serve(node);
}

void node_close(struct node *node)
{
	p2p_host_close(node->host);
	node->host = NULL;
}

struct multiaddr node_full_addr(const struct node *b)
{
	struct multiaddr full = b->addr;

	OK(multiaddr_append_peer(&full, &b->id.peer_id, NULL));
	return full;
}

void node_connect(struct node *a, struct node *b)
{
	struct multiaddr full = node_full_addr(b);
	struct err err = {0};

	if (p2p_dial(a->host, NULL, &full, 1, NULL, &err) != 0)
		fail_msg("no connection: %s", err_text(&err));
	eventually(5, p2p_peer_speaks(a->host, &b->id.peer_id, ECHO) &&
			  p2p_peer_speaks(b->host, &a->id.peer_id, ECHO));
}

/* ---- echoes -------------------------------------------------------------------------------- */

struct sending {
	struct stream *s;
	size_t n;
	int rc;
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 13 + (i >> 16));
}

static void send_fiber(void *arg)
{
	struct sending *job = arg;
	uint8_t buf[3001];

	for (size_t at = 0; at < job->n && job->rc == 0;) {
		size_t n = job->n - at < sizeof buf ? job->n - at : sizeof buf;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		job->rc = stream_write(job->s, buf, n, NULL);
		at += n;
	}
	if (job->rc == 0)
		job->rc = stream_close_write(job->s, NULL);
}

void echo_check(struct node *a, struct node *b, size_t n)
{
	const char *protocol = ECHO;
	struct sending job = {.n = n};
	struct scope sc;
	struct err err = {0};
	uint8_t buf[2048];
	size_t at = 0;
	ssize_t got;

	if (p2p_open_stream(a->host, &b->id.peer_id, &protocol, 1, &job.s, NULL, &err) != 0)
		fail_msg("no stream: %s", err_text(&err));
	scope_open(&sc, duration_s(300));
	OK(fiber_spawn(&sc, "send", send_fiber, &job, NULL));
	while ((got = stream_read(job.s, buf, sizeof buf, &err)) > 0)
		for (ssize_t i = 0; i < got; i++, at++)
			if (buf[i] != pattern(at))
				fail_msg("wrong byte at %zu", at);
	if (got < 0)
		fail_msg("echo failed after %zu: %s", at, err_text(&err));
	OK(scope_join(&sc));
	scope_close(&sc);
	OK(job.rc);
	assert_int_equal(at, n);
	stream_close(job.s);
}
