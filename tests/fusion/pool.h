/* What the tests of attention pools share: a description of each kind, and the formula in double. */
#ifndef CLF_TESTS_FUSION_POOL_H
#define CLF_TESTS_FUSION_POOL_H

#include <math.h>
#include <string.h>

#include "harness.h"

/* ---- descriptions ---- */

/* Normal values over sqrt(scale), rounded to f32. */
static inline clf_host_tensor normal(clf_test *t, clf_dims dims, double scale, double middle)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++) {
        h.dim[i] = dims.dim[i];
        count *= (size_t)dims.dim[i];
    }
    float *values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const double u = 1 - clf_test_random(t), v = clf_test_random(t);
        values[i] = (float)(middle + sqrt(-2 * log(u) / scale) * cos(6.283185307179586 * v));
    }
    h.data = values;
    return h;
}

static inline clf_linear_layer layer(clf_test *t, int64_t out, int64_t in, bool bias)
{
    clf_linear_layer l = { .weight = normal(t, CLF_DIMS(out, in), (double)in, 0) };

    if (bias)
        l.bias = normal(t, CLF_DIMS(out), 1, 0);
    return l;
}

static inline clf_norm_desc norm(clf_test *t, int64_t C, float eps)
{
    return (clf_norm_desc){ CLF_NORM_LAYER, normal(t, CLF_DIMS(C), 9, 1), normal(t, CLF_DIMS(C), 9, 0), eps };
}

static inline clf_attention_layer_desc attention(clf_test *t, int64_t C, int64_t Cc, int32_t heads)
{
    return (clf_attention_layer_desc){ .q = layer(t, C, C, true),
                                       .k = layer(t, C, Cc, true),
                                       .v = layer(t, C, Cc, true),
                                       .out = layer(t, C, C, true),
                                       .heads = heads };
}

enum { RESAMPLER, PROJECTIONS, HEAD, MEAN, WIDE, KINDS };

/* One of each kind of family: Qwen-VL's and MiniCPM-V's, Aria's, SigLIP's, CLIP's, CoCa's.  N rows of width Dv. */
static inline clf_attention_pool_desc describe(clf_test *t, int kind, int64_t N)
{
    clf_attention_pool_desc d = clf_attention_pool_desc_default();
    const int64_t C = 24, Dv = kind == RESAMPLER || kind == WIDE ? 20 : C, M = kind == HEAD ? 1 : 5;

    d.attention = attention(t, C, kind == WIDE ? Dv : C, kind == WIDE ? 8 : 4);
    if (kind != MEAN)
        d.queries = normal(t, kind == HEAD ? CLF_DIMS(1, 1, C) : CLF_DIMS(M, C), 1, 0);
    if (kind == RESAMPLER) {
        d.query_positions = normal(t, CLF_DIMS(M, C), 1, 0);
        d.positions = normal(t, CLF_DIMS(N, C), 1, 0);
        d.positions_of_call = true;
        d.input = layer(t, C, Dv, false);
        d.projection = normal(t, CLF_DIMS(C, 28), (double)C, 0);
    }
    if (kind == PROJECTIONS) {
        d.query_projection = layer(t, C, C, false);
        d.key_projection = layer(t, C, C, false).weight;
        d.value_projection = layer(t, C, C, false).weight;
        d.attention.dense = layer(t, C, C, true);
        d.feed_forward = (clf_feed_forward_desc){ .norm = norm(t, C, 1e-5F),
                                                  .up = layer(t, 16, C, false),
                                                  .down = layer(t, 32, 16, false),
                                                  .activation = CLF_GELU_TANH };
        d.feed_forward_residual = false;
    }
    if (kind == HEAD)
        d.feed_forward = (clf_feed_forward_desc){ .norm = norm(t, C, 1e-6F),
                                                  .up = layer(t, 40, C, true),
                                                  .down = layer(t, C, 40, true),
                                                  .activation = CLF_GELU_TANH };
    if (kind == MEAN)
        d.positions = normal(t, CLF_DIMS(N + 1, C), 1, 0);
    if (kind == RESAMPLER || kind == PROJECTIONS || kind == WIDE) {
        d.attention.norm = norm(t, C, 1e-5F);
        d.input_norm = norm(t, kind == WIDE ? Dv : C, 1e-6F);
    }
    if (kind == RESAMPLER || kind == WIDE)
        d.output_norm = norm(t, C, 1e-5F);
    return d;
}

