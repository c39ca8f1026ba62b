/* The example's part in the DHT: p2p-peer-kad.c serves it and asks it. */
#ifndef EXAMPLES_P2P_PEER_KAD_H
#define EXAMPLES_P2P_PEER_KAD_H

#include "p2p/kad.h"

#define PEER_KAD_VERBS_MAX     8
#define PEER_KAD_BOOTSTRAP_MAX 8

enum {
	OPT_BOOTSTRAP = 512,
	OPT_KAD_CLIENT,
	OPT_KAD_FIND,
	OPT_KAD_PUT,
	OPT_KAD_GET,
	OPT_KAD_PROVIDE,
	OPT_KAD_PROVIDERS
};

#define PEER_KAD_OPTIONS                                                                           \
	{"bootstrap", required_argument, NULL, OPT_BOOTSTRAP},                                     \
	    {"kad-client", no_argument, NULL, OPT_KAD_CLIENT},                                     \
	    {"kad-find", required_argument, NULL, OPT_KAD_FIND},                                   \
	    {"kad-put", required_argument, NULL, OPT_KAD_PUT},                                     \
	    {"kad-get", required_argument, NULL, OPT_KAD_GET},                                     \
	    {"kad-provide", required_argument, NULL, OPT_KAD_PROVIDE},                             \
	{                                                                                          \
		"kad-providers", required_argument, NULL, OPT_KAD_PROVIDERS                        \
	}

#define PEER_KAD_USAGE                                                                             \
	"\n"                                                                                       \
	"The DHT /ipfs/kad/1.0.0, which takes any value under /og/:\n"                             \
	"  --bootstrap MULTIADDR     a peer to begin with; may be repeated\n"                      \
	"  --kad-client              ask, but do not serve\n"                                      \
	"  --kad-find PEER           print the addresses of a peer, then end\n"                    \
	"  --kad-put KEY=VALUE       store a value, then end\n"                                    \
	"  --kad-get KEY             print a value, then end\n"                                    \
	"  --kad-provide CIDHEX      announce that we provide it, and stay\n"                      \
	"  --kad-providers CIDHEX    print who provides it, then end\n"

struct peer_kad_verb {
	int which;
	const char *value; /* of the command line */
};

struct peer_kad_options {
	struct multiaddr bootstrap[PEER_KAD_BOOTSTRAP_MAX];
	size_t n_bootstrap;
	struct peer_kad_verb verbs[PEER_KAD_VERBS_MAX];
	size_t n_verbs;
	bool client;
};

/* An option of PEER_KAD_OPTIONS. E_INVALID for any other. */
int peer_kad_option(
    struct peer_kad_options *opt, int which, const char *value, struct err *err) WARN_UNUSED;

/* [parks] Joins the DHT and does what the verbs ask for; *stay says whether to serve on. */
int peer_kad_run(struct p2p_host *h, const struct peer_kad_options *opt, struct p2p_kad **out,
    bool *stay, struct err *err) WARN_UNUSED;

#endif
