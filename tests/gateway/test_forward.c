/* What goes on to the next hop and what does not; what may be exposed. Pure. */
#include "gateway/expose.h"
#include "gateway/forward.h"
#include "head_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct forward_hop to_service = {.to = FORWARD_TO_SERVICE,
    .via = "gate-0011223344556677",
    .host = "127.0.0.1:9000",
    .proto = "http",
    .upgrade = "",
    .origin = "http://127.0.0.1:3000",
    .asker = "00ff",
    .ip = "192.0.2.7"};
static struct forward_hop to_node = {.to = FORWARD_TO_NODE,
    .via = "gate-0011223344556677",
    .host = "127.0.0.1:9000",
    .proto = "http",
    .upgrade = "",
    .service = "web"};

static const char *value_of(const struct forward_headers *h, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < h->n; i++)
		if (strcasecmp(h->list[i].name, name) == 0) {
			if (found)
				fail_msg("%s is there twice", name);
			found = h->list[i].value;
		}
	return found;
}

static void is(const struct forward_headers *h, const char *name, const char *value)
{
	const char *found = value_of(h, name);

	if (!value != !found || (value && strcmp(value, found) != 0))
		fail_msg(
		    "%s: %s, not %s", name, found ? found : "absent", value ? value : "absent");
}

static void pass_request(
    const char *fields, const struct forward_hop *hop, struct forward_headers *out)
{
	static struct http_head head; /* what `out` borrows from */

	http_head_free(&head);
	head_of(&head, bytes_str(fields));
	forward_request(&head, hop, out);
}

static void pass_answer(
    const char *fields, const struct forward_hop *hop, struct forward_headers *out)
{
	static struct http_head head;

	http_head_free(&head);
	head_of(&head, bytes_str(fields));
	forward_answer(&head, hop, out);
}

/* SPEC RFC 9110, section 7.6.1 */
static void per_hop(void **state)
{
	static const char *const names[] = {"Connection", "Keep-Alive", "Proxy-Connection", "TE",
	    "Trailer", "Upgrade", "HTTP2-Settings", "Proxy-Authorization", "X-Mine", "X_Other",
	    "Content-Length", "Host", "Expect"};
	struct forward_headers h;

	(void)state;
	pass_request(
	    "Connection: close, x-mine\r\nConnection: X_Other\r\nKeep-Alive: 5\r\n"
	    "Proxy-Connection: x\r\nTE: trailers\r\nTrailer: a\r\nUpgrade: websocket\r\n"
	    "HTTP2-Settings: x\r\nProxy-Authorization: x\r\nX-Mine: 1\r\nX_Other: 2\r\n"
	    "Content-Length: 3\r\nHost: x\r\nAccept: */*\r\nCookie: a\r\nAuthorization: b\r\n",
	    &to_service, &h);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		is(&h, names[i], NULL);
	is(&h, "accept", "*/*");
	is(&h, "cookie", "a");
	is(&h, "authorization", "b");
	pass_request("Transfer-Encoding: chunked\r\n", &to_node, &h);
	is(&h, "transfer-encoding", NULL);
}

/* Whatever a peer or a client writes. */
static void not_forged(void **state)
{
	static const char *const forged[] = {"X-Gate-Node: root\r\n", "x_gate_node: root\r\n",
	    "X-GATE-NODE: root\r\n", "Connection: x-gate-node\r\n",
	    "Connection: x-forwarded-for, forwarded, x-forwarded-host\r\n",
	    "X-Forwarded-For: 127.0.0.1\r\n", "X_Forwarded_For: 127.0.0.1\r\n",
	    "X-Forwarded-Host: bank\r\nX-Forwarded-Port: 1\r\n", "Forwarded: for=127.0.0.1\r\n",
	    "X-Real-IP: 127.0.0.1\r\nTrue-Client-IP: 127.0.0.1\r\n",
	    "X-Gate-Service: other\r\nX-Target-Node: other\r\n"};
	struct forward_headers h;

	(void)state;
	for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
		pass_request(forged[i], &to_service, &h);
		is(&h, "x-gate-node", "00ff");
		is(&h, "x_gate_node", NULL);
		is(&h, "x-forwarded-for", "192.0.2.7");
		is(&h, "x_forwarded_for", NULL);
		is(&h, "x-forwarded-host", "127.0.0.1:9000");
		is(&h, "x-forwarded-port", NULL);
		is(&h, "x-real-ip", NULL);
		is(&h, "true-client-ip", NULL);
		is(&h, "forwarded", "for=_00ff;proto=http;host=\"127.0.0.1:9000\"");
		is(&h, "x-gate-service", NULL);
		is(&h, "x-target-node", NULL);
		pass_request(forged[i], &to_node, &h);
		is(&h, "x-gate-service", "web");
		is(&h, "x-gate-node", NULL);
		is(&h, "x-forwarded-for", NULL);
		is(&h, "x-target-node", NULL);
	}
}

