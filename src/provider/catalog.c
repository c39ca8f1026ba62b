/* The catalog of providers. A plain list: a node knows tens of providers, seldom thousands, and
 * each look goes over all of them anyway. */
#include "provider/catalog.h"

#include <stdlib.h>
#include <string.h>

struct catalog {
	struct catalog_entry *first;
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

int catalog_add(struct catalog *c, struct provider *p, const struct catalog_node *node,
    struct catalog_entry **out, struct err *err)
{
	if (c->n >= CATALOG_ENTRIES_MAX)
		return err_set(err, E_LIMIT, "more than %d providers", CATALOG_ENTRIES_MAX);
	struct catalog_entry *e = calloc(1, sizeof *e);
	if (!e)
		return err_set(err, E_MEMORY, "no memory for a provider");
	*e = (struct catalog_entry){
	    .provider = p, .node = *node, .listed = true, .refs = 1, .next = c->first};
	c->first = e;
	c->n++;
	c->generation++;
	*out = e;
	return 0;
}

void catalog_remove(struct catalog *c, struct catalog_entry *e)
{
	for (struct catalog_entry **at = &c->first; *at; at = &(*at)->next) {
		if (*at != e)
			continue;
		*at = e->next;
		c->n--;
		c->generation++;
		e->listed = false;
		catalog_release(e);
		return;
	}
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
	free(e);
}

static bool serves(struct catalog_entry *e, const char *model)
{
	size_t n;
	const struct model_entry *models = provider_models(e->provider, &n);
	for (size_t i = 0; i < n; i++)
		if (!model[0] || strcmp(models[i].id, model) == 0)
			return true;
	return false;
}

size_t catalog_find(
    struct catalog *c, const char *model, bool self_only, struct catalog_entry **out, size_t cap)
{
	size_t n = 0;
	for (struct catalog_entry *e = c->first; e && n < cap; e = e->next) {
		if ((self_only && !e->node.local) || !serves(e, model))
			continue;
		catalog_hold(e);
		out[n++] = e;
	}
	return n;
}

size_t catalog_models(struct catalog *c, struct model_entry *out, size_t cap)
{
	size_t total = 0;
	for (struct catalog_entry *e = c->first; e; e = e->next) {
		size_t n;
		const struct model_entry *models = provider_models(e->provider, &n);
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
