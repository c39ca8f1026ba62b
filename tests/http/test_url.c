/* Addresses of servers, good and bad. */
#include "http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void good(void **state)
{
	static const struct {
		const char *text, *host, *authority, *path;
		uint16_t port;
		bool tls;
	} table[] = {
	    {"http://127.0.0.1:11434", "127.0.0.1", "127.0.0.1:11434", "", 11434, false},
	    {"http://localhost/", "localhost", "localhost", "", 80, false},
	    {"HTTPS://api.example.com/v1/", "api.example.com", "api.example.com", "/v1", 443, true},
	    {"http://[::1]:8080/a/b//", "::1", "[::1]:8080", "/a/b", 8080, false},
	    {"https://h:65535", "h", "h:65535", "", 65535, true},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct http_url u;
		assert_int_equal(http_url_parse(table[i].text, &u, NULL), 0);
		assert_string_equal(u.host, table[i].host);
		assert_string_equal(u.authority, table[i].authority);
		assert_string_equal(u.path, table[i].path);
		assert_int_equal(u.port, table[i].port);
		assert_int_equal(u.tls, table[i].tls);
	}
}

static void bad(void **state)
{
	static const char *const table[] = {"", "localhost:11434", "ftp://h", "http://",
	    "http://:80", "http:///v1", "http://h:", "http://h:0", "http://h:65536",
	    "http://h:99999999999999999999", "http://h:8o", "http://user:key@h", "http://h/?a=1",
	    "http://h/#x", "http://h/a b", "http://h/\xc3\xa4", "http://h\r\nX: y", "http://[::1",
	    "http://[]", "http://[::1]x"};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct http_url u;
		struct err err = {0};
		if (http_url_parse(table[i], &u, &err) != E_INVALID)
			fail_msg("accepted: %s", table[i]);
		assert_true(err.text[0] != '\0');
	}
	char text[2000] = "http://";
	struct http_url u;
	memset(text + 7, 'a', sizeof text - 8);
	assert_int_equal(http_url_parse(text, &u, NULL), E_INVALID);
	text[8] = '/';
	assert_int_equal(http_url_parse(text, &u, NULL), E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
