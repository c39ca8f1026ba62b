/* The connection to a node: finding its socket, and JSON-RPC over it. */
#include "cli/cli_priv.h"
#include "control/home.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_SIZE      4096
#define LINE_MAX_BYTES (64u << 20)

/* ---- finding the node ---------------------------------------------------------------------- */

static int dial(struct cli *cli, const char *data_dir, struct err *err)
{
	struct buf path = BUF_INIT(CLI_PATH_MAX * 2);
	buf_printf(&path, "%s/control.sock", data_dir);
	int rc = world_unix_dial(cli->world, buf_cstr(&path), &cli->control, err);
	buf_free(&path);
	return rc;
}

static int no_node(const char *where, struct err *err)
{
	return err_set(err, E_REFUSED, "no node is running%s%s (start one with \"gate start\")",
	    where[0] ? " in " : "", where);
}

static int not_allowed(const char *where, struct err *err)
{
	return err_set(err, E_FORBIDDEN,
	    "permission denied: %s belongs to another user; run gate as that user (sudo -u USER "
	    "gate …)",
	    where);
}

/* What a failure to connect to the node in `data_dir` means. */
static int explain(int rc, const char *data_dir, struct err *err)
{
	if (rc == E_NOT_FOUND || rc == E_REFUSED)
		return no_node(data_dir, err);
	if (rc == E_FORBIDDEN)
		return not_allowed(data_dir, err);
	return rc ? err_wrap(err, rc, "%s", data_dir) : 0;
}

/* The only node that runs. */
static int dial_any(struct cli *cli, const char *base, struct err *err)
{
	struct buf running = BUF_INIT(1024), path = BUF_INIT(CLI_PATH_MAX * 2);
	size_t found = 0, denied = 0;
	DIR *dir = opendir(base);
	int why = dir ? 0 : errno;
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		struct stream *before = cli->control;
		buf_reset(&path);
		buf_printf(&path, "%s/%s", base, entry->d_name);
		int rc = entry->d_name[0] == '.' ? E_NOT_FOUND : dial(cli, buf_cstr(&path), NULL);
		denied += rc == E_FORBIDDEN;
		if (rc)
			continue;
		stream_close(before);
		buf_printf(&running, "%s%s", found++ ? ", " : "", entry->d_name);
	}
	if (dir)
		closedir(dir);
	int rc = 0;
	if (found == 0 && (denied > 0 || why == EACCES))
		rc = not_allowed(base, err);
	else if (found == 0)
		rc = no_node("", err);
	else if (found > 1)
		rc = err_set(err, E_INVALID,
		    "several nodes are running (%s): say which with --node-id", buf_cstr(&running));
	buf_free(&running);
	buf_free(&path);
	return rc;
}

int cli_data_dir(const struct cli_options *o, char out[CLI_PATH_MAX], struct err *err)
{
	char base[CLI_PATH_MAX];
	if (o->data_dir[0]) {
		memcpy(out, o->data_dir, CLI_PATH_MAX);
		return 0;
	}
	int rc = control_home(base, sizeof base, err);
	if (rc)
		return rc;
	bool named = o->node_id && o->node_id[0];
	int n = snprintf(out, CLI_PATH_MAX, "%s/%.64s", base, named ? o->node_id : "default");
	if (n < 0 || n >= CLI_PATH_MAX)
		return err_set(err, E_INVALID, "the path to the data is too long");
	return 0;
}

int cli_connect(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	if (o->data_dir[0])
		return explain(dial(cli, o->data_dir, err), o->data_dir, err);
	char base[CLI_PATH_MAX], path[CLI_PATH_MAX];
	int rc = control_home(base, sizeof base, err);
	if (rc)
		return rc;
	if (!o->node_id || !o->node_id[0])
		return dial_any(cli, base, err);
	rc = cli_data_dir(o, path, err);
	if (rc)
		return rc;
	return explain(dial(cli, path, err), path, err);
}

/* ---- calls --------------------------------------------------------------------------------- */

static int send_call(struct cli *cli, int id, const char *method, json_t *params, struct err *err)
{
	json_t *call = json_pack("{s:s, s:i, s:s}", "jsonrpc", "2.0", "id", id, "method", method);
	if (params)
		json_object_set_new(call, "params", params);
	struct buf line = BUF_INIT(LINE_MAX_BYTES);
	int rc = json_write(call, &line, err);
	json_decref(call);
	buf_str(&line, "\n");
	if (rc == 0)
		rc = buf_ok(&line, err);
	if (rc == 0)
		rc = stream_write(cli->control, line.p, line.n, err);
	buf_free(&line);
	return rc;
}

static int read_message(struct cli *cli, json_t **out, struct err *err)
{
	size_t searched = 0; /* of the input: has no newline */
	for (;;) {
		size_t fresh = cli->in.n - searched;
		uint8_t *newline = fresh ? memchr(cli->in.p + searched, '\n', fresh) : NULL;
		if (newline) {
			size_t n = (size_t)(newline - cli->in.p);
			int rc = json_read(bytes_of(cli->in.p, n), out, err);
			buf_consume(&cli->in, n + 1);
			return rc;
		}
		searched = cli->in.n;
		char piece[READ_SIZE];
		ssize_t n = stream_read(cli->control, piece, sizeof piece, err);
		cli->out_of_reach = n == 0 || n == E_RESET;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(err, E_CLOSED, "the node ended the connection");
		buf_put(&cli->in, piece, (size_t)n);
		int rc = buf_ok(&cli->in, err);
		if (rc)
			return rc;
	}
}

static int node_error(const json_t *error, struct err *err)
{
	const char *name = json_get_string(json_object_get(error, "data"), "name", "");
	return err_set(err, err_code_of(name, E_UPSTREAM), "%s",
	    json_get_string(error, "message", "the node failed without saying why"));
}

int cli_call(struct cli *cli, const char *method, json_t *params,
    void (*notify)(struct cli *cli, const json_t *params), json_t **result, struct err *err)
{
	int id = ++cli->next_id;
	int rc = send_call(cli, id, method, params, err);
	while (rc == 0) {
		json_t *message;
		rc = read_message(cli, &message, err);
		if (rc)
			break;
		const json_t *error = json_object_get(message, "error");
		/* A call that could not even be read is refused without its id. */
		bool answer = json_get_int(message, "id", -1) == id ||
			      (error && json_is_null(json_object_get(message, "id")));
		if (answer && error)
			rc = node_error(error, err);
		else if (answer)
			*result = json_incref(json_object_get(message, "result"));
		else if (notify && json_object_get(message, "method"))
			notify(cli, json_object_get(message, "params"));
		json_decref(message);
		if (answer)
			break;
	}
	return rc;
}
