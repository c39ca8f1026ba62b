/* Streams made of nothing but memory and other streams: reading in full, in-memory pipes, a prefix
 * before a stream, and copying between two. */
#include "rt/stream.h"

#include <stdlib.h>

int stream_read_full(struct stream *s, void *buf, size_t n, struct err *err)
{
	size_t have = 0;
	ssize_t got;

	while (have < n) {
		got = stream_read(s, (uint8_t *)buf + have, n - have, err);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return err_set(err, E_CLOSED, "%s: the end came after %zu of %zu bytes",
			    s->remote, have, n);
		have += (size_t)got;
	}
	return 0;
}

/* ---- pipes --------------------------------------------------------------------------------- */

/* One direction: a ring with one writer and one reader. */
struct lane {
	size_t first, count;
	bool ended;     /* the writer closes: what is inside is still read */
	bool abandoned; /* the reader's end is closed */
	bool reading, writing;
	struct waitq readable, writable;
	uint8_t *ring;
};

struct pipe_end {
	struct stream stream;
	struct pipe *pipe;
	struct lane *in, *out;
};

struct pipe {
	struct pipe_end end[2];
	struct lane lane[2];
	size_t capacity;
	int reset_code; /* 0 while whole */
	int open_ends;
	char *name;
	uint8_t rings[];
};

static struct pipe_end *pipe_end_of(struct stream *s)
{
	return (struct pipe_end *)s;
}

static int pipe_broken(const struct pipe *p, struct err *err)
{
	return err_set(err, E_RESET, "%s: reset (%s)", p->name, err_info(p->reset_code)->name);
}

static size_t lane_take(struct lane *l, size_t capacity, uint8_t *to, size_t cap)
{
	size_t n = cap < l->count ? cap : l->count;
	size_t part = n < capacity - l->first ? n : capacity - l->first;

	memcpy(to, l->ring + l->first, part);
	memcpy(to + part, l->ring, n - part);
	l->first = (l->first + n) % capacity;
	l->count -= n;
	return n;
}

static size_t lane_put(struct lane *l, size_t capacity, const uint8_t *from, size_t have)
{
	size_t room = capacity - l->count;
	size_t n = have < room ? have : room;
	size_t at = (l->first + l->count) % capacity;
	size_t part = n < capacity - at ? n : capacity - at;

	memcpy(l->ring + at, from, part);
	memcpy(l->ring, from + part, n - part);
	l->count += n;
	return n;
}

static ssize_t pipe_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct pipe_end *e = pipe_end_of(s);
	struct lane *l = e->in;
	int rc = 0;
	size_t n;

	INVARIANT(cap > 0 && !l->reading);
	l->reading = true;
	while (rc == 0 && l->count == 0 && !l->ended && e->pipe->reset_code == 0)
		rc = waitq_wait(&l->readable, err);
	l->reading = false;
	if (rc != 0)
		return rc;
	if (e->pipe->reset_code != 0)
		return pipe_broken(e->pipe, err);
	if (l->count == 0)
		return 0;
	n = lane_take(l, e->pipe->capacity, buf, cap);
	waitq_wake_one(&l->writable);
	return (ssize_t)n;
}

/* Whether the lane takes bytes at all: 0 or the error that says why not. */
static int pipe_writable(const struct pipe_end *e, struct err *err)
{
	if (e->pipe->reset_code != 0)
		return pipe_broken(e->pipe, err);
	if (e->out->ended)
		return err_set(err, E_CLOSED, "%s: written to after its end", e->pipe->name);
	if (e->out->abandoned)
		return err_set(err, E_CLOSED, "%s: closed by the other side", e->pipe->name);
	return 0;
}

static int pipe_write_part(struct pipe_end *e, struct bytes v, struct err *err)
{
	struct lane *l = e->out;
	size_t n;
	int rc;

	while (v.n > 0) {
		if ((rc = pipe_writable(e, err)))
			return rc;
		n = lane_put(l, e->pipe->capacity, v.p, v.n);
		if (n == 0) {
			if ((rc = waitq_wait(&l->writable, err)))
				return rc;
			continue;
		}
		v = bytes_of(v.p + n, v.n - n);
		waitq_wake_one(&l->readable);
	}
	return 0;
}

static int pipe_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	struct pipe_end *e = pipe_end_of(s);
	int rc = pipe_writable(e, err);

	INVARIANT(!e->out->writing);
	e->out->writing = true;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = pipe_write_part(e, v[i], err);
	e->out->writing = false;
	return rc;
}

