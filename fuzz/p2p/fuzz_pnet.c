/* The key file of a private network. A key that was read reads the same from its canonical form. */
#include "base/encode.h"
#include "p2p/pnet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pnet_key key, again;
	struct buf text = BUF_INIT(256);
	char hex[2 * PNET_KEY_SIZE + 1];
	int rc = pnet_key_parse(bytes_of(data, size), &key, NULL);

	if (rc != 0 && rc != E_FORMAT)
		abort();
	if (rc != 0)
		return 0;
	hex_encode(bytes_of(key.bytes, sizeof key.bytes), hex);
	buf_printf(&text, "/key/swarm/psk/1.0.0/\n/base16/\n%s\n", hex);
	if (pnet_key_parse(buf_view(&text), &again, NULL) != 0 ||
	    memcmp(key.bytes, again.bytes, sizeof key.bytes) != 0)
		abort();
	buf_free(&text);
	return 0;
}
