/* The guarded gateway: keys, peers, limits, and records for those who asked. */
#include "http_talk.h"
#include "site.h"

#include "gateway/guard.h"

static const struct fake_step good[] = {{FAKE_STARTED}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};
static const struct fake_step slow[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 5000}, {FAKE_TEXT, 0, "ur"}, {FAKE_FINISH}};

#define ASK(model)                                                                                 \
	"{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}]}"
#define CHAT "POST /v1/chat/completions"

/* From another machine. */
static struct reply *from_afar(
    struct net *n, struct site *t, const char *line, const char *headers, const char *body)
{
	static struct reply r;
	struct stream *s;

	OK(world_tcp_dial(universe_host(n->u, "client"), &t->http, &s, NULL));
	talk(s, line, headers, body, &r);
	return &r;
}

/* From the same one. */
static struct reply *from_here(
    struct site *t, const char *line, const char *headers, const char *body)
{
	static const struct netaddr at = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = 31145};
	static struct reply r;
	struct stream *s;

	OK(world_tcp_dial(t->node.world, &at, &s, NULL));
	talk(s, line, headers, body, &r);
	return &r;
}

struct held_key {
	struct access_key key;
	char bearer[128], x_api_key[128];
};

static void make_key(struct site *t, struct access_key key, struct held_key *out)
{
	char text[ACCESS_KEY_TEXT_MAX];

	OK(access_key_create(t->access, &key, text, NULL));
	out->key = key;
	snprintf(out->bearer, sizeof out->bearer, "Authorization: Bearer %s\r\n", text);
	snprintf(out->x_api_key, sizeof out->x_api_key, "x-api-key: %s\r\n", text);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void every_path(struct net *n)
{
	static const char *const lines[] = {"GET /v1/models", "GET /v1/models/tiny", "GET /",
	    "GET /v1/nonsense", "DELETE /v1/models", CHAT, "POST /v1/messages", "GET /api/tags",
	    "POST /v1/embeddings", "GET /v1/requests/x", "POST /health"};
	struct access_key usual = {.name = "laptop", .rights = ACCESS_RIGHTS_USUAL};
	struct held_key k;
	struct site a;
	struct reply *r;

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", good, NULL);
	/* Without a key: free here, closed there. */
	assert_int_equal(from_here(&a, "GET /v1/models", "", NULL)->status, 200);
	assert_int_equal(
	    from_here(&a, CHAT, "Authorization: Bearer x\r\n", ASK("tiny"))->status, 200);
	r = from_afar(n, &a, "GET /v1/models", "", NULL);
	assert_int_equal(r->status, 401);
	has(r, "from other machines this node wants a key");
	make_key(&a, usual, &k);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		const char *body = strncmp(lines[i], "POST", 4) == 0 ? ASK("tiny") : NULL;
		r = from_here(&a, lines[i], "", body);
		if (r->status != 401)
			fail_msg("%s: %s", lines[i], r->all);
		has(r, "WWW-Authenticate: Bearer\r\n");
		has(r, "this node wants a key"); /* in the form of the path's dialect */
		r = from_afar(n, &a, lines[i], k.bearer, body);
		if (r->status == 401)
			fail_msg("%s: %s", lines[i], r->all);
	}
	assert_int_equal(from_here(&a, "GET /health", "", NULL)->status, 200);
	assert_int_equal(from_here(&a, "HEAD /health", "", NULL)->status, 200);
	assert_int_equal(from_afar(n, &a, "OPTIONS /v1/models", "", NULL)->status, 204);
	/* Either header will do; a wrong key is wrong wherever it stands. */
	assert_int_equal(from_afar(n, &a, CHAT, k.x_api_key, ASK("tiny"))->status, 200);
	r = from_afar(n, &a, CHAT, "Authorization: Basic eDp5\r\n", ASK("tiny"));
	assert_int_equal(r->status, 401);
	r = from_afar(n, &a, CHAT, "x-api-key: sk-ant-xyz\r\n", ASK("tiny"));
	assert_int_equal(r->status, 401);
	has(r, "this is no key of this node");
	assert_int_equal(a.fake.calls, 2 + 1); /* nothing else came through */
	OK(access_key_revoke(a.access, k.key.id, NULL));
	assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 401);
	site_down(&a);
}

