/* Questions, answers, and the backend that gives them. See sums.h. */
#include "sim/sums.h"

#include "provider/engine_serve.h"

#include <stdio.h>

#define N_CTX        2048
#define COUNT_MAX    400
#define LOAD_MIN_MS  20
#define LOAD_MAX_MS  900
#define TOKEN_MIN_MS 2
#define TOKEN_MAX_MS 60
#define DROP_ONE_IN  400
#define QUESTION_MAX 256

/* ---- answers ------------------------------------------------------------------------------- */

static void count_to(int last, char out[SUMS_ANSWER_MAX])
{
	struct buf text = BUF_INIT(SUMS_ANSWER_MAX - 1);

	for (int i = 1; i <= last; i++)
		buf_printf(&text, "%s%d", i > 1 ? " " : "", i);
	(void)snprintf(out, SUMS_ANSWER_MAX, "%s.", buf_cstr(&text));
	buf_free(&text);
}

void sums_answer(const char *question, char out[SUMS_ANSWER_MAX])
{
	int a, b;

	if (sscanf(question, "What is %d+%d?", &a, &b) == 2)
		(void)snprintf(out, SUMS_ANSWER_MAX,
		    "%d + %d = %d. For %d \xe2\x88\x92 %d = %d, that must be right \xe2\x9c\x93", a,
		    b, a + b, a + b, b, a);
	else if (sscanf(question, "Count to %d.", &a) == 1 && a > 0 && a <= COUNT_MAX)
		count_to(a, out);
	else
		(void)snprintf(out, SUMS_ANSWER_MAX, "That is beyond me: I only know sums.");
}

/* The blank belongs to the token behind it. */
static size_t token_size(const char *text)
{
	size_t blanks = strspn(text, " ");

	return blanks + strcspn(text + blanks, " ");
}

size_t sums_prefix(const char *text, int64_t n)
{
	size_t at = 0;

	for (int64_t i = 0; i < n && text[at]; i++)
		at += token_size(text + at);
	return at;
}

int64_t sums_count_tokens(const char *text)
{
	int64_t n = 0;

	for (size_t at = 0; text[at]; n++)
		at += token_size(text + at);
	return n;
}

/* ---- the backend --------------------------------------------------------------------------- */

struct engine {
	struct world *world;
	struct sums *sums;
	bool loaded;
};

static struct duration drawn(struct engine *e, int min_ms, int max_ms)
{
	uint64_t range = (uint64_t)(max_ms - min_ms) * 1000;

	return duration_us(min_ms * 1000 + (int64_t)(world_random_u64(e->world) % range));
}

static int ready(void *arg, struct model_entry *out, struct err *err)
{
	struct engine *e = arg;
	int rc = e->loaded ? 0 : fiber_sleep(drawn(e, LOAD_MIN_MS, LOAD_MAX_MS));

	if (rc != 0)
		return err_set(err, rc, "loading was cut short");
	if (!e->loaded)
		e->sums->loads++;
	e->loaded = true;
	*out = (struct model_entry){
	    .id = SUMS_MODEL, .created_s = 1704067200, .n_ctx = N_CTX, .ready = true};
	return 0;
}

static int64_t prompt_tokens(const struct inference_request *req)
{
	int64_t n = 0;

	for (size_t i = 0; i < req->n_messages; i++) {
		char text[QUESTION_MAX];

		(void)snprintf(text, sizeof(text), "%.*s", (int)req->messages[i].content.n,
		    (const char *)req->messages[i].content.p);
		n += sums_count_tokens(text);
	}
	return n;
}

static int speak(struct engine *e, const char *answer, int64_t limit, inference_emit_fn emit,
    void *arg, struct inference_event *last, struct err *err)
{
	const char *at = answer;
	int rc = 0;

	while (rc == 0 && *at && last->usage.completion_tok < limit) {
		struct inference_event text = {
		    .kind = INFERENCE_TEXT, .text = bytes_of(at, token_size(at))};

		rc = fiber_sleep(drawn(e, TOKEN_MIN_MS, TOKEN_MAX_MS));
		if (rc != 0)
			return err_set(err, rc, "the answer was cut short");
		at += text.text.n;
		last->usage.completion_tok++;
		if (e->sums->drops && world_random_u64(e->world) % DROP_ONE_IN == 0)
			continue;
		rc = emit(arg, &text, err);
	}
	last->finish = *at ? FINISH_LENGTH : FINISH_STOP;
	return rc;
}

static int infer(void *arg, const struct inference_request *req, inference_emit_fn emit,
    void *emit_arg, struct err *err)
{
	struct engine *e = arg;
	const struct inference_message *asked = &req->messages[req->n_messages - 1];
	struct inference_event last = {
	    .kind = INFERENCE_FINISHED, .usage = {prompt_tokens(req), 0, -1, -1}};
	char question[QUESTION_MAX], answer[SUMS_ANSWER_MAX];
	int rc;

	if (req->model[0] && strcmp(req->model, SUMS_MODEL) != 0)
		return err_set(err, E_MODEL_NOT_FOUND, "this engine has only " SUMS_MODEL);
	(void)snprintf(question, sizeof(question), "%.*s", (int)asked->content.n,
	    (const char *)asked->content.p);
	sums_answer(question, answer);
	e->sums->working++;
	rc = emit(emit_arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	if (rc == 0)
		rc = speak(e, answer, req->max_tokens ? req->max_tokens : INT64_MAX, emit, emit_arg,
		    &last, err);
	e->sums->working--;
	if (rc == 0)
		e->sums->answers++;
	else
		e->sums->cut_short++;
	if (rc == 0)
		rc = emit(emit_arg,
		    &(struct inference_event){.kind = INFERENCE_CHOICE_END, .finish = last.finish},
		    err);
	return rc ? rc : emit(emit_arg, &last, err);
}

int sums_engine(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	struct engine e = {.world = w, .sums = arg};
	struct engine_backend backend = {.ready = ready, .infer = infer, .arg = &e};

	(void)argv;
	return engine_serve(w, s, &backend, NULL) == E_CLOSED ? 0 : 1;
}
