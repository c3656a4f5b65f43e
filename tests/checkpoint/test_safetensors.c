/* safetensors: the corpus of broken files is refused, good ones are read, nothing in between. */
#include "checkpoint/files.h"

#include "checkpoint/safetensors.h"

static clf_status open_bytes(const void *bytes, size_t count, clf_error *err)
{
    const guarded g = guard(bytes, count);
    clf_safetensors *s;
    const clf_status status = clf_safetensors_open("t.safetensors", g.bytes, count, NULL, &s, err);

    if (status != CLF_OK)
        assert_null(s);
    clf_safetensors_close(s);
    unguard(g);
    return status;
}

static clf_status open_header(const char *header, size_t data_bytes, clf_error *err)
{
    static char file[65536];

    return open_bytes(file, make_safetensors(file, sizeof file, header, data_bytes), err);
}

/* One tensor "a" with these fields. */
#define A(fields) "{\"a\":{" fields "}}"
#define OFFSETS(begin, end) "\"data_offsets\":[" #begin "," #end "]"

typedef struct broken {
    const char *header;
    size_t data_bytes;
    const char *part; /* of the message */
} broken;

static const broken corpus[] = {
    { "", 0, "header begins with ''; want '{'" },
    { "[]", 0, "header begins with '['; want '{'" },
    { " {}", 0, "header begins with ' '; want '{'" },
    { "{", 0, "header ends with '{'; want '}' and spaces" },
    { "{}\n", 0, "header ends with '\\x0A'; want '}' and spaces" },
    { "\xff\xff", 0, "header begins with '\\xFF'" },
    { "{\"\xff\":{}}", 0, "want UTF-8" },
    { "{} {}", 0, "want nothing after the value" },
    /* hole, overlap, trailing byte, two bytes short, begin above end */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2]," OFFSETS(0, 2) "},\"b\":{\"dtype\":\"U8\",\"shape\":[2]," OFFSETS(
          3, 5) "}}",
      5, "b begins at byte 3 of the data; want 2, the end of a" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4) "},\"b\":{\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(
          0, 4) "}}",
      4, "begins at byte 0 of the data; want 4, the end of" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[3]," OFFSETS(0, 3) "},\"b\":{\"dtype\":\"U8\",\"shape\":[3]," OFFSETS(
          2, 5) "}}",
      5, "b begins at byte 2 of the data; want 3, the end of a" },
    { A("\"dtype\":\"U8\",\"shape\":[2]," OFFSETS(1, 3)), 3,
      "a begins at byte 1 of the data; want 0, the end of the header" },
    { A("\"dtype\":\"U8\",\"shape\":[2]," OFFSETS(0, 2)), 3, "tensors end at byte 2 of 3 of data" },
    { "{}", 1, "tensors end at byte 0 of 1 of data" },
    { A("\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4)), 2, "t.safetensors: a ends at byte 4 of 2 of data" },
    { A("\"dtype\":\"U8\",\"shape\":[2]," OFFSETS(2, 0)), 2, "a has data_offsets [2, 0]; want begin <= end" },
    /* shapes against bytes */
    { A("\"dtype\":\"F32\",\"shape\":[2]," OFFSETS(0, 4)), 4, "a has data_offsets [0, 4]; want 64 bits" },
    { A("\"dtype\":\"F32\",\"shape\":[]," OFFSETS(0, 0)), 0, "want 32 bits" },
    { A("\"dtype\":\"F32\",\"shape\":[0]," OFFSETS(0, 4)), 4, "want 0 bits" },
    { A("\"dtype\":\"U8\",\"shape\":[2,18446744073709551614]," OFFSETS(0, 4)), 4, "a has a shape above 2^64 bits" },
    { A("\"dtype\":\"U8\",\"shape\":[2,9223372036854775807]," OFFSETS(0, 4)), 4, "above 2^64 bits" },
    { A("\"dtype\":\"U8\",\"shape\":[4194305,4194305,211106198978564]," OFFSETS(0, 4)), 4, "above 2^64 bits" },
    { A("\"dtype\":\"U8\",\"shape\":[2305843009213693952]," OFFSETS(0, 0)), 0, "above 2^64 bits" },
    { A("\"dtype\":\"F4\",\"shape\":[3]," OFFSETS(0, 2)), 2, "want 12 bits" },
    { A("\"dtype\":\"F4\",\"shape\":[3]," OFFSETS(0, 1)), 1, "want 12 bits" },
    { A("\"dtype\":\"F6_E2M3\",\"shape\":[2]," OFFSETS(0, 2)), 2, "want 12 bits" },
    /* names and fields twice */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4) "},\"a\":{\"dtype\":\"F32\",\"shape\":[1]," OFFSETS(
          0, 4) "}}",
      4, "key \"a\" stands twice" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4) "},\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1]," OFFSETS(
          0, 4) "}}",
      4, "key \"a\" stands twice" },
    { A("\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[1]," OFFSETS(0, 4)), 4, "key \"dtype\" stands twice" },
    { A("\"dtype\":\"U8\",\"shape\":[1],\"shape\":[4]," OFFSETS(0, 4)), 4, "key \"shape\" stands twice" },
    { A("\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4) "," OFFSETS(0, 1)), 4, "key \"data_offsets\" stands twice" },
    /* fields */
    { A("\"shape\":[4]," OFFSETS(0, 4)), 4, "a has no dtype; want dtype, shape and data_offsets" },
    { A("\"dtype\":\"U8\"," OFFSETS(0, 4)), 4, "a has no shape" },
    { A("\"dtype\":\"U8\",\"shape\":[4]"), 4, "a has no data_offsets" },
    { A("\"dtype\":\"Q8\",\"shape\":[4]," OFFSETS(0, 4)), 4, "a has dtype 'Q8'; want a type of safetensors" },
    { A("\"dtype\":\"u8\",\"shape\":[4]," OFFSETS(0, 4)), 4, "a has dtype 'u8'" },
    { A("\"dtype\":\"U8\\u0000\",\"shape\":[4]," OFFSETS(0, 4)), 4, "a has dtype 'U8\\x00'" },
    { A("\"dtype\":8,\"shape\":[4]," OFFSETS(0, 4)), 4, "a has dtype '8'" },
    { A("\"dtype\":\"U8\",\"shape\":4," OFFSETS(0, 4)), 4, "a has a shape that is a number; want an array" },
    { A("\"dtype\":\"U8\",\"shape\":{}," OFFSETS(0, 4)), 4, "a has a shape that is an object; want an array" },
    { A("\"dtype\":\"U8\",\"shape\":[[4]]," OFFSETS(0, 4)), 4, "a has a shape entry ''; want digits" },
    { A("\"dtype\":\"U8\",\"shape\":[\"4\"]," OFFSETS(0, 4)), 4, "a has a shape entry '4'; want digits" },
    { A("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]"), 4,
      "a has data_offsets of 1 entries; want [begin, end]" },
    { A("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,4]"), 4, "a has data_offsets of 3 entries" },
    { A("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":{\"0\":0,\"1\":4}"), 4,
      "data_offsets that is an object; want an array" },
    { "{\"a\":[]}", 0, "a is an array; want an object" },
    { "{\"a\":null}", 0, "a is null; want an object" },
    /* numbers */
    { A("\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(-1, 4)), 4, "data_offsets entry '-1'; want digits, below 2^64" },
    { A("\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(-0, 4)), 4, "data_offsets entry '-0'" },
    { A("\"dtype\":\"U8\",\"shape\":[4]," OFFSETS(0, 4.0)), 4, "data_offsets entry '4.0'" },
    { A("\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1e0)), 1, "data_offsets entry '1e0'" },
    { A("\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 01)), 1, "want a number without leading zeros" },
    { A("\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 18446744073709551616)), 1,
      "data_offsets entry '18446744073709551616'" },
    { A("\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 18446744073709551617)), 1,
      "data_offsets entry '18446744073709551617'" },
    { A("\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 18446744073709551615)), 1,
      "a ends at byte 18446744073709551615 of 1" },
    { A("\"dtype\":\"U8\",\"shape\":[true]," OFFSETS(0, 1)), 1, "shape entry 'true'" },
    /* metadata, names, strings */
    { "{\"__metadata__\":{\"n\":1}}", 0, "__metadata__ key n is a number; want a string" },
    { "{\"__metadata__\":[]}", 0, "__metadata__ is an array; want an object" },
    { "{\"__metadata__\":null}", 0, "__metadata__ is null; want an object" },
    { "{\"__metadata__\":{\"n\":\"a\",\"n\":\"b\"}}", 0, "key \"n\" stands twice" },
    { "{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "}}", 1, "name a\\x00 has a NUL; want none" },
    { "{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "}}", 1, "want no lone surrogate" },
    { "{\"a:{}}", 0, "want a string without control characters, closed by" },
};

static void every_broken_file_is_refused_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLF_COUNT(corpus); i++) {
        clf_error err = { .status = CLF_OK };
        const clf_status status = open_header(corpus[i].header, corpus[i].data_bytes, &err);

        expect_error(status, CLF_BAD_FILE, &err, corpus[i].part);
        assert_memory_equal(err.message, "t.safetensors: ", 15);
    }
}

static void broken_lengths_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
        clf_status status;
        const char *part;
    } cases[] = {
        { "", 0, CLF_BAD_FILE, "file is 0 bytes; want at least 8" },
        { "\2\0\0\0\0\0\0", 7, CLF_BAD_FILE, "file is 7 bytes; want at least 8" },
        { "\2\0\0\0\0\0\0\0", 8, CLF_BAD_FILE, "header ends at byte 10 of 8" },
        { "\0\0\0\0\0\0\0\0", 8, CLF_BAD_FILE, "header begins with ''" },
        { "\xe8\3\0\0\0\0\0\0{}", 10, CLF_BAD_FILE, "header ends at byte 1008 of 10" },
        { "\3\0\0\0\0\0\0\0{}", 10, CLF_BAD_FILE, "header ends at byte 11 of 10" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, CLF_BAD_FILE,
          "header is 18446744073709551615 bytes; want at most 100000000" },
        { "\1\xe1\xf5\5\0\0\0\0{}", 10, CLF_BAD_FILE, "header is 100000001 bytes" },
        { "\0\xe1\xf5\5\0\0\0\0{}", 10, CLF_BAD_FILE, "header ends at byte 100000008 of 10" },
        { "\2\0\0\0\0\0\0\0{}", 10, CLF_OK, NULL },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_error err = { .status = CLF_OK };
        const clf_status status = open_bytes(cases[i].bytes, cases[i].count, &err);

        if (cases[i].part == NULL)
            assert_int_equal(status, cases[i].status);
        else
            expect_error(status, cases[i].status, &err, cases[i].part);
    }
}

static void beyond_our_limits_is_unsupported(void **state)
{
    static char text[40000];
    const clf_safetensors_limits small = { .header_bytes = 120, .tensors = 1, .dims = 2, .name_bytes = 3 };
    static const broken cases[] = {
        { "{\"abcd\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "}}", 1, "name abcd is 4 bytes; want at most 3" },
        { A("\"dtype\":\"U8\",\"shape\":[1,1,1]," OFFSETS(0, 1)), 1, "a has a shape of 3 entries; want at most 2" },
        { "{\"a\":{},\"b\":{}}", 0, "file has 2 tensors; want at most 1" },
        { "{\"a\":{                                                                                          "
          "                              }}",
          0, "header is 128 bytes; want at most 120" },
    };
    clf_error err = { .status = CLF_OK };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_safetensors *s;
        const size_t count = make_safetensors(text, sizeof text, cases[i].header, cases[i].data_bytes);

        expect_error(clf_safetensors_open("t", text, count, &small, &s, &err), CLF_UNSUPPORTED, &err, cases[i].part);
        assert_null(s);
    }
    /* the default: 8 dimensions, depth 4, names of 1,024 bytes */
    assert_int_equal(open_header(A("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1]," OFFSETS(0, 1)), 1, &err), CLF_OK);
    expect_error(open_header(A("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1]," OFFSETS(0, 1)), 1, &err),
                 CLF_UNSUPPORTED, &err, "a shape of 9 entries; want at most 8");
    memset(text, '[', 20000);
    memset(text + 20000, ']', 10000);
    memcpy(text, "{\"a\":", 5);
    memcpy(text + 29999, "}", 2);
    expect_error(open_header(text, 0, &err), CLF_UNSUPPORTED, &err, "opens depth 5; want at most 4");
    for (int extra = 0; extra < 2; extra++) {
        char name[1026];

        memset(name, 'n', sizeof name);
        name[1024 + extra] = '\0';
        snprintf(text, sizeof text, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "}}", name);
        assert_int_equal(open_header(text, 1, &err), extra == 0 ? CLF_OK : CLF_UNSUPPORTED);
    }
}

static void more_than_65536_tensors_are_unsupported(void **state)
{
    const size_t most = 65536, room = (most + 1) * 60 + 64;
    char *file = malloc(room), *text = malloc(room);
    clf_error err = { .status = CLF_OK };

    (void)state;
    assert_non_null(file);
    assert_non_null(text);
    for (size_t extra = 0; extra < 2; extra++) {
        size_t length = 1, count;

        text[0] = '{';
        for (size_t i = 0; i < most + extra; i++)
            length += (size_t)snprintf(text + length, room - length,
                                       "\"%zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", i);
        text[length - 1] = '}';
        text[length] = '\0';
        count = make_safetensors(file, room, text, 0);
        assert_int_equal(open_bytes(file, count, &err), extra == 0 ? CLF_OK : CLF_UNSUPPORTED);
    }
    assert_non_null(strstr(err.message, "file has 65537 tensors; want at most 65536"));
    free(text);
    free(file);
}

static void good_files_are_read(void **state)
{
    static const struct {
        const char *header;
        size_t data_bytes, count;
    } cases[] = {
        { "{}", 0, 0 },
        { "{}      ", 0, 0 },
        { "{\"__metadata__\":{}}", 0, 0 },
        { "{\"__metadata__\":{\"format\":\"pt\"}}", 0, 0 },
        { A("\"dtype\":\"F32\",\"shape\":[]," OFFSETS(0, 4)), 4, 1 },
        { A("\"dtype\":\"F32\",\"shape\":[3,0]," OFFSETS(0, 0)), 0, 1 },
        { A("\"dtype\":\"F32\",\"shape\":[0,18446744073709551615,18446744073709551615]," OFFSETS(0, 0)), 0, 1 },
        { A("\"shape\":[3]," OFFSETS(0, 3) ",\"dtype\":\"U8\""), 3, 1 },
        { A("\"dtype\":\"U8\",\"extra\":{\"x\":[1]},\"shape\":[3]," OFFSETS(0, 3)) "   ", 3, 1 },
        { "{\"b\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "},\"e\":{\"dtype\":\"F32\",\"shape\":[0]," OFFSETS(
              1, 1) "},\"f\":{\"dtype\":\"F32\",\"shape\":[0,2]," OFFSETS(1, 1) "},\"a\":{\"dtype\":\"U8\",\"shape\":["
                                                                                "2]," OFFSETS(1, 3) "}}",
          3, 4 },
        { A("\"dtype\":\"F4\",\"shape\":[2,3]," OFFSETS(0, 3)), 3, 1 },
        { A("\"dtype\":\"F6_E3M2\",\"shape\":[4]," OFFSETS(0, 3)), 3, 1 },
        { "{\"\":{\"dtype\":\"U8\",\"shape\":[1]," OFFSETS(0, 1) "}}", 1, 1 },
    };
    static char file[1024];

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        const size_t count = make_safetensors(file, sizeof file, cases[i].header, cases[i].data_bytes);
        const guarded g = guard(file, count);
        clf_error err = { .status = CLF_OK };
        clf_safetensors *s;

        if (clf_safetensors_open("t", g.bytes, count, NULL, &s, &err) != CLF_OK)
            fail_msg("%s: %s", cases[i].header, err.message);
        assert_int_equal(clf_safetensors_count(s), cases[i].count);
        clf_safetensors_close(s);
        unguard(g);
    }
}

/* About 300 bytes with metadata, an empty tensor, rank 0, escapes and disorder. */
static const char sample[] = "{\"__metadata__\":{\"clfusion\":\"{\\\"m\\\":1}\"},"
                             "\"w\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                             "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]},"
                             "\"\\u00e9\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}  ";
