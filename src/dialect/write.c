/* Pieces of JSON that several dialects write: see write_priv.h. */
#include "dialect/write_priv.h"

#include "base/encode.h"
#include "dialect/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void put_member_number(struct buf *out, const char *key, bool has, double v)
{
	if (has)
		buf_printf(out, ",\"%s\":%.17g", key, v);
}

void put_member_int(struct buf *out, const char *key, int64_t v)
{
	buf_printf(out, ",\"%s\":%lld", key, (long long)v);
}

void put_member_text(struct buf *out, const char *key, struct bytes v)
{
	buf_printf(out, ",\"%s\":", key);
	json_put_text(out, v);
}

void put_arguments_object(struct buf *out, struct bytes arguments)
{
	json_t *v = NULL;

	if (arguments.n == 0) {
		buf_str(out, "{}");
	} else if (json_read(arguments, &v, NULL) == 0 && json_is_object(v)) {
		if (json_write(v, out, NULL) != 0)
			out->failed = true;
	} else {
		buf_str(out, "{\"" ARGUMENTS_RAW "\":");
		json_put_text(out, arguments);
		buf_u8(out, '}');
	}
	json_decref(v);
}

/* ---- log probabilities --------------------------------------------------------------------- */

static void put_token(struct buf *out, const struct inference_logprob *l)
{
	buf_str(out, "{\"token\":");
	json_put_text(out, l->token);
	/* JSON has no infinities: an impossible token's is as small as clients expect it */
	put_member_number(out, "logprob", true, l->logprob >= -9999 ? l->logprob : -9999);
	buf_str(out, ",\"bytes\":[");
	for (size_t i = 0; i < l->token.n; i++)
		buf_printf(out, i ? ",%u" : "%u", l->token.p[i]);
	buf_u8(out, ']');
}

void put_logprobs(struct buf *out, const struct inference_logprob *l, size_t n)
{
	buf_u8(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_u8(out, ',');
		put_token(out, &l[i]);
		buf_str(out, ",\"top_logprobs\":[");
		for (size_t k = 0; k < l[i].n_top; k++) {
			if (k > 0)
				buf_u8(out, ',');
			put_token(out, &l[i].top[k]);
			buf_u8(out, '}');
		}
		buf_str(out, "]}");
	}
	buf_u8(out, ']');
}

/* ---- times: RFC 3339 ----------------------------------------------------------------------- */

void put_time(struct buf *out, int64_t unix_us)
{
	time_t s = (time_t)(unix_us / 1000000);
	struct tm tm;

	if (unix_us < 0 || !gmtime_r(&s, &tm)) {
		buf_str(out, "\"1970-01-01T00:00:00Z\"");
		return;
	}
	buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(unix_us % 1000000));
}

/* "+02:00" in seconds; 0 for "Z" and for anything else. */
static int64_t offset_of(const char *zone)
{
	int hours, minutes;
	char sign;

	if (sscanf(zone, "%c%2d:%2d", &sign, &hours, &minutes) != 3 || hours > 23 || minutes > 59)
		return 0;
	return (sign == '-' ? -1 : sign == '+' ? 1 : 0) * (hours * 3600LL + minutes * 60LL);
}

int64_t time_of_text(const char *text)
{
	struct tm tm = {0};
	int used = 0;
	int64_t s;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		&tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    tm.tm_year < 1970)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	s = (int64_t)timegm(&tm);
	text += used;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	s -= offset_of(text);
	return s > 0 ? s : 0;
}

/* ---- data: URLs (RFC 2397) ----------------------------------------------------------------- */

bool data_url_split(struct bytes url, struct bytes *type, struct bytes *base64)
{
	static const char begin[] = "data:", middle[] = ";base64,";
	const uint8_t *at;

	if (url.n < sizeof begin || memcmp(url.p, begin, sizeof begin - 1) != 0)
		return false;
	at = memmem(url.p, url.n, middle, sizeof middle - 1);
	if (!at)
		return false;
	*type = bytes_of(url.p + sizeof begin - 1, (size_t)(at - url.p) - (sizeof begin - 1));
	at += sizeof middle - 1;
	*base64 = bytes_of(at, url.n - (size_t)(at - url.p));
	return type->n > 0;
}
