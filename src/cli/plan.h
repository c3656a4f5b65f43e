/* The two halves of `plan`: pictures of a family, and the cost of a module or connector. */
#ifndef CLF_CLI_PLAN_H
#define CLF_CLI_PLAN_H

#include "cli/cli.h"

/* A path is what has a slash or is there; anything else is a name. */
bool clf_cli_plan_is_path(const char *what);

/* Parameters, shapes and FLOP of the module that the first argument names, or of the connector at that path, without a
 * device.  Returns the exit status. */
int clf_cli_plan_module(const clf_cli_options *options);

#endif
