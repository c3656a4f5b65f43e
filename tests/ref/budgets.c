/* budgets: one picture at a time, in whole numbers.  With a total the heaviest cell is cut while its share is too large,
 * and tokens that remain go down the sorted remainders: not the passes of the kernels. */
#include <math.h>
#include <stdlib.h>

#include "ref/ref.h"

typedef struct cell {
    uint64_t weight, remainder;
    int64_t place;
} cell;

static int by_weight(const void *a, const void *b)
{
    const cell *x = a, *y = b;

    return x->weight > y->weight ? -1 : x->weight < y->weight;
}

static int by_remainder(const void *a, const void *b)
{
    const cell *x = a, *y = b;

    if (x->remainder != y->remainder)
        return x->remainder > y->remainder ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* y[place] = low + the share of each cell. */
static void share(cell *cells, int64_t k, double low, uint64_t span, uint64_t rest, double *y)
{
    uint64_t sum = 0;
    int64_t first = 0; /* cells before it are cut */

    qsort(cells, (size_t)k, sizeof *cells, by_weight);
    for (int64_t i = 0; i < k; i++)
        sum += cells[i].weight;
    for (; first < k && rest * cells[first].weight > span * sum; first++) {
        y[cells[first].place] = low + (double)span;
        rest -= span;
        sum -= cells[first].weight;
    }
    if (sum == 0)
        for (int64_t i = first; i < k; i++, sum++)
            cells[i].weight = 1;
    uint64_t over = rest;
    for (int64_t i = first; i < k; i++) {
        const uint64_t whole = rest * cells[i].weight / sum;

        y[cells[i].place] = low + (double)whole;
        cells[i].remainder = rest * cells[i].weight % sum;
        over -= whole;
    }
    qsort(cells + first, (size_t)(k - first), sizeof *cells, by_remainder);
    for (uint64_t i = 0; i < over; i++)
        y[cells[first + (int64_t)i].place] += 1;
}

double *clf_ref_budgets(clf_test *t, clf_tensor relevance, clf_tensor indices, int64_t min_tokens, int64_t max_tokens,
                        int64_t total)
{
    const int64_t R = clf_row_count(indices), N = clf_dim(relevance, -1), k = clf_dim(indices, -1);
    const double *x = clf_test_given(t, relevance), *index = clf_test_given(t, indices);
    double *y = clf_expected_new(t, indices).value;
    cell *cells = clf_test_memory(t, (size_t)k * sizeof *cells);

    for (int64_t r = 0; r < R; r++) {
        for (int64_t m = 0; m < k; m++) {
            const double at = index[r * k + m], v = at >= 0 && at < (double)N ? x[r * N + (int64_t)at] : 0.0;
            const double held = isnan(v) ? 0.0 : fmin(fmax(v, 0.0), 1.0);

            cells[m] = (cell){ (uint64_t)rint(held * 0x1p24), 0, m };
            y[r * k + m] = rint((double)min_tokens + held * (double)(max_tokens - min_tokens));
        }
        if (total != 0)
            share(cells, k, (double)min_tokens, (uint64_t)(max_tokens - min_tokens), (uint64_t)(total - k * min_tokens),
                  y + r * k);
    }
    return y;
}
