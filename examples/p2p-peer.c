/* A libp2p peer in a few hundred lines, on the p2p library alone: it serves /echo/1.0.0,
 * /sink/1.0.0, /perf/1.0.0, ping and identify, prints where it can be dialled, and can dial others.
 * Handy to try other implementations against. */
#include "p2p-peer.h"

#include "crypto/hash.h"
#include "p2p/pnet.h"
#include "rt/world_uv.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct app {
	struct peer_options opt;
	struct world *world;
	struct log *log;
	struct waitq stopped;
	struct scope *scope; /* of the main fiber, to stop it */
	bool stop;
	int status;
};

/* ---- serving ------------------------------------------------------------------------------- */

static void finish(struct stream *s, int rc, uint8_t *copy)
{
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	free(copy);
}

static void serve_echo(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t *copy = malloc(COPY_SIZE);
	ssize_t n = copy ? 1 : E_MEMORY;

	while (n > 0 && (n = stream_read(s, copy, COPY_SIZE, NULL)) > 0) {
		int rc = stream_write(s, copy, (size_t)n, NULL);
		if (rc != 0)
			n = rc;
	}
	if (n == 0)
		n = stream_close_write(s, NULL);
	finish(s, (int)n, copy);
}

/* Reads to the end; the count, or an error. */
static int64_t drain(struct stream *s, uint8_t *copy)
{
	int64_t total = 0;
	ssize_t n;

	while ((n = stream_read(s, copy, COPY_SIZE, NULL)) > 0)
		total += n;
	return n < 0 ? n : total;
}

static void serve_sink(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t *copy = malloc(COPY_SIZE);
	int64_t total = copy ? drain(s, copy) : E_MEMORY;
	uint8_t answer[8];
	int rc = total < 0 ? (int)total : 0;

	if (rc == 0) {
		put_u64be(answer, (uint64_t)total);
		rc = stream_write(s, answer, sizeof answer, NULL);
	}
	if (rc == 0)
		rc = stream_close_write(s, NULL);
	finish(s, rc, copy);
}

static int send_zeroes(struct stream *s, uint8_t *copy, uint64_t left)
{
	int rc = 0;

	memset(copy, 0, COPY_SIZE);
	for (size_t n; rc == 0 && left > 0; left -= n) {
		n = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
		rc = stream_write(s, copy, n, NULL);
	}
	return rc;
}

/* SPEC libp2p perf: the size wanted, their upload to its end, then our download. */
static void serve_perf(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t *copy = malloc(COPY_SIZE), wanted[8];
	int rc = copy ? stream_read_full(s, wanted, sizeof wanted, NULL) : E_MEMORY;

	if (rc == 0) {
		int64_t total = drain(s, copy);
		rc = total < 0 ? (int)total : send_zeroes(s, copy, get_u64be(wanted));
	}
	if (rc == 0)
		rc = stream_close_write(s, NULL);
	finish(s, rc, copy);
}

static int serve_all(struct p2p_host *h, struct err *err)
{
	int rc = p2p_handle(h, PROTOCOL_ECHO, serve_echo, NULL, err);

	if (rc == 0)
		rc = p2p_handle(h, PROTOCOL_SINK, serve_sink, NULL, err);
	if (rc == 0)
		rc = p2p_handle(h, PROTOCOL_PERF, serve_perf, NULL, err);
	return rc;
}

/* ---- identity ------------------------------------------------------------------------------ */

static void fresh_identity(struct world *w, struct identity *out)
{
	uint8_t seed[ED25519_SEED_SIZE];

	world_random(w, seed, sizeof seed);
	identity_from_seed(seed, out);
	secret_wipe(seed, sizeof seed);
}

/* Reads the key file, or makes one, readable by its owner alone. */
static int file_identity(struct world *w, const char *path, struct identity *out, struct err *err)
{
	struct buf text = BUF_INIT(PEM_INPUT_MAX);
	char pem[IDENTITY_PEM_MAX];
	int rc = file_read(w, path, PEM_INPUT_MAX, &text, err);

	if (rc == 0) {
		rc = identity_from_pem(buf_view(&text), out, err);
		secret_wipe(text.p, text.n);
	} else if (rc == E_NOT_FOUND) {
		fresh_identity(w, out);
		size_t n = identity_to_pem(out, pem);
		rc = file_write(w, path, bytes_of(pem, n), 0600, err);
		secret_wipe(pem, sizeof pem);
	}
	buf_free(&text);
	return rc == 0 ? 0 : err_wrap(err, rc, "identity %s", path);
}

