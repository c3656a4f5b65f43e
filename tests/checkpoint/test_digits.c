/* digits: numbers out of text, exact or refused. */
#include "checkpoint/files.h"

#include <locale.h>

#include "checkpoint/digits.h"

static void digits_alone_make_a_u64(void **state)
{
    static const char *const refused[] = { "",
                                           "-",
                                           "-0",
                                           "-1",
                                           "+1",
                                           "01",
                                           "00",
                                           " 1",
                                           "1 ",
                                           "1.0",
                                           "1e0",
                                           "0x1",
                                           "a",
                                           "18446744073709551616",
                                           "18446744073709551620",
                                           "99999999999999999999",
                                           "1\xb2" };
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(refused); i++)
        assert_false(clf_digits_u64(refused[i], strlen(refused[i]), &value));
    assert_false(clf_digits_u64("1\0", 2, &value));
    assert_true(value == 7);
    assert_true(clf_digits_u64("0", 1, &value) && value == 0);
    assert_true(clf_digits_u64("123", 2, &value) && value == 12);
    assert_true(clf_digits_u64("18446744073709551615", 20, &value) && value == UINT64_MAX);
}

static void an_i64_reaches_both_ends(void **state)
{
    static const char *const refused[] = {
        "", "-", "--1", "-01", "9223372036854775808", "-9223372036854775809", "1.0"
    };
    int64_t value = 7;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(refused); i++)
        assert_false(clf_digits_i64(refused[i], strlen(refused[i]), &value));
    assert_true(value == 7);
    assert_true(clf_digits_i64("9223372036854775807", 19, &value) && value == INT64_MAX);
    assert_true(clf_digits_i64("-9223372036854775808", 20, &value) && value == INT64_MIN);
    assert_true(clf_digits_i64("-0", 2, &value) && value == 0);
    assert_true(clf_digits_i64("-42", 3, &value) && value == -42);
}

/* "C" is always there; a locale with a decimal comma is tried where the machine has one. */
static void a_double_is_the_same_in_every_locale(void **state)
{
    static const char *const locales[] = { "C", "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8" };
    char length[502];
    double value = 7;

    (void)state;
    memset(length, '1', sizeof length - 1);
    length[1] = '.';
    length[501] = '\0';
    for (size_t i = 0; i < CLF_COUNT(locales); i++) {
        if (setlocale(LC_ALL, locales[i]) == NULL)
            continue;
        assert_true(clf_digits_double("1e-05", &value) && value == 1e-05);
        assert_true(clf_digits_double("-1.5e+3", &value) && value == -1500.0);
        assert_true(clf_digits_double("0.08838834764831845", &value) && value == 0.08838834764831845);
        assert_true(clf_digits_double("9007199254740993", &value) && value == 9007199254740992.0);
        assert_true(clf_digits_double("1e-400", &value) && value == 0.0);
        assert_false(clf_digits_double("1e400", &value));
        assert_false(clf_digits_double("-1e400", &value));
        assert_false(clf_digits_double("NaN", &value));
        assert_false(clf_digits_double("Infinity", &value));
        assert_false(clf_digits_double(length, &value));
        assert_true(clf_digits_double(length + 400, &value));
    }
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_alone_make_a_u64),
        cmocka_unit_test(an_i64_reaches_both_ends),
        cmocka_unit_test(a_double_is_the_same_in_every_locale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
