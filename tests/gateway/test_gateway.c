/* The gateway over TCP and over libp2p streams, in a simulated universe: routes, errors in OpenAI's
 * form, who may ask from where, and what peers see. */
#include "http_talk.h"
#include "site.h"

static const struct fake_step good[] = {{FAKE_STARTED}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};
static const struct fake_step hangs[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 3600000}};

static struct stream *dial(struct net *n, struct site *t)
{
	struct stream *s;

	OK(world_tcp_dial(universe_host(n->u, "client"), &t->http, &s, NULL));
	return s;
}

static struct reply *get(
    struct net *n, struct site *t, const char *line, const char *headers, const char *body)
{
	static struct reply r;

	talk(dial(n, t), line, headers, body, &r);
	return &r;
}

#define ASK(model)                                                                                 \
	"{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}]}"

/* ---- over TCP -------------------------------------------------------------------------------- */

static void routes(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "org/tiny model", good, NULL);
	r = get(n, &a, "GET /health", "", NULL);
	assert_int_equal(r->status, 200);
	has(r, "\"status\":\"ok\"");
	has(r, "\"label\":\"alpha\"");
	has(r, "\"cluster\":\"house\"");
	has(r, "\"models\":1");
	r = get(n, &a, "HEAD /health", "", NULL);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "");
	r = get(n, &a, "GET /v1/models", "", NULL);
	assert_int_equal(r->status, 200);
	has(r, "\"object\":\"list\"");
	has(r, "\"id\":\"org/tiny model\"");
	/* A slash in a name, written either way. */
	r = get(n, &a, "GET /v1/models/org/tiny%20model", "", NULL);
	assert_int_equal(r->status, 200);
	has(r, "\"id\":\"org/tiny model\"");
	r = get(n, &a, "GET /v1/models/org%2Ftiny%20model?x=1", "", NULL);
	assert_int_equal(r->status, 200);
	r = get(n, &a, "POST /v1/chat/completions", "", ASK("org/tiny model"));
	assert_int_equal(r->status, 200);
	has(r, "\"content\":\"Four\"");
	has(r, "x-served-by-label: alpha\r\n");
	r = get(n, &a, "POST /v1/chat/completions?x=y", "", ASK(""));
	assert_int_equal(r->status, 200);
	has(r, "\"model\":\"org/tiny model\"");
	r = get(n, &a, "POST /v1/completions", "", "{\"prompt\":\"2+2?\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"text\":\"Four\"");
	has(r, "\"model\":\"org/tiny model\"");
	has(r, "x-served-by-label: alpha\r\n");
	r = get(n, &a, "POST /v1/embeddings", "", "{\"input\":\"abc\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"embedding\":[3,0.5]");
	has(r, "\"model\":\"org/tiny model\"");
	has(r, "x-served-by-label: alpha\r\n");
	struct gateway_stats stats;
	gateway_stats(a.gateway, &stats);
	assert_int_equal(stats.requests, 9);
	site_down(&a);
}

/* Whatever goes wrong, an OpenAI client finds what it looks for. */
static void errors(struct net *n)
{
	static const struct {
		const char *line, *headers, *body;
		int status;
		const char *code;
	} cases[] = {
	    {"GET /nonsense", "", NULL, 404, "not_found"},
	    {"GET /v1/nonsense", "", NULL, 404, "not_found"},
	    {"GET /v1/models/", "", NULL, 404, "model_not_found"},
	    {"GET /v1/models/big", "", NULL, 404, "model_not_found"},
	    {"GET /v1/models/%zz", "", NULL, 400, "invalid_value"},
	    {"GET /v1/models/%00", "", NULL, 400, "invalid_value"},
	    {"GET /v1/chat/completions", "", NULL, 405, "method_not_allowed"},
	    {"DELETE /v1/models", "", NULL, 405, "method_not_allowed"},
	    {"POST /v1/chat/completions", "", "{", 400, "invalid_json"},
	    {"POST /v1/chat/completions", "", ASK("big"), 404, "model_not_found"},
	    {"POST /v1/completions", "", "{\"prompt\":\"a\",\"model\":\"big\"}", 404,
		"model_not_found"},
	    {"POST /v1/embeddings", "", "{\"input\":\"a\",\"model\":\"big\"}", 404,
		"model_not_found"},
	    {"POST /v1/embeddings", "", "{\"input\":[1]}", 400, "unsupported"},
	    {"POST /v1/chat/completions", "X-Target-Node: nobody\r\n", ASK("tiny"), 404,
		"not_found"},
	    {"POST /v1/chat/completions", "X-Gate-Hops: 9\r\n", ASK("tiny"), 508, "hop_limit"},
	};
	struct site a;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char code[64];
		struct reply *r = get(n, &a, cases[i].line, cases[i].headers, cases[i].body);
		if (r->status != cases[i].status)
			fail_msg("%s: %s", cases[i].line, r->all);
		snprintf(code, sizeof code, "\"code\":\"%s\"", cases[i].code);
		has(r, code);
		has(r, "\"error\":{\"message\":\"");
		has(r, "\"type\":\"");
		has(r, "Content-Type: application/json");
	}
	struct reply *r = get(n, &a, "GET /v1/chat/completions", "", NULL);
	has(r, "llow: POST");
	r = get(n, &a, "POST /v1/chat/completions", "", ASK("big"));
	has(r, "there is: tiny");
	site_down(&a);
}

