/* Private key files: whatever is accepted is written back as a file that reads as the same key. */
#include "crypto/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identity id, again;
	char pem[IDENTITY_PEM_MAX];
	struct err err = {0};

	if (identity_from_pem(bytes_of(data, size), &id, &err) != 0) {
		INVARIANT(err.code < 0 && err.text[0]);
		return 0;
	}
	identity_to_pem(&id, pem);
	INVARIANT(identity_from_pem(bytes_str(pem), &again, NULL) == 0);
	INVARIANT(memcmp(&id, &again, sizeof(id)) == 0);
	return 0;
}
