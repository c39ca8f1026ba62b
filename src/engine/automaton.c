/* The automaton of a grammar: see constraint_priv.h. Stacks are shared lists of frames, each frame
 * stored once, so a configuration is a short list of numbers and equal ones are found by hashing.
 *
 * Must stay true: from every place of every configuration the document can be completed within
 * GRAMMAR_DEPTH_MAX (node heights say so), so a walk never ends in a dead end. */
#include "engine/constraint_priv.h"

#include <stdlib.h>

#define SEEN_SLOTS  16384u /* a power of two above the nodes that one closure may look at */
#define CLOSURE_MAX (SEEN_SLOTS / 2)

static uint32_t mix(uint32_t h, uint32_t v)
{
	h = (h ^ v) * 0x9e3779b1u;
	return h ^ h >> 15;
}

/* Room for one more element; false and `failed` without memory. */
static bool room(struct automaton *a, void **p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t more = *cap ? 2 * *cap : 256;
	while (more < need)
		more *= 2;
	void *bigger = realloc(*p, more * size);
	if (!bigger) {
		a->failed = true;
		return false;
	}
	*p = bigger;
	*cap = more;
	return true;
}

static bool rehash(struct automaton *a, uint32_t **slots, size_t *n_slots, size_t entries)
{
	if (2 * (entries + 1) < *n_slots)
		return true;
	size_t n = *n_slots ? 2 * *n_slots : 1024;
	uint32_t *bigger = calloc(n, sizeof *bigger);
	if (!bigger) {
		a->failed = true;
		return false;
	}
	free(*slots);
	*slots = bigger;
	*n_slots = n;
	return true;
}

/* ---- frames -------------------------------------------------------------------------------- */

static uint32_t *frame_slot(struct automaton *a, uint32_t node, uint32_t parent)
{
	size_t i = mix(mix(1, node), parent) & (a->n_frame_slots - 1);
	while (a->frame_slots[i]) {
		const struct frame *f = &a->frames[a->frame_slots[i] - 1];
		if (f->node == node && f->parent == parent)
			break;
		i = (i + 1) & (a->n_frame_slots - 1);
	}
	return &a->frame_slots[i];
}

static bool more_frames(struct automaton *a)
{
	size_t before = a->n_frame_slots;
	if (a->n_frames >= FRAMES_MAX)
		a->failed = true;
	if (a->failed ||
	    !room(a, (void **)&a->frames, &a->cap_frames, a->n_frames + 1, sizeof *a->frames) ||
	    !rehash(a, &a->frame_slots, &a->n_frame_slots, a->n_frames))
		return false;
	if (a->n_frame_slots != before)
		for (uint32_t i = 1; i < a->n_frames; i++)
			*frame_slot(a, a->frames[i].node, a->frames[i].parent) = i + 1;
	return true;
}

static uint32_t frame_of(struct automaton *a, uint32_t node, uint32_t parent)
{
	if (!more_frames(a))
		return FRAME_ROOT;
	uint32_t *slot = frame_slot(a, node, parent);
	if (*slot == 0) {
		a->frames[a->n_frames] = (struct frame){node, parent, a->frames[parent].depth + 1};
		*slot = (uint32_t)++a->n_frames;
	}
	return *slot - 1;
}

/* ---- closure ------------------------------------------------------------------------------- */

/* True the first time that a place is met in this closure. */
static bool first_time(struct automaton *a, struct place p)
{
	size_t i = mix(mix(2, p.node), p.frame) & (SEEN_SLOTS - 1);
	while (a->seen_stamp[i] == a->stamp) {
		if (a->seen[i].node == p.node && a->seen[i].frame == p.frame)
			return false;
		i = (i + 1) & (SEEN_SLOTS - 1);
	}
	if (a->n_seen_slots >= CLOSURE_MAX)
		return false; /* so many alternatives: the rest is not offered */
	a->n_seen_slots++;
	a->seen_stamp[i] = a->stamp;
	a->seen[i] = p;
	return true;
}

static void push(struct automaton *a, size_t *n, uint32_t node, uint32_t frame)
{
	struct place p = {node, frame};
	unsigned height = a->g->nodes[node].height;
	if (height != HEIGHT_NEVER && a->frames[frame].depth + height <= GRAMMAR_DEPTH_MAX &&
	    first_time(a, p))
		a->stack[(*n)++] = p;
}

