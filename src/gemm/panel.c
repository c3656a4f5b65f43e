/* panel: matrix products from packed panels, for CPU devices.
 *
 * w  [ceil(N / NR)][K][NR]   packed once, NR = two vectors of the device
 * x  rows of f32, read where they lie
 * y  tiles of MR x NR; a work-item makes one, or some one below the other; the epilogue happens before the store
 *
 * Each output is one chain of fused multiply-adds in rising k, whatever MR: equal rows give equal bits. */
#include "gemm/stage.h"
#include "runtime/context.h"
#include "runtime/op.h"

#define CLF_OP "linear"

/* An item has tiles one below the other, when so many items are left for each compute unit.  Where a row of w is no
 * longer than WHOLE its sums stay in registers, and few tiles are best, whose rows of x the cache keeps.  Sums over longer
 * rows wait in private memory, STEPS of k at a time; there more tiles mean fewer passes over w.  docs/decisions.md,
 * "batches of tiles". */
#define WHOLE 1024
#define STEPS 256
#define TILES 12
#define TILES_LONG 36
#define ITEMS_A_UNIT 4
#define ITEMS_LONG 100 /* below so many a unit, items of half the tiles: for the last one all others wait */

/* A weight of up to KEPT bytes stays in the second-level cache while x, at least LONGER times as long, passes: sums of any
 * length stay in registers, and rows of x are what comes from memory and is fetched ahead.  docs/decisions.md, "long x". */
#define KEPT (1 << 20)
#define LONGER 16

/* A result above a quarter of the caches goes past them.  docs/decisions.md, "results of products". */
#define CACHES_PAST 4

static int64_t panel_width(const clf_context *ctx)
{
    return 2 * (int64_t)ctx->vector_width;
}

/* Sums of many tiles fit into the private memory of a CPU's work-item; a GPU would take it from its global memory.  On
 * llvmpipe the loops of an item must be short (runtime/launch.c). */
static uint64_t most_tiles(const clf_context *ctx, bool whole)
{
    if (ctx->info.kind != CLF_DEVICE_CPU || ctx->emulated_fma)
        return 1;
    return whole ? TILES : TILES_LONG;
}

static clf_status panel_supports(clf_context *ctx, clf_error *err)
{
    (void)ctx;
    (void)err;
    return CLF_OK;
}

static void pack_rows_of_weight(clf_stream *s, clf_tensor staged, int64_t first, const clf_gemm_weight *w)
{
    const int64_t NR = panel_width(clf_stream_context(s)), rows = clf_dim(staged, -2);
    const uint64_t weights = staged.rank == 3 ? (uint64_t)staged.dim[0] : 1;
    const clf_options options = clf_options_types("CLF_SRC", staged.dtype, "CLF_W", w->storage, NULL);
    const clf_kernel kernel = {
        .program = "panel_pack",
        .entry = "clf_panel_pack_weight",
        .options = options.text,
        .groups = { weights * clf_div_up((uint64_t)rows, (uint64_t)NR), clf_div_up((uint64_t)w->K, CLF_PANEL_COLUMNS) },
        .items = 1,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(staged), clf_arg_u64(clf_first_element(staged)), clf_arg_u32((uint32_t)rows),
               clf_arg_u32((uint32_t)w->K), clf_arg_u32((uint32_t)(first / NR)), clf_arg_memory(w->packed),
               clf_arg_u64(clf_first_element(w->packed)));
}

/* Of a weight, or of all that count says, packed, each in panels of its own. */
static clf_status count_elements(const clf_context *ctx, const clf_gemm_weight *w, uint64_t *elements, clf_error *err)
{
    uint64_t columns;

    CLF_REQUIRE(err, w->N <= INT32_MAX && w->K <= INT32_MAX, CLF_UNSUPPORTED,
                "weight is %s; want dimensions below 2^31",
                CLF_TEXT(clf_tensor_shape(w->storage, CLF_DIMS(w->N, w->K))));
    CLF_REQUIRE(err,
                clf_size_round_up((uint64_t)w->N, (uint64_t)panel_width(ctx), &columns) &&
                    clf_size_mul(columns, (uint64_t)w->K, elements) &&
                    clf_size_mul(*elements, (uint64_t)CLF_MAX(w->count, 1), elements) && *elements <= INT64_MAX,
                CLF_UNSUPPORTED, "weight is %s; want fewer elements",
                CLF_TEXT(clf_tensor_shape(w->storage, CLF_DIMS(w->N, w->K))));
    return CLF_OK;
}

