/* Peers trusted by name: in memory, and each change in the store before it holds. */
#include "access/access_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows: on workers ----------------------------------------------------------------------- */

struct peer_rows {
	struct access_peer *of;
	size_t n;
};

static int take_row(struct store_query *q, struct access_peer *p, struct err *err)
{
	int rc = peer_id_parse(bytes_str(store_text(q, 0)), &p->id, err);
	if (rc)
		return err_wrap(err, E_FORMAT, "a trusted peer in the database");
	snprintf(p->name, sizeof p->name, "%s", store_text(q, 1));
	p->rights = (unsigned)store_int(q, 2) & ACCESS_RIGHTS_ALL;
	snprintf(p->models, sizeof p->models, "%s", store_text(q, 3));
	p->limits =
	    (struct access_limits){store_int(q, 4), store_int(q, 5), (uint32_t)store_int(q, 6)};
	p->since_ms = store_int(q, 7);
	return 0;
}

static int read_peers(struct store_tx *tx, void *arg, struct err *err)
{
	struct peer_rows *rows = arg;
	struct store_query q;
	int rc;
	store_query(tx, &q,
	    "SELECT peer, name, rights, models, requests_per_min, tokens_per_min, concurrent,"
	    " since_ms FROM access_peers ORDER BY since_ms, peer");
	while ((rc = store_step(&q, err)) == STORE_ROW && rows->n < ACCESS_PEERS_MAX) {
		rc = take_row(&q, &rows->of[rows->n], err);
		if (rc)
			break;
		rows->n++;
	}
	store_end(&q);
	return rc == STORE_ROW ? 0 : rc;
}

static int write_peer(struct store_tx *tx, void *arg, struct err *err)
{
	const struct access_peer *p = arg;
	char peer[PEER_ID_TEXT_MAX];
	struct store_query q;
	peer_id_print(&p->id, peer);
	store_query(tx, &q,
	    "INSERT INTO access_peers (peer, name, rights, models, requests_per_min,"
	    " tokens_per_min, concurrent, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (peer) DO UPDATE SET name = excluded.name, rights = excluded.rights,"
	    " models = excluded.models, requests_per_min = excluded.requests_per_min,"
	    " tokens_per_min = excluded.tokens_per_min, concurrent = excluded.concurrent,"
	    " since_ms = excluded.since_ms");
	store_bind_text(&q, 1, peer);
	store_bind_text(&q, 2, p->name);
	store_bind_int(&q, 3, p->rights);
	store_bind_text(&q, 4, p->models);
	store_bind_int(&q, 5, p->limits.requests_per_min);
	store_bind_int(&q, 6, p->limits.tokens_per_min);
	store_bind_int(&q, 7, p->limits.concurrent);
	store_bind_int(&q, 8, p->since_ms);
	return store_finish(&q, err);
}

static int delete_peer(struct store_tx *tx, void *arg, struct err *err)
{
	char peer[PEER_ID_TEXT_MAX];
	struct store_query q;
	peer_id_print(arg, peer);
	store_query(tx, &q, "DELETE FROM access_peers WHERE peer = ?");
	store_bind_text(&q, 1, peer);
	return store_finish(&q, err);
}

/* ---- in memory ------------------------------------------------------------------------------ */

static void peer_free(struct access_party *p)
{
	free(p);
}

struct peer_entry *trusted_find(struct access *a, const struct peer_id *id)
{
	struct peer_entry *e;
	HASH_FIND(hh, a->peers, id, sizeof *id, e);
	return e;
}

/* Changes one in place, so that its buckets stay as full as they are. */
static int peer_put(struct access *a, const struct access_peer *p, struct err *err)
{
	struct peer_entry *e = trusted_find(a, &p->id);
	if (!e) {
		e = calloc(1, sizeof *e);
		if (!e)
			return err_set(err, E_MEMORY, "no memory for a peer");
		e->peer.id = p->id;
		e->party.listed = true;
		e->party.free = peer_free;
		HASH_ADD(hh, a->peers, peer.id, sizeof e->peer.id, e);
	}
	e->peer = *p;
	e->party.rights = p->rights;
	e->party.limits = p->limits;
	e->party.models = e->peer.models;
	return 0;
}

int trusted_load(struct access *a, struct err *err)
{
	struct peer_rows rows = {calloc(ACCESS_PEERS_MAX, sizeof *rows.of), 0};
	int rc = rows.of ? store_read(a->opt.store, read_peers, &rows, err)
			 : err_set(err, E_MEMORY, "no memory for peers");
	for (size_t i = 0; i < rows.n && rc == 0; i++)
		rc = peer_put(a, &rows.of[i], err);
	free(rows.of);
	return rc;
}

void trusted_free(struct access *a)
{
	struct peer_entry *e, *next;
	HASH_ITER (hh, a->peers, e, next) {
		HASH_DEL(a->peers, e);
		party_unlist(&e->party);
	}
}

/* ---- what owners do ------------------------------------------------------------------------- */

int access_peer_trust(struct access *a, const struct access_peer *p, struct err *err)
{
	struct access_peer copy = *p;
	int rc = p->id.n > 0 ? models_check(p->models, err)
			     : err_set(err, E_INVALID, "this is no peer's id");
	if (rc == 0)
		rc = limits_check(&p->limits, err);
	if (rc == 0 && !trusted_find(a, &p->id) && HASH_COUNT(a->peers) >= ACCESS_PEERS_MAX)
		rc = err_set(err, E_LIMIT, "%d peers have records already", ACCESS_PEERS_MAX);
	if (rc)
		return rc;
	copy.since_ms = world_wall_ms(a->opt.world);
	rc = sem_acquire(&a->turn, err);
	if (rc)
		return rc;
	rc = store_run(a->opt.store, write_peer, &copy, err);
	if (rc == 0)
		rc = peer_put(a, &copy, err);
	sem_release(&a->turn);
	return rc;
}

int access_peer_untrust(struct access *a, const struct peer_id *id, struct err *err)
{
	struct peer_id copy = *id;
	int rc = sem_acquire(&a->turn, err);
	if (rc)
		return rc;
	struct peer_entry *e = trusted_find(a, id);
	rc = e ? store_run(a->opt.store, delete_peer, &copy, err)
	       : err_set(err, E_NOT_FOUND, "this peer has no rights of its own");
	if (rc == 0) {
		HASH_DEL(a->peers, e);
		party_unlist(&e->party);
	}
	sem_release(&a->turn);
	return rc;
}

void access_each_peer(
    struct access *a, void (*fn)(void *arg, const struct access_peer *p), void *arg)
{
	struct peer_entry *e, *next;
	HASH_ITER (hh, a->peers, e, next)
		fn(arg, &e->peer);
}
