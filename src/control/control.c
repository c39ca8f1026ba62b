/* Connections to control: lines over the Unix socket, POST /rpc over TCP. */
#include "control/control_priv.h"

#include "base/encode.h"
#include "crypto/crypto.h"
#include "http/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES  (32u << 20) /* a long prompt, all of its characters escaped */
#define READ_SIZE       4096
#define CONNECTIONS_MAX 64
#define CALLS_MAX       32 /* under way on one connection */
#define ANSWER_MAX      (16u << 20)

/* JSON-RPC 2.0, section 5.1. */
enum rpc_error {
	RPC_PARSE = -32700,
	RPC_REQUEST = -32600,
	RPC_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_SERVER = -32000
};

/* ---- messages ------------------------------------------------------------------------------ */

static json_t *rpc_failure(const json_t *id, enum rpc_error code, const struct err *why)
{
	const struct err_info *info = err_info(why->code);
	return json_pack("{s:s, s:O, s:{s:i, s:s, s:{s:s, s:s}}}", "jsonrpc", "2.0", "id",
	    id ? id : json_null(), "error", "code", (int)code, "message", err_text(why), "data",
	    "name", info->name, "code", info->openai_code);
}

static enum rpc_error rpc_code(int code)
{
	return code == E_METHOD ? RPC_METHOD : code == E_INVALID ? RPC_PARAMS : RPC_SERVER;
}

/* Answers one request object; NULL when it was a notification. */
static json_t *answer(struct control *c, const json_t *request, const struct rpc_notify *notify)
{
	const json_t *id = json_object_get(request, "id");
	const char *method = json_get_string(request, "method", NULL);
	struct err err = {0};
	if (!method || strcmp(json_get_string(request, "jsonrpc", ""), "2.0") != 0) {
		err.code = err_set(&err, E_INVALID, "not a JSON-RPC 2.0 request");
		return rpc_failure(id, RPC_REQUEST, &err);
	}
	json_t *result = NULL;
	err.code =
	    control_call(c, method, json_object_get(request, "params"), notify, &result, &err);
	if (err.code)
		return id ? rpc_failure(id, rpc_code(err.code), &err) : NULL;
	json_t *message =
	    id ? json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "id", id, "result", result) : NULL;
	json_decref(result);
	return message;
}

/* ---- the Unix socket ----------------------------------------------------------------------- */

struct connection {
	struct control *control;
	struct stream *stream;
	struct sem turn; /* one message at a time */
	struct scope scope;
	int calls;
	struct buf line; /* the beginning of one */
	bool skipping;   /* the rest of a line that is too long */
};

/* Takes the message over. */
static int send_line(void *arg, json_t *message, struct err *err)
{
	struct connection *k = arg;
	struct buf line = BUF_INIT(ANSWER_MAX);
	int rc = json_write(message, &line, err);
	json_decref(message);
	buf_str(&line, "\n");
	if (rc == 0)
		rc = buf_ok(&line, err);
	if (rc == 0)
		rc = sem_acquire(&k->turn, err);
	if (rc == 0) {
		rc = stream_write(k->stream, line.p, line.n, err);
		sem_release(&k->turn);
	}
	buf_free(&line);
	return rc;
}

struct call {
	struct connection *connection;
	json_t *request;
};

static void call_fiber(void *arg)
{
	struct call call = *(struct call *)arg;
	free(arg);
	struct connection *k = call.connection;
	struct rpc_notify notify = {send_line, k, json_object_get(call.request, "id")};
	json_t *message = answer(k->control, call.request, &notify);
	if (message && send_line(k, message, NULL) != 0)
		scope_cancel(&k->scope);
	json_decref(call.request);
	k->calls--;
}

static void refuse(
    struct connection *k, const json_t *id, enum rpc_error how, int code, const char *text)
{
	struct err err = {0};
	err.code = err_set(&err, code, "%s", text);
	if (send_line(k, rpc_failure(id, how, &err), NULL) != 0)
		scope_cancel(&k->scope);
}

