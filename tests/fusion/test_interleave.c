/* Times of text and pictures: whole numbers, compared exactly. */
#include "harness.h"

#define IMAGE 7

static void expect(const int32_t *got, const int32_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("entry %zu is %d; want %d", i, (int)got[i], (int)want[i]);
}

static void the_media_token_itself_counts(void **state)
{
    static const int64_t ids[] = { 1, 7, 2, 7, 7, 3, /* a text that starts with a picture */ 7, 1, 1, 1, 1, 7 };
    static const int32_t want[] = { 0, 1, 1, 2, 3, 3, 1, 1, 1, 1, 1, 2 };
    int32_t time[CLF_COUNT(ids)];

    (void)state;
    clf_text_time(ids, 2, 6, IMAGE, time);
    expect(time, want, CLF_COUNT(want));
}

static void text_without_pictures_stays_at_time_0(void **state)
{
    static const int64_t ids[] = { 1, 2, INT64_MIN, INT64_MAX };
    static const int32_t want[] = { 0, 0, 0, 0 };
    int32_t time[CLF_COUNT(ids)];

    (void)state;
    clf_text_time(ids, 1, 4, IMAGE, time);
    expect(time, want, CLF_COUNT(want));
}

static void new_rows_have_the_count_of_the_whole_prompt(void **state)
{
    static const int64_t ids[] = { 7, 1, 7, 2, 2, 2, 2, 7, 1 }; /* three prompts */
    static const int32_t want[] = { 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1 };
    int32_t time[CLF_COUNT(want)];

    (void)state;
    clf_text_time_after(ids, 3, 3, IMAGE, 4, time);
    expect(time, want, CLF_COUNT(want));
}

/* Decoding on without pictures: the last row of a prompt and the rows behind it have one time. */
static void a_prompts_last_row_and_the_rows_behind_it_agree(void **state)
{
    clf_test *t = *state;

    for (int64_t P = 1; P < 40; P++) {
        int64_t ids[40];
        int32_t prompt[40], after[2];

        for (int64_t p = 0; p < P; p++)
            ids[p] = clf_test_random(t) < 0.3 ? IMAGE : 1;
        clf_text_time(ids, 1, P, IMAGE, prompt);
        clf_text_time_after(ids, 1, P, IMAGE, 2, after);
        assert_int_equal(after[0], prompt[P - 1]);
        assert_int_equal(after[1], prompt[P - 1]);
    }
}

static void places_say_what_ids_say(void **state)
{
    static const int64_t ids[] = { 1, 7, 1, 7, 7, 1, 7, 1, 1, 1, 7, 7 };
    static const int64_t places[] = { 4, 1, 3, 0, 4, 5 };
    int32_t by_id[CLF_COUNT(ids)], by_place[CLF_COUNT(ids)];

    (void)state;
    clf_text_time(ids, 2, 6, IMAGE, by_id);
    clf_text_time_at(places, 2, 3, 6, by_place);
    expect(by_place, by_id, CLF_COUNT(ids));
}

static void places_outside_the_text_are_before_or_after_it(void **state)
{
    static const int64_t places[] = { -5, 2, 3, -1 };
    static const int32_t want[] = { 2, 2, 3 };
    int32_t time[3];

    (void)state;
    clf_text_time_at(places, 1, 4, 3, time);
    expect(time, want, CLF_COUNT(want));
}

static void every_token_of_a_picture_has_its_number_from_1(void **state)
{
    static const int32_t want[] = { 1, 1, 2, 2, 3, 3 };
    int32_t time[CLF_COUNT(want)];

    (void)state;
    clf_media_time(3, 2, time);
    expect(time, want, CLF_COUNT(want));
}

static void nothing_is_written_for_nothing(void **state)
{
    int32_t time = 55;

    (void)state;
    clf_text_time(NULL, 0, 4, IMAGE, &time);
    clf_text_time(NULL, 3, 0, IMAGE, &time);
    clf_text_time_after(NULL, 0, 4, IMAGE, 2, &time);
    clf_text_time_at(NULL, 3, 2, 0, &time);
    clf_media_time(0, 4, &time);
    clf_media_time(4, 0, &time);
    assert_int_equal(time, 55);
    clf_text_time_after(NULL, 1, 0, IMAGE, 1, &time); /* an empty prompt has no picture */
    assert_int_equal(time, 0);
    time = 55;
    clf_text_time_at(NULL, 1, 0, 1, &time);
    assert_int_equal(time, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_media_token_itself_counts),
        CLF_TEST(text_without_pictures_stays_at_time_0),
        CLF_TEST(new_rows_have_the_count_of_the_whole_prompt),
        CLF_TEST(a_prompts_last_row_and_the_rows_behind_it_agree),
        CLF_TEST(places_say_what_ids_say),
        CLF_TEST(places_outside_the_text_are_before_or_after_it),
        CLF_TEST(every_token_of_a_picture_has_its_number_from_1),
        CLF_TEST(nothing_is_written_for_nothing),
    };

    return CLF_TEST_MAIN(tests);
}
