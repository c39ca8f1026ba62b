/* The spine, told on the real node: A serves a model, B joins through A, C joins through A or B and
 * asks; D next to them belongs to another cluster. The network delays and loses; A crashes with or
 * without a goodbye, then others, its engine is killed or hangs, its links are cut, and all of that
 * heals again.
 *
 * What must hold, whatever happens:
 * - a request ends in time, with the complete right answer or a proper error;
 * - once nothing has happened for ten seconds, requests succeed;
 * - who is lost is off the lists within ten seconds, who is back is on them within ten;
 * - D is never on their lists, nor they on D's;
 * - nobody takes what another calls its own machine for his own;
 * - an engine that was killed serves again;
 * - in the end all nodes close, and nothing is left running.
 *
 * The hidden twin has an engine that loses a token now and then: some request must notice. */
#include "sim/client.h"
#include "sim/gate_host.h"
#include "sim/sums.h"

#include <stdio.h>

#define SETTLE_S      10 /* what the lists have to be right after any event */
#define ASK_LIMIT_S   28 /* above the nodes' own limit and their goodbye */
#define LOOK_EVERY_MS 500
#define BLOWS_MAX     3
#define CALM_S        16 /* at the end, before the nodes are stopped */

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHERS "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

enum {
	A,
	B,
	C,
	D,
	N_HOSTS
};

enum joining {
	JOIN_NAMED,    /* all know the cluster's name and key */
	JOIN_ACCEPTED, /* A and B accept whoever asks, by configuration */
	JOIN_ASKED,    /* an operator accepts at A and B */
	N_JOININGS
};

/* What D is: in each case no member of theirs. */
enum stranger {
	STRANGER_OWN,       /* alone in a cluster of its own, and glad of company */
	STRANGER_OPEN,      /* in another, open cluster; dials A */
	STRANGER_WRONG_KEY, /* claims to be in theirs, with another key; dials A */
	STRANGER_REJECTED,  /* asks to join; the operator says no */
	N_STRANGERS
};

/* Whether two nodes can do with each other, and since when that is so or not so. */
struct pair {
	bool usable; /* directly */
	bool detour; /* another member could relay */
	struct duration since;
};

struct story {
	struct scenario_run *run;
	struct sums sums;
	enum joining joining;
	enum stranger stranger;
	struct gate_host host[N_HOSTS];
	char node_id[N_HOSTS][65]; /* of those who serve; "" until known */
	struct pair pair[N_HOSTS][N_HOSTS];
	bool cut[N_HOSTS][N_HOSTS];
	bool seen[N_HOSTS][N_HOSTS];  /* on the lists, at the last look */
	bool met;                     /* B and C, since they booted */
	bool engine_hurt;             /* A's */
	struct duration engine_since; /* it was hurt, or came up */
	struct duration quiet_since;  /* the last event */
	bool over;
	unsigned answered, failed, hung_up;
};

static struct universe *universe_of(const struct story *st)
{
	return scenario_universe(st->run);
}

static struct duration now(const struct story *st)
{
	return universe_elapsed(universe_of(st));
}

static uint64_t below(struct story *st, uint64_t n)
{
	return universe_random_below(universe_of(st), n);
}

static bool settled(struct duration since, struct duration at)
{
	return at.ns - since.ns > duration_s(SETTLE_S).ns;
}

static const char *label(const struct story *st, int i)
{
	return st->host[i].config.node_id;
}

/* ---- what the world is like ---------------------------------------------------------------- */

static bool serves(const struct story *st, int i)
{
	return strcmp(st->host[i].config.model, "none") != 0;
}

static bool linked(const struct story *st, int i, int j)
{
	return gate_host_serves(&st->host[i]) && gate_host_serves(&st->host[j]) && !st->cut[i][j];
}

