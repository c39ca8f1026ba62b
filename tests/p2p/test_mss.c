/* multistream-select: both roles against each other and against rule breakers, with the bytes cut
 * into every size of piece. */
#include "p2p/mss_priv.h"
#include "suites.h"

struct side {
	struct mss m;
	struct buf out;
	int rc;
};

static bool accepts(void *arg, struct bytes name)
{
	const char *const *all = arg;

	for (; *all; all++)
		if (bytes_equal(name, bytes_str(*all)))
			return true;
	return false;
}

/* Moves what `from` wants to send to `to`, at most `piece` bytes at a time, and stops at the end of
 * the negotiation of `to`. Returns the bytes that were not read. */
static size_t deliver(struct side *from, struct side *to, size_t piece)
{
	size_t at = 0;

	while (to->rc == 0 && at < from->out.n) {
		size_t n = mss_wanted(&to->m);

		assert_true(n >= 1 && n <= MSS_LINE_MAX);
		n = n < piece ? n : piece;
		n = n < from->out.n - at ? n : from->out.n - at;
		to->rc = mss_receive(&to->m, bytes_of(from->out.p + at, n), &to->out, NULL);
		at += n;
	}
	buf_consume(&from->out, at);
	return from->out.n;
}

static void run_pair(const char *const *want, size_t n, const char **have, size_t piece,
    struct side *d, struct side *l)
{
	*d = (struct side){.out = BUF_INIT(MSS_OUT_MAX)};
	*l = (struct side){.out = BUF_INIT(MSS_OUT_MAX)};
	mss_dialer(&d->m, want, n);
	mss_listener(&l->m, accepts, have);
	mss_start(&d->m, &d->out);
	mss_start(&l->m, &l->out);
	for (int i = 0; i < 20 && d->rc == 0; i++) {
		deliver(d, l, piece);
		deliver(l, d, piece);
	}
	assert_false(d->out.failed || l->out.failed);
}

static void end_pair(struct side *d, struct side *l)
{
	buf_free(&d->out);
	buf_free(&l->out);
}

static void agreement(void **state)
{
	static const char *const want[] = {"/a/1", "/b/1", "/c/1"};
	const char *have[] = {"/c/1", "/b/1", NULL}, *none[] = {NULL};
	struct side d, l;

	for (size_t piece = 1; piece < 40; piece++) {
		run_pair(want, 3, have, piece, &d, &l);
		assert_int_equal(d.rc, 1);
		assert_int_equal(l.rc, 1);
		assert_string_equal(d.m.chosen, "/b/1");
		assert_string_equal(l.m.chosen, "/b/1");
		end_pair(&d, &l);
		run_pair(want, 3, none, piece, &d, &l);
		assert_int_equal(d.rc, E_UNSUPPORTED);
		assert_int_equal(l.rc, 0); /* still open for another proposal */
		end_pair(&d, &l);
	}
}

/* The exact bytes, as the specification shows them. */
static void wire_form(void **state)
{
	static const char *const want[] = {"/noise"};
	struct side d = {.out = BUF_INIT(MSS_OUT_MAX)};

	mss_dialer(&d.m, want, 1);
	mss_start(&d.m, &d.out);
	assert_true(
	    bytes_equal(buf_view(&d.out), bytes_str("\x13/multistream/1.0.0\n\x07/noise\n")));
	buf_free(&d.out);
}

/* What follows the accepted line belongs to the protocol and is not touched. */
static void pipelined_payload_is_left_alone(void **state)
{
	const char *have[] = {"/p", NULL};
	struct side d = {.out = BUF_INIT(MSS_OUT_MAX)}, l = {.out = BUF_INIT(MSS_OUT_MAX)};

	mss_listener(&l.m, accepts, have);
	mss_put_line(&d.out, bytes_str(MSS_HEADER));
	mss_put_line(&d.out, bytes_str("/p"));
	buf_str(&d.out, "payload");
	assert_int_equal(deliver(&d, &l, 1000), 7);
	assert_int_equal(l.rc, 1);
	assert_string_equal(buf_cstr(&d.out), "payload");
	assert_true(bytes_equal(buf_view(&l.out), bytes_str("\x13/multistream/1.0.0\n\x03/p\n")));
	end_pair(&d, &l);
}

