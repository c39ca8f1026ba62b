/* The one decision: see access.h. */
#include "access/access_priv.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_PER_TOKEN 4
#define ANSWER_TOKENS   256 /* of a request that sets no limit */

static const char *const steps[] = {
    "CREATE TABLE access_keys ("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, rights BIGINT NOT NULL,"
    " models TEXT NOT NULL, requests_per_min BIGINT NOT NULL, tokens_per_min BIGINT NOT NULL,"
    " concurrent BIGINT NOT NULL, created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL,"
    " used_ms BIGINT NOT NULL, revoked_ms BIGINT NOT NULL);"
    "CREATE TABLE access_peers ("
    " peer TEXT PRIMARY KEY, name TEXT NOT NULL, rights BIGINT NOT NULL, models TEXT NOT NULL,"
    " requests_per_min BIGINT NOT NULL, tokens_per_min BIGINT NOT NULL,"
    " concurrent BIGINT NOT NULL, since_ms BIGINT NOT NULL)",
};

const struct store_schema access_schema = {"access", steps, sizeof steps / sizeof *steps};

/* ---- words ---------------------------------------------------------------------------------- */

static const char *const right_names[] = {"inference", "embeddings", "models", "records", "admin"};
#define N_RIGHTS (sizeof right_names / sizeof *right_names)

void access_rights_print(unsigned rights, char out[ACCESS_NAME_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < N_RIGHTS; i++)
		if (rights & 1u << i)
			n += (size_t)snprintf(
			    out + n, ACCESS_NAME_MAX - n, "%s%s", n ? "," : "", right_names[i]);
	if (n == 0)
		snprintf(out, ACCESS_NAME_MAX, "none");
}

