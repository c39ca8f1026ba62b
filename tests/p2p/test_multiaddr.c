/* Multiaddrs: text, binary, taking apart, and every way to write one wrongly. */
#include "p2p/multiaddr.h"
#include "suites.h"

#define PEER  "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
#define RELAY "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

static struct multiaddr ma(const char *text)
{
	struct multiaddr a;
	struct err err = {0};

	if (multiaddr_parse(bytes_str(text), &a, &err) != 0)
		fail_msg("%s", err.text);
	return a;
}

static void known_binary_forms(void **state)
{
	static const struct {
		const char *text, *hex;
	} ex[] = {
	    {"/ip4/127.0.0.1/tcp/4001", "047f000001060fa1"},
	    {"/ip4/127.0.0.1/udp/1234", "047f000001910204d2"},
	    {"/ip6/2001:8a0:7ac5:4201:3ac9:86ff:fe31:7095/tcp/80",
		"29200108a07ac542013ac986fffe317095060050"},
	    {"/ip6zone/x/ip6/fe80::1", "2a017829fe800000000000000000000000000001"},
	    {"/dns4/example.com/tcp/443/wss", "360b6578616d706c652e636f6d0601bbde03"},
	    {"/dnsaddr/a.b", "3803612e62"},
	    {"/ip4/1.2.3.4/udp/80/quic-v1/webtransport", "04010203049102"
							 "0050cd03d103"},
	    {"/ip4/1.2.3.4/tcp/80/tls/sni/a.b/ws", "0401020304060050c003c10303612e62dd03"},
	    {"/memory/4", "89060000000000000004"},
	    {"/p2p/" RELAY "/p2p-circuit", NULL},
	    {"/ip4/1.2.3.4/udp/0/webrtc-direct/certhash/"
	     "uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
	     "/p2p/" PEER,
		NULL},
	};
	struct multiaddr a, b;
	char text[MULTIADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		a = ma(ex[i].text);
		if (ex[i].hex)
			assert_true(bytes_equal(multiaddr_bytes(&a), unhex(0, ex[i].hex)));
		assert_int_equal(multiaddr_from_bytes(multiaddr_bytes(&a), &b, NULL), 0);
		assert_true(multiaddr_equal(&a, &b));
		multiaddr_print(&b, text);
		assert_string_equal(text, ex[i].text);
	}
}