/* Headers that steer are heeded or refused, never passed over. */
static void strict_headers(struct net *n)
{
	static const char *const cases[][2] = {
	    {"X-Target-Node:\r\n", "x-target-node is empty"},
	    {"X-Target-Node: alpha\r\nx-target-node: beta\r\n",
		"x-target-node is there more than once"},
	    {"X-Gate-Deadline-Ms: soon\r\n", "x-gate-deadline-ms is not a whole number"},
	    {"X-Gate-Deadline-Ms: -1\r\n", "x-gate-deadline-ms is not a whole number"},
	    {"X-Gate-Deadline-Ms: 1e3\r\n", "x-gate-deadline-ms is not a whole number"},
	    {"X-Gate-Deadline-Ms:\r\n", "x-gate-deadline-ms is not a whole number"},
	    {"X-Gate-Deadline-Ms: 1\r\nX-Gate-Deadline-Ms: 2\r\n",
		"x-gate-deadline-ms is there more than once"},
	    {"X-Gate-Hops: +1\r\n", "x-gate-hops is not a whole number"},
	    {"X-Gate-Hops: 1, 1\r\n", "x-gate-hops is not a whole number"},
	};
	struct site a;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct reply *r = get(n, &a, "POST /v1/chat/completions", cases[i][0], ASK("tiny"));
		assert_int_equal(r->status, 400);
		has(r, cases[i][1]);
		has(r, "\"type\":\"invalid_request_error\"");
	}
	assert_int_equal(a.fake.calls, 0);
	struct reply *r = get(n, &a, "POST /v1/chat/completions",
	    "X-Gate-Deadline-Ms: 99999999999999999999\r\nX-Target-Node: alpha\r\n", ASK("tiny"));
	assert_int_equal(r->status, 200);
	site_down(&a);
}

/* A page in the owner's browser is somebody else's program. */
static void browsers(struct net *n)
{
	static const struct {
		const char *host, *origin;
		int status;
	} cases[] = {
	    {"127.0.0.1:31145", NULL, 200},
	    {"localhost:31145", NULL, 200},
	    {"LOCALHOST", NULL, 200},
	    {"[::1]:31145", NULL, 200},
	    {"192.168.1.7", NULL, 200},
	    {"evil.example", NULL, 403},
	    {"evil.example:31145", NULL, 403},
	    {"127.0.0.1.evil.example", NULL, 403},
	    {"localhost.evil.example", NULL, 403},
	    {"[::1.evil", NULL, 403},
	    {"[::1].evil", NULL, 403},
	    {"127.0.0.1:80.evil.example", NULL, 403},
	    {"localhost:80:80", NULL, 403},
	    {"localhost", "http://127.0.0.1:80.evil.example", 403},
	    {"localhost", "http://localhost:3000", 200},
	    {"localhost", "https://127.0.0.1", 200},
	    {"localhost", "http://evil.example", 403},
	    {"localhost", "http://localhost.evil.example", 403},
	    {"localhost", "http://127.0.0.1.evil.example:80", 403},
	    {"localhost", "http://[::1]:3000", 200},
	    {"localhost", "http://203.0.113.9", 403},               /* an address, but whose? */
	    {"192.168.1.7:31145", "http://192.168.1.7:31145", 200}, /* a page of this node's */
	    {"192.168.1.7:31145", "http://192.168.1.7:80", 403},
	    {"localhost", "https://chat.example", 200}, /* named by the owner */
	    {"localhost", "https://CHAT.example", 200},
	    {"localhost", "http://chat.example", 403},
	    {"localhost", "https://chat.example.evil", 403},
	    {"evil.example", "https://chat.example", 403},
	    {"localhost", "null", 403},
	    {"localhost", "", 403},
	};
	struct site a;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct reply r = {0};
		struct buf out = BUF_INIT(4096);
		struct stream *s = dial(n, &a);
		buf_printf(&out,
		    "GET /v1/models HTTP/1.1\r\nHost: %s\r\n%s%s%sConnection: close\r\n\r\n",
		    cases[i].host, cases[i].origin ? "Origin: " : "",
		    cases[i].origin ? cases[i].origin : "", cases[i].origin ? "\r\n" : "");
		OK(stream_write(s, out.p, out.n, NULL));
		reply_read(s, &r, NULL);
		stream_close(s);
		buf_free(&out);
		if (r.status != cases[i].status)
			fail_msg("Host %s, Origin %s: %s", cases[i].host, cases[i].origin, r.all);
		if (r.status == 403)
			has(&r, "\"code\":\"forbidden\"");
		if (r.status == 403 || !cases[i].origin)
			has_not(&r, "Access-Control-");
	}
	site_down(&a);
}

