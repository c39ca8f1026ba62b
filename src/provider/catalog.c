/* The catalog of providers: a list of all, and an index from a model's name to those who serve it.
 * Each entry knows its places in the index, so that leaving costs only what it serves. */
#include "provider/catalog.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* The entries that serve one model. */
struct model_index {
	char id[MODEL_ID_MAX]; /* "": all that serve any */
	struct catalog_entry **entries;
	size_t n, cap;
	UT_hash_handle hh;
};

/* Number `at` of `model` is the entry whose place this is. */
struct catalog_place {
	struct model_index **table;
	struct model_index *model;
	size_t at;
};

struct catalog {
	struct catalog_entry *first;
	struct model_index *models; /* of all nodes */
	struct model_index *own;    /* of this node */
	size_t n;
	uint64_t generation;
};

struct catalog *catalog_new(void)
{
	return calloc(1, sizeof(struct catalog));
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	while (c->first)
		catalog_remove(c, c->first);
	free(c);
}

/* ---- the index ------------------------------------------------------------------------------- */

static struct model_index *find_model(struct model_index *table, const char *id)
{
	struct model_index *m;
	HASH_FIND_STR(table, id, m);
	return m;
}

static struct model_index *need_model(struct model_index **table, const char *id)
{
	struct model_index *m = find_model(*table, id);
	if (m || !(m = calloc(1, sizeof *m)))
		return m;
	snprintf(m->id, sizeof m->id, "%s", id);
	HASH_ADD_STR(*table, id, m);
	return m;
}

static void drop_empty(struct model_index **table, struct model_index *m)
{
	if (m->n > 0)
		return;
	HASH_DEL(*table, m);
	free(m->entries);
	free(m);
}

static bool has_room(struct model_index *m)
{
	if (m->n < m->cap)
		return true;
	size_t cap = m->cap ? 2 * m->cap : 4;
	struct catalog_entry **grown = realloc(m->entries, cap * sizeof *grown);
	if (!grown)
		return false;
	m->entries = grown;
	m->cap = cap;
	return true;
}

/* `places` has room for it. */
static bool enter(struct model_index **table, struct catalog_entry *e, const char *id)
{
	struct model_index *m = need_model(table, id);
	if (!m)
		return false;
	if (m->n > 0 && m->entries[m->n - 1] == e)
		return true; /* listed twice */
	if (!has_room(m)) {
		drop_empty(table, m);
		return false;
	}
	e->places[e->n_places++] = (struct catalog_place){table, m, m->n};
	m->entries[m->n++] = e;
	return true;
}

/* Among all, and among our own. */
static bool enter_both(struct catalog *c, struct catalog_entry *e, const char *id)
{
	return enter(&c->models, e, id) && (!e->node.local || enter(&c->own, e, id));
}

static void move_place(struct catalog_entry *e, const struct model_index *m, size_t to)
{
	for (size_t i = 0; i < e->n_places; i++)
		if (e->places[i].model == m)
			e->places[i].at = to;
}

/* The last of each list takes the place of the one that goes. */
static void leave(struct catalog_entry *e)
{
	for (size_t i = 0; i < e->n_places; i++) {
		struct catalog_place at = e->places[i];
		struct catalog_entry *last = at.model->entries[--at.model->n];
		at.model->entries[at.at] = last;
		move_place(last, at.model, at.at);
		drop_empty(at.table, at.model);
	}
	free(e->places);
	e->places = NULL;
	e->n_places = 0;
}

void catalog_models_changed(struct catalog *c, struct catalog_entry *e)
{
	size_t n;
	const struct model_entry *models = provider_models(e->provider, &n);
	if (n > CATALOG_MODELS_MAX)
		n = CATALOG_MODELS_MAX;
	struct catalog_place *places = calloc(2 * (n + 1), sizeof *places);
	if (!places || !e->listed) {
		free(places);
		return;
	}
	leave(e);
	e->places = places;
	bool ok = n == 0 || enter_both(c, e, "");
	for (size_t i = 0; ok && i < n; i++)
		ok = enter_both(c, e, models[i].id);
}

/* ---- coming and going ------------------------------------------------------------------------ */

