/* Peak device memory of modules at real sizes, panels for the products: never more than
 *
 *     weights + prepared keys and values + inputs + outputs + 1.25 times the largest intermediate
 *
 * weights    what the module holds once it is made: four bytes for each number of its description, and up to 8 % more,
 *            since a perceiver's keys and values have two forms, behind the norm of the picture and that of the latents
 * prepared   keys and values of a picture for all layers of the module, f32: in a visual memory or in scratch; where a
 *            Q-Former makes none, the picture in two forms
 * largest    of all tensors that the reference's formulas make on the way from inputs to outputs, layer by layer, the
 *            largest one, f32; a concatenation counts, scores of attention do not.  The reference of that Q-Former is
 *            fusion/absorbed_attention.h: what its heads ask of a picture
 *
 * Each case has a context of its own, for the peak is a context's.  Weights are zeros and inputs whatever lies in memory:
 * the peak does not depend on numbers. */
#include <stdlib.h>

#include "fusion/qformer.h"
#include "harness.h"

#define MOST_NUMBERS (5120U * 5120) /* of one weight */
#define MOST_PORTS 4

typedef struct sum {
    clf_context *ctx;
    clf_stream *s;
    uint64_t numbers, weights, prepared, ports, largest; /* bytes; numbers: of the description */
    clf_tensor port[MOST_PORTS];                         /* inputs and outputs */
    int port_count;
    double most; /* times the largest, as a rule 1.25 */
} sum;

static float *zeros; /* [MOST_NUMBERS] */

static clf_host_tensor host(sum *c, clf_dims dims)
{
    clf_host_tensor h = { zeros, CLF_F32, dims.rank, { 0 } };
    uint64_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++)
        count *= (uint64_t)(h.dim[i] = dims.dim[i]);
    assert_true(count <= MOST_NUMBERS);
    c->numbers += count * sizeof(float);
    return h;
}

static clf_linear_layer linear(sum *c, int64_t out, int64_t in)
{
    return (clf_linear_layer){ .weight = host(c, CLF_DIMS(out, in)) };
}

static clf_linear_layer biased(sum *c, int64_t out, int64_t in)
{
    return (clf_linear_layer){ host(c, CLF_DIMS(out, in)), host(c, CLF_DIMS(out)) };
}

static clf_norm_desc norm(sum *c, clf_norm_kind kind, int64_t width)
{
    clf_norm_desc n = { .kind = kind, .weight = host(c, CLF_DIMS(width)), .eps = 1e-5F };

    if (kind == CLF_NORM_LAYER)
        n.bias = host(c, CLF_DIMS(width));
    return n;
}

static clf_feed_forward_desc feed_forward(sum *c, int64_t width, int64_t inner)
{
    return (clf_feed_forward_desc){ .norm = norm(c, CLF_NORM_LAYER, width),
                                    .up = linear(c, inner, width),
                                    .down = linear(c, width, inner),
                                    .activation = CLF_GELU };
}

static clf_tensor port(sum *c, clf_dtype dtype, clf_dims dims)
{
    clf_tensor *t = &c->port[c->port_count];

    assert_true(c->port_count++ < MOST_PORTS);
    assert_int_equal(clf_tensor_create(c->ctx, dtype, dims, t, NULL), CLF_OK);
    c->ports += (uint64_t)clf_element_count(*t) * clf_dtype_bytes(dtype);
    return *t;
}

static void passed(clf_status status, const clf_error *err)
{
    if (status != CLF_OK)
        fail_msg("%s", err->message);
}

/* The module is made, and nothing else but ports. */
static void made(sum *c, clf_status status, const clf_error *err)
{
    passed(status, err);
    c->weights = clf_context_memory(c->ctx, NULL) - c->ports;
    assert_true(c->weights >= c->numbers / 2); /* a perceiver's first layer may have left its weights */
}

static uint64_t floats(int64_t rows, int64_t width)
{
    return (uint64_t)(rows * width) * sizeof(float);
}

