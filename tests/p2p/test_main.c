/* One program for the protocol cores of the p2p room. */
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

	failed += run_multiaddr_tests();
	failed += run_pb_tests();
	failed += run_mss_tests();
	failed += run_noise_tests();
	failed += run_yamux_tests();
	failed += run_yamux_property_tests();
	failed += run_identify_tests();
	failed += run_mdns_tests();
	failed += run_bans_tests();
	failed += run_relay_core_tests();
	failed += run_resources_tests();
	failed += run_gossip_wire_tests();
	failed += run_gossip_tests();
	failed += run_gossip_score_tests();
	failed += run_gossip_unwanted_tests();
	return failed ? 1 : 0;
}
