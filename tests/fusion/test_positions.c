/* Rotary columns, ids on grids, fixed and learned tables: against transformers' classes, and the rules. */
#include <math.h>
#include <string.h>

#include "fusion/positions_data.h"
#include "fusion/sincos.h"
#include "ops/ops.h"
#include "ref/ref.h"

/* ---- angles and rotated values ---- */

typedef struct angles {
    clf_rotary_columns_desc desc;
    clf_rotary_pairs pairs;
    clf_rotary_columns columns;
    position_array positions, cosines, sines, x, y;
} angles;

static angles angles_open(clf_test *t, const char *folder)
{
    const position_array layout = position_data(t, folder, "in_layout", true);
    angles a = { .desc = clf_rotary_columns_desc_default(),
                 .positions = position_data(t, folder, "in_positions", true),
                 .cosines = position_data(t, folder, "out_cosines", true),
                 .sines = position_data(t, folder, "out_sines", true),
                 .x = position_data(t, folder, "in_x", true),
                 .y = position_data(t, folder, "out_y", true) };
    float *frequency;
    int32_t *axis;
    clf_error err = { 0 };

    a.desc.layout = (clf_rotary_layout)layout.value[0];
    a.pairs = (clf_rotary_pairs)layout.value[1];
    a.desc.width = (int64_t)layout.value[2];
    a.desc.base = layout.value[3];
    a.desc.section_count = (int32_t)layout.count - 4;
    for (int64_t i = 4; i < layout.count; i++)
        a.desc.sections[i - 4] = (int64_t)layout.value[i];
    frequency = clf_test_memory(t, (size_t)a.desc.width * sizeof *frequency);
    axis = clf_test_memory(t, (size_t)a.desc.width * sizeof *axis);
    if (clf_rotary_columns_fill(&a.desc, frequency, axis, &a.columns, &err) != CLF_OK)
        fail_msg("%s: %s", folder, err.message);
    return a;
}

/* Within an ulp of the class's own: torch's powers are not all rounded correctly. */
static void compare_frequencies(clf_test *t, const angles *a, const char *folder)
{
    const position_array want = position_data(t, folder, "out_frequency", false);

    for (int64_t p = 0; want.value != NULL && p < want.count; p++)
        if (fabs((double)a->columns.frequency[p] - want.value[p]) > 2 * CLF_U * want.value[p])
            fail_msg("%s: frequency %d is %.9g, want %.9g", folder, (int)p, (double)a->columns.frequency[p],
                     want.value[p]);
}

/* The feature of the class's table, one column a feature, that column p of ours stands for. */
static int64_t feature_of(const angles *a, int64_t p)
{
    if (a->columns.count == a->desc.width)
        return p;
    if (a->pairs == CLF_ROTARY_ADJACENT)
        return 2 * p;
    return a->pairs == CLF_ROTARY_QUARTERS && p >= a->desc.width / 4 ? p + a->desc.width / 4 : p;
}

/* Cosines, or sines, of our table where the class has them, and how far they may stray: torch's powers may be an ulp
 * off, which quotients and the product of the angle round again, 6 u of the angle in all; its cosine is within an ulp,
 * ours within `ours`. */
static clf_expected wanted(clf_test *t, const angles *a, position_array given, double ours)
{
    const int64_t P = a->columns.count, R = a->cosines.count / a->desc.width;
    clf_expected e = { clf_test_memory(t, (size_t)(R * P) * sizeof(double)),
                       clf_test_memory(t, (size_t)(R * P) * sizeof(double)) };

    for (int64_t i = 0; i < R * P; i++) {
        const double position = a->positions.value[a->columns.axis[i % P] * R + i / P];

        e.value[i] = given.value[i / P * a->desc.width + feature_of(a, i % P)];
        e.bound[i] = (6 * fabs(position * (double)a->columns.frequency[i % P]) + 2 + ours) * CLF_U;
    }
    return e;
}

static void host_table(clf_test *t, const angles *a, const int32_t *positions)
{
    const int64_t P = a->columns.count, R = a->cosines.count / a->desc.width, A = a->positions.dim[0];
    float *c = clf_test_memory(t, (size_t)(2 * R * P) * sizeof *c), *s = c + R * P;
    const clf_expected cosines = wanted(t, a, a->cosines, 1), sines = wanted(t, a, a->sines, 1);
    clf_error err = { 0 };

    assert_int_equal(clf_rotary_table_host(positions, A, R, &a->columns, c, s, &err), CLF_OK);
    for (int64_t i = 0; i < R * P; i++)
        if (fabs((double)c[i] - cosines.value[i]) > cosines.bound[i] ||
            fabs((double)s[i] - sines.value[i]) > sines.bound[i])
            fail_msg("column %d of row %d: %.9g and %.9g, want %.9g and %.9g", (int)(i % P), (int)(i / P), (double)c[i],
                     (double)s[i], cosines.value[i], sines.value[i]);
}

