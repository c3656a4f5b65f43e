/* Matrix products y = x W^T: one interface, two providers.
 *
 * What a weight is stored in, packed in and computed in are three things; only the provider knows the last two. */
#ifndef CLF_GEMM_GEMM_H
#define CLF_GEMM_GEMM_H

#include <clfusion/linear.h>
#include <clfusion/stream.h>

#include "core/error.h"

typedef struct clf_gemm_weight {
    int64_t N;         /* out */
    int64_t K;         /* in */
    clf_dtype storage; /* f32, f16 or bf16 */
    clf_tensor packed; /* the provider's layout; owned by the linear weight, or scratch of a call */
    int64_t count;     /* above 0: so many weights [N, K], each for rows of its own */
} clf_gemm_weight;

/* A weight on the host, checked: parts stacked in their order. */
typedef struct clf_gemm_host {
    const clf_linear_part *parts;
    int32_t part_count;              /* at least 1 */
    const clf_tensor_source *source; /* told which weights have been read; NULL: nobody */
    clf_dtype rounded; /* the type that weights are rounded to before they are scaled; none: as they are */
    double *shift;     /* [N], receives W column_shift of rows that have one; NULL: none has */
} clf_gemm_host;

/* Rows of a call on their way into a weight. */
typedef struct clf_gemm_rows {
    clf_tensor z;  /* [n, K] f32, dense in K */
    int64_t first; /* of the weight's rows, a multiple of CLF_GEMM_ROWS */
    bool unit;     /* each is divided by its length, bit for bit as clf_l2_norm does it with eps */
    float eps;
} clf_gemm_rows;

/* Parts of a weight begin at multiples of it, which the panels of every vector width divide. */
#define CLF_GEMM_ROWS 32

/* What a provider does after the product, when it says so. */
typedef struct clf_gemm_fusion {
    const clf_linear_options *options; /* never NULL */
    clf_tensor bias;                   /* f32 [N] or absent */
} clf_gemm_fusion;

typedef struct clf_gemm_provider {
    const char *name;
    /* Bias, activation and residual are part of run, and rows may lie anywhere; else run wants dense rows and gives
     * y = x W^T in f32. */
    bool fuses;

    /* Can it work on the context's device?  Says why not. */
    clf_status (*supports)(clf_context *ctx, clf_error *err);

    /* Fills w->packed from a host weight of N rows of K; the caller owns it.  Nothing is left after an error. */
    clf_status (*pack)(clf_context *ctx, const clf_gemm_host *host, clf_gemm_weight *w, clf_error *err);

    /* Packs z [N, K] or [count, N, K], dense, which a call has made: w->packed is scratch of the stream, storage f32.
     * NULL: takes weights of the host alone. */
    void (*pack_rows)(clf_stream *s, clf_tensor z, clf_gemm_weight *w);

    /* The same with z [count, K, N], each turned.  A mask f32 [count or 1, K] hides rows of z with -FLT_MAX and below;
     * they count as 0, unless all of them are hidden.  NULL where pack_rows is. */
    void (*pack_columns)(clf_stream *s, clf_tensor z, clf_tensor mask, clf_gemm_weight *w);

    /* Fills w->packed from a host weight of w->count K rows of N: w->count weights, each turned.  NULL where pack_rows
     * is. */
    clf_status (*pack_turned)(clf_context *ctx, const clf_gemm_host *host, clf_gemm_weight *w, clf_error *err);

    /* Whether a packed weight of count N rows is also packed as `count` weights of N rows.  NULL where pack_rows is. */
    bool (*divides)(const clf_context *ctx, int64_t N);

    /* Room in scratch for N rows of K, storage f32, which a call makes part by part; pack_part packs some of them.  NULL
     * where pack_rows is. */
    void (*reserve_rows)(clf_stream *s, int64_t N, int64_t K, clf_gemm_weight *w);
    void (*pack_part)(clf_stream *s, const clf_gemm_rows *rows, const clf_gemm_weight *w);

    /* Called before a context that uses the provider is released; NULL: nothing to do. */
    void (*before_release)(clf_context *ctx);

    /* x [..., K] f32, the prologue behind it, y [..., N]; already checked.  A weight with a count takes x [count, ..., K],
     * y [count, ..., N], a bias [count N] and no residual. */
    void (*run)(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, const clf_gemm_fusion *fusion, clf_tensor y);
} clf_gemm_provider;

extern const clf_gemm_provider clf_gemm_panel;
extern const clf_gemm_provider clf_gemm_clblast;

/* The provider of the context: the caller's choice, else by the device. */
const clf_gemm_provider *clf_gemm_of(const clf_context *ctx);

#endif
