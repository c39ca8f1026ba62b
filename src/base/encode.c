/* Text and number encodings. Every decoder accepts exactly one spelling of a value, so that bytes
 * compared or hashed after decoding cannot be written in two ways. */
#include "base/encode.h"

static const char hex_digits[] = "0123456789abcdef";
static const char b58_digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b32_digits[] = "abcdefghijklmnopqrstuvwxyz234567";

/* Position of c in an alphabet, or -1. NUL is in no alphabet. */
static int digit_value(const char *alphabet, uint8_t c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

void hex_encode(struct bytes in, char *out)
{
	for (size_t i = 0; i < in.n; i++) {
		*out++ = hex_digits[in.p[i] >> 4];
		*out++ = hex_digits[in.p[i] & 15];
	}
	*out = 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(struct bytes text, uint8_t *out, size_t out_n)
{
	int hi, lo;

	if (out_n > SIZE_MAX / 2 || text.n != out_n * 2)
		return E_SYNTAX;
	for (size_t i = 0; i < out_n; i++) {
		hi = hex_value(text.p[2 * i]);
		lo = hex_value(text.p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return E_SYNTAX;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

/* number = number * base + carry over a little-endian run of digits in base `to`; returns the new
 * length, or 0 when it would not fit. */
static size_t mul_add(
    uint8_t *number, size_t n, size_t cap, uint32_t from, uint32_t to, uint32_t carry)
{
	for (size_t i = 0; i < n; i++) {
		carry += number[i] * from;
		number[i] = (uint8_t)(carry % to);
		carry /= to;
	}
	for (; carry; carry /= to) {
		if (n == cap)
			return 0;
		number[n++] = (uint8_t)(carry % to);
	}
	return n;
}

#define BASE58_TEXT_MAX (BASE58_MAX * 138 / 100 + 2)

int base58_encode(struct bytes in, char *out, size_t out_cap)
{
	uint8_t digits[BASE58_TEXT_MAX];
	size_t zeros = 0, n = 0;

	if (in.n > BASE58_MAX)
		return E_TOO_LARGE;
	while (zeros < in.n && in.p[zeros] == 0)
		zeros++;
	for (size_t i = zeros; i < in.n; i++)
		n = mul_add(digits, n, sizeof(digits), 256, 58, in.p[i]);
	if (zeros + n >= out_cap)
		return E_TOO_LARGE;
	memset(out, '1', zeros);
	for (size_t i = 0; i < n; i++)
		out[zeros + i] = b58_digits[digits[n - 1 - i]];
	out[zeros + n] = 0;
	return 0;
}

int base58_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n)
{
	uint8_t number[BASE58_MAX];
	size_t zeros = 0, n = 0;
	int v;

	if (text.n > BASE58_TEXT_MAX)
		return E_TOO_LARGE;
	while (zeros < text.n && text.p[zeros] == '1')
		zeros++;
	for (size_t i = zeros; i < text.n; i++) {
		v = digit_value(b58_digits, text.p[i]);
		if (v < 0)
			return E_SYNTAX;
		n = mul_add(number, n, sizeof(number), 58, 256, (uint32_t)v);
		if (n == 0)
			return E_TOO_LARGE;
	}
	if (zeros + n > out_cap || zeros + n > BASE58_MAX)
		return E_TOO_LARGE;
	memset(out, 0, zeros);
	for (size_t i = 0; i < n; i++)
		out[zeros + i] = number[n - 1 - i];
	*out_n = zeros + n;
	return 0;
}

void base64_encode(struct bytes in, char *out)
{
	size_t i;
	uint32_t v;

	for (i = 0; i + 2 < in.n; i += 3) {
		v = (uint32_t)in.p[i] << 16 | (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
		*out++ = b64_digits[v >> 18];
		*out++ = b64_digits[v >> 12 & 63];
		*out++ = b64_digits[v >> 6 & 63];
		*out++ = b64_digits[v & 63];
	}
	if (i < in.n) {
		v = (uint32_t)in.p[i] << 16 | (i + 1 < in.n ? (uint32_t)in.p[i + 1] << 8 : 0);
		*out++ = b64_digits[v >> 18];
		*out++ = b64_digits[v >> 12 & 63];
		*out++ = i + 1 < in.n ? b64_digits[v >> 6 & 63] : '=';
		*out++ = '=';
	}
	*out = 0;
}

/* Packs digits of `bits` bits each, high bits first; bits left over at the end must be zero. */
static int pack_bits(struct bytes text, const char *alphabet, unsigned bits, uint8_t *out,
    size_t out_cap, size_t *out_n)
{
	uint32_t acc = 0;
	unsigned held = 0;
	size_t n = 0;
	int v;

	for (size_t i = 0; i < text.n; i++) {
		v = digit_value(alphabet, text.p[i]);
		if (v < 0)
			return E_SYNTAX;
		acc = acc << bits | (uint32_t)v;
		held += bits;
		if (held < 8)
			continue;
		held -= 8;
		if (n == out_cap)
			return E_TOO_LARGE;
		out[n++] = (uint8_t)(acc >> held);
		acc &= (1u << held) - 1;
	}
	if (acc != 0 || held >= bits)
		return E_SYNTAX;
	*out_n = n;
	return 0;
}

int base64_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n)
{
	size_t pad = 0;

	if (text.n % 4 != 0)
		return E_SYNTAX;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	text.n -= pad;
	return pack_bits(text, b64_digits, 6, out, out_cap, out_n);
}

void base32_encode(struct bytes in, struct buf *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < in.n; i++) {
		bits = bits << 8 | in.p[i];
		for (have += 8; have >= 5; have -= 5)
			buf_u8(out, (uint8_t)b32_digits[bits >> (have - 5) & 31]);
		bits &= (1u << have) - 1;
	}
	if (have > 0)
		buf_u8(out, (uint8_t)b32_digits[bits << (5 - have) & 31]);
}

int base32_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n)
{
	return pack_bits(text, b32_digits, 5, out, out_cap, out_n);
}

size_t varint_encode(uint64_t v, uint8_t out[VARINT_MAX])
{
	size_t n = 0;

	INVARIANT(v >> 63 == 0);
	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

int varint_decode(struct bytes in, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < in.n && i < VARINT_MAX; i++) {
		v |= (uint64_t)(in.p[i] & 0x7f) << (7 * i);
		if (in.p[i] & 0x80)
			continue;
		if (in.p[i] == 0 && i > 0)
			return E_SYNTAX;
		*out = v;
		return (int)i + 1;
	}
	return in.n >= VARINT_MAX ? E_SYNTAX : 0;
}

bool cursor_varint(struct cursor *c, uint64_t *out)
{
	int n = varint_decode((struct bytes){c->p, c->left}, out);

	if (n <= 0) {
		c->bad = true;
		return false;
	}
	c->p += n;
	c->left -= (size_t)n;
	return true;
}

void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t raw[VARINT_MAX];

	buf_put(b, raw, varint_encode(v, raw));
}

/* Length of the sequence that `lead` announces, or 0 when no sequence starts with it. */
static size_t utf8_length(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0;
}

/* Whether `next` may follow `lead` as the second byte (RFC 3629 section 4). */
static bool utf8_second_ok(uint8_t lead, uint8_t next)
{
	switch (lead) {
	case 0xe0:
		return next >= 0xa0 && next <= 0xbf;
	case 0xed:
		return next >= 0x80 && next <= 0x9f;
	case 0xf0:
		return next >= 0x90 && next <= 0xbf;
	case 0xf4:
		return next >= 0x80 && next <= 0x8f;
	default:
		return (next & 0xc0) == 0x80;
	}
}

/* How many of the n bytes at p are a correct beginning of the one sequence that starts there. */
static size_t utf8_good(const uint8_t *p, size_t n)
{
	size_t len = utf8_length(p[0]), i;

	if (len == 0)
		return 0;
	for (i = 1; i < len && i < n; i++)
		if (i == 1 ? !utf8_second_ok(p[0], p[1]) : (p[i] & 0xc0) != 0x80)
			break;
	return i;
}

size_t utf8_decode(const uint8_t *p, size_t n, uint32_t *cp)
{
	size_t len = n > 0 ? utf8_length(p[0]) : 0;
	uint32_t v;

	if (len == 0 || len > n || utf8_good(p, n) < len)
		return 0;
	v = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		v = v << 6 | (p[i] & 0x3f);
	*cp = v;
	return len;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	if (n == 1) {
		out[0] = (char)cp;
		return 1;
	}
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (cp & 0x3f));
		cp >>= 6;
	}
	out[0] = (char)((0xf00 >> n & 0xff) | cp);
	return n;
}

size_t utf8_valid_prefix(struct bytes in)
{
	size_t i = 0, n;
	uint32_t cp;

	while (i < in.n && (n = utf8_decode(in.p + i, in.n - i, &cp)) != 0)
		i += n;
	return i;
}

size_t utf8_incomplete_tail(struct bytes in)
{
	for (size_t back = 1; back <= 3 && back <= in.n; back++) {
		const uint8_t *p = in.p + in.n - back;

		if ((*p & 0xc0) == 0x80)
			continue;
		return utf8_length(*p) > back && utf8_good(p, back) == back ? back : 0;
	}
	return 0;
}
