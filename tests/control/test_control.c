/* Control: JSON-RPC over the Unix socket and over the TCP port, as tools meet it. */
#include "http_talk.h"
#include "site.h"

#include "control/control.h"
#include "dialect/json.h"

static const struct fake_step good[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 1000}, {FAKE_TEXT, 0, "ur"}, {FAKE_FINISH}};
static const struct fake_step hangs[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 3600000}};

struct desk {
	struct site site;
	struct control *control;
	struct netaddr tcp;
	unsigned stops;
	char token[80];
};

static void stop_asked(void *arg)
{
	struct desk *d = arg;

	d->stops++;
}

static void desk_up(struct net *n, struct desk *d, const struct fake_step *script)
{
	struct buf token = BUF_INIT(128);

	*d = (struct desk){0};
	site_up(n, &d->site, "alpha", "tiny", script, NULL);
	struct control_options opt = {.world = d->site.node.world,
	    .data_dir = "/data",
	    .label = "alpha",
	    .host = d->site.node.host,
	    .cluster = d->site.cluster,
	    .catalog = d->site.catalog,
	    .jobs = d->site.jobs,
	    .http = d->site.http,
	    .request_limit = duration_s(600),
	    .stop = stop_asked,
	    .arg = d};
	universe_host_addr(opt.world, &opt.listen);
	opt.listen.port = 8145;
	OK(control_new(&opt, &d->control, NULL));
	control_addr(d->control, &d->tcp);
	OK(file_read(opt.world, "/data/control.token", 100, &token, NULL));
	snprintf(d->token, sizeof d->token, "%s", buf_cstr(&token));
	buf_free(&token);
}

static void desk_down(struct desk *d)
{
	control_close(d->control);
	site_down(&d->site);
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct line {
	struct stream *s;
	struct buf in;
};

static void line_open(struct desk *d, struct line *l)
{
	l->in = BUF_INIT(1 << 20);
	OK(world_unix_dial(d->site.node.world, "/data/control.sock", &l->s, NULL));
}

static void line_close(struct line *l)
{
	stream_close(l->s);
	buf_free(&l->in);
}

static void put(struct line *l, const char *text)
{
	OK(stream_write(l->s, text, strlen(text), NULL));
}

/* The next line as JSON. */
static json_t *take(struct line *l)
{
	uint8_t *newline;
	json_t *j;

	while (!l->in.n || !(newline = memchr(l->in.p, '\n', l->in.n))) {
		char piece[512];
		ssize_t n = stream_read(l->s, piece, sizeof piece, NULL);
		assert_true(n > 0);
		buf_put(&l->in, piece, (size_t)n);
	}
	size_t n = (size_t)(newline - l->in.p);
	OK(json_read(bytes_of(l->in.p, n), &j, NULL));
	buf_consume(&l->in, n + 1);
	assert_string_equal(json_get_string(j, "jsonrpc", ""), "2.0");
	return j;
}

static int64_t error_of(const json_t *j)
{
	return json_get_int(json_object_get(j, "error"), "code", 0);
}

/* Sends a line and checks the error that comes back; `id` as JSON text. */
static void refused(struct line *l, const char *text, const char *id, int64_t code)
{
	put(l, text);
	json_t *j = take(l);
	char *got = json_dumps(json_object_get(j, "id"), JSON_ENCODE_ANY | JSON_COMPACT);
	if (!got || strcmp(got, id) != 0 || error_of(j) != code || json_object_get(j, "result"))
		fail_msg("%s -> id %s, code %lld", text, got, (long long)error_of(j));
	assert_true(json_get_string(json_object_get(j, "error"), "message", "")[0] != '\0');
	free(got);
	json_decref(j);
}

static void bad_lines(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, good);
	line_open(&d, &l);
	refused(&l, "nonsense\n", "null", -32700);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":1,\n", "null", -32700);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"node.status\"}\n", "null",
	    -32700);
	refused(&l, "[]\n", "null", -32600);
	refused(&l, "{}\n", "null", -32600);
	refused(&l, "{\"id\":5,\"method\":\"node.status\"}\n", "5", -32600);
	refused(&l, "{\"jsonrpc\":\"1.0\",\"id\":5,\"method\":\"node.status\"}\n", "5", -32600);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":7}\n", "\"x\"", -32600);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"no.such\"}\n", "\"x\"", -32601);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"chat.ask\"}\n", "6", -32602);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"chat.ask\",\"params\":[1]}\n", "6",
	    -32602);
	refused(&l,
	    "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"chat.ask\",\"params\":{\"prompt\":\"x\","
	    "\"temperature\":\"hot\"}}\n",
	    "6", -32602);
	refused(&l,
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peers.accept\",\"params\":{\"peer\":\"x\"}}"
	    "\n",
	    "7", -32000);
	refused(&l, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"peers.reject\"}\n", "7", -32000);
	/* Empty lines are nothing, and after all this the connection is well. */
	put(&l, "\n\n{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"models.list\"}\n");
	json_t *j = take(&l);
	assert_int_equal(json_get_int(j, "id", 0), 8);
	assert_int_equal(json_array_size(json_object_get(j, "result")), 1);
	json_decref(j);
	line_close(&l);
	desk_down(&d);
}

