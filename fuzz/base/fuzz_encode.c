/* Every decoder of base/encode.h: what it accepts, its encoder must write again, byte for byte. */
#include "base/encode.h"

#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip_hex(struct bytes in)
{
	uint8_t raw[128];
	char text[2 * sizeof(raw) + 1];
	size_t n = in.n / 2;

	if (n > sizeof(raw) || hex_decode(in, raw, n) != 0)
		return;
	hex_encode(bytes_of(raw, n), text);
	INVARIANT(strncasecmp(text, (const char *)in.p, in.n) == 0);
}

static void round_trip_base58(struct bytes in)
{
	uint8_t raw[BASE58_MAX];
	char text[400];
	size_t n;

	if (base58_decode(in, raw, sizeof(raw), &n) == 0) {
		INVARIANT(base58_encode(bytes_of(raw, n), text, sizeof(text)) == 0);
		INVARIANT(bytes_equal(in, bytes_str(text)));
	}
	if (in.n <= BASE58_MAX) {
		INVARIANT(base58_encode(in, text, sizeof(text)) == 0);
		INVARIANT(base58_decode(bytes_str(text), raw, sizeof(raw), &n) == 0);
		INVARIANT(bytes_equal(in, bytes_of(raw, n)));
	}
}

static void round_trip_base64(struct bytes in)
{
	uint8_t raw[1024];
	char text[1400];
	size_t n;

	if (base64_decode(in, raw, sizeof(raw), &n) != 0)
		return;
	base64_encode(bytes_of(raw, n), text);
	INVARIANT(bytes_equal(in, bytes_str(text)));
}

static void round_trip_varint(struct bytes in)
{
	uint8_t raw[VARINT_MAX];
	uint64_t v;
	int n = varint_decode(in, &v);

	if (n > 0)
		INVARIANT(
		    bytes_equal(bytes_of(in.p, (size_t)n), bytes_of(raw, varint_encode(v, raw))));
}

static void check_utf8(struct bytes in)
{
	size_t good = utf8_valid_prefix(in), tail = utf8_incomplete_tail(in), n;
	uint32_t cp;
	char raw[4];

	INVARIANT(good <= in.n && tail <= 3 && tail <= in.n);
	for (size_t i = 0; i < good; i += n) {
		n = utf8_decode(in.p + i, in.n - i, &cp);
		INVARIANT(n > 0 && utf8_encode(cp, raw) == n && memcmp(raw, in.p + i, n) == 0);
	}
	/* what is cut off as incomplete could not have been decoded */
	if (tail)
		INVARIANT(utf8_decode(in.p + in.n - tail, tail, &cp) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	uint8_t raw[1024];
	size_t n;

	if (size > 1024)
		return 0;
	round_trip_hex(in);
	round_trip_base58(in);
	round_trip_base64(in);
	round_trip_varint(in);
	check_utf8(in);
	if (base32_decode(in, raw, sizeof(raw), &n) == 0)
		INVARIANT(n == in.n * 5 / 8);
	return 0;
}
