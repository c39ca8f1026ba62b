/* Codecs against each other: requests and answers made at random, written by one side, read by the
 * other, and compared as text. */
#ifndef TESTS_DIALECT_CODEC_HELP_H
#define TESTS_DIALECT_CODEC_HELP_H

#include "base/encode.h"
#include "dialect/dialect.h"
#include "dialect/json.h"
#include "http/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

/* ---- chance -------------------------------------------------------------------------------- */

struct chance {
	uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
	uint64_t z = (c->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline unsigned below(struct chance *c, unsigned n)
{
	return (unsigned)(chance_next(c) % n);
}

static inline bool one_in(struct chance *c, unsigned n)
{
	return below(c, n) == 0;
}

/* 1 to n characters of every length in UTF-8, and those that JSON and event streams escape. */
static inline char *random_text(void *mem, struct chance *c, unsigned n)
{
	static const char *const some[] = {"a", "Z", " ", "\"", "\\", "\n", "\r", "\t", "\x01",
	    "\x7f", "[", "}", "data: ", "\xc3\xa9", "\xe2\x82\xac", "\xe2\x80\xa8", "\xef\xbb\xbf",
	    "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
	char *s = talloc_strdup(mem, "x");

	for (unsigned k = below(c, n); k > 0; k--)
		s = talloc_strdup_append(s, some[below(c, sizeof some / sizeof some[0])]);
	assert_non_null(s);
	return s;
}

static inline struct bytes random_bytes(void *mem, struct chance *c, unsigned n)
{
	return bytes_str(random_text(mem, c, n));
}

/* ---- requests ------------------------------------------------------------------------------ */

/* What a form can say. */
struct abilities {
	bool penalties, seed, min_p, logprobs, any_json, image_urls, mixed_parts, forced_tools,
	    failed_tools, reasoning, seals, strict, keep_alive, developer, tool_names;
	double max_temperature;
	const char *between; /* how it joins texts */
};

static inline char *random_name(void *mem, struct chance *c, const char *begin)
{
	return talloc_asprintf(mem, "%s%u", begin, below(c, 1000));
}

static inline struct bytes random_object(void *mem, struct chance *c)
{
	struct buf b = BUF_INIT(1 << 20);
	struct bytes copy;

	buf_str(&b, "{\"type\":\"object\",\"n\":");
	buf_printf(&b, "%d,\"s\":", (int)below(c, 100000) - 50000);
	json_put_text(&b, random_bytes(mem, c, 6));
	buf_str(&b, ",\"list\":[true,null,0.5]}");
	/* as jansson writes it, so that it comes back to the byte */
	json_t *v = NULL;
	assert_int_equal(json_read(buf_view(&b), &v, NULL), 0);
	buf_reset(&b);
	assert_int_equal(json_write(v, &b, NULL), 0);
	json_decref(v);
	copy = bytes_of(talloc_memdup(mem, b.p, b.n + 1), b.n);
	buf_free(&b);
	return copy;
}

static inline struct inference_message *add_message(
    struct inference_request *r, const char *role, struct bytes content)
{
	r->messages =
	    talloc_realloc(r, r->messages, struct inference_message, (unsigned)r->n_messages + 1);
	assert_non_null(r->messages);
	r->messages[r->n_messages] =
	    (struct inference_message){.role = talloc_strdup(r, role), .content = content};
	return &r->messages[r->n_messages++];
}

static inline void random_parts(struct inference_request *r, struct inference_message *m,
    struct chance *c, const struct abilities *can)
{
	size_t n = 1 + below(c, 3);
	char *joined = talloc_strdup(r, "");
	bool any = false;

	m->parts = talloc_zero_array(r, struct inference_part, (unsigned)n + 1);
	for (size_t i = 0; i < n + 1; i++) {
		bool image = can->mixed_parts ? one_in(c, 2) : i > 0;
		struct inference_part *p = &m->parts[i];

		if (i == n && m->n_parts == n)
			image = true; /* at least one picture, or it would be plain text */
		m->n_parts = i + 1;
		p->kind = image ? INFERENCE_PART_IMAGE : INFERENCE_PART_TEXT;
		if (image && can->image_urls && one_in(c, 2)) {
			p->text = bytes_str("https://example.org/a.png?x=\"1\"");
		} else if (image) {
			p->text = bytes_str("data:image/png;base64,iVBORw0KGgoAAAA=");
		} else {
			p->text = random_bytes(r, c, 6);
			joined = talloc_asprintf_append(
			    joined, "%s%s", any ? can->between : "", (const char *)p->text.p);
			any = true;
		}
	}
	m->content = bytes_str(joined);
}

static inline void random_calls(
    struct inference_request *r, size_t at, struct chance *c, const struct abilities *can)
{
	size_t n = 1 + below(c, 3);

	r->messages[at].tool_calls = talloc_zero_array(r, struct inference_tool_call, (unsigned)n);
	r->messages[at].n_tool_calls = n;
	for (size_t i = 0; i < n; i++) {
		struct inference_tool_call *call = &r->messages[at].tool_calls[i];
		struct inference_message *m;

		call->id = talloc_asprintf(r, "call_%zu_%zu", at, i);
		call->name = random_name(r, c, "tool_");
		call->arguments = random_object(r, c);
		m = add_message(r, "tool", random_bytes(r, c, 9));
		call = &r->messages[at].tool_calls[i];
		m->tool_call_id = call->id;
		m->name = can->tool_names ? call->name : NULL;
		m->failed = can->failed_tools && one_in(c, 3);
	}
}

static inline void random_conversation(
    struct inference_request *r, struct chance *c, const struct abilities *can)
{
	size_t turns = 1 + below(c, 4);

	if (one_in(c, 2))
		add_message(r, "system", random_bytes(r, c, 20));
	for (size_t i = 0; i < turns; i++) {
		struct inference_message *m = add_message(r, "user", random_bytes(r, c, 20));

		if (one_in(c, 4))
			random_parts(r, m, c, can);
		if (i + 1 == turns)
			break;
		m = add_message(r, "assistant", random_bytes(r, c, 20));
		if (can->reasoning && one_in(c, 3))
			m->reasoning = random_bytes(r, c, 9);
		if (can->seals && m->reasoning.n > 0)
			m->reasoning_seal = random_bytes(r, c, 9);
		if (one_in(c, 2))
			random_calls(r, r->n_messages - 1, c, can);
	}
}

static inline void random_tools(
    struct inference_request *r, struct chance *c, const struct abilities *can)
{
	r->n_tools = 1 + below(c, 4);
	r->tools = talloc_zero_array(r, struct inference_tool, (unsigned)r->n_tools);
	for (size_t i = 0; i < r->n_tools; i++) {
		r->tools[i].name = random_name(r, c, "tool_");
		r->tools[i].description = one_in(c, 3) ? NULL : random_text(r, c, 9);
		r->tools[i].parameters = random_object(r, c);
		r->tools[i].strict = can->strict && one_in(c, 3);
	}
	if (!can->forced_tools)
		return;
	r->tool_choice = (enum inference_tool_choice)below(c, 4);
	if (r->tool_choice == TOOL_CHOICE_NAMED)
		r->tool_name = r->tools[0].name;
	r->no_parallel_tool_calls = r->tool_choice != TOOL_CHOICE_NONE && one_in(c, 3);
}

static inline void random_sampling(
    struct inference_sampling *s, struct chance *c, const struct abilities *can)
{
	if ((s->has_temperature = one_in(c, 2)))
		s->temperature = can->max_temperature * below(c, 1001) / 1000;
	if ((s->has_top_p = one_in(c, 2)))
		s->top_p = below(c, 1001) / 1000.0;
	if ((s->has_top_k = one_in(c, 2)))
		s->top_k = 1 + (int32_t)below(c, 500);
	if ((s->has_min_p = can->min_p && one_in(c, 2)))
		s->min_p = below(c, 1001) / 1000.0;
	if ((s->has_seed = can->seed && one_in(c, 2)))
		s->seed = (int64_t)below(c, 1u << 31);
	if ((s->has_repeat_penalty = can->penalties && one_in(c, 2)))
		s->repeat_penalty = 1 + below(c, 100) / 100.0;
	if (can->penalties && one_in(c, 2))
		s->frequency_penalty = below(c, 400) / 100.0 - 2;
	if (can->penalties && one_in(c, 2))
		s->presence_penalty = below(c, 400) / 100.0 - 2;
}

static inline struct inference_request *random_request(
    void *mem, struct chance *c, const struct abilities *can)
{
	static const char *const efforts[] = {"", "none", "low", "medium", "high"};
	struct inference_request *r = talloc_zero(mem, struct inference_request);

	assert_non_null(r);
	snprintf(r->model, sizeof r->model, "org/model-%u:7b", below(c, 100));
	random_conversation(r, c, can);
	if (one_in(c, 2))
		random_tools(r, c, can);
	random_sampling(&r->sampling, c, can);
	r->choices = 1;
	r->stream = r->include_usage = true;
	r->max_tokens = 40000 + (int64_t)below(c, 1000);
	for (unsigned k = below(c, 4); k > 0; k--)
		r->stop[r->n_stop++] = random_bytes(r, c, 5);
	if (one_in(c, 4)) {
		r->format = FORMAT_SCHEMA;
		r->schema = random_object(r, c);
	} else if (can->any_json && one_in(c, 4)) {
		r->format = FORMAT_JSON;
	}
	if (can->logprobs && (r->logprobs = one_in(c, 3)))
		r->top_logprobs = below(c, 21);
	if (can->keep_alive && (r->has_keep_alive = one_in(c, 3)))
		r->keep_alive_s = (int64_t)below(c, 1000) - 1;
	if (one_in(c, 4))
		r->continuation.text = random_bytes(r, c, 9);
	else if (strcmp(r->messages[r->n_messages - 1].role, "user") == 0)
		snprintf(
		    r->reasoning_effort, sizeof r->reasoning_effort, "%s", efforts[below(c, 5)]);
	return r;
}

static inline void dump_bytes(struct buf *out, const char *name, struct bytes v)
{
	if (v.n == 0)
		return;
	buf_printf(out, " %s=", name);
	json_put_text(out, v);
}

static inline void dump_string(struct buf *out, const char *name, const char *v)
{
	if (v)
		dump_bytes(out, name, bytes_str(v));
}

static inline void dump_message(struct buf *out, const struct inference_message *m)
{
	buf_printf(out, "\n%s%s", m->role, m->failed ? " failed" : "");
	dump_bytes(out, "content", m->content);
	dump_bytes(out, "reasoning", m->reasoning);
	dump_bytes(out, "seal", m->reasoning_seal);
	dump_string(out, "answers", m->tool_call_id);
	dump_string(out, "name", m->name);
	for (size_t i = 0; i < m->n_parts; i++) {
		dump_bytes(out, m->parts[i].kind == INFERENCE_PART_IMAGE ? "image" : "text",
		    m->parts[i].text);
		dump_string(out, "detail", m->parts[i].detail);
	}
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		dump_string(out, "call", m->tool_calls[i].id);
		dump_string(out, "of", m->tool_calls[i].name);
		dump_bytes(out, "arguments", m->tool_calls[i].arguments);
	}
}

static inline void dump_sampling(struct buf *out, const struct inference_sampling *s)
{
	if (s->has_temperature)
		buf_printf(out, " temperature=%.17g", s->temperature);
	if (s->has_top_p)
		buf_printf(out, " top_p=%.17g", s->top_p);
	if (s->has_top_k)
		buf_printf(out, " top_k=%d", (int)s->top_k);
	if (s->has_min_p)
		buf_printf(out, " min_p=%.17g", s->min_p);
	if (s->has_repeat_penalty)
		buf_printf(out, " repeat=%.17g", s->repeat_penalty);
	if (s->has_seed)
		buf_printf(out, " seed=%lld", (long long)s->seed);
	buf_printf(
	    out, " frequency=%.17g presence=%.17g", s->frequency_penalty, s->presence_penalty);
}

/* All of a request, as text. */
static inline void dump_request(struct buf *out, const struct inference_request *r)
{
	buf_printf(out, "kind=%d model=%s choices=%u max=%lld stream=%d usage=%d", (int)r->kind,
	    r->model, r->choices, (long long)r->max_tokens, r->stream, r->include_usage);
	dump_sampling(out, &r->sampling);
	buf_printf(out, " format=%d logprobs=%d/%u effort=%s keep=%d/%lld echo=%d biases=%zu",
	    (int)r->format, r->logprobs, r->top_logprobs, r->reasoning_effort, r->has_keep_alive,
	    (long long)r->keep_alive_s, r->echo, r->n_biases);
	dump_bytes(out, "schema", r->schema);
	dump_string(out, "schema_name", r->schema_name);
	for (size_t i = 0; i < r->n_stop; i++)
		dump_bytes(out, "stop", r->stop[i]);
	dump_bytes(out, "prompt", r->prompt);
	dump_bytes(out, "suffix", r->suffix);
	for (size_t i = 0; i < r->n_messages; i++)
		dump_message(out, &r->messages[i]);
	for (size_t i = 0; i < r->n_tools; i++) {
		buf_printf(out, "\ntool %s strict=%d", r->tools[i].name, r->tools[i].strict);
		dump_string(out, "description", r->tools[i].description);
		dump_bytes(out, "parameters", r->tools[i].parameters);
	}
	buf_printf(out, "\nchoice=%d parallel=%d", (int)r->tool_choice, !r->no_parallel_tool_calls);
	dump_string(out, "named", r->tool_name);
	dump_bytes(out, "\ncontinuation", r->continuation.text);
	dump_bytes(out, "extra", r->extra);
}

/* Written as a request to such an upstream and parsed as such a dialect's, it is the same. */
static inline void check_request(
    const struct dialect *d, const struct upstream *u, const struct inference_request *req)
{
	struct buf body = BUF_INIT(4 << 20), before = BUF_INIT(4 << 20), after = BUF_INIT(4 << 20);
	struct inference_request *back = NULL;
	struct err err = {0};
	const char *path = NULL;

	if (u->request(req, &path, &body, &err) != 0)
		fail_msg("not written: %s", err.text);
	assert_non_null(path);
	if (d->parse(NULL, buf_view(&body), &back, &err) != 0)
		fail_msg("%s\n%s", err.text, buf_cstr(&body));
	dump_request(&before, req);
	dump_request(&after, back);
	if (!bytes_equal(buf_view(&before), buf_view(&after)))
		fail_msg("%s\n---- became\n%s\n---- by\n%s", buf_cstr(&before), buf_cstr(&after),
		    buf_cstr(&body));
	talloc_free(back);
	buf_free(&body);
	buf_free(&before);
	buf_free(&after);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Events as text: pieces that follow each other are joined. */
struct record {
	struct buf text;
	enum inference_event_kind last;
	unsigned last_tool;
};

static inline void record_piece(struct record *r, const struct inference_event *e)
{
	static const char *const names[] = {
	    [INFERENCE_TEXT] = "text ",
	    [INFERENCE_REASONING] = "thoughts ",
	    [INFERENCE_TOOL_CALL] = "call ",
	};
	bool joined = r->text.n > 0 && r->last == e->kind && !e->tool_id &&
		      (e->kind != INFERENCE_TOOL_CALL || r->last_tool == e->tool_index);

	if (!joined)
		buf_printf(&r->text, "\n%s", names[e->kind]);
	if (!joined && e->kind == INFERENCE_TOOL_CALL)
		buf_printf(&r->text, "%u ", e->tool_index);
	if (e->tool_id)
		buf_printf(&r->text, "%s %s ", e->tool_id, e->tool_name);
	buf_bytes(&r->text, e->text);
	dump_bytes(&r->text, "seal", e->seal);
}

static inline int record_event(void *arg, const struct inference_event *e, struct err *err)
{
	struct record *r = arg;

	assert_int_equal(utf8_valid_prefix(e->text), e->text.n);
	switch (e->kind) {
	case INFERENCE_STARTED:
		buf_str(&r->text, "started");
		break;
	case INFERENCE_TEXT:
	case INFERENCE_REASONING:
	case INFERENCE_TOOL_CALL:
		record_piece(r, e);
		break;
	case INFERENCE_NOTICE:
		return 0;
	case INFERENCE_CHOICE_END:
		buf_printf(&r->text, "\nend %u %d", e->choice, (int)e->finish);
		dump_bytes(&r->text, "stop", e->stop);
		break;
	case INFERENCE_FINISHED:
		buf_printf(&r->text, "\nfinished %lld %lld %lld %lld",
		    (long long)e->usage.prompt_tok, (long long)e->usage.completion_tok,
		    (long long)e->usage.cached_tok, (long long)e->usage.reasoning_tok);
		break;
	}
	r->last = e->kind;
	r->last_tool = e->tool_index;
	return 0;
}

/* What a form can say in answers. */
struct answer_abilities {
	bool reasoning, seals, cached, reasoning_count, stop_strings, filter, whole_calls, no_calls;
};

struct answering {
	struct chance *c;
	const struct answer_abilities *can;
	inference_emit_fn emit[2]; /* both get every event */
	void *arg[2];
	unsigned n_tools;
	void *mem;
};

static inline void answer_event(struct answering *a, const struct inference_event *e)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(a->emit[i](a->arg[i], e, NULL), 0);
}

static inline void answer_call(struct answering *a)
{
	struct bytes arguments = random_object(a->mem, a->c);
	size_t cut = a->can->whole_calls ? arguments.n : below(a->c, (unsigned)arguments.n);
	unsigned index = a->n_tools++;

	while (cut > 0 && cut < arguments.n && (arguments.p[cut] & 0xc0) == 0x80)
		cut--;
	answer_event(a, &(struct inference_event){.kind = INFERENCE_TOOL_CALL,
			    .tool_index = index,
			    .tool_id = talloc_asprintf(a->mem, "call_%u", index),
			    .tool_name = random_name(a->mem, a->c, "tool_"),
			    .text = bytes_of(arguments.p, cut)});
	if (cut < arguments.n)
		answer_event(a, &(struct inference_event){.kind = INFERENCE_TOOL_CALL,
				    .tool_index = index,
				    .text = bytes_of(arguments.p + cut, arguments.n - cut)});
}

static inline void random_answer(struct answering *a)
{
	struct inference_event end = {.kind = INFERENCE_CHOICE_END};
	struct inference_event last = {.kind = INFERENCE_FINISHED};

	answer_event(a, &(struct inference_event){.kind = INFERENCE_STARTED});
	for (unsigned k = a->can->reasoning ? below(a->c, 4) : 0; k > 0; k--)
		answer_event(a, &(struct inference_event){.kind = INFERENCE_REASONING,
				    .text = random_bytes(a->mem, a->c, 6)});
	if (a->can->seals && one_in(a->c, 2))
		answer_event(a, &(struct inference_event){.kind = INFERENCE_REASONING,
				    .seal = random_bytes(a->mem, a->c, 6)});
	for (unsigned k = below(a->c, 6); k > 0; k--)
		answer_event(a, &(struct inference_event){
				    .kind = INFERENCE_TEXT, .text = random_bytes(a->mem, a->c, 6)});
	for (unsigned k = one_in(a->c, 2) && !a->can->no_calls ? below(a->c, 4) : 0; k > 0; k--)
		answer_call(a);
	if (a->n_tools > 0)
		end.finish = FINISH_TOOL_CALLS;
	else
		end.finish = one_in(a->c, 2) ? FINISH_STOP : FINISH_LENGTH;
	if (a->can->filter && a->n_tools == 0 && one_in(a->c, 5))
		end.finish = FINISH_CONTENT_FILTER;
	if (a->can->stop_strings && end.finish == FINISH_STOP && one_in(a->c, 2))
		end.stop = random_bytes(a->mem, a->c, 4);
	answer_event(a, &end);
	last.usage = (struct inference_usage){.prompt_tok = 50 + (int64_t)below(a->c, 1000),
	    .completion_tok = (int64_t)below(a->c, 1000),
	    .cached_tok = a->can->cached ? (int64_t)below(a->c, 50) : -1,
	    .reasoning_tok = a->can->reasoning_count ? (int64_t)below(a->c, 50) : -1};
	answer_event(a, &last);
}

/* An inference_emit_fn that writes into a buffer. */
struct writing {
	struct dialect_writer *w;
	struct buf out;
};

static inline int write_event(void *arg, const struct inference_event *e, struct err *err)
{
	struct writing *t = arg;

	t->w->now_us += 1000;
	t->w->dialect->event(t->w, e, &t->out);
	assert_false(t->out.failed);
	return 0;
}

static inline void take_lines(struct upstream_reader *r, struct bytes all)
{
	while (all.n > 0) {
		const uint8_t *end = memchr(all.p, '\n', all.n);
		struct err err = {0};

		assert_non_null(end);
		if (r->upstream->take(r, "", bytes_of(all.p, (size_t)(end - all.p)), &err) != 0)
			fail_msg("%s", err.text);
		all = bytes_of(end + 1, all.n - (size_t)(end + 1 - all.p));
	}
}

static inline void take_events(struct upstream_reader *r, struct bytes all)
{
	struct sse_parser p;
	struct sse_event e;
	struct err err = {0};

	sse_parser_init(&p, 4 << 20);
	while (sse_parser_next(&p, &all, &e, &err) == 1)
		if (r->upstream->take(r, e.event, e.data, &err) != 0)
			fail_msg("%s: %s", err.text, (const char *)e.data.p);
	assert_int_equal(err.code, 0);
	sse_parser_free(&p);
}

static inline struct dialect_writer *new_writer(
    void *mem, const struct dialect *d, const struct inference_request *req)
{
	struct dialect_answer *a = talloc_zero(mem, struct dialect_answer);
	struct dialect_writer *w;

	*a = (struct dialect_answer){
	    .random = {1, 2, 3}, .model = "m", .created_s = 1700000000, .began_us = 5, .req = req};
	assert_int_equal(dialect_writer_new(mem, d, a, &w, NULL), 0);
	return w;
}

/* An answer at random, written as a stream of the dialect and read as an upstream's: the same. */
static inline void check_answer(struct chance *c, const struct dialect *d, const struct upstream *u,
    const struct inference_request *req, const struct answer_abilities *can)
{
	void *mem = talloc_new(NULL);
	struct record before = {.text = BUF_INIT(4 << 20)}, after = {.text = BUF_INIT(4 << 20)};
	struct writing t = {new_writer(mem, d, req), BUF_INIT(4 << 20)};
	struct answering a = {c, can, {write_event, record_event}, {&t, &before}, 0, mem};
	struct upstream_reader *r;

	random_answer(&a);
	assert_int_equal(utf8_valid_prefix(buf_view(&t.out)), t.out.n);
	assert_int_equal(upstream_reader_new(mem, u, req, record_event, &after, &r, NULL), 0);
	if (u->framing == UPSTREAM_SSE)
		take_events(r, buf_view(&t.out));
	else
		take_lines(r, buf_view(&t.out));
	assert_int_equal(u->end(r, NULL), 0);
	if (!bytes_equal(buf_view(&before.text), buf_view(&after.text)))
		fail_msg("%s\n---- became\n%s\n---- by\n%s", buf_cstr(&before.text),
		    buf_cstr(&after.text), buf_cstr(&t.out));
	buf_free(&t.out);
	buf_free(&before.text);
	buf_free(&after.text);
	talloc_free(mem);
}

/* ---- vectors ------------------------------------------------------------------------------- */

static inline struct inference_request *parse_ok(
    void *mem, const struct dialect *d, const char *body)
{
	struct inference_request *req = NULL;
	struct err err = {0};

	if (d->parse(mem, bytes_str(body), &req, &err) != 0)
		fail_msg("%s\n%s", body, err.text);
	return req;
}

struct refused {
	const char *body;
	int code;
	const char *param;
};

static inline void check_refused(const struct dialect *d, const struct refused *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct inference_request *req = NULL;
		struct err err = {0};
		void *mem = talloc_new(NULL);
		int rc = d->parse(mem, bytes_str(table[i].body), &req, &err);

		if (rc != table[i].code || strcmp(err.param, table[i].param) != 0)
			fail_msg("%s\ngave %d, \"%s\", param \"%s\"", table[i].body, rc, err.text,
			    err.param);
		assert_int_equal(talloc_total_blocks(mem), 1); /* nothing is left behind */
		talloc_free(mem);
	}
}

#endif
