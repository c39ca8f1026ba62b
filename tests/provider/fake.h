/* Providers that follow a script, for tests of everything that stands on the provider interface. */
#ifndef TESTS_PROVIDER_FAKE_H
#define TESTS_PROVIDER_FAKE_H

#include "fiber_test.h"

#include "crypto/identity.h"

#include "provider/catalog.h"

#include <stdio.h>
#include <talloc.h>

enum fake_act {
	FAKE_END, /* of the script: like FAKE_FINISH */
	FAKE_STARTED,
	FAKE_TEXT,   /* text */
	FAKE_WAIT,   /* n ms */
	FAKE_FINISH, /* success */
	FAKE_FAIL    /* with the code n and the text */
};

struct fake_step {
	enum fake_act act;
	int64_t n;
	const char *text;
};

struct fake {
	struct provider base;
	struct model_entry models[4];
	size_t n_models;
	const struct fake_step *script; /* of every call */
	unsigned calls, running, cancelled, closed;
	char asked_model[MODEL_ID_MAX]; /* of the last call */
	char prompt[256];               /* its last message */
	struct request_context ctx;
	struct duration left; /* of its scope */
};

static inline int fake_finish(inference_emit_fn emit, void *arg, struct err *err)
{
	struct inference_event e = {.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP};
	int rc = emit(arg, &e, err);

	e = (struct inference_event){.kind = INFERENCE_FINISHED, .usage = {5, 2, -1, -1}};
	return rc ? rc : emit(arg, &e, err);
}

static inline int fake_act(
    struct fake *f, const struct fake_step *s, inference_emit_fn emit, void *arg, struct err *err)
{
	struct inference_event e = {.kind = INFERENCE_STARTED};

	switch (s->act) {
	case FAKE_STARTED:
		break;
	case FAKE_TEXT:
		e.kind = INFERENCE_TEXT;
		e.text = bytes_str(s->text);
		break;
	case FAKE_END:
	case FAKE_FINISH:
		return fake_finish(emit, arg, err);
	case FAKE_WAIT: {
		int rc = fiber_sleep(duration_ms(s->n));
		f->cancelled += rc == E_CANCELLED;
		return rc ? err_set(err, rc, "the wait was cut short") : 0;
	}
	case FAKE_FAIL:
		return err_set(err, (int)s->n, "%s", s->text ? s->text : "as the script says");
	}
	return emit(arg, &e, err);
}

static inline int fake_infer(struct provider *p, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	struct fake *f = (struct fake *)p;
	int rc = 0;

	f->calls++;
	f->running++;
	memcpy(f->asked_model, req->model, sizeof f->asked_model);
	f->ctx = *ctx;
	f->left = scope_remaining();
	if (req->n_messages > 0)
		snprintf(f->prompt, sizeof f->prompt, "%.*s",
		    (int)req->messages[req->n_messages - 1].content.n,
		    (const char *)req->messages[req->n_messages - 1].content.p);
	for (const struct fake_step *s = f->script; rc == 0; s++) {
		rc = fake_act(f, s, emit, arg, err);
		if (s->act == FAKE_END || s->act == FAKE_FINISH)
			break;
	}
	f->running--;
	return rc;
}

/* Vectors of two: the length of the input, and one half. */
static inline int fake_embed(struct provider *p, const struct embedding_request *req,
    const struct request_context *ctx, void *mem, struct embedding_result *out, struct err *err)
{
	struct fake *f = (struct fake *)p;
	int rc = 0;

	f->calls++;
	f->ctx = *ctx;
	memcpy(f->asked_model, req->model, sizeof f->asked_model);
	if (f->script->act == FAKE_FAIL || f->script->act == FAKE_WAIT)
		rc = fake_act(f, f->script, NULL, NULL, err);
	if (rc)
		return rc;
	*out = (struct embedding_result){.n = req->n_inputs, .dims = 2, .prompt_tok = 4};
	out->values = talloc_array(mem, float, (unsigned)(2 * req->n_inputs));
	for (size_t i = 0; i < req->n_inputs; i++) {
		out->values[2 * i] = (float)req->inputs[i].n;
		out->values[2 * i + 1] = 0.5f;
	}
	return 0;
}

static inline void fake_status(struct provider *p, struct provider_status *out)
{
	*out = (struct provider_status){.health = PROVIDER_HEALTHY};
}

static inline const struct model_entry *fake_models(struct provider *p, size_t *n)
{
	struct fake *f = (struct fake *)p;

	*n = f->n_models;
	return f->models;
}

static inline void fake_close(struct provider *p)
{
	((struct fake *)p)->closed++;
}

/* A provider with one model ("" for none). */
static inline void fake_init(struct fake *f, const char *model, const struct fake_step *script)
{
	static const struct provider_ops ops = {.kind = "fake",
	    .infer = fake_infer,
	    .embed = fake_embed,
	    .status = fake_status,
	    .models = fake_models,
	    .close = fake_close};

	*f = (struct fake){.base = {&ops, "fake"}, .script = script};
	if (model[0]) {
		f->n_models = 1;
		f->models[0].ready = true;
		snprintf(f->models[0].id, sizeof f->models[0].id, "%s", model);
	}
}

static inline struct peer_id fake_peer(unsigned n)
{
	uint8_t seed[32] = {(uint8_t)n, (uint8_t)(n >> 8), 77};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

/* Puts it into a catalog as the provider of node `n`. */
static inline struct catalog_entry *fake_add(
    struct catalog *c, struct fake *f, unsigned n, const char *label, bool local)
{
	struct catalog_node node = {.id = fake_peer(n), .local = local, .slots = local};
	struct catalog_entry *e;

	snprintf(node.label, sizeof node.label, "%s", label);
	OK(catalog_add(c, &f->base, &node, &e, NULL));
	return e;
}

#endif
