/* Streams in memory: pipes keep the contract of stream.h; the prefix and the splice keep it too. */
#include "sim_help.h"

struct pair {
	struct stream *a, *b;
	struct stream *c, *d; /* a second pipe */
	uint8_t *sent, *got;
	size_t n;
	ssize_t rc;
	struct err err;
	uint64_t there, back;
};

static void pattern(uint8_t *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* ---- pipes --------------------------------------------------------------------------------- */

static void write_all(void *arg)
{
	struct pair *p = arg;
	size_t third = p->n / 3;
	struct bytes v[] = {
	    bytes_of(p->sent, third), bytes_of(NULL, 0), bytes_of(p->sent + third, p->n - third)};

	p->rc = stream_writev(p->a, v, 3, &p->err);
	if (p->rc == 0)
		p->rc = stream_close_write(p->a, &p->err);
}

static void through_a_pipe(void *arg)
{
	struct pair *p = arg;
	uint8_t end;

	OK(stream_pipe("p", 1000, &p->a, &p->b, NULL));
	OK(fiber_spawn(NULL, "writer", write_all, p, NULL));
	OK(stream_read_full(p->b, p->got, p->n, NULL));
	assert_int_equal(stream_read(p->b, &end, 1, NULL), 0);
	assert_int_equal(stream_read(p->b, &end, 1, NULL), 0);
	OK(p->rc);
	OK(stream_write(p->b, "back", 4, NULL)); /* half-closed: the other way lives */
	OK(stream_read_full(p->a, p->got + p->n, 4, NULL));
	assert_string_equal(p->a->remote, "p");
	stream_close(p->a);
	stream_close(p->b);
}

static void test_bytes_pass_in_order_through_a_small_pipe(void **state)
{
	struct pair p = {.n = 100003};

	(void)state;
	p.sent = malloc(p.n);
	p.got = malloc(p.n + 4);
	pattern(p.sent, p.n);
	run_alone(through_a_pipe, &p);
	assert_memory_equal(p.sent, p.got, p.n);
	assert_memory_equal(p.got + p.n, "back", 4);
	free(p.sent);
	free(p.got);
}

static void fill(void *arg)
{
	struct pair *p = arg;
	uint8_t big[64] = {0};

	p->rc = stream_write(p->a, big, sizeof(big), &p->err);
}

static void full_pipe_waits(void *arg)
{
	struct pair *p = arg;
	uint8_t byte[64];

	OK(stream_pipe("p", 16, &p->a, &p->b, NULL));
	p->rc = 1;
	OK(fiber_spawn(NULL, "writer", fill, p, NULL));
	OK(fiber_sleep(duration_ms(1)));
	assert_int_equal(p->rc, 1); /* still waiting */
	OK(stream_read_full(p->b, byte, 48, NULL));
	OK(fiber_sleep(duration_ms(1)));
	OK(p->rc);
	stream_close(p->a);
	stream_close(p->b);
}

static void test_a_full_pipe_holds_its_writer(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(full_pipe_waits, &p);
}

static void reset_wakes(void *arg)
{
	struct pair *p = arg;
	uint8_t byte;

	OK(stream_pipe("p", 16, &p->a, &p->b, NULL));
	OK(fiber_spawn(NULL, "writer", fill, p, NULL));
	OK(fiber_sleep(duration_ms(1)));
	stream_reset(p->b, E_TIMEOUT);
	OK(fiber_sleep(duration_ms(1)));
	assert_int_equal(p->rc, E_RESET);
	assert_non_null(strstr(p->err.text, "E_TIMEOUT"));
	assert_int_equal(stream_read(p->b, &byte, 1, NULL), E_RESET);
	assert_int_equal(stream_read(p->a, &byte, 1, NULL), E_RESET);
	assert_int_equal(stream_close_write(p->a, NULL), E_RESET);
	stream_close(p->a);
	stream_close(p->b);
}

static void test_reset_ends_both_directions_and_wakes(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(reset_wakes, &p);
}

static void peer_gone(void *arg)
{
	struct pair *p = arg;
	uint8_t got[8];

	OK(stream_pipe("p", 16, &p->a, &p->b, NULL));
	OK(stream_write(p->b, "last", 4, NULL));
	stream_close(p->b);
	assert_int_equal(stream_write(p->a, "x", 1, NULL), E_CLOSED);
	OK(stream_read_full(p->a, got, 4, NULL)); /* what was written is still delivered */
	assert_int_equal(stream_read(p->a, got, 1, NULL), 0);
	p->rc = stream_read_full(p->a, got, 4, &p->err);
	assert_int_equal(p->rc, E_CLOSED);
	assert_non_null(strstr(p->err.text, "0 of 4"));
	OK(stream_close_write(p->a, NULL));
	assert_int_equal(stream_write(p->a, "x", 1, NULL), E_CLOSED);
	stream_close(p->a);
}

static void test_a_closed_end_is_an_end_for_the_reader(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(peer_gone, &p);
}

static void timed_read(void *arg)
{
	struct pair *p = arg;
	struct scope sc;
	uint8_t got[4];

	OK(stream_pipe("p", 16, &p->a, &p->b, NULL));
	scope_open(&sc, duration_ms(5));
	assert_int_equal(stream_read(p->b, got, 4, NULL), E_TIMEOUT);
	scope_close(&sc);
	OK(stream_write(p->a, "abcd", 4, NULL));
	OK(stream_read_full(p->b, got, 4, NULL));
	assert_memory_equal(got, "abcd", 4);
	stream_close(p->a);
	stream_close(p->b);
}

static void test_a_timed_out_read_consumes_nothing(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(timed_read, &p);
}

/* ---- the prefix ---------------------------------------------------------------------------- */

static void prefixed(void *arg)
{
	struct pair *p = arg;
	struct stream *s;
	uint8_t got[10];

	OK(stream_pipe("p", 64, &p->a, &p->b, NULL));
	OK(stream_prefixed(p->b, bytes_of("hello ", 6), &s, NULL));
	OK(stream_write(p->a, "world", 5, NULL));
	assert_int_equal(stream_read(s, got, 4, NULL), 4);
	OK(stream_read_full(s, got + 4, 6, NULL));
	assert_memory_equal(got, "hello worl", 10);
	OK(stream_write(s, "hi", 2, NULL));
	OK(stream_read_full(p->a, got, 2, NULL));
	assert_memory_equal(got, "hi", 2);
	OK(stream_close_write(s, NULL));
	assert_int_equal(stream_read(p->a, got, 1, NULL), 0);
	assert_string_equal(s->remote, "p");
	stream_close(s);
	stream_close(p->a);
}

static void reset_prefixed(void *arg)
{
	struct pair *p = arg;
	struct stream *s;
	uint8_t got;

	OK(stream_pipe("p", 64, &p->a, &p->b, NULL));
	OK(stream_prefixed(p->b, bytes_of("hello", 5), &s, NULL));
	stream_reset(s, E_RESET);
	assert_int_equal(stream_read(s, &got, 1, NULL), E_RESET);
	stream_close(s);
	stream_close(p->a);
}

static void test_a_prefix_is_read_first(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(prefixed, &p);
	run_alone(reset_prefixed, &p);
}

/* ---- copying ------------------------------------------------------------------------------- */

static void splice_fiber(void *arg)
{
	struct pair *p = arg;

	p->rc = stream_splice(p->b, p->c, &p->there, &p->back, &p->err);
}

static void splice_open(struct pair *p)
{
	OK(stream_pipe("left", 64, &p->a, &p->b, NULL));
	OK(stream_pipe("right", 64, &p->c, &p->d, NULL));
}

static void splice_close(struct pair *p)
{
	stream_close(p->a);
	stream_close(p->b);
	stream_close(p->c);
	stream_close(p->d);
}

static void splice_both_ways(void *arg)
{
	struct pair *p = arg;
	struct scope sc;
	uint8_t got[8];

	splice_open(p);
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(NULL, "splice", splice_fiber, p, NULL));
	OK(stream_write(p->a, "ping", 4, NULL));
	OK(stream_close_write(p->a, NULL));
	OK(stream_read_full(p->d, got, 4, NULL));
	assert_memory_equal(got, "ping", 4);
	assert_int_equal(stream_read(p->d, got, 1, NULL), 0); /* the half-close went through */
	OK(stream_write(p->d, "answer", 6, NULL));
	OK(stream_close_write(p->d, NULL));
	OK(stream_read_full(p->a, got, 6, NULL));
	assert_memory_equal(got, "answer", 6);
	OK(scope_join(&sc));
	scope_close(&sc);
	OK(p->rc);
	assert_int_equal(p->there, 4);
	assert_int_equal(p->back, 6);
	splice_close(p);
}