#define SAMPLE_DATA 16

static void tensors_are_found_by_name_in_their_place(void **state)
{
    static char file[512];
    const size_t count = make_safetensors(file, sizeof file, sample, SAMPLE_DATA), data = count - SAMPLE_DATA;
    const guarded g = guard(file, count);
    clf_error err;
    clf_safetensors *s;
    clf_host_tensor t;
    size_t bytes;

    (void)state;
    assert_int_equal(clf_safetensors_open("t", g.bytes, count, NULL, &s, &err), CLF_OK);
    assert_int_equal(clf_safetensors_count(s), 3);
    assert_string_equal(clf_safetensors_name(s, 0), "e");
    assert_string_equal(clf_safetensors_name(s, 1), "w");
    assert_string_equal(clf_safetensors_name(s, 2), "\xc3\xa9");
    assert_null(clf_safetensors_name(s, 3));
    assert_int_equal(clf_safetensors_find(s, "w", &t, &err), CLF_OK);
    assert_int_equal(t.dtype, CLF_F16);
    assert_int_equal(t.rank, 2);
    assert_int_equal(t.dim[0], 2);
    assert_int_equal(t.dim[1], 3);
    assert_ptr_equal(t.data, g.bytes + data + 4);
    assert_int_equal(clf_safetensors_find(s, "\xc3\xa9", &t, &err), CLF_OK);
    assert_int_equal(t.dtype, CLF_I32);
    assert_int_equal(t.rank, 1); /* rank 0 is given as [1] */
    assert_int_equal(t.dim[0], 1);
    assert_ptr_equal(t.data, g.bytes + data);
    assert_int_equal(clf_safetensors_find(s, "e", &t, &err), CLF_OK);
    assert_int_equal(t.dim[1], 7);
    for (int i = 0; i < 5; i++) {
        static const char *const absent[] = { "", "W", "ww", "__metadata__", "z" };

        assert_int_equal(clf_safetensors_find(s, absent[i], &t, &err), CLF_OK);
        assert_int_equal(t.dtype, CLF_DTYPE_NONE);
    }
    assert_string_equal(clf_safetensors_metadata(s, "clfusion", &bytes), "{\"m\":1}");
    assert_int_equal(bytes, 7);
    assert_null(clf_safetensors_metadata(s, "w", &bytes));
    clf_safetensors_close(s);
    unguard(g);
}