static void own_origin(void **state)
{
	struct forward_headers h;

	(void)state;
	pass_request("Origin: http://127.0.0.1:9000\r\n", &to_service, &h);
	is(&h, "origin", "http://127.0.0.1:3000");
	pass_request("Origin: http://127.0.0.1:9001\r\n", &to_service, &h);
	is(&h, "origin", "http://127.0.0.1:9001");
	pass_request("Origin: https://127.0.0.1:9000\r\n", &to_service, &h);
	is(&h, "origin", "https://127.0.0.1:9000");
	pass_request("Origin: http://127.0.0.1:9000\r\n", &to_node, &h);
	is(&h, "origin", "http://127.0.0.1:9000");
}

static void answers(void **state)
{
	static const char *const places[][2] = {
	    {"http://127.0.0.1:3000/a?b#c", "http://127.0.0.1:9000/a?b#c"},
	    {"http://127.0.0.1:3000", "http://127.0.0.1:9000"},
	    {"http://127.0.0.1:30001/a", "http://127.0.0.1:30001/a"},
	    {"http://127.0.0.1:3000.evil/", "http://127.0.0.1:3000.evil/"},
	    {"http://127.0.0.1:3000@evil/", "http://127.0.0.1:3000@evil/"},
	    {"https://127.0.0.1:3000/", "https://127.0.0.1:3000/"}, {"/a", "/a"}};
	struct forward_headers h;
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(line, sizeof line, "Location: %s\r\n", places[i][0]);
		pass_answer(line, &to_service, &h);
		is(&h, "location", places[i][1]);
		pass_answer(line, &to_node, &h);
		is(&h, "location", places[i][0]);
	}
	pass_answer("X-Gate-Node: x\r\nConnection: x-a\r\nX-A: 1\r\nDate: now\r\nTrailer: x\r\n"
		    "Content-Length: 4\r\nKeep-Alive: 3\r\nSet-Cookie: a\r\nset-cookie: b\r\n",
	    &to_service, &h);
	assert_int_equal(h.n, 3);
	is(&h, "date", "now");
	struct forward_hop own = to_node;
	own.own_cors = true;
	pass_answer("Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n"
		    "Access-Control-Max-Age: 1\r\n",
	    &own, &h);
	assert_int_equal(h.n, 1);
}

static void upgrades(void **state)
{
	static const struct {
		const char *fields, *wanted;
	} cases[] = {
	    {"Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"},
	    {"Connection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\n", "a/1, b"},
	    {"Connection: Upgrade\r\n", ""},
	    {"Upgrade: websocket\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: h2c\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: ,  TLS/1.0\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", ""},
	    {"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", ""},
	};
	static const struct {
		const char *asked, *answer;
		bool agreed;
	} answers_[] = {{"websocket", "Upgrade: WebSocket\r\n", true},
	    {"a, b", "Upgrade: b\r\n", true}, {"a,b", "Upgrade: a\r\n", true},
	    {"websocket", "Upgrade: web\r\n", false}, {"web", "Upgrade: websocket\r\n", false},
	    {"", "Upgrade: websocket\r\n", false}, {"websocket", "", false},
	    {"a", "Upgrade: a\r\nUpgrade: a\r\n", false}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char got[FORWARD_UPGRADE_MAX];
		struct http_head head;
		head_of(&head, bytes_str(cases[i].fields));
		forward_upgrade(&head, got);
		assert_string_equal(got, cases[i].wanted);
		http_head_free(&head);
	}
	for (size_t i = 0; i < sizeof answers_ / sizeof *answers_; i++) {
		struct http_head head;
		head_of(&head, bytes_str(answers_[i].answer));
		if (forward_upgrade_agreed(&head, answers_[i].asked) != answers_[i].agreed)
			fail_msg("%s: %s", answers_[i].asked, answers_[i].answer);
		http_head_free(&head);
	}
}

