/* Members of clusters in a simulated universe, for tests. */
#ifndef TESTS_CLUSTER_MEMBER_HELP_H
#define TESTS_CLUSTER_MEMBER_HELP_H

#include "host_help.h"

#include "cluster/cluster_priv.h"
#include "provider/provider.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct member {
	struct node node;
	const char *label;
	char dir[64];
	struct catalog *catalog;
	struct p2p_kad *kad;
	struct p2p_gossip *gossip;
	struct cluster *cluster;
	struct provider fake;
	struct catalog_entry *local;
};

struct how {
	const char *name, *key;
	const struct member *through; /* bootstrap peer */
	bool bare;                    /* its address without /p2p */
	bool auto_accept, mdns, dht, gossip;
	const char *token;
	const char *machine; /* shared with others; else its own */
	uint16_t port;
};

/* What serve_model's provider offers. */
extern struct model_entry one_model;

/* A member's host, without a cluster yet. */
void host_up(struct net *n, struct member *m, const char *label, const struct how *how);
int member_join(struct member *m, const struct how *how, struct err *err);
/* Both in one. */
void up(struct net *n, struct member *m, const char *label, struct how how);
void down(struct member *m);
void serve_model(struct member *m);

/* Its row of the other. */
struct cluster_peer row_of(const struct member *m, const struct member *of);
bool sees(const struct member *m, const struct member *of);
bool together(const struct member *a, const struct member *b);

/* A story as a test of cmocka. */
void in_net(void **state);

#define STORY(fn)                                                                                  \
	{                                                                                          \
#fn, in_net, NULL, NULL, &(void (*[1])(struct net *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

#endif
