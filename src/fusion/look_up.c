/* Embedding look-up: y[b, t] = table[text_ids[b, t]]. */
#include "fusion/look_up.h"

#include <clfusion/cast.h>
#include <clfusion/gather.h>

#include "core/alloc.h"
#include "runtime/op.h"

static clf_status fill_index(const char *where, const int64_t *text_ids, int64_t B, int64_t T, int64_t V,
                             int32_t *index, clf_error *err)
{
    for (int64_t i = 0; i < B * T; i++) {
        if (text_ids[i] < 0 || text_ids[i] >= V)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "%s: text_ids[%" PRId64 ", %" PRId64 "] is %" PRId64 "; want 0 to %" PRId64
                            ", the vocabulary",
                            where, i / T, i % T, text_ids[i], V - 1);
        index[i] = (int32_t)text_ids[i];
    }
    return CLF_OK;
}

/* A table in half precision goes through scratch. */
static void gather_rows(clf_stream *s, clf_tensor table, const int32_t *host, clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor index = clf_scratch(s, CLF_I32, CLF_DIMS(y.dim[0], y.dim[1]));
    const bool direct = table.dtype == CLF_F32;
    const clf_tensor rows = direct ? y : clf_scratch(s, table.dtype, clf_tensor_dims(y));

    clf_upload_copy(s, host, (uint64_t)clf_row_count(y) * sizeof *host, index);
    clf_gather(s, table, index, rows);
    if (!direct)
        clf_cast(s, rows, y);
    clf_scope_close(s, scope);
}

void clf_look_up(clf_stream *s, const char *where, clf_tensor table, const int64_t *text_ids, clf_tensor y)
{
    const int64_t B = y.dim[0], T = y.dim[1];
    int32_t *index;

    if (!clf_op_enter(s))
        return;
    index = clf_alloc((size_t)(B * T), sizeof *index);
    if (index == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for %" PRId64 " ids", where, B * T);
    else if (clf_op_passed(s, fill_index(where, text_ids, B, T, table.dim[0], index, clf_op_error(s))))
        gather_rows(s, table, index, y);
    clf_free(index);
}
