/* Asking and listing. See client.h. */
#include "sim/client.h"

#include "http/client.h"
#include "http/sse.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <talloc.h>

#define BODY_MAX  (256u << 10)
#define EVENT_MAX (64u << 10)
#define LINE_MAX  (1u << 20)
#define PIECE     1024

static void end(struct reply *r, enum reply_end how, const char *what, const char *why)
{
	r->end = how;
	(void)snprintf(r->why, sizeof(r->why), "%s%s%s", what, why[0] ? ": " : "", why);
}

static void failed(struct reply *r, const char *code, const char *message)
{
	r->code = err_code_of(code, 0);
	end(r, REPLY_FAILED, code, message);
}

static void broken(struct reply *r, const char *what, const struct err *why)
{
	end(r, REPLY_BROKEN, what, why ? err_text(why) : "");
}

/* ---- what may come back -------------------------------------------------------------------- */

/* {"error":{"message":…,"type":…,"code":…}}: then *why has its message. */
static bool take_error(struct bytes body, struct reply *r)
{
	json_t *j, *error;
	const char *message;

	if (json_read(body, &j, NULL) != 0)
		return false;
	error = json_object_get(j, "error");
	message = json_get_string(error, "message", "");
	if (message[0] && json_get_string(error, "type", "")[0])
		failed(r, json_get_string(error, "code", "?"), message);
	json_decref(j);
	return r->end == REPLY_FAILED;
}

/* How far an answer has come. */
struct hearing {
	struct reply *reply;
	bool failed;
	unsigned pieces;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct hearing *h = arg;

	(void)err;
	if (e->kind == INFERENCE_TEXT) {
		buf_bytes(&h->reply->text, e->text);
		h->pieces++;
	}
	if (e->kind == INFERENCE_CHOICE_END)
		h->reply->finish = e->finish;
	if (e->kind == INFERENCE_FINISHED)
		h->reply->usage = e->usage;
	return 0;
}

static void take_event(struct hearing *h, struct upstream_reader *reader, const struct sse_event *e)
{
	struct err err = {0};

	if (h->failed)
		broken(h->reply, "an event after the last one", NULL);
	else if (take_error(e->data, h->reply))
		h->failed = true;
	else if (reader->upstream->take(reader, e->event, e->data, &err) != 0)
		broken(h->reply, "an event that is none", &err);
}

static void read_events(struct http_client *http, const struct ask *ask, struct hearing *h,
    struct upstream_reader *reader)
{
	struct reply *r = h->reply;
	struct sse_parser sse;
	struct err err = {0};
	char piece[PIECE];
	ssize_t n;

	sse_parser_init(&sse, EVENT_MAX);
	while ((n = http_client_read(http, piece, sizeof(piece), &err)) > 0) {
		struct bytes in = bytes_of(piece, (size_t)n);
		struct sse_event e;
		int rc;

		while ((rc = sse_parser_next(&sse, &in, &e, &err)) == 1)
			take_event(h, reader, &e);
		if (rc < 0)
			broken(r, "not a stream of events", &err);
		if (ask->hang_up_after > 0 && h->pieces >= ask->hang_up_after &&
		    !reader->finished && r->end == REPLY_ANSWERED)
			r->end = REPLY_HUNG_UP;
		if (r->end == REPLY_HUNG_UP || r->end == REPLY_BROKEN)
			break;
	}
	sse_parser_free(&sse);
	if (r->end == REPLY_HUNG_UP || r->end == REPLY_BROKEN)
		return;
	if (n < 0)
		broken(r, "the stream broke off", &err);
	else if (!h->failed && !(reader->finished && r->usage.prompt_tok >= 0))
		broken(r, "the stream ended before its end", NULL);
}

static void read_document(
    struct http_client *http, struct hearing *h, struct upstream_reader *reader)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct err err = {0};
	int rc = http_client_read_all(http, BODY_MAX, &body, &err);

	if (rc == 0)
		rc = reader->upstream->take(reader, "", buf_view(&body), &err);
	if (rc == 0)
		rc = reader->upstream->end(reader, &err);
	if (rc != 0)
		broken(h->reply, "no completion", &err);
	else if (h->reply->usage.prompt_tok < 0)
		broken(h->reply, "a completion without its usage", NULL);
	buf_free(&body);
}

