/* resize: the definition in the header, in double; for u8 with Pillow's 22-bit weights and 8 bits between the passes. */
#include <math.h>

#include "ref/ref.h"

#define PI 3.14159265358979323846

static double weight(const clf_resize_options *o, double t)
{
    const double a = -0.5, d = fabs(t);

    if (o->filter == CLF_RESAMPLE_BILINEAR)
        return fmax(0.0, 1.0 - d);
    if (o->filter == CLF_RESAMPLE_BICUBIC)
        return d < 1.0   ? (a + 2.0) * d * d * d - (a + 3.0) * d * d + 1.0
               : d < 2.0 ? a * d * d * d - 5.0 * a * d * d + 8.0 * a * d - 4.0 * a
                         : 0.0;
    return d == 0.0 ? 1.0 : d < 3.0 ? sin(PI * d) / (PI * d) * sin(PI * d / 3.0) / (PI * d / 3.0) : 0.0;
}

static double support(const clf_resize_options *o)
{
    return o->filter == CLF_RESAMPLE_BILINEAR ? 1.0 : o->filter == CLF_RESAMPLE_BICUBIC ? 2.0 : 3.0;
}

/* One new value from `in` old ones, `step` apart.  *size: sum of |weight value|. */
static double resampled(const clf_resize_options *o, const double *x, int64_t step, int64_t in, int64_t out, int64_t i,
                        bool fixed, double *size)
{
    const double scale = (double)in / (double)out, wide = o->antialias && scale > 1.0 ? scale : 1.0;
    const double middle = ((double)i + 0.5) * scale, reach = support(o) * wide;
    double sum = 0.0, total = 0.0;

    *size = 0.0;
    if (i < 0 || i >= out)
        return 0.0;
    for (int64_t j = 0; j < in; j++)
        if (j >= (int64_t)floor(middle - reach + 0.5) && j < (int64_t)floor(middle + reach + 0.5))
            total += weight(o, ((double)j + 0.5 - middle) / wide);
    for (int64_t j = 0; j < in; j++) {
        if (j < (int64_t)floor(middle - reach + 0.5) || j >= (int64_t)floor(middle + reach + 0.5))
            continue;
        const double w = weight(o, ((double)j + 0.5 - middle) / wide) / total;

        if (w != 0.0) { /* a NaN beside stays there */
            sum += (fixed ? round(w * 0x1p22) : w) * x[j * step];
            *size += fabs(w * x[j * step]);
        }
    }
    return fixed ? fmin(fmax(floor((sum + 0x1p21) * 0x1p-22), 0.0), 255.0) : sum;
}

clf_expected clf_ref_resize(clf_test *t, clf_tensor x, const clf_resize_options *o, clf_tensor y)
{
    const clf_expected e = clf_expected_new(t, y);
    const double *given = clf_test_given(t, x);
    const bool fixed = x.dtype == CLF_U8;
    const int at = y.rank - 3 + (o->channels_first ? 1 : 0);
    const int64_t B = x.rank == 4 ? x.dim[0] : 1, H = clf_dim(x, -3), W = clf_dim(x, -2), C = clf_dim(x, -1);
    const int64_t h = y.dim[at], w = y.dim[at + 1], out_h = o->height > 0 ? o->height : h;
    const int64_t out_w = o->width > 0 ? o->width : w, terms = H + W + 4;
    double *row = clf_test_memory(t, (size_t)H * sizeof *row), *size = clf_test_memory(t, (size_t)H * sizeof *size);

    for (int64_t i = 0; i < B * C * w; i++) {
        const int64_t b = i / (C * w), c = i / w % C, col = i % w;

        for (int64_t r = 0; r < H; r++)
            row[r] = resampled(o, given + (b * H + r) * W * C + c, C, W, out_w, o->left + col, fixed, &size[r]);
        for (int64_t r = 0; r < h; r++) {
            const int64_t k = o->channels_first ? ((b * C + c) * h + r) * w + col : ((b * h + r) * w + col) * C + c;
            double most = 0.0, unused;
            const double v = resampled(o, row, 1, H, out_h, o->top + r, fixed, &unused);
            const double std = o->std != NULL ? o->std[c] : 1.0, mean = o->mean != NULL ? o->mean[c] : 0.0;

            (void)resampled(o, size, 1, H, out_h, o->top + r, false, &most);
            e.value[k] = (v * o->rescale - mean) / std;
            /* weights and products are rounded once in each pass, sums up to their length; the last line's three */
            e.bound[k] = fixed ? 0.0 : (double)terms * 2 * CLF_U * most * o->rescale / std;
            e.bound[k] += o->rescale != 1.0 || mean != 0.0 || std != 1.0
                              ? 4 * CLF_U * (fabs(v * o->rescale) + fabs(mean)) / std
                              : 0.0;
        }
    }
    return e;
}
