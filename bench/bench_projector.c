/* projector: the connectors that are one or two Linears.  vision [B, N, Dv], then weight and bias of each layer;
 * option: PLAIN, or NORMED, where weight and bias of a layer norm stand before the layers.  GELU between the layers. */
#include <math.h>

#include "bench.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"

enum { PLAIN = 0, NORMED = 1 };

static const double norm_eps = 1e-5;

static size_t first_layer(const clf_bench_work *w)
{
    return w->bench_case->option == NORMED ? 3 : 1;
}

static clf_status prepare(clf_bench_work *w, clf_error *err)
{
    clf_projector_desc desc = clf_projector_desc_default();
    clf_projector *projector = NULL;

    if (w->bench_case->option == NORMED) {
        desc.norm_weight = w->host[1];
        desc.norm_bias = w->host[2];
        desc.norm_eps = (float)norm_eps;
    }
    for (size_t i = first_layer(w); i + 1 < w->operand_count; i += 2)
        desc.layers[desc.layer_count++] = (clf_linear_layer){ .weight = w->host[i], .bias = w->host[i + 1] };
    CLF_TRY(clf_projector_create(clf_stream_context(w->stream), &desc, &projector, err));
    w->module = projector;
    return CLF_OK;
}

static void release(clf_bench_work *w)
{
    clf_projector_destroy(w->module);
}

static void run(const clf_bench_work *w)
{
    clf_projector_forward(w->stream, w->module, w->in[0], w->y);
}

/* A row on its way through the layers, and how far each element of it may stray. */
typedef struct row {
    int64_t width;
    double *value;
    double *stray;
} row;

/* The layer norm of the row, by clf_layer_norm's bound for sums in any order: C u of the mean and C/2 u of the root. */
static void normalise(const clf_bench_work *w, row *x)
{
    const double C = (double)x->width;
    double mean = 0.0, size = 0.0, square = 0.0;

    for (int64_t k = 0; k < x->width; k++) {
        mean += x->value[k] / C;
        size += fabs(x->value[k]) / C;
    }
    for (int64_t k = 0; k < x->width; k++)
        square += (x->value[k] - mean) * (x->value[k] - mean) / C;
    const double root = sqrt(square + norm_eps);
    for (int64_t k = 0; k < x->width; k++) {
        const double gain = clf_bench_value(w, 1, k), plain = (x->value[k] - mean) / root * gain;
        x->value[k] = plain + clf_bench_value(w, 2, k);
        x->stray[k] = 0x1p-24 * (C * size / root * fabs(gain) + (C / 2 + 20) * fabs(plain) + fabs(x->value[k]));
    }
}

/* One element of layer operand + 1: the stray of the row before goes through |W|, and a chain of `in` adds its own. */
static double element(const clf_bench_work *w, size_t operand, const row *x, int64_t column, double *stray)
{
    double sum = clf_bench_value(w, operand + 1, column), size = fabs(sum), carried = 0.0;

    for (int64_t k = 0; k < x->width; k++) {
        const double weight = clf_bench_value(w, operand, column * x->width + k);
        sum += x->value[k] * weight;
        size += fabs(x->value[k] * weight);
        carried += x->stray[k] * fabs(weight);
    }
    *stray = carried + (double)(x->width + 3) * 0x1p-24 * size;
    return sum;
}

/* All elements of a layer and the GELU behind it, into y. */
static void whole_layer(const clf_bench_work *w, size_t operand, const row *x, row *y)
{
    y->width = clf_bench_rows(w->host[operand]);
    for (int64_t n = 0; n < y->width; n++) {
        double stray = 0.0, own = 0.0;
        y->value[n] = clf_bench_activation(CLF_GELU, element(w, operand, x, n, &stray), &own);
        y->stray[n] = 1.13 * stray + own; /* the steepest slope of GELU */
    }
}

static bool make_row(row *x, int64_t widest)
{
    x->value = clf_alloc((size_t)widest, sizeof *x->value);
    x->stray = clf_alloc((size_t)widest, sizeof *x->stray);
    return x->value != NULL && x->stray != NULL;
}

