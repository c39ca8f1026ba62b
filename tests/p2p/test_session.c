/* Sessions against a peer made of raw frames, the multiplexer over a pipe, and the handshake with a
 * peer that does not know inlined muxers. */
#include "host_help.h"

#include "p2p/mux.h"
#include "p2p/negotiate_priv.h"
#include "p2p/session_priv.h"
#include "p2p/yamux_priv.h"

/* ---- raw frames ---------------------------------------------------------------------------- */

/* A session in a fiber of its own, whose peer is the test. */
struct rig {
	struct stream *wire; /* our end of the pipe */
	struct session *session;
	struct scope scope; /* of the session's fiber */
	struct stream *accepted[8];
	size_t n_accepted;
	bool ended;
	int rc;
	struct err why;
};

static int take_stream(void *arg, struct stream *s)
{
	struct rig *r = arg;

	if (r->n_accepted == sizeof r->accepted / sizeof r->accepted[0])
		return E_LIMIT;
	r->accepted[r->n_accepted++] = s;
	return 0;
}

static void session_fiber(void *arg)
{
	struct rig *r = arg;

	r->rc = session_run(r->session, &r->why);
	r->ended = true;
}

static void rig_start(struct rig *r, size_t pipe_room, bool dialer)
{
	struct session_options opt = {
	    .dialer = dialer,
	    .max_in = 100,
	    .max_out = 100,
	    .max_early = 100,
	    .max_buffered = 8 << 20,
	    .ping_every = duration_s(15),
	    .ping_answer = duration_s(10),
	    .on_stream = take_stream,
	    .arg = r,
	    .remote = "raw peer",
	};
	struct stream *carrier;
	struct secure *channel;

	*r = (struct rig){0};
	OK(stream_pipe("pipe", pipe_room, &carrier, &r->wire, NULL));
	OK(secure_new_plain(carrier, &channel, NULL));
	OK(session_new(channel, &opt, &r->session, NULL));
	scope_init(&r->scope, NULL);
	OK(fiber_spawn(&r->scope, "session", session_fiber, r, NULL));
}

static void rig_end(struct rig *r)
{
	eventually(5, r->ended);
	for (size_t i = 0; i < r->n_accepted; i++)
		stream_close(r->accepted[i]);
	scope_close(&r->scope);
	session_release(r->session);
	stream_close(r->wire);
}

static void put_frame(
    struct rig *r, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length, size_t body)
{
	struct yamux_header h = {type, (uint16_t)flags, id, length};
	uint8_t *frame = calloc(1, YAMUX_HEADER + body);

	assert_non_null(frame);
	yamux_header_encode(&h, frame);
	/* The session may end, and with it the pipe, in the middle of a long body. */
	(void)!stream_write(r->wire, frame, YAMUX_HEADER + body, NULL);
	free(frame);
}

/* Reads frames, throwing bodies away, until one of this type. */
static struct yamux_header next_frame(struct rig *r, enum yamux_type type)
{
	struct yamux_header h = {0};
	uint8_t header[YAMUX_HEADER], byte;

	do {
		OK(stream_read_full(r->wire, header, sizeof header, NULL));
		OK(yamux_header_decode(header, &h, NULL));
		for (uint32_t i = 0; h.type == YAMUX_DATA && i < h.length; i++)
			OK(stream_read_full(r->wire, &byte, 1, NULL));
	} while (h.type != type);
	return h;
}

static void expect_violation(struct rig *r)
{
	struct yamux_header h = next_frame(r, YAMUX_GOAWAY);

	assert_int_equal(h.length, YAMUX_PROTOCOL_ERROR);
	eventually(5, r->ended);
	assert_int_equal(r->rc, E_PROTOCOL);
	assert_true(r->why.text[0] != 0);
}

static void story_violations(struct net *n)
{
	struct rig r;
	uint8_t byte;

	rig_start(&r, 1 << 20, false);
	put_frame(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0, 0);
	put_frame(&r, YAMUX_DATA, 0, 1, YAMUX_INITIAL_WINDOW + 1, 0);
	expect_violation(&r);
	assert_int_equal(r.n_accepted, 1);
	assert_int_equal(stream_read(r.accepted[0], &byte, 1, NULL), E_RESET);
	rig_end(&r);

	rig_start(&r, 1 << 20, false); /* nobody reads: the window runs dry, in small frames */
	put_frame(&r, YAMUX_WINDOW, YAMUX_SYN, 1, 0, 0);
	for (int i = 0; i < 17; i++)
		put_frame(&r, YAMUX_DATA, 0, 1, 16384, 16384);
	expect_violation(&r);
	rig_end(&r);

	rig_start(&r, 1 << 20, true); /* a dialler's peer opens even ids */
	put_frame(&r, YAMUX_DATA, YAMUX_SYN, 3, 0, 0);
	expect_violation(&r);
	rig_end(&r);

	rig_start(&r, 1 << 20, false);
	for (int i = 0; i < 1000; i++)
		put_frame(&r, YAMUX_PING, YAMUX_SYN, 0, 7, 0);
	expect_violation(&r);
	rig_end(&r);
}

