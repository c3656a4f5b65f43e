/* gather: y[r, :] = table[index[r], :].  table [V, C], index [R], y [R, C]. */
#include <clfusion/gather.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "gather"

clf_status clf_gather_check(clf_tensor table, clf_tensor index, clf_tensor y, clf_error *err)
{
    const size_t bytes = clf_dtype_bytes(table.dtype);

    CLF_REQUIRE(err, bytes == 2 || bytes == 4, CLF_UNSUPPORTED, "table is %s; want a type of 2 or 4 bytes",
                CLF_TEXT(table));
    CLF_REQUIRE_TENSOR(err, table, "table");
    CLF_REQUIRE(err, index.dtype == CLF_I32, CLF_UNSUPPORTED, "index is %s; want i32", CLF_TEXT(index));
    CLF_REQUIRE_SHAPE(err, index, "index");
    CLF_REQUIRE_ALIGNED(err, index, "index");
    CLF_REQUIRE(err, clf_is_dense(index), CLF_UNSUPPORTED, "index is a view with gaps; want a dense tensor");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == table.dtype && clf_dim(y, -1) == clf_dim(table, -1), CLF_INVALID_ARGUMENT,
                "y is %s; want %s[..., %" PRId64 "], like table %s", CLF_TEXT(y), clf_dtype_name(table.dtype),
                clf_dim(table, -1), CLF_TEXT(table));
    CLF_REQUIRE(err, clf_element_count(index) == clf_row_count(y), CLF_INVALID_ARGUMENT,
                "index is %s, %" PRId64 " entries; want %" PRId64 ", one for each row of y %s", CLF_TEXT(index),
                clf_element_count(index), clf_row_count(y), CLF_TEXT(y));
    CLF_REQUIRE_APART(err, y, "y", table, "table");
    CLF_REQUIRE_APART(err, y, "y", index, "index");
    return CLF_OK;
}

void clf_gather(clf_stream *s, clf_tensor table, clf_tensor index, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_gather_check(table, index, y, clf_op_error(s))))
        return;
    if (clf_element_count(table) == 0) /* no row to take: every entry is out of range */
        return;

    const clf_sweep w = clf_sweep_of(s, y);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_gather_rows",
        .options = clf_dtype_bytes(table.dtype) == 2 ? "-DCLF_UNIT=ushort" : "-DCLF_UNIT=uint",
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(table), clf_arg_u64((uint64_t)clf_row_count(table)), clf_arg_memory(index),
               clf_arg_u64(clf_first_element(index)), CLF_ARG_SWEEP(w), clf_arg_rows(y),
               clf_arg_u32(clf_stores_past(s, y, 2 * clf_element_bytes(y))));
}
