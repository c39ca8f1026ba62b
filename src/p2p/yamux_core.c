/* The yamux state machine. Every length is judged when its header arrives, before a byte of the
 * body is read; a frame for a stream that is gone costs its body being thrown away, no more. */
/* Running out of memory in the table is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include "p2p/yamux_priv.h"

#include <stdlib.h>

struct yamux_config yamux_config_default(enum yamux_role role)
{
	return (struct yamux_config){
	    .role = role,
	    .window = YAMUX_INITIAL_WINDOW,
	    .max_frame = 32u << 10,
	    .max_inbound = 1000,
	    .max_unacked = 256,
	    .max_orphans = 1024,
	    .max_buffered = 32u << 20,
	    .ping_burst = 64,
	    .ping_every = duration_ms(1000 / 16),
	};
}

void yamux_init(struct yamux_core *core, const struct yamux_config *config, struct instant now)
{
	INVARIANT(config->window >= YAMUX_INITIAL_WINDOW && config->max_frame > 0);
	*core = (struct yamux_core){
	    .config = *config,
	    .next_id = config->role == YAMUX_CLIENT ? 1 : 2,
	    .ping_tokens = config->ping_burst,
	    .ping_filled = now,
	};
}

static struct yamux_stream *find(struct yamux_core *core, uint32_t id)
{
	struct yamux_stream *s;

	HASH_FIND(hh, core->streams, &id, sizeof(id), s);
	return s;
}

/* A stream with the window that both sides assume; what is configured beyond it is credit to be
 * granted with the first frame. */