static void every_type_has_its_size(void **state)
{
    static const struct {
        const char *name;
        unsigned bits;
        clf_dtype dtype;
    } types[] = {
        { "F4", 4, CLF_DTYPE_NONE },
        { "F6_E2M3", 6, CLF_DTYPE_NONE },
        { "F6_E3M2", 6, CLF_DTYPE_NONE },
        { "BOOL", 8, CLF_BOOL },
        { "U8", 8, CLF_U8 },
        { "I8", 8, CLF_I8 },
        { "F8_E5M2", 8, CLF_DTYPE_NONE },
        { "F8_E4M3", 8, CLF_DTYPE_NONE },
        { "F8_E8M0", 8, CLF_DTYPE_NONE },
        { "F8_E4M3FNUZ", 8, CLF_DTYPE_NONE },
        { "F8_E5M2FNUZ", 8, CLF_DTYPE_NONE },
        { "U16", 16, CLF_U16 },
        { "I16", 16, CLF_I16 },
        { "F16", 16, CLF_F16 },
        { "BF16", 16, CLF_BF16 },
        { "U32", 32, CLF_U32 },
        { "I32", 32, CLF_I32 },
        { "F32", 32, CLF_F32 },
        { "U64", 64, CLF_U64 },
        { "I64", 64, CLF_I64 },
        { "F64", 64, CLF_F64 },
        { "C64", 64, CLF_DTYPE_NONE },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        char header[256], file[512];
        size_t count;
        clf_error err;
        clf_safetensors *s;
        clf_host_tensor t;

        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%u]}}",
                 types[i].name, types[i].bits);
        count = make_safetensors(file, sizeof file, header, types[i].bits);
        assert_int_equal(clf_safetensors_open("t", file, count, NULL, &s, &err), CLF_OK);
        if (types[i].dtype == CLF_DTYPE_NONE) {
            expect_error(clf_safetensors_find(s, "a", &t, &err), CLF_UNSUPPORTED, &err, types[i].name);
            assert_int_equal(t.dtype, CLF_DTYPE_NONE);
        } else {
            assert_int_equal(clf_safetensors_find(s, "a", &t, &err), CLF_OK);
            assert_int_equal(t.dtype, types[i].dtype);
        }
        clf_safetensors_close(s);
    }
}

