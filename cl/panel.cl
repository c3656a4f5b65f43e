/* panel: y[M, N] = residual + scale · act(x[M, K] · W[N, K]ᵀ + b), every product and sum in f32.
 *
 * x  rows of f32, placed by clf_rows
 * w  column panels  [ceil(N / NR)][K][NR] of CLF_W, made once by panel_pack; NR = 2 CLF_VEC
 * y  a work-item makes `batch` tiles of MR rows and NR columns, in blocks of `block` steps of k; global
 *    (ceil(ceil(M / MR) / batch), ceil(N / NR)), or the other way round when `across` is 1; work-groups of one
 *
 * A CPU device runs an item as straight code in explicit vectors: no barriers, no local memory.  Per k a tile takes two
 * vectors of w and MR broadcasts of x for 2 MR fused multiply-adds.  x is read where it lies: a broadcast costs the same
 * from MR rows as from one packed panel, and a cache line of each row serves 16 steps.
 *
 * An item is a batch of tiles one below the other, and columns are the fast dimension (`across`): the item takes a block
 * of w through all its tiles, while their sums wait in private memory if there are more blocks; neighbours share rows of
 * x.  A block of w and of these rows stay in the second-level cache.  Where such items would be too few, one is a single
 * tile, and rows are the fast dimension: neighbours share a panel of w.
 *
 * Weights come from memory while the units multiply: each tile fetches its share of what is next, the next panel, or the
 * next block.  Both lie right behind: panels and blocks follow each other in w.  Where all of w stays in a cache, and x
 * does not (`rows_ahead`; x dense, one block), a tile fetches the rows of the next one.
 *
 * An output is one chain of fma in rising k from 0, then the epilogue: its bits depend on its row of x, its row of W and
 * the epilogue's operands, never on M, MR, batch, block or the place of the row.
 *
 * CLF_PANEL_BATCH  the most tiles of an item
 * CLF_ACTIVATION   a code CLF_ACT_...
 *
 * y and the residual have type CLF_Y and are placed by clf_rows; nothing outside their logical rows and columns is
 * touched.  y may be the residual. */

#define NR (2 * CLF_VEC)

/* One row of the result: the NR values v, of which columns exist, joined with the residual and stored, `past` the caches
 * where nobody reads it soon: then y has f32. */
static inline void clf_panel_store_row(const clf_fv *v, uint columns, uint has_residual, float scale, uint past,
                                global const CLF_TYPE(CLF_Y) *r, ulong r_at, global CLF_TYPE(CLF_Y) *y, ulong y_at)
{
    if (columns == NR) {
        clf_fv v0 = v[0], v1 = v[1];
        if (has_residual) {
            v0 = CLF_FMA((clf_fv)(scale), v0, CLF_LOADV(CLF_Y)(r, r_at));
            v1 = CLF_FMA((clf_fv)(scale), v1, CLF_LOADV(CLF_Y)(r, r_at + CLF_VEC));
        }
        if (past && CLF_PAST((global clf_fv *)(y + y_at))) {
            CLF_STORE_PAST(v0, (global clf_fv *)(y + y_at));
            CLF_STORE_PAST(v1, (global clf_fv *)(y + y_at + CLF_VEC));
        } else {
            CLF_STOREV(CLF_Y)(y, y_at, v0);
            CLF_STOREV(CLF_Y)(y, y_at + CLF_VEC, v1);
        }
        return;
    }
    for (uint n = 0; n < columns; n++) {
        float one = ((const float *)v)[n];
        if (has_residual)
            one = CLF_FMA(scale, one, CLF_LOAD(CLF_Y)(r, r_at + n));
        CLF_STORE(CLF_Y)(y, y_at + n, one);
    }
}

/* The epilogue of a tile, `rows` by `columns` of which exist; tile is [MR][NR]. */
static inline void clf_panel_finish(clf_fv *tile, uint row, uint rows, uint n, uint columns, global const float *bias,
                             uint has_residual, float scale, uint past, global const CLF_TYPE(CLF_Y) *r, clf_rows R,
                             global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    if (bias) {
        const clf_fv b0 = clf_loadv_some(bias, n, columns);
        const clf_fv b1 = columns > CLF_VEC ? clf_loadv_some(bias, n + CLF_VEC, columns - CLF_VEC) : (clf_fv)(0.0f);
        for (uint i = 0; i < rows; i++) {
            tile[2 * i] += b0;
            tile[2 * i + 1] += b1;
        }
    }
    for (uint i = 0; i < 2 * rows; i++)
        tile[i] = clf_act(CLF_ACTIVATION, tile[i]);
    for (uint i = 0; i < rows; i++)
        clf_panel_store_row(tile + 2 * i, columns, has_residual, scale, past, r, clf_row(R, (ulong)row + i) + n, y,
                            clf_row(Y, (ulong)row + i) + n);
}

