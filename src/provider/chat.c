/* One chat completion over HTTP, as the server. */
#include "provider/chat.h"

#include "base/encode.h"
#include "http/sse.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define PULSE_MS         10000
#define ANSWER_MAX       (16u << 20) /* bytes of an answer that is not streamed */
#define CHUNK_MAX        (1u << 20)
#define ERROR_MAX        4096
#define GOODBYE_LIMIT_MS 5000
#define DEADLINE_MS_MAX  (24 * 3600 * 1000LL)

/* An answer on its way out. `turn` orders the inference's events and the pulse. */
struct out {
	struct http_exchange *x;
	struct chat_call *call;
	struct openai_answer answer;
	struct sem turn;
	struct buf chunk; /* one SSE event being written */
	struct buf json;
	struct buf text; /* the whole answer, when not streamed */
	struct inference_event last;
	bool wrote_role;
	bool any_since_pulse;
};

void chat_new_request_id(struct world *w, char out[64])
{
	uint8_t random[12];
	world_random(w, random, sizeof random);
	memcpy(out, "req_", 4);
	hex_encode(bytes_of(random, sizeof random), out + 4);
}

/* A client's own id is kept when it is harmless in logs and headers. */
static void take_request_id(struct world *w, const struct http_head *head, char out[64])
{
	const char *given = http_head_get(head, HEADER_REQUEST_ID);
	size_t n = given ? strspn(given, "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:")
			 : 0;
	if (n == 0 || n > 63 || given[n] != '\0')
		chat_new_request_id(w, out);
	else
		memcpy(out, given, n + 1);
}

/* A whole number, cut at `max`; -1 without the header. */
static int header_int(
    const struct http_head *head, const char *name, int64_t max, int64_t *out, struct err *err)
{
	const char *text = http_head_get(head, name);
	*out = -1;
	if (!text)
		return 0;
	size_t n = strspn(text, "0123456789");
	if (n == 0 || text[n])
		return err_set(err, E_INVALID, "the header %s is not a whole number", name);
	long long v = strtoll(text, NULL, 10);
	*out = v > max ? max : v;
	return 0;
}

/* What the headers ask for. Whoever errs here would get an answer from elsewhere, or at another
 * time, than meant: refused rather than ignored. */
static int read_headers(
    const struct http_head *head, struct chat_call *call, int64_t *deadline_ms, struct err *err)
{
	static const char *const single[] = {HEADER_TARGET_NODE, HEADER_HOPS, HEADER_DEADLINE};
	for (size_t i = 0; i < sizeof single / sizeof *single; i++)
		if (http_head_count(head, single[i]) > 1)
			return err_set(
			    err, E_INVALID, "the header %s is there more than once", single[i]);
	int64_t hops;
	call->target_node = http_head_get(head, HEADER_TARGET_NODE);
	if (call->target_node && !call->target_node[0])
		return err_set(err, E_INVALID,
		    "the header " HEADER_TARGET_NODE
		    " is empty: it names a node by node id, peer id or label");
	int rc = header_int(head, HEADER_HOPS, HOPS_MAX + 1, &hops, err);
	if (rc == 0)
		rc = header_int(head, HEADER_DEADLINE, DEADLINE_MS_MAX, deadline_ms, err);
	call->ctx.hops = rc == 0 && hops > 0 ? (unsigned)hops : 0;
	return rc;
}

int chat_respond_error(struct http_exchange *x, const struct err *why,
    const struct openai_param *param, struct err *err)
{
	struct buf body = BUF_INIT(ERROR_MAX);
	openai_error_write(&body, why, param);
	int rc = buf_ok(&body, err);
	if (rc == 0) {
		if (why->code == E_BUSY)
			http_response_header(x, "retry-after", "1");
		rc = http_respond(
		    x, err_info(why->code)->http_status, "application/json", buf_view(&body), err);
	}
	buf_free(&body);
	return rc;
}

/* ---- streaming ----------------------------------------------------------------------------- */

static void identify_answer(struct out *o)
{
	if (o->call->served_by[0])
		http_response_header(o->x, HEADER_SERVED_BY, o->call->served_by);
	if (o->call->served_by_label[0])
		http_response_header(o->x, "x-served-by-label", o->call->served_by_label);
}

