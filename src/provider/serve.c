/* One inference over HTTP, as the server. */
#include "provider/serve.h"

#include "base/encode.h"
#include "http/sse.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define REQUEST_ID_RANDOM 6
#define PULSE_MS          10000
#define ANSWER_MAX        (16u << 20) /* bytes kept of an answer that is not streamed … */
#define DOCUMENT_MAX      (64u << 20) /* … and of the document it becomes */
#define PIECE_MAX         (32u << 20) /* bytes that one event becomes */
#define ERROR_MAX         4096
#define RETRY_AFTER_MAX_S 60
#define GOODBYE_LIMIT_MS  5000
#define DEADLINE_MS_MAX   (24 * 3600 * 1000LL)

/* An answer on its way out. `turn` orders the inference's events and the pulse. */
struct out {
	struct http_exchange *x;
	struct serve_call *call;
	struct dialect_answer answer;
	struct dialect_writer *writer;
	struct sem turn;
	struct buf piece; /* being written */
	bool any_since_pulse;
	struct timer pulse_timer;
	struct scope scope; /* of the pulse */
};

static void begin_pulse(struct out *o);

/* Milliseconds, then chance: ids that grow with time cost the store's index next to nothing. */
void serve_new_request_id(struct world *w, char out[64])
{
	uint8_t id[8 + REQUEST_ID_RANDOM];
	put_u64be(id, (uint64_t)world_wall_ms(w));
	world_random(w, id + 8, REQUEST_ID_RANDOM);
	memcpy(out, "req_", 4);
	hex_encode(bytes_of(id + 2, sizeof id - 2), out + 4);
}

/* A client's own id is kept when it is harmless in logs and headers. */
static void take_request_id(struct world *w, const struct http_head *head, char out[64])
{
	const char *given = http_head_get(head, HEADER_REQUEST_ID);
	size_t n = given ? strspn(given, "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:")
			 : 0;
	if (n == 0 || n > 63 || given[n] != '\0')
		serve_new_request_id(w, out);
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
static int read_headers(const struct http_head *head, struct serve_call *call, struct err *err)
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
		rc = header_int(head, HEADER_DEADLINE, DEADLINE_MS_MAX, &call->deadline_ms, err);
	call->ctx.hops = rc == 0 && hops > 0 ? (unsigned)hops : 0;
	const char *explain = http_head_get(head, HEADER_EXPLAIN);
	call->explain = explain && strcmp(explain, "0") != 0;
	return rc;
}

/* Clients obey whatever is said here: never more than a minute. */
static void add_retry_after(struct http_exchange *x, const struct err *why)
{
	char seconds[16];
	unsigned s = why->retry_ms > 0 ? (why->retry_ms + 999) / 1000 : 1;
	if (why->retry_ms == 0 && why->code != E_BUSY)
		return;
	snprintf(seconds, sizeof seconds, "%u", s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S);
	http_response_header(x, "retry-after", seconds);
}

/* In the form of some dialect. */
static int respond_error(struct http_exchange *x,
    void (*form)(const struct err *why, struct buf *out), const struct err *why, struct err *err)
{
	struct buf body = BUF_INIT(ERROR_MAX);
	form(why, &body);
	int rc = buf_ok(&body, err);
	if (rc == 0) {
		add_retry_after(x, why);
		rc = http_respond(
		    x, err_info(why->code)->http_status, "application/json", buf_view(&body), err);
	}
	buf_free(&body);
	return rc;
}

int serve_error(
    struct http_exchange *x, const struct dialect *d, const struct err *why, struct err *err)
{
	return respond_error(x, d->error, why, err);
}

/* ---- streaming ----------------------------------------------------------------------------- */

static void identify_answer(struct http_exchange *x, const struct serve_call *call)
{
	if (call->served_by[0])
		http_response_header(x, HEADER_SERVED_BY, call->served_by);
	if (call->served_by_label[0])
		http_response_header(x, "x-served-by-label", call->served_by_label);
	if (call->explanation)
		http_response_header(x, HEADER_EXPLAIN, call->explanation);
}

