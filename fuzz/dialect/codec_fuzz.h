/* What the fuzz targets of the dialects share. A broken promise aborts. */
#ifndef FUZZ_DIALECT_CODEC_FUZZ_H
#define FUZZ_DIALECT_CODEC_FUZZ_H

#include "base/encode.h"
#include "dialect/dialect.h"
#include "dialect/json.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ROOM (64u << 20)

static inline void hold(bool promise)
{
	if (!promise)
		abort();
}

/* Refusals are the client's fault, and say so. */
static inline bool parsed(int rc, const struct err *err)
{
	hold(rc == 0 || (err->code == rc && err->text[0] && err_info(rc)->http_status < 500));
	return rc == 0;
}

/* What an accepted request becomes at an upstream is read there, and after one round nothing
 * changes any more. */
static inline void check_rounds(const struct dialect *d, const struct upstream *u, void *mem,
    const struct inference_request *req)
{
	struct buf texts[3] = {BUF_INIT(FUZZ_ROOM), BUF_INIT(FUZZ_ROOM), BUF_INIT(FUZZ_ROOM)};

	for (int i = 0; i < 3; i++) {
		struct inference_request *back = NULL;
		struct err err = {0};
		const char *path = NULL;

		hold(u->request(req, &path, &texts[i], &err) == 0);
		hold(d->parse(mem, buf_view(&texts[i]), &back, &err) == 0);
		req = back;
	}
	hold(bytes_equal(buf_view(&texts[1]), buf_view(&texts[2])));
	for (int i = 0; i < 3; i++)
		buf_free(&texts[i]);
}

/* Events in a proper order, whatever the upstream sent; and what they become is UTF-8. */
struct order {
	struct dialect_writer *writers[4];
	size_t n_writers;
	struct inference_result *result;
	struct buf out;
	bool started, ended, finished;
	unsigned calls;
};

static inline int take_in_order(void *arg, const struct inference_event *e, struct err *err)
{
	struct order *o = arg;

	hold(!o->finished && (e->kind == INFERENCE_STARTED) == !o->started);
	hold(utf8_valid_prefix(e->text) == e->text.n);
	o->started = true;
	if (e->kind == INFERENCE_TOOL_CALL && e->tool_id)
		hold(e->tool_name && e->tool_index == o->calls++);
	if (e->kind == INFERENCE_TOOL_CALL)
		hold(e->tool_index < o->calls);
	if (e->kind == INFERENCE_TEXT || e->kind == INFERENCE_CHOICE_END)
		hold(!o->ended);
	o->ended = o->ended || e->kind == INFERENCE_CHOICE_END;
	o->finished = e->kind == INFERENCE_FINISHED;
	hold(!o->finished || o->ended);
	hold(inference_collect(o->result, e, NULL) == 0);
	for (size_t i = 0; i < o->n_writers; i++) {
		buf_reset(&o->out);
		o->writers[i]->dialect->event(o->writers[i], e, &o->out);
		hold(!o->out.failed && utf8_valid_prefix(buf_view(&o->out)) == o->out.n);
	}
	return 0;
}

/* The whole answer is JSON in every form. */
static inline void check_whole(struct order *o)
{
	for (size_t i = 0; i < o->n_writers; i++) {
		json_t *v;

		buf_reset(&o->out);
		o->writers[i]->dialect->whole(o->writers[i], o->result, &o->out);
		/* arguments, as deep as JSON may be, lie deeper in it */
		v = json_loadb((const char *)o->out.p, o->out.n, JSON_REJECT_DUPLICATES, NULL);
		hold(v != NULL);
		json_decref(v);
	}
}

static inline void order_begin(struct order *o, void *mem, const struct dialect *const *dialects,
    size_t n, const struct inference_request *req)
{
	struct dialect_answer *a = talloc_zero(mem, struct dialect_answer);

	*o = (struct order){.n_writers = n, .out = BUF_INIT(FUZZ_ROOM)};
	a->model = "m";
	a->req = req;
	o->result = inference_result_new(mem, 1, FUZZ_ROOM);
	for (size_t i = 0; i < n; i++)
		hold(dialect_writer_new(mem, dialects[i], a, &o->writers[i], NULL) == 0);
}

static inline void order_end(struct order *o)
{
	if (o->finished)
		check_whole(o);
	buf_free(&o->out);
}

#endif
