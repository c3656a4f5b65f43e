/* Weights of modules: host layers packed for products, alone or stacked. */
#include "fusion/weight.h"

#include <inttypes.h>

#include "core/shape.h"
#include "core/text.h"

clf_status clf_weight_check(const char *name, const clf_linear_layer *layer, int64_t in, clf_error *err)
{
    const clf_host_tensor w = layer->weight, b = layer->bias;

    if (!clf_host_present(w) || w.rank != 2 || w.dim[0] < 1 || w.dim[1] < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.weight is %s; want [out, in], both above 0", name,
                        CLF_HOST_TEXT(w));
    if (in != 0 && w.dim[1] != in)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.weight is %s; want %" PRId64 " columns", name, CLF_HOST_TEXT(w),
                        in);
    if (clf_host_present(b) && (b.rank != 1 || b.dim[0] != w.dim[0]))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.bias is %s; want [%" PRId64 "], the rows of its weight", name,
                        CLF_HOST_TEXT(b), w.dim[0]);
    return CLF_OK;
}

clf_status clf_weight_stack(clf_context *ctx, const char *name, const clf_linear_part *parts, int32_t count,
                            clf_dtype storage, const clf_tensor_source *source, clf_linear_weight **w, clf_error *err)
{
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    char prefix[160];
    clf_status status;

    desc.parts = parts;
    desc.part_count = count;
    desc.storage = storage;
    desc.source = source;
    status = clf_linear_weight_create(ctx, &desc, w, err);
    if (status != CLF_OK) {
        clf_format(prefix, sizeof prefix, "%s: ", name);
        clf_error_prefix(err, prefix);
    }
    return status;
}

clf_status clf_weight_create(clf_context *ctx, const char *name, const clf_linear_layer *layer, clf_dtype storage,
                             const clf_tensor_source *source, clf_linear_weight **w, clf_error *err)
{
    *w = NULL;
    if (!clf_host_present(layer->weight))
        return CLF_OK;
    return clf_weight_stack(ctx, name, &(clf_linear_part){ .layer = *layer }, 1, storage, source, w, err);
}

clf_dtype clf_weight_storage(clf_dtype dtype, clf_dtype storage)
{
    if (storage != CLF_DTYPE_NONE)
        return storage;
    return dtype == CLF_F64 ? CLF_F32 : dtype;
}

void clf_weight_read(const clf_tensor_source *source, clf_host_tensor t)
{
    uint64_t bytes;

    if (source != NULL && source->done != NULL && clf_host_present(t) && clf_host_bytes(t, &bytes))
        source->done(source->self, t.data, (size_t)bytes);
}

uint64_t clf_weight_products(const clf_linear_layer *layer)
{
    uint64_t products = clf_host_present(layer->weight);

    for (int32_t i = 0; i < layer->weight.rank; i++)
        products *= (uint64_t)layer->weight.dim[i];
    return products;
}