static int begin_stream(struct out *o, struct err *err)
{
	if (http_response_begun(o->x))
		return 0;
	identify_answer(o->x, o->call);
	http_response_header(o->x, "cache-control", "no-cache");
	http_response_header(o->x, "x-accel-buffering", "no");
	if (strcmp(o->call->dialect->stream_type, SSE_MEDIA_TYPE) == 0)
		http_exchange_pulse(o->x, bytes_str(":\n\n")); /* a comment */
	return http_response_begin(
	    o->x, 200, o->call->dialect->stream_type, HTTP_LENGTH_CHUNKED, err);
}

/* Sends what is in o->piece, the first of it after the status line; with the end, when `last`. */
static int send_piece(struct out *o, bool last, struct err *err)
{
	int rc = buf_ok(&o->piece, err);
	if (rc == 0 && (last || o->piece.n > 0))
		rc = begin_stream(o, err);
	if (rc == 0 && last)
		rc = http_response_last(o->x, buf_view(&o->piece), err);
	else if (rc == 0 && o->piece.n > 0)
		rc = http_response_write(o->x, buf_view(&o->piece), err);
	buf_reset(&o->piece);
	return rc;
}

static struct dialect_writer *writer_now(struct out *o)
{
	o->writer->now_us = rt_now().ns / 1000;
	return o->writer;
}

/* What a beginning and the end of a choice become waits for what comes with them: the first text,
 * or the end of all. Until then nothing is lost: a failure has its status still, or no invented
 * end. */
static bool can_wait(const struct inference_event *e)
{
	return e->kind == INFERENCE_STARTED || e->kind == INFERENCE_CHOICE_END;
}

static int emit_stream(void *arg, const struct inference_event *e, struct err *err)
{
	struct out *o = arg;
	int rc = sem_acquire(&o->turn, err);
	if (rc)
		return rc;
	o->any_since_pulse |= !can_wait(e);
	o->call->dialect->event(writer_now(o), e, &o->piece);
	rc = can_wait(e) ? buf_ok(&o->piece, err)
			 : send_piece(o, e->kind == INFERENCE_FINISHED, err);
	sem_release(&o->turn);
	return rc;
}

/* While nothing comes, the client hears a sign of life now and then. The fiber that says it lives
 * no longer than that takes: thousands may be silent at once. */
static void pulse(void *arg)
{
	struct out *o = arg;
	if (sem_acquire(&o->turn, NULL) != 0)
		return;
	o->call->dialect->pulse(writer_now(o), &o->piece);
	int rc = send_piece(o, false, NULL);
	sem_release(&o->turn);
	if (rc == 0)
		begin_pulse(o);
}

static void pulse_due(void *arg)
{
	struct out *o = arg;
	bool quiet = !o->any_since_pulse;
	o->any_since_pulse = false;
	if (!quiet || fiber_spawn(&o->scope, "pulse", pulse, o, NULL) != 0)
		begin_pulse(o);
}

static void begin_pulse(struct out *o)
{
	/* Without memory there are no more of them. */
	(void)!timer_set(&o->pulse_timer, duration_ms(PULSE_MS), pulse_due, o, NULL);
}

/* The failure of an answer that has begun. */
static int stream_failure(struct out *o, const struct err *why)
{
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(GOODBYE_LIMIT_MS));
	buf_reset(&o->piece);
	o->call->dialect->failure(writer_now(o), why, &o->piece);
	int rc = send_piece(o, true, NULL);
	scope_close(&sc);
	return rc;
}

static int run_stream(struct out *o, const struct serve_service *svc, struct err *err)
{
	scope_open(&o->scope, DURATION_FOREVER);
	begin_pulse(o);
	int rc = svc->infer(svc->arg, o->call, emit_stream, o, err);
	timer_stop(&o->pulse_timer);
	scope_cancel(&o->scope);
	scope_close(&o->scope);
	timer_stop(&o->pulse_timer); /* by a last pulse */
	return rc;
}

