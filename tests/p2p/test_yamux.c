/* Yamux, rule by rule: one core, hand-made headers. The property tests run two cores together. */
#include "p2p/yamux_priv.h"
#include "suites.h"

struct rig {
	struct yamux_core core;
	struct yamux_event ev;
	struct err err;
	struct instant now;
};

/* A client, so the peer opens even ids. */
static void rig_init(struct rig *r)
{
	struct yamux_config config = yamux_config_default(YAMUX_CLIENT);

	*r = (struct rig){0};
	config.max_inbound = 4;
	config.max_unacked = 3;
	config.max_orphans = 2;
	config.max_buffered = 1 << 20;
	yamux_init(&r->core, &config, r->now);
}

static int receive(
    struct rig *r, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length)
{
	struct yamux_header h = {type, (uint16_t)flags, id, length};
	uint8_t raw[YAMUX_HEADER];

	yamux_header_encode(&h, raw);
	return yamux_receive(&r->core, raw, r->now, &r->ev, &r->err);
}

static struct yamux_stream *opened(struct rig *r, uint32_t id)
{
	assert_int_equal(receive(r, YAMUX_WINDOW, YAMUX_SYN, id, 0), 0);
	assert_int_equal(r->ev.what, YAMUX_EV_OPENED);
	assert_non_null(r->ev.stream);
	return r->ev.stream;
}

static void check_frame(
    const uint8_t *raw, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length)
{
	struct yamux_header h;

	assert_int_equal(yamux_header_decode(raw, &h, NULL), 0);
	assert_int_equal(h.type, type);
	assert_int_equal(h.flags, flags);
	assert_int_equal(h.id, id);
	assert_int_equal(h.length, length);
}

static void check_violation(struct rig *r, int rc)
{
	assert_int_equal(rc, E_PROTOCOL);
	assert_int_equal(r->ev.what, 0);
	assert_null(r->ev.stream);
	assert_int_equal(r->ev.reply_n, YAMUX_HEADER);
	check_frame(r->ev.reply, YAMUX_GOAWAY, 0, 0, YAMUX_PROTOCOL_ERROR);
}

static void headers(void **state)
{
	static const char *const bad[] = {
	    "010000000000000100000000", /* version */
	    "000400000000000100000000", /* type */
	    "000000100000000100000000", /* flag */
	    "000000010000000000000000", /* data on the session */
	    "000100010000000000000000", /* window on the session */
	    "000200010000000100000000", /* ping on a stream */
	    "000200000000000000000000", /* ping without question or answer */
	    "000200030000000000000000", /* with both */
	    "000300000000000100000000", /* goaway on a stream */
	};
	struct yamux_header h = {YAMUX_DATA, YAMUX_SYN | YAMUX_FIN, 0x01020304, 0x05060708}, back;
	uint8_t raw[YAMUX_HEADER];

	yamux_header_encode(&h, raw);
	assert_memory_equal(raw, unhex(0, "000000050102030405060708").p, YAMUX_HEADER);
	assert_int_equal(yamux_header_decode(raw, &back, NULL), 0);
	assert_true(back.type == h.type && back.flags == h.flags && back.id == h.id);
	assert_int_equal(back.length, h.length);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(yamux_header_decode(unhex(0, bad[i]).p, &back, NULL), E_PROTOCOL);
}

static void opening_a_stream(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s, *t;
	struct rig r;
	bool made;

	rig_init(&r);
	assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
	assert_int_equal(s->id, 1);
	assert_true(yamux_make_window(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_SYN, 1, 0);
	assert_false(yamux_make_window(&r.core, s, raw));
	/* SYN on data; FIN along with it */
	assert_int_equal(yamux_open(&r.core, &t, NULL), 0);
	assert_int_equal(t->id, 3);
	assert_int_equal(yamux_make_data(&r.core, t, 5, YAMUX_LAST, raw, &made), 5);
	assert_true(made);
	check_frame(raw, YAMUX_DATA, YAMUX_SYN | YAMUX_FIN, 3, 5);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_ACK, 1, 0), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_ACKED);
	assert_ptr_equal(r.ev.stream, s);
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_ACK | YAMUX_FIN, 3, 7), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_ACKED | YAMUX_EV_FIN);
	assert_true(r.ev.keep_body && r.ev.body == 7 && t->finished);
	assert_false(yamux_release(&r.core, t, raw));
	assert_true(yamux_release(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_RST, 1, 0);
	assert_int_equal(r.core.buffered, 0);
	yamux_free(&r.core);
}

