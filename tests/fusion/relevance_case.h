/* What the tests of relevance share: descriptions with random weights, calls for everything, the formulas in double. */
#ifndef CLF_TESTS_FUSION_RELEVANCE_CASE_H
#define CLF_TESTS_FUSION_RELEVANCE_CASE_H

#include "late.h"
#include "ref/ref.h"

enum { RC_G = 4, RC_N = RC_G * RC_G, RC_K = 6, RC_F = 9, RC_Q = 7, RC_P = 5, RC_D = 3, RC_S = 9, RC_B = 3 };

static inline clf_linear_layer rc_layer(clf_test *t, int64_t out, int64_t in)
{
    clf_linear_layer l = late_layer(t, out, in);
    float *w = (float *)(uintptr_t)l.weight.data;

    for (int64_t i = 0; i < out * in; i++)
        w[i] /= sqrtf((float)in);
    return l;
}

static inline clf_relevance_desc rc_describe(clf_test *t, int64_t grid, int64_t F, int64_t Q)
{
    clf_relevance_desc d = clf_relevance_desc_default();

    d.grid = grid;
    d.texture[0] = rc_layer(t, F, 13);
    d.texture[1] = rc_layer(t, Q, F);
    d.balance[0] = rc_layer(t, RC_P, 9 + Q);
    d.balance[1] = rc_layer(t, RC_P, RC_P);
    d.balance[2] = rc_layer(t, 3, RC_P);
    return d;
}

static inline clf_relevance_desc rc_small(clf_test *t)
{
    clf_relevance_desc d = rc_describe(t, RC_G, RC_F, RC_Q);

    d.k = RC_K;
    d.min_tokens = 1;
    d.max_tokens = 9;
    return d;
}

static inline clf_relevance *rc_create(clf_test *t, const clf_relevance_desc *d)
{
    clf_relevance *m = NULL;
    clf_error err = { 0 };

    if (clf_relevance_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* Inputs of RC_B pictures for a small module, and every output. */
static inline clf_relevance_call rc_call(clf_test *t, clf_dtype dtype)
{
    clf_relevance_call c = clf_relevance_call_default();
    const clf_dims map = CLF_DIMS(RC_B, RC_G, RC_G), chosen = CLF_DIMS(RC_B, RC_K);

    c.image = clf_test_uniform(t, dtype, CLF_DIMS(RC_B, 3, 31, 40), 0, 1);
    c.query = clf_test_normal(t, dtype, CLF_DIMS(RC_B, RC_Q));
    c.vision = clf_test_normal(t, dtype, CLF_DIMS(RC_B, RC_N, RC_D));
    c.dense = clf_test_normal(t, dtype, CLF_DIMS(RC_B, RC_K, RC_S, RC_D));
    c.textures = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, 13, RC_G, RC_G));
    c.information = clf_test_empty(t, CLF_F32, map);
    c.perspectival = clf_test_empty(t, CLF_F32, map);
    c.participatory = clf_test_empty(t, CLF_F32, map);
    c.relevance = clf_test_empty(t, CLF_F32, map);
    c.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, 3));
    c.indices = clf_test_empty(t, CLF_I64, chosen);
    c.budgets = clf_test_empty(t, CLF_I64, chosen);
    c.positions = clf_test_empty(t, CLF_I64, CLF_DIMS(RC_B, RC_K, 3));
    c.tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, RC_K, RC_D));
    c.lengths = clf_test_empty(t, CLF_I64, chosen);
    return c;
}

/* ---- in double ---- */

typedef struct rc_maps {
    double textures[RC_B * 13 * RC_N], three[3][RC_B * RC_N], relevance[RC_B * RC_N], weights[RC_B * 3];
} rc_maps;

/* count values of every picture, `step` from one picture to the next, over all or each alone. */
static inline void rc_scale(double *v, int64_t count, int64_t step, clf_min_max_over over)
{
    for (int64_t b = 0; b < RC_B; b++) {
        const bool joint = over == CLF_MIN_MAX_BATCH;
        double low = INFINITY, high = -INFINITY;

        if (joint && b > 0)
            return;
        for (int64_t p = joint ? 0 : b; p < (joint ? RC_B : b + 1); p++)
            for (int64_t i = 0; i < count; i++) {
                low = fmin(low, v[p * step + i]);
                high = fmax(high, v[p * step + i]);
            }
        for (int64_t p = joint ? 0 : b; p < (joint ? RC_B : b + 1); p++)
            for (int64_t i = 0; i < count; i++)
                v[p * step + i] = (v[p * step + i] - low) / (high - low + 1e-8);
    }
}

