/* Error bodies. The table of base/err.h says what each of our codes looks like on the wire; reading
 * one back trusts it only as far as it fits the HTTP status. */
#include "dialect/openai_priv.h"

#include <stdio.h>

void openai_error_write(const struct err *why, struct buf *out)
{
	const struct err_info *info = err_info(why->code);

	buf_str(out, "{\"error\":{\"message\":");
	json_put_text(out, bytes_str(err_text(why)));
	buf_printf(out, ",\"type\":\"%s\",\"param\":", info->openai_type);
	if (why->param[0])
		json_put_text(out, bytes_str(why->param));
	else
		buf_str(out, "null");
	buf_printf(out, ",\"code\":\"%s\"}}", info->openai_code);
}

static int code_of_status(int status)
{
	switch (status) {
	case 400:
	case 422:
		return E_INVALID;
	case 401:
		return E_UNAUTHORIZED;
	case 403:
		return E_FORBIDDEN;
	case 404:
		return E_NOT_FOUND;
	case 405:
		return E_METHOD;
	case 408:
	case 504:
		return E_TIMEOUT;
	case 413:
		return E_TOO_LARGE;
	case 429:
		return E_BUSY;
	case 503:
		return E_UNAVAILABLE;
	case 508:
		return E_LOOP;
	default:
		return E_UPSTREAM;
	}
}

/* The code that the body names, when it is one that an upstream may claim. */
static int claimed_code(const json_t *error, int status)
{
	const char *name = json_get_string(error, "code", "");
	int code = err_code_of(name, 0);

	if (code == 0 || strcmp(err_info(code)->openai_code, name) != 0)
		return 0;
	if (err_info(code)->blame == ERR_BUG || code == E_CANCELLED)
		return 0;
	return status == 0 || err_info(code)->http_status == status ? code : 0;
}

/* What an error object, or Ollama's {"error":"text"}, says. */
static int set_error(const json_t *error, int status, struct err *err)
{
	const char *message = json_is_string(error) ? json_string_value(error)
						    : json_get_string(error, "message", "");
	int code = claimed_code(error, status);

	if (code == 0)
		code = code_of_status(status);
	if (*message)
		err_set(err, code, "%s", message);
	else if (status != 0)
		err_set(err, code, "the provider answered with HTTP status %d", status);
	else
		err_set(err, code, "the provider reported an error");
	if (err && err_info(code)->blame == ERR_SELF)
		snprintf(err->param, sizeof(err->param), "%s", json_get_string(error, "param", ""));
	return code;
}

int openai_error_in(const json_t *root, int status, struct err *err)
{
	const json_t *error = json_object_get(root, "error");

	return error && !json_is_null(error) ? set_error(error, status, err) : 0;
}

int openai_error_parse(struct bytes body, int status, struct err *err)
{
	json_t *root = NULL;
	int code;

	if (json_read(body, &root, NULL) != 0)
		root = NULL;
	code = set_error(json_object_get(root, "error"), status, err);
	json_decref(root);
	return code;
}
