/* Addresses: text and back, what counts as loopback, what counts as equal. */
#include "sim_help.h"

static struct netaddr parsed(const char *ip, uint16_t port)
{
	struct netaddr a;

	OK(netaddr_parse_ip(ip, &a, NULL));
	a.port = port;
	return a;
}

static void test_text(void **state)
{
	static const struct {
		const char *ip;
		uint32_t scope_id;
		const char *text;
	} cases[] = {
	    {"127.0.0.1", 0, "127.0.0.1:65535"},
	    {"0.0.0.0", 0, "0.0.0.0:65535"},
	    {"::1", 0, "[::1]:65535"},
	    {"fe80::1", 3, "[fe80::1%3]:65535"},
	    {"2001:DB8:0:0:0:0:0:1", 0, "[2001:db8::1]:65535"},
	    {"1111:2222:3333:4444:5555:6666:7777:8888", UINT32_MAX,
		"[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535"},
	};
	char text[NETADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a = parsed(cases[i].ip, 65535);

		a.scope_id = cases[i].scope_id;
		netaddr_print(&a, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_what_is_no_address(void **state)
{
	static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1",
	    "1.2.3.4:80", "[::1]", ":::", "01.2.3.4", "1::2::3", "fe80::1%eth0"};
	struct netaddr a;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(netaddr_parse_ip(bad[i], &a, &err), E_SYNTAX);
		assert_non_null(strstr(err.text, bad[i]));
	}
}

static void test_loopback_and_unspecified(void **state)
{
	static const struct {
		const char *ip;
		bool loopback, unspecified;
	} cases[] = {
	    {"127.0.0.1", true, false},
	    {"127.255.0.9", true, false},
	    {"128.0.0.1", false, false},
	    {"::1", true, false},
	    {"::2", false, false},
	    {"::ffff:127.0.0.1", true, false},
	    {"::ffff:10.0.0.1", false, false},
	    {"0.0.0.0", false, true},
	    {"::", false, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a = parsed(cases[i].ip, 1);

		assert_int_equal(netaddr_is_loopback(&a), cases[i].loopback);
		assert_int_equal(netaddr_is_unspecified(&a), cases[i].unspecified);
	}
}

static void test_equality(void **state)
{
	struct netaddr a = parsed("10.0.0.1", 1), b = a;

	(void)state;
	b.ip[4] = 9; /* beyond an IPv4 address */
	assert_true(netaddr_equal(&a, &b));
	b.port = 2;
	assert_false(netaddr_equal(&a, &b));
	b = parsed("10.0.0.2", 1);
	assert_false(netaddr_equal(&a, &b));
	a = parsed("fe80::1", 1);
	b = a;
	assert_true(netaddr_equal(&a, &b));
	b.scope_id = 2;
	assert_false(netaddr_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_what_is_no_address),
	    cmocka_unit_test(test_loopback_and_unspecified),
	    cmocka_unit_test(test_equality),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
