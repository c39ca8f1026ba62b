/* How fast a provider has been: means over its recent answers, the newest counting most, as the
 * scheduler wants them. Pure. */
#ifndef SCHEDULE_SPEED_H
#define SCHEDULE_SPEED_H

#include "base/units.h"

#include <stdint.h>

/* Zero until measured. */
struct speed {
	int64_t answer_us;  /* from start to end */
	int64_t prefill_ns; /* for each token of a prompt that was not cached */
	int64_t decode_ns;  /* for each token of an answer */
	uint32_t failed_permille;
};

struct speed_sample {
	struct duration first; /* from the start to the first piece of the answer */
	struct duration whole; /* to its end */
	int64_t prompt_tok;    /* computed, not cached; ≤ 0: unknown */
	int64_t answer_tok;    /* ≤ 0: unknown */
};

void speed_answered(struct speed *s, const struct speed_sample *sample);
void speed_failed(struct speed *s);

#endif
