/* One row of many: attention with a query and keys of width 1, whose scores are numbers that are there already. */
#include "fusion/row_pool.h"

#include <clfusion/attention.h>

#include "core/shape.h"
#include "core/size.h"
#include "fusion/parameter.h"
#include "fusion/place.h"

/* Widest head: narrower ones than attention allows, so that one picture feeds several compute units. */
#define WIDTH 128

clf_status clf_row_pool_create(clf_context *ctx, clf_tensor *constants, clf_error *err)
{
    static const float values[] = { 0.0F, 1.0F };
    const clf_host_tensor host = { values, CLF_F32, 1, { CLF_COUNT(values) } };

    return clf_parameter_create(ctx, "constants", host, CLF_F32, NULL, constants, err);
}

/* constants[index] seen as [B, K, heads, 1]. */
static clf_tensor everywhere(clf_stream *s, clf_tensor constants, int64_t index, int64_t B, int64_t K, int64_t heads)
{
    clf_tensor t = clf_reshape(s, clf_slice(s, constants, 0, index, 1), CLF_DIMS(1, 1, 1, 1));

    t.dim[0] = B;
    t.dim[1] = K;
    t.dim[2] = heads;
    t.stride[0] = t.stride[1] = t.stride[2] = 0;
    return t;
}

clf_tensor clf_row_pool(clf_stream *s, clf_tensor constants, clf_tensor x, clf_tensor scores, float scale,
                        clf_tensor mask)
{
    const int64_t B = x.dim[0], N = x.dim[1], C = x.dim[2];
    const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(B, C));
    const clf_tensor rows = clf_place_as(s, x, CLF_F32);
    clf_attention_options o = clf_attention_options_default();
    int64_t heads = (C + WIDTH - 1) / WIDTH;
    clf_tensor k;

    while (C % heads != 0)
        heads++;
    k = everywhere(s, constants, 0, B, N, heads);
    if (clf_present(scores)) { /* [B, N, 1]: the same for all heads */
        k = scores;
        k.rank = 4;
        k.dim[2] = heads;
        k.stride[2] = 0;
        k.dim[3] = k.stride[3] = 1;
    }
    if (clf_present(mask)) {
        o.mask = mask;
        o.mask.rank = 4;
        o.mask.dim[1] = o.mask.dim[2] = 1;
        o.mask.stride[1] = o.mask.stride[2] = 0;
        o.mask.dim[3] = N;
        o.mask.stride[3] = 1;
    }
    o.scale = scale;
    clf_attention(s, everywhere(s, constants, 1, B, 1, heads), k, clf_heads(s, rows, heads), &o,
                  clf_heads(s, clf_reshape(s, y, CLF_DIMS(B, 1, C)), heads));
    return y;
}

clf_tensor clf_row_at(clf_stream *s, clf_tensor x, int64_t n)
{
    clf_tensor row = clf_slice(s, x, 1, n, 1);

    row.rank = 2;
    row.dim[1] = row.dim[2];
    row.stride[1] = row.stride[2];
    return row;
}
