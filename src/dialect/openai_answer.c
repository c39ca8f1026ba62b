/* Chat completions and their chunks. Clients depend on details: the first delta has a role, every
 * choice has finish_reason (null until the last), the usage chunk has no choices. */
#include "base/encode.h"
#include "dialect/json.h"
#include "dialect/openai.h"

#include <stdio.h>
#include <talloc.h>

void openai_id(const uint8_t random[OPENAI_ID_RANDOM], char out[OPENAI_ID_MAX])
{
	memcpy(out, "chatcmpl-", 9);
	hex_encode(bytes_of(random, OPENAI_ID_RANDOM), out + 9);
}

const char *openai_finish_name(enum inference_finish finish)
{
	switch (finish) {
	case FINISH_STOP:
		return "stop";
	case FINISH_LENGTH:
		return "length";
	}
	BUG("finish %d", (int)finish);
}

static void put_begin(struct buf *out, const struct openai_answer *a, const char *object)
{
	buf_str(out, "{\"id\":");
	json_put_text(out, bytes_str(a->id));
	buf_printf(
	    out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object, (long long)a->created_s);
	json_put_text(out, bytes_str(a->model));
	if (a->fingerprint) {
		buf_str(out, ",\"system_fingerprint\":");
		json_put_text(out, bytes_str(a->fingerprint));
	}
}

static void put_usage(struct buf *out, const struct inference_usage *u)
{
	if (u->prompt_tok < 0 || u->completion_tok < 0)
		return;
	buf_printf(out,
	    ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld}",
	    (long long)u->prompt_tok, (long long)u->completion_tok,
	    (long long)((uint64_t)u->prompt_tok + (uint64_t)u->completion_tok));
}

void openai_completion_write(struct buf *out, const struct openai_answer *a, struct bytes text,
    enum inference_finish finish, const struct inference_usage *usage)
{
	put_begin(out, a, "chat.completion");
	buf_str(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
	json_put_text(out, text);
	buf_printf(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"%s\"}]",
	    openai_finish_name(finish));
	put_usage(out, usage);
	buf_u8(out, '}');
}

void openai_chunk_role(struct buf *out, const struct openai_answer *a)
{
	put_begin(out, a, "chat.completion.chunk");
	buf_str(out,
	    ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
	    "\"logprobs\":null,\"finish_reason\":null}]}");
}

void openai_chunk_text(struct buf *out, const struct openai_answer *a, struct bytes text)
{
	put_begin(out, a, "chat.completion.chunk");
	buf_str(out, ",\"choices\":[{\"index\":0,\"delta\":{\"content\":");
	json_put_text(out, text);
	buf_str(out, "},\"logprobs\":null,\"finish_reason\":null}]}");
}

void openai_chunk_finish(
    struct buf *out, const struct openai_answer *a, enum inference_finish finish)
{
	put_begin(out, a, "chat.completion.chunk");
	buf_printf(out,
	    ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}]}",
	    openai_finish_name(finish));
}

void openai_chunk_usage(
    struct buf *out, const struct openai_answer *a, const struct inference_usage *usage)
{
	put_begin(out, a, "chat.completion.chunk");
	buf_str(out, ",\"choices\":[]");
	put_usage(out, usage);
	buf_u8(out, '}');
}

bool openai_is_done(struct bytes data)
{
	return data.n >= 6 && memcmp(data.p, OPENAI_DONE, 6) == 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int bad_answer(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is no chat completion: %s", why);
}

/* The text of a message or delta; null and absent are empty. */
static int read_text(void *mem, const json_t *message, struct bytes *out, struct err *err)
{
	const json_t *content = json_object_get(message, "content");
	size_t n = json_string_length(content);
	char *copy;

	if (content && !json_is_null(content) && !json_is_string(content))
		return bad_answer(err, "content is no string");
	copy = talloc_size(mem, n + 1);
	if (!copy)
		return err_set(err, E_MEMORY, "no memory for an answer");
	if (n > 0)
		memcpy(copy, json_string_value(content), n);
	copy[n] = 0;
	*out = bytes_of(copy, n);
	return 0;
}

static int read_finish(const json_t *choice, struct openai_piece *out, struct err *err)
{
	const json_t *v = json_object_get(choice, "finish_reason");
	const char *s = json_string_value(v);

	if (!v || json_is_null(v))
		return 0;
	if (s && strcmp(s, "stop") == 0)
		out->finish = FINISH_STOP;
	else if (s && strcmp(s, "length") == 0)
		out->finish = FINISH_LENGTH;
	else
		return bad_answer(err, "an unknown finish_reason");
	out->has_finish = true;
	return 0;
}

static int64_t token_count(const json_t *usage, const char *key)
{
	int64_t n = json_get_int(usage, key, -1);

	return n < 0 || n > INT32_MAX ? -1 : n;
}

static int read_piece(
    void *mem, const json_t *root, const char *part, struct openai_piece *out, struct err *err)
{
	const json_t *choices = json_object_get(root, "choices");
	const json_t *choice = json_array_get(choices, 0);
	const json_t *usage = json_object_get(root, "usage");
	int rc;

	if (!json_is_array(choices))
		return bad_answer(err, "no choices");
	if (choice && !json_is_object(choice))
		return bad_answer(err, "a choice is no object");
	rc = read_text(mem, json_object_get(choice, part), &out->text, err);
	if (rc == 0)
		rc = read_finish(choice, out, err);
	out->has_usage = json_is_object(usage);
	out->usage.prompt_tok = token_count(usage, "prompt_tokens");
	out->usage.completion_tok = token_count(usage, "completion_tokens");
	return rc;
}

static int parse(
    void *mem, struct bytes body, const char *part, struct openai_piece *out, struct err *err)
{
	json_t *root;
	int rc;

	*out = (struct openai_piece){.usage = {-1, -1}};
	if (json_read(body, &root, err) != 0)
		return err_set(err, E_UPSTREAM, "the provider's answer is not valid JSON");
	/* An error may come with status 200, or in the middle of a stream. */
	if (json_object_get(root, "error") && !json_is_null(json_object_get(root, "error")))
		rc = openai_error_parse(body, 0, err);
	else
		rc = read_piece(mem, root, part, out, err);
	json_decref(root);
	if (rc != 0 && out->text.p) {
		talloc_free((void *)(uintptr_t)out->text.p);
		out->text = bytes_of(NULL, 0);
	}
	return rc;
}

int openai_completion_parse(void *mem, struct bytes body, struct openai_piece *out, struct err *err)
{
	int rc = parse(mem, body, "message", out, err);

	if (rc == 0 && !out->has_finish) {
		talloc_free((void *)(uintptr_t)out->text.p);
		out->text = bytes_of(NULL, 0);
		return bad_answer(err, "no finish_reason");
	}
	return rc;
}

int openai_chunk_parse(void *mem, struct bytes data, struct openai_piece *out, struct err *err)
{
	return parse(mem, data, "delta", out, err);
}
