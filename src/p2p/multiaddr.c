/* Multiaddrs. The binary form is the truth; text is read into it and printed from it. Every value
 * is checked on the way in (wherever it comes from), so that printing and walking cannot fail. */
#include "p2p/multiaddr.h"

#include "base/encode.h"

#include <arpa/inet.h>
#include <stdio.h>

/* How a protocol's value is written. */
enum value_kind {
	VALUE_NONE,
	VALUE_IP4,
	VALUE_IP6,
	VALUE_PORT,
	VALUE_NUMBER, /* 64 bits, decimal */
	VALUE_NAME,   /* DNS name */
	VALUE_ZONE,   /* network interface */
	VALUE_PEER,   /* multihash of a key */
	VALUE_HASH,   /* any multihash, multibase base64url in text */
};

struct proto {
	enum multiaddr_code code;
	const char *name;
	enum value_kind kind;
};

static const struct proto protos[] = {
    {MA_IP4, "ip4", VALUE_IP4},
    {MA_TCP, "tcp", VALUE_PORT},
    {MA_IP6, "ip6", VALUE_IP6},
    {MA_IP6ZONE, "ip6zone", VALUE_ZONE},
    {MA_DNS, "dns", VALUE_NAME},
    {MA_DNS4, "dns4", VALUE_NAME},
    {MA_DNS6, "dns6", VALUE_NAME},
    {MA_DNSADDR, "dnsaddr", VALUE_NAME},
    {MA_UDP, "udp", VALUE_PORT},
    {MA_WEBRTC_DIRECT, "webrtc-direct", VALUE_NONE},
    {MA_WEBRTC, "webrtc", VALUE_NONE},
    {MA_P2P_CIRCUIT, "p2p-circuit", VALUE_NONE},
    {MA_P2P, "p2p", VALUE_PEER},
    {MA_P2P, "ipfs", VALUE_PEER}, /* the old name, read but never printed */
    {MA_TLS, "tls", VALUE_NONE},
    {MA_SNI, "sni", VALUE_NAME},
    {MA_NOISE, "noise", VALUE_NONE},
    {MA_QUIC, "quic", VALUE_NONE},
    {MA_QUIC_V1, "quic-v1", VALUE_NONE},
    {MA_WEBTRANSPORT, "webtransport", VALUE_NONE},
    {MA_CERTHASH, "certhash", VALUE_HASH},
    {MA_WS, "ws", VALUE_NONE},
    {MA_WSS, "wss", VALUE_NONE},
    {MA_HTTP, "http", VALUE_NONE},
    {MA_MEMORY, "memory", VALUE_NUMBER},
};

#define PROTOS_N  (sizeof(protos) / sizeof(protos[0]))
#define VALUE_MAX MULTIADDR_MAX
#define HASH_MAX  128 /* bytes of a certificate's multihash */
#define ZONE_MAX  15  /* IFNAMSIZ - 1 */
#define QUOTE_MAX 120 /* characters of a bad address repeated in its error */

static const struct proto *proto_by_code(uint64_t code)
{
	for (size_t i = 0; i < PROTOS_N; i++)
		if ((uint64_t)protos[i].code == code)
			return &protos[i];
	return NULL;
}

static const struct proto *proto_by_name(struct bytes name)
{
	for (size_t i = 0; i < PROTOS_N; i++)
		if (bytes_equal(name, bytes_str(protos[i].name)))
			return &protos[i];
	return NULL;
}

/* Bytes of a value of fixed size, or -1 when it carries its own length. */
static int fixed_size(enum value_kind kind)
{
	switch (kind) {
	case VALUE_NONE:
		return 0;
	case VALUE_IP4:
		return 4;
	case VALUE_IP6:
		return 16;
	case VALUE_PORT:
		return 2;
	case VALUE_NUMBER:
		return 8;
	case VALUE_NAME:
	case VALUE_ZONE:
	case VALUE_PEER:
	case VALUE_HASH:
		return -1;
	}
	BUG("value kind %d", (int)kind);
}

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Letters, digits, '-', '.', '_': what resolvers take. Names beyond ASCII come as "xn--". */
static bool is_name(struct bytes v, size_t max)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_alnum(v.p[i]) && !(v.p[i] && strchr("-._", v.p[i])))
			return false;
	return v.n > 0 && v.n <= max;
}

