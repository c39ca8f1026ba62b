/* The methods of control for request records. */
#include "control/control_priv.h"

#define LIST_DEFAULT 20
#define LIST_MAX     1000

static int need_records(const struct control *c, struct err *err)
{
	return c->opt.records ? 0 : err_set(err, E_UNSUPPORTED, "this node keeps no records");
}

static int append(void *arg, const struct request_record *r, struct err *err)
{
	json_t *j = record_json(r);
	if (!j || json_array_append_new(arg, j) != 0)
		return err_set(err, E_MEMORY, "no memory for request records");
	return 0;
}

/* Without candidates: lists are for reading. */
int control_requests_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	int64_t limit = json_get_int(params, "limit", LIST_DEFAULT);
	size_t i;
	json_t *item;
	(void)notify;
	int rc = need_records(c, err);
	if (rc == 0 && (limit < 1 || limit > LIST_MAX))
		rc = err_set(err, E_INVALID, "limit: a number from 1 to %d", LIST_MAX);
	if (rc)
		return rc;
	json_t *list = json_array();
	rc = records_list(c->opt.records, (size_t)limit, append, list, err);
	json_array_foreach(list, i, item)
	{
		json_object_del(item, "candidates");
	}
	if (rc)
		json_decref(list);
	else
		*result = list;
	return rc;
}

static int take(void *arg, const struct request_record *r, struct err *err)
{
	*(json_t **)arg = record_json(r);
	return *(json_t **)arg ? 0 : err_set(err, E_MEMORY, "no memory for a request record");
}

int control_requests_get(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	int rc = need_records(c, err);
	return rc ? rc
		  : records_get(
			c->opt.records, json_get_string(params, "id", ""), take, result, err);
}

/* They are sent when all are taken: sending parks. */
int control_requests_follow(struct control *c, const json_t *params,
    const struct rpc_notify *notify, json_t **result, struct err *err)
{
	size_t i;
	const json_t *item;
	(void)params;
	(void)result;
	int rc = need_records(c, err);
	if (rc == 0 && !notify)
		rc = err_set(err, E_UNSUPPORTED, "requests.follow works on the Unix socket only");
	uint64_t seq = rc == 0 ? records_seq(c->opt.records) : 0;
	while (rc == 0) {
		json_t *list = json_array();
		rc = records_follow(c->opt.records, &seq, append, list, err);
		json_array_foreach(list, i, item)
		{
			if (rc == 0)
				rc = notify->send(notify->arg,
				    json_pack("{s:s, s:s, s:{s:O?, s:O}}", "jsonrpc", "2.0",
					"method", "requests.ended", "params", "id", notify->id,
					"request", item),
				    err);
		}
		json_decref(list);
	}
	return rc;
}
