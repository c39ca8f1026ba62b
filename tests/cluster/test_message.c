/* Messages between members: what is sent is read back, and anything else a peer may send ends in
 * E_PROTOCOL (or a closed stream), within the limits. */
#include "fiber_test.h"

#include "cluster/cluster_priv.h"

#include <stdio.h>

/* ---- a pipe with raw bytes at one end ------------------------------------------------------- */

enum which {
	HELLO,
	ANSWER,
	STATE
};

/* What the reader of `which` makes of these bytes, followed by the end. */
static int read_bytes(enum which which, const void *p, size_t n, struct member_state *st)
{
	struct stream *a, *b;
	struct hello h;
	struct answer answer;
	struct err err = {0};
	int rc = 0;

	OK(stream_pipe("pipe", n + 1, &a, &b, NULL));
	OK(stream_write(a, p, n, NULL));
	OK(stream_close_write(a, NULL));
	switch (which) {
	case HELLO:
		rc = hello_recv(b, &h, &err);
		break;
	case ANSWER:
		rc = answer_recv(b, &answer, &err);
		break;
	case STATE:
		rc = state_recv(b, st, &err);
		break;
	}
	if (rc != 0 && err.text[0] == '\0')
		fail_msg("an error without a text");
	stream_close(a);
	stream_close(b);
	return rc;
}

static int read_frame(enum which which, const char *json, struct member_state *st)
{
	size_t n = strlen(json);
	uint8_t *frame = malloc(n + 4);

	put_u32be(frame, (uint32_t)n);
	memcpy(frame + 4, json, n);
	int rc = read_bytes(which, frame, n + 4, st);
	free(frame);
	return rc;
}

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* ---- there and back ------------------------------------------------------------------------- */

struct pipe_ends {
	struct stream *a, *b;
};

static struct pipe_ends new_pipe(void)
{
	struct pipe_ends p;

	OK(stream_pipe("pipe", 1 << 20, &p.a, &p.b, NULL));
	return p;
}

static void close_pipe(struct pipe_ends p)
{
	stream_close(p.a);
	stream_close(p.b);
}

static void hellos(void *arg)
{
	struct pipe_ends p = new_pipe();
	struct hello h = {.label = "alpha"}, got;

	memset(h.hash, 0xab, sizeof h.hash);
	memset(h.proof, 0xcd, sizeof h.proof);
	OK(hello_send(p.a, &h, NULL));
	OK(hello_recv(p.b, &got, NULL));
	assert_string_equal(got.label, "alpha");
	assert_false(got.join);
	assert_memory_equal(got.hash, h.hash, sizeof h.hash);
	assert_memory_equal(got.proof, h.proof, sizeof h.proof);

	h.join = true;
	OK(hello_send(p.a, &h, NULL));
	OK(hello_recv(p.b, &got, NULL));
	assert_true(got.join);
	assert_false(got.invited);

	h.invited = true;
	memset(h.invitation, 0xef, sizeof h.invitation);
	OK(hello_send(p.a, &h, NULL));
	OK(hello_recv(p.b, &got, NULL));
	assert_true(got.join && got.invited);
	assert_memory_equal(got.invitation, h.invitation, sizeof h.invitation);
	assert_memory_equal(got.proof, h.proof, sizeof h.proof);
	close_pipe(p);
}

