/* Kademlia's messages in and out. */
#include "p2p/kad_wire_priv.h"

#include "p2p/pb_priv.h"

#include <stdlib.h>

#define FIELD_TYPE      1
#define FIELD_KEY       2
#define FIELD_RECORD    3
#define FIELD_CLOSER    8
#define FIELD_PROVIDERS 9

#define RECORD_KEY      1
#define RECORD_VALUE    2
#define RECORD_RECEIVED 5

#define PEER_ID         1
#define PEER_ADDR       2
#define PEER_CONNECTION 3

/* ---- the key space ------------------------------------------------------------------------- */

int kad_nearer(const struct kad_key *a, const struct kad_key *b, const struct kad_key *target)
{
	for (size_t i = 0; i < sizeof a->b; i++) {
		uint8_t da = a->b[i] ^ target->b[i], db = b->b[i] ^ target->b[i];
		if (da != db)
			return da < db ? -1 : 1;
	}
	return 0;
}

unsigned kad_shared_bits(const struct kad_key *a, const struct kad_key *b)
{
	for (unsigned i = 0; i < sizeof a->b; i++) {
		unsigned differ = a->b[i] ^ b->b[i];
		if (differ != 0)
			return i * 8 + (unsigned)__builtin_clz(differ) - 24;
	}
	return KAD_BITS;
}

/* ---- lists of peers ------------------------------------------------------------------------ */

struct kad_peer *kad_peers_add(struct kad_peers *l, const struct peer_id *id)
{
	struct kad_peer *v;

	if (l->n == KAD_PEERS_MAX)
		return NULL;
	v = realloc(l->v, (l->n + 1) * sizeof *v);
	if (!v)
		return NULL;
	l->v = v;
	v[l->n] = (struct kad_peer){.id = *id};
	return &v[l->n++];
}

void kad_peers_free(struct kad_peers *l)
{
	for (size_t i = 0; i < l->n; i++)
		addr_list_free(&l->v[i].addrs);
	free(l->v);
	*l = (struct kad_peers){0};
}

void kad_message_free(struct kad_message *m)
{
	kad_peers_free(&m->closer);
	kad_peers_free(&m->providers);
}

/* ---- reading ------------------------------------------------------------------------------- */

static int take_addr(struct bytes in, struct kad_peer *p)
{
	struct multiaddr a;
	struct peer_id named;

	if (multiaddr_from_bytes(in, &a, NULL) != 0)
		return 0;
	if (multiaddr_peer(&a, &named)) {
		if (!peer_id_equal(&named, &p->id))
			return 0;
		multiaddr_strip_peer(&a);
	}
	return a.n == 0 ? 0 : addr_list_add(&p->addrs, &a, KAD_PEER_ADDRS_MAX);
}

/* The id may come after the addresses, which are judged by it: two passes. */
static int take_peer_id(struct bytes in, struct peer_id *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	*out = (struct peer_id){0};
	while ((rc = pb_next(&c, &f, err)) > 0)
		if (pb_is(&f, PEER_ID, PB_BYTES) && peer_id_from_bytes(f.data, out, NULL) != 0)
			*out = (struct peer_id){0};
	return rc;
}

static int take_peer(struct bytes in, struct kad_peers *list, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct peer_id id;
	struct pb_field f;
	struct kad_peer *p;
	int rc = take_peer_id(in, &id, err);

	if (rc != 0 || id.n == 0 || list->n == KAD_PEERS_MAX)
		return rc;
	if (!(p = kad_peers_add(list, &id)))
		return err_set(err, E_MEMORY, "no memory for a list of peers");
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, PEER_CONNECTION, PB_VARINT) && f.value <= KAD_CANNOT_CONNECT)
			p->connection = (enum kad_connection)f.value;
		else if (pb_is(&f, PEER_ADDR, PB_BYTES) && take_addr(f.data, p) != 0)
			return err_set(err, E_MEMORY, "no memory for a list of peers");
	}
	return rc;
}

static int take_bounded(struct bytes in, size_t max, struct bytes *out, struct err *err)
{
	if (in.n > max)
		return err_set(err, E_TOO_LARGE, "%zu bytes where %zu are allowed", in.n, max);
	*out = in;
	return 0;
}

