/* Bench cases: what is timed by `clfusion bench`, and the known answers of `clfusion selftest`.
 *
 * bench_<operator>.c is data and three small functions: set up, run, reference.  No time is printed before the result
 * has passed the reference, in double, on sampled elements. */
#ifndef CLF_BENCH_BENCH_H
#define CLF_BENCH_BENCH_H

#include <clfusion/clfusion.h>

#define CLF_BENCH_OPERANDS 8
#define CLF_BENCH_KNOWN 16
#define CLF_BENCH_SAMPLES 8 /* rows, and columns of a row */

typedef struct clf_bench_case {
    const char *name;   /* "rms_norm.latents" */
    const char *shapes; /* operands -> result: "f16[1,64,4096] f16[4096] -> f16[1,64,4096]" */
    const char *note;   /* what the shape stands for */
    int option;         /* of the operator: activation, gain, ... */
} clf_bench_case;

/* A case with its operands. */
typedef struct clf_bench_work {
    clf_stream *stream;
    const clf_bench_case *bench_case;
    size_t operand_count;
    clf_host_tensor host[CLF_BENCH_OPERANDS]; /* the values, rounded to the type; this owns `data` */
    clf_tensor in[CLF_BENCH_OPERANDS];        /* on the device; absent where prepare packs the host's */
    clf_tensor y;
    void *module; /* what prepare has made */
} clf_bench_work;

typedef struct clf_bench {
    const char *name;
    const clf_bench_case *cases;
    size_t case_count;
    size_t device_operands; /* so many lie on the device; those behind them are weights for prepare */

    clf_status (*prepare)(clf_bench_work *w, clf_error *err); /* NULL: nothing to pack */
    void (*run)(const clf_bench_work *w);                     /* enqueues y */
    void (*release)(clf_bench_work *w);                       /* what prepare has made, also none; NULL: nothing */

    /* want[i], the exact y[row, column[i]], and bound[i], how far the header lets a result stray in f32. */
    void (*reference)(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound);

    double (*flop)(const clf_bench_work *w);  /* NULL: none worth counting */
    double (*bytes)(const clf_bench_work *w); /* that must move; NULL: all operands and y once */

    /* The known answer: values of all operands one behind the other, and of y.  The small case has a shape that fits
     * no vector or tile; with at most 8 rows and 64 columns every element is compared with the reference. */
    clf_bench_case known;
    double known_in[CLF_BENCH_KNOWN];
    double known_out[CLF_BENCH_KNOWN];
    clf_bench_case small;
} clf_bench;

extern const clf_bench *const clf_benches[];
extern const size_t clf_bench_count;

/* Makes the operands: `known` values, or random ones when it is NULL.  `storage` replaces the type of weights of two
 * dimensions unless CLF_DTYPE_NONE.  clf_bench_close also after an error. */
clf_status clf_bench_open(const clf_bench *b, const clf_bench_case *c, clf_stream *s, clf_dtype storage,
                          const double *known, clf_bench_work *w, clf_error *err);
void clf_bench_close(const clf_bench *b, clf_bench_work *w);

/* Runs once and compares samples, or all elements of a small result, with the reference.  CLF_INTERNAL names the first
 * element that strays. */
clf_status clf_bench_check(const clf_bench *b, const clf_bench_work *w, clf_error *err);

/* The known answer and the small case. */
clf_status clf_bench_selftest(const clf_bench *b, clf_stream *s, clf_dtype storage, clf_error *err);

double clf_bench_flop(const clf_bench *b, const clf_bench_work *w);
double clf_bench_bytes(const clf_bench *b, const clf_bench_work *w);

/* For references: operand `i` at `index`, and row `row` of an operand with rows of `C` as double. */
double clf_bench_value(const clf_bench_work *w, size_t i, int64_t index);
void clf_bench_row(const clf_bench_work *w, size_t i, int64_t row, int64_t C, double *out);
int64_t clf_bench_rows(clf_host_tensor t);  /* product of the leading dimensions */
int64_t clf_bench_width(clf_host_tensor t); /* the last dimension */

/* activation(x) in double, and the error that clf_activate promises for it. */
double clf_bench_activation(clf_activation activation, double x, double *bound);

extern const clf_bench clf_bench_linear;
extern const clf_bench clf_bench_attention;
extern const clf_bench clf_bench_layer_norm;
extern const clf_bench clf_bench_rms_norm;
extern const clf_bench clf_bench_l2_norm;
extern const clf_bench clf_bench_activate;
extern const clf_bench clf_bench_gated_unit;
extern const clf_bench clf_bench_similarity;
extern const clf_bench clf_bench_add;
extern const clf_bench clf_bench_scale;
extern const clf_bench clf_bench_copy;
extern const clf_bench clf_bench_cast;
extern const clf_bench clf_bench_gather;
extern const clf_bench clf_bench_resize;
extern const clf_bench clf_bench_projector;
extern const clf_bench clf_bench_pool;
extern const clf_bench clf_bench_unfold;
extern const clf_bench clf_bench_top_k;

#endif