static void test_violations_end_the_session(void **state)
{
	net_run(40, duration_ms(1), story_violations);
}

static void story_cut_short(struct net *n)
{
	struct rig r;
	uint8_t bytes[8];

	rig_start(&r, 1 << 20, false);
	put_frame(&r, YAMUX_DATA, YAMUX_SYN | YAMUX_FIN, 1, 5, 5);
	put_frame(&r, YAMUX_DATA, YAMUX_SYN, 3, 5, 3); /* two bytes are missing */
	stream_close(r.wire);
	r.wire = NULL;
	eventually(5, r.ended);
	assert_int_equal(r.rc, E_CLOSED);
	assert_int_equal(r.n_accepted, 2);
	/* What came whole is read to its end; what did not, to what there is. */
	OK(stream_read_full(r.accepted[0], bytes, 5, NULL));
	assert_int_equal(stream_read(r.accepted[0], bytes, 1, NULL), 0);
	OK(stream_read_full(r.accepted[1], bytes, 3, NULL));
	assert_int_equal(stream_read(r.accepted[1], bytes, 1, NULL), E_RESET);
	rig_end(&r);
}

static void test_an_end_inside_a_frame(void **state)
{
	net_run(41, duration_ms(1), story_cut_short);
}

/* A peer that asks and never reads: what we owe it is bounded, and the keepalive ends it. */
static void story_never_reads(struct net *n)
{
	struct rig r;
	struct instant begin = rt_now();

	rig_start(&r, 64, false);
	for (uint32_t i = 0; i < 2000 && !r.ended; i++) {
		struct scope sc;
		scope_open(&sc, duration_ms(10));
		put_frame(&r, YAMUX_WINDOW, YAMUX_SYN, 2 * i + 1, 0, 0);
		scope_close(&sc);
		session_tick(r.session);
	}
	while (!r.ended && instant_since(rt_now(), begin).ns < duration_s(100).ns) {
		session_tick(r.session);
		OK(fiber_sleep(duration_s(1)));
	}
	assert_true(r.ended);
	assert_true(r.rc == E_TIMEOUT || r.rc == E_LIMIT);
	rig_end(&r);
}

static void test_a_peer_that_never_reads(void **state)
{
	net_run(42, duration_ms(1), story_never_reads);
}

static void story_goaway(struct net *n)
{
	struct rig r;
	struct stream *s, *t;
	uint8_t byte = 1;

	rig_start(&r, 1 << 20, true);
	OK(session_open(r.session, &s, NULL));
	OK(stream_write(s, "x", 1, NULL));
	struct yamux_header h = next_frame(&r, YAMUX_DATA);
	assert_int_equal(h.flags, YAMUX_SYN); /* the stream opens with its first bytes */
	put_frame(&r, YAMUX_GOAWAY, 0, 0, YAMUX_NORMAL, 0);
	OK(fiber_sleep(duration_ms(1)));
	assert_false(session_usable(r.session));
	assert_int_equal(session_open(r.session, &t, NULL), E_CLOSED);
	OK(stream_write(s, "y", 1, NULL)); /* open streams go on */
	put_frame(&r, YAMUX_DATA, YAMUX_ACK, h.id, 1, 1);
	assert_int_equal(stream_read(s, &byte, 1, NULL), 1);
	stream_close(s);
	stream_reset(r.wire, E_RESET);
	rig_end(&r);
}

static void test_goaway_lets_streams_finish(void **state)
{
	net_run(43, duration_ms(1), story_goaway);
}

#define FLOOD ((size_t)4 << 20)

struct watcher {
	struct rig *r;
	unsigned turns;
};

static void watch_fiber(void *arg)
{
	struct watcher *w = arg;
	struct session_stats st;

	do {
		w->turns++;
		fiber_yield();
		session_stats(w->r->session, &st);
	} while (st.bytes_in < FLOOD / YAMUX_HEADER * YAMUX_HEADER);
}

/* Frames that cost nothing to send, as fast as they can be read: others have their turns between
 * them. */
static void story_flood(struct net *n)
{
	struct rig r;
	struct watcher w = {.r = &r};
	struct yamux_header h = {YAMUX_WINDOW, 0, 77, 1};
	uint8_t *flood = malloc(FLOOD);
	struct scope sc;

	rig_start(&r, FLOOD, true);
	OK(fiber_sleep(duration_ms(1)));
	for (size_t at = 0; at + YAMUX_HEADER <= FLOOD; at += YAMUX_HEADER)
		yamux_header_encode(&h, flood + at);
	OK(stream_write(r.wire, flood, FLOOD / YAMUX_HEADER * YAMUX_HEADER, NULL));
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "watcher", watch_fiber, &w, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_true(w.turns >= FLOOD / (128 << 10));
	free(flood);
	stream_reset(r.wire, E_RESET);
	rig_end(&r);
}

