/* attention: y = softmax(scale q k^T + mask) v.  q [B, Q, H, D], k [B, K, Hk, D], v [B, K, Hk, E], y [B, Q, H, E]. */
#include <clfusion/attention.h>

#include <string.h>

#include <clfusion/cast.h>

#include "core/desc.h"
#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "attention"
#define ITEMS_A_UNIT 4
#define MOST_FEW 8
#define MOST_SIDE_BY_SIDE 4

typedef struct sizes {
    int64_t B, Q, K, H, Hk, D, E;
} sizes;

static sizes sizes_of(clf_tensor q, clf_tensor k, clf_tensor v)
{
    return (sizes){ .B = clf_dim(q, 0),
                    .Q = clf_dim(q, 1),
                    .K = clf_dim(k, 1),
                    .H = clf_dim(q, 2),
                    .Hk = clf_dim(k, 2),
                    .D = clf_dim(q, 3),
                    .E = clf_dim(v, 3) };
}

/* ---- checks ---- */

/* A tensor of any strides but the last, dimensions within 31 bits: kernels count rows and columns in 32. */
static clf_status check_view(clf_tensor t, const char *name, int32_t rank, const char *shape, clf_error *err)
{
    CLF_REQUIRE(err, clf_shape_valid(t) && t.rank == rank, CLF_INVALID_ARGUMENT, "%s is %s; want %s", name, CLF_TEXT(t),
                shape);
    for (int32_t i = 0; i < rank; i++)
        CLF_REQUIRE(err, t.dim[i] <= INT32_MAX, CLF_UNSUPPORTED, "%s is %s; want dimensions below 2^31", name,
                    CLF_TEXT(t));
    CLF_REQUIRE(err, t.offset % clf_dtype_bytes(t.dtype) == 0, CLF_INVALID_ARGUMENT,
                "%s begins at byte %" PRIu64 "; want a multiple of %zu for %s", name, t.offset,
                clf_dtype_bytes(t.dtype), clf_dtype_name(t.dtype));
    CLF_REQUIRE(err, clf_row_dense(t), CLF_UNSUPPORTED,
                "%s is a view with stride %" PRId64 " in its last dimension; want 1", name, t.stride[rank - 1]);
    return CLF_OK;
}

static clf_status check_heads(clf_tensor t, const char *name, const char *shape, clf_error *err)
{
    CLF_REQUIRE(err, clf_is_float(t.dtype), CLF_UNSUPPORTED, "%s is %s; want f32, f16 or bf16", name, CLF_TEXT(t));
    CLF_TRY(check_view(t, name, 4, shape, err));
    CLF_REQUIRE(err, t.dim[2] >= 1, CLF_INVALID_ARGUMENT, "%s is %s; want at least one head", name, CLF_TEXT(t));
    CLF_REQUIRE(err, t.dim[3] >= 1 && t.dim[3] <= CLF_ATTENTION_MAX_WIDTH, CLF_UNSUPPORTED,
                "%s is %s; want heads of width 1 to %d", name, CLF_TEXT(t), CLF_ATTENTION_MAX_WIDTH);
    return CLF_OK;
}

