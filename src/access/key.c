/* The text of keys, and patterns of models' names. Pure.
 *
 *   og-IIIIIIIISSS…SSSCCCCC   eight characters of id, 43 of secret (256 bits), five of checksum,
 *
 * all of them of 62 letters and digits, so that a double click takes a key whole. */
#include "access/access_priv.h"

#include <string.h>

#define PREFIX       "og-"
#define PREFIX_SIZE  3
#define ID_SIZE      8
#define SECRET_SIZE  43
#define CHECK_SIZE   5
#define BODY_SIZE    (ID_SIZE + SECRET_SIZE)
#define KEY_SIZE     (PREFIX_SIZE + BODY_SIZE + CHECK_SIZE)
#define PATTERNS_MAX 32

_Static_assert(KEY_SIZE < ACCESS_KEY_TEXT_MAX, "a key fits");
_Static_assert(ID_SIZE + 1 == ACCESS_KEY_ID_MAX, "an id fits");

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Six bits at a time; the two values that are no digit are drawn again, so that all are equal. */
static void random_digits(
    void (*draw)(void *arg, void *buf, size_t n), void *arg, char *out, size_t n)
{
	while (n > 0) {
		uint8_t raw[64];
		draw(arg, raw, sizeof raw);
		for (size_t i = 0; i < sizeof raw && n > 0; i++)
			if ((raw[i] & 63) < 62) {
				*out++ = digits[raw[i] & 63];
				n--;
			}
		secret_wipe(raw, sizeof raw);
	}
}

static void checksum(const char *text, char out[CHECK_SIZE])
{
	uint8_t sum[SHA256_SIZE];
	sha256(bytes_of(text, PREFIX_SIZE + BODY_SIZE), sum);
	uint32_t v = get_u32be(sum);
	for (size_t i = 0; i < CHECK_SIZE; i++, v /= 62)
		out[i] = digits[v % 62];
}

void key_make(void (*draw)(void *arg, void *buf, size_t n), void *arg,
    char text[ACCESS_KEY_TEXT_MAX], char id[ACCESS_KEY_ID_MAX])
{
	memcpy(text, PREFIX, PREFIX_SIZE);
	random_digits(draw, arg, text + PREFIX_SIZE, BODY_SIZE);
	checksum(text, text + PREFIX_SIZE + BODY_SIZE);
	text[KEY_SIZE] = '\0';
	memcpy(id, text + PREFIX_SIZE, ID_SIZE);
	id[ID_SIZE] = '\0';
}

int key_parse(const char *text, char id[ACCESS_KEY_ID_MAX], struct err *err)
{
	char sum[CHECK_SIZE];
	if (strnlen(text, KEY_SIZE + 1) != KEY_SIZE || strncmp(text, PREFIX, PREFIX_SIZE) != 0 ||
	    strspn(text + PREFIX_SIZE, digits) != KEY_SIZE - PREFIX_SIZE)
		return err_set(err, E_UNAUTHORIZED,
		    "this is no key of this node (they begin with og- and have %d characters)",
		    KEY_SIZE);
	checksum(text, sum);
	if (memcmp(sum, text + PREFIX_SIZE + BODY_SIZE, CHECK_SIZE) != 0)
		return err_set(err, E_UNAUTHORIZED, "a key with a slip of the pen");
	memcpy(id, text + PREFIX_SIZE, ID_SIZE);
	id[ID_SIZE] = '\0';
	return 0;
}

void key_hash(const char *text, uint8_t out[SHA256_SIZE])
{
	sha256(bytes_str(text), out);
}

/* ---- patterns ------------------------------------------------------------------------------- */

/* "*" is any run of characters, "?" any one. Back to the last star when nothing fits: no worse than
 * the product of the lengths. */
static bool pattern_fits(const char *p, size_t n, const char *s)
{
	size_t i = 0, star = n, mark = 0, k = 0, length = strlen(s);
	while (k < length) {
		if (i < n && p[i] == '*') {
			star = i++;
			mark = k;
		} else if (i < n && (p[i] == '?' || p[i] == s[k])) {
			i++;
			k++;
		} else if (star < n) {
			i = star + 1;
			k = ++mark;
		} else {
			return false;
		}
	}
	while (i < n && p[i] == '*')
		i++;
	return i == n;
}

bool models_fit(const char *patterns, const char *model)
{
	if (!patterns[0])
		return true;
	for (const char *p = patterns; *p;) {
		size_t n = strcspn(p, ",");
		if (pattern_fits(p, n, model))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

int models_check(const char *patterns, struct err *err)
{
	size_t count = 0;
	if (strlen(patterns) >= ACCESS_MODELS_MAX)
		return err_set(
		    err, E_INVALID, "more than %d bytes of model names", ACCESS_MODELS_MAX - 1);
	for (const char *p = patterns; *p;) {
		size_t n = strcspn(p, ",");
		if (n == 0 || (p[n] == ',' && !p[n + 1]) || ++count > PATTERNS_MAX)
			return err_set(err, E_INVALID,
			    n == 0 || p[n] == ',' ? "an empty model name in the list"
						  : "too many model names");
		p += n + (p[n] == ',');
	}
	return 0;
}

int name_check(const char *what, const char *name, struct err *err)
{
	size_t n = strlen(name);
	if (n == 0)
		return err_set(err, E_INVALID, "%s needs a name", what);
	if (n >= ACCESS_NAME_MAX)
		return err_set(err, E_INVALID, "a name of more than %d bytes", ACCESS_NAME_MAX - 1);
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
			return err_set(err, E_INVALID, "a name with control characters");
	return 0;
}

int limits_check(const struct access_limits *l, struct err *err)
{
	if (l->requests_per_min < 0 || l->requests_per_min > BUCKET_RATE_MAX ||
	    l->tokens_per_min < 0 || l->tokens_per_min > BUCKET_RATE_MAX)
		return err_set(err, E_INVALID, "limits are numbers from 0 (none) to %lld",
		    (long long)BUCKET_RATE_MAX);
	return 0;
}
