/* Requests, any number after one another, in different cuts. */
#include "split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size <= 65536)
		check_splits(bytes_of(data, size), false);
	return 0;
}