static void test_a_flood_leaves_turns_to_others(void **state)
{
	net_run(48, duration_ms(1), story_flood);
}

static void give_up_fiber(void *arg)
{
	struct stream *s = arg;
	uint8_t byte;

	assert_int_equal(stream_read(s, &byte, 1, NULL), E_CANCELLED);
	stream_close(s);
}

/* A session that is cancelled says goodbye, with and without a writer; a handler that gives up
 * thereby does not look as if it had come to its end. */
static void story_goodbye(struct net *n)
{
	for (int quiet = 0; quiet < 2; quiet++) {
		struct rig r;
		struct stream *s;

		rig_start(&r, 1 << 20, true);
		OK(session_open(r.session, &s, NULL));
		OK(stream_write(s, "x", 1, NULL));
		OK(fiber_spawn(&r.scope, "handler", give_up_fiber, s, NULL));
		OK(fiber_sleep(duration_ms(quiet ? 3000 : 10)));
		assert_int_equal(next_frame(&r, YAMUX_DATA).flags, YAMUX_SYN);
		scope_cancel(&r.scope);
		uint8_t raw[YAMUX_HEADER];
		struct yamux_header h;
		OK(stream_read_full(r.wire, raw, sizeof raw, NULL));
		OK(yamux_header_decode(raw, &h, NULL));
		assert_int_equal(h.type, YAMUX_GOAWAY);
		assert_int_equal(h.length, YAMUX_NORMAL);
		eventually(1, r.ended);
		assert_int_equal(r.rc, E_CANCELLED);
		rig_end(&r);
	}
}

static void test_a_cancelled_session_says_goodbye(void **state)
{
	net_run(49, duration_ms(1), story_goodbye);
}

/* Two writers with much to say and one small message: nobody starves. */
static void big_writer(void *arg)
{
	static const uint8_t zeroes[200000];
	int rc = stream_write(arg, zeroes, sizeof zeroes, NULL);

	assert_true(rc == 0 || rc == E_RESET); /* the test cuts the wire in the end */
}

static void story_fair(struct net *n)
{
	struct rig r;
	struct stream *big[2], *small;
	struct yamux_header h;
	uint32_t before = 0;
	uint8_t header[YAMUX_HEADER];
	static uint8_t body[65536];

	rig_start(&r, 1024, true);
	for (int i = 0; i < 2; i++) {
		OK(session_open(r.session, &big[i], NULL));
		OK(fiber_spawn(NULL, "big", big_writer, big[i], NULL));
	}
	OK(session_open(r.session, &small, NULL));
	OK(fiber_sleep(duration_ms(1))); /* the queue is full of big frames now */
	OK(fiber_spawn(NULL, "small", big_writer, small, NULL));
	for (;;) {
		OK(stream_read_full(r.wire, header, sizeof header, NULL));
		OK(yamux_header_decode(header, &h, NULL));
		assert_true(h.length <= NOISE_PLAIN_MAX);
		if (h.type != YAMUX_DATA)
			continue;
		OK(stream_read_full(r.wire, body, h.length, NULL));
		if (h.id == 5)
			break;
		before += h.length;
	}
	/* Not behind all 400,000 bytes of the others: behind what was queued, and a turn each. */
	assert_true(before < 330000);
	stream_reset(r.wire, E_RESET);
	eventually(5, r.ended);
	OK(fiber_sleep(duration_ms(1)));
	for (int i = 0; i < 2; i++)
		stream_close(big[i]);
	stream_close(small);
	rig_end(&r);
}

static void test_writers_take_turns(void **state)
{
	net_run(44, duration_ms(1), story_fair);
}

/* ---- the multiplexer ----------------------------------------------------------------------- */

static void upcase(void *arg, struct stream *s)
{
	unsigned *served = arg;
	uint8_t byte;

	++*served;
	while (stream_read(s, &byte, 1, NULL) == 1) {
		byte = (uint8_t)(byte - 32);
		if (stream_write(s, &byte, 1, NULL) != 0)
			break;
	}
	stream_close(s);
}