static void scopes_and_models(struct net *n)
{
	struct access_key lists = {.name = "lists", .rights = ACCESS_MODELS};
	struct access_key other = {
	    .name = "other", .rights = ACCESS_RIGHTS_USUAL, .models = "big*"};
	struct held_key k;
	struct site a;
	struct reply *r;

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", good, NULL);
	make_key(&a, lists, &k);
	has(from_afar(n, &a, "GET /v1/models", k.bearer, NULL), "\"id\":\"tiny\"");
	r = from_afar(n, &a, CHAT, k.bearer, ASK("tiny"));
	assert_int_equal(r->status, 403);
	has(r, "lists lacks the scope inference");
	/* What it may not use it does not see. */
	make_key(&a, other, &k);
	r = from_afar(n, &a, "GET /v1/models", k.bearer, NULL);
	assert_int_equal(r->status, 200);
	has_not(r, "tiny");
	assert_int_equal(from_afar(n, &a, "GET /v1/models/tiny", k.bearer, NULL)->status, 404);
	r = from_afar(n, &a, CHAT, k.bearer, ASK("tiny"));
	assert_int_equal(r->status, 403);
	has(r, "\"param\":\"model\"");
	r = from_afar(n, &a, CHAT, k.bearer, ASK(""));
	assert_int_equal(r->status, 403);
	has(r, "name the model");
	r = from_afar(n, &a, CHAT, k.bearer, ASK("big"));
	assert_int_equal(r->status, 404); /* allowed, but there is none */
	assert_int_equal(a.fake.calls, 0);
	site_down(&a);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void limits(struct net *n)
{
	struct access_key few = {
	    .name = "few", .rights = ACCESS_RIGHTS_USUAL, .limits = {.requests_per_min = 2}};
	struct access_key short_one = {
	    .name = "short", .rights = ACCESS_RIGHTS_USUAL, .limits = {.tokens_per_min = 600}};
	struct held_key k;
	struct site a;
	struct reply *r;

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", good, NULL);
	make_key(&a, few, &k);
	for (int i = 0; i < 2; i++)
		assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 200);
	r = from_afar(n, &a, CHAT, k.bearer, ASK("tiny"));
	assert_int_equal(r->status, 429);
	has(r, "\"code\":\"rate_limit_exceeded\"");
	has(r, "Retry-After: ");
	has(r, "the limit of 2 requests per minute");
	assert_int_equal(from_afar(n, &a, "GET /v1/models", k.bearer, NULL)->status, 200);
	OK(fiber_sleep(duration_s(31)));
	assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 200);
	/* Tokens: 250 are reserved, 7 were used, the rest comes back at once. */
	make_key(&a, short_one, &k);
	for (int i = 0; i < 20; i++)
		assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 200);
	r = from_afar(n, &a, CHAT, k.bearer,
	    "{\"model\":\"tiny\",\"max_tokens\":590,"
	    "\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}]}");
	assert_int_equal(r->status, 429);
	has(r, "the limit of 600 tokens per minute");
	has(r, "retry-after: ");
	site_down(&a);
}

struct late {
	struct net *net;
	struct site *site;
	struct held_key *key;
	bool done;
};

static void ask_late(void *arg)
{
	struct late *l = arg;
	struct reply *r = calloc(1, sizeof *r);
	struct stream *s;

	OK(world_tcp_dial(universe_host(l->net->u, "client"), &l->site->http, &s, NULL));
	talk(s, CHAT, l->key->bearer, ASK("tiny"), r);
	assert_int_equal(r->status, 200);
	free(r);
	l->done = true;
}

