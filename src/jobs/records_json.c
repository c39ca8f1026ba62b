/* Request records as JSON. */
#include "jobs/records_priv.h"

#include <stdio.h>
#include <stdlib.h>

const char *record_source_name(enum record_source source)
{
	switch (source) {
	case RECORD_COMMAND:
		return "command";
	case RECORD_ADDRESS:
		return "address";
	case RECORD_KEY:
		return "key";
	case RECORD_PEER:
		return "peer";
	}
	return "unknown";
}

static json_t *error_json(int code, const char *text)
{
	return code == 0 ? json_null()
			 : json_pack("{s:s, s:s, s:s}", "name", err_info(code)->name, "code",
			       err_info(code)->openai_code, "message", text);
}

static json_t *known(int64_t v)
{
	return v < 0 ? json_null() : json_integer(v);
}

json_t *record_tried_json(const struct request_record *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->n_tried; i++) {
		const struct record_tried *t = &r->tried[i];
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o, s:o, s:o}", "target", t->target, "provider",
			      t->provider, "began_us", known(t->began_us), "ended_us",
			      known(t->ended_us), "error", error_json(t->code, t->text)));
	}
	return list;
}

void record_tried_read(const json_t *list, struct request_record *out)
{
	size_t i;
	const json_t *v;

	out->n_tried = 0;
	out->tried = calloc(RECORD_ATTEMPTS_MAX, sizeof *out->tried);
	if (!out->tried)
		return;
	json_array_foreach(list, i, v)
	{
		if (i == RECORD_ATTEMPTS_MAX)
			break;
		struct record_tried *t = &out->tried[out->n_tried++];
		const json_t *error = json_object_get(v, "error");
		snprintf(t->target, sizeof t->target, "%s", json_get_string(v, "target", ""));
		snprintf(t->provider, sizeof t->provider, "%s", json_get_string(v, "provider", ""));
		t->began_us = json_get_int(v, "began_us", -1);
		t->ended_us = json_get_int(v, "ended_us", -1);
		t->code = json_is_object(error)
			      ? err_code_of(json_get_string(error, "name", ""), E_INTERNAL)
			      : 0;
		snprintf(t->text, sizeof t->text, "%s", json_get_string(error, "message", ""));
	}
}

/* "running", "ok", "cancelled" or "failed". */
static const char *outcome(const struct request_record *r)
{
	return r->seq == 0              ? "running"
	       : r->code == 0           ? "ok"
	       : r->code == E_CANCELLED ? "cancelled"
					: "failed";
}

static json_t *candidates_json(const struct request_record *r)
{
	json_t *list = NULL;
	struct buf text = BUF_INIT(RECORD_CANDIDATES_MAX + 2);

	buf_printf(&text, "[%s]", r->candidates ? r->candidates : "");
	if (text.failed || json_read(buf_view(&text), &list, NULL) != 0)
		list = NULL;
	buf_free(&text);
	return list ? list : json_array();
}

struct json_t *record_json(const struct request_record *r)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:o}", "id", r->id,
	    "object", "request", "outcome", outcome(r), "source", "kind",
	    record_source_name(r->source), "name", r->source_name, "dialect", r->dialect, "model",
	    r->model, "served_model", r->served_model, "target", r->target, "attempts",
	    record_tried_json(r));

	if (!j)
		return NULL;
	json_object_set_new(j, "error", error_json(r->code, r->text));
	json_object_set_new(
	    j, "prompt_sha256", r->prompt_sha256[0] ? json_string(r->prompt_sha256) : json_null());
	json_object_set_new(j, "received_ms", json_integer(r->received_ms));
	json_object_set_new(j, "timings_us",
	    json_pack("{s:o, s:o, s:o, s:o}", "queued", known(r->started_us), "first_event",
		known(r->first_us), "last_event", known(r->last_us), "total", known(r->ended_us)));
	json_object_set_new(j, "usage",
	    json_pack("{s:o, s:o}", "prompt_tokens", known(r->tokens_in), "completion_tokens",
		known(r->tokens_out)));
	json_object_set_new(j, "cost_msat", json_integer(r->cost_msat));
	json_object_set_new(j, "candidates", candidates_json(r));
	return j;
}
