/* Vocabularies built in memory: see vocab.h. */
#include "vocab.h"

#include "base/encode.h"

#include <stdio.h>

static void put_u32le(struct buf *b, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		buf_u8(b, (uint8_t)(v >> (8 * i)));
}

static void put_u64le(struct buf *b, uint64_t v)
{
	put_u32le(b, (uint32_t)v);
	put_u32le(b, (uint32_t)(v >> 32));
}

static void put_str(struct buf *b, const char *s)
{
	put_u64le(b, strlen(s));
	buf_str(b, s);
}

static void begin(struct vocab_writer *w, const char *key, enum gguf_type type)
{
	put_str(&w->kv, key);
	put_u32le(&w->kv, type);
	w->n_kv++;
}

static void begin_array(struct vocab_writer *w, const char *key, enum gguf_type type, size_t n)
{
	begin(w, key, GGUF_ARRAY);
	put_u32le(&w->kv, type);
	put_u64le(&w->kv, n);
}

void vocab_writer_init(struct vocab_writer *w)
{
	*w = (struct vocab_writer){.kv = BUF_INIT(1 << 22)};
}

void vocab_put_str(struct vocab_writer *w, const char *key, const char *value)
{
	begin(w, key, GGUF_STRING);
	put_str(&w->kv, value);
}

void vocab_put_u32(struct vocab_writer *w, const char *key, uint32_t value)
{
	begin(w, key, GGUF_U32);
	put_u32le(&w->kv, value);
}

void vocab_put_bool(struct vocab_writer *w, const char *key, bool value)
{
	begin(w, key, GGUF_BOOL);
	buf_u8(&w->kv, value);
}

void vocab_put_strs(struct vocab_writer *w, const char *key, const char *const *values, size_t n)
{
	begin_array(w, key, GGUF_STRING, n);
	for (size_t i = 0; i < n; i++)
		put_str(&w->kv, values[i]);
}

void vocab_put_i32s(struct vocab_writer *w, const char *key, const int32_t *values, size_t n)
{
	begin_array(w, key, GGUF_I32, n);
	for (size_t i = 0; i < n; i++)
		put_u32le(&w->kv, (uint32_t)values[i]);
}

void vocab_put_f32s(struct vocab_writer *w, const char *key, const float *values, size_t n)
{
	begin_array(w, key, GGUF_F32, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, &values[i], sizeof bits);
		put_u32le(&w->kv, bits);
	}
}

struct buf vocab_writer_finish(struct vocab_writer *w)
{
	struct buf file = BUF_INIT(1 << 23);
	buf_str(&file, "GGUF");
	put_u32le(&file, 3);
	put_u64le(&file, 0);
	put_u64le(&file, w->n_kv);
	buf_bytes(&file, buf_view(&w->kv));
	while (file.n % 32)
		buf_u8(&file, 0);
	buf_free(&w->kv);
	INVARIANT(buf_ok(&file, NULL) == 0);
	return file;
}

static struct tiny_vocab open_vocab(struct vocab_writer *w)
{
	struct tiny_vocab v = {.bytes = vocab_writer_finish(w)};
	INVARIANT(gguf_open_memory(buf_view(&v.bytes), &v.file, NULL) == 0);
	return v;
}

#define TOKENS_MAX 400

struct tokens {
	char text[TOKENS_MAX][24];
	const char *texts[TOKENS_MAX];
	int32_t types[TOKENS_MAX];
	float scores[TOKENS_MAX];
	size_t n;
};

static void add(struct tokens *t, const char *text, int32_t type, float score)
{
	INVARIANT(t->n < TOKENS_MAX);
	snprintf(t->text[t->n], sizeof t->text[0], "%s", text);
	t->texts[t->n] = t->text[t->n];
	t->types[t->n] = type;
	t->scores[t->n++] = score;
}

