/* CPace on libsodium's ristretto255 and SHA-512. The names of the draft stand in the comments. */
#include "crypto/cpace.h"

#include "crypto/hash.h"

#define DSI        "CPaceRistretto255"
#define DSI_ISK    "CPaceRistretto255_ISK"
#define DSI_MAC    "CPaceMac"
#define HASH_SIZE  crypto_hash_sha512_BYTES
#define HASH_BLOCK 128 /* H.s_in_bytes of SHA-512 */

struct sha512 {
	crypto_hash_sha512_state state;
};

static void add(struct sha512 *h, struct bytes v)
{
	static const uint8_t nothing;
	crypto_hash_sha512_update(&h->state, v.n ? v.p : &nothing, v.n);
}

/* prepend_len: the length as LEB128, then the bytes. Returns how many that were. */
static size_t add_sized(struct sha512 *h, struct bytes v)
{
	uint8_t length[2];
	size_t n = 0;
	INVARIANT(v.n <= CPACE_INPUT_MAX);
	length[n++] = (uint8_t)(v.n < 128 ? v.n : (v.n & 127) | 128);
	if (v.n >= 128)
		length[n++] = (uint8_t)(v.n >> 7);
	add(h, bytes_of(length, n));
	add(h, v);
	return n + v.n;
}

/* generator_string: domain, password, zeros that fill the hash's first block so that the password
 * has a block of its own, channel, session. */
static void generator(const struct cpace_input *in, uint8_t out[CPACE_SHARE_SIZE])
{
	static const uint8_t zeros[HASH_BLOCK];
	struct sha512 h;
	uint8_t hash[HASH_SIZE];
	crypto_hash_sha512_init(&h.state);
	size_t n = add_sized(&h, bytes_str(DSI));
	n += add_sized(&h, in->password);
	add_sized(&h, bytes_of(zeros, n + 1 < HASH_BLOCK ? HASH_BLOCK - 1 - n : 0));
	add_sized(&h, in->channel);
	add_sized(&h, in->session);
	crypto_hash_sha512_final(&h.state, hash);
	crypto_core_ristretto255_from_hash(out, hash);
	secret_wipe(&h, sizeof h);
	secret_wipe(hash, sizeof hash);
}

int cpace_begin(struct cpace *c, const struct cpace_input *in,
    const uint8_t random[CPACE_RANDOM_SIZE], struct err *err)
{
	uint8_t g[CPACE_SHARE_SIZE];
	generator(in, g);
	/* SPEC cpace "sampling scalars": below 2^252, so below the group's order. */
	memcpy(c->scalar, random, sizeof c->scalar);
	c->scalar[31] &= 0x0f;
	int rc = crypto_scalarmult_ristretto255(c->share, c->scalar, g);
	secret_wipe(g, sizeof g);
	return rc ? err_set(err, E_INTERNAL, "CPace: the randomness is no randomness") : 0;
}

int cpace_finish(const struct cpace *c, enum cpace_role role, struct bytes session, struct bytes ad,
    const uint8_t peer_share[CPACE_SHARE_SIZE], struct bytes peer_ad, uint8_t key[CPACE_KEY_SIZE],
    struct err *err)
{
	uint8_t k[CPACE_SHARE_SIZE];
	struct sha512 h;
	/* SPEC cpace: abort on the neutral element; libsodium refuses it and what is no element. */
	if (crypto_scalarmult_ristretto255(k, c->scalar, peer_share) != 0)
		return err_set(err, E_PROTOCOL, "CPace: the other side's share is none");
	struct bytes own = bytes_of(c->share, CPACE_SHARE_SIZE);
	struct bytes other = bytes_of(peer_share, CPACE_SHARE_SIZE);
	bool first = role == CPACE_INITIATOR;
	crypto_hash_sha512_init(&h.state);
	add_sized(&h, bytes_str(DSI_ISK));
	add_sized(&h, session);
	add_sized(&h, bytes_of(k, sizeof k));
	add_sized(&h, first ? own : other);
	add_sized(&h, first ? ad : peer_ad);
	add_sized(&h, first ? other : own);
	add_sized(&h, first ? peer_ad : ad);
	crypto_hash_sha512_final(&h.state, key);
	secret_wipe(&h, sizeof h);
	secret_wipe(k, sizeof k);
	return 0;
}

void cpace_tag(struct bytes session, const uint8_t key[CPACE_KEY_SIZE],
    const uint8_t share[CPACE_SHARE_SIZE], struct bytes ad, uint8_t out[CPACE_TAG_SIZE])
{
	uint8_t mac_key[HASH_SIZE];
	struct sha512 h;
	struct buf text = BUF_INIT(CPACE_SHARE_SIZE + CPACE_INPUT_MAX + 4);
	crypto_auth_hmacsha512_state mac;
	crypto_hash_sha512_init(&h.state);
	add(&h, bytes_str(DSI_MAC));
	add(&h, session);
	add(&h, bytes_of(key, CPACE_KEY_SIZE));
	crypto_hash_sha512_final(&h.state, mac_key);
	buf_u8(&text, CPACE_SHARE_SIZE);
	buf_put(&text, share, CPACE_SHARE_SIZE);
	INVARIANT(ad.n < 128);
	buf_u8(&text, (uint8_t)ad.n);
	buf_bytes(&text, ad);
	INVARIANT(!text.failed);
	crypto_auth_hmacsha512_init(&mac, mac_key, sizeof mac_key);
	crypto_auth_hmacsha512_update(&mac, text.p, text.n);
	crypto_auth_hmacsha512_final(&mac, out);
	buf_free(&text);
	secret_wipe(mac_key, sizeof mac_key);
	secret_wipe(&mac, sizeof mac);
	secret_wipe(&h, sizeof h);
}
