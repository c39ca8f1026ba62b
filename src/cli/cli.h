/* The commands that talk to a running node over its control socket. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* argv[0] is the command ("ask", "peers" …). The process's exit status: 0 ok, 1 failure, 2 usage,
 * 3 no node answers, 5 not found, 124 timeout, 130 interrupted. */
int cli_main(int argc, char **argv);

/* The list of all commands. */
void cli_print_help(void);

#endif
