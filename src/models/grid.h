/* Grids of visual tokens as models take them: the input `grid`, or a square. */
#ifndef CLF_MODELS_GRID_H
#define CLF_MODELS_GRID_H

#include <clfusion/grid.h>

#include "models/family.h"

/* Rows and columns, of all pictures or of each. */
#define CLF_GRID_PORT                                                                                                  \
    {                                                                                                                  \
        .name = "grid", .shape = "[2] | [B, 2]", .kind = CLF_PORT_SIZES                                                \
    }

/* Sides of a grid that an option or a value names: sides and their product stay far from 2^63. */
#define CLF_GRID_SIDE 65536

/* The grid of picture b: what input `port` says, or the square of N.  `vision` is [B, N, C].  An error unless it has N
 * tokens. */
clf_status clf_grid_of(const clf_call *call, clf_tensor vision, size_t port, int64_t b, clf_grid *grid, clf_error *err);

/* The same with sides that r divides. */
clf_status clf_grid_divided(const clf_call *call, clf_tensor vision, size_t port, int64_t b, int64_t r, clf_grid *grid,
                            clf_error *err);

/* Whether one grid serves all pictures: they can be computed in one go.  *grid is that of the first; the call has
 * passed clf_grid_of. */
bool clf_grid_shared(const clf_call *call, clf_tensor vision, size_t port, clf_grid *grid);

/* Pictures [B, N, C] of one grid through a module, into y [B, M, ..]. */
typedef void clf_grid_run(clf_stream *s, const void *module, clf_tensor vision, clf_grid grid, clf_tensor y);

/* All pictures in one go where they share a grid, else one by one, into `tokens`.  `run` gives f32 or the type of vision;
 * the call has passed clf_grid_of. */
void clf_grid_forward(clf_stream *s, const clf_call *call, const void *module, clf_tensor vision, size_t port,
                      clf_grid_run *run, clf_tensor tokens);

#endif
