/* Servers at addresses: models in the background, connections used again, health, keys, failures.
 */
#include "fake.h"

#include "dialect/openai.h"
#include "http/server.h"
#include "provider/remote.h"

struct backend {
	struct listener *listener;
	struct scope scope;
	struct http_group group;
	struct netaddr addr;
	const char *models; /* body of the list; NULL: 500 */
	const char *cut;    /* "cut": hang up in mid-answer */
	int status;         /* of completions */
	unsigned connections, looks, asked;
	unsigned per_connection; /* requests before it hangs up; 0: no limit */
	char authorization[128];
};

static int answer(struct http_exchange *x, struct backend *b, struct err *err)
{
	static const char *const events[] = {
	    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\n",
	    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}\n\n",
	    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
	    "data: [DONE]\n\n"};
	b->asked++;
	if (b->status != 200)
		return http_respond(x, b->status, "application/json",
		    bytes_str("{\"error\":{\"message\":\"no\",\"type\":\"t\"}}"), err);
	int rc = http_response_begin(x, 200, "text/event-stream", HTTP_LENGTH_CHUNKED, err);
	for (size_t i = 0; rc == 0 && i < 4; i++) {
		if (b->cut && i == 1)
			return fiber_sleep(duration_ms(50)) ? E_CANCELLED
							    : err_set(err, E_IO, "cut");
		rc = http_response_write(x, bytes_str(events[i]), err);
		if (rc == 0)
			rc = http_response_flush(x, err);
	}
	return rc;
}

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	struct backend *b = arg;
	const struct http_head *head = http_request(x);
	const char *auth = http_head_get(head, "authorization");
	snprintf(b->authorization, sizeof b->authorization, "%s", auth ? auth : "");
	struct buf body = BUF_INIT(1 << 20);
	int rc = http_body_read_all(x, 1 << 20, &body, err);
	buf_free(&body);
	if (rc)
		return rc;
	if (strcmp(http_head_path(head), "/v1/models") != 0)
		return answer(x, b, err);
	b->looks++;
	return b->models ? http_respond(x, 200, "application/json", bytes_str(b->models), err)
			 : err_set(err, E_INTERNAL, "no");
}

struct connection {
	struct backend *b;
	struct stream *s;
};

static void serve(void *arg)
{
	struct connection *c = arg;
	struct http_service service = {
	    .handle = handle, .group = &c->b->group, .idle_limit = duration_s(20)};
	(void)!http_serve(c->s, &service, c->b, NULL);
	stream_close(c->s);
	free(c);
}

static void accept_all(void *arg)
{
	struct backend *b = arg;
	struct stream *s;
	while (listener_accept(b->listener, &s, NULL, NULL) == 0) {
		struct connection *c = malloc(sizeof *c);
		*c = (struct connection){b, s};
		b->connections++;
		OK(fiber_spawn(&b->scope, "connection", serve, c, NULL));
	}
}

static void backend_up(struct backend *b)
{
	struct netaddr at = addr_of(host_world, b->addr.port);
	OK(world_tcp_listen(host_world, &at, &b->listener, NULL));
	listener_addr(b->listener, &b->addr);
	scope_init(&b->scope, NULL);
	OK(fiber_spawn(&b->scope, "accept", accept_all, b, NULL));
}

static void backend_down(struct backend *b)
{
	scope_close(&b->scope);
	listener_close(b->listener);
}

#define MODELS "{\"object\":\"list\",\"data\":[{\"id\":\"m1\"},{\"id\":\"org/m2\"}]}"

static struct backend backend_of(const char *models)
{
	return (struct backend){.models = models, .status = 200};
}

static unsigned changes;

static void changed(void *arg)
{
	changes++;
}

static struct provider *provider_at(const struct backend *b, const char *key, const char *path)
{
	struct remote_options opt = {.world = host_world,
	    .kind = "openai",
	    .name = "shop",
	    .dialect = &openai_upstream,
	    .key = key,
	    .scope = scope_current(),
	    .changed = changed};
	struct provider *p;
	char text[NETADDR_TEXT_MAX], url[NETADDR_TEXT_MAX + 16];
	netaddr_print(&b->addr, text);
	snprintf(url, sizeof url, "http://%s%s", text, path);
	OK(http_url_parse(url, &opt.url, NULL));
	OK(remote_provider_new(&opt, &p, NULL));
	return p;
}

static enum provider_health health(struct provider *p)
{
	struct provider_status s;
	provider_status(p, &s);
	return s.health;
}

struct asked {
	char text[64];
	bool finished;
	struct err err;
	int rc;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct asked *a = arg;
	if (e->kind == INFERENCE_TEXT)
		strncat(a->text, (const char *)e->text.p, e->text.n);
	a->finished |= e->kind == INFERENCE_FINISHED;
	return 0;
}

