/* The issuer's record of its invitations: a small list, and its form on disk. */
#include "cluster/invite_priv.h"

#include <stdlib.h>
#include <string.h>

void invites_free(struct invites *v)
{
	for (size_t i = 0; i < v->n; i++) {
		secret_wipe(v->list[i], sizeof *v->list[i]);
		free(v->list[i]);
	}
	v->n = 0;
}

enum cluster_invite_state invitation_state(const struct invitation *i, int64_t now_s)
{
	if (i->revoked)
		return INVITE_REVOKED;
	if (now_s >= i->expires_s)
		return INVITE_EXPIRED;
	return i->used >= i->uses ? INVITE_USED_UP : INVITE_OPEN;
}

static void drop(struct invites *v, size_t at)
{
	secret_wipe(v->list[at], sizeof *v->list[at]);
	free(v->list[at]);
	v->n--;
	memmove(&v->list[at], &v->list[at + 1], (v->n - at) * sizeof *v->list);
}

/* The oldest that has ended goes. */
static bool make_room(struct invites *v, int64_t now_s)
{
	for (size_t i = 0; v->n == CLUSTER_INVITES_MAX && i < v->n; i++)
		if (invitation_state(v->list[i], now_s) != INVITE_OPEN)
			drop(v, i);
	return v->n < CLUSTER_INVITES_MAX;
}

int invites_add(struct invites *v, const uint8_t random[INVITE_ID_SIZE + INVITE_SECRET_SIZE],
    int64_t now_s, int64_t lifetime_s, uint32_t uses, struct invitation **out, struct err *err)
{
	if (uses == 0 || uses > CLUSTER_INVITE_USES_MAX)
		return err_set(
		    err, E_INVALID, "an invitation has 1 to %d uses", CLUSTER_INVITE_USES_MAX);
	if (lifetime_s < 1 || lifetime_s > CLUSTER_INVITE_LIFETIME_MAX_S)
		return err_set(err, E_INVALID, "an invitation lives 1 second to %d days",
		    CLUSTER_INVITE_LIFETIME_MAX_S / 86400);
	if (!make_room(v, now_s))
		return err_set(
		    err, E_LIMIT, "%d invitations are open: revoke some", CLUSTER_INVITES_MAX);
	struct invitation *i = calloc(1, sizeof *i);
	if (!i)
		return err_set(err, E_MEMORY, "no memory for an invitation");
	*i = (struct invitation){.created_s = now_s, .expires_s = now_s + lifetime_s, .uses = uses};
	memcpy(i->id, random, INVITE_ID_SIZE);
	memcpy(i->secret, random + INVITE_ID_SIZE, INVITE_SECRET_SIZE);
	v->list[v->n++] = *out = i;
	return 0;
}

struct invitation *invites_find(struct invites *v, const uint8_t id[INVITE_ID_SIZE])
{
	for (size_t i = 0; i < v->n; i++)
		if (memcmp(v->list[i]->id, id, INVITE_ID_SIZE) == 0)
			return v->list[i];
	return NULL;
}

static uint32_t use_of(const struct invitation *i, const struct peer_id *who)
{
	uint32_t at = 0;
	while (at < i->used && !peer_id_equal(&i->used_by[at], who))
		at++;
	return at;
}

enum cluster_invite_state invitation_use(
    struct invitation *i, const struct peer_id *who, int64_t now_s)
{
	enum cluster_invite_state state = invitation_state(i, now_s);
	uint32_t at = use_of(i, who);
	if (at < i->used && state == INVITE_USED_UP)
		return INVITE_OPEN;
	if (at == i->used && state == INVITE_OPEN)
		i->used_by[i->used++] = *who;
	return state;
}

void invitation_unuse(struct invitation *i, const struct peer_id *who)
{
	uint32_t at = use_of(i, who);
	if (at < i->used)
		i->used_by[at] = i->used_by[--i->used];
}

/* ---- on disk ------------------------------------------------------------------------------- */

json_t *invites_json(const struct invites *v)
{
	json_t *list = json_array();
	for (size_t k = 0; k < v->n; k++) {
		const struct invitation *i = v->list[k];
		json_t *used_by = json_array();
		for (uint32_t u = 0; u < i->used; u++) {
			char id[PEER_ID_TEXT_MAX];
			peer_id_print(&i->used_by[u], id);
			json_array_append_new(used_by, json_string(id));
		}
		json_t *one = json_pack("{s:I, s:I, s:I, s:b, s:o}", "created_s",
		    (json_int_t)i->created_s, "expires_s", (json_int_t)i->expires_s, "uses",
		    (json_int_t)i->uses, "revoked", i->revoked, "used_by", used_by);
		json_set_hex(one, "id", bytes_of(i->id, sizeof i->id));
		json_set_hex(one, "secret", bytes_of(i->secret, sizeof i->secret));
		json_array_append_new(list, one);
	}
	return list;
}

static bool get_invitation(const json_t *j, struct invitation *i)
{
	int64_t uses = json_get_int(j, "uses", 0);
	const json_t *used_by = json_object_get(j, "used_by"), *who;
	size_t at;
	i->created_s = json_get_int(j, "created_s", -1);
	i->expires_s = json_get_int(j, "expires_s", -1);
	i->revoked = json_get_bool(j, "revoked", false);
	if (!json_get_hex(j, "id", i->id, sizeof i->id) ||
	    !json_get_hex(j, "secret", i->secret, sizeof i->secret) || i->created_s < 0 ||
	    i->expires_s < 0 || uses < 1 || uses > CLUSTER_INVITE_USES_MAX ||
	    !json_is_array(used_by) || json_array_size(used_by) > (size_t)uses)
		return false;
	i->uses = (uint32_t)uses;
	json_array_foreach(used_by, at, who)
	{
		if (!json_is_string(who) || peer_id_parse(bytes_str(json_string_value(who)),
						&i->used_by[i->used++], NULL) != 0)
			return false;
	}
	return true;
}

int invites_read(const json_t *j, struct invites *out, struct err *err)
{
	*out = (struct invites){0};
	size_t at;
	json_t *v;
	int rc = json_is_array(j) && json_array_size(j) <= CLUSTER_INVITES_MAX ? 0 : E_FORMAT;
	json_array_foreach(j, at, v)
	{
		struct invitation *i = rc == 0 ? calloc(1, sizeof *i) : NULL;
		if (!i)
			break;
		out->list[out->n++] = i;
		if (!get_invitation(v, i) || invites_find(out, i->id) != i)
			rc = E_FORMAT;
	}
	if (rc == 0 && out->n < json_array_size(j))
		rc = E_MEMORY;
	if (rc == 0)
		return 0;
	invites_free(out);
	return err_set(
	    err, rc, "%s", rc == E_MEMORY ? "no memory for invitations" : "no list of invitations");
}