static inline clf_attention_pool *create(clf_test *t, const clf_attention_pool_desc *d)
{
    clf_attention_pool *p = NULL;
    clf_error err = { 0 };

    if (clf_attention_pool_create(t->ctx, d, &p, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return p;
}

/* ---- the formula in double ---- */

typedef struct rows {
    double *at;
    int64_t count, width;
} rows;

static inline rows new_rows(clf_test *t, int64_t count, int64_t width)
{
    return (rows){ clf_test_memory(t, (size_t)(count * width) * sizeof(double)), count, width };
}

static inline rows host_rows(clf_test *t, clf_host_tensor h)
{
    rows r = new_rows(t, h.rank > 2 ? h.dim[h.rank - 2] : h.dim[0], h.dim[h.rank - 1]);

    for (int64_t i = 0; i < r.count * r.width; i++)
        r.at[i] = (double)((const float *)h.data)[i];
    return r;
}

static inline rows ref_linear(clf_test *t, const clf_linear_layer *l, rows x)
{
    const float *w = l->weight.data, *b = l->bias.data;
    rows y;

    if (w == NULL)
        return x;
    y = new_rows(t, x.count, l->weight.dim[0]);
    for (int64_t r = 0; r < x.count; r++)
        for (int64_t o = 0; o < y.width; o++) {
            double sum = b != NULL ? (double)b[o] : 0;
            for (int64_t i = 0; i < x.width; i++)
                sum += x.at[r * x.width + i] * (double)w[o * x.width + i];
            y.at[r * y.width + o] = sum;
        }
    return y;
}

static inline rows ref_matrix(clf_test *t, clf_host_tensor w, rows x)
{
    return ref_linear(t, &(clf_linear_layer){ .weight = w }, x);
}

static inline rows ref_norm(clf_test *t, const clf_norm_desc *n, rows x)
{
    const float *w = n->weight.data, *b = n->bias.data;
    const rows y = new_rows(t, x.count, x.width);

    if (n->kind == CLF_NORM_NONE)
        return x;
    for (int64_t r = 0; r < x.count; r++) {
        const double *from = x.at + r * x.width;
        double mean = 0, variance = 0;

        for (int64_t i = 0; i < x.width; i++)
            mean += from[i] / (double)x.width;
        for (int64_t i = 0; i < x.width; i++)
            variance += (from[i] - mean) * (from[i] - mean) / (double)x.width;
        for (int64_t i = 0; i < x.width; i++)
            y.at[r * x.width + i] = (from[i] - mean) / sqrt(variance + (double)n->eps) * (double)w[i] + (double)b[i];
    }
    return y;
}

static inline rows ref_add(clf_test *t, rows a, rows b)
{
    const rows y = new_rows(t, a.count, a.width);

    for (int64_t i = 0; i < a.count * a.width; i++)
        y.at[i] = a.at[i] + b.at[i];
    return y;
}

/* seen[j]: the key may be looked at.  weights: [H, M, K] or NULL. */
static inline rows ref_attention(clf_test *t, rows q, rows k, rows v, int64_t heads, const bool *seen, double *weights)
{
    const int64_t D = q.width / heads, E = v.width / heads;
    const rows y = new_rows(t, q.count, v.width);
    double *p = clf_test_memory(t, (size_t)(k.count + 1) * sizeof *p);

    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < q.count; i++) {
            double sum = 0;

            for (int64_t j = 0; j < k.count; j++) {
                double score = 0;
                for (int64_t d = 0; d < D; d++)
                    score += q.at[i * q.width + h * D + d] * k.at[j * k.width + h * D + d];
                p[j] = seen[j] ? exp(score / sqrt((double)D)) : 0;
                sum += p[j];
            }
            for (int64_t j = 0; j < k.count; j++) {
                const double share = sum > 0 ? p[j] / sum : 1.0 / (double)k.count;

                if (weights != NULL)
                    weights[(h * q.count + i) * k.count + j] = share;
                for (int64_t e = 0; e < E; e++)
                    y.at[i * y.width + h * E + e] += share * v.at[j * v.width + h * E + e];
            }
        }
    return y;
}

static inline rows ref_feed_forward(clf_test *t, const clf_attention_pool_desc *d, rows a)
{
    rows h;

    if (d->feed_forward.up.weight.data == NULL)
        return a;
    h = ref_linear(t, &d->feed_forward.up, ref_norm(t, &d->feed_forward.norm, a));
    for (int64_t i = 0; i < h.count * h.width; i++) {
        const double x = h.at[i];
        h.at[i] = 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    }
    h = ref_linear(t, &d->feed_forward.down, h);
    return d->feed_forward_residual ? ref_add(t, a, h) : h;
}

static inline rows ref_output(clf_test *t, const clf_attention_pool_desc *d, rows a)
{
    const float *w = d->projection.data;
    rows y;

    a = ref_linear(t, &d->output, ref_norm(t, &d->output_norm, a));
    if (w == NULL)
        return a;
    y = new_rows(t, a.count, d->projection.dim[1]);
    for (int64_t r = 0; r < a.count; r++)
        for (int64_t o = 0; o < y.width; o++)
            for (int64_t i = 0; i < a.width; i++)
                y.at[r * y.width + o] += a.at[r * a.width + i] * (double)w[i * y.width + o];
    return y;
}

/* [mean(c); c] + positions. */
static inline rows ref_with_mean(clf_test *t, const clf_attention_pool_desc *d, rows c)
{
    const rows all = new_rows(t, c.count + 1, c.width);

    for (int64_t j = 0; j < c.count; j++)
        for (int64_t i = 0; i < c.width; i++) {
            all.at[(j + 1) * c.width + i] = c.at[j * c.width + i];
            all.at[i] += c.at[j * c.width + i] / (double)c.count;
        }
    return ref_add(t, all, host_rows(t, d->positions));
}

/* One picture x [N, Dv], its first M queries. */
static inline rows reference(clf_test *t, const clf_attention_pool_desc *d, rows x, int64_t M, const bool *seen,
                             double *weights)
{
    const clf_attention_layer_desc *a = &d->attention;
    rows c = ref_norm(t, &d->input_norm, ref_linear(t, &d->input, x)), q, k = c, y;

    if (d->queries.data == NULL) {
        k = c = ref_with_mean(t, d, c);
        q = (rows){ c.at, 1, c.width };
    } else {
        q = ref_norm(t, &a->norm, host_rows(t, d->queries));
        if (d->query_positions.data != NULL)
            q = ref_add(t, q, host_rows(t, d->query_positions));
        if (d->positions.data != NULL)
            k = ref_add(t, c, host_rows(t, d->positions));
        q.count = M;
    }
    q = ref_linear(t, &a->q, ref_linear(t, &d->query_projection, q));
    k = ref_linear(t, &a->k, ref_matrix(t, d->key_projection, k));
    y = ref_attention(t, q, k, ref_linear(t, &a->v, ref_matrix(t, d->value_projection, c)), a->heads, seen, weights);
    y = ref_linear(t, &a->dense, ref_linear(t, &a->out, y));
    return ref_output(t, d, ref_feed_forward(t, d, y));
}

/* All pictures; seen [B, K] or NULL: all. */
static inline double *references(clf_test *t, const clf_attention_pool_desc *d, clf_tensor vision, int64_t M,
                                 int64_t Dt, const bool *seen, double *weights)
{
    const int64_t B = vision.dim[0], N = vision.dim[1], K = d->queries.data == NULL ? N + 1 : N;
    const double *x = clf_test_given(t, vision);
    double *want = clf_test_memory(t, (size_t)(B * M * Dt) * sizeof *want);
    bool *all = clf_test_memory(t, (size_t)K);

    memset(all, 1, (size_t)K);
    for (int64_t b = 0; b < B; b++) {
        rows picture = new_rows(t, N, vision.dim[2]);
        const int64_t stride = d->attention.heads * M * K;

        memcpy(picture.at, x + b * N * vision.dim[2], (size_t)(N * vision.dim[2]) * sizeof(double));
        const rows y = reference(t, d, picture, M, seen != NULL ? seen + b * K : all,
                                 weights != NULL ? weights + b * stride : NULL);
        assert_int_equal(y.width, Dt);
        memcpy(want + b * M * Dt, y.at, (size_t)(M * Dt) * sizeof *want);
    }
    return want;
}

/* f32 against double: sums of at most 40 products and K keys around 1, through five layers; 0.02 of this is used. */
static inline void agrees(clf_test *t, clf_tensor got, const double *want)
{
    clf_test_close(t, got, want, 1e-4, 2e-5);
}

#endif
