/* The catalog: every provider this node could ask, with the node it belongs to and the models it
 * lists. Whoever learns of a provider adds it; whoever has a prompt looks here. Loop thread only;
 * nothing here parks but the last release. Looking up a model costs the same for ten nodes and for
 * ten thousand.
 *
 * Entries are counted: an entry that is removed while an inference runs on it disappears from the
 * lists at once and is freed when the last holder lets go. */
#ifndef PROVIDER_CATALOG_H
#define PROVIDER_CATALOG_H

#include "crypto/peer_id.h"
#include "provider/provider.h"

struct catalog;

#define CATALOG_ENTRIES_MAX 16384
#define CATALOG_MODELS_MAX  256 /* models of one provider that are looked at */
#define NODE_LABEL_MAX      64  /* bytes of a node's label, with its NUL */

/* Where and how well a provider can be reached. */
struct catalog_node {
	struct peer_id id;
	char label[NODE_LABEL_MAX];
	bool local;               /* this node's own */
	struct duration rtt;      /* 0: unknown or local */
	uint32_t running, queued; /* requests there, as far as known */
	uint32_t slots;           /* answers at once, where we keep its line; 0: it keeps its own */
	int64_t price_in_msat;    /* for a million tokens of a prompt */
	int64_t price_out_msat;   /* for a million tokens of an answer */
	bool unshared;            /* for this node's own clients only */
	bool distrusted;          /* strangers' answers count for less than members' */
};

/* What the room above keeps about an entry: malloc, freed with it. */
struct catalog_standing;

struct catalog_entry {
	struct provider *provider; /* NULL once removed and closed */
	struct catalog_node node;
	bool listed;                       /* false once removed */
	struct catalog_standing *standing; /* NULL until somebody keeps one */
	/* Private. */
	unsigned refs;
	struct catalog_entry *next, **prev;
	struct catalog_place *places; /* where it stands in the index */
	size_t n_places;
};

struct catalog *catalog_new(void); /* NULL without memory */
/* [parks] Closes what is left; nobody may hold entries any more. */
void catalog_free(struct catalog *c);

/* Adds a provider and takes it over; the returned entry is held by the catalog, and its `node` may
 * be updated in place by whoever added it until catalog_remove. E_LIMIT, E_MEMORY: `p` stays the
 * caller's. */
int catalog_add(struct catalog *c, struct provider *p, const struct catalog_node *node,
    struct catalog_entry **out, struct err *err) WARN_UNUSED;
/* Takes it off the lists; it is closed when nobody holds it. */
void catalog_remove(struct catalog *c, struct catalog_entry *e);
/* The provider lists other models than before. Called by whoever made it so; until then, and
 * without memory, it is found under the old ones. */
void catalog_models_changed(struct catalog *c, struct catalog_entry *e);

void catalog_hold(struct catalog_entry *e);
/* [parks] when this was the last hold of a removed entry. */
void catalog_release(struct catalog_entry *e);

/* The entries that serve `model` ("": any model), at most cap; each is held for the caller.
 * `self_only` leaves out other nodes. */
size_t catalog_find(
    struct catalog *c, const char *model, bool self_only, struct catalog_entry **out, size_t cap);

/* How many entries serve `model` ("": any model). */
size_t catalog_count(const struct catalog *c, const char *model);

/* Of those, number `at` (0 … count − 1) in an order that changes only when entries come or go; held
 * for the caller. NULL when there are fewer. */
struct catalog_entry *catalog_at(struct catalog *c, const char *model, size_t at);

/* Number `at` of this node's own entries that serve any model, held; NULL when there are fewer. */
struct catalog_entry *catalog_own(struct catalog *c, size_t at);

/* Whether it is worth listing: a server that is out of reach is known, so that a request for it is
 * told to come back, but offered to nobody. */
bool catalog_offers(const struct catalog_entry *e);

/* All (model, node) pairs that are offered, at most cap; returns how many were written. An entry
 * has nearly 500 bytes: not an array for a fiber's stack. */
size_t catalog_models(struct catalog *c, struct model_entry *out, size_t cap);

/* Which node `name` means: a NodeId, a PeerId, or a label that only one node has. E_NOT_FOUND, or
 * E_INVALID when several nodes have that label. */
int catalog_node(
    struct catalog *c, const char *name, struct peer_id *out, struct err *err) WARN_UNUSED;

/* A number that changes whenever entries come or go. */
uint64_t catalog_generation(const struct catalog *c);

#endif