#define CLF_PANEL_ARGUMENTS                                                                                            \
    global const float *x, clf_rows X, global const CLF_TYPE(CLF_W) *w, ulong w_at, uint M, uint N, uint K,            \
        uint groups_up, ulong x_step, ulong y_step, uint height, uint across, uint batch, uint block, uint rows_ahead, \
        global const float *bias, ulong bias_at, uint has_bias, uint has_residual, float scale, uint past,             \
        global const CLF_TYPE(CLF_Y) *r, clf_rows R, global CLF_TYPE(CLF_Y) *y, clf_rows Y

/* The item's column of tiles and its first tile.  Not by ?:, which pocl 3.1 turns into a choice of dimension that it then
 * cannot link (2026-11). */
#define CLF_PANEL_COLUMN (across * (uint)get_global_id(0) + (1 - across) * CLF_PANEL_UP)
#define CLF_PANEL_ROW (across * CLF_PANEL_UP + (1 - across) * (uint)get_global_id(0))

/* The item's product: each takes `groups_up` places of the second dimension, and everything one step further on. */
#define CLF_PANEL_UP ((uint)get_global_id(1) % groups_up)
#define CLF_PANEL_PRODUCT                                                                                              \
    const ulong product = get_global_id(1) / groups_up;                                                                \
    x += product * x_step;                                                                                             \
    y += product * y_step;                                                                                             \
    w += w_at + product * ((N + NR - 1) / NR * NR) * K;                                                                \
    bias += bias_at + product * N;

/* A whole tile goes to y as soon as its sums are complete: from the registers or, with an activation, row by row from
 * private memory, since its code on the registers would be longer than the product.  All tiles of an item at once would
 * wait for memory.  No bias is -0, which changes no sum: 0 would turn a sum of -0. */
#define CLF_PANEL_STORE_ROW(MR, i, v)                                                                                  \
    clf_panel_store_row(v, NR, has_residual, scale, past, r, clf_row(R, (ulong)p * (MR) + i) + n, y,                   \
                        clf_row(Y, (ulong)p * (MR) + i) + n);
#if CLF_ACTIVATION == CLF_ACT_NONE
#define CLF_PANEL_STORE(MR)                                                                                            \
    _Pragma("unroll") for (uint i = 0; i < (MR); i++)                                                                  \
    {                                                                                                                  \
        const clf_fv v[2] = { sum[2 * i] + b0, sum[2 * i + 1] + b1 };                                                  \
        CLF_PANEL_STORE_ROW(MR, i, v)                                                                                  \
    }
#else
#define CLF_PANEL_STORE(MR)                                                                                            \
    {                                                                                                                  \
        clf_fv *row = tile[p - first];                                                                                 \
        _Pragma("unroll") for (uint i = 0; i < 2 * (MR); i++) row[i] = sum[i] + (i % 2 == 0 ? b0 : b1);                \
        for (uint i = 0; i < (MR); i++, row += 2) {                                                                    \
            const clf_fv v[2] = { clf_act(CLF_ACTIVATION, row[0]), clf_act(CLF_ACTIVATION, row[1]) };                  \
            CLF_PANEL_STORE_ROW(MR, i, v)                                                                              \
        }                                                                                                              \
    }
#endif

/* A step of k in a tile. */
#define CLF_PANEL_STEP(MR)                                                                                             \
    {                                                                                                                  \
        const clf_fv w0 = CLF_LOADV(CLF_W)(v, 0), w1 = CLF_LOADV(CLF_W)(v, CLF_VEC);                                   \
        _Pragma("unroll") for (uint i = 0; i < (MR); i++) {                                                            \
            sum[2 * i] = CLF_FMA((clf_fv)(from[i][k]), w0, sum[2 * i]);                                                \
            sum[2 * i + 1] = CLF_FMA((clf_fv)(from[i][k]), w1, sum[2 * i + 1]);                                        \
        }                                                                                                              \
        k++;                                                                                                           \
        v += NR;                                                                                                       \
    }

