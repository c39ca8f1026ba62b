/* Private networks: the key file, the cipher, the stream, and hosts with the same, different and no
 * keys in a simulated universe. */
#include "host_help.h"

#include "base/encode.h"
#include "p2p/pnet_priv.h"

#include <stdio.h>

#define HEADER "/key/swarm/psk/1.0.0/\n"
#define HEX    "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"

/* ---- the key file ---------------------------------------------------------------------------- */

static void key_files(void **state)
{
	static const char *const good[] = {HEADER "/base16/\n" HEX "\n", HEADER "/base16/\n" HEX,
	    "/key/swarm/psk/1.0.0/\r\n/base16/\r\n" HEX "\r\n\r\n",
	    HEADER "/base16/ \t\n" HEX " \n",
	    HEADER "/base64/\nGydVZHPphdRizVEZeppGx2AJVJ6sZHTyBsTuCET2g4k=\n"};
	static const char *const bad[] = {"", "\n", HEX, HEADER, HEADER "/base16/\n",
	    HEADER "/base16/\n" HEX "0\n", HEADER "/base16/\n" HEX "\nmore\n",
	    HEADER "/base32/\n" HEX "\n", "/key/swarm/psk/2.0.0/\n/base16/\n" HEX "\n",
	    HEADER "/base64/\nGydV\n", HEADER "\n/base16/\n" HEX "\n",
	    HEADER "/base16/\nzb27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389\n"};
	struct pnet_key key;
	uint8_t want[PNET_KEY_SIZE];

	OK(hex_decode(bytes_str(HEX), want, sizeof want));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		memset(&key, 0, sizeof key);
		OK(pnet_key_parse(bytes_str(good[i]), &key, NULL));
		assert_memory_equal(key.bytes, want, sizeof want);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err err = {0};
		assert_int_equal(pnet_key_parse(bytes_str(bad[i]), &key, &err), E_FORMAT);
		assert_null(strstr(err.text, "1b27"));
	}
	/* A NUL is no white space. */
	assert_int_equal(
	    pnet_key_parse(bytes_of(HEADER "/base16/\n" HEX "\0", 22 + 9 + 65), &key, NULL),
	    E_FORMAT);
}

/* ---- the cipher ------------------------------------------------------------------------------ */

/* The XSalsa20 key stream of NaCl's test "stream3", in pieces of every size. */
static void cipher(void **state)
{
	struct pnet_key key;
	uint8_t nonce[PNET_NONCE_SIZE], first[32], whole[1000], pieces[1000];
	struct pnet_cipher c;

	OK(hex_decode(bytes_str(HEX), key.bytes, sizeof key.bytes));
	OK(hex_decode(
	    bytes_str("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"), nonce, sizeof nonce));
	OK(hex_decode(bytes_str("eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"),
	    first, sizeof first));
	memset(whole, 0, sizeof whole);
	pnet_cipher_init(&c, &key, nonce);
	pnet_cipher_apply(&c, whole, sizeof whole);
	assert_memory_equal(whole, first, sizeof first);
	for (size_t step = 1; step < 200; step++) {
		memset(pieces, 0, sizeof pieces);
		pnet_cipher_init(&c, &key, nonce);
		for (size_t at = 0; at < sizeof pieces; at += step)
			pnet_cipher_apply(
			    &c, pieces + at, at + step < sizeof pieces ? step : sizeof pieces - at);
		assert_memory_equal(pieces, whole, sizeof whole);
	}
}

/* ---- the stream ------------------------------------------------------------------------------ */

static struct pnet_key key_of(uint8_t tag)
{
	struct pnet_key key;

	memset(key.bytes, tag, sizeof key.bytes);
	return key;
}

static void write_all(void *arg)
{
	struct stream *s = arg;
	static uint8_t large[200000];
	struct bytes v[4] = {
	    bytes_of("ab", 2), bytes_of(NULL, 0), bytes_of(large, sizeof large), bytes_of("yz", 2)};

	OK(stream_writev(s, v, 4, NULL));
	OK(stream_writev(s, NULL, 0, NULL));
	OK(stream_close_write(s, NULL));
}

