/* Recomputes some rows of a projector's output in double precision on the host and compares:
 *     check_tokens CHECKPOINT VISION.npy TOKENS.npy
 *
 * Works for the checkpoints of make_checkpoint: Linear (fuyu), or Linear, erf GELU, Linear (llava).  The bound of each
 * element of a product: |error| <= 8 sqrt(in + 3) u sum|x w|, u = 2^-24; the roundings of a long sum are as good as
 * independent, so the root stands where the worst case has in + 3, and 8 makes a miss improbable (Higham and Mary 2019,
 * "A new approach to probabilistic rounding error analysis").  Errors of the layer before add up the same way.
 * Prints the greatest difference and its share of the bound; exit status 1 when the share exceeds 1. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/npy.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "check_tokens"

/* A row of values, and how far each may be from what the device has. */
typedef struct row {
    int64_t count;
    double *value, *bound;
} row;

static clf_status row_create(int64_t count, row *r, clf_error *err)
{
    r->count = count;
    r->value = clf_alloc((size_t)count * 2, sizeof(double));
    CLF_REQUIRE(err, r->value != NULL, CLF_OUT_OF_MEMORY, "no memory for a row of %" PRId64, count);
    r->bound = r->value + count;
    return CLF_OK;
}

/* y = x W^T + b, with the error of x carried on and the error of this product added. */
static void linear(const row *x, clf_host_tensor w, clf_host_tensor b, row *y)
{
    const size_t K = (size_t)w.dim[1];
    const double u = 0x1p-24;

    for (size_t n = 0; n < (size_t)w.dim[0]; n++) {
        double sum = clf_host_value(b.data, b.dtype, n), size = fabs(sum), carried = 0;
        for (size_t k = 0; k < K; k++) {
            const double weight = clf_host_value(w.data, w.dtype, n * K + k);
            sum += x->value[k] * weight;
            size += fabs(x->value[k] * weight);
            carried += x->bound[k] * weight * x->bound[k] * weight;
        }
        y->value[n] = sum;
        y->bound[n] = sqrt(carried) + 8 * sqrt((double)K + 3) * u * size;
    }
}

/* The slope of GELU is below 1.13; its own error is that of clfusion/activation.h. */
static void gelu(row *y)
{
    for (int64_t i = 0; i < y->count; i++) {
        const double x = y->value[i];
        y->value[i] = 0.5 * x * (1 + erf(x / sqrt(2.0)));
        y->bound[i] = 1.13 * y->bound[i] + 4e-6 * fabs(y->value[i]) + 1e-7 * fmax(1, fabs(x));
    }
}

/* The layers of either model; *count of them. */
static clf_status find_layers(const clf_tensor_source *s, clf_host_tensor *w, clf_host_tensor *b, int *count,
                              clf_error *err)
{
    static const char *const names[][2] = {
        { "vision_embed_tokens.weight", "vision_embed_tokens.bias" },
        { "multi_modal_projector.linear_1.weight", "multi_modal_projector.linear_1.bias" },
        { "multi_modal_projector.linear_2.weight", "multi_modal_projector.linear_2.bias" },
    };

    *count = 0;
    for (size_t i = 0; i < CLF_COUNT(names) && *count < 2; i++) {
        CLF_TRY(s->find(s->self, names[i][0], &w[*count], err));
        CLF_TRY(s->find(s->self, names[i][1], &b[*count], err));
        *count += w[*count].dtype != CLF_DTYPE_NONE && b[*count].dtype != CLF_DTYPE_NONE;
    }
    CLF_REQUIRE(err, *count > 0, CLF_UNSUPPORTED, "the checkpoint has no layers; want one of make_checkpoint");
    return CLF_OK;
}

typedef struct worst {
    double difference, share;
} worst;

static clf_status check_row(const clf_tensor_source *s, clf_host_tensor vision, clf_host_tensor tokens, size_t index,
                            worst *max, clf_error *err)
{
    clf_host_tensor w[2], b[2];
    row x = { 0 }, y = { 0 };
    int count = 0;

    CLF_TRY(find_layers(s, w, b, &count, err));
    CLF_TRY(row_create(vision.dim[2], &x, err));
    for (size_t i = 0; i < (size_t)x.count; i++)
        x.value[i] = clf_host_value(vision.data, vision.dtype, index * (size_t)x.count + i);
    for (int i = 0; i < count; i++) {
        CLF_REQUIRE(err, w[i].dim[1] == x.count, CLF_INVALID_ARGUMENT,
                    "layer %d takes %" PRId64 " values, not %" PRId64, i, w[i].dim[1], x.count);
        CLF_TRY(row_create(w[i].dim[0], &y, err));
        linear(&x, w[i], b[i], &y);
        if (i + 1 < count)
            gelu(&y);
        clf_free(x.value);
        x = y;
    }
    for (size_t i = 0; i < (size_t)y.count; i++) {
        const double got = clf_host_value(tokens.data, tokens.dtype, index * (size_t)y.count + i);
        max->difference = fmax(max->difference, fabs(got - y.value[i]));
        max->share = isnan(got) ? INFINITY : fmax(max->share, fabs(got - y.value[i]) / y.bound[i]);
    }
    clf_free(y.value);
    return CLF_OK;
}

static clf_status check(char **paths, clf_error *err)
{
    clf_checkpoint *c = NULL;
    clf_npy *in = NULL, *out = NULL;
    worst max = { 0 };

    CLF_TRY(clf_checkpoint_open(paths[0], &c, err));
    CLF_TRY(clf_npy_open(paths[1], &in, err));
    CLF_TRY(clf_npy_open(paths[2], &out, err));
    const clf_host_tensor vision = clf_npy_tensor(in), tokens = clf_npy_tensor(out);
    CLF_REQUIRE(err, vision.rank == 3 && tokens.rank == 3 && vision.dim[1] == tokens.dim[1], CLF_INVALID_ARGUMENT,
                "vision is %s, tokens %s; want [1, N, Dv] and [1, N, Dt]", CLF_HOST_TEXT(vision),
                CLF_HOST_TEXT(tokens));

    const size_t last = (size_t)vision.dim[1] - 1, rows[] = { 0, last / 3, last };
    for (size_t i = 0; i < CLF_COUNT(rows); i++)
        CLF_TRY(check_row(clf_checkpoint_source(c), vision, tokens, rows[i], &max, err));
    printf("%zu rows recomputed in double precision: greatest difference %.2g, %.2f of its bound\n", CLF_COUNT(rows),
           max.difference, max.share);
    CLF_REQUIRE(err, max.share <= 1, CLF_INTERNAL, "tokens differ from the reference by more than the bound");
    clf_npy_close(out);
    clf_npy_close(in);
    clf_checkpoint_close(c);
    return CLF_OK;
}

int main(int argc, char **argv)
{
    clf_error err = { 0 };

    if (argc != 4) {
        fprintf(stderr, "usage: check_tokens CHECKPOINT VISION.npy TOKENS.npy\n");
        return 2;
    }
    if (check(argv + 1, &err) != CLF_OK) { /* what is open goes with the process */
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return 0;
}