static void story_mux(struct net *n)
{
	struct stream *left, *right, *s[20], *t;
	struct mux *a, *b;
	unsigned served = 0;
	uint8_t back[3];

	OK(stream_pipe("engine", 4096, &left, &right, NULL));
	OK(mux_new(left, MUX_DIALER, NULL, NULL, &a, NULL));
	OK(mux_new(right, MUX_LISTENER, upcase, &served, &b, NULL));
	for (int i = 0; i < 20; i++) {
		OK(mux_open(a, &s[i], NULL));
		OK(stream_write(s[i], "abc", 3, NULL));
	}
	for (int i = 0; i < 20; i++) {
		OK(stream_close_write(s[i], NULL));
		OK(stream_read_full(s[i], back, 3, NULL));
		assert_memory_equal(back, "ABC", 3);
		assert_int_equal(stream_read(s[i], back, 1, NULL), 0);
		stream_close(s[i]);
	}
	assert_int_equal(served, 20);
	/* The dialling side serves nothing: streams to it are reset. */
	OK(mux_open(b, &t, NULL));
	OK(stream_write(t, "x", 1, NULL));
	assert_int_equal(stream_read(t, back, 1, NULL), E_RESET);
	stream_close(t);
	OK(mux_open(a, &t, NULL));
	OK(stream_write(t, "x", 1, NULL));
	mux_close(b);
	assert_int_equal(mux_wait(a, NULL), E_CLOSED);
	assert_int_equal(mux_open(a, &s[0], NULL), E_CLOSED);
	assert_true(stream_read(t, back, 1, NULL) == E_RESET);
	mux_close(a);
	stream_close(t);
}

static void test_a_mux_over_a_pipe(void **state)
{
	net_run(45, duration_ms(1), story_mux);
}

/* ---- a peer without inlined muxers --------------------------------------------------------- */

static void noise_message(struct noise_handshake *hs, struct stream *s, bool send)
{
	struct buf b = BUF_INIT(NOISE_RECORD_MAX);
	uint8_t prefix[2];

	if (send) {
		OK(noise_handshake_send(hs, &b, NULL));
		OK(stream_write(s, b.p, b.n, NULL));
	} else {
		OK(stream_read_full(s, prefix, 2, NULL));
		size_t n = get_u16be(prefix);
		OK(buf_reserve(&b, n));
		OK(stream_read_full(s, b.p, n, NULL));
		OK(noise_handshake_receive(hs, bytes_of(b.p, n), NULL));
	}
	buf_free(&b);
}

static void story_plain_negotiation(struct net *n)
{
	struct node a, b;
	struct p2p_options opt;
	struct multiaddr listen;
	struct netaddr at;
	struct stream *raw;
	struct noise_handshake *hs;
	struct noise_result keys;
	struct secure *channel;
	static const char *const noise[] = {NOISE_PROTOCOL};
	static const char *const yamux[] = {"/mplex/6.7.0", YAMUX_PROTOCOL};
	uint8_t ping[YAMUX_HEADER];
	size_t chosen;

	node_options(n, "a", &a, &opt, &listen); /* never started: the test plays it */
	node_new(n, "b", &b);
	universe_host_addr(b.world, &at);
	at.port = NET_PORT;
	OK(world_tcp_dial(a.world, &at, &raw, NULL));
	OK(negotiate_dial(raw, noise, 1, &chosen, NULL));
	struct noise_config config = {
	    .role = NOISE_INITIATOR, .identity = &a.id, .expected = &b.id.peer_id};
	world_random(a.world, config.static_secret, sizeof config.static_secret);
	world_random(a.world, config.ephemeral_secret, sizeof config.ephemeral_secret);
	OK(noise_handshake_new(&config, &hs, NULL));
	while (noise_handshake_turn(hs) != NOISE_DONE)
		noise_message(hs, raw, noise_handshake_turn(hs) == NOISE_SEND);
	OK(noise_handshake_finish(hs, &keys, NULL));
	noise_handshake_free(hs);
	assert_null(keys.muxer);
	OK(secure_new(raw, &keys, bytes_of(NULL, 0), &channel, NULL));
	OK(negotiate_dial(secure_stream(channel), yamux, 2, &chosen, NULL));
	assert_int_equal(chosen, 1);
	/* b asks who we are: its first frame opens a stream with an even id. */
	OK(stream_read_full(secure_stream(channel), ping, sizeof ping, NULL));
	eventually(1, b.connected == 1);
	secure_close(channel);
	eventually(2, b.disconnected == 1);
	node_close(&b);
}

static void test_a_muxer_agreed_inside_the_channel(void **state)
{
	net_run(46, duration_ms(1), story_plain_negotiation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_violations_end_the_session),
	    cmocka_unit_test(test_an_end_inside_a_frame),
	    cmocka_unit_test(test_a_peer_that_never_reads),
	    cmocka_unit_test(test_goaway_lets_streams_finish),
	    cmocka_unit_test(test_a_cancelled_session_says_goodbye),
	    cmocka_unit_test(test_a_flood_leaves_turns_to_others),
	    cmocka_unit_test(test_writers_take_turns),
	    cmocka_unit_test(test_a_mux_over_a_pipe),
	    cmocka_unit_test(test_a_muxer_agreed_inside_the_channel),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
