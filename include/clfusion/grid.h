/* Grids: visual tokens as rows and columns of a picture. */
#ifndef CLFUSION_GRID_H
#define CLFUSION_GRID_H

#include <stdint.h>

#include <clfusion/export.h>

CLF_BEGIN_DECLS

/** Tokens [.., rows * columns, C], row by row from the top left. */
typedef struct clf_grid {
    int64_t rows;
    int64_t columns;
} clf_grid;

CLF_END_DECLS

#endif