/* What a browser has to be told, so that it lets a page of the owner's choice in. */
static void preflights(struct net *n)
{
	static const char *const names[] = {"authorization", "content-type", "x-stainless-timeout",
	    "x-stainless-retry-count", "openai-organization", "openai-project", "x-target-node"};
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	r = get(n, &a, "OPTIONS /v1/chat/completions",
	    "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"
	    "Access-Control-Request-Headers: authorization\r\n",
	    NULL);
	assert_int_equal(r->status, 204);
	has(r, "Access-Control-Allow-Origin: http://localhost:3000\r\n");
	has(r, "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n");
	has(r, "Access-Control-Max-Age: 600\r\n");
	has(r, "Vary: Origin\r\n");
	has_not(r, "Allow-Credentials");
	has_not(r, "Private-Network");
	const char *list = strstr(r->all, "Access-Control-Allow-Headers: ");
	assert_non_null(list);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strstr(list, names[i]))
			fail_msg("%s may not be sent: %s", names[i], r->all);
	r = get(n, &a, "OPTIONS /v1/models",
	    "Origin: https://chat.example\r\nAccess-Control-Request-Method: GET\r\n"
	    "Access-Control-Request-Private-Network: true\r\n",
	    NULL);
	assert_int_equal(r->status, 204);
	has(r, "Access-Control-Allow-Private-Network: true\r\n");
	r = get(n, &a, "OPTIONS /v1/models",
	    "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n", NULL);
	assert_int_equal(r->status, 403);
	has_not(r, "Access-Control-");
	r = get(n, &a, "OPTIONS /v1/models", "", NULL); /* no browser's */
	assert_int_equal(r->status, 204);
	has(r, "Allow: GET, HEAD, POST, OPTIONS\r\n");
	has_not(r, "Access-Control-");
	/* Answers and errors alike are for the page to read. */
	static const char *const lines[] = {"GET /v1/models", "GET /v1/models/big", "GET /nowhere",
	    "DELETE /v1/models", "POST /v1/chat/completions"};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		r = get(n, &a, lines[i], "Origin: https://chat.example\r\n", "{");
		has(r, "Access-Control-Allow-Origin: https://chat.example\r\n");
		has(r, "Access-Control-Expose-Headers: x-request-id, request-id, x-served-by");
	}
	site_down(&a);
}

/* Names that are judged without a network: what may stand in the settings. */
static void origins(void **state)
{
	static const char *const good_ones[] = {"https://a.example", "http://192.0.2.7:3000",
	    "null", "http://[2001:db8::1]:80", "vscode-webview://1abc", "app://obsidian.md"};
	static const char *const bad_ones[] = {"", "*", "a.example", "https://", "https://a/b",
	    "https://a.example/", "https://a b", "://a", "https:/a", "https://a,b", "https://u@a"};

	(void)state;
	for (size_t i = 0; i < sizeof good_ones / sizeof *good_ones; i++)
		OK(cors_origin_check(good_ones[i], NULL));
	for (size_t i = 0; i < sizeof bad_ones / sizeof *bad_ones; i++)
		if (cors_origin_check(bad_ones[i], NULL) != E_INVALID)
			fail_msg("taken: %s", bad_ones[i]);
}