static void loops(void **state)
{
	struct http_head head;
	char via[FORWARD_VIA_MAX];

	(void)state;
	forward_via("0011223344556677889900", via);
	assert_string_equal(via, "gate-0011223344556677");
	head_of(&head, bytes_str("Via: 1.0 x\r\nvia: 1.1 y, 1.1 gate-0011223344556677\r\n"));
	assert_true(forward_looped(&head, via));
	assert_false(forward_looped(&head, "gate-1011223344556677"));
	http_head_free(&head);
}

/* As many headers as a head can have leave room for ours. */
static void full(void **state)
{
	struct buf text = BUF_INIT(HTTP_HEAD_MAX);
	struct http_head head;
	struct forward_headers h;
	struct forward_hop hop = to_service;

	(void)state;
	hop.expect = true;
	hop.upgrade = "websocket";
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		buf_printf(&text, "a%d: b\r\n", i);
	head_of(&head, buf_view(&text));
	forward_request(&head, &hop, &h);
	is(&h, "a127", "b");
	is(&h, "upgrade", "websocket");
	is(&h, "x-gate-node", "00ff");
	http_head_free(&head);
	buf_free(&text);
}

static void exposures(void **state)
{
	static const struct {
		const char *text;
		size_t only;
	} good[] = {{"web=http://127.0.0.1:3000", 0}, {"web=http://localhost", 0},
	    {"a.b_c-1=https://[::1]:8443/", 0}, {"nas=http://192.168.1.5:5000", 0},
	    {"nas=http://nas.lan:5000", 0}, {"x@attic=http://10.0.0.1", 1},
	    {"x@attic+desk=http://[fd00::1]:1", 2}, {"x=http://[::ffff:127.0.0.1]:1", 0}};
	static const char *const bad[] = {"", "web", "=http://127.0.0.1",
	    "web=", "web=127.0.0.1:3000", "web=ftp://127.0.0.1", "web=http://127.0.0.1/path",
	    "web=http://u:p@127.0.0.1", "web=http://8.8.8.8", "web=http://0.0.0.0:3000",
	    "web=http://[::]:3000", "web=http://169.254.169.254", "web=http://[fe80::1]",
	    "web=http://172.32.0.1", "web=http://[::ffff:8.8.8.8]", "w b=http://127.0.0.1",
	    "*=http://127.0.0.1", "-x=http://127.0.0.1", "../x=http://127.0.0.1",
	    "web@=http://127.0.0.1", "web@a+=http://127.0.0.1", "web@a b=http://127.0.0.1", "web@a",
	    "web@a@b=http://127.0.0.1", "abcdefghijklmnopqrstuvwxyz0123456789=http://127.0.0.1",
	    "x@a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q=http://127.0.0.1"};
	struct exposure e;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct err err = {0};
		if (expose_parse(good[i].text, &e, &err) != 0)
			fail_msg("%s: %s", good[i].text, err_text(&err));
		assert_int_equal(e.n_only, good[i].only);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (expose_parse(bad[i], &e, NULL) != E_INVALID)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(expose_parse("x@attic+desk=http://10.0.0.1", &e, NULL), 0);
	assert_string_equal(e.name, "x");
	assert_string_equal(e.only[0], "attic");
	assert_string_equal(e.only[1], "desk");
	assert_string_equal(e.url.host, "10.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(per_hop), cmocka_unit_test(not_forged),
	    cmocka_unit_test(own_origin), cmocka_unit_test(answers), cmocka_unit_test(upgrades),
	    cmocka_unit_test(loops), cmocka_unit_test(full), cmocka_unit_test(exposures)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
