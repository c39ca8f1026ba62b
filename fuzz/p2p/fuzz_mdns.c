/* mDNS packets from the network: nothing is reported from a malformed one, and what is reported is
 * a valid address with a peer. */
#include "p2p/mdns_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void found(void *arg, const char *peer_name, const struct multiaddr *addr)
{
	struct peer_id peer;

	++*(size_t *)arg;
	INVARIANT(strlen(peer_name) <= MDNS_NAME_MAX);
	INVARIANT(multiaddr_peer(addr, &peer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mdns_packet packet;
	size_t count = 0;
	int rc = mdns_parse(bytes_of(data, size), found, &count, &packet, NULL);

	INVARIANT(rc == 0 || count == 0);
	INVARIANT(packet.found == count && (packet.response || count == 0));
	return 0;
}