static clf_status check_inputs(clf_tensor q, clf_tensor k, clf_tensor v, clf_error *err)
{
    CLF_TRY(check_heads(q, "q", "[B, Q, H, D]", err));
    CLF_TRY(check_heads(k, "k", "[B, K, Hk, D]", err));
    CLF_TRY(check_heads(v, "v", "[B, K, Hk, E]", err));
    CLF_REQUIRE(err, k.dim[0] == q.dim[0] && k.dim[3] == q.dim[3], CLF_INVALID_ARGUMENT,
                "k is %s; want [%" PRId64 ", K, Hk, %" PRId64 "], like q %s", CLF_TEXT(k), q.dim[0], q.dim[3],
                CLF_TEXT(q));
    CLF_REQUIRE(err, q.dim[2] % k.dim[2] == 0, CLF_INVALID_ARGUMENT,
                "q is %s, %" PRId64 " heads; want a multiple of %" PRId64 ", the heads of k %s", CLF_TEXT(q), q.dim[2],
                k.dim[2], CLF_TEXT(k));
    CLF_REQUIRE(err, q.dim[2] / k.dim[2] * q.dim[1] <= INT32_MAX, CLF_UNSUPPORTED,
                "q is %s, k %s; want less than 2^31 rows of q for a head of k", CLF_TEXT(q), CLF_TEXT(k));
    CLF_REQUIRE(err, clf_same_rows(v, k), CLF_INVALID_ARGUMENT,
                "v is %s; want [%" PRId64 ", %" PRId64 ", %" PRId64 ", E], like k %s", CLF_TEXT(v), k.dim[0], k.dim[1],
                k.dim[2], CLF_TEXT(k));
    CLF_REQUIRE(err, v.dtype == k.dtype, CLF_UNSUPPORTED, "v is %s; want the type of k %s", CLF_TEXT(v), CLF_TEXT(k));
    return CLF_OK;
}

static clf_status check_norm(const clf_norm *norm, const char *name, int64_t D, clf_error *err)
{
    const clf_tensor w = norm->weight, b = norm->bias;

    CLF_REQUIRE(err, norm->kind == CLF_NORM_NONE || norm->kind == CLF_NORM_LAYER || norm->kind == CLF_NORM_RMS,
                CLF_INVALID_ARGUMENT, "%s.kind is %d; want CLF_NORM_NONE, CLF_NORM_LAYER or CLF_NORM_RMS", name,
                (int)norm->kind);
    if (norm->kind == CLF_NORM_NONE)
        return CLF_OK;
    CLF_REQUIRE(err, !clf_present(w) || (w.dtype == CLF_F32 && clf_shape_is(w, CLF_DIMS(D)) && clf_is_dense(w)),
                CLF_INVALID_ARGUMENT, "%s.weight is %s; want f32[%" PRId64 "], one for each entry of a head", name,
                CLF_TEXT(w), D);
    CLF_REQUIRE(err, !clf_present(b) || (norm->kind == CLF_NORM_LAYER && clf_present(w)), CLF_INVALID_ARGUMENT,
                "%s.bias is %s; want none without CLF_NORM_LAYER and a weight", name, CLF_TEXT(b));
    CLF_REQUIRE(err, !clf_present(b) || (b.dtype == CLF_F32 && clf_shape_is(b, CLF_DIMS(D)) && clf_is_dense(b)),
                CLF_INVALID_ARGUMENT, "%s.bias is %s; want f32[%" PRId64 "], one for each entry of a head", name,
                CLF_TEXT(b), D);
    CLF_REQUIRE(err, isfinite(norm->eps) && norm->eps > 0.0F, CLF_INVALID_ARGUMENT,
                "%s.eps is %g; want finite, above 0", name, (double)norm->eps);
    return CLF_OK;
}

static bool is_or_one(int64_t dim, int64_t size)
{
    return dim == size || dim == 1;
}

static clf_status check_mask(const clf_attention_options *o, sizes n, clf_error *err)
{
    const clf_tensor m = o->mask;

    CLF_REQUIRE(err, o->mask_block >= 1 && o->mask_block <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "mask_block is %" PRId64 "; want 1 to 2^31 - 1", o->mask_block);
    if (!clf_present(m))
        return CLF_OK;
    CLF_REQUIRE(err, m.dtype == CLF_F32, CLF_UNSUPPORTED, "mask is %s; want f32", CLF_TEXT(m));
    CLF_TRY(check_view(m, "mask", 4, "[B or 1, H or 1, Q or 1, ceil(K / mask_block)]", err));
    const int64_t columns = (n.K + o->mask_block - 1) / o->mask_block;
    CLF_REQUIRE(err,
                is_or_one(m.dim[0], n.B) && is_or_one(m.dim[1], n.H) && is_or_one(m.dim[2], n.Q) && m.dim[3] == columns,
                CLF_INVALID_ARGUMENT,
                "mask is %s; want [%" PRId64 " or 1, %" PRId64 " or 1, %" PRId64 " or 1, %" PRId64 "], B, H, Q and a "
                "column for each %" PRId64 " of %" PRId64 " keys",
                CLF_TEXT(m), n.B, n.H, n.Q, columns, o->mask_block, n.K);
    return CLF_OK;
}

