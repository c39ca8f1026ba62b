/* What several peers' views of one port say about the router between. */
#include "p2p/mapping_priv.h"

#include <string.h>

static bool is_own(const struct netaddr *seen, const struct netaddr *own, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (own[i].family == seen->family &&
		    memcmp(own[i].ip, seen->ip, sizeof seen->ip) == 0)
			return true;
	return false;
}

/* One who sees us as we are says nothing about a router; nor does a single one behind it, except
 * that it is there. */
void mapping_judge(const struct netaddr *seen, size_t n, const struct netaddr *own, size_t n_own,
    struct p2p_mapping_info *out)
{
	*out = (struct p2p_mapping_info){.kind = n > 0 ? P2P_MAPPING_NONE : P2P_MAPPING_UNKNOWN};
	for (size_t i = 0; i < n; i++) {
		if (is_own(&seen[i], own, n_own))
			continue;
		if (out->peers < P2P_MAPPING_SEEN_MAX)
			out->seen[out->peers] = seen[i];
		if (out->peers == 0)
			out->kind = P2P_MAPPING_UNKNOWN;
		else if (!netaddr_equal(&seen[i], &out->seen[0]))
			out->kind = P2P_MAPPING_BY_PEER;
		else if (out->kind == P2P_MAPPING_UNKNOWN)
			out->kind = P2P_MAPPING_ONE;
		out->peers++;
	}
}
