/* What the TCP streams of both worlds have in common, so that stream_netaddrs works on either.
 * Private to rt. A TCP stream embeds tcp_stream first, and its ops carry tcp_stream_kind itself:
 * the pointer, not the text, is what tells it apart. */
#ifndef RT_TCP_PRIV_H
#define RT_TCP_PRIV_H

#include "rt/world.h"

extern const char tcp_stream_kind[]; /* "tcp" */

struct tcp_stream {
	struct stream stream;
	struct netaddr local, remote;
	char remote_text[NETADDR_TEXT_MAX]; /* stream.remote points here */
};

/* Fills the addresses and stream.remote; the caller sets stream.ops. */
static inline void tcp_stream_init(
    struct tcp_stream *t, const struct netaddr *local, const struct netaddr *remote)
{
	t->local = *local;
	t->remote = *remote;
	netaddr_print(remote, t->remote_text);
	t->stream.remote = t->remote_text;
}

#endif
