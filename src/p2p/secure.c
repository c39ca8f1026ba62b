/* Noise records over a stream. See secure_priv.h.
 *
 * Reading: ciphertext collects in one buffer, records are decrypted where they lie and lent out.
 * While nothing came for a second the buffer is given back and a few bytes inside the object wait
 * for what comes next. */
#include "p2p/accounts_priv.h"
#include "p2p/secure_priv.h"

#include <stdlib.h>

#define IN_SIZE      ((size_t)128 * 1024) /* at least one record */
#define IN_SMALL     256
#define QUIET_S      1
#define OUT_FIRST    1024
#define RECORD_EXTRA (NOISE_PREFIX + AEAD_TAG_SIZE)

struct secure {
	struct stream stream;
	struct stream *carrier;
	struct account *account; /* where the large buffer is counted */
	bool plain;
	bool quiet; /* nothing came for a while */
	struct noise_cipher tx, rx;
	uint8_t *in; /* `small`, or IN_SIZE bytes */
	size_t in_cap, in_at, in_have;
	uint8_t small[IN_SMALL];
	struct bytes rest;         /* of a view that stream_read gave out in part */
	struct secure_out written; /* of stream_write */
};

static struct secure *secure_of(struct stream *s)
{
	return (struct secure *)s;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void in_shrink(struct secure *s)
{
	if (s->in != s->small) {
		free(s->in);
		account_shrink(s->account, IN_SIZE, 0);
	}
	s->in = s->small;
	s->in_cap = IN_SMALL;
}

static int in_grow(struct secure *s, struct err *err)
{
	uint8_t *big;

	if (!account_resize(s->account, 0, IN_SIZE))
		return err_set(err, E_LIMIT, "no memory is left for a record");
	if (!(big = malloc(IN_SIZE))) {
		account_shrink(s->account, IN_SIZE, 0);
		return err_set(err, E_MEMORY, "no memory for a record");
	}
	memcpy(big, s->in + s->in_at, s->in_have - s->in_at);
	s->in_have -= s->in_at;
	s->in_at = 0;
	s->in = big;
	s->in_cap = IN_SIZE;
	return 0;
}

/* Reads for a second, then, without the big buffer and with as little stack as can be, for as long
 * as it takes. */
static ssize_t read_patiently(struct secure *s, struct err *err)
{
	struct scope sc;
	ssize_t n;

	if (!s->quiet) {
		scope_open(&sc, duration_s(QUIET_S));
		n = stream_read(s->carrier, s->in + s->in_have, s->in_cap - s->in_have, err);
		scope_close(&sc);
		int rc = n == E_TIMEOUT ? scope_check(err) : 0;
		if (n != E_TIMEOUT || rc != 0)
			return rc != 0 ? rc : n;
		if (s->in_have == 0)
			in_shrink(s);
		s->quiet = true;
		fiber_trim();
	}
	n = stream_read(s->carrier, s->in + s->in_have, s->in_cap - s->in_have, err);
	s->quiet = false;
	return n;
}

/* More ciphertext: 1, 0 at the end, or an error. */
static int fill(struct secure *s, struct err *err)
{
	ssize_t n;
	int rc;

	if (s->in_at == s->in_have)
		s->in_at = s->in_have = 0;
	if (s->in_at > 0) {
		memmove(s->in, s->in + s->in_at, s->in_have - s->in_at);
		s->in_have -= s->in_at;
		s->in_at = 0;
	}
	if (s->in == s->small && s->in_have > 0 && (rc = in_grow(s, err)) != 0)
		return rc;
	n = read_patiently(s, err);
	if (n > 0)
		s->in_have += (size_t)n;
	return n > 0 ? 1 : (int)n;
}

/* The length of the record at the front once all of it is there, else 0. */
static size_t record_there(const struct secure *s)
{
	size_t have = s->in_have - s->in_at;
	size_t n;

	if (have < NOISE_PREFIX)
		return 0;
	n = NOISE_PREFIX + (size_t)get_u16be(s->in + s->in_at);
	return have >= n ? n : 0;
}

static int view_plain(struct secure *s, struct bytes *out, struct err *err)
{
	int rc = s->in_at == s->in_have ? fill(s, err) : 1;

	*out = bytes_of(s->in + s->in_at, s->in_have - s->in_at);
	s->in_at = s->in_have;
	return rc < 0 ? rc : 0;
}

int secure_view(struct secure *s, struct bytes *out, struct err *err)
{
	size_t n, plain;
	int rc;

	if (s->plain)
		return view_plain(s, out, err);
	do {
		while ((n = record_there(s)) == 0) {
			if ((rc = fill(s, err)) < 0)
				return rc;
			if (rc == 0 && s->in_have > 0)
				return err_set(err, E_CLOSED, "the end came inside a record");
			if (rc == 0) {
				*out = bytes_of(NULL, 0);
				return 0;
			}
		}
		uint8_t *record = s->in + s->in_at + NOISE_PREFIX;
		rc = noise_open(&s->rx, record, n - NOISE_PREFIX, &plain, err);
		if (rc != 0)
			return rc;
		s->in_at += n;
		*out = bytes_of(record, plain);
	} while (plain == 0);
	return 0;
}

#define LINGER_BYTES ((size_t)8 << 20)

void secure_linger(struct secure *s, struct duration limit)
{
	struct scope sc;
	size_t left = LINGER_BYTES;
	ssize_t n = 0;

	scope_open_shielded(&sc, limit);
	if (stream_close_write(s->carrier, NULL) == 0)
		n = stream_read(s->carrier, s->in, s->in_cap, NULL);
	while (n > 0 && left > (size_t)n) {
		left -= (size_t)n;
		n = stream_read(s->carrier, s->in, s->in_cap, NULL);
	}
	scope_close(&sc);
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool out_reserve(struct secure_out *o, size_t more)
{
	size_t cap = o->cap ? o->cap : OUT_FIRST;

	while (cap < o->n + more)
		cap *= 2;
	if (cap > SECURE_OUT_MAX)
		return false;
	if (cap == o->cap)
		return true;
	uint8_t *p = realloc(o->p, cap);
	if (!p)
		return false;
	o->p = p;
	o->cap = cap;
	return true;
}

/* Writes the plain length where noise_seal's prefix goes, and leaves room for the tag. */
static void close_record(struct secure_out *o)
{
	if (!o->open)
		return;
	put_u16be(o->p + o->record, (uint16_t)(o->n - o->record - NOISE_PREFIX));
	o->n += AEAD_TAG_SIZE;
	o->open = false;
}

uint8_t *secure_out_frame(struct secure *s, struct secure_out *o, size_t n)
{
	uint8_t *p;

	INVARIANT(n <= NOISE_PLAIN_MAX);
	if (!out_reserve(o, n + RECORD_EXTRA + AEAD_TAG_SIZE))
		return NULL;
	if (o->open && o->n - o->record - NOISE_PREFIX + n > NOISE_PLAIN_MAX)
		close_record(o);
	if (!o->open && !s->plain) {
		o->record = o->n;
		o->n += NOISE_PREFIX;
		o->open = true;
	}
	p = o->p + o->n;
	o->n += n;
	return p;
}

void secure_out_free(struct secure_out *o)
{
	free(o->p);
	*o = (struct secure_out){0};
}

int secure_send(struct secure *s, struct secure_out *o, struct err *err)
{
	int rc = 0;

	close_record(o);
	for (size_t at = 0; rc == 0 && !s->plain && at < o->n;) {
		size_t n = get_u16be(o->p + at);
		rc = noise_seal(&s->tx, o->p + at, n, err);
		at += n + RECORD_EXTRA;
	}
	if (rc == 0)
		rc = stream_write(s->carrier, o->p, o->n, err);
	o->n = 0;
	return rc;
}

/* ---- as a stream --------------------------------------------------------------------------- */

static ssize_t secure_read(struct stream *stream, void *buf, size_t cap, struct err *err)
{
	struct secure *s = secure_of(stream);
	int rc = s->rest.n > 0 ? 0 : secure_view(s, &s->rest, err);
	size_t n = cap < s->rest.n ? cap : s->rest.n;

	if (rc != 0)
		return rc;
	if (n > 0)
		memcpy(buf, s->rest.p, n);
	s->rest = bytes_of(s->rest.p + n, s->rest.n - n);
	return (ssize_t)n;
}

static int secure_write(struct stream *stream, const struct bytes *v, size_t count, struct err *err)
{
	struct secure *s = secure_of(stream);

	for (size_t i = 0; i < count; i++) {
		for (size_t at = 0; at < v[i].n;) {
			size_t n = v[i].n - at < NOISE_PLAIN_MAX ? v[i].n - at : NOISE_PLAIN_MAX;
			uint8_t *p = secure_out_frame(s, &s->written, n);
			if (!p)
				return err_set(err, E_TOO_LARGE, "too much written at once");
			memcpy(p, v[i].p + at, n);
			at += n;
		}
	}
	return secure_send(s, &s->written, err);
}

static int secure_close_write(struct stream *stream, struct err *err)
{
	return err_set(
	    err, E_UNSUPPORTED, "%s: a secured channel has no half-close", stream->remote);
}

static void secure_stream_reset(struct stream *stream, int code)
{
	secure_reset(secure_of(stream), code);
}

static void secure_stream_close(struct stream *stream)
{
	BUG("%s: a secured channel is closed by its owner", stream->remote);
}

static const struct stream_ops secure_ops = {
    .kind = "noise",
    .read = secure_read,
    .write = secure_write,
    .close_write = secure_close_write,
    .reset = secure_stream_reset,
    .close = secure_stream_close,
};

/* ---- life ---------------------------------------------------------------------------------- */

int secure_new_plain(struct stream *carrier, struct secure **out, struct err *err)
{
	struct secure *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(err, E_MEMORY, "no memory for a channel");
	s->stream.ops = &secure_ops;
	s->stream.remote = carrier->remote;
	s->carrier = carrier;
	s->plain = true;
	in_shrink(s);
	*out = s;
	return 0;
}

int secure_new(struct stream *carrier, struct noise_result *keys, struct bytes early,
    struct secure **out, struct err *err)
{
	struct secure *s;
	int rc = secure_new_plain(carrier, &s, err);

	if (rc == 0 && early.n > 0 && (rc = in_grow(s, err)) != 0)
		free(s);
	if (rc != 0)
		return rc;
	INVARIANT(early.n <= s->in_cap);
	if (early.n > 0)
		memcpy(s->in, early.p, early.n);
	s->in_have = early.n;
	s->plain = false;
	s->tx = keys->tx;
	s->rx = keys->rx;
	keys->tx = keys->rx = (struct noise_cipher){0};
	*out = s;
	return 0;
}

int secure_count(struct secure *s, struct account *account, struct err *err)
{
	if (!account_resize(account, 0, s->in != s->small ? IN_SIZE : 0))
		return err_set(err, E_LIMIT, "no memory is left for a record");
	s->account = account;
	return 0;
}

void secure_uncount(struct secure *s)
{
	s->account = NULL;
}

struct stream *secure_detach(struct secure *s)
{
	struct stream *carrier = s->carrier;

	noise_cipher_close(&s->tx);
	noise_cipher_close(&s->rx);
	secure_out_free(&s->written);
	in_shrink(s);
	free(s);
	return carrier;
}

void secure_close(struct secure *s)
{
	stream_close(secure_detach(s));
}

struct stream *secure_stream(struct secure *s)
{
	return &s->stream;
}

void secure_reset(struct secure *s, int code)
{
	stream_reset(s->carrier, code);
}