static void splice_with_reset(void *arg)
{
	struct pair *p = arg;
	struct scope sc;
	uint8_t got;

	splice_open(p);
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(NULL, "splice", splice_fiber, p, NULL));
	OK(fiber_sleep(duration_ms(1)));
	stream_reset(p->d, E_UPSTREAM);
	assert_int_equal(stream_read(p->a, &got, 1, NULL), E_RESET);
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(p->rc, E_RESET);
	splice_close(p);
}

static void splice_cancelled(void *arg)
{
	struct pair *p = arg;
	struct scope sc;
	uint8_t got;

	splice_open(p);
	scope_init(&sc, NULL);
	OK(fiber_spawn(&sc, "splice", splice_fiber, p, NULL));
	OK(fiber_sleep(duration_ms(1)));
	scope_close(&sc);
	assert_int_equal(p->rc, E_CANCELLED);
	assert_int_equal(stream_read(p->a, &got, 1, NULL), E_RESET);
	assert_int_equal(stream_read(p->d, &got, 1, NULL), E_RESET);
	splice_close(p);
}

/* A carrier over the pipe's end `d` whose half-close answers what `status` says. */
struct carrier {
	struct stream stream;
	struct stream *inner;
	int status;
};

static ssize_t carrier_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	return stream_read(((struct carrier *)s)->inner, buf, cap, err);
}

