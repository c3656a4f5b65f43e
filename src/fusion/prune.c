/* prune: the tokens that stand out, and zeros behind them up to the longest picture. */
#include <clfusion/prune.h>

#include <clfusion/gather.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/log.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "prune"

static double importance_of(const float *v, int64_t D, clf_importance metric)
{
    double sum = 0.0, square = 0.0;

    if (metric == CLF_IMPORTANCE_L2) {
        for (int64_t d = 0; d < D; d++)
            square += (double)v[d] * (double)v[d];
        return sqrt(square);
    }
    for (int64_t d = 0; d < D; d++)
        sum += (double)v[d];
    for (int64_t d = 0; d < D; d++)
        square += ((double)v[d] - sum / (double)D) * ((double)v[d] - sum / (double)D);
    return square / (double)D;
}

/* Rows of one picture that are kept; their number. */
static int64_t choose(const double *importance, int64_t N, double threshold, int32_t *indices)
{
    double largest = 0.0;
    int64_t count = 0;
    bool finite = true;

    for (int64_t n = 0; n < N; n++) {
        largest = fmax(largest, importance[n]);
        finite = finite && isfinite(importance[n]);
        indices[n] = -1;
    }
    for (int64_t n = 0; n < N && finite && largest > 0.0; n++)
        if (importance[n] / largest > threshold)
            indices[count++] = (int32_t)n;
    return count;
}

static clf_status check_plan(clf_host_tensor vision, clf_importance metric, double threshold, clf_error *err)
{
    uint64_t bytes;

    CLF_REQUIRE(err, clf_is_float(vision.dtype) || vision.dtype == CLF_F64, CLF_UNSUPPORTED,
                "vision is %s; want f32, f16, bf16 or f64", CLF_HOST_TEXT(vision));
    CLF_REQUIRE(
        err, vision.rank == 3 && clf_host_bytes(vision, &bytes) && vision.dim[1] <= INT32_MAX && vision.dim[2] >= 1,
        CLF_INVALID_ARGUMENT, "vision is %s; want [B, N, D], N below 2^31 and D above 0", CLF_HOST_TEXT(vision));
    CLF_REQUIRE(err, vision.data != NULL || bytes == 0, CLF_INVALID_ARGUMENT,
                "vision is %s without data; want host memory", CLF_HOST_TEXT(vision));
    CLF_REQUIRE(err, metric == CLF_IMPORTANCE_L2 || metric == CLF_IMPORTANCE_VARIANCE, CLF_INVALID_ARGUMENT,
                "metric is %d; want CLF_IMPORTANCE_L2 or CLF_IMPORTANCE_VARIANCE", (int)metric);
    CLF_REQUIRE(err, isfinite(threshold), CLF_INVALID_ARGUMENT, "threshold is %g; want a finite number", threshold);
    return CLF_OK;
}

static void choose_all(clf_host_tensor vision, clf_importance metric, double threshold, float *row, double *importance,
                       int32_t *indices, int64_t *lengths)
{
    const int64_t B = vision.dim[0], N = vision.dim[1], D = vision.dim[2];
    const size_t row_bytes = (size_t)D * clf_dtype_bytes(vision.dtype);

    for (int64_t b = 0; b < B; b++) {
        for (int64_t n = 0; n < N; n++) {
            const char *at = (const char *)vision.data + (size_t)(b * N + n) * row_bytes;

            clf_host_to_f32(at, vision.dtype, (size_t)D, row);
            importance[n] = importance_of(row, D, metric);
        }
        lengths[b] = choose(importance, N, threshold, indices + b * N);
        if (lengths[b] == 0)
            clf_log("prune: picture %" PRId64 " of vision %s keeps no token above the threshold %g", b,
                    CLF_HOST_TEXT(vision), threshold);
    }
}

