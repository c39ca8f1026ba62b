/* Access: who may do what, how much of it, and what is kept of that. */
#include "fiber_test.h"

#include "access/access_priv.h"
#include "crypto/identity.h"

#include <stdio.h>

#define PATH "/data/gate.db"

struct rig {
	struct world *world;
	struct store *store;
	struct access_options opt;
	struct access *access;
};

static void rig_up(struct rig *r)
{
	struct store_options store = {
	    .world = r->world, .path = PATH, .schemas = &access_schema, .n_schemas = 1};
	struct err err = {0};

	OK(file_mkdirs(r->world, "/data", 0700, NULL));
	OK(store_open(&store, &r->store, NULL));
	r->opt.world = r->world;
	r->opt.store = r->store;
	if (access_new(&r->opt, &r->access, &err) != 0)
		fail_msg("%s", err_text(&err));
}

static void rig_down(struct rig *r)
{
	access_close(r->access);
	store_close(r->store);
}

static void rig_again(struct rig *r)
{
	rig_down(r);
	rig_up(r);
}

struct alone {
	struct world *world;
	void (*fn)(struct rig *r);
};

static void alone_fiber(void *arg)
{
	struct alone *a = arg;
	struct rig r = {.world = a->world, .opt.share = ACCESS_FRIENDS};

	a->fn(&r);
}

static void in_rig(void **state)
{
	void (*const *fn)(struct rig *) = *state;
	struct universe *u = universe_of_seed(1);
	struct alone a = {universe_host(u, "alone"), *fn};

	OK(universe_boot(u, a.world, NULL, alone_fiber, &a, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

#define RIG_TEST(fn)                                                                               \
	{                                                                                          \
#fn, in_rig, NULL, NULL, &(void (*[1])(struct rig *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

/* ---- callers --------------------------------------------------------------------------------- */

static const struct netaddr here = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = 4000};
static const struct netaddr there = {.family = NET_IP4, .ip = {192, 0, 2, 7}, .port = 4000};

static struct peer_id peer_of(uint8_t n)
{
	uint8_t seed[ED25519_SEED_SIZE] = {n, 77};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

struct asked {
	int rc;
	struct err err;
	struct access_grant grant;
};

static struct asked ask_for(struct rig *r, const struct access_caller *who, unsigned rights,
    const char *model, int64_t tokens)
{
	struct access_ask what = {rights, model, tokens};
	struct asked a = {0};

	a.rc = access_check(r->access, who, &what, &a.grant, &a.err);
	assert_int_equal(a.rc, a.rc ? a.err.code : 0);
	return a;
}

/* Asks, and gives back at once. */
static int may(struct rig *r, const struct access_caller *who, unsigned rights, const char *model)
{
	struct asked a = ask_for(r, who, rights, model, 0);

	access_done(&a.grant, -1);
	return a.rc;
}

static struct access_caller from(const struct netaddr *at, const char *bearer)
{
	return (struct access_caller){.address = at, .bearer = bearer};
}

static struct access_key key_named(const char *name)
{
	struct access_key k = {.rights = ACCESS_RIGHTS_USUAL};

	snprintf(k.name, sizeof k.name, "%s", name);
	return k;
}

static struct access_key made(struct rig *r, struct access_key k, char text[ACCESS_KEY_TEXT_MAX])
{
	struct err err = {0};

	if (access_key_create(r->access, &k, text, &err) != 0)
		fail_msg("%s: %s", k.name, err_text(&err));
	return k;
}

/* ---- the text of keys ------------------------------------------------------------------------ */

static void random_bytes(void *arg, void *buf, size_t n)
{
	uint64_t *seed = arg;

	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)buf)[i] = (uint8_t)(*seed >> 56);
	}
}

static void key_texts(void **state)
{
	uint64_t seed = 5;
	char text[ACCESS_KEY_TEXT_MAX], id[ACCESS_KEY_ID_MAX], again[ACCESS_KEY_ID_MAX];
	unsigned seen[128] = {0};

	for (int i = 0; i < 2000; i++) {
		key_make(random_bytes, &seed, text, id);
		assert_int_equal(strlen(text), 59);
		assert_memory_equal(text, "og-", 3);
		assert_int_equal(key_parse(text, again, NULL), 0);
		assert_string_equal(id, again);
		for (const char *p = text + 3; p < text + 54; p++)
			seen[(unsigned char)*p]++;
	}
	/* All digits, about equally often: 2,000 × 51 / 62 = 1,645. */
	for (int c = 0; c < 128; c++)
		if (seen[c])
			assert_true(seen[c] > 1400 && seen[c] < 1900);
		else
			assert_null(strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "abcdefghijklmnopqrstuvwxyz",
			    c ? c : '-'));
}

