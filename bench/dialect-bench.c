/* What the OpenAI dialect costs the gateway for one exchange: reading a client's request, writing
 * it to an upstream, reading the upstream's events, writing the client's answer. Prints
 * microseconds of processor time for each, the best of several rounds. */
#include "dialect/openai.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>
#include <time.h>

#define ROUNDS  7
#define REPEATS 2000

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const struct err *err)
{
	fprintf(stderr, "dialect-bench: %s\n", err_text(err));
	exit(1);
}

/* A conversation of about `n` bytes. */
static void make_request(struct buf *out, size_t n)
{
	buf_str(out, "{\"model\":\"tiny\",\"messages\":[{\"role\":\"system\",\"content\":\"You are "
		     "helpful.\"}");
	for (unsigned i = 0; out->n + 120 < n; i++)
		buf_printf(out,
		    ",{\"role\":\"%s\",\"content\":\"Piece %u of a conversation, with "
		    "\\\"quotes\\\" "
		    "and a line\\nor two, caf\xc3\xa9.\"}",
		    i % 2 ? "assistant" : "user", i);
	buf_str(out, "],\"temperature\":0.7,\"max_tokens\":256,\"stream\":true}");
}

struct bench {
	struct buf request, sent, answer, stream;
	struct inference_request *req;
	struct inference_result *result;
	struct dialect_answer meta;
	struct dialect_writer *writer;
	struct err err;
};

static void read_request(struct bench *b)
{
	struct inference_request *req;

	if (openai_chat.parse(NULL, buf_view(&b->request), &req, &b->err) != 0)
		die(&b->err);
	talloc_free(req);
}

static void write_request(struct bench *b)
{
	const char *path;

	buf_reset(&b->sent);
	if (openai_upstream.request(b->req, &path, &b->sent, &b->err) != 0)
		die(&b->err);
}

static int pass(void *arg, const struct inference_event *e, struct err *err)
{
	struct bench *b = arg;

	(void)err;
	openai_chat.event(b->writer, e, &b->stream);
	return 0;
}

/* Events in, events out, as they pass through. */
static void relay(struct bench *b)
{
	struct upstream_reader *reader;
	struct bytes in = buf_view(&b->answer);
	int rc = upstream_reader_new(NULL, &openai_upstream, b->req, pass, b, &reader, &b->err);

	buf_reset(&b->stream);
	if (rc == 0)
		rc = dialect_writer_new(reader, &openai_chat, &b->meta, &b->writer, &b->err);
	while (rc == 0 && in.n > 0) {
		const uint8_t *end = memchr(in.p, '\n', in.n);
		size_t n = (size_t)(end - in.p);

		rc = openai_upstream.take(reader, "message", bytes_of(in.p, n), &b->err);
		in = bytes_of(in.p + n + 1, in.n - n - 1);
	}
	if (rc != 0)
		die(&b->err);
	talloc_free(reader);
}

static void collect(struct bench *b)
{
	struct inference_result *result = inference_result_new(NULL, 1, 1 << 20);
	struct inference_event e = {.kind = INFERENCE_TEXT, .text = bytes_of(b->request.p, 1000)};
	struct dialect_writer *w;

	if (dialect_writer_new(result, &openai_chat, &b->meta, &w, &b->err) != 0 ||
	    inference_collect(result, &e, &b->err) != 0)
		die(&b->err);
	buf_reset(&b->stream);
	openai_chat.whole(w, result, &b->stream);
	talloc_free(result);
}

static void measure(const char *what, void (*fn)(struct bench *b), struct bench *b)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now_us(), took;

		for (int i = 0; i < REPEATS; i++)
			fn(b);
		took = (now_us() - began) / REPEATS;
		best = took < best ? took : best;
	}
	printf("%-44s %8.2f us\n", what, best);
}

#define CHUNK(d, finish)                                                                           \
	"{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"    \
	"\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{" d                               \
	"},\"logprobs\":null,\"finish_reason\":" finish "}]}\n"

static void make_answer(struct buf *out, unsigned pieces)
{
	buf_str(out, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null"));
	for (unsigned i = 0; i < pieces; i++)
		buf_str(out, CHUNK("\"content\":\" token\"", "null"));
	buf_str(out, CHUNK("", "\"stop\""));
	buf_str(out, "{\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":100}}"
		     "\n[DONE]\n");
}

int main(void)
{
	struct bench b = {
	    .request = BUF_INIT(1 << 20),
	    .sent = BUF_INIT(1 << 20),
	    .answer = BUF_INIT(1 << 20),
	    .stream = BUF_INIT(1 << 20),
	};

	make_request(&b.request, 1024);
	make_answer(&b.answer, 100);
	if (openai_chat.parse(NULL, buf_view(&b.request), &b.req, &b.err) != 0)
		die(&b.err);
	b.meta = (struct dialect_answer){.model = "tiny", .created_s = 1700000000, .req = b.req};
	measure("request of 1 KB, read", read_request, &b);
	measure("request of 1 KB, written", write_request, &b);
	measure("answer of 1 KB, collected and written", collect, &b);
	measure("answer of 103 chunks, read and written", relay, &b);
	return 0;
}
