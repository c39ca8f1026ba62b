/* mDNS packets. Names are compared in wire form, lower-cased, after decompression; a packet is read
 * twice: once to see that all of it is well-formed, once to report what it says. */
#include "p2p/mdns_priv.h"

#define NAME_WIRE_MAX 255
#define POINTER_HOPS  16
#define HEADER_SIZE   12

#define FLAG_RESPONSE   0x8000
#define FLAGS_ANSWER    0x8400 /* response, authoritative */
#define OPCODE_MASK     0x7800
#define CLASS_IN        1
#define CLASS_UNICAST   0x8000 /* in questions; cache-flush in records */
#define TYPE_PTR        12
#define TYPE_TXT        16
#define TYPE_ANY        255
#define TXT_STRING_MAX  255
#define ATTRIBUTE       "dnsaddr="
#define POINTER_SERVICE 0xc00c /* our answers hold the service name right behind the header */

static const uint8_t service[] = "\4_p2p\4_udp\5local"; /* with its closing zero */

#define SERVICE_SIZE sizeof(service)

void mdns_make_name(const uint8_t random[MDNS_NAME_RANDOM], char out[MDNS_NAME_MAX + 1])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned acc = 0, held = 0;
	size_t n = 0;

	for (size_t i = 0; i < MDNS_NAME_RANDOM; i++) {
		acc = (acc << 8 | random[i]) & 0xffff;
		for (held += 8; held >= 5; held -= 5)
			out[n++] = digits[acc >> (held - 5) & 31];
	}
	out[n] = 0;
}

static void put_header(
    struct buf *out, uint16_t flags, uint16_t questions, uint16_t answers, uint16_t additionals)
{
	buf_u16be(out, 0); /* mDNS ids are zero */
	buf_u16be(out, flags);
	buf_u16be(out, questions);
	buf_u16be(out, answers);
	buf_u16be(out, 0);
	buf_u16be(out, additionals);
}

void mdns_put_query(struct buf *out)
{
	put_header(out, 0, 1, 0, 0);
	buf_put(out, service, SERVICE_SIZE);
	buf_u16be(out, TYPE_PTR);
	buf_u16be(out, CLASS_IN);
}

static void put_record_head(struct buf *out, uint16_t type, size_t data_n)
{
	buf_u16be(out, type);
	buf_u16be(out, CLASS_IN);
	buf_u32be(out, MDNS_TTL_S);
	buf_u16be(out, (uint16_t)data_n);
}

/* One TXT record, its owner a pointer to the peer's name in the PTR record. */
static void put_txt(struct buf *out, uint16_t owner, const char *addr)
{
	size_t n = strlen(ATTRIBUTE) + strlen(addr);

	buf_u16be(out, owner);
	put_record_head(out, TYPE_TXT, n + 1);
	buf_u8(out, (uint8_t)n);
	buf_str(out, ATTRIBUTE);
	buf_str(out, addr);
}

static bool txt_fits(const char *addr)
{
	return strlen(addr) <= TXT_STRING_MAX - strlen(ATTRIBUTE);
}

/* Bytes of one TXT record: owner, type, class, ttl, length, string length, string. */
static size_t txt_size(const char *addr)
{
	return 2 + 10 + 1 + strlen(ATTRIBUTE) + strlen(addr);
}

size_t mdns_put_answer(struct buf *out, const char *peer_name, const char *const *addrs, size_t n)
{
	size_t name_n = strlen(peer_name), taken, size, records = 0;
	/* the PTR's data begins behind header, service name and ten bytes of record head */
	uint16_t owner = (uint16_t)(0xc000 | (HEADER_SIZE + SERVICE_SIZE + 10));

	INVARIANT(out->n == 0 && name_n > 0 && name_n <= MDNS_NAME_MAX);
	size = HEADER_SIZE + SERVICE_SIZE + 10 + 1 + name_n + 2;
	for (taken = 0; taken < n; taken++) {
		size_t more = txt_fits(addrs[taken]) ? 2 * txt_size(addrs[taken]) : 0;

		if (size + more > MDNS_SEND_MAX)
			break;
		size += more;
		records += more > 0;
	}
	put_header(out, FLAGS_ANSWER, 0, (uint16_t)(1 + records), (uint16_t)records);
	buf_put(out, service, SERVICE_SIZE);
	put_record_head(out, TYPE_PTR, 1 + name_n + 2);
	buf_u8(out, (uint8_t)name_n);
	buf_str(out, peer_name);
	buf_u16be(out, POINTER_SERVICE);
	for (size_t i = 0; i < 2 * taken; i++)
		if (txt_fits(addrs[i % taken]))
			put_txt(out, owner, addrs[i % taken]);
	return taken;
}

