/* What the tests of Kademlia's cores share: peers by number, chance by seed. */
#ifndef TESTS_P2P_KAD_HELP_H
#define TESTS_P2P_KAD_HELP_H

#include "p2p/kad_wire_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)

int run_kad_lookup_tests(void);
int run_kad_store_tests(void);
int run_kad_table_tests(void);
int run_kad_wire_tests(void);

/* SplitMix64. */
static inline uint64_t draw(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15u);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline struct peer_id peer_of(uint64_t n)
{
	uint8_t digest[2 + SHA256_SIZE] = {0x12, SHA256_SIZE};
	struct peer_id id;

	put_u64be(digest + 2, n);
	OK(peer_id_from_bytes(bytes_of(digest, sizeof digest), &id, NULL));
	return id;
}

static inline struct multiaddr addr_of(const char *text)
{
	struct multiaddr m;

	OK(multiaddr_parse(bytes_str(text), &m, NULL));
	return m;
}

#endif
