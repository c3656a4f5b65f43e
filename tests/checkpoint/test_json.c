/* json: nothing outside RFC 8259 is believed, nothing in it is lost. */
#include "checkpoint/files.h"

#include <time.h>

#include "checkpoint/json.h"

static const clf_json_limits wide = { .bytes = 16 << 20, .depth = 64, .values = 1 << 20 };

static clf_status parse(const char *text, size_t bytes, const clf_json_limits *limits, clf_json **j, clf_error *err)
{
    const guarded g = guard(text, bytes);
    const clf_status status = clf_json_parse("t.json", g.bytes, bytes, limits, j, err);

    unguard(g); /* the tree must not point into it */
    if (status != CLF_OK)
        assert_null(*j);
    return status;
}

static clf_json *parsed(const char *text)
{
    clf_error err = { .status = CLF_OK };
    clf_json *j;

    if (parse(text, strlen(text), &wide, &j, &err) != CLF_OK)
        fail_msg("%s refused: %s", text, err.message);
    return j;
}

static void refused(const char *text, size_t bytes, const char *part)
{
    clf_error err = { .status = CLF_OK };
    clf_json *j;
    const clf_status status = parse(text, bytes, &wide, &j, &err);

    if (status == CLF_OK)
        fail_msg("accepted: %s", text);
    expect_error(status, CLF_BAD_FILE, &err, part);
}

static void a_tree_is_walked_in_the_order_of_the_text(void **state)
{
    clf_json *j = parsed(" {\"a\": [1, {\"b\": null}, [] , \"x\"], \"c\": true,\n\"d\":false, \"\": -1.5e+3}\t");
    clf_json_node a = clf_json_find(j, CLF_JSON_ROOT, "a", 1), n;

    (void)state;
    assert_int_equal(clf_json_kind_of(j, CLF_JSON_ROOT), CLF_JSON_OBJECT);
    assert_int_equal(clf_json_count(j, CLF_JSON_ROOT), 4);
    assert_int_equal(clf_json_kind_of(j, a), CLF_JSON_ARRAY);
    assert_int_equal(clf_json_count(j, a), 4);
    n = clf_json_first(j, a);
    assert_string_equal(clf_json_text(j, n, NULL), "1");
    n = clf_json_next(j, a, n);
    assert_int_equal(clf_json_kind_of(j, clf_json_find(j, n, "b", 1)), CLF_JSON_NULL);
    n = clf_json_next(j, a, n);
    assert_int_equal(clf_json_count(j, n), 0);
    assert_int_equal(clf_json_first(j, n), CLF_JSON_NONE);
    n = clf_json_next(j, a, n);
    assert_string_equal(clf_json_text(j, n, NULL), "x");
    assert_int_equal(clf_json_next(j, a, n), CLF_JSON_NONE);
    assert_int_equal(clf_json_kind_of(j, clf_json_find(j, CLF_JSON_ROOT, "c", 1)), CLF_JSON_TRUE);
    assert_int_equal(clf_json_kind_of(j, clf_json_find(j, CLF_JSON_ROOT, "d", 1)), CLF_JSON_FALSE);
    assert_string_equal(clf_json_text(j, clf_json_find(j, CLF_JSON_ROOT, "", 0), NULL), "-1.5e+3");
    assert_int_equal(clf_json_find(j, CLF_JSON_ROOT, "b", 1), CLF_JSON_NONE);
    assert_int_equal(clf_json_find(j, a, "b", 1), CLF_JSON_NONE);
    clf_json_free(j);
}

static void a_value_may_stand_alone(void **state)
{
    static const struct {
        const char *text;
        clf_json_kind kind;
    } cases[] = {
        { "null", CLF_JSON_NULL },   { "true", CLF_JSON_TRUE },  { " false ", CLF_JSON_FALSE },
        { "0", CLF_JSON_NUMBER },    { "-0", CLF_JSON_NUMBER },  { "12", CLF_JSON_NUMBER },
        { "1E-9", CLF_JSON_NUMBER }, { "0.5", CLF_JSON_NUMBER }, { "\"\"", CLF_JSON_STRING },
        { "[]", CLF_JSON_ARRAY },    { "{}", CLF_JSON_OBJECT },  { "[[],{}]", CLF_JSON_ARRAY },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_json *j = parsed(cases[i].text);

        assert_int_equal(clf_json_kind_of(j, CLF_JSON_ROOT), cases[i].kind);
        clf_json_free(j);
    }
}

