/* The number of the driver's threads does not show in the bits of products and norms. */
#include "thread_bits.h"

#define ROWS 70
#define IN 130
#define OUT 65

/* y = GELU(norm(x) Wᵀ) [ROWS, OUT], then layer_norm(x) [ROWS, IN], from fixed numbers. */
static void product_and_norm(clf_test *t, float *result)
{
    static float x[ROWS * IN], weight[OUT * IN];
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_options o = clf_linear_options_default();
    clf_linear_weight *w = NULL;
    clf_tensor xs, ys, ns;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };

    for (size_t i = 0; i < CLF_COUNT(x); i++)
        x[i] = (float)((i * 7919) % 1009) / 1009.0F - 0.4F;
    for (size_t i = 0; i < CLF_COUNT(weight); i++)
        weight[i] = (float)((i * 104729) % 2003) / 2003.0F - 0.5F;
    d.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { OUT, IN } };
    o.prologue = CLF_PROLOGUE_RMS_NORM;
    o.activation = CLF_GELU;
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, NULL), CLF_OK);
    xs = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, IN));
    ys = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, OUT));
    ns = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, IN));
    clf_upload(t->stream, x, xs);
    clf_linear(t->stream, xs, w, &o, ys);
    clf_layer_norm(t->stream, xs, none, none, 1e-5F, ns);
    clf_download(t->stream, ys, result);
    clf_download(t->stream, ns, result + ROWS * OUT);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_linear_weight_destroy(w);
}

int main(int argc, char **argv)
{
    static const clf_thread_case cases[] = { { "product and norm", product_and_norm, ROWS * (OUT + IN) } };

    return clf_thread_bits_main(argc, argv, cases, CLF_COUNT(cases));
}
