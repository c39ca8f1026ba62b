/* Multiaddrs from text and from bytes: what is accepted prints, reads back as itself, and can be
 * taken apart. */
#include "p2p/multiaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct multiaddr *a)
{
	char text[MULTIADDR_TEXT_MAX];
	struct multiaddr again, bare = *a;
	struct multiaddr_tcp tcp;
	struct peer_id peer;
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;
	int parts = 0;

	while (multiaddr_next(&c, &part))
		parts++;
	INVARIANT(parts <= MULTIADDR_PARTS_MAX && !c.bad);
	multiaddr_print(a, text);
	if (a->n) {
		INVARIANT(multiaddr_parse(bytes_str(text), &again, NULL) == 0);
		INVARIANT(multiaddr_equal(a, &again));
	}
	INVARIANT(multiaddr_from_bytes(multiaddr_bytes(a), &again, NULL) == 0);
	multiaddr_strip_peer(&bare);
	if (multiaddr_peer(a, &peer) && multiaddr_append_peer(&bare, &peer, NULL) == 0)
		INVARIANT(multiaddr_equal(a, &bare));
	if (multiaddr_tcp(a, &tcp, NULL) == 0)
		INVARIANT(strlen(tcp.host) > 0 && multiaddr_reach(a) != MA_REACH_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct multiaddr a;
	struct err err = {0};

	if (multiaddr_parse(bytes_of(data, size), &a, &err) == 0)
		check(&a);
	else
		INVARIANT(err.code == E_INVALID && err.text[0]);
	if (multiaddr_from_bytes(bytes_of(data, size), &a, NULL) == 0)
		check(&a);
	return 0;
}
