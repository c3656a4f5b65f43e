/* similarity: y[i, j] = scale max over m of <x[i, m], z[j]>.  x [I, M, C], z [J, C], y [I, J]. */
#include <clfusion/similarity.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "similarity"

clf_status clf_similarity_check(clf_tensor x, clf_tensor z, float scale, clf_tensor y, clf_error *err)
{
    (void)scale; /* any float will do */
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3 && x.dim[1] >= 1, CLF_INVALID_ARGUMENT, "x is %s; want [I, M, C], M above 0",
                CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, z, "z");
    CLF_REQUIRE(err, z.dtype == x.dtype && z.rank == 2 && z.dim[1] == x.dim[2], CLF_INVALID_ARGUMENT,
                "z is %s; want %s[J, %" PRId64 "], for x %s", CLF_TEXT(z), clf_dtype_name(x.dtype), x.dim[2],
                CLF_TEXT(x));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(x.dim[0], z.dim[0])), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", %" PRId64 "]", CLF_TEXT(y), x.dim[0], z.dim[0]);
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", z, "z");
    return CLF_OK;
}

void clf_similarity(clf_stream *s, clf_tensor x, clf_tensor z, float scale, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_similarity_check(x, z, scale, y, clf_op_error(s))))
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_similarity_simd", /* CPUs: a pair a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_similarity_tile", /* GPUs: a pair a work-group */
        [CLF_KERNELS_REF] = "clf_similarity_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = options.text,
        .groups = { clf_row_groups(y.dim[1]), clf_row_groups(y.dim[0]) },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(
            y.dim[0], clf_turns_of_rows(y.dim[1], clf_turns((uint64_t)x.dim[1], clf_turns_of_row(s, x.dim[2])))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[1]), clf_arg_rows(z), clf_arg_f32(scale),
               clf_arg_u64((uint64_t)y.dim[0]), clf_arg_u64((uint64_t)y.dim[1]), clf_arg_u32((uint32_t)x.dim[2]),
               clf_arg_rows(y));
}