static clf_status panel_pack(clf_context *ctx, const clf_gemm_host *host, clf_gemm_weight *w, clf_error *err)
{
    uint64_t elements;

    CLF_TRY(count_elements(ctx, w, &elements, err));
    return clf_stage_weight(ctx, host, panel_width(ctx), (int64_t)elements, pack_rows_of_weight, w, err);
}

/* Of a weight, or of all that count says, each in panels of its own. */
static clf_dims packed_dims(const clf_context *ctx, const clf_gemm_weight *w)
{
    const int64_t NR = panel_width(ctx), panels = (w->N + NR - 1) / NR;

    return CLF_DIMS(CLF_MAX(w->count, 1) * panels, NR, w->K);
}

static void panel_pack_rows(clf_stream *s, clf_tensor z, clf_gemm_weight *w)
{
    *w = (clf_gemm_weight){ .N = clf_dim(z, -2), .K = clf_dim(z, -1), .storage = CLF_F32 };
    if (z.rank == 3)
        w->count = z.dim[0];
    w->packed = clf_scratch(s, CLF_F32, packed_dims(clf_stream_context(s), w));
    pack_rows_of_weight(s, z, 0, w);
}

static void panel_reserve_rows(clf_stream *s, int64_t N, int64_t K, clf_gemm_weight *w)
{
    *w = (clf_gemm_weight){ .N = N, .K = K, .storage = CLF_F32 };
    w->packed = clf_scratch(s, CLF_F32, packed_dims(clf_stream_context(s), w));
}

static void panel_pack_part(clf_stream *s, const clf_gemm_rows *rows, const clf_gemm_weight *w)
{
    const clf_tensor z = rows->z;
    const uint64_t vector = clf_stream_context(s)->vector_width, K = (uint64_t)w->K;
    const clf_options options = clf_options_types("CLF_SRC", z.dtype, "CLF_W", w->storage, NULL);
    const clf_kernel kernel = {
        .program = "panel_pack",
        .entry = "clf_panel_pack_part",
        .options = options.text,
        .groups = { 2 * clf_div_up((uint64_t)z.dim[0], 2 * vector), 1 },
        .items = 1,
        .turns = CLF_MIN(2 * clf_div_up(K, vector) + 2 * vector * (vector + 4), UINT32_MAX),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(z), clf_arg_u64(clf_first_element(z)), clf_arg_u64((uint64_t)z.stride[0]),
               clf_arg_u32((uint32_t)z.dim[0]), clf_arg_u32((uint32_t)K), clf_arg_u32((uint32_t)rows->first),
               clf_arg_u32(rows->unit), clf_arg_f32(rows->eps), clf_arg_memory(w->packed),
               clf_arg_u64(clf_first_element(w->packed)));
}

/* staged [weights K, N], the first of them weight `first_weight`. */
static void pack_turned_weights(clf_stream *s, clf_tensor staged, int64_t first_weight, clf_tensor mask,
                                const clf_gemm_weight *w)
{
    const uint64_t weights = (uint64_t)(clf_row_count(staged) / w->K);
    const uint64_t NR = (uint64_t)panel_width(clf_stream_context(s));
    const clf_options options = clf_options_types("CLF_SRC", staged.dtype, "CLF_W", w->storage, NULL);
    const clf_kernel kernel = {
        .program = "panel_pack",
        .entry = "clf_panel_pack_turned",
        .options = options.text,
        .groups = { clf_div_up((uint64_t)w->N, NR), clf_div_up((uint64_t)w->K, CLF_PANEL_COLUMNS) * weights },
        .items = 1,
        .turns = (uint64_t)w->K + CLF_PANEL_COLUMNS * (NR + 2),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(staged), clf_arg_u64(clf_first_element(staged)), clf_arg_u32((uint32_t)w->N),
               clf_arg_u32((uint32_t)w->K), clf_arg_u64((uint64_t)first_weight), clf_arg_u32(clf_present(mask)),
               clf_arg_memory(mask), clf_arg_u64(clf_first_element(mask)),
               clf_arg_u64(clf_present(mask) && mask.dim[0] > 1 ? (uint64_t)mask.stride[0] : 0),
               clf_arg_memory(w->packed), clf_arg_u64(clf_first_element(w->packed)));
}

