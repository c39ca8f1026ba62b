/* Encodings: hex, base58btc, base64, base32 (lower case, no padding), unsigned varints, UTF-8.
 * Decoders are strict: no whitespace, no foreign characters, canonical forms only. */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include "base/bytes.h"

/* Writes 2n lower-case digits and a NUL to out (2n + 1 bytes). */
void hex_encode(struct bytes in, char *out);
/* Decodes exactly out_n bytes from 2*out_n digits (either case). E_SYNTAX otherwise. */
int hex_decode(struct bytes text, uint8_t *out, size_t out_n) WARN_UNUSED;

/* base58btc (Bitcoin alphabet, no checksum). Inputs above BASE58_MAX bytes are E_TOO_LARGE. */
#define BASE58_MAX 256
int base58_encode(struct bytes in, char *out, size_t out_cap) WARN_UNUSED;
int base58_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n) WARN_UNUSED;

/* RFC 4648 section 4 with padding. Out needs 4*((n+2)/3)+1 bytes. */
void base64_encode(struct bytes in, char *out);
int base64_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n) WARN_UNUSED;

/* RFC 4648 section 6, lower case, no padding: multibase 'b' without its prefix. Encoding appends;
 * room is the buffer's matter. */
void base32_encode(struct bytes in, struct buf *out);
int base32_decode(struct bytes text, uint8_t *out, size_t out_cap, size_t *out_n) WARN_UNUSED;

/* Unsigned varint of the multiformats: at most 9 bytes (63 bits), minimal.
 * SPEC unsigned-varint (multiformats). */
#define VARINT_MAX 9
size_t varint_encode(uint64_t v, uint8_t out[VARINT_MAX]);
/* Bytes used (1..9); 0 when more input is needed; E_SYNTAX when overlong or above 63 bits. */
int varint_decode(struct bytes in, uint64_t *out) WARN_UNUSED;
/* From a cursor; false (and c->bad) when malformed or truncated. */
bool cursor_varint(struct cursor *c, uint64_t *out);
void buf_varint(struct buf *b, uint64_t v);

/* Length of the valid UTF-8 prefix of `in`: in.n when all of it is valid. Rejects overlong forms,
 * surrogates and values above U+10FFFF (RFC 3629). */
size_t utf8_valid_prefix(struct bytes in);
/* Bytes at the end of `in` (0..3) that are the beginning of a sequence still to be completed. */
size_t utf8_incomplete_tail(struct bytes in);
/* Decodes one code point at p; returns its length 1..4, or 0 when invalid or truncated. */
size_t utf8_decode(const uint8_t *p, size_t n, uint32_t *cp);
size_t utf8_encode(uint32_t cp, char out[4]); /* 0 when cp is no scalar value */

#endif
