/* add_positions: y[b, n] = x[b, n] + table[ids[b, n]], or + table[first + n]. */
#include <clfusion/positions.h>

#include <clfusion/add.h>
#include <clfusion/gather.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "add_positions"

static clf_status check(clf_tensor x, clf_tensor table, const int64_t *ids, int64_t first, clf_tensor y, clf_error *err)
{
    const int64_t V = clf_dim(table, 0);

    CLF_REQUIRE_FLOAT(err, x, "x");
    CLF_REQUIRE_SHAPE(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3, CLF_INVALID_ARGUMENT, "x is %s; want [B, N, C]", CLF_TEXT(x));
    CLF_REQUIRE_FLOAT(err, table, "table");
    CLF_REQUIRE_SHAPE(err, table, "table");
    CLF_REQUIRE(err, table.rank == 2 && table.dim[1] == x.dim[2] && V <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "table is %s; want [V, %" PRId64 "], the width of x %s", CLF_TEXT(table), x.dim[2], CLF_TEXT(x));
    CLF_REQUIRE(err, clf_same_shape(y, x) && (y.dtype == x.dtype || y.dtype == CLF_F32), CLF_INVALID_ARGUMENT,
                "y is %s; want %s, like x, or f32", CLF_TEXT(y), CLF_TEXT(x));
    CLF_REQUIRE(err, clf_same_memory(y, x) || !clf_may_overlap(y, x), CLF_INVALID_ARGUMENT,
                "y overlaps x in part; want the same elements, or apart");
    CLF_REQUIRE_APART(err, y, "y", table, "table");
    CLF_REQUIRE(err, first >= 0 && (ids == NULL || first == 0), CLF_INVALID_ARGUMENT,
                "first is %" PRId64 "; want 0 or more, and 0 beside ids", first);
    CLF_REQUIRE(err, ids != NULL || clf_element_count(x) == 0 || (first <= V && x.dim[1] <= V - first),
                CLF_INVALID_ARGUMENT,
                "x is %s and first %" PRId64 ", rows to %" PRId64 "; want at most %" PRId64 ", the rows of table %s",
                CLF_TEXT(x), first, first > INT64_MAX - x.dim[1] ? INT64_MAX : first + x.dim[1], V, CLF_TEXT(table));
    return CLF_OK;
}

static clf_status fill_index(const int64_t *ids, clf_tensor x, clf_tensor table, int32_t *index, clf_error *err)
{
    for (int64_t i = 0; i < clf_row_count(x); i++) {
        CLF_REQUIRE(err, ids[i] >= 0 && ids[i] < table.dim[0], CLF_INVALID_ARGUMENT,
                    "ids[%" PRId64 ", %" PRId64 "] is %" PRId64 "; want 0 to %" PRId64 ", the rows of table %s",
                    i / x.dim[1], i % x.dim[1], ids[i], table.dim[0] - 1, CLF_TEXT(table));
        index[i] = (int32_t)ids[i];
    }
    return CLF_OK;
}

/* Rows of the table by number, in scratch; absent when the stream has failed. */
static clf_tensor picked(clf_stream *s, clf_tensor table, const int64_t *ids, clf_tensor x)
{
    const clf_tensor rows = clf_scratch(s, table.dtype, clf_tensor_dims(x));
    const clf_tensor index = clf_scratch(s, CLF_I32, CLF_DIMS(x.dim[0], x.dim[1]));
    int32_t *host = clf_alloc((size_t)clf_row_count(x), sizeof *host);

    if (host == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %" PRId64 " ids", clf_row_count(x));
    else if (clf_op_passed(s, fill_index(ids, x, table, host, clf_op_error(s)))) {
        clf_upload_copy(s, host, (uint64_t)clf_row_count(x) * sizeof *host, index);
        clf_gather(s, table, index, rows);
    }
    clf_free(host);
    return rows;
}

/* The same rows for every sequence: [1, N, C] seen as [B, N, C]. */
static clf_tensor shared(clf_stream *s, clf_tensor table, int64_t first, clf_tensor x)
{
    clf_tensor rows = clf_slice(s, table, 0, first, x.dim[1]);

    rows.rank = 3;
    rows.dim[2] = rows.dim[1];
    rows.stride[2] = rows.stride[1];
    rows.dim[1] = rows.dim[0];
    rows.stride[1] = rows.stride[0];
    rows.dim[0] = 1;
    rows.stride[0] = rows.dim[1] * rows.stride[1];
    return clf_place_batch(rows, x.dim[0]);
}

void clf_add_positions(clf_stream *s, clf_tensor x, clf_tensor table, const int64_t *ids, int64_t first, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check(x, table, ids, first, y, clf_op_error(s))))
        return;
    if (clf_element_count(x) == 0)
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor rows = ids != NULL ? picked(s, table, ids, x) : shared(s, table, first, x);

    if (x.dtype == rows.dtype && y.dtype == x.dtype)
        clf_add(s, x, rows, 1.0F, y);
    else { /* in f32, rounded to the type of y alone */
        const clf_tensor wide = y.dtype == CLF_F32 ? y : clf_scratch(s, CLF_F32, clf_tensor_dims(x));

        clf_add(s, clf_place_as(s, x, CLF_F32), clf_place_as(s, rows, CLF_F32), 1.0F, wide);
        if (y.dtype != CLF_F32)
            clf_place(s, wide, y);
    }
    clf_scope_close(s, scope);
}