/* What may come next where the stack's places are reached, without a byte. */
static void close_over(struct automaton *a, uint32_t node, uint32_t frame)
{
	size_t n = 0;
	push(a, &n, node, frame);
	while (n) {
		struct place p = a->stack[--n];
		const struct gnode *g = &a->g->nodes[p.node];
		switch ((enum node_kind)g->kind) {
		case NODE_DEAD:
			break;
		case NODE_BYTES:
			if (a->n_fresh < PLACES_MAX)
				a->fresh[a->n_fresh++] = p;
			break;
		case NODE_SPLIT:
			push(a, &n, g->b, p.frame);
			push(a, &n, g->a, p.frame);
			break;
		case NODE_CALL:
			/* A call in the last place needs no frame. */
			push(a, &n, a->g->starts[g->a],
			    g->b == G_RETURN ? p.frame : frame_of(a, g->b, p.frame));
			break;
		case NODE_RETURN:
			if (p.frame != FRAME_ROOT)
				push(a, &n, a->frames[p.frame].node, a->frames[p.frame].parent);
			else if (a->n_fresh < PLACES_MAX)
				a->fresh[a->n_fresh++] = p;
			break;
		}
	}
}

static void begin_closure(struct automaton *a)
{
	a->n_fresh = 0;
	a->n_seen_slots = 0;
	if (++a->stamp == 0) {
		memset(a->seen_stamp, 0, SEEN_SLOTS * sizeof *a->seen_stamp);
		a->stamp = 1;
	}
}

/* ---- configurations ------------------------------------------------------------------------ */

static int order_places(const void *x, const void *y)
{
	const struct place *p = x, *q = y;
	if (p->node != q->node)
		return p->node < q->node ? -1 : 1;
	return (p->frame > q->frame) - (p->frame < q->frame);
}

static uint32_t hash_places(const struct place *p, size_t n)
{
	uint32_t h = 3;
	for (size_t i = 0; i < n; i++)
		h = mix(mix(h, p[i].node), p[i].frame);
	return h;
}

static uint32_t *config_slot(struct automaton *a, const struct place *p, size_t n)
{
	size_t i = hash_places(p, n) & (a->n_config_slots - 1);
	while (a->config_slots[i]) {
		const struct config *c = &a->configs[a->config_slots[i] - 1];
		if (c->n == n && memcmp(a->places + c->first, p, n * sizeof *p) == 0)
			break;
		i = (i + 1) & (a->n_config_slots - 1);
	}
	return &a->config_slots[i];
}

static bool more_configs(struct automaton *a, size_t places)
{
	size_t before = a->n_config_slots, cap = a->cap_configs;
	if (a->failed ||
	    !room(a, (void **)&a->configs, &a->cap_configs, a->n_configs + 1, sizeof *a->configs) ||
	    !room(
		a, (void **)&a->places, &a->cap_places, a->n_places + places, sizeof *a->places) ||
	    !rehash(a, &a->config_slots, &a->n_config_slots, a->n_configs))
		return false;
	if (a->cap_configs != cap) {
		uint32_t *moves =
		    realloc(a->moves, a->cap_configs * a->g->n_classes * sizeof *moves);
		if (!moves) {
			a->failed = true;
			return false;
		}
		a->moves = moves;
	}
	if (a->n_config_slots != before)
		for (uint32_t i = 0; i < a->n_configs; i++) {
			const struct config *c = &a->configs[i];
			*config_slot(a, a->places + c->first, c->n) = i + 1;
		}
	return true;
}

/* The number of the configuration of the `fresh` places. */
static uint32_t intern(struct automaton *a)
{
	qsort(a->fresh, a->n_fresh, sizeof *a->fresh, order_places);
	if (!more_configs(a, a->n_fresh))
		return CONFIG_DEAD;
	uint32_t *slot = config_slot(a, a->fresh, a->n_fresh);
	if (*slot)
		return *slot - 1;
	uint32_t number = (uint32_t)a->n_configs++;
	a->configs[number] = (struct config){(uint32_t)a->n_places, (uint32_t)a->n_fresh};
	if (a->n_fresh)
		memcpy(a->places + a->n_places, a->fresh, a->n_fresh * sizeof *a->fresh);
	a->n_places += a->n_fresh;
	memset(
	    a->moves + (size_t)number * a->g->n_classes, 0xff, a->g->n_classes * sizeof *a->moves);
	*slot = number + 1;
	return number;
}