/* Our own name for an error stands in its data. */
static void error_names(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, good);
	line_open(&d, &l);
	put(&l,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"chat.ask\",\"params\":{\"prompt\":\"x\","
	    "\"model\":\"big\"}}\n");
	json_t *j = take(&l);
	const json_t *data = json_object_get(json_object_get(j, "error"), "data");
	assert_string_equal(json_get_string(data, "name", ""), "E_MODEL_NOT_FOUND");
	assert_string_equal(json_get_string(data, "code", ""), "model_not_found");
	json_decref(j);
	line_close(&l);
	desk_down(&d);
}

static void notifications(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, good);
	line_open(&d, &l);
	/* Neither is answered; the second does what it says. */
	put(&l, "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"node.stop\"}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node.status\"}\n");
	json_t *j = take(&l);
	assert_int_equal(json_get_int(j, "id", 0), 1);
	assert_int_equal(d.stops, 1);
	json_decref(j);
	line_close(&l);
	desk_down(&d);
}

static void status(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, good);
	line_open(&d, &l);
	put(&l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node.status\"}\n");
	json_t *j = take(&l);
	const json_t *s = json_object_get(j, "result");
	assert_string_equal(json_get_string(s, "label", ""), "alpha");
	assert_int_equal(strlen(json_get_string(s, "node_id", "")), 64);
	assert_string_equal(json_get_string(s, "http", ""), "http://10.0.0.2:31145/v1");
	assert_string_equal(json_get_string(s, "control", ""), "http://10.0.0.2:8145/rpc");
	assert_string_equal(json_get_string(s, "data_dir", ""), "/data");
	const json_t *cluster = json_object_get(s, "cluster");
	assert_string_equal(json_get_string(cluster, "id", ""), "house");
	assert_true(json_get_bool(cluster, "joined", false));
	assert_false(json_get_bool(cluster, "open", true));
	assert_non_null(
	    strstr(json_string_value(json_array_get(json_object_get(s, "addresses"), 0)),
		"/p2p/12D3KooW"));
	assert_int_equal(json_array_size(json_object_get(s, "models")), 1);
	json_decref(j);
	line_close(&l);
	desk_down(&d);
}

