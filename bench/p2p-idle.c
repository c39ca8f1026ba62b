/* What an idle connection costs: one host in this process, a host for each connection in another,
 * over TCP on loopback. Prints the growth of this process' resident memory, by connection.
 *
 * usage: p2p-idle [CONNECTIONS [SECONDS]] */
#include "crypto/crypto.h"
#include "p2p/p2p.h"
#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define LANES         32 /* dials at a time */
#define TRIES         20
#define FDS_BESIDE    64 /* that are no connections */
#define CONNECT_FOR_S 300

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		struct err err = {0};                                                              \
		if ((expr) != 0) {                                                                 \
			fprintf(stderr, "p2p-idle: %s: %s\n", #expr, err_text(&err));              \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct bench {
	struct world *world;
	unsigned conns, seconds;
	int pipe; /* carries the address to the clients */
	pid_t child;
	struct p2p_host **clients;
	struct p2p_host *host;
	unsigned next; /* client to dial */
	struct multiaddr to;
};

static void must_write(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n) {
		perror("p2p-idle: write");
		exit(1);
	}
}

static struct p2p_host *host(struct bench *b, const char *name, bool listens)
{
	uint8_t seed[ED25519_SEED_SIZE];
	struct identity id;
	struct p2p_options opt;
	struct multiaddr listen;
	struct p2p_host *h;

	sha256(bytes_str(name), seed);
	identity_from_seed(seed, &id);
	MUST(multiaddr_parse(bytes_str("/ip4/127.0.0.1/tcp/0"), &listen, &err));
	p2p_options_default(&opt);
	opt.identity = &id;
	opt.listen = &listen;
	opt.n_listen = listens;
	opt.limits.conns_in = b->conns;
	opt.limits.reserve_percent = 0;
	/* All of them come within seconds, each with its buffers until it has been quiet for a
	 * while. */
	opt.limits.memory_total = (uint64_t)4 << 30;
	opt.timeouts.idle = DURATION_FOREVER;
	MUST(p2p_host_new(b->world, &opt, &h, &err));
	return h;
}

/* ---- clients ------------------------------------------------------------------------------- */

static void dial_fiber(void *arg)
{
	struct bench *b = arg;

	while (b->next < b->conns) {
		struct p2p_host *h = b->clients[b->next++];
		/* Half-open handshakes make room for newer ones: whoever is pushed out tries again.
		 */
		struct err err = {0};
		int rc = p2p_dial(h, NULL, &b->to, 1, NULL, &err);
		for (int i = 1; i < TRIES && rc != 0; i++) {
			if (fiber_sleep(duration_ms(50)) != 0)
				exit(1);
			rc = p2p_dial(h, NULL, &b->to, 1, NULL, &err);
		}
		if (rc) {
			fprintf(stderr, "p2p-idle: dial: %s\n", err_text(&err));
			exit(1);
		}
	}
}

static void clients_fiber(void *arg)
{
	struct bench *b = arg;
	struct scope sc;
	char name[32];

	b->clients = calloc(b->conns, sizeof(struct p2p_host *));
	for (unsigned i = 0; i < b->conns; i++) {
		(void)snprintf(name, sizeof name, "client %u", i);
		b->clients[i] = host(b, name, false);
	}
	scope_open(&sc, duration_s(CONNECT_FOR_S));
	for (int i = 0; i < LANES; i++)
		MUST(fiber_spawn(NULL, "dial", dial_fiber, b, &err));
	MUST(scope_join(&sc));
	scope_close(&sc);
	for (;;) /* until the parent ends us */
		MUST(fiber_sleep(duration_s(3600)));
}

/* ---- the server ---------------------------------------------------------------------------- */

static double resident_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	double kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %lf", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void server_fiber(void *arg)
{
	struct bench *b = arg;
	struct instant begin = rt_now();
	struct p2p_resources r = {0};

	b->host = host(b, "server", true);
	MUST(fiber_sleep(duration_s(2)));
	(void)p2p_host_addrs(b->host, &b->to, 1);
	MUST(multiaddr_append_peer(&b->to, p2p_host_id(b->host), &err));
	double before = resident_kib();
	must_write(b->pipe, &b->to, sizeof b->to);
	while (r.conns_in.used < b->conns) {
		MUST(fiber_sleep(duration_ms(100)));
		p2p_resources(b->host, &r);
		if (instant_since(rt_now(), begin).ns > duration_s(CONNECT_FOR_S).ns)
			break;
	}
	printf("connected   %8u connections in %.1f s\n", (unsigned)r.conns_in.used,
	    (double)instant_since(rt_now(), begin).ns / 1e9 - 2);
	printf("at once     %8.1f KiB resident each\n", (resident_kib() - before) / b->conns);
	fflush(stdout);
	MUST(fiber_sleep(duration_s(b->seconds)));
	p2p_resources(b->host, &r);
	double after = resident_kib();
	printf("idle        %8.1f KiB resident each, after %u s of idleness, %u connections\n",
	    (after - before) / b->conns, b->seconds, (unsigned)r.conns_in.used);
	fflush(stdout);
	kill(b->child, SIGKILL);
	_exit(r.conns_in.used == b->conns ? 0 : 1);
}

static void run(struct bench *b, void (*fn)(void *))
{
	MUST(crypto_init(&err));
	MUST(world_uv_new(&b->world, &err));
	MUST(rt_start(b->world->rt, "bench", NULL, fn, b, &err));
	rt_run(b->world->rt);
	world_uv_free(b->world);
}

static void raise_limit(unsigned conns)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= conns + FDS_BESIDE) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
			return;
	}
	fprintf(stderr, "p2p-idle: not enough file descriptors (ulimit -n)\n");
	exit(1);
}

int main(int argc, char **argv)
{
	struct bench b = {.conns = argc > 1 ? (unsigned)atoi(argv[1]) : 10000,
	    .seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 60};
	int ends[2];

	raise_limit(b.conns);
	if (pipe(ends) != 0)
		return 1;
	b.child = fork();
	b.pipe = ends[b.child != 0];
	if (b.child < 0)
		return 1;
	if (b.child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1]);
		if (read(b.pipe, &b.to, sizeof b.to) != (ssize_t)sizeof b.to)
			return 1;
		run(&b, clients_fiber);
		return 0;
	}
	close(ends[0]);
	run(&b, server_fiber);
	return 0;
}