struct tiny_vocab tiny_spm(void)
{
	static const char *const PIECES[] = {"\xe2\x96\x81", "h", "e", "l", "o", "w", "r", "d",
	    "ll", "he", "lo", "hell", "\xe2\x96\x81hell", "\xe2\x96\x81hello", "or", "wor", "ld",
	    "\xe2\x96\x81wor", "\xe2\x96\x81world", "\xc3\xa9", "\xe2\x96\x81h", "\xe2\x96\x81w"};
	static const float SCORES[] = {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -20, -11, -12, -13,
	    -14, -15, -16, -17, -18, -19, -30, -31};
	struct tokens t = {.n = 0};
	struct vocab_writer w;
	char name[8];
	add(&t, "<unk>", 2, 0);
	add(&t, "<s>", 3, 0);
	add(&t, "</s>", 3, 0);
	for (unsigned b = 0; b < 256; b++) {
		snprintf(name, sizeof name, "<0x%02X>", b);
		add(&t, name, 6, 0);
	}
	add(&t, "<|im_start|>", 3, 0);
	add(&t, "<|im_end|>", 3, 0);
	add(&t, "<tool>", 4, 0);
	for (size_t i = 0; i < sizeof PIECES / sizeof PIECES[0]; i++)
		add(&t, PIECES[i], 1, SCORES[i]);
	vocab_writer_init(&w);
	vocab_put_str(&w, "general.architecture", "llama");
	vocab_put_str(&w, "tokenizer.ggml.model", "llama");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", t.texts, t.n);
	vocab_put_i32s(&w, "tokenizer.ggml.token_type", t.types, t.n);
	vocab_put_f32s(&w, "tokenizer.ggml.scores", t.scores, t.n);
	return open_vocab(&w);
}

struct tiny_vocab tiny_bpe(const char *pre)
{
	/* U+0120 stands for the space. "lo w" joins into no token. */
	static const char *const MERGES[] = {"h e", "l l", "he ll", "hell o", "\xc4\xa0 w", "o r",
	    "\xc4\xa0w or", "l d", "\xc4\xa0wor ld", "\xc3\x83 \xc2\xa9", "l o", "lo w", "e l"};
	static const char *const JOINED[] = {"he", "ll", "hell", "hello", "\xc4\xa0w", "or",
	    "\xc4\xa0wor", "ld", "\xc4\xa0world", "\xc3\x83\xc2\xa9", "lo", "el", "\xc4\240def"};
	struct tokens t = {.n = 0};
	struct vocab_writer w;
	uint32_t next = 0x100;
	for (unsigned b = 0; b < 256; b++) {
		bool itself = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
		char text[8] = {0};
		utf8_encode(itself ? b : next++, text);
		add(&t, text, 1, 0);
	}
	for (size_t i = 0; i < sizeof JOINED / sizeof JOINED[0]; i++)
		add(&t, JOINED[i], 1, 0);
	add(&t, "<|endoftext|>", 3, 0);
	add(&t, "<|im_start|>", 3, 0);
	add(&t, "<|im_end|>", 3, 0);
	vocab_writer_init(&w);
	vocab_put_str(&w, "general.architecture", "llama");
	vocab_put_str(&w, "tokenizer.ggml.model", "gpt2");
	if (pre)
		vocab_put_str(&w, "tokenizer.ggml.pre", pre);
	vocab_put_strs(&w, "tokenizer.ggml.tokens", t.texts, t.n);
	vocab_put_i32s(&w, "tokenizer.ggml.token_type", t.types, t.n);
	vocab_put_strs(&w, "tokenizer.ggml.merges", MERGES, sizeof MERGES / sizeof MERGES[0]);
	vocab_put_u32(&w, "tokenizer.ggml.bos_token_id", (uint32_t)t.n - 3);
	vocab_put_u32(&w, "tokenizer.ggml.eos_token_id", (uint32_t)t.n - 3);
	return open_vocab(&w);
}

void tiny_vocab_free(struct tiny_vocab *v)
{
	gguf_close(v->file);
	buf_free(&v->bytes);
}
