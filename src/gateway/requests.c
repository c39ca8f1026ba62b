/* Records of requests, for those who made them: see requests.h. */
#include "gateway/requests.h"

#include "dialect/json.h"

#include <string.h>

#define BODY_MAX (256u << 10)

struct found {
	const struct access_grant *grant;
	json_t *json;
};

static int take(void *arg, const struct request_record *r, struct err *err)
{
	struct found *f = arg;
	if (!access_may_read(f->grant->access ? f->grant : NULL, r->owner))
		return E_NOT_FOUND;
	f->json = record_json(r);
	return f->json ? 0 : err_set(err, E_MEMORY, "no memory for a request record");
}

int requests_get(
    struct http_exchange *x, struct records *book, const struct access_grant *g, struct err *err)
{
	char id[64];
	struct found f = {.grant = g};
	struct buf body = BUF_INIT(BODY_MAX);
	const char *path = http_head_path(http_request(x)) + strlen(REQUESTS_PATH);
	int rc = http_percent_decode(path, id, sizeof id);
	if (rc || !book)
		return err_set(err, E_NOT_FOUND, "no such request is known");
	rc = records_get(book, id, take, &f, err);
	if (rc == 0)
		rc = json_write(f.json, &body, err);
	json_decref(f.json);
	if (rc == 0)
		rc = http_respond(x, 200, "application/json", buf_view(&body), err);
	buf_free(&body);
	return rc;
}

struct record_origin requests_origin(const struct access_grant *g)
{
	static const enum record_source sources[] = {
	    [ACCESS_BY_ADDRESS] = RECORD_ADDRESS,
	    [ACCESS_BY_KEY] = RECORD_KEY,
	    [ACCESS_BY_PEER] = RECORD_PEER,
	};
	return (struct record_origin){sources[g->source], g->name, g->owner};
}