/* x turned by the class's own table, an angle for each feature: three roundings apart from its y. */
static void own_table(clf_test *t, const angles *a, clf_tensor x)
{
    const int64_t T = a->x.dim[1], W = a->desc.width, R = a->cosines.count / W;
    const clf_dims rows = R == T ? CLF_DIMS(T, W) : CLF_DIMS(R / T, T, W);
    const clf_tensor c = clf_test_from(t, CLF_F32, rows, a->cosines.value);
    const clf_tensor s = clf_test_from(t, CLF_F32, rows, a->sines.value);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(a->x.dim[0], T, a->x.dim[2], a->x.dim[3]));

    clf_rotary(t->stream, x, c, s, a->pairs, W, y);
    clf_test_close(t, y, a->y.value, 0, 16 * CLF_U); /* entries below 4, cosines and sines below 1 */
}

/* `far`: an ulp of a frequency counts for more than the bound of rotated values. */
static void one_layout(clf_test *t, const char *folder, bool far)
{
    const angles a = angles_open(t, folder);
    const int64_t P = a.columns.count, R = a.cosines.count / a.desc.width, T = a.x.dim[1];
    const clf_dims rows = R == T ? CLF_DIMS(T, P) : CLF_DIMS(R / T, T, P);
    const clf_dims dims = CLF_DIMS(a.x.dim[0], T, a.x.dim[2], a.x.dim[3]);
    const clf_tensor c = clf_test_empty(t, CLF_F32, rows), s = clf_test_empty(t, CLF_F32, rows);
    const clf_tensor x = clf_test_from(t, CLF_F32, dims, a.x.value), y = clf_test_empty(t, CLF_F32, dims);
    int32_t *positions = clf_test_memory(t, (size_t)a.positions.count * sizeof *positions);
    double largest = 0;

    for (int64_t i = 0; i < a.positions.count; i++)
        positions[i] = (int32_t)a.positions.value[i];
    compare_frequencies(t, &a, folder);
    host_table(t, &a, positions);
    const clf_expected cosines = wanted(t, &a, a.cosines, 8), sines = wanted(t, &a, a.sines, 8);

    t->zero_limit = 0.65; /* sines of row 0 and column 0 */
    clf_rotary_table(t->stream, clf_test_i32(t, CLF_DIMS(a.positions.dim[0], R), positions), &a.columns, c, s);
    clf_test_within(t, c, cosines.value, cosines.bound);
    clf_test_within(t, s, sines.value, sines.bound);
    own_table(t, &a, x);
    for (int64_t i = 0; i < a.y.count; i++)
        largest = fmax(largest, fabs(a.y.value[i]));
    clf_rotary(t->stream, x, c, s, a.pairs, a.desc.width, y);
    if (!far)
        clf_test_close(t, y, a.y.value, 1e-4, 2e-5 * largest);
}

static void angles_and_rotated_values_are_those_of_every_class(void **state)
{
    static const char *const folders[] = { "qwen2_vl", "qwen2_vl_far", "qwen3_vl",        "qwen3_vl_far", "qwen3_5",
                                           "glm4v",    "ernie",        "hunyuan",         "round_robin",  "llama4",
                                           "pixtral",  "quarters",     "qwen2_vl_picture" };
    char folder[100];

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        snprintf(folder, sizeof folder, "angles_%s", folders[i]);
        one_layout(*state, folder, strstr(folder, "_far") != NULL);
        clf_test_check_guards(*state);
        clf_test_release_all(*state);
    }
}