/* A multihash with the length it claims: <code varint><length varint><digest>. */
static bool is_multihash(struct bytes v)
{
	struct cursor c = cursor_of(v);
	uint64_t code, n;

	return v.n <= HASH_MAX && cursor_varint(&c, &code) && cursor_varint(&c, &n) && n == c.left;
}

/* The one gate for values, from text and from the wire. */
static bool value_fits(enum value_kind kind, struct bytes v)
{
	struct peer_id id;

	switch (kind) {
	case VALUE_NONE:
	case VALUE_IP4:
	case VALUE_IP6:
	case VALUE_PORT:
	case VALUE_NUMBER:
		return v.n == (size_t)fixed_size(kind);
	case VALUE_NAME:
		return is_name(v, MULTIADDR_NAME_MAX);
	case VALUE_ZONE:
		return is_name(v, ZONE_MAX);
	case VALUE_PEER:
		return peer_id_from_bytes(v, &id, NULL) == 0;
	case VALUE_HASH:
		return is_multihash(v);
	}
	BUG("value kind %d", (int)kind);
}

/* One part at the cursor: its protocol, and its value without length. NULL when malformed (c->bad)
 * or unknown (*unknown). */
static const struct proto *take_part(struct cursor *c, struct bytes *value, uint64_t *unknown)
{
	const struct proto *proto;
	uint64_t code, n;

	if (!cursor_varint(c, &code))
		return NULL;
	proto = proto_by_code(code);
	if (!proto) {
		*unknown = code;
		return NULL;
	}
	if (fixed_size(proto->kind) >= 0) {
		n = (uint64_t)fixed_size(proto->kind);
	} else if (!cursor_varint(c, &n)) {
		return NULL;
	}
	if (n > VALUE_MAX || !cursor_take(c, (size_t)n, value) || !value_fits(proto->kind, *value))
		return NULL;
	return proto;
}

bool multiaddr_next(struct cursor *c, struct multiaddr_part *out)
{
	const struct proto *proto;
	uint64_t unknown;

	if (c->left == 0)
		return false;
	proto = take_part(c, &out->value, &unknown);
	INVARIANT(proto != NULL);
	out->code = proto->code;
	return true;
}

int multiaddr_from_bytes(struct bytes in, struct multiaddr *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct bytes value;
	uint64_t unknown = 0;

	if (in.n > MULTIADDR_MAX)
		return err_set(err, E_TOO_LARGE, "a multiaddr of %zu bytes", in.n);
	for (int parts = 0; c.left; parts++) {
		if (parts == MULTIADDR_PARTS_MAX)
			return err_set(err, E_TOO_LARGE, "a multiaddr of too many parts");
		if (take_part(&c, &value, &unknown))
			continue;
		if (unknown)
			return err_set(err, E_UNSUPPORTED,
			    "a multiaddr with the unknown protocol %llu",
			    (unsigned long long)unknown);
		return err_set(err, E_PROTOCOL, "malformed binary multiaddr");
	}
	out->n = (uint16_t)in.n;
	if (in.n)
		memcpy(out->bytes, in.p, in.n);
	return 0;
}

static int count_parts(const struct multiaddr *a)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;
	int n = 0;

	while (multiaddr_next(&c, &part))
		n++;
	return n;
}

/* Appends a part whose value already fits. */
static int append(
    struct multiaddr *a, const struct proto *proto, struct bytes value, struct err *err)
{
	uint8_t head[2 * VARINT_MAX];
	size_t n = varint_encode((uint64_t)proto->code, head);

	if (fixed_size(proto->kind) < 0)
		n += varint_encode(value.n, head + n);
	if (n + value.n > (size_t)(MULTIADDR_MAX - a->n))
		return err_set(err, E_TOO_LARGE, "it is longer than %d bytes", MULTIADDR_MAX);
	if (count_parts(a) == MULTIADDR_PARTS_MAX)
		return err_set(err, E_TOO_LARGE, "it has more than %d parts", MULTIADDR_PARTS_MAX);
	memcpy(a->bytes + a->n, head, n);
	if (value.n)
		memcpy(a->bytes + a->n + n, value.p, value.n);
	a->n = (uint16_t)(a->n + n + value.n);
	return 0;
}