static void ranks_above_ours_are_unsupported_only_when_asked_for(void **state)
{
    static char file[512];
    static const char header[] = "{\"six\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,2]," OFFSETS(
        0, 2) "},"
              "\"seven\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,2]," OFFSETS(
                  2, 4) "},"
                        "\"wide\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775808]," OFFSETS(4, 4) "}}";
    const size_t count = make_safetensors(file, sizeof file, header, 4);
    clf_error err;
    clf_safetensors *s;
    clf_host_tensor t;

    (void)state;
    assert_int_equal(clf_safetensors_open("t", file, count, NULL, &s, &err), CLF_OK);
    assert_int_equal(clf_safetensors_find(s, "six", &t, &err), CLF_OK);
    assert_int_equal(t.rank, 6);
    expect_error(clf_safetensors_find(s, "seven", &t, &err), CLF_UNSUPPORTED, &err,
                 "seven has 7 dimensions; want at most 6");
    expect_error(clf_safetensors_find(s, "wide", &t, &err), CLF_UNSUPPORTED, &err,
                 "9223372036854775808; want below 2^63");
    assert_int_equal(t.dtype, CLF_DTYPE_NONE);
    clf_safetensors_close(s);
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    static char file[512];
    const size_t count = make_safetensors(file, sizeof file, sample, SAMPLE_DATA);

    (void)state;
    for (size_t n = 0; n < count; n++) {
        clf_error err = { .status = CLF_OK };

        expect_error(open_bytes(file, n, &err), CLF_BAD_FILE, &err, "t.safetensors: ");
    }
}