/* ---- not streaming ------------------------------------------------------------------------- */

static int respond_whole(struct out *o, const struct inference_result *result, struct err *err)
{
	struct buf document = BUF_INIT(DOCUMENT_MAX);
	o->call->dialect->whole(writer_now(o), result, &document);
	int rc = buf_ok(&document, err);
	if (rc == 0) {
		identify_answer(o->x, o->call);
		rc = http_respond(o->x, 200, "application/json", buf_view(&document), err);
	}
	buf_free(&document);
	return rc;
}

/* An answer that does not fit is told apart from a request that somebody found too large. */
struct whole {
	struct inference_result *result;
	bool full;
};

static int collect_whole(void *arg, const struct inference_event *e, struct err *err)
{
	struct whole *w = arg;
	int rc = inference_collect(w->result, e, err);
	w->full = rc == E_TOO_LARGE;
	return rc;
}

/* `*answered`: whether an error is one of telling the client, no longer of the inference. */
static int run_whole(
    struct out *o, const struct serve_service *svc, bool *answered, struct err *err)
{
	struct whole whole = {
	    .result = inference_result_new(o->writer, o->call->req->choices, ANSWER_MAX)};
	if (!whole.result)
		return err_set(err, E_MEMORY, "no memory for an answer");
	int rc = svc->infer(svc->arg, o->call, collect_whole, &whole, err);
	if (rc == E_TOO_LARGE && whole.full)
		rc = err_set(err, E_UPSTREAM, "the answer is too large: ask for it as a stream");
	if (rc == 0) {
		*answered = true;
		rc = respond_whole(o, whole.result, err);
	}
	talloc_free(whole.result);
	return rc;
}

/* ---- the exchange -------------------------------------------------------------------------- */

/* 0 once the client has been told: then the exchange is in order, and its connection too. */
static int answer_failure(struct out *o, const struct err *why, struct err *err)
{
	if (http_exchange_hung_up(o->x))
		return err_set(err, E_CANCELLED, "the client hung up");
	int rc;
	if (http_response_begun(o->x)) {
		rc = stream_failure(o, why);
	} else {
		struct scope sc;
		scope_open_shielded(&sc, duration_ms(GOODBYE_LIMIT_MS));
		if (o->call->explanation)
			http_response_header(o->x, HEADER_EXPLAIN, o->call->explanation);
		rc = serve_error(o->x, o->call->dialect, why, NULL);
		scope_close(&sc);
	}
	return rc ? err_set(err, rc, "%s; the client could not be told", err_text(why)) : 0;
}

static struct duration limit_of(const struct serve_service *svc, const struct serve_call *call)
{
	if (call->deadline_ms >= 0 && duration_ms(call->deadline_ms).ns < svc->limit.ns)
		return duration_ms(call->deadline_ms);
	return svc->limit;
}

static int run_limited(struct out *o, const struct serve_service *svc, struct err *err)
{
	bool answered = false;
	struct err why = {0};
	struct scope sc;
	scope_open(&sc, limit_of(svc, o->call));
	int rc =
	    o->call->req->stream ? run_stream(o, svc, &why) : run_whole(o, svc, &answered, &why);
	scope_close(&sc);
	if (rc == 0 || answered)
		return rc ? err_copy(err, &why) : 0;
	why.code = rc;
	return answer_failure(o, &why, err);
}

static int run(struct http_exchange *x, const struct serve_service *svc, struct serve_call *call,
    struct err *err)
{
	struct out o = {
	    .x = x,
	    .call = call,
	    .answer =
		{
		    .model = call->model,
		    .created_s = world_wall_ms(svc->world) / 1000,
		    .began_us = rt_now().ns / 1000,
		    .req = call->req,
		},
	    .turn = {.free = 1},
	    .piece = BUF_INIT(PIECE_MAX),
	};
	world_random(svc->world, o.answer.random, sizeof o.answer.random);
	int rc = dialect_writer_new(NULL, call->dialect, &o.answer, &o.writer, err);
	if (rc)
		return rc;
	rc = run_limited(&o, svc, err);
	talloc_free(o.writer);
	buf_free(&o.piece);
	return rc;
}

