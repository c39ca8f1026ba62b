/* gate: one program for the node, its engine and its commands. */
#include "cli/cli.h"
#include "node/node.h"
#include "provider/engine_main.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is opened next must not pass for a standard stream that was closed. */
static bool fill_standard_streams(void)
{
	int fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = open("/dev/null", O_RDWR);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int print_version(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		printf("{\"version\":\"%s\"}\n", GATE_VERSION);
	else
		printf("gate %s\n", GATE_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	if (!fill_standard_streams())
		return 1;
	if (strcmp(command, "start") == 0)
		return node_main(argc - 1, argv + 1);
	if (strcmp(command, "engine") == 0)
		return engine_main(argc - 1, argv + 1);
	if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
		return print_version(argc - 1, argv + 1);
	if (!command[0] || strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
	    strcmp(command, "-h") == 0) {
		cli_print_help();
		return command[0] ? 0 : 2;
	}
	int status = cli_main(argc - 1, argv + 1);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "gate %s: standard output cannot be written\n", command);
		return status == 0 ? 1 : status;
	}
	return status;
}
