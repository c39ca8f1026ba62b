/* TLS over pipes: both sides ours, good and bad certificates, ends, cancellation. */
#include "tls_pki.h"

#include "sim_help.h"

#include "crypto/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct side {
	struct tls_context *ctx;
	struct stream *inner, *tls;
	const char *host; /* NULL: the server */
	struct err err;
	int rc;
};

static void shake(void *arg)
{
	struct side *s = arg;
	s->rc = s->host ? tls_connect(s->ctx, s->inner, s->host, &s->tls, &s->err)
			: tls_accept(s->ctx, s->inner, &s->tls, &s->err);
}

/* The authority as a file, as clients have it. */
static void write_ca(char path[32])
{
	snprintf(path, 32, "/tmp/tls-test-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, tls_ca, sizeof tls_ca - 1), sizeof tls_ca - 1);
	close(fd);
}

static void connect_as(const char *host, struct side *client, struct side *server)
{
	char ca[32];
	struct scope sc;
	*client = (struct side){.host = host};
	*server = (struct side){.host = NULL};
	write_ca(ca);
	OK(tls_client_context(ca, &client->ctx, NULL));
	unlink(ca);
	OK(tls_server_context(bytes_str(tls_chain), bytes_str(tls_key), &server->ctx, NULL));
	OK(stream_pipe("pipe", 4096, &client->inner, &server->inner, NULL));
	scope_open(&sc, duration_s(30));
	OK(fiber_spawn(&sc, "client", shake, client, NULL));
	OK(fiber_spawn(&sc, "server", shake, server, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	tls_context_free(client->ctx);
	tls_context_free(server->ctx);
}

struct copying {
	struct stream *s;
	size_t n;
};

static void send_pattern(void *arg)
{
	struct copying *c = arg;
	uint8_t *data = malloc(c->n);
	for (size_t i = 0; i < c->n; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	struct bytes v[3] = {
	    bytes_of(data, 10), bytes_of(data + 10, 90), bytes_of(data + 100, c->n - 100)};
	OK(stream_writev(c->s, v, 3, NULL));
	OK(stream_close_write(c->s, NULL));
	free(data);
}

static void read_pattern(struct copying *c)
{
	uint8_t piece[5000];
	size_t have = 0;
	ssize_t n;
	while ((n = stream_read(c->s, piece, sizeof piece, NULL)) > 0)
		for (ssize_t i = 0; i < n; i++, have++)
			assert_int_equal(piece[i], (uint8_t)(have * 7 + have / 251));
	assert_int_equal(n, 0); /* a goodbye, not a cut */
	assert_int_equal(have, c->n);
}

static void receive_pattern(void *arg)
{
	read_pattern(arg);
}

/* Both ways at once, more than the pipe holds. */
static void carries_bytes(void *arg)
{
	static const char *const hosts[] = {"server.test", "127.0.0.1", "SERVER.test"};
	for (size_t i = 0; i < 3; i++) {
		struct side client, server;
		struct scope sc;
		connect_as(hosts[i], &client, &server);
		OK(client.rc);
		OK(server.rc);
		struct copying up = {client.tls, 300000}, down = {server.tls, 200000};
		struct copying up_end = {server.tls, 300000}, down_end = {client.tls, 200000};
		scope_open(&sc, duration_s(30));
		OK(fiber_spawn(&sc, "up", send_pattern, &up, NULL));
		OK(fiber_spawn(&sc, "down", send_pattern, &down, NULL));
		OK(fiber_spawn(&sc, "up end", receive_pattern, &up_end, NULL));
		read_pattern(&down_end);
		OK(scope_join(&sc));
		scope_close(&sc);
		stream_close(client.tls);
		stream_close(server.tls);
	}
}

static void wrong_names(void *arg)
{
	static const char *const hosts[] = {"other.test", "127.0.0.2", "[::1]", "test"};
	for (size_t i = 0; i < 4; i++) {
		struct side client, server;
		connect_as(hosts[i], &client, &server);
		assert_int_equal(client.rc, E_BAD_SIGNATURE);
		assert_non_null(strstr(client.err.text, "certificate"));
		assert_true(server.rc < 0 || server.tls);
		if (server.rc == 0)
			stream_close(server.tls);
	}
}

static void unknown_authority(void *arg)
{
	struct side client = {.host = "server.test"}, server = {.host = NULL};
	struct scope sc;
	OK(tls_client_context(NULL, &client.ctx, NULL)); /* the system's */
	OK(tls_server_context(bytes_str(tls_chain), bytes_str(tls_key), &server.ctx, NULL));
	OK(stream_pipe("pipe", 4096, &client.inner, &server.inner, NULL));
	scope_open(&sc, duration_s(30));
	OK(fiber_spawn(&sc, "server", shake, &server, NULL));
	shake(&client);
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(client.rc, E_BAD_SIGNATURE);
	if (server.rc == 0)
		stream_close(server.tls);
	tls_context_free(client.ctx);
	tls_context_free(server.ctx);
}

/* An end without a goodbye may be an attacker's cut. */
static void a_cut_is_no_end(void *arg)
{
	struct side client, server;
	char piece[16];
	struct err err = {0};
	connect_as("server.test", &client, &server);
	OK(client.rc);
	OK(stream_close_write(server.inner, NULL));
	assert_int_equal(stream_read(client.tls, piece, sizeof piece, &err), E_CLOSED);
	stream_close(client.tls);
	stream_close(server.tls);
}

static void talk_rubbish(void *arg)
{
	struct stream *s = arg;
	(void)!stream_write(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, NULL);
}

static void no_tls_at_all(void *arg)
{
	struct side client = {.host = "server.test"};
	struct stream *other;
	struct scope sc;
	OK(tls_client_context(NULL, &client.ctx, NULL));
	OK(stream_pipe("pipe", 4096, &client.inner, &other, NULL));
	scope_open(&sc, duration_s(30));
	OK(fiber_spawn(&sc, "server", talk_rubbish, other, NULL));
	shake(&client);
	assert_int_equal(client.rc, E_PROTOCOL);
	OK(scope_join(&sc));
	scope_close(&sc);
	stream_close(other);
	tls_context_free(client.ctx);
}

static void silence_ends(void *arg)
{
	struct side client = {.host = "server.test"};
	struct stream *other;
	struct scope sc;
	OK(tls_client_context(NULL, &client.ctx, NULL));
	OK(stream_pipe("pipe", 4096, &client.inner, &other, NULL));
	scope_open(&sc, duration_s(3));
	shake(&client);
	assert_int_equal(client.rc, E_TIMEOUT);
	scope_close(&sc);
	stream_close(other);
	tls_context_free(client.ctx);
}

static void bad_keys(void *arg)
{
	struct tls_context *c;
	assert_int_equal(
	    tls_server_context(bytes_str("no"), bytes_str(tls_key), &c, NULL), E_FORMAT);
	assert_int_equal(
	    tls_server_context(bytes_str(tls_chain), bytes_str("no"), &c, NULL), E_FORMAT);
	assert_int_equal(
	    tls_server_context(bytes_str(tls_ca), bytes_str(tls_key), &c, NULL), E_FORMAT);
	assert_int_equal(tls_client_context("/nowhere/at/all", &c, NULL), E_FORMAT);
}

static void in_fiber(void **state)
{
	void (*const *fn)(void *) = *state;
	run_alone(*fn, NULL);
}

#define FIBER_TEST(fn)                                                                             \
	{                                                                                          \
#fn, in_fiber, NULL, NULL, &(void (*[1])(void *))                                  \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(carries_bytes), FIBER_TEST(wrong_names),
	    FIBER_TEST(unknown_authority), FIBER_TEST(a_cut_is_no_end), FIBER_TEST(no_tls_at_all),
	    FIBER_TEST(silence_ends), FIBER_TEST(bad_keys)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