/* ---- the cases ---- */

static clf_projector_desc mlp(sum *c, int64_t in, int64_t hidden, int64_t out)
{
    clf_projector_desc d = clf_projector_desc_default();

    d.layer_count = 2;
    d.layers[0] = biased(c, hidden, in);
    d.layers[1] = biased(c, out, hidden);
    return d;
}

static void run_projector(sum *c, const clf_projector_desc *d, int64_t N, int64_t in, int64_t M, int64_t out)
{
    const clf_tensor vision = port(c, CLF_F32, CLF_DIMS(1, N, in)), tokens = port(c, CLF_F32, CLF_DIMS(1, M, out));
    clf_projector *p = NULL;
    clf_error err = { 0 };

    made(c, clf_projector_create(c->ctx, d, &p, &err), &err);
    clf_projector_forward(c->s, p, vision, tokens);
    passed(clf_stream_finish(c->s, &err), &err);
    clf_projector_destroy(p);
}

static void llava(sum *c)
{
    const clf_projector_desc d = mlp(c, 1024, 4096, 4096);

    c->largest = floats(576, 4096); /* between the layers */
    run_projector(c, &d, 576, 1024, 576, 4096);
}

/* N tokens of `in`, normed first: what is behind the norm is the widest. */
static void normed_mlp(sum *c, int64_t N, int64_t in, int64_t out)
{
    clf_projector_desc d = mlp(c, in, out, out);

    d.norm_weight = host(c, CLF_DIMS(in));
    d.norm_bias = host(c, CLF_DIMS(in));
    c->largest = floats(N, in);
    run_projector(c, &d, N, in, N, out);
}

static void norm_and_mlp(sum *c)
{
    normed_mlp(c, 256, 4096, 3584);
}

static void vipllava(sum *c)
{
    normed_mlp(c, 576, 5120, 4096);
}

static void merge_and_mlp(sum *c)
{
    clf_projector_desc d = mlp(c, 5120, 5120, 3584);

    d.compress_ratio = 4;
    c->largest = floats(256, 5120); /* merged, and between the layers */
    run_projector(c, &d, 1024, 1280, 256, 3584);
}

static clf_attention_layer_desc attention(sum *c, int64_t width, int64_t context, int32_t heads)
{
    return (clf_attention_layer_desc){ .q = biased(c, width, width),
                                       .k = biased(c, width, context),
                                       .v = biased(c, width, context),
                                       .out = biased(c, width, width),
                                       .heads = heads };
}

static void qformer_layers(sum *c, clf_qformer_layer_desc *layers, int count)
{
    for (int i = 0; i < count; i++) {
        layers[i] = (clf_qformer_layer_desc){ .self = attention(c, 768, 768, 12) };
        layers[i].self_norm = norm(c, CLF_NORM_LAYER, 768);
        layers[i].query_feed_forward =
            (clf_feed_forward_desc){ .up = biased(c, 3072, 768), .down = biased(c, 768, 3072), .activation = CLF_GELU };
        layers[i].query_norm = norm(c, CLF_NORM_LAYER, 768);
        if (i % 2 == 0) {
            layers[i].cross = attention(c, 768, 1408, 12);
            layers[i].cross_norm = norm(c, CLF_NORM_LAYER, 768);
        }
    }
}

