/* The commands that talk to a running node over its control socket. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

/* `gate start` belongs to the node's room: what help and completion have to know of it. */
struct cli_start {
	void (*print_help)(FILE *out);
	/* Calls fn for each flag; metavar is NULL for a switch, which also has a --no- form. */
	void (*each_flag)(
	    void (*fn)(void *arg, const char *flag, const char *metavar, const char *help),
	    void *arg);
};

/* argv[0] is the command ("ask", "peers", "help" …; "" for none). The process's exit status: 0 ok,
 * 1 failure, 2 usage, 3 no node answers, 4 not allowed, 5 not found, 124 timeout, 130 interrupted.
 * With --json each failure is one document on standard output: {"error":{"code","message"}}. */
int cli_main(int argc, char **argv, const struct cli_start *start);

#endif
