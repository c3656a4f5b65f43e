/* --entropy FILE.npy of diagnose: the entropy of every row of attention, layer by layer. */
#ifndef CLF_CLI_ENTROPY_MAP_H
#define CLF_CLI_ENTROPY_MAP_H

#include <clfusion/diagnose.h>

#include "checkpoint/npy.h"

/* [L, B, H, Q] f32, or [L, H, Q] without a batch; NaN where a row sees no key. */
typedef struct clf_cli_entropy_map {
    const char *path; /* NULL: not asked for */
    clf_dims row;     /* of one layer */
    float *values;
    size_t layers, capacity; /* capacity in layers */
    clf_file_writer *writer;
} clf_cli_entropy_map;

/* The attention weights of the next layer; all layers must have one shape.  Nothing without a path. */
clf_status clf_cli_entropy_map_add(clf_cli_entropy_map *m, const float *weights, clf_dims shape, clf_error *err);

/* Writes the file; it appears with commit.  An error when no layer gave attention.  Nothing without a path. */
clf_status clf_cli_entropy_map_write(clf_cli_entropy_map *m, clf_error *err);
clf_status clf_cli_entropy_map_commit(clf_cli_entropy_map *m, clf_error *err);
void clf_cli_entropy_map_close(clf_cli_entropy_map *m); /* what was not committed does not appear */

#endif
