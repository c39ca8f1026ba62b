/* Noise records: a sequence of genuine, damaged and invented ones. Each step is one byte: its low
 * two bits choose the step, the rest (with the next byte) a length or a place. Only an undamaged
 * record, in its turn, may open, and then holds what was sealed. */
#include "p2p/noise_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_pair(struct noise_cipher *tx, struct noise_cipher *rx)
{
	uint8_t key[32] = {3};

	*tx = *rx = (struct noise_cipher){0};
	INVARIANT(aead_new(key, &tx->aead, NULL) == 0 && aead_new(key, &rx->aead, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(bytes_of(data, size));
	struct noise_cipher tx, rx;
	uint8_t record[NOISE_PREFIX + 2048 + AEAD_TAG_SIZE];
	uint16_t word;
	size_t n, plain_n;
	struct bytes raw;

	open_pair(&tx, &rx);
	while (cursor_u16be(&c, &word)) {
		n = word >> 2 & 2047;
		if (word & 0x8000)
			tx.nonce = rx.nonce = NOISE_NONCE_END - 1;
		if ((word & 3) == 3) { /* invented */
			if (!cursor_take(&c, n, &raw))
				break;
			memcpy(record, raw.p, n);
			INVARIANT(noise_open(&rx, record, n, &plain_n, NULL) != 0);
			break;
		}
		memset(record + NOISE_PREFIX, (int)(n & 255), n);
		if (noise_seal(&tx, record, n, NULL) != 0)
			break;
		INVARIANT(get_u16be(record) == n + AEAD_TAG_SIZE);
		if ((word & 3) == 2) { /* damaged */
			record[NOISE_PREFIX + (n + (size_t)(word >> 13)) % (n + AEAD_TAG_SIZE)] ^=
			    1;
			INVARIANT(noise_open(&rx, record + NOISE_PREFIX, n + AEAD_TAG_SIZE,
				      &plain_n, NULL) != 0);
			break;
		}
		INVARIANT(
		    noise_open(&rx, record + NOISE_PREFIX, n + AEAD_TAG_SIZE, &plain_n, NULL) == 0);
		INVARIANT(plain_n == n && (n == 0 || record[NOISE_PREFIX + n - 1] == (n & 255)));
	}
	noise_cipher_close(&tx);
	noise_cipher_close(&rx);
	return 0;
}
