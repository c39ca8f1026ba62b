/* multistream-select driven over a stream. See mss_priv.h for the rules. */
#ifndef P2P_NEGOTIATE_PRIV_H
#define P2P_NEGOTIATE_PRIV_H

#include "p2p/mss_priv.h"
#include "rt/stream.h"

/* [parks] Proposes the names in turn; *chosen is the index of the one accepted. E_UNSUPPORTED when
 * all are refused, E_PROTOCOL, or the stream's error. Reads not a byte too many. */
int negotiate_dial(struct stream *s, const char *const *names, size_t count, size_t *chosen,
    struct err *err) WARN_UNUSED;

/* [parks] Answers proposals until `accept` takes one; its name is in chosen. */
int negotiate_listen(struct stream *s, mss_accept_fn accept, void *arg,
    char chosen[MSS_NAME_MAX + 1], struct err *err) WARN_UNUSED;

/* ---- a single proposal, its answer read later --------------------------------------------- */

/* The limit to give the buffers below. */
#define NEGOTIATE_EXPECT_MAX (2 * (MSS_LINE_MAX + 2))
/* The lines that propose `name`; the same lines accept it. */
void negotiate_expected(const char *name, struct buf *out);
/* Compares `got` with what is expected from offset `at` on: 0, E_UNSUPPORTED for a refusal,
 * E_PROTOCOL. */
int negotiate_compare(struct bytes expected, size_t at, struct bytes got, const char *name,
    struct err *err) WARN_UNUSED;

#endif
