/* AutoNAT's and DCUtR's messages, and whom they may make us dial: never but the observed IP
 * address, never what is neither public nor next to us. */
#include "p2p/autonat_priv.h"
#include "p2p/dcutr_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct netaddr observed = {.family = NET_IP4, .ip = {5, 5, 5, 5}, .port = 9};

static void check_dial(const struct autonat_dial *m)
{
	struct netaddr to[8];
	struct autonat_dial again;
	struct buf out = BUF_INIT(4 * AUTONAT_MESSAGE_MAX);
	size_t n = autonat_targets(&m->addrs, &observed, to, 8);

	INVARIANT(m->addrs.n <= AUTONAT_ADDRS_MAX && n <= 8);
	for (size_t i = 0; i < n; i++)
		INVARIANT(memcmp(to[i].ip, observed.ip, 16) == 0 && to[i].port != 0);
	autonat_dial_encode(m, &out);
	if (!out.failed && out.n <= AUTONAT_MESSAGE_MAX && m->peer.n > 0) {
		INVARIANT(autonat_dial_decode(buf_view(&out), &again, NULL) == 0);
		INVARIANT(again.addrs.n == m->addrs.n && peer_id_equal(&again.peer, &m->peer));
		autonat_dial_free(&again);
	}
	buf_free(&out);
}

static void check_dcutr(const struct dcutr_message *m)
{
	struct multiaddr own;
	struct netaddr to[8];

	multiaddr_from_tcp(bytes_of((const uint8_t[]){192, 168, 1, 2}, 4), 4001, &own);
	size_t n = dcutr_targets(&m->addrs, &own, 1, to, 8);
	INVARIANT(n <= 8 && m->addrs.n <= DCUTR_ADDRS_MAX);
	for (size_t i = 0; i < n; i++) {
		INVARIANT(to[i].port != 0 && !netaddr_is_loopback(&to[i]));
		INVARIANT(!netaddr_is_unspecified(&to[i]));
		if (to[i].family == NET_IP4)
			INVARIANT(to[i].ip[0] != 10 &&
				  (to[i].ip[0] != 172 || (to[i].ip[1] & 0xf0) != 16));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct autonat_response response;
	struct autonat_dial dial;
	struct dcutr_message m;

	if (autonat_dial_decode(bytes_of(data, size), &dial, NULL) == 0) {
		check_dial(&dial);
		autonat_dial_free(&dial);
	}
	if (autonat_response_decode(bytes_of(data, size), &response, NULL) == 0)
		INVARIANT(response.addr.n <= MULTIADDR_MAX);
	if (dcutr_decode(bytes_of(data, size), &m, NULL) == 0) {
		check_dcutr(&m);
		dcutr_free(&m);
	}
	return 0;
}