static struct asked ask(struct provider *p)
{
	struct asked a = {.rc = 0};
	struct inference_message hello = {.role = "user", .content = bytes_str("hi")};
	struct inference_request req = {
	    .model = "m1", .messages = &hello, .n_messages = 1, .choices = 1};
	struct request_context ctx = {.request_id = "req_1"};
	a.rc = provider_infer(p, &req, &ctx, hear, &a, &a.err);
	return a;
}

static void lists_and_answers(void *arg)
{
	static const char *const paths[] = {"", "/", "/v1", "/v1/"};
	for (size_t i = 0; i < 4; i++) {
		struct backend b = backend_of(MODELS);
		size_t n;
		backend_up(&b);
		struct provider *p = provider_at(&b, i ? "sk-secret" : NULL, paths[i]);
		assert_int_equal(health(p), PROVIDER_STARTING);
		eventually(5, health(p) == PROVIDER_HEALTHY);
		const struct model_entry *m = provider_models(p, &n);
		assert_int_equal(n, 2);
		assert_string_equal(m[1].id, "org/m2");
		assert_true(m[0].ready);
		for (unsigned k = 0; k < 10; k++) {
			struct asked a = ask(p);
			OK(a.rc);
			assert_string_equal(a.text, "hello");
			assert_true(a.finished);
		}
		assert_string_equal(b.authorization, i ? "Bearer sk-secret" : "");
		assert_int_equal(b.connections, 1); /* one connection for all of it */
		OK(fiber_sleep(duration_s(100)));
		assert_in_range(b.looks, 4, 5); /* every 30 s */
		provider_close(p);
		backend_down(&b);
	}
}

/* The server closed the kept connection: nobody notices. */
static void stale_connections(void *arg)
{
	struct backend b = backend_of(MODELS);
	backend_up(&b);
	struct provider *p = provider_at(&b, NULL, "");
	eventually(5, health(p) == PROVIDER_HEALTHY);
	OK(fiber_sleep(duration_s(25))); /* longer than it keeps idle ones */
	struct asked a = ask(p);
	OK(a.rc);
	assert_int_equal(b.asked, 1);
	/* And when it restarts in between. */
	backend_down(&b);
	backend_up(&b);
	a = ask(p);
	OK(a.rc);
	assert_string_equal(a.text, "hello");
	provider_close(p);
	backend_down(&b);
}

static void comes_and_goes(void *arg)
{
	struct backend b = backend_of(MODELS);
	size_t n;
	backend_up(&b);
	struct provider *p = provider_at(&b, NULL, "");
	eventually(5, health(p) == PROVIDER_HEALTHY);
	backend_down(&b);
	struct asked a = ask(p); /* the failure makes it look at once */
	assert_true(a.rc < 0);
	assert_non_null(strstr(a.err.text, "shop"));
	eventually(5, health(p) == PROVIDER_DEGRADED);
	provider_models(p, &n);
	assert_int_equal(n, 2);
	eventually(10, health(p) == PROVIDER_UNHEALTHY);
	provider_models(p, &n);
	assert_int_equal(n, 2); /* known, though nobody lists them: see catalog_offers */
	backend_up(&b);
	unsigned before = changes;
	eventually(70, health(p) == PROVIDER_HEALTHY);
	assert_true(changes > before);
	provider_models(p, &n);
	assert_int_equal(n, 2);
	provider_close(p);
	backend_down(&b);
}

static void failures(void *arg)
{
	struct backend b = backend_of(MODELS);
	backend_up(&b);
	struct provider *p = provider_at(&b, "wrong-key", "");
	eventually(5, health(p) == PROVIDER_HEALTHY);
	b.status = 401; /* our key: not the client's fault, and not told to it */
	struct asked a = ask(p);
	assert_int_equal(a.rc, E_UPSTREAM);
	assert_null(strstr(a.err.text, "wrong-key"));
	b.status = 429;
	assert_int_equal(ask(p).rc, E_BUSY);
	b.status = 400;
	assert_int_equal(ask(p).rc, E_INVALID);
	b.status = 200;
	b.cut = "cut";
	a = ask(p);
	assert_true(a.rc == E_CLOSED || a.rc == E_RESET);
	assert_string_equal(a.text, "hel");
	assert_false(a.finished);
	unsigned asked = b.asked;
	b.cut = NULL;
	OK(ask(p).rc);
	assert_int_equal(b.asked, asked + 1); /* the cut one was not asked twice */
	provider_close(p);
	backend_down(&b);
}

static void nobody_there(void *arg)
{
	struct backend b = backend_of(MODELS);
	b.addr.port = 4242;
	b.addr = addr_of(host_world, 4242);
	struct provider *p = provider_at(&b, NULL, "");
	eventually(60, health(p) == PROVIDER_UNHEALTHY);
	struct provider_status s;
	provider_status(p, &s);
	assert_true(s.reason[0] != '\0');
	provider_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(lists_and_answers),
	    FIBER_TEST(stale_connections), FIBER_TEST(comes_and_goes), FIBER_TEST(failures),
	    FIBER_TEST(nobody_there)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
