/* CPace against the draft's vectors for ristretto255 and SHA-512, and what must fail. */
#include "crypto/crypto.h"
#include "suites.h"

#define SID "7e4b4791d6a8ef019b936c79fb7f2c57"
#define YA  "d40fb265a7abeaee7939d91a585fe59f7053f982c296ec413c624c669308f87a"
#define YB  "08bcf6e9777a9c313a3db6daa510f2d398403319c2341bd506a92e672eb7e307"
#define RA  "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08"
#define RB  "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d"
#define ISK                                                                                        \
	"4c5469a16b2364c4b944ebc1a79e51d1674ad47db26e8718154f59faebfaa52d"                         \
	"8346f30aa58377117eb20d527f2cbc5c76381f7fd372e89df8239f87f2e02ed1"

static struct cpace_input vector_input(void)
{
	return (struct cpace_input){.password = bytes_str("Password"),
	    .channel = bytes_str("oc\x0b"
				 "B_responder\x0b"
				 "A_initiator"),
	    .session = unhex(0, SID)};
}

/* SPEC cpace, appendix "Test vector for CPace using group ristretto255 and hash SHA-512". */
static void vectors(void **state)
{
	struct cpace_input in = vector_input();
	struct cpace a, b;
	uint8_t key[CPACE_KEY_SIZE];
	struct bytes ada = bytes_str("ADa"), adb = bytes_str("ADb");

	assert_int_equal(cpace_begin(&a, &in, unhex(1, RA).p, NULL), 0);
	assert_memory_equal(a.share, unhex(2, YA).p, 32);
	assert_int_equal(cpace_begin(&b, &in, unhex(1, RB).p, NULL), 0);
	assert_memory_equal(b.share, unhex(2, YB).p, 32);
	assert_int_equal(
	    cpace_finish(&a, CPACE_INITIATOR, in.session, ada, b.share, adb, key, NULL), 0);
	assert_memory_equal(key, unhex(3, ISK).p, 64);
	assert_int_equal(
	    cpace_finish(&b, CPACE_RESPONDER, in.session, adb, a.share, ada, key, NULL), 0);
	assert_memory_equal(key, unhex(3, ISK).p, 64);
}

/* SPEC cpace, "Invalid inputs for scalar_mult_vfy": the protocol must abort. */
static void invalid_shares(void **state)
{
	static const char *const bad[] = {
	    "2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
	    "0000000000000000000000000000000000000000000000000000000000000000",
	    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"};
	struct cpace c;
	uint8_t key[CPACE_KEY_SIZE];

	memcpy(c.scalar,
	    unhex(0, "7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05").p, 32);
	memcpy(c.share, unhex(1, YA).p, 32);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(cpace_finish(&c, CPACE_INITIATOR, bytes_str("s"), bytes_str(""),
				     unhex(2, bad[i]).p, bytes_str(""), key, NULL),
		    E_PROTOCOL);
	struct cpace_input in = vector_input();
	uint8_t zero[CPACE_RANDOM_SIZE] = {0};
	assert_int_equal(cpace_begin(&c, &in, zero, NULL), E_INTERNAL);
}

/* The keys of two runs whose inputs differ in one place. */
static bool same_key(struct cpace_input a_in, struct cpace_input b_in)
{
	struct cpace a, b;
	uint8_t ka[CPACE_KEY_SIZE], kb[CPACE_KEY_SIZE];
	struct bytes none = bytes_str("");

	assert_int_equal(cpace_begin(&a, &a_in, unhex(6, RA).p, NULL), 0);
	assert_int_equal(cpace_begin(&b, &b_in, unhex(6, RB).p, NULL), 0);
	assert_int_equal(
	    cpace_finish(&a, CPACE_INITIATOR, a_in.session, none, b.share, none, ka, NULL), 0);
	assert_int_equal(
	    cpace_finish(&b, CPACE_RESPONDER, b_in.session, none, a.share, none, kb, NULL), 0);
	return memcmp(ka, kb, sizeof ka) == 0;
}

static void all_inputs_count(void **state)
{
	struct cpace_input in = vector_input(), other = in;
	char longer[CPACE_INPUT_MAX];

	assert_true(same_key(in, in));
	other.password = bytes_str("Passwore");
	assert_false(same_key(in, other));
	other = in;
	other.channel = bytes_str("x");
	assert_false(same_key(in, other));
	other = in;
	other.session = bytes_str("y");
	assert_false(same_key(in, other));
	memset(longer, 'x', sizeof longer); /* lengths of two bytes, no padding left */
	other.password = bytes_of(longer, sizeof longer);
	assert_false(same_key(in, other));
	assert_true(same_key(other, other));
}

static void tags(void **state)
{
	uint8_t a[CPACE_TAG_SIZE], b[CPACE_TAG_SIZE], key[CPACE_KEY_SIZE];

	memcpy(key, unhex(0, ISK).p, sizeof key);
	cpace_tag(unhex(1, SID), key, unhex(2, YA).p, bytes_str("ADa"), a);
	cpace_tag(unhex(1, SID), key, unhex(2, YA).p, bytes_str("ADa"), b);
	assert_memory_equal(a, b, sizeof a);
	/* Computed from the text of the draft with Python's hashlib and hmac. */
	assert_memory_equal(a,
	    unhex(4, "a737748ae37c5c528cbf082d060dd7622396149a62ccc64c2848b1e8d525bad8"
		     "20c4bf9c73a8b4a3f4980cef0d9aa3095f8f3a02707bee9ab27987e6aaec9a9e")
		.p,
	    64);
	cpace_tag(unhex(1, SID), key, unhex(3, YB).p, bytes_str("ADa"), b);
	assert_memory_not_equal(a, b, sizeof a);
	cpace_tag(unhex(1, SID), key, unhex(2, YA).p, bytes_str("ADb"), b);
	assert_memory_not_equal(a, b, sizeof a);
	key[0] ^= 1;
	cpace_tag(unhex(1, SID), key, unhex(2, YA).p, bytes_str("ADa"), b);
	assert_memory_not_equal(a, b, sizeof a);
}

int run_cpace_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors),
	    cmocka_unit_test(invalid_shares),
	    cmocka_unit_test(all_inputs_count),
	    cmocka_unit_test(tags),
	};
	return cmocka_run_group_tests_name("cpace", tests, NULL, NULL);
}
