/* The methods for keys, trusted peers and request records. */
#include "http_talk.h"
#include "site.h"

#include "control/control_priv.h"

static const struct fake_step good[] = {{FAKE_STARTED}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};

struct desk {
	struct site site;
	struct control *control;
};

static void ignore_stop(void *arg)
{
}

static void desk_up(struct net *n, struct desk *d, enum site_kind kind)
{
	site_up_as(n, &d->site, kind, "alpha", "tiny", good, NULL);
	struct control_options opt = {.world = d->site.node.world,
	    .data_dir = "/data",
	    .label = "alpha",
	    .host = d->site.node.host,
	    .cluster = d->site.cluster,
	    .catalog = d->site.catalog,
	    .jobs = d->site.jobs,
	    .access = d->site.access,
	    .records = d->site.records,
	    .http = d->site.http,
	    .request_limit = duration_s(600),
	    .stop = ignore_stop};
	universe_host_addr(opt.world, &opt.listen);
	opt.listen.port = 8145;
	OK(control_new(&opt, &d->control, NULL));
}

static void desk_down(struct desk *d)
{
	control_close(d->control);
	site_down(&d->site);
}

/* Takes params over. */
static int call(
    struct desk *d, const char *method, json_t *params, json_t **result, struct err *err)
{
	*result = NULL;
	int rc = control_call(d->control, method, params, NULL, result, err);
	json_decref(params);
	return rc;
}

static json_t *called(struct desk *d, const char *method, json_t *params)
{
	json_t *result;
	struct err err = {0};

	if (call(d, method, params, &result, &err) != 0)
		fail_msg("%s: %s", method, err_text(&err));
	return result;
}

static void refused(struct desk *d, const char *method, json_t *params, int code)
{
	json_t *result;
	struct err err = {0};

	int rc = call(d, method, params, &result, &err);
	if (rc != code || result)
		fail_msg("%s: %d %s", method, rc, err_text(&err));
}

/* JSON with sorted keys must be `expected`, where "*" stands for anything up to the next quote. */
static void is_json(json_t *j, const char *expected)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	const char *p = text, *q = expected;

	while (*q && *p) {
		if (*q == '*') {
			p += strcspn(p, "\",}");
			q++;
		} else if (*p++ != *q++) {
			fail_msg("%s is not %s", text, expected);
		}
	}
	if (*p || *q)
		fail_msg("%s is not %s", text, expected);
	free(text);
	json_decref(j);
}

static void keys(struct net *n)
{
	struct desk d;

	desk_up(n, &d, SITE_GUARDED);
	is_json(called(&d, "keys.list", NULL), "[]");
	json_t *k = called(&d, "keys.create",
	    json_pack("{s:s, s:[s,s], s:s, s:i, s:i}", "name", "laptop", "scopes", "inference",
		"models", "models", "tiny*,big", "requests_per_min", 10, "expires_s", 60));
	assert_int_equal(strlen(json_get_string(k, "key", "")), 59);
	char id[16];
	snprintf(id, sizeof id, "%s", json_get_string(k, "id", ""));
	json_object_del(k, "key");
	is_json(k, "{\"created_ms\":*,\"expires_ms\":*,\"id\":\"*\",\"limits\":{\"concurrent\":0,"
		   "\"requests_per_min\":10,\"tokens_per_min\":0},\"models\":[\"tiny*\",\"big\"],"
		   "\"name\":\"laptop\",\"revoked_ms\":null,\"scopes\":[\"inference\",\"models\"],"
		   "\"state\":\"valid\",\"used_ms\":null}");
	k = called(&d, "keys.list", NULL);
	assert_int_equal(json_array_size(k), 1);
	assert_null(json_object_get(json_array_get(k, 0), "key")); /* never again */
	json_decref(k);
	refused(&d, "keys.create", json_pack("{s:s}", "name", "laptop"), E_EXISTS);
	refused(&d, "keys.create", NULL, E_INVALID);
	refused(
	    &d, "keys.create", json_pack("{s:s, s:s}", "name", "x", "scopes", "fun"), E_INVALID);
	refused(&d, "keys.create", json_pack("{s:s, s:[]}", "name", "x", "scopes"), E_INVALID);
	refused(
	    &d, "keys.create", json_pack("{s:s, s:s}", "name", "x", "models", "a,,b"), E_INVALID);
	refused(
	    &d, "keys.create", json_pack("{s:s, s:i}", "name", "x", "expires_s", -1), E_INVALID);
	refused(
	    &d, "keys.create", json_pack("{s:s, s:i}", "name", "x", "concurrent", -1), E_INVALID);
	refused(&d, "keys.create", json_pack("{s:s, s:i}", "name", "x", "tokens_per_min", -1),
	    E_INVALID);
	refused(&d, "keys.revoke", json_pack("{s:s}", "id", "nothing"), E_NOT_FOUND);
	is_json(
	    called(&d, "keys.revoke", json_pack("{s:s}", "id", id)), "{\"key_required\":false}");
	k = called(&d, "keys.list", NULL);
	assert_string_equal(json_get_string(json_array_get(k, 0), "state", ""), "revoked");
	json_decref(k);
	desk_down(&d);
}

