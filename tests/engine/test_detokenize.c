/* Streaming text never breaks a character, however its bytes are cut. */
#include "base/encode.h"
#include "engine/detokenize.h"
#include "text_test.h"

static const char MIXED[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x99z\xed\x9f\xbf\xf4\x8f\xbf\xbf";

/* Every output so far must be whole characters. */
static void push(struct detokenizer *d, const void *p, size_t n, struct buf *out)
{
	detokenizer_push(d, bytes_of(p, n), out);
	assert_int_equal(utf8_valid_prefix(buf_view(out)), out->n);
}

static void every_cut_in_two_and_three(void **state)
{
	(void)state;
	size_t n = sizeof MIXED - 1;
	for (size_t i = 0; i <= n; i++)
		for (size_t j = i; j <= n; j++) {
			struct detokenizer d = {0};
			struct buf out = BUF_INIT(100);
			push(&d, MIXED, i, &out);
			push(&d, MIXED + i, j - i, &out);
			push(&d, MIXED + j, n - j, &out);
			detokenizer_finish(&d, &out);
			assert_string_equal(buf_cstr(&out), MIXED);
			buf_free(&out);
		}
}

static void byte_by_byte_releases_at_once(void **state)
{
	(void)state;
	struct detokenizer d = {0};
	struct buf out = BUF_INIT(100);
	push(&d, "\xf0", 1, &out);
	push(&d, "\x9f", 1, &out);
	push(&d, "\xa6", 1, &out);
	assert_int_equal(out.n, 0);
	push(&d, "\x99", 1, &out);
	assert_int_equal(out.n, 4);
	push(&d, "x", 1, &out);
	assert_int_equal(out.n, 5);
	buf_free(&out);
}

#define R "\xef\xbf\xbd"

static void ill_formed_parts_become_replacements(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		const char *out;
	} CASES[] = {
	    {"\x80", R},
	    {"a\xff", "a" R},
	    {"\xc3(", R "("},
	    {"\xe2\x82(", R "("},
	    {"\xe2\x82", R},
	    {"\xf0\x9f\xa6", R},
	    {"\xc0\xaf", R R},
	    {"\xe0\x80\xaf", R R R},
	    {"\xed\xa0\x80", R R R},
	    {"\xf4\x90\x80\x80", R R R R},
	    {"\xf5", R},
	    {"\xe2\xe2\x82\xac", R "\xe2\x82\xac"},
	    {"\xf1\x80\x80\xe1\x80\xc2", R R R},
	    {"\xc3\xc3\xa9", R "\xc3\xa9"},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		size_t n = strlen(CASES[i].in);
		for (size_t cut = 0; cut <= n; cut++) {
			struct detokenizer d = {0};
			struct buf out = BUF_INIT(100);
			push(&d, CASES[i].in, cut, &out);
			push(&d, CASES[i].in + cut, n - cut, &out);
			detokenizer_finish(&d, &out);
			assert_string_equal(buf_cstr(&out), CASES[i].out);
			buf_free(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_cut_in_two_and_three),
	    cmocka_unit_test(byte_by_byte_releases_at_once),
	    cmocka_unit_test(ill_formed_parts_become_replacements),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
