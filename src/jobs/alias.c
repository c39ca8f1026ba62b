/* See alias.h. */
#include "jobs/alias.h"

static int copy(const char *p, size_t n, char out[MODEL_ID_MAX], struct err *err)
{
	if (n == 0)
		return err_set(err, E_INVALID, "a model's name is empty");
	if (n >= MODEL_ID_MAX)
		return err_set(
		    err, E_INVALID, "a model's name has more than %d bytes", MODEL_ID_MAX - 1);
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

int alias_parse(const char *text, struct alias *out, struct err *err)
{
	const char *equals = strchr(text, '=');
	*out = (struct alias){.n_targets = 0};
	if (!equals)
		return err_set(
		    err, E_INVALID, "\"%.64s\": the form is NAME=MODEL or NAME=MODEL|MODEL", text);
	int rc = copy(text, (size_t)(equals - text), out->name, err);
	for (const char *p = equals + 1; rc == 0;) {
		size_t n = strcspn(p, "|");
		if (out->n_targets == ALIAS_TARGETS_MAX)
			return err_set(err, E_INVALID, "\"%.64s\": more than %d models", out->name,
			    ALIAS_TARGETS_MAX);
		rc = copy(p, n, out->targets[out->n_targets++], err);
		if (!p[n])
			break;
		p += n + 1;
	}
	for (size_t i = 0; rc == 0 && i < out->n_targets; i++)
		if (strcmp(out->targets[i], out->name) == 0)
			rc = err_set(err, E_INVALID, "\"%.64s\" means itself", out->name);
	return rc;
}

const struct alias *alias_find(const struct alias *aliases, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(aliases[i].name, name) == 0)
			return &aliases[i];
	return NULL;
}