static void accepting_a_stream(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;
	bool made;

	rig_init(&r);
	s = opened(&r, 2);
	assert_true(yamux_make_window(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_ACK, 2, 0);
	/* SYN with data and FIN in one frame; ACK travels with our data */
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_SYN | YAMUX_FIN, 4, 3), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_OPENED | YAMUX_EV_FIN);
	assert_true(r.ev.keep_body && r.ev.body == 3);
	assert_int_equal(yamux_make_data(&r.core, r.ev.stream, 1, YAMUX_MORE, raw, &made), 1);
	check_frame(raw, YAMUX_DATA, YAMUX_ACK, 4, 1);
	assert_true(yamux_release(&r.core, r.ev.stream, raw));
	/* a window beyond the initial one comes with SYN */
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_SYN, 6, 1000), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_OPENED | YAMUX_EV_WINDOW);
	assert_int_equal(r.ev.stream->send_window, YAMUX_INITIAL_WINDOW + 1000);
	assert_true(yamux_release(&r.core, r.ev.stream, raw));
	assert_true(yamux_release(&r.core, s, raw));
	assert_int_equal(r.core.inbound, 0);
	yamux_free(&r.core);
}

static void violations_end_the_session(void **state)
{
	struct yamux_stream *s;
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	s = opened(&r, 2);
	check_violation(&r, receive(&r, YAMUX_WINDOW, YAMUX_SYN, 2, 0)); /* twice */
	check_violation(&r, receive(&r, YAMUX_WINDOW, YAMUX_SYN, 7, 0)); /* our ids */
	check_violation(&r, receive(&r, YAMUX_DATA, 0, 2, YAMUX_INITIAL_WINDOW + 1));
	check_violation(&r, receive(&r, YAMUX_DATA, YAMUX_SYN, 8, YAMUX_INITIAL_WINDOW + 1));
	check_violation(&r, receive(&r, YAMUX_DATA, 0, 1000, 39u << 20)); /* unknown stream */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, YAMUX_INITIAL_WINDOW), 0);
	check_violation(&r, receive(&r, YAMUX_DATA, 0, 2, 1));
	assert_true(r.core.goaway_sent);
	yamux_release(&r.core, s, raw);
	yamux_free(&r.core);
}

static void unknown_streams_cost_their_body(void **state)
{
	struct rig r;

	rig_init(&r);
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 1000), 0);
	assert_true(r.ev.body == 1000 && !r.ev.keep_body && !r.ev.stream && r.ev.reply_n == 0);
	assert_int_equal(receive(&r, YAMUX_WINDOW, 0, 3, 1000), 0);
	assert_true(r.ev.body == 0 && r.ev.reply_n == 0);
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_RST, 5, 0), 0);
	assert_int_equal(r.ev.reply_n, 0); /* a reset is never answered */
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_SYN | YAMUX_RST, 6, 0), 0);
	assert_true(!r.ev.stream && r.ev.reply_n == 0);
	yamux_free(&r.core);
}

static void windows(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;
	bool made;

	rig_init(&r);
	s = opened(&r, 2);
	assert_true(yamux_make_window(&r.core, s, raw));
	/* sending: frames of at most max_frame until the window is empty */
	for (uint32_t sent = 0; sent < YAMUX_INITIAL_WINDOW; sent += 32u << 10)
		assert_int_equal(
		    yamux_make_data(&r.core, s, 1 << 20, YAMUX_LAST, raw, &made), 32u << 10);
	assert_int_equal(yamux_make_data(&r.core, s, 1, YAMUX_LAST, raw, &made), 0);
	assert_false(made);
	assert_int_equal(receive(&r, YAMUX_WINDOW, 0, 2, 10), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_WINDOW);
	assert_int_equal(yamux_make_data(&r.core, s, 11, YAMUX_LAST, raw, &made), 10);
	check_frame(raw, YAMUX_DATA, 0, 2, 10); /* no FIN: a byte is left */
	assert_int_equal(receive(&r, YAMUX_WINDOW, 0, 2, UINT32_MAX), 0);
	assert_int_equal(receive(&r, YAMUX_WINDOW, 0, 2, UINT32_MAX), 0);
	assert_true(s->send_window == UINT32_MAX); /* capped, not wrapped */
	/* receiving: credit comes back by consumption, half a window at a time */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, YAMUX_INITIAL_WINDOW), 0);
	assert_int_equal(s->recv_window, 0);
	assert_false(yamux_consumed(&r.core, s, YAMUX_INITIAL_WINDOW / 2 - 1));
	assert_false(yamux_make_window(&r.core, s, raw));
	assert_true(yamux_consumed(&r.core, s, 1));
	assert_true(yamux_make_window(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, 0, 2, YAMUX_INITIAL_WINDOW / 2);
	assert_int_equal(s->recv_window, YAMUX_INITIAL_WINDOW / 2);
	/* after the peer's FIN nothing needs to be granted */
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_FIN, 2, 0), 0);
	assert_false(yamux_consumed(&r.core, s, YAMUX_INITIAL_WINDOW / 2));
	yamux_release(&r.core, s, raw);
	yamux_free(&r.core);
}

