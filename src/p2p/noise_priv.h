/* Noise for libp2p: the XX handshake that authenticates both peers and agrees on keys, and the
 * encrypted records after it. No I/O; random keys are passed in.
 * SPEC noise (revision 34) sections 5 and 7.5 XX; libp2p noise; libp2p inlined muxer negotiation.
 *
 * Two layers. `noise_xx` is the Noise protocol itself. `noise_handshake` adds what libp2p carries
 * in it: the identity key, its signature over the static key, and the muxers each side offers:
 *
 *	noise_handshake_new(&config, &hs, err);
 *	while ((turn = noise_handshake_turn(hs)) != NOISE_DONE)
 *		turn == NOISE_SEND: noise_handshake_send(hs, &out, err), then write `out`
 *		turn == NOISE_RECEIVE: read a 2-byte length and the message, noise_handshake_receive
 *	noise_handshake_finish(hs, &result, err); noise_handshake_free(hs);
 *
 * After any error the connection must be closed without an answer. */
#ifndef P2P_NOISE_PRIV_H
#define P2P_NOISE_PRIV_H

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/identity.h"
#include "crypto/x25519.h"

#define NOISE_PROTOCOL      "/noise" /* its name in multistream-select */
#define NOISE_PREFIX        2        /* bytes of length before every message */
#define NOISE_RECORD_MAX    65535    /* a message without its prefix */
#define NOISE_PLAIN_MAX     (NOISE_RECORD_MAX - AEAD_TAG_SIZE)
#define NOISE_HANDSHAKE_MAX 8192 /* the longest handshake message we read */
#define NOISE_MUXERS_MAX    8    /* the most entries of a muxer list that we look at */
#define NOISE_MUXER_MAX     64   /* bytes of one entry */

enum noise_role {
	NOISE_INITIATOR,
	NOISE_RESPONDER
};
enum noise_turn {
	NOISE_SEND,
	NOISE_RECEIVE,
	NOISE_DONE
};

/* The Noise XX state: symmetric state (h, ck, k, n) and the four keys. Holds secrets: wipe it. */
struct noise_xx {
	enum noise_role role;
	int step; /* messages sent or received so far, 0..3 */
	bool has_key;
	uint64_t nonce;
	uint8_t h[SHA256_SIZE];
	uint8_t ck[SHA256_SIZE];
	uint8_t k[AEAD_KEY_SIZE];
	uint8_t s_secret[X25519_SIZE], s[X25519_SIZE];
	uint8_t e_secret[X25519_SIZE], e[X25519_SIZE];
	uint8_t rs[X25519_SIZE], re[X25519_SIZE]; /* the remote ones, once received */
};

/* The secrets are 32 random bytes each, never used before (the static one: not for an identity). */
void noise_xx_begin(struct noise_xx *x, enum noise_role role, struct bytes prologue,
    const uint8_t s_secret[X25519_SIZE], const uint8_t e_secret[X25519_SIZE]);
enum noise_turn noise_xx_turn(const struct noise_xx *x);
/* Appends the next message, without length prefix. E_TOO_LARGE, E_PROTOCOL (low-order key). */
int noise_xx_write(
    struct noise_xx *x, struct bytes payload, struct buf *out, struct err *err) WARN_UNUSED;
/* Takes a message and appends its decrypted payload. E_PROTOCOL, E_BAD_SIGNATURE (wrong tag). */
int noise_xx_read(
    struct noise_xx *x, struct bytes message, struct buf *payload, struct err *err) WARN_UNUSED;

/* One direction of an established channel. The nonce counts records; see NOISE_NONCE_END. */
struct noise_cipher {
	struct aead *aead;
	uint64_t nonce;
};

/* 2^64 - 1 is reserved for rekeying: a direction ends one before it. */
#define NOISE_NONCE_END UINT64_MAX

/* The keys after message 3: `tx` encrypts what we send. Both must be closed. E_MEMORY. */
int noise_xx_split(struct noise_xx *x, struct noise_cipher *tx, struct noise_cipher *rx,
    struct err *err) WARN_UNUSED;
void noise_xx_wipe(struct noise_xx *x);

void noise_cipher_close(struct noise_cipher *c); /* zeroes it; closing twice is harmless */

/* Makes one record in place: `record` holds NOISE_PREFIX bytes of room, n plain bytes (at most
 * NOISE_PLAIN_MAX, more is a bug), and AEAD_TAG_SIZE bytes of room. Prefix, ciphertext and tag are
 * filled in: n + NOISE_PREFIX + AEAD_TAG_SIZE bytes to send. E_LIMIT when the nonces are used up.
 */
int noise_seal(struct noise_cipher *c, uint8_t *record, size_t n, struct err *err) WARN_UNUSED;

/* Decrypts one record of n bytes (prefix removed) in place; *plain_n may be 0. E_PROTOCOL when it
 * is shorter than a tag, E_BAD_SIGNATURE, E_LIMIT. */
int noise_open(struct noise_cipher *c, uint8_t *record, size_t n, size_t *plain_n,
    struct err *err) WARN_UNUSED;

struct noise_config {
	enum noise_role role;
	const struct identity *identity; /* borrowed until the handshake is freed */
	uint8_t static_secret[X25519_SIZE];
	uint8_t ephemeral_secret[X25519_SIZE];
	struct bytes prologue;          /* empty for libp2p */
	const char *const *muxers;      /* ours, in order of preference; borrowed; may be NULL */
	size_t muxers_n;                /* at most NOISE_MUXERS_MAX */
	const struct peer_id *expected; /* the peer that was dialled, or NULL; copied */
};

struct noise_result {
	struct peer_id remote;
	uint8_t remote_key[PUBLIC_KEY_MAX]; /* its public key, as protobuf */
	size_t remote_key_n;
	uint8_t handshake_hash[SHA256_SIZE]; /* binds proofs to this channel; equal on both sides */
	const char *muxer; /* one of config.muxers, or NULL: negotiate inside the channel */
	struct noise_cipher tx, rx;
};

struct noise_handshake;

/* E_MEMORY. */
int noise_handshake_new(
    const struct noise_config *config, struct noise_handshake **out, struct err *err) WARN_UNUSED;
void noise_handshake_free(struct noise_handshake *hs); /* wipes; NULL is harmless */

enum noise_turn noise_handshake_turn(const struct noise_handshake *hs);
/* Appends the next message with its length prefix. */
int noise_handshake_send(struct noise_handshake *hs, struct buf *out, struct err *err) WARN_UNUSED;
/* Takes one message without its prefix. E_PROTOCOL, E_BAD_SIGNATURE (record or identity),
 * E_UNSUPPORTED (identity key of an unusable kind; no muxer in common), E_WRONG_PEER. */
int noise_handshake_receive(
    struct noise_handshake *hs, struct bytes message, struct err *err) WARN_UNUSED;
/* When done. The caller closes result->tx and ->rx. */
int noise_handshake_finish(
    struct noise_handshake *hs, struct noise_result *out, struct err *err) WARN_UNUSED;

/* The payload of messages 2 and 3: NoiseHandshakePayload. Borrowed from the message. */
struct noise_payload {
	struct bytes identity_key; /* PublicKey protobuf */
	struct bytes identity_sig;
	struct bytes muxers[NOISE_MUXERS_MAX];
	size_t muxers_n;
};
/* Reads it without believing it. E_PROTOCOL. */
int noise_payload_decode(struct bytes in, struct noise_payload *out, struct err *err) WARN_UNUSED;
void noise_payload_encode(const struct noise_payload *p, struct buf *out);

#endif
