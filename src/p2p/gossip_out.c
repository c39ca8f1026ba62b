/* What a gossip router has decided, on its way to the driver: frames shared between many receivers,
 * and control gathered into one RPC per peer and call. */
#include "p2p/gossip_priv.h"

#include <stdlib.h>

/* ---- frames -------------------------------------------------------------------------------- */

struct bytes gossip_frame_bytes(const struct gossip_frame *f)
{
	return bytes_of(f->bytes, f->n);
}

struct gossip_frame *gossip_frame_ref(struct gossip_frame *f)
{
	f->refs++;
	return f;
}

void gossip_frame_unref(struct gossip_frame *f)
{
	if (f && --f->refs == 0)
		free(f);
}

/* A frame of an RPC's body: its length goes before it. */
static struct gossip_frame *frame_of(struct bytes rpc)
{
	uint8_t head[VARINT_MAX];
	size_t n = varint_encode(rpc.n, head);
	struct gossip_frame *f = rpc.n <= GOSSIP_RPC_MAX ? malloc(sizeof *f + n + rpc.n) : NULL;

	if (!f)
		return NULL;
	*f = (struct gossip_frame){.refs = 1, .n = n + rpc.n};
	memcpy(f->bytes, head, n);
	memcpy(f->bytes + n, rpc.p, rpc.n);
	return f;
}

struct gossip_frame *gossip_frame_of_message(struct bytes raw)
{
	struct buf body = BUF_INIT(GOSSIP_RPC_MAX);
	struct gossip_frame *f = NULL;

	gossip_put_message(&body, raw);
	if (!body.failed)
		f = frame_of(buf_view(&body));
	buf_free(&body);
	if (f &&
	    gossip_message_decode(bytes_of(f->bytes + f->n - raw.n, raw.n), &f->msg, NULL) < 0) {
		gossip_frame_unref(f);
		return NULL;
	}
	return f;
}

/* ---- decisions ----------------------------------------------------------------------------- */

struct gossip_out *gossip_decide(struct gossip_router *r, enum gossip_out_kind kind)
{
	struct gossip_decision *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->out.kind = kind;
	*(r->last ? &r->last->next : &r->first) = d;
	r->last = d;
	return &d->out;
}

bool gossip_router_next(struct gossip_router *r, struct gossip_out *out)
{
	struct gossip_decision *d = r->first;

	if (!d)
		return false;
	*out = d->out;
	r->first = d->next;
	if (!r->first)
		r->last = NULL;
	free(d);
	return true;
}

void gossip_out_free(struct gossip_out *out)
{
	gossip_frame_unref(out->frame);
	free(out->addrs);
}

void gossip_send(
    struct gossip_router *r, struct gossip_peer *p, struct gossip_frame *f, bool control)
{
	struct gossip_out *out = gossip_decide(r, GOSSIP_OUT_SEND);

	if (!out)
		return;
	out->peer = p->id;
	out->user = p->user;
	out->frame = gossip_frame_ref(f);
	out->control = control;
}

static void send_control(struct gossip_router *r, struct gossip_peer *p)
{
	struct gossip_frame *f = p->control.failed ? NULL : frame_of(buf_view(&p->control));

	if (f)
		gossip_send(r, p, f, true);
	gossip_frame_unref(f);
	buf_free(&p->control);
	p->control.failed = false;
}

struct buf *gossip_control(struct gossip_router *r, struct gossip_peer *p)
{
	if (!p->pending) {
		p->pending = true;
		p->pending_next = NULL;
		*(r->control_last ? &r->control_last->pending_next : &r->control_first) = p;
		r->control_last = p;
	}
	if (p->control.n > GOSSIP_CONTROL_SOFT)
		send_control(r, p);
	p->control.max = GOSSIP_RPC_MAX;
	return &p->control;
}

void gossip_flush(struct gossip_router *r)
{
	struct gossip_peer *p;

	while ((p = r->control_first) != NULL) {
		r->control_first = p->pending_next;
		p->pending = false;
		if (p->connected && (p->control.n > 0 || p->control.failed))
			send_control(r, p);
	}
	r->control_last = NULL;
}