static int take_record(struct bytes in, struct kad_record *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	*out = (struct kad_record){0};
	while ((rc = pb_next(&c, &f, err)) > 0) {
		rc = 0;
		if (pb_is(&f, RECORD_KEY, PB_BYTES))
			rc = take_bounded(f.data, KAD_KEY_MAX, &out->key, err);
		else if (pb_is(&f, RECORD_VALUE, PB_BYTES))
			rc = take_bounded(f.data, KAD_VALUE_MAX, &out->value, err);
		else if (pb_is(&f, RECORD_RECEIVED, PB_BYTES))
			rc = take_bounded(f.data, KAD_TIME_MAX, &out->received, err);
		if (rc != 0)
			return rc;
	}
	return rc;
}

static int take_type(uint64_t value, enum kad_type *out, struct err *err)
{
	if (value > KAD_PING)
		return err_set(
		    err, E_PROTOCOL, "unknown message type %llu", (unsigned long long)value);
	*out = (enum kad_type)value;
	return 0;
}

static int take_field(const struct pb_field *f, struct kad_message *m, struct err *err)
{
	if (pb_is(f, FIELD_TYPE, PB_VARINT))
		return take_type(f->value, &m->type, err);
	if (pb_is(f, FIELD_KEY, PB_BYTES))
		return take_bounded(f->data, KAD_KEY_MAX, &m->key, err);
	if (pb_is(f, FIELD_RECORD, PB_BYTES)) {
		m->has_record = true;
		return take_record(f->data, &m->record, err);
	}
	if (pb_is(f, FIELD_CLOSER, PB_BYTES))
		return take_peer(f->data, &m->closer, err);
	if (pb_is(f, FIELD_PROVIDERS, PB_BYTES))
		return take_peer(f->data, &m->providers, err);
	return 0;
}

int kad_message_decode(struct bytes in, struct kad_message *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc = 0;

	*out = (struct kad_message){.type = KAD_PUT_VALUE}; /* the zero value may stay unwritten */
	if (in.n > KAD_ANSWER_MAX)
		return err_set(err, E_TOO_LARGE, "a message of %zu bytes", in.n);
	while (rc == 0 && (rc = pb_next(&c, &f, err)) > 0)
		rc = take_field(&f, out, err);
	if (rc != 0)
		kad_message_free(out);
	return rc;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_peer(struct buf *out, uint32_t field, const struct kad_peer *p)
{
	struct buf body = BUF_INIT(KAD_ANSWER_MAX);

	pb_put_bytes(&body, PEER_ID, peer_id_bytes(&p->id));
	for (size_t i = 0; i < p->addrs.n; i++)
		pb_put_bytes(&body, PEER_ADDR, multiaddr_bytes(&p->addrs.v[i]));
	pb_put_varint(&body, PEER_CONNECTION, (uint64_t)p->connection);
	pb_put_bytes(out, field, buf_view(&body));
	out->failed |= body.failed;
	buf_free(&body);
}

static void put_record(struct buf *out, const struct kad_record *r)
{
	struct buf body = BUF_INIT(KAD_ANSWER_MAX);

	pb_put_bytes(&body, RECORD_KEY, r->key);
	pb_put_bytes(&body, RECORD_VALUE, r->value);
	if (r->received.n > 0)
		pb_put_bytes(&body, RECORD_RECEIVED, r->received);
	pb_put_bytes(out, FIELD_RECORD, buf_view(&body));
	out->failed |= body.failed;
	buf_free(&body);
}

void kad_message_encode(const struct kad_message *m, struct buf *out)
{
	pb_put_varint(out, FIELD_TYPE, (uint64_t)m->type);
	if (m->key.n > 0)
		pb_put_bytes(out, FIELD_KEY, m->key);
	if (m->has_record)
		put_record(out, &m->record);
	for (size_t i = 0; i < m->closer.n; i++)
		put_peer(out, FIELD_CLOSER, &m->closer.v[i]);
	for (size_t i = 0; i < m->providers.n; i++)
		put_peer(out, FIELD_PROVIDERS, &m->providers.v[i]);
}
