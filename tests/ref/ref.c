/* What the references share. */
#include "ref/ref.h"

#include "runtime/context.h"

#include <math.h>
#include <string.h>

clf_expected clf_expected_new(clf_test *t, clf_tensor y)
{
    const size_t bytes = (size_t)clf_element_count(y) * sizeof(double);

    return (clf_expected){ clf_test_memory(t, bytes), clf_test_memory(t, bytes) };
}

/* _ref adds one by one.  _tile adds C / 64 in each item, then 6 levels of a tree.  _simd adds C / CLF_VEC in each lane,
 * then log2(CLF_VEC) levels, then up to CLF_VEC - 1 columns behind the last whole vector. */
double clf_ref_additions(const clf_test *t, int64_t C)
{
    const char *shape = clf_context_kernels(t->ctx);
    const int64_t width = t->ctx->vector_width;

    if (strcmp(shape, "ref") == 0)
        return (double)C;
    if (strcmp(shape, "tile") == 0)
        return ceil((double)C / 64) + 6;
    return (double)(C / width + C % width) + log2((double)width);
}
