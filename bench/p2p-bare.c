/* What libp2p's one-way throughput is measured against in bench/p2p.mjs: records as large as ours,
 * filled, sealed and written to a TCP socket by one process, read and opened by another. Nothing
 * else: blocking sockets, no frames, no windows, no fibers.
 *
 * Usage: p2p-bare BYTES. Prints the seconds until the other process has opened all of it; then, of
 * the sender and of the receiver, the seconds that it ran, that it did so in the kernel, and that
 * it was ready to run. */
#include "crypto/crypto.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLAIN  65519 /* of a Noise record: 65,535 with its tag */
#define PREFIX 2
#define RECORD (PREFIX + PLAIN + AEAD_TAG_SIZE)
#define BATCH  2 /* records in one write */

#define USED_SIZE 64

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

struct cipher {
	struct aead *aead;
	uint64_t counter;
};

static struct cipher cipher_new(void)
{
	static const uint8_t key[AEAD_KEY_SIZE] = {1, 2, 3};
	struct cipher c = {0};

	must(aead_new(key, &c.aead, NULL) == 0, "cipher");
	return c;
}

static void next_nonce(struct cipher *c, uint8_t out[AEAD_NONCE_SIZE])
{
	memset(out, 0, AEAD_NONCE_SIZE);
	put_u64be(out + 4, c->counter++);
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t did = write(fd, p, n);
		must(did > 0, "write");
		p += did;
		n -= (size_t)did;
	}
}

static void send_records(int fd, uint64_t records)
{
	static uint8_t batch[BATCH][RECORD], source[PLAIN];
	struct cipher c = cipher_new();
	uint8_t nonce[AEAD_NONCE_SIZE];

	for (uint64_t sent = 0; sent < records; sent += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			uint8_t *text = batch[i] + PREFIX;
			memcpy(text, source, PLAIN); /* the copy that no sender is spared */
			put_u16be(batch[i], PLAIN + AEAD_TAG_SIZE);
			next_nonce(&c, nonce);
			must(aead_seal(c.aead, nonce, bytes_of(NULL, 0), text, PLAIN, text,
				 text + PLAIN, NULL) == 0,
			    "seal");
		}
		write_all(fd, batch[0], sizeof batch);
	}
	aead_free(c.aead);
}

/* Reads as much as there is, opens each record as soon as it is whole. */
static void receive_records(int fd, uint64_t records)
{
	static uint8_t in[2 * BATCH * RECORD];
	struct cipher c = cipher_new();
	uint8_t nonce[AEAD_NONCE_SIZE];
	size_t have = 0;

	while (records > 0) {
		size_t at = 0;
		ssize_t n = read(fd, in + have, sizeof in - have);
		must(n > 0, "read");
		for (have += (size_t)n; have - at >= RECORD; at += RECORD, records--) {
			uint8_t *text = in + at + PREFIX;
			next_nonce(&c, nonce);
			must(aead_open(c.aead, nonce, bytes_of(NULL, 0), text, PLAIN, text,
				 text + PLAIN, NULL) == 0,
			    "open");
		}
		memmove(in, in + at, have - at);
		have -= at;
	}
	aead_free(c.aead);
}

static void connected_pair(int *left, int *right)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	must(listener >= 0 && bind(listener, (struct sockaddr *)&at, n) == 0 &&
		 listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&at, &n) == 0,
	    "listen");
	*left = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(*left, (struct sockaddr *)&at, n) == 0, "connect");
	*right = accept(listener, NULL, NULL);
	must(*right >= 0, "accept");
	must(setsockopt(*left, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
	close(listener);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of this process, as text: what it cost so far. */
static void used(char out[USED_SIZE])
{
	struct rusage u;
	double kernel;
	unsigned long long waited = 0;
	FILE *f = fopen("/proc/self/schedstat", "r");

	getrusage(RUSAGE_SELF, &u);
	kernel = (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
	if (!f || fscanf(f, "%*u %llu", &waited) != 1)
		waited = 0; /* a kernel without it */
	if (f)
		fclose(f);
	(void)snprintf(out, USED_SIZE, "%.6f %.6f %.6f",
	    (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + kernel, kernel,
	    (double)waited / 1e9);
}

/* The other process: says what it cost once it has opened everything. */
static void receive_and_tell(int fd, uint64_t records)
{
	char text[USED_SIZE] = "";

	receive_records(fd, records);
	used(text);
	write_all(fd, (const uint8_t *)text, sizeof text);
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t records = (bytes / PLAIN + BATCH) / BATCH * BATCH;
	char ours[USED_SIZE], theirs[USED_SIZE];
	int left, right, status;

	if (bytes == 0) {
		fputs("usage: p2p-bare BYTES\n", stderr);
		return 2;
	}
	must(crypto_init(NULL) == 0, "crypto");
	connected_pair(&left, &right);
	double begin = now();
	pid_t receiver = fork();
	must(receiver >= 0, "fork");
	if (receiver == 0)
		receive_and_tell(right, records);
	send_records(left, records);
	must(recv(left, theirs, sizeof theirs, MSG_WAITALL) == sizeof theirs, "the receiver");
	double seconds = now() - begin;
	must(waitpid(receiver, &status, 0) == receiver && status == 0, "the receiver");
	used(ours);
	printf("%.6f %s %s\n", seconds * (double)bytes / (double)(records * PLAIN), ours, theirs);
	return 0;
}