/* A decompressed, lower-cased name in wire form. */
struct name {
	size_t n;
	uint8_t wire[NAME_WIRE_MAX];
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Appends one label (or the closing zero, n == 0). */
static bool name_add(struct name *out, struct bytes label)
{
	if (out->n + 1 + label.n > NAME_WIRE_MAX)
		return false;
	out->wire[out->n++] = (uint8_t)label.n;
	for (size_t i = 0; i < label.n; i++)
		out->wire[out->n++] = lower(label.p[i]);
	return true;
}

/* Reads the name at the cursor, which ends up behind it. Pointers must go to an earlier place than
 * the labels they continue, and there are few of them. */
static bool take_name(struct bytes packet, struct cursor *c, struct name *out)
{
	struct cursor at = *c;
	size_t floor = packet.n - c->left;
	struct bytes label;
	uint8_t len, low;
	int hops = 0;

	out->n = 0;
	for (;;) {
		if (!cursor_u8(&at, &len))
			return false;
		if ((len & 0xc0) == 0xc0) {
			size_t target;

			if (!cursor_u8(&at, &low) || ++hops > POINTER_HOPS)
				return false;
			target = (size_t)(len & 0x3f) << 8 | low;
			if (target >= floor || target < HEADER_SIZE)
				return false;
			if (hops == 1)
				*c = at;
			floor = target;
			at = (struct cursor){packet.p + target, packet.n - target, false};
			continue;
		}
		if (len > 63 || !cursor_take(&at, len, &label) || !name_add(out, label))
			return false;
		if (len == 0)
			break;
	}
	if (hops == 0)
		*c = at;
	return true;
}

static bool is_service(const uint8_t *wire, size_t n)
{
	return n == SERVICE_SIZE && memcmp(wire, service, n) == 0;
}

/* The label before the service name, when it is a plain one. */
static bool is_peer_of_service(const struct name *name, char out[MDNS_NAME_MAX + 1])
{
	size_t n = name->wire[0];

	if (n == 0 || name->n < n + 1 || !is_service(name->wire + 1 + n, name->n - 1 - n))
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = name->wire[1 + i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			n = 0;
	}
	memcpy(out, name->wire + 1, n);
	out[n] = 0;
	return true;
}

static bool take_question(struct bytes packet, struct cursor *c, struct mdns_packet *out)
{
	struct name name;
	uint16_t type, class;

	if (!take_name(packet, c, &name) || !cursor_u16be(c, &type) || !cursor_u16be(c, &class))
		return false;
	if (out->response || !is_service(name.wire, name.n) ||
	    (type != TYPE_PTR && type != TYPE_ANY) || (class & 0x7fff) != CLASS_IN)
		return true;
	out->asks_peers = true;
	out->unicast_answer |= (class & CLASS_UNICAST) != 0;
	return true;
}

struct record {
	struct name owner;
	uint16_t type, class;
	struct bytes data;
};

static bool take_record(struct bytes packet, struct cursor *c, struct record *out)
{
	uint32_t ttl;
	uint16_t n;

	return take_name(packet, c, &out->owner) && cursor_u16be(c, &out->type) &&
	       cursor_u16be(c, &out->class) && cursor_u32be(c, &ttl) && cursor_u16be(c, &n) &&
	       cursor_take(c, n, &out->data);
}

static bool has_attribute(struct bytes s)
{
	size_t n = strlen(ATTRIBUTE);

	if (s.n <= n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(s.p[i]) != (uint8_t)ATTRIBUTE[i]) /* RFC 6763 section 6.4 */
			return false;
	return true;
}

static void report_string(
    struct bytes s, const char *peer_name, mdns_found_fn found, void *arg, struct mdns_packet *out)
{
	size_t n = strlen(ATTRIBUTE);
	struct multiaddr addr;
	struct peer_id peer;

	if (!has_attribute(s) || multiaddr_parse(bytes_of(s.p + n, s.n - n), &addr, NULL) != 0 ||
	    !multiaddr_peer(&addr, &peer))
		return;
	out->found++;
	found(arg, peer_name, &addr);
}

/* The strings of a TXT record; `found` is NULL on the first pass, which only checks. */
static bool take_txt(
    const struct record *r, mdns_found_fn found, void *arg, struct mdns_packet *out)
{
	struct cursor c = cursor_of(r->data);
	char peer_name[MDNS_NAME_MAX + 1];
	struct bytes s;
	uint8_t n;

	if (!is_peer_of_service(&r->owner, peer_name))
		return true;
	while (c.left) {
		if (!cursor_u8(&c, &n) || !cursor_take(&c, n, &s))
			return false;
		if (found)
			report_string(s, peer_name, found, arg, out);
	}
	return true;
}

static bool walk(struct bytes packet, mdns_found_fn found, void *arg, struct mdns_packet *out)
{
	struct cursor c = cursor_of(packet);
	uint16_t id, flags, questions, counts[3];
	struct record r;
	size_t records;

	if (!cursor_u16be(&c, &id) || !cursor_u16be(&c, &flags) || !cursor_u16be(&c, &questions) ||
	    !cursor_u16be(&c, &counts[0]) || !cursor_u16be(&c, &counts[1]) ||
	    !cursor_u16be(&c, &counts[2]) || flags & OPCODE_MASK)
		return false;
	out->response = (flags & FLAG_RESPONSE) != 0;
	records = (size_t)counts[0] + counts[1] + counts[2];
	if (questions > MDNS_RECORDS_MAX || records > MDNS_RECORDS_MAX)
		return false;
	for (size_t i = 0; i < questions; i++)
		if (!take_question(packet, &c, out))
			return false;
	for (size_t i = 0; i < records; i++) {
		if (!take_record(packet, &c, &r))
			return false;
		if (r.type == TYPE_TXT && (r.class & 0x7fff) == CLASS_IN && out->response &&
		    !take_txt(&r, found, arg, out))
			return false;
	}
	return true;
}

int mdns_parse(
    struct bytes packet, mdns_found_fn found, void *arg, struct mdns_packet *out, struct err *err)
{
	*out = (struct mdns_packet){0};
	if (packet.n > MDNS_PACKET_MAX || !walk(packet, NULL, NULL, out)) {
		*out = (struct mdns_packet){0};
		return err_set(err, E_PROTOCOL, "malformed mDNS packet");
	}
	INVARIANT(walk(packet, found, arg, out));
	return 0;
}
