/* Pairing, the pure part: the window of a code, and attempts between two sides. */
#include "cluster/cluster_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)

static const struct instant start = {INT64_C(1000000000)};

static struct instant after(int64_t ms)
{
	return instant_add(start, duration_ms(ms));
}

static void window(void **state)
{
	struct pair_window w;
	pair_window_open(&w, UINT64_C(7000042), start);
	assert_string_equal(w.code, "000042");
	assert_true(pair_code_valid(w.code));
	assert_int_equal(pair_window_state(&w, after(119999)), WINDOW_OPEN);
	assert_int_equal(pair_window_state(&w, after(120000)), WINDOW_EXPIRED);
	pair_window_attempt(&w);
	pair_window_attempt(&w);
	assert_int_equal(pair_window_state(&w, start), WINDOW_OPEN);
	pair_window_attempt(&w);
	assert_int_equal(pair_window_state(&w, start), WINDOW_WRONG);
	pair_window_success(&w); /* the third was right */
	assert_int_equal(pair_window_state(&w, after(200000)), WINDOW_DONE);
}

static void codes(void **state)
{
	static const char *const bad[] = {
	    "", "12345", "1234567", "12345a", "-12345", "12 345", "１２３"};
	assert_true(pair_code_valid("000000"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(pair_code_valid(bad[i]));
}

/* ---- attempts -------------------------------------------------------------------------------- */

struct sides {
	struct pair_channel guest_sees, host_sees;
	const char *guest_code, *host_code;
};

static struct sides fair(void)
{
	struct sides s = {.guest_code = "123456", .host_code = "123456"};
	uint8_t seed[ED25519_SEED_SIZE] = {1};
	struct identity id;
	identity_from_seed(seed, &id);
	s.guest_sees.guest = id.peer_id;
	seed[0] = 2;
	identity_from_seed(seed, &id);
	s.guest_sees.host = id.peer_id;
	memset(s.guest_sees.binding, 0x42, P2P_BINDING_SIZE);
	s.host_sees = s.guest_sees;
	return s;
}

static const uint8_t guest_random[PAIR_NONCE_SIZE + CPACE_RANDOM_SIZE] = {1, 2, 3, [20] = 9};
static const uint8_t host_random[CPACE_RANDOM_SIZE] = {7, 7};

/* Runs an attempt: the host's verdict and what the guest makes of it. */
static void run(const struct sides *s, int *host, int *guest)
{
	struct pair_run g, h;
	uint8_t offer[PAIR_OFFER_SIZE], reply[PAIR_REPLY_SIZE], tag[CPACE_TAG_SIZE];
	uint8_t verdict[PAIR_VERDICT_SIZE];
	OK(pair_guest_offer(&g, s->guest_code, &s->guest_sees, guest_random, offer, NULL));
	OK(pair_host_reply(&h, s->host_code, &s->host_sees, offer, host_random, reply, NULL));
	OK(pair_guest_confirm(&g, reply, tag, NULL));
	*host = pair_host_verdict(&h, tag, verdict, NULL);
	*guest = pair_guest_finish(&g, verdict, NULL);
}

static void right(void **state)
{
	struct sides s = fair();
	int host, guest;
	run(&s, &host, &guest);
	OK(host);
	OK(guest);
}

static void wrong(void **state)
{
	struct sides s = fair();
	int host, guest;
	s.guest_code = "123457";
	run(&s, &host, &guest);
	assert_int_equal(host, E_FORBIDDEN);
	assert_int_equal(guest, E_FORBIDDEN);
}

/* Somebody in the middle has two connections with two bindings, or another peer id. */
static void in_the_middle(void **state)
{
	struct sides s = fair();
	int host, guest;
	s.host_sees.binding[5] ^= 1;
	run(&s, &host, &guest);
	assert_int_equal(host, E_FORBIDDEN);
	s = fair();
	s.host_sees.guest = s.host_sees.host;
	run(&s, &host, &guest);
	assert_int_equal(host, E_FORBIDDEN);
	s = fair();
	s.guest_sees.host = s.guest_sees.guest;
	run(&s, &host, &guest);
	assert_int_equal(host, E_FORBIDDEN);
}

/* A host that does not know the code can neither make up its tag nor send the guest's back. */
static void false_host(void **state)
{
	struct sides s = fair();
	struct pair_run g;
	uint8_t offer[PAIR_OFFER_SIZE], reply[PAIR_REPLY_SIZE], tag[CPACE_TAG_SIZE];
	uint8_t verdict[PAIR_VERDICT_SIZE] = {PAIR_OK};
	OK(pair_guest_offer(&g, s.guest_code, &s.guest_sees, guest_random, offer, NULL));
	reply[0] = PAIR_OK;
	memcpy(reply + 1, offer + 1 + PAIR_NONCE_SIZE, CPACE_SHARE_SIZE); /* its own share */
	OK(pair_guest_confirm(&g, reply, tag, NULL));
	memcpy(verdict + 1, tag, sizeof tag);
	assert_int_equal(pair_guest_finish(&g, verdict, NULL), E_PROTOCOL);
	memset(verdict + 1, 0, sizeof tag);
	assert_int_equal(pair_guest_finish(&g, verdict, NULL), E_PROTOCOL);
}

static void statuses(void **state)
{
	static const struct {
		uint8_t status;
		int code;
	} table[] = {{PAIR_CLOSED, E_UNAVAILABLE}, {PAIR_WRONG, E_FORBIDDEN}, {PAIR_BUSY, E_BUSY},
	    {4, E_PROTOCOL}, {255, E_PROTOCOL}};
	struct sides s = fair();
	struct pair_run g;
	uint8_t offer[PAIR_OFFER_SIZE], reply[PAIR_REPLY_SIZE] = {0}, tag[CPACE_TAG_SIZE];
	OK(pair_guest_offer(&g, s.guest_code, &s.guest_sees, guest_random, offer, NULL));
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		reply[0] = table[i].status;
		assert_int_equal(pair_guest_confirm(&g, reply, tag, NULL), table[i].code);
	}
	reply[0] = PAIR_OK; /* with the neutral element */
	assert_int_equal(pair_guest_confirm(&g, reply, tag, NULL), E_PROTOCOL);
	offer[0] = 2;
	assert_int_equal(
	    pair_host_reply(&g, "123456", &s.host_sees, offer, host_random, reply, NULL),
	    E_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(window),
	    cmocka_unit_test(codes),
	    cmocka_unit_test(right),
	    cmocka_unit_test(wrong),
	    cmocka_unit_test(in_the_middle),
	    cmocka_unit_test(false_host),
	    cmocka_unit_test(statuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