static clf_status check_group(clf_tensor t, const char *name, int64_t B, int64_t count, const char *what,
                              const char *letters, clf_error *err)
{
    CLF_REQUIRE(err, t.dtype == CLF_I32, CLF_UNSUPPORTED, "%s is %s; want i32", name, CLF_TEXT(t));
    CLF_TRY(check_view(t, name, 2, what, err));
    CLF_REQUIRE(err, is_or_one(t.dim[0], B) && t.dim[1] == count, CLF_INVALID_ARGUMENT,
                "%s is %s; want [%" PRId64 " or 1, %" PRId64 "]: %s", name, CLF_TEXT(t), B, count, letters);
    return CLF_OK;
}

static clf_status check_groups(const clf_attention_options *o, sizes n, clf_error *err)
{
    CLF_REQUIRE(err,
                o->group_rule == CLF_GROUPS_NONE || o->group_rule == CLF_GROUPS_EQUAL ||
                    o->group_rule == CLF_GROUPS_AT_LEAST,
                CLF_INVALID_ARGUMENT, "group_rule is %d; want CLF_GROUPS_NONE, CLF_GROUPS_EQUAL or CLF_GROUPS_AT_LEAST",
                (int)o->group_rule);
    CLF_REQUIRE(
        err,
        o->unseen == CLF_UNSEEN_ZERO || o->unseen == CLF_UNSEEN_UNIFORM || o->unseen == CLF_UNSEEN_UNIFORM_BUT_GROUP_0,
        CLF_INVALID_ARGUMENT,
        "unseen is %d; want CLF_UNSEEN_ZERO, CLF_UNSEEN_UNIFORM or CLF_UNSEEN_UNIFORM_BUT_GROUP_0", (int)o->unseen);
    if (o->group_rule == CLF_GROUPS_NONE) {
        CLF_REQUIRE(err, !clf_present(o->query_groups), CLF_INVALID_ARGUMENT,
                    "query_groups is %s; want a group_rule with it", CLF_TEXT(o->query_groups));
        CLF_REQUIRE(err, !clf_present(o->key_groups), CLF_INVALID_ARGUMENT,
                    "key_groups is %s; want a group_rule with it", CLF_TEXT(o->key_groups));
        CLF_REQUIRE(err, o->unseen != CLF_UNSEEN_UNIFORM_BUT_GROUP_0, CLF_INVALID_ARGUMENT,
                    "unseen is CLF_UNSEEN_UNIFORM_BUT_GROUP_0; want a group_rule with it");
        return CLF_OK;
    }
    CLF_TRY(check_group(o->query_groups, "query_groups", n.B, n.Q, "[B or 1, Q]", "B, Q", err));
    return check_group(o->key_groups, "key_groups", n.B, n.K, "[B or 1, K]", "B, K", err);
}

static clf_status check_rules(const clf_attention_options *o, sizes n, clf_error *err)
{
    const clf_tensor l = o->key_lengths;

    CLF_REQUIRE(err, isfinite(o->scale), CLF_INVALID_ARGUMENT, "scale is %g; want finite, 0 for D^-1/2",
                (double)o->scale);
    CLF_TRY(check_norm(&o->q_norm, "q_norm", n.D, err));
    CLF_TRY(check_norm(&o->k_norm, "k_norm", n.D, err));
    CLF_TRY(check_mask(o, n, err));
    if (clf_present(l)) {
        CLF_REQUIRE(err, l.dtype == CLF_I32, CLF_UNSUPPORTED, "key_lengths is %s; want i32", CLF_TEXT(l));
        CLF_TRY(check_view(l, "key_lengths", 1, "[B]", err));
        CLF_REQUIRE(err, l.dim[0] == n.B, CLF_INVALID_ARGUMENT, "key_lengths is %s; want [%" PRId64 "], B", CLF_TEXT(l),
                    n.B);
    }
    return check_groups(o, n, err);
}

