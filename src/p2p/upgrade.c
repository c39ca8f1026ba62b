/* From a raw stream to a secured channel that carries yamux: the private network's key, where there
 * is one; multistream-select for /noise, the
 * Noise handshake with the muxer offered inside it, and multistream-select for the muxer inside the
 * channel where the other side offered none. Deadlines are the caller's scope's.
 *
 * SPEC libp2p connections, "Upgrading Connections"; inlined muxer negotiation. */
#include "p2p/host_priv.h"
#include "p2p/negotiate_priv.h"
#include "p2p/noise_priv.h"
#include "p2p/pnet_priv.h"
#include "p2p/yamux_priv.h"

static const char *const secure_protocols[] = {NOISE_PROTOCOL};
static const char *const muxers[] = {YAMUX_PROTOCOL};

/* Reads ahead, so that a handshake of many small reads costs few system calls. What is left over
 * at the end belongs to the channel. */
struct ahead {
	struct stream stream;
	struct stream *raw;
	size_t at, have;
	uint8_t bytes[2048];
};

static ssize_t ahead_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct ahead *a = (struct ahead *)s;

	if (a->at == a->have) {
		ssize_t n = stream_read(a->raw, a->bytes, sizeof a->bytes, err);
		if (n <= 0)
			return n;
		a->at = 0;
		a->have = (size_t)n;
	}
	if (cap > a->have - a->at)
		cap = a->have - a->at;
	memcpy(buf, a->bytes + a->at, cap);
	a->at += cap;
	return (ssize_t)cap;
}

static int ahead_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return stream_writev(((struct ahead *)s)->raw, v, count, err);
}

/* Negotiations and handshakes only read and write. */
static const struct stream_ops ahead_ops = {
    .kind = "handshake",
    .read = ahead_read,
    .write = ahead_write,
};

/* A handshake and where it takes place. */
struct shaking {
	struct noise_handshake *hs;
	struct stream *s;
	struct sem *turns; /* NULL: it computes at once */
};

/* The computing of many strangers' handshakes must not keep the loop from everybody else: they wait
 * for each other and let the others run. */
static int turn_begin(const struct shaking *k, struct err *err)
{
	int rc = k->turns ? sem_acquire(k->turns, err) : 0;

	if (rc == 0 && k->turns)
		fiber_yield();
	return rc;
}

static void turn_end(const struct shaking *k)
{
	if (k->turns)
		sem_release(k->turns);
}

static int send_message(const struct shaking *k, struct err *err)
{
	struct buf out = BUF_INIT(NOISE_HANDSHAKE_MAX + NOISE_PREFIX);
	int rc = turn_begin(k, err);

	if (rc != 0)
		return rc;
	rc = noise_handshake_send(k->hs, &out, err);
	turn_end(k);
	if (rc == 0)
		rc = stream_write(k->s, out.p, out.n, err);
	buf_free(&out);
	return rc;
}

static int receive_message(const struct shaking *k, struct err *err)
{
	uint8_t prefix[NOISE_PREFIX] = {0};
	struct buf in = BUF_INIT(NOISE_HANDSHAKE_MAX);
	int rc = stream_read_full(k->s, prefix, sizeof prefix, err);
	size_t n = get_u16be(prefix);

	if (rc != 0)
		return rc;
	if (n > NOISE_HANDSHAKE_MAX)
		return err_set(err, E_PROTOCOL, "a Noise handshake message of %zu bytes", n);
	if ((rc = buf_reserve(&in, n)) != 0)
		return err_set(err, rc, "no memory for a handshake message");
	if (n > 0)
		rc = stream_read_full(k->s, in.p, n, err);
	if (rc == 0 && (rc = turn_begin(k, err)) == 0) {
		rc = noise_handshake_receive(k->hs, bytes_of(in.p, n), err);
		turn_end(k);
	}
	buf_free(&in);
	return rc;
}

static int shake_hands(struct p2p_host *h, struct stream *s, const struct identity *as,
    enum noise_role role, const struct peer_id *expect, struct noise_result *out, struct err *err)
{
	struct noise_config config = {
	    .role = role,
	    .identity = as,
	    .muxers = muxers,
	    .muxers_n = 1,
	    .expected = expect,
	};
	struct shaking k = {.s = s, .turns = role == NOISE_RESPONDER ? &h->shaking : NULL};
	enum noise_turn turn;
	int rc;

	world_random(h->world, config.static_secret, sizeof config.static_secret);
	world_random(h->world, config.ephemeral_secret, sizeof config.ephemeral_secret);
	rc = noise_handshake_new(&config, &k.hs, err);
	secret_wipe(&config, sizeof config);
	if (rc != 0)
		return rc;
	while (rc == 0 && (turn = noise_handshake_turn(k.hs)) != NOISE_DONE)
		rc = turn == NOISE_SEND ? send_message(&k, err) : receive_message(&k, err);
	if (rc == 0)
		rc = noise_handshake_finish(k.hs, out, err);
	noise_handshake_free(k.hs);
	return rc;
}

