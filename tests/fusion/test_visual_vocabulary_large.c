/* visual_vocabulary with 65536 entries: the right tokens, in the memory of one block. */
#include <clfusion/visual_vocabulary.h>

#include <math.h>

#include "parts.h"

enum { V = 65536, DV = 6, DT = 5 };

static clf_visual_vocabulary *create(clf_test *t, clf_vocabulary_mode mode, clf_host_tensor head, clf_host_tensor table)
{
    clf_visual_vocabulary_desc d = clf_visual_vocabulary_desc_default();
    clf_visual_vocabulary *m = NULL;
    clf_error err = { 0 };

    d.head = head;
    d.table = table;
    d.mode = mode;
    if (clf_visual_vocabulary_create(t->ctx, &d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* Runs; what it takes on the device beside its weights and `tokens` must be far from R V floats. */
static void forward(clf_test *t, const clf_visual_vocabulary *m, clf_tensor vision, clf_tensor tokens)
{
    const uint64_t all = (uint64_t)clf_element_count(vision) / DV * V * sizeof(float);
    uint64_t before_peak = 0, peak = 0;
    const uint64_t before = clf_context_memory(t->ctx, &before_peak);

    clf_visual_vocabulary_forward(t->stream, m, vision, tokens);
    (void)clf_test_values(t, tokens);
    (void)clf_context_memory(t->ctx, &peak);
    if (peak > CLF_MAX(before_peak, before + all / 8 + (2U << 20))) /* scratch comes in blocks of 1 MiB */
        fail_msg("%llu bytes at most, %llu before; all logits are %llu", (unsigned long long)peak,
                 (unsigned long long)before, (unsigned long long)all);
}

static double logit_of(const double *x, const float *head, size_t v)
{
    double sum = 0;

    for (size_t c = 0; c < DV; c++)
        sum += x[c] * (double)head[v * DV + c];
    return sum;
}

/* Logits are whole numbers, so exact, and many are equal. */
static void argmax_takes_the_first_of_65536(void **state)
{
    clf_test *t = *state;
    const int64_t R = clf_test_small_only(t) ? 5 : 150;
    const clf_host_tensor table = part_numbers(t, CLF_DIMS(V, DT), 0, 1);
    clf_host_tensor head = part_numbers(t, CLF_DIMS(V, DV), 0, 1);
    float *numbers = clf_test_memory(t, V * DV * sizeof *numbers);
    const clf_tensor vision = clf_test_integers(t, CLF_F32, CLF_DIMS(1, R, DV), 3);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, R, DT));
    double *want = clf_test_memory(t, (size_t)(R * DT) * sizeof *want);

    for (size_t i = 0; i < V * DV; i++)
        numbers[i] = (float)((int)(clf_test_random(t) * 5) - 2);
    head.data = numbers;
    for (int64_t r = 0; r < R; r++) {
        const double *x = clf_test_given(t, vision) + r * DV;
        size_t best = 0;

        for (size_t v = 1; v < V; v++)
            best = logit_of(x, numbers, v) > logit_of(x, numbers, best) ? v : best;
        for (size_t k = 0; k < DT; k++)
            want[r * DT + (int64_t)k] = (double)((const float *)table.data)[best * DT + k];
    }
    clf_visual_vocabulary *m = create(t, CLF_VOCABULARY_ARGMAX, head, table);
    forward(t, m, vision, tokens);
    clf_test_exact(t, tokens, want);
    clf_visual_vocabulary_destroy(m);
}

/* 64 u: logits and exponentials err by some u each, a sum of lanes and blocks by few more.  An entry that is left out
 * would cost 256 u. */
static void softmax_mixes_65536(void **state)
{
    clf_test *t = *state;
    const int64_t R = clf_test_small_only(t) ? 5 : 150;
    const clf_host_tensor head = part_numbers(t, CLF_DIMS(V, DV), 0, 1), table = part_numbers(t, CLF_DIMS(V, DT), 0, 1);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, R, DV));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, R, DT));
    double *want = clf_test_memory(t, (size_t)(R * DT) * sizeof *want);
    double *bound = clf_test_memory(t, (size_t)(R * DT) * sizeof *bound);

    for (int64_t r = 0; r < R; r++) {
        const double *x = clf_test_given(t, vision) + r * DV;
        double sum = 0, mixed[DT] = { 0 }, size[DT] = { 0 };

        for (size_t v = 0; v < V; v++) {
            const double weight = exp(logit_of(x, head.data, v));

            sum += weight;
            for (size_t k = 0; k < DT; k++) {
                mixed[k] += weight * (double)((const float *)table.data)[v * DT + k];
                size[k] += weight * fabs((double)((const float *)table.data)[v * DT + k]);
            }
        }
        for (size_t k = 0; k < DT; k++) {
            want[r * DT + (int64_t)k] = mixed[k] / sum;
            bound[r * DT + (int64_t)k] = size[k] / sum * 64 * 0x1p-24;
        }
    }
    clf_visual_vocabulary *m = create(t, CLF_VOCABULARY_SOFTMAX, head, table);
    forward(t, m, vision, tokens);
    clf_test_within(t, tokens, want, bound);
    clf_visual_vocabulary_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(argmax_takes_the_first_of_65536),
        CLF_TEST(softmax_mixes_65536),
    };

    return CLF_TEST_MAIN(tests);
}
