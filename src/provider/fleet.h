/* The fleet: servers at addresses that this node may ask, those that its owner named and those
 * found on the usual ports of this machine. Named ones are kept in the store, their keys sealed;
 * found ones come and go with what listens. All of them stand in the catalog as this node's own. */
#ifndef PROVIDER_FLEET_H
#define PROVIDER_FLEET_H

#include "crypto/identity.h"
#include "provider/catalog.h"
#include "provider/remote.h"
#include "store/store.h"

struct fleet;

#define FLEET_SERVERS_MAX  64
#define FLEET_URL_MAX      1024
#define FLEET_KIND_MAX     16
#define FLEET_TAIL         4     /* characters of a key that may be shown */
#define FLEET_DISCOVER_MS  30000 /* between looks at the usual ports */
#define FLEET_ANNOUNCED_MS 10000 /* how long fleet_add waits for the first look */

extern const struct store_schema fleet_schema;

struct fleet_options {
	struct world *world;
	struct catalog *catalog;
	const struct identity *identity; /* seals the keys */
	const char *label;               /* of this node; borrowed */
	struct store *store;             /* opened with fleet_schema; NULL: nothing is kept */
	bool discover;                   /* look at the usual ports, again and again */
	uint16_t own_port;               /* of our own API: never found as a server */
	void (*changed)(void *arg);      /* models came or went; must not park */
	void *arg;
};

/* What a server is, as its owner names it. */
struct fleet_spec {
	char name[REMOTE_NAME_MAX];
	char kind[FLEET_KIND_MAX]; /* "ollama", "lmstudio", "llamacpp", "vllm", "exo", "openai",
				      "anthropic" */
	char url[FLEET_URL_MAX];   /* "" where the kind has a usual one */
	char key[REMOTE_KEY_MAX + 1];
	bool shared;                           /* members of the cluster may use it too */
	int64_t price_in_msat, price_out_msat; /* for a million tokens */
};

struct fleet_server {
	struct fleet_spec spec; /* the key wiped */
	bool found;             /* on a usual port, not named */
	char key_tail[FLEET_TAIL + 1];
	struct provider_status status;
	size_t n_models;
	const struct catalog_entry *entry; /* borrowed until the caller parks */
};

/* [parks] Starts the named ones without waiting for them. E_MEMORY, the store's errors. */
int fleet_new(const struct fleet_options *opt, struct fleet **out, struct err *err) WARN_UNUSED;
/* [parks] */
void fleet_close(struct fleet *f);

/* [parks] Adds a server and waits for the first look at it; a server that cannot be reached is kept
 * all the same, and its status tells. E_INVALID (name, kind, address), E_EXISTS, E_LIMIT. */
int fleet_add(struct fleet *f, const struct fleet_spec *spec, struct err *err) WARN_UNUSED;
/* [parks] E_NOT_FOUND. What runs on it runs on to its end. */
int fleet_remove(struct fleet *f, const char *name, struct err *err) WARN_UNUSED;
/* [parks] Looks at the usual ports and at all servers now; returns when that is done. */
void fleet_refresh(struct fleet *f);

/* Must not park. */
void fleet_each(
    struct fleet *f, void (*fn)(void *arg, const struct fleet_server *server), void *arg);

#endif