static void take_line(struct connection *k, struct bytes line)
{
	struct err err = {0};
	json_t *request;
	if (json_read(line, &request, &err) != 0) {
		refuse(k, NULL, RPC_PARSE, E_SYNTAX, err_text(&err));
		return;
	}
	struct call *call = k->calls < CALLS_MAX ? malloc(sizeof *call) : NULL;
	if (call) {
		*call = (struct call){k, request};
		k->calls++;
		if (fiber_spawn(&k->scope, "rpc", call_fiber, call, NULL) == 0)
			return;
		k->calls--;
		free(call);
	}
	refuse(k, json_object_get(request, "id"), RPC_SERVER, E_LIMIT, "too many calls at once");
	json_decref(request);
}

/* Takes `part` of a line, its end when `whole`. Of a line that is too long the rest is read and
 * dropped: a client that is cut off while it writes would never read why. */
static void take_part(struct connection *k, struct bytes part, bool whole)
{
	if (!k->skipping) {
		buf_bytes(&k->line, part);
		if (k->line.failed) {
			refuse(k, NULL, RPC_PARSE, E_TOO_LARGE, "the request is too large");
			buf_free(&k->line);
			k->skipping = true;
		}
	}
	if (!whole)
		return;
	if (!k->skipping && k->line.n > 0)
		take_line(k, buf_view(&k->line));
	k->skipping = false;
	buf_reset(&k->line);
}

/* A connection's end cancels the calls that still run on it. */
static void read_lines(struct connection *k)
{
	char piece[READ_SIZE];
	ssize_t n;
	k->line = BUF_INIT(LINE_MAX_BYTES);
	while ((n = stream_read(k->stream, piece, sizeof piece, NULL)) > 0) {
		const char *at = piece, *end = piece + n, *newline;
		while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
			take_part(k, bytes_of(at, (size_t)(newline - at)), true);
			at = newline + 1;
		}
		take_part(k, bytes_of(at, (size_t)(end - at)), false);
	}
	buf_free(&k->line);
}

static void connection_fiber(void *arg)
{
	struct connection *k = arg;
	scope_open(&k->scope, DURATION_FOREVER);
	read_lines(k);
	scope_close(&k->scope);
	stream_close(k->stream);
	k->control->connections--;
	free(k);
}

static void serve_unix(struct control *c, struct stream *s)
{
	struct connection *k = c->connections < CONNECTIONS_MAX ? calloc(1, sizeof *k) : NULL;
	if (k) {
		*k = (struct connection){.control = c, .stream = s, .turn = {.free = 1}};
		c->connections++;
		if (fiber_spawn(&c->scope, "control", connection_fiber, k, NULL) == 0)
			return;
		c->connections--;
		free(k);
	}
	stream_close(s);
}

/* ---- the TCP port -------------------------------------------------------------------------- */

static int authorized(struct control *c, const struct http_head *head, struct err *err)
{
	const char *given = http_head_get(head, "authorization");
	size_t n = strlen("Bearer ");
	if (given && strncmp(given, "Bearer ", n) == 0 && strlen(given + n) == strlen(c->token) &&
	    secret_equal(given + n, c->token, strlen(c->token)))
		return 0;
	return err_set(err, E_UNAUTHORIZED,
	    "send \"Authorization: Bearer\" with the token from %s/" CONTROL_TOKEN,
	    c->opt.data_dir);
}

/* Takes the message over; NULL is the answer to a notification. */
static int respond(struct http_exchange *x, int status, json_t *message, struct err *err)
{
	struct buf out = BUF_INIT(ANSWER_MAX);
	int rc = message ? json_write(message, &out, err) : 0;
	json_decref(message);
	if (rc == 0)
		rc = http_respond(x, out.n ? status : 204, out.n ? "application/json" : NULL,
		    buf_view(&out), err);
	buf_free(&out);
	return rc;
}

static int post_rpc(struct http_exchange *x, void *arg, struct err *err)
{
	struct control *c = arg;
	struct buf body = BUF_INIT(LINE_MAX_BYTES);
	json_t *request = NULL;
	int rc = authorized(c, http_request(x), err);
	if (rc == 0)
		rc = http_body_read_all(x, LINE_MAX_BYTES, &body, err);
	if (rc) {
		buf_free(&body);
		return rc;
	}
	struct err why = {0};
	rc = json_read(buf_view(&body), &request, &why);
	buf_free(&body);
	if (rc)
		return respond(x, 400, rpc_failure(NULL, RPC_PARSE, &why), err);
	rc = http_exchange_watch(x, err);
	if (rc == 0)
		rc = respond(x, 200, answer(c, request, NULL), err);
	json_decref(request);
	return rc;
}