static void what_the_grammar_refuses_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,,2]",
        "[1,]",
        "[,1]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "{a:1}",
        "{1:2}",
        "{null:1}",
        "{[]:1}",
        "{{}:1}",
        "{\"a\":1:2}",
        "[1:2]",
        "[1 2]",
        "[1}",
        "{]",
        "{\"a\":1]",
        "[]]",
        "{}}",
        "[][]",
        "{} {}",
        "1 2",
        "1,",
        ",",
        ":",
        "01",
        "-01",
        "00",
        "-",
        "+1",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "1e1.5",
        "0x1",
        "1a",
        "--1",
        "1-",
        "nul",
        "nulll",
        "True",
        "NULL",
        "truefalse",
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "\"",
        "\"a",
        "'a'",
        "\"\\\"",
        "\"\\x\"",
        "\"\\'\"",
        "\"\\u12\"",
        "\"\\u123\"",
        "\"\\u12g4\"",
        "\"\\u\"",
        "\"\\U0041\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800\\n\"",
        "\"\\ud800x\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc3\"",
        "\"\xe0\x80\x80\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xe2\x82\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf0\x9f\x98\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xfe\"",
        "\xef\xbb\xbf{}",
        "[\xc3\xa9]",
        "/**/1",
        "//\n1",
        "[1]x",
        "[\v1]",
        "[\f1]",
        "\x7f",
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(texts); i++)
        refused(texts[i], strlen(texts[i]), "; want ");
}

static void a_nul_inside_the_text_is_refused(void **state)
{
    (void)state;
    refused("[1]\0", 4, "byte 3 is '\\x00'");
    refused("\0[1]", 4, "byte 0 is '\\x00'");
    refused("[\"a\0b\"]", 7, "byte 3 is '\\x00'");
    refused("[1\0]", 4, "byte 2 is '\\x00'");
    refused("{}\0{}", 5, "byte 2 is '\\x00'");
}