static void free_row(row *x)
{
    clf_free(x->value);
    clf_free(x->stray);
}

static int64_t widest_of(const clf_bench_work *w)
{
    int64_t widest = clf_bench_width(w->host[0]);

    for (size_t i = first_layer(w); i < w->operand_count; i += 2)
        widest = CLF_MAX(widest, clf_bench_rows(w->host[i]));
    return widest;
}

static void reference(const clf_bench_work *w, int64_t r, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const size_t last = w->operand_count - 2;
    row x = { .width = clf_bench_width(w->host[0]) }, y = { .width = 0 };
    const bool made_x = make_row(&x, widest_of(w)), made_y = make_row(&y, widest_of(w));

    for (size_t i = 0; i < count; i++) {
        want[i] = NAN; /* without memory nothing passes */
        bound[i] = 0.0;
    }
    if (made_x && made_y) {
        clf_bench_row(w, 0, r, x.width, x.value);
        if (w->bench_case->option == NORMED)
            normalise(w, &x);
        for (size_t layer = first_layer(w); layer < last; layer += 2) {
            whole_layer(w, layer, &x, &y);
            const row swap = x;
            x = y;
            y = swap;
        }
        for (size_t i = 0; i < count; i++)
            want[i] = element(w, last, &x, column[i], &bound[i]);
    }
    free_row(&x);
    free_row(&y);
}

static double flop(const clf_bench_work *w)
{
    double sum = 0.0;

    for (size_t i = first_layer(w); i < w->operand_count; i += 2)
        sum += 2.0 * (double)clf_bench_rows(w->host[0]) *
               (double)(clf_bench_rows(w->host[i]) * clf_bench_width(w->host[i]));
    return sum;
}

static const clf_bench_case cases[] = {
    { "projector.llava_1_0", "f32[1,576,1024] f32[4096,1024] f32[4096] -> f32[1,576,4096]", "LLaVA 1.0: one Linear",
      PLAIN },
    { "projector.llava_1_5_7b", "f32[1,576,1024] f32[4096,1024] f32[4096] f32[4096,4096] f32[4096] -> f32[1,576,4096]",
      "LLaVA-1.5-7B", PLAIN },
    { "projector.llava_1_5_13b", "f32[1,576,1024] f32[5120,1024] f32[5120] f32[5120,5120] f32[5120] -> f32[1,576,5120]",
      "LLaVA-1.5-13B", PLAIN },
    { "projector.vipllava",
      "f32[1,576,5120] f32[5120] f32[5120] f32[4096,5120] f32[4096] f32[4096,4096] f32[4096] -> f32[1,576,4096]",
      "ViP-LLaVA-7B: five layers of the tower, normed", NORMED },
    { "projector.paligemma", "f32[1,256,1152] f32[2048,1152] f32[2048] -> f32[1,256,2048]", "PaliGemma-3B at 224 px",
      PLAIN },
    { "projector.fuyu", "f32[1,900,2700] f32[4096,2700] f32[4096] -> f32[1,900,4096]",
      "Fuyu-8B: 900 patches of 30 by 30", PLAIN },
};

const clf_bench clf_bench_projector = {
    .name = "projector",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .prepare = prepare,
    .run = run,
    .release = release,
    .reference = reference,
    .flop = flop,
    /* gelu(1) = 0.8413447460685429, gelu(-1) = -0.1586552539314571, from the normal distribution */
    .known = { "projector.known", "f32[1,1,2] f32[2,2] f32[2] f32[2,2] f32[2] -> f32[1,1,2]", "by hand", PLAIN },
    .known_in = { 1.0, 2.0, 1.0, 0.0, 0.0, -1.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 0.0, 0.5 },
    .known_out = { 0.6826894921370859, 2.0240342382056286 },
    .small = { "projector.small", "f32[2,3,21] f32[21] f32[21] f32[35,21] f32[35] f32[37,35] f32[37] -> f32[2,3,37]",
               "no tile fits", NORMED },
};