static struct yamux_stream *add(struct yamux_core *core, uint32_t id, bool inbound)
{
	struct yamux_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = id;
	s->inbound = inbound;
	s->ack_pending = inbound;
	s->syn_pending = s->unacked = !inbound;
	s->send_window = YAMUX_INITIAL_WINDOW;
	s->recv_window = YAMUX_INITIAL_WINDOW;
	s->credit = core->config.window - YAMUX_INITIAL_WINDOW;
	HASH_ADD(hh, core->streams, id, sizeof(s->id), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	core->inbound += inbound;
	core->unacked += !inbound;
	return s;
}

static void acknowledge(struct yamux_core *core, struct yamux_stream *s)
{
	core->unacked -= s->unacked;
	s->unacked = false;
}

/* Takes the stream out of the table. The driver keeps it until it releases it; an orphan has no
 * other owner and is freed. */
static void finish(struct yamux_core *core, struct yamux_stream *s)
{
	if (s->finished)
		return;
	HASH_DEL(core->streams, s);
	acknowledge(core, s);
	core->inbound -= s->inbound;
	s->finished = true;
	s->syn_pending = s->ack_pending = false;
	if (s->orphan) {
		core->orphans--;
		free(s);
	}
}

void yamux_free(struct yamux_core *core)
{
	struct yamux_stream *s, *next;

	HASH_ITER (hh, core->streams, s, next) {
		HASH_DEL(core->streams, s);
		core->buffered -= s->buffered;
		free(s);
	}
	core->inbound = core->unacked = core->orphans = 0;
}

static void frame(
    uint8_t out[YAMUX_HEADER], enum yamux_type type, unsigned flags, uint32_t id, uint32_t length)
{
	struct yamux_header h = {type, (uint16_t)flags, id, length};

	yamux_header_encode(&h, out);
}

static void reply(
    struct yamux_event *ev, enum yamux_type type, unsigned flags, uint32_t id, uint32_t length)
{
	frame(ev->reply, type, flags, id, length);
	ev->reply_n = YAMUX_HEADER;
}

/* A reset of ours in answer to a frame. The event names the stream only if the driver has it; one
 * that this very frame opened it never sees. */
static void reset_by_us(struct yamux_core *core, struct yamux_stream *s, struct yamux_event *ev)
{
	reply(ev, YAMUX_WINDOW, YAMUX_RST, s->id, 0);
	if (ev->what & YAMUX_EV_OPENED) {
		s->orphan = true;
		core->orphans++;
	}
	ev->stream = s->orphan ? NULL : s;
	ev->what = s->orphan ? 0 : YAMUX_EV_RESET;
	finish(core, s);
}

static void count_tokens(struct yamux_core *core, struct instant now)
{
	int64_t every = core->config.ping_every.ns > 0 ? core->config.ping_every.ns : 1;
	int64_t more = instant_since(now, core->ping_filled).ns / every;
	uint32_t room = core->config.ping_burst - core->ping_tokens;

	if (more >= (int64_t)room) {
		core->ping_tokens = core->config.ping_burst;
		core->ping_filled = now;
	} else {
		core->ping_tokens += (uint32_t)more;
		core->ping_filled.ns += more * every;
	}
}

static int receive_ping(struct yamux_core *core, const struct yamux_header *h, struct instant now,
    struct yamux_event *ev, struct err *err)
{
	if (h->flags == YAMUX_ACK) {
		if (core->ping_out && h->length == core->ping_value) {
			core->ping_out = false;
			ev->what = YAMUX_EV_PONG;
		}
		return 0;
	}
	count_tokens(core, now);
	if (core->ping_tokens == 0)
		return err_set(err, E_PROTOCOL, "a flood of yamux pings");
	core->ping_tokens--;
	reply(ev, YAMUX_PING, YAMUX_ACK, 0, h->length);
	return 0;
}

static bool is_peers(const struct yamux_core *core, uint32_t id)
{
	return (id % 2 == 0) == (core->config.role == YAMUX_CLIENT);
}

/* SYN: *out stays NULL when the stream is refused. */
static int receive_syn(struct yamux_core *core, const struct yamux_header *h,
    struct yamux_event *ev, struct yamux_stream **out, struct err *err)
{
	if (!is_peers(core, h->id))
		return err_set(err, E_PROTOCOL, "yamux stream %u is not the peer's to open", h->id);
	if (find(core, h->id))
		return err_set(err, E_PROTOCOL, "yamux stream %u is opened twice", h->id);
	if (h->type == YAMUX_DATA && h->length > YAMUX_INITIAL_WINDOW)
		return err_set(
		    err, E_PROTOCOL, "yamux stream %u begins with %u bytes", h->id, h->length);
	if (h->flags & YAMUX_RST)
		return 0;
	if (core->goaway_sent || core->inbound >= core->config.max_inbound) {
		reply(ev, YAMUX_WINDOW, YAMUX_RST, h->id, 0);
		return 0;
	}
	*out = add(core, h->id, true);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for a yamux stream");
	ev->what |= YAMUX_EV_OPENED;
	return 0;
}

/* The body of a data frame against the window, the peer's own FIN and the budget. */
static int receive_data(struct yamux_core *core, struct yamux_stream *s,
    const struct yamux_header *h, struct yamux_event *ev, struct err *err)
{
	if (h->length == 0)
		return 0;
	if (h->length > s->recv_window)
		return err_set(err, E_PROTOCOL, "%u bytes on yamux stream %u, whose window is %u",
		    h->length, s->id, s->recv_window);
	if (s->fin_received || s->orphan ||
	    core->buffered + h->length > core->config.max_buffered) {
		reset_by_us(core, s, ev);
		return 0;
	}
	s->recv_window -= h->length;
	s->buffered += h->length;
	core->buffered += h->length;
	ev->keep_body = true;
	return 0;
}

static void grow_window(struct yamux_stream *s, uint32_t delta, struct yamux_event *ev)
{
	uint64_t sum = (uint64_t)s->send_window + delta;

	if (delta == 0)
		return;
	s->send_window = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
	ev->what |= YAMUX_EV_WINDOW;
}

/* ACK, RST and FIN, after the body was judged. The stream may be freed here if it is an orphan. */
static void receive_flags(
    struct yamux_core *core, struct yamux_stream *s, uint16_t flags, struct yamux_event *ev)
{
	if (flags & YAMUX_FIN && !s->fin_received) {
		s->fin_received = true;
		ev->what |= YAMUX_EV_FIN;
	}
	if (flags & YAMUX_RST)
		ev->what |= YAMUX_EV_RESET;
	if (s->orphan) {
		ev->stream = NULL;
		ev->what = 0;
	}
	if (flags & YAMUX_RST || (s->fin_received && s->fin_sent))
		finish(core, s);
}

static int receive_stream(
    struct yamux_core *core, const struct yamux_header *h, struct yamux_event *ev, struct err *err)
{
	struct yamux_stream *s = NULL;
	int rc = 0;

	if (h->type == YAMUX_DATA) {
		ev->body = h->length;
		if (h->length > core->config.window)
			return err_set(err, E_PROTOCOL,
			    "%u bytes on yamux stream %u are more than any window", h->length,
			    h->id);
	}
	if (h->flags & YAMUX_SYN)
		rc = receive_syn(core, h, ev, &s, err);
	else
		s = find(core, h->id);
	if (rc != 0 || !s)
		return rc;
	ev->stream = s;
	if (h->flags & YAMUX_ACK)
		acknowledge(core, s);
	if (h->type == YAMUX_WINDOW)
		grow_window(s, h->length, ev);
	else
		rc = receive_data(core, s, h, ev, err);
	if (rc == 0 && ev->reply_n == 0)
		receive_flags(core, s, h->flags, ev);
	return rc;
}

int yamux_receive(struct yamux_core *core, const uint8_t header[YAMUX_HEADER], struct instant now,
    struct yamux_event *out, struct err *err)
{
	uint32_t unacked = core->unacked;
	struct yamux_header h;
	int rc;

