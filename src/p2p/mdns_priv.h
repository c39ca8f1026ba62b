/* mDNS packets of libp2p's peer discovery: building queries and answers, reading both.
 * SPEC libp2p mdns; RFC 1035 section 4 (messages), RFC 6762 (classes), RFC 6763 (TXT).
 *
 * The network is hostile: every name and record is bounded, compression pointers only go backwards,
 * and a malformed packet yields nothing at all. */
#ifndef P2P_MDNS_PRIV_H
#define P2P_MDNS_PRIV_H

#include "p2p/multiaddr.h"

#define MDNS_PORT        5353
#define MDNS_PACKET_MAX  9000 /* the longest packet that we read (RFC 6762 section 17) */
#define MDNS_SEND_MAX    1400 /* the longest that we send: one Ethernet frame */
#define MDNS_NAME_MIN    32
#define MDNS_NAME_MAX    63
#define MDNS_NAME_RANDOM 20  /* random bytes that make a peer name */
#define MDNS_RECORDS_MAX 256 /* of one packet; more make it malformed */
#define MDNS_TTL_S       120

/* The peer name of this run: 32 lower-case letters and digits from random bytes; not the peer id.
 */
void mdns_make_name(const uint8_t random[MDNS_NAME_RANDOM], char out[MDNS_NAME_MAX + 1]);

/* The question for all peers. */
void mdns_put_query(struct buf *out);

/* One answer packet of at most MDNS_SEND_MAX bytes: PTR, and TXT for as many of the n addresses
 * (text with /p2p at the end) as fit, twice: as additional records by the spec, and among the
 * answers, where js-libp2p looks. Returns how many addresses it took in; call again for the rest.
 * An address too long for a TXT string is passed over, counted as taken. `out` must be empty. */
size_t mdns_put_answer(struct buf *out, const char *peer_name, const char *const *addrs, size_t n);

/* What a packet is. */
struct mdns_packet {
	bool response;
	bool asks_peers;     /* a query for _p2p._udp.local */
	bool unicast_answer; /* which wants its answer sent to it alone (RFC 6762 section 5.4) */
	size_t found;        /* addresses handed to the callback */
};

/* Called for each dnsaddr of a response that parses and ends in /p2p. The name belongs to the peer
 * that answered ("" when it is no plain label): compare it with one's own. */
typedef void (*mdns_found_fn)(void *arg, const char *peer_name, const struct multiaddr *addr);

/* E_PROTOCOL when malformed: nothing was called then. */
int mdns_parse(struct bytes packet, mdns_found_fn found, void *arg, struct mdns_packet *out,
    struct err *err) WARN_UNUSED;

#endif