static clf_status check_apart(clf_tensor a, const char *name, clf_tensor b, const char *other, clf_error *err)
{
    CLF_REQUIRE(err, !clf_may_overlap(a, b), CLF_INVALID_ARGUMENT, "%s overlaps %s; want apart", name, other);
    return CLF_OK;
}

static clf_status check_output(clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *o, clf_tensor y,
                               const char *name, clf_error *err)
{
    const struct {
        clf_tensor t;
        const char *name;
    } others[] = {
        { q, "q" },
        { k, "k" },
        { v, "v" },
        { o->mask, "mask" },
        { o->key_lengths, "key_lengths" },
        { o->query_groups, "query_groups" },
        { o->key_groups, "key_groups" },
        { o->q_norm.weight, "q_norm.weight" },
        { o->q_norm.bias, "q_norm.bias" },
        { o->k_norm.weight, "k_norm.weight" },
        { o->k_norm.bias, "k_norm.bias" },
    };

    for (size_t i = 0; i < CLF_COUNT(others); i++)
        if (clf_present(others[i].t))
            CLF_TRY(check_apart(y, name, others[i].t, others[i].name, err));
    return CLF_OK;
}

static clf_status check_outputs(clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *o, clf_tensor y,
                                clf_error *err)
{
    const sizes n = sizes_of(q, k, v);
    const clf_tensor w = o->weights;

    CLF_REQUIRE(err, y.dtype == CLF_F32 || y.dtype == q.dtype, CLF_UNSUPPORTED, "y is %s; want f32 or the type of q %s",
                CLF_TEXT(y), CLF_TEXT(q));
    CLF_TRY(check_view(y, "y", 4, "[B, Q, H, E]", err));
    CLF_REQUIRE(err, clf_shape_is(y, CLF_DIMS(n.B, n.Q, n.H, n.E)), CLF_INVALID_ARGUMENT,
                "y is %s; want [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "], rows of q %s and width of v %s",
                CLF_TEXT(y), n.B, n.Q, n.H, n.E, CLF_TEXT(q), CLF_TEXT(v));
    CLF_REQUIRE(err, clf_elements_apart(y), CLF_INVALID_ARGUMENT,
                "y %s is a view whose rows meet; want each element in a place of its own", CLF_TEXT(y));
    CLF_TRY(check_output(q, k, v, o, y, "y", err));
    if (!clf_present(w))
        return CLF_OK;
    CLF_REQUIRE(err, w.dtype == CLF_F32, CLF_UNSUPPORTED, "weights is %s; want f32", CLF_TEXT(w));
    CLF_REQUIRE(err, clf_shape_is(w, CLF_DIMS(n.B, n.H, n.Q, n.K)) && clf_shape_valid(w), CLF_INVALID_ARGUMENT,
                "weights is %s; want [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "], B, H, Q and K", CLF_TEXT(w),
                n.B, n.H, n.Q, n.K);
    CLF_REQUIRE(err, clf_is_dense(w), CLF_UNSUPPORTED, "weights is a view with gaps; want a dense tensor");
    CLF_REQUIRE_ALIGNED(err, w, "weights");
    CLF_TRY(check_output(q, k, v, o, w, "weights", err));
    return check_apart(w, "weights", y, "y", err);
}

