/* Published examples for each encoding, and the spellings that must be refused. */
#include "base/encode.h"
#include "suites.h"

#include <stdio.h>

static void hex_examples(void **state)
{
	uint8_t raw[4];
	char text[9];

	assert_int_equal(hex_decode(bytes_str("00fFa55A"), raw, 4), 0);
	hex_encode(bytes_of(raw, 4), text);
	assert_string_equal(text, "00ffa55a");
	assert_int_equal(hex_decode(bytes_str("00ffa55"), raw, 4), E_SYNTAX);
	assert_int_equal(hex_decode(bytes_str("00ffa55g"), raw, 4), E_SYNTAX);
	assert_int_equal(hex_decode(bytes_str(" 0ffa55a"), raw, 4), E_SYNTAX);
	assert_int_equal(hex_decode(bytes_str(""), raw, 0), 0);
}

/* draft-msporny-base58-03, section 5 */
static void base58_examples(void **state)
{
	static const struct {
		struct bytes raw;
		const char *text;
	} ex[] = {
	    {{(const uint8_t *)"Hello World!", 12}, "2NEpo7TZRRrLZSi2U"},
	    {{(const uint8_t *)"The quick brown fox jumps over the lazy dog.", 44},
		"USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"},
	    {{(const uint8_t *)"\0\0\x28\x7f\xb4\xcd", 6}, "11233QC4"},
	    {{(const uint8_t *)"\0\0\0", 3}, "111"},
	    {{NULL, 0}, ""},
	};
	uint8_t raw[64];
	char text[128];
	size_t n;

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		assert_int_equal(base58_encode(ex[i].raw, text, sizeof(text)), 0);
		assert_string_equal(text, ex[i].text);
		assert_int_equal(base58_decode(bytes_str(text), raw, sizeof(raw), &n), 0);
		assert_true(bytes_equal(ex[i].raw, bytes_of(raw, n)));
	}
}

static void base58_refuses(void **state)
{
	uint8_t raw[BASE58_MAX], big[BASE58_MAX + 1];
	char text[512], small[4];
	size_t n;

	memset(big, 0xff, sizeof(big));
	assert_int_equal(base58_decode(bytes_str("0OIl"), raw, sizeof(raw), &n), E_SYNTAX);
	assert_int_equal(base58_decode(bytes_of("a\0b", 3), raw, sizeof(raw), &n), E_SYNTAX);
	assert_int_equal(base58_decode(bytes_str("2NEpo7TZRRrLZSi2U"), raw, 11, &n), E_TOO_LARGE);
	assert_int_equal(base58_decode(bytes_str("1111"), raw, 3, &n), E_TOO_LARGE);
	assert_int_equal(
	    base58_encode(bytes_of(big, sizeof(big)), text, sizeof(text)), E_TOO_LARGE);
	assert_int_equal(base58_encode(bytes_of(big, 3), small, sizeof(small)), E_TOO_LARGE);
	memset(text, 'z', sizeof(text));
	assert_int_equal(base58_decode(bytes_of(text, 352), raw, sizeof(raw), &n), E_TOO_LARGE);
	assert_int_equal(base58_decode(bytes_of(text, 512), raw, sizeof(raw), &n), E_TOO_LARGE);
	assert_int_equal(base58_encode(bytes_of(big, BASE58_MAX), text, sizeof(text)), 0);
	assert_int_equal(base58_decode(bytes_str(text), raw, sizeof(raw), &n), 0);
	assert_memory_equal(raw, big, BASE58_MAX);
}

/* RFC 4648 section 10 */
static void base64_examples(void **state)
{
	static const char *const ex[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Zg",
	    "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9-", "=m9v", "Zm9vY"};
	uint8_t raw[16];
	char text[16];
	size_t n;

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		base64_encode(bytes_str(ex[i][0]), text);
		assert_string_equal(text, ex[i][1]);
		assert_int_equal(base64_decode(bytes_str(text), raw, sizeof(raw), &n), 0);
		assert_true(bytes_equal(bytes_of(raw, n), bytes_str(ex[i][0])));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(bytes_str(bad[i]), raw, sizeof(raw), &n), E_SYNTAX);
	assert_int_equal(base64_decode(bytes_str("Zm9vYmFy"), raw, 5, &n), E_TOO_LARGE);
}

static void base32_examples(void **state)
{
	static const char *const ex[][2] = {{"", ""}, {"f", "my"}, {"fo", "mzxq"}, {"foo", "mzxw6"},
	    {"foob", "mzxw6yq"}, {"fooba", "mzxw6ytb"}, {"foobar", "mzxw6ytboi"}};
	static const char *const bad[] = {
	    "m", "mz", "mzx", "MY", "my======", "mzxw6yr", "m1", "mzxw6y"};
	uint8_t raw[16];
	size_t n;

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		assert_int_equal(base32_decode(bytes_str(ex[i][1]), raw, sizeof(raw), &n), 0);
		assert_true(bytes_equal(bytes_of(raw, n), bytes_str(ex[i][0])));
		struct buf text = BUF_INIT(16);
		base32_encode(bytes_str(ex[i][0]), &text);
		assert_string_equal(buf_cstr(&text), ex[i][1]);
		buf_free(&text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base32_decode(bytes_str(bad[i]), raw, sizeof(raw), &n), E_SYNTAX);
}

