/* Status, errors, sizes, text, shapes, allocation, log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clfusion/clfusion.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/error.h"
#include "core/log.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

static void every_status_has_a_name_and_a_sentence(void **state)
{
    (void)state;
#define CHECK(name, value, sentence)                                                                                   \
    assert_int_equal(name, value);                                                                                     \
    assert_string_equal(clf_status_name(name), #name);                                                                 \
    assert_string_equal(clf_status_sentence(name), sentence);
    CLF_STATUS_LIST(CHECK)
#undef CHECK
    assert_string_equal(clf_status_name((clf_status)99), "unknown status");
    assert_string_equal(clf_status_sentence((clf_status)99), "unknown status");
}

static void the_version_is_the_header_s(void **state)
{
    char text[32];

    (void)state;
    clf_format(text, sizeof text, "%d.%d.%d", CLF_VERSION_MAJOR, CLF_VERSION_MINOR, CLF_VERSION_PATCH);
    assert_string_equal(clf_version(), text);
}

static void an_error_is_filled_completely_and_cut_with_dots(void **state)
{
    clf_error err = { 0 };
    char long_text[2000];

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(CLF_FAIL(&err, CLF_IO, "%s", long_text), CLF_IO);
    assert_int_equal(err.status, CLF_IO);
    assert_non_null(err.file);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_string_equal(err.message + sizeof err.message - 4, "...");
    clf_error_set(&err, "f", 1, CLF_IO, "b");
    clf_error_prefix(&err, "a/");
    assert_string_equal(err.message, "a/b");
    assert_int_equal(CLF_FAIL(NULL, CLF_IO, "nobody listens"), CLF_IO);
    clf_error_prefix(NULL, "a/");
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    uint64_t r = 7;

    (void)state;
    assert_false(clf_size_mul(UINT64_MAX, 2, &r));
    assert_false(clf_size_mul(4194305, 4398046511104, &r) && r < 4194305);
    assert_false(clf_size_add(UINT64_MAX, 1, &r));
    assert_false(clf_size_round_up(UINT64_MAX, 256, &r));
    assert_true(clf_size_mul(0, UINT64_MAX, &r));
    assert_true(r == 0);
    assert_true(clf_size_mul(UINT32_MAX, UINT32_MAX, &r));
    assert_true(r == 18446744065119617025U);
    assert_true(clf_size_round_up(257, 256, &r));
    assert_true(r == 512);
    assert_true(clf_size_round_up(512, 256, &r));
    assert_true(r == 512);
}

static void text_from_files_is_escaped_and_cut(void **state)
{
    char many[400];

    (void)state;
    assert_string_equal(clf_text_quote("a\n\\\x7F\xC3", 5).text, "a\\x0A\\x5C\\x7F\\xC3");
    memset(many, '\n', sizeof many);
    assert_true(strlen(clf_text_quote(many, sizeof many).text) < 160);
    assert_string_equal(CLF_TEXT(clf_tensor_shape(CLF_F16, CLF_DIMS(1, 64, 4096))), "f16[1, 64, 4096]");
    assert_string_equal(CLF_TEXT(((clf_tensor){ .dtype = CLF_DTYPE_NONE })), "none");
    assert_true(clf_name_equal("LLaVA-next", "llava_next"));
    assert_false(clf_name_equal("llava", "llava_next"));
    assert_true(clf_text_contains("The PoCL project", "pocl"));
    assert_true(clf_text_contains("abc", ""));
    assert_false(clf_text_contains("abc", "abcd"));
}

static void shapes_answer_for_themselves(void **state)
{
    clf_tensor t = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 3, 4)), part = t;
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(clf_element_count(t), 24);
    assert_int_equal(clf_row_count(t), 6);
    assert_int_equal(clf_dim(t, -1), 4);
    assert_int_equal(clf_dim(t, 5), 1);
    assert_true(clf_is_dense(t));
    part.dim[1] = 2;
    assert_false(clf_is_dense(part));
    assert_true(clf_extent_bytes(part, &bytes));
    assert_int_equal(bytes, (12 + 4 + 4) * 4);
    assert_int_equal(clf_element_count(clf_tensor_shape(CLF_F32, CLF_DIMS(INT64_MAX, 2))), -1);
    assert_int_equal(clf_element_count(clf_tensor_shape(CLF_F32, CLF_DIMS(INT64_MAX, 2, 0))), 0);
    assert_false(clf_shape_valid(clf_tensor_shape(CLF_F32, CLF_DIMS(-1, 2))));
    assert_false(clf_shape_valid((clf_tensor){ .dtype = CLF_F32, .rank = 7 }));
    assert_false(clf_shape_valid(clf_tensor_shape(CLF_DTYPE_NONE, CLF_DIMS(2))));
}

static void overlap_is_seen_by_bytes_and_columns(void **state)
{
    struct _cl_mem *mem = (struct _cl_mem *)(uintptr_t)64;
    const clf_tensor all = clf_tensor_at(mem, 0, CLF_F32, CLF_DIMS(4, 8));
    clf_tensor left = all, right = all, low = all, high = all;

    (void)state;
    left.dim[1] = right.dim[1] = 4;
    right.offset = 16;
    low.dim[0] = high.dim[0] = 2;
    high.offset = 64;
    assert_true(clf_may_overlap(all, left));
    assert_false(clf_may_overlap(left, right));
    assert_false(clf_may_overlap(low, high));
    assert_true(clf_may_overlap(low, all));
    assert_false(clf_may_overlap(clf_tensor_shape(CLF_F32, CLF_DIMS(4)), clf_tensor_shape(CLF_F32, CLF_DIMS(4))));
}

/* Columns begin .. begin + width - 1 of rows `first` on of f32 [rows, pitch], a row apart. */
static clf_tensor columns(int64_t first, int64_t rows, int64_t begin, int64_t width, int64_t pitch)
{
    struct _cl_mem *mem = (struct _cl_mem *)(uintptr_t)64;
    clf_tensor t = clf_tensor_at(mem, (uint64_t)(first * pitch + begin) * 4, CLF_F32, CLF_DIMS(rows, width));

    t.stride[0] = pitch;
    return t;
}