/* Many pieces at once, none, and a peer's nonce that comes byte by byte. */
static void over_a_pipe(struct net *n)
{
	struct stream *a, *b, *wrapped, *other;
	struct pnet_key key = key_of(1);
	uint8_t nonce[PNET_NONCE_SIZE] = {1}, got[8], junk[3000];
	struct scope sc;
	size_t total = 0;
	ssize_t r;

	OK(stream_pipe("pipe", 4096, &a, &b, NULL));
	OK(pnet_wrap(a, &key, nonce, &wrapped, NULL));
	nonce[0] = 2;
	for (size_t i = 0; i < 10; i++)
		OK(stream_write(b, nonce + i, 1, NULL));
	scope_open(&sc, duration_ms(50)); /* cut short: nothing is lost */
	assert_int_equal(stream_read(wrapped, got, sizeof got, NULL), E_TIMEOUT);
	scope_close(&sc);
	OK(stream_write(b, nonce + 10, sizeof nonce - 10, NULL));
	struct pnet_cipher c;
	pnet_cipher_init(&c, &key, nonce);
	uint8_t hello[] = "hello";
	pnet_cipher_apply(&c, hello, 5);
	OK(stream_write(b, hello, 5, NULL));
	assert_int_equal(stream_read(wrapped, got, sizeof got, NULL), 5);
	assert_memory_equal(got, "hello", 5);
	/* The other way. */
	OK(stream_read_full(b, nonce, sizeof nonce, NULL));
	assert_int_equal(nonce[0], 1);
	pnet_cipher_init(&c, &key, nonce);
	scope_open(&sc, duration_s(10));
	OK(fiber_spawn(&sc, "write", write_all, wrapped, NULL));
	while ((r = stream_read(b, junk, sizeof junk, NULL)) > 0) {
		pnet_cipher_apply(&c, junk, (size_t)r);
		if (total == 0)
			assert_memory_equal(junk, "ab\0\0", 4);
		total += (size_t)r;
	}
	assert_int_equal(r, 0);
	assert_int_equal(total, 200004);
	scope_close(&sc);
	stream_close(wrapped);
	/* An end before the nonce is an error. */
	stream_close(b);
	OK(stream_pipe("pipe", 4096, &a, &b, NULL));
	OK(pnet_wrap(a, &key, nonce, &other, NULL));
	OK(stream_close_write(b, NULL));
	assert_int_equal(stream_read(other, got, sizeof got, NULL), E_CLOSED);
	assert_ptr_equal(pnet_unwrap(other), a);
	stream_close(a);
	stream_close(b);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static void host_with(
    struct net *n, const char *name, struct node *node, const struct pnet_key *key)
{
	struct p2p_options opt;
	struct multiaddr listen;

	node_options(n, name, node, &opt, &listen);
	opt.swarm_key = key;
	node_start(node, &opt);
	node_serve(node);
}

static void same_key(struct net *n)
{
	struct node a, b;
	struct pnet_key key = key_of(1);

	host_with(n, "a", &a, &key);
	host_with(n, "b", &b, &key);
	node_connect(&a, &b);
	echo_check(&a, &b, 300000);
	echo_check(&b, &a, 1);
	node_close(&a);
	node_close(&b);
}

/* Whatever the two nonces make of the other's words: an error in time that names the key. */
static void strangers(struct net *n)
{
	struct pnet_key one = key_of(1), two = key_of(2);
	const struct pnet_key *pairs[][2] = {{&one, &two}, {&one, NULL}, {NULL, &one}};

	for (int i = 0; i < 30; i++) {
		struct node a, b;
		char from[] = "a00", to[] = "b00";
		struct err err = {0};
		snprintf(from + 1, 3, "%02d", i);
		snprintf(to + 1, 3, "%02d", i);
		host_with(n, from, &a, pairs[i % 3][0]);
		host_with(n, to, &b, pairs[i % 3][1]);
		struct multiaddr at = node_full_addr(&b);
		struct instant began = rt_now();
		assert_int_not_equal(p2p_dial(a.host, NULL, &at, 1, NULL, &err), 0);
		assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 0, 6500);
		if (pairs[i % 3][0] && !strstr(err.text, "the same swarm key?") &&
		    !strstr(err.text, "timed out"))
			fail_msg("%s", err.text);
		assert_false(p2p_connected(b.host, &a.id.peer_id));
		OK(fiber_sleep(duration_s(11)));
		node_close(&a);
		node_close(&b);
	}
	assert_true(net_logged(n, "the same swarm key?") >= 15);
}

static void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run(1, duration_ms(10), *story);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_files),
	    cmocka_unit_test(cipher),
	    {"over_a_pipe", in_net, NULL, NULL, &(void (*[1])(struct net *)){over_a_pipe}},
	    {"same_key", in_net, NULL, NULL, &(void (*[1])(struct net *)){same_key}},
	    {"strangers", in_net, NULL, NULL, &(void (*[1])(struct net *)){strangers}},
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
