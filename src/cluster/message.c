/* Messages between members: a 4-byte big-endian length and a JSON object. Reading is strict about
 * sizes and types and takes nothing else on trust; members unknown to a version are ignored. */
#include "base/encode.h"
#include "cluster/cluster_priv.h"
#include "dialect/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- frames -------------------------------------------------------------------------------- */

#define ADMISSION_MAX 1024 /* bytes of a frame with the cluster's key in it */

/* Takes `j` over. */
static int frame_send(struct stream *s, json_t *j, struct err *err)
{
	struct buf b = BUF_INIT(MEMBER_FRAME_MAX);
	/* At once: growing step by step would leave copies of the cluster's key behind. */
	if (buf_reserve(&b, ADMISSION_MAX) != 0) {
		json_decref(j);
		return err_set(err, E_MEMORY, "no memory for a message");
	}
	buf_u32be(&b, 0);
	int rc = json_write(j, &b, err);
	json_decref(j);
	if (rc == 0) {
		put_u32be(b.p, (uint32_t)(b.n - 4));
		rc = stream_write(s, b.p, b.n, err);
	}
	secret_wipe(b.p, b.n);
	buf_free(&b);
	return rc;
}

static int frame_recv(struct stream *s, json_t **out, struct err *err)
{
	uint8_t head[4];
	int rc = stream_read_full(s, head, sizeof head, err);
	if (rc)
		return rc;
	uint32_t n = get_u32be(head);
	if (n == 0 || n > MEMBER_FRAME_MAX)
		return err_set(err, n == 0 ? E_PROTOCOL : E_TOO_LARGE, "a message of %u bytes", n);
	uint8_t *text = malloc(n);
	if (!text)
		return err_set(err, E_MEMORY, "no memory for a message of %u bytes", n);
	rc = stream_read_full(s, text, n, err);
	struct err why = {0};
	if (rc == 0 && json_read(bytes_of(text, n), out, &why) != 0)
		rc = err_set(err, E_PROTOCOL, "a message that is no JSON: %s", err_text(&why));
	secret_wipe(text, n); /* it may hold the cluster's key */
	free(text);
	if (rc)
		return rc;
	if (!json_is_object(*out)) {
		json_decref(*out);
		return err_set(err, E_PROTOCOL, "a message that is no object");
	}
	return 0;
}

