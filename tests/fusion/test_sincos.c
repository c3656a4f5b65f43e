/* Tables of positions: values of the formula, and torch's bicubic kernel. */
#include "fusion/sincos.h"

#include <math.h>
#include <string.h>

#include "harness.h"

static void a_grid_has_its_column_first_and_sines_before_cosines(void **state)
{
    float table[3 * 2 * 8];

    (void)state;
    clf_sincos_grid(3, 2, 8, table);
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 2; x++) {
            const float *row = table + (y * 2 + x) * 8;
            const double want[8] = { sin(x), sin(x * 0.01), cos(x), cos(x * 0.01),
                                     sin(y), sin(y * 0.01), cos(y), cos(y * 0.01) };

            for (int c = 0; c < 8; c++)
                assert_true(fabs((double)row[c] - want[c]) <= 0x1p-24);
        }
}

/* An impulse doubled shows the kernel: its taps at 1/4 and 3/4 with a = -0.75, from torch. */
static void a_table_is_resized_as_torch_does(void **state)
{
    static const double quarter[4] = { -0.10546875, 0.87890625, 0.26171875, -0.03515625 };
    float impulse[8 * 8] = { 0 }, doubled[16 * 16], same[8 * 8], ramp[16], kept[16], small[4];

    (void)state;
    impulse[4 * 8 + 4] = 1; /* far from the borders */
    clf_bicubic_grid(impulse, 8, 16, 1, doubled);
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++) {
            const int dy = y - 5, dx = x - 5; /* places 5 to 12 see entry 4 */
            double want = 0;

            /* 5: tap 3 of 2.25; 6: tap 3 of 2.75, mirrored 0; 7: tap 2 of 3.25; ... */
            static const int tap[8] = { 3, 0, 2, 1, 1, 2, 0, 3 };
            if (dy >= 0 && dy < 8 && dx >= 0 && dx < 8)
                want = quarter[tap[dy]] * quarter[tap[dx]];
            assert_true(fabs((double)doubled[y * 16 + x] - want) <= 1e-7);
        }
    clf_bicubic_grid(impulse, 8, 8, 1, same);
    assert_memory_equal(same, impulse, sizeof same);
    for (int i = 0; i < 16; i++)
        ramp[i] = 3;
    clf_bicubic_grid(ramp, 2, 2, 4, kept); /* four channels of constants */
    assert_memory_equal(kept, ramp, sizeof kept);
    clf_bicubic_grid(ramp, 4, 2, 1, small);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)small[i] - 3) <= 1e-6);
}

static void only_squares_have_a_side(void **state)
{
    (void)state;
    assert_int_equal(clf_square_side(1), 1);
    assert_int_equal(clf_square_side(1024), 32);
    assert_int_equal(clf_square_side(1023), 0);
    assert_int_equal(clf_square_side(0), 0);
    assert_int_equal(clf_square_side(-4), 0);
    assert_int_equal(clf_square_side((int64_t)INT32_MAX * INT32_MAX), INT32_MAX);
    assert_int_equal(clf_square_side(INT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(a_grid_has_its_column_first_and_sines_before_cosines),
        CLF_TEST(a_table_is_resized_as_torch_does),
        CLF_TEST(only_squares_have_a_side),
    };

    return CLF_TEST_MAIN(tests);
}