static const struct http_route routes[] = {{"POST", "/rpc", post_rpc}};

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	return http_route(x, routes, sizeof routes / sizeof *routes, arg, err);
}

struct http_connection {
	struct control *control;
	struct stream *stream;
};

static void http_fiber(void *arg)
{
	struct http_connection k = *(struct http_connection *)arg;
	free(arg);
	struct http_service service = {.handle = handle, .world = k.control->opt.world};
	if (http_serve(k.stream, &service, k.control, NULL) != 0)
		rt_log(LOG_DEBUG, "control", "%s: ended early", k.stream->remote);
	stream_close(k.stream);
	k.control->connections--;
}

static void serve_http(struct control *c, struct stream *s)
{
	struct http_connection *k = c->connections < CONNECTIONS_MAX ? malloc(sizeof *k) : NULL;
	if (k) {
		*k = (struct http_connection){c, s};
		c->connections++;
		if (fiber_spawn(&c->scope, "control", http_fiber, k, NULL) == 0)
			return;
		c->connections--;
		free(k);
	}
	stream_close(s);
}

/* ---- making and ending --------------------------------------------------------------------- */

static void accept_loop(
    struct control *c, struct listener *l, void (*serve)(struct control *c, struct stream *s))
{
	for (;;) {
		struct stream *s;
		struct err err;
		int rc = listener_accept(l, &s, NULL, &err);
		if (rc == 0) {
			serve(c, s);
			continue;
		}
		if (rc == E_CANCELLED || fiber_sleep(duration_ms(100)) != 0)
			return;
		rt_log(LOG_WARN, "control", "accept: %s", err_text(&err));
	}
}

static void accept_unix(void *arg)
{
	struct control *c = arg;
	accept_loop(c, c->unix_socket, serve_unix);
}

static void accept_tcp(void *arg)
{
	struct control *c = arg;
	accept_loop(c, c->tcp, serve_http);
}

static int write_token(struct control *c, struct err *err)
{
	uint8_t random[32];
	world_random(c->opt.world, random, sizeof random);
	hex_encode(bytes_of(random, sizeof random), c->token);
	struct buf path = BUF_INIT(8192);
	buf_printf(&path, "%s/" CONTROL_TOKEN, c->opt.data_dir);
	int rc = buf_ok(&path, err);
	if (rc == 0)
		rc = file_write(c->opt.world, buf_cstr(&path), bytes_str(c->token), 0600, err);
	buf_free(&path);
	return rc;
}

static int start(struct control *c, struct err *err)
{
	struct buf path = BUF_INIT(8192);
	buf_printf(&path, "%s/" CONTROL_SOCKET, c->opt.data_dir);
	int rc = buf_ok(&path, err);
	if (rc == 0)
		rc = world_unix_listen(c->opt.world, buf_cstr(&path), &c->unix_socket, err);
	buf_free(&path);
	if (rc == 0)
		rc = world_tcp_listen(c->opt.world, &c->opt.listen, &c->tcp, err);
	if (rc == 0)
		rc = write_token(c, err);
	if (rc == 0)
		rc = fiber_spawn(&c->scope, "control", accept_unix, c, err);
	if (rc == 0)
		rc = fiber_spawn(&c->scope, "control", accept_tcp, c, err);
	return rc;
}

int control_new(const struct control_options *opt, struct control **out, struct err *err)
{
	struct control *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, E_MEMORY, "no memory for control");
	c->opt = *opt;
	c->started = rt_now();
	scope_init(&c->scope, NULL);
	int rc = start(c, err);
	if (rc) {
		control_close(c);
		return rc;
	}
	listener_addr(c->tcp, &c->addr);
	*out = c;
	return 0;
}

void control_addr(const struct control *c, struct netaddr *out)
{
	*out = c->addr;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	scope_close(&c->scope);
	if (c->unix_socket)
		listener_close(c->unix_socket);
	if (c->tcp)
		listener_close(c->tcp);
	secret_wipe(c->token, sizeof c->token);
	free(c);
}