int catalog_add(struct catalog *c, struct provider *p, const struct catalog_node *node,
    struct catalog_entry **out, struct err *err)
{
	if (c->n >= CATALOG_ENTRIES_MAX)
		return err_set(err, E_LIMIT, "more than %d providers", CATALOG_ENTRIES_MAX);
	struct catalog_entry *e = calloc(1, sizeof *e);
	if (!e)
		return err_set(err, E_MEMORY, "no memory for a provider");
	*e = (struct catalog_entry){.provider = p,
	    .node = *node,
	    .listed = true,
	    .refs = 1,
	    .next = c->first,
	    .prev = &c->first};
	if (e->next)
		e->next->prev = &e->next;
	c->first = e;
	c->n++;
	c->generation++;
	catalog_models_changed(c, e);
	*out = e;
	return 0;
}

void catalog_remove(struct catalog *c, struct catalog_entry *e)
{
	if (!e->listed)
		return;
	leave(e);
	*e->prev = e->next;
	if (e->next)
		e->next->prev = e->prev;
	c->n--;
	c->generation++;
	e->listed = false;
	catalog_release(e);
}

void catalog_hold(struct catalog_entry *e)
{
	e->refs++;
}

void catalog_release(struct catalog_entry *e)
{
	INVARIANT(e->refs > 0);
	if (--e->refs > 0)
		return;
	provider_close(e->provider);
	free(e->standing);
	free(e);
}

/* ---- looking --------------------------------------------------------------------------------- */

size_t catalog_find(
    struct catalog *c, const char *model, bool self_only, struct catalog_entry **out, size_t cap)
{
	const struct model_index *m = find_model(self_only ? c->own : c->models, model);
	size_t n = 0;
	for (; m && n < m->n && n < cap; n++) {
		out[n] = m->entries[n];
		catalog_hold(out[n]);
	}
	return n;
}

size_t catalog_count(const struct catalog *c, const char *model)
{
	const struct model_index *m = find_model(c->models, model);
	return m ? m->n : 0;
}

static struct catalog_entry *hold_at(struct model_index *table, const char *model, size_t at)
{
	const struct model_index *m = find_model(table, model);
	if (!m || at >= m->n)
		return NULL;
	catalog_hold(m->entries[at]);
	return m->entries[at];
}

struct catalog_entry *catalog_at(struct catalog *c, const char *model, size_t at)
{
	return hold_at(c->models, model, at);
}

struct catalog_entry *catalog_own(struct catalog *c, size_t at)
{
	return hold_at(c->own, "", at);
}

bool catalog_offers(const struct catalog_entry *e)
{
	struct provider_status status;
	provider_status(e->provider, &status);
	return status.health != PROVIDER_UNHEALTHY || strcmp(e->provider->ops->kind, "remote") != 0;
}

size_t catalog_models(struct catalog *c, struct model_entry *out, size_t cap)
{
	size_t total = 0;
	for (struct catalog_entry *e = c->first; e; e = e->next) {
		size_t n;
		const struct model_entry *models = provider_models(e->provider, &n);
		if (!catalog_offers(e))
			continue;
		for (size_t i = 0; i < n && total < cap; i++) {
			struct model_entry *m = &out[total++];
			*m = models[i];
			if (node_id_print(&e->node.id, m->owner, NULL) != 0)
				m->owner[0] = '\0';
			memcpy(m->owner_label, e->node.label, sizeof m->owner_label);
		}
	}
	return total;
}

int catalog_node(struct catalog *c, const char *name, struct peer_id *out, struct err *err)
{
	struct bytes text = bytes_str(name);
	if (node_id_parse(text, out, NULL) == 0 || peer_id_parse(text, out, NULL) == 0)
		return 0;
	const struct catalog_entry *found = NULL;
	for (const struct catalog_entry *e = c->first; e; e = e->next) {
		if (strcmp(e->node.label, name) != 0)
			continue;
		if (found && !peer_id_equal(&found->node.id, &e->node.id))
			return err_set(err, E_INVALID,
			    "several nodes are called \"%s\": use the node id instead", name);
		found = e;
	}
	if (!found)
		return err_set(err, E_NOT_FOUND, "no node called \"%s\" is known", name);
	*out = found->node.id;
	return 0;
}

uint64_t catalog_generation(const struct catalog *c)
{
	return c->generation;
}
