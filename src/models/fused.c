/* fused: tokens at the placeholders of the text, or before the text. */
#include "models/fused.h"

#include <clfusion/splice.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "runtime/op.h"

/* Text ids with one placeholder for pictures and videos: the splice knows one. */
static int64_t *unify(clf_stream *s, const int64_t *text_ids, int64_t count, clf_placeholders ids)
{
    int64_t *unified = clf_alloc((size_t)count, sizeof *unified);

    if (unified == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "fused: no host memory for %" PRId64 " text_ids", count);
    for (int64_t i = 0; unified != NULL && i < count; i++)
        unified[i] = text_ids[i] == ids.video ? ids.image : text_ids[i];
    return unified;
}

void clf_fused_splice(clf_stream *s, clf_tensor tokens, clf_tensor text, const int64_t *text_ids, clf_placeholders ids,
                      clf_tensor fused)
{
    int64_t *unified;

    if (!clf_op_enter(s))
        return;
    unified = unify(s, text_ids, clf_row_count(text), ids);
    clf_splice(s, clf_place_as(s, text, fused.dtype), unified, ids.image, clf_place_as(s, tokens, fused.dtype), fused);
    clf_free(unified);
}

clf_tensor clf_fused_before_text(clf_stream *s, clf_tensor text, clf_tensor fused)
{
    const int64_t T = text.dim[1], M = fused.dim[1] - T;

    clf_place(s, text, clf_slice(s, fused, 1, M, T));
    return clf_slice(s, fused, 1, 0, M);
}
