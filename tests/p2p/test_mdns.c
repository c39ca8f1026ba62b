/* mDNS packets: what we build we read, what others build we read, and malformed ones yield nothing.
 */
#include "p2p/mdns_priv.h"
#include "suites.h"

#include <stdio.h>

#define PEER "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

struct seen {
	size_t n;
	char name[MDNS_NAME_MAX + 1];
	char addr[MULTIADDR_TEXT_MAX];
};

static void note(void *arg, const char *peer_name, const struct multiaddr *addr)
{
	struct seen *s = arg;

	s->n++;
	snprintf(s->name, sizeof(s->name), "%s", peer_name);
	multiaddr_print(addr, s->addr);
}

static void queries(void **state)
{
	struct buf b = BUF_INIT(MDNS_SEND_MAX);
	struct mdns_packet p;
	struct seen seen = {0};

	mdns_put_query(&b);
	assert_true(bytes_equal(buf_view(&b), unhex(0, "000000000001000000000000"
						       "045f703270045f756470056c6f63616c00"
						       "000c0001")));
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
	assert_true(p.asks_peers && !p.response && !p.unicast_answer && p.found == 0);
	/* capital letters, any type, unicast wanted */
	assert_int_equal(mdns_parse(unhex(0, "000000000001000000000000"
					     "045f503250045f554450054c4f43414c00"
					     "00ff8001"),
			     note, &seen, &p, NULL),
	    0);
	assert_true(p.asks_peers && p.unicast_answer);
	/* another service, another type */
	assert_int_equal(mdns_parse(unhex(0, "000000000002000000000000"
					     "045f703271045f756470056c6f63616c00"
					     "000c0001"
					     "045f703270045f756470056c6f63616c00"
					     "00010001"),
			     note, &seen, &p, NULL),
	    0);
	assert_false(p.asks_peers);
	assert_int_equal(seen.n, 0);
	buf_free(&b);
}

static void answers_round_trip(void **state)
{
	static const char *const addrs[] = {
	    "/ip4/192.168.1.2/tcp/4001/p2p/" PEER, "/ip6/fe80::1/tcp/4001/p2p/" PEER};
	struct buf b = BUF_INIT(MDNS_SEND_MAX);
	uint8_t random[MDNS_NAME_RANDOM];
	char name[MDNS_NAME_MAX + 1];
	struct mdns_packet p;
	struct seen seen = {0};

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(i * 37);
	mdns_make_name(random, name);
	assert_int_equal(strlen(name), MDNS_NAME_MIN);
	assert_int_equal(mdns_put_answer(&b, name, addrs, 2), 2);
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
	assert_true(p.response && !p.asks_peers);
	assert_int_equal(seen.n, 4); /* each among the answers and the additionals */
	assert_int_equal(p.found, 4);
	assert_string_equal(seen.name, name);
	assert_string_equal(seen.addr, addrs[1]);
	buf_free(&b);
}

static void many_addresses_take_several_packets(void **state)
{
	char text[40][300];
	const char *addrs[40];
	struct buf b = BUF_INIT(MDNS_SEND_MAX);
	struct mdns_packet p;
	struct seen seen = {0};
	size_t done = 0, packets = 0;

	for (int i = 0; i < 40; i++) {
		snprintf(text[i], sizeof(text[i]), "/ip4/10.0.0.%d/tcp/4001/p2p/" PEER, i);
		addrs[i] = text[i];
	}
	memset(text[7], 'x', 299); /* no TXT string holds this one */
	text[7][299] = 0;
	while (done < 40) {
		size_t n;

		buf_reset(&b);
		n = mdns_put_answer(
		    &b, "abcdefghijklmnopqrstuvwxyz012345", addrs + done, 40 - done);
		assert_true(n > 0);
		assert_int_equal(buf_ok(&b, NULL), 0);
		assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
		done += n;
		packets++;
	}
	assert_int_equal(seen.n, 2 * 39);
	assert_true(packets > 1);
	/* with nothing to say it is still an answer */
	buf_reset(&b);
	assert_int_equal(mdns_put_answer(&b, "abcdefghijklmnopqrstuvwxyz012345", addrs, 0), 0);
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
	assert_true(p.response && p.found == 0);
	buf_free(&b);
}

#define HEAD_ANSWER "000084000000000100000000"
#define SERVICE     "045f703270045f756470056c6f63616c00"