static void read_answer(struct http_client *http, const struct ask *ask, struct reply *r)
{
	static const struct inference_request req = {.choices = 1};
	struct hearing h = {.reply = r};
	struct upstream_reader *reader;

	r->usage = INFERENCE_USAGE_UNKNOWN;
	if (upstream_reader_new(NULL, &openai_upstream, &req, hear, &h, &reader, NULL) != 0) {
		broken(r, "no memory", NULL);
		return;
	}
	if (ask->way == ASK_STREAM)
		read_events(http, ask, &h, reader);
	else
		read_document(http, &h, reader);
	talloc_free(reader);
}

static void read_failure(struct http_client *http, int status, struct reply *r)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct err err = {0};
	char what[64];

	(void)snprintf(what, sizeof(what), "status %d without an error in its body", status);
	if (http_client_read_all(http, BODY_MAX, &body, &err) != 0 || status < 400 ||
	    !take_error(buf_view(&body), r))
		broken(r, what, &err);
	buf_free(&body);
}

/* ---- over HTTP ----------------------------------------------------------------------------- */

static int send_request(struct http_client *http, const struct ask *ask, struct err *err)
{
	struct inference_message message = {"user", bytes_str(ask->prompt)};
	struct inference_request req = {.messages = &message,
	    .n_messages = 1,
	    .max_tokens = ask->max_tokens,
	    .stream = ask->way == ASK_STREAM,
	    .include_usage = ask->way == ASK_STREAM};
	struct http_header headers[] = {
	    {"content-type", "application/json"}, {HEADER_TARGET_NODE, ask->target}};
	struct buf body = BUF_INIT(BODY_MAX);
	int rc;

	(void)snprintf(req.model, sizeof(req.model), "%s", ask->model);
	rc = openai_request_write(&req, &body, err);
	if (rc == 0) {
		struct http_call call = {.method = "POST",
		    .target = "/v1/chat/completions",
		    .host = "localhost",
		    .headers = headers,
		    .n_headers = ask->target ? 2 : 1,
		    .body = buf_view(&body)};

		rc = http_client_send(http, &call, err);
	}
	buf_free(&body);
	return rc;
}

static void read_reply(struct http_client *http, const struct ask *ask, struct reply *r)
{
	const struct http_head *head;
	const char *owner;
	struct err err = {0};
	int rc = http_client_head(http, &head, &err);

	if (rc != 0) {
		if (http_client_began(http) || rc == E_TIMEOUT)
			broken(r, "no answer", &err);
		else
			end(r, REPLY_AWAY, "no answer", err_text(&err));
		return;
	}
	owner = http_head_get(head, HEADER_SERVED_BY);
	(void)snprintf(r->owner, sizeof(r->owner), "%s", owner ? owner : "");
	if (head->status != 200)
		read_failure(http, head->status, r);
	else if (http_head_is_type(
		     head, ask->way == ASK_STREAM ? SSE_MEDIA_TYPE : "application/json"))
		read_answer(http, ask, r);
	else
		broken(r, "not what was asked for", NULL);
}

static void ask_http(struct world *w, const struct ask *ask, struct reply *r)
{
	struct netaddr to = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = ask->http_port};
	struct http_client *http;
	struct stream *s;
	struct err err = {0};
	int rc = world_tcp_dial(w, &to, &s, &err);

	if (rc != 0) {
		end(r, REPLY_AWAY, "cannot connect", err_text(&err));
		return;
	}
	rc = http_client_new(s, &http, &err);
	if (rc == 0)
		rc = send_request(http, ask, &err);
	if (rc == 0)
		read_reply(http, ask, r);
	else
		broken(r, "the request cannot be sent", &err);
	http_client_free(http);
}

/* ---- over the control socket --------------------------------------------------------------- */

struct line_reader {
	struct stream *stream;
	struct buf in;
};

static int next_message(struct line_reader *l, json_t **out, struct err *err)
{
	for (;;) {
		uint8_t *newline = l->in.n ? memchr(l->in.p, '\n', l->in.n) : NULL;
		char piece[PIECE];
		ssize_t n;

		if (newline) {
			size_t used = (size_t)(newline - l->in.p);
			int rc = json_read(bytes_of(l->in.p, used), out, err);

			buf_consume(&l->in, used + 1);
			return rc;
		}
		n = stream_read(l->stream, piece, sizeof(piece), err);
		if (n <= 0)
			return n < 0 ? (int)n : err_set(err, E_CLOSED, "the node hung up");
		buf_put(&l->in, piece, (size_t)n);
		if (buf_ok(&l->in, err) != 0)
			return E_TOO_LARGE;
	}
}