/* Which axis each frequency of a released model takes: connectors' tables, not our formula. */
static void axes_are_those_of_the_released_models(void **state)
{
    static const struct {
        clf_rotary_layout layout;
        int64_t width;
        int32_t count;
        int64_t sections[CLF_ROTARY_AXES];
        const char *axes; /* t, h, w of the first frequencies; then of the last */
        const char *last;
    } models[] = {
        { CLF_ROTARY_SECTIONED, 128, 3, { 16, 24, 24 }, "tttttttttttttttthhhh", "wwww" },
        { CLF_ROTARY_INTERLEAVED, 128, 3, { 24, 20, 20 }, "thwthw", "thwtttt" },
        { CLF_ROTARY_INTERLEAVED, 64, 3, { 11, 11, 10 }, "thwthw", "thwth" },
        { CLF_ROTARY_ALTERNATING, 128, 3, { 22, 22, 20 }, "hwhwhw", "tttt" },
        { CLF_ROTARY_ROUND_ROBIN, 128, 0, { 0 }, "thwthw", "thwt" },
    };
    float frequency[128];
    int32_t axis[128];

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(models); i++) {
        clf_rotary_columns_desc desc = clf_rotary_columns_desc_default();
        clf_rotary_columns columns;
        clf_error err = { 0 };
        const size_t last = strlen(models[i].last);

        desc.layout = models[i].layout;
        desc.width = models[i].width;
        desc.section_count = models[i].count;
        memcpy(desc.sections, models[i].sections, sizeof desc.sections);
        assert_int_equal(clf_rotary_columns_fill(&desc, frequency, axis, &columns, &err), CLF_OK);
        assert_int_equal(columns.count, models[i].width / 2);
        for (size_t p = 0; p < strlen(models[i].axes); p++)
            assert_int_equal("thw"[axis[p]], models[i].axes[p]);
        for (size_t p = 0; p < last; p++)
            assert_int_equal("thw"[axis[(size_t)columns.count - last + p]], models[i].last[p]);
    }
}

static void columns_name_widths_and_sections(void **state)
{
    float frequency[64];
    int32_t axis[64];
    clf_rotary_columns columns;
    clf_rotary_columns_desc desc = clf_rotary_columns_desc_default();

    (void)state;
#define FILL(text)                                                                                                     \
    CLF_OPS_REFUSES(clf_rotary_columns_fill(&desc, frequency, axis, &columns, &err), CLF_INVALID_ARGUMENT, text)
    desc.width = 42;
    FILL("rotary_columns: width is 42; want a multiple of 4, below 2^31");
    desc.layout = CLF_ROTARY_ROUND_ROBIN;
    CLF_OPS_ACCEPTS(clf_rotary_columns_fill(&desc, frequency, axis, &columns, &err));
    desc.width = 0;
    FILL("rotary_columns: width is 0; want a multiple of 2, below 2^31");
    desc.width = 64;
    desc.layout = CLF_ROTARY_SECTIONED;
    FILL("rotary_columns: section_count is 0; want 1 to 4");
    desc.section_count = 2;
    desc.sections[0] = 20;
    desc.sections[1] = -1;
    FILL("rotary_columns: sections[1] is -1; want 0 to 32, half the width");
    desc.sections[1] = 11;
    FILL("rotary_columns: sections add up to 31; want 32, half the width 64");
    desc.sections[1] = 12;
    CLF_OPS_ACCEPTS(clf_rotary_columns_fill(&desc, frequency, axis, &columns, &err));
    desc.layout = CLF_ROTARY_INTERLEAVED;
    FILL("rotary_columns: section_count is 2; want 3");
    desc.layout = CLF_ROTARY_ALTERNATING;
    desc.section_count = 3;
    FILL("rotary_columns: sections begin with 20 and 12; want both alike, since rows and columns alternate");
    desc.base = -1;
    FILL("rotary_columns: base is -1; want above 0");
    desc.layout = (clf_rotary_layout)9;
    FILL("rotary_columns: layout is 9; want 0 to 7");
    desc.struct_size = 3;
    FILL("rotary_columns: struct_size is 3; want 64: start from the _default() function");
#undef FILL
}

/* ---- ids on grids ---- */

static void ids_of_patches_are_transformers(void **state)
{
    static const char *const folders[] = { "angles_qwen2_vl_picture", "angles_pixtral", "angles_quarters" };
    clf_test *t = *state;
    int32_t llama4[2 * 26];
    clf_error err = { 0 };

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        const position_array grids = position_data(t, folders[i], "in_grids", true);
        const position_array want = position_data(t, folders[i], "in_positions", true);
        const position_array merge = position_data(t, folders[i], "in_merge", true);
        int32_t *got = clf_test_memory(t, (size_t)want.count * sizeof *got);

        assert_int_equal(clf_grid_positions(position_whole(t, grids), grids.dim[0], (int64_t)merge.value[0],
                                            want.count / 2, got, &err),
                         CLF_OK);
        for (int64_t n = 0; n < want.count; n++)
            assert_int_equal(got[n], (int32_t)want.value[n]);
    }
    const position_array want = position_data(t, "angles_llama4", "in_positions", true);

    assert_int_equal(clf_llama4_positions(5, llama4, &err), CLF_OK);
    for (int64_t n = 0; n < want.count; n++)
        assert_int_equal(llama4[n], (int32_t)want.value[n]);
}

