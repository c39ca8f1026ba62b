/* Inside of the constraints: the automaton's configurations. */
#ifndef ENGINE_CONSTRAINT_PRIV_H
#define ENGINE_CONSTRAINT_PRIV_H

#include "engine/constraint.h"
#include "engine/grammar_priv.h"

/* A rule that was entered: where it returns to, and what was entered before it. */
struct frame {
	uint32_t node;
	uint32_t parent; /* FRAME_ROOT at the bottom */
	uint32_t depth;
};
#define FRAME_ROOT 0u

/* A place in the grammar: a node of bytes and the stack it stands on; node G_RETURN is the end. */
struct place {
	uint32_t node, frame;
};

struct config {
	uint32_t first, n; /* of automaton.places */
};

#define CONFIG_DEAD    0u
#define CONFIG_UNKNOWN UINT32_MAX

/* Configurations beyond this many are forgotten, all but the present one. */
#define CONFIGS_MAX 16384u
#define FRAMES_MAX  (1u << 20)
#define PLACES_MAX  4096u /* of one configuration; what is more is not offered */

struct automaton {
	const struct grammar *g;
	struct frame *frames;
	size_t n_frames, cap_frames;
	uint32_t *frame_slots; /* open addressing; number + 1 */
	size_t n_frame_slots;
	struct place *places;
	size_t n_places, cap_places;
	struct config *configs;
	size_t n_configs, cap_configs;
	uint32_t *config_slots;
	size_t n_config_slots;
	uint32_t *moves; /* [config][class] */
	/* Scratch: the configuration in the making. */
	struct place *fresh, *stack, *seen;
	size_t n_fresh, n_seen_slots;
	uint32_t *seen_stamp, stamp;
	bool failed; /* no memory, or FRAMES_MAX */
};

int automaton_init(struct automaton *a, const struct grammar *g, struct err *err) WARN_UNUSED;
void automaton_free(struct automaton *a);
/* The configuration at the beginning. */
uint32_t automaton_start(struct automaton *a);
/* After one byte of a class; CONFIG_DEAD when it cannot come. */
uint32_t automaton_move_slow(struct automaton *a, uint32_t config, uint16_t class);
bool automaton_may_end(const struct automaton *a, uint32_t config);
bool automaton_must_end(const struct automaton *a, uint32_t config);
bool automaton_is_full(const struct automaton *a);
/* Forgets everything but `config`; returns its new number. */
uint32_t automaton_compact(struct automaton *a, uint32_t config, struct err *err);

static inline uint32_t automaton_move(struct automaton *a, uint32_t config, uint8_t byte)
{
	uint16_t class = a->g->class_of[byte];
	uint32_t to = a->moves[(size_t)config * a->g->n_classes + class];
	return to == CONFIG_UNKNOWN ? automaton_move_slow(a, config, class) : to;
}

#endif
