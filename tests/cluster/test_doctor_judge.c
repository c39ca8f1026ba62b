/* The doctor's judgement: each set of facts has one name and one cure. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/doctor_priv.h"

static struct peer_id peer(uint8_t seed)
{
	uint8_t bytes[ED25519_SEED_SIZE] = {seed};
	struct identity id;

	identity_from_seed(bytes, &id);
	return id.peer_id;
}

static struct multiaddr address(const char *text)
{
	struct multiaddr m;

	assert_int_equal(multiaddr_parse(bytes_str(text), &m, NULL), 0);
	return m;
}

static void judged(
    const struct doctor_finding *f, enum doctor_verdict v, const char *hop, const char *fault)
{
	assert_int_equal(f->verdict, v);
	assert_string_equal(f->hop, hop);
	assert_string_equal(f->fault, fault);
	assert_true(f->seen[0] != '\0');
	assert_true(v == DOCTOR_OK ? f->fix[0] == '\0' : f->fix[0] != '\0');
}

/* ---- probes ---------------------------------------------------------------------------------- */

struct failing {
	enum p2p_hop at;
	int code;
	const char *said;
	const char *hop, *fault;
};

static const struct failing failing[] = {
    {P2P_HOP_NAME, E_NOT_FOUND, "", "name", "name-unknown"},
    {P2P_HOP_NAME, E_TIMEOUT, "", "name", "resolver-silent"},
    {P2P_HOP_NAME, E_UNREACHABLE, "", "name", "resolver-silent"},
    {P2P_HOP_NAME, E_UNSUPPORTED, "", "name", "address-unusable"},
    {P2P_HOP_CONNECT, E_REFUSED, "", "connect", "port-closed"},
    {P2P_HOP_CONNECT, E_TIMEOUT, "", "connect", "port-filtered"},
    {P2P_HOP_CONNECT, E_UNREACHABLE, "", "connect", "no-route"},
    {P2P_HOP_CONNECT, E_LIMIT, "", "connect", "no-connection"},
    {P2P_HOP_SECURE, E_PROTOCOL, "HTTP/1.1 200 OK", "secure", "proxy"},
    {P2P_HOP_SECURE, E_PROTOCOL, "SSH-2.0", "secure", "not-libp2p"},
    {P2P_HOP_SECURE, E_UNSUPPORTED, "\x13/multistream", "secure", "protocol-mismatch"},
    {P2P_HOP_SECURE, E_TIMEOUT, "", "secure", "silent"},
    {P2P_HOP_SECURE, E_CLOSED, "", "secure", "hung-up"},
    {P2P_HOP_SECURE, E_RESET, "", "secure", "hung-up"},
    {P2P_HOP_SECURE, E_BAD_SIGNATURE, "\x13/multistream", "secure", "handshake-failed"},
};

static void test_probes_that_fail(void **state)
{
	struct peer_id self = peer(1), other = peer(2);
	struct multiaddr at = address("/ip4/192.0.2.7/tcp/41145");

	for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
		const struct failing *c = &failing[i];
		struct p2p_probe p = {
		    .hop = c->at, .code = c->code, .why = "because", .n_said = strlen(c->said)};
		struct doctor_finding f;
		memcpy(p.said, c->said, p.n_said);
		judge_probe(&p, &at, &self, &other, &f);
		judged(&f, DOCTOR_FAULT, c->hop, c->fault);
		assert_string_equal(f.seen, "/ip4/192.0.2.7/tcp/41145: because");
	}
}

/* A nonce that stands for 24 bytes by chance, and what is none. */
#define NONCE "\xd3\x19o\x80\xffq\x07\xc4 \x91\xe2s\x9c\xaa\xf0\x15k\xbb\x8e\x02\xda\xee\x31\x99"

static void test_swarm_keys(void **state)
{
	static const struct {
		bool ours;
		int code;
		const char *said, *fault, *fix;
	} cases[] = {
	    {false, E_PROTOCOL, NONCE, "swarm-key", "this one is not"},
	    {false, E_TIMEOUT, NONCE, "swarm-key", "this one is not"},
	    {false, E_PROTOCOL, NONCE NONCE, "not-libp2p", ""},
	    {false, E_PROTOCOL, "SSH-2.0-OpenSSH_9.2p1 24", "not-libp2p", ""},
	    {true, E_PROTOCOL, NONCE, "swarm-key", "theirs is another"},
	    {true, E_CLOSED, "", "swarm-key", "no sign of a key"},
	    {true, E_PROTOCOL, "\x13/multistream/1.0.0\n", "swarm-key", "no sign of a key"},
	    {true, E_PROTOCOL, "HTTP/1.1 400", "proxy", ""},
	    {true, E_PROTOCOL, "HTTP/1.1 400 Bad Request\r\n\r\n", "proxy", ""},
	};
	struct peer_id self = peer(1), other = peer(2);
	struct multiaddr at = address("/ip4/192.0.2.7/tcp/41145");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct p2p_probe p = {.hop = P2P_HOP_SECURE,
		    .code = cases[i].code,
		    .why = "because",
		    .n_said = strlen(cases[i].said),
		    .swarm_key = cases[i].ours};
		struct doctor_finding f;
		memcpy(p.said, cases[i].said, p.n_said);
		judge_probe(&p, &at, &self, &other, &f);
		judged(&f, DOCTOR_FAULT, "secure", cases[i].fault);
		assert_non_null(strstr(f.fix, cases[i].fix));
	}
}