/* One too many is turned away at once; the others are not disturbed. */
static void too_many(struct net *n)
{
	struct site a;
	struct stream *held[3];
	struct reply r = {0};
	char byte;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < 3; i++) {
		held[i] = dial(n, &a);
		OK(stream_write(held[i], "GET /hea", 8, NULL));
	}
	OK(fiber_sleep(duration_s(1)));
	struct stream *s = NULL;
	if (world_tcp_dial(universe_host(n->u, "client"), &a.http, &s, NULL) == 0)
		assert_true(stream_read(s, &byte, 1, NULL) <= 0);
	stream_close(s);
	const char *rest = "lth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	for (size_t i = 0; i < 3; i++) {
		memset(&r, 0, sizeof r);
		OK(stream_write(held[i], rest, strlen(rest), NULL));
		reply_read(held[i], &r, NULL);
		assert_int_equal(r.status, 200);
		stream_close(held[i]);
	}
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(get(n, &a, "GET /health", "", NULL)->status, 200);
	assert_int_equal(net_logged(n, "turned away: 3 connections are open"), 1);
	site_down(&a);
}

/* ---- between nodes --------------------------------------------------------------------------- */

static void pair_up(struct net *n, struct site *a, struct site *b, const struct fake_step *script)
{
	struct model_entry models[4];

	site_up(n, a, "alpha", "tiny", script, NULL);
	site_up(n, b, "beta", "other", good, a);
	eventually(10, catalog_models(a->catalog, models, 4) == 2 &&
			   catalog_models(b->catalog, models, 4) == 2);
}

/* A model that several have: the node's own comes first, and all are listed. */
static void shared_model(struct net *n)
{
	struct site t[2];
	struct model_entry models[4];
	char id[2][NODE_ID_TEXT_MAX], text[512];

	site_up(n, &t[0], "alpha", "tiny", good, NULL);
	site_up(n, &t[1], "beta", "tiny", good, &t[0]);
	for (int i = 0; i < 2; i++) {
		eventually(10, catalog_models(t[i].catalog, models, 4) == 2);
		OK(node_id_print(&t[i].node.id.peer_id, id[i], NULL));
	}
	for (int i = 0; i < 2; i++)
		for (int one = 0; one < 2; one++) {
			struct reply *r =
			    get(n, &t[i], one ? "GET /v1/models/tiny" : "GET /v1/models", "", NULL);
			snprintf(text, sizeof text, "\"node\":\"%s\",\"nodes\":[\"%s\",\"%s\"]",
			    id[i], id[i], id[1 - i]);
			has(r, text);
			has(r, i ? "\"owned_by\":\"beta\"" : "\"owned_by\":\"alpha\"");
		}
	site_down(&t[1]);
	site_down(&t[0]);
}

static struct stream *open_http(struct site *from, struct site *to)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	struct stream *s;

	OK(p2p_open_stream(from->node.host, &to->node.id.peer_id, protocols, 1, &s, NULL, NULL));
	return s;
}

static void remote(struct net *n)
{
	struct site a, b;
	struct reply *r;
	char node_id[NODE_ID_TEXT_MAX], header[128];

	pair_up(n, &a, &b, good);
	OK(node_id_print(&a.node.id.peer_id, node_id, NULL));
	r = get(n, &b, "GET /v1/models", "", NULL);
	has(r, "\"id\":\"tiny\"");
	has(r, "\"id\":\"other\"");
	has(r, node_id);
	has(get(n, &b, "GET /health", "", NULL), "\"peers\":1,\"models\":2");
	r = get(n, &b, "POST /v1/chat/completions", "x-request-id: one-id\r\n", ASK("tiny"));
	assert_int_equal(r->status, 200);
	has(r, "\"content\":\"Four\"");
	snprintf(header, sizeof header, "x-served-by: %s\r\n", node_id);
	has(r, header);
	has(r, "x-served-by-label: alpha\r\n");
	assert_string_equal(a.fake.ctx.request_id, "one-id"); /* the same at every node */
	assert_int_equal(a.fake.ctx.hops, 1);
	assert_true(duration_to_ms(a.fake.left) <= 600000); /* the deadline travelled along */
	r = get(n, &b, "POST /v1/completions", "", "{\"model\":\"tiny\",\"prompt\":\"2+2?\"}");
	has(r, "\"text\":\"Four\"");
	has(r, header);
	r = get(n, &b, "POST /v1/embeddings", "", "{\"model\":\"tiny\",\"input\":[\"abc\"]}");
	has(r, "\"embedding\":[3,0.5]");
	has(r, header);
	r = get(n, &b, "POST /v1/chat/completions", "X-Target-Node: alpha\r\n", ASK("other"));
	assert_int_equal(r->status, 404);
	r = get(n, &b, "POST /v1/chat/completions", "X-Target-Node: alpha\r\n", ASK(""));
	assert_int_equal(r->status, 200);
	has(r, "x-served-by-label: alpha\r\n");
	site_down(&b);
	site_down(&a);
}

