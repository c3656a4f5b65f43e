/* Tables of positions on a grid. */
#include "fusion/sincos.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "core/error.h"
#include "core/size.h"
#include "fusion/table_resize.h"

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

#define CLF_OP "sincos_table"

clf_status clf_sincos_table(int64_t rows, int64_t columns, int64_t C, float *table, clf_error *err)
{
    uint64_t count = 0;

    CLF_REQUIRE(err, rows >= 0 && columns >= 0 && C >= 4 && C % 4 == 0, CLF_INVALID_ARGUMENT,
                "the table is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want sizes from 0 and C a multiple of 4", rows,
                columns, C);
    CLF_REQUIRE(err,
                clf_size_mul((uint64_t)rows, (uint64_t)columns, &count) && clf_size_mul(count, (uint64_t)C, &count) &&
                    count <= PTRDIFF_MAX / sizeof(float),
                CLF_INVALID_ARGUMENT,
                "the table is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want it to fit into memory", rows, columns, C);
    if (count > 0)
        clf_sincos_grid(rows, columns, C, table);
    return CLF_OK;
}

void clf_bicubic_grid(const float *table, int64_t side, int64_t to, int64_t C, float *result)
{
    const clf_axis axis = { .side = side, .to = to, .filter = CLF_TABLE_BICUBIC };

    clf_blend_grid(table, C, &axis, &axis, 1, result);
}

int64_t clf_square_side(int64_t N)
{
    int64_t side = N > 0 ? (int64_t)sqrt((double)N) : 0;

    side += side <= INT32_MAX && (side + 1) * (side + 1) <= N; /* the root of a large N may be rounded */
    return side > 0 && side <= INT32_MAX && side * side == N ? side : 0;
}
