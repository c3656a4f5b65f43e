/* order: sorted, stable, in n log n comparisons. */
#include "checkpoint/files.h"

#include "checkpoint/order.h"

#define MOST 300

typedef struct keys {
    int value[MOST];
    long comparisons;
} keys;

static int compare(const void *context, uint32_t a, uint32_t b)
{
    keys *k = (keys *)(uintptr_t)context;

    k->comparisons++;
    return (k->value[a] > k->value[b]) - (k->value[a] < k->value[b]);
}

static void indices_come_out_sorted_and_equal_ones_in_their_order(void **state)
{
    keys k;
    uint32_t indices[MOST];
    clf_error err;

    (void)state;
    for (uint32_t count = 0; count <= MOST; count++)
        for (int different = 1; different <= 9; different += 4) {
            for (uint32_t i = 0; i < count; i++) {
                k.value[i] = (int)(i * 37 % 101) % different;
                indices[i] = i;
            }
            k.comparisons = 0;
            assert_int_equal(clf_order(indices, count, compare, &k, &err), CLF_OK);
            assert_true(k.comparisons <= (long)count * 11); /* log2(300) = 8.2, and one look a merge */
            for (uint32_t i = 1; i < count; i++) {
                const int step = k.value[indices[i]] - k.value[indices[i - 1]];

                assert_true(step > 0 || (step == 0 && indices[i] > indices[i - 1]));
            }
        }
}

static void what_is_sorted_costs_one_look_a_merge(void **state)
{
    keys k = { .comparisons = 0 };
    uint32_t indices[256];
    clf_error err;

    (void)state;
    for (uint32_t i = 0; i < 256; i++) {
        indices[i] = i;
        k.value[i] = (int)i;
    }
    assert_int_equal(clf_order(indices, 256, compare, &k, &err), CLF_OK);
    assert_int_equal(k.comparisons, 255);
}

static void a_prefix_stands_before_the_longer_text(void **state)
{
    (void)state;
    assert_true(clf_order_bytes("ab", 2, "abc", 3) < 0);
    assert_true(clf_order_bytes("abc", 3, "ab", 2) > 0);
    assert_true(clf_order_bytes("abd", 3, "abcd", 4) > 0);
    assert_true(clf_order_bytes("\xff", 1, "a", 1) > 0);
    assert_int_equal(clf_order_bytes("abc", 2, "abd", 2), 0);
    assert_int_equal(clf_order_bytes("", 0, "", 0), 0);
}

static clf_status sort_three(void *argument, clf_error *err)
{
    uint32_t indices[3] = { 2, 1, 0 };

    return clf_order(indices, 3, compare, argument, err);
}

static void a_failing_allocation_is_out_of_memory(void **state)
{
    keys k = { .value = { 1, 2, 3 } };

    (void)state;
    fail_each_allocation(sort_three, &k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_come_out_sorted_and_equal_ones_in_their_order),
        cmocka_unit_test(what_is_sorted_costs_one_look_a_merge),
        cmocka_unit_test(a_prefix_stands_before_the_longer_text),
        cmocka_unit_test(a_failing_allocation_is_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
