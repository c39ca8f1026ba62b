/* Inside the fleet: its servers, the kinds there are, and how they are kept. */
#ifndef PROVIDER_FLEET_PRIV_H
#define PROVIDER_FLEET_PRIV_H

#include "provider/fleet.h"

struct fleet_kind {
	const char *name;
	const struct upstream *dialect;
	const char *url; /* the usual one; NULL: none */
	bool discovered; /* looked for at its usual address */
};

/* NULL: no such kind. */
const struct fleet_kind *fleet_kind_find(const char *name);
extern const struct fleet_kind fleet_kinds[];
extern const size_t fleet_n_kinds;

struct server {
	struct server *next;
	struct fleet *fleet;
	struct fleet_spec spec; /* the key wiped */
	const struct fleet_kind *kind;
	bool found;
	char key_tail[FLEET_TAIL + 1];
	struct provider *provider;
	struct catalog_entry *entry;
};

/* [parks] Each spec, with its key. The key is wiped after the call. */
int fleet_load(struct store *store, const struct identity *id,
    int (*fn)(void *arg, struct fleet_spec *spec, struct err *err), void *arg,
    struct err *err) WARN_UNUSED;
int fleet_save(struct store *store, struct world *w, const struct identity *id,
    const struct fleet_spec *spec, struct err *err) WARN_UNUSED;
int fleet_forget(struct store *store, const char *name, struct err *err) WARN_UNUSED;

#endif
