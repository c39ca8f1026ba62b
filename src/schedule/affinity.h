/* Which provider has the beginning of a conversation in its cache? Remembers the latest answers: a
 * fingerprint of each conversation so far, and who gave it. Bounded; the oldest are forgotten.
 * Pure: fingerprints are made elsewhere and are hard to guess, so that nobody aims at a slot. */
#ifndef SCHEDULE_AFFINITY_H
#define SCHEDULE_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AFFINITY_MAX 4096 /* conversations, a power of two */

struct affinity; /* malloc */

struct affinity *affinity_new(void); /* NULL without memory */
void affinity_free(struct affinity *a);

/* `provider` holds the `tok` tokens of this prefix. 0 is no provider. */
void affinity_put(struct affinity *a, uint64_t prefix, uint64_t provider, int64_t tok);
/* Who held it last; false when nobody is known. */
bool affinity_get(const struct affinity *a, uint64_t prefix, uint64_t *provider, int64_t *tok);

#endif
