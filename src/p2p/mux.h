/* A multiplexer over any private stream: many streams between two processes of one program, over
 * a socketpair or a pipe. The same yamux session as between peers, without encryption: only for
 * carriers that nobody else can reach. SPEC yamux. */
#ifndef P2P_MUX_H
#define P2P_MUX_H

#include "rt/stream.h"

struct mux;

enum mux_side {
	MUX_DIALER,
	MUX_LISTENER
};

/* An inbound stream; the fiber that runs this owns and closes it. */
typedef void (*mux_serve_fn)(void *arg, struct stream *s);

/* Takes `carrier` over on success. Its fibers live below the current scope. `serve` NULL refuses
 * inbound streams. */
int mux_new(struct stream *carrier, enum mux_side side, mux_serve_fn serve, void *arg,
    struct mux **out, struct err *err) WARN_UNUSED;
/* [parks] A stream to the other side. E_CLOSED once the session has ended. */
int mux_open(struct mux *m, struct stream **out, struct err *err) WARN_UNUSED;
/* [parks] Until the session ends; the reason. */
int mux_wait(struct mux *m, struct err *err);
/* [parks] Ends it: streams are reset, serving fibers cancelled and joined. */
void mux_close(struct mux *m);

#endif
