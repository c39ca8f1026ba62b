/* One program for the base room. */
#include "suites.h"

int main(void)
{
	int failed = 0;

	failed += run_bucket_tests();
	failed += run_bytes_tests();
	failed += run_encode_tests();
	failed += run_err_tests();
	failed += run_log_tests();
	return failed ? 1 : 0;
}