/* B and C may need A to let them in, and to hear of each other. */
static bool usable(const struct story *st, int i, int j)
{
	bool by_themselves = i == A || j == A || st->met;

	return i != D && j != D && linked(st, i, j) &&
	       (by_themselves || (linked(st, i, A) && linked(st, j, A)));
}

/* Whether a third member reaches both: it may relay, so that they go on seeing each other. */
static bool detour(const struct story *st, int i, int j)
{
	for (int k = 0; k < N_HOSTS; k++)
		if (k != i && k != j && k != D && linked(st, i, k) && linked(st, k, j))
			return true;
	return false;
}

static void refresh(struct story *st)
{
	for (int i = 0; i < N_HOSTS; i++)
		for (int j = 0; j < N_HOSTS; j++) {
			struct pair *p = &st->pair[i][j];

			bool direct = usable(st, i, j), round = detour(st, i, j);

			/* Whose relay has died, or come, may be between two connections. */
			if (i != j && (p->usable != direct || p->detour != round))
				*p = (struct pair){direct, round, now(st)};
		}
}

static void happened(struct story *st, const char *what, int who)
{
	universe_record(universe_of(st), "%s %s", what, label(st, who));
	st->quiet_since = now(st);
	refresh(st);
}

static void came_up(struct gate_host *h)
{
	struct story *st = h->arg;
	int who = (int)(h - st->host);

	if (who == A) {
		st->engine_hurt = false;
		st->engine_since = now(st);
	}
	happened(st, "up:", who);
}

/* Whether node i can have an answer, from `target` or (negative) anyone. */
static bool can_answer(const struct story *st, int i, int target)
{
	for (int j = 0; j < N_HOSTS; j++) {
		bool within_reach = i == j ? gate_host_serves(&st->host[i]) : st->pair[i][j].usable;

		if (serves(st, j) && within_reach && (target < 0 || target == j) &&
		    !(j == A && st->engine_hurt))
			return true;
	}
	return false;
}

/* ---- the watch: lists against the world ---------------------------------------------------- */

struct view {
	bool member[N_HOSTS], model[N_HOSTS];
};

static int host_named(const struct story *st, const char *name)
{
	for (int i = 0; i < N_HOSTS; i++)
		if (strcmp(label(st, i), name) == 0)
			return i;
	return -1;
}

static void view_members(struct story *st, int i, const json_t *list, struct view *v)
{
	size_t k;
	json_t *row;

	json_array_foreach(list, k, row)
	{
		const char *name = json_get_string(row, "label", "");
		const char *failure = json_get_string(row, "last_failure", "");
		int j = host_named(st, name);

		SCENARIO_CHECK(st->run, !strstr(failure, "127.0.0.1"),
		    "%s looked for %s on its own machine: %s", label(st, i), name, failure);
		if (strcmp(json_get_string(row, "state", ""), "member") != 0)
			continue;
		SCENARIO_CHECK(
		    st->run, j >= 0 && j != i, "%s lists a member \"%s\"", label(st, i), name);
		if (j >= 0)
			v->member[j] = true;
	}
}

static void view_models(struct story *st, int i, const json_t *list, struct view *v)
{
	size_t k;
	json_t *row;

	json_array_foreach(list, k, row)
	{
		const json_t *node = json_object_get(row, "node");
		int j = host_named(st, json_get_string(node, "label", ""));

		if (j < 0) {
			SCENARIO_CHECK(st->run, false, "%s lists a model of nobody", label(st, i));
			continue;
		}
		SCENARIO_CHECK(st->run, strcmp(json_get_string(row, "id", ""), SUMS_MODEL) == 0,
		    "%s lists a model that there is not", label(st, i));
		if (i == j)
			snprintf(st->node_id[i], sizeof(st->node_id[i]), "%s",
			    json_get_string(node, "node_id", ""));
		v->model[j] = json_get_bool(row, "ready", false);
	}
}