uint32_t automaton_start(struct automaton *a)
{
	begin_closure(a);
	close_over(a, a->g->starts[RULE_ROOT], FRAME_ROOT);
	return intern(a);
}

uint32_t automaton_move_slow(struct automaton *a, uint32_t config, uint16_t class)
{
	struct config c = a->configs[config];
	uint8_t byte = a->g->example[class];
	begin_closure(a);
	for (uint32_t i = 0; i < c.n; i++) {
		struct place p = a->places[c.first + i];
		const struct gnode *g = &a->g->nodes[p.node];
		if (g->kind == NODE_BYTES && set_has(&a->g->sets[g->a], byte))
			close_over(a, g->b, p.frame);
	}
	uint32_t to = intern(a);
	if (!a->failed)
		a->moves[(size_t)config * a->g->n_classes + class] = to;
	return to;
}

bool automaton_may_end(const struct automaton *a, uint32_t config)
{
	const struct config *c = &a->configs[config];
	for (uint32_t i = 0; i < c->n; i++)
		if (a->places[c->first + i].node == G_RETURN)
			return true;
	return false;
}

bool automaton_must_end(const struct automaton *a, uint32_t config)
{
	return a->configs[config].n == 1 && automaton_may_end(a, config);
}

bool automaton_is_full(const struct automaton *a)
{
	return a->n_configs > CONFIGS_MAX || a->n_places > 64 * CONFIGS_MAX ||
	       a->n_frames > FRAMES_MAX / 2;
}

/* ---- lifetime ------------------------------------------------------------------------------ */

int automaton_init(struct automaton *a, const struct grammar *g, struct err *err)
{
	*a = (struct automaton){.g = g};
	a->fresh = malloc(PLACES_MAX * sizeof *a->fresh);
	a->stack = malloc(SEEN_SLOTS * sizeof *a->stack);
	a->seen = malloc(SEEN_SLOTS * sizeof *a->seen);
	a->seen_stamp = calloc(SEEN_SLOTS, sizeof *a->seen_stamp);
	if (a->fresh && a->stack && a->seen && a->seen_stamp && more_frames(a)) {
		a->frames[0] = (struct frame){G_RETURN, FRAME_ROOT, 0};
		a->n_frames = 1;
		begin_closure(a);
		if (intern(a) == CONFIG_DEAD && !a->failed) /* the empty one is number 0 */
			return 0;
	}
	automaton_free(a);
	return err_set(err, E_MEMORY, "no memory for the grammar");
}

void automaton_free(struct automaton *a)
{
	free(a->frames);
	free(a->frame_slots);
	free(a->places);
	free(a->configs);
	free(a->config_slots);
	free(a->moves);
	free(a->fresh);
	free(a->stack);
	free(a->seen);
	free(a->seen_stamp);
	*a = (struct automaton){0};
}

/* A frame and those below it, in another automaton; the deepest first. */
static uint32_t copy_frame(struct automaton *to, const struct automaton *from, uint32_t frame)
{
	uint32_t chain[GRAMMAR_DEPTH_MAX + 2], n = 0, at = FRAME_ROOT;
	for (; frame != FRAME_ROOT && n < GRAMMAR_DEPTH_MAX + 2; frame = from->frames[frame].parent)
		chain[n++] = from->frames[frame].node;
	while (n)
		at = frame_of(to, chain[--n], at);
	return at;
}

uint32_t automaton_compact(struct automaton *a, uint32_t config, struct err *err)
{
	struct automaton fresh;
	if (automaton_init(&fresh, a->g, err))
		return CONFIG_DEAD;
	struct config c = a->configs[config];
	begin_closure(&fresh);
	for (uint32_t i = 0; i < c.n; i++) {
		struct place p = a->places[c.first + i];
		fresh.fresh[fresh.n_fresh++] =
		    (struct place){p.node, copy_frame(&fresh, a, p.frame)};
	}
	uint32_t number = intern(&fresh);
	bool failed = fresh.failed;
	automaton_free(a);
	*a = fresh;
	a->failed = failed;
	return number;
}