static void panel_pack_columns(clf_stream *s, clf_tensor z, clf_tensor mask, clf_gemm_weight *w)
{
    *w = (clf_gemm_weight){ .N = z.dim[2], .K = z.dim[1], .storage = CLF_F32, .count = z.dim[0] };
    w->packed = clf_scratch(s, CLF_F32, packed_dims(clf_stream_context(s), w));
    pack_turned_weights(s, z, 0, mask, w);
}

/* Of `lying`, all rows of the host's weight as they lie there. */
static void pack_turned_rows(clf_stream *s, clf_tensor staged, int64_t first, const clf_gemm_weight *lying)
{
    const int64_t rows = lying->N / lying->count;
    const clf_gemm_weight turned = { .N = lying->K, .K = rows, .storage = lying->storage, .packed = lying->packed };

    pack_turned_weights(s, staged, first / rows, (clf_tensor){ 0 }, &turned);
}

static clf_status panel_pack_turned(clf_context *ctx, const clf_gemm_host *host, clf_gemm_weight *w, clf_error *err)
{
    clf_gemm_weight lying = { .N = w->count * w->K, .K = w->N, .storage = w->storage, .count = w->count };
    uint64_t elements;

    CLF_TRY(count_elements(ctx, w, &elements, err));
    CLF_TRY(clf_stage_weight(ctx, host, w->K, (int64_t)elements, pack_turned_rows, &lying, err));
    w->packed = lying.packed;
    return CLF_OK;
}

static bool panel_divides(const clf_context *ctx, int64_t N)
{
    return N % panel_width(ctx) == 0;
}

/* Tile height by the number of rows: a tile takes as long as its height and 1.5 rows more.  docs/decisions.md, "tile
 * heights". */
static int64_t tile_height(int64_t rows)
{
    int64_t best = 4, least = INT64_MAX;

    if (rows == 1)
        return 1;
    for (int64_t MR = 4; MR <= 8; MR++) {
        const int64_t time = (int64_t)clf_div_up((uint64_t)rows, (uint64_t)MR) * (2 * MR + 3);

        if (time <= least) {
            least = time;
            best = MR;
        }
    }
    return best;
}

/* Kernel, work-groups, and the work of an item. */
typedef struct launch_plan {
    const char *entry;
    uint64_t groups[2];
    bool across;           /* the first dimension counts panels of w, not rows of tiles */
    uint32_t batch, block; /* tiles of an item; steps of k that all of them take before the next */
    bool rows_ahead;       /* x is fetched ahead, not w */
} launch_plan;

/* Tiles that an item of the CPU kernels takes. */
static uint64_t batch_of(const clf_context *ctx, uint64_t rows, uint64_t columns, bool whole)
{
    const uint64_t units = ctx->info.compute_units, most = most_tiles(ctx, whole);
    const bool halved = !whole && clf_div_up(rows, most) * columns < ITEMS_LONG * units;
    const uint64_t fewest = clf_div_up(rows, halved ? clf_div_up(most, 2) : most);
    const uint64_t enough = clf_div_up(ITEMS_A_UNIT * units, columns);

    return clf_div_up(rows, CLF_MIN(CLF_MAX(fewest, enough), rows));
}

static const char *entry_of(int64_t MR)
{
    static const char *const entries[] = { "clf_panel_mr4", "clf_panel_mr5", "clf_panel_mr6", "clf_panel_mr7",
                                           "clf_panel_mr8" };

    return MR == 1 ? "clf_panel_mr1" : entries[MR - 4];
}

static bool stays_in_cache(const clf_gemm_weight *w, clf_tensor x)
{
    const uint64_t bytes = (uint64_t)clf_element_count(w->packed) * clf_dtype_bytes(w->storage);

    return bytes <= KEPT && bytes <= (uint64_t)clf_element_count(x) * sizeof(float) / LONGER;
}

static launch_plan plan_of(const clf_stream *s, clf_tensor x, int64_t MR, const clf_gemm_weight *w)
{
    const clf_context *ctx = clf_stream_context(s);
    const uint64_t rows = clf_div_up((uint64_t)clf_row_count(x), (uint64_t)MR);
    const uint64_t columns = clf_div_up((uint64_t)w->N, (uint64_t)panel_width(ctx));
    const bool kept = stays_in_cache(w, x), whole = kept || w->K <= WHOLE;
    const uint64_t batch = batch_of(ctx, rows, columns * (uint64_t)CLF_MAX(w->count, 1), whole);
    launch_plan p = {
        .groups = { rows, columns }, .batch = 1, .block = (uint32_t)w->K, .rows_ahead = kept && clf_is_dense(x)
    };

    if (clf_op_kernels(s) == CLF_KERNELS_REF) {
        p.entry = "clf_panel_ref";
        return p;
    }
    p.entry = entry_of(MR);
    if (MR == 1) {
        p.groups[1] = clf_div_up(columns, CLF_PANEL_SPAN(clf_dtype_bytes(w->storage)));
    } else if (batch > 1) {
        p.groups[0] = columns;
        p.groups[1] = clf_div_up(rows, batch);
        p.across = true;
        p.batch = (uint32_t)batch;
        p.block = whole ? (uint32_t)w->K : STEPS;
    }
    return p;
}