/* Cut to fit, at a whole character; control characters never reach a terminal. */
static void copy_text(char *out, size_t cap, const char *text)
{
	size_t n = strlen(text);
	if (n >= cap) {
		n = cap - 1;
		n -= utf8_incomplete_tail(bytes_of(text, n));
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	out[n] = '\0';
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* ---- hello --------------------------------------------------------------------------------- */

int hello_send(struct stream *s, const struct hello *h, struct err *err)
{
	json_t *j =
	    json_pack("{s:s, s:s, s:b}", "type", "hello", "label", h->label, "join", h->join);
	if (!h->join)
		json_set_hex(j, "cluster", bytes_of(h->hash, sizeof h->hash));
	if (h->invited)
		json_set_hex(j, "invitation", bytes_of(h->invitation, sizeof h->invitation));
	if (!h->join || h->invited)
		json_set_hex(j, "proof", bytes_of(h->proof, sizeof h->proof));
	return frame_send(s, j, err);
}

int hello_recv(struct stream *s, struct hello *h, struct err *err)
{
	json_t *j;
	int rc = frame_recv(s, &j, err);
	if (rc)
		return rc;
	*h = (struct hello){.join = json_get_bool(j, "join", false)};
	copy_text(h->label, sizeof h->label, json_get_string(j, "label", ""));
	if (strcmp(json_get_string(j, "type", ""), "hello") != 0)
		rc = err_set(err, E_PROTOCOL, "the first message is no hello");
	else if (!h->join && (!json_get_hex(j, "cluster", h->hash, sizeof h->hash) ||
				 !json_get_hex(j, "proof", h->proof, sizeof h->proof)))
		rc = err_set(err, E_PROTOCOL, "a hello without cluster and proof");
	h->invited = h->join && json_object_get(j, "invitation");
	if (rc == 0 && h->invited &&
	    (!json_get_hex(j, "invitation", h->invitation, sizeof h->invitation) ||
		!json_get_hex(j, "proof", h->proof, sizeof h->proof)))
		rc = err_set(err, E_PROTOCOL, "an invitation without id and proof");
	json_decref(j);
	return rc;
}

/* ---- answers ------------------------------------------------------------------------------- */

static const char *const answer_types[] = {"ok", "refused", "pending", "admitted"};

int answer_send(struct stream *s, const struct answer *a, struct err *err)
{
	json_t *j = json_pack("{s:s}", "type", answer_types[a->kind]);
	if (a->kind == ANSWER_REFUSED)
		json_object_set_new(j, "reason", json_string(a->reason));
	if (a->kind == ANSWER_ADMITTED) {
		json_object_set_new(j, "id", json_string(a->id));
		json_object_set_new(j, "open", json_boolean(a->open));
		json_set_hex(j, "key", bytes_of(a->key, sizeof a->key));
		if (a->proven)
			json_set_hex(j, "proof", bytes_of(a->proof, sizeof a->proof));
	}
	return frame_send(s, j, err);
}

int answer_recv(struct stream *s, struct answer *a, struct err *err)
{
	json_t *j;
	int rc = frame_recv(s, &j, err);
	if (rc)
		return rc;
	*a = (struct answer){0};
	const char *type = json_get_string(j, "type", "");
	size_t kind = 0;
	while (kind < sizeof answer_types / sizeof *answer_types &&
	       strcmp(type, answer_types[kind]) != 0)
		kind++;
	a->kind = (enum answer_kind)kind;
	copy_text(a->reason, sizeof a->reason, json_get_string(j, "reason", "no reason given"));
	const char *id = json_get_string(j, "id", "");
	if (strlen(id) < sizeof a->id)
		memcpy(a->id, id, strlen(id) + 1); /* membership_set judges the rest */
	a->open = json_get_bool(j, "open", false);
	a->proven = json_get_hex(j, "proof", a->proof, sizeof a->proof);
	if (kind == sizeof answer_types / sizeof *answer_types)
		rc = err_set(err, E_PROTOCOL, "an unknown answer");
	else if (a->kind == ANSWER_ADMITTED &&
		 (!a->id[0] || !json_get_hex(j, "key", a->key, sizeof a->key)))
		rc = err_set(err, E_PROTOCOL, "an admission without cluster and key");
	json_decref(j);
	return rc;
}

/* ---- state --------------------------------------------------------------------------------- */

static json_t *addrs_json(const struct multiaddr *addrs, size_t n)
{
	json_t *list = json_array();
	char *text = malloc(MULTIADDR_TEXT_MAX);
	for (size_t i = 0; text && i < n; i++) {
		multiaddr_print(&addrs[i], text);
		json_array_append_new(list, json_string(text));
	}
	free(text);
	return list;
}

static json_t *model_json(const struct model_entry *m)
{
	json_t *j = json_pack("{s:s, s:I, s:I, s:b, s:I}", "id", m->id, "created",
	    (json_int_t)m->created_s, "n_ctx", (json_int_t)m->n_ctx, "ready", m->ready, "abilities",
	    (json_int_t)m->abilities);
	if (m->hash[0])
		json_object_set_new(j, "hash", json_string(m->hash));
	return j;
}

json_t *state_json(const struct member_state *st)
{
	json_t *models = json_array(), *peers = json_array();
	for (size_t i = 0; i < st->n_models; i++)
		json_array_append_new(models, model_json(&st->models[i]));
	for (size_t i = 0; i < st->n_peers; i++) {
		char id[PEER_ID_TEXT_MAX];
		peer_id_print(&st->peers[i].id, id);
		json_array_append_new(
		    peers, json_pack("{s:s, s:o}", "id", id, "addrs",
			       addrs_json(st->peers[i].addrs, st->peers[i].n_addrs)));
	}
	return json_pack("{s:s, s:o, s:I, s:I, s:o, s:o}", "type", "state", "models", models,
	    "running", (json_int_t)st->running, "queued", (json_int_t)st->queued, "addrs",
	    addrs_json(st->addrs, st->n_addrs), "peers", peers);
}

int state_send(struct stream *s, const struct member_state *st, struct err *err)
{
	return frame_send(s, state_json(st), err);
}

/* Addresses that do not parse are of a kind we do not know: left out. */
static size_t parse_addrs(const json_t *list, struct multiaddr *out)
{
	size_t n = 0, i;
	json_t *v;
	json_array_foreach(list, i, v)
	{
		const char *text = json_string_value(v);
		if (text && n < MEMBER_ADDRS_MAX &&
		    multiaddr_parse(bytes_str(text), &out[n], NULL) == 0)
			n++;
	}
	return n;
}

/* Names that cannot be held or shown are left out. */
static bool parse_model(const json_t *v, struct model_entry *m)
{
	const char *id = json_get_string(v, "id", "");
	size_t n = strlen(id);
	if (n == 0 || n >= MODEL_ID_MAX || !printable(id))
		return false;
	*m = (struct model_entry){
	    .created_s = json_get_int(v, "created", 0),
	    .n_ctx = (uint32_t)(json_get_int(v, "n_ctx", 0) & INT32_MAX),
	    .ready = json_get_bool(v, "ready", false),
	    .abilities = (unsigned)(json_get_int(v, "abilities", 0) & MODEL_ABILITIES_ALL),
	};
	uint8_t hash[(MODEL_HASH_MAX - 1) / 2];
	if (json_get_hex(v, "hash", hash, sizeof hash))
		hex_encode(bytes_of(hash, sizeof hash), m->hash);
	memcpy(m->id, id, n + 1);
	return true;
}

void state_parse(const json_t *j, struct member_state *st)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(j, "models"), i,
	    v) if (st->n_models < MEMBER_MODELS_MAX && parse_model(v, &st->models[st->n_models]))
	    st->n_models++;
	st->running = (uint32_t)(json_get_int(j, "running", 0) & INT32_MAX);
	st->queued = (uint32_t)(json_get_int(j, "queued", 0) & INT32_MAX);
	st->n_addrs = parse_addrs(json_object_get(j, "addrs"), st->addrs);
	json_array_foreach(json_object_get(j, "peers"), i, v)
	{
		if (st->n_peers == MEMBER_PEERS_MAX)
			break;
		struct member_addr *p = &st->peers[st->n_peers];
		const char *id = json_get_string(v, "id", "");
		if (peer_id_parse(bytes_str(id), &p->id, NULL) != 0)
			continue;
		p->n_addrs = parse_addrs(json_object_get(v, "addrs"), p->addrs);
		st->n_peers++;
	}
}

