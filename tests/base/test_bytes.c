/* Cursors never read past their view; buffers never grow past their limit. */
#include "base/bytes.h"
#include "suites.h"

static void cursor_reads_in_order(void **state)
{
	const uint8_t raw[] = {
	    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8};
	struct cursor c = cursor_of(bytes_of(raw, sizeof(raw)));
	struct bytes rest;
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	assert_true(cursor_u8(&c, &u8));
	assert_int_equal(u8, 1);
	assert_true(cursor_u16be(&c, &u16));
	assert_int_equal(u16, 0x0203);
	assert_true(cursor_u32be(&c, &u32));
	assert_int_equal(u32, 0x04050607);
	assert_true(cursor_u64be(&c, &u64));
	assert_true(u64 == 0x08090a0b0c0d0e0full);
	assert_true(cursor_u32le(&c, &u32));
	assert_int_equal(u32, 0x04030201);
	assert_true(cursor_u64le(&c, &u64));
	assert_true(u64 == 0x0807060504030201ull);
	assert_int_equal(c.left, 0);
	assert_true(cursor_take(&c, 0, &rest));
	assert_false(c.bad);
}

static void cursor_short_read_moves_nothing(void **state)
{
	const uint8_t raw[] = {1, 2, 3};
	struct cursor c = cursor_of(bytes_of(raw, sizeof(raw)));
	struct bytes out;
	uint32_t u32 = 77;
	uint16_t u16;

	assert_false(cursor_u32be(&c, &u32));
	assert_int_equal(u32, 77);
	assert_int_equal(c.left, 3);
	assert_true(c.bad);
	assert_true(cursor_u16be(&c, &u16));
	assert_true(c.bad); /* stays set */
	assert_false(cursor_take(&c, SIZE_MAX, &out));
	c = cursor_of((struct bytes){NULL, 0});
	assert_true(cursor_take(&c, 0, &out));
	assert_false(cursor_take(&c, 1, &out));
}

static void buf_appends(void **state)
{
	struct buf b = BUF_INIT(1000);

	assert_string_equal(buf_cstr(&b), "");
	buf_u8(&b, 'a');
	buf_u16be(&b, 0x6263);
	buf_u32be(&b, 0x64656667);
	buf_u64be(&b, 0x68696a6b6c6d6e6full);
	buf_str(&b, "pq");
	buf_bytes(&b, bytes_str("rs"));
	buf_printf(&b, "%c%d", 't', 42);
	assert_string_equal(buf_cstr(&b), "abcdefghijklmnopqrst42");
	assert_int_equal(buf_ok(&b, NULL), 0);
	buf_consume(&b, 20);
	assert_string_equal(buf_cstr(&b), "42");
	buf_printf(&b, "%0300d", 7);
	assert_int_equal(b.n, 302);
	assert_int_equal(strlen(buf_cstr(&b)), 302);
	buf_consume(&b, b.n);
	assert_int_equal(b.n, 0);
	buf_free(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 1000);
}

static void buf_stops_at_its_limit(void **state)
{
	struct buf b = BUF_INIT(10);
	struct err err = {0};

	buf_str(&b, "0123456789");
	assert_int_equal(buf_ok(&b, NULL), 0);
	buf_u8(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.n, 10);
	assert_true(b.cap <= 11);
	assert_int_equal(buf_ok(&b, &err), E_TOO_LARGE);
	assert_non_null(strstr(err.text, "10 bytes"));
	buf_reset(&b);
	assert_int_equal(buf_ok(&b, NULL), 0);
	buf_printf(&b, "%s", "01234567890");
	assert_int_equal(buf_ok(&b, NULL), E_TOO_LARGE);
	buf_reset(&b);
	buf_printf(&b, "%0400d", 1);
	assert_int_equal(buf_ok(&b, NULL), E_TOO_LARGE);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

static void buf_refuses_absurd_sizes(void **state)
{
	struct buf b = BUF_INIT(SIZE_MAX);

	assert_int_equal(buf_reserve(&b, SIZE_MAX), E_TOO_LARGE);
	assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), E_TOO_LARGE);
	buf_u8(&b, 1);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 1), E_TOO_LARGE);
	assert_int_equal(b.n, 1);
	buf_free(&b);
}

static void buf_after_failure_drops_everything(void **state)
{
	struct buf b = BUF_INIT(4);

	buf_str(&b, "12345");
	buf_str(&b, "1");
	assert_int_equal(b.n, 0);
	assert_int_equal(buf_ok(&b, NULL), E_TOO_LARGE);
	buf_free(&b);
}

int run_bytes_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cursor_reads_in_order),
	    cmocka_unit_test(cursor_short_read_moves_nothing),
	    cmocka_unit_test(buf_appends),
	    cmocka_unit_test(buf_stops_at_its_limit),
	    cmocka_unit_test(buf_refuses_absurd_sizes),
	    cmocka_unit_test(buf_after_failure_drops_everything),
	};

	return cmocka_run_group_tests_name("base/bytes", tests, NULL, NULL);
}
