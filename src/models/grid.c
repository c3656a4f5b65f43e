/* Grids of visual tokens. */
#include "models/grid.h"

#include <inttypes.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/place.h"
#include "fusion/sincos.h"

static clf_status square_grid(const clf_call *call, clf_tensor vision, clf_grid *grid, clf_error *err)
{
    const int64_t side = clf_square_side(vision.dim[1]);

    if (side == 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: vision is %s, %" PRId64 " tokens; want a square number, or the input grid", call->family,
                        CLF_TEXT(vision), vision.dim[1]);
    *grid = (clf_grid){ side, side };
    return CLF_OK;
}

clf_status clf_grid_of(const clf_call *call, clf_tensor vision, size_t port, int64_t b, clf_grid *grid, clf_error *err)
{
    const int64_t *sides = call->ids[port], N = vision.dim[1];

    if (sides == NULL)
        return square_grid(call, vision, grid, err);
    if (call->in[port].rank == 2)
        sides += 2 * b;
    *grid = (clf_grid){ sides[0], sides[1] };
    if (grid->rows < 1 || grid->columns < 1 || grid->rows > CLF_GRID_SIDE || grid->columns > CLF_GRID_SIDE)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: grid of picture %" PRId64 " is %" PRId64 " x %" PRId64 "; want sides of 1 to %d",
                        call->family, b, grid->rows, grid->columns, CLF_GRID_SIDE);
    if (grid->rows * grid->columns != N)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: grid of picture %" PRId64 " is %" PRId64 " x %" PRId64 ", %" PRId64
                        " tokens; want %" PRId64 ", the rows of vision %s",
                        call->family, b, grid->rows, grid->columns, grid->rows * grid->columns, N, CLF_TEXT(vision));
    return CLF_OK;
}

clf_status clf_grid_divided(const clf_call *call, clf_tensor vision, size_t port, int64_t b, int64_t r, clf_grid *grid,
                            clf_error *err)
{
    CLF_TRY(clf_grid_of(call, vision, port, b, grid, err));
    if (grid->rows % r != 0 || grid->columns % r != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: grid of picture %" PRId64 " is %" PRId64 " x %" PRId64
                        "; want sides divisible by factor %" PRId64,
                        call->family, b, grid->rows, grid->columns, r);
    return CLF_OK;
}

bool clf_grid_shared(const clf_call *call, clf_tensor vision, size_t port, clf_grid *grid)
{
    const int64_t *sides = call->ids[port];

    (void)clf_grid_of(call, vision, port, 0, grid, NULL);
    if (sides == NULL || call->in[port].rank == 1)
        return true;
    for (int64_t b = 1; b < vision.dim[0]; b++)
        if (sides[2 * b] != sides[0])
            return false; /* with as many tokens, other rows are other columns */
    return true;
}

void clf_grid_forward(clf_stream *s, const clf_call *call, const void *module, clf_tensor vision, size_t port,
                      clf_grid_run *run, clf_tensor tokens)
{
    clf_tensor y = tokens;
    clf_grid grid;

    if (vision.dim[0] == 0)
        return;
    if (y.dtype != CLF_F32 && y.dtype != vision.dtype)
        y = clf_scratch(s, CLF_F32, clf_tensor_dims(y));
    if (clf_grid_shared(call, vision, port, &grid)) {
        run(s, module, vision, grid, y);
    } else {
        for (int64_t b = 0; b < vision.dim[0]; b++) {
            (void)clf_grid_of(call, vision, port, b, &grid, NULL); /* it has passed `shape` */
            run(s, module, clf_slice(s, vision, 0, b, 1), grid, clf_slice(s, y, 0, b, 1));
        }
    }
    if (y.dtype != tokens.dtype)
        clf_place(s, y, tokens);
}
