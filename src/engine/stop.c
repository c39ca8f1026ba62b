/* Stop strings in a stream of text: see stop.h. Whole characters come in and stop strings begin
 * with whole characters, so what is released is whole, too. */
#include "engine/stop.h"

#include "base/encode.h"

#define PUSH_MAX ((size_t)1 << 24)

int stop_filter_init(
    struct stop_filter *f, const struct bytes *stops, size_t n_stops, struct err *err)
{
	*f = (struct stop_filter){stops, n_stops, BUF_INIT(PUSH_MAX), n_stops};
	if (n_stops > STOP_STRINGS_MAX)
		return err_set(err, E_INVALID, "more than %d stop strings", STOP_STRINGS_MAX);
	for (size_t i = 0; i < n_stops; i++) {
		if (stops[i].n == 0 || stops[i].n > STOP_STRING_MAX)
			return err_set(err, E_INVALID, "a stop string must have 1 to %d bytes",
			    STOP_STRING_MAX);
		if (utf8_valid_prefix(stops[i]) != stops[i].n)
			return err_set(err, E_INVALID, "a stop string is not valid UTF-8");
	}
	return 0;
}

void stop_filter_free(struct stop_filter *f)
{
	buf_free(&f->held);
}

/* Where the stop string that is complete first begins, the longest of such; text.n without one. */
static size_t find_stop(struct stop_filter *f, struct bytes text)
{
	size_t start = text.n, end = SIZE_MAX;
	for (size_t i = 0; i < f->n_stops; i++) {
		size_t n = f->stops[i].n;
		const uint8_t *hit = memmem(text.p, text.n, f->stops[i].p, n);
		size_t at = hit ? (size_t)(hit - text.p) : 0;
		if (!hit || at + n > end || (at + n == end && at > start))
			continue;
		start = at;
		end = at + n;
		f->hit = i;
	}
	return start;
}

/* Bytes at the end of `text` that begin one of the stop strings; the most that do. */
static size_t tail_to_hold(const struct stop_filter *f, struct bytes text)
{
	size_t most = 0;
	for (size_t i = 0; i < f->n_stops; i++) {
		size_t n = f->stops[i].n - 1 < text.n ? f->stops[i].n - 1 : text.n;
		while (n > most && memcmp(text.p + text.n - n, f->stops[i].p, n) != 0)
			n--;
		if (n > most)
			most = n;
	}
	return most;
}

bool stop_filter_push(struct stop_filter *f, struct bytes text, struct buf *out)
{
	buf_bytes(&f->held, text);
	struct bytes all = buf_view(&f->held);
	size_t stop = all.n ? find_stop(f, all) : 0;
	bool stopped = stop < all.n;
	size_t go = stopped ? stop : all.n - tail_to_hold(f, all);
	buf_put(out, all.p, go);
	buf_consume(&f->held, stopped ? all.n : go);
	return stopped;
}

void stop_filter_finish(struct stop_filter *f, struct buf *out)
{
	buf_bytes(out, buf_view(&f->held));
	buf_reset(&f->held);
}