static void a_larger_window_is_granted_at_once(void **state)
{
	struct yamux_config config = yamux_config_default(YAMUX_SERVER);
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r = {0};

	config.window = 1 << 20;
	yamux_init(&r.core, &config, r.now);
	assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
	assert_int_equal(s->id, 2);
	assert_true(yamux_make_window(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_SYN, 2, (1 << 20) - YAMUX_INITIAL_WINDOW);
	assert_int_equal(s->recv_window, 1 << 20);
	yamux_release(&r.core, s, raw);
	yamux_free(&r.core);
}

static void half_close(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;
	bool made;

	rig_init(&r);
	s = opened(&r, 2);
	assert_int_equal(yamux_make_data(&r.core, s, 0, YAMUX_LAST, raw, &made), 0);
	assert_true(made);
	check_frame(raw, YAMUX_DATA, YAMUX_ACK | YAMUX_FIN, 2, 0);
	yamux_make_data(&r.core, s, 5, YAMUX_MORE, raw, &made);
	assert_false(made); /* our side is over */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 100), 0);
	assert_true(r.ev.keep_body); /* theirs is not */
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_FIN, 2, 0), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_FIN);
	assert_true(s->finished);
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 1), 0);
	assert_false(r.ev.keep_body); /* unknown by now */
	assert_false(yamux_release(&r.core, s, raw));
	yamux_free(&r.core);
}

static void data_after_fin_resets(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;

	rig_init(&r);
	s = opened(&r, 2);
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_FIN, 2, 0), 0);
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 5), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_RESET);
	assert_ptr_equal(r.ev.stream, s);
	assert_true(r.ev.body == 5 && !r.ev.keep_body);
	check_frame(r.ev.reply, YAMUX_WINDOW, YAMUX_RST, 2, 0);
	assert_false(yamux_release(&r.core, s, raw));
	yamux_free(&r.core);
}

static void resets(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;

	rig_init(&r);
	s = opened(&r, 2);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_RST, 2, 0), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_RESET);
	assert_int_equal(r.ev.reply_n, 0);
	assert_false(yamux_make_reset(&r.core, s, raw)); /* over already */
	assert_false(yamux_release(&r.core, s, raw));
	s = opened(&r, 4);
	assert_true(yamux_make_reset(&r.core, s, raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_RST, 4, 0);
	assert_false(yamux_release(&r.core, s, raw));
	/* a stream that the peer never heard of ends without a word, and its id is not used again
	 */
	assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
	assert_false(yamux_release(&r.core, s, raw));
	assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
	assert_int_equal(s->id, 3);
	assert_false(yamux_release(&r.core, s, raw));
	assert_int_equal(r.core.unacked, 0);
	yamux_free(&r.core);
}

static void inbound_streams_are_limited(void **state)
{
	struct yamux_stream *s[4];
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	for (uint32_t i = 0; i < 4; i++)
		s[i] = opened(&r, 2 * i + 2);
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_SYN, 100, 50), 0);
	assert_null(r.ev.stream);
	assert_true(r.ev.body == 50 && !r.ev.keep_body);
	check_frame(r.ev.reply, YAMUX_WINDOW, YAMUX_RST, 100, 0);
	yamux_release(&r.core, s[0], raw);
	s[0] = opened(&r, 102);
	for (uint32_t i = 0; i < 4; i++)
		yamux_release(&r.core, s[i], raw);
	yamux_free(&r.core);
}

