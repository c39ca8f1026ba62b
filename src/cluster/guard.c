/* Wrong attempts per source: each has a small allowance that grows back with time. */
#include "cluster/invite_priv.h"

#include <stdio.h>

static struct guard_source *find(struct guard *g, const char *source)
{
	for (size_t i = 0; i < GUARD_SOURCES; i++)
		if (g->sources[i].failures > 0 &&
		    strncmp(g->sources[i].name, source, sizeof g->sources[i].name - 1) == 0)
			return &g->sources[i];
	return NULL;
}

/* A free place, else that of the source longest quiet. */
static struct guard_source *add(struct guard *g, const char *source, int64_t now_s)
{
	struct guard_source *s = g->sources;
	for (size_t i = 1; i < GUARD_SOURCES && s->failures > 0; i++)
		if (g->sources[i].failures == 0 || g->sources[i].since_s < s->since_s)
			s = &g->sources[i];
	*s = (struct guard_source){.since_s = now_s};
	snprintf(s->name, sizeof s->name, "%s", source);
	return s;
}

/* A clock that was set back forgives nothing and holds nobody for longer. */
static void forgive(struct guard_source *s, int64_t now_s)
{
	int64_t steps = now_s > s->since_s ? (now_s - s->since_s) / GUARD_EVERY_S : 0;
	s->failures = steps >= s->failures ? 0 : s->failures - (unsigned)steps;
	s->since_s = s->since_s > now_s ? now_s : s->since_s + steps * GUARD_EVERY_S;
}

bool guard_allows(struct guard *g, const char *source, int64_t now_s)
{
	struct guard_source *s = find(g, source);
	if (s)
		forgive(s, now_s);
	return !s || s->failures < GUARD_FAILURES;
}

void guard_failed(struct guard *g, const char *source, int64_t now_s)
{
	struct guard_source *s = find(g, source);
	if (s)
		forgive(s, now_s);
	if (!s || s->failures == 0)
		s = add(g, source, now_s);
	if (s->failures < GUARD_FAILURES)
		s->failures++;
}
