/* Circuit relay messages and vouchers: what was understood must survive being written and read
 * again. */
#include "p2p/relay_wire_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_limit(const struct relay_limit *a, const struct relay_limit *b)
{
	return a->duration_s == b->duration_s && a->bytes == b->bytes;
}

static void check_hop(const struct relay_hop *m)
{
	struct buf out = BUF_INIT(16 * RELAY_MESSAGE_MAX);
	struct relay_hop again;

	INVARIANT(m->addrs.n <= RELAY_ADDRS_MAX && m->type <= RELAY_HOP_STATUS);
	relay_hop_encode(m, &out);
	if (!out.failed && out.n <= RELAY_MESSAGE_MAX) {
		INVARIANT(relay_hop_decode(buf_view(&out), &again, NULL) == 0);
		INVARIANT(again.type == m->type && peer_id_equal(&again.peer, &m->peer));
		INVARIANT(again.has_reservation == m->has_reservation);
		INVARIANT(again.has_limit == m->has_limit && same_limit(&again.limit, &m->limit));
		INVARIANT(again.status == m->status);
		if (m->has_reservation) {
			INVARIANT(again.expire_s == m->expire_s && again.addrs.n == m->addrs.n);
			INVARIANT(bytes_equal(again.voucher, m->voucher));
		}
		relay_hop_free(&again);
	}
	buf_free(&out);
}

static void check_stop(const struct relay_stop *m)
{
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);
	struct relay_stop again;

	relay_stop_encode(m, &out);
	INVARIANT(!out.failed && relay_stop_decode(buf_view(&out), &again, NULL) == 0);
	INVARIANT(again.type == m->type && peer_id_equal(&again.peer, &m->peer));
	INVARIANT(again.has_limit == m->has_limit && same_limit(&again.limit, &m->limit));
	INVARIANT(again.status == m->status);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_voucher v;
	struct relay_hop hop;
	struct relay_stop stop;

	if (relay_hop_decode(bytes_of(data, size), &hop, NULL) == 0) {
		check_hop(&hop);
		if (relay_voucher_open(hop.voucher, &v, NULL) == 0)
			INVARIANT(v.relay.n > 0);
		relay_hop_free(&hop);
	}
	if (relay_stop_decode(bytes_of(data, size), &stop, NULL) == 0)
		check_stop(&stop);
	if (relay_voucher_open(bytes_of(data, size), &v, NULL) == 0)
		INVARIANT(v.relay.n > 0);
	return 0;
}
