/* The dialling half of the example: one fiber per stream, a test pattern or standard input. */
#include "p2p-peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* More standard input than this is not sent over several streams. */
#define INPUT_MAX ((size_t)256 << 20)

struct client {
	struct p2p_host *host;
	const struct peer_options *opt;
	struct peer_id peer;
	struct buf input; /* all of standard input, when several streams are to send it */
	uint32_t n_open;  /* streams opened so far: all are, before the first begins */
	struct waitq all_open;
};

/* One stream's work. Its two directions run in two fibers. */
struct lane {
	struct client *client;
	struct stream *stream;
	uint32_t index;
	int rc;          /* the first failure */
	uint64_t answer; /* bytes that came back, or the count that a sink told */
	struct err err;
};

static void fail(struct lane *l, int rc, const struct err *err)
{
	if (l->rc != 0)
		return;
	l->rc = rc;
	(void)err_set(&l->err, rc, "stream %u: %s", l->index, err_text(err));
}

/* ---- the pattern --------------------------------------------------------------------------- */

/* Differs between streams and does not repeat within a frame. */
static uint8_t pattern_at(const struct lane *l, uint64_t at)
{
	uint64_t x = (at + 1) * 0x9e3779b97f4a7c15u + l->index;

	return (uint8_t)(x >> 29 ^ x >> 51);
}

static void pattern_fill(const struct lane *l, uint64_t at, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern_at(l, at + i);
}

static int pattern_check(
    const struct lane *l, uint64_t at, const uint8_t *p, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern_at(l, at + i))
			return err_set(err, E_PROTOCOL, "a wrong byte came back at %llu",
			    (unsigned long long)(at + i));
	return 0;
}

static int send_pattern(struct lane *l, struct err *err)
{
	uint8_t *copy = malloc(COPY_SIZE);
	uint64_t total = l->client->opt->bytes;
	int rc = copy ? 0 : err_set(err, E_MEMORY, "no memory");

	for (uint64_t at = 0; rc == 0 && at < total;) {
		size_t n = total - at < COPY_SIZE ? (size_t)(total - at) : COPY_SIZE;
		pattern_fill(l, at, copy, n);
		rc = stream_write(l->stream, copy, n, err);
		at += n;
	}
	free(copy);
	return rc;
}

/* ---- standard input ------------------------------------------------------------------------ */

struct input {
	ssize_t n;
	int error;
	uint8_t bytes[COPY_SIZE];
};

static void read_input(void *arg)
{
	struct input *in = arg;

	do {
		in->n = read(STDIN_FILENO, in->bytes, sizeof in->bytes);
		in->error = errno;
	} while (in->n < 0 && in->error == EINTR);
}

/* Reading may block for ever: a worker does it, and is left behind when we are told to stop. The
 * caller frees *out; its n is 0 at the end. */
static int next_input(struct input **out, struct err *err)
{
	struct input *in = malloc(sizeof *in);

	if (!in)
		return err_set(err, E_MEMORY, "no memory");
	int rc = rt_work(read_input, in, free, err);
	if (rc != 0)
		return rc;
	if (in->n < 0) {
		rc = err_errno(err, in->error, "standard input");
		free(in);
		return rc;
	}
	*out = in;
	return 0;
}

static int send_input(struct lane *l, struct err *err)
{
	struct input *in;
	int rc;

	if (l->client->opt->streams > 1)
		return stream_write(l->stream, l->client->input.p, l->client->input.n, err);
	do {
		if ((rc = next_input(&in, err)) != 0)
			return rc;
		size_t n = (size_t)in->n;
		if (n > 0)
			rc = stream_write(l->stream, in->bytes, n, err);
		free(in);
		if (n == 0)
			return 0;
	} while (rc == 0);
	return rc;
}

