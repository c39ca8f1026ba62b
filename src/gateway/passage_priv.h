/* One HTTP exchange passed on, whole: from a client to a peer, or from a peer to a service. Both
 * bodies stream, with back-pressure, in pieces of 16 KiB; nothing is kept whole. */
#ifndef GATEWAY_PASSAGE_PRIV_H
#define GATEWAY_PASSAGE_PRIV_H

#include "gateway/forward.h"
#include "http/client.h"
#include "http/server.h"

struct passage_options {
	const struct forward_hop *hop;
	const char *host;           /* the Host header of the next hop */
	struct duration head_limit; /* from the last sign of life to the answer's head */
	struct duration idle_limit; /* without a byte in either direction, from then on */
};

/* [parks] Sends the request of `x` on through `*client` and its answer back. The client stays the
 * caller's, but for a change of protocols, after which it is gone and NULL.
 * 0 when the answer went out to its end. Otherwise nothing was answered (http_response_begun tells)
 * and the error is for the client, or the answer is broken off: E_TIMEOUT, E_CLOSED, E_RESET,
 * E_PROTOCOL (the next hop's faults), the errors of http_body_read, E_CANCELLED. */
int passage_run(struct http_exchange *x, struct http_client **client,
    const struct passage_options *opt, struct err *err) WARN_UNUSED;

/* Whether the request can be sent again when nothing came of it. */
bool passage_repeatable(const struct http_exchange *x);

#endif
