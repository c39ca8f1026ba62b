/* Gossip's RPCs in and out: see gossip_wire_priv.h. */
#include "p2p/gossip_wire_priv.h"

#define RPC_SUBSCRIPTION 1
#define RPC_PUBLISH      2
#define RPC_CONTROL      3

#define CONTROL_IHAVE     1
#define CONTROL_IWANT     2
#define CONTROL_GRAFT     3
#define CONTROL_PRUNE     4
#define CONTROL_IDONTWANT 5

#define SUB_SUBSCRIBE 1
#define SUB_TOPIC     2

#define ITEM_TOPIC    1 /* of IHAVE, GRAFT, PRUNE */
#define IHAVE_IDS     2
#define IWANT_IDS     1 /* and of IDONTWANT */
#define PRUNE_PEERS   2
#define PRUNE_BACKOFF 3
#define PX_PEER       1
#define PX_RECORD     2

#define MSG_FROM      1
#define MSG_DATA      2
#define MSG_SEQNO     3
#define MSG_TOPIC     4
#define MSG_SIGNATURE 5
#define MSG_KEY       6

static const char sign_prefix[] = "libp2p-pubsub:";

/* ---- reading ------------------------------------------------------------------------------- */

int gossip_message_decode(struct bytes raw, struct gossip_message *out, struct err *err)
{
	struct cursor c = cursor_of(raw);
	struct pb_field f;
	int rc;

	*out = (struct gossip_message){.raw = raw};
	struct bytes *const at[] = {
	    NULL, &out->from, &out->data, &out->seqno, &out->topic, &out->signature, &out->key};
	while ((rc = pb_next(&c, &f, err)) > 0)
		if (f.wire == PB_BYTES && f.number < sizeof at / sizeof at[0])
			*at[f.number] = f.data;
	return rc;
}

static int decode_subscription(struct bytes body, struct gossip_item *out, struct err *err)
{
	struct cursor c = cursor_of(body);
	struct pb_field f;
	int rc;

	out->kind = GOSSIP_UNSUBSCRIBE;
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, SUB_SUBSCRIBE, PB_VARINT))
			out->kind = f.value ? GOSSIP_SUBSCRIBE : GOSSIP_UNSUBSCRIBE;
		else if (pb_is(&f, SUB_TOPIC, PB_BYTES))
			out->topic = f.data;
	}
	return rc;
}

/* The head of a control item, and its lists once to see that they are whole. */
static int decode_control(struct gossip_item *out, struct err *err)
{
	struct cursor c = cursor_of(out->body);
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (out->kind != GOSSIP_IWANT && out->kind != GOSSIP_IDONTWANT &&
		    pb_is(&f, ITEM_TOPIC, PB_BYTES))
			out->topic = f.data;
		else if (out->kind == GOSSIP_PRUNE && pb_is(&f, PRUNE_BACKOFF, PB_VARINT))
			out->backoff = f.value;
	}
	return rc;
}

/* 1 with an item, 0 at the end of the control part. */
static int next_control(struct gossip_walk *w, struct gossip_item *out, struct err *err)
{
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&w->control, &f, err)) > 0) {
		if (f.wire != PB_BYTES || f.number < CONTROL_IHAVE || f.number > CONTROL_IDONTWANT)
			continue;
		*out = (struct gossip_item){
		    .kind = (enum gossip_item_kind)(GOSSIP_IHAVE + f.number - CONTROL_IHAVE),
		    .body = f.data};
		rc = decode_control(out, err);
		return rc < 0 ? rc : 1;
	}
	return rc;
}

int gossip_walk_next(struct gossip_walk *w, struct gossip_item *out, struct err *err)
{
	struct pb_field f;
	int rc;

	for (;;) {
		if (w->control.left > 0 && (rc = next_control(w, out, err)) != 0)
			return rc;
		if ((rc = pb_next(&w->rpc, &f, err)) <= 0)
			return rc;
		if (f.wire != PB_BYTES)
			continue;
		*out = (struct gossip_item){.kind = GOSSIP_PUBLISH};
		if (f.number == RPC_CONTROL)
			w->control = cursor_of(f.data);
		else if (f.number == RPC_SUBSCRIPTION || f.number == RPC_PUBLISH)
			break;
	}
	rc = f.number == RPC_PUBLISH ? gossip_message_decode(f.data, &out->msg, err)
				     : decode_subscription(f.data, out, err);
	return rc < 0 ? rc : 1;
}

