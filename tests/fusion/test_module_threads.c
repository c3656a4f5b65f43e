/* The number of the driver's threads does not show in the bits of attention and of modules.
 *
 * Rows of 160: between 4 and 8 panels of 32 columns, where `panel` splits a product of few rows in another way for one
 * compute unit than for two. */
#include "parts.h"
#include "relevance_case.h"
#include "thread_bits.h"

enum { B = 2, N = 70, W = 160, INNER = 200, DV = 130, HEADS = 4, M = 20, T = 19, Q = 65, K = 333, D = 40 };

static void read(clf_test *t, clf_tensor y, float *result)
{
    clf_error err = { 0 };

    clf_download(t->stream, y, result);
    if (clf_stream_finish(t->stream, &err) != CLF_OK)
        fail_msg("%s", err.message);
}

/* Masked in part, and its weights. */
static void attention(clf_test *t, float *result)
{
    const clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(B, Q, HEADS, D)),
                     k = clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, HEADS / 2, D)),
                     v = clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, HEADS / 2, D)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, Q, HEADS, D));
    clf_attention_options o = clf_attention_options_default();

    o.causal = true;
    o.causal_offset = K - Q;
    o.mask = clf_test_normal(t, CLF_F32, CLF_DIMS(1, HEADS, Q, K));
    clf_attention(t->stream, q, k, v, &o, y);
    read(t, y, result);
    o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(B, HEADS, Q, K));
    clf_attention(t->stream, q, k, v, &o, y);
    read(t, o.weights, result + B * Q * HEADS * D);
}

/* One query, as a step of decoding asks it. */
static void attention_of_one_row(clf_test *t, float *result)
{
    const clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, HEADS, D)),
                     k = clf_test_normal(t, CLF_F16, CLF_DIMS(1, K, 1, D)),
                     v = clf_test_normal(t, CLF_F16, CLF_DIMS(1, K, 1, D)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, HEADS, D));

    clf_attention(t->stream, q, k, v, NULL, y);
    read(t, y, result);
}

static void resampler(clf_test *t, float *result)
{
    clf_resampler_layer_desc layers[2] = { { .context_norm = part_norm(t, DV) } };
    clf_resampler_desc d = clf_resampler_desc_default();
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, DV)),
                     tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, W));
    clf_resampler *r = NULL;
    clf_error err = { 0 };

    layers[0].cross = part_attention(t, W, DV, HEADS);
    layers[0].cross.norm = part_norm(t, W);
    layers[0].feed_forward = part_feed_forward(t, W, INNER);
    layers[0].feed_forward.norm = part_norm(t, W);
    layers[1] = layers[0];
    layers[1].self = part_attention(t, W, W, HEADS);
    layers[1].self.norm = part_norm(t, W);
    d.latents = part_numbers(t, CLF_DIMS(M, W), 0, 1);
    d.layers = layers;
    d.layer_count = 2;
    d.final_norm = part_norm(t, W);
    if (clf_resampler_create(t->ctx, &d, &r, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_resampler_forward(t->stream, r, vision, NULL, tokens);
    read(t, tokens, result);
    clf_resampler_destroy(r);
}

/* Two gated layers: first a text of T positions, then its last one alone with the memory of the same media. */
static void gated_cross_attention(clf_test *t, float *result)
{
    clf_cross_layer_desc layers[2] = { { .attention = part_attention(t, W, DV, HEADS) } };
    clf_cross_attention_desc d = clf_cross_attention_desc_default();
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(B, T, W)),
                     step = clf_test_normal(t, CLF_F32, CLF_DIMS(B, 1, W)),
                     media = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, DV)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, T, W)),
                     z = clf_test_empty(t, CLF_F32, CLF_DIMS(B, 1, W));
    clf_cross_attention *c = NULL;
    clf_visual_memory *m = NULL;
    clf_error err = { 0 };

    layers[0].attention.norm = part_norm(t, W);
    layers[0].attention.gate = part_numbers(t, CLF_DIMS(1), 0.7, 0.1);
    layers[0].feed_forward = part_feed_forward(t, W, INNER);
    layers[0].feed_forward.norm = part_norm(t, W);
    layers[0].feed_forward.gate = part_numbers(t, CLF_DIMS(1), 0.5, 0.1);
    layers[1] = layers[0];
    d.form = CLF_CROSS_RESIDUAL;
    d.layers = layers;
    d.layer_count = 2;
    if (clf_cross_attention_create(t->ctx, &d, &c, &err) != CLF_OK ||
        clf_visual_memory_create(c, B, N, CLF_F32, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, y);
    clf_visual_memory_append(t->stream, m, media);
    clf_cross_attention_forward(t->stream, c, 1, step, m, NULL, z);
    read(t, y, result);
    read(t, z, result + B * T * W);
    clf_visual_memory_destroy(m);
    clf_cross_attention_destroy(c);
}

static void qformer(clf_test *t, float *result)
{
    const clf_qformer_desc d = part_qformer(
        t, (part_qformer_sizes){ .queries = M, .width = W, .inner = INNER, .vision = DV, .layers = 3, .heads = HEADS });
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, DV)),
                     hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, W));
    clf_qformer *q = NULL;
    clf_error err = { 0 };

    if (clf_qformer_create(t->ctx, &d, &q, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_qformer_forward(t->stream, q, vision, NULL, 0, NULL, hidden);
    read(t, hidden, result);
    clf_qformer_destroy(q);
}

static void attention_pool(clf_test *t, float *result)
{
    clf_attention_pool_desc d = clf_attention_pool_desc_default();
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, DV)),
                     tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, W));
    clf_attention_pool *p = NULL;
    clf_error err = { 0 };

    d.queries = part_numbers(t, CLF_DIMS(M, W), 0, 1);
    d.attention = part_attention(t, W, DV, HEADS);
    if (clf_attention_pool_create(t->ctx, &d, &p, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_attention_pool_forward(t->stream, p, vision, NULL, tokens);
    read(t, tokens, result);
    clf_attention_pool_destroy(p);
}

/* Textures, maps, their weights and the cells that follow. */
static void relevance(clf_test *t, float *result)
{
    clf_relevance_desc d = rc_small(t);
    clf_relevance_call c = rc_call(t, CLF_F32);
    clf_relevance *r = rc_create(t, &d);

    clf_relevance_forward(t->stream, r, &c);
    read(t, c.relevance, result);
    read(t, c.tokens, result + RC_B * RC_N);
    clf_relevance_destroy(r);
}

int main(int argc, char **argv)
{
    static const clf_thread_case cases[] = {
        { "attention", attention, B * Q * HEADS * (D + K) },
        { "attention of one row", attention_of_one_row, HEADS * D },
        { "resampler", resampler, B * M * W },
        { "gated cross-attention", gated_cross_attention, B * (T + 1) * W },
        { "qformer", qformer, B * M * W },
        { "attention pool", attention_pool, B * M * W },
        { "relevance", relevance, RC_B * (RC_N + RC_K * RC_D) },
    };

    return clf_thread_bits_main(argc, argv, cases, CLF_COUNT(cases));
}