/* js-libp2p's form: full names, TXT among the answers, cache-flush class. */
static void foreign_answers(void **state)
{
	struct buf b = BUF_INIT(2000);
	struct mdns_packet p;
	struct seen seen = {0};
	const char *txt = "DNSADDR=/ip4/10.1.2.3/tcp/7/p2p/" PEER;
	const char *other = "txtvers=1";

	buf_bytes(&b, unhex(0, HEAD_ANSWER));
	buf_bytes(&b, unhex(0, "03506545" SERVICE "00108001"
			       "00000078"));
	buf_u16be(&b, (uint16_t)(2 + strlen(txt) + strlen(other) + 3));
	buf_u8(&b, (uint8_t)strlen(other));
	buf_str(&b, other);
	buf_u8(&b, 0);
	buf_u8(&b, (uint8_t)strlen(txt));
	buf_str(&b, txt);
	buf_put(&b, "\x01x", 2);
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.name, "pee");
	assert_string_equal(seen.addr, "/ip4/10.1.2.3/tcp/7/p2p/" PEER);
	/* the same records in a query are not believed */
	b.p[2] = 0;
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
	assert_int_equal(p.found, 0);
	/* any cut makes it malformed, and silent */
	b.p[2] = 0x84;
	seen.n = 0;
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(mdns_parse(bytes_of(b.p, n), note, &seen, &p, NULL), E_PROTOCOL);
	assert_int_equal(seen.n, 0);
	buf_free(&b);
}

static void malformed_names(void **state)
{
	static const char *const bad[] = {
	    HEAD_ANSWER "c00c"
			"0010000100000078"
			"0000", /* points to itself */
	    HEAD_ANSWER "c00e"
			"c00c"
			"0010000100000078"
			"0000", /* points ahead */
	    HEAD_ANSWER "c018001000010000007800"
			"0100", /* ahead, to a name that would be valid */
	    HEAD_ANSWER "0161c00c"
			"0010000100000078"
			"0000", /* into its own labels */
	    HEAD_ANSWER "c000"
			"0010000100000078"
			"0000", /* into the header */
	    HEAD_ANSWER "4061"
			"0010000100000078"
			"0000", /* label type 01 */
	    HEAD_ANSWER "8061"
			"0010000100000078"
			"0000", /* label type 10 */
	    HEAD_ANSWER "0161"
			"00"
			"0010000100000078"
			"0005", /* data cut off */
	    HEAD_ANSWER "0161" SERVICE "0010000100000078"
			"0002"
			"0561", /* string cut off */
	    "0000"
	    "8400"
	    "0101"
	    "0000"
	    "0000"
	    "0000", /* 257 questions */
	    "0000"
	    "8400"
	    "0000"
	    "0080"
	    "0080"
	    "0001", /* 257 records */
	    "0000"
	    "8800"
	    "0000"
	    "0000"
	    "0000"
	    "0000", /* another opcode */
	};
	struct mdns_packet p;
	struct seen seen = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mdns_parse(unhex(0, bad[i]), note, &seen, &p, NULL), E_PROTOCOL);
	/* a name that grows by every pointer it follows ends at 255 bytes */
	struct buf b = BUF_INIT(10000);
	uint8_t label[64];

	memset(label, 'a', sizeof(label));
	label[0] = 63;
	buf_bytes(&b, unhex(0, "000084000000000200000000"));
	for (int i = 0; i < 4; i++)
		buf_put(&b, label, 64);
	buf_u8(&b, 0);
	buf_bytes(&b, unhex(0, "00100001000000780000"));
	buf_bytes(&b, unhex(0, "c00c00100001000000780000"));
	assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), E_PROTOCOL);
	assert_int_equal(seen.n, 0);
	buf_free(&b);
}

static void addresses_without_peer_are_ignored(void **state)
{
	struct buf b = BUF_INIT(2000);
	static const char *const txt[] = {"dnsaddr=/ip4/10.1.2.3/tcp/7", "dnsaddr=nonsense",
	    "dnsaddr=", "dnsaddr", ("other=/ip4/10.1.2.3/tcp/7/p2p/" PEER)};
	struct mdns_packet p;
	struct seen seen = {0};

	for (size_t i = 0; i < 5; i++) {
		buf_reset(&b);
		buf_bytes(&b, unhex(0, HEAD_ANSWER "0161" SERVICE "0010000100000078"));
		buf_u16be(&b, (uint16_t)(strlen(txt[i]) + 1));
		buf_u8(&b, (uint8_t)strlen(txt[i]));
		buf_str(&b, txt[i]);
		assert_int_equal(mdns_parse(buf_view(&b), note, &seen, &p, NULL), 0);
		assert_int_equal(seen.n, 0);
	}
	buf_free(&b);
}

int run_mdns_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(queries),
	    cmocka_unit_test(answers_round_trip),
	    cmocka_unit_test(many_addresses_take_several_packets),
	    cmocka_unit_test(foreign_answers),
	    cmocka_unit_test(malformed_names),
	    cmocka_unit_test(addresses_without_peer_are_ignored),
	};

	return cmocka_run_group_tests_name("p2p/mdns", tests, NULL, NULL);
}
