/* A fast server of OpenAI's dialect for bench/gateway.mjs, on 127.0.0.1:PORT: one epoll loop that
 * does nothing but answer. Runs until it is killed.
 *
 * Usage: gateway-mock PORT
 *
 * Answers of chat completions: {"stream":true} makes max_tokens events, one for each tick of the
 * model's name: "fast" all at once, "paced-N" one every N milliseconds (streams are spread over the
 * ticks), "idle" one event and then nothing. Everything else is one document. It trusts its
 * client: heads of at most 8 KiB, bodies with a length. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

#define IN_MAX     32768
#define EVENTS_MAX 256
#define FD_MAX     65536
#define TICK_MS    1

struct conn {
	int fd;
	size_t n;
	long left;       /* events to come */
	long at;         /* of the next event */
	int64_t due_ms;  /* when */
	int64_t pace_ms; /* -1: never */
	char in[IN_MAX];
};

static struct conn *conns[FD_MAX];
static int highest;

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void drop(struct conn *c)
{
	conns[c->fd] = NULL;
	close(c->fd);
	free(c);
}

static bool put(struct conn *c, const char *text, size_t n)
{
	return send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool put_document(struct conn *c, const char *body)
{
	char out[1024];
	int n = snprintf(out, sizeof out,
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    strlen(body), body);
	return put(c, out, (size_t)n);
}

#define CHUNK                                                                                      \
	"{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","        \
	"\"choices\":[{\"index\":0,"

static size_t chunk(char *out, size_t cap, const char *data)
{
	size_t n = strlen(data) + strlen("data: \n\n");
	return (size_t)snprintf(out, cap, "%zx\r\ndata: %s\n\n\r\n", n, data);
}

/* The next event of a stream, and its end with the last. */
static bool put_event(struct conn *c)
{
	char out[1024], data[512];
	size_t n = 0;
	if (c->left > 0) {
		snprintf(data, sizeof data,
		    CHUNK "\"delta\":{\"content\":\"%ld \"},\"finish_reason\":null}]}", c->at++);
		n = chunk(out, sizeof out, data);
		c->left--;
	}
	if (c->left == 0) {
		n += chunk(out + n, sizeof out - n,
		    CHUNK
		    "\"delta\":{},\"finish_reason\":\"stop\"}],"
		    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,\"total_tokens\":18}}");
		n += chunk(out + n, sizeof out - n, "[DONE]");
		n += (size_t)snprintf(out + n, sizeof out - n, "0\r\n\r\n");
		c->left = -1;
	}
	return put(c, out, n);
}

static bool begin_stream(struct conn *c, const char *body)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	const char *pace = strstr(body, "paced-"), *tokens = strstr(body, "\"max_tokens\":");
	c->left = tokens ? atol(tokens + strlen("\"max_tokens\":")) : 1;
	c->at = 0;
	c->pace_ms = pace ? atol(pace + 6) : strstr(body, "\"idle\"") ? -1 : 0;
	c->due_ms = now_ms() + (c->pace_ms > 0 ? c->pace_ms : 0);
	bool ok = put(c, head, sizeof head - 1) && put_event(c);
	while (ok && c->pace_ms == 0 && c->left >= 0)
		ok = put_event(c);
	return ok;
}

static bool answer(struct conn *c, const char *body)
{
	if (strncmp(c->in, "GET", 3) == 0)
		return put_document(c,
		    "{\"object\":\"list\",\"data\":[{\"id\":\"fast\"},{\"id\":\"paced-5\"},"
		    "{\"id\":\"paced-20\"},{\"id\":\"idle\"}]}");
	if (strstr(body, "\"stream\":true"))
		return begin_stream(c, body);
	return put_document(c,
	    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":"
	    "\"fast\","
	    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
	    "\"The quick brown fox jumps over the lazy dog.\"},\"finish_reason\":\"stop\"}],"
	    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,\"total_tokens\":18}}");
}

/* Takes the requests that are whole. */
static bool take(struct conn *c)
{
	for (;;) {
		c->in[c->n] = '\0';
		char *end = strstr(c->in, "\r\n\r\n");
		if (!end)
			return c->n < IN_MAX - 1;
		const char *length = strcasestr(c->in, "content-length:");
		size_t body = length && length < end ? (size_t)atol(length + 15) : 0;
		size_t whole = (size_t)(end + 4 - c->in) + body;
		if (c->n < whole)
			return whole < IN_MAX - 1;
		char kept = c->in[whole];
		c->in[whole] = '\0';
		if (!answer(c, end + 4))
			return false;
		c->in[whole] = kept;
		memmove(c->in, c->in + whole, c->n - whole);
		c->n -= whole;
	}
}

static void readable(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->n, IN_MAX - 1 - c->n, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->n += n > 0 ? (size_t)n : 0;
	if (n <= 0 || !take(c))
		drop(c);
}

static void accept_all(int ep, int listener)
{
	int fd, on = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = fd < FD_MAX ? calloc(1, sizeof *c) : NULL;
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
		if (!c || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
			exit(1);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		c->fd = fd;
		c->left = -1;
		conns[fd] = c;
		highest = fd > highest ? fd : highest;
	}
}

/* Sends what is due; whether anything is paced at all. */
static bool tick(void)
{
	bool paced = false;
	int64_t now = now_ms();
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = conns[fd];
		if (!c || c->left < 0 || c->pace_ms <= 0)
			continue;
		paced = true;
		if (c->due_ms > now)
			continue;
		c->due_ms += c->pace_ms;
		if (!put_event(c))
			drop(c);
	}
	return paced;
}

static int listen_on(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(port)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
		perror("gateway-mock");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	if (argc != 2)
		return 2;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	int ep = epoll_create1(0), listener = listen_on(argv[1]);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, got[EVENTS_MAX];
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (bool paced = false;; paced = tick()) {
		int n = epoll_wait(ep, got, EVENTS_MAX, paced ? TICK_MS : -1);
		for (int i = 0; i < n; i++) {
			if (got[i].data.fd == listener)
				accept_all(ep, listener);
			else if (conns[got[i].data.fd])
				readable(conns[got[i].data.fd]);
		}
	}
}