/* Both ways round. */
static bool meet(clf_tensor a, clf_tensor b)
{
    assert_int_equal(clf_may_overlap(a, b), clf_may_overlap(b, a));
    return clf_may_overlap(a, b);
}

/* Column 6 to 9 of pitch 8 is the end of a row and the beginning of the next one: where rows begin does not matter. */
static void columns_are_apart_wherever_rows_begin(void **state)
{
    (void)state;
    for (int64_t first = 0; first < 3; first++)
        for (int64_t begin = 0; begin < 16; begin++) {
            assert_false(meet(columns(1, 3, begin, 4, 8), columns(1 + first, 3, begin + 4, 4, 8)));
            assert_false(meet(columns(1, 3, begin, 4, 8), columns(1 + first, 3, begin + 5, 3, 8)));
            assert_true(meet(columns(1, 3, begin, 4, 8), columns(1 + first, 3, begin + 3, 4, 8)));
            assert_true(meet(columns(1, 3, begin, 4, 8), columns(1, 3, begin + 5, 4, 8)));
        }
}

/* Ranks, types, heads and pitches may differ. */
static void columns_are_apart_whatever_the_shapes(void **state)
{
    const clf_tensor left = columns(0, 6, 0, 12, 24);
    clf_tensor right = columns(0, 6, 12, 12, 24), heads = right, batches = right, twice = columns(0, 3, 12, 12, 48);

    (void)state;
    heads.rank = 3; /* [6, 3, 4], a head behind the other */
    heads.dim[1] = 3;
    heads.stride[1] = heads.dim[2] = 4;
    heads.stride[2] = 1;
    assert_false(meet(left, heads));
    heads.offset -= 4;
    assert_true(meet(left, heads));
    batches.rank = 3; /* [2, 2, 12], a row left out behind each batch */
    batches.dim[0] = batches.dim[1] = 2;
    batches.stride[0] = 72;
    batches.stride[1] = 24;
    batches.dim[2] = 12;
    batches.stride[2] = 1;
    assert_false(meet(left, batches));
    batches.stride[0] = 71;
    assert_true(meet(left, batches));
    assert_false(meet(left, twice));
    right.dtype = CLF_F16; /* pitch and width of 24 and 12 f32 */
    right.dim[1] = 24;
    right.stride[0] = 48;
    assert_false(meet(left, right));
    right.dim[1] = 25;
    assert_true(meet(left, right));
    right.dim[1] = 0;
    assert_false(meet(left, right));
}