/* What an opened file promises, derived from its tensors alone: names rise, tensors lie inside, and those that can be
 * computed with do not overlap. */
static void invariants_hold(const clf_safetensors *s, const char *bytes, size_t count)
{
    char used[512] = { 0 };

    for (size_t i = 0; i < clf_safetensors_count(s); i++) {
        const char *name = clf_safetensors_name(s, i);
        uint64_t size;
        clf_host_tensor t;
        clf_error err;
        clf_status status;

        assert_true(i == 0 || strcmp(clf_safetensors_name(s, i - 1), name) < 0);
        status = clf_safetensors_find(s, name, &t, &err);
        if (status != CLF_OK) {
            assert_int_equal(status, CLF_UNSUPPORTED);
            continue;
        }
        assert_int_not_equal(t.dtype, CLF_DTYPE_NONE);
        assert_in_range(t.rank, 1, CLF_MAX_RANK);
        size = clf_dtype_bytes(t.dtype);
        for (int32_t d = 0; d < t.rank; d++)
            assert_true(t.dim[d] >= 0 && clf_size_mul(size, (uint64_t)t.dim[d], &size));
        assert_true((const char *)t.data >= bytes + 8 && size <= count && (const char *)t.data <= bytes + count - size);
        for (uint64_t b = 0; b < size; b++)
            assert_int_equal(used[(const char *)t.data - bytes + (ptrdiff_t)b]++, 0);
    }
}

