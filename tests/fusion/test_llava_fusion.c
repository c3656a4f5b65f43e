/* llava_fusion: the projector's tokens and the rows of the table, each in its place. */
#include "harness.h"

enum { V = 11, DV = 6, DT = 8 };

/* One Linear of whole numbers and a table of whole numbers, in the type `dtype`. */
static clf_llava_fusion_desc describe(clf_test *t, clf_dtype dtype, clf_dtype storage)
{
    clf_llava_fusion_desc d = clf_llava_fusion_desc_default();
    clf_projector_desc *projector = clf_test_memory(t, sizeof *projector);
    float *weight = clf_test_memory(t, DT * DV * sizeof *weight), *table = clf_test_memory(t, V * DT * sizeof *table);
    uint16_t *half = clf_test_memory(t, V * DT * sizeof *half);

    for (int i = 0; i < DT * DV; i++)
        weight[i] = (float)((int)(clf_test_random(t) * 5) - 2);
    for (int i = 0; i < V * DT; i++) {
        table[i] = (float)(i + 1); /* every row is another one */
        half[i] = dtype == CLF_F16 ? clf_f32_to_f16(table[i]) : clf_f32_to_bf16(table[i]);
    }
    *projector = clf_projector_desc_default();
    projector->storage = storage;
    projector->layer_count = 1;
    projector->layers[0].weight = (clf_host_tensor){ weight, CLF_F32, 2, { DT, DV } };
    d.projector = projector;
    d.text_embed = (clf_host_tensor){ dtype == CLF_F32 ? (void *)table : (void *)half, dtype, 2, { V, DT } };
    return d;
}

static clf_llava_fusion *create(clf_test *t, const clf_llava_fusion_desc *d)
{
    clf_llava_fusion *m = NULL;
    clf_error err = { 0 };

    if (clf_llava_fusion_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

static const double *rows_of_table(clf_test *t, const int64_t *ids, size_t count)
{
    double *want = clf_test_memory(t, count * DT * sizeof *want);

    for (size_t i = 0; i < count * DT; i++)
        want[i] = (double)ids[i / DT] * DT + (double)(i % DT) + 1;
    return want;
}

static void tokens_stand_first_and_text_after_them(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 }; /* 88 is exact in all of them */
    static const clf_dtype storages[] = { CLF_DTYPE_NONE, CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t ids[] = { 0, 10, 3, 3, 7, 1, 9, 2 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(types) * CLF_COUNT(storages); i++) {
        clf_llava_fusion_desc d = describe(t, types[i % CLF_COUNT(types)], storages[i / CLF_COUNT(types)]);
        clf_llava_fusion *m = create(t, &d);
        const clf_tensor vision = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 5, DV), 3);
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));
        const clf_tensor fused = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 9, DT));

        clf_projector_forward(t->stream, clf_llava_fusion_projector(m), vision, tokens);
        clf_llava_fusion_forward(t->stream, m, vision, ids, 4, fused);
        clf_test_same_bits(t, clf_slice(t->stream, fused, 1, 0, 5), tokens);
        clf_test_exact(t, clf_slice(t->stream, fused, 1, 5, 4), rows_of_table(t, ids, 8));
        clf_llava_fusion_destroy(m);
    }
}

static void an_id_outside_the_vocabulary_is_named_with_its_place(void **state)
{
    static const int64_t high[] = { 0, 1, 2, 3, 11, 5 }, low[] = { 0, 1, -1, 3, 4, 5 };
    clf_test *t = *state;
    clf_llava_fusion_desc d = describe(t, CLF_F32, CLF_DTYPE_NONE);
    clf_llava_fusion *m = create(t, &d);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));

    clf_llava_fusion_embed(t->stream, m, high, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "llava_fusion: text_ids[1, 1] is 11; want 0 to 10, the vocabulary");
    clf_llava_fusion_embed(t->stream, m, low, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "llava_fusion: text_ids[0, 2] is -1; want 0 to 10, the vocabulary");
    clf_llava_fusion_destroy(m);
}

static void no_text_and_no_tokens_are_a_success(void **state)
{
    static const int64_t ids[] = { 4, 2 };
    clf_test *t = *state;
    clf_llava_fusion_desc d = describe(t, CLF_F16, CLF_DTYPE_NONE);
    clf_llava_fusion *m = create(t, &d);
    const clf_tensor vision = clf_test_integers(t, CLF_F32, CLF_DIMS(1, 3, DV), 3);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, DT)),
                     fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, DT));
    const clf_tensor text = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, DT));

    clf_projector_forward(t->stream, clf_llava_fusion_projector(m), vision, tokens);
    clf_llava_fusion_forward(t->stream, m, vision, NULL, 0, fused);
    clf_test_same_bits(t, fused, tokens);
    clf_llava_fusion_forward(t->stream, m, clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, DV)), ids, 2, text);
    clf_test_exact(t, text, rows_of_table(t, ids, 2));
    clf_llava_fusion_destroy(m);
}

static void descriptions_and_shapes_that_do_not_fit_are_refused(void **state)
{
    static const int64_t ids[] = { 1, 2 };
    clf_test *t = *state;
    clf_llava_fusion_desc d = describe(t, CLF_F32, CLF_DTYPE_NONE);
    clf_llava_fusion *m = create(t, &d), *none = NULL;
    clf_error err = { 0 };
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, DV)),
                     fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, DT));

    clf_llava_fusion_forward(t->stream, m, vision, ids, 2, fused);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "llava_fusion: fused is f32[1, 4, 8]; want f32[1, 3 + 2, 8]");
    d.text_embed.dim[1] = DT - 1;
    assert_int_equal(clf_llava_fusion_create(t->ctx, &d, &none, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "llava_fusion: text_embed is f32[11, 7]; want 8 columns, the width of the projector");
    assert_null(none);
    d.text_embed.dtype = CLF_DTYPE_NONE;
    assert_int_equal(clf_llava_fusion_create(t->ctx, &d, &none, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava_fusion: text_embed is none; want [V, Dt], V of 1 to 2^31 - 1");
    d.projector = NULL;
    assert_int_equal(clf_llava_fusion_create(t->ctx, &d, &none, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava_fusion: projector is NULL; want a description");
    clf_llava_fusion_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(tokens_stand_first_and_text_after_them),
        CLF_TEST(an_id_outside_the_vocabulary_is_named_with_its_place),
        CLF_TEST(no_text_and_no_tokens_are_a_success),
        CLF_TEST(descriptions_and_shapes_that_do_not_fit_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
