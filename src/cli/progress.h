/* A line on stderr while a checkpoint loads: only on a terminal, and only once a second has passed. */
#ifndef CLF_CLI_PROGRESS_H
#define CLF_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct clf_cli_progress {
    bool terminal;
    bool shown;
    double begin; /* seconds */
    double last;  /* when the line was last drawn */
} clf_cli_progress;

clf_cli_progress clf_cli_progress_begin(void);
void clf_cli_progress_step(clf_cli_progress *p, uint64_t tensors, uint64_t bytes);
void clf_cli_progress_end(clf_cli_progress *p); /* clears the line; returns to the silent state */

#endif