/* *full receives the options with their defaults. */
static clf_status check(clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *options, clf_tensor y,
                        clf_attention_options *full, clf_error *err)
{
    *full = clf_attention_options_default();
    CLF_DESC_READ(err, full, options);
    CLF_TRY(check_inputs(q, k, v, err));
    CLF_TRY(check_rules(full, sizes_of(q, k, v), err));
    return check_outputs(q, k, v, full, y, err);
}

clf_status clf_attention_check(clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *options,
                               clf_tensor y, clf_error *err)
{
    clf_attention_options full;

    return check(q, k, v, options, y, &full, err);
}

/* ---- launch ---- */

/* x normalised, in f32 scratch; rows that a batch stride of 0 shares are normalised once. */
static clf_tensor normalised(clf_stream *s, const clf_norm *norm, clf_tensor x)
{
    const int64_t B = x.dim[0];
    clf_tensor y;

    if (norm->kind == CLF_NORM_NONE || clf_element_count(x) == 0)
        return x;
    if (x.stride[0] == 0)
        x.dim[0] = 1;
    y = clf_scratch(s, CLF_F32, clf_tensor_dims(x));
    if (x.dtype == CLF_F32) {
        clf_normalise(s, norm, x, y);
    } else {
        for (int64_t b = 0; b < x.dim[0]; b++)
            clf_cast(s, clf_slice(s, x, 0, b, 1), clf_slice(s, y, 0, b, 1));
        clf_normalise(s, norm, y, y);
    }
    if (y.dim[0] != B)
        y.stride[0] = 0;
    y.dim[0] = B;
    return y;
}

static uint32_t rules_of(const clf_attention_options *o)
{
    return (clf_present(o->mask) ? CLF_ATTENTION_MASK : 0U) |
           (clf_present(o->key_lengths) ? CLF_ATTENTION_LENGTHS : 0U) | (o->causal ? CLF_ATTENTION_CAUSAL : 0U) |
           (o->group_rule == CLF_GROUPS_EQUAL ? CLF_ATTENTION_EQUAL : 0U) |
           (o->group_rule == CLF_GROUPS_AT_LEAST ? CLF_ATTENTION_AT_LEAST : 0U) |
           (clf_present(o->weights) ? CLF_ATTENTION_WEIGHTS : 0U) |
           (o->unseen == CLF_UNSEEN_UNIFORM ? CLF_ATTENTION_UNIFORM : 0U) |
           (o->unseen == CLF_UNSEEN_UNIFORM_BUT_GROUP_0 ? CLF_ATTENTION_UNIFORM_BUT_0 : 0U);
}

/* Elements from entry i to i + 1 of an axis; 0 where one entry stands for all. */
static clf_arg step(clf_tensor t, int axis)
{
    return clf_arg_u64(clf_present(t) && t.dim[axis] != 1 ? (uint64_t)t.stride[axis] : 0);
}

/* Memory, first element and steps of batch, row and head. */
#define HEADS(t) clf_arg_memory(t), clf_arg_u64(clf_first_element(t)), step((t), 0), step((t), 1), step((t), 2)

typedef struct attention_kernel {
    const char *program, *entry;
    clf_options options;
    int64_t groups, vectors; /* of rows, that an item of the CPU kernel takes */
    uint64_t items;
} attention_kernel;

/* Vectors of query rows that an item of the CPU kernel takes, W: what it reads of k and v serves all of them.  An item's
 * time goes as 2 W + 1, and each compute unit wants some items.  docs/decisions.md, "Attention". */
static int64_t row_vectors(const clf_context *ctx, int64_t rows, int64_t heads)
{
    /* By the number of registers; on llvmpipe the loops of an item must be short (runtime/launch.c). */
    const int64_t most = ctx->emulated_fma ? 1 : ctx->vector_width == 16 ? 6 : 4;
    const int64_t vectors = (int64_t)clf_div_up((uint64_t)rows, (uint64_t)ctx->vector_width);
    const int64_t wanted = ITEMS_A_UNIT * (int64_t)ctx->info.compute_units;
    int64_t best = 1, least = INT64_MAX;

    for (int64_t W = 1; W <= most; W++) {
        const int64_t blocks = (int64_t)clf_div_up((uint64_t)vectors, (uint64_t)W);

        if ((W == 1 || blocks * heads >= wanted) && blocks * (2 * W + 1) <= least) {
            least = blocks * (2 * W + 1);
            best = W;
        }
    }
    return best;
}