/* An invitation is whole, or the hello is none. */
static void half_invitations(void *arg)
{
	static const char *const bad[] = {
	    "{\"type\":\"hello\",\"join\":true,\"invitation\":\"0001020304050607\"}",
	    "{\"type\":\"hello\",\"join\":true,\"invitation\":\"\",\"proof\":\"" HEX32 "\"}",
	    "{\"type\":\"hello\",\"join\":true,\"invitation\":7,\"proof\":\"" HEX32 "\"}",
	    "{\"type\":\"hello\",\"join\":true,\"invitation\":\"000102030405060708\",\"proof\":"
	    "\"" HEX32 "\"}",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(read_frame(HELLO, bad[i], NULL), E_PROTOCOL);
	OK(read_frame(HELLO,
	    "{\"type\":\"hello\",\"join\":true,\"invitation\":\"0001020304050607\",\"proof\":"
	    "\"" HEX32 "\"}",
	    NULL));
}

static void answers(void *arg)
{
	static const enum answer_kind kinds[] = {
	    ANSWER_OK, ANSWER_REFUSED, ANSWER_PENDING, ANSWER_ADMITTED};
	struct pipe_ends p = new_pipe();

	for (size_t i = 0; i < 4; i++) {
		struct answer a = {
		    .kind = kinds[i], .reason = "because", .id = "c-1", .open = true};
		struct answer got;
		memset(a.key, 0x5a, sizeof a.key);
		OK(answer_send(p.a, &a, NULL));
		OK(answer_recv(p.b, &got, NULL));
		assert_int_equal(got.kind, kinds[i]);
		if (kinds[i] == ANSWER_REFUSED)
			assert_string_equal(got.reason, "because");
		if (kinds[i] == ANSWER_ADMITTED) {
			assert_string_equal(got.id, "c-1");
			assert_true(got.open);
			assert_memory_equal(got.key, a.key, sizeof a.key);
		} else {
			/* Nobody but the admitted ever hears the key. */
			assert_string_equal(got.id, "");
			for (size_t k = 0; k < sizeof got.key; k++)
				assert_int_equal(got.key[k], 0);
		}
	}
	close_pipe(p);
}

static struct peer_id some_peer(uint8_t n)
{
	uint8_t seed[ED25519_SEED_SIZE] = {n};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

static struct multiaddr some_addr(uint8_t n)
{
	struct multiaddr a;
	uint8_t ip[4] = {10, 0, 0, n};

	multiaddr_from_tcp(bytes_of(ip, 4), 4001, &a);
	return a;
}

/* The largest state we ever send fits into what we read. */
static void states(void *arg)
{
	struct pipe_ends p = new_pipe();
	struct member_state *st = calloc(1, sizeof *st), *got = malloc(sizeof *got);
	struct err err = {0};

	st->n_models = MEMBER_MODELS_MAX;
	for (size_t i = 0; i < st->n_models; i++) {
		memset(st->models[i].id, 'a' + (int)(i % 26), MODEL_ID_MAX - 1);
		st->models[i].created_s = (int64_t)i;
		st->models[i].n_ctx = 4096;
		st->models[i].abilities = MODEL_CHAT | MODEL_VISION;
		memset(st->models[i].hash, 'a', MODEL_HASH_MAX - 1);
		st->models[i].ready = i % 2 != 0;
	}
	st->running = 3;
	st->queued = 7;
	st->n_addrs = MEMBER_ADDRS_MAX;
	for (uint8_t i = 0; i < MEMBER_ADDRS_MAX; i++)
		st->addrs[i] = some_addr(i);
	st->n_peers = MEMBER_PEERS_MAX;
	for (uint8_t i = 0; i < MEMBER_PEERS_MAX; i++) {
		st->peers[i].id = some_peer(i);
		st->peers[i].n_addrs = MEMBER_ADDRS_MAX;
		for (uint8_t k = 0; k < MEMBER_ADDRS_MAX; k++)
			st->peers[i].addrs[k] = some_addr(k);
	}
	OK(state_send(p.a, st, &err));
	OK(state_recv(p.b, got, &err));
	assert_int_equal(got->n_models, st->n_models);
	assert_int_equal(got->running, 3);
	assert_int_equal(got->queued, 7);
	assert_int_equal(got->n_peers, st->n_peers);
	assert_string_equal(got->models[63].id, st->models[63].id);
	assert_int_equal(got->models[63].n_ctx, 4096);
	assert_int_equal(got->models[63].abilities, MODEL_CHAT | MODEL_VISION);
	assert_string_equal(got->models[63].hash, st->models[63].hash);
	assert_true(got->models[63].ready);
	assert_false(got->models[62].ready);
	assert_true(multiaddr_equal(&got->addrs[7], &st->addrs[7]));
	assert_true(peer_id_equal(&got->peers[63].id, &st->peers[63].id));
	assert_int_equal(got->peers[63].n_addrs, MEMBER_ADDRS_MAX);
	assert_true(multiaddr_equal(&got->peers[63].addrs[0], &st->peers[63].addrs[0]));
	free(st);
	free(got);
	close_pipe(p);
}

/* ---- what is no message --------------------------------------------------------------------- */

static void frames(void *arg)
{
	static const uint8_t zero[4] = {0};
	uint8_t huge[4];
	struct member_state *st = malloc(sizeof *st);

	assert_int_equal(read_bytes(HELLO, zero, 4, st), E_PROTOCOL);
	put_u32be(huge, MEMBER_FRAME_MAX + 1);
	assert_int_equal(read_bytes(HELLO, huge, 4, st), E_TOO_LARGE);
	put_u32be(huge, UINT32_MAX);
	assert_int_equal(read_bytes(STATE, huge, 4, st), E_TOO_LARGE);
	/* Cut off within the length, and within the message. */
	assert_int_equal(read_bytes(HELLO, zero, 3, st), E_CLOSED);
	assert_int_equal(read_bytes(HELLO, "\0\0\0\5{", 5, st), E_CLOSED);
	free(st);
}

static void malformed(void *arg)
{
	static const char *const everywhere[] = {"[]", "\"hello\"", "x", "{", "{}", "{\"type\":1}",
	    "{\"type\":\"nonsense\"}", "{\"type\":\"hello\",\"type\":\"hello\"}",
	    "{\"a\":\"\xff\"}", "[[[[[[[[[[[[[[[[[[[["};
	static const char *const hellos[] = {
	    "{\"type\":\"ok\"}",
	    "{\"type\":\"hello\"}",
	    "{\"type\":\"hello\",\"cluster\":\"" HEX32 "\"}",
	    "{\"type\":\"hello\",\"proof\":\"" HEX32 "\"}",
	    "{\"type\":\"hello\",\"cluster\":\"" HEX32 "\",\"proof\":\"00\"}",
	    "{\"type\":\"hello\",\"cluster\":\"" HEX32 "\",\"proof\":\"" HEX32 "00\"}",
	    "{\"type\":\"hello\",\"cluster\":\"zz\",\"proof\":\"" HEX32 "\"}",
	    "{\"type\":\"hello\",\"cluster\":7,\"proof\":[]}",
	    "{\"type\":\"hello\",\"join\":\"yes\"}",
	};
	static const char *const answers[] = {
	    "{\"type\":\"hello\"}",
	    "{\"type\":\"admitted\"}",
	    "{\"type\":\"admitted\",\"id\":\"c\"}",
	    "{\"type\":\"admitted\",\"key\":\"" HEX32 "\"}",
	    "{\"type\":\"admitted\",\"id\":\"\",\"key\":\"" HEX32 "\"}",
	    "{\"type\":\"admitted\",\"id\":\"c\",\"key\":\"" HEX32 "f\"}",
	};
	struct member_state *st = malloc(sizeof *st);

	for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
		for (int which = HELLO; which <= STATE; which++)
			if (read_frame((enum which)which, everywhere[i], st) != E_PROTOCOL)
				fail_msg("taken: %s", everywhere[i]);
	for (size_t i = 0; i < sizeof hellos / sizeof *hellos; i++)
		if (read_frame(HELLO, hellos[i], st) != E_PROTOCOL)
			fail_msg("taken: %s", hellos[i]);
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (read_frame(ANSWER, answers[i], st) != E_PROTOCOL)
			fail_msg("taken: %s", answers[i]);
	assert_int_equal(read_frame(STATE, "{\"type\":\"ok\"}", st), E_PROTOCOL);
	free(st);
}

/* A cluster's id that is too long is refused, not cut to another cluster's. */
static void long_id(void *arg)
{
	char json[512], id[200];

	memset(id, 'x', sizeof id);
	id[sizeof id - 1] = '\0';
	snprintf(
	    json, sizeof json, "{\"type\":\"admitted\",\"id\":\"%s\",\"key\":\"" HEX32 "\"}", id);
	assert_int_equal(read_frame(ANSWER, json, NULL), E_PROTOCOL);
}

/* One bad element does not spoil the others; members of later versions are ignored. */
static void lenient(void *arg)
{
	struct member_state *st = malloc(sizeof *st);

	OK(read_frame(STATE,
	    "{\"type\":\"state\",\"future\":{\"a\":[1]},\"running\":-5,\"queued\":\"x\","
	    "\"models\":[1,{},{\"id\":\"\"},{\"id\":\"evil\\u001b[2J\"},{\"id\":\"good\",\"n_ctx\":"
	    "-1}],"
	    "\"addrs\":[\"nonsense\",5,\"/ip4/10.0.0.1/tcp/4001\",\"/quic-v9\"],"
	    "\"peers\":[{},{\"id\":\"x\"},{\"id\":7},"
	    "{\"id\":\"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN\"}]}",
	    st));
	assert_int_equal(st->n_models, 1);
	assert_string_equal(st->models[0].id, "good");
	assert_false(st->models[0].ready);
	assert_int_equal(st->n_addrs, 1);
	assert_int_equal(st->n_peers, 1);
	assert_int_equal(st->peers[0].n_addrs, 0);
	OK(read_frame(STATE, "{\"type\":\"state\",\"models\":{},\"peers\":3,\"addrs\":null}", st));
	assert_int_equal(st->n_models + st->n_peers + st->n_addrs, 0);
	free(st);
}

/* More than the limits: the first ones count. */
static void too_many(void *arg)
{
	struct member_state *st = malloc(sizeof *st);
	struct buf b = BUF_INIT(MEMBER_FRAME_MAX);

	buf_str(&b, "{\"type\":\"state\",\"models\":[");
	for (int i = 0; i < MEMBER_MODELS_MAX + 9; i++)
		buf_printf(&b, "%s{\"id\":\"m%d\"}", i ? "," : "", i);
	buf_str(&b, "],\"addrs\":[");
	for (int i = 0; i < MEMBER_ADDRS_MAX + 9; i++)
		buf_printf(&b, "%s\"/ip4/10.0.0.%d/tcp/1\"", i ? "," : "", i + 1);
	buf_str(&b, "],\"peers\":[");
	for (int i = 0; i < MEMBER_PEERS_MAX + 9; i++) {
		char text[PEER_ID_TEXT_MAX];
		struct peer_id id = some_peer((uint8_t)i);
		peer_id_print(&id, text);
		buf_printf(&b, "%s{\"id\":\"%s\"}", i ? "," : "", text);
	}
	buf_str(&b, "]}");
	OK(read_frame(STATE, buf_cstr(&b), st));
	assert_int_equal(st->n_models, MEMBER_MODELS_MAX);
	assert_int_equal(st->n_addrs, MEMBER_ADDRS_MAX);
	assert_int_equal(st->n_peers, MEMBER_PEERS_MAX);
	assert_string_equal(st->models[63].id, "m63");
	buf_free(&b);
	free(st);
}

/* What a peer says of itself cannot move a terminal's cursor. */
static void control_characters(void *arg)
{
	struct pipe_ends p = new_pipe();
	struct hello h = {.join = true, .label = "a\x1b[31mb"}, got;

	OK(hello_send(p.a, &h, NULL));
	OK(hello_recv(p.b, &got, NULL));
	assert_string_equal(got.label, "a?[31mb");
	struct answer a = {.kind = ANSWER_REFUSED, .reason = "no\nno"}, back;
	OK(answer_send(p.a, &a, NULL));
	OK(answer_recv(p.b, &back, NULL));
	assert_string_equal(back.reason, "no?no");
	close_pipe(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(hellos), FIBER_TEST(half_invitations),
	    FIBER_TEST(answers), FIBER_TEST(states), FIBER_TEST(frames), FIBER_TEST(malformed),
	    FIBER_TEST(long_id), FIBER_TEST(lenient), FIBER_TEST(too_many),
	    FIBER_TEST(control_characters)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