static void varint_examples(void **state)
{
	static const struct {
		uint64_t v;
		struct bytes raw;
	} ex[] = {
	    {0, {(const uint8_t *)"\x00", 1}},
	    {1, {(const uint8_t *)"\x01", 1}},
	    {127, {(const uint8_t *)"\x7f", 1}},
	    {128, {(const uint8_t *)"\x80\x01", 2}},
	    {255, {(const uint8_t *)"\xff\x01", 2}},
	    {300, {(const uint8_t *)"\xac\x02", 2}},
	    {16384, {(const uint8_t *)"\x80\x80\x01", 3}},
	    {INT64_MAX, {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9}},
	};
	uint8_t raw[VARINT_MAX];
	uint64_t v;

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		assert_int_equal(varint_encode(ex[i].v, raw), ex[i].raw.n);
		assert_memory_equal(raw, ex[i].raw.p, ex[i].raw.n);
		assert_int_equal(varint_decode(ex[i].raw, &v), ex[i].raw.n);
		assert_true(v == ex[i].v);
		for (size_t n = 0; n < ex[i].raw.n; n++)
			assert_int_equal(varint_decode(bytes_of(raw, n), &v), 0);
	}
}

static void varint_refuses(void **state)
{
	struct cursor c = cursor_of(bytes_of("\x81\x00", 2));
	uint64_t v = 5;

	assert_int_equal(varint_decode(bytes_of("\x81\x00", 2), &v), E_SYNTAX);
	assert_int_equal(varint_decode(bytes_of("\x80\x00", 2), &v), E_SYNTAX);
	assert_int_equal(
	    varint_decode(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10), &v), E_SYNTAX);
	assert_int_equal(
	    varint_decode(bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80", 9), &v), E_SYNTAX);
	assert_false(cursor_varint(&c, &v));
	assert_true(c.bad);
	assert_int_equal(c.left, 2);
	c = cursor_of(bytes_of("\x80", 1));
	assert_false(cursor_varint(&c, &v));
	assert_true(v == 5);
	c = cursor_of(bytes_of("\xac\x02z", 3));
	assert_true(cursor_varint(&c, &v));
	assert_true(v == 300 && c.left == 1);
}

static void utf8_round_trip_of_every_code_point(void **state)
{
	char raw[4];
	uint32_t back;

	for (uint32_t cp = 0; cp <= 0x110000; cp++) {
		size_t n = utf8_encode(cp, raw);

		if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
			assert_int_equal(n, 0);
			continue;
		}
		assert_int_equal(utf8_decode((uint8_t *)raw, n, &back), n);
		assert_int_equal(back, cp);
		for (size_t cut = 1; cut < n; cut++) {
			assert_int_equal(utf8_decode((uint8_t *)raw, cut, &back), 0);
			assert_int_equal(utf8_incomplete_tail(bytes_of(raw, cut)), cut);
		}
		assert_int_equal(utf8_incomplete_tail(bytes_of(raw, n)), 0);
	}
}

static void utf8_refuses(void **state)
{
	static const char *const bad[] = {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
	    "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
	    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xbf", "\xff", "\xc3(", "\xe2\x82("};
	char line[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "ab%s", bad[i]);
		assert_int_equal(utf8_valid_prefix(bytes_str(line)), 2);
		assert_int_equal(utf8_incomplete_tail(bytes_str(line)), 0);
	}
	assert_int_equal(utf8_incomplete_tail(bytes_of("\xe0\x80", 2)), 0);
	assert_int_equal(utf8_incomplete_tail(bytes_of("\x80\x80\x80\x80", 4)), 0);
	assert_int_equal(utf8_incomplete_tail(bytes_of("a\xf0\x9f\x98", 4)), 3);
	assert_int_equal(utf8_valid_prefix(bytes_of("a\0\xf0\x9f\x98\x80z", 7)), 7);
	assert_int_equal(utf8_valid_prefix(bytes_of(NULL, 0)), 0);
}

int run_encode_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hex_examples),
	    cmocka_unit_test(base58_examples),
	    cmocka_unit_test(base58_refuses),
	    cmocka_unit_test(base64_examples),
	    cmocka_unit_test(base32_examples),
	    cmocka_unit_test(varint_examples),
	    cmocka_unit_test(varint_refuses),
	    cmocka_unit_test(utf8_round_trip_of_every_code_point),
	    cmocka_unit_test(utf8_refuses),
	};

	return cmocka_run_group_tests_name("base/encode", tests, NULL, NULL);
}