static int file_swarm_key(struct world *w, const char *path, struct pnet_key *out, struct err *err)
{
	struct buf text = BUF_INIT(PNET_FILE_MAX);
	int rc = file_read(w, path, PNET_FILE_MAX, &text, err);

	if (rc == 0)
		rc = pnet_key_parse(buf_view(&text), out, err);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	return rc == 0 ? 0 : err_wrap(err, rc, "--swarm-key %s", path);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void print_addrs(const struct p2p_host *h)
{
	struct multiaddr addrs[32];
	size_t n = p2p_host_addrs(h, addrs, 32);
	char text[MULTIADDR_TEXT_MAX];

	for (size_t i = 0; i < n && i < 32; i++) {
		if (multiaddr_append_peer(&addrs[i], p2p_host_id(h), NULL) != 0)
			continue;
		multiaddr_print(&addrs[i], text);
		printf("%s\n", text);
	}
	fflush(stdout);
}

static int host_start(struct app *app, struct p2p_host **out, struct err *err)
{
	struct p2p_options opt;
	struct identity id;
	struct pnet_key key;
	int rc = 0;

	p2p_options_default(&opt);
	if (app->opt.swarm_key) {
		rc = file_swarm_key(app->world, app->opt.swarm_key, &key, err);
		opt.swarm_key = &key;
	}
	if (rc != 0)
		return rc;
	if (app->opt.identity)
		rc = file_identity(app->world, app->opt.identity, &id, err);
	else
		fresh_identity(app->world, &id);
	if (rc != 0)
		return rc;
	opt.identity = &id;
	opt.agent = "opengateway/" GATE_VERSION;
	opt.listen = app->opt.listen;
	opt.n_listen = app->opt.n_listen;
	opt.mdns = app->opt.mdns;
	opt.limits.streams_in = 2048;   /* one peer may use all of them */
	opt.limits.reserve_percent = 0; /* nobody is known here */
	rc = p2p_host_new(app->world, &opt, out, err);
	identity_wipe(&id);
	secret_wipe(&key, sizeof key);
	return rc;
}

static void on_event(void *arg, const struct p2p_event *e)
{
	char id[PEER_ID_TEXT_MAX], addr[MULTIADDR_TEXT_MAX];

	if (e->kind != P2P_PEER_DISCOVERED)
		return;
	peer_id_print(&e->peer, id);
	multiaddr_print(&e->addrs[0], addr);
	rt_log(LOG_INFO, "peer", "found %s at %s on the local network", id, addr);
}

static int run(struct app *app, struct err *err)
{
	struct p2p_kad *kad = NULL;
	struct p2p_host *h;
	bool stay = true;
	struct scope sc;
	struct p2p_gossip *gossip = NULL;
	int rc = host_start(app, &h, err);

	if (rc != 0)
		return rc;
	scope_open(&sc, DURATION_FOREVER);
	p2p_on_event(h, on_event, app);
	rc = serve_all(h, err);
	if (rc == 0)
		rc = peer_gossip(h, &gossip, err);
	if (rc == 0)
		print_addrs(h);
	if (rc == 0)
		rc = peer_relay(h, &app->opt, &sc, err);
	if (rc == 0)
		rc = peer_kad_run(h, &app->opt.kad, &kad, &stay, err);
	if (rc == 0 && app->opt.has_dial)
		rc = peer_dial(h, &app->opt, err);
	while (rc == 0 && !app->stop && !app->opt.protocol && stay)
		rc = waitq_wait(&app->stopped, err);
	p2p_gossip_close(gossip);
	p2p_kad_close(kad);
	scope_close(&sc);
	p2p_host_close(h);
	return app->stop ? 0 : rc;
}

static void main_fiber(void *arg)
{
	struct app *app = arg;
	struct err err = {0};
	struct scope sc;

	scope_open(&sc, DURATION_FOREVER);
	app->scope = &sc;
	if (run(app, &err) != 0) {
		fprintf(stderr, "p2p-peer: %s\n", err_text(&err));
		app->status = 1;
	}
	app->scope = NULL;
	scope_close(&sc);
}

static void on_signal(void *arg, int signum)
{
	struct app *app = arg;

	app->stop = true;
	if (app->scope)
		scope_cancel(app->scope);
}

static int64_t wall_clock(void *arg)
{
	return world_wall_ms(arg);
}

static int start(struct app *app, struct err *err)
{
	int rc = crypto_init(err);

	if (rc == 0)
		rc = world_uv_new(&app->world, err);
	if (rc != 0)
		return rc;
	app->log = log_new(
	    "", app->opt.log_level, LOG_TEXT, log_write_file, stderr, wall_clock, app->world);
	rc = world_uv_on_signal(app->world, SIGTERM, on_signal, app, err);
	if (rc == 0)
		rc = world_uv_on_signal(app->world, SIGINT, on_signal, app, err);
	if (rc == 0)
		rc = rt_start(app->world->rt, "main", app->log, main_fiber, app, err);
	if (rc == 0)
		rt_run(app->world->rt);
	world_uv_free(app->world);
	log_free(app->log);
	return rc;
}

/* ---- options ------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: p2p-peer [--listen MULTIADDR]… [--identity FILE] [--mdns] [--swarm-key FILE]\n"
    "                [--log-level LEVEL]\n"
    "                [--relay MULTIADDR]… [--relay-bytes N] [--no-address-limit] [--map-port]\n"
    "                [--dial MULTIADDR [--direct] [--protocol P [--bytes N] [--streams N] [--count "
    "N]]]\n"
    "\n"
    "Serves /echo/1.0.0, /sink/1.0.0, /perf/1.0.0, ping, identify, relay v2, AutoNAT, DCUtR and\n"
    "gossipsub (topics og-interop, where ping:x is answered by pong:x, and og-bulk) until "
    "SIGTERM.\n"
    "The first line printed is the full multiaddr to dial.\n"
    "\n"
    "  --listen MULTIADDR  where to listen; may be repeated (default /ip4/127.0.0.1/tcp/0)\n"
    "  --identity FILE     Ed25519 key as PKCS#8 PEM, made when missing; else a fresh key\n"
    "  --mdns              announce on and learn from the local network\n"
    "  --swarm-key FILE    a private network's key: only peers with the same one can connect\n"
    "  --relay MULTIADDR   listen through this relay, too; may be repeated; prints the addresses\n"
    "                      gained by it\n"
    "  --relay-bytes N     what a circuit through this relay may carry in each direction\n"
    "  --map-port          ask the router (NAT-PMP, UPnP) to forward the port\n"
    "  --no-address-limit  no limits per IP address or peer\n"
    "  --log-level LEVEL   trace, debug, info (default), warn or error; to standard error\n"
    "  --dial MULTIADDR    connect to a peer; without --protocol: stay connected\n"
    "  --protocol P        open a stream to it, copy standard input there and what comes back to\n"
    "                      standard output, then end; /ipfs/ping/1.0.0: round trips;\n"
    "                      /ipfs/id/1.0.0: print what the peer says about itself\n"
    "  --direct            wait until the connection is direct, where it began by relay\n"
    "  --bytes N           instead of standard input N bytes of a pattern; an echo is checked\n"
    "  --streams N         so many streams open at once, each with all of the input (default 1)\n"
    "  --count N           pings (default 5)\n"
    "  --help              this text\n" PEER_KAD_USAGE;

enum {
	OPT_LISTEN = 256,
	OPT_DIAL,
	OPT_PROTOCOL,
	OPT_BYTES,
	OPT_STREAMS,
	OPT_COUNT,
	OPT_IDENTITY,
	OPT_MDNS,
	OPT_SWARM_KEY,
	OPT_LOG_LEVEL,
	OPT_RELAY,
	OPT_RELAY_BYTES,
	OPT_NO_ADDRESS_LIMIT,
	OPT_DIRECT,
	OPT_MAP_PORT,
	OPT_HELP
};

static const struct option options[] = {
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"dial", required_argument, NULL, OPT_DIAL},
    {"protocol", required_argument, NULL, OPT_PROTOCOL},
    {"bytes", required_argument, NULL, OPT_BYTES},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"count", required_argument, NULL, OPT_COUNT},
    {"identity", required_argument, NULL, OPT_IDENTITY},
    {"mdns", no_argument, NULL, OPT_MDNS},
    {"swarm-key", required_argument, NULL, OPT_SWARM_KEY},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"relay", required_argument, NULL, OPT_RELAY},
    {"relay-bytes", required_argument, NULL, OPT_RELAY_BYTES},
    {"no-address-limit", no_argument, NULL, OPT_NO_ADDRESS_LIMIT},
    {"map-port", no_argument, NULL, OPT_MAP_PORT},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"help", no_argument, NULL, OPT_HELP},
    PEER_KAD_OPTIONS,
    {0},
};

static int parse_number(const char *text, uint64_t max, uint64_t *out, struct err *err)
{
	char *end;

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != 0 || text[0] == '-' || v > max)
		return err_set(
		    err, E_INVALID, "not a number up to %llu: %s", (unsigned long long)max, text);
	*out = v;
	return 0;
}

static int take_option(struct peer_options *opt, int which, const char *value, struct err *err)
{
	uint64_t n = 0;
	int rc = 0;

	switch (which) {
	case OPT_LISTEN:
		if (opt->n_listen == sizeof opt->listen / sizeof opt->listen[0])
			return err_set(err, E_INVALID, "too many --listen");
		return multiaddr_parse(bytes_str(value), &opt->listen[opt->n_listen++], err);
	case OPT_DIAL:
		opt->has_dial = true;
		return multiaddr_parse(bytes_str(value), &opt->dial, err);
	case OPT_PROTOCOL:
		opt->protocol = value;
		return 0;
	case OPT_BYTES:
		return parse_number(value, UINT64_MAX / 2, &opt->bytes, err);
	case OPT_STREAMS:
		rc = parse_number(value, 100000, &n, err);
		opt->streams = (uint32_t)n;
		return rc == 0 && n == 0 ? err_set(err, E_INVALID, "--streams 0") : rc;
	case OPT_COUNT:
		rc = parse_number(value, 1000000, &n, err);
		opt->count = (uint32_t)n;
		return rc;
	case OPT_IDENTITY:
		opt->identity = value;
		return 0;
	case OPT_MDNS:
		opt->mdns = true;
		return 0;
	case OPT_SWARM_KEY:
		opt->swarm_key = value;
		return 0;
	case OPT_RELAY:
		if (opt->n_relays == sizeof opt->relays / sizeof opt->relays[0])
			return err_set(err, E_INVALID, "too many --relay");
		return multiaddr_parse(bytes_str(value), &opt->relays[opt->n_relays++], err);
	case OPT_RELAY_BYTES:
		return parse_number(value, UINT64_MAX / 2, &opt->relay_bytes, err);
	case OPT_NO_ADDRESS_LIMIT:
		opt->no_address_limit = true;
		return 0;
	case OPT_MAP_PORT:
		opt->map_port = true;
		return 0;
	case OPT_DIRECT:
		opt->direct = true;
		return 0;
	case OPT_LOG_LEVEL:
		return log_level_parse(value, &opt->log_level, err);
	default:
		return peer_kad_option(&opt->kad, which, value, err);
	}
}

static int parse(int argc, char **argv, struct peer_options *opt, struct err *err)
{
	int which, rc = 0;

	*opt = (struct peer_options){.streams = 1, .count = 5, .log_level = LOG_INFO};
	while (rc == 0 && (which = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (which == OPT_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		rc = take_option(opt, which, optarg, err);
	}
	if (rc == 0 && optind < argc)
		rc = err_set(err, E_INVALID, "what is \"%s\"? See --help", argv[optind]);
	if (rc == 0 && opt->protocol && !opt->has_dial)
		rc = err_set(err, E_INVALID, "--protocol needs --dial");
	if (rc == 0 && opt->n_listen == 0)
		rc = multiaddr_parse(
		    bytes_str("/ip4/127.0.0.1/tcp/0"), &opt->listen[opt->n_listen++], err);
	return rc;
}

int main(int argc, char **argv)
{
	static struct app app;
	struct err err = {0};

	if (parse(argc, argv, &app.opt, &err) != 0) {
		fprintf(stderr, "p2p-peer: %s\n", err_text(&err));
		return 2;
	}
	if (start(&app, &err) != 0) {
		fprintf(stderr, "p2p-peer: %s\n", err_text(&err));
		return 1;
	}
	return app.status;
}