static void messages_say_which_byte_is_wrong(void **state)
{
    clf_error err;
    clf_json *j;

    (void)state;
    assert_int_equal(parse("[1,,2]", 6, &wide, &j, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "t.json: byte 3 is ','; want a value");
    assert_int_equal(parse("{\"a\":1", 6, &wide, &j, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "t.json: text ends at byte 6; want ',' or '}'");
    assert_int_equal(parse("[01]", 4, &wide, &j, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "t.json: byte 1 is '0'; want a number without leading zeros");
}

static void escapes_become_utf8(void **state)
{
    static const char want[] = "\"\\/\b\f\n\r\t"
                               "A"
                               "\xc3\xa9"
                               "\xe2\x82\xac"
                               "\xf0\x9f\x98\x80"
                               "\0"
                               "z\xef\xbf\xbf\xc2\x80";
    clf_json *j = parsed("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00E9\\u20ac\\ud83D\\uDe00\\u0000z\\uffff\\u0080\"]");
    size_t length;
    const char *text = clf_json_text(j, clf_json_first(j, CLF_JSON_ROOT), &length);

    (void)state;
    assert_int_equal(length, sizeof want - 1);
    assert_memory_equal(text, want, sizeof want); /* terminated, too */
    clf_json_free(j);
    j = parsed("\"\xc3\xa9\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\xc2\x80\xdf\xbf\xe0\xa0\x80\"");
    assert_string_equal(clf_json_text(j, CLF_JSON_ROOT, NULL),
                        "\xc3\xa9\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\xc2\x80\xdf\xbf\xe0\xa0\x80");
    clf_json_free(j);
}

static void a_key_stands_once_in_an_object(void **state)
{
    clf_json *j =
        parsed("{\"a\": {\"a\": 1, \"b\": {\"a\": \"a\"}}, \"b\": [{\"a\": 1}, {\"a\": 1}], \"aa\": 0, \"\": 1}");

    (void)state;
    clf_json_free(j);
    refused("{\"a\":1,\"a\":1}", 13, "key \"a\" stands twice in one object, at bytes 2 and 8");
    refused("{\"a\":1,\"\\u0061\":1}", 18, "stands twice");
    refused("{\"\":1,\"b\":{},\"\":2}", 18, "stands twice");
    refused("[{},{\"x\":{\"k\":[],\"l\":1,\"k\":{}}}]", 32, "stands twice");
    refused("{\"a\\u0000b\":1,\"a\\u0000b\":1}", 27, "stands twice");
    j = parsed("{\"a\\u0000b\":1,\"a\\u0000c\":1,\"a\":1}");
    assert_int_equal(clf_json_kind_of(j, clf_json_find(j, CLF_JSON_ROOT, "a\0c", 3)), CLF_JSON_NUMBER);
    clf_json_free(j);
}

static void limits_are_kept_exactly(void **state)
{
    const clf_json_limits tight = { .bytes = 20, .depth = 3, .values = 4 };
    static const struct {
        const char *text;
        clf_status status;
    } cases[] = {
        { "[[[]]]", CLF_OK },
        { "[[[[]]]]", CLF_UNSUPPORTED },
        { "[{\"a\":{}}]", CLF_OK },
        { "[1,2,3]", CLF_OK },
        { "[1,2,3,4]", CLF_UNSUPPORTED },
        { "{\"a\":1,\"b\":2}", CLF_UNSUPPORTED },
        { "[1234567890,1234567]", CLF_OK },
        { "[1234567890,12345678]", CLF_UNSUPPORTED },
        { "[[],[],[[[", CLF_UNSUPPORTED },
    };
    const clf_json_limits too_deep = { .bytes = 20, .depth = 65, .values = 4 };
    clf_error err;
    clf_json *j;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &tight, &j, &err), cases[i].status);
        clf_json_free(j);
    }
    assert_int_equal(parse("[]", 2, &too_deep, &j, &err), CLF_INVALID_ARGUMENT);
}

static void python_constants_are_numbers_only_where_allowed(void **state)
{
    clf_json_limits python = wide;
    clf_error err;
    clf_json *j;

    (void)state;
    python.python_constants = true;
    assert_int_equal(parse("[NaN,Infinity,-Infinity,-1]", 27, &python, &j, &err), CLF_OK);
    for (clf_json_node n = clf_json_first(j, CLF_JSON_ROOT); n != CLF_JSON_NONE; n = clf_json_next(j, CLF_JSON_ROOT, n))
        assert_int_equal(clf_json_kind_of(j, n), CLF_JSON_NUMBER);
    clf_json_free(j);
    assert_int_equal(parse("[-NaN]", 6, &python, &j, &err), CLF_BAD_FILE);
    refused("[NaN]", 5, "want a value");
}

static void nesting_of_a_million_is_refused_at_once(void **state)
{
    const size_t count = 1 << 20;
    char *text = malloc(count);
    clf_error err;
    clf_json *j;

    (void)state;
    assert_non_null(text);
    memset(text, '[', count);
    expect_error(parse(text, count, &wide, &j, &err), CLF_UNSUPPORTED, &err, "byte 64 opens depth 65; want at most 64");
    free(text);
}

/* Quadratic handling of keys or of closing brackets would take minutes here. */
static void a_hundred_thousand_keys_take_no_time(void **state)
{
    const size_t keys = 100000, room = keys * 24 + 16;
    char *text = malloc(room);
    const clock_t start = clock();
    clf_json *j;
    clf_error err;
    size_t length = 1;

    (void)state;
    assert_non_null(text);
    text[0] = '{';
    for (size_t i = 0; i < keys; i++) /* 7919 is prime: every number once, in disorder */
        length += (size_t)snprintf(text + length, room - length, "\"k%zu\":[{}],", i * 7919 % keys);
    text[length - 1] = '}';
    assert_int_equal(parse(text, length, &wide, &j, &err), CLF_OK);
    assert_int_equal(clf_json_count(j, CLF_JSON_ROOT), keys);
    clf_json_free(j);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
    free(text);
}

