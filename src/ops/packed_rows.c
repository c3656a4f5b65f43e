/* packed_rows: rows of a call in the layout of the provider, and products with them. */
#include "ops/packed_rows.h"

#include "runtime/op.h"

/* From so many on: a panel of most CPU devices. */
#define FEWEST_ROWS 32

bool clf_packs_rows(const clf_stream *s, int64_t J, int64_t C)
{
    return clf_op_kernels(s) == CLF_KERNELS_SIMD && clf_gemm_of(clf_stream_context(s))->pack_part != NULL &&
           J >= FEWEST_ROWS && J <= INT32_MAX && C >= 1 && C <= INT32_MAX;
}

clf_gemm_weight clf_packed_rows(clf_stream *s, int64_t J, int64_t C)
{
    clf_gemm_weight w;

    clf_gemm_of(clf_stream_context(s))->reserve_rows(s, J, C, &w);
    return w;
}

static void pack(clf_stream *s, const clf_gemm_rows *rows, const clf_gemm_weight *w)
{
    if (clf_op_enter(s))
        clf_gemm_of(clf_stream_context(s))->pack_part(s, rows, w);
}

void clf_pack_rows(clf_stream *s, clf_tensor z, int64_t first, const clf_gemm_weight *w)
{
    pack(s, &(clf_gemm_rows){ .z = z, .first = first }, w);
}

void clf_pack_unit_rows(clf_stream *s, clf_tensor z, float eps, int64_t first, const clf_gemm_weight *w)
{
    pack(s, &(clf_gemm_rows){ .z = z, .first = first, .unit = true, .eps = eps }, w);
}

void clf_packed_similarity(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, clf_tensor y)
{
    const clf_linear_options options = clf_linear_options_default();
    const clf_gemm_fusion nothing = { .options = &options };

    if (clf_op_enter(s) && clf_element_count(y) > 0)
        clf_gemm_of(clf_stream_context(s))->run(s, x, w, &nothing, y);
}
