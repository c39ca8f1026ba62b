/* gate proxy: a port of this machine that stands for a service of a member. The node has it open as
 * long as this command runs. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

int cli_prepare_proxy(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	int rc = cli_no_words(cli, err);
	if (rc)
		return rc;
	if (!o->to)
		return err_set(err, E_INVALID, "whose service? gate proxy --to NODE");
	cli->params = json_pack("{s:s, s:b}", "node", o->to, "any_host", o->any_host);
	if (o->service)
		json_object_set_new(cli->params, "service", json_string(o->service));
	if (o->listen)
		json_object_set_new(cli->params, "listen", json_string(o->listen));
	return 0;
}

static void print_ready(struct cli *cli, const json_t *params)
{
	const struct cli_options *o = cli->opt;
	const char *address = cli_text_of(params, "address");
	cli->listening = true;
	if (o->json) {
		json_t *j = json_pack("{s:s, s:s, s:s}", "address", address, "node", o->to,
		    "service", o->service ? o->service : "*");
		cli_print_json(j);
		json_decref(j);
	} else {
		printf("Forwarding http://%s → %s/%s (Ctrl-C ends it)\n", address, o->to,
		    o->service ? o->service : "(its only service)");
	}
	fflush(stdout);
	if (strncmp(address, "127.", 4) != 0 && strncmp(address, "[::1]", 5) != 0)
		fprintf(stderr, "everybody who reaches %s may use it\n", address);
}

/* It never ends by itself: Ctrl-C, or --timeout, is how it is meant to end. */
int cli_run_proxy(struct cli *cli, struct err *err)
{
	json_t *result = NULL, *params = cli->params;
	cli->params = NULL;
	int rc = cli_call(cli, "proxy.open", params, print_ready, &result, err);
	json_decref(result);
	return cli->listening && (rc == E_CANCELLED || rc == E_TIMEOUT) ? 0 : rc;
}
