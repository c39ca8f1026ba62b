/* Kademlia's messages: what is read stays within its limits, and what is written of it reads as the
 * same again. */
#include "p2p/kad_wire_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_peers(const struct kad_peers *l)
{
	INVARIANT(l->n <= KAD_PEERS_MAX);
	for (size_t i = 0; i < l->n; i++) {
		struct peer_id named;
		INVARIANT(l->v[i].id.n > 0 && l->v[i].addrs.n <= KAD_PEER_ADDRS_MAX);
		for (size_t j = 0; j < l->v[i].addrs.n; j++)
			INVARIANT(l->v[i].addrs.v[j].n > 0 &&
				  (!multiaddr_peer(&l->v[i].addrs.v[j], &named) ||
				      peer_id_equal(&named, &l->v[i].id)));
	}
}

static void check(const struct kad_message *m)
{
	INVARIANT(m->type <= KAD_PING && m->key.n <= KAD_KEY_MAX);
	INVARIANT(m->record.key.n <= KAD_KEY_MAX && m->record.value.n <= KAD_VALUE_MAX &&
		  m->record.received.n <= KAD_TIME_MAX);
	check_peers(&m->closer);
	check_peers(&m->providers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	struct kad_message m, again;
	struct err err = {0};
	int rc = kad_message_decode(bytes_of(data, size), &m, &err);

	if (rc != 0) {
		INVARIANT((rc == E_PROTOCOL || rc == E_TOO_LARGE) && err.text[0]);
		return 0;
	}
	check(&m);
	kad_message_encode(&m, &first);
	INVARIANT(!first.failed);
	if (first.n <= KAD_ANSWER_MAX) {
		INVARIANT(kad_message_decode(buf_view(&first), &again, NULL) == 0);
		kad_message_encode(&again, &second);
		INVARIANT(bytes_equal(buf_view(&first), buf_view(&second)));
		kad_message_free(&again);
	}
	kad_message_free(&m);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