static int listener_says(struct bytes in)
{
	const char *have[] = {"/p", NULL};
	struct side d = {.out = BUF_INIT(1 << 20)}, l = {.out = BUF_INIT(1 << 20)};

	mss_listener(&l.m, accepts, have);
	buf_bytes(&d.out, in);
	deliver(&d, &l, 1000);
	end_pair(&d, &l);
	return l.rc;
}

static int proposal_says(struct bytes in)
{
	struct buf b = BUF_INIT(1000);
	int rc;

	mss_put_line(&b, bytes_str(MSS_HEADER));
	buf_bytes(&b, in);
	rc = listener_says(buf_view(&b));
	buf_free(&b);
	return rc;
}

static void rule_breakers(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	static const char *const want[] = {"/p"};
	struct side d = {.out = BUF_INIT(MSS_OUT_MAX)};

	assert_int_equal(listener_says(bytes_of("\0", 1)), E_PROTOCOL);
	assert_int_equal(listener_says(bytes_str("GET / HTTP/1.1\r\n")), E_PROTOCOL);
	assert_int_equal(listener_says(bytes_str("\x13/multistream/2.0.0\n")), E_PROTOCOL);
	assert_int_equal(listener_says(bytes_str("\x13/multistream/1.0.0x")), E_PROTOCOL);
	assert_int_equal(proposal_says(bytes_of("\x93\x00", 2)), E_PROTOCOL); /* overlong */
	assert_int_equal(proposal_says(bytes_of("\x81\x08", 2)), E_PROTOCOL); /* 1,025 */
	assert_int_equal(proposal_says(bytes_of("\xff\xff\x03", 3)), E_PROTOCOL);
	assert_int_equal(proposal_says(bytes_of("\x80\x08", 2)), 0); /* 1,024 */
	/* too many proposals; "ls" and empty lines are proposals like any other */
	mss_put_line(&b, bytes_str(MSS_HEADER));
	buf_str(&b, "\x01\n");
	for (int i = 0; i < MSS_PROPOSALS_MAX - 1; i++)
		mss_put_line(&b, bytes_str("ls"));
	assert_int_equal(listener_says(buf_view(&b)), 0);
	mss_put_line(&b, bytes_str("ls"));
	assert_int_equal(listener_says(buf_view(&b)), E_PROTOCOL);
	buf_free(&b);
	/* a dialer hears something it did not say */
	mss_dialer(&d.m, want, 1);
	struct side l = {.out = BUF_INIT(MSS_OUT_MAX)};

	mss_put_line(&l.out, bytes_str(MSS_HEADER));
	mss_put_line(&l.out, bytes_str("/q"));
	deliver(&l, &d, 1000);
	assert_int_equal(d.rc, E_PROTOCOL);
	end_pair(&d, &l);
}

static void the_longest_name(void **state)
{
	char name[MSS_NAME_MAX + 1];
	const char *const want[] = {name};
	const char *have[] = {name, NULL};
	struct side d, l;

	memset(name, 'x', MSS_NAME_MAX);
	name[MSS_NAME_MAX] = 0;
	run_pair(want, 1, have, 7, &d, &l);
	assert_int_equal(d.rc, 1);
	assert_string_equal(l.m.chosen, name);
	end_pair(&d, &l);
}

int run_mss_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(agreement),
	    cmocka_unit_test(wire_form),
	    cmocka_unit_test(pipelined_payload_is_left_alone),
	    cmocka_unit_test(rule_breakers),
	    cmocka_unit_test(the_longest_name),
	};

	return cmocka_run_group_tests_name("p2p/mss", tests, NULL, NULL);
}