static void run_qformer(sum *c, int64_t B)
{
    clf_qformer_layer_desc layers[12];
    clf_qformer_desc d = clf_qformer_desc_default();
    clf_qformer *q = NULL;
    clf_error err = { 0 };
    const clf_tensor vision = port(c, CLF_F32, CLF_DIMS(B, 257, 1408)), hidden = port(c, CLF_F32, CLF_DIMS(B, 32, 768));

    qformer_layers(c, layers, 12);
    d.queries = host(c, CLF_DIMS(1, 32, 768));
    d.embedding_norm = norm(c, CLF_NORM_LAYER, 768);
    d.layers = layers;
    d.layer_count = 12;
    made(c, clf_qformer_create(c->ctx, &d, &q, &err), &err);
    if (q->absorbed) {
        c->prepared = floats(B * (288 + 257), 1408); /* rows in whole panels */
        c->largest = floats(B * 12 * 32, 1408);      /* for each head and query a row as wide as the picture's */
        c->most = 1.32;                              /* the scores of all heads lie beside it, a fifth of it */
    } else {
        c->prepared = 6 * 2 * floats(B * 257, 768);
        c->largest = floats(B * 257, 768); /* keys of one layer; the feed-forward has half as much */
    }
    clf_qformer_forward(c->s, q, vision, NULL, 0, NULL, hidden);
    passed(clf_stream_finish(c->s, &err), &err);
    clf_qformer_destroy(q);
}

static void qformer(sum *c)
{
    run_qformer(c, 1);
}

static void qformer_of_four(sum *c)
{
    run_qformer(c, 4);
}

static void run_resampler(sum *c, const clf_resampler_desc *d, int64_t N, int64_t M, int64_t width)
{
    const clf_tensor vision = port(c, CLF_F32, CLF_DIMS(1, N, width)), tokens = port(c, CLF_F32, CLF_DIMS(1, M, width));
    clf_resampler *r = NULL;
    clf_error err = { 0 };

    made(c, clf_resampler_create(c->ctx, d, &r, &err), &err);
    clf_resampler_forward(c->s, r, vision, NULL, tokens);
    passed(clf_stream_finish(c->s, &err), &err);
    clf_resampler_destroy(r);
}

static void perceiver(sum *c)
{
    clf_resampler_layer_desc layers[6];
    clf_resampler_desc d = clf_resampler_desc_default();

    for (int i = 0; i < 6; i++) {
        layers[i] = (clf_resampler_layer_desc){ .context_norm = norm(c, CLF_NORM_LAYER, 1024) };
        layers[i].cross = (clf_attention_layer_desc){ .norm = norm(c, CLF_NORM_LAYER, 1024),
                                                      .q = linear(c, 512, 1024),
                                                      .k = linear(c, 512, 1024),
                                                      .v = linear(c, 512, 1024),
                                                      .out = linear(c, 1024, 512),
                                                      .heads = 8 };
        layers[i].feed_forward = feed_forward(c, 1024, 4096);
    }
    d.latents = host(c, CLF_DIMS(64, 1024));
    d.layers = layers;
    d.layer_count = 6;
    d.latents_in_context = true;
    d.final_norm = norm(c, CLF_NORM_LAYER, 1024);
    c->prepared = 6 * floats(256 + 64, 1024);
    c->largest = floats(256 + 64, 1024); /* context and latents, one behind the other */
    run_resampler(c, &d, 256, 64, 1024);
}

static void idefics2(sum *c)
{
    clf_resampler_layer_desc layers[3];
    clf_resampler_desc d = clf_resampler_desc_default();

    for (int i = 0; i < 3; i++) {
        layers[i] = (clf_resampler_layer_desc){ .context_norm = norm(c, CLF_NORM_RMS, 4096) };
        layers[i].cross = (clf_attention_layer_desc){ .norm = norm(c, CLF_NORM_RMS, 4096),
                                                      .q = linear(c, 1536, 4096),
                                                      .k = linear(c, 384, 4096),
                                                      .v = linear(c, 384, 4096),
                                                      .out = linear(c, 4096, 1536),
                                                      .heads = 16,
                                                      .kv_heads = 4 };
        layers[i].feed_forward = (clf_feed_forward_desc){ .norm = norm(c, CLF_NORM_RMS, 4096),
                                                          .up = linear(c, 4096, 4096),
                                                          .gated = linear(c, 4096, 4096),
                                                          .down = linear(c, 4096, 4096),
                                                          .activation = CLF_SILU };
    }
    d.latents = host(c, CLF_DIMS(64, 4096));
    d.layers = layers;
    d.layer_count = 3;
    d.latents_in_context = true;
    d.final_norm = norm(c, CLF_NORM_RMS, 4096);
    c->prepared = 3 * floats(729 + 64, 768);
    c->largest = floats(729 + 64, 4096); /* context and latents, one behind the other */
    run_resampler(c, &d, 729, 64, 4096);
}

