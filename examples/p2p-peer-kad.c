/* The example in the DHT: a server for any value under /og/, and a client for trying others. */
#include "p2p-peer-kad.h"

#include "base/encode.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX        "/ipfs"
#define SETTLE_MS     10000 /* for the first peer to be known */
#define PROVIDERS_MAX 20
#define ADDRS_MAX     16

/* ---- values -------------------------------------------------------------------------------- */

static int accept_all(void *arg, struct bytes key, struct bytes value, struct err *err)
{
	return 0;
}

static bool prefer_newer(void *arg, struct bytes key, struct bytes a, struct bytes b)
{
	return true;
}

static const struct p2p_kad_validator validator = {
    .prefix = "/og/", .validate = accept_all, .prefers = prefer_newer};

/* ---- verbs --------------------------------------------------------------------------------- */

static int find(struct p2p_kad *k, const char *text, struct err *err)
{
	struct multiaddr *addrs = calloc(ADDRS_MAX, sizeof *addrs);
	char line[MULTIADDR_TEXT_MAX];
	struct peer_id peer;
	size_t n = 0;
	int rc = addrs ? peer_id_parse(bytes_str(text), &peer, err) : E_MEMORY;

	if (rc == 0)
		rc = p2p_kad_find_peer(k, &peer, addrs, ADDRS_MAX, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		multiaddr_print(&addrs[i], line);
		printf("found %s\n", line);
	}
	free(addrs);
	return rc;
}

static int put(struct p2p_kad *k, const char *text, struct err *err)
{
	const char *equals = strchr(text, '=');

	if (!equals)
		return err_set(err, E_INVALID, "--kad-put KEY=VALUE");
	int rc =
	    p2p_kad_put(k, bytes_of(text, (size_t)(equals - text)), bytes_str(equals + 1), err);
	if (rc == 0)
		printf("put %.*s\n", (int)(equals - text), text);
	return rc;
}

static int get(struct p2p_kad *k, const char *text, struct err *err)
{
	struct buf value = BUF_INIT(P2P_KAD_VALUE_MAX);
	int rc = p2p_kad_get(k, bytes_str(text), &value, err);

	if (rc == 0)
		printf("value %.*s\n", (int)value.n, buf_cstr(&value));
	buf_free(&value);
	return rc;
}

/* The multihash in a CID of either version, or itself. */
static int multihash_of(const char *hex, struct buf *out, struct err *err)
{
	uint8_t bytes[P2P_KAD_KEY_MAX];
	size_t n = strlen(hex) / 2;
	uint64_t version, codec;

	if (n == 0 || n > sizeof bytes || hex_decode(bytes_str(hex), bytes, n) != 0)
		return err_set(err, E_INVALID, "not a CID in hex: %s", hex);
	struct cursor c = cursor_of(bytes_of(bytes, n));
	if (bytes[0] == 1 && !(cursor_varint(&c, &version) && cursor_varint(&c, &codec)))
		return err_set(err, E_INVALID, "not a CID: %s", hex);
	buf_put(out, c.p, c.left);
	return buf_ok(out, err);
}

static int provide(struct p2p_kad *k, const char *text, struct err *err)
{
	struct buf key = BUF_INIT(P2P_KAD_KEY_MAX);
	int rc = multihash_of(text, &key, err);

	if (rc == 0)
		rc = p2p_kad_provide(k, buf_view(&key), err);
	if (rc == 0)
		printf("provided %s\n", text);
	buf_free(&key);
	return rc;
}

static int providers(struct p2p_kad *k, const char *text, struct err *err)
{
	struct buf key = BUF_INIT(P2P_KAD_KEY_MAX);
	struct peer_id found[PROVIDERS_MAX];
	char id[PEER_ID_TEXT_MAX];
	size_t n = 0;
	int rc = multihash_of(text, &key, err);

	if (rc == 0)
		rc = p2p_kad_find_providers(k, buf_view(&key), found, PROVIDERS_MAX, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		peer_id_print(&found[i], id);
		printf("provider %s\n", id);
	}
	if (rc == 0 && n == 0)
		rc = err_set(err, E_NOT_FOUND, "nobody provides it");
	buf_free(&key);
	return rc;
}

static int act(struct p2p_kad *k, const struct peer_kad_verb *v, struct err *err)
{
	switch (v->which) {
	case OPT_KAD_FIND:
		return find(k, v->value, err);
	case OPT_KAD_PUT:
		return put(k, v->value, err);
	case OPT_KAD_GET:
		return get(k, v->value, err);
	case OPT_KAD_PROVIDE:
		return provide(k, v->value, err);
	default:
		return providers(k, v->value, err);
	}
}

/* ---- all of it ----------------------------------------------------------------------------- */

int peer_kad_option(struct peer_kad_options *opt, int which, const char *value, struct err *err)
{
	switch (which) {
	case OPT_BOOTSTRAP:
		if (opt->n_bootstrap == PEER_KAD_BOOTSTRAP_MAX)
			return err_set(err, E_INVALID, "too many --bootstrap");
		return multiaddr_parse(bytes_str(value), &opt->bootstrap[opt->n_bootstrap++], err);
	case OPT_KAD_CLIENT:
		opt->client = true;
		return 0;
	case OPT_KAD_FIND:
	case OPT_KAD_PUT:
	case OPT_KAD_GET:
	case OPT_KAD_PROVIDE:
	case OPT_KAD_PROVIDERS:
		if (opt->n_verbs == PEER_KAD_VERBS_MAX)
			return err_set(err, E_INVALID, "too many things to do");
		opt->verbs[opt->n_verbs++] = (struct peer_kad_verb){which, value};
		return 0;
	default:
		return err_set(err, E_INVALID, "see --help");
	}
}

static int bootstrap(
    struct p2p_host *h, struct p2p_kad *k, const struct peer_kad_options *opt, struct err *err)
{
	struct p2p_kad_info info = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < opt->n_bootstrap; i++) {
		rc = p2p_dial(h, NULL, &opt->bootstrap[i], 1, NULL, err);
		if (rc == 0)
			rc = p2p_keep(h, &opt->bootstrap[i], err);
	}
	for (int waited = 0; rc == 0 && info.peers < opt->n_bootstrap && waited < SETTLE_MS;
	     waited += 50) {
		rc = fiber_sleep(duration_ms(50));
		p2p_kad_info(k, &info);
	}
	return rc;
}

int peer_kad_run(struct p2p_host *h, const struct peer_kad_options *opt, struct p2p_kad **out,
    bool *stay, struct err *err)
{
	struct p2p_kad_options o;
	int rc;

	p2p_kad_options_default(&o);
	o.prefix = PREFIX;
	o.mode = opt->client ? P2P_KAD_CLIENT : P2P_KAD_SERVER;
	o.validators = &validator;
	o.n_validators = 1;
	*stay = opt->n_verbs == 0;
	rc = p2p_kad_new(h, &o, out, err);
	if (rc == 0)
		rc = bootstrap(h, *out, opt, err);
	for (size_t i = 0; rc == 0 && i < opt->n_verbs; i++) {
		rc = act(*out, &opt->verbs[i], err);
		*stay |= opt->verbs[i].which == OPT_KAD_PROVIDE;
		fflush(stdout);
	}
	return rc;
}
