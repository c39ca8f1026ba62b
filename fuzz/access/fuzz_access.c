/* What access reads from strangers and owners. The first byte chooses: a key's text; patterns and a
 * model's name, against a plain matcher; scopes; a sequence of takes, charges and waits on a token
 * bucket, against exact fractions. */
#include "access/access_priv.h"

#include <stdlib.h>
#include <string.h>

static void check(bool ok)
{
	if (!ok)
		abort();
}

static char *text_of(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	check(copy != NULL);
	memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

static void key(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), id[ACCESS_KEY_ID_MAX];
	if (key_parse(text, id, NULL) == 0) {
		check(strlen(text) == 59 && strncmp(text + 3, id, 8) == 0);
		text[20] = text[20] == 'x' ? 'y' : 'x';
		check(key_parse(text, id, NULL) == E_UNAUTHORIZED);
	}
	free(text);
}

/* One pattern, by the book; for short ones. */
static bool plain_fits(const char *p, size_t n, const char *s)
{
	if (n == 0)
		return *s == '\0';
	if (*p == '*')
		return plain_fits(p + 1, n - 1, s) || (*s && plain_fits(p, n, s + 1));
	return *s && (*p == '?' || *p == *s) && plain_fits(p + 1, n - 1, s + 1);
}

static void patterns(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), *model = strchr(text, '\n');
	size_t stars = 0;
	if (model && models_check((*model++ = '\0', text), NULL) == 0) {
		for (const char *p = text; *p; p++)
			stars += *p == '*';
		bool fits = text[0] == '\0';
		for (const char *p = text; stars < 6 && strlen(model) < 40 && *p;) {
			size_t n = strcspn(p, ",");
			fits = fits || plain_fits(p, n, model);
			p += n + (p[n] == ',');
		}
		bool found = models_fit(text, model);
		check(stars >= 6 || strlen(model) >= 40 || found == fits);
	}
	free(text);
}

static void scopes(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), again[ACCESS_NAME_MAX];
	unsigned rights, same;
	if (access_rights_parse(text, &rights, NULL) == 0) {
		check((rights & ~(unsigned)ACCESS_RIGHTS_ALL) == 0);
		access_rights_print(rights, again);
		check(access_rights_parse(again, &same, NULL) == 0 && same == rights);
	}
	free(text);
}

/* Levels in 60-billionths of a token, which nothing rounds. */
static void bucket(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(bytes_of(data, size));
	struct token_bucket b = {0};
	struct instant now = {1};
	uint32_t per_min = 0, burst = 0, step = 0;
	uint16_t amount = 0;
	uint8_t what;
	cursor_u32be(&c, &per_min);
	cursor_u32be(&c, &burst);
	struct bucket_rate rate = {1 + per_min % 1000000, 1 + burst % 1000000};
	const __int128 unit = INT64_C(60000000000), full = rate.burst * unit;
	__int128 level = full, slack = 0;
	while (cursor_u8(&c, &what) && cursor_u16be(&c, &amount) && cursor_u32be(&c, &step)) {
		now = instant_add(now, duration_ns(step));
		level += (__int128)step * rate.per_min;
		level = level < full ? level : full;
		slack += rate.per_min; /* each step rounds by less than a nanosecond */
		__int128 need = (amount < rate.burst ? amount : rate.burst) * unit;
		if (what & 1) {
			bool taken = token_bucket_take(&b, rate, amount, now).ns == 0;
			check(taken == (amount == 0 || level >= need) ||
			      (level - need < slack && need - level < slack));
			level -= taken ? amount * unit : 0;
		} else {
			int64_t n = what & 2 ? -(int64_t)amount : amount;
			token_bucket_charge(&b, rate, n, 1000000000, now);
			level -= n * unit;
			level = level < full ? level : full;
		}
		__int128 seen = token_bucket_level(&b, rate, now) * unit;
		check(seen <= level + slack && seen >= level - unit - slack);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const all[])(const uint8_t *, size_t) = {key, patterns, scopes, bucket};
	if (size > 0)
		all[data[0] % 4](data + 1, size - 1);
	return 0;
}