static void elements_are_apart_unless_rows_meet(void **state)
{
    clf_tensor t = clf_tensor_shape(CLF_F16, CLF_DIMS(2, 3, 4));

    (void)state;
    assert_true(clf_elements_apart(t));
    t.stride[1] = 3;
    assert_false(clf_elements_apart(t)); /* the last element of a row is the first of the next */
    t.stride[1] = 8;                     /* the other half of each row is left out, or another batch's */
    t.stride[0] = 4;
    assert_true(clf_elements_apart(t));
    t.stride[0] = 16; /* the third row of a batch is the first of the next one */
    assert_false(clf_elements_apart(t));
    t.dim[1] = 2;
    assert_true(clf_elements_apart(t));
    t.stride[0] = 0;
    assert_false(clf_elements_apart(t));
    t.dim[0] = 1;
    assert_true(clf_elements_apart(t));
    t.dim[0] = 0;
    assert_true(clf_elements_apart(t));
    t.dim[0] = 4;
    t.stride[0] = INT64_MAX; /* the extent is beyond 64 bits */
    assert_false(clf_elements_apart(t));
}

typedef struct grown_desc {
    uint32_t struct_size;
    int32_t old;
    int32_t added; /* by a later version */
} grown_desc;

static void a_shorter_descriptor_leaves_later_fields_at_their_defaults(void **state)
{
    const struct {
        uint32_t struct_size;
        int32_t old;
    } caller = { sizeof caller, 5 };
    const grown_desc later = { sizeof later + 4, 6, 7 }, none = { 0, 6, 7 };
    grown_desc full = { sizeof full, 1, 2 };

    (void)state;
    assert_true(clf_desc_read(&full, sizeof full, &caller));
    assert_int_equal(full.old, 5);
    assert_int_equal(full.added, 2);
    assert_false(clf_desc_read(&full, sizeof full, &later));
    assert_false(clf_desc_read(&full, sizeof full, &none));
    assert_int_equal(full.old, 5);
}

static void *no_memory(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return NULL;
}

static void *no_larger_memory(void *user, void *memory, size_t bytes)
{
    (void)user;
    (void)memory;
    (void)bytes;
    return NULL;
}

static void release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static void allocation_goes_through_the_table_and_is_checked(void **state)
{
    const clf_allocator none = { NULL, no_memory, no_larger_memory, release };
    void *items = NULL;
    size_t capacity = 0;
    clf_error err = { 0 };
    unsigned char *zeroed;

    (void)state;
    assert_null(clf_alloc(SIZE_MAX / 2, 3));
    assert_null(clf_realloc(NULL, SIZE_MAX, 2));
    zeroed = clf_alloc(3, 5);
    assert_non_null(zeroed);
    for (int i = 0; i < 15; i++)
        assert_int_equal(zeroed[i], 0);
    clf_free(zeroed);
    clf_free(NULL);
    clf_set_allocator(&none);
    assert_null(clf_alloc(1, 1));
    assert_null(clf_strdup("x"));
    assert_int_equal(clf_grow(&items, 0, &capacity, 8, &err), CLF_OUT_OF_MEMORY);
    clf_set_allocator(NULL);
    assert_int_equal(clf_grow(&items, 0, &capacity, 8, &err), CLF_OK);
    assert_true(capacity >= 1);
    clf_free(items);
}

static void keep_line(void *user, const char *line)
{
    clf_format(user, 100, "%s", line);
}

static void the_log_reaches_the_callback_alone(void **state)
{
    char line[100] = "";

    (void)state;
    clf_log("nobody listens");
    clf_set_log(keep_line, line);
    clf_log("cache %d", 7);
    clf_set_log(NULL, NULL);
    clf_log("nobody again");
    assert_string_equal(line, "cache 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_sentence),
        cmocka_unit_test(the_version_is_the_header_s),
        cmocka_unit_test(an_error_is_filled_completely_and_cut_with_dots),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(text_from_files_is_escaped_and_cut),
        cmocka_unit_test(shapes_answer_for_themselves),
        cmocka_unit_test(overlap_is_seen_by_bytes_and_columns),
        cmocka_unit_test(columns_are_apart_wherever_rows_begin),
        cmocka_unit_test(columns_are_apart_whatever_the_shapes),
        cmocka_unit_test(elements_are_apart_unless_rows_meet),
        cmocka_unit_test(a_shorter_descriptor_leaves_later_fields_at_their_defaults),
        cmocka_unit_test(allocation_goes_through_the_table_and_is_checked),
        cmocka_unit_test(the_log_reaches_the_callback_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
