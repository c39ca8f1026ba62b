/* When to colour. SPEC no-color.org, bixense.com/clicolors. */
#include "cli/cli_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_set(const char *name)
{
	const char *value = getenv(name);
	return value && value[0];
}

bool cli_colour(void)
{
	const char *term = getenv("TERM");
	if (is_set("NO_COLOR"))
		return false;
	if (is_set("CLICOLOR_FORCE") && strcmp(getenv("CLICOLOR_FORCE"), "0") != 0)
		return true;
	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}
