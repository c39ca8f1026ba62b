/* Legacy completions: a bare prompt, and an answer that is text alone. */
#include "base/encode.h"
#include "dialect/openai_read_priv.h"

#include <stdio.h>
#include <talloc.h>

#define ID_PREFIX "cmpl-"

/* ---- requests ------------------------------------------------------------------------------ */

/* A string, or an array of just one. Token ids mean nothing without knowing whose they are. */
static int read_prompt(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_prompt];

	if (!v)
		return openai_bad(r, E_INVALID, "is required", "prompt");
	if (v->kind == J_ARRAY && v->n > 0 && (v + 1)->kind != J_TEXT)
		return openai_bad(r, E_UNSUPPORTED, "token ids are not supported", "prompt");
	if (v->kind == J_ARRAY && v->n > 1)
		return openai_bad(
		    r, E_UNSUPPORTED, "only one prompt at a time is supported", "prompt");
	if (v->kind == J_ARRAY)
		v = jfirst(v);
	if (!jis(v, J_TEXT))
		return openai_bad(r, E_INVALID, "must be a string", "prompt");
	return openai_copy_text(r, jtext(v), &r->req->prompt);
}

static int read_suffix(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_suffix];

	if (v && v->kind != J_TEXT)
		return openai_bad(r, E_INVALID, "must be a string", "suffix");
	return v ? openai_copy_text(r, jtext(v), &r->req->suffix) : 0;
}

/* A number here, which also says how many others. */
static int read_logprobs(struct openai_reading *r)
{
	int64_t top = 0;
	int rc = 0;

	if (r->f[F_logprobs] && !jis(r->f[F_logprobs], J_FALSE))
		rc = openai_read_int(
		    r, F_logprobs, 0, INFERENCE_TOP_LOGPROBS, &r->req->logprobs, &top);
	r->req->top_logprobs = (unsigned)top;
	return rc;
}

/* The best of some is chosen by who has seen them all: nobody here. */
static int read_best_of(struct openai_reading *r)
{
	int64_t n = 1, best = 1;
	int rc = openai_read_int(r, F_n, 1, INFERENCE_CHOICES_MAX, NULL, &n);

	best = n;
	if (rc == 0)
		rc = openai_read_int(r, F_best_of, 1, INT32_MAX, NULL, &best);
	if (rc == 0 && best != n)
		rc = openai_bad(r, E_UNSUPPORTED, "only the value of n is supported", "best_of");
	return rc;
}

static int read_completion(struct openai_reading *r)
{
	int rc = read_prompt(r);

	if (rc == 0)
		rc = read_suffix(r);
	if (rc == 0)
		rc = openai_read_flag(r, r->f[F_echo], "echo", &r->req->echo);
	if (rc == 0)
		rc = read_logprobs(r);
	return rc ? rc : read_best_of(r);
}

static int parse(void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	return openai_read_request(mem, body, INFERENCE_COMPLETION, read_completion, out, err);
}

/* ---- log probabilities --------------------------------------------------------------------- */

/* A token as the name of a member: bytes that are no text are spelt out, as OpenAI did, since no
 * two members may have the same name. */
static void put_name(struct buf *out, struct bytes token)
{
	struct buf spelt = BUF_INIT(8 * token.n + 16);

	if (utf8_valid_prefix(token) == token.n && !(token.n > 0 && memchr(token.p, 0, token.n))) {
		json_put_text(out, token);
		return;
	}
	buf_str(&spelt, "bytes:");
	for (size_t i = 0; i < token.n; i++)
		buf_printf(&spelt, "\\x%02x", token.p[i]);
	json_put_text(out, buf_view(&spelt));
	buf_free(&spelt);
}

static bool named_before(const struct inference_logprob *p, size_t k)
{
	struct buf one = BUF_INIT(1 << 16), other = BUF_INIT(1 << 16);
	bool found = false;

	put_name(&one, p[k].token);
	for (size_t i = 0; i < k && !found; i++) {
		buf_reset(&other);
		put_name(&other, p[i].token);
		found = bytes_equal(buf_view(&one), buf_view(&other));
	}
	found |= one.failed;
	buf_free(&one);
	buf_free(&other);
	return found;
}

static void put_top(struct buf *out, const struct inference_logprob *p)
{
	bool any = false;

	buf_u8(out, '{');
	for (size_t k = 0; k < p->n_top; k++) {
		if (named_before(p->top, k))
			continue;
		if (any)
			buf_u8(out, ',');
		put_name(out, p->top[k].token);
		buf_printf(out, ":%.9g", openai_logprob(p->top[k].logprob));
		any = true;
	}
	buf_u8(out, '}');
}

