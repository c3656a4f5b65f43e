/* similarity: y[i, j] = scale max over m of <x[i, m], z[j]>.  x [I, M, C], z [J, C], y [I, J]. */
#include <clfusion/similarity.h>

#include "ops/check.h"
#include "ops/packed_rows.h"
#include "ops/row_products.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"
#include "runtime/op.h"

#define CLF_OP "similarity"

/* Rows of z, and of x, that an item of the CPU kernel takes together: ROWS of cl/similarity.cl. */
#define ROWS UINT64_C(4)

/* Rows of x of its group. */
#define BLOCK UINT64_C(64)

/* Rows of z are packed so many at a time: little beside z, enough for every unit. */
#define PACKED_BYTES (1 << 20)

/* Of all kernels, from the variables of these names. */
#define SIMILARITY_ARGUMENTS                                                                                           \
    clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[1]), clf_arg_rows(z), clf_arg_f32(scale),                             \
        clf_arg_u64((uint64_t)y.dim[0]), clf_arg_u64((uint64_t)y.dim[1]), clf_arg_u32((uint32_t)x.dim[2]),             \
        clf_arg_rows(y)

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

/* The loops of cl/similarity.cl for ROWS rows of x and ROWS of z: vectors of C, the columns behind them one by one, and
 * the best of what they give. */
static uint64_t turns_of_tile(const clf_stream *s, int64_t C)
{
    const uint64_t vector = clf_stream_context(s)->vector_width, pairs = ROWS * ROWS;

    return clf_turns((uint64_t)C / vector, 0) + clf_turns(vector, pairs) + clf_turns(ROWS, 2 * ROWS + 2) + 2 * ROWS;
}

/* CPU devices: ROWS rows of z, and so many of I that the rows of x which a group reads again and again fill a few hundred
 * KiB, or turn as often as the device allows. */
static void launch_simd(clf_stream *s, clf_kernel *kernel, clf_tensor x, clf_tensor z, float scale, clf_tensor y)
{
    const uint64_t I = (uint64_t)y.dim[0], M = (uint64_t)x.dim[1], turns = turns_of_tile(s, x.dim[2]);
    const uint64_t tiles = (clf_launch_turns(s) - 4) / (turns + 1), most = CLF_MIN(BLOCK, tiles * ROWS) / M;
    const uint64_t block = CLF_MAX(CLF_MAX(most, 1), clf_div_up(I, CLF_GROUPS_MAX));
    const int64_t walks = (int64_t)clf_div_up((uint64_t)y.dim[1], ROWS);

    kernel->groups[0] = clf_row_groups(walks);
    kernel->groups[1] = clf_div_up(I, block);
    kernel->turns = clf_turns_of_rows(walks, clf_turns(clf_div_up(CLF_MIN(block, I) * M, ROWS), turns));
    CLF_LAUNCH(s, kernel, SIMILARITY_ARGUMENTS, clf_arg_u64(block));
}

/* One row of x for each i, and at least a panel of rows of z: a matrix product.  Whether it is one does not depend on I,
 * so that a row has the same bits in every batch. */
static bool is_product(const clf_stream *s, clf_tensor x, clf_tensor z, float scale, clf_tensor y)
{
    return clf_packs_rows(s, z.dim[0], z.dim[1]) && x.dtype == CLF_F32 && x.dim[1] == 1 && scale == 1.0F &&
           clf_is_dense(z) && x.dim[0] <= INT32_MAX && clf_element_count(y) > 0;
}

/* [I, 1, C] as [I, C], wherever the rows lie. */
static clf_tensor row_of_each(clf_tensor x)
{
    x.rank = 2;
    x.dim[1] = x.dim[2];
    x.stride[1] = x.stride[2];
    return x;
}

static void multiply(clf_stream *s, clf_tensor x, clf_tensor z, clf_tensor y)
{
    const int64_t C = z.dim[1], panels = PACKED_BYTES / (CLF_GEMM_ROWS * C * (int64_t)sizeof(float));
    const int64_t step = CLF_GEMM_ROWS * CLF_MAX(1, panels);

    for (int64_t first = 0; first < z.dim[0]; first += step) {
        const int64_t count = CLF_MIN(step, z.dim[0] - first);
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_gemm_weight w = clf_packed_rows(s, count, C);

        clf_pack_rows(s, clf_slice(s, z, 0, first, count), 0, &w);
        clf_packed_similarity(s, x, &w, clf_slice(s, y, 1, first, count));
        clf_scope_close(s, scope);
    }
}

void clf_similarity(clf_stream *s, clf_tensor x, clf_tensor z, float scale, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_similarity_check(x, z, scale, y, clf_op_error(s))))
        return;

    if (is_product(s, x, z, scale, y)) {
        const clf_tensor rows = row_of_each(x);

        if (x.dim[0] <= CLF_ROW_PRODUCTS_MAX && clf_is_dense(rows) && clf_is_dense(y))
            clf_row_products(s, z, rows, y); /* the same bits, and nothing is packed */
        else
            multiply(s, rows, z, y);
        return;
    }
    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_similarity_simd",
        [CLF_KERNELS_TILE] = "clf_similarity_tile", /* GPUs: a pair a work-group */
        [CLF_KERNELS_REF] = "clf_similarity_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = options.text,
        .groups = { clf_row_groups(y.dim[1]), clf_row_groups(y.dim[0]) },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(
            y.dim[0], clf_turns_of_rows(y.dim[1], clf_turns((uint64_t)x.dim[1], clf_turns_of_row(s, x.dim[2])))),
    };

    if (shape == CLF_KERNELS_SIMD)
        launch_simd(s, &kernel, x, z, scale, y);
    else
        CLF_LAUNCH(s, &kernel, SIMILARITY_ARGUMENTS);
}