static int look(struct story *st, int i, struct view *v, struct err *err)
{
	const struct gate_host *h = &st->host[i];
	json_t *peers = NULL, *models = NULL;
	struct scope sc;
	int rc;

	scope_open(&sc, duration_s(SETTLE_S));
	rc = client_call(
	    h->world, h->config.data_dir, "peers.list", json_pack("{s:b}", "all", 1), &peers, err);
	if (rc == 0)
		rc = client_call(h->world, h->config.data_dir, "models.list", NULL, &models, err);
	scope_close(&sc);
	if (rc == 0) {
		view_members(st, i, peers, v);
		view_models(st, i, models, v);
	}
	json_decref(peers);
	json_decref(models);
	return rc;
}

static void note_change(struct story *st, int i, int j, bool member)
{
	if (st->seen[i][j] == member)
		return;
	st->seen[i][j] = member;
	if (i != A && j != A)
		st->met |= member;
	universe_record(
	    universe_of(st), "%s %s %s", label(st, i), member ? "has" : "lost", label(st, j));
	refresh(st);
}

/* What node i has to say about node j; `since` is how long that has been due. */
static void judge_view(struct story *st, int i, int j, const struct view *v, struct duration at)
{
	const struct pair *p = &st->pair[i][j];
	const char *viewer = label(st, i), *viewed = label(st, j);

	if (i == D || j == D) {
		SCENARIO_CHECK(st->run, !v->member[j] && !v->model[j],
		    "%s lists %s, of another cluster", viewer, viewed);
	} else if (settled(p->since, at) && p->usable) {
		bool engine = j != A || (!st->engine_hurt && settled(st->engine_since, at));

		SCENARIO_CHECK(st->run, v->member[j], "%s has no member %s for %.3f s", viewer,
		    viewed, (double)(at.ns - p->since.ns) / 1e9);
		SCENARIO_CHECK(st->run, v->model[j] || !serves(st, j) || !engine,
		    "%s does not list the model of %s", viewer, viewed);
	} else if (settled(p->since, at) && !p->usable && !p->detour) {
		SCENARIO_CHECK(st->run, linked(st, i, j) || (!v->member[j] && !v->model[j]),
		    "%s still lists %s after %.3f s", viewer, viewed,
		    (double)(at.ns - p->since.ns) / 1e9);
	}
}

static void watch_one(struct story *st, int i)
{
	struct gate_host *h = &st->host[i];
	struct duration at = now(st), quiet = st->quiet_since;
	unsigned life = h->life;
	struct view v = {0};
	struct err err = {0};
	int rc = look(st, i, &v, &err);

	if (h->life != life || !gate_host_serves(h))
		return;
	SCENARIO_CHECK(st->run, rc == 0, "control of %s: %s", label(st, i), err_text(&err));
	for (int j = 0; j < N_HOSTS; j++) {
		if (j == i)
			continue;
		note_change(st, i, j, v.member[j]);
		if (quiet.ns == st->quiet_since.ns)
			judge_view(st, i, j, &v, at);
	}
}

static void watch(void *arg)
{
	struct story *st = arg;
	int rc = 0;

	while (rc == 0 && !st->over) {
		for (int i = 0; i < N_HOSTS; i++)
			if (gate_host_serves(&st->host[i]))
				watch_one(st, i);
		rc = fiber_sleep(duration_ms(LOOK_EVERY_MS));
	}
}

/* ---- the operator: decides about requests to join ------------------------------------------ */

static void decide(struct story *st, int i, const json_t *peers)
{
	const struct gate_host *h = &st->host[i];
	size_t k;
	json_t *row;

	json_array_foreach(peers, k, row)
	{
		const char *who = json_get_string(row, "label", "");
		bool stranger = host_named(st, who) == D;
		json_t *done = NULL;

		if (strcmp(json_get_string(row, "state", ""), "asks to join") != 0)
			continue;
		if (client_call(h->world, h->config.data_dir,
			stranger ? "peers.reject" : "peers.accept",
			json_pack("{s:s}", "peer", json_get_string(row, "node_id", "")), &done,
			NULL) == 0)
			universe_record(universe_of(st), "%s %s %s", label(st, i),
			    stranger ? "rejects" : "accepts", who);
		json_decref(done);
	}
}

