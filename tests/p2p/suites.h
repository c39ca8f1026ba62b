/* The groups of the p2p cores' test program; each returns its number of failures. */
#ifndef TESTS_P2P_SUITES_H
#define TESTS_P2P_SUITES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encode.h"

/* Hex digits of a test vector as bytes in a static buffer that the next call of the same `slot`
 * (0..7) reuses. Bad hex is a test failure. */
struct bytes unhex(int slot, const char *hex);

int run_bans_tests(void);
int run_gossip_score_tests(void);
int run_gossip_tests(void);
int run_gossip_unwanted_tests(void);
int run_gossip_wire_tests(void);
int run_identify_tests(void);
int run_mdns_tests(void);
int run_mss_tests(void);
int run_multiaddr_tests(void);
int run_noise_tests(void);
int run_pb_tests(void);
int run_relay_core_tests(void);
int run_resources_tests(void);
int run_yamux_property_tests(void);
int run_yamux_tests(void);

#endif