static void at_once(struct net *n)
{
	struct access_key one = {
	    .name = "one", .rights = ACCESS_RIGHTS_USUAL, .limits = {.concurrent = 1}};
	struct held_key k;
	struct site a;

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", slow, NULL);
	make_key(&a, one, &k);
	struct late l = {n, &a, &k, false};
	OK(fiber_spawn(NULL, "late", ask_late, &l, NULL));
	OK(fiber_sleep(duration_s(1)));
	struct reply *r = from_afar(n, &a, CHAT, k.bearer, ASK("tiny"));
	assert_int_equal(r->status, 429);
	has(r, "requests at once");
	eventually(20, l.done);
	assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 200);
	/* Who hangs up gives its place back. */
	for (int i = 0; i < 3; i++) {
		struct buf out = BUF_INIT(4096);
		struct stream *s;
		OK(world_tcp_dial(universe_host(n->u, "client"), &a.http, &s, NULL));
		request_put(&out, CHAT, k.bearer, ASK("tiny"));
		OK(stream_write(s, out.p, out.n, NULL));
		OK(fiber_sleep(duration_s(1)));
		stream_reset(s, E_CANCELLED);
		stream_close(s);
		buf_free(&out);
		OK(fiber_sleep(duration_s(1)));
	}
	assert_int_equal(from_afar(n, &a, CHAT, k.bearer, ASK("tiny"))->status, 200);
	site_down(&a);
}

/* ---- records --------------------------------------------------------------------------------- */

static void request_id(const struct reply *r, char out[64])
{
	const char *at = strstr(r->all, "x-request-id: ");

	assert_non_null(at);
	snprintf(out, 64, "%.*s", (int)strcspn(at + 14, "\r"), at + 14);
}

static void records(struct net *n)
{
	struct access_key mine = {.name = "mine", .rights = ACCESS_RIGHTS_USUAL};
	struct access_key yours = {.name = "yours", .rights = ACCESS_RIGHTS_USUAL};
	struct access_key ops = {.name = "ops", .rights = ACCESS_RECORDS};
	struct held_key m, y, o;
	struct site a;
	char id[64], line[128];
	struct reply *r;

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", good, NULL);
	make_key(&a, mine, &m);
	make_key(&a, yours, &y);
	make_key(&a, ops, &o);
	request_id(from_afar(n, &a, CHAT, m.bearer, ASK("tiny")), id);
	snprintf(line, sizeof line, "GET /v1/requests/%s", id);
	r = from_afar(n, &a, line, m.bearer, NULL);
	assert_int_equal(r->status, 200);
	has(r, "\"object\":\"request\",\"outcome\":\"ok\"");
	has(r, "\"source\":{\"kind\":\"key\",\"name\":\"mine\"}");
	has(r, "\"dialect\":\"openai.chat\"");
	has(r, "\"attempts\":[{\"target\":\"alpha\"");
	has(r, "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}");
	has_not(r, "2+2");
	/* It is nobody else's business, but of who reads all. */
	r = from_afar(n, &a, line, y.bearer, NULL);
	assert_int_equal(r->status, 404);
	has_not(r, "mine");
	assert_int_equal(from_afar(n, &a, line, o.bearer, NULL)->status, 200);
	assert_int_equal(from_afar(n, &a, "GET /v1/requests/", m.bearer, NULL)->status, 404);
	assert_int_equal(from_afar(n, &a, "GET /v1/requests/%zz", m.bearer, NULL)->status, 404);
	/* Others who choose the same id stand in nobody's way. */
	char header[256];
	snprintf(header, sizeof header, "%sX-Request-Id: %s\r\n", y.bearer, id);
	assert_int_equal(from_afar(n, &a, CHAT, header, ASK("tiny"))->status, 200);
	has(from_afar(n, &a, line, m.bearer, NULL), "\"name\":\"mine\"");
	has(from_afar(n, &a, line, y.bearer, NULL), "\"name\":\"yours\"");
	/* Refusals after the body was read are records, too. */
	request_id(from_afar(n, &a, CHAT, m.bearer, ASK("big")), id);
	snprintf(line, sizeof line, "GET /v1/requests/%s", id);
	r = from_afar(n, &a, line, m.bearer, NULL);
	has(r, "\"outcome\":\"failed\"");
	has(r, "\"code\":\"model_not_found\"");
	site_down(&a);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static struct stream *open_http(struct site *from, struct site *to)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	struct stream *s;

	OK(p2p_open_stream(from->node.host, &to->node.id.peer_id, protocols, 1, &s, NULL, NULL));
	return s;
}