static void operate(void *arg)
{
	struct story *st = arg;
	int rc = 0;

	while (rc == 0 && !st->over) {
		for (int i = A; i <= B; i++) {
			const struct gate_host *h = &st->host[i];
			json_t *peers = NULL;

			if (gate_host_serves(h) && client_call(h->world, h->config.data_dir,
						       "peers.list", NULL, &peers, NULL) == 0)
				decide(st, i, peers);
			json_decref(peers);
		}
		rc = fiber_sleep(duration_ms(LOOK_EVERY_MS));
	}
}

/* ---- the users ----------------------------------------------------------------------------- */

struct user {
	struct story *story;
	int at; /* which node's */
};

struct wish {
	struct ask ask;
	char prompt[64];
	int target; /* a host, or negative: anyone */
};

static void make_wish(struct story *st, int at, struct wish *w)
{
	const struct gate_host *h = &st->host[at];

	*w = (struct wish){.target = -1};
	w->ask = (struct ask){.way = (enum ask_way)below(st, 3),
	    .prompt = w->prompt,
	    .model = below(st, 2) ? SUMS_MODEL : "",
	    .data_dir = h->config.data_dir,
	    .http_port = GATE_HOST_HTTP_PORT,
	    .limit = duration_s(ASK_LIMIT_S)};
	if (below(st, 3) > 0)
		snprintf(w->prompt, sizeof(w->prompt), "What is %u+%u?", (unsigned)below(st, 100),
		    (unsigned)below(st, 100));
	else
		snprintf(w->prompt, sizeof(w->prompt), "Count to %u.", 1 + (unsigned)below(st, 40));
	if (below(st, 5) == 0)
		w->ask.max_tokens = 1 + (int64_t)below(st, 12);
	if (w->ask.way == ASK_STREAM && below(st, 6) == 0)
		w->ask.hang_up_after = 1 + (unsigned)below(st, 5);
	if (below(st, 4) == 0)
		w->target = below(st, 8) == 0 ? D : A;
	w->ask.target = w->target < 0 ? NULL : label(st, w->target);
}

static void judge_answer(struct story *st, int at, const struct wish *w, const struct reply *r)
{
	char answer[SUMS_ANSWER_MAX];
	int64_t all, want;

	sums_answer(w->prompt, answer);
	all = sums_count_tokens(answer);
	want = w->ask.max_tokens > 0 && w->ask.max_tokens < all ? w->ask.max_tokens : all;
	SCENARIO_CHECK(st->run,
	    bytes_equal(buf_view(&r->text), bytes_of(answer, sums_prefix(answer, want))),
	    "\"%s\" at %s was answered \"%.200s\"", w->prompt, label(st, at), buf_cstr(&r->text));
	SCENARIO_CHECK(st->run, r->finish == (want < all ? FINISH_LENGTH : FINISH_STOP),
	    "%lld of %lld tokens have the wrong reason to end", (long long)want, (long long)all);
	SCENARIO_CHECK(st->run,
	    r->usage.completion_tok == want && r->usage.prompt_tok == sums_count_tokens(w->prompt),
	    "usage says %lld and %lld tokens for \"%s\"", (long long)r->usage.prompt_tok,
	    (long long)r->usage.completion_tok, w->prompt);
	for (int j = 0; j < N_HOSTS; j++)
		SCENARIO_CHECK(st->run,
		    strcmp(r->owner, st->node_id[j]) != 0 || !r->owner[0] ||
			(at == D ? j == D : j != D && (w->target < 0 || w->target == j)),
		    "%s was answered by %s", label(st, at), label(st, j));
	st->answered++;
}

/* What may be said to a request that is in order: that who is asked for is not there, or that
 * someone or something failed. Never that the request is wrong, nor that we are. */
