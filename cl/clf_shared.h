/* What host and kernels agree on.  Compiles on both sides. */
#ifndef CLF_SHARED_H
#define CLF_SHARED_H

/* Work-group sizes of the _tile kernels: 64 is the smallest limit that we test with. */
#define CLF_NORM_WG 64

/* panel: columns that a work-item of the packing kernels takes; panels of w that an item takes side by side when there
 * is one row, by the bytes of a weight. */
#define CLF_PANEL_COLUMNS 256
#define CLF_PANEL_SPAN(bytes) ((bytes) == 4 ? 2 : 1)

/* linear: columns that a group of the epilogue takes.  clblast: columns of its packing, elements of its expansion. */
#define CLF_LINEAR_COLUMNS 1024
#define CLF_CLBLAST_COLUMNS 64
#define CLF_CLBLAST_RUN 1024

/* scores: the most that its kernel for the best finds. */
#define CLF_SCORES_BEST 32

/* resize: bits behind the point of its weights for u8. */
#define CLF_RESIZE_BITS 22

/* attention: what stands in its `rules`. */
#define CLF_ATTENTION_MASK 1
#define CLF_ATTENTION_LENGTHS 2
#define CLF_ATTENTION_CAUSAL 4
#define CLF_ATTENTION_EQUAL 8
#define CLF_ATTENTION_AT_LEAST 16
#define CLF_ATTENTION_WEIGHTS 32
#define CLF_ATTENTION_UNIFORM 64
#define CLF_ATTENTION_UNIFORM_BUT_0 128

/* Widest head, CLF_ATTENTION_MAX_WIDTH; items, rows and keys of a tile of the GPU kernel. */
#define CLF_ATTENTION_WIDTH 256
#define CLF_ATTENTION_WG 64
#define CLF_ATTENTION_ROWS 8
#define CLF_ATTENTION_KEYS 16

/* Activation codes: clf_activation of clfusion/activation.h. */
#define CLF_ACT_NONE 0
#define CLF_ACT_GELU 1
#define CLF_ACT_GELU_TANH 2
#define CLF_ACT_QUICK_GELU 3
#define CLF_ACT_SILU 4
#define CLF_ACT_RELU 5
#define CLF_ACT_RELU2 6
#define CLF_ACT_TANH 7

/* Gains of rms_norm: clf_rms_gain of clfusion/rms_norm.h. */
#define CLF_GAIN_WEIGHT 0
#define CLF_GAIN_ONE_PLUS 1
#define CLF_GAIN_PLAIN 2

/* Rows of a tensor, in elements: row r starts at v[0] + (r / v[1]) v[3] + (r % v[1]) v[2]. */
#ifdef __OPENCL_VERSION__
typedef ulong4 clf_rows;

/* What all kernels of attention take: q, k, v, y, each with its first element and the steps of batch, row and head;
 * sizes; then the rules, of which `rules` says which are given. */
#define CLF_ATTENTION_ARGUMENTS                                                                                        \
    global const CLF_TYPE(CLF_Q) *q, ulong q0, ulong qb, ulong qt, ulong qh, global const CLF_TYPE(CLF_K) *k,          \
        ulong k0, ulong kb, ulong kt, ulong kh, global const CLF_TYPE(CLF_V) *v, ulong v0, ulong vb, ulong vt,         \
        ulong vh, global CLF_TYPE(CLF_Y) *y, ulong y0, ulong yb, ulong yt, ulong yh, uint B, uint Q, uint K, uint H,   \
        uint Hk, uint D, uint E, float scale, uint rules, global const float *mask, ulong m0, ulong mb, ulong mh,      \
        ulong mq, uint mask_block, global const int *lengths, ulong l0, long causal_offset,                            \
        global const int *query_groups, ulong qg0, ulong qgb, global const int *key_groups, ulong kg0, ulong kgb,      \
        global float *weights, ulong w0

/* Keys of a row of attention below this number remain after length and causality. */
static inline uint clf_attention_end(uint rules, uint K, global const int *lengths, ulong l, long causal_offset, uint i)
{
    long end = K;
    if (rules & CLF_ATTENTION_LENGTHS)
        end = min(end, (long)lengths[l]);
    if (rules & CLF_ATTENTION_CAUSAL)
        end = min(end, (long)i + causal_offset + 1);
    return (uint)max(end, 0l);
}
#else
#include <stdint.h>
typedef struct clf_rows {
    uint64_t v[4];
} clf_rows;
#endif

#endif