/* A module of one layer on K rows of a visual memory. */
static void run_cross(sum *c, clf_cross_form form, const clf_cross_layer_desc *layer, int64_t T, int64_t K, int64_t kv)
{
    clf_cross_attention_desc d = clf_cross_attention_desc_default();
    const int64_t width = layer->attention.q.weight.dim[1];
    clf_cross_attention *m = NULL;
    clf_visual_memory *memory = NULL;
    clf_error err = { 0 };

    d.form = form;
    d.layers = layer;
    d.layer_count = 1;
    made(c, clf_cross_attention_create(c->ctx, &d, &m, &err), &err);
    passed(clf_visual_memory_create(m, 1, K, CLF_F32, &memory, &err), &err);
    const clf_tensor media = port(c, CLF_F32, CLF_DIMS(1, K, layer->attention.k.weight.dim[1])),
                     text = port(c, CLF_F32, CLF_DIMS(1, T, width)), hidden = port(c, CLF_F32, CLF_DIMS(1, T, width));
    c->prepared = floats(K, kv);
    clf_visual_memory_append(c->s, memory, media);
    clf_cross_attention_forward(c->s, m, 0, text, memory, NULL, hidden);
    passed(clf_stream_finish(c->s, &err), &err);
    clf_visual_memory_destroy(memory);
    clf_cross_attention_destroy(m);
}

static void gated_block(sum *c)
{
    clf_cross_layer_desc layer = { .attention = { .norm = norm(c, CLF_NORM_LAYER, 2048),
                                                  .q = linear(c, 512, 2048),
                                                  .k = linear(c, 512, 1024),
                                                  .v = linear(c, 512, 1024),
                                                  .out = linear(c, 2048, 512),
                                                  .heads = 8,
                                                  .gate = host(c, CLF_DIMS(1)) } };

    layer.feed_forward = feed_forward(c, 2048, 8192);
    layer.feed_forward.gate = host(c, CLF_DIMS(1));
    c->largest = floats(128, 8192); /* of the feed-forward */
    run_cross(c, CLF_CROSS_RESIDUAL, &layer, 128, 64, 1024);
}

static void mllama(sum *c, int64_t T)
{
    clf_cross_layer_desc layer = { .attention = { .norm = norm(c, CLF_NORM_RMS, 4096),
                                                  .q = linear(c, 4096, 4096),
                                                  .k = linear(c, 1024, 4096),
                                                  .v = linear(c, 1024, 4096),
                                                  .out = linear(c, 4096, 4096),
                                                  .heads = 32,
                                                  .kv_heads = 8,
                                                  .q_norm = norm(c, CLF_NORM_RMS, 128),
                                                  .k_norm = norm(c, CLF_NORM_RMS, 128),
                                                  .gate = host(c, CLF_DIMS(1)) } };

    c->largest = floats(T > 1601 / 4 ? T : 1601 / 4, 4096); /* queries, or keys of the picture [1601, 1024] */
    run_cross(c, CLF_CROSS_RESIDUAL, &layer, T, 1601, 2048);
}

static void mllama_512(sum *c)
{
    mllama(c, 512);
}

static void mllama_1(sum *c)
{
    mllama(c, 1);
}

static void post_norm(sum *c)
{
    clf_cross_layer_desc layer = { .attention = attention(c, 768, 768, 8) };

    layer.attention.norm = norm(c, CLF_NORM_LAYER, 768);
    layer.feed_forward = (clf_feed_forward_desc){ .norm = norm(c, CLF_NORM_LAYER, 768),
                                                  .up = biased(c, 3072, 768),
                                                  .down = biased(c, 768, 3072),
                                                  .activation = CLF_GELU };
    c->largest = floats(577, 768); /* keys */
    run_cross(c, CLF_CROSS_POST_NORM, &layer, 77, 577, 1536);
}