static void grids_that_do_not_fit_are_named(void **state)
{
    static const int64_t grids[] = { 1, 4, 6, 2, 3, 2 }, negative[] = { 1, -4, 6 };
    static const int64_t empty[] = { INT32_MAX, 0, 6, 1, 1, 1 }, large[] = { INT32_MAX, INT32_MAX, INT32_MAX };
    int32_t positions[2 * 36];
    clf_error unused;

    (void)state;
    CLF_OPS_ACCEPTS(clf_grid_positions(grids, 2, 1, 36, positions, &err));
    CLF_OPS_ACCEPTS(clf_grid_positions(NULL, 0, 2, 0, NULL, &err));
    assert_int_equal(clf_grid_positions(empty, 2, 1, 1, positions, &unused),
                     CLF_OK); /* frames of nothing cost nothing */
    CLF_OPS_REFUSES(clf_grid_positions(grids, 2, 1, 30, positions, &err), CLF_INVALID_ARGUMENT,
                    "grid_positions: grids has 36 patches; want 30, the columns of positions");
    CLF_OPS_REFUSES(clf_grid_positions(grids, 2, 2, 36, positions, &err), CLF_INVALID_ARGUMENT,
                    "grid_positions: grids[1] is [2, 3, 2]; want rows and columns divisible by merge 2");
    CLF_OPS_REFUSES(clf_grid_positions(negative, 1, 1, 24, positions, &err), CLF_INVALID_ARGUMENT,
                    "grid_positions: grids[0] is [1, -4, 6]; want sizes from 0 below 2^31");
    CLF_OPS_REFUSES(clf_grid_positions(large, 1, 1, 24, positions, &err), CLF_INVALID_ARGUMENT,
                    "grid_positions: grids[0] is [2147483647, 2147483647, 2147483647]; want sizes from 0 below 2^31");
    CLF_OPS_REFUSES(clf_grid_positions(grids, 2, 0, 36, positions, &err), CLF_INVALID_ARGUMENT,
                    "grid_positions: G, merge and N are 2, 0 and 36; want at least 0, 1 and 0");
    CLF_OPS_REFUSES(clf_llama4_positions(0, positions, &err), CLF_INVALID_ARGUMENT,
                    "llama4_positions: side is 0; want 1 to 32768");
}

static void the_fixed_table_is_the_one_of_the_resamplers(void **state)
{
    float got[3 * 5 * 12], want[3 * 5 * 12];

    (void)state;
    clf_sincos_grid(3, 5, 12, want);
    CLF_OPS_ACCEPTS(clf_sincos_table(3, 5, 12, got, &err));
    assert_memory_equal(got, want, sizeof got);
    CLF_OPS_ACCEPTS(clf_sincos_table(0, 5, 12, NULL, &err));
    CLF_OPS_REFUSES(clf_sincos_table(3, 5, 10, got, &err), CLF_INVALID_ARGUMENT,
                    "sincos_table: the table is [3, 5, 10]; want sizes from 0 and C a multiple of 4");
    CLF_OPS_REFUSES(clf_sincos_table(INT64_MAX / 2, INT64_MAX / 2, 4, got, &err), CLF_INVALID_ARGUMENT,
                    "sincos_table: the table is [4611686018427387903, 4611686018427387903, 4]; want it to fit into "
                    "memory");
}

/* ---- learned tables ---- */

/* torch computes weights and sums in f32: 16 products of weights below 1.3. */
static void one_table(clf_test *t, const char *folder)
{
    const position_array table = position_data(t, folder, "in_table", true);
    const position_array options = position_data(t, folder, "in_options", true);
    const position_array want = position_data(t, folder, "out_table", true);
    clf_table_resize_options o = clf_table_resize_options_default();
    float *given = clf_test_memory(t, (size_t)table.count * sizeof *given);
    float *got = clf_test_memory(t, (size_t)want.count * sizeof *got);
    double largest = 0;
    clf_error err = { 0 };

    for (int64_t i = 0; i < table.count; i++) {
        given[i] = (float)table.value[i];
        largest = fmax(largest, fabs(table.value[i]));
    }
    o.filter = (clf_table_filter)options.value[0];
    o.align_corners = options.value[1] != 0;
    o.antialias = options.value[2] != 0;
    o.merge = (int64_t)options.value[3];
    assert_int_equal(
        clf_table_resize(given, table.dim[0], table.dim[1], table.dim[2], &o, want.dim[0], want.dim[1], got, &err),
        CLF_OK);
    for (int64_t i = 0; i < want.count; i++)
        if (fabs((double)got[i] - want.value[i]) > 2e-6 * largest)
            fail_msg("%s: element %d: %.9g, want %.9g", folder, (int)i, (double)got[i], want.value[i]);
}

