/* Peer ids (text, binary), node ids and public keys, with signatures checked by whatever key the
 * input describes. */
#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_id(const struct peer_id *id)
{
	struct peer_id again;
	struct public_key key;
	char text[PEER_ID_TEXT_MAX], node[NODE_ID_TEXT_MAX];

	peer_id_print(id, text);
	INVARIANT(peer_id_parse(bytes_str(text), &again, NULL) == 0);
	INVARIANT(memcmp(id, &again, sizeof(again)) == 0);
	INVARIANT(peer_id_from_bytes(peer_id_bytes(id), &again, NULL) == 0);
	if (peer_id_key(id, &key, NULL) == 0) {
		peer_id_of_key(&key, &again);
		INVARIANT(peer_id_equal(id, &again));
	}
	if (node_id_print(id, node, NULL) == 0) {
		INVARIANT(node_id_parse(bytes_str(node), &again, NULL) == 0);
		INVARIANT(peer_id_equal(id, &again));
	}
}

static void check_key(struct bytes in)
{
	uint8_t raw[PUBLIC_KEY_MAX];
	struct public_key key;
	struct err err = {0};
	size_t n;

	if (public_key_decode(in, &key, NULL) != 0)
		return;
	n = public_key_encode(&key, raw);
	INVARIANT(bytes_equal(in, bytes_of(raw, n)));
	/* nobody signed this */
	INVARIANT(public_key_verify(
		      &key, bytes_str("message"), bytes_of(raw, n < 64 ? n : 64), &err) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct peer_id id;

	if (peer_id_parse(in, &id, NULL) == 0)
		check_id(&id);
	if (peer_id_from_bytes(in, &id, NULL) == 0)
		check_id(&id);
	if (node_id_parse(in, &id, NULL) == 0)
		check_id(&id);
	check_key(in);
	return 0;
}
