/* Attention: rows that ask (queries) look at rows that answer (keys and values). */
#ifndef CLFUSION_ATTENTION_H
#define CLFUSION_ATTENTION_H

#include <string.h>

#include <clfusion/norm.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Widest head of q, k, v and y. */
#define CLF_ATTENTION_MAX_WIDTH 256

/** What a query gives that sees no key. */
typedef enum clf_unseen {
    CLF_UNSEEN_ZERO = 0, /* 0 */
    CLF_UNSEEN_UNIFORM =
        1, /* the mean of all K values: softmax of equal scores, as transformers' eager attention does */
    CLF_UNSEEN_UNIFORM_BUT_GROUP_0 = 2 /* 0 for queries of group 0, else the mean: OpenFlamingo, immediate media */
} clf_unseen;

/** Which keys a query may see, by groups.  Equality serves windows and packed sequences too: keys that no query of a
 * tile may see cost no arithmetic when they stand together. */
typedef enum clf_group_rule {
    CLF_GROUPS_NONE = 0,
    CLF_GROUPS_EQUAL = 1,   /* the group of the key is the query's: the last picture, a window, a segment */
    CLF_GROUPS_AT_LEAST = 2 /* the group of the query is at least the key's: all pictures so far */
} clf_group_rule;

typedef struct clf_attention_options {
    uint32_t struct_size;
    float scale; /* of the scores; 0, the default: D^-1/2 */

    /* Over the D entries of a head, before the scores and in f32; q and k themselves are not changed. */
    clf_norm q_norm;
    clf_norm k_norm;

    /* A key is seen when every rule that is given allows it. */
    clf_tensor mask;        /* f32 [B or 1, H or 1, Q or 1, ceil(K / mask_block)], added to the scores; -FLT_MAX and
                             * below, -inf too, hide the key */
    int64_t mask_block;     /* consecutive keys that a column of the mask stands for; default 1 */
    clf_tensor key_lengths; /* i32 [B]: keys from this number on are hidden; 0 hides all */
    bool causal;            /* query i sees key j when j <= i + causal_offset */
    int64_t causal_offset;
    clf_group_rule group_rule;
    clf_tensor query_groups; /* i32 [B or 1, Q] */
    clf_tensor key_groups;   /* i32 [B or 1, K] */

    clf_unseen unseen; /* default CLF_UNSEEN_ZERO */

    clf_tensor weights; /* f32 [B, H, Q, K], dense: receives the softmax; absent, the default: it is never stored */
} clf_attention_options;

/** No norms, no mask, all keys seen, scale D^-1/2, weights not stored. */
static inline clf_attention_options clf_attention_options_default(void)
{
    clf_attention_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.mask_block = 1;
    return options;
}

/**
 * y[b, i, h, :] = sum over j of softmax_j(scale <q[b, i, h], k[b, j, h / g]> + mask[b, h, i, j]) v[b, j, h / g, :],
 * g = H / Hk, over the keys j that query i may see.
 *
 * q        [B, Q, H, D]   f32, f16 or bf16; D 1 to 256; H and Hk above 0, H a multiple of Hk
 * k        [B, K, Hk, D]  any of these types
 * v        [B, K, Hk, E]  the type of k; E 1 to 256
 * options  NULL: the defaults
 * y        [B, Q, H, E]   f32 or the type of q; apart from all others
 *
 * B, Q and K may be 0: without queries nothing happens, without keys no query sees one and the mean of none is 0.  The
 * four are views with any strides; only the last must be 1.  Thus q, k and v can be parts of one product, and a batch
 * stride of 0 shares keys or queries; each element of y wants a place of its own.  clf_heads makes such a view of
 * [B, T, H D].  Masks and groups may be views, too; weights are dense.  g Q is below 2^31.
 *
 * Accumulation in f32, softmax online: memory is O(Q + K), and none but for q_norm and k_norm, which take room for q
 * and k in f32.  What a query may not see is selected away: hidden keys and values may be NaN.  A query's result depends
 * on nothing but its row of q and what it may see, in order: equal queries have equal bits in every batch and for every
 * Q.  With one key it is v, bit for bit (-0 becomes 0).  A NaN reaches exactly the rows that see it.
 * Bound, u = 2^-24: (2 K + 16 + 8 ceil(K / 8) + 4 (D + 2) A) u sum|p v| and half an ulp of y's type, A the largest
 * scale sum|q k| + |mask| of the keys that the row sees; it holds for finite input without overflow.  A stored weight p
 * has the same bound with p for sum|p v|.
 * Source: Vaswani et al. 2017, arXiv:1706.03762; online softmax, Dao et al. 2022, arXiv:2205.14135.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_attention(clf_stream *s, clf_tensor q, clf_tensor k, clf_tensor v,
                           const clf_attention_options *options, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_attention_check(clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *options,
                                       clf_tensor y, clf_error *err);

/** [.., C] seen as [.., heads, C / heads], a view; the error of a C that heads does not divide stays on the stream. */
CLF_API clf_tensor clf_heads(clf_stream *s, clf_tensor t, int64_t heads);

CLF_END_DECLS

#endif