clf_status clf_prune_plan(clf_host_tensor vision, clf_importance metric, double threshold, int32_t *indices,
                          int64_t *lengths, int64_t *longest, clf_error *err)
{
    *longest = 0;
    CLF_TRY(check_plan(vision, metric, threshold, err));
    float *row = clf_alloc((size_t)vision.dim[2], sizeof *row);
    double *importance = clf_alloc((size_t)vision.dim[1], sizeof *importance);
    const bool memory = row != NULL && importance != NULL;

    if (memory)
        choose_all(vision, metric, threshold, row, importance, indices, lengths);
    for (int64_t b = 0; memory && b < vision.dim[0]; b++)
        *longest = CLF_MAX(*longest, lengths[b]);
    clf_free(row);
    clf_free(importance);
    CLF_REQUIRE(err, memory, CLF_OUT_OF_MEMORY, "no host memory for the importance of vision %s",
                CLF_HOST_TEXT(vision));
    return CLF_OK;
}

static clf_status check(clf_tensor vision, const int32_t *indices, clf_tensor tokens, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[2] >= 1, CLF_INVALID_ARGUMENT, "vision is %s; want [B, N, D]",
                CLF_TEXT(vision));
    CLF_REQUIRE_SHAPE(err, tokens, "tokens");
    CLF_REQUIRE(err,
                tokens.dtype == vision.dtype && tokens.rank == 3 && tokens.dim[0] == vision.dim[0] &&
                    tokens.dim[2] == vision.dim[2],
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s[%" PRId64 ", M, %" PRId64 "], for vision %s",
                CLF_TEXT(tokens), clf_dtype_name(vision.dtype), vision.dim[0], vision.dim[2], CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    CLF_REQUIRE(err, indices != NULL || vision.dim[0] * tokens.dim[1] == 0, CLF_INVALID_ARGUMENT,
                "indices is NULL; want one for each row of tokens %s", CLF_TEXT(tokens));
    for (int64_t i = 0; i < vision.dim[0] * tokens.dim[1]; i++)
        CLF_REQUIRE(err, indices[i] >= -1 && indices[i] < vision.dim[1], CLF_INVALID_ARGUMENT,
                    "indices[%" PRId64 ", %" PRId64 "] is %d; want -1 to %" PRId64 ", below the tokens of vision %s",
                    i / tokens.dim[1], i % tokens.dim[1], (int)indices[i], vision.dim[1] - 1, CLF_TEXT(vision));
    return CLF_OK;
}

/* y, dense, becomes zeros. */
static void clear(clf_stream *s, clf_tensor y)
{
    const uint64_t bytes = (uint64_t)clf_element_count(y) * clf_dtype_bytes(y.dtype);
    void *zeros = clf_alloc((size_t)bytes, 1);

    if (zeros == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for tokens %s", CLF_TEXT(y));
    else
        clf_upload_copy(s, zeros, bytes, y);
    clf_free(zeros);
}

static bool any_padding(const int32_t *indices, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (indices[i] < 0)
            return true;
    return false;
}

void clf_prune(clf_stream *s, clf_tensor vision, const int32_t *indices, clf_tensor tokens)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check(vision, indices, tokens, clf_op_error(s))) ||
        clf_element_count(tokens) == 0)
        return;

    const int64_t B = tokens.dim[0], M = tokens.dim[1];
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor at = clf_scratch(s, CLF_I32, CLF_DIMS(B, M));
    const clf_tensor y = clf_is_dense(tokens) ? tokens : clf_scratch(s, tokens.dtype, clf_tensor_dims(tokens));

    clf_upload_copy(s, indices, (uint64_t)(B * M) * sizeof *indices, at);
    if (any_padding(indices, B * M))
        clear(s, y);
    for (int64_t b = 0; b < B; b++) /* an index of -1 leaves its row */
        clf_gather(s, clf_slice(s, vision, 0, b, 1), clf_slice(s, at, 0, b, 1), clf_slice(s, y, 0, b, 1));
    if (y.mem != tokens.mem || y.offset != tokens.offset)
        clf_place(s, y, tokens);
    clf_scope_close(s, scope);
}
