/* gate: one program for the node, its engine and its commands. */
#include "cli/cli.h"
#include "node/config.h"
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

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	if (!fill_standard_streams())
		return 1;
	if (strcmp(command, "start") == 0)
		return node_main(argc - 1, argv + 1);
	if (strcmp(command, "engine") == 0)
		return engine_main(argc - 1, argv + 1);
	static const struct cli_start start = {config_print_help, config_each_flag};
	char *nothing[] = {(char *)"", NULL};
	int status = argc > 1 ? cli_main(argc - 1, argv + 1, &start) : cli_main(1, nothing, &start);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "gate %s: standard output cannot be written\n", command);
		return status == 0 ? 1 : status;
	}
	return status;
}
