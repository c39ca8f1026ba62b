/* What a routing decision costs the loop thread: jobs_explain, which decides as jobs_run does and
 * writes the decision down, among 100 nodes (all are looked at) and among 10,000 (a few are drawn).
 * Medians of five rounds. */
#include "jobs/jobs.h"
#include "rt/world_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS    5
#define DECISIONS 2000
#define TEXT_MAX  (1u << 20)

/* A provider of nothing, on a node of its own. */
struct mute {
	struct provider provider;
	char name[32];
	struct model_entry model;
};

static int mute_infer(struct provider *p, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	return err_set(err, E_UNSUPPORTED, "%s answers nothing", p->name);
}

static void mute_status(struct provider *p, struct provider_status *out)
{
	*out = (struct provider_status){.health = PROVIDER_HEALTHY};
}

static const struct model_entry *mute_models(struct provider *p, size_t *n)
{
	*n = 1;
	return &((struct mute *)p)->model;
}

static void mute_close(struct provider *p)
{
	free(p);
}

static const struct provider_ops mute_ops = {.kind = "mute",
    .infer = mute_infer,
    .status = mute_status,
    .models = mute_models,
    .close = mute_close};

static void changed(void *arg)
{
}

static void give_up(const char *what)
{
	fprintf(stderr, "route-bench: %s\n", what);
	exit(1);
}

static void add_node(struct catalog *c, struct world *w, size_t i)
{
	struct catalog_node node = {
	    .rtt = duration_ms(1 + (int64_t)(i % 50)), .running = (uint32_t)(i % 3), .slots = 0};
	struct catalog_entry *e;
	struct mute *m = calloc(1, sizeof *m);
	if (!m)
		give_up("no memory");
	m->provider = (struct provider){&mute_ops, m->name};
	snprintf(m->name, sizeof m->name, "node %zu", i);
	snprintf(m->model.id, sizeof m->model.id, "shared");
	m->model.ready = true;
	node.id.n = sizeof node.id.bytes < 38 ? (uint8_t)sizeof node.id.bytes : 38;
	world_random(w, node.id.bytes, node.id.n);
	snprintf(node.label, sizeof node.label, "node-%zu", i);
	if (catalog_add(c, &m->provider, &node, &e, NULL) != 0)
		give_up("a node cannot be added");
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double round_us(struct jobs *j)
{
	struct inference_message said = {
	    .role = "user", .content = bytes_str("Where does the fox live?")};
	struct inference_request req = {
	    .model = "shared", .messages = &said, .n_messages = 1, .choices = 1};
	struct job job = {.req = &req};
	struct buf out = BUF_INIT(TEXT_MAX);
	struct instant began = rt_now();
	for (int i = 0; i < DECISIONS; i++) {
		buf_reset(&out);
		if (jobs_explain(j, &job, &out, NULL) != 0)
			give_up("no decision");
	}
	double us = (double)instant_since(rt_now(), began).ns / 1000 / DECISIONS;
	if (!strstr(buf_cstr(&out), "\"rank\":1"))
		give_up("nobody was chosen");
	buf_free(&out);
	return us;
}

static void measure(struct world *w, size_t nodes)
{
	double us[ROUNDS];
	struct catalog *c = catalog_new();
	struct jobs_options opt = {
	    .world = w, .catalog = c, .label = "bench", .max_queue = 10, .changed = changed};
	struct jobs *j = c ? jobs_new(&opt) : NULL;
	if (!j)
		give_up("no memory");
	for (size_t i = 0; i < nodes; i++)
		add_node(c, w, i);
	for (int i = 0; i < ROUNDS; i++)
		us[i] = round_us(j);
	qsort(us, ROUNDS, sizeof *us, ascending);
	printf("a decision among %6zu nodes: %6.1f µs\n", nodes, us[ROUNDS / 2]);
	jobs_free(j);
	catalog_free(c);
}

static void run(void *arg)
{
	measure(arg, 100);
	measure(arg, 10000);
}

int main(void)
{
	struct world *w;
	struct err err = {0};
	if (world_uv_new(&w, &err) != 0 || rt_start(w->rt, "bench", NULL, run, w, &err) != 0) {
		fprintf(stderr, "route-bench: %s\n", err_text(&err));
		return 1;
	}
	rt_run(w->rt);
	world_uv_free(w);
	return 0;
}