int access_rights_parse(const char *text, unsigned *out, struct err *err)
{
	*out = 0;
	if (strcmp(text, "none") == 0)
		return 0;
	for (const char *p = text;;) {
		size_t n = strcspn(p, ","), i = 0;
		while (i < N_RIGHTS &&
		       (strlen(right_names[i]) != n || strncmp(p, right_names[i], n) != 0))
			i++;
		if (i == N_RIGHTS)
			return err_set(err, E_INVALID,
			    "\"%.*s\" is no scope: there are inference, embeddings, models, "
			    "records, "
			    "admin, or none",
			    (int)(n < 32 ? n : 32), p);
		*out |= 1u << i;
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

int access_share_parse(const char *text, enum access_share *out, struct err *err)
{
	static const char *const names[] = {"private", "friends", "public"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(text, names[i]) == 0) {
			*out = (enum access_share)i;
			return 0;
		}
	return err_set(err, E_INVALID, "\"%s\" is none of private, friends, public", text);
}

/* ---- who it is ------------------------------------------------------------------------------ */

bool access_guarded(const struct access *a)
{
	return a->opt.require_key || a->n_valid > 0;
}

static int by_key(
    struct access *a, const struct access_caller *who, struct access_grant *out, struct err *err)
{
	char id[ACCESS_KEY_ID_MAX];
	uint8_t hash[SHA256_SIZE];
	int rc = key_parse(who->bearer, id, err);
	if (rc)
		return rc;
	struct key_entry *k = key_find(a, id);
	key_hash(who->bearer, hash);
	if (!k || !secret_equal(hash, k->hash, sizeof hash))
		return err_set(err, E_UNAUTHORIZED, "this node knows no such key");
	if (k->key.revoked_ms)
		return err_set(err, E_UNAUTHORIZED, "the key \"%s\" was revoked", k->key.name);
	int64_t now = world_wall_ms(a->opt.world);
	if (k->key.expires_ms && now >= k->key.expires_ms)
		return err_set(err, E_UNAUTHORIZED, "the key \"%s\" has expired", k->key.name);
	k->key.used_ms = now;
	k->used = a->dirty = true;
	out->source = ACCESS_BY_KEY;
	out->party = &k->party;
	snprintf(out->name, sizeof out->name, "%s", k->key.name);
	snprintf(out->owner, sizeof out->owner, "key:%s", k->key.id);
	return 0;
}

static int by_peer(
    struct access *a, const struct access_caller *who, struct access_grant *out, struct err *err)
{
	uint8_t id[GUEST_ID_MAX] = {'p'};
	struct guest *g;
	struct peer_entry *known = trusted_find(a, who->peer);
	out->source = ACCESS_BY_PEER;
	char text[PEER_ID_TEXT_MAX];
	peer_id_print(who->peer, text);
	snprintf(out->name, sizeof out->name, "%s", text);
	snprintf(out->owner, sizeof out->owner, "peer:%s", text);
	if (!access_admits_peer(a, who->peer, who->member))
		return err_set(err, E_FORBIDDEN, "this node does not serve you: its owner decides");
	if (known) {
		out->party = &known->party;
		return 0;
	}
	memcpy(id + 1, who->peer->bytes, who->peer->n);
	int rc = guest_of(a, id, 1u + who->peer->n, &g, err);
	if (rc)
		return rc;
	g->party.rights = ACCESS_RIGHTS_USUAL;
	g->party.limits = who->member ? a->opt.member : a->opt.stranger;
	out->party = &g->party;
	return 0;
}

/* IPv6 networks are given out whole: those of /64 count as one. */
static size_t address_id(const struct netaddr *at, uint8_t id[GUEST_ID_MAX])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */
	bool in_ip6 = at->family == NET_IP6 && memcmp(at->ip, mapped, sizeof mapped) == 0;
	bool is_ip4 = at->family == NET_IP4 || in_ip6;
	size_t n = is_ip4 ? 4 : 8;
	id[0] = is_ip4 ? '4' : '6';
	memcpy(id + 1, in_ip6 ? at->ip + sizeof mapped : at->ip, n);
	return 1 + n;
}

static int by_address(
    struct access *a, const struct access_caller *who, struct access_grant *out, struct err *err)
{
	uint8_t id[GUEST_ID_MAX];
	char text[NETADDR_TEXT_MAX];
	struct guest *g;
	int rc = guest_of(a, id, address_id(who->address, id), &g, err);
	if (rc)
		return rc;
	g->party.rights =
	    netaddr_is_loopback(who->address) ? ACCESS_RIGHTS_ALL : ACCESS_RIGHTS_USUAL;
	g->party.limits = a->opt.address;
	out->source = ACCESS_BY_ADDRESS;
	out->party = &g->party;
	struct netaddr without_port = *who->address;
	without_port.port = 0;
	netaddr_print(&without_port, text);
	snprintf(out->name, sizeof out->name, "%.*s", (int)(strlen(text) - 2), text);
	return 0;
}

/* Clients of other services have to send some key: on an open node it is not looked at. */
static int identify(
    struct access *a, const struct access_caller *who, struct access_grant *out, struct err *err)
{
	if (who->peer)
		return by_peer(a, who, out, err);
	bool here = who->address && netaddr_is_loopback(who->address);
	bool may_be_nobody = here || (who->address && a->opt.remote_keyless);
	if (may_be_nobody && !access_guarded(a))
		return by_address(a, who, out, err);
	if (who->bearer && who->bearer[0])
		return by_key(a, who, out, err);
	return err_set(err, E_UNAUTHORIZED,
	    here ? "this node wants a key: send one as \"Authorization: Bearer og-…\" or "
		   "\"x-api-key\""
		 : "from other machines this node wants a key (\"gate keys create\" makes one): "
		   "send it as \"Authorization: Bearer og-…\" or \"x-api-key\"");
}

/* ---- what it may ---------------------------------------------------------------------------- */

static int check_rights(
    const struct access_grant *g, const struct access_ask *what, struct err *err)
{
	char text[ACCESS_NAME_MAX];
	unsigned missing = what->rights & ~g->rights;
	if (missing == 0 || g->rights & ACCESS_ADMIN)
		return 0;
	access_rights_print(missing, text);
	return err_set(err, E_FORBIDDEN, "%s lacks the scope %s", g->name, text);
}

static int check_model(const struct access_grant *g, const char *model, struct err *err)
{
	if (access_allows_model(g, model))
		return 0;
	return model[0] ? err_set_param(
			      err, E_FORBIDDEN, "model", "%s may not use \"%s\"", g->name, model)
			: err_set_param(err, E_FORBIDDEN, "model",
			      "%s may use %s only: name the model", g->name, g->party->models);
}

bool access_allows_model(const struct access_grant *g, const char *model)
{
	return !g || !g->party || models_fit(g->party->models, model);
}

bool access_may_read(const struct access_grant *g, const char *owner)
{
	return !g || g->rights & (ACCESS_RECORDS | ACCESS_ADMIN) ||
	       (owner[0] && strcmp(owner, g->owner) == 0);
}

static void hold(struct access_grant *g)
{
	g->party->refs++;
	if (g->counts)
		g->party->running++;
}

int access_check(struct access *a, const struct access_caller *who, const struct access_ask *what,
    struct access_grant *out, struct err *err)
{
	*out = (struct access_grant){.access = a};
	int rc = identify(a, who, out, err);
	if (rc)
		return rc;
	out->rights = out->party->rights;
	out->counts = what->rights & (ACCESS_INFER | ACCESS_EMBED);
	rc = check_rights(out, what, err);
	if (rc == 0 && what->model)
		rc = check_model(out, what->model, err);
	if (rc == 0 && out->counts)
		rc = party_take(out->party, out, what->tokens, world_now(a->opt.world), err);
	if (rc == 0)
		hold(out);
	else
		out->party = NULL;
	return rc;
}

int access_reserve(struct access_grant *g, const char *model, int64_t tokens, struct err *err)
{
	int rc = check_model(g, model, err);
	if (rc || !g->counts)
		return rc;
	return party_take_tokens(g->party, g, tokens, world_now(g->access->opt.world), err);
}

void access_done(struct access_grant *g, int64_t tokens)
{
	struct access_party *p = g->party;
	if (!p)
		return;
	if (g->counts) {
		party_settle(p, g->reserved, tokens, world_now(g->access->opt.world));
		p->running--;
	}
	g->party = NULL;
	party_release(p);
}

int64_t access_estimate(const struct inference_request *req)
{
	size_t bytes = req->prompt.n + req->suffix.n;
	for (size_t i = 0; i < req->n_messages; i++)
		bytes += req->messages[i].content.n;
	int64_t answer = req->max_tokens > 0 ? req->max_tokens : ANSWER_TOKENS;
	int64_t choices = req->choices > 1 ? (int64_t)req->choices : 1;
	if (answer > BUCKET_RATE_MAX / choices)
		return BUCKET_RATE_MAX;
	return (int64_t)(bytes / BYTES_PER_TOKEN) + answer * choices;
}

bool access_admits_peer(struct access *a, const struct peer_id *peer, bool member)
{
	switch (a->opt.share) {
	case ACCESS_PRIVATE:
		return false;
	case ACCESS_FRIENDS: {
		const struct peer_entry *known = trusted_find(a, peer);
		return known ? known->peer.rights != 0 : member;
	}
	case ACCESS_PUBLIC: {
		const struct peer_entry *known = trusted_find(a, peer);
		return !known || known->peer.rights != 0;
	}
	}
	return false;
}

/* ---- making and ending ---------------------------------------------------------------------- */

static void flush_fiber(void *arg)
{
	struct access *a = arg;
	while (fiber_sleep(duration_s(ACCESS_USED_FLUSH_S)) == 0)
		keys_flush(a);
}

int access_new(const struct access_options *opt, struct access **out, struct err *err)
{
	struct access *a = calloc(1, sizeof *a);
	if (!a)
		return err_set(err, E_MEMORY, "no memory for access");
	a->opt = *opt;
	a->turn.free = 1;
	scope_init(&a->scope, NULL);
	int rc = keys_load(a, err);
	if (rc == 0)
		rc = trusted_load(a, err);
	if (rc == 0)
		rc = fiber_spawn(&a->scope, "access", flush_fiber, a, err);
	if (rc) {
		access_close(a);
		return rc;
	}
	*out = a;
	return 0;
}

void access_close(struct access *a)
{
	if (!a)
		return;
	scope_close(&a->scope);
	keys_flush(a);
	keys_free(a);
	trusted_free(a);
	guests_free(a);
	free(a);
}
