/* Yamux against a hostile peer and a busy application. The input is a sequence of steps: a byte
 * below 128 is followed by a 12-byte header that the peer sends (with small ids likely to hit,
 * since the id is masked); a byte above is something that the application does to a stream. After
 * each step the accounting of yamux_priv.h must hold. */
#include "p2p/yamux_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD_MAX 16

struct app {
	struct yamux_core core;
	struct yamux_stream *held[HELD_MAX];
	struct instant now;
};

static void check(const struct app *a)
{
	const struct yamux_core *c = &a->core;
	uint32_t inbound = 0, unacked = 0, orphans = 0;
	uint64_t buffered = 0;
	struct yamux_stream *s, *next;

	HASH_ITER (hh, c->streams, s, next) {
		INVARIANT((uint64_t)s->recv_window + s->buffered + s->credit == c->config.window);
		INVARIANT(!s->finished);
		inbound += s->inbound;
		unacked += s->unacked;
		orphans += s->orphan;
	}
	for (int i = 0; i < HELD_MAX; i++)
		buffered += a->held[i] ? a->held[i]->buffered : 0;
	INVARIANT(inbound == c->inbound && inbound <= c->config.max_inbound);
	INVARIANT(unacked == c->unacked && unacked <= c->config.max_unacked);
	INVARIANT(orphans == c->orphans && orphans <= c->config.max_orphans);
	INVARIANT(buffered == c->buffered && buffered <= c->config.max_buffered);
}

static void hold(struct app *a, struct yamux_stream *s)
{
	uint8_t raw[YAMUX_HEADER];

	for (int i = 0; i < HELD_MAX; i++) {
		if (!a->held[i]) {
			a->held[i] = s;
			return;
		}
	}
	yamux_release(&a->core, s, raw);
}

static bool is_held(const struct app *a, const struct yamux_stream *s)
{
	for (int i = 0; i < HELD_MAX; i++)
		if (a->held[i] == s)
			return true;
	return false;
}

/* False when the session is over. */
static bool receive(struct app *a, uint8_t step, const uint8_t *raw)
{
	uint8_t header[YAMUX_HEADER];
	struct yamux_event ev;
	struct err err = {0};
	int rc;

	memcpy(header, raw, sizeof(header));
	if (step & 64) /* a plausible header */
		put_u32be(header + 4, get_u32be(header + 4) & 31);
	a->now = instant_add(a->now, duration_ms(step & 63));
	rc = yamux_receive(&a->core, header, a->now, &ev, &err);
	if (rc != 0) {
		INVARIANT(rc == E_PROTOCOL && err.text[0] && ev.reply_n == YAMUX_HEADER);
		return false;
	}
	INVARIANT(ev.body <= a->core.config.window);
	if (ev.what & YAMUX_EV_OPENED)
		hold(a, ev.stream);
	else if (ev.stream)
		INVARIANT(is_held(a, ev.stream));
	return true;
}

static void act(struct app *a, uint8_t step, uint8_t operand)
{
	struct yamux_stream **at = &a->held[step & (HELD_MAX - 1)], *s = *at;
	uint8_t raw[YAMUX_HEADER];
	bool made;

	if (!s) {
		if (yamux_can_open(&a->core))
			INVARIANT(yamux_open(&a->core, at, NULL) == 0);
		return;
	}
	switch (step >> 4 & 7) {
	case 0:
		if (s->buffered)
			yamux_consumed(&a->core, s, 1 + (s->buffered - 1) * operand / 255u);
		return;
	case 1:
		INVARIANT(yamux_make_window(&a->core, s, raw) || !yamux_window_due(&a->core, s));
		return;
	case 2:
	case 3:
		yamux_make_data(
		    &a->core, s, operand * 512u, step & 16 ? YAMUX_LAST : YAMUX_MORE, raw, &made);
		return;
	case 4:
		yamux_make_reset(&a->core, s, raw);
		return;
	case 5:
		yamux_make_ping(&a->core, operand, raw);
		return;
	case 6:
		if (operand == 255)
			yamux_make_goaway(&a->core, YAMUX_NORMAL, raw);
		return;
	default:
		*at = NULL;
		yamux_release(&a->core, s, raw);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(bytes_of(data, size));
	struct app a = {0};
	struct yamux_config config;
	uint8_t step, operand, raw[YAMUX_HEADER];
	struct bytes header;

	if (!cursor_u8(&c, &step))
		return 0;
	config = yamux_config_default(step & 1 ? YAMUX_CLIENT : YAMUX_SERVER);
	config.max_inbound = 8;
	config.max_unacked = 4;
	config.max_orphans = 4;
	config.max_buffered = 3u << 18;
	config.window = YAMUX_INITIAL_WINDOW + (step & 2 ? 100000u : 0);
	yamux_init(&a.core, &config, a.now);
	while (cursor_u8(&c, &step)) {
		if (step < 128) {
			if (!cursor_take(&c, YAMUX_HEADER, &header) || !receive(&a, step, header.p))
				break;
		} else if (cursor_u8(&c, &operand)) {
			act(&a, step, operand);
		}
		check(&a);
	}
	for (int i = 0; i < HELD_MAX; i++)
		if (a.held[i])
			yamux_release(&a.core, a.held[i], raw);
	INVARIANT(a.core.buffered == 0);
	yamux_free(&a.core);
	INVARIANT(a.core.inbound == 0 && a.core.unacked == 0 && a.core.orphans == 0);
	return 0;
}
