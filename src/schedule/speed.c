/* See speed.h. */
#include "schedule/speed.h"

#define WEIGHT      5  /* a new value counts for a fifth */
#define PROMPT_MIN  16 /* a shorter prompt says nothing about prefill: the rest outweighs it */
#define ANSWER_MIN  4
#define FAILED_FULL 1000

static void blend(int64_t *mean, int64_t value)
{
	if (value < 0)
		return;
	*mean = *mean == 0 ? value : *mean + (value - *mean) / WEIGHT;
}

static void count(struct speed *s, int64_t outcome_permille)
{
	s->failed_permille =
	    (uint32_t)(((int64_t)s->failed_permille * (WEIGHT - 1) + outcome_permille) / WEIGHT);
}

void speed_answered(struct speed *s, const struct speed_sample *sample)
{
	count(s, 0);
	blend(&s->answer_us, sample->whole.ns / 1000);
	if (sample->prompt_tok >= PROMPT_MIN)
		blend(&s->prefill_ns, sample->first.ns / sample->prompt_tok);
	if (sample->answer_tok >= ANSWER_MIN && sample->whole.ns > sample->first.ns)
		blend(&s->decode_ns, (sample->whole.ns - sample->first.ns) / sample->answer_tok);
}

void speed_failed(struct speed *s)
{
	count(s, FAILED_FULL);
}