/* `ahead` are the bytes to fetch, `bytes` of them for every two steps of k in each tile: a cache line at most, or up to
 * four where three tiles or fewer share the weights.  A hint takes the place of a load, and these are scarce: one for
 * every step costs 1 % of a large product. */
#define CLF_PANEL_FETCH                                                                                                \
    CLF_FETCH(ahead);                                                                                                  \
    if (bytes > 64) {                                                                                                  \
        CLF_FETCH(ahead + bytes / 4);                                                                                  \
        CLF_FETCH(ahead + bytes / 2);                                                                                  \
        CLF_FETCH(ahead + bytes / 4 * 3);                                                                              \
    }                                                                                                                  \
    ahead += bytes;

/* Rows of the last tile past M repeat the last row, unstored. */
#define CLF_PANEL_RUN(MR)                                                                                              \
    kernel void clf_panel_mr##MR(CLF_PANEL_ARGUMENTS)                                                                  \
    {                                                                                                                  \
        CLF_PANEL_PRODUCT                                                                                              \
        const uint tiles = (M + (MR) - 1) / (MR), n = CLF_PANEL_COLUMN * NR;                                           \
        const uint first = CLF_PANEL_ROW * batch, last = min(first + batch, tiles);                                    \
        const bool one_block = M <= X.s1; /* of rows of x */                                                           \
        const uint sharers = across ? last - first : tiles, place = across ? 0 : first;                                \
        const uint bytes = rows_ahead ? 2 * (MR) * sizeof(*x) : (2 * NR * sizeof(*w) + sharers - 1) / sharers;         \
        const uint whole = n + NR <= N ? M / (MR) : 0; /* tiles before it are */                                       \
        const clf_fv b0 = whole && has_bias ? CLF_VLOAD(bias + n) : (clf_fv)(-0.0f);                                   \
        const clf_fv b1 = whole && has_bias ? CLF_VLOAD(bias + n + CLF_VEC) : (clf_fv)(-0.0f);                         \
        clf_fv tile[CLF_PANEL_BATCH][2 * (MR)];                                                                        \
                                                                                                                       \
        w += (ulong)n * K;                                                                                             \
        for (uint p = first; p < last; p++)                                                                            \
            for (uint i = 0; i < 2 * (MR); i++)                                                                        \
                tile[p - first][i] = 0.0f;                                                                             \
        for (uint begin = 0; begin < K; begin += block) {                                                              \
            const uint end = min(begin + block, K);                                                                    \
            global const uchar *ahead =                                                                                \
                rows_ahead ? (global const uchar *)(x + clf_row(X, (ulong)(first + 1) * (MR)))                         \
                           : (global const uchar *)(w + (ulong)end * NR) + (ulong)place * (end - begin) / 2 * bytes;   \
            for (uint p = first; p < last; p++) {                                                                      \
                global const float *from[MR];                                                                          \
                global const CLF_TYPE(CLF_W) *v = w + (ulong)begin * NR;                                               \
                clf_fv sum[2 * (MR)];                                                                                  \
                const uint at = p * (MR);                                                                              \
                if (one_block && at + (MR) <= M) {                                                                     \
                    from[0] = x + X.s0 + at * X.s2;                                                                    \
                    _Pragma("unroll") for (uint i = 1; i < (MR); i++) from[i] = from[i - 1] + X.s2;                    \
                } else {                                                                                               \
                    _Pragma("unroll") for (uint i = 0; i < (MR); i++) from[i] = x + clf_row(X, min(at + i, M - 1));    \
                }                                                                                                      \
                _Pragma("unroll") for (uint i = 0; i < 2 * (MR); i++) sum[i] = tile[p - first][i];                     \
                ulong k = begin;                                                                                       \
                while (k + 2 <= end) {                                                                                 \
                    CLF_PANEL_FETCH                                                                                    \
                    CLF_PANEL_STEP(MR)                                                                                 \
                    CLF_PANEL_STEP(MR)                                                                                 \
                }                                                                                                      \
                if (k < end)                                                                                           \
                    CLF_PANEL_STEP(MR)                                                                                 \
                if (end == K && p < whole)                                                                             \
                    CLF_PANEL_STORE(MR)                                                                                \
                else                                                                                                   \
                    _Pragma("unroll") for (uint i = 0; i < 2 * (MR); i++) tile[p - first][i] = sum[i];                 \
            }                                                                                                          \
        }                                                                                                              \
        for (uint p = max(first, whole); p < last; p++)                                                                \
            clf_panel_finish(tile[p - first], p * (MR), min((uint)(MR), M - p * (MR)), n, min((uint)NR, N - n),        \
                             has_bias ? bias : 0, has_residual, scale, past, r, R, y, Y);                              \
    }