/* An answer comes in pieces, then whole. */
static void asking(struct net *n)
{
	struct desk d;
	struct line l;
	struct instant began = rt_now();

	desk_up(n, &d, good);
	line_open(&d, &l);
	put(&l, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"chat.ask\",\"params\":{"
		"\"prompt\":\"2+2?\",\"system\":\"be brief\",\"max_tokens\":5}}\n");
	for (int i = 0; i < 2; i++) {
		json_t *j = take(&l);
		const json_t *params = json_object_get(j, "params");
		assert_string_equal(json_get_string(j, "method", ""), "chat.text");
		assert_null(json_object_get(j, "id"));
		assert_string_equal(json_get_string(params, "id", ""), "q");
		assert_string_equal(json_get_string(params, "text", ""), i ? "ur" : "Fo");
		assert_int_equal(duration_to_ms(instant_since(rt_now(), began)) >= 1000, i);
		json_decref(j);
	}
	json_t *j = take(&l);
	const json_t *result = json_object_get(j, "result");
	assert_string_equal(json_get_string(j, "id", ""), "q");
	assert_string_equal(json_get_string(result, "answer", ""), "Four");
	assert_string_equal(json_get_string(result, "model", ""), "tiny");
	assert_string_equal(json_get_string(result, "finish_reason", ""), "stop");
	assert_string_equal(json_get_string(json_object_get(result, "node"), "label", ""), "alpha");
	assert_int_equal(json_get_int(json_object_get(result, "usage"), "completion_tokens", 0), 2);
	assert_int_equal(json_get_int(result, "duration_ms", 0), 1000);
	assert_string_equal(d.site.fake.prompt, "2+2?");
	json_decref(j);
	line_close(&l);
	desk_down(&d);
}

/* Thirty-two at once are served, each under its own id; the next one is refused under its own. */
static void many(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, hangs);
	line_open(&d, &l);
	struct buf text = BUF_INIT(8192);
	for (int i = 0; i < 33; i++)
		buf_printf(&text,
		    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"chat.ask\",\"params\":{\"prompt\":"
		    "\"x\"}}\n",
		    i);
	put(&l, buf_cstr(&text));
	buf_free(&text);
	unsigned busy = 0, limited = 0;
	for (int i = 0; i < 23; i++) {
		json_t *j = take(&l);
		if (json_object_get(j, "method")) { /* the first words of the first */
			i--;
		} else {
			const json_t *data = json_object_get(json_object_get(j, "error"), "data");
			const char *name = json_get_string(data, "name", "");
			busy += strcmp(name, "E_BUSY") == 0;
			limited += strcmp(name, "E_LIMIT") == 0;
			if (strcmp(name, "E_LIMIT") == 0)
				assert_int_equal(json_get_int(j, "id", -1), 32);
		}
		json_decref(j);
		if (busy == 21 && limited == 1)
			break;
	}
	assert_int_equal(busy, 21); /* one runs, ten wait */
	assert_int_equal(limited, 1);
	line_close(&l);
	eventually(1, d.site.fake.running == 0);
	desk_down(&d);
}

/* Who leaves, however rudely, takes his calls along. */
static void loss(struct net *n)
{
	struct desk d;
	struct line l;

	desk_up(n, &d, hangs);
	line_open(&d, &l);
	put(&l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"chat.ask\",\"params\":{\"prompt\":"
		"\"x\"}}\n");
	json_decref(take(&l));
	assert_int_equal(d.site.fake.running, 1);
	stream_reset(l.s, E_CANCELLED);
	line_close(&l);
	eventually(1, d.site.fake.running == 0);
	assert_int_equal(d.site.fake.cancelled, 1);
	desk_down(&d);
}

static void call(struct line *l, const char *method, const char *params)
{
	char text[2048];

	snprintf(text, sizeof text,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, params);
	put(l, text);
}

static void call_refused(struct line *l, const char *method, const char *params, int64_t code)
{
	call(l, method, params);
	json_t *j = take(l);
	if (error_of(j) != code || json_object_get(j, "result"))
		fail_msg("%s %s: %lld", method, params, (long long)error_of(j));
	json_decref(j);
}

/* The state of the only invitation. */
static void invited(struct line *l, const char *state)
{
	call(l, "invite.list", "{}");
	json_t *j = take(l);
	const json_t *list = json_object_get(j, "result");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_get_string(json_array_get(list, 0), "state", ""), state);
	assert_null(json_object_get(json_array_get(list, 0), "token"));
	json_decref(j);
}

