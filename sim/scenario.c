/* One run of a scenario: its universe, its hosts' logs, its memory, its verdict. */
#include "sim/scenario.h"

#include <stdlib.h>
#include <string.h>
#include <talloc.h>

extern const struct scenario scenario_echo, scenario_counter, scenario_storm, scenario_three_nodes,
    scenario_broken, scenario_three_nodes_broken;

const struct scenario *const scenarios[] = {
    &scenario_echo,
    &scenario_counter,
    &scenario_storm,
    &scenario_three_nodes,
    &scenario_broken,
    &scenario_three_nodes_broken,
    NULL,
};

#define LINES_KEPT 12
#define LINE_MAX   400

/* A host's log: the last lines alone. */
struct journal {
	struct journal *next;
	FILE *to; /* NULL: kept alone */
	struct world *host;
	const char *name;
	struct log *log;
	unsigned n; /* lines ever written */
	char lines[LINES_KEPT][LINE_MAX];
};

struct scenario_run {
	const struct scenario *scenario;
	struct universe *u;
	uint64_t seed;
	FILE *trace; /* where the hosts' logs go, too; NULL: nowhere */
	void *mem;   /* talloc root */
	void *state;
	struct journal *journals;
	struct scenario_result *result;
	bool over; /* judged: what still unwinds is cancelled, and proves nothing */
};

/* ---- for scenarios ------------------------------------------------------------------------- */

struct universe *scenario_universe(struct scenario_run *r)
{
	return r->u;
}

uint64_t scenario_seed(const struct scenario_run *r)
{
	return r->seed;
}

void *scenario_memory(struct scenario_run *r, size_t n)
{
	void *p = talloc_zero_size(r->mem, n);

	if (!p)
		BUG("no memory for a scenario");
	return p;
}

void *scenario_state(struct scenario_run *r, size_t n)
{
	if (!r->state)
		r->state = scenario_memory(r, n);
	INVARIANT(talloc_get_size(r->state) == n);
	return r->state;
}

static void keep_line(void *arg, enum log_level level, const char *line, size_t n)
{
	struct journal *j = arg;

	(void)level;
	if (j->to)
		fprintf(j->to, "             %.*s\n", (int)n, line);
	snprintf(j->lines[j->n++ % LINES_KEPT], LINE_MAX, "%.*s", (int)n, line);
}

static int64_t journal_clock(void *arg)
{
	return world_wall_ms(((struct journal *)arg)->host);
}

static struct journal *journal_of(struct scenario_run *r, const struct world *host)
{
	struct journal *j = r->journals;

	while (j && j->host != host)
		j = j->next;
	return j;
}

struct world *scenario_host(struct scenario_run *r, const char *name)
{
	struct world *host = universe_host(r->u, name);
	struct journal *j = journal_of(r, host);

	if (j)
		return host;
	j = scenario_memory(r, sizeof(*j));
	j->host = host;
	j->to = r->trace;
	j->name = talloc_strdup(j, name);
	j->log = log_new(name, LOG_DEBUG, LOG_TEXT, keep_line, j, journal_clock, j);
	if (!j->name || !j->log)
		BUG("no memory for a scenario");
	j->next = r->journals;
	r->journals = j;
	return host;
}

struct log *scenario_log(struct scenario_run *r, struct world *host)
{
	struct journal *j = journal_of(r, host);

	return j ? j->log : NULL;
}

void scenario_boot(struct scenario_run *r, struct world *host, void (*fn)(void *), void *arg)
{
	struct err err = {0};

	if (universe_boot(r->u, host, scenario_log(r, host), fn, arg, &err) != 0)
		scenario_fail(r, __FILE__, __LINE__, "boot: %s", err_text(&err));
}

void scenario_at(struct scenario_run *r, struct duration when, void (*fn)(void *), void *arg)
{
	struct err err = {0};

	if (universe_at(r->u, when, fn, arg, &err) != 0)
		scenario_fail(r, __FILE__, __LINE__, "at: %s", err_text(&err));
}

struct duration scenario_draw(struct scenario_run *r, struct duration min, struct duration max)
{
	uint64_t range = (uint64_t)(max.ns - min.ns) + 1;

	return duration_ns(min.ns + (int64_t)universe_random_below(r->u, range));
}

void scenario_done(struct scenario_run *r)
{
	universe_stop(r->u);
}

void scenario_fail(struct scenario_run *r, const char *file, int line, const char *fmt, ...)
{
	const char *slash = strrchr(file, '/');
	char what[400];
	va_list ap;

	universe_stop(r->u);
	if (r->result->failed || r->over)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	r->result->failed = true;
	snprintf(r->result->text, sizeof(r->result->text), "%s (%s:%d)", what,
	    slash ? slash + 1 : file, line);
	universe_record(r->u, "failed: %s", what);
}

/* ---- a run --------------------------------------------------------------------------------- */

static void print_event(void *arg, struct instant at, const char *line)
{
	fprintf(arg, "%12.6f %s\n", (double)at.ns / 1e9, line);
}

static void judge_end(struct scenario_run *r, enum universe_end end)
{
	switch (end) {
	case UNIVERSE_DONE:
	case UNIVERSE_STOPPED:
		break;
	case UNIVERSE_TIME_LIMIT:
		scenario_fail(r, __FILE__, __LINE__, "the story did not end in time");
		break;
	case UNIVERSE_STUCK:
		scenario_fail(
		    r, __FILE__, __LINE__, "%s", "every fiber waits for what can no longer happen");
		break;
	}
	if (!r->result->failed && r->scenario->check)
		r->scenario->check(r);
}

static void print_journals(const struct scenario_run *r, FILE *to)
{
	for (const struct journal *j = r->journals; j; j = j->next) {
		unsigned first = j->n > LINES_KEPT ? j->n - LINES_KEPT : 0;

		for (unsigned i = first; i < j->n; i++)
			fprintf(to, "  %s: %s\n", j->name, j->lines[i % LINES_KEPT]);
	}
}

void scenario_play(
    const struct scenario *s, uint64_t seed, bool trace, FILE *report, struct scenario_result *out)
{
	struct universe_options net = s->net;
	struct scenario_run r = {
	    .scenario = s, .seed = seed, .trace = trace ? stderr : NULL, .result = out};
	struct err err = {0};

	*out = (struct scenario_result){0};
	net.seed = seed;
	if (trace) {
		net.trace = print_event;
		net.trace_arg = stderr;
	}
	if (universe_new(&net, &r.u, &err) != 0)
		BUG("scenario %s: %s", s->name, err_text(&err));
	r.mem = talloc_named_const(NULL, 0, "scenario");
	s->setup(&r);
	judge_end(&r, universe_run(r.u));
	out->elapsed = universe_elapsed(r.u);
	out->hash = universe_hash(r.u);
	out->events = universe_events(r.u);
	if (out->failed && report)
		print_journals(&r, report);
	r.over = true;
	universe_free(r.u);
	for (struct journal *j = r.journals; j; j = j->next)
		log_free(j->log);
	talloc_free(r.mem);
}
