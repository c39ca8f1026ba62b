/* Fingerprints of conversations: which providers have computed the beginning of this one already?
 * Each message's print covers all before it, so that the next turn finds the last one's. */
#include "jobs/jobs_priv.h"

#include <sodium.h>

static uint64_t hash(const uint8_t key[16], struct bytes what)
{
	uint8_t out[crypto_shorthash_BYTES];
	crypto_shorthash(out, what.p, what.n, key);
	return get_u64be(out);
}

static uint64_t add(const uint8_t key[16], uint64_t before, struct bytes what)
{
	uint8_t both[16];
	put_u64be(both, before);
	put_u64be(both + 8, hash(key, what));
	return hash(key, bytes_of(both, sizeof both));
}

static uint64_t add_message(
    const uint8_t key[16], uint64_t print, const struct inference_message *m, size_t *bytes)
{
	print = add(key, print, bytes_str(m->role));
	print = add(key, print, m->content);
	*bytes += m->content.n;
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		print = add(key, print, m->tool_calls[i].arguments);
		*bytes += m->tool_calls[i].arguments.n;
	}
	return print;
}

static void keep(struct conversation *c, uint64_t print)
{
	if (c->n == PRINTS_MAX) {
		memmove(c->prints, c->prints + 1, (PRINTS_MAX - 1) * sizeof *c->prints);
		c->n--;
	}
	c->prints[c->n++] = print;
	c->whole = print;
}

void conversation_read(
    struct conversation *c, const uint8_t key[16], const struct inference_request *req)
{
	size_t bytes = req->prompt.n;
	*c = (struct conversation){.n = 0};
	uint64_t print = add(key, 0, bytes_str(req->model));
	for (size_t i = 0; i < req->n_tools; i++) {
		print = add(key, print, req->tools[i].parameters);
		bytes += req->tools[i].parameters.n;
	}
	if (req->kind == INFERENCE_COMPLETION)
		keep(c, add(key, print, req->prompt));
	for (size_t i = 0; i < req->n_messages; i++) {
		const struct inference_message *m = &req->messages[i];
		print = add_message(key, print, m, &bytes);
		keep(c, print);
		if (!c->start && strcmp(m->role, "user") == 0)
			c->start = print;
	}
	if (!c->start)
		c->start = c->whole;
	c->prompt_tok = schedule_estimate_tok(bytes);
}