int multiaddr_append(
    struct multiaddr *a, enum multiaddr_code code, struct bytes value, struct err *err)
{
	const struct proto *proto = proto_by_code((uint64_t)code);

	if (!proto || !value_fits(proto->kind, value))
		return err_set(err, E_INVALID, "no such multiaddr part");
	return append(a, proto, value, err);
}

int multiaddr_append_peer(struct multiaddr *a, const struct peer_id *id, struct err *err)
{
	return multiaddr_append(a, MA_P2P, peer_id_bytes(id), err);
}

int multiaddr_encapsulate(struct multiaddr *a, const struct multiaddr *tail, struct err *err)
{
	if (tail->n > MULTIADDR_MAX - a->n ||
	    count_parts(a) + count_parts(tail) > MULTIADDR_PARTS_MAX)
		return err_set(err, E_TOO_LARGE, "the joined multiaddr is too long");
	memcpy(a->bytes + a->n, tail->bytes, tail->n);
	a->n = (uint16_t)(a->n + tail->n);
	return 0;
}

void multiaddr_from_tcp(struct bytes ip, uint16_t port, struct multiaddr *out)
{
	uint8_t raw[2];

	INVARIANT(ip.n == 4 || ip.n == 16);
	put_u16be(raw, port);
	out->n = 0;
	INVARIANT(multiaddr_append(out, ip.n == 4 ? MA_IP4 : MA_IP6, ip, NULL) == 0);
	INVARIANT(multiaddr_append(out, MA_TCP, bytes_of(raw, 2), NULL) == 0);
}

