/* Tensors of a call that may not meet. */
#include "fusion/apart.h"

#include "core/shape.h"

clf_status clf_outputs_apart(const char *op, const clf_named_tensor *all, size_t count, size_t inputs, clf_error *err)
{
    for (size_t i = inputs; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (clf_present(all[i].t) && clf_present(all[k].t) && clf_may_overlap(all[i].t, all[k].t))
                return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s overlaps %s; want apart", op, all[i].name,
                                all[k].name);
    return CLF_OK;
}
