/* resize: feature maps to another grid, pictures to a tower's size.  Bytes bind: x and y once.  option: the filter. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static clf_resize_options options_of(const clf_bench_work *w)
{
    clf_resize_options o = clf_resize_options_default();

    o.filter = (clf_resample)w->bench_case->option;
    return o;
}

static void run(const clf_bench_work *w)
{
    const clf_resize_options o = options_of(w);

    clf_resize(w->stream, w->in[0], &o, w->y);
}

static double weight(clf_resample filter, double t)
{
    const double d = fabs(t);

    if (filter == CLF_RESAMPLE_BILINEAR)
        return fmax(0.0, 1.0 - d);
    if (d < 1.0)
        return 1.5 * d * d * d - 2.5 * d * d + 1.0;
    return d < 2.0 ? -0.5 * d * d * d + 2.5 * d * d - 4.0 * d + 2.0 : 0.0;
}

/* Weights of new index i, not yet divided by their sum, which is returned. */
static double weights_of(clf_resample filter, int64_t in, int64_t out, int64_t i, int64_t *begin, int64_t *end)
{
    const double scale = (double)in / (double)out, wide = fmax(scale, 1.0), middle = ((double)i + 0.5) * scale;
    const double reach = (filter == CLF_RESAMPLE_BILINEAR ? 1.0 : 2.0) * wide;
    double total = 0.0;

    *begin = (int64_t)fmax(0.0, floor(middle - reach + 0.5));
    *end = (int64_t)fmin((double)in, floor(middle + reach + 0.5));
    for (int64_t j = *begin; j < *end; j++)
        total += weight(filter, ((double)j + 0.5 - middle) / wide);
    return total;
}

static double entry(clf_resample filter, int64_t in, int64_t out, int64_t i, int64_t j)
{
    const double scale = (double)in / (double)out;

    return weight(filter, ((double)j + 0.5 - ((double)i + 0.5) * scale) / fmax(scale, 1.0));
}

static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const clf_resample filter = (clf_resample)w->bench_case->option;
    const int64_t *x = w->host[0].dim, h = w->y.dim[1], cols = w->y.dim[2], H = x[1], W = x[2], C = x[3];
    int64_t top, bottom, left, right;
    const double down = weights_of(filter, H, h, row / cols % h, &top, &bottom);
    const double across = weights_of(filter, W, cols, row % cols, &left, &right);

    for (size_t i = 0; i < count; i++) {
        double sum = 0.0, size = 0.0;

        for (int64_t r = top; r < bottom; r++)
            for (int64_t c = left; c < right; c++) {
                const double v = clf_bench_value(w, 0, ((row / cols / h * H + r) * W + c) * C + column[i]);
                const double term = v * entry(filter, H, h, row / cols % h, r) / down *
                                    entry(filter, W, cols, row % cols, c) / across;

                sum += term;
                size += fabs(term);
            }
        want[i] = sum;
        bound[i] = (double)(bottom - top + right - left + 4) * 0x1p-23 * size;
    }
}

static const clf_bench_case cases[] = {
    { "resize.pool", "f32[8,48,48,1024] -> f32[8,24,24,1024]", "visual tokens to a quarter, antialiased",
      CLF_RESAMPLE_BILINEAR },
    { "resize.grid", "f32[8,48,48,1024] -> f32[8,40,40,1024]", "visual tokens to another grid", CLF_RESAMPLE_BILINEAR },
    { "resize.grow", "f32[8,24,24,1024] -> f32[8,48,48,1024]", "positions to a larger picture", CLF_RESAMPLE_BILINEAR },
    { "resize.picture", "f32[1,1024,1024,3] -> f32[1,224,224,3]", "a picture to a tower's size",
      CLF_RESAMPLE_BICUBIC },
    { "resize.map", "f32[1,64,64,1] -> f32[1,1024,1024,1]", "a map over a picture", CLF_RESAMPLE_BILINEAR },
};

const clf_bench clf_bench_resize = {
    .name = "resize",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "resize.known", "f32[1,1,2,1] -> f32[1,1,4,1]", "by hand", CLF_RESAMPLE_BILINEAR },
    .known_in = { 0.0, 4.0 },
    .known_out = { 0.0, 1.0, 3.0, 4.0 },
    .small = { "resize.small", "f32[2,5,7,3] -> f32[2,3,9,3]", "no vector fits", CLF_RESAMPLE_BICUBIC },
};