/* All of standard input, for several streams to send. */
static int gather_input(struct client *c, struct err *err)
{
	struct input *in;
	size_t n;

	do {
		int rc = next_input(&in, err);
		if (rc != 0)
			return rc;
		n = (size_t)in->n;
		buf_put(&c->input, in->bytes, n);
		free(in);
	} while (n > 0);
	return buf_ok(&c->input, err);
}

/* ---- one stream ---------------------------------------------------------------------------- */

static void sending_fiber(void *arg)
{
	struct lane *l = arg;
	const struct peer_options *opt = l->client->opt;
	struct err err = {0};
	uint8_t wanted[8];
	int rc = 0;

	if (strcmp(opt->protocol, PROTOCOL_PERF) == 0) {
		put_u64be(wanted, opt->bytes);
		rc = stream_write(l->stream, wanted, sizeof wanted, &err);
	}
	if (rc == 0)
		rc = opt->bytes > 0 ? send_pattern(l, &err) : send_input(l, &err);
	if (rc == 0)
		rc = stream_close_write(l->stream, &err);
	if (rc != 0) {
		fail(l, rc, &err);
		stream_reset(l->stream, rc);
	}
}

/* What came back: checked, counted, or printed. */
static int take(struct lane *l, const uint8_t *p, size_t n, struct err *err)
{
	const struct peer_options *opt = l->client->opt;
	int rc = 0;

	if (strcmp(opt->protocol, PROTOCOL_SINK) == 0) {
		for (size_t i = 0; i < n; i++)
			l->answer = l->answer << 8 | p[i];
		return 0;
	}
	if (opt->bytes == 0) {
		fwrite(p, 1, n, stdout);
		fflush(stdout);
	} else if (strcmp(opt->protocol, PROTOCOL_ECHO) == 0)
		rc = pattern_check(l, l->answer, p, n, err);
	l->answer += n;
	return rc;
}

static int receive(struct lane *l, struct err *err)
{
	uint8_t *copy = malloc(COPY_SIZE);
	ssize_t n = copy ? 1 : err_set(err, E_MEMORY, "no memory");

	while (n > 0 && (n = stream_read(l->stream, copy, COPY_SIZE, err)) > 0) {
		int rc = take(l, copy, (size_t)n, err);
		if (rc != 0)
			n = rc;
	}
	free(copy);
	if (n == 0 && l->client->opt->bytes > 0 && l->answer != l->client->opt->bytes)
		return err_set(
		    err, E_PROTOCOL, "%llu bytes came back", (unsigned long long)l->answer);
	return (int)n;
}

static void exchange(struct lane *l)
{
	struct scope sc;
	struct err err = {0};
	int rc;

	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(&sc, "send", sending_fiber, l, &err);
	if (rc == 0)
		rc = receive(l, &err);
	if (rc == 0)
		rc = scope_join(&sc);
	if (rc != 0) {
		fail(l, rc, &err);
		stream_reset(l->stream, rc);
	}
	scope_close(&sc);
}

static int open_lane(struct lane *l, struct err *err)
{
	struct client *c = l->client;
	int rc = p2p_open_stream(c->host, &c->peer, &c->opt->protocol, 1, &l->stream, NULL, err);

	c->n_open++; /* or never will be */
	if (c->n_open == c->opt->streams)
		waitq_wake_all(&c->all_open);
	while (rc == 0 && c->n_open < c->opt->streams)
		rc = waitq_wait(&c->all_open, err);
	return rc;
}