/* `params` is taken over. */
static int send_call(struct line_reader *l, const char *method, json_t *params, struct err *err)
{
	struct buf line = BUF_INIT(LINE_MAX);
	json_t *call = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
	    method, "params", params ? params : json_object());
	int rc = json_write(call, &line, err);

	json_decref(call);
	buf_str(&line, "\n");
	if (rc == 0)
		rc = stream_write(l->stream, line.p, line.n, err);
	buf_free(&line);
	return rc;
}

static int dial_control(
    struct world *w, const char *data_dir, struct line_reader *l, struct err *err)
{
	char path[512];

	*l = (struct line_reader){.in = BUF_INIT(LINE_MAX)};
	(void)snprintf(path, sizeof(path), "%s/control.sock", data_dir);
	return world_unix_dial(w, path, &l->stream, err);
}

static void hang_up(struct line_reader *l)
{
	buf_free(&l->in);
	stream_close(l->stream);
}

int client_call(struct world *w, const char *data_dir, const char *method, json_t *params,
    json_t **result, struct err *err)
{
	struct line_reader l;
	json_t *message;
	int rc = dial_control(w, data_dir, &l, err);

	if (rc != 0) {
		json_decref(params);
		return rc;
	}
	rc = send_call(&l, method, params, err);
	if (rc == 0)
		rc = next_message(&l, &message, err);
	if (rc == 0) {
		*result = json_incref(json_object_get(message, "result"));
		if (!*result)
			rc = err_set(err, E_UPSTREAM, "%s: %s", method,
			    json_get_string(
				json_object_get(message, "error"), "message", "no result"));
		json_decref(message);
	}
	hang_up(&l);
	return rc;
}

static void take_result(const json_t *result, struct reply *r)
{
	const json_t *usage = json_object_get(result, "usage");
	const char *answer = json_get_string(result, "answer", "");
	const char *finish = json_get_string(result, "finish_reason", "");

	if (!bytes_equal(bytes_str(answer), buf_view(&r->text)))
		broken(r, "the answer is not what was streamed", NULL);
	r->finish = strcmp(finish, "stop") == 0 ? FINISH_STOP : FINISH_LENGTH;
	r->usage.prompt_tok = json_get_int(usage, "prompt_tokens", -1);
	r->usage.completion_tok = json_get_int(usage, "completion_tokens", -1);
	(void)snprintf(r->owner, sizeof(r->owner), "%s",
	    json_get_string(json_object_get(result, "node"), "node_id", ""));
}

/* Whether it was the last one. */
static bool take_message(const json_t *message, struct reply *r)
{
	const json_t *error = json_object_get(message, "error");
	const json_t *result = json_object_get(message, "result");

	if (error)
		failed(r, json_get_string(json_object_get(error, "data"), "name", "?"),
		    json_get_string(error, "message", ""));
	else if (result)
		take_result(result, r);
	else
		buf_str(&r->text, json_get_string(json_object_get(message, "params"), "text", ""));
	return error || result;
}

static json_t *ask_params(const struct ask *ask)
{
	json_t *params = json_pack("{s:s, s:s}", "prompt", ask->prompt, "model", ask->model);

	if (ask->target)
		json_object_set_new(params, "target", json_string(ask->target));
	if (ask->max_tokens > 0)
		json_object_set_new(params, "max_tokens", json_integer(ask->max_tokens));
	return params;
}

static void ask_control(struct world *w, const struct ask *ask, struct reply *r)
{
	struct line_reader l;
	struct err err = {0};
	bool last = false;
	int rc = dial_control(w, ask->data_dir, &l, &err);

	if (rc != 0) {
		end(r, REPLY_AWAY, "cannot connect", err_text(&err));
		return;
	}
	rc = send_call(&l, "chat.ask", ask_params(ask), &err);
	while (rc == 0 && !last) {
		json_t *message;

		rc = next_message(&l, &message, &err);
		if (rc != 0)
			break;
		last = take_message(message, r);
		json_decref(message);
	}
	if (rc != 0)
		broken(r, "control", &err);
	hang_up(&l);
}

void client_ask(struct world *w, const struct ask *ask, struct reply *reply)
{
	struct scope sc;

	*reply = (struct reply){.end = REPLY_ANSWERED, .text = BUF_INIT(REPLY_TEXT_MAX)};
	scope_open(&sc, ask->limit);
	if (ask->way == ASK_CONTROL)
		ask_control(w, ask, reply);
	else
		ask_http(w, ask, reply);
	scope_close(&sc);
}