static int check_px(struct bytes body, struct err *err)
{
	struct cursor c = cursor_of(body), inner;
	struct pb_field f, g;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (!pb_is(&f, PRUNE_PEERS, PB_BYTES))
			continue;
		inner = cursor_of(f.data);
		while ((rc = pb_next(&inner, &g, err)) > 0) {
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

int gossip_rpc_check(struct bytes rpc, struct err *err)
{
	struct gossip_walk w = gossip_walk_of(rpc);
	struct gossip_item item;
	int rc;

	if (rpc.n > GOSSIP_RPC_MAX)
		return err_set(err, E_PROTOCOL, "an RPC of %zu bytes", rpc.n);
	while ((rc = gossip_walk_next(&w, &item, err)) > 0)
		if (item.kind == GOSSIP_PRUNE && (rc = check_px(item.body, err)) < 0)
			return rc;
	return rc;
}

bool gossip_ids_next(struct cursor *body, enum gossip_item_kind kind, struct bytes *id)
{
	uint32_t number = kind == GOSSIP_IHAVE ? IHAVE_IDS : IWANT_IDS;
	struct pb_field f;

	while (pb_next(body, &f, NULL) > 0) {
		if (!pb_is(&f, number, PB_BYTES))
			continue;
		*id = f.data;
		return true;
	}
	return false;
}

bool gossip_px_next(struct cursor *body, struct bytes *peer, struct bytes *record)
{
	struct pb_field f, g;

	*peer = *record = (struct bytes){0};
	while (pb_next(body, &f, NULL) > 0) {
		struct cursor c = cursor_of(f.data);
		if (!pb_is(&f, PRUNE_PEERS, PB_BYTES))
			continue;
		while (pb_next(&c, &g, NULL) > 0) {
			if (pb_is(&g, PX_PEER, PB_BYTES))
				*peer = g.data;
			else if (pb_is(&g, PX_RECORD, PB_BYTES))
				*record = g.data;
		}
		return true;
	}
	return false;
}

/* ---- writing ------------------------------------------------------------------------------- */

static size_t varint_size(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

/* Bytes of a field of bytes, all of whose numbers here fit one byte of tag. */
static size_t field_size(size_t n)
{
	return 1 + varint_size(n) + n;
}

/* The tag and length of `n` bytes to come. */
static void put_head(struct buf *out, uint32_t number, size_t n)
{
	pb_put_raw_varint(out, (uint64_t)number << 3 | PB_BYTES);
	pb_put_raw_varint(out, n);
}

void gossip_put_subscription(struct buf *out, enum gossip_item_kind kind, struct bytes topic)
{
	put_head(out, RPC_SUBSCRIPTION, 2 + field_size(topic.n));
	pb_put_varint(out, SUB_SUBSCRIBE, kind == GOSSIP_SUBSCRIBE);
	pb_put_bytes(out, SUB_TOPIC, topic);
}

void gossip_put_message(struct buf *out, struct bytes raw)
{
	pb_put_bytes(out, RPC_PUBLISH, raw);
}

/* Each control item travels in a control part of its own: readers merge them. */
static void put_control_head(struct buf *out, uint32_t number, size_t body)
{
	put_head(out, RPC_CONTROL, field_size(body));
	put_head(out, number, body);
}

void gossip_put_graft(struct buf *out, struct bytes topic)
{
	put_control_head(out, CONTROL_GRAFT, field_size(topic.n));
	pb_put_bytes(out, ITEM_TOPIC, topic);
}

static size_t px_size(const struct gossip_px *px)
{
	return field_size(px->peer.n) + (px->record.n ? field_size(px->record.n) : 0);
}

void gossip_put_prune(
    struct buf *out, struct bytes topic, uint64_t backoff, const struct gossip_px *px, size_t n_px)
{
	size_t body = field_size(topic.n) + (backoff ? 1 + varint_size(backoff) : 0);

	for (size_t i = 0; i < n_px; i++)
		body += field_size(px_size(&px[i]));
	put_control_head(out, CONTROL_PRUNE, body);
	pb_put_bytes(out, ITEM_TOPIC, topic);
	for (size_t i = 0; i < n_px; i++) {
		put_head(out, PRUNE_PEERS, px_size(&px[i]));
		pb_put_bytes(out, PX_PEER, px[i].peer);
		if (px[i].record.n)
			pb_put_bytes(out, PX_RECORD, px[i].record);
	}
	if (backoff)
		pb_put_varint(out, PRUNE_BACKOFF, backoff);
}

void gossip_put_ids(struct buf *out, enum gossip_item_kind kind, struct bytes topic,
    const struct bytes *ids, size_t n)
{
	bool ihave = kind == GOSSIP_IHAVE;
	uint32_t number = ihave                  ? CONTROL_IHAVE
			  : kind == GOSSIP_IWANT ? CONTROL_IWANT
						 : CONTROL_IDONTWANT;
	size_t body = ihave ? field_size(topic.n) : 0;

	for (size_t i = 0; i < n; i++)
		body += field_size(ids[i].n);
	put_control_head(out, number, body);
	if (ihave)
		pb_put_bytes(out, ITEM_TOPIC, topic);
	for (size_t i = 0; i < n; i++)
		pb_put_bytes(out, ihave ? IHAVE_IDS : IWANT_IDS, ids[i]);
}

/* ---- signatures ---------------------------------------------------------------------------- */

void gossip_sign(const struct identity *id, struct bytes topic, struct bytes data,
    const uint8_t seqno[GOSSIP_SEQNO_SIZE], struct buf *out)
{
	struct buf text = BUF_INIT(GOSSIP_RPC_MAX);
	uint8_t signature[ED25519_SIGNATURE_SIZE];
	size_t prefix = sizeof sign_prefix - 1;

	buf_put(&text, sign_prefix, prefix);
	pb_put_bytes(&text, MSG_FROM, peer_id_bytes(&id->peer_id));
	pb_put_bytes(&text, MSG_DATA, data);
	pb_put_bytes(&text, MSG_SEQNO, bytes_of(seqno, GOSSIP_SEQNO_SIZE));
	pb_put_bytes(&text, MSG_TOPIC, topic);
	/* No key: an Ed25519 author's id holds it. */
	if (text.failed) {
		out->failed = true;
		buf_free(&text);
		return;
	}
	identity_sign(id, buf_view(&text), signature);
	buf_put(out, text.p + prefix, text.n - prefix);
	pb_put_bytes(out, MSG_SIGNATURE, bytes_of(signature, sizeof signature));
	buf_free(&text);
}

/* Who wrote it, and the key to check that with. The id of an Ed25519 author holds its key, so field
 * 6 is needed for hashed ids alone; where it is present it must be the author's. */
static int author(
    const struct gossip_message *m, struct peer_id *id, struct public_key *key, struct err *err)
{
	struct peer_id owner;
	int rc = peer_id_from_bytes(m->from, id, err);

	if (rc != 0 || m->key.n == 0)
		return rc != 0 ? rc : peer_id_key(id, key, err);
	rc = public_key_decode(m->key, key, err);
	if (rc != 0)
		return rc;
	peer_id_of_key(key, &owner);
	if (!peer_id_equal(&owner, id))
		return err_set(err, E_WRONG_PEER, "the key is not the author's");
	return 0;
}

/* The signed text: all that came but the signature, unknown fields included. */
static int signed_text(struct bytes raw, bool with_key, struct buf *out, struct err *err)
{
	struct cursor c = cursor_of(raw);
	const uint8_t *from = c.p;
	struct pb_field f;
	int rc;

	buf_reset(out);
	buf_put(out, sign_prefix, sizeof sign_prefix - 1);
	for (; (rc = pb_next(&c, &f, err)) > 0; from = c.p)
		if (!pb_is(&f, MSG_SIGNATURE, PB_BYTES) &&
		    (with_key || !pb_is(&f, MSG_KEY, PB_BYTES)))
			buf_put(out, from, (size_t)(c.p - from));
	return rc != 0 ? rc : buf_ok(out, err);
}

static int verify_one(struct ed25519_keys *keys, const struct public_key *key, struct bytes text,
    struct bytes signature, struct err *err)
{
	if (keys && key->type == KEY_ED25519)
		return ed25519_keys_verify(keys, key->data.p, text, signature, err);
	return public_key_verify(key, text, signature, err);
}

/* SPEC pubsub leaves out the signature alone; go and js, which add the key after signing, leave out
 * the key as well. Where a key is present both readings are tried, the deployed one first. */
static int verify_text(struct ed25519_keys *keys, const struct gossip_message *m,
    const struct public_key *key, struct buf *text, struct err *err)
{
	int rc = signed_text(m->raw, false, text, err);

	if (rc == 0)
		rc = verify_one(keys, key, buf_view(text), m->signature, err);
	if (rc != E_BAD_SIGNATURE || !m->key.p)
		return rc;
	rc = signed_text(m->raw, true, text, err);
	return rc != 0 ? rc : verify_one(keys, key, buf_view(text), m->signature, err);
}

int gossip_verify_with(struct ed25519_keys *keys, const struct gossip_message *m, struct err *err)
{
	struct buf text = BUF_INIT(GOSSIP_RPC_MAX + sizeof sign_prefix);
	struct public_key key;
	struct peer_id id;
	int rc;

	/* SPEC StrictSign: all three must be there. */
	if (m->from.n == 0 || m->seqno.n != GOSSIP_SEQNO_SIZE || m->signature.n == 0)
		return err_set(err, E_PROTOCOL, "a message without author, number or signature");
	rc = author(m, &id, &key, err);
	if (rc == 0)
		rc = verify_text(keys, m, &key, &text, err);
	buf_free(&text);
	return rc;
}

int gossip_verify(const struct gossip_message *m, struct err *err)
{
	return gossip_verify_with(NULL, m, err);
}
