/* Multiaddrs: self-describing addresses, "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…".
 * SPEC libp2p addressing, multiformats multiaddr (binary form and code table).
 *
 * A struct multiaddr always holds a valid address of known protocols (possibly of zero parts). It
 * is a plain value: copy it, compare it with multiaddr_equal. */
#ifndef P2P_MULTIADDR_H
#define P2P_MULTIADDR_H

#include "crypto/peer_id.h"

#define MULTIADDR_MAX       512  /* bytes of the binary form */
#define MULTIADDR_PARTS_MAX 16   /* protocols in one address */
#define MULTIADDR_TEXT_MAX  1792 /* text with its NUL */
#define MULTIADDR_NAME_MAX  253  /* longest DNS name */
#define MULTIADDR_VALUE_TEXT_MAX                                                                   \
	272 /* text of one value with its NUL: a name, or an IP and its zone */

/* Multicodec codes. The protocols that we do not speak are known so that foreign addresses can be
 * read and shown. */
enum multiaddr_code {
	MA_IP4 = 4,
	MA_TCP = 6,
	MA_IP6 = 41,
	MA_IP6ZONE = 42,
	MA_DNS = 53,
	MA_DNS4 = 54,
	MA_DNS6 = 55,
	MA_DNSADDR = 56,
	MA_UDP = 273,
	MA_WEBRTC_DIRECT = 280,
	MA_WEBRTC = 281,
	MA_P2P_CIRCUIT = 290,
	MA_P2P = 421,
	MA_TLS = 448,
	MA_SNI = 449,
	MA_NOISE = 454,
	MA_QUIC = 460,
	MA_QUIC_V1 = 461,
	MA_WEBTRANSPORT = 465,
	MA_CERTHASH = 466,
	MA_WS = 477,
	MA_WSS = 478,
	MA_HTTP = 480,
	MA_MEMORY = 777,
};

struct multiaddr {
	uint16_t n;
	uint8_t bytes[MULTIADDR_MAX];
};

/* One protocol of an address. `value` borrows from it: 4 or 16 bytes of IP, 2 of port (big-endian),
 * a name, a multihash; without length prefix. */
struct multiaddr_part {
	enum multiaddr_code code;
	struct bytes value;
};

/* From text. E_INVALID, with `bad multiaddr "…": ` and the offending component. */
int multiaddr_parse(struct bytes text, struct multiaddr *out, struct err *err) WARN_UNUSED;
/* From the binary form. E_PROTOCOL when malformed, E_UNSUPPORTED for a protocol not in the table
 * (nothing behind it can be read), E_TOO_LARGE. */
int multiaddr_from_bytes(struct bytes in, struct multiaddr *out, struct err *err) WARN_UNUSED;
void multiaddr_print(const struct multiaddr *a, char out[MULTIADDR_TEXT_MAX]);

static inline struct bytes multiaddr_bytes(const struct multiaddr *a)
{
	return bytes_of(a->bytes, a->n);
}

static inline bool multiaddr_equal(const struct multiaddr *a, const struct multiaddr *b)
{
	return bytes_equal(multiaddr_bytes(a), multiaddr_bytes(b));
}

/* Walks the parts: start with c = cursor_of(multiaddr_bytes(a)), stop when it answers false. */
bool multiaddr_next(struct cursor *c, struct multiaddr_part *out);

/* Appends. E_TOO_LARGE beyond the limits, E_INVALID for a value that does not fit the protocol;
 * then `a` is unchanged. */
int multiaddr_append(
    struct multiaddr *a, enum multiaddr_code code, struct bytes value, struct err *err) WARN_UNUSED;
int multiaddr_append_peer(
    struct multiaddr *a, const struct peer_id *id, struct err *err) WARN_UNUSED;
int multiaddr_encapsulate(
    struct multiaddr *a, const struct multiaddr *tail, struct err *err) WARN_UNUSED;

/* /ip4/… or /ip6/… with /tcp/port, from 4 or 16 bytes of address; other lengths are a bug. */
void multiaddr_from_tcp(struct bytes ip, uint16_t port, struct multiaddr *out);

/* The target: the last /p2p part (circuit addresses hold two). False when the address does not end
 * in one. */
bool multiaddr_peer(const struct multiaddr *a, struct peer_id *out);
/* Removes a /p2p part at the end, if there is one. */
void multiaddr_strip_peer(struct multiaddr *a);

/* Takes a circuit address, <relay>/p2p-circuit[/p2p/<target>], apart: `relay` is what stands before
 * the circuit, its /p2p part included, `target` is empty (n 0) where none is named. False, and
 * nothing written, for every other shape, a circuit within a circuit included.
 * SPEC circuit-v2, "Relay addresses". */
bool multiaddr_circuit(
    const struct multiaddr *a, struct multiaddr *relay, struct peer_id *target) WARN_UNUSED;
/* Whether any part is a /p2p-circuit. */
bool multiaddr_is_relayed(const struct multiaddr *a);

/* What TCP needs to know: a name to resolve or a literal address, and a port. */
enum multiaddr_host {
	MA_HOST_IP4,
	MA_HOST_IP6,
	MA_HOST_DNS,
	MA_HOST_DNS4,
	MA_HOST_DNS6
};

struct multiaddr_tcp {
	enum multiaddr_host kind;
	char host[MULTIADDR_VALUE_TEXT_MAX]; /* "192.0.2.1", "fe80::1%eth0", "example.org" */
	uint16_t port;
	bool has_peer;
	struct peer_id peer;
};

/* Takes apart [ip6zone/]ip4|ip6|dns|dns4|dns6 / tcp [/p2p]. E_UNSUPPORTED, naming the first part
 * that TCP cannot use, for every other shape. */
int multiaddr_tcp(
    const struct multiaddr *a, struct multiaddr_tcp *out, struct err *err) WARN_UNUSED;

/* How far an address reaches, judged by its first part. */
enum multiaddr_reach {
	MA_REACH_UNKNOWN,     /* neither IP nor name first */
	MA_REACH_UNSPECIFIED, /* 0.0.0.0, ::, never to be advertised */
	MA_REACH_LOOPBACK,
	MA_REACH_LINK_LOCAL,
	MA_REACH_PRIVATE, /* RFC 1918, RFC 6598, RFC 4193 */
	MA_REACH_PUBLIC,
	MA_REACH_NAME, /* a DNS name: reach unknown until resolved */
};
enum multiaddr_reach multiaddr_reach(const struct multiaddr *a);

#endif
