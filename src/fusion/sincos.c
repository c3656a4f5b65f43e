/* Tables of positions on a grid. */
#include "fusion/sincos.h"

#include <math.h>
#include <stddef.h>

#include "core/size.h"

/* e(t) of width 2 F: F sines, F cosines. */
static void encode(int64_t t, int64_t F, float *e)
{
    for (int64_t j = 0; j < F; j++) {
        const double angle = (double)t * pow(10000.0, -(double)j / (double)F);

        e[j] = (float)sin(angle);
        e[F + j] = (float)cos(angle);
    }
}

void clf_sincos_grid(int64_t rows, int64_t columns, int64_t C, float *table)
{
    const int64_t F = C / 4;

    /* The first row and the first column are computed, the rest are their copies. */
    for (int64_t x = 0; x < columns; x++)
        encode(x, F, table + x * C);
    for (int64_t y = 0; y < rows; y++) {
        float *row = table + y * columns * C;

        encode(y, F, row + 2 * F);
        for (int64_t x = 0; x < columns; x++)
            for (int64_t c = 0; c < 2 * F; c++) {
                row[x * C + c] = table[x * C + c];
                row[x * C + 2 * F + c] = row[2 * F + c];
            }
    }
}

/* Four taps for place i of `to` among `side`: which, and how much of each. */
typedef struct clf_taps {
    int64_t at[4];
    double weight[4];
} clf_taps;

/* Keys' cubic convolution kernel at distance d >= 0. */
static double cubic(double d)
{
    const double a = -0.75;

    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

static clf_taps taps_of(int64_t i, int64_t side, int64_t to)
{
    const double place = ((double)i + 0.5) * (double)side / (double)to - 0.5, below = floor(place);
    clf_taps taps;

    for (int k = 0; k < 4; k++) {
        taps.at[k] = CLF_MIN(CLF_MAX((int64_t)below - 1 + k, 0), side - 1);
        taps.weight[k] = cubic(fabs(place - (below - 1 + k)));
    }
    return taps;
}

static void blend(const float *table, int64_t side, int64_t C, const clf_taps *down, const clf_taps *across, float *y)
{
    const float *row[16];
    double weight[16];

    for (int k = 0; k < 16; k++) {
        row[k] = table + (down->at[k / 4] * side + across->at[k % 4]) * C;
        weight[k] = down->weight[k / 4] * across->weight[k % 4];
    }
    for (int64_t c = 0; c < C; c++) {
        double sum = 0;

        for (int k = 0; k < 16; k++)
            sum += weight[k] * (double)row[k][c];
        y[c] = (float)sum;
    }
}

void clf_bicubic_grid(const float *table, int64_t side, int64_t to, int64_t C, float *result)
{
    for (int64_t y = 0; y < to; y++) {
        const clf_taps down = taps_of(y, side, to);

        for (int64_t x = 0; x < to; x++) {
            const clf_taps across = taps_of(x, side, to);

            blend(table, side, C, &down, &across, result + (y * to + x) * C);
        }
    }
}

int64_t clf_square_side(int64_t N)
{
    int64_t side = N > 0 ? (int64_t)sqrt((double)N) : 0;

    side += side <= INT32_MAX && (side + 1) * (side + 1) <= N; /* the root of a large N may be rounded */
    return side > 0 && side <= INT32_MAX && side * side == N ? side : 0;
}