/* Decimal digits without sign, space or leading zero, up to `max`. */
static bool parse_number(struct bytes text, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (text.n == 0 || (text.n > 1 && text.p[0] == '0'))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint64_t digit = (uint64_t)(text.p[i] - '0');

		if (text.p[i] < '0' || text.p[i] > '9' || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

/* inet_pton wants a C string. */
static bool parse_ip(int family, struct bytes text, uint8_t *out)
{
	char s[64];

	if (text.n >= sizeof(s) || memchr(text.p, 0, text.n))
		return false;
	memcpy(s, text.p, text.n);
	s[text.n] = 0;
	return inet_pton(family, s, out) == 1;
}

/* Multibase 'u': base64url without padding. */
static bool parse_hash(struct bytes text, uint8_t *out, size_t *out_n)
{
	char b64[HASH_MAX * 4 / 3 + 8];
	size_t n = 0;

	if (text.n < 2 || text.p[0] != 'u' || text.n + 4 > sizeof(b64))
		return false;
	for (size_t i = 1; i < text.n; i++) {
		char c = (char)text.p[i];

		if (c == '+' || c == '/' || c == '=')
			return false;
		b64[n++] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
	}
	while (n % 4)
		b64[n++] = '=';
	return base64_decode(bytes_of(b64, n), out, HASH_MAX, out_n) == 0;
}

static const char *kind_name(enum value_kind kind)
{
	switch (kind) {
	case VALUE_NONE:
		return "nothing";
	case VALUE_IP4:
		return "an IPv4 address";
	case VALUE_IP6:
		return "an IPv6 address";
	case VALUE_PORT:
		return "a port from 0 to 65535";
	case VALUE_NUMBER:
		return "a number";
	case VALUE_NAME:
		return "a DNS name";
	case VALUE_ZONE:
		return "a network interface";
	case VALUE_PEER:
		return "a peer id";
	case VALUE_HASH:
		return "a base64url multihash";
	}
	BUG("value kind %d", (int)kind);
}

/* Text of a value to its bytes. */
static bool parse_value(enum value_kind kind, struct bytes text, uint8_t *out, size_t *out_n)
{
	struct peer_id id;
	uint64_t number;

	*out_n = kind == VALUE_NAME || kind == VALUE_ZONE ? text.n : (size_t)fixed_size(kind);
	switch (kind) {
	case VALUE_NONE:
		return true;
	case VALUE_IP4:
		return parse_ip(AF_INET, text, out);
	case VALUE_IP6:
		return parse_ip(AF_INET6, text, out);
	case VALUE_PORT:
		if (!parse_number(text, UINT16_MAX, &number))
			return false;
		put_u16be(out, (uint16_t)number);
		return true;
	case VALUE_NUMBER:
		if (!parse_number(text, UINT64_MAX, &number))
			return false;
		put_u64be(out, number);
		return true;
	case VALUE_NAME:
	case VALUE_ZONE:
		if (text.n > VALUE_MAX)
			return false;
		memcpy(out, text.p, text.n);
		return true;
	case VALUE_PEER:
		if (peer_id_parse(text, &id, NULL) != 0)
			return false;
		memcpy(out, id.bytes, id.n);
		*out_n = id.n;
		return true;
	case VALUE_HASH:
		return parse_hash(text, out, out_n);
	}
	BUG("value kind %d", (int)kind);
}

/* The text up to the next '/', which is eaten as well. */
static struct bytes next_word(struct bytes *text)
{
	const uint8_t *slash = memchr(text->p, '/', text->n);
	struct bytes word = {text->p, slash ? (size_t)(slash - text->p) : text->n};
	size_t used = word.n + (slash ? 1 : 0);

	text->p += used;
	text->n -= used;
	return word;
}

static int quote_len(struct bytes text)
{
	return (int)(text.n < QUOTE_MAX ? text.n : QUOTE_MAX);
}

static int parse_part(struct bytes *text, struct multiaddr *out, struct err *err)
{
	uint8_t value[VALUE_MAX];
	struct bytes name = next_word(text), word = {NULL, 0};
	const struct proto *proto = proto_by_name(name);
	size_t n;

	if (!proto)
		return err_set(err, E_INVALID, "unknown protocol \"%.*s\"", quote_len(name),
		    (const char *)name.p);
	if (proto->kind != VALUE_NONE) {
		if (text->n == 0)
			return err_set(
			    err, E_INVALID, "/%s needs %s", proto->name, kind_name(proto->kind));
		word = next_word(text);
	}
	if (!parse_value(proto->kind, word, value, &n) ||
	    !value_fits(proto->kind, bytes_of(value, n)))
		return err_set(err, E_INVALID, "\"%.*s\" after /%s is not %s", quote_len(word),
		    (const char *)word.p, proto->name, kind_name(proto->kind));
	return append(out, proto, bytes_of(value, n), err);
}

static int parse_parts(struct bytes text, struct multiaddr *out, struct err *err)
{
	int rc = 0;

	if (text.n < 2 || text.p[0] != '/')
		return err_set(
		    err, E_INVALID, "it must begin with /ip4, /ip6, /dns or another protocol");
	next_word(&text);
	while (rc == 0 && text.n)
		rc = parse_part(&text, out, err);
	return rc;
}

int multiaddr_parse(struct bytes text, struct multiaddr *out, struct err *err)
{
	struct multiaddr a = {0};
	struct err why = {0};

	if (parse_parts(text, &a, &why) == 0) {
		*out = a;
		return 0;
	}
	return err_set(err, E_INVALID, "bad multiaddr \"%.*s\": %s", quote_len(text),
	    text.n ? (const char *)text.p : "", why.text);
}

static void print_hash(struct bytes v, char *out)
{
	char b64[HASH_MAX * 4 / 3 + 8];

	base64_encode(v, b64);
	*out++ = 'u';
	for (const char *p = b64; *p && *p != '='; p++)
		*out++ = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
	*out = 0;
}

/* At most 256 bytes: a name of 253, or base64 of a hash of 128. */
static void print_value(enum value_kind kind, struct bytes v, char out[MULTIADDR_VALUE_TEXT_MAX])
{
	struct peer_id id;

	switch (kind) {
	case VALUE_NONE:
		out[0] = 0;
		return;
	case VALUE_IP4:
		inet_ntop(AF_INET, v.p, out, MULTIADDR_VALUE_TEXT_MAX);
		return;
	case VALUE_IP6:
		inet_ntop(AF_INET6, v.p, out, MULTIADDR_VALUE_TEXT_MAX);
		return;
	case VALUE_PORT:
		snprintf(out, MULTIADDR_VALUE_TEXT_MAX, "%u", get_u16be(v.p));
		return;
	case VALUE_NUMBER:
		snprintf(out, MULTIADDR_VALUE_TEXT_MAX, "%llu", (unsigned long long)get_u64be(v.p));
		return;
	case VALUE_NAME:
	case VALUE_ZONE:
		memcpy(out, v.p, v.n);
		out[v.n] = 0;
		return;
	case VALUE_PEER:
		INVARIANT(peer_id_from_bytes(v, &id, NULL) == 0);
		peer_id_print(&id, out);
		return;
	case VALUE_HASH:
		print_hash(v, out);
		return;
	}
	BUG("value kind %d", (int)kind);
}

void multiaddr_print(const struct multiaddr *a, char out[MULTIADDR_TEXT_MAX])
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;
	size_t n = 0;
	char value[MULTIADDR_VALUE_TEXT_MAX];

	out[0] = 0;
	while (multiaddr_next(&c, &part)) {
		const struct proto *proto = proto_by_code((uint64_t)part.code);

		print_value(proto->kind, part.value, value);
		n += (size_t)snprintf(out + n, MULTIADDR_TEXT_MAX - n, "/%s%s%s", proto->name,
		    proto->kind == VALUE_NONE ? "" : "/", value);
		INVARIANT(n < MULTIADDR_TEXT_MAX);
	}
	if (a->n == 0)
		memcpy(out, "/", 2);
}

/* Where the last part begins, and what it is. False for an empty address. */
static bool last_part(const struct multiaddr *a, struct multiaddr_part *part, size_t *at)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	size_t start = 0;

	*at = 0;
	if (a->n == 0)
		return false;
	while (multiaddr_next(&c, part)) {
		*at = start;
		start = a->n - c.left;
	}
	return true;
}