static bool excusable(int code)
{
	enum err_blame blame = err_info(code)->blame;

	return code == E_MODEL_NOT_FOUND || code == E_NOT_FOUND || blame == ERR_PEER ||
	       blame == ERR_LOCAL;
}

static void judge_reply(
    struct story *st, int at, const struct wish *w, const struct reply *r, bool due)
{
	static const char *const ends[] = {"answered", "failed", "hung up", "away", "broken"};

	universe_record(universe_of(st), "%s: \"%s\" %s %zu %s", label(st, at), w->prompt,
	    ends[r->end], r->text.n, r->why);
	st->failed += r->end == REPLY_FAILED;
	st->hung_up += r->end == REPLY_HUNG_UP;
	SCENARIO_CHECK(st->run, !due || r->end == REPLY_ANSWERED || r->end == REPLY_HUNG_UP,
	    "\"%s\" at %s should be answered: %s", w->prompt, label(st, at), r->why);
	SCENARIO_CHECK(st->run, r->end != REPLY_BROKEN && r->end != REPLY_AWAY,
	    "\"%s\" at %s ended badly: %s", w->prompt, label(st, at), r->why);
	SCENARIO_CHECK(st->run, r->end != REPLY_FAILED || excusable(r->code),
	    "\"%s\" at %s was turned away: %s", w->prompt, label(st, at), r->why);
	if (r->end == REPLY_ANSWERED)
		judge_answer(st, at, w, r);
}

static void ask_once(struct story *st, int at)
{
	struct gate_host *h = &st->host[at];
	struct duration began = now(st), quiet = st->quiet_since;
	unsigned life = h->life;
	struct wish w;
	struct reply r;
	bool gone;

	make_wish(st, at, &w);
	client_ask(h->world, &w.ask, &r);
	gone = h->life != life || (r.end == REPLY_AWAY && !gate_host_serves(h));
	if (!gone)
		judge_reply(st, at, &w, &r,
		    settled(quiet, began) && quiet.ns == st->quiet_since.ns &&
			can_answer(st, at, w.target));
	buf_free(&r.text);
}

static void use(void *arg)
{
	struct user *u = arg;
	struct story *st = u->story;
	int rc = 0;

	while (rc == 0 && !(st->over && !gate_host_serves(&st->host[u->at]))) {
		if (gate_host_serves(&st->host[u->at]))
			ask_once(st, u->at);
		rc = fiber_sleep(scenario_draw(st->run, duration_ms(50), duration_ms(2500)));
	}
}

/* ---- what befalls them --------------------------------------------------------------------- */

static int wait_up(struct story *st, int i)
{
	int rc = 0;

	while (rc == 0 && !gate_host_serves(&st->host[i]))
		rc = fiber_sleep(duration_ms(10));
	return rc;
}

static struct duration draw_pause(struct story *st)
{
	return below(st, 2) ? scenario_draw(st->run, duration_s(2), duration_s(5))
			    : scenario_draw(st->run, duration_s(11), duration_s(20));
}

static int crash(struct story *st, int who)
{
	int rc;

	gate_host_crash(&st->host[who], below(st, 2) == 0);
	st->met &= who != B && who != C;
	memset(st->seen[who], 0, sizeof(st->seen[who]));
	happened(st, "crash:", who);
	rc = fiber_sleep(draw_pause(st));
	if (rc == 0)
		gate_host_boot(&st->host[who]);
	return rc == 0 ? wait_up(st, who) : rc;
}

static int hurt_engine(struct story *st, bool kill)
{
	struct world *w = st->host[A].world;
	int rc = 0;

	st->engine_hurt = true;
	happened(st, kill ? "kill the engine of" : "stall the engine of", A);
	if (kill)
		universe_kill_role(universe_of(st), w, "engine");
	else
		universe_stall_role(universe_of(st), w, "engine", true);
	if (!kill)
		rc = fiber_sleep(scenario_draw(st->run, duration_s(1), duration_s(5)));
	if (rc == 0 && !kill)
		universe_stall_role(universe_of(st), w, "engine", false);
	st->engine_hurt = false;
	st->engine_since = now(st);
	happened(st, "hurt no more:", A);
	return rc;
}

