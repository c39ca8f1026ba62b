/* Load on a server of OpenAI's dialect, for bench/gateway.mjs. Prints one JSON object.
 *
 *   gateway-load latency COUNT KEY PORT…   COUNT chat completions on one connection to each port in
 *                                          turn: the time of each, in microseconds
 *   gateway-load stream COUNT KEY PORT…    the same streamed, 20 events 5 ms apart: times to the
 *                                          first event, and between events
 *   gateway-load many N EVENTS KEY PORT    N streams at once of EVENTS events at 50 a second: how
 *                                          many came, whether any was lost
 *   gateway-load idle N KEY PORT           N streams that got one event; a line when all have it,
 *                                          then they are held until standard input ends */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX     4
#define STREAM_EVENTS 20
#define WARM_UP       5
#define READ_MAX      65536
#define DIAL_BATCH    64 /* connections that are made at once */
#define LIMIT_S       120

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void fail(const char *what)
{
	fprintf(stderr, "gateway-load: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static int dial(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
		fail("cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void ask(int fd, const char *key, const char *model, bool stream, long tokens)
{
	char body[512], out[1024];
	int n = snprintf(body, sizeof body,
	    "{\"model\":\"%s\",%s\"max_tokens\":%ld,"
	    "\"messages\":[{\"role\":\"user\",\"content\":\"Say something about foxes.\"}]}",
	    model, stream ? "\"stream\":true," : "", tokens);
	n = snprintf(out, sizeof out,
	    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
	    key, n, body);
	if (send(fd, out, (size_t)n, MSG_NOSIGNAL) != n)
		fail("cannot send");
}

/* ---- one connection -------------------------------------------------------------------------- */

struct series {
	double *of;
	size_t n, cap;
};

static void add(struct series *s, double v)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1024;
		s->of = realloc(s->of, s->cap * sizeof *s->of);
		if (!s->of)
			fail("no memory");
	}
	s->of[s->n++] = v;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(const char *name, struct series *s)
{
	if (s->n == 0)
		fail("nothing was measured");
	qsort(s->of, s->n, sizeof *s->of, ascending);
	printf("\"%s\":{\"n\":%zu,\"p50\":%.1f,\"p99\":%.1f}", name, s->n, s->of[s->n / 2],
	    s->of[s->n * 99 / 100]);
}

/* Reads one more piece of an answer; `text` holds all of it. */
static void more(int fd, char *text, size_t *n)
{
	ssize_t got = recv(fd, text + *n, READ_MAX - 1 - *n, 0);
	if (got <= 0)
		fail("the answer broke off");
	*n += (size_t)got;
	text[*n] = '\0';
}

static void check_status(const char *text)
{
	if (strncmp(text, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "%.500s\n", text);
		fail("refused");
	}
}

static double time_whole(int fd, const char *key)
{
	char text[READ_MAX];
	size_t n = 0;
	double began = now_us();
	ask(fd, key, "fast", false, 16);
	for (;;) {
		more(fd, text, &n);
		const char *end = strstr(text, "\r\n\r\n");
		const char *length = strcasestr(text, "content-length:");
		if (end && length && n >= (size_t)(end + 4 - text) + (size_t)atol(length + 15))
			break;
	}
	check_status(text);
	return now_us() - began;
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
		n++;
	return n;
}

static void time_stream(int fd, const char *key, struct series *first, struct series *gaps)
{
	char text[READ_MAX];
	size_t n = 0, seen = 0;
	double began = now_us(), last = began;
	ask(fd, key, "paced-5", true, STREAM_EVENTS);
	while (n < 5 || memcmp(text + n - 5, "0\r\n\r\n", 5) != 0) {
		more(fd, text, &n);
		size_t events = count(text, "\"content\":\"");
		double now = now_us();
		if (seen == 0 && events > 0)
			add(first, now - began);
		else if (events > seen)
			add(gaps, now - last);
		if (events > seen)
			last = now;
		seen = events;
	}
	check_status(text);
}

static void one_connection(bool stream, long rounds, const char *key, char **ports, int n)
{
	int fds[PORTS_MAX];
	struct series first[PORTS_MAX] = {{0}}, gaps[PORTS_MAX] = {{0}};
	for (int i = 0; i < n; i++)
		fds[i] = dial(atoi(ports[i]));
	for (long round = -WARM_UP; round < rounds; round++) {
		for (int i = 0; i < n; i++) {
			if (round == 0)
				first[i].n = gaps[i].n = 0;
			if (stream)
				time_stream(fds[i], key, &first[i], &gaps[i]);
			else
				add(&first[i], time_whole(fds[i], key));
		}
	}
	printf("[");
	for (int i = 0; i < n; i++) {
		printf("%s{", i ? "," : "");
		print(stream ? "first" : "whole", &first[i]);
		if (stream)
			printf(",");
		if (stream)
			print("gap", &gaps[i]);
		printf("}");
	}
	printf("]\n");
}

/* ---- many streams ---------------------------------------------------------------------------- */

struct tally {
	int ep;
	long wanted, events, ended, wrong, first, open;
	struct reading {
		int fd;
		long next; /* the number that the next event must carry */
		bool ended;
		size_t n;
		char line[512]; /* of the answer, not yet whole */
	} * of;
};

/* The content of an event is its number, so that neither loss nor disorder goes unseen. */
static void take_line(struct tally *t, struct reading *r)
{
	const char *content = strstr(r->line, "\"content\":\"");
	if (content && content[11] >= '0' && content[11] <= '9') {
		t->events++;
		t->first += r->next == 0;
		t->wrong += atol(content + 11) != r->next;
		r->next++;
	} else if (strncmp(r->line, "data: [DONE]", 12) == 0) {
		t->ended++;
		t->wrong += r->next != t->wanted;
		r->ended = true;
	} else if (strncmp(r->line, "HTTP/1.1 ", 9) == 0 && atoi(r->line + 9) != 200) {
		fprintf(stderr, "%s\n", r->line);
		t->wrong++;
	}
}

static void take_bytes(struct tally *t, struct reading *r)
{
	char in[16384];
	ssize_t n = recv(r->fd, in, sizeof in, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	for (ssize_t i = 0; i < n; i++) {
		if (in[i] == '\n') {
			r->line[r->n] = '\0';
			take_line(t, r);
			r->n = 0;
		} else if (r->n < sizeof r->line - 1) {
			r->line[r->n++] = in[i];
		}
	}
	if (n <= 0 || r->ended) {
		t->wrong += n <= 0 && !r->ended;
		close(r->fd);
		t->open--;
	}
}

static void turn(struct tally *t, int ms)
{
	struct epoll_event got[256];
	int n = epoll_wait(t->ep, got, 256, ms);
	for (int i = 0; i < n; i++)
		take_bytes(t, &t->of[got[i].data.u32]);
}

static void open_streams(struct tally *t, long n, const char *model, const char *key, int port)
{
	t->ep = epoll_create1(0);
	t->of = calloc((size_t)n, sizeof *t->of);
	if (!t->of || t->ep < 0)
		fail("no memory");
	for (long i = 0; i < n; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		t->of[i].fd = dial(port);
		ask(t->of[i].fd, key, model, true, t->wanted);
		if (epoll_ctl(t->ep, EPOLL_CTL_ADD, t->of[i].fd, &e) != 0)
			fail("cannot watch");
		t->open++;
		if (i % DIAL_BATCH == DIAL_BATCH - 1)
			turn(t, 1);
	}
}

static void many(long n, long events, const char *key, int port)
{
	struct tally t = {.wanted = events};
	double began = now_us();
	open_streams(&t, n, "paced-20", key, port);
	double opened = now_us();
	while (t.open > 0 && now_us() < began + LIMIT_S * 1e6)
		turn(&t, 100);
	printf("{\"streams\":%ld,\"events\":%ld,\"lost\":%ld,\"wrong\":%ld,\"ended\":%ld,"
	       "\"opening_s\":%.2f,\"seconds\":%.2f}\n",
	    n, t.events, n * events - t.events, t.wrong, t.ended, (opened - began) / 1e6,
	    (now_us() - began) / 1e6);
}

static void idle(long n, const char *key, int port)
{
	struct tally t = {.wanted = 1000000};
	char end;
	double began = now_us();
	open_streams(&t, n, "idle", key, port);
	while (t.first < n && t.wrong == 0 && now_us() < began + LIMIT_S * 1e6)
		turn(&t, 100);
	printf("{\"streams\":%ld,\"first\":%ld,\"wrong\":%ld}\n", n, t.first, t.wrong);
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0) {
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	const char *what = argc > 1 ? argv[1] : "";
	bool stream = strcmp(what, "stream") == 0;
	if ((stream || strcmp(what, "latency") == 0) && argc > 4 && argc <= 4 + PORTS_MAX)
		one_connection(stream, atol(argv[2]), argv[3], argv + 4, argc - 4);
	else if (strcmp(what, "many") == 0 && argc == 6)
		many(atol(argv[2]), atol(argv[3]), argv[4], atoi(argv[5]));
	else if (strcmp(what, "idle") == 0 && argc == 5)
		idle(atol(argv[2]), argv[3], atoi(argv[4]));
	else
		return 2;
	return 0;
}