static void other_spellings(void **state)
{
	static const char *const ex[][2] = {
	    {"/ip4/1.2.3.4/tcp/80/", "/ip4/1.2.3.4/tcp/80"},
	    {"/ip6/0:0:0:0:0:0:0:1/tcp/1", "/ip6/::1/tcp/1"},
	    {"/ip4/1.2.3.4/tcp/1/ipfs/" PEER, "/ip4/1.2.3.4/tcp/1/p2p/" PEER},
	    {"/p2p/bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "/p2p/" RELAY},
	};
	char text[MULTIADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		struct multiaddr a = ma(ex[i][0]);

		multiaddr_print(&a, text);
		assert_string_equal(text, ex[i][1]);
	}
}

static void errors_name_the_component(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
	    {"", "must begin with"},
	    {"/", "must begin with"},
	    {"ip4/1.2.3.4", "must begin with"},
	    {"//ip4/1.2.3.4", "unknown protocol \"\""},
	    {"/ip5/1.2.3.4", "unknown protocol \"ip5\""},
	    {"/ip4", "/ip4 needs an IPv4 address"},
	    {"/ip4/1.2.3", "bad multiaddr \"/ip4/1.2.3\": \"1.2.3\" after /ip4 is not an IPv4"},
	    {"/ip4/1.2.3.4.5", "\"1.2.3.4.5\""},
	    {"/ip4/01.2.3.4", "\"01.2.3.4\""},
	    {"/ip4/1.2.3.4 /tcp/1", "\"1.2.3.4 \""},
	    {"/ip6/:::1/tcp/1", "\":::1\" after /ip6 is not an IPv6 address"},
	    {"/ip6/fe80::1%eth0/tcp/1", "IPv6"},
	    {"/ip4/1.2.3.4/tcp", "/tcp needs a port"},
	    {"/ip4/1.2.3.4/tcp/65536", "\"65536\" after /tcp is not a port"},
	    {"/ip4/1.2.3.4/tcp/-1", "\"-1\""},
	    {"/ip4/1.2.3.4/tcp/+1", "\"+1\""},
	    {"/ip4/1.2.3.4/tcp/080", "\"080\""},
	    {"/ip4/1.2.3.4/tcp/", "/tcp needs"},
	    {"/ip4/1.2.3.4/tcp//p2p/x", "\"\" after /tcp"},
	    {"/ip4/1.2.3.4/tcp/1x", "\"1x\""},
	    {"/dns/exa mple/tcp/1", "is not a DNS name"},
	    {"/dns4//tcp/1", "is not a DNS name"},
	    {"/p2p/hello", "\"hello\" after /p2p is not a peer id"},
	    {"/ip4/1.2.3.4/certhash/xyz", "multihash"},
	    {"/ip4/1.2.3.4/certhash/uEiA", "multihash"},
	    {"/memory/18446744073709551616", "not a number"},
	    {"/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws/ws", "more than 16 parts"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct multiaddr a;
		struct err err = {0};

		assert_int_equal(multiaddr_parse(bytes_str(bad[i].text), &a, &err), E_INVALID);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
	struct multiaddr a;

	assert_int_equal(
	    multiaddr_parse(bytes_of("/ip4/1.2.3.4\0/tcp/1", 19), &a, NULL), E_INVALID);
	assert_int_equal(multiaddr_parse(bytes_of("/dns/a\0b", 8), &a, NULL), E_INVALID);
}

static void long_names_have_a_limit(void **state)
{
	char text[700] = "/dns/";
	struct multiaddr a;

	memset(text + 5, 'a', 253);
	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), 0);
	text[258] = 'a';
	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), E_INVALID);
	/* two names of 250 bytes fit in 512 bytes, a third does not */
	memcpy(text + 255, "/dns/", 5);
	memset(text + 260, 'b', 250);
	text[510] = 0;
	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), 0);
	memcpy(text + 510, "/dns/c", 7);
	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), 0);
	memcpy(text + 510, "/dns/cccccc", 12);
	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), E_INVALID);
}

static void bad_binary_is_refused(void **state)
{
	static const struct {
		const char *hex;
		int code;
	} bad[] = {
	    {"04", E_PROTOCOL},
	    {"047f0000", E_PROTOCOL},
	    {"047f000001060f", E_PROTOCOL},
	    {"8400", E_PROTOCOL},       /* overlong code */
	    {"9102", E_PROTOCOL},       /* udp without port */
	    {"3500", E_PROTOCOL},       /* empty name */
	    {"35036100", E_PROTOCOL},   /* name cut off */
	    {"3503610062", E_PROTOCOL}, /* NUL in a name */
	    {"3503612f62", E_PROTOCOL}, /* slash in a name */
	    {"35ffffffffffffffff7f61", E_PROTOCOL},
	    {"a503021220", E_PROTOCOL}, /* short multihash */
	    {"2a102f61616161616161616161616161616161", E_PROTOCOL},
	    {"05", E_UNSUPPORTED},
	    {"047f000001ff7f", E_UNSUPPORTED},
	};
	uint8_t big[MULTIADDR_MAX + 1] = {0};
	struct multiaddr a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(multiaddr_from_bytes(unhex(0, bad[i].hex), &a, NULL), bad[i].code);
	assert_int_equal(multiaddr_from_bytes(bytes_of(big, sizeof(big)), &a, NULL), E_TOO_LARGE);
	for (size_t i = 0; i + 1 < 2 * 17; i += 2)
		memcpy(big + i, "\xdd\x03", 2); /* 17 times /ws */
	assert_int_equal(multiaddr_from_bytes(bytes_of(big, 34), &a, NULL), E_TOO_LARGE);
	assert_int_equal(multiaddr_from_bytes(bytes_of(big, 32), &a, NULL), 0);
	assert_int_equal(multiaddr_from_bytes(bytes_of(NULL, 0), &a, NULL), 0);
	assert_int_equal(a.n, 0);
}