bool multiaddr_peer(const struct multiaddr *a, struct peer_id *out)
{
	struct multiaddr_part part;
	size_t at;

	return last_part(a, &part, &at) && part.code == MA_P2P &&
	       peer_id_from_bytes(part.value, out, NULL) == 0;
}

void multiaddr_strip_peer(struct multiaddr *a)
{
	struct multiaddr_part part;
	size_t at;

	if (last_part(a, &part, &at) && part.code == MA_P2P)
		a->n = (uint16_t)at;
}

bool multiaddr_is_relayed(const struct multiaddr *a)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;

	while (multiaddr_next(&c, &part))
		if (part.code == MA_P2P_CIRCUIT)
			return true;
	return false;
}

bool multiaddr_circuit(const struct multiaddr *a, struct multiaddr *relay, struct peer_id *target)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part = {0};
	struct peer_id named = {0};
	size_t at = 0;

	while (multiaddr_next(&c, &part) && part.code != MA_P2P_CIRCUIT)
		at = a->n - c.left;
	if (at == 0 || part.code != MA_P2P_CIRCUIT)
		return false;
	if (c.left > 0) {
		(void)multiaddr_next(&c, &part);
		if (c.left > 0 || part.code != MA_P2P ||
		    peer_id_from_bytes(part.value, &named, NULL) != 0)
			return false;
	}
	memset(relay, 0, sizeof *relay);
	memcpy(relay->bytes, a->bytes, at);
	relay->n = (uint16_t)at;
	*target = named;
	return true;
}

static bool host_kind(enum multiaddr_code code, enum multiaddr_host *out)
{
	static const struct {
		enum multiaddr_code code;
		enum multiaddr_host kind;
	} map[] = {{MA_IP4, MA_HOST_IP4}, {MA_IP6, MA_HOST_IP6}, {MA_DNS, MA_HOST_DNS},
	    {MA_DNS4, MA_HOST_DNS4}, {MA_DNS6, MA_HOST_DNS6}};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (map[i].code == code) {
			*out = map[i].kind;
			return true;
		}
	}
	return false;
}

