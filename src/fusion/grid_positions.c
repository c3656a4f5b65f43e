/* Rows and columns of patches on grids. */
#include <clfusion/positions.h>

#include <inttypes.h>

#include "core/error.h"
#include "core/size.h"

#define CLF_OP "grid_positions"

/* Patches of a grid, its sides in order; false when they overflow 31 bits. */
static bool patches_of(const int64_t *grid, uint64_t *count)
{
    return grid[0] <= INT32_MAX && grid[1] <= INT32_MAX && grid[2] <= INT32_MAX &&
           clf_size_mul((uint64_t)grid[0], (uint64_t)grid[1], count) && clf_size_mul(*count, (uint64_t)grid[2], count);
}

static clf_status check(const int64_t *grids, int64_t G, int64_t merge, int64_t N, clf_error *err)
{
    uint64_t sum = 0;

    CLF_REQUIRE(err, G >= 0 && merge >= 1 && N >= 0, CLF_INVALID_ARGUMENT,
                "G, merge and N are %" PRId64 ", %" PRId64 " and %" PRId64 "; want at least 0, 1 and 0", G, merge, N);
    for (int64_t g = 0; g < G; g++) {
        const int64_t *grid = grids + 3 * g;
        uint64_t count = 0;

        CLF_REQUIRE(err,
                    grid[0] >= 0 && grid[1] >= 0 && grid[2] >= 0 && patches_of(grid, &count) &&
                        clf_size_add(sum, count, &sum),
                    CLF_INVALID_ARGUMENT,
                    "grids[%" PRId64 "] is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want sizes from 0 below 2^31", g,
                    grid[0], grid[1], grid[2]);
        CLF_REQUIRE(err, grid[1] % merge == 0 && grid[2] % merge == 0, CLF_INVALID_ARGUMENT,
                    "grids[%" PRId64 "] is [%" PRId64 ", %" PRId64 ", %" PRId64
                    "]; want rows and columns divisible by merge %" PRId64,
                    g, grid[0], grid[1], grid[2], merge);
    }
    CLF_REQUIRE(err, sum == (uint64_t)N, CLF_INVALID_ARGUMENT,
                "grids has %" PRIu64 " patches; want %" PRId64 ", the columns of positions", sum, N);
    return CLF_OK;
}

/* One frame in blocks of merge by merge; returns the patches written. */
static int64_t fill_frame(int64_t rows, int64_t columns, int64_t merge, int32_t *row, int32_t *column)
{
    int64_t n = 0;

    for (int64_t y = 0; y < rows; y += merge)
        for (int64_t x = 0; x < columns; x += merge)
            for (int64_t i = 0; i < merge * merge; i++, n++) {
                row[n] = (int32_t)(y + i / merge);
                column[n] = (int32_t)(x + i % merge);
            }
    return n;
}

clf_status clf_grid_positions(const int64_t *grids, int64_t G, int64_t merge, int64_t N, int32_t *positions,
                              clf_error *err)
{
    int64_t n = 0;

    CLF_TRY(check(grids, G, merge, N, err));
    for (int64_t g = 0; g < G; g++) {
        const int64_t *grid = grids + 3 * g;

        for (int64_t t = 0; t < grid[0] && grid[1] > 0 && grid[2] > 0; t++)
            n += fill_frame(grid[1], grid[2], merge, positions + n, positions + N + n);
    }
    return CLF_OK;
}

clf_status clf_llama4_positions(int64_t side, int32_t *positions, clf_error *err)
{
    if (side < 1 || side > 32768)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "llama4_positions: side is %" PRId64 "; want 1 to 32768", side);
    const int64_t last = side * side, N = last + 1;

    for (int64_t n = 0; n < last; n++) {
        positions[n] = (int32_t)(n / side + 1);
        positions[N + n] = (int32_t)(n % side + 1);
    }
    positions[last] = positions[N + last] = 0;
    return CLF_OK;
}