static void the_last_peer_is_the_target(void **state)
{
	struct multiaddr a = ma("/ip4/1.2.3.4/tcp/1/p2p/" RELAY "/p2p-circuit/p2p/" PEER);
	struct peer_id id;
	char text[MULTIADDR_TEXT_MAX];

	assert_true(multiaddr_peer(&a, &id));
	peer_id_print(&id, text);
	assert_string_equal(text, PEER);
	multiaddr_strip_peer(&a);
	multiaddr_print(&a, text);
	assert_string_equal(text, "/ip4/1.2.3.4/tcp/1/p2p/" RELAY "/p2p-circuit");
	assert_false(multiaddr_peer(&a, &id));
	multiaddr_strip_peer(&a); /* nothing to strip */
	assert_false(multiaddr_peer(&a, &id));
	a = (struct multiaddr){0};
	assert_false(multiaddr_peer(&a, &id));
	multiaddr_strip_peer(&a);
	multiaddr_print(&a, text);
	assert_string_equal(text, "/");
}

static void building_and_joining(void **state)
{
	struct multiaddr a, b;
	struct peer_id id;
	char text[MULTIADDR_TEXT_MAX];

	multiaddr_from_tcp(bytes_of("\xc0\x00\x02\x01", 4), 4001, &a);
	assert_int_equal(peer_id_parse(bytes_str(PEER), &id, NULL), 0);
	assert_int_equal(multiaddr_append_peer(&a, &id, NULL), 0);
	multiaddr_print(&a, text);
	assert_string_equal(text, "/ip4/192.0.2.1/tcp/4001/p2p/" PEER);
	b = ma("/p2p-circuit");
	assert_int_equal(multiaddr_encapsulate(&a, &b, NULL), 0);
	multiaddr_print(&a, text);
	assert_string_equal(text, "/ip4/192.0.2.1/tcp/4001/p2p/" PEER "/p2p-circuit");
	b = a;
	assert_int_equal(multiaddr_append(&a, MA_TCP, bytes_of("x", 1), NULL), E_INVALID);
	assert_int_equal(
	    multiaddr_append(&a, (enum multiaddr_code)5, bytes_of("", 0), NULL), E_INVALID);
	assert_true(multiaddr_equal(&a, &b));
	for (int i = 0; i < 4; i++)
		(void)!multiaddr_encapsulate(&a, &b, NULL);
	assert_int_equal(multiaddr_encapsulate(&a, &b, NULL), E_TOO_LARGE);
}

static void tcp_endpoints(void **state)
{
	static const struct {
		const char *text;
		enum multiaddr_host kind;
		const char *host;
		uint16_t port;
		bool peer;
	} ok[] = {
	    {"/ip4/1.2.3.4/tcp/80", MA_HOST_IP4, "1.2.3.4", 80, false},
	    {"/ip6/::1/tcp/0/p2p/" PEER, MA_HOST_IP6, "::1", 0, true},
	    {"/ip6zone/eth0/ip6/fe80::1/tcp/9", MA_HOST_IP6, "fe80::1%eth0", 9, false},
	    {"/dns/a.example/tcp/65535", MA_HOST_DNS, "a.example", 65535, false},
	    {"/dns4/a.example/tcp/1/p2p/" RELAY, MA_HOST_DNS4, "a.example", 1, true},
	    {"/dns6/a.example/tcp/1", MA_HOST_DNS6, "a.example", 1, false},
	};
	static const struct {
		const char *text, *says;
	} bad[] = {
	    {"/ip4/1.2.3.4", "port is missing"},
	    {"/ip4/1.2.3.4/udp/1/quic-v1", "/udp"},
	    {"/ip4/1.2.3.4/tcp/1/ws", "/ws"},
	    {"/ip4/1.2.3.4/tcp/1/p2p/" RELAY "/p2p-circuit", "/p2p-circuit"},
	    {"/dnsaddr/a.example/p2p/" PEER, "/dnsaddr"},
	    {"/ip6zone/x/ip4/1.2.3.4/tcp/1", "/ip4"},
	    {"/ip6zone/x", "/ip6zone"},
	    {"/p2p/" PEER, "/p2p"},
	};
	struct multiaddr_tcp t;

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		struct multiaddr a = ma(ok[i].text);

		assert_int_equal(multiaddr_tcp(&a, &t, NULL), 0);
		assert_int_equal(t.kind, ok[i].kind);
		assert_string_equal(t.host, ok[i].host);
		assert_int_equal(t.port, ok[i].port);
		assert_int_equal(t.has_peer, ok[i].peer);
		assert_int_equal(t.peer.n > 0, ok[i].peer);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct multiaddr a = ma(bad[i].text);
		struct err err = {0};

		assert_int_equal(multiaddr_tcp(&a, &t, &err), E_UNSUPPORTED);
		assert_non_null(strstr(err.text, bad[i].says));
	}
	assert_int_equal(multiaddr_tcp(&(struct multiaddr){0}, &t, NULL), E_UNSUPPORTED);
}