static const char sample[] =
    "{\"a\\u00e9\":[1,-2.5e3,\"x\\n\\ud83d\\ude00\xe2\x82\xac\",{\"b\":null}],\"c\":{\"d\":true,\"e\":[[],{}]}}";

static void a_text_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n + 1 < sizeof sample; n++)
        refused(sample, n, "; want ");
}

/* Each node is met once: kinds are known, texts lie in the text, counts add up. */
static uint32_t walked(const clf_json *j, clf_json_node node, int depth)
{
    uint32_t met = 1;
    size_t length;

    assert_true(depth < 64);
    assert_true(clf_json_kind_of(j, node) <= CLF_JSON_OBJECT);
    assert_int_equal(clf_json_text(j, node, &length)[length], '\0');
    for (clf_json_node n = clf_json_first(j, node); n != CLF_JSON_NONE; n = clf_json_next(j, node, n)) {
        assert_int_equal(n, clf_json_kind_of(j, node) == CLF_JSON_OBJECT ? node + met : n);
        if (clf_json_kind_of(j, node) == CLF_JSON_OBJECT) {
            assert_int_equal(clf_json_kind_of(j, n), CLF_JSON_STRING);
            met += 1 + walked(j, n + 1, depth + 1);
        } else {
            met += walked(j, n, depth + 1);
        }
    }
    return met;
}

static void any_flipped_bit_gives_a_sound_tree_or_an_error(void **state)
{
    int accepted = 0;

    (void)state;
    for (size_t bit = 0; bit < 8 * (sizeof sample - 1); bit++) {
        char text[sizeof sample];
        clf_error err = { .status = CLF_OK };
        clf_json *j;

        memcpy(text, sample, sizeof sample);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        if (parse(text, sizeof sample - 1, &wide, &j, &err) == CLF_OK) {
            assert_true(walked(j, CLF_JSON_ROOT, 0) >= 2);
            accepted++;
        } else {
            assert_true(err.message[0] != '\0');
        }
        clf_json_free(j);
    }
    assert_true(accepted > 50); /* digits and letters may change */
}

static clf_status parse_sample(void *argument, clf_error *err)
{
    clf_json *j;
    const clf_status status = clf_json_parse("t.json", argument, strlen(argument), &wide, &j, err);

    clf_json_free(j);
    return status;
}

static clf_status make_string(void *argument, clf_error *err)
{
    clf_json *j;
    const clf_status status = clf_json_from_string(argument, &j, err);

    if (status == CLF_OK) {
        assert_int_equal(clf_json_kind_of(j, CLF_JSON_ROOT), CLF_JSON_STRING);
        assert_string_equal(clf_json_text(j, CLF_JSON_ROOT, NULL), argument);
    }
    clf_json_free(j);
    return status;
}

static void any_failing_allocation_is_out_of_memory(void **state)
{
    char text[sizeof sample];

    (void)state;
    memcpy(text, sample, sizeof sample);
    fail_each_allocation(parse_sample, text);
    fail_each_allocation(make_string, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_walked_in_the_order_of_the_text),
        cmocka_unit_test(a_value_may_stand_alone),
        cmocka_unit_test(what_the_grammar_refuses_is_refused),
        cmocka_unit_test(a_nul_inside_the_text_is_refused),
        cmocka_unit_test(messages_say_which_byte_is_wrong),
        cmocka_unit_test(escapes_become_utf8),
        cmocka_unit_test(a_key_stands_once_in_an_object),
        cmocka_unit_test(limits_are_kept_exactly),
        cmocka_unit_test(python_constants_are_numbers_only_where_allowed),
        cmocka_unit_test(nesting_of_a_million_is_refused_at_once),
        cmocka_unit_test(a_hundred_thousand_keys_take_no_time),
        cmocka_unit_test(a_text_cut_at_any_byte_is_refused),
        cmocka_unit_test(any_flipped_bit_gives_a_sound_tree_or_an_error),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
