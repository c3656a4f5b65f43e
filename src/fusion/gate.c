/* Gates: tanh(alpha), known when a module is made. */
#include "fusion/gate.h"

#include <inttypes.h>
#include <math.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/text.h"

/* All dimensions but the last are 1. */
static bool is_row(clf_host_tensor t)
{
    if (t.rank < 0 || t.rank > CLF_MAX_RANK)
        return false;
    for (int32_t i = 0; i + 1 < t.rank; i++)
        if (t.dim[i] != 1)
            return false;
    return true;
}

static int64_t count_of(clf_host_tensor alpha)
{
    return alpha.rank == 0 ? 1 : alpha.dim[alpha.rank - 1];
}

clf_status clf_gate_check(const char *name, clf_host_tensor alpha, int64_t width, clf_error *err)
{
    if (!clf_host_present(alpha))
        return CLF_OK;
    if (!is_row(alpha) || (count_of(alpha) != 1 && count_of(alpha) != width))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s; want [1] or [%" PRId64 "], one for each channel", name,
                        CLF_HOST_TEXT(alpha), width);
    if (alpha.data == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s without data; want host memory", name,
                        CLF_HOST_TEXT(alpha));
    return CLF_OK;
}

clf_status clf_gate_check_absent(const char *name, clf_host_tensor alpha, clf_error *err)
{
    if (!clf_host_present(alpha))
        return CLF_OK;
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.gate is %s; want none where there is no residual", name,
                    CLF_HOST_TEXT(alpha));
}

bool clf_gate_has_channels(clf_host_tensor alpha)
{
    return clf_host_present(alpha) && count_of(alpha) > 1;
}

float clf_gate_value(clf_host_tensor alpha)
{
    if (!clf_host_present(alpha) || clf_gate_has_channels(alpha))
        return 1.0F;
    return (float)tanh(clf_host_value(alpha.data, alpha.dtype, 0));
}

clf_status clf_gate_channels(const char *name, clf_host_tensor alpha, float **memory, clf_host_tensor *scale,
                             clf_error *err)
{
    const size_t count = clf_gate_has_channels(alpha) ? (size_t)count_of(alpha) : 0;

    *memory = NULL;
    *scale = (clf_host_tensor){ .dtype = CLF_DTYPE_NONE };
    if (count == 0)
        return CLF_OK;
    *memory = clf_alloc(count, sizeof **memory);
    if (*memory == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %zu floats", name, count);
    for (size_t i = 0; i < count; i++)
        (*memory)[i] = (float)tanh(clf_host_value(alpha.data, alpha.dtype, i));
    *scale = (clf_host_tensor){ .data = *memory, .dtype = CLF_F32, .rank = 1, .dim = { (int64_t)count } };
    return CLF_OK;
}
