/* attention in double: every score is stored, and the rules are read from the header. */
#include <math.h>
#include <string.h>

#include "ref/ref.h"

/* Values in the order of the view and how far the kernels may be off, where a norm stands before the scores. */
typedef struct operand {
    const double *value, *stray;
} operand;

static operand normalised(clf_test *t, const clf_norm *norm, clf_tensor x)
{
    clf_expected y = { NULL, NULL };

    if (norm->kind == CLF_NORM_LAYER)
        y = clf_ref_layer_norm(t, x, norm->weight, norm->bias, norm->eps);
    else if (norm->kind == CLF_NORM_RMS)
        y = clf_ref_rms_norm(t, x, norm->weight, clf_present(norm->weight) ? CLF_RMS_WEIGHT : CLF_RMS_PLAIN, norm->eps);
    else
        return (operand){ .value = clf_test_given(t, x) };
    return (operand){ y.value, y.bound };
}

/* Entry of a tensor with dimensions that may be 1 for all. */
static double entry(const double *given, clf_tensor x, const int64_t *index)
{
    int64_t at = 0;

    for (int32_t i = 0; i < x.rank; i++)
        at = at * x.dim[i] + (x.dim[i] == 1 ? 0 : index[i]);
    return given[at];
}

typedef struct rules {
    const clf_attention_options *o;
    const double *mask, *lengths, *query_groups, *key_groups;
} rules;

static const double *given_or_null(clf_test *t, clf_tensor x)
{
    return clf_present(x) ? clf_test_given(t, x) : NULL;
}

static double query_group(const rules *r, int64_t b, int64_t i)
{
    return entry(r->query_groups, r->o->query_groups, (const int64_t[]){ b, i });
}

/* True when query i of head h sees key j; *mask is what is added to the score. */
static bool sees(const rules *r, int64_t b, int64_t h, int64_t i, int64_t j, double *mask)
{
    const clf_attention_options *o = r->o;

    *mask = 0;
    if (r->lengths != NULL && (double)j >= r->lengths[b])
        return false;
    if (o->causal && j - i > o->causal_offset)
        return false;
    if (o->group_rule != CLF_GROUPS_NONE) {
        const double own = query_group(r, b, i), key = entry(r->key_groups, o->key_groups, (const int64_t[]){ b, j });

        if (o->group_rule == CLF_GROUPS_EQUAL ? own != key : own < key)
            return false;
    }
    if (r->mask != NULL)
        *mask = entry(r->mask, o->mask, (const int64_t[]){ b, h, i, j / o->mask_block });
    return !(*mask <= -3.4028234663852886e38);
}

/* One row: p [K] and the relative error that the header allows for a p; sum p is 1, or 0 where nothing is seen. */
typedef struct row {
    double *p, *score;
    double allowed;
    bool unseen;
} row;

/* The score of query i and key j, and what its size and the strays of norms add to the bound. */
static double score_of(operand q, operand k, int64_t D, double scale, double *size, double *stray)
{
    double sum = 0;

    *size = *stray = 0;
    for (int64_t d = 0; d < D; d++) {
        const double qs = q.stray != NULL ? q.stray[d] : 0, ks = k.stray != NULL ? k.stray[d] : 0;

        sum += q.value[d] * k.value[d];
        *size += fabs(scale * q.value[d] * k.value[d]);
        *stray += fabs(scale) * (fabs(q.value[d]) * ks + qs * fabs(k.value[d]) + qs * ks);
    }
    return scale * sum;
}

static operand at(operand x, int64_t i)
{
    return (operand){ x.value + i, x.stray != NULL ? x.stray + i : NULL };
}

/* The header's bound; A is the largest size of a score and its mask.  An error e of every score makes one of at most
 * exp(2 e) - 1 in p, and 3 e covers it for e below 1/4. */