static int cut(struct story *st, int other)
{
	struct universe *u = universe_of(st);
	int rc;

	universe_partition(u, st->host[A].world, st->host[other].world, true);
	st->cut[A][other] = st->cut[other][A] = true;
	happened(st, "cut from A:", other);
	rc = fiber_sleep(draw_pause(st));
	universe_partition(u, st->host[A].world, st->host[other].world, false);
	st->cut[A][other] = st->cut[other][A] = false;
	happened(st, "back at A:", other);
	return rc;
}

static int blow(struct story *st, bool first)
{
	switch (first ? 0 : below(st, 6)) {
	case 0:
		return crash(st, A);
	case 1:
		return crash(st, (int)below(st, N_HOSTS));
	case 2:
		return hurt_engine(st, true);
	case 3:
		return hurt_engine(st, false);
	case 4:
		return cut(st, C);
	default:
		return cut(st, B);
	}
}

/* In any order: a bootstrap peer may come later than who needs it. */
static void draw_order(struct story *st, int order[N_HOSTS])
{
	for (int i = 0; i < N_HOSTS; i++) {
		int j = (int)below(st, (uint64_t)i + 1);

		order[i] = order[j];
		order[j] = i;
	}
}

static int begin(struct story *st)
{
	int order[N_HOSTS] = {0}, rc = 0;

	draw_order(st, order);
	for (int i = 0; rc == 0 && i < N_HOSTS; i++) {
		gate_host_boot(&st->host[order[i]]);
		rc = fiber_sleep(scenario_draw(st->run, duration_ms(0), duration_ms(1500)));
	}
	for (int i = A; rc == 0 && i < N_HOSTS; i++)
		rc = wait_up(st, i);
	return rc;
}

static int finish(struct story *st)
{
	int order[N_HOSTS] = {0}, rc = fiber_sleep(duration_s(CALM_S));

	draw_order(st, order);
	st->over = true;
	for (int i = 0; rc == 0 && i < N_HOSTS; i++) {
		gate_host_stop(&st->host[order[i]]);
		happened(st, "stop:", order[i]);
		rc = fiber_sleep(scenario_draw(st->run, duration_ms(0), duration_ms(1500)));
	}
	return rc;
}

static void direct(void *arg)
{
	struct story *st = arg;
	unsigned blows = 1 + (unsigned)below(st, BLOWS_MAX);
	int rc = begin(st);

	for (unsigned i = 0; rc == 0 && i < blows; i++) {
		rc = fiber_sleep(scenario_draw(st->run, duration_ms(100), duration_s(14)));
		if (rc == 0)
			rc = blow(st, i == 0);
	}
	if (rc == 0)
		rc = finish(st);
}

/* ---- the stage ----------------------------------------------------------------------------- */

static void set_cluster(struct gate_host *h, const char *name, const char *key)
{
	snprintf(h->config.cluster, sizeof(h->config.cluster), "%s", name);
	snprintf(h->config.cluster_key, sizeof(h->config.cluster_key), "%s", key);
}

static void set_model(struct gate_host *h)
{
	snprintf(h->config.model, sizeof(h->config.model), "/models/" SUMS_MODEL ".gguf");
}

static void set_up_cluster(struct story *st)
{
	struct gate_host *h = st->host;

	st->joining = (enum joining)below(st, N_JOININGS);
	for (int i = A; i <= C; i++) {
		if (st->joining == JOIN_NAMED)
			set_cluster(&h[i], "spine", SECRET);
		h[i].config.auto_accept_peers = st->joining == JOIN_ACCEPTED;
	}
	gate_host_bootstrap(&h[B], &h[A]);
	gate_host_bootstrap(&h[C], &h[below(st, 2) ? A : B]);
	set_model(&h[A]);
	if (below(st, 4) == 0)
		set_model(&h[B]);
}

