/* Cutting rows and columns into work-groups. */
#include "ops/sweep.h"

#include "core/size.h"
#include "runtime/op.h"

/* Elements of a work-group: enough that a CPU driver's cost of starting one does not count, few enough that a tensor of
 * 64 x 4096 still feeds more than a hundred cores. */
#define SPAN 2048

/* Work-items of a group on GPUs; each takes a vector at a time. */
#define ITEMS 64

uint64_t clf_row_groups(int64_t rows)
{
    return CLF_MIN((uint64_t)rows, (uint64_t)CLF_GROUPS_MAX);
}

clf_sweep clf_sweep_of(const clf_stream *s, clf_tensor t)
{
    clf_sweep w = { .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1 };

    if (clf_element_count(t) == 0)
        return w;
    w.rows = (uint64_t)clf_row_count(t);
    w.columns = (uint64_t)clf_dim(t, -1);
    /* Whole multiples of SPAN, so that groups of an aligned row begin on cache lines. */
    w.span = SPAN * clf_div_up(w.columns, (uint64_t)SPAN * CLF_GROUPS_MAX);
    w.block = CLF_MAX(SPAN / CLF_MIN(w.columns, (uint64_t)SPAN), clf_div_up(w.rows, CLF_GROUPS_MAX));
    w.groups[0] = clf_div_up(w.columns, w.span);
    w.groups[1] = clf_div_up(w.rows, w.block);
    return w;
}

uint64_t clf_element_bytes(clf_tensor t)
{
    return (uint64_t)clf_element_count(t) * clf_dtype_bytes(t.dtype);
}

static bool folds(clf_tensor *const *t, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t above = t[i]->rank - 2;

        if (above < 0 || (t[i]->dim[above] != 1 && t[i]->stride[above] != t[i]->dim[above + 1]))
            return false;
    }
    return true;
}

void clf_fold(clf_tensor *const *t, size_t count)
{
    if (clf_element_count(*t[0]) == 0) /* the product of the other dimensions may be anything */
        return;
    while (folds(t, count)) {
        for (size_t i = 0; i < count; i++) {
            const int32_t above = t[i]->rank - 2;

            t[i]->dim[above] *= t[i]->dim[above + 1];
            t[i]->stride[above] = 1;
            t[i]->rank--;
        }
    }
}
