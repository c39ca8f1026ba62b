/* Sampling: see sampler.h. Top-k, top-p and min-p each keep a prefix of the tokens in order of
 * probability, so one max-heap serves them: tokens are popped until a limit is reached, and the
 * vocabulary is never sorted as a whole. Min-p alone needs no order. */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
	float logit;
	int32_t id;
};

struct sampler {
	struct sampler_params params;
	size_t n_vocab;
	uint64_t n_generated;
	struct candidate *heap; /* n_vocab */
	struct candidate *kept; /* n_vocab, the best first */
	double *weights;        /* n_vocab */
	uint16_t *recent;       /* by id: how often among the last tokens */
	uint32_t *generated;    /* by id */
	int32_t *window;        /* ring of repeat_last_n ids */
	size_t window_n;
	size_t window_at;
};

static int check_range(const char *name, float v, float low, float high, struct err *err)
{
	if (v >= low && v <= high) /* false for NaN */
		return 0;
	return err_set(
	    err, E_INVALID, "%s must be between %g and %g", name, (double)low, (double)high);
}

static int check(const struct sampler_params *p, size_t n_vocab, struct err *err)
{
	int rc = check_range("temperature", p->temperature, 0, 100, err);
	if (rc == 0)
		rc = check_range("top_p", p->top_p, 0, 1, err);
	if (rc == 0)
		rc = check_range("min_p", p->min_p, 0, 1, err);
	if (rc == 0)
		rc = check_range("repeat_penalty", p->repeat_penalty, 0.01F, 100, err);
	if (rc == 0)
		rc = check_range("frequency_penalty", p->frequency_penalty, -100, 100, err);
	if (rc == 0)
		rc = check_range("presence_penalty", p->presence_penalty, -100, 100, err);
	if (rc == 0 && p->repeat_last_n > SAMPLER_LAST_N_MAX)
		rc =
		    err_set(err, E_INVALID, "repeat_last_n must be at most %u", SAMPLER_LAST_N_MAX);
	if (rc == 0 && p->n_biases > SAMPLER_BIASES_MAX)
		rc = err_set(
		    err, E_INVALID, "logit_bias has more than %u entries", SAMPLER_BIASES_MAX);
	for (size_t i = 0; i < p->n_biases && rc == 0; i++)
		if (p->biases[i].id < 0 || (size_t)p->biases[i].id >= n_vocab ||
		    isnan(p->biases[i].bias))
			rc = err_set(err, E_INVALID, "logit_bias: no token %d", p->biases[i].id);
	return rc;
}

int sampler_new(
    const struct sampler_params *params, size_t n_vocab, struct sampler **out, struct err *err)
{
	int rc = check(params, n_vocab, err);
	if (rc)
		return rc;
	struct sampler *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(err, E_MEMORY, "no memory for a sampler");
	s->params = *params;
	s->n_vocab = n_vocab;
	s->heap = calloc(n_vocab, sizeof *s->heap);
	s->kept = calloc(n_vocab, sizeof *s->kept);
	s->weights = calloc(n_vocab, sizeof *s->weights);
	s->recent = calloc(n_vocab, sizeof *s->recent);
	s->generated = calloc(n_vocab, sizeof *s->generated);
	s->window = calloc(params->repeat_last_n + 1U, sizeof *s->window);
	if (!s->heap || !s->kept || !s->weights || !s->recent || !s->generated || !s->window) {
		sampler_free(s);
		return err_set(err, E_MEMORY, "no memory to sample from %zu tokens", n_vocab);
	}
	*out = s;
	return 0;
}

void sampler_free(struct sampler *s)
{
	if (!s)
		return;
	free(s->heap);
	free(s->kept);
	free(s->weights);
	free(s->recent);
	free(s->generated);
	free(s->window);
	free(s);
}