static void set_up_stranger(struct story *st)
{
	struct gate_host *d = &st->host[D];

	st->stranger = (enum stranger)below(st, N_STRANGERS);
	if (st->stranger == STRANGER_REJECTED && st->joining != JOIN_ASKED)
		st->stranger = STRANGER_OPEN;
	d->config.auto_accept_peers = true;
	if (st->stranger == STRANGER_OPEN)
		set_cluster(d, "elsewhere", "");
	if (st->stranger == STRANGER_WRONG_KEY)
		set_cluster(d, "spine", OTHERS);
	if (st->stranger != STRANGER_OWN)
		gate_host_bootstrap(d, &st->host[A]);
	if (below(st, 2))
		set_model(d);
}

static void add_user(struct story *st, int at)
{
	struct user *u = scenario_memory(st->run, sizeof(*u));

	*u = (struct user){st, at};
	scenario_at(st->run, duration_ms(500), use, u);
}

static struct story *lay_out(struct scenario_run *r)
{
	static const char *const names[] = {"A", "B", "C", "D"};
	struct story *st = scenario_state(r, sizeof(*st));
	bool mdns;

	st->run = r;
	universe_role(scenario_universe(r), "engine", sums_engine, &st->sums);
	mdns = below(st, 2) == 0;
	for (int i = 0; i < N_HOSTS; i++) {
		gate_host_init(&st->host[i], r, names[i]);
		st->host[i].config.mdns = mdns;
		st->host[i].up = came_up;
		st->host[i].arg = st;
	}
	set_up_cluster(st);
	set_up_stranger(st);
	scenario_at(r, duration_ms(0), direct, st);
	scenario_at(r, duration_ms(100), watch, st);
	if (st->joining == JOIN_ASKED)
		scenario_at(r, duration_ms(200), operate, st);
	add_user(st, C);
	add_user(st, C);
	for (int i = 0; i < N_HOSTS; i++)
		add_user(st, i);
	return st;
}

static void setup(struct scenario_run *r)
{
	lay_out(r);
}

static void setup_broken(struct scenario_run *r)
{
	lay_out(r)->sums.drops = true;
}

static void check(struct scenario_run *r)
{
	struct story *st = scenario_state(r, sizeof(*st));

	for (int i = 0; i < N_HOSTS; i++) {
		const struct gate_host *h = &st->host[i];

		SCENARIO_CHECK(r, h->closed == 1 && h->boots == h->crashes + 1,
		    "%s was booted %u times, crashed %u times, closed %u times", label(st, i),
		    h->boots, h->crashes, h->closed);
	}
	SCENARIO_CHECK(r, st->sums.working == 0, "%d answers never ended", st->sums.working);
	SCENARIO_CHECK(r, st->answered > 10 && st->host[A].crashes > 0,
	    "little happened: %u answers, %u crashes", st->answered, st->host[A].crashes);
}

#define NETWORK                                                                                    \
	{                                                                                          \
		.latency_min = {1000000}, .latency_max = {40000000}, .loss_ppm = 10000,            \
		.retransmit = {200000000}, .time_limit = {                                         \
			INT64_C(300) * 1000 * 1000 * 1000                                          \
		}                                                                                  \
	}

const struct scenario scenario_three_nodes = {
    .name = "three-nodes",
    .about = "the spine on the real node: joining, asking, crashes, cuts, a stranger next door",
    .net = NETWORK,
    .seeds = 200,
    .setup = setup,
    .check = check,
};

const struct scenario scenario_three_nodes_broken = {
    .name = "three-nodes-broken",
    .about = "the same with an engine that loses tokens: it must be noticed",
    .net = NETWORK,
    .seeds = 10,
    .hidden = true,
    .setup = setup_broken,
};
