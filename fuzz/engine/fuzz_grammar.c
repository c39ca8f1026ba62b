/* JSON Schemas come from clients: whatever the schema, compiling ends within its bounds, and what a
 * blind writer completes under the grammar is JSON. The input is a byte of luck and a schema. */
#include "engine/constraint_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 512

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Random bytes that the automaton allows; the way on is never closed. */
static void write_blindly(struct automaton *a, uint64_t seed)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	uint32_t at = automaton_start(a);
	while (text.n < TEXT_MAX && !automaton_must_end(a, at) && !a->failed) {
		uint8_t start = (uint8_t)next(&seed), byte = start;
		uint32_t to = CONFIG_DEAD;
		if (automaton_may_end(a, at) && next(&seed) % 4 == 0)
			break;
		do {
			to = automaton_move(a, at, byte);
		} while (to == CONFIG_DEAD && ++byte != start);
		INVARIANT(a->failed || to != CONFIG_DEAD);
		buf_u8(&text, byte);
		at = to;
	}
	if (!a->failed && automaton_may_end(a, at)) {
		json_error_t why;
		json_t *value = json_loadb(
		    (const char *)text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
		INVARIANT(value || json_error_code(&why) == json_error_duplicate_key);
		json_decref(value);
	}
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grammar *g;
	struct automaton a;
	struct err err = {0};
	if (size < 2)
		return 0;
	if (grammar_of_document(
		bytes_of(data + 1, size - 1), "schema", &GRAMMAR_ALL_BYTES, &g, &err)) {
		INVARIANT(err.code != 0 && err.text[0]);
		return 0;
	}
	INVARIANT(grammar_nodes(g) <= GRAMMAR_NODES_MAX);
	if (automaton_init(&a, g, NULL) == 0) {
		for (uint64_t i = 0; i < 4; i++)
			write_blindly(&a, data[0] + 256 * i);
		automaton_free(&a);
	}
	grammar_free(g);
	return 0;
}
