/* Tokenizers on hostile text and hostile vocabularies.
 *
 * The first byte chooses. Below 250: a small vocabulary (SentencePiece, or BPE behind one of the
 * pre-tokenizers), and the rest is text. From 250 on: a GGUF file follows, its length in four bytes
 * before it, then the text.
 *
 * What must hold: ids are in the vocabulary; on these complete vocabularies, byte-level BPE gives
 * valid UTF-8 back unchanged; streamed pieces are always whole characters. */
#include "base/encode.h"
#include "engine/detokenize.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

#include "../../tests/engine/vocab.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIRST_FILE 250

/* From KEEP_SPACES on they give text back unchanged. */
static const char *const PRES[] = {"default", "llama-bpe", "dbrx", "gpt-2", "starcoder", "falcon",
    "bloom", "qwen2", "qwen35", "seed-coder", "bailingmoe", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "gpt-4o", "tekken", "kimi-k2", "viking", "superbpe"};
#define KEEP_SPACES 7
#define N_PRES      (sizeof PRES / sizeof PRES[0])

static void check_stream(const struct tokenizer *t, const struct token_list *ids)
{
	struct detokenizer d = {0};
	struct buf out = BUF_INIT((size_t)1 << 26);
	for (size_t i = 0; i < ids->n; i++) {
		buf_reset(&out);
		detokenizer_push(&d, tokenizer_piece(t, ids->ids[i]), &out);
		INVARIANT(utf8_valid_prefix(buf_view(&out)) == out.n);
	}
	detokenizer_finish(&d, &out);
	INVARIANT(utf8_valid_prefix(buf_view(&out)) == out.n);
	buf_free(&out);
}

static void try_text(const struct tokenizer *t, struct bytes text, bool reversible)
{
	for (unsigned flags = 0; flags < 8; flags += 3) {
		struct token_list ids = {0};
		struct buf back = BUF_INIT((size_t)1 << 26);
		int rc = tokenizer_encode(t, text, (enum tokenize_flags)flags, &ids, NULL);
		for (size_t i = 0; i < ids.n; i++)
			INVARIANT(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_n_vocab(t));
		check_stream(t, &ids);
		INVARIANT(
		    tokenizer_detokenize(t, ids.ids, ids.n, DETOKENIZE_SPECIAL, &back, NULL) == 0);
		if (rc == 0 && flags == 0 && reversible && utf8_valid_prefix(text) == text.n)
			INVARIANT(bytes_equal(buf_view(&back), text));
		token_list_free(&ids);
		buf_free(&back);
	}
}

static void try_file(struct bytes file, struct bytes text)
{
	struct gguf *g;
	struct tokenizer *t;
	if (gguf_open_memory(file, &g, NULL))
		return;
	if (tokenizer_new(g, &t, NULL) == 0) {
		try_text(t, text, false);
		tokenizer_free(t);
	}
	gguf_close(g);
}

/* The small vocabularies, made once: 0 is SentencePiece, then PRES. */
static const struct tokenizer *small(size_t i)
{
	static struct tiny_vocab vocabs[N_PRES + 1];
	static struct tokenizer *tokenizers[N_PRES + 1];
	if (!tokenizers[i]) {
		vocabs[i] = i ? tiny_bpe(PRES[i - 1]) : tiny_spm();
		INVARIANT(tokenizer_new(vocabs[i].file, &tokenizers[i], NULL) == 0);
	}
	return tokenizers[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] < FIRST_FILE) {
		size_t which = data[0] % (N_PRES + 1);
		try_text(small(which), bytes_of(data + 1, size - 1), which > KEEP_SPACES);
		return 0;
	}
	if (size < 5)
		return 0;
	size_t n = data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
	n = n < size - 5 ? n : size - 5;
	uint8_t *file = malloc(n + 1); /* aligned, as a mapping is */
	if (!file)
		return 0;
	memcpy(file, data + 5, n);
	try_file(bytes_of(file, n), bytes_of(data + 5 + n, size - 5 - n));
	free(file);
	return 0;
}