static void peers(struct net *n)
{
	char peer[PEER_ID_TEXT_MAX];
	struct peer_id id = fake_peer(9);
	struct desk d;

	desk_up(n, &d, SITE_GUARDED);
	peer_id_print(&id, peer);
	is_json(called(&d, "peers.trust",
		    json_pack("{s:s, s:s, s:s, s:i}", "peer", peer, "name", "attic", "scopes",
			"none", "concurrent", 2)),
	    "{\"label\":\"attic\",\"node_id\":\"*\",\"peer_id\":\"*\"}");
	is_json(called(&d, "peers.trusted", NULL),
	    "[{\"label\":\"attic\",\"limits\":{\"concurrent\":2,\"requests_per_min\":0,"
	    "\"tokens_per_min\":0},\"models\":[],\"node_id\":\"*\",\"peer_id\":\"*\",\"scopes\":[],"
	    "\"since_ms\":*}]");
	refused(&d, "peers.trust", json_pack("{s:s}", "peer", "nobody"), E_NOT_FOUND);
	refused(&d, "peers.untrust", json_pack("{s:s}", "peer", "alpha"), E_NOT_FOUND);
	json_decref(called(&d, "peers.untrust", json_pack("{s:s}", "peer", peer)));
	is_json(called(&d, "peers.trusted", NULL), "[]");
	desk_down(&d);
}

/* ---- records --------------------------------------------------------------------------------- */

struct following {
	struct desk *desk;
	unsigned heard;
	char last[64];
	int rc;
	bool ended;
};

static int hear(void *arg, json_t *message, struct err *err)
{
	struct following *f = arg;
	const json_t *r = json_object_get(json_object_get(message, "params"), "request");

	assert_string_equal(json_get_string(message, "method", ""), "requests.ended");
	snprintf(f->last, sizeof f->last, "%s", json_get_string(r, "id", ""));
	f->heard++;
	json_decref(message);
	return f->heard == 2 ? err_set(err, E_CLOSED, "hung up") : 0;
}

static void follow(void *arg)
{
	struct following *f = arg;
	struct rpc_notify notify = {hear, f, NULL};
	json_t *result = NULL;

	f->rc = control_call(f->desk->control, "requests.follow", NULL, &notify, &result, NULL);
	f->ended = true;
}

static void requests(struct net *n)
{
	struct desk d;
	struct following f = {.desk = &d};
	char id[64];

	desk_up(n, &d, SITE_GUARDED);
	is_json(called(&d, "requests.list", NULL), "[]");
	OK(fiber_spawn(NULL, "follow", follow, &f, NULL));
	OK(fiber_sleep(duration_ms(10)));
	json_t *a = called(&d, "chat.ask", json_pack("{s:s}", "prompt", "2+2?"));
	snprintf(id, sizeof id, "%s", json_get_string(a, "request_id", ""));
	json_decref(a);
	OK(fiber_sleep(duration_ms(10)));
	assert_int_equal(f.heard, 1);
	assert_string_equal(f.last, id);
	a = called(&d, "requests.get", json_pack("{s:s}", "id", id));
	assert_string_equal(json_get_string(json_object_get(a, "source"), "kind", ""), "command");
	assert_string_equal(json_get_string(a, "outcome", ""), "ok");
	assert_string_equal(json_get_string(a, "target", ""), "alpha");
	/* The decision is in it, and says who was chosen. */
	const json_t *decision = json_array_get(json_object_get(a, "candidates"), 0);
	assert_true(json_is_object(decision));
	json_decref(a);
	refused(&d, "chat.ask", json_pack("{s:s, s:s}", "prompt", "x", "model", "big"),
	    E_MODEL_NOT_FOUND);
	a = called(&d, "requests.list", json_pack("{s:i}", "limit", 1));
	assert_int_equal(json_array_size(a), 1);
	assert_string_equal(json_get_string(json_array_get(a, 0), "outcome", ""), "failed");
	assert_null(json_object_get(json_array_get(a, 0), "candidates"));
	json_decref(a);
	eventually(1, f.ended);
	assert_int_equal(f.rc, E_CLOSED);
	assert_int_equal(f.heard, 2);
	refused(&d, "requests.list", json_pack("{s:i}", "limit", 0), E_INVALID);
	refused(&d, "requests.get", json_pack("{s:s}", "id", "x"), E_NOT_FOUND);
	refused(&d, "requests.follow", NULL, E_UNSUPPORTED);
	desk_down(&d);
}

/* A node without these rooms says so. */
static void without(struct net *n)
{
	static const char *const methods[] = {"keys.create", "keys.list", "keys.revoke",
	    "peers.trust", "peers.untrust", "peers.trusted", "requests.list", "requests.get",
	    "requests.follow"};
	struct desk d;

	desk_up(n, &d, SITE_OPEN);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		refused(&d, methods[i], NULL, E_UNSUPPORTED);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORY(keys), STORY(peers), STORY(requests), STORY(without)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