static void any_flipped_bit_gives_a_sound_file_or_an_error(void **state)
{
    static char file[512];
    const size_t count = make_safetensors(file, sizeof file, sample, SAMPLE_DATA);
    int accepted = 0;

    (void)state;
    for (size_t bit = 0; bit < 8 * (count - SAMPLE_DATA); bit++) {
        guarded g;
        clf_error err = { .status = CLF_OK };
        clf_safetensors *s;

        file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
        g = guard(file, count);
        if (clf_safetensors_open("t", g.bytes, count, NULL, &s, &err) == CLF_OK) {
            invariants_hold(s, g.bytes, count);
            accepted++;
        } else {
            assert_true(err.status == CLF_BAD_FILE || err.status == CLF_UNSUPPORTED);
            assert_null(s);
        }
        clf_safetensors_close(s);
        unguard(g);
        file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(accepted > 10); /* letters of names and metadata may change */
}

static void unaligned_bytes_are_read(void **state)
{
    static char file[512];

    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        const size_t count = make_safetensors(file + shift, sizeof file - shift, sample, SAMPLE_DATA);
        clf_safetensors *s;
        clf_host_tensor t;
        clf_error err;

        assert_int_equal(clf_safetensors_open("t", file + shift, count, NULL, &s, &err), CLF_OK);
        assert_int_equal(clf_safetensors_find(s, "w", &t, &err), CLF_OK);
        assert_int_equal(((const unsigned char *)t.data)[0], 4);
        clf_safetensors_close(s);
    }
}

static clf_status open_sample(void *argument, clf_error *err)
{
    char file[512];
    const size_t count = make_safetensors(file, sizeof file, argument, SAMPLE_DATA);
    clf_safetensors *s;
    const clf_status status = clf_safetensors_open("t", file, count, NULL, &s, err);

    clf_safetensors_close(s);
    return status;
}

static void any_failing_allocation_is_out_of_memory(void **state)
{
    char header[sizeof sample];

    (void)state;
    memcpy(header, sample, sizeof sample);
    fail_each_allocation(open_sample, header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_broken_file_is_refused_with_its_reason),
        cmocka_unit_test(broken_lengths_are_refused),
        cmocka_unit_test(beyond_our_limits_is_unsupported),
        cmocka_unit_test(more_than_65536_tensors_are_unsupported),
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(tensors_are_found_by_name_in_their_place),
        cmocka_unit_test(every_type_has_its_size),
        cmocka_unit_test(ranks_above_ours_are_unsupported_only_when_asked_for),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(any_flipped_bit_gives_a_sound_file_or_an_error),
        cmocka_unit_test(unaligned_bytes_are_read),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
