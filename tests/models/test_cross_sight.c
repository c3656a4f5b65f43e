/* Interleaved pictures of clfusion's cross-attention modules: relations between the ways to say what is seen, and calls
 * that do not fit.  tests/data has what the oracle says. */
#include "data_case.h"
#include "walk.h"

#define IDS "gated_cross_attention_interleaved"             /* B 1, T 9, I 2, M 3; media token 7 */
#define STACK "gated_cross_attention_stack_interleaved_f16" /* B 3, T 5, I 3, M 5; all pictures so far */
#define MASK "gated_cross_attention_dense_cross_mask_bf16"  /* B 3, T 4, I 2, M 3, vision_mask */
#define PLAIN "cross_attention_basic"                       /* B 1, T 5, N 7; no media token */

enum { T = 9, I = 2, M = 3, DT = 24, DV = 20 };

static clf_value integers(const char *name, clf_dims dims, int64_t *values)
{
    return (clf_value){ name, clf_tensor_shape(CLF_I64, dims), values };
}

/* Ids, the mask that they mean, and pictures as parts of one row of tokens. */
static void a_mask_says_what_ids_say(void **state)
{
    static int64_t open[T][I] = { { 0, 0 }, { 0, 0 }, { 1, 0 }, { 1, 0 }, { 1, 0 },
                                  { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 } };
    static int64_t wide[T][I * M];
    clf_test *t = *state;
    clf_connector *c = case_open(t, IDS, NULL, 0);
    const clf_value text = case_input(t, IDS, "text"), vision = case_input(t, IDS, "vision");
    clf_value row = vision;
    const float *by_ids = case_run(t, c, (clf_value[]){ text, vision, case_input(t, IDS, "text_ids") }, 3, "hidden");
    const float *by_mask, *by_token;

    row.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, I * M, DV));
    by_mask =
        case_run(t, c, (clf_value[]){ text, row, integers("cross_mask", CLF_DIMS(1, T, I), open[0]) }, 3, "hidden");
    for (size_t i = 0; i < (size_t)T * I * M; i++)
        wide[i / (I * M)][i % (I * M)] = open[i / (I * M)][i % (I * M) / M];
    by_token =
        case_run(t, c, (clf_value[]){ text, row, integers("cross_mask", CLF_DIMS(1, T, I * M), wide[0]) }, 3, "hidden");
    assert_memory_equal(by_mask, by_ids, T * DT * sizeof *by_ids);
    assert_memory_equal(by_token, by_ids, T * DT * sizeof *by_ids);
    assert_memory_equal(by_ids, text.host, 2 * DT * sizeof *by_ids); /* before the first picture */
    assert_memory_not_equal(by_ids + 2 * DT, (const float *)text.host + 2 * DT, DT * sizeof *by_ids);
    clf_connector_destroy(c);
}

/* Without groups: a text with one picture. */
static void one_picture_needs_no_further_dimension(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, IDS, NULL, 0);
    int64_t ids[T] = { 1, 7, 1, 1, 1, 1, 1, 1, 1 };
    const clf_value text = case_input(t, IDS, "text");
    clf_value vision = case_input(t, IDS, "vision");
    const float *all, *seen;

    vision.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, I * M, DV));
    all = case_run(t, c, (clf_value[]){ text, vision }, 2, "hidden");
    seen = case_run(t, c, (clf_value[]){ text, vision, integers("text_ids", CLF_DIMS(1, T), ids) }, 3, "hidden");
    assert_memory_equal(seen, text.host, DT * sizeof *seen);
    assert_memory_equal(seen + DT, all + DT, (T - 1) * DT * sizeof *seen);
    clf_connector_destroy(c);
}

/* A text without pictures, said by either: no picture at all, or pictures without rows. */
static void without_pictures_text_stays_as_it_is(void **state)
{
    static int64_t plain[T] = { 1, 2, 3, 4, 5, 6, 5, 4, 3 }, begins[T] = { 1, 7, 1, 1, 7, 1, 1, 1, 1 }, open[T * I];
    clf_test *t = *state;
    clf_connector *c = case_open(t, IDS, NULL, 0);
    clf_value in[] = { case_input(t, IDS, "text"), case_input(t, IDS, "vision"),
                       integers("text_ids", CLF_DIMS(1, T), plain) };
    const size_t bytes = T * DT * sizeof(float);

    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, M, DV));
    assert_memory_equal(case_run(t, c, in, 3, "hidden"), in[0].host, bytes);
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, I, 0, DV));
    in[2] = integers("text_ids", CLF_DIMS(1, T), begins);
    assert_memory_equal(case_run(t, c, in, 3, "hidden"), in[0].host, bytes);
    in[2] = integers("cross_mask", CLF_DIMS(1, T, I), open);
    assert_memory_equal(case_run(t, c, in, 3, "hidden"), in[0].host, bytes);
    clf_connector_destroy(c);
}

