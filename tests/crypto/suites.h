/* The groups of the crypto room's test program; each returns its number of failures. */
#ifndef TESTS_CRYPTO_SUITES_H
#define TESTS_CRYPTO_SUITES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encode.h"

/* Hex digits of a test vector as bytes in a static buffer that the next call of the same `slot`
 * (0..7) reuses. Bad hex is a test failure. */
struct bytes unhex(int slot, const char *hex);

int run_hash_tests(void);
int run_identity_tests(void);
int run_public_key_tests(void);
int run_peer_id_tests(void);
int run_cpace_tests(void);
int run_ed25519_keys_tests(void);
int run_sealed_tests(void);

#endif
