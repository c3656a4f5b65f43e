/* config: typed values by path, overrides over the text. */
#include "checkpoint/files.h"

#include "checkpoint/config.h"

static clf_config *made(const char *text, const char *const *sets, size_t set_count)
{
    clf_error err = { .status = CLF_OK };
    const size_t bytes = text == NULL ? 0 : strlen(text);
    const guarded g = guard(text, bytes);
    const clf_config_sets over = { sets, set_count, NULL };
    clf_config *c;

    if (clf_config_create("config.json", text == NULL ? NULL : g.bytes, bytes, &over, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    unguard(g);
    return c;
}

static int64_t int_at(const clf_config *c, const char *path)
{
    int64_t value = -77;
    clf_error err = { .status = CLF_OK };

    if (clf_config_int(c, path, &value, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return value;
}

static double float_at(const clf_config *c, const char *path)
{
    double value = -77;
    clf_error err = { .status = CLF_OK };

    if (clf_config_float(c, path, &value, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return value;
}

static const char *text_at(const clf_config *c, const char *path)
{
    const char *value = "unset";
    clf_error err = { .status = CLF_OK };

    if (clf_config_text(c, path, &value, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return value;
}

static const char sample[] =
    "{\"model_type\":\"llava\",\"hidden_size\":4096,\"big\":9007199254740993,\"low\":-9223372036854775808,"
    "\"over\":9223372036854775808,\"eps\":1e-05,\"neg\":-0.5,\"whole\":2.0,\"inf\":Infinity,\"nan\":NaN,\"huge\":1e400,"
    "\"yes\":true,\"no\":false,\"none\":null,\"vision_feature_layer\":-2,\"layers\":[-2,-5,11],\"mixed\":[1,\"2\"],"
    "\"empty\":[],"
    "\"scales\":[1,0.5],\"image_grid_pinpoints\":[[336,672],[672,336]],\"nul\":\"a\\u0000b\",\"accent\":\"\\u00e9\","
    "\"text_config\":{\"hidden_size\":2048,\"rope\":{\"theta\":5e5},\"list\":[{\"k\":7}]}}";

static void values_are_read_by_dotted_path(void **state)
{
    clf_config *c = made(sample, NULL, 0);
    clf_error err;
    bool flag = false;

    (void)state;
    assert_int_equal(int_at(c, "hidden_size"), 4096);
    assert_int_equal(int_at(c, "text_config.hidden_size"), 2048);
    assert_int_equal(int_at(c, "text_config.list.0.k"), 7);
    assert_int_equal(int_at(c, "image_grid_pinpoints.1.0"), 672);
    assert_true(int_at(c, "big") == INT64_C(9007199254740993)); /* 2^53 + 1: not through double */
    assert_true(int_at(c, "low") == INT64_MIN);
    assert_true(float_at(c, "eps") == 1e-05);
    assert_true(float_at(c, "neg") == -0.5);
    assert_true(float_at(c, "whole") == 2.0);
    assert_true(float_at(c, "hidden_size") == 4096.0);
    assert_true(float_at(c, "text_config.rope.theta") == 500000.0);
    assert_string_equal(text_at(c, "model_type"), "llava");
    assert_string_equal(text_at(c, "accent"), "\xc3\xa9");
    assert_int_equal(clf_config_bool(c, "yes", &flag, &err), CLF_OK);
    assert_true(flag);
    assert_int_equal(clf_config_bool(c, "no", &flag, &err), CLF_OK);
    assert_false(flag);
    clf_config_destroy(c);
    clf_config_destroy(NULL);
}

static void absent_and_null_leave_the_default(void **state)
{
    static const char *const paths[] = {
        "none",     "nothing",  "none.below", "hidden_size.below", "text_config.nothing",
        "layers.3", "layers.x", "layers.01",  "layers.-1",         "model_type.0"
    };
    clf_config *c = made(sample, NULL, 0);
    clf_error err;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(paths); i++) {
        int64_t values[2] = { 5, 6 };
        size_t count = 2;
        bool flag = true;

        assert_false(clf_config_has(c, paths[i]));
        assert_int_equal(clf_config_count(c, paths[i]), 0);
        assert_int_equal(int_at(c, paths[i]), -77);
        assert_true(float_at(c, paths[i]) == -77.0);
        assert_string_equal(text_at(c, paths[i]), "unset");
        assert_int_equal(clf_config_bool(c, paths[i], &flag, &err), CLF_OK);
        assert_true(flag);
        assert_int_equal(clf_config_ints(c, paths[i], values, 2, &count, &err), CLF_OK);
        assert_int_equal(count, 2);
        assert_int_equal(values[0], 5);
    }
    assert_true(clf_config_has(c, "no"));
    assert_true(clf_config_has(c, "empty"));
    assert_true(clf_config_has(c, "text_config"));
    assert_true(clf_config_has(c, "text_config.rope.theta"));
    clf_config_destroy(c);
}

static void lists_are_read_and_one_value_is_a_list_of_one(void **state)
{
    clf_config *c = made(sample, NULL, 0);
    int64_t values[3] = { 0, 0, 0 };
    double scales[2] = { 0, 0 };
    size_t count = 9;
    clf_error err;

    (void)state;
    assert_int_equal(clf_config_ints(c, "layers", values, 3, &count, &err), CLF_OK);
    assert_int_equal(count, 3);
    assert_int_equal(values[0], -2);
    assert_int_equal(values[2], 11);
    assert_int_equal(clf_config_ints(c, "vision_feature_layer", values, 3, &count, &err), CLF_OK);
    assert_int_equal(count, 1);
    assert_int_equal(values[0], -2);
    assert_int_equal(clf_config_ints(c, "empty", values, 3, &count, &err), CLF_OK);
    assert_int_equal(count, 0);
    assert_int_equal(clf_config_count(c, "image_grid_pinpoints"), 2);
    assert_int_equal(clf_config_count(c, "text_config"), 3);
    assert_int_equal(clf_config_count(c, "hidden_size"), 0);
    assert_int_equal(clf_config_ints(c, "image_grid_pinpoints.1", values, 2, &count, &err), CLF_OK);
    assert_int_equal(count, 2);
    assert_int_equal(values[1], 336);
    assert_int_equal(clf_config_floats(c, "scales", scales, 2, &count, &err), CLF_OK);
    assert_true(count == 2 && scales[0] == 1.0 && scales[1] == 0.5);
    expect_error(clf_config_ints(c, "layers", values, 2, &count, &err), CLF_BAD_FILE, &err,
                 "config.json: layers has 3 entries; want at most 2");
    expect_error(clf_config_ints(c, "mixed", values, 3, &count, &err), CLF_BAD_FILE, &err,
                 "config.json: mixed is \"2\"; want an integer or a list of integers");
    expect_error(clf_config_ints(c, "image_grid_pinpoints", values, 3, &count, &err), CLF_BAD_FILE, &err,
                 "image_grid_pinpoints is an array; want");
    assert_int_equal(count, 2);
    clf_config_destroy(c);
}

static void another_type_is_an_error_that_names_key_value_and_rule(void **state)
{
    clf_config *c = made(sample, NULL, 0);
    int64_t value = 3;
    double number = 3;
    bool flag = true;
    const char *text = "t";
    clf_error err = { .status = CLF_OK };

    (void)state;
    expect_error(clf_config_int(c, "model_type", &value, &err), CLF_BAD_FILE, &err,
                 "config.json: model_type is \"llava\"; want an integer within 64 bits");
    expect_error(clf_config_int(c, "whole", &value, &err), CLF_BAD_FILE, &err, "whole is 2.0; want an integer");
    expect_error(clf_config_int(c, "eps", &value, &err), CLF_BAD_FILE, &err, "eps is 1e-05; want an integer");
    expect_error(clf_config_int(c, "over", &value, &err), CLF_BAD_FILE, &err, "over is 9223372036854775808; want");
    expect_error(clf_config_int(c, "yes", &value, &err), CLF_BAD_FILE, &err, "yes is true; want an integer");
    expect_error(clf_config_int(c, "text_config", &value, &err), CLF_BAD_FILE, &err, "text_config is an object; want");
    expect_error(clf_config_int(c, "layers", &value, &err), CLF_BAD_FILE, &err, "layers is an array; want");
    expect_error(clf_config_float(c, "model_type", &number, &err), CLF_BAD_FILE, &err, "want a finite number");
    expect_error(clf_config_float(c, "inf", &number, &err), CLF_BAD_FILE, &err,
                 "inf is Infinity; want a finite number");
    expect_error(clf_config_float(c, "nan", &number, &err), CLF_BAD_FILE, &err, "nan is NaN; want a finite number");
    expect_error(clf_config_float(c, "huge", &number, &err), CLF_BAD_FILE, &err, "huge is 1e400; want a finite number");
    expect_error(clf_config_bool(c, "hidden_size", &flag, &err), CLF_BAD_FILE, &err, "is 4096; want true or false");
    expect_error(clf_config_text(c, "hidden_size", &text, &err), CLF_BAD_FILE, &err, "is 4096; want a string");
    expect_error(clf_config_text(c, "nul", &text, &err), CLF_BAD_FILE, &err,
                 "is \"a\\x00b\"; want a string without NUL");
    assert_int_equal(value, 3);
    assert_true(number == 3.0 && flag);
    assert_string_equal(text, "t");
    assert_int_equal(clf_config_int(c, "model_type", &value, NULL), CLF_BAD_FILE); /* no record wanted */
    clf_config_destroy(c);
}

static void overrides_hide_the_text_and_later_ones_the_earlier(void **state)
{
    static const char *const sets[] = {
        "hidden_size=1",
        "hidden_size=2",
        "text_config.hidden_size=3",
        "new.deep.key=4",
        "model_type=qwen=vl",
        "eps=0.25",
        "yes=false",
        "layers=[7]",
        "none=8",
        "low={\"a\":{\"b\":9}}",
        "low.a.c=10",
        "neg=",
        "whole= 5 ",
        "big=null",
        "mixed=NaN",
        "accent=\xff",
        "vision_feature_layer=\"6\"",
        "no.such=1",
    };
    clf_config *c = made(sample, sets, CLF_COUNT(sets));
    int64_t values[2];
    size_t count = 0;
    bool flag = true;
    clf_error err = { .status = CLF_OK };

    (void)state;
    assert_int_equal(int_at(c, "hidden_size"), 2);
    assert_int_equal(int_at(c, "text_config.hidden_size"), 3);
    assert_true(float_at(c, "text_config.rope.theta") == 500000.0); /* its neighbours stay */
    assert_int_equal(int_at(c, "new.deep.key"), 4);
    assert_true(clf_config_has(c, "new"));
    assert_true(clf_config_has(c, "new.deep"));
    assert_false(clf_config_has(c, "new.deeper"));
    assert_false(clf_config_has(c, "ne"));
    assert_string_equal(text_at(c, "model_type"), "qwen=vl");
    assert_true(float_at(c, "eps") == 0.25);
    assert_int_equal(clf_config_bool(c, "yes", &flag, &err), CLF_OK);
    assert_false(flag);
    assert_int_equal(clf_config_ints(c, "layers", values, 2, &count, &err), CLF_OK);
    assert_true(count == 1 && values[0] == 7);
    assert_int_equal(int_at(c, "none"), 8);
    assert_int_equal(int_at(c, "low.a.b"), 9);
    assert_int_equal(int_at(c, "low.a.c"), 10);
    assert_string_equal(text_at(c, "neg"), "");
    assert_int_equal(int_at(c, "whole"), 5);
    assert_false(clf_config_has(c, "big"));
    assert_string_equal(text_at(c, "mixed"), "NaN");
    assert_string_equal(text_at(c, "accent"), "\xff");
    assert_string_equal(text_at(c, "vision_feature_layer"), "6");
    expect_error(clf_config_int(c, "eps", values, &err), CLF_INVALID_ARGUMENT, &err, "eps is 0.25; want an integer");
    expect_error(clf_config_bool(c, "no", &flag, &err), CLF_INVALID_ARGUMENT, &err,
                 "no is an object; want true or false");
    expect_error(clf_config_ints(c, "no", values, 2, &count, &err), CLF_INVALID_ARGUMENT, &err,
                 "no is an object; want");
    clf_config_destroy(c);
}

static void replacing_an_object_removes_what_lay_below(void **state)
{
    static const char *const sets[] = { "text_config.hidden_size=3", "text_config={\"x\":1}", "text_config.y=2" };
    clf_config *c = made(sample, sets, 3);

    (void)state;
    assert_false(clf_config_has(c, "text_config.hidden_size"));
    assert_false(clf_config_has(c, "text_config.rope.theta"));
    assert_int_equal(int_at(c, "text_config.x"), 1);
    assert_int_equal(int_at(c, "text_config.y"), 2);
    clf_config_destroy(c);
}

static void no_text_is_an_empty_configuration(void **state)
{
    static const char *const sets[] = { "a=1" };
    clf_config *c = made(NULL, sets, 1);

    (void)state;
    assert_int_equal(int_at(c, "a"), 1);
    assert_false(clf_config_has(c, "b"));
    clf_config_destroy(c);
    c = made("", NULL, 0);
    assert_false(clf_config_has(c, "a"));
    clf_config_destroy(c);
}

static void malformed_overrides_and_texts_are_refused(void **state)
{
    static const char *const sets[] = { "", "=", "=1", "a", ".a=1", "a.=1", "a..b=1", "a.b..=1", ".=1", NULL };
    static const char *const texts[] = { "[]", "1", "\"a\"", "null", "{\"a\":1,\"a\":2}", "{\"a\":01}", "{} x", " " };
    char deep[256];
    const char *const deep_sets[] = { deep };
    clf_error err = { .status = CLF_OK };
    clf_config *c;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(sets); i++) {
        expect_error(clf_config_create("config.json", NULL, 0, &(clf_config_sets){ &sets[i], 1, NULL }, &c, &err),
                     CLF_INVALID_ARGUMENT, &err, "want KEY=VALUE with a dotted KEY");
        assert_null(c);
    }
    for (size_t i = 0; i < CLF_COUNT(texts); i++) {
        expect_error(clf_config_create("config.json", texts[i], strlen(texts[i]), NULL, &c, &err), CLF_BAD_FILE, &err,
                     "config.json: ");
        assert_null(c);
    }
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect_error(clf_config_create("config.json", deep, 255, NULL, &c, &err), CLF_UNSUPPORTED, &err, "depth 65");
    memcpy(deep, "a=", 2);
    expect_error(clf_config_create("config.json", NULL, 0, &(clf_config_sets){ deep_sets, 1, NULL }, &c, &err),
                 CLF_INVALID_ARGUMENT, &err, "config.json: override a: byte 64 opens depth 65");
}

static void a_text_cut_or_flipped_anywhere_never_crashes_a_getter(void **state)
{
    static char text[sizeof sample];

    (void)state;
    for (size_t i = 0; i < 9 * (sizeof sample - 1); i++) {
        const size_t place = i / 9, bytes = i % 9 == 8 ? place : sizeof sample - 1;
        guarded g;
        clf_config *c;

        memcpy(text, sample, sizeof sample);
        if (i % 9 < 8)
            text[place] = (char)(text[place] ^ (1 << i % 9));
        g = guard(text, bytes);
        if (clf_config_create("config.json", g.bytes, bytes, NULL, &c, NULL) == CLF_OK) {
            int64_t values[4];
            const char *string = "";
            double number;
            bool flag;
            size_t count;

            (void)clf_config_int(c, "text_config.hidden_size", values, NULL);
            (void)clf_config_float(c, "eps", &number, NULL);
            (void)clf_config_bool(c, "yes", &flag, NULL);
            (void)clf_config_ints(c, "layers", values, 4, &count, NULL);
            if (clf_config_text(c, "model_type", &string, NULL) == CLF_OK)
                assert_true(strlen(string) <= sizeof sample);
            clf_config_destroy(c);
        } else {
            assert_null(c);
        }
        unguard(g);
    }
}

/* At the path that is asked for, in an object above it, and below: the object is there because of it.  Not what a later
 * override hides. */
static void overrides_tell_which_were_read(void **state)
{
    static const char *const sets[] = { "a.b=1", "c=1", "c=2", "d={\"e\":3}", "f.g=4", "h=null", "misspelt=5" };
    static const char *const asked[] = { "a.b", "c", "d.e", "f", "h" };
    static const bool want[] = { true, false, true, true, true, true, false };
    bool read[CLF_COUNT(sets)] = { false };
    const clf_config_sets over = { sets, CLF_COUNT(sets), read };
    clf_error err = { .status = CLF_OK };
    clf_config *c;

    (void)state;
    if (clf_config_create("config.json", "{\"i\": 5}", 8, &over, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_int_equal(int_at(c, "i"), 5);
    for (size_t i = 0; i < CLF_COUNT(sets); i++)
        assert_false(read[i]);
    for (size_t i = 0; i < CLF_COUNT(asked); i++)
        assert_int_equal(clf_config_has(c, asked[i]), strcmp(asked[i], "h") != 0);
    clf_config_destroy(c);
    for (size_t i = 0; i < CLF_COUNT(sets); i++)
        assert_int_equal(read[i], want[i]);
}

static clf_status create_sample(void *argument, clf_error *err)
{
    static const char *const sets[] = { "a.b=1", "c=text", "d=[1,{\"x\":null}]" };
    const clf_config_sets over = { sets, CLF_COUNT(sets), NULL };
    clf_config *c;
    const clf_status status = clf_config_create("config.json", argument, strlen(argument), &over, &c, err);

    clf_config_destroy(c);
    return status;
}

static void any_failing_allocation_is_out_of_memory(void **state)
{
    char text[sizeof sample];

    (void)state;
    memcpy(text, sample, sizeof sample);
    fail_each_allocation(create_sample, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_by_dotted_path),
        cmocka_unit_test(absent_and_null_leave_the_default),
        cmocka_unit_test(lists_are_read_and_one_value_is_a_list_of_one),
        cmocka_unit_test(another_type_is_an_error_that_names_key_value_and_rule),
        cmocka_unit_test(overrides_hide_the_text_and_later_ones_the_earlier),
        cmocka_unit_test(overrides_tell_which_were_read),
        cmocka_unit_test(replacing_an_object_removes_what_lay_below),
        cmocka_unit_test(no_text_is_an_empty_configuration),
        cmocka_unit_test(malformed_overrides_and_texts_are_refused),
        cmocka_unit_test(a_text_cut_or_flipped_anywhere_never_crashes_a_getter),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