/* The head and the body of an exchange; its errors are for the server to answer. */
static int take_request(struct http_exchange *x, const struct serve_service *svc,
    struct serve_call *call, struct buf *body, struct err *err)
{
	const struct http_head *head = http_request(x);
	take_request_id(svc->world, head, call->ctx.request_id);
	http_response_header(x, HEADER_REQUEST_ID, call->ctx.request_id);
	if (svc->id_header)
		http_response_header(x, svc->id_header, call->ctx.request_id);
	int rc = read_headers(head, call, err);
	return rc ? rc : http_body_read_all(x, SERVE_BODY_MAX, body, err);
}

int serve_inference(struct http_exchange *x, const struct dialect *d,
    const struct serve_service *svc, struct err *err)
{
	struct serve_call call = {.dialect = d};
	struct buf body = BUF_INIT(SERVE_BODY_MAX);
	int rc = take_request(x, svc, &call, &body, err);
	if (rc) {
		buf_free(&body);
		return rc;
	}
	struct err why = {0};
	struct inference_request *req;
	rc = d->parse(NULL, buf_view(&body), &req, &why);
	buf_free(&body);
	if (rc)
		return serve_error(x, d, &why, err);
	call.req = req;
	memcpy(call.model, req->model, sizeof call.model);
	rc = http_exchange_watch(x, err);
	if (rc == 0)
		rc = run(x, svc, &call, err);
	talloc_free(req);
	return rc;
}

/* ---- embeddings ---------------------------------------------------------------------------- */

static int respond_embeddings(struct http_exchange *x, const struct embedding_dialect *d,
    const struct serve_call *call, const struct embedding_result *result, struct instant began,
    struct err *err)
{
	struct buf document = BUF_INIT(DOCUMENT_MAX);
	d->write(
	    call->embed, result, call->model, instant_since(rt_now(), began).ns / 1000, &document);
	int rc = buf_ok(&document, err);
	if (rc == 0) {
		identify_answer(x, call);
		rc = http_respond(x, 200, "application/json", buf_view(&document), err);
	}
	buf_free(&document);
	return rc;
}

static int run_embed(struct http_exchange *x, const struct embedding_dialect *d,
    const struct serve_service *svc, struct serve_call *call, struct err *err)
{
	struct instant began = rt_now();
	struct embedding_result result = {0};
	struct err why = {0};
	struct scope sc;
	scope_open(&sc, limit_of(svc, call));
	int rc = svc->embed
		     ? svc->embed(svc->arg, call, (void *)(uintptr_t)call->embed, &result, &why)
		     : err_set(&why, E_UNSUPPORTED, "no embeddings are made here");
	scope_close(&sc);
	if (rc == 0)
		return respond_embeddings(x, d, call, &result, began, err);
	if (http_exchange_hung_up(x))
		return err_set(err, E_CANCELLED, "the client hung up");
	why.code = rc;
	scope_open_shielded(&sc, duration_ms(GOODBYE_LIMIT_MS));
	rc = respond_error(x, d->error, &why, err);
	scope_close(&sc);
	return rc;
}

int serve_embeddings(struct http_exchange *x, const struct embedding_dialect *d,
    const struct serve_service *svc, struct err *err)
{
	struct serve_call call = {.dialect = NULL};
	struct buf body = BUF_INIT(SERVE_BODY_MAX);
	int rc = take_request(x, svc, &call, &body, err);
	struct err why = {0};
	struct embedding_request *req = NULL;
	int bad = rc ? 0 : d->parse(NULL, buf_view(&body), &req, &why);
	buf_free(&body);
	if (rc)
		return rc;
	if (bad)
		return respond_error(x, d->error, &why, err);
	call.embed = req;
	memcpy(call.model, req->model, sizeof call.model);
	rc = http_exchange_watch(x, err);
	if (rc == 0)
		rc = run_embed(x, d, svc, &call, err);
	talloc_free(req);
	return rc;
}
