/* What host and kernels agree on.  Compiles on both sides. */
#ifndef CLF_SHARED_H
#define CLF_SHARED_H

/* Work-group sizes of the _tile kernels: 64 is the smallest limit that we test with. */
#define CLF_NORM_WG 64

/* panel: columns that a work-item of the packing kernels takes; panels of w side by side when there is one row. */
#define CLF_PANEL_COLUMNS 256
#define CLF_PANEL_SPAN 2

/* linear: columns that a work-item of the epilogue takes.  clblast: columns of its packing, elements of its expansion. */
#define CLF_LINEAR_COLUMNS 1024
#define CLF_CLBLAST_COLUMNS 64
#define CLF_CLBLAST_RUN 1024

/* Activation codes: clf_activation of clfusion/activation.h. */
#define CLF_ACT_NONE 0
#define CLF_ACT_GELU 1
#define CLF_ACT_GELU_TANH 2
#define CLF_ACT_QUICK_GELU 3
#define CLF_ACT_SILU 4
#define CLF_ACT_RELU 5
#define CLF_ACT_RELU2 6

/* Gains of rms_norm: clf_rms_gain of clfusion/rms_norm.h. */
#define CLF_GAIN_WEIGHT 0
#define CLF_GAIN_ONE_PLUS 1
#define CLF_GAIN_PLAIN 2

/* Rows of a tensor, in elements: row r starts at v[0] + (r / v[1]) v[3] + (r % v[1]) v[2]. */
#ifdef __OPENCL_VERSION__
typedef ulong4 clf_rows;
#else
#include <stdint.h>
typedef struct clf_rows {
    uint64_t v[4];
} clf_rows;
#endif

#endif