/* One row: bound by the weights' bytes.  Two panels of f32 side by side are as many streams from memory as the hardware
 * follows by itself.  Of 16-bit weights it fetches too little: there an item has one panel and fetches ahead, into the
 * next item's.  Global size (m, ceil(N/(SPAN·NR))); panels past the last repeat it, unstored. */
#define SPAN CLF_PANEL_SPAN(sizeof(CLF_TYPE(CLF_W)))
#define AHEAD (16384 / sizeof(CLF_TYPE(CLF_W)))
kernel void clf_panel_mr1(CLF_PANEL_ARGUMENTS)
{
    CLF_PANEL_PRODUCT
    const uint row = get_global_id(0), first = CLF_PANEL_UP * SPAN, last = (N - 1) / NR;
    global const CLF_TYPE(CLF_W) *from[SPAN];
    clf_fv sum[2 * SPAN], tile[2 * SPAN];

    x += clf_row(X, row);
    _Pragma("unroll") for (uint i = 0; i < SPAN; i++) {
        from[i] = w + (ulong)min(first + i, last) * NR * K;
        sum[2 * i] = 0.0f;
        sum[2 * i + 1] = 0.0f;
    }
    for (uint k = 0; k < K; k++) {
        const clf_fv a = x[k];
        if (SPAN == 1)
            CLF_FETCH((global const uchar *)(from[0] + (ulong)k * NR + AHEAD));
        _Pragma("unroll") for (uint i = 0; i < SPAN; i++) {
            sum[2 * i] = CLF_FMA(a, CLF_LOADV(CLF_W)(from[i], (ulong)k * NR), sum[2 * i]);
            sum[2 * i + 1] = CLF_FMA(a, CLF_LOADV(CLF_W)(from[i], (ulong)k * NR + CLF_VEC), sum[2 * i + 1]);
        }
    }
    _Pragma("unroll") for (uint i = 0; i < 2 * SPAN; i++) tile[i] = sum[i];
    for (uint i = 0; i < SPAN && first + i <= last; i++) {
        const uint n = (first + i) * NR;
        clf_panel_finish(tile + 2 * i, row, 1, n, min((uint)NR, N - n), has_bias ? bias : 0, has_residual, scale, past, r, R, y, Y);
    }
}

CLF_PANEL_RUN(4)
CLF_PANEL_RUN(5)
CLF_PANEL_RUN(6)
CLF_PANEL_RUN(7)
CLF_PANEL_RUN(8)

/* The reference: each output of the tile by itself, from the same panels; `height` is MR. */
kernel void clf_panel_ref(CLF_PANEL_ARGUMENTS)
{
    CLF_PANEL_PRODUCT
    const uint first = get_global_id(0) * height, n0 = CLF_PANEL_UP * NR;

    w += (ulong)n0 * K;
    for (uint row = first; row < min(first + height, M); row++)
        for (uint j = 0; j < min((uint)NR, N - n0); j++) {
            float sum = 0.0f;

            for (uint k = 0; k < K; k++)
                sum = CLF_FMA(x[clf_row(X, row) + k], CLF_LOAD(CLF_W)(w, (ulong)k * NR + j), sum);
            sum = clf_act1(CLF_ACTIVATION, sum + (has_bias ? bias[n0 + j] : -0.0f));
            if (has_residual)
                sum = CLF_FMA(scale, sum, CLF_LOAD(CLF_Y)(r, clf_row(R, row) + n0 + j));
            CLF_STORE(CLF_Y)(y, clf_row(Y, row) + n0 + j, sum);
        }
}
