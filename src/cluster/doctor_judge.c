/* What the doctor makes of its facts: which hop failed, what that is called, and the one fix. */
#include "cluster/doctor_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void well(struct doctor_finding *f, const char *hop)
{
	*f = (struct doctor_finding){.verdict = DOCTOR_OK, .hop = hop, .fault = ""};
}

static void fault(struct doctor_finding *f, const char *hop, const char *name, const char *fix)
{
	*f = (struct doctor_finding){.verdict = DOCTOR_FAULT, .hop = hop, .fault = name};
	(void)snprintf(f->fix, sizeof f->fix, "%s", fix);
}

static void note(struct doctor_finding *f, const char *hop, const char *name, const char *fix)
{
	fault(f, hop, name, fix);
	f->verdict = DOCTOR_NOTE;
}

static void seen(struct doctor_finding *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void seen(struct doctor_finding *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(f->seen, sizeof f->seen, fmt, ap);
	va_end(ap);
}

/* ---- the way to an address ------------------------------------------------------------------- */

static void judge_name(const struct p2p_probe *p, struct doctor_finding *f)
{
	if (p->code == E_NOT_FOUND)
		fault(f, "name", "name-unknown",
		    "correct the name, or use the machine's IP address instead of it");
	else if (p->code == E_TIMEOUT || p->code == E_UNREACHABLE)
		fault(f, "name", "resolver-silent",
		    "repair name resolution on this machine (/etc/resolv.conf), or use the IP "
		    "address");
	else
		fault(f, "name", "address-unusable",
		    "use an address of the form /ip4/192.0.2.1/tcp/41145/p2p/12D3KooW…");
}

static void judge_connect(const struct p2p_probe *p, struct doctor_finding *f)
{
	if (p->code == E_REFUSED)
		fault(f, "connect", "port-closed",
		    "start the node there, or use the port that \"gate status\" shows there");
	else if (p->code == E_TIMEOUT)
		fault(f, "connect", "port-filtered",
		    "open this TCP port in the firewall or router in front of that machine, or use "
		    "a relay");
	else if (p->code == E_UNREACHABLE)
		fault(f, "connect", "no-route",
		    "bring both machines onto one network (cable, Wi-Fi, VPN): there is no route "
		    "to "
		    "this address");
	else
		fault(f, "connect", "no-connection",
		    "look at the reason: the connection failed on this machine");
}

static bool begins(const struct p2p_probe *p, const char *text)
{
	size_t n = strlen(text);
	return p->n_said >= n && memcmp(p->said, text, n) == 0;
}

#define SWARM_NONCE 24 /* SPEC pnet: what a node with a swarm key says first, and at once */

/* Nothing but bytes by chance, as many as a nonce has. */
static bool said_a_nonce(const struct p2p_probe *p)
{
	unsigned odd = 0;
	for (size_t i = 0; i < p->n_said; i++)
		odd += (p->said[i] < 0x20 && !strchr("\r\n\t", p->said[i])) || p->said[i] > 0x7e;
	return p->n_said == SWARM_NONCE && odd >= 4;
}

/* Who has a key and who has not, as far as it shows. */
static bool judge_swarm_key(const struct p2p_probe *p, struct doctor_finding *f)
{
	const char *fix;
	if (!p->swarm_key && said_a_nonce(p))
		fix =
		    "start this node with the swarm key file of that one (--swarm-key): it is in a "
		    "private network, this one is not";
	else if (!p->swarm_key)
		return false;
	else if (p->n_said == 0 || begins(p, "\x13/multistream"))
		fix = "start that node with this one's swarm key file (--swarm-key), or this one "
		      "without: it shows no sign of a key";
	else if (p->n_said >= SWARM_NONCE)
		fix = "give both nodes the same swarm key file (--swarm-key; compare them with "
		      "sha256sum): theirs is another";
	else
		return false;
	fault(f, "secure", "swarm-key", fix);
	return true;
}

static void judge_secure(const struct p2p_probe *p, struct doctor_finding *f)
{
	if (!begins(p, "HTTP/") && judge_swarm_key(p, f))
		return;
	if (begins(p, "HTTP/"))
		fault(f, "secure", "proxy",
		    "bypass the proxy for this address, or use the P2P port (41145), not an HTTP "
		    "one");
	else if (p->code == E_UNSUPPORTED)
		fault(f, "secure", "protocol-mismatch",
		    "update both nodes to the same version: they share no way to secure a "
		    "connection");
	else if (p->n_said > 0 && p->code == E_PROTOCOL)
		fault(
		    f, "secure", "not-libp2p", "use the P2P port that \"gate status\" shows there");
	else if (p->code == E_TIMEOUT)
		fault(f, "secure", "silent",
		    "look for a proxy, VPN or firewall on the way that accepts connections and "
		    "passes nothing on");
	else if (p->n_said == 0)
		fault(f, "secure", "hung-up",
		    "look at that node's log: it is full, has banned this node, or something on "
		    "the "
		    "way cuts the connection");
	else
		fault(f, "secure", "handshake-failed", "look at the log of the node there");
}

static void judge_met(const struct p2p_probe *p, const struct peer_id *self,
    const struct peer_id *expected, const char *where, struct doctor_finding *f)
{
	char met[PEER_ID_TEXT_MAX];
	peer_id_print(&p->met, met);
	if (peer_id_equal(&p->met, self)) {
		fault(f, "identity", "itself", "use the other machine's address: this one is ours");
		seen(f, "%s: this very node answers", where);
	} else if (expected->n > 0 && !peer_id_equal(&p->met, expected)) {
		fault(f, "identity", "wrong-peer",
		    "correct the /p2p part, or remove it: another node, or one with a new key, "
		    "lives "
		    "there now");
		seen(f, "%s: peer %s answers", where, met);
	} else {
		well(f, "connect");
		seen(f, "%s: peer %s answers after %.1f ms", where, met, (double)p->took.ns / 1e6);
	}
}

void judge_probe(const struct p2p_probe *p, const struct multiaddr *addr,
    const struct peer_id *self, const struct peer_id *expected, struct doctor_finding *f)
{
	char where[MULTIADDR_TEXT_MAX + NETADDR_TEXT_MAX];
	struct multiaddr bare = *addr;
	multiaddr_strip_peer(&bare);
	multiaddr_print(&bare, where);
	if (p->hop != P2P_HOP_NAME && multiaddr_reach(&bare) == MA_REACH_NAME) {
		size_t n = strlen(where);
		char at[NETADDR_TEXT_MAX];
		netaddr_print(&p->at, at);
		(void)snprintf(where + n, sizeof where - n, " (%s)", at);
	}
	switch (p->hop) {
	case P2P_HOP_NONE:
		judge_met(p, self, expected, where, f);
		return;
	case P2P_HOP_NAME:
		judge_name(p, f);
		break;
	case P2P_HOP_CONNECT:
		judge_connect(p, f);
		break;
	case P2P_HOP_SECURE:
		judge_secure(p, f);
		break;
	}
	seen(f, "%s: %s", where, p->why);
}

/* ---- the connected peer ---------------------------------------------------------------------- */

static void judge_foreign(const struct cluster_peer *row, struct doctor_finding *f)
{
	if (strcmp(row->failure, "wrong key") == 0)
		fault(f, "cluster", "wrong-key",
		    "give both nodes the same cluster key: ask for an invitation (gate invite) and "
		    "join with it");
	else if (strcmp(row->failure, "other cluster") == 0)
		fault(f, "cluster", "other-cluster",
		    "let one of the nodes join the other's cluster: gate invite there, gate join "
		    "here");
	else
		fault(f, "cluster", "not-opengateway",
		    "start gate there, or update it: that peer does not speak our membership "
		    "protocol");
	seen(f, "connected, but no member: %s",
	    row->failure[0] ? row->failure : "it is of another cluster");
}

void judge_membership(const struct cluster_peer *row, struct doctor_finding *f)
{
	switch (row->state) {
	case PEER_MEMBER:
		well(f, "cluster");
		seen(f, "a member of this cluster, %zu model%s", row->n_models,
		    row->n_models == 1 ? "" : "s");
		break;
	case PEER_ASKING:
		fault(f, "cluster", "asks-to-join", "let it in: gate peers accept");
		seen(f, "it asks to join this cluster and waits for an answer");
		break;
	case PEER_WAITING:
		fault(f, "cluster", "waits-for-acceptance",
		    "its owner has to let this node in: gate peers accept, there");
		seen(f, "this node asked to join its cluster and waits for an answer");
		break;
	case PEER_FOREIGN:
		judge_foreign(row, f);
		break;
	case PEER_CONNECTED:
		if (strcmp(row->failure, "rejected") == 0) {
			fault(f, "cluster", "rejected",
			    "its owner has to change that: gate peers accept, there");
			seen(f, "its owner has rejected this node's request to join");
			break;
		}
		note(f, "cluster", "membership-unsettled", "try again in some seconds");
		seen(f, "connected; membership is not settled%s%s", row->failure[0] ? ": " : "",
		    row->failure);
		break;
	case PEER_KNOWN:
	case PEER_CONNECTING:
	case PEER_ANNOUNCED:
	case PEER_LOST:
		fault(f, "cluster", "not-connected", "");
		seen(f, "not connected%s%s", row->failure[0] ? ": " : "", row->failure);
		break;
	}
}

void judge_clock(int64_t ahead_ms, struct doctor_finding *f)
{
	int64_t off = ahead_ms < 0 ? -ahead_ms : ahead_ms;
	const char *fix =
	    "set the clocks by network time (timedatectl set-ntp true) on both machines";
	if (off >= SKEW_FAULT_MS)
		fault(f, "clock", "clock-skew", fix);
	else if (off >= SKEW_NOTE_MS)
		note(f, "clock", "clock-skew", fix);
	else
		well(f, "clock");
	if (off < 1000)
		seen(f, "the clocks agree");
	else
		seen(f, "its clock is %" PRId64 ".%" PRId64 " s %s ours", off / 1000,
		    off % 1000 / 100, ahead_ms > 0 ? "ahead of" : "behind");
}

void judge_size(int code, const char *why, struct doctor_finding *f)
{
	if (code == 0) {
		well(f, "size");
		seen(f, "large messages pass");
		return;
	}
	fault(f, "size", "mtu",
	    "lower the MTU of the VPN or tunnel between the machines (for example to 1280), or let "
	    "ICMP through");
	seen(f, "small messages pass, %u KiB do not: %s", DOCTOR_PAD >> 10, why);
}

bool judge_mdns_pair(const struct mdns_facts *m, struct doctor_finding *f)
{
	if (!m->we_listen || !m->they_listen || (!m->we_heard && !m->they_heard) ||
	    (m->we_heard != m->they_heard && m->connected_ms < MDNS_SETTLED_MS))
		return false;
	if (m->we_heard && m->they_heard) {
		well(f, "mdns");
		seen(f, "the nodes hear each other on the local network");
	} else if (m->we_heard) {
		note(
		    f, "mdns", "one-way-mdns", "allow incoming UDP port 5353 on the other machine");
		seen(f, "this node hears the other on the local network, but not the other way "
			"round");
	} else {
		note(f, "mdns", "one-way-mdns", "allow incoming UDP port 5353 on this machine");
		seen(f, "the other node hears this one on the local network, but not the other way "
			"round");
	}
	return true;
}

/* ---- routers --------------------------------------------------------------------------------- */

#define FORWARD_FIX(machine)                                                                       \
	"forward the P2P port to " machine                                                         \
	" in its router, or start its node with --map-port; until then a relay has to do"

void judge_relayed(enum p2p_mapping ours, enum p2p_mapping theirs, struct doctor_finding *f)
{
	bool us = ours == P2P_MAPPING_BY_PEER, them = theirs == P2P_MAPPING_BY_PEER;
	if (us || them) {
		fault(f, "nat", "symmetric-nat",
		    us ? FORWARD_FIX("this machine") : FORWARD_FIX("the other machine"));
		seen(f,
		    "relayed: the router%s in front of %s choose%s another port for each peer "
		    "(symmetric NAT), so no hole can be made",
		    us && them ? "s" : "",
		    us && them ? "both nodes"
		    : us       ? "this node"
			       : "the other node",
		    us && them ? "" : "s");
	} else {
		note(
		    f, "nat", "relayed", "open or forward the P2P port of one of the two machines");
		seen(
		    f, "relayed: no direct way has been found so far; it is tried again and again");
	}
}

static void seen_ports(const struct p2p_mapping_info *r, struct doctor_finding *f)
{
	char a[NETADDR_TEXT_MAX], b[NETADDR_TEXT_MAX];
	size_t other = 1; /* one that differs from the first */
	while (other + 1 < r->peers && other + 1 < P2P_MAPPING_SEEN_MAX &&
	       netaddr_equal(&r->seen[0], &r->seen[other]))
		other++;
	netaddr_print(&r->seen[0], a);
	netaddr_print(&r->seen[other], b);
	seen(f,
	    "the router in front of this node chooses another port for each peer (symmetric NAT): "
	    "one sees %s, another %s",
	    a, b);
}

bool judge_router(const struct p2p_mapping_info *r, bool dialable, struct doctor_finding *f)
{
	char at[NETADDR_TEXT_MAX];
	switch (r->kind) {
	case P2P_MAPPING_UNKNOWN:
		return false;
	case P2P_MAPPING_NONE:
		well(f, "nat");
		seen(f, "no router between this node and its peers translates addresses");
		return true;
	case P2P_MAPPING_ONE:
		well(f, "nat");
		netaddr_print(&r->seen[0], at);
		seen(f, "the router in front of this node shows it to all peers as %s", at);
		return true;
	case P2P_MAPPING_BY_PEER:
		if (dialable)
			note(f, "nat", "symmetric-nat", "");
		else
			fault(f, "nat", "symmetric-nat", FORWARD_FIX("this machine"));
		seen_ports(r, f);
		return true;
	}
	BUG("mapping %d", (int)r->kind);
}

/* ---- this node ------------------------------------------------------------------------------- */

void judge_listening(const struct multiaddr *addrs, size_t n, struct doctor_finding *f)
{
	char text[MULTIADDR_TEXT_MAX];
	size_t beyond = 0;
	for (size_t i = 0; i < n; i++)
		beyond += multiaddr_reach(&addrs[i]) != MA_REACH_LOOPBACK;
	if (n == 0) {
		fault(f, "listening", "not-listening",
		    "start the node without --port, or with a port that is free");
		seen(f, "this node listens nowhere: it can reach others, nobody can reach it");
	} else if (beyond == 0) {
		note(f, "listening", "loopback-only",
		    "connect this machine to a network: only its own programs can reach the node");
		multiaddr_print(&addrs[0], text);
		seen(f, "this node has loopback addresses alone (%s)", text);
	} else {
		well(f, "listening");
		multiaddr_print(&addrs[0], text);
		seen(f, "this node listens on %s%s", text, n > 1 ? " and more" : "");
	}
}

void judge_mdns(const struct p2p_mdns_info *m, int64_t up_ms, struct doctor_finding *f)
{
	if (!m->enabled) {
		note(f, "mdns", "mdns-off",
		    "switch mdns on in the settings to find nodes on the local network");
		seen(f, "discovery on the local network is switched off");
	} else if (m->sockets == 0) {
		note(f, "mdns", "multicast-missing",
		    "name the other nodes with --bootstrap: VPNs and WSL often carry no multicast");
		seen(f, "no network interface of this machine carries multicast");
	} else if (!m->heard_itself && up_ms >= MDNS_SETTLED_MS) {
		note(f, "mdns", "multicast-blocked",
		    "allow UDP port 5353 on this machine, or name the other nodes with "
		    "--bootstrap");
		seen(f, "this node does not even hear its own discovery packets");
	} else {
		well(f, "mdns");
		seen(f, "discovery listens on %u socket%s and heard %u packets of others",
		    m->sockets, m->sockets == 1 ? "" : "s", m->heard);
	}
}
