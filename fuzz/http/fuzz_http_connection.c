/* A whole connection: the input is what a client sends. The first byte chooses how the handler
 * answers; the rest goes through a pipe in pieces. Whatever comes, the server ends the
 * connection in time and what it sent begins like HTTP. */
#include "http/server.h"
#include "rt/world_uv.h"

#include <stdlib.h>

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct bytes text;
	uint8_t choice;
	bool served;
};

static int answer(struct http_exchange *x, void *arg, struct err *err)
{
	const struct input *in = arg;
	struct buf body = BUF_INIT(4096);
	int rc = 0;

	if (in->choice & 1)
		rc = http_body_read_all(x, 2048, &body, err);
	if (rc == 0 && (in->choice & 2) && !(in->choice & 1 && rc != 0))
		rc = http_request(x)->content_length == 0 ? http_exchange_watch(x, err) : 0;
	if (rc == 0 && (in->choice & 4))
		fiber_yield();
	if (rc == 0 && (in->choice & 8))
		rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);
	if (rc == 0 && (in->choice & 8))
		rc = http_response_write(x, buf_view(&body), err);
	else if (rc == 0)
		rc = http_respond(x, 200, "text/plain", buf_view(&body), err);
	buf_free(&body);
	return rc;
}

static void serve(void *arg)
{
	struct stream *const *end = ((void **)arg)[0];
	struct input *in = ((void **)arg)[1];
	struct http_service service = {
	    .handle = answer,
	    .mode = in->choice & 16 ? HTTP_ONE_SHOT : HTTP_PERSISTENT,
	    .head_limit = duration_ms(100),
	    .body_grace = duration_ms(100),
	    .write_limit = duration_ms(100),
	};
	int rc = http_serve(*end, &service, in, NULL);

	in->served = rc <= 0;
	stream_close(*end);
}

/* Writes in pieces while the answers are read by the same fiber in between. */
static void talk(struct stream *mine, struct bytes text, size_t step, struct buf *got)
{
	char chunk[4096];
	ssize_t n;

	while (text.n > 0) {
		size_t k = text.n < step ? text.n : step;

		if (stream_write(mine, text.p, k, NULL) != 0)
			break;
		text = bytes_of(text.p + k, text.n - k);
		fiber_yield();
	}
	if (stream_close_write(mine, NULL) == 0)
		while ((n = stream_read(mine, chunk, sizeof(chunk), NULL)) > 0)
			buf_put(got, chunk, (size_t)n);
}

static void connection(void *arg)
{
	struct input *in = arg;
	struct stream *mine, *theirs;
	struct buf got = BUF_INIT(64u << 20);
	struct scope sc;
	void *both[] = {&theirs, in};

	if (stream_pipe("fuzz", 1u << 20, &mine, &theirs, NULL) != 0)
		abort();
	scope_open(&sc, duration_s(10));
	if (fiber_spawn(&sc, "serve", serve, both, NULL) != 0)
		abort();
	talk(mine, in->text, in->choice & 32 ? 7 : INPUT_MAX, &got);
	stream_close(mine);
	if (scope_join(&sc) != 0 || !in->served)
		abort();
	scope_close(&sc);
	if (got.n >= 9 && memcmp(got.p, "HTTP/1.1 ", 9) != 0)
		abort();
	buf_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {0};
	struct world *w;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	in.choice = data[0];
	in.text = bytes_of(data + 1, size - 1);
	if (world_uv_new(&w, NULL) != 0 ||
	    rt_start(w->rt, "fuzz", NULL, connection, &in, NULL) != 0)
		abort();
	rt_run(w->rt);
	world_uv_free(w);
	return 0;
}