static void learned_tables_are_resized_as_their_families_do(void **state)
{
    static const char *const folders[] = { "tables_qwen3_vl", "tables_qwen3_vl_one", "tables_paddleocr",
                                           "tables_kimi",     "tables_siglip",       "tables_corners",
                                           "tables_siglip2",  "tables_glm4v",        "tables_bicubic_antialias" };

    for (size_t i = 0; i < CLF_COUNT(folders); i++)
        one_table(*state, folders[i]);
}

static void a_table_of_the_same_size_stays(void **state)
{
    clf_test *t = *state;
    enum { COUNT = 3 * 4 * 200 };
    float given[COUNT], got[COUNT];

    for (int i = 0; i < COUNT; i++)
        given[i] = (float)clf_test_random(t) - 0.5F;
    for (int k = 0; k < 6; k++) {
        clf_table_resize_options o = clf_table_resize_options_default();

        o.filter = k % 2 == 0 ? CLF_TABLE_BILINEAR : CLF_TABLE_BICUBIC;
        o.align_corners = k / 2 == 1;
        o.antialias = k / 2 == 2;
        CLF_OPS_ACCEPTS(clf_table_resize(given, 3, 4, 200, &o, 3, 4, got, &err));
        assert_memory_equal(got, given, sizeof got);
    }
}

static void a_table_that_cannot_be_resized_is_named(void **state)
{
    clf_table_resize_options o = clf_table_resize_options_default();
    const float table[4] = { 0 };
    float result[4];

    (void)state;
    CLF_OPS_REFUSES(clf_table_resize(table, 2, 2, 0, NULL, 1, 1, result, &err), CLF_INVALID_ARGUMENT,
                    "table_resize: table is [2, 2, 0]; want sizes of at least 1 that fit into memory");
    CLF_OPS_REFUSES(clf_table_resize(table, 2, 2, 1, NULL, 1, 0, result, &err), CLF_INVALID_ARGUMENT,
                    "table_resize: result is [1, 0, 1]; want sizes of at least 1 that fit into memory");
    CLF_OPS_REFUSES(
        clf_table_resize(table, 2, 2, 1, NULL, INT64_MAX, 8, result, &err), CLF_INVALID_ARGUMENT,
        "table_resize: result is [9223372036854775807, 8, 1]; want sizes of at least 1 that fit into memory");
    o.merge = 2;
    CLF_OPS_REFUSES(clf_table_resize(table, 2, 2, 1, &o, 4, 3, result, &err), CLF_INVALID_ARGUMENT,
                    "table_resize: merge is 2; want a divisor of both sides of the result, 4 and 3");
    o.antialias = o.align_corners = true;
    CLF_OPS_REFUSES(clf_table_resize(table, 2, 2, 1, &o, 2, 2, result, &err), CLF_UNSUPPORTED,
                    "table_resize: antialias is set with align_corners; want one of them");
    o.filter = (clf_table_filter)4;
    CLF_OPS_REFUSES(clf_table_resize(table, 2, 2, 1, &o, 2, 2, result, &err), CLF_INVALID_ARGUMENT,
                    "table_resize: filter is 4; want CLF_TABLE_BILINEAR or CLF_TABLE_BICUBIC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(angles_and_rotated_values_are_those_of_every_class),
        CLF_TEST(axes_are_those_of_the_released_models),
        CLF_TEST(columns_name_widths_and_sections),
        CLF_TEST(ids_of_patches_are_transformers),
        CLF_TEST(grids_that_do_not_fit_are_named),
        CLF_TEST(the_fixed_table_is_the_one_of_the_resamplers),
        CLF_TEST(learned_tables_are_resized_as_their_families_do),
        CLF_TEST(a_table_of_the_same_size_stays),
        CLF_TEST(a_table_that_cannot_be_resized_is_named),
    };

    return CLF_TEST_MAIN(tests);
}