static void outbound_streams_wait_for_acks(void **state)
{
	struct yamux_stream *s[3], *more;
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(yamux_open(&r.core, &s[i], NULL), 0);
	assert_false(yamux_can_open(&r.core));
	assert_int_equal(yamux_open(&r.core, &more, NULL), E_LIMIT);
	assert_true(yamux_make_window(&r.core, s[0], raw));
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_ACK, s[0]->id, 0), 0);
	assert_true(yamux_can_open(&r.core));
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_ACK, s[0]->id, 0), 0); /* again: nothing */
	assert_int_equal(r.ev.what, 0);
	assert_int_equal(r.core.unacked, 2);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_RST, s[1]->id, 0), 0); /* refused */
	assert_int_equal(r.core.unacked, 1);
	for (int i = 0; i < 3; i++)
		yamux_release(&r.core, s[i], raw);
	assert_int_equal(r.core.unacked, 0);
	yamux_free(&r.core);
}

static void ids_run_out(void **state)
{
	struct yamux_stream *s;
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	r.core.next_id = UINT32_MAX;
	assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
	assert_true(s->id == UINT32_MAX);
	yamux_release(&r.core, s, raw);
	assert_int_equal(yamux_open(&r.core, &s, NULL), E_CLOSED);
	yamux_free(&r.core);
}

static void orphans(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s[3];
	struct rig r;
	bool made;

	rig_init(&r);
	for (uint32_t i = 0; i < 3; i++) {
		s[i] = opened(&r, 2 * i + 2);
		yamux_make_data(&r.core, s[i], 10, YAMUX_LAST, raw, &made);
	}
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 100), 0);
	/* two may linger, the third is beyond the limit and reset */
	assert_false(yamux_release(&r.core, s[0], raw));
	assert_int_equal(r.core.buffered, 0);
	assert_false(yamux_release(&r.core, s[1], raw));
	assert_true(yamux_release(&r.core, s[2], raw));
	check_frame(raw, YAMUX_WINDOW, YAMUX_RST, 6, 0);
	assert_int_equal(r.core.orphans, 2);
	/* the driver hears nothing of them */
	assert_int_equal(receive(&r, YAMUX_WINDOW, 0, 2, 5), 0);
	assert_true(!r.ev.stream && r.ev.what == 0);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_FIN, 2, 0), 0);
	assert_true(!r.ev.stream && r.ev.what == 0 && r.ev.reply_n == 0);
	assert_int_equal(r.core.orphans, 1);
	/* data that nobody will read resets */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 4, 5), 0);
	assert_true(!r.ev.stream && r.ev.what == 0 && !r.ev.keep_body);
	check_frame(r.ev.reply, YAMUX_WINDOW, YAMUX_RST, 4, 0);
	assert_int_equal(r.core.orphans, 0);
	assert_int_equal(r.core.inbound, 0);
	yamux_free(&r.core);
}

/* The room it gives back is announced, though the driver no longer knows the stream. */
static void an_orphan_may_be_acknowledged(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;
	struct rig r;
	bool made;

	rig_init(&r);
	for (unsigned flag = YAMUX_ACK; flag <= YAMUX_RST; flag *= 4) {
		assert_int_equal(yamux_open(&r.core, &s, NULL), 0);
		yamux_make_data(&r.core, s, 1, YAMUX_LAST, raw, &made);
		assert_false(yamux_release(&r.core, s, raw));
		assert_int_equal(
		    receive(&r, YAMUX_WINDOW, flag, r.core.next_id == 3 ? 1 : 3, 0), 0);
		assert_true(!r.ev.stream && r.ev.what == YAMUX_EV_ACKED);
		assert_int_equal(r.core.unacked, 0);
	}
	assert_int_equal(r.core.orphans, 1);
	yamux_free(&r.core);
}

static void the_budget_holds(void **state)
{
	struct yamux_stream *s[4];
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	r.core.config.max_buffered = 3 * YAMUX_INITIAL_WINDOW + 10;
	for (uint32_t i = 0; i < 4; i++)
		s[i] = opened(&r, 2 * i + 2);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(receive(&r, YAMUX_DATA, 0, 2 * i + 2, YAMUX_INITIAL_WINDOW), 0);
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 8, 11), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_RESET);
	assert_false(r.ev.keep_body);
	yamux_release(&r.core, s[3], raw);
	/* a stream whose very first bytes do not fit is never seen */
	assert_int_equal(receive(&r, YAMUX_DATA, YAMUX_SYN, 10, 11), 0);
	assert_true(!r.ev.stream && r.ev.what == 0 && r.ev.body == 11 && !r.ev.keep_body);
	check_frame(r.ev.reply, YAMUX_WINDOW, YAMUX_RST, 10, 0);
	assert_int_equal(r.core.orphans, 0);
	for (int i = 0; i < 3; i++)
		yamux_release(&r.core, s[i], raw);
	assert_int_equal(r.core.buffered, 0);
	yamux_free(&r.core);
}