static int begin_stream(struct out *o, struct err *err)
{
	if (http_response_begun(o->x))
		return 0;
	identify_answer(o);
	http_response_header(o->x, "cache-control", "no-cache");
	http_response_header(o->x, "x-accel-buffering", "no");
	http_exchange_pulse(o->x, bytes_str(":\n\n")); /* a comment */
	int rc = http_response_begin(o->x, 200, SSE_MEDIA_TYPE, HTTP_LENGTH_CHUNKED, err);
	return rc ? rc : http_response_flush(o->x, err);
}

/* Sends what is in o->json as one event. */
static int send_json(struct out *o, struct err *err)
{
	int rc = buf_ok(&o->json, err);
	if (rc)
		return rc;
	buf_reset(&o->chunk);
	sse_put_event(&o->chunk, NULL, buf_view(&o->json));
	buf_reset(&o->json);
	rc = buf_ok(&o->chunk, err);
	return rc ? rc : http_response_write(o->x, buf_view(&o->chunk), err);
}

/* The first chunk of every answer has the role. */
static int stream_role(struct out *o, struct err *err)
{
	if (o->wrote_role)
		return 0;
	o->wrote_role = true;
	openai_chunk_role(&o->json, &o->answer);
	return send_json(o, err);
}

static int stream_text(struct out *o, struct bytes text, struct err *err)
{
	openai_chunk_text(&o->json, &o->answer, text);
	return send_json(o, err);
}

static int stream_finish(struct out *o, const struct inference_event *e, struct err *err)
{
	openai_chunk_finish(&o->json, &o->answer, e->finish);
	int rc = send_json(o, err);
	if (rc == 0 && o->call->req->include_usage) {
		openai_chunk_usage(&o->json, &o->answer, &e->usage);
		rc = send_json(o, err);
	}
	if (rc == 0) {
		buf_str(&o->json, OPENAI_DONE);
		rc = send_json(o, err);
	}
	return rc ? rc : http_response_end(o->x, err);
}

static int emit_stream(void *arg, const struct inference_event *e, struct err *err)
{
	struct out *o = arg;
	int rc = sem_acquire(&o->turn, err);
	if (rc)
		return rc;
	o->any_since_pulse = true;
	rc = begin_stream(o, err);
	if (rc == 0)
		rc = stream_role(o, err);
	if (rc == 0 && e->kind == INFERENCE_TEXT)
		rc = stream_text(o, e->text, err);
	if (rc == 0 && e->kind == INFERENCE_FINISHED)
		rc = stream_finish(o, e, err);
	sem_release(&o->turn);
	return rc;
}

/* While nothing comes, the client hears a comment now and then. */
static void pulse(void *arg)
{
	struct out *o = arg;
	while (fiber_sleep(duration_ms(PULSE_MS)) == 0) {
		bool quiet = !o->any_since_pulse;
		o->any_since_pulse = false;
		if (!quiet)
			continue;
		if (sem_acquire(&o->turn, NULL) != 0)
			return;
		int rc = begin_stream(o, NULL);
		if (rc == 0) {
			buf_reset(&o->chunk);
			sse_put_comment(&o->chunk, "keep-alive");
			rc = http_response_write(o->x, buf_view(&o->chunk), NULL);
		}
		sem_release(&o->turn);
		if (rc)
			return;
	}
}

/* The failure of an answer that has begun: an error event, then the end, without [DONE]. */
static int stream_error(struct out *o, const struct err *why)
{
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(GOODBYE_LIMIT_MS));
	buf_reset(&o->json);
	openai_error_write(&o->json, why, NULL);
	int rc = send_json(o, NULL);
	if (rc == 0)
		rc = http_response_end(o->x, NULL);
	scope_close(&sc);
	return rc;
}

static int run_stream(struct out *o, const struct chat_service *svc, struct err *err)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	int rc = fiber_spawn(NULL, "pulse", pulse, o, err);
	if (rc == 0)
		rc = svc->infer(svc->arg, o->call, emit_stream, o, err);
	scope_close(&sc);
	return rc;
}