static bool is_name(void *arg, struct bytes name)
{
	return bytes_equal(name, bytes_str(arg));
}

static int agree(struct stream *s, enum noise_role role, const char *const *names, struct err *err)
{
	char chosen[MSS_NAME_MAX + 1];
	size_t i;

	if (role == NOISE_INITIATOR)
		return negotiate_dial(s, names, 1, &i, err);
	return negotiate_listen(s, is_name, (void *)(uintptr_t)names[0], chosen, err);
}

/* On success the carrier belongs to out->secure. */
static int finish(struct ahead *a, enum noise_role role, struct noise_result *keys,
    struct upgraded *out, struct err *err)
{
	struct bytes early = bytes_of(a->bytes + a->at, a->have - a->at);
	int rc = secure_new(a->raw, keys, early, &out->secure, err);

	noise_cipher_close(&keys->tx);
	noise_cipher_close(&keys->rx);
	if (rc != 0)
		return rc;
	out->relay = (struct peer_id){0};
	out->limited = out->punched = false;
	out->peer = keys->remote;
	memcpy(out->binding, keys->handshake_hash, sizeof out->binding);
	if (!keys->muxer && (rc = agree(secure_stream(out->secure), role, muxers, err)) != 0)
		secure_detach(out->secure);
	return rc;
}

static int secure_raw(struct p2p_host *h, struct stream *raw, const struct identity *as,
    enum noise_role role, const struct peer_id *expect, struct upgraded *out, struct err *err)
{
	struct ahead a = {.stream = {&ahead_ops, raw->remote}, .raw = raw};
	struct noise_result keys;
	int rc = agree(&a.stream, role, secure_protocols, err);

	/* With different keys below, nothing sensible arrives, and that is noticed here. */
	if (rc != 0 && rc != E_CANCELLED && h->swarm_key)
		rc = err_wrap(err, rc, "in the private network" PNET_HINT);
	if (rc == 0)
		rc = shake_hands(h, &a.stream, as, role, expect, &keys, err);
	if (rc == 0)
		rc = finish(&a, role, &keys, out, err);
	return rc;
}

static int upgrade(struct p2p_host *h, struct stream *raw, const struct identity *as,
    enum noise_role role, const struct peer_id *expect, struct upgraded *out, struct err *err)
{
	uint8_t nonce[PNET_NONCE_SIZE];
	struct stream *inside;
	int rc;

	if (!h->swarm_key)
		return secure_raw(h, raw, as, role, expect, out, err);
	world_random(h->world, nonce, sizeof nonce);
	rc = pnet_wrap(raw, h->swarm_key, nonce, &inside, err);
	if (rc != 0)
		return rc;
	rc = secure_raw(h, inside, as, role, expect, out, err);
	if (rc != 0)
		pnet_unwrap(inside);
	return rc;
}

int upgrade_outbound(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct upgraded *out, struct err *err)
{
	return upgrade(h, raw, &h->identity, NOISE_INITIATOR, expect, out, err);
}

static void pass_by(struct p2p_host *h, struct identity *out)
{
	uint8_t seed[ED25519_SEED_SIZE];

	world_random(h->world, seed, sizeof seed);
	identity_from_seed(seed, out);
	secret_wipe(seed, sizeof seed);
}

int upgrade_passing(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct upgraded *out, struct err *err)
{
	struct identity passing;

	pass_by(h, &passing);
	int rc = upgrade(h, raw, &passing, NOISE_INITIATOR, expect, out, err);
	identity_wipe(&passing);
	return rc;
}

static int probe_raw(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct peer_id *met, struct err *err)
{
	struct ahead a = {.stream = {&ahead_ops, raw->remote}, .raw = raw};
	struct noise_result keys;
	struct identity passing;
	int rc = agree(&a.stream, NOISE_INITIATOR, secure_protocols, err);

	if (rc != 0)
		return rc;
	pass_by(h, &passing);
	rc = shake_hands(h, &a.stream, &passing, NOISE_INITIATOR, expect, &keys, err);
	identity_wipe(&passing);
	if (rc != 0)
		return rc;
	*met = keys.remote;
	noise_cipher_close(&keys.tx);
	noise_cipher_close(&keys.rx);
	return 0;
}

int upgrade_probe(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct peer_id *met, struct err *err)
{
	uint8_t nonce[PNET_NONCE_SIZE];
	struct stream *inside;
	int rc;

	if (!h->swarm_key)
		return probe_raw(h, raw, expect, met, err);
	world_random(h->world, nonce, sizeof nonce);
	rc = pnet_wrap(raw, h->swarm_key, nonce, &inside, err);
	if (rc != 0)
		return rc;
	rc = probe_raw(h, inside, expect, met, err);
	pnet_unwrap(inside);
	return rc;
}

int upgrade_inbound(struct p2p_host *h, struct stream *raw, struct upgraded *out, struct err *err)
{
	return upgrade(h, raw, &h->identity, NOISE_RESPONDER, NULL, out, err);
}