/* Of an item's loops: over k for each tile, and for each row of it the epilogue.  The reference takes k for each output. */
static uint64_t turns_of(const clf_stream *s, const launch_plan *p, uint64_t MR, uint64_t K)
{
    const uint64_t NR = (uint64_t)panel_width(clf_stream_context(s)), epilogue = MR * (NR + 8) + 64;

    if (clf_op_kernels(s) == CLF_KERNELS_REF)
        return MR * NR * CLF_MIN(K + 4, UINT32_MAX);
    return p->batch * (CLF_MIN(K, UINT32_MAX) + clf_div_up(K, p->block) + epilogue) + 2 * NR;
}

static void panel_run(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, const clf_gemm_fusion *f, clf_tensor y)
{
    const clf_linear_options *o = f->options;
    const clf_context *ctx = clf_stream_context(s);
    const uint64_t x_step = w->count > 0 ? (uint64_t)x.stride[0] : 0, y_step = w->count > 0 ? (uint64_t)y.stride[0] : 0;
    clf_options options;

    if (w->count > 0) {
        x = clf_slice(s, x, 0, 0, 1);
        y = clf_slice(s, y, 0, 0, 1);
    }
    const int64_t M = clf_row_count(x);

    if (M > INT32_MAX) {
        CLF_OP_FAIL(s, CLF_UNSUPPORTED, CLF_OP ": x is %s; want fewer than 2^31 rows", CLF_TEXT(x));
        return;
    }
    const int64_t MR = tile_height(M);
    const launch_plan p = plan_of(s, x, MR, w);
    const uint64_t bytes = (uint64_t)clf_element_count(y) * clf_dtype_bytes(y.dtype);
    clf_format(options.text, sizeof options.text, "-DCLF_W=%s -DCLF_Y=%s -DCLF_ACTIVATION=%d -DCLF_PANEL_BATCH=%u",
               clf_dtype_name(w->storage), clf_dtype_name(y.dtype), (int)o->activation,
               (unsigned)most_tiles(ctx, false));
    const clf_kernel kernel = { .program = "panel",
                                .entry = p.entry,
                                .options = options.text,
                                .groups = { p.groups[0], p.groups[1] * (uint64_t)CLF_MAX(w->count, 1) },
                                .items = 1,
                                .turns = turns_of(s, &p, (uint64_t)MR, (uint64_t)w->K) };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_memory(w->packed), clf_arg_u64(clf_first_element(w->packed)),
               clf_arg_u32((uint32_t)M), clf_arg_u32((uint32_t)w->N), clf_arg_u32((uint32_t)w->K),
               clf_arg_u32((uint32_t)p.groups[1]), clf_arg_u64(x_step), clf_arg_u64(y_step), clf_arg_u32((uint32_t)MR),
               clf_arg_u32(p.across), clf_arg_u32(p.batch), clf_arg_u32(p.block), clf_arg_u32(p.rows_ahead),
               clf_arg_memory(f->bias), clf_arg_u64(clf_first_element(f->bias)), clf_arg_u32(clf_present(f->bias)),
               clf_arg_u32(clf_present(o->residual)), clf_arg_f32(o->residual_scale),
               clf_arg_u32(clf_stores_past(s, y, CACHES_PAST * bytes)), clf_arg_rows(o->residual), clf_arg_rows(y));
}

const clf_gemm_provider clf_gemm_panel = {
    .name = "panel",
    .fuses = true,
    .supports = panel_supports,
    .pack = panel_pack,
    .pack_rows = panel_pack_rows,
    .reserve_rows = panel_reserve_rows,
    .pack_part = panel_pack_part,
    .pack_columns = panel_pack_columns,
    .pack_turned = panel_pack_turned,
    .divides = panel_divides,
    .run = panel_run,
};
