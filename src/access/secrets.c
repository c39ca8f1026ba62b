/* Secrets of other services, sealed in the store and nowhere else. */
#include "access/access_priv.h"

#include "base/encode.h"
#include "crypto/sealed.h"

#include <stdlib.h>
#include <string.h>

#define HINT_SIZE   4
#define HINT_OF_MIN 16 /* bytes of a secret that can spare four */

struct secret_row {
	struct access_secret secret;
	char *sealed; /* hex */
};

static int write_secret(struct store_tx *tx, void *arg, struct err *err)
{
	const struct secret_row *r = arg;
	struct store_query q;
	store_query(tx, &q,
	    "INSERT INTO access_secrets (name, sealed, hint, set_ms) VALUES (?, ?, ?, ?)"
	    " ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, hint = excluded.hint,"
	    " set_ms = excluded.set_ms");
	store_bind_text(&q, 1, r->secret.name);
	store_bind_text(&q, 2, r->sealed);
	store_bind_text(&q, 3, r->secret.hint);
	store_bind_int(&q, 4, r->secret.set_ms);
	return store_finish(&q, err);
}

static int read_secret(struct store_tx *tx, void *arg, struct err *err)
{
	struct secret_row *r = arg;
	struct store_query q;
	store_query(tx, &q, "SELECT sealed FROM access_secrets WHERE name = ?");
	store_bind_text(&q, 1, r->secret.name);
	int rc = store_step(&q, err);
	if (rc == STORE_ROW)
		r->sealed = strdup(store_text(&q, 0));
	store_end(&q);
	if (rc == 0)
		return err_set(err, E_NOT_FOUND, "there is no secret \"%s\"", r->secret.name);
	if (rc == STORE_ROW && !r->sealed)
		return err_set(err, E_MEMORY, "no memory for a secret");
	return rc == STORE_ROW ? 0 : rc;
}

static int delete_secret(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;
	store_query(tx, &q, "DELETE FROM access_secrets WHERE name = ?");
	store_bind_text(&q, 1, arg);
	int rc = store_finish(&q, err);
	if (rc == 0 && store_changed(tx) == 0)
		rc = err_set(err, E_NOT_FOUND, "there is no secret \"%s\"", (const char *)arg);
	return rc;
}

static void make_hint(struct bytes secret, char out[8])
{
	out[0] = '\0';
	if (secret.n < HINT_OF_MIN)
		return;
	for (size_t i = 0; i < HINT_SIZE; i++) {
		uint8_t c = secret.p[secret.n - HINT_SIZE + i];
		out[i] = c > 0x20 && c < 0x7f ? (char)c : '?';
	}
	out[HINT_SIZE] = '\0';
}

int access_secret_set(struct access *a, const char *name, struct bytes secret, struct err *err)
{
	uint8_t salt[SEALED_SALT_SIZE];
	struct buf sealed = BUF_INIT(SEALED_OVERHEAD + SEALED_MAX);
	struct secret_row row = {0};
	int rc = name_check("a secret", name, err);
	if (rc == 0 && secret.n == 0)
		rc = err_set(err, E_INVALID, "an empty secret");
	if (rc)
		return rc;
	world_random(a->opt.world, salt, sizeof salt);
	snprintf(row.secret.name, sizeof row.secret.name, "%s", name);
	row.secret.set_ms = world_wall_ms(a->opt.world);
	make_hint(secret, row.secret.hint);
	rc = sealed_close(a->opt.identity, name, secret, salt, &sealed, err);
	if (rc == 0 && !(row.sealed = malloc(2 * sealed.n + 1)))
		rc = err_set(err, E_MEMORY, "no memory for a secret");
	if (rc == 0) {
		hex_encode(buf_view(&sealed), row.sealed);
		rc = store_run(a->opt.store, write_secret, &row, err);
	}
	buf_free(&sealed);
	free(row.sealed);
	return rc;
}

int access_secret_get(struct access *a, const char *name, struct buf *out, struct err *err)
{
	struct secret_row row = {0};
	uint8_t *raw = NULL;
	int rc = name_check("a secret", name, err);
	if (rc)
		return rc;
	snprintf(row.secret.name, sizeof row.secret.name, "%s", name);
	rc = store_read(a->opt.store, read_secret, &row, err);
	size_t n = row.sealed ? strlen(row.sealed) / 2 : 0;
	if (rc == 0 && !(raw = malloc(n + 1)))
		rc = err_set(err, E_MEMORY, "no memory for a secret");
	if (rc == 0 && hex_decode(bytes_str(row.sealed), raw, n) != 0)
		rc = err_set(err, E_FORMAT, "the secret \"%s\" is malformed: set it anew", name);
	if (rc == 0)
		rc = sealed_open(a->opt.identity, name, bytes_of(raw, n), out, err);
	free(raw);
	free(row.sealed);
	return rc;
}

int access_secret_remove(struct access *a, const char *name, struct err *err)
{
	char copy[ACCESS_NAME_MAX];
	int rc = name_check("a secret", name, err);
	if (rc)
		return rc;
	snprintf(copy, sizeof copy, "%s", name);
	return store_run(a->opt.store, delete_secret, copy, err);
}

/* ---- the list ------------------------------------------------------------------------------- */

#define SECRETS_MAX 1024

struct secret_list {
	struct access_secret *of;
	size_t n;
};

static int read_list(struct store_tx *tx, void *arg, struct err *err)
{
	struct secret_list *l = arg;
	struct store_query q;
	int rc;
	store_query(tx, &q, "SELECT name, hint, set_ms FROM access_secrets ORDER BY name");
	while ((rc = store_step(&q, err)) == STORE_ROW && l->n < SECRETS_MAX) {
		struct access_secret *s = &l->of[l->n++];
		snprintf(s->name, sizeof s->name, "%s", store_text(&q, 0));
		snprintf(s->hint, sizeof s->hint, "%s", store_text(&q, 1));
		s->set_ms = store_int(&q, 2);
	}
	store_end(&q);
	return rc == STORE_ROW ? 0 : rc;
}

int access_each_secret(struct access *a, void (*fn)(void *arg, const struct access_secret *s),
    void *arg, struct err *err)
{
	struct secret_list l = {calloc(SECRETS_MAX, sizeof *l.of), 0};
	int rc = l.of ? store_read(a->opt.store, read_list, &l, err)
		      : err_set(err, E_MEMORY, "no memory for a list of secrets");
	for (size_t i = 0; i < l.n && rc == 0; i++)
		fn(arg, &l.of[i]);
	free(l.of);
	return rc;
}