	*out = (struct yamux_event){0};
	rc = yamux_header_decode(header, &h, err);
	if (rc == 0 && h.type == YAMUX_PING) {
		rc = receive_ping(core, &h, now, out, err);
	} else if (rc == 0 && h.type == YAMUX_GOAWAY) {
		core->goaway_received = true;
		core->goaway_reason = h.length;
		out->what = YAMUX_EV_GOAWAY;
	} else if (rc == 0) {
		rc = receive_stream(core, &h, out, err);
	}
	if (core->unacked < unacked)
		out->what |= YAMUX_EV_ACKED;
	if (rc != 0) {
		*out = (struct yamux_event){.reply_n = YAMUX_HEADER};
		yamux_make_goaway(core,
		    rc == E_PROTOCOL ? YAMUX_PROTOCOL_ERROR : YAMUX_INTERNAL_ERROR, out->reply);
	}
	return rc;
}

bool yamux_can_open(const struct yamux_core *core)
{
	return !core->goaway_received && !core->goaway_sent && core->next_id <= UINT32_MAX &&
	       core->unacked < core->config.max_unacked;
}

int yamux_open(struct yamux_core *core, struct yamux_stream **out, struct err *err)
{
	if (core->goaway_received || core->goaway_sent)
		return err_set(err, E_CLOSED, "the connection opens no more streams");
	if (core->next_id > UINT32_MAX)
		return err_set(err, E_CLOSED, "the connection's stream ids are used up");
	if (core->unacked >= core->config.max_unacked)
		return err_set(
		    err, E_LIMIT, "%u streams wait for the peer's acknowledgement", core->unacked);
	*out = add(core, (uint32_t)core->next_id, false);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for a yamux stream");
	core->next_id += 2;
	return 0;
}

/* SYN or ACK, once, on whatever frame goes first. */
static unsigned opening_flags(struct yamux_stream *s)
{
	unsigned flags = (s->syn_pending ? YAMUX_SYN : 0) | (s->ack_pending ? YAMUX_ACK : 0);

	s->syn_pending = s->ack_pending = false;
	return flags;
}

uint32_t yamux_make_data(struct yamux_core *core, struct yamux_stream *s, size_t want,
    enum yamux_last last, uint8_t header[YAMUX_HEADER], bool *made)
{
	uint32_t most =
	    s->send_window < core->config.max_frame ? s->send_window : core->config.max_frame;
	uint32_t n = want < most ? (uint32_t)want : most;
	bool fin = last == YAMUX_LAST && n == want;

	*made = !s->finished && !s->fin_sent && (n > 0 || fin);
	if (!*made)
		return 0;
	frame(header, YAMUX_DATA, opening_flags(s) | (fin ? YAMUX_FIN : 0), s->id, n);
	s->send_window -= n;
	s->fin_sent = fin;
	if (s->fin_sent && s->fin_received)
		finish(core, s);
	return n;
}

bool yamux_window_due(const struct yamux_core *core, const struct yamux_stream *s)
{
	if (s->finished)
		return false;
	if (s->syn_pending || s->ack_pending)
		return true;
	return !s->fin_received && s->credit >= core->config.window / 2;
}

bool yamux_make_window(
    struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER])
{
	if (!yamux_window_due(core, s))
		return false;
	frame(header, YAMUX_WINDOW, opening_flags(s), s->id, s->credit);
	s->recv_window += s->credit;
	s->credit = 0;
	return true;
}

bool yamux_consumed(struct yamux_core *core, struct yamux_stream *s, uint32_t n)
{
	INVARIANT(n <= s->buffered && n <= core->buffered);
	s->buffered -= n;
	s->credit += n;
	core->buffered -= n;
	return yamux_window_due(core, s);
}

bool yamux_make_reset(struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER])
{
	bool silent = s->syn_pending; /* the peer has never heard of it */

	if (s->finished)
		return false;
	finish(core, s);
	if (silent)
		return false;
	frame(header, YAMUX_WINDOW, YAMUX_RST, s->id, 0);
	return true;
}

bool yamux_release(struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER])
{
	bool made;

	core->buffered -= s->buffered;
	s->credit += s->buffered;
	s->buffered = 0;
	s->user = NULL;
	if (!s->finished && s->fin_sent && core->orphans < core->config.max_orphans) {
		s->orphan = true;
		core->orphans++;
		return false;
	}
	made = yamux_make_reset(core, s, header);
	free(s);
	return made;
}

bool yamux_make_ping(struct yamux_core *core, uint32_t value, uint8_t header[YAMUX_HEADER])
{
	if (core->ping_out)
		return false;
	core->ping_out = true;
	core->ping_value = value;
	frame(header, YAMUX_PING, YAMUX_SYN, 0, value);
	return true;
}

void yamux_make_goaway(
    struct yamux_core *core, enum yamux_reason reason, uint8_t header[YAMUX_HEADER])
{
	core->goaway_sent = true;
	frame(header, YAMUX_GOAWAY, 0, 0, (uint32_t)reason);
}