static void peers(struct net *n)
{
	struct site a, b;
	struct reply r;
	struct model_entry models[4];

	site_up_as(n, &a, SITE_GUARDED, "alpha", "tiny", good, NULL);
	site_up(n, &b, "beta", "other", good, &a);
	eventually(10, catalog_models(b.catalog, models, 4) == 2);
	struct access_peer p = {.id = b.node.id.peer_id, .rights = 0};
	/* A key that exists is no matter between members. */
	struct held_key k;
	make_key(&a, (struct access_key){.name = "k", .rights = ACCESS_RIGHTS_USUAL}, &k);
	talk(open_http(&b, &a), CHAT, "", ASK("tiny"), &r);
	assert_int_equal(r.status, 200);
	talk(open_http(&b, &a), "GET /v1/models", "", NULL, &r);
	assert_int_equal(r.status, 200);
	/* Nothing at all, not even its health, for a peer that is shut out. */
	OK(access_peer_trust(a.access, &p, NULL));
	talk(open_http(&b, &a), CHAT, "", ASK("tiny"), &r);
	assert_int_equal(r.status, 403);
	talk(open_http(&b, &a), "GET /health", "", NULL, &r);
	assert_int_equal(r.status, 403);
	p.rights = ACCESS_RIGHTS_USUAL;
	p.limits.requests_per_min = 1;
	OK(access_peer_trust(a.access, &p, NULL));
	talk(open_http(&b, &a), CHAT, "", ASK("tiny"), &r);
	assert_int_equal(r.status, 200);
	talk(open_http(&b, &a), CHAT, "", ASK("tiny"), &r);
	assert_int_equal(r.status, 429);
	site_down(&b);
	site_down(&a);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void rights(void **state)
{
	static const struct {
		const char *path;
		unsigned rights;
	} cases[] = {
	    {"/v1/chat/completions", ACCESS_INFER},
	    {"/v1/messages/count_tokens", ACCESS_INFER},
	    {"/v1/responses", ACCESS_INFER},
	    {"/api/generate", ACCESS_INFER},
	    {"/v1/anything/new", ACCESS_INFER}, /* what nobody thought of needs the right, too */
	    {"/v1/models", ACCESS_MODELS},
	    {"/v1/models/a/b", ACCESS_MODELS},
	    {"/api/tags", ACCESS_MODELS},
	    {"/v1/embeddings", ACCESS_EMBED},
	    {"/api/embed", ACCESS_EMBED},
	    {"/api/embeddings", ACCESS_EMBED},
	    {"/v1/requests/x", 0},
	    {"/", 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (guard_rights(cases[i].path) != cases[i].rights)
			fail_msg("%s", cases[i].path);
	assert_true(guard_is_open("GET", "/health"));
	assert_false(guard_is_open("POST", "/health"));
	assert_false(guard_is_open("GET", "/health/"));
	assert_false(guard_is_open("GET", "/healthy"));
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
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rights),
	    STORY(every_path),
	    STORY(scopes_and_models),
	    STORY(limits),
	    STORY(at_once),
	    STORY(records),
	    STORY(peers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
