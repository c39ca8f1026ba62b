/* Identify messages in and out, and how several become one picture of a peer. */
#include "p2p/identify_priv.h"

#include "base/encode.h"
#include "p2p/pb_priv.h"

#include <stdlib.h>

#define FIELD_PUBLIC_KEY       1
#define FIELD_LISTEN_ADDR      2
#define FIELD_PROTOCOL         3
#define FIELD_OBSERVED_ADDR    4
#define FIELD_PROTOCOL_VERSION 5
#define FIELD_AGENT_VERSION    6
#define FIELD_PEER_RECORD      8

static void free_protocols(struct identify *id)
{
	for (size_t i = 0; i < id->protocols_n; i++)
		free(id->protocols[i]);
	free(id->protocols);
	id->protocols = NULL;
	id->protocols_n = 0;
}

void identify_free(struct identify *id)
{
	addr_list_free(&id->listen);
	free_protocols(id);
	buf_free(&id->record);
	*id = (struct identify){0};
}

static bool is_text(struct bytes v)
{
	return v.n > 0 && v.n <= IDENTIFY_TEXT_MAX && !memchr(v.p, 0, v.n) &&
	       utf8_valid_prefix(v) == v.n;
}

int identify_add_protocol(struct identify *id, struct bytes name)
{
	char **all, *copy;

	if (id->protocols_n == IDENTIFY_PROTOCOLS_MAX || !is_text(name))
		return 0;
	all = realloc(id->protocols, (id->protocols_n + 1) * sizeof(*all));
	if (!all)
		return E_MEMORY;
	id->protocols = all;
	copy = malloc(name.n + 1);
	if (!copy)
		return E_MEMORY;
	memcpy(copy, name.p, name.n);
	copy[name.n] = '\0';
	all[id->protocols_n++] = copy;
	return 0;
}

bool identify_speaks(const struct identify *id, const char *protocol)
{
	for (size_t i = 0; i < id->protocols_n; i++)
		if (strcmp(id->protocols[i], protocol) == 0)
			return true;
	return false;
}

static void take_text(struct bytes v, char out[IDENTIFY_TEXT_MAX + 1])
{
	if (!is_text(v))
		return;
	memcpy(out, v.p, v.n);
	out[v.n] = 0;
}

static int take_field(struct identify *id, const struct pb_field *f)
{
	struct multiaddr a;

	if (f->wire != PB_BYTES)
		return 0;
	switch (f->number) {
	case FIELD_PUBLIC_KEY:
		id->public_key_n = f->data.n <= sizeof(id->public_key) ? f->data.n : 0;
		if (id->public_key_n)
			memcpy(id->public_key, f->data.p, id->public_key_n);
		return 0;
	case FIELD_LISTEN_ADDR:
		if (multiaddr_from_bytes(f->data, &a, NULL) != 0 || a.n == 0)
			return 0;
		return addr_list_add(&id->listen, &a, IDENTIFY_ADDRS_MAX);
	case FIELD_PROTOCOL:
		return identify_add_protocol(id, f->data);
	case FIELD_OBSERVED_ADDR:
		if (multiaddr_from_bytes(f->data, &a, NULL) == 0)
			id->observed = a;
		return 0;
	case FIELD_PROTOCOL_VERSION:
		take_text(f->data, id->protocol_version);
		return 0;
	case FIELD_AGENT_VERSION:
		take_text(f->data, id->agent_version);
		return 0;
	case FIELD_PEER_RECORD:
		id->record.max = IDENTIFY_MESSAGE_MAX;
		buf_reset(&id->record);
		buf_bytes(&id->record, f->data);
		return id->record.failed ? E_MEMORY : 0;
	default:
		return 0;
	}
}

int identify_add_message(struct identify *id, struct bytes in, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	if (in.n > IDENTIFY_MESSAGE_MAX)
		return err_set(err, E_PROTOCOL, "an identify message of %zu bytes", in.n);
	while ((rc = pb_next(&c, &f, err)) > 0) {
		rc = take_field(id, &f);
		if (rc != 0)
			return err_set(err, rc, "no memory for an identify message");
	}
	return rc;
}

int identify_check(const struct identify *id, const struct peer_id *peer, struct err *err)
{
	struct public_key key;
	struct peer_id owner;
	int rc;

	if (id->public_key_n == 0)
		return 0;
	rc = public_key_decode(bytes_of(id->public_key, id->public_key_n), &key, err);
	if (rc != 0)
		return rc;
	peer_id_of_key(&key, &owner);
	if (!peer_id_equal(&owner, peer))
		return err_set(err, E_WRONG_PEER, "identify shows another peer's key");
	return 0;
}

void identify_apply_push(struct identify *id, struct identify *update)
{
	if (update->public_key_n) {
		memcpy(id->public_key, update->public_key, update->public_key_n);
		id->public_key_n = update->public_key_n;
	}
	if (update->protocol_version[0])
		memcpy(
		    id->protocol_version, update->protocol_version, sizeof(id->protocol_version));
	if (update->agent_version[0])
		memcpy(id->agent_version, update->agent_version, sizeof(id->agent_version));
	if (update->observed.n)
		id->observed = update->observed;
	if (update->listen.n) {
		addr_list_free(&id->listen);
		id->listen = update->listen;
		update->listen = (struct addr_list){0};
	}
	if (update->protocols_n) {
		free_protocols(id);
		id->protocols = update->protocols;
		id->protocols_n = update->protocols_n;
		update->protocols = NULL;
		update->protocols_n = 0;
	}
	if (update->record.n) {
		buf_free(&id->record);
		id->record = update->record;
		update->record = (struct buf){0};
	}
	identify_free(update);
}

static void put_text(struct buf *out, uint32_t number, const char *text)
{
	if (text[0])
		pb_put_bytes(out, number, bytes_str(text));
}

void identify_encode(const struct identify *id, struct buf *out)
{
	if (id->public_key_n)
		pb_put_bytes(out, FIELD_PUBLIC_KEY, bytes_of(id->public_key, id->public_key_n));
	for (size_t i = 0; i < id->listen.n; i++)
		pb_put_bytes(out, FIELD_LISTEN_ADDR, multiaddr_bytes(&id->listen.v[i]));
	for (size_t i = 0; i < id->protocols_n; i++)
		pb_put_bytes(out, FIELD_PROTOCOL, bytes_str(id->protocols[i]));
	if (id->observed.n)
		pb_put_bytes(out, FIELD_OBSERVED_ADDR, multiaddr_bytes(&id->observed));
	put_text(out, FIELD_PROTOCOL_VERSION, id->protocol_version);
	put_text(out, FIELD_AGENT_VERSION, id->agent_version);
	if (id->record.n)
		pb_put_bytes(out, FIELD_PEER_RECORD, buf_view(&id->record));
}
