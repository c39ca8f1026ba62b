/* The messages between members: the first byte chooses which kind the rest is read as, over a pipe.
 * What was read is written again and must be read back the same. */
#include "cluster/cluster_priv.h"
#include "rt/world_sim.h"

#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *data;
	size_t size;
};

static struct stream *pipe_with(const void *p, size_t n)
{
	struct stream *a, *b;

	if (stream_pipe("fuzz", n + 1, &a, &b, NULL) != 0 || stream_write(a, p, n, NULL) != 0)
		abort();
	stream_close(a);
	return b;
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void allowed(int rc)
{
	check(rc == 0 || rc == E_PROTOCOL || rc == E_TOO_LARGE || rc == E_CLOSED || rc == E_RESET);
}

static void hello(struct stream *s)
{
	struct hello h, again;
	struct stream *a, *b;
	int rc = hello_recv(s, &h, NULL);

	allowed(rc);
	if (rc)
		return;
	check(stream_pipe("again", 1 << 16, &a, &b, NULL) == 0 && hello_send(a, &h, NULL) == 0 &&
	      hello_recv(b, &again, NULL) == 0);
	check(h.join == again.join && strcmp(h.label, again.label) == 0);
	check((h.join && !h.invited) || memcmp(h.proof, again.proof, sizeof h.proof) == 0);
	check(h.invited == again.invited && (!h.invited || h.join));
	check(memcmp(h.invitation, again.invitation, sizeof h.invitation) == 0);
	stream_close(a);
	stream_close(b);
}

static void answer(struct stream *s)
{
	struct answer got;
	struct membership m;
	int rc = answer_recv(s, &got, NULL);

	allowed(rc);
	if (rc == 0 && got.kind == ANSWER_ADMITTED) {
		rc = membership_set(&m, got.id, got.key, MEMBERSHIP_JOINED, NULL);
		check(rc == 0 || rc == E_INVALID);
	}
}

static void state(struct stream *s)
{
	struct member_state *st = malloc(sizeof *st), *again = malloc(sizeof *again);
	struct stream *a, *b;
	int rc = state_recv(s, st, NULL);

	allowed(rc);
	if (rc == 0) {
		check(st->n_models <= MEMBER_MODELS_MAX && st->n_peers <= MEMBER_PEERS_MAX);
		/* Escapes make some names longer than they came: then it may not fit. */
		check(stream_pipe("again", MEMBER_FRAME_MAX + 8, &a, &b, NULL) == 0);
		if (state_send(a, st, NULL) == 0) {
			check(state_recv(b, again, NULL) == 0);
			check(again->n_models == st->n_models && again->n_peers == st->n_peers);
			check(again->n_addrs == st->n_addrs && again->queued == st->queued);
		}
		stream_close(a);
		stream_close(b);
	}
	free(st);
	free(again);
}

static void question(struct stream *s)
{
	struct look l;
	int rc = look_recv(s, &l, NULL);

	allowed(rc);
	check(rc != 0 || l.pad <= LOOK_PAD_MAX);
}

static void view(struct stream *s)
{
	struct seen v;
	int rc = seen_recv(s, &v, NULL);

	allowed(rc);
	check(rc != 0 || (v.pad <= LOOK_PAD_MAX && v.now_ms >= 0));
}

static void run(void *arg)
{
	const struct input *in = arg;
	struct stream *s = pipe_with(in->data + 1, in->size - 1);

	if (in->data[0] == 'q')
		question(s);
	else if (in->data[0] == 'v')
		view(s);
	else if (in->data[0] % 3 == 0)
		hello(s);
	else if (in->data[0] % 3 == 1)
		answer(s);
	else
		state(s);
	stream_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct universe_options opt = {.seed = 1};
	struct universe *u;

	if (size < 1)
		return 0;
	check(universe_new(&opt, &u, NULL) == 0);
	check(universe_boot(u, universe_host(u, "alone"), NULL, run, &in, NULL) == 0);
	check(universe_run(u) == UNIVERSE_DONE);
	universe_free(u);
	return 0;
}