/* Rows that the kernel for a few of them takes, 1, 2, 4 or 8; 0: not that kernel, which makes neither weights nor means.
 * Its loops are long for llvmpipe. */
static int64_t few_rows(const clf_stream *s, sizes n, const clf_attention_options *o)
{
    const clf_context *ctx = clf_stream_context(s);
    const int64_t rows = n.H / n.Hk * n.Q;

    if (clf_op_kernels(s) != CLF_KERNELS_SIMD || ctx->emulated_fma || rows > MOST_FEW ||
        CLF_MIN(n.D, n.E) < (int64_t)ctx->vector_width || clf_present(o->weights) || o->unseen != CLF_UNSEEN_ZERO)
        return 0;
    return rows <= 2 ? rows : rows <= 4 ? 4 : MOST_FEW;
}

/* Heads of k that an item of that kernel takes side by side: as many as leave no unit with more to do.  docs/decisions.md,
 * "a few rows". */
static int64_t heads_side_by_side(const clf_context *ctx, sizes n)
{
    int64_t best = 1, least = INT64_MAX;

    for (int64_t heads = 1; heads <= CLF_MIN(n.Hk, MOST_SIDE_BY_SIDE); heads *= 2) {
        const uint64_t items = (uint64_t)n.B * clf_div_up((uint64_t)n.Hk, (uint64_t)heads);
        const int64_t time = (int64_t)clf_div_up(items, (uint64_t)ctx->info.compute_units) * heads;

        if (time <= least) {
            least = time;
            best = heads;
        }
    }
    return best;
}

static attention_kernel kernel_for(clf_stream *s, sizes n, const clf_attention_options *o, clf_dtype q, clf_dtype k,
                                   clf_dtype v, clf_dtype y)
{
    const int64_t few = few_rows(s, n, o);
    const int64_t vec = clf_stream_context(s)->vector_width, rows = n.H / n.Hk * n.Q;
    attention_kernel c = { .vectors = 1,
                           .items = 1,
                           .options = clf_options_types("CLF_Q", q, "CLF_K", k, "CLF_V", v, "CLF_Y", y, NULL) };
    const size_t length = strlen(c.options.text);

    if (few != 0) {
        const int64_t heads = heads_side_by_side(clf_stream_context(s), n);

        c.program = "attention_few";
        c.entry = "clf_attention_few_rows";
        clf_format(c.options.text + length, sizeof c.options.text - length, " -DCLF_FEW_ROWS=%d -DCLF_FEW_HEADS=%d",
                   (int)few, (int)heads);
        c.groups = n.B * (int64_t)clf_div_up((uint64_t)n.Hk, (uint64_t)heads);
        return c;
    }
    if (clf_op_kernels(s) == CLF_KERNELS_SIMD) {
        const int64_t vectors = row_vectors(clf_stream_context(s), rows, n.B * n.Hk);

        c.program = "attention_simd";
        c.entry = "clf_attention_simd_rows";
        c.vectors = vectors;
        clf_format(c.options.text + length, sizeof c.options.text - length, " -DCLF_ROW_VECTORS=%d", (int)vectors);
        c.groups = n.B * n.Hk * (int64_t)clf_div_up((uint64_t)rows, (uint64_t)(vectors * vec));
        return c;
    }
    c.program = CLF_OP;
    if (clf_op_kernels(s) == CLF_KERNELS_TILE) {
        const int64_t widest = CLF_MAX(n.D, n.E);

        c.entry = "clf_attention_tile";
        clf_format(c.options.text + length, sizeof c.options.text - length, " -DCLF_ROOM=%d",
                   widest <= 64    ? 64
                   : widest <= 128 ? 128
                                   : 256);
        c.groups = n.B * n.Hk * (int64_t)clf_div_up((uint64_t)rows, CLF_ATTENTION_ROWS);
        c.items = CLF_ATTENTION_WG;
        return c;
    }
    c.entry = "clf_attention_ref";
    c.groups = n.B * n.Q * n.H;
    return c;
}