static int carrier_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return stream_writev(((struct carrier *)s)->inner, v, count, err);
}

static int carrier_close_write(struct stream *s, struct err *err)
{
	int status = ((struct carrier *)s)->status;

	return err_set(err, status, "no half-close");
}

static void carrier_reset(struct stream *s, int code)
{
	stream_reset(((struct carrier *)s)->inner, code);
}

static const struct stream_ops carrier_ops = {
    .kind = "carrier",
    .read = carrier_read,
    .write = carrier_write,
    .close_write = carrier_close_write,
    .reset = carrier_reset,
};

/* The peer of `a` has said all; what `c`'s peer answers must still come through. */
static void splice_without_half_close(void *arg)
{
	struct pair *p = arg;
	struct carrier carrier = {.stream = {.ops = &carrier_ops, .remote = "carrier"}};
	struct stream *c;
	struct scope sc;
	uint8_t got[6];

	splice_open(p);
	c = carrier.inner = p->c;
	carrier.status = p->there != 0 ? E_IO : E_UNSUPPORTED;
	p->c = &carrier.stream;
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(NULL, "splice", splice_fiber, p, NULL));
	OK(stream_close_write(p->a, NULL));
	OK(fiber_sleep(duration_ms(1)));
	if (carrier.status == E_UNSUPPORTED) {
		OK(stream_write(p->d, "answer", 6, NULL));
		OK(stream_close_write(p->d, NULL));
		OK(stream_read_full(p->a, got, 6, NULL));
	}
	OK(scope_join(&sc));
	scope_close(&sc);
	p->c = c;
	splice_close(p);
}

static void test_splice_over_a_carrier_without_half_close(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(splice_without_half_close, &p);
	OK(p.rc);
	assert_int_equal(p.back, 6);
	p.there = 1; /* asks for a carrier that fails */
	run_alone(splice_without_half_close, &p);
	assert_int_equal(p.rc, E_IO);
}

static void test_splice(void **state)
{
	struct pair p = {0};

	(void)state;
	run_alone(splice_both_ways, &p);
	run_alone(splice_with_reset, &p);
	run_alone(splice_cancelled, &p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes_pass_in_order_through_a_small_pipe),
	    cmocka_unit_test(test_a_full_pipe_holds_its_writer),
	    cmocka_unit_test(test_reset_ends_both_directions_and_wakes),
	    cmocka_unit_test(test_a_closed_end_is_an_end_for_the_reader),
	    cmocka_unit_test(test_a_timed_out_read_consumes_nothing),
	    cmocka_unit_test(test_a_prefix_is_read_first),
	    cmocka_unit_test(test_splice),
	    cmocka_unit_test(test_splice_over_a_carrier_without_half_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
