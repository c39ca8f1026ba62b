/* A set-associative table: a fingerprint may stand in WAYS places, the oldest of them makes room.
 */
#include "schedule/affinity.h"

#include <stdlib.h>

#define WAYS 4
#define SETS (AFFINITY_MAX / WAYS)

struct held {
	uint64_t prefix, provider;
	int64_t tok;
	uint64_t age; /* the larger, the newer; 0: empty */
};

struct affinity {
	uint64_t clock;
	struct held sets[SETS][WAYS];
};

struct affinity *affinity_new(void)
{
	return calloc(1, sizeof(struct affinity));
}

void affinity_free(struct affinity *a)
{
	free(a);
}

void affinity_put(struct affinity *a, uint64_t prefix, uint64_t provider, int64_t tok)
{
	struct held *set = a->sets[prefix % SETS], *slot = &set[0];
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].age && set[i].prefix == prefix) {
			slot = &set[i];
			break;
		}
		if (set[i].age < slot->age)
			slot = &set[i];
	}
	*slot = (struct held){prefix, provider, tok, ++a->clock};
}

bool affinity_get(const struct affinity *a, uint64_t prefix, uint64_t *provider, int64_t *tok)
{
	const struct held *set = a->sets[prefix % SETS];
	for (size_t i = 0; i < WAYS; i++) {
		if (!set[i].age || set[i].prefix != prefix)
			continue;
		*provider = set[i].provider;
		*tok = set[i].tok;
		return true;
	}
	return false;
}