/* SplitMix64, the output after `step` steps. */
static uint64_t random_at(uint64_t seed, uint64_t step)
{
	uint64_t z = seed + (step + 1) * 0x9e3779b97f4a7c15U;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

/* The top 53 bits as a number in [0, 1). */
static double draw(const struct sampler *s)
{
	return (double)(random_at(s->params.seed, s->n_generated) >> 11) * 0x1p-53;
}

uint64_t sampler_seed_of_choice(uint64_t seed, unsigned choice)
{
	return choice ? random_at(~seed, choice) : seed;
}

void sampler_see_prompt(struct sampler *s, int32_t id)
{
	size_t cap = s->params.repeat_last_n;
	if (cap == 0 || id < 0 || (size_t)id >= s->n_vocab)
		return;
	if (s->window_n == cap)
		s->recent[s->window[s->window_at]]--;
	else
		s->window_n++;
	s->window[s->window_at] = id;
	s->window_at = (s->window_at + 1) % cap;
	s->recent[id]++;
}

void sampler_see_generated(struct sampler *s, int32_t id)
{
	s->n_generated++;
	if (id < 0 || (size_t)id >= s->n_vocab)
		return;
	sampler_see_prompt(s, id);
	s->generated[id]++;
}

void sampler_penalize(const struct sampler *s, float *logits)
{
	const struct sampler_params *p = &s->params;
	for (size_t i = 0; i < p->n_biases; i++)
		logits[p->biases[i].id] += p->biases[i].bias;
	bool repeat = p->repeat_penalty < 1 || p->repeat_penalty > 1;
	bool count = fabsf(p->frequency_penalty) + fabsf(p->presence_penalty) > 0;
	if (!repeat && !count)
		return;
	for (size_t id = 0; id < s->n_vocab; id++) {
		if (repeat && s->recent[id])
			logits[id] = logits[id] > 0 ? logits[id] / p->repeat_penalty
						    : logits[id] * p->repeat_penalty;
		if (count && s->generated[id])
			logits[id] -=
			    (float)s->generated[id] * p->frequency_penalty + p->presence_penalty;
	}
}

static bool better(struct candidate a, struct candidate b)
{
	return a.logit > b.logit || (a.logit >= b.logit && a.id < b.id);
}

static void sift_down(struct candidate *heap, size_t n, size_t i)
{
	struct candidate c = heap[i];
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			break;
		if (child + 1 < n && better(heap[child + 1], heap[child]))
			child++;
		if (!better(heap[child], c))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = c;
}

static struct candidate pop(struct candidate *heap, size_t *n)
{
	struct candidate best = heap[0];
	heap[0] = heap[--*n];
	if (*n)
		sift_down(heap, *n, 0);
	return best;
}

/* Tokens whose logit is a number above minus infinity and `least`; the best first, the others in no
 * order. */
static size_t gather(const float *logits, size_t n_vocab, float least, struct candidate *out)
{
	size_t n = 0, best = 0;
	for (size_t id = 0; id < n_vocab; id++) {
		if (!(logits[id] > -INFINITY && logits[id] < INFINITY && logits[id] >= least))
			continue;
		out[n] = (struct candidate){logits[id], (int32_t)id};
		best = better(out[n], out[best]) ? n : best;
		n++;
	}
	struct candidate first = out[0];
	out[0] = out[best];
	out[best] = first;
	return n;
}

static float best_of(const float *logits, size_t n_vocab)
{
	float best = -INFINITY;
	for (size_t id = 0; id < n_vocab; id++)
		if (logits[id] > best && logits[id] < INFINITY)
			best = logits[id];
	return best;
}

static double total_weight(const struct candidate *c, size_t n, float best)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += exp((double)(c[i].logit - best));
	return sum;
}

/* Top-k, top-p and min-p, when one of the first two is on: fills `kept` from the heap of n, best
 * first; returns how many. */
