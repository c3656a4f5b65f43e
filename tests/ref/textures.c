/* textures in double, by the formula: the whole picture is resized and filtered, then reduced. */
#include <math.h>
#include <stdlib.h>

#include "ref/ref.h"

typedef struct plane {
    int64_t height, width;
    double *v;
} plane;

static plane plane_new(clf_test *t, int64_t height, int64_t width)
{
    return (plane){ height, width, clf_test_memory(t, (size_t)(height * width) * sizeof(double)) };
}

/* Bilinear, align_corners false. */
static plane resized(clf_test *t, plane x, int64_t height, int64_t width)
{
    plane y = plane_new(t, height, width);

    for (int64_t i = 0; i < height * width; i++) {
        const double row = ((double)(i / width) + 0.5) * (double)x.height / (double)height - 0.5;
        const double column = ((double)(i % width) + 0.5) * (double)x.width / (double)width - 0.5;
        const int64_t top = (int64_t)fmax(row, 0), left = (int64_t)fmax(column, 0);
        const int64_t bottom = CLF_MIN(top + 1, x.height - 1), right = CLF_MIN(left + 1, x.width - 1);
        const double down = fmax(row, 0) - (double)top, across = fmax(column, 0) - (double)left;
        const double *a = x.v + top * x.width, *b = x.v + bottom * x.width;

        y.v[i] = (1 - down) * ((1 - across) * a[left] + across * a[right]) +
                 down * ((1 - across) * b[left] + across * b[right]);
    }
    return y;
}

static double linear(double v)
{
    return v > 0.04045 ? pow((v + 0.055) / 1.055, 2.4) : v / 12.92;
}

static double root(double v)
{
    return v > 0.008856 ? cbrt(v) : 7.787 * v + 4.0 / 29.0;
}

/* Lightness over 100, and a* from 0 to 1. */
static void make_lab(const plane *rgb, plane lightness, plane a)
{
    for (int64_t i = 0; i < a.height * a.width; i++) {
        const double r = linear(rgb[0].v[i]), g = linear(rgb[1].v[i]), b = linear(rgb[2].v[i]);
        const double fx = root((0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047);
        const double fy = root(0.212671 * r + 0.715160 * g + 0.072169 * b);

        lightness.v[i] = (116 * fy - 16) / 100;
        a.v[i] = (500 * (fx - fy) + 128) / 255;
    }
}

static double at(plane x, int64_t row, int64_t column)
{
    row = CLF_MIN(CLF_MAX(row, 0), x.height - 1);
    column = CLF_MIN(CLF_MAX(column, 0), x.width - 1);
    return x.v[row * x.width + column];
}

static void make_edges(plane grey, plane *edges)
{
    for (int64_t i = 0; i < grey.height * grey.width; i++) {
        const int64_t r = i / grey.width, c = i % grey.width;
        double gx = 0, gy = 0;

        for (int k = -1; k <= 1; k++) {
            gx += (2 - abs(k)) * (at(grey, r + k, c + 1) - at(grey, r + k, c - 1)) / 8;
            gy += (2 - abs(k)) * (at(grey, r + 1, c + k) - at(grey, r - 1, c + k)) / 8;
        }
        edges[0].v[i] = gx;
        edges[1].v[i] = gy;
        edges[2].v[i] = sqrt(gx * gx + gy * gy + 1e-8);
    }
}

/* Channels 0 to 7 at 16 g x 16 g. */
static void make_channels(clf_test *t, const double *x, int64_t H, int64_t W, int64_t g, plane *channel)
{
    plane grey = plane_new(t, 16 * g, 16 * g);

    for (int c = 0; c < 3; c++) {
        plane colour = plane_new(t, H, W);

        for (int64_t i = 0; i < H * W; i++)
            colour.v[i] = x[c * H * W + i];
        channel[c] = resized(t, colour, 16 * g, 16 * g);
    }
    for (int c = 3; c < 8; c++)
        channel[c] = plane_new(t, 16 * g, 16 * g);
    make_lab(channel, channel[3], channel[4]);
    for (int64_t i = 0; i < 256 * g * g; i++)
        grey.v[i] = 0.299 * channel[0].v[i] + 0.587 * channel[1].v[i] + 0.114 * channel[2].v[i];
    make_edges(grey, channel + 5);
}

clf_expected clf_ref_textures(clf_test *t, clf_tensor x, clf_tensor y)
{
    const int64_t B = x.dim[0], H = x.dim[2], W = x.dim[3], g = y.dim[2], N = g * g;
    const double *given = clf_test_given(t, x);
    clf_expected e = clf_expected_new(t, y);

    for (int64_t b = 0; b < B; b++) {
        double *out = e.value + b * 13 * N;
        plane channel[8];

        make_channels(t, given + b * 3 * H * W, H, W, g, channel);
        for (int c = 0; c < 13; c++)
            for (int64_t n = 0; n < N; n++) {
                const double row = g > 1 ? (double)(n / g) / (double)(g - 1) : 0;
                const double column = g > 1 ? (double)(n % g) / (double)(g - 1) : 0;
                const int from = c == 11 ? 7 : c == 12 ? 3 : c;

                if (from < 8 && n == 0)
                    channel[from] = channel[from].height == 16 * g ? resized(t, channel[from], g, g) : channel[from];
                out[c * N + n] = from < 8    ? channel[from].v[n]
                                 : from == 8 ? row
                                 : from == 9 ? column
                                             : sqrt(2 * (pow(row - 0.5, 2) + pow(column - 0.5, 2)));
                e.bound[(b * 13 + c) * N + n] = c == 4 ? 1e-5 : 2e-6;
            }
    }
    return e;
}