int state_recv(struct stream *s, struct member_state *st, struct err *err)
{
	json_t *j;
	int rc = frame_recv(s, &j, err);
	if (rc)
		return rc;
	memset(st, 0, sizeof *st);
	if (strcmp(json_get_string(j, "type", ""), "state") == 0)
		state_parse(j, st);
	else
		rc = err_set(err, E_PROTOCOL, "an unknown message");
	json_decref(j);
	return rc;
}

/* ---- the doctor's questions ---------------------------------------------------------------- */

/* Takes `j` over; `pad` bytes of filling go along. */
static int padded_send(struct stream *s, json_t *j, size_t pad, struct err *err)
{
	char *fill = malloc(pad + 1);
	if (!fill) {
		json_decref(j);
		return err_set(err, E_MEMORY, "no memory for a message of %zu bytes", pad);
	}
	memset(fill, '.', pad);
	json_object_set_new(j, "pad", json_stringn(fill, pad));
	free(fill);
	return frame_send(s, j, err);
}

static int padded_recv(
    struct stream *s, const char *type, json_t **out, size_t *pad, struct err *err)
{
	int rc = frame_recv(s, out, err);
	if (rc)
		return rc;
	*pad = strlen(json_get_string(*out, "pad", ""));
	if (strcmp(json_get_string(*out, "type", ""), type) == 0 && *pad <= LOOK_PAD_MAX)
		return 0;
	json_decref(*out);
	return err_set(err, E_PROTOCOL, "a message that is no \"%s\"", type);
}

int look_send(struct stream *s, const struct look *l, struct err *err)
{
	return padded_send(s, json_pack("{s:s}", "type", "look"), l->pad, err);
}

int look_recv(struct stream *s, struct look *l, struct err *err)
{
	json_t *j;
	int rc = padded_recv(s, "look", &j, &l->pad, err);
	if (rc == 0)
		json_decref(j);
	return rc;
}

static const char *const mappings[] = {
    [P2P_MAPPING_UNKNOWN] = "unknown",
    [P2P_MAPPING_NONE] = "none",
    [P2P_MAPPING_ONE] = "one-port",
    [P2P_MAPPING_BY_PEER] = "port-by-peer",
};

static enum p2p_mapping parse_mapping(const char *name)
{
	for (size_t i = 0; i < sizeof mappings / sizeof *mappings; i++)
		if (strcmp(name, mappings[i]) == 0)
			return (enum p2p_mapping)i;
	return P2P_MAPPING_UNKNOWN;
}

int seen_send(struct stream *s, const struct seen *a, struct err *err)
{
	return padded_send(s,
	    json_pack("{s:s, s:I, s:b, s:b, s:s}", "type", "seen", "now_ms", (json_int_t)a->now_ms,
		"mdns_listens", a->mdns_listens, "mdns_heard", a->mdns_heard, "mapping",
		mappings[a->mapping]),
	    a->pad, err);
}

/* A clock outside of these years is as good as none, and its differences do not overflow. */
#define WALL_MAX_MS INT64_C(253402300800000)

int seen_recv(struct stream *s, struct seen *a, struct err *err)
{
	json_t *j;
	*a = (struct seen){0};
	int rc = padded_recv(s, "seen", &j, &a->pad, err);
	if (rc)
		return rc;
	a->now_ms = json_get_int(j, "now_ms", 0);
	a->mdns_listens = json_get_bool(j, "mdns_listens", false);
	a->mdns_heard = json_get_bool(j, "mdns_heard", false);
	a->mapping = parse_mapping(json_get_string(j, "mapping", ""));
	json_decref(j);
	if (a->now_ms < 0 || a->now_ms > WALL_MAX_MS)
		return err_set(err, E_PROTOCOL, "a clock beyond all years");
	return 0;
}
