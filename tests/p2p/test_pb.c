/* The protobuf reader: examples of the encoding's documentation, and what must stop it. */
#include "p2p/pb_priv.h"
#include "suites.h"

static void reads_every_wire_type(void **state)
{
	/* 1: 150, 2: "testing", 3: fixed64, 4: fixed32, 1000: 0 */
	struct cursor c = cursor_of(unhex(0, "0896011207"
					     "74657374696e67"
					     "190102030405060708"
					     "25aabbccdd"
					     "c03e00"));
	struct pb_field f;

	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 1, PB_VARINT) && f.value == 150);
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 2, PB_BYTES) && bytes_equal(f.data, bytes_str("testing")));
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 3, PB_FIXED64) && f.value == 0x0807060504030201ull);
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 4, PB_FIXED32) && f.value == 0xddccbbaa);
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 1000, PB_VARINT) && f.value == 0);
	assert_false(pb_is(&f, 1000, PB_BYTES));
	assert_int_equal(pb_next(&c, &f, NULL), 0);
}

static void refuses(void **state)
{
	static const char *const bad[] = {
	    "08",                                           /* no value */
	    "0880",                                         /* value cut off */
	    "08ffffffffffffffffffff01",                     /* eleven bytes */
	    "08ffffffffffffffffff02",                       /* above 64 bits */
	    "00", "0200",                                   /* field number 0 */
	    "0b0c", "0c",                                   /* groups */
	    "0e", "0f",                                     /* wire types 6 and 7 */
	    "0a05aabbccdd",                                 /* longer than what is left */
	    "0affffffffffffffffff01",                       /* absurd length */
	    "0901020304050607", "0d010203", "808080801000", /* field number 2^29 */
	};
	struct pb_field f;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cursor c = cursor_of(unhex(0, bad[i]));

		assert_int_equal(pb_next(&c, &f, NULL), E_PROTOCOL);
	}
}

static void writes_what_it_reads(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 1u << 31, UINT64_MAX};
	struct buf b = BUF_INIT(1000);
	struct pb_field f;
	struct cursor c;

	for (size_t i = 0; i < 6; i++)
		pb_put_varint(&b, (uint32_t)(i * i * i * 1000 + 1), values[i]);
	pb_put_bytes(&b, 15, bytes_str("data"));
	pb_put_bytes(&b, 16, bytes_of(NULL, 0));
	assert_int_equal(buf_ok(&b, NULL), 0);
	c = cursor_of(buf_view(&b));
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(pb_next(&c, &f, NULL), 1);
		assert_true(pb_is(&f, (uint32_t)(i * i * i * 1000 + 1), PB_VARINT));
		assert_true(f.value == values[i]);
	}
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 15, PB_BYTES) && bytes_equal(f.data, bytes_str("data")));
	assert_int_equal(pb_next(&c, &f, NULL), 1);
	assert_true(pb_is(&f, 16, PB_BYTES) && f.data.n == 0);
	assert_int_equal(pb_next(&c, &f, NULL), 0);
	buf_free(&b);
}

int run_pb_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_every_wire_type),
	    cmocka_unit_test(refuses),
	    cmocka_unit_test(writes_what_it_reads),
	};

	return cmocka_run_group_tests_name("p2p/pb", tests, NULL, NULL);
}