/* ---- not streaming ------------------------------------------------------------------------- */

static int emit_whole(void *arg, const struct inference_event *e, struct err *err)
{
	struct out *o = arg;
	if (e->kind == INFERENCE_TEXT)
		buf_bytes(&o->text, e->text);
	if (e->kind == INFERENCE_FINISHED)
		o->last = *e;
	return buf_ok(&o->text, err);
}

static int respond_whole(struct out *o, struct err *err)
{
	openai_completion_write(
	    &o->json, &o->answer, buf_view(&o->text), o->last.finish, &o->last.usage);
	int rc = buf_ok(&o->json, err);
	if (rc)
		return rc;
	identify_answer(o);
	return http_respond(o->x, 200, "application/json", buf_view(&o->json), err);
}

/* ---- the exchange -------------------------------------------------------------------------- */

/* 0 once the client has been told: then the exchange is in order, and its connection too. */
static int answer_failure(struct out *o, const struct err *why, struct err *err)
{
	if (http_exchange_hung_up(o->x))
		return err_set(err, E_CANCELLED, "the client hung up");
	int rc;
	if (http_response_begun(o->x)) {
		rc = stream_error(o, why);
	} else {
		struct scope sc;
		scope_open_shielded(&sc, duration_ms(GOODBYE_LIMIT_MS));
		rc = chat_respond_error(o->x, why, NULL, NULL);
		scope_close(&sc);
	}
	return rc ? err_set(err, rc, "%s; the client could not be told", err_text(why)) : 0;
}

static int run(struct http_exchange *x, const struct chat_service *svc, struct chat_call *call,
    int64_t deadline_ms, struct err *err)
{
	char id[OPENAI_ID_MAX];
	uint8_t random[OPENAI_ID_RANDOM];
	world_random(svc->world, random, sizeof random);
	openai_id(random, id);
	struct out o = {
	    .x = x,
	    .call = call,
	    .answer = {id, call->model, world_wall_ms(svc->world) / 1000, NULL},
	    .turn = {.free = 1},
	    .chunk = BUF_INIT(CHUNK_MAX),
	    .json = BUF_INIT(ANSWER_MAX),
	    .text = BUF_INIT(ANSWER_MAX),
	};
	struct duration limit = svc->limit;
	if (deadline_ms >= 0 && duration_ms(deadline_ms).ns < limit.ns)
		limit = duration_ms(deadline_ms);
	struct err why = {0};
	struct scope sc;
	scope_open(&sc, limit);
	int rc = call->req->stream ? run_stream(&o, svc, &why)
				   : svc->infer(svc->arg, call, emit_whole, &o, &why);
	scope_close(&sc);
	if (rc) {
		why.code = rc;
		rc = answer_failure(&o, &why, err);
	} else if (!call->req->stream) {
		rc = respond_whole(&o, err);
	}
	buf_free(&o.chunk);
	buf_free(&o.json);
	buf_free(&o.text);
	return rc;
}

int chat_serve(struct http_exchange *x, const struct chat_service *svc, struct err *err)
{
	const struct http_head *head = http_request(x);
	struct chat_call call = {0};
	int64_t deadline_ms;
	take_request_id(svc->world, head, call.ctx.request_id);
	http_response_header(x, HEADER_REQUEST_ID, call.ctx.request_id);
	struct buf body = BUF_INIT(CHAT_BODY_MAX);
	int rc = read_headers(head, &call, &deadline_ms, err);
	if (rc == 0)
		rc = http_body_read_all(x, CHAT_BODY_MAX, &body, err);
	if (rc) {
		buf_free(&body);
		return rc; /* the server answers it */
	}
	struct err why = {0};
	struct openai_param param = {""};
	struct inference_request *req;
	rc = openai_request_parse(NULL, buf_view(&body), &req, &param, &why);
	buf_free(&body);
	if (rc)
		return chat_respond_error(x, &why, &param, err);
	call.req = req;
	memcpy(call.model, req->model, sizeof call.model);
	rc = http_exchange_watch(x, err);
	if (rc == 0)
		rc = run(x, svc, &call, deadline_ms, err);
	talloc_free(req);
	return rc;
}
