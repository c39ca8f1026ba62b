/* The folder of data folders. */
#include "control/home.h"

#include <stdio.h>
#include <stdlib.h>

int control_home(char *out, size_t cap, struct err *err)
{
	const char *own = getenv("GATE_HOME"), *xdg = getenv("XDG_DATA_HOME");
	const char *user = getenv("HOME");
	int n = -1;
	if (own && own[0])
		n = snprintf(out, cap, "%s", own);
	else if (xdg && xdg[0])
		n = snprintf(out, cap, "%s/opengateway", xdg);
	else if (user && user[0])
		n = snprintf(out, cap, "%s/.local/share/opengateway", user);
	if (n < 0)
		return err_set(err, E_INVALID, "no place for data: set HOME or use --data-dir");
	if ((size_t)n >= cap)
		return err_set(err, E_INVALID, "the path to the data is too long");
	return 0;
}
