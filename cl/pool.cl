/* pool: y[b, (i, j), c] = mean over the cell (i, j) of x[b, (m, n), c], in f32
 *
 * x  [B, H W, C] from element x0, steps xb of a picture and xt of a token;  y  [B, h w, C] from y0, steps yb and yt.
 * Cell (i, j) has the rows floor(i H / h) .. ceil((i + 1) H / h) - 1, likewise columns.
 *
 * Group (g, k) takes columns g span, ... of cells k block, ...; its items take vectors of CLF_VEC columns by turns,
 * then the columns that fill no vector one by one.  On CPU devices a group has one item.  Four vectors side by side:
 * whole cache lines of a token before the next token's, and four sums that do not wait for each other.
 *
 * CLF_CELL_ROWS, CLF_CELL_COLUMNS  sides of all cells, 2 or more, where they are equal and few enough tokens, or 0.  Then
 *            tokens are read in one straight line, without hints, and so many reads are under way that no more is needed.
 *            Of other cells the same columns of the next one are fetched beside each token's.
 * `streamed`: y goes past the caches, and x comes from beyond them.  Then f32 of those other cells is read in longer
 *            stretches, of CLF_STRETCH vectors: where that is 1 KB the processor's own prefetchers are better than hints.
 * CLF_ITEMS  items of a group: a constant, because Intel's CPU runtime (2026.22) reads vectors out of order where it
 *            does not know their distance, which took a fifth longer. */

#if CLF_CELL_ROWS
#define CLF_POOL_UNROLL _Pragma("unroll")
#define CLF_POOL_HINTS false
#else
#define CLF_POOL_UNROLL
#define CLF_POOL_HINTS true
#endif

/* The tokens of a cell one after the other; `at` is the element at column 0 of each. */
#define CLF_POOL_EACH_TOKEN                                                                                            \
    CLF_POOL_UNROLL for (ulong m = 0; m < height; m++)                                                                 \
        CLF_POOL_UNROLL for (ulong n = 0, at = from + m * W * xt; n < width; n++, at += xt)

/* Vectors of x in a cache line, and whether n of them want hints. */
#define CLF_POOL_LINE (64 / (CLF_VEC * (uint)sizeof(*x)))
#define CLF_POOL_FETCHES(n) (CLF_POOL_HINTS && (n) * CLF_VEC * sizeof(*x) < 1024)

/* n vectors side by side, as long as there are so many. */
#define CLF_POOL_WALK(n, store)                                                                                        \
    for (; c + (n - 1) * step < whole; c += n * step) {                                                                \
        clf_fv sum[n];                                                                                                 \
                                                                                                                       \
        _Pragma("unroll") for (uint k = 0; k < n; k++) sum[k] = (clf_fv)(0.0f);                                        \
        CLF_POOL_EACH_TOKEN                                                                                            \
        {                                                                                                              \
            _Pragma("unroll") for (uint k = 0; k < n; k++) sum[k] += CLF_LOADV(CLF_X)(x, at + c + k * step);           \
            if (CLF_POOL_FETCHES(n))                                                                                   \
                _Pragma("unroll") for (uint k = 0; k < n; k += CLF_POOL_LINE)                                          \
                    CLF_FETCH(x + at + ahead + c + k * step);                                                          \
        }                                                                                                              \
        _Pragma("unroll") for (uint k = 0; k < n; k++) store(c + k * step, sum[k] / count);                            \
    }

#define CLF_POOL_STORE(c, v) CLF_STOREV(CLF_Y)(y, to + (c), v)
#define CLF_POOL_STORE_PAST(c, v) CLF_STORE_PAST(v, (global clf_fv *)(y + to + (c)))

/* First of the cell's tokens of a side, and how many it has: floor(i a / b) .. ceil((i + 1) a / b) - 1. */
static ulong clf_pool_first(ulong i, ulong a, ulong b)
{
    return i * a / b;
}

static ulong clf_pool_side(ulong i, ulong a, ulong b)
{
    return ((i + 1) * a + b - 1) / b - clf_pool_first(i, a, b);
}

CLF_GROUP_OF(CLF_ITEMS) kernel void clf_pool_cells(global const CLF_TYPE(CLF_X) *x, ulong x0, ulong xb, ulong xt,
                                                   ulong H, ulong W, ulong h, ulong w, ulong rows, ulong columns,
                                                   ulong block, ulong span, global CLF_TYPE(CLF_Y) *y, ulong y0,
                                                   ulong yb, ulong yt, uint streamed)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);
    const ulong step = CLF_ITEMS * CLF_VEC;

    for (ulong r = first; r < last; r++) {
        const ulong b = r / (h * w), cell = r % (h * w), i = cell / w, j = cell % w;
#if CLF_CELL_ROWS
        const ulong top = i * CLF_CELL_ROWS, left = j * CLF_CELL_COLUMNS;
        const ulong height = CLF_CELL_ROWS, width = CLF_CELL_COLUMNS;
#else
        const ulong top = clf_pool_first(i, H, h), left = clf_pool_first(j, W, w);
        const ulong height = clf_pool_side(i, H, h), width = clf_pool_side(j, W, w);
#endif
        const ulong from = x0 + b * xb + (top * W + left) * xt, to = y0 + b * yb + cell * yt, ahead = width * xt;
        const float count = (float)(height * width);
        const bool past = streamed && CLF_PAST((global clf_fv *)(y + to));
        ulong c = begin + get_local_id(0) * CLF_VEC;

        /* Loops of their own: Intel's CPU runtime (2026.22) makes one plain store of two that differ in this alone. */
        if (past) {
#if CLF_STRETCH > 4 && !CLF_CELL_ROWS
            CLF_POOL_WALK(CLF_STRETCH, CLF_POOL_STORE_PAST)
#endif
            CLF_POOL_WALK(4, CLF_POOL_STORE_PAST)
        } else {
            CLF_POOL_WALK(4, CLF_POOL_STORE)
        }
        CLF_POOL_WALK(1, CLF_POOL_STORE)
        for (c = whole + get_local_id(0); c < end; c += CLF_ITEMS) {
            float sum = 0.0f;

            CLF_POOL_EACH_TOKEN
                sum += CLF_LOAD(CLF_X)(x, at + c);
            CLF_STORE(CLF_Y)(y, to + c, sum / count);
        }
    }
}
