/* One program for Kademlia's cores. */
#include "crypto/crypto.h"
#include "kad_help.h"

int main(void)
{
	int failed = crypto_init(NULL) != 0;

	failed += run_kad_wire_tests();
	failed += run_kad_table_tests();
	failed += run_kad_lookup_tests();
	failed += run_kad_store_tests();
	return failed ? 1 : 0;
}