/* A peer sees what this node serves itself, and gets nothing forwarded without naming a node. */
static void seen_by_peers(struct net *n)
{
	struct site a, b;
	struct reply r;

	pair_up(n, &a, &b, good);
	talk(open_http(&b, &a), "GET /v1/models", "", NULL, &r);
	has(&r, "\"id\":\"tiny\"");
	has_not(&r, "\"id\":\"other\"");
	talk(open_http(&b, &a), "GET /v1/models/other", "", NULL, &r);
	assert_int_equal(r.status, 404);
	talk(open_http(&b, &a), "POST /v1/chat/completions", "", ASK("other"), &r);
	assert_int_equal(r.status, 404); /* it does not come back to b */
	assert_int_equal(b.fake.calls, 0);
	talk(open_http(&b, &a), "POST /v1/chat/completions", "", ASK("tiny"), &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(a.fake.ctx.hops, 1); /* a peer's request has passed one node at least */
	/* The Host header means nothing between peers. */
	talk(open_http(&b, &a), "GET /health", "X-A: b\r\n", NULL, &r);
	assert_int_equal(r.status, 200);
	site_down(&b);
	site_down(&a);
}

static void strangers(struct net *n)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	struct site a;
	struct node raw;
	struct stream *s;
	char byte;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	node_new(n, "raw", &raw);
	struct multiaddr at = node_full_addr(&a.node);
	OK(p2p_dial(raw.host, NULL, &at, 1, NULL, NULL));
	int rc = p2p_open_stream(raw.host, &a.node.id.peer_id, protocols, 1, &s, NULL, NULL);
	if (rc == 0) {
		rc = (int)stream_read(s, &byte, 1, NULL);
		stream_close(s);
	}
	assert_int_equal(rc, E_UNSUPPORTED);
	node_close(&raw);
	site_down(&a);
}

/* The client at b hangs up: the work at a ends. */
static void far_hang_up(struct net *n)
{
	struct site a, b;
	struct reply r = {0};
	struct buf out = BUF_INIT(4096);

	pair_up(n, &a, &b, hangs);
	struct stream *s = dial(n, &b);
	request_put(&out, "POST /v1/chat/completions", "",
	    "{\"model\":\"tiny\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
	    "\"x\"}]}");
	OK(stream_write(s, out.p, out.n, NULL));
	assert_true(reply_read(s, &r, "\"content\":\"Fo\""));
	assert_int_equal(a.fake.running, 1);
	stream_close(s);
	eventually(2, a.fake.running == 0);
	assert_int_equal(a.fake.cancelled, 1);
	buf_free(&out);
	site_down(&b);
	site_down(&a);
}

/* The far node goes in mid-answer: an error event, soon, and no false end. */
static void far_loss(struct net *n)
{
	struct site a, b;
	struct reply r = {0};
	struct buf out = BUF_INIT(4096);

	pair_up(n, &a, &b, hangs);
	struct stream *s = dial(n, &b);
	request_put(&out, "POST /v1/chat/completions", "",
	    "{\"model\":\"tiny\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
	    "\"x\"}]}");
	OK(stream_write(s, out.p, out.n, NULL));
	assert_true(reply_read(s, &r, "\"content\":\"Fo\""));
	struct instant began = rt_now();
	p2p_disconnect(a.node.host, &b.node.id.peer_id, "test");
	reply_read(s, &r, NULL);
	assert_true(duration_to_ms(instant_since(rt_now(), began)) < 2000);
	has(&r, "data: {\"error\":{");
	has_not(&r, "[DONE]");
	stream_close(s);
	buf_free(&out);
	site_down(&b);
	site_down(&a);
}

static void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run(1, duration_ms(10), *story);
}

#define STORY(fn)                                                                                  \
	{                                                                                          \
#fn, in_net, NULL, NULL, &(void (*[1])(struct net *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(routes), STORY(errors), STORY(browsers),
	    STORY(strict_headers), STORY(preflights), cmocka_unit_test(origins), STORY(too_many),
	    STORY(shared_model), STORY(remote), STORY(seen_by_peers), STORY(strangers),
	    STORY(far_hang_up), STORY(far_loss)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
