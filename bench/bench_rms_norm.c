/* rms_norm: bytes bind: watch GB/s against the copy rate of the device.  x, weight [C]; option: clf_rms_gain. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static const double eps = 1e-6;

static void run(const clf_bench_work *w)
{
    clf_rms_norm(w->stream, w->in[0], w->in[1], (clf_rms_gain)w->bench_case->option, (float)eps, w->y);
}

/* Relative: a sum of C positive terms in any order, C u, which the root halves, and 17 u for the rest by the OpenCL C
 * ulp table. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);
    double square = 0.0;

    for (int64_t c = 0; c < C; c++)
        square += pow(clf_bench_value(w, 0, row * C + c), 2.0) / (double)C;
    for (size_t i = 0; i < count; i++) {
        const double gain = clf_bench_value(w, 1, column[i]) + (w->bench_case->option == CLF_RMS_ONE_PLUS ? 1.0 : 0.0);
        want[i] = clf_bench_value(w, 0, row * C + column[i]) / sqrt(square + (double)(float)eps) * gain;
        bound[i] = ((double)C / 2 + 17) * 0x1p-24 * fabs(want[i]);
    }
}

static const clf_bench_case cases[] = {
    { "rms_norm.latents", "f16[1,64,4096] f16[4096] -> f16[1,64,4096]", "Idefics2 perceiver, M = 64", CLF_RMS_WEIGHT },
    { "rms_norm.context", "f16[1,4900,4096] f16[4096] -> f16[1,4900,4096]", "Idefics2 at 980 px: N = 70 * 70",
      CLF_RMS_WEIGHT },
    { "rms_norm.keys", "f16[6404,8,128] f16[128] -> f16[6404,8,128]",
      "Mllama k norm: 4 tiles of 1601 tokens, 8 key heads", CLF_RMS_WEIGHT },
};

const clf_bench clf_bench_rms_norm = {
    .name = "rms_norm",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .known = { "rms_norm.known", "f32[1,2] f32[2] -> f32[1,2]", "3 and 4 over the root of 12.5 + 1e-6",
               CLF_RMS_WEIGHT },
    .known_in = { 3.0, 4.0, 1.0, 1.0 },
    .known_out = { 0.8485281035, 1.1313708046 },
    .small = { "rms_norm.small", "f32[2,3,37] f32[37] -> f32[2,3,37]", "no vector fits", CLF_RMS_ONE_PLUS },
};