static void test_probes_that_arrive(void **state)
{
	struct peer_id self = peer(1), other = peer(2), third = peer(3), anyone = {0};
	struct multiaddr at = address("/dns4/attic/tcp/41145");
	struct p2p_probe p = {
	    .met = other, .at = {.family = NET_IP4, .ip = {192, 0, 2, 7}, .port = 41145}};
	struct doctor_finding f;

	assert_int_equal(multiaddr_append_peer(&at, &third, NULL), 0);
	judge_probe(&p, &at, &self, &other, &f);
	judged(&f, DOCTOR_OK, "connect", "");
	/* The name with what it stands for, without the /p2p. */
	assert_non_null(strstr(f.seen, "/dns4/attic/tcp/41145 (192.0.2.7:41145): peer 12D3Koo"));
	judge_probe(&p, &at, &self, &anyone, &f);
	judged(&f, DOCTOR_OK, "connect", "");
	judge_probe(&p, &at, &self, &third, &f);
	judged(&f, DOCTOR_FAULT, "identity", "wrong-peer");
	p.met = self;
	judge_probe(&p, &at, &self, &other, &f);
	judged(&f, DOCTOR_FAULT, "identity", "itself");
}

/* ---- the connected peer ---------------------------------------------------------------------- */

static void in_state(enum cluster_peer_state s, const char *failure, struct doctor_finding *f)
{
	struct cluster_peer row = {.state = s};

	(void)snprintf(row.failure, sizeof row.failure, "%s", failure);
	judge_membership(&row, f);
}

static void test_membership(void **state)
{
	struct doctor_finding f;

	in_state(PEER_MEMBER, "", &f);
	judged(&f, DOCTOR_OK, "cluster", "");
	in_state(PEER_FOREIGN, "wrong key", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "wrong-key");
	in_state(PEER_FOREIGN, "other cluster", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "other-cluster");
	in_state(PEER_FOREIGN, "", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "not-opengateway");
	in_state(PEER_ASKING, "", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "asks-to-join");
	in_state(PEER_WAITING, "", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "waits-for-acceptance");
	in_state(PEER_CONNECTED, "joining", &f);
	judged(&f, DOCTOR_NOTE, "cluster", "membership-unsettled");
	in_state(PEER_CONNECTED, "rejected", &f);
	judged(&f, DOCTOR_FAULT, "cluster", "rejected");
	in_state(PEER_LOST, "reset", &f);
	assert_string_equal(f.fault, "not-connected");
}

static void test_clock(void **state)
{
	struct doctor_finding f;

	judge_clock(-400, &f);
	judged(&f, DOCTOR_OK, "clock", "");
	assert_string_equal(f.seen, "the clocks agree");
	judge_clock(SKEW_NOTE_MS - 1, &f);
	judged(&f, DOCTOR_OK, "clock", "");
	judge_clock(-SKEW_NOTE_MS, &f);
	judged(&f, DOCTOR_NOTE, "clock", "clock-skew");
	assert_string_equal(f.seen, "its clock is 30.0 s behind ours");
	judge_clock(SKEW_FAULT_MS, &f);
	judged(&f, DOCTOR_FAULT, "clock", "clock-skew");
	assert_string_equal(f.seen, "its clock is 300.0 s ahead of ours");
}

static void test_size(void **state)
{
	struct doctor_finding f;

	judge_size(0, "", &f);
	judged(&f, DOCTOR_OK, "size", "");
	judge_size(E_TIMEOUT, "timed out", &f);
	judged(&f, DOCTOR_FAULT, "size", "mtu");
}

static void test_mdns_pairs(void **state)
{
	struct doctor_finding f;
	struct mdns_facts m = {.we_listen = true, .they_listen = true, .connected_ms = 0};

	assert_false(judge_mdns_pair(&m, &f)); /* met in another way */
	m.we_heard = m.they_heard = true;
	assert_true(judge_mdns_pair(&m, &f));
	judged(&f, DOCTOR_OK, "mdns", "");
	m.they_heard = false;
	assert_false(judge_mdns_pair(&m, &f)); /* too early to tell */
	m.connected_ms = MDNS_SETTLED_MS;
	assert_true(judge_mdns_pair(&m, &f));
	judged(&f, DOCTOR_NOTE, "mdns", "one-way-mdns");
	assert_non_null(strstr(f.fix, "on the other machine"));
	m.we_heard = false;
	m.they_heard = true;
	assert_true(judge_mdns_pair(&m, &f));
	judged(&f, DOCTOR_NOTE, "mdns", "one-way-mdns");
	assert_non_null(strstr(f.fix, "on this machine"));
	m.they_listen = false;
	assert_false(judge_mdns_pair(&m, &f));
}

