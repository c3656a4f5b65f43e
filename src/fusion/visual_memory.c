/* Visual memory: keys and values of pictures for every layer of a module, written once, read by every step.
 *
 * kv [B, room, L Hk (D + E)] in the storage type: [K, V] of layer 0, of layer 1, ...; the first `keys` rows are written. */
#include "core/alloc.h"
#include "fusion/cross_attention.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "visual_memory"

clf_status clf_visual_memory_create(const clf_cross_attention *c, int64_t B, int64_t K, clf_dtype storage,
                                    clf_visual_memory **m, clf_error *err)
{
    const clf_dtype type = storage != CLF_DTYPE_NONE ? storage : CLF_F32;
    clf_status status;

    *m = NULL;
    CLF_REQUIRE(err, B >= 0 && K >= 0, CLF_INVALID_ARGUMENT,
                "B is %" PRId64 " and K is %" PRId64 "; want both 0 or more", B, K);
    CLF_REQUIRE(err, clf_is_float(type), CLF_UNSUPPORTED, "storage is %s; want f32, f16 or bf16",
                clf_dtype_name(storage));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->c = c;
    status = clf_tensor_create(c->ctx, type, CLF_DIMS(B, K, clf_linear_weight_out(c->kv)), &(*m)->kv, err);
    if (status != CLF_OK) {
        clf_visual_memory_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_visual_memory_destroy(clf_visual_memory *m)
{
    if (m == NULL)
        return;
    clf_tensor_free(m->c->ctx, &m->kv);
    clf_free(m);
}

void clf_visual_memory_clear(clf_visual_memory *m)
{
    m->keys = 0;
}

int64_t clf_visual_memory_keys(const clf_visual_memory *m)
{
    return m->keys;
}

static clf_status check_append(const clf_visual_memory *m, clf_tensor media, clf_error *err)
{
    CLF_TRY(clf_cross_attention_check_media(m->c, m->kv.dim[0], media, err));
    CLF_REQUIRE(err, media.dim[1] <= m->kv.dim[1] - m->keys, CLF_INVALID_ARGUMENT,
                "media is %s; want at most %" PRId64 " keys: the memory has %" PRId64 " of %" PRId64, CLF_TEXT(media),
                m->kv.dim[1] - m->keys, m->keys, m->kv.dim[1]);
    return CLF_OK;
}

void clf_visual_memory_append(clf_stream *s, clf_visual_memory *m, clf_tensor media)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_append(m, media, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor rows = clf_slice(s, m->kv, 1, m->keys, media.dim[1]);
    const bool direct = rows.dtype == CLF_F32; /* products and norms give no other type */
    const clf_tensor kv = direct ? rows : clf_scratch(s, CLF_F32, clf_tensor_dims(rows));

    clf_cross_attention_keys(s, m->c, media, kv);
    if (!direct)
        clf_place(s, kv, rows);
    if (clf_stream_status(s) == CLF_OK)
        m->keys += media.dim[1];
    clf_scope_close(s, scope);
}