static int64_t characters(struct bytes text)
{
	int64_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += (text.p[i] & 0xc0) != 0x80;
	return n;
}

/* *offset: characters of the text before; moved on. */
static void put_logprobs_of(
    struct buf *out, const struct inference_logprob *p, size_t n, int64_t *offset)
{
	if (n == 0) {
		buf_str(out, ",\"logprobs\":null");
		return;
	}
	buf_str(out, ",\"logprobs\":{\"tokens\":[");
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? "," : "");
		put_name(out, p[i].token);
	}
	buf_str(out, "],\"token_logprobs\":[");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%.9g", i ? "," : "", openai_logprob(p[i].logprob));
	buf_str(out, "],\"top_logprobs\":[");
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? "," : "");
		put_top(out, &p[i]);
	}
	buf_str(out, "],\"text_offset\":[");
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? "," : "");
		openai_put_int(out, *offset);
		*offset += characters(p[i].token);
	}
	buf_str(out, "]}");
}

/* ---- streaming ----------------------------------------------------------------------------- */

/* How far each choice has come, in characters. */
static int begin(struct dialect_writer *w, struct err *err)
{
	struct openai_writing *s;
	unsigned n = w->answer->req->choices ? w->answer->req->choices : 1;
	int rc = openai_begin(w, err);

	if (rc != 0)
		return rc;
	s = w->state;
	s->offsets = talloc_zero_array(s, int64_t, n);
	return s->offsets ? 0 : err_set(err, E_MEMORY, "no memory for an answer");
}

static void put_choice(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	struct openai_writing *s = w->state;

	openai_put_prefix(w, ID_PREFIX, "text_completion", out);
	buf_str(out, "{\"index\":");
	openai_put_int(out, e->choice);
	buf_str(out, ",\"text\":");
	json_put_text(out, e->kind == INFERENCE_TEXT ? e->text : bytes_str(""));
	if (e->n_logprobs == 0)
		s->offsets[e->choice] += characters(e->text);
	put_logprobs_of(out, e->logprobs, e->n_logprobs, &s->offsets[e->choice]);
	openai_put_tokens(w, e->tokens, e->n_tokens, out);
	if (e->kind == INFERENCE_TEXT) {
		buf_str(out, ",\"finish_reason\":null}]}\n\n");
		return;
	}
	openai_put_stop(out, e->stop);
	buf_str(out, ",\"finish_reason\":\"");
	buf_str(out, openai_finish_name(e->finish));
	buf_str(out, "\"}]}\n\n");
}

/* There is no place for thoughts or calls in this form, and no provider has any for a bare prompt.
 */
static void event(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	switch (e->kind) {
	case INFERENCE_NOTICE:
		openai_put_comment(out, e->text);
		break;
	case INFERENCE_STARTED:
	case INFERENCE_REASONING:
	case INFERENCE_TOOL_CALL:
		break;
	case INFERENCE_TEXT:
	case INFERENCE_CHOICE_END:
		put_choice(w, e, out);
		break;
	case INFERENCE_FINISHED:
		openai_put_finished(w, ID_PREFIX, "text_completion", &e->usage, out);
		break;
	}
}

/* ---- whole --------------------------------------------------------------------------------- */

static void whole(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	openai_put_head(out, w->answer, ID_PREFIX, "text_completion");
	buf_str(out, ",\"choices\":[");
	for (size_t i = 0; i < r->n_choices; i++) {
		const struct inference_choice *c = &r->choices[i];
		int64_t offset = w->answer->req->echo ? characters(w->answer->req->prompt) : 0;

		buf_str(out, i ? ",{\"index\":" : "{\"index\":");
		openai_put_int(out, (int64_t)i);
		buf_str(out, ",\"text\":");
		json_put_text(out, buf_view(&c->text));
		put_logprobs_of(out, c->logprobs, c->n_logprobs, &offset);
		openai_put_tokens(w, c->tokens, c->n_tokens, out);
		openai_put_stop(out, c->stop);
		buf_str(out, ",\"finish_reason\":\"");
		buf_str(out, openai_finish_name(c->finish));
		buf_str(out, "\"}");
	}
	buf_u8(out, ']');
	openai_put_usage(out, &r->usage);
	buf_u8(out, '}');
}

const struct dialect openai_completions = {
    .name = "openai.completions",
    .stream_type = "text/event-stream",
    .parse = parse,
    .begin = begin,
    .event = event,
    .pulse = openai_pulse,
    .failure = openai_failure,
    .whole = whole,
    .error = openai_error_write,
};
