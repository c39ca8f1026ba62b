/* How the router in front of this host maps one port of ours towards several peers: pure. */
#ifndef P2P_MAPPING_PRIV_H
#define P2P_MAPPING_PRIV_H

#include "p2p/reach.h"

/* `seen`: where peers, each at an address of its own, saw connections that left from one port of
 * ours. `own`: this machine's addresses; their ports do not count. */
void mapping_judge(const struct netaddr *seen, size_t n, const struct netaddr *own, size_t n_own,
    struct p2p_mapping_info *out);

#endif