static int pipe_close_write(struct stream *s, struct err *err)
{
	struct pipe_end *e = pipe_end_of(s);

	if (e->pipe->reset_code != 0)
		return pipe_broken(e->pipe, err);
	e->out->ended = true;
	waitq_wake_all(&e->out->readable);
	return 0;
}

static void pipe_wake_all(struct pipe *p)
{
	for (int i = 0; i < 2; i++) {
		waitq_wake_all(&p->lane[i].readable);
		waitq_wake_all(&p->lane[i].writable);
	}
}

static void pipe_reset(struct stream *s, int code)
{
	struct pipe *p = pipe_end_of(s)->pipe;

	if (p->reset_code == 0)
		p->reset_code = code != 0 ? code : E_RESET;
	pipe_wake_all(p);
}

static void pipe_close(struct stream *s)
{
	struct pipe_end *e = pipe_end_of(s);
	struct pipe *p = e->pipe;

	INVARIANT(!e->in->reading && !e->out->writing);
	e->out->ended = true;
	e->in->abandoned = true;
	pipe_wake_all(p);
	if (--p->open_ends > 0)
		return;
	free(p->name);
	free(p);
}

static const struct stream_ops pipe_ops = {
    .kind = "pipe",
    .read = pipe_read,
    .write = pipe_write,
    .close_write = pipe_close_write,
    .reset = pipe_reset,
    .close = pipe_close,
};

int stream_pipe(
    const char *name, size_t capacity, struct stream **a, struct stream **b, struct err *err)
{
	struct pipe *p;

	INVARIANT(capacity > 0);
	if (capacity > (SIZE_MAX / 2 - sizeof(*p)) / 2)
		return err_set(err, E_TOO_LARGE, "a pipe of %zu bytes", capacity);
	p = malloc(sizeof(*p) + 2 * capacity);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a pipe of %zu bytes", capacity);
	*p = (struct pipe){.capacity = capacity, .open_ends = 2, .name = strdup(name)};
	if (!p->name) {
		free(p);
		return err_set(err, E_MEMORY, "no memory for a pipe");
	}
	for (int i = 0; i < 2; i++) {
		p->lane[i].ring = p->rings + (size_t)i * capacity;
		p->end[i] = (struct pipe_end){.stream = {.ops = &pipe_ops, .remote = p->name},
		    .pipe = p,
		    .in = &p->lane[i],
		    .out = &p->lane[1 - i]};
	}
	*a = &p->end[0].stream;
	*b = &p->end[1].stream;
	return 0;
}

/* ---- a prefix ------------------------------------------------------------------------------ */

struct prefixed {
	struct stream stream;
	struct stream *inner;
	size_t at, n;
	uint8_t prefix[];
};

static struct prefixed *prefixed_of(struct stream *s)
{
	return (struct prefixed *)s;
}

static ssize_t prefixed_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct prefixed *p = prefixed_of(s);
	size_t n = p->n - p->at;

	if (n == 0)
		return stream_read(p->inner, buf, cap, err);
	if (n > cap)
		n = cap;
	memcpy(buf, p->prefix + p->at, n);
	p->at += n;
	return (ssize_t)n;
}

static int prefixed_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return stream_writev(prefixed_of(s)->inner, v, count, err);
}

static int prefixed_close_write(struct stream *s, struct err *err)
{
	return stream_close_write(prefixed_of(s)->inner, err);
}

static void prefixed_reset(struct stream *s, int code)
{
	struct prefixed *p = prefixed_of(s);

	p->at = p->n;
	stream_reset(p->inner, code);
}

static void prefixed_close(struct stream *s)
{
	struct prefixed *p = prefixed_of(s);

	stream_close(p->inner);
	free(p);
}

static const struct stream_ops prefixed_ops = {
    .kind = "prefixed",
    .read = prefixed_read,
    .write = prefixed_write,
    .close_write = prefixed_close_write,
    .reset = prefixed_reset,
    .close = prefixed_close,
};

