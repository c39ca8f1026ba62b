/* The part of the example that has to do with reach: it dials back for others (AutoNAT), it relays
 * for whoever asks, listens through the relays of --relay, and prints the addresses that it gets by
 * that. */
#include "p2p-peer.h"

#include "p2p/reach.h"
#include "p2p/relay.h"

#include <stdio.h>

#define LOOK_EVERY_MS   100
#define DIRECT_LIMIT_MS 30000
#define ADDRS_MAX       32

static int serve(struct p2p_host *h, const struct peer_options *opt, struct err *err)
{
	static const char *const limited_too[] = {PROTOCOL_ECHO, PROTOCOL_SINK, PROTOCOL_PERF};
	struct p2p_relay_limits limits;
	int rc = 0;

	p2p_relay_limits_default(&limits);
	if (opt->no_address_limit)
		limits.reservations_per_ip = 0;
	if (opt->relay_bytes > 0)
		limits.circuit_bytes = opt->relay_bytes;
	for (size_t i = 0; rc == 0 && i < sizeof limited_too / sizeof limited_too[0]; i++)
		rc = p2p_allow_limited(h, limited_too[i], err);
	return rc != 0 ? rc : p2p_relay_serve(h, &limits, err);
}

static int serve_autonat(struct p2p_host *h, const struct peer_options *opt, struct err *err)
{
	struct p2p_autonat_options autonat;

	p2p_autonat_options_default(&autonat);
	autonat.private_too = true;
	if (opt->no_address_limit)
		autonat.per_peer = autonat.per_minute = 0;
	return p2p_autonat_start(h, &autonat, err);
}

int peer_wait_direct(struct p2p_host *h, const struct peer_id *peer, struct err *err)
{
	struct p2p_conn_info info[16];

	for (int i = 0; i < DIRECT_LIMIT_MS / LOOK_EVERY_MS; i++) {
		size_t n = p2p_conns(h, info, 16);
		for (size_t k = 0; k < n && k < 16; k++)
			if (peer_id_equal(&info[k].peer, peer) && info[k].relay.n == 0)
				return 0;
		int rc = fiber_sleep(duration_ms(LOOK_EVERY_MS));
		if (rc != 0)
			return err_set(err, rc, "waiting for a direct connection");
	}
	return err_set(err, E_TIMEOUT, "no direct connection in %d s", DIRECT_LIMIT_MS / 1000);
}

/* Prints the circuit addresses that are not in `before`. */
static void print_new(const struct p2p_host *h, const struct multiaddr *now, size_t n,
    const struct multiaddr *before, size_t n_before)
{
	char text[MULTIADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		struct multiaddr full = now[i];
		bool known = !multiaddr_is_relayed(&full);
		for (size_t k = 0; !known && k < n_before; k++)
			known = multiaddr_equal(&full, &before[k]);
		if (known || multiaddr_append_peer(&full, p2p_host_id(h), NULL) != 0)
			continue;
		multiaddr_print(&full, text);
		printf("%s\n", text);
	}
	fflush(stdout);
}

static void print_fiber(void *arg)
{
	struct p2p_host *h = arg;
	struct multiaddr lists[2][ADDRS_MAX];
	size_t n[2] = {0, 0};

	for (unsigned turn = 0; fiber_sleep(duration_ms(LOOK_EVERY_MS)) == 0; turn ^= 1) {
		n[turn] = p2p_host_addrs(h, lists[turn], ADDRS_MAX);
		n[turn] = n[turn] < ADDRS_MAX ? n[turn] : ADDRS_MAX;
		print_new(h, lists[turn], n[turn], lists[turn ^ 1], n[turn ^ 1]);
	}
}

int peer_relay(
    struct p2p_host *h, const struct peer_options *opt, struct scope *scope, struct err *err)
{
	int rc = serve(h, opt, err);

	if (rc == 0)
		rc = serve_autonat(h, opt, err);
	if (rc == 0)
		rc = p2p_dcutr_start(h, err);
	if (rc == 0 && opt->map_port)
		rc = p2p_portmap_start(h, err);
	for (size_t i = 0; rc == 0 && i < opt->n_relays; i++)
		rc = p2p_relay_use(h, &opt->relays[i], err);
	if (rc == 0 && opt->n_relays > 0)
		rc = fiber_spawn(scope, "print relayed addresses", print_fiber, h, err);
	return rc;
}