static void slips_of_the_pen(void **state)
{
	uint64_t seed = 6;
	char text[ACCESS_KEY_TEXT_MAX], id[ACCESS_KEY_ID_MAX];

	key_make(random_bytes, &seed, text, id);
	for (size_t i = 0; i < strlen(text); i++) {
		char kept = text[i];
		text[i] = kept == 'a' ? 'b' : 'a';
		assert_int_equal(key_parse(text, id, NULL), E_UNAUTHORIZED);
		text[i] = kept;
	}
	assert_int_equal(key_parse(text, id, NULL), 0);
	static const char *const others[] = {"", "og-", "sk-proj-0123456789", "ollama",
	    "og-00000000000000000000000000000000000000000000000000000000",
	    "og-0000000000000000000000000000000000000000000000000000000000000000000000000",
	    "og-"
	    "00000000\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xff"
	    "\xff\xff\xff\xff\xff\xff\xff"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_int_equal(key_parse(others[i], id, NULL), E_UNAUTHORIZED);
}

static void patterns(void **state)
{
	static const struct {
		const char *patterns, *model;
		bool fits;
	} cases[] = {
	    {"", "anything", true},
	    {"*", "", true},
	    {"llama", "llama", true},
	    {"llama", "llama2", false},
	    {"llama", "Llama", false},
	    {"llama*", "llama-3.2", true},
	    {"*-instruct", "llama-3.2-instruct", true},
	    {"*-instruct", "llama-3.2-instruct-q4", false},
	    {"org/*", "org/a/b", true},
	    {"a?c", "abc", true},
	    {"a?c", "ac", false},
	    {"a,b*,c", "bcd", true},
	    {"a,b*,c", "d", false},
	    {"a*b*c", "aXbYbZc", true},
	    {"a*b*c", "aXbYbZ", false},
	    {"tiny", "", false},
	    {"**", "x", true},
	};
	char long_one[200];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (models_fit(cases[i].patterns, cases[i].model) != cases[i].fits)
			fail_msg("%s: %s", cases[i].patterns, cases[i].model);
	memset(long_one, 'a', sizeof long_one);
	long_one[199] = '\0';
	assert_false(models_fit("*a*a*a*a*a*a*a*a*a*a*a*a*b", long_one));
	assert_int_equal(models_check("a,b", NULL), 0);
	assert_int_equal(models_check("", NULL), 0);
	assert_int_equal(models_check("a,,b", NULL), E_INVALID);
	assert_int_equal(models_check("a,", NULL), E_INVALID);
	assert_int_equal(models_check(",a", NULL), E_INVALID);
}

static void rights(void **state)
{
	char text[ACCESS_NAME_MAX];
	unsigned r;
	struct err err;

	for (unsigned i = 0; i <= ACCESS_RIGHTS_ALL; i++) {
		access_rights_print(i, text);
		assert_int_equal(access_rights_parse(text, &r, NULL), 0);
		assert_int_equal(r, i);
	}
	assert_int_equal(access_rights_parse("inference,cooking", &r, &err), E_INVALID);
	assert_non_null(strstr(err.text, "\"cooking\" is no scope"));
	assert_int_equal(access_rights_parse("", &r, NULL), E_INVALID);
	assert_int_equal(access_rights_parse("inference,", &r, NULL), E_INVALID);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void nobody_here_and_there(struct rig *r)
{
	struct access_caller local = from(&here, NULL), remote = from(&there, NULL);
	struct access_caller dummy = from(&here, "sk-anything"), unknown = {0};
	char text[ACCESS_KEY_TEXT_MAX];

	rig_up(r);
	assert_false(access_guarded(r->access));
	assert_int_equal(may(r, &local, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &local, ACCESS_ADMIN, NULL), 0);
	assert_int_equal(may(r, &dummy, ACCESS_INFER, "m"), 0); /* clients must send something */
	assert_int_equal(may(r, &remote, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	assert_int_equal(may(r, &unknown, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	/* As soon as there is a key, it is wanted, here too, for everything. */
	struct access_key k = made(r, key_named("laptop"), text);
	assert_true(access_guarded(r->access));
	assert_int_equal(may(r, &local, ACCESS_MODELS, NULL), E_UNAUTHORIZED);
	assert_int_equal(may(r, &dummy, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	struct access_caller keyed = from(&there, text);
	assert_int_equal(may(r, &keyed, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &keyed, ACCESS_RECORDS, NULL), E_FORBIDDEN);
	assert_int_equal(may(r, &keyed, 0, NULL), 0);
	rig_again(r);
	assert_int_equal(may(r, &local, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	assert_int_equal(may(r, &keyed, ACCESS_INFER, "m"), 0);
	OK(access_key_revoke(r->access, k.id, NULL));
	assert_int_equal(may(r, &keyed, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	assert_int_equal(may(r, &local, ACCESS_INFER, "m"), 0);
	rig_down(r);
	r->opt.require_key = true;
	rig_up(r);
	assert_int_equal(may(r, &local, ACCESS_INFER, "m"), E_UNAUTHORIZED);
	rig_down(r);
	r->opt.require_key = false;
	r->opt.remote_keyless = true;
	rig_up(r);
	assert_int_equal(may(r, &remote, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &remote, ACCESS_ADMIN, NULL), E_FORBIDDEN);
	rig_down(r);
}

static void address_limits(struct rig *r)
{
	struct access_caller a = from(&there, NULL);
	struct netaddr other = there, six = {.family = NET_IP6, .ip = {0x20, 1, [15] = 1}};
	struct access_caller b = from(&other, NULL), c = from(&six, NULL);

	r->opt.remote_keyless = true;
	r->opt.address = (struct access_limits){.requests_per_min = 2};
	rig_up(r);
	assert_int_equal(may(r, &a, ACCESS_INFER, "m"), 0);
	other.port++; /* another connection is no other address */
	assert_int_equal(may(r, &b, ACCESS_INFER, "m"), 0);
	struct asked last = ask_for(r, &a, ACCESS_INFER, "m", 0);
	assert_int_equal(last.rc, E_BUSY);
	assert_string_equal(last.grant.limit, "requests per minute");
	assert_int_equal(last.err.retry_ms, last.grant.retry_after_ms);
	assert_true(last.grant.retry_after_ms > 29000 && last.grant.retry_after_ms <= 30001);
	assert_int_equal(may(r, &a, ACCESS_MODELS, NULL), 0); /* lists cost nothing */
	other.ip[3]++;
	assert_int_equal(may(r, &b, ACCESS_INFER, "m"), 0);
	OK(fiber_sleep(duration_ms(30001)));
	assert_int_equal(may(r, &a, ACCESS_INFER, "m"), 0);
	/* A network of IPv6 counts as one. */
	for (uint8_t i = 0; i < 3; i++) {
		six.ip[15] = i;
		assert_int_equal(may(r, &c, ACCESS_INFER, "m"), i < 2 ? 0 : E_BUSY);
	}
	six.ip[7]++;
	assert_int_equal(may(r, &c, ACCESS_INFER, "m"), 0);
	rig_down(r);
}

/* More addresses than the table holds: bounded, and those at work stay. */
static void many_addresses(struct rig *r)
{
	struct netaddr at = there;
	struct access_caller who = from(&at, NULL);

	r->opt.remote_keyless = true;
	r->opt.address = (struct access_limits){.concurrent = 1};
	rig_up(r);
	struct asked first = ask_for(r, &who, ACCESS_INFER, "m", 0);
	OK(first.rc);
	for (uint32_t i = 1; i < 3 * ACCESS_GUESTS_MAX; i++) {
		put_u32be(at.ip, i);
		OK(may(r, &who, ACCESS_INFER, "m"));
	}
	assert_int_equal(r->access->n_guests, ACCESS_GUESTS_MAX);
	at = there;
	assert_int_equal(may(r, &who, ACCESS_INFER, "m"), E_BUSY); /* one is under way */
	access_done(&first.grant, -1);
	OK(may(r, &who, ACCESS_INFER, "m"));
	/* When all are at work, newcomers come again later. */
	struct asked *all = calloc(ACCESS_GUESTS_MAX, sizeof *all);
	for (uint32_t i = 0; i < ACCESS_GUESTS_MAX; i++) {
		put_u32be(at.ip, i + 1);
		all[i] = ask_for(r, &who, ACCESS_INFER, "m", 0);
		OK(all[i].rc);
	}
	at = there;
	assert_int_equal(may(r, &who, ACCESS_INFER, "m"), E_UNAVAILABLE);
	for (uint32_t i = 0; i < ACCESS_GUESTS_MAX; i++)
		access_done(&all[i].grant, 10);
	OK(may(r, &who, ACCESS_INFER, "m"));
	free(all);
	rig_down(r);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void count_key(void *arg, const struct access_key *k)
{
	(*(unsigned *)arg)++;
}

static void last_key(void *arg, const struct access_key *k)
{
	*(struct access_key *)arg = *k;
}

/* "Randomness" that makes keys begin with the digits of `arg`. */
static void digits_of(void *arg, void *buf, size_t n)
{
	static const char digits[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const char *id = arg;

	memset(buf, 5, n);
	for (size_t i = 0; id[i]; i++)
		((uint8_t *)buf)[i] = (uint8_t)(strchr(digits, id[i]) - digits);
}

static void keys(struct rig *r)
{
	char text[ACCESS_KEY_TEXT_MAX], other[ACCESS_KEY_TEXT_MAX], saved[ACCESS_KEY_TEXT_MAX];
	struct access_key k = key_named("ci");
	struct err err;

	snprintf(k.models, sizeof k.models, "tiny*,big");
	rig_up(r);
	k.rights = ACCESS_INFER;
	k.expires_ms = world_wall_ms(r->world) + 60000;
	k = made(r, k, text);
	memcpy(saved, text, sizeof saved);
	struct access_caller who = from(&there, saved);
	assert_int_equal(may(r, &who, ACCESS_INFER, "tiny-q4"), 0);
	struct asked a = ask_for(r, &who, ACCESS_INFER, "huge", 0);
	assert_int_equal(a.rc, E_FORBIDDEN);
	assert_string_equal(a.err.param, "model");
	a = ask_for(r, &who, ACCESS_INFER, "", 0);
	assert_int_equal(a.rc, E_FORBIDDEN);
	assert_non_null(strstr(a.err.text, "tiny*,big"));
	a = ask_for(r, &who, ACCESS_EMBED, "big", 0);
	assert_int_equal(a.rc, E_FORBIDDEN);
	assert_non_null(strstr(a.err.text, "embeddings"));
	a = ask_for(r, &who, ACCESS_INFER, NULL, 0);
	OK(a.rc);
	assert_string_equal(a.grant.name, "ci");
	assert_memory_equal(a.grant.owner, "key:", 4);
	assert_string_equal(a.grant.owner + 4, k.id);
	assert_int_equal(access_reserve(&a.grant, "huge", 1, NULL), E_FORBIDDEN);
	OK(access_reserve(&a.grant, "big", 1, NULL));
	assert_true(access_allows_model(&a.grant, "tiny") && !access_allows_model(&a.grant, "x"));
	assert_true(access_may_read(&a.grant, a.grant.owner));
	assert_false(access_may_read(&a.grant, "key:other") || access_may_read(&a.grant, ""));
	access_done(&a.grant, -1);
	access_done(&a.grant, -1);
	/* The right id with another secret, whose checksum fits. */
	key_make(digits_of, k.id, other, text);
	assert_memory_equal(other, saved, 11);
	OK(key_parse(other, text, NULL));
	who.bearer = other;
	a = ask_for(r, &who, ACCESS_INFER, "big", 0);
	assert_int_equal(a.rc, E_UNAUTHORIZED);
	assert_non_null(strstr(a.err.text, "knows no such key"));
	made(r, key_named("other"), other);
	/* Refused when made. */
	struct access_key bad = key_named("ci");
	assert_int_equal(access_key_create(r->access, &bad, text, &err), E_EXISTS);
	bad = key_named("");
	assert_int_equal(access_key_create(r->access, &bad, text, &err), E_INVALID);
	bad = key_named("a\nb");
	assert_int_equal(access_key_create(r->access, &bad, text, &err), E_INVALID);
	bad = key_named("late");
	bad.expires_ms = 1;
	assert_int_equal(access_key_create(r->access, &bad, text, &err), E_INVALID);
	bad = key_named("none");
	bad.rights = 0;
	assert_int_equal(access_key_create(r->access, &bad, text, &err), E_INVALID);
	/* In time it expires; the guard stays. */
	who.bearer = saved;
	OK(access_key_revoke(r->access, "other", NULL));
	assert_int_equal(access_key_revoke(r->access, "nothing", NULL), E_NOT_FOUND);
	OK(fiber_sleep(duration_s(61)));
	a = ask_for(r, &who, ACCESS_INFER, "big", 0);
	assert_int_equal(a.rc, E_UNAUTHORIZED);
	assert_non_null(strstr(a.err.text, "has expired"));
	assert_true(access_guarded(r->access));
	unsigned n = 0;
	access_each_key(r->access, count_key, &n);
	assert_int_equal(n, 2);
	rig_down(r);
}

/* What was made lives on; the secret itself is nowhere. */
static void kept(struct rig *r)
{
	char text[ACCESS_KEY_TEXT_MAX];
	struct access_key k = key_named("laptop"), again = {0};
	struct buf file = BUF_INIT(1 << 20);

	snprintf(k.models, sizeof k.models, "tiny");
	k.limits = (struct access_limits){10, 1000, 3};
	rig_up(r);
	k = made(r, k, text);
	struct access_caller who = from(&there, text);
	OK(may(r, &who, ACCESS_INFER, "tiny"));
	int64_t used = world_wall_ms(r->world);
	OK(fiber_sleep(duration_s(5)));
	rig_again(r);
	access_each_key(r->access, last_key, &again);
	assert_string_equal(again.id, k.id);
	assert_string_equal(again.name, "laptop");
	assert_string_equal(again.models, "tiny");
	assert_int_equal(again.rights, ACCESS_RIGHTS_USUAL);
	assert_memory_equal(&again.limits, &k.limits, sizeof k.limits);
	assert_int_equal(again.created_ms, k.created_ms);
	assert_true(again.used_ms >= used - 1000 && again.used_ms <= used);
	assert_string_equal(access_key_state(r->access, &again), "valid");
	OK(access_key_revoke(r->access, "laptop", NULL));
	rig_again(r);
	access_each_key(r->access, last_key, &again);
	assert_string_equal(access_key_state(r->access, &again), "revoked");
	assert_int_equal(may(r, &who, ACCESS_INFER, "tiny"), E_UNAUTHORIZED);
	made(r, k, text); /* the name is free again */
	rig_down(r);
	OK(file_read(r->world, PATH, 1 << 20, &file, NULL));
	assert_non_null(memmem(file.p, file.n, k.id, 8));
	assert_null(memmem(file.p, file.n, text + 3 + 8, 43));
	assert_null(memmem(file.p, file.n, text + 3 + 8, 10));
	buf_free(&file);
}

static void token_limits(struct rig *r)
{
	char text[ACCESS_KEY_TEXT_MAX];
	struct access_key k = key_named("laptop");

	k.limits = (struct access_limits){.tokens_per_min = 6000, .concurrent = 2};
	rig_up(r);
	made(r, k, text);
	struct access_caller who = from(&there, text);
	struct asked a = ask_for(r, &who, ACCESS_INFER, "m", 2000);
	struct asked b = ask_for(r, &who, ACCESS_INFER, NULL, 0);
	OK(a.rc);
	OK(b.rc);
	struct asked c = ask_for(r, &who, ACCESS_INFER, "m", 0);
	assert_int_equal(c.rc, E_BUSY);
	assert_string_equal(c.grant.limit, "requests at once");
	assert_int_equal(access_reserve(&b.grant, "m", 4001, &c.err), E_BUSY);
	assert_string_equal(b.grant.limit, "tokens per minute");
	assert_true(b.grant.retry_after_ms >= 10 && b.grant.retry_after_ms < 20);
	OK(access_reserve(&b.grant, "m", 4000, &c.err));
	/* It took much more than was thought: a debt, but no more than a minute's. */
	access_done(&a.grant, 100000);
	access_done(&b.grant, 1000);
	c = ask_for(r, &who, ACCESS_INFER, "m", 1);
	assert_int_equal(c.rc, E_BUSY);
	assert_true(c.grant.retry_after_ms > 25000 && c.grant.retry_after_ms <= 60000);
	OK(fiber_sleep(duration_ms(c.grant.retry_after_ms)));
	c = ask_for(r, &who, ACCESS_INFER, "m", 1);
	OK(c.rc);
	access_done(&c.grant, -1);
	/* Who asks without saying how much is held to the debt as well. */
	a = ask_for(r, &who, ACCESS_INFER, NULL, 0);
	OK(a.rc);
	access_done(&a.grant, 50000);
	a = ask_for(r, &who, ACCESS_INFER, NULL, 0);
	OK(a.rc);
	assert_int_equal(access_reserve(&a.grant, "m", 0, NULL), E_BUSY);
	access_done(&a.grant, -1);
	rig_down(r);
}

/* A key that is revoked while a request is under way, and a node that ends. */
static void revoked_under_way(struct rig *r)
{
	char text[ACCESS_KEY_TEXT_MAX];
	struct peer_id id = peer_of(3);
	struct access_peer p = {.id = id, .rights = ACCESS_RIGHTS_USUAL};

	rig_up(r);
	struct access_key k = made(r, key_named("laptop"), text);
	OK(access_peer_trust(r->access, &p, NULL));
	struct access_caller key = from(&there, text), peer = {.peer = &id};
	struct asked a = ask_for(r, &key, ACCESS_INFER, "m", 10);
	struct asked b = ask_for(r, &peer, ACCESS_INFER, "m", 10);
	OK(a.rc);
	OK(b.rc);
	OK(access_key_revoke(r->access, k.id, NULL));
	OK(access_peer_untrust(r->access, &id, NULL));
	assert_int_equal(may(r, &peer, ACCESS_INFER, "m"), E_FORBIDDEN);
	access_done(&a.grant, 100);
	access_done(&b.grant, 100);
	rig_down(r);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static void peers(struct rig *r)
{
	struct peer_id id = peer_of(3);
	struct access_caller stranger = {.peer = &id}, member = {.peer = &id, .member = true};
	struct access_peer p = {
	    .id = id, .name = "attic", .rights = ACCESS_INFER, .models = "tiny"};

	r->opt.member = (struct access_limits){.requests_per_min = 3};
	r->opt.stranger = (struct access_limits){.requests_per_min = 1};
	rig_up(r);
	assert_int_equal(may(r, &stranger, ACCESS_INFER, "m"), E_FORBIDDEN);
	assert_int_equal(may(r, &stranger, 0, NULL), E_FORBIDDEN);
	assert_int_equal(may(r, &member, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &member, ACCESS_MODELS, NULL), 0);
	assert_int_equal(may(r, &member, ACCESS_RECORDS, NULL), E_FORBIDDEN);
	/* Trusted by name: its own rights, member or not. */
	OK(access_peer_trust(r->access, &p, NULL));
	rig_again(r);
	assert_int_equal(may(r, &stranger, ACCESS_INFER, "tiny"), 0);
	assert_int_equal(may(r, &member, ACCESS_INFER, "big"), E_FORBIDDEN);
	assert_int_equal(may(r, &member, ACCESS_EMBED, "tiny"), E_FORBIDDEN);
	struct asked a = ask_for(r, &stranger, ACCESS_INFER, "tiny", 0);
	assert_int_equal(a.grant.source, ACCESS_BY_PEER);
	access_done(&a.grant, -1);
	/* No rights at all: shut out, also as a member. */
	p.rights = 0;
	OK(access_peer_trust(r->access, &p, NULL));
	assert_int_equal(may(r, &member, ACCESS_MODELS, NULL), E_FORBIDDEN);
	assert_false(access_admits_peer(r->access, &id, true));
	rig_again(r);
	assert_false(access_admits_peer(r->access, &id, true));
	OK(access_peer_untrust(r->access, &id, NULL));
	assert_int_equal(access_peer_untrust(r->access, &id, NULL), E_NOT_FOUND);
	rig_again(r);
	assert_int_equal(may(r, &member, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &stranger, ACCESS_INFER, "m"), E_FORBIDDEN);
	rig_down(r);
	r->opt.share = ACCESS_PUBLIC;
	rig_up(r);
	assert_int_equal(may(r, &stranger, ACCESS_INFER, "m"), 0);
	assert_int_equal(may(r, &stranger, ACCESS_INFER, "m"), E_BUSY);
	assert_int_equal(may(r, &stranger, ACCESS_ADMIN, NULL), E_FORBIDDEN);
	rig_down(r);
	r->opt.share = ACCESS_PRIVATE;
	rig_up(r);
	p.rights = ACCESS_RIGHTS_USUAL;
	OK(access_peer_trust(r->access, &p, NULL));
	assert_int_equal(may(r, &member, ACCESS_INFER, "m"), E_FORBIDDEN);
	rig_down(r);
}

/* ---- estimates --------------------------------------------------------------------------------
 */

static void estimates(void **state)
{
	struct inference_message m = {.role = "user", .content = bytes_str("12345678")};
	struct inference_request req = {.messages = &m, .n_messages = 1, .max_tokens = 100};

	assert_int_equal(access_estimate(&req), 102);
	req.choices = 3;
	assert_int_equal(access_estimate(&req), 302);
	req.max_tokens = 0;
	assert_true(access_estimate(&req) > 302);
	req.max_tokens = INT64_MAX;
	assert_true(access_estimate(&req) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_texts),
	    cmocka_unit_test(slips_of_the_pen),
	    cmocka_unit_test(patterns),
	    cmocka_unit_test(rights),
	    cmocka_unit_test(estimates),
	    RIG_TEST(nobody_here_and_there),
	    RIG_TEST(address_limits),
	    RIG_TEST(many_addresses),
	    RIG_TEST(keys),
	    RIG_TEST(kept),
	    RIG_TEST(token_limits),
	    RIG_TEST(revoked_under_way),
	    RIG_TEST(peers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
