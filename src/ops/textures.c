/* textures: 13 channels of each cell of a picture.  x [B, 3, H, W], y [B, 13, g, g]. */
#include <clfusion/textures.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "textures"

#define ITEMS 32         /* of a group on GPUs: some drivers give no more to a kernel without barriers */
#define SPAN INT64_C(64) /* cells of a group, some ten microseconds of a CPU's work */
#define CELL_TURNS 64    /* of a cell's loops over its pixels and channels */

clf_status clf_textures_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, x.rank == 4 && x.dim[1] == 3, CLF_INVALID_ARGUMENT, "x is %s; want [B, 3, H, W]", CLF_TEXT(x));
    CLF_REQUIRE(err, x.dim[2] >= 1 && x.dim[3] >= 1 && x.dim[2] <= INT32_MAX && x.dim[3] <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "x is %s; want height and width from 1 to 2^31 - 1", CLF_TEXT(x));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err,
                y.dtype == CLF_F32 && y.rank == 4 && y.dim[0] == x.dim[0] && y.dim[1] == CLF_TEXTURE_CHANNELS &&
                    y.dim[2] == y.dim[3],
                CLF_INVALID_ARGUMENT, "y is %s; want f32[%" PRId64 ", 13, g, g], for x %s", CLF_TEXT(y), x.dim[0],
                CLF_TEXT(x));
    CLF_REQUIRE(err, y.dim[3] >= 1 && y.dim[3] <= CLF_TEXTURE_GRID, CLF_INVALID_ARGUMENT,
                "g is %" PRId64 "; want 1 to %d", y.dim[3], CLF_TEXTURE_GRID);
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_textures(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_textures_check(x, y, clf_op_error(s))))
        return;

    const int64_t rows = x.dim[0] * y.dim[2], parts = (int64_t)clf_div_up((uint64_t)y.dim[3], SPAN);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_textures_cells",
        .options = options.text,
        .groups = { (uint64_t)parts, clf_row_groups(rows) },
        .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1,
        .turns = clf_turns_of_rows(rows, clf_turns(CLF_MIN(SPAN, (uint64_t)y.dim[3]), CELL_TURNS)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[0]), clf_arg_u32((uint32_t)x.dim[2]),
               clf_arg_u32((uint32_t)x.dim[3]), clf_arg_u32((uint32_t)y.dim[3]), clf_arg_u32(SPAN), clf_arg_rows(y));
}
