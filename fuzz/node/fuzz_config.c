/* A settings file, whatever its bytes: read, or refused with a place in the message. */
#include "node/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	struct err err = {0};

	config_defaults(&config);
	int rc = config_read_document(&config, "gate.toml", (const char *)data, size, &err);
	if (rc != 0 && (rc != E_INVALID || strncmp(err.text, "gate.toml, line ", 16) != 0))
		abort();
	if (rc == 0 && (config.n_bootstrap > CONFIG_BOOTSTRAP_MAX || !config.request_timeout_s))
		abort();
	return 0;
}
