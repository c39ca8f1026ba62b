/* The HTTP room alone, for bench/http-room.sh: answers GET /health on 127.0.0.1:PORT, or, with a
 * second port, passes every request on to 127.0.0.1:UPSTREAM over a kept connection, streaming the
 * answer back. Prints one line once it listens; runs until SIGTERM.
 *
 * Usage: http-server PORT [UPSTREAM] */
#include "http/client.h"
#include "http/route.h"
#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX (1u << 20)

struct bench {
	struct world *world;
	struct netaddr at, upstream;
	struct http_service service;
	struct scope *scope; /* of everything */
	int status;
};

/* One client's connection, with its own upstream connection. */
struct visitor {
	struct bench *bench;
	struct stream *stream;
	struct http_client *upstream;
};

static int health(struct http_exchange *x, void *arg, struct err *err)
{
	return http_respond(x, 200, "application/json", bytes_str("{\"status\":\"ok\"}"), err);
}

static int connect_upstream(struct visitor *v, struct err *err)
{
	struct stream *s;
	int rc;

	if (v->upstream && http_client_reusable(v->upstream))
		return 0;
	http_client_free(v->upstream);
	v->upstream = NULL;
	rc = world_tcp_dial(v->bench->world, &v->bench->upstream, &s, err);
	return rc != 0 ? rc : http_client_new(s, &v->upstream, err);
}

static int pass_answer(struct http_exchange *x, struct http_client *c, struct err *err)
{
	const struct http_head *head;
	uint8_t piece[16384];
	ssize_t n = 0;
	int rc = http_client_head(c, &head, err);

	if (rc == 0)
		rc = http_response_begin(x, head->status, http_head_get(head, "content-type"),
		    head->content_length < 0 ? HTTP_LENGTH_CHUNKED : head->content_length, err);
	while (rc == 0 && (n = http_client_read(c, piece, sizeof(piece), err)) > 0)
		rc = http_response_write(x, bytes_of(piece, (size_t)n), err);
	return rc == 0 && n < 0 ? (int)n : rc;
}

static int pass_on(struct http_exchange *x, void *arg, struct err *err)
{
	struct visitor *v = arg;
	struct buf body = BUF_INIT(BODY_MAX);
	struct http_call call = {
	    .method = http_request(x)->method,
	    .target = http_head_target(http_request(x)),
	    .host = "127.0.0.1",
	};
	int rc = http_body_read_all(x, BODY_MAX, &body, err);

	call.body = buf_view(&body);
	if (rc == 0)
		rc = connect_upstream(v, err);
	if (rc == 0)
		rc = http_client_send(v->upstream, &call, err);
	if (rc == 0)
		rc = pass_answer(x, v->upstream, err);
	buf_free(&body);
	return rc;
}

static int answer(struct http_exchange *x, void *arg, struct err *err)
{
	static const struct http_route routes[] = {{"GET", "/health", health}};
	struct visitor *v = arg;

	if (v->bench->upstream.port != 0)
		return pass_on(x, arg, err);
	return http_route(x, routes, sizeof(routes) / sizeof(routes[0]), arg, err);
}

static void visit(void *arg)
{
	struct visitor *v = arg;
	struct err err = {0};

	if (http_serve(v->stream, &v->bench->service, v, &err) < 0 && err.code != E_CANCELLED)
		fprintf(stderr, "%s: %s\n", v->stream->remote, err_text(&err));
	stream_close(v->stream);
	http_client_free(v->upstream);
	free(v);
}

static int accept_all(struct bench *b, struct listener *l, struct err *err)
{
	for (;;) {
		struct visitor *v;
		struct stream *s;
		int rc = listener_accept(l, &s, NULL, err);

		if (rc != 0)
			return rc == E_CANCELLED ? 0 : rc;
		v = calloc(1, sizeof(*v));
		if (v)
			*v = (struct visitor){.bench = b, .stream = s};
		if (!v || fiber_spawn(NULL, "http", visit, v, err) != 0) {
			stream_close(s);
			free(v);
		}
	}
}

static void stop(void *arg, int signum)
{
	struct bench *b = arg;

	if (b->scope)
		scope_cancel(b->scope);
}

static void run(void *arg)
{
	struct bench *b = arg;
	struct listener *l;
	struct scope all;
	struct err err = {0};
	char text[NETADDR_TEXT_MAX];
	int rc;

	scope_open(&all, DURATION_FOREVER);
	b->scope = &all;
	rc = world_tcp_listen(b->world, &b->at, &l, &err);
	if (rc == 0) {
		listener_addr(l, &b->at);
		netaddr_print(&b->at, text);
		printf("listening on %s\n", text);
		fflush(stdout);
		rc = accept_all(b, l, &err);
	}
	b->scope = NULL;
	scope_close(&all);
	if (rc == 0 || err.code == E_CANCELLED)
		listener_close(l);
	else
		fprintf(stderr, "http-server: %s\n", err_text(&err));
	b->status = rc != 0;
}

static struct netaddr loopback(const char *port)
{
	return (struct netaddr){
	    .family = NET_IP4, .ip = {127, 0, 0, 1}, .port = (uint16_t)atoi(port)};
}

int main(int argc, char **argv)
{
	struct bench b = {.service = {.handle = answer}};
	struct err err = {0};

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: http-server PORT [UPSTREAM]\n");
		return 2;
	}
	b.at = loopback(argv[1]);
	if (argc == 3)
		b.upstream = loopback(argv[2]);
	if (world_uv_new(&b.world, &err) != 0 ||
	    world_uv_on_signal(b.world, SIGTERM, stop, &b, &err) != 0 ||
	    rt_start(b.world->rt, "http-server", NULL, run, &b, &err) != 0) {
		fprintf(stderr, "http-server: %s\n", err_text(&err));
		return 1;
	}
	b.service.world = b.world;
	rt_run(b.world->rt);
	world_uv_free(b.world);
	return b.status;
}