static void launch(clf_stream *s, clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *o,
                   clf_tensor y)
{
    const sizes n = sizes_of(q, k, v);
    const attention_kernel c = kernel_for(s, n, o, q.dtype, k.dtype, v.dtype, y.dtype);
    const clf_kernel kernel = {
        .program = c.program,
        .entry = c.entry,
        .options = c.options.text,
        .groups = { clf_row_groups(c.groups), 1 },
        .items = c.items,
        .turns = clf_turns_of_rows(c.groups, clf_turns_of_attention(s, q, v, c.vectors, o)),
    };
    const float scale = o->scale != 0.0F ? o->scale : (float)(1.0 / sqrt((double)n.D));
    /* Beyond the number of keys and queries an offset changes nothing. */
    const int64_t offset = CLF_MAX(CLF_MIN(o->causal_offset, (int64_t)INT32_MAX), -(int64_t)INT32_MAX);

    CLF_LAUNCH(s, &kernel, HEADS(q), HEADS(k), HEADS(v), HEADS(y), clf_arg_u32((uint32_t)n.B),
               clf_arg_u32((uint32_t)n.Q), clf_arg_u32((uint32_t)n.K), clf_arg_u32((uint32_t)n.H),
               clf_arg_u32((uint32_t)n.Hk), clf_arg_u32((uint32_t)n.D), clf_arg_u32((uint32_t)n.E), clf_arg_f32(scale),
               clf_arg_u32(rules_of(o)), clf_arg_memory(o->mask), clf_arg_u64(clf_first_element(o->mask)),
               step(o->mask, 0), step(o->mask, 1), step(o->mask, 2), clf_arg_u32((uint32_t)o->mask_block),
               clf_arg_memory(o->key_lengths), clf_arg_u64(clf_first_element(o->key_lengths)),
               clf_arg_u64((uint64_t)offset), clf_arg_memory(o->query_groups),
               clf_arg_u64(clf_first_element(o->query_groups)), step(o->query_groups, 0), clf_arg_memory(o->key_groups),
               clf_arg_u64(clf_first_element(o->key_groups)), step(o->key_groups, 0), clf_arg_memory(o->weights),
               clf_arg_u64(clf_first_element(o->weights)));
}

void clf_attention(clf_stream *s, clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *options,
                   clf_tensor y)
{
    clf_attention_options o;

    if (!clf_op_enter(s) || !clf_op_passed(s, check(q, k, v, options, y, &o, clf_op_error(s))))
        return;
    if (q.dim[0] == 0 || q.dim[1] == 0)
        return;

    const clf_scope scope = clf_scope_open(s, NULL, -1);
    launch(s, normalised(s, &o.q_norm, q), normalised(s, &o.k_norm, k), v, &o, y);
    clf_scope_close(s, scope);
}

clf_tensor clf_heads(clf_stream *s, clf_tensor t, int64_t heads)
{
    const int32_t last = t.rank - 1;

    if (last < 0 || t.rank >= CLF_MAX_RANK || heads < 1 || t.dim[last] % heads != 0) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT,
                    "heads: %" PRId64 " of %s; want a divisor of the last dimension, at most %d dimensions", heads,
                    CLF_TEXT(t), CLF_MAX_RANK - 1);
        return t;
    }
    t.rank++;
    t.dim[last + 1] = t.dim[last] / heads;
    t.stride[last + 1] = t.stride[last];
    t.dim[last] = heads;
    t.stride[last] = t.dim[last + 1] * t.stride[last + 1];
    return t;
}
