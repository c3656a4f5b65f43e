/* rotary_table: cosines[r, p] = cos(positions[axis[p], r] frequency[p]), sines likewise; on the device or the host. */
#include <clfusion/rotary.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "rotary_table"

static clf_status check_columns(const clf_rotary_columns *columns, int64_t A, clf_error *err)
{
    CLF_REQUIRE(err, columns != NULL, CLF_INVALID_ARGUMENT, "columns is NULL; want frequencies and axes");
    CLF_REQUIRE(err, columns->count >= 1 && columns->count <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "columns has %" PRId64 "; want 1 or more, below 2^31", columns->count);
    CLF_REQUIRE(err, columns->frequency != NULL && columns->axis != NULL, CLF_INVALID_ARGUMENT,
                "columns has no frequency or no axis; want %" PRId64 " of each", columns->count);
    for (int64_t p = 0; p < columns->count; p++)
        CLF_REQUIRE(err, columns->axis[p] >= 0 && columns->axis[p] < A, CLF_INVALID_ARGUMENT,
                    "axis[%" PRId64 "] is %" PRId32 "; want 0 to %" PRId64 ", the axes of positions", p,
                    columns->axis[p], A - 1);
    return CLF_OK;
}

clf_status clf_rotary_table_check(clf_tensor positions, const clf_rotary_columns *columns, clf_tensor cosines,
                                  clf_tensor sines, clf_error *err)
{
    CLF_REQUIRE(err, positions.dtype == CLF_I32, CLF_UNSUPPORTED, "positions is %s; want i32", CLF_TEXT(positions));
    CLF_REQUIRE_SHAPE(err, positions, "positions");
    CLF_REQUIRE(err, positions.dim[0] >= 1, CLF_INVALID_ARGUMENT, "positions is %s; want [A, ...], A at least 1",
                CLF_TEXT(positions));
    CLF_REQUIRE_ALIGNED(err, positions, "positions");
    CLF_REQUIRE(err, clf_is_dense(positions), CLF_UNSUPPORTED, "positions is a view with gaps; want a dense tensor");
    CLF_TRY(check_columns(columns, positions.dim[0], err));
    CLF_REQUIRE(err, cosines.dtype == CLF_F32 && sines.dtype == CLF_F32, CLF_UNSUPPORTED,
                "cosines and sines are %s and %s; want f32", CLF_TEXT(cosines), CLF_TEXT(sines));
    CLF_REQUIRE_RESULT(err, cosines, "cosines");
    CLF_REQUIRE_RESULT(err, sines, "sines");
    CLF_REQUIRE(err,
                clf_dim(cosines, -1) == columns->count &&
                    clf_row_count(cosines) == clf_element_count(positions) / positions.dim[0],
                CLF_INVALID_ARGUMENT, "cosines is %s; want %" PRId64 " rows of %" PRId64 ", for positions %s",
                CLF_TEXT(cosines), clf_element_count(positions) / positions.dim[0], columns->count,
                CLF_TEXT(positions));
    CLF_REQUIRE_ALIKE(err, sines, "sines", cosines, "cosines");
    CLF_REQUIRE_APART(err, cosines, "cosines", positions, "positions");
    CLF_REQUIRE_APART(err, sines, "sines", positions, "positions");
    CLF_REQUIRE_APART(err, sines, "sines", cosines, "cosines");
    return CLF_OK;
}

void clf_rotary_table(clf_stream *s, clf_tensor positions, const clf_rotary_columns *columns, clf_tensor cosines,
                      clf_tensor sines)
{
    if (!clf_op_enter(s) ||
        !clf_op_passed(s, clf_rotary_table_check(positions, columns, cosines, sines, clf_op_error(s))))
        return;
    if (clf_element_count(cosines) == 0)
        return;

    const int64_t P = columns->count;
    const bool tile = clf_op_kernels(s) == CLF_KERNELS_TILE;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor frequency = clf_scratch(s, CLF_F32, CLF_DIMS(P)), axis = clf_scratch(s, CLF_I32, CLF_DIMS(P));
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_rotary_table_rows",
        .options = tile ? "-DCLF_ITEMS=64" : "-DCLF_ITEMS=1",
        .groups = { clf_row_groups(clf_row_count(cosines)), 1 },
        .items = tile ? 64 : 1,
        .turns = clf_turns_of_rows(clf_row_count(cosines), clf_turns((uint64_t)P, 0)),
    };

    clf_upload_copy(s, columns->frequency, (uint64_t)P * sizeof(float), frequency);
    clf_upload_copy(s, columns->axis, (uint64_t)P * sizeof(int32_t), axis);
    CLF_LAUNCH(s, &kernel, clf_arg_memory(positions), clf_arg_u64(clf_first_element(positions)),
               clf_arg_u64((uint64_t)clf_row_count(cosines)), clf_arg_memory(frequency),
               clf_arg_u64(clf_first_element(frequency)), clf_arg_memory(axis), clf_arg_u64(clf_first_element(axis)),
               clf_arg_u32((uint32_t)P), clf_arg_rows(cosines), clf_arg_rows(sines));
    clf_scope_close(s, scope);
}

clf_status clf_rotary_table_host(const int32_t *positions, int64_t A, int64_t R, const clf_rotary_columns *columns,
                                 float *cosines, float *sines, clf_error *err)
{
    CLF_REQUIRE(err, A >= 1 && R >= 0, CLF_INVALID_ARGUMENT,
                "A and R are %" PRId64 " and %" PRId64 "; want at least 1 and 0", A, R);
    CLF_TRY(check_columns(columns, A, err));
    for (int64_t r = 0; r < R; r++)
        for (int64_t p = 0; p < columns->count; p++) {
            const float angle = (float)positions[columns->axis[p] * R + r] * columns->frequency[p];

            cosines[r * columns->count + p] = (float)cos((double)angle);
            sines[r * columns->count + p] = (float)sin((double)angle);
        }
    return CLF_OK;
}
