/* Where the nodes of this user keep their data folders, for a node that makes one and a command
 * that looks for one. */
#ifndef CONTROL_HOME_H
#define CONTROL_HOME_H

#include "base/err.h"

#include <stddef.h>

/* $GATE_HOME, else $XDG_DATA_HOME/opengateway, else ~/.local/share/opengateway. E_INVALID when none
 * of these variables is set, or the path does not fit. */
int control_home(char *out, size_t cap, struct err *err) WARN_UNUSED;

#endif
