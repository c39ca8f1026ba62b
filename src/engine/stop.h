/* Stop strings in a stream of text: text goes in as it is generated and comes out as soon as it can
 * no longer be part of a stop string. Of a stop string itself nothing ever comes out. */
#ifndef ENGINE_STOP_H
#define ENGINE_STOP_H

#include "base/bytes.h"

#define STOP_STRINGS_MAX 16
#define STOP_STRING_MAX  1024 /* bytes */

struct stop_filter {
	const struct bytes *stops; /* borrowed */
	size_t n_stops;
	struct buf held; /* owned: an end of the text that may yet become a stop string */
	size_t hit;      /* which stop string has come; n_stops: none yet */
};

/* E_INVALID for too many, too long, empty or ill-formed (UTF-8) stop strings. */
int stop_filter_init(
    struct stop_filter *f, const struct bytes *stops, size_t n_stops, struct err *err) WARN_UNUSED;
void stop_filter_free(struct stop_filter *f);

/* Appends to `out` what is free to go. True when a stop string has come: everything before it (the
 * one that was complete first, however the text was cut) has gone out, the rest is dropped, and
 * nothing may be pushed any more. */
bool stop_filter_push(struct stop_filter *f, struct bytes text, struct buf *out);

/* The text has ended without a stop string: what was held back goes out. */
void stop_filter_finish(struct stop_filter *f, struct buf *out);

#endif