static void pings(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct rig r;

	rig_init(&r);
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_SYN, 0, 0xdeadbeef), 0);
	check_frame(r.ev.reply, YAMUX_PING, YAMUX_ACK, 0, 0xdeadbeef);
	assert_true(yamux_make_ping(&r.core, 42, raw));
	check_frame(raw, YAMUX_PING, YAMUX_SYN, 0, 42);
	assert_false(yamux_make_ping(&r.core, 43, raw));
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_ACK, 0, 41), 0); /* wrong: not believed */
	assert_int_equal(r.ev.what, 0);
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_ACK, 0, 42), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_PONG);
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_ACK, 0, 42), 0); /* unasked */
	assert_int_equal(r.ev.what, 0);
	assert_true(yamux_make_ping(&r.core, 43, raw));
	yamux_free(&r.core);
}

static void ping_floods(void **state)
{
	struct rig r;

	rig_init(&r);
	for (int i = 0; i < 64; i++)
		assert_int_equal(receive(&r, YAMUX_PING, YAMUX_SYN, 0, 1), 0);
	r.now = instant_add(r.now, duration_ms(125)); /* two more */
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_SYN, 0, 1), 0);
	assert_int_equal(receive(&r, YAMUX_PING, YAMUX_SYN, 0, 1), 0);
	check_violation(&r, receive(&r, YAMUX_PING, YAMUX_SYN, 0, 1));
	/* sixteen a second for ever are fine */
	rig_init(&r);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(receive(&r, YAMUX_PING, YAMUX_SYN, 0, 1), 0);
		r.now = instant_add(r.now, duration_us(62500));
	}
	yamux_free(&r.core);
}

static void goaway(void **state)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *mine, *more;
	struct rig r;

	rig_init(&r);
	opened(&r, 2);
	assert_int_equal(yamux_open(&r.core, &mine, NULL), 0);
	assert_int_equal(receive(&r, YAMUX_GOAWAY, 0, 0, YAMUX_INTERNAL_ERROR), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_GOAWAY);
	assert_int_equal(r.core.goaway_reason, YAMUX_INTERNAL_ERROR);
	assert_int_equal(yamux_open(&r.core, &more, NULL), E_CLOSED);
	/* what is open goes on */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, 2, 5), 0);
	assert_true(r.ev.keep_body);
	/* after our own, new ones are refused */
	yamux_make_goaway(&r.core, YAMUX_NORMAL, raw);
	check_frame(raw, YAMUX_GOAWAY, 0, 0, YAMUX_NORMAL);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_SYN, 4, 0), 0);
	check_frame(r.ev.reply, YAMUX_WINDOW, YAMUX_RST, 4, 0);
	/* one stream live and held, one finished and held, both with bytes */
	assert_int_equal(receive(&r, YAMUX_DATA, 0, mine->id, 7), 0);
	assert_int_equal(receive(&r, YAMUX_WINDOW, YAMUX_RST, mine->id, 0), 0);
	assert_int_equal(r.ev.what, YAMUX_EV_RESET | YAMUX_EV_ACKED);
	yamux_free(&r.core);
	assert_false(yamux_release(&r.core, mine, raw));
	assert_int_equal(r.core.buffered, 0);
}

int run_yamux_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers),
	    cmocka_unit_test(opening_a_stream),
	    cmocka_unit_test(accepting_a_stream),
	    cmocka_unit_test(violations_end_the_session),
	    cmocka_unit_test(unknown_streams_cost_their_body),
	    cmocka_unit_test(windows),
	    cmocka_unit_test(a_larger_window_is_granted_at_once),
	    cmocka_unit_test(half_close),
	    cmocka_unit_test(data_after_fin_resets),
	    cmocka_unit_test(resets),
	    cmocka_unit_test(inbound_streams_are_limited),
	    cmocka_unit_test(outbound_streams_wait_for_acks),
	    cmocka_unit_test(ids_run_out),
	    cmocka_unit_test(orphans),
	    cmocka_unit_test(an_orphan_may_be_acknowledged),
	    cmocka_unit_test(the_budget_holds),
	    cmocka_unit_test(pings),
	    cmocka_unit_test(ping_floods),
	    cmocka_unit_test(goaway),
	};

	return cmocka_run_group_tests_name("p2p/yamux", tests, NULL, NULL);
}