static int not_tcp(const struct multiaddr_part *part, struct err *err)
{
	return err_set(err, E_UNSUPPORTED, "not a TCP address: /%s cannot be used here",
	    proto_by_code((uint64_t)part->code)->name);
}

/* "host" or "host%zone" */
static void set_host(
    struct multiaddr_tcp *out, const struct multiaddr_part *part, struct bytes zone)
{
	size_t n;

	print_value(proto_by_code((uint64_t)part->code)->kind, part->value, out->host);
	if (zone.n == 0)
		return;
	n = strlen(out->host);
	out->host[n++] = '%';
	memcpy(out->host + n, zone.p, zone.n);
	out->host[n + zone.n] = 0;
}

int multiaddr_tcp(const struct multiaddr *a, struct multiaddr_tcp *out, struct err *err)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part = {0};
	struct bytes zone = {NULL, 0};

	*out = (struct multiaddr_tcp){0};
	if (!multiaddr_next(&c, &part))
		return err_set(err, E_UNSUPPORTED, "an empty address");
	if (part.code == MA_IP6ZONE) {
		zone = part.value;
		if (!multiaddr_next(&c, &part) || part.code != MA_IP6)
			return not_tcp(&part, err);
	}
	if (!host_kind(part.code, &out->kind))
		return not_tcp(&part, err);
	set_host(out, &part, zone);
	if (!multiaddr_next(&c, &part))
		return err_set(err, E_UNSUPPORTED, "not a TCP address: the port is missing");
	if (part.code != MA_TCP)
		return not_tcp(&part, err);
	out->port = get_u16be(part.value.p);
	if (!multiaddr_next(&c, &part))
		return 0;
	if (part.code != MA_P2P)
		return not_tcp(&part, err);
	out->has_peer = true;
	INVARIANT(peer_id_from_bytes(part.value, &out->peer, NULL) == 0);
	return multiaddr_next(&c, &part) ? not_tcp(&part, err) : 0;
}

static enum multiaddr_reach reach_ip4(const uint8_t *p)
{
	if (get_u32be(p) == 0)
		return MA_REACH_UNSPECIFIED;
	if (p[0] == 127)
		return MA_REACH_LOOPBACK;
	if (p[0] == 169 && p[1] == 254)
		return MA_REACH_LINK_LOCAL;
	if (p[0] == 10 || (p[0] == 172 && (p[1] & 0xf0) == 16) || (p[0] == 192 && p[1] == 168) ||
	    (p[0] == 100 && (p[1] & 0xc0) == 64))
		return MA_REACH_PRIVATE;
	return MA_REACH_PUBLIC;
}

static enum multiaddr_reach reach_ip6(const uint8_t *p)
{
	static const uint8_t zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(p, zero, 16) == 0)
		return MA_REACH_UNSPECIFIED;
	if (memcmp(p, zero, 15) == 0 && p[15] == 1)
		return MA_REACH_LOOPBACK;
	if (memcmp(p, mapped, 12) == 0)
		return reach_ip4(p + 12);
	if (p[0] == 0xfe && (p[1] & 0xc0) == 0x80)
		return MA_REACH_LINK_LOCAL;
	if ((p[0] & 0xfe) == 0xfc)
		return MA_REACH_PRIVATE;
	return MA_REACH_PUBLIC;
}

enum multiaddr_reach multiaddr_reach(const struct multiaddr *a)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;
	enum multiaddr_host kind;

	if (!multiaddr_next(&c, &part))
		return MA_REACH_UNKNOWN;
	if (part.code == MA_IP6ZONE && !multiaddr_next(&c, &part))
		return MA_REACH_UNKNOWN;
	if (part.code == MA_IP4)
		return reach_ip4(part.value.p);
	if (part.code == MA_IP6)
		return reach_ip6(part.value.p);
	if (host_kind(part.code, &kind) || part.code == MA_DNSADDR)
		return MA_REACH_NAME;
	return MA_REACH_UNKNOWN;
}