static size_t keep_ordered(struct sampler *s, size_t n)
{
	const struct sampler_params *p = &s->params;
	size_t limit = p->top_k && p->top_k < n ? p->top_k : n, kept = 0, in_heap = n;
	float best = s->heap[0].logit;
	double sum = limit == n && p->top_p < 1 ? total_weight(s->heap, n, best) : 0;
	if (limit < n) {
		while (kept < limit)
			s->kept[kept++] = pop(s->heap, &in_heap);
		sum = total_weight(s->kept, kept, best);
	}
	double mass = 0;
	size_t i = 0;
	while (i < limit && (i == 0 || p->top_p >= 1 || mass < (double)p->top_p * sum)) {
		struct candidate c = i < kept ? s->kept[i] : pop(s->heap, &in_heap);
		double weight = exp((double)(c.logit - best));
		if (i > 0 && weight < (double)p->min_p)
			break;
		s->kept[i++] = c;
		mass += weight;
	}
	return i;
}

/* What the filters leave, in `kept`. Only top-k and top-p need the tokens in order. */
static size_t keep(struct sampler *s, const float *logits)
{
	const struct sampler_params *p = &s->params;
	if (p->top_k || p->top_p < 1) {
		size_t n = gather(logits, s->n_vocab, -INFINITY, s->heap);
		for (size_t i = n / 2; i-- > 0;)
			sift_down(s->heap, n, i);
		return n ? keep_ordered(s, n) : 0;
	}
	float least = -INFINITY;
	if (p->min_p > 0)
		least = best_of(logits, s->n_vocab) + logf(p->min_p);
	return gather(logits, s->n_vocab, least, s->kept);
}

static int32_t choose(struct sampler *s, size_t n)
{
	float best = s->kept[0].logit;
	double sum = 0, t = (double)s->params.temperature;
	for (size_t i = 0; i < n; i++)
		sum += s->weights[i] = exp((double)(s->kept[i].logit - best) / t);
	double left = draw(s) * sum;
	for (size_t i = 0; i < n; i++) {
		left -= s->weights[i];
		if (left < 0)
			return s->kept[i].id;
	}
	return s->kept[0].id; /* rounding took the whole sum */
}

static int pick_best(const float *logits, size_t n_vocab, int32_t *out)
{
	*out = -1;
	for (size_t id = 0; id < n_vocab; id++)
		if (logits[id] > -INFINITY && logits[id] < INFINITY &&
		    (*out < 0 || logits[id] > logits[*out]))
			*out = (int32_t)id;
	return *out < 0 ? E_FORMAT : 0;
}

int sampler_pick(struct sampler *s, const float *logits, int32_t *out, struct err *err)
{
	int rc = 0;
	if (s->params.temperature <= 0) {
		rc = pick_best(logits, s->n_vocab, out);
	} else {
		size_t n = keep(s, logits);
		rc = n ? 0 : E_FORMAT;
		*out = n ? choose(s, n) : -1;
	}
	return rc ? err_set(err, rc, "the model gives no token a probability") : 0;
}

/* ---- log probabilities --------------------------------------------------------------------- */

/* Puts a token into the list of the n best, which is in order and has room for n_top. */
static size_t insert_chance(struct token_chance *top, size_t n, size_t n_top, struct token_chance c)
{
	if (n == n_top && (n == 0 || c.logprob <= top[n - 1].logprob))
		return n;
	size_t at = n < n_top ? n : n - 1;
	for (; at > 0 && top[at - 1].logprob < c.logprob; at--)
		top[at] = top[at - 1];
	top[at] = c;
	return n < n_top ? n + 1 : n;
}

size_t token_chances(const float *logits, size_t n_vocab, int32_t id, float *logprob,
    struct token_chance *top, size_t n_top)
{
	float best = -INFINITY;
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < n_vocab; i++)
		best = logits[i] > best ? logits[i] : best;
	for (size_t i = 0; i < n_vocab; i++)
		sum += exp((double)(logits[i] - best));
	float total = best + (float)log(sum);
	*logprob = logits[id] - total;
	n_top = n_top < TOKEN_CHANCES_MAX ? n_top : TOKEN_CHANCES_MAX;
	for (size_t i = 0; i < n_vocab && n_top; i++)
		n = insert_chance(
		    top, n, n_top, (struct token_chance){(int32_t)i, logits[i] - total});
	return n;
}