/* hidden in the place of text, on the device. */
static void hidden_may_replace_the_text(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, IDS, NULL, 0);
    clf_value in[] = { case_input(t, IDS, "text"), case_input(t, IDS, "vision"), case_input(t, IDS, "text_ids") };
    const float *want = case_run(t, c, in, 3, "hidden");
    const clf_tensor there = clf_test_empty(t, CLF_F32, CLF_DIMS(1, T, DT));
    const clf_value out = { .name = "hidden", .tensor = there };
    float got[T * DT];

    clf_upload(t->stream, in[0].host, there);
    in[0] = (clf_value){ .name = "text", .tensor = there };
    clf_connector_enqueue(t->stream, c, in, 3, &out, 1);
    clf_download(t->stream, there, got);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    assert_memory_equal(got, want, sizeof got);
    clf_connector_destroy(c);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    static int64_t open[3 * T];
    static int64_t many[T] = { 7, 1, 1, 7, 1, 7, 1, 1, 1 };
    clf_test *t = *state;
    clf_connector *c = case_open(t, IDS, NULL, 0);
    clf_value in[] = { case_input(t, IDS, "text"), case_input(t, IDS, "vision"), case_input(t, IDS, "text_ids"),
                       integers("cross_mask", CLF_DIMS(1, T, I), open) };
    clf_value out = { "hidden", clf_tensor_shape(CLF_F32, CLF_DIMS(1, T, DT)),
                      clf_test_memory(t, T * DT * sizeof(float)) };
    clf_error err = { 0 };

    case_call_refused(t, c, in, 4, "hidden",
                      "gated_cross_attention: text_ids and cross_mask are given; want one of them");
    in[2] = integers("text_ids", CLF_DIMS(1, T), many);
    assert_int_equal(clf_connector_run(t->stream, c, in, 3, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "gated_cross_attention: row 0 of text_ids has media token 3 at 5; want at most 2, the "
                        "pictures of vision");
    clf_stream_reset(t->stream);
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, DV));
    in[2] = integers("cross_mask", CLF_DIMS(1, T, I), open);
    case_call_refused(t, c, in, 3, "hidden",
                      "gated_cross_attention: vision is f32[1, 5, 20], 5 rows; want a multiple of 2, the pictures of "
                      "cross_mask");
    in[2] = integers("cross_mask", CLF_DIMS(1, T, 0), open);
    case_call_refused(t, c, in, 3, "hidden",
                      "gated_cross_attention: vision is f32[1, 5, 20], 5 rows; want a multiple of 0, the pictures of "
                      "cross_mask");
    clf_connector_destroy(c);

    c = case_open(t, PLAIN, NULL, 0);
    in[0] = case_input(t, PLAIN, "text");
    in[1] = case_input(t, PLAIN, "vision");
    in[2] = integers("text_ids", CLF_DIMS(1, 5), many);
    case_call_refused(t, c, in, 3, "hidden",
                      "cross_attention: media_token_id is missing; want it in the configuration to read text_ids");
    clf_connector_destroy(c);
}

/* ---- what fails ---- */

typedef struct call {
    clf_connector *c;
    clf_value in[4], out;
    size_t count;
} call;

static clf_status run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const call *k = user;

    (void)t;
    return clf_connector_run(s, k->c, k->in, k->count, &k->out, 1, err);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    static const struct {
        const char *folder, *third, *fourth;
    } cases[] = { { IDS, "text_ids", NULL }, { STACK, "text_ids", NULL }, { MASK, "cross_mask", "vision_mask" } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        const char *folder = cases[i].folder;
        call k = { .c = case_open(t, folder, NULL, 0), .out = { .name = "hidden" }, .count = 3 };
        size_t bytes;

        k.in[0] = case_input(t, folder, "text");
        k.in[1] = case_input(t, folder, "vision");
        k.in[2] = case_input(t, folder, cases[i].third);
        if (cases[i].fourth != NULL)
            k.in[k.count++] = case_input(t, folder, cases[i].fourth);
        assert_int_equal(clf_connector_plan(k.c, k.in, k.count, &k.out, 1, NULL), CLF_OK);
        bytes = (size_t)clf_element_count(k.out.tensor) * sizeof(float);
        k.out.host = clf_test_memory(t, bytes);
        const clf_walk w = {
            .name = folder, .work = run, .user = &k, .result = k.out.host, .bytes = bytes, .arguments = 40
        };
        assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 0 : 20));
        assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? -1 : 2));
        clf_connector_destroy(k.c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(a_mask_says_what_ids_say),
        CLF_TEST(one_picture_needs_no_further_dimension),
        CLF_TEST(without_pictures_text_stays_as_it_is),
        CLF_TEST(hidden_may_replace_the_text),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
