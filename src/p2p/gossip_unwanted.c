/* IDONTWANT: who has a large message already says so, and is spared further copies. SPEC
 * gossipsub-v1.2.
 *
 * A peer's unwanted messages are remembered by keyed hashes in a ring of fixed size, made when its
 * first IDONTWANT comes: whoever names more than fits loses only what it said first. */
#include "p2p/gossip_priv.h"

#include <stdlib.h>

struct gossip_unwanted {
	uint64_t key;
	uint64_t until; /* heartbeats */
};

static bool understands(const struct gossip_peer *p)
{
	return p->connected && p->protocol >= GOSSIP_MESHSUB_12;
}

/* Before its verdict, so that it is in time; after its signature was checked, for a forged copy
 * must not keep the true one away from us. */
void gossip_tell_unwanted(struct gossip_router *r, const struct gossip_peer *source,
    const struct gossip_topic *t, const struct gossip_entry *e)
{
	if (e->frame->msg.data.n < r->params.idontwant_min)
		return;
	for (const struct gossip_link *l = t->links; l; l = l->topic_next) {
		if (!l->mesh || l->peer == source || !understands(l->peer))
			continue;
		struct bytes id = gossip_id_for(l->peer, &e->id);
		gossip_put_ids(
		    gossip_control(r, l->peer), GOSSIP_IDONTWANT, (struct bytes){0}, &id, 1);
	}
}

void gossip_take_unwanted(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	struct cursor c = cursor_of(item->body);
	struct gossip_id id;
	struct bytes wire;

	if (!understands(p) || gossip_score(r, p) < r->score.gossip_threshold)
		return;
	if (!p->unwanted)
		p->unwanted = calloc(GOSSIP_UNWANTED_MAX, sizeof *p->unwanted);
	while (p->unwanted && p->refused < GOSSIP_UNWANTED_MAX &&
	       gossip_ids_next(&c, GOSSIP_IDONTWANT, &wire)) {
		struct gossip_unwanted *u = &p->unwanted[p->unwanted_at++ % GOSSIP_UNWANTED_MAX];
		p->refused++;
		*u = (struct gossip_unwanted){0};
		if (gossip_id_of(wire, &id))
			*u = (struct gossip_unwanted){
			    gossip_id_key(r, &id), r->ticks + GOSSIP_UNWANTED_TICKS};
	}
}

bool gossip_is_unwanted(
    const struct gossip_router *r, const struct gossip_peer *p, const struct gossip_id *id)
{
	uint64_t key;

	if (!p->unwanted)
		return false;
	key = gossip_id_key(r, id);
	for (size_t i = 0; i < GOSSIP_UNWANTED_MAX; i++)
		if (p->unwanted[i].key == key && r->ticks < p->unwanted[i].until)
			return true;
	return false;
}

void gossip_forget_unwanted(struct gossip_peer *p)
{
	free(p->unwanted);
	p->unwanted = NULL;
	p->unwanted_at = p->refused = 0;
}
