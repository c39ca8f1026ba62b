/* One program for the crypto room. */
#include "crypto/crypto.h"
#include "suites.h"

struct bytes unhex(int slot, const char *hex)
{
	static uint8_t slots[8][4096];
	size_t n = strlen(hex) / 2;

	assert_true(n <= sizeof(slots[0]));
	assert_int_equal(hex_decode(bytes_str(hex), slots[slot], n), 0);
	return bytes_of(slots[slot], n);
}

int main(void)
{
	int failed = crypto_init(NULL) != 0;

	failed += run_hash_tests();
	failed += run_identity_tests();
	failed += run_public_key_tests();
	failed += run_peer_id_tests();
	failed += run_cpace_tests();
	failed += run_ed25519_keys_tests();
	failed += run_sealed_tests();
	return failed ? 1 : 0;
}