int stream_prefixed(struct stream *inner, struct bytes prefix, struct stream **out, struct err *err)
{
	struct prefixed *p;

	if (prefix.n > SIZE_MAX / 2)
		return err_set(err, E_TOO_LARGE, "a prefix of %zu bytes", prefix.n);
	p = malloc(sizeof(*p) + prefix.n);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a prefix of %zu bytes", prefix.n);
	*p = (struct prefixed){.stream = {.ops = &prefixed_ops, .remote = inner->remote},
	    .inner = inner,
	    .n = prefix.n};
	if (prefix.n > 0)
		memcpy(p->prefix, prefix.p, prefix.n);
	*out = &p->stream;
	return 0;
}

/* ---- copying ------------------------------------------------------------------------------- */

#define SPLICE_CHUNK (16u << 10)

struct half {
	struct stream *from, *to;
	struct instant *moved;
	struct duration idle;
	uint64_t count;
	int rc;
	struct err err;
};

/* A read that may last as long as something moves the other way. */
static ssize_t half_read(struct half *h, uint8_t *chunk)
{
	struct scope sc;
	ssize_t n;

	do {
		scope_open(&sc, h->idle);
		n = stream_read(h->from, chunk, SPLICE_CHUNK, &h->err);
		scope_close(&sc);
	} while (n == E_TIMEOUT && scope_check(NULL) == 0 &&
		 instant_since(rt_now(), *h->moved).ns < h->idle.ns);
	return n;
}

static int half_write(struct half *h, const uint8_t *chunk, size_t n)
{
	struct scope sc;
	int rc;

	scope_open(&sc, h->idle);
	rc = stream_write(h->to, chunk, n, &h->err);
	scope_close(&sc);
	*h->moved = rt_now();
	h->count += rc == 0 ? (uint64_t)n : 0;
	return rc;
}

static int half_copy(struct half *h, uint8_t *chunk)
{
	ssize_t n;
	int rc;

	while ((n = half_read(h, chunk)) > 0)
		if ((rc = half_write(h, chunk, (size_t)n)))
			return rc;
	if (n < 0)
		return (int)n;
	rc = stream_close_write(h->to, &h->err);
	return rc == E_UNSUPPORTED ? 0 : rc;
}

/* Runs one direction. A failure resets both streams, which ends the other direction as well. */
static void half_run(void *arg)
{
	struct half *h = arg;
	uint8_t *chunk = malloc(SPLICE_CHUNK);

	h->rc = chunk ? half_copy(h, chunk) : err_set(&h->err, E_MEMORY, "no memory to copy with");
	free(chunk);
	if (h->rc != 0) {
		stream_reset(h->from, h->rc);
		stream_reset(h->to, h->rc);
	}
}

/* What ended it: a reset is the echo of the other half's failure, unless both say so. */
static const struct half *half_to_blame(const struct half *x, const struct half *y)
{
	if (x->rc == 0 || (x->rc == E_RESET && y->rc != 0))
		return y;
	return x;
}

/* The counts of the halves are filled. */
static int splice(struct half *there, struct half *back, struct err *err)
{
	struct stream *a = there->from, *b = there->to;
	const struct half *blame;
	struct scope sc;
	int rc;

	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(&sc, "splice", half_run, back, err);
	if (rc == 0) {
		half_run(there);
		if ((rc = scope_join(&sc)))
			err_set(err, rc, "copying between %s and %s was cut short", a->remote,
			    b->remote);
	}
	if (rc != 0) {
		stream_reset(a, rc);
		stream_reset(b, rc);
	}
	scope_close(&sc);
	blame = half_to_blame(there, back);
	if (blame->rc != 0)
		return err_set(err, blame->rc, "%s", err_text(&blame->err));
	return rc;
}

int stream_splice(
    struct stream *a, struct stream *b, uint64_t *a_to_b, uint64_t *b_to_a, struct err *err)
{
	struct instant moved = rt_now();
	struct half there = {.from = a, .to = b, .moved = &moved, .idle = DURATION_FOREVER};
	struct half back = {.from = b, .to = a, .moved = &moved, .idle = DURATION_FOREVER};
	int rc = splice(&there, &back, err);

	if (a_to_b)
		*a_to_b = there.count;
	if (b_to_a)
		*b_to_a = back.count;
	return rc;
}

int stream_splice_until_idle(
    struct stream *a, struct stream *b, struct duration idle, struct err *err)
{
	struct instant moved = rt_now();
	struct half there = {.from = a, .to = b, .moved = &moved, .idle = idle};
	struct half back = {.from = b, .to = a, .moved = &moved, .idle = idle};

	return splice(&there, &back, err);
}