static void late_fusion(sum *c)
{
    clf_contrastive_desc d = clf_contrastive_desc_default();
    clf_contrastive_call call = clf_contrastive_call_default();
    clf_contrastive *m = NULL;
    clf_error err = { 0 };

    d.vision.projection = linear(c, 768, 1024);
    d.text.projection = linear(c, 768, 768);
    call.vision = port(c, CLF_F32, CLF_DIMS(512, 1024));
    call.text = port(c, CLF_F32, CLF_DIMS(2048, 768));
    call.indices = port(c, CLF_I32, CLF_DIMS(512, 5));
    call.values = port(c, CLF_F32, CLF_DIMS(512, 5));
    c->largest = floats(2048, 768); /* embeddings of texts; logits are [512, 2048] */
    made(c, clf_contrastive_create(c->ctx, &d, &m, &err), &err);
    clf_contrastive_forward(c->s, m, &call);
    passed(clf_stream_finish(c->s, &err), &err);
    clf_contrastive_destroy(m);
}

/* ---- the sum ---- */

static const struct {
    const char *name;
    void (*run)(sum *c);
} cases[] = {
    { "LLaVA-1.5 MLP, 576 tokens", llava },
    { "norm + MLP, 256 x 4096", norm_and_mlp },
    { "ViP-LLaVA, 576 x 5120", vipllava },
    { "merge + MLP, 1024 x 1280", merge_and_mlp },
    { "Q-Former, 257 x 1408", qformer },
    { "Q-Former, batch of 4", qformer_of_four },
    { "OpenFlamingo perceiver", perceiver },
    { "Idefics2 perceiver, 729 x 4096", idefics2 },
    { "gated block, T 128", gated_block },
    { "Mllama cross layer, T 512", mllama_512 },
    { "Mllama cross layer, T 1", mllama_1 },
    { "post-norm fusion, 77 x 577", post_norm },
    { "late fusion, 512 x 2048, top 5", late_fusion },
};

/* The description's numbers, and of a perceiver two forms of some. */
#define MOST_WEIGHTS 1.08
#define SMALL 65536U /* what is rounded up, and constants */

/* Whether case i stays within its bound; prints both sides. */
static bool within(size_t i)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_error err = { 0 };
    sum c = { .most = 1.25 };
    uint64_t peak;

    desc.gemm = CLF_GEMM_PANEL;
    passed(clf_context_create(&desc, &c.ctx, &err), &err);
    passed(clf_stream_create(c.ctx, NULL, &c.s, &err), &err);
    cases[i].run(&c);
    (void)clf_context_memory(c.ctx, &peak);
    for (int k = 0; k < c.port_count; k++)
        clf_tensor_free(c.ctx, &c.port[k]);
    clf_stream_destroy(c.s);
    clf_context_destroy(c.ctx);
    const double beside = (double)peak - (double)(c.weights + c.prepared + c.ports), largest = (double)c.largest;
    const bool ok = beside <= c.most * largest + SMALL && (double)c.weights <= MOST_WEIGHTS * (double)c.numbers + SMALL;
    print_message("             %-31s weights %.3f of %.1f MB, then %.2f of %.2f MB%s\n", cases[i].name,
                  (double)c.weights / (double)c.numbers, (double)c.numbers * 1e-6, beside / largest, largest * 1e-6,
                  ok ? "" : "  <- more than the bound");
    return ok;
}

static void peaks_are_what_the_formulas_need(void **state)
{
    bool all = true;

    if (clf_test_small_only(*state))
        clf_test_skip("modules of real sizes");
    zeros = calloc(MOST_NUMBERS, sizeof *zeros);
    assert_non_null(zeros);
    for (size_t i = 0; i < CLF_COUNT(cases); i++)
        all = within(i) && all;
    free(zeros);
    assert_true(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(peaks_are_what_the_formulas_need) };

    return CLF_TEST_MAIN(tests);
}