static void invitations(struct net *n)
{
	struct desk d;
	struct line l;
	char params[1200];

	desk_up(n, &d, good);
	line_open(&d, &l);
	call_refused(&l, "invite.create", "{\"uses\":0}", -32602);
	call_refused(&l, "invite.create", "{\"uses\":-4294967295}", -32602);
	call_refused(&l, "invite.create", "{\"expires_s\":-1}", -32602);
	call_refused(&l, "invite.create", "{\"addresses\":[\"/udp/1\"]}", -32602);
	call_refused(&l, "invite.create", "{\"addresses\":[7]}", -32602);
	call_refused(&l, "invite.create", "{\"addresses\":[1,2,3,4,5,6,7]}", -32602);
	call(&l, "invite.create", "{\"uses\":2,\"addresses\":[\"/dns4/a.example/tcp/1\"]}");
	json_t *j = take(&l), *made = json_object_get(j, "result");
	assert_string_equal(json_get_string(made, "cluster", ""), "house");
	assert_int_equal(json_get_int(made, "uses", 0), 2);
	invited(&l, "open");
	/* Its own invitation, none, and half of one. */
	const char *token = json_get_string(made, "token", "");
	snprintf(params, sizeof params, "{\"token\":\"%s\"}", token);
	call_refused(&l, "cluster.join", params, -32602);
	snprintf(params, sizeof params, "{\"token\":\"%.50s\"}", token);
	call_refused(&l, "cluster.join", params, -32602);
	call_refused(&l, "cluster.join", "{}", -32602);
	call_refused(&l, "invite.revoke", "{}", -32000);
	snprintf(params, sizeof params, "{\"id\":\"%s\"}", json_get_string(made, "id", ""));
	json_decref(j);
	call(&l, "invite.revoke", params);
	j = take(&l);
	assert_true(json_is_true(json_object_get(j, "result")));
	json_decref(j);
	invited(&l, "revoked");
	line_close(&l);
	desk_down(&d);
}

/* The code comes as a notification; whoever hangs up ends the showing. */
static void pairing(struct net *n)
{
	struct desk d;
	struct line l, other;

	desk_up(n, &d, good);
	for (int i = 0; i < 2; i++) {
		line_open(&d, &l);
		call(&l, "pair.show", "{}");
		json_t *j = take(&l);
		const json_t *params = json_object_get(j, "params");
		assert_string_equal(json_get_string(j, "method", ""), "pair.code");
		assert_int_equal(json_get_int(params, "id", 0), 1);
		assert_int_equal(strspn(json_get_string(params, "code", ""), "0123456789"), 6);
		json_decref(j);
		line_open(&d, &other);
		call_refused(&other, "pair.show", "{}", -32000);
		call_refused(&other, "pair.enter", "{\"code\":\"12\"}", -32602);
		line_close(&other);
		line_close(&l);
		OK(fiber_sleep(duration_ms(100)));
	}
	desk_down(&d);
}

static void endless_line(struct net *n)
{
	struct desk d;
	struct line l;
	size_t size = 33u << 20;
	char *text = malloc(size);

	desk_up(n, &d, good);
	line_open(&d, &l);
	memset(text, 'x', size);
	OK(stream_write(l.s, text, size, NULL));
	free(text);
	/* It is refused, and the connection lives on. */
	put(&l, "\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"models.list\"}\n");
	json_t *refusal = take(&l), *answer = take(&l);
	json_t *data = json_object_get(json_object_get(refusal, "error"), "data");
	assert_string_equal(json_get_string(data, "code", ""), "request_too_large");
	assert_int_equal(json_get_int(answer, "id", 0), 1);
	json_decref(refusal);
	json_decref(answer);
	line_close(&l);
	desk_down(&d);
}

/* ---- the TCP port ---------------------------------------------------------------------------- */