static inline double rc_entropy(const double *v)
{
    double sum = 0, entropy = 0;

    for (int c = 0; c < 13; c++)
        sum += exp(v[c * RC_N]);
    for (int c = 0; c < 13; c++) {
        const double p = exp(v[c * RC_N]) / sum;
        entropy -= p * log(p + 1e-10);
    }
    return entropy;
}

/* What the participatory map has for a cell: channel c at v[c step]; hidden [F] and features [Q] are scratch. */
static inline double rc_cosine(const clf_relevance_desc *d, const double *v, int64_t step, const double *query,
                               double *hidden, double *features)
{
    const int64_t F = d->texture[1].weight.dim[1], Q = d->texture[1].weight.dim[0];
    double channels[13], dot = 0, a = 0, b = 0;

    for (int c = 0; c < 13; c++)
        channels[c] = v[c * step];
    late_apply(&d->texture[0], channels, hidden);
    for (int64_t i = 0; i < F; i++)
        hidden[i] = fmax(hidden[i], 0);
    late_apply(&d->texture[1], hidden, features);
    for (int64_t i = 0; i < Q; i++) {
        dot += features[i] * query[i];
        a += features[i] * features[i];
        b += query[i] * query[i];
    }
    return (1 + dot / (fmax(sqrt(a), 1e-12) * fmax(sqrt(b), 1e-12))) / 2;
}

/* The weights of the three maps of picture b. */
static inline void rc_weigh(const clf_relevance_desc *d, const double *query, rc_maps *m, int64_t b)
{
    double x[9 + RC_Q], first[RC_P], second[RC_P], logits[3], sum = 0;

    for (int k = 0; k < 3; k++) {
        const double *v = m->three[k] + b * RC_N;
        double mean = 0, most = -INFINITY, squares = 0;

        for (int n = 0; n < RC_N; n++) {
            mean += v[n] / RC_N;
            most = fmax(most, v[n]);
        }
        for (int n = 0; n < RC_N; n++)
            squares += (v[n] - mean) * (v[n] - mean);
        x[3 * k] = mean;
        x[3 * k + 1] = most;
        x[3 * k + 2] = sqrt(squares / (RC_N - 1));
    }
    memcpy(x + 9, query, RC_Q * sizeof *query);
    late_apply(&d->balance[0], x, first);
    for (int i = 0; i < RC_P; i++)
        first[i] = fmax(first[i], 0);
    late_apply(&d->balance[1], first, second);
    for (int i = 0; i < RC_P; i++)
        second[i] = fmax(second[i], 0);
    late_apply(&d->balance[2], second, logits);
    for (int k = 0; k < 3; k++)
        sum += exp(logits[k]);
    for (int k = 0; k < 3; k++)
        m->weights[b * 3 + k] = exp(logits[k]) / sum;
}

/* image [RC_B, 3, H, W] and query [RC_B, RC_Q] are tensors of the test. */
static inline void rc_reference(clf_test *t, const clf_relevance_desc *d, const clf_relevance_call *c, rc_maps *m)
{
    const double *query = clf_test_given(t, c->query);
    double *tex = m->textures, hidden[RC_F], features[RC_Q];

    memcpy(tex, clf_ref_textures(t, c->image, c->textures).value, sizeof m->textures);
    for (int e = 5; e < 8; e++)
        rc_scale(tex + e * RC_N, RC_N, 13 * RC_N, d->scale);
    for (int i = 0; i < RC_B * RC_N; i++) {
        double *v = tex + i / RC_N * 13 * RC_N + i % RC_N;

        v[11 * RC_N] = v[7 * RC_N];
        m->three[0][i] = rc_entropy(v);
        m->three[1][i] = v[7 * RC_N];
        m->three[2][i] = rc_cosine(d, v, RC_N, query + i / RC_N * RC_Q, hidden, features);
    }
    rc_scale(m->three[0], RC_N, RC_N, d->scale);
    for (int64_t b = 0; b < RC_B; b++)
        rc_weigh(d, query + b * RC_Q, m, b);
    for (int i = 0; i < RC_B * RC_N; i++) {
        m->relevance[i] = 0;
        for (int k = 0; k < 3; k++)
            m->relevance[i] += m->weights[i / RC_N * 3 + k] * m->three[k][i];
    }
    rc_scale(m->relevance, RC_N, RC_N, d->scale);
}

#endif
