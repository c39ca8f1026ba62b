/* Whole examinations in a simulated universe: what the doctor finds on the way to members, and to
 * peers that answer its questions in odd ways. */
#include "member_help.h"

#include "cluster/doctor_priv.h"

#include <stdio.h>

#define FINDINGS_MAX 16

struct report {
	struct doctor_finding v[FINDINGS_MAX];
	size_t n;
};

static int take(void *arg, const struct doctor_finding *f, struct err *err)
{
	struct report *r = arg;

	assert_true(r->n < FINDINGS_MAX);
	r->v[r->n++] = *f;
	return 0;
}

static void examine(const struct member *m, const char *who, struct report *r)
{
	struct err err = {0};

	r->n = 0;
	if (cluster_doctor(m->cluster, who, take, r, &err) != 0)
		fail_msg("no examination of %s: %s", who ? who : "the node", err_text(&err));
}

static const struct doctor_finding *at_hop(const struct report *r, const char *hop)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].hop, hop) == 0)
			return &r->v[i];
	fail_msg("nothing about %s", hop);
	return NULL;
}

static void has(const struct report *r, const char *hop, enum doctor_verdict v, const char *fault)
{
	const struct doctor_finding *f = at_hop(r, hop);

	if (f->verdict != v || strcmp(f->fault, fault) != 0)
		fail_msg("%s: %s (%d): %s", hop, f->fault, (int)f->verdict, f->seen);
}

/* ---- members and strangers ------------------------------------------------------------------- */

static void a_member(struct net *n)
{
	struct member a, b;
	struct report r;
	char id[NODE_ID_TEXT_MAX];

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "club", .key = KEY_1, .through = &a});
	eventually(5, together(&a, &b));
	serve_model(&b);
	examine(&a, "beta", &r);
	assert_int_equal(r.n, 4);
	for (size_t i = 0; i < r.n; i++)
		assert_int_equal(r.v[i].verdict, DOCTOR_OK);
	has(&r, "connect", DOCTOR_OK, "");
	has(&r, "cluster", DOCTOR_OK, "");
	has(&r, "clock", DOCTOR_OK, "");
	has(&r, "size", DOCTOR_OK, "");
	/* By its other names too; and an examination leaves the membership as it is. */
	OK(node_id_print(&b.node.id.peer_id, id, NULL));
	examine(&a, id, &r);
	assert_int_equal(r.n, 4);
	assert_true(together(&a, &b));
	struct err err = {0};
	assert_int_equal(cluster_doctor(a.cluster, "gamma", take, &r, &err), E_NOT_FOUND);
	assert_int_equal(cluster_doctor(a.cluster, "/ip4/x", take, &r, &err), E_INVALID);
	down(&b);
	down(&a);
}

static void other_clusters(struct net *n)
{
	struct member a, b, c;
	struct report r;
	char address[MULTIADDR_TEXT_MAX];

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "club", .key = KEY_2});
	up(n, &c, "gamma", (struct how){0});
	multiaddr_print(&b.node.addr, address);
	examine(&a, address, &r);
	has(&r, "connect", DOCTOR_OK, "");
	has(&r, "cluster", DOCTOR_FAULT, "wrong-key");
	multiaddr_print(&c.node.addr, address);
	examine(&a, address, &r);
	has(&r, "cluster", DOCTOR_FAULT, "other-cluster");
	/* This node's own examination names both. */
	examine(&a, NULL, &r);
	has(&r, "listening", DOCTOR_OK, "");
	has(&r, "mdns", DOCTOR_NOTE, "mdns-off");
	has(&r, "nat", DOCTOR_OK, "");
	has(&r, "peers", DOCTOR_NOTE, "no-member");
	assert_int_equal(r.n, 5);
	down(&c);
	down(&b);
	down(&a);
}

static void the_way_is_cut(struct net *n)
{
	struct member a, b;
	struct report r;

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "club", .key = KEY_1, .through = &a});
	eventually(5, together(&a, &b));
	universe_partition(n->u, a.node.world, b.node.world, true);
	eventually(60, row_of(&a, &b).state == PEER_LOST);
	examine(&a, "beta", &r);
	assert_int_equal(r.n, 1);
	has(&r, "connect", DOCTOR_FAULT, "port-filtered");
	universe_partition(n->u, a.node.world, b.node.world, false);
	eventually(30, together(&a, &b));
	down(&b);
	eventually(5, row_of(&a, &b).state == PEER_LOST);
	examine(&a, "beta", &r);
	has(&r, "connect", DOCTOR_FAULT, "port-closed");
	down(&a);
}

/* Two who ask and wait. */
static void decisions(struct net *n)
{
	struct member a, b;
	struct report r;

	up(n, &a, "alpha", (struct how){0});
	up(n, &b, "beta", (struct how){.through = &a});
	eventually(5, row_of(&a, &b).state == PEER_ASKING && row_of(&b, &a).state == PEER_WAITING);
	examine(&a, "beta", &r);
	has(&r, "cluster", DOCTOR_FAULT, "asks-to-join");
	char id[PEER_ID_TEXT_MAX];
	peer_id_print(&a.node.id.peer_id, id);
	examine(&b, id, &r);
	has(&r, "cluster", DOCTOR_FAULT, "waits-for-acceptance");
	down(&b);
	down(&a);
}

/* ---- peers with odd answers ------------------------------------------------------------------ */

/* A host that is no node, but answers the doctor as it was told. */
struct odd {
	struct node node;
	int64_t ahead_ms;
	bool listens, heard, small_only, nonsense;
};

