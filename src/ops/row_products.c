/* row_products: y[q, r] = <x[r], z[q]>.  x [R, D], z [Q, D], y [Q, R]. */
#include "ops/row_products.h"

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "row_products"

/* Bytes of x that a group reads: long against its start, and still several groups for each core in a block of a few MB.
 * Narrow rows in smaller groups, so that loops stay short (ops/turns.h). */
#define GROUP_BYTES (256 << 10)
#define TILES 16
#define LANES 16 /* groups are multiples of the widest vector */

/* Of the narrowest vector; turns of a tile beside those over whole vectors of columns. */
#define LEAST_LANES 4
#define REST_TURNS 64

static clf_status check_dense(const char *name, clf_tensor t, clf_dims dims, clf_error *err)
{
    const clf_tensor want = clf_tensor_shape(CLF_F32, dims);

    CLF_REQUIRE(err, clf_alike(t, want) && clf_is_dense(t) && t.offset % sizeof(float) == 0, CLF_INVALID_ARGUMENT,
                "%s is %s; want %s, dense", name, CLF_TEXT(t), CLF_TEXT(want));
    return CLF_OK;
}

clf_status clf_row_products_check(clf_tensor x, clf_tensor z, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, x.rank == 2, CLF_INVALID_ARGUMENT, "x is %s; want [R, D]", CLF_TEXT(x));
    CLF_REQUIRE(err, z.rank == 2 && z.dim[0] >= 1 && z.dim[0] <= CLF_ROW_PRODUCTS_MAX, CLF_INVALID_ARGUMENT,
                "z is %s; want [Q, D], Q of 1 to %d", CLF_TEXT(z), CLF_ROW_PRODUCTS_MAX);
    CLF_TRY(check_dense("z", z, CLF_DIMS(z.dim[0], x.dim[1]), err));
    CLF_TRY(check_dense("y", y, CLF_DIMS(z.dim[0], x.dim[0]), err));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", z, "z");
    return CLF_OK;
}

void clf_row_products(clf_stream *s, clf_tensor x, clf_tensor z, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_row_products_check(x, z, y, clf_op_error(s))))
        return;

    const uint64_t rows = (uint64_t)x.dim[0], bytes = (uint64_t)x.dim[1] * clf_dtype_bytes(x.dtype);
    const uint64_t usual = CLF_MIN(CLF_MAX(GROUP_BYTES / LANES / bytes, 1), TILES);
    const uint64_t tiles = CLF_MAX(usual, clf_div_up(rows, (uint64_t)CLF_GROUPS_MAX * LANES));
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_row_products_lanes",
        .options = options.text,
        .groups = { clf_div_up(rows, tiles * LANES), 1 },
        .items = 1,
        .turns = clf_turns(tiles * LANES / LEAST_LANES, (uint64_t)x.dim[1] / LEAST_LANES + REST_TURNS),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64(rows), clf_arg_u32((uint32_t)x.dim[1]), clf_arg_memory(z),
               clf_arg_u64(clf_first_element(z)), clf_arg_u32((uint32_t)z.dim[0]), clf_arg_u64(tiles * LANES),
               clf_arg_memory(y), clf_arg_u64(clf_first_element(y)));
}