static struct reply *post(
    struct net *n, struct desk *d, const char *line, const char *token, const char *body)
{
	static struct reply r;
	char headers[256];
	struct stream *s;

	snprintf(headers, sizeof headers, "%s%s%s", token ? "Authorization: " : "",
	    token ? token : "", token ? "\r\n" : "");
	OK(world_tcp_dial(universe_host(n->u, "client"), &d->tcp, &s, NULL));
	talk(s, line, headers, body, &r);
	return &r;
}

#define STATUS "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node.status\"}"

static void tcp(struct net *n)
{
	struct desk d;
	struct reply *r;
	char good_token[128], bad_token[128];
	struct file_info info;

	desk_up(n, &d, good);
	snprintf(good_token, sizeof good_token, "Bearer %s", d.token);
	snprintf(bad_token, sizeof bad_token, "Bearer %s", d.token);
	bad_token[strlen(bad_token) - 1] ^= 1;
	const char *bad[] = {NULL, "Bearer ", "Bearer x", d.token, bad_token, "Basic Zm9v"};
	for (size_t i = 0; i < 6; i++) {
		r = post(n, &d, "POST /rpc", bad[i], STATUS);
		assert_int_equal(r->status, 401);
		has(r, "/data/control.token");
		has_not(r, d.token);
		has_not(r, "node_id");
	}
	OK(file_stat(d.site.node.world, "/data/control.token", &info, NULL));
	assert_int_equal(info.mode, 0600);
	r = post(n, &d, "POST /rpc", good_token, STATUS);
	assert_int_equal(r->status, 200);
	has(r, "\"id\":1,\"result\":{\"label\":\"alpha\"");
	r = post(n, &d, "POST /rpc", good_token, "{");
	assert_int_equal(r->status, 400);
	has(r, "\"code\":-32700");
	r = post(n, &d, "POST /rpc", good_token, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"code\":-32601");
	r = post(
	    n, &d, "POST /rpc", good_token, "{\"jsonrpc\":\"2.0\",\"method\":\"models.list\"}");
	assert_int_equal(r->status, 204);
	assert_string_equal(r->body, "");
	/* No pieces over HTTP: the result alone. */
	r = post(n, &d, "POST /rpc", good_token,
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"chat.ask\",\"params\":{\"prompt\":\"x\"}}");
	has(r, "\"answer\":\"Four\"");
	has_not(r, "chat.text");
	assert_int_equal(post(n, &d, "GET /rpc", good_token, NULL)->status, 405);
	assert_int_equal(post(n, &d, "GET /", good_token, NULL)->status, 404);
	desk_down(&d);
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

/* Findings come one by one, then all of them. */
static void examinations(struct net *n)
{
	struct desk d;
	struct line l;
	size_t told = 0;
	json_t *j;

	desk_up(n, &d, good);
	line_open(&d, &l);
	put(&l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"doctor.run\"}\n");
	while (!json_object_get(j = take(&l), "result")) {
		const json_t *params = json_object_get(j, "params");
		assert_string_equal(json_get_string(j, "method", ""), "doctor.finding");
		assert_int_equal(json_get_int(params, "id", 0), 1);
		assert_true(json_get_string(json_object_get(params, "finding"), "seen", "")[0]);
		told++;
		json_decref(j);
	}
	const json_t *result = json_object_get(j, "result");
	assert_int_equal(json_get_int(result, "faults", -1), 0);
	assert_int_equal(json_array_size(json_object_get(result, "findings")), told);
	assert_true(told >= 2);
	json_decref(j);
	refused(&l,
	    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"doctor.run\",\"params\":"
	    "{\"peer\":\"nobody\"}}\n",
	    "2", -32000);
	line_close(&l);
	desk_down(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(bad_lines), STORY(error_names),
	    STORY(notifications), STORY(status), STORY(asking), STORY(many), STORY(loss),
	    STORY(endless_line), STORY(tcp), STORY(examinations), STORY(invitations),
	    STORY(pairing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