static void lane_fiber(void *arg)
{
	struct lane *l = arg;
	struct err err = {0};
	int rc = open_lane(l, &err);

	if (rc == 0)
		exchange(l);
	else
		fail(l, rc, &err);
	stream_close(l->stream);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void report(const struct client *c, struct duration took)
{
	double seconds = (double)took.ns / 1e9;
	double mib = (double)c->opt->bytes * c->opt->streams / (1024 * 1024);

	printf("%s: %u streams, %llu bytes each, %.3f s, %.1f MiB/s\n", c->opt->protocol,
	    c->opt->streams, (unsigned long long)c->opt->bytes, seconds, mib / seconds);
}

static int run_lanes(struct client *c, struct err *err)
{
	struct lane *lanes = calloc(c->opt->streams, sizeof *lanes);
	struct instant start = rt_now();
	struct scope sc;
	int rc = 0;

	if (!lanes)
		return err_set(err, E_MEMORY, "no memory");
	if (c->opt->bytes == 0 && c->opt->streams > 1)
		rc = gather_input(c, err);
	scope_open(&sc, DURATION_FOREVER);
	for (uint32_t i = 0; rc == 0 && i < c->opt->streams; i++) {
		lanes[i] = (struct lane){.client = c, .index = i};
		rc = fiber_spawn(&sc, "stream", lane_fiber, &lanes[i], err);
	}
	if (rc == 0 && (rc = scope_join(&sc)) != 0)
		rc = err_set(err, rc, "%s", err_info(rc)->text);
	scope_close(&sc);
	for (uint32_t i = 0; rc == 0 && i < c->opt->streams; i++)
		if (lanes[i].rc != 0)
			rc = err_set(err, lanes[i].rc, "%s", err_text(&lanes[i].err));
	if (rc == 0 && c->opt->bytes > 0)
		report(c, instant_since(rt_now(), start));
	free(lanes);
	buf_free(&c->input);
	return rc;
}

static int run_pings(struct client *c, struct err *err)
{
	struct duration rtt;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < c->opt->count; i++) {
		rc = p2p_ping(c->host, &c->peer, &rtt, err);
		if (rc == 0)
			printf("ping %u: %.3f ms\n", i + 1, (double)rtt.ns / 1e6);
	}
	return rc;
}

static int print_identity(struct client *c, struct err *err)
{
	struct p2p_peer_info info = {0};
	char text[MULTIADDR_TEXT_MAX];

	/* Asked on every new connection anyway; the answer is waited for. */
	for (int i = 0; i < 100 && !info.identified; i++) {
		int rc = i > 0 ? fiber_sleep(duration_ms(50)) : 0;
		if (rc != 0)
			return err_set(err, rc, "waiting for identify");
		if (!p2p_peer_info(c->host, &c->peer, &info))
			return err_set(err, E_NOT_FOUND, "the peer is gone");
	}
	if (!info.identified)
		return err_set(err, E_TIMEOUT, "the peer did not say who it is");
	printf("agent %s\n", info.agent);
	for (size_t i = 0; i < info.n_protocols; i++)
		printf("protocol %s\n", info.protocols[i]);
	for (size_t i = 0; i < info.n_addrs; i++) {
		multiaddr_print(&info.addrs[i], text);
		printf("address %s\n", text);
	}
	return 0;
}

int peer_dial(struct p2p_host *h, const struct peer_options *opt, struct err *err)
{
	struct client c = {.host = h, .opt = opt, .input = BUF_INIT(INPUT_MAX)};
	struct p2p_conn_info info;
	p2p_conn_id conn;
	int rc = p2p_dial(h, NULL, &opt->dial, 1, &conn, err);

	if (rc != 0)
		return rc;
	if (!p2p_conn_info(h, conn, &info))
		return err_set(err, E_CLOSED, "the connection ended at once");
	c.peer = info.peer;
	if (opt->direct && (rc = peer_wait_direct(h, &c.peer, err)) != 0)
		return rc;
	if (!opt->protocol)
		rc = p2p_keep(h, &opt->dial, err);
	else if (strcmp(opt->protocol, "/ipfs/ping/1.0.0") == 0)
		rc = run_pings(&c, err);
	else if (strcmp(opt->protocol, "/ipfs/id/1.0.0") == 0)
		rc = print_identity(&c, err);
	else
		rc = run_lanes(&c, err);
	fflush(stdout);
	return rc;
}