static void reach(void **state)
{
	static const struct {
		const char *text;
		enum multiaddr_reach reach;
	} ex[] = {
	    {"/ip4/0.0.0.0/tcp/1", MA_REACH_UNSPECIFIED},
	    {"/ip4/127.9.9.9/tcp/1", MA_REACH_LOOPBACK},
	    {"/ip4/169.254.1.1/tcp/1", MA_REACH_LINK_LOCAL},
	    {"/ip4/10.1.1.1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip4/172.16.0.1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip4/172.31.255.1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip4/172.32.0.1/tcp/1", MA_REACH_PUBLIC},
	    {"/ip4/192.168.0.1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip4/100.64.0.1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip4/8.8.8.8/tcp/1", MA_REACH_PUBLIC},
	    {"/ip6/::/tcp/1", MA_REACH_UNSPECIFIED},
	    {"/ip6/::1/tcp/1", MA_REACH_LOOPBACK},
	    {"/ip6/::ffff:127.0.0.1/tcp/1", MA_REACH_LOOPBACK},
	    {"/ip6zone/eth0/ip6/fe80::1/tcp/1", MA_REACH_LINK_LOCAL},
	    {"/ip6/fd00::1/tcp/1", MA_REACH_PRIVATE},
	    {"/ip6/2001:db8::1/tcp/1", MA_REACH_PUBLIC},
	    {"/dns/a/tcp/1", MA_REACH_NAME},
	    {"/dnsaddr/a", MA_REACH_NAME},
	    {"/p2p-circuit", MA_REACH_UNKNOWN},
	};

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		struct multiaddr a = ma(ex[i].text);

		assert_int_equal(multiaddr_reach(&a), ex[i].reach);
	}
	assert_int_equal(multiaddr_reach(&(struct multiaddr){0}), MA_REACH_UNKNOWN);
}

static void circuits(void **state)
{
	static const char relay[] = "/ip4/1.2.3.4/tcp/5/p2p/" RELAY;
	static const char *const not_circuits[] = {
	    relay,
	    "/p2p-circuit/p2p/" PEER,
	    "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/tcp/1",
	    "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" PEER "/p2p-circuit",
	};
	struct multiaddr a = ma("/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" PEER), r, again;
	struct multiaddr_tcp tcp;
	struct peer_id id;
	char text[MULTIADDR_TEXT_MAX];

	assert_int_equal(multiaddr_from_bytes(multiaddr_bytes(&a), &again, NULL), 0);
	multiaddr_print(&again, text);
	assert_string_equal(text, "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" PEER);
	assert_true(multiaddr_is_relayed(&a));
	assert_true(multiaddr_circuit(&a, &r, &id));
	multiaddr_print(&r, text);
	assert_string_equal(text, relay);
	peer_id_print(&id, text);
	assert_string_equal(text, PEER);
	assert_int_equal(multiaddr_tcp(&a, &tcp, NULL), E_UNSUPPORTED);
	multiaddr_strip_peer(&a);
	assert_true(multiaddr_circuit(&a, &r, &id) && id.n == 0);
	assert_false(multiaddr_peer(&a, &id));
	for (size_t i = 0; i < sizeof(not_circuits) / sizeof(not_circuits[0]); i++) {
		a = ma(not_circuits[i]);
		assert_false(multiaddr_circuit(&a, &r, &id));
		assert_true(multiaddr_is_relayed(&a) == (i > 0));
	}
}

int run_multiaddr_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_binary_forms),
	    cmocka_unit_test(other_spellings),
	    cmocka_unit_test(errors_name_the_component),
	    cmocka_unit_test(long_names_have_a_limit),
	    cmocka_unit_test(bad_binary_is_refused),
	    cmocka_unit_test(the_last_peer_is_the_target),
	    cmocka_unit_test(building_and_joining),
	    cmocka_unit_test(tcp_endpoints),
	    cmocka_unit_test(reach),
	    cmocka_unit_test(circuits),
	};

	return cmocka_run_group_tests_name("p2p/multiaddr", tests, NULL, NULL);
}