/* ---- this node ------------------------------------------------------------------------------- */

static void test_self(void **state)
{
	struct multiaddr addrs[2] = {
	    address("/ip4/127.0.0.1/tcp/41145"), address("/ip4/192.0.2.7/tcp/41145")};
	struct p2p_mdns_info m = {0};
	struct doctor_finding f;

	judge_listening(addrs, 0, &f);
	judged(&f, DOCTOR_FAULT, "listening", "not-listening");
	judge_listening(addrs, 1, &f);
	judged(&f, DOCTOR_NOTE, "listening", "loopback-only");
	judge_listening(addrs, 2, &f);
	judged(&f, DOCTOR_OK, "listening", "");
	judge_mdns(&m, MDNS_SETTLED_MS, &f);
	judged(&f, DOCTOR_NOTE, "mdns", "mdns-off");
	m.enabled = true;
	judge_mdns(&m, MDNS_SETTLED_MS, &f);
	judged(&f, DOCTOR_NOTE, "mdns", "multicast-missing");
	m.sockets = 1;
	judge_mdns(&m, MDNS_SETTLED_MS, &f);
	judged(&f, DOCTOR_NOTE, "mdns", "multicast-blocked");
	judge_mdns(&m, 1000, &f); /* too early to tell */
	judged(&f, DOCTOR_OK, "mdns", "");
	m.heard_itself = true;
	judge_mdns(&m, MDNS_SETTLED_MS, &f);
	judged(&f, DOCTOR_OK, "mdns", "");
}

/* ---- routers --------------------------------------------------------------------------------- */

static void test_symmetric_nat(void **state)
{
	const enum p2p_mapping one = P2P_MAPPING_ONE, by_peer = P2P_MAPPING_BY_PEER,
			       unknown = P2P_MAPPING_UNKNOWN;
	struct doctor_finding f;

	judge_relayed(by_peer, one, &f);
	judged(&f, DOCTOR_FAULT, "nat", "symmetric-nat");
	assert_non_null(strstr(f.seen, "in front of this node chooses"));
	assert_non_null(strstr(f.fix, "to this machine"));
	judge_relayed(unknown, by_peer, &f);
	judged(&f, DOCTOR_FAULT, "nat", "symmetric-nat");
	assert_non_null(strstr(f.seen, "in front of the other node chooses"));
	assert_non_null(strstr(f.fix, "to the other machine"));
	judge_relayed(by_peer, by_peer, &f);
	assert_non_null(strstr(f.seen, "routers in front of both nodes choose "));
	judge_relayed(one, one, &f);
	judged(&f, DOCTOR_NOTE, "nat", "relayed");
}

static void test_this_router(void **state)
{
	struct p2p_mapping_info r = {.kind = P2P_MAPPING_UNKNOWN};
	struct doctor_finding f;

	assert_false(judge_router(&r, false, &f));
	r.kind = P2P_MAPPING_NONE;
	assert_true(judge_router(&r, false, &f));
	judged(&f, DOCTOR_OK, "nat", "");
	r = (struct p2p_mapping_info){.kind = P2P_MAPPING_BY_PEER, .peers = 3};
	for (size_t i = 0; i < 3; i++)
		r.seen[i] = (struct netaddr){.family = NET_IP4, .ip = {5, 5, 5, 1}, .port = 7};
	r.seen[2].port = 9;
	assert_true(judge_router(&r, false, &f));
	judged(&f, DOCTOR_FAULT, "nat", "symmetric-nat");
	assert_non_null(strstr(f.seen, "one sees 5.5.5.1:7, another 5.5.5.1:9"));
	assert_true(judge_router(&r, true, &f));
	assert_int_equal(f.verdict, DOCTOR_NOTE);
	r.kind = P2P_MAPPING_ONE;
	assert_true(judge_router(&r, false, &f));
	judged(&f, DOCTOR_OK, "nat", "");
	assert_non_null(strstr(f.seen, "5.5.5.1:7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_probes_that_fail),
	    cmocka_unit_test(test_swarm_keys), cmocka_unit_test(test_probes_that_arrive),
	    cmocka_unit_test(test_membership), cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_size), cmocka_unit_test(test_mdns_pairs),
	    cmocka_unit_test(test_symmetric_nat), cmocka_unit_test(test_this_router),
	    cmocka_unit_test(test_self)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