static void fill_row(const rules *r, clf_tensor q, clf_tensor k, operand qv, operand kv, int64_t b, int64_t i,
                     int64_t h, row *out)
{
    const int64_t K = clf_dim(k, 1), D = clf_dim(q, 3), g = clf_dim(q, 2) / clf_dim(k, 2);
    const double scale = r->o->scale != 0 ? (double)r->o->scale : 1 / sqrt((double)D);
    double top = -INFINITY, total = 0, A = 0, strays = 0;
    int64_t seen = 0;

    for (int64_t j = 0; j < K; j++) {
        double mask, size, stray;

        out->score[j] = -INFINITY;
        if (!sees(r, b, h, i, j, &mask))
            continue;
        out->score[j] = mask + score_of(at(qv, ((b * clf_dim(q, 1) + i) * clf_dim(q, 2) + h) * D),
                                        at(kv, ((b * K + j) * clf_dim(k, 2) + h / g) * D), D, scale, &size, &stray);
        top = fmax(top, out->score[j]);
        A = fmax(A, size + fabs(mask));
        strays = fmax(strays, stray);
        seen++;
    }
    for (int64_t j = 0; j < K; j++)
        total += out->score[j] == -INFINITY ? 0 : exp(out->score[j] - top);
    for (int64_t j = 0; j < K; j++)
        out->p[j] = out->score[j] == -INFINITY ? 0 : exp(out->score[j] - top) / total;
    out->unseen = seen == 0;
    if (out->unseen && (r->o->unseen == CLF_UNSEEN_UNIFORM ||
                        (r->o->unseen == CLF_UNSEEN_UNIFORM_BUT_GROUP_0 && query_group(r, b, i) != 0)))
        for (int64_t j = 0; j < K; j++)
            out->p[j] = 1 / (double)K;
    out->allowed = (2 * (double)K + 16 + 8 * ceil((double)K / 8) + 4 * ((double)D + 2) * A) * CLF_U + 3 * strays;
}

clf_expected clf_ref_attention(clf_test *t, clf_tensor q, clf_tensor k, clf_tensor v,
                               const clf_attention_options *options, clf_tensor y, clf_expected *weights)
{
    const clf_attention_options none = clf_attention_options_default(), *o = options != NULL ? options : &none;
    const int64_t B = clf_dim(q, 0), Q = clf_dim(q, 1), H = clf_dim(q, 2), K = clf_dim(k, 1), Hk = clf_dim(k, 2);
    const int64_t E = clf_dim(v, 3);
    const rules r = { o, given_or_null(t, o->mask), given_or_null(t, o->key_lengths), given_or_null(t, o->query_groups),
                      given_or_null(t, o->key_groups) };
    const operand qv = normalised(t, &o->q_norm, q), kv = normalised(t, &o->k_norm, k);
    const double *values = clf_test_given(t, v);
    const clf_expected want = clf_expected_new(t, y);
    row one = { .p = clf_test_memory(t, (size_t)K * sizeof(double)),
                .score = clf_test_memory(t, (size_t)K * sizeof(double)) };

    for (int64_t n = 0; n < B * Q * H; n++) {
        const int64_t b = n / (Q * H), i = n / H % Q, h = n % H;

        fill_row(&r, q, k, qv, kv, b, i, h, &one);
        for (int64_t j = 0; j < K; j++) {
            const int64_t w = ((b * H + h) * Q + i) * K + j;

            for (int64_t e = 0; e < E; e++) {
                const double term = one.p[j] * values[((b * K + j) * Hk + h / (H / Hk)) * E + e];

                if (one.p[j] == 0)
                    continue;
                want.value[n * E + e] += term;
                want.bound[n * E + e] += one.allowed * fabs(term) + CLF_TINY;
            }
            if (weights != NULL) {
                weights->value[w] = one.p[j];
                weights->bound[w] = one.allowed * one.p[j] + (one.p[j] > 0 ? CLF_TINY : 0);
            }
        }
    }
    return want;
}