static void odd_answer(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct odd *o = arg;
	struct look look;
	int rc = look_recv(s, &look, NULL);
	struct seen seen = {.now_ms = world_wall_ms(o->node.world) + o->ahead_ms,
	    .mdns_listens = o->listens,
	    .mdns_heard = o->heard,
	    .pad = look.pad};

	while (rc == 0 && o->small_only && look.pad > 0)
		rc = fiber_sleep(duration_s(1)); /* lost on the way, for all that the asker sees */
	if (rc == 0 && o->nonsense)
		rc = stream_write(s, "\0\0\0\2{}", 6, NULL);
	else if (rc == 0)
		rc = seen_send(s, &seen, NULL);
	if (rc)
		stream_reset(s, rc);
	stream_close(s);
}

static void odd_up(struct net *n, struct odd *o, bool mdns)
{
	struct p2p_options opt;
	struct multiaddr listen;

	*o = (struct odd){0};
	node_options(n, "odd", &o->node, &opt, &listen);
	opt.mdns = mdns;
	node_start(&o->node, &opt);
	OK(p2p_handle(o->node.host, DOCTOR_PROTOCOL, odd_answer, o, NULL));
}

static void odd_answers(struct net *n)
{
	struct member a;
	struct odd o;
	struct report r;
	char address[MULTIADDR_TEXT_MAX];

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1});
	odd_up(n, &o, false);
	struct multiaddr full = node_full_addr(&o.node);
	multiaddr_print(&full, address);
	o.ahead_ms = 600000;
	examine(&a, address, &r);
	has(&r, "clock", DOCTOR_FAULT, "clock-skew");
	has(&r, "size", DOCTOR_OK, "");
	o.ahead_ms = -60000;
	o.small_only = true;
	examine(&a, address, &r);
	has(&r, "clock", DOCTOR_NOTE, "clock-skew");
	has(&r, "size", DOCTOR_FAULT, "mtu");
	o.small_only = false;
	o.nonsense = true;
	examine(&a, address, &r);
	has(&r, "questions", DOCTOR_NOTE, "no-answers");
	/* It does not speak our protocol: once that is settled, the doctor says so. */
	eventually(60, row_of(&a, &(struct member){.node = o.node}).state == PEER_FOREIGN);
	examine(&a, address, &r);
	has(&r, "cluster", DOCTOR_FAULT, "not-opengateway");
	node_close(&o.node);
	down(&a);
}

static void heard_one_way(struct net *n)
{
	struct member a;
	struct odd o;
	struct report r;
	char address[MULTIADDR_TEXT_MAX];

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1, .mdns = true});
	odd_up(n, &o, true);
	OK(p2p_protect(o.node.host, &a.node.id.peer_id, "test", NULL));
	multiaddr_print(&o.node.addr, address);
	eventually(30, row_of(&a, &(struct member){.node = o.node}).sources & SOURCE_MDNS);
	OK(p2p_protect(a.node.host, &o.node.id.peer_id, "test", NULL));
	OK(fiber_sleep(duration_ms(MDNS_SETTLED_MS + 1000)));
	o.listens = true;
	examine(&a, address, &r);
	has(&r, "mdns", DOCTOR_NOTE, "one-way-mdns");
	assert_non_null(strstr(at_hop(&r, "mdns")->fix, "other machine"));
	o.heard = true;
	examine(&a, address, &r);
	has(&r, "mdns", DOCTOR_OK, "");
	examine(&a, NULL, &r);
	has(&r, "mdns", DOCTOR_OK, "");
	node_close(&o.node);
	down(&a);
}

/* ---- being asked ----------------------------------------------------------------------------- */

static void questions_from_strangers(struct net *n)
{
	static const char *const bad[] = {"", "\0\0\0\1{", "\0\0\0\2[]", "\xff\xff\xff\xff{}"};
	static const size_t sizes[] = {0, 5, 6, 6};
	const char *protocol = DOCTOR_PROTOCOL;
	struct member a;
	struct node b;
	struct stream *s;
	struct seen seen;

	up(n, &a, "alpha", (struct how){.name = "club", .key = KEY_1});
	node_new(n, "beta", &b);
	struct multiaddr to = node_full_addr(&a.node);
	OK(p2p_dial(b.host, NULL, &to, 1, NULL, NULL));
	for (size_t i = 0; i < 4; i++) {
		OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &s, NULL, NULL));
		OK(stream_write(s, bad[i], sizes[i], NULL));
		assert_int_not_equal(seen_recv(s, &seen, NULL), 0);
		stream_close(s);
	}
	OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &s, NULL, NULL));
	OK(look_send(s, &(struct look){.pad = LOOK_PAD_MAX}, NULL));
	OK(seen_recv(s, &seen, NULL));
	assert_int_equal(seen.pad, LOOK_PAD_MAX);
	assert_false(seen.mdns_listens);
	stream_close(s);
	OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &s, NULL, NULL));
	OK(look_send(s, &(struct look){.pad = LOOK_PAD_MAX + 1}, NULL));
	assert_int_not_equal(seen_recv(s, &seen, NULL), 0);
	stream_close(s);
	assert_true(p2p_connected(b.host, &a.node.id.peer_id));
	node_close(&b);
	down(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(a_member), STORY(other_clusters),
	    STORY(the_way_is_cut), STORY(decisions), STORY(odd_answers), STORY(heard_one_way),
	    STORY(questions_from_strangers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
