/* pool: y[b, (i, j), c] = mean over the cell (i, j) of x[b, (m, n), c], in f32
 *
 * x  [B, H W, C] from element x0, steps xb of a picture and xt of a token;  y  [B, h w, C] from y0, steps yb and yt.
 * Cell (i, j) has the rows floor(i H / h) .. ceil((i + 1) H / h) - 1, likewise columns.
 *
 * Group (g, k) takes columns g span, ... of cells k block, ...; its items take vectors of CLF_VEC columns by turns,
 * then the columns that fill no vector one by one.  On CPU devices a group has one item.  Four vectors side by side:
 * whole cache lines of a token before the next token's, and four sums that do not wait for each other.  The same
 * columns of the next cell are fetched beside each token's.
 *
 * `streamed`: y goes past the caches, and x comes from beyond them.  Then what is read of f32 in one stretch is longer:
 * CLF_STRETCH vectors, and where that is 1 KB the processor's own prefetchers are better than hints; or with CLF_TOKENS,
 * whole tokens.  pocl 3.1 gains 7 % from the second and nothing from the first, Intel's CPU runtime (2026.22) 15 to 20 %
 * from the first and nothing from the second.
 *
 * CLF_ITEMS  items of a group: a constant, because Intel's CPU runtime (2026.22) reads vectors out of order where it
 *            does not know their distance, which took a fifth longer. */

/* The tokens of a cell one after the other; `at` is the element at column 0 of each. */
#define CLF_POOL_EACH_TOKEN                                                                                            \
    for (ulong m = top; m < bottom; m++)                                                                               \
        for (ulong n = left, at = from + (m * W + left) * xt; n < right; n++, at += xt)

/* Vectors of x in a cache line, and whether n of them want hints. */
#define CLF_POOL_LINE (64 / (CLF_VEC * (uint)sizeof(*x)))
#define CLF_POOL_FETCHES(n) ((n) * CLF_VEC * sizeof(*x) < 1024)

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

/* floor(i a / b) and ceil(i a / b). */
static ulong clf_pool_first(ulong i, ulong a, ulong b)
{
    return i * a / b;
}

static ulong clf_pool_end(ulong i, ulong a, ulong b)
{
    return (i * a + b - 1) / b;
}

#if CLF_TOKENS
/* Sums of 4 fours vectors of a cell, CLF_POOL_SUMS at most, which the first cache holds.  The token behind each is
 * fetched beside it; the last one is added on the way past the caches.  x: the first token's columns, y: the mean's. */
#define CLF_POOL_SUMS 64
#define CLF_POOL_EACH_VECTOR                                                                                           \
    for (ulong i = 0; i < 4 * fours; i += 4)                                                                           \
        _Pragma("unroll") for (ulong k = i; k < i + 4; k++)

static inline void clf_pool_tokens(global const CLF_TYPE(CLF_X) *x, ulong xt, ulong pitch, ulong height, ulong width,
                                   float count, ulong fours, global CLF_TYPE(CLF_Y) *y)
{
    global const CLF_TYPE(CLF_X) *last = x + (height - 1) * pitch + (width - 1) * xt;
    clf_fv sum[CLF_POOL_SUMS];

    CLF_POOL_EACH_VECTOR
        sum[k] = (clf_fv)(0.0f);
    for (ulong m = 0; m < height; m++) {
        global const CLF_TYPE(CLF_X) *at = x + m * pitch;

        for (ulong n = m + 1 < height ? 0 : 1; n < width; n++, at += xt)
            CLF_POOL_EACH_VECTOR
            {
                sum[k] += CLF_LOADV(CLF_X)(at, k * CLF_VEC);
                CLF_FETCH(at + xt + k * CLF_VEC);
            }
    }
    CLF_POOL_EACH_VECTOR
    {
        CLF_STORE_PAST((sum[k] + CLF_LOADV(CLF_X)(last, k * CLF_VEC)) / count, (global clf_fv *)(y + k * CLF_VEC));
        CLF_FETCH(last + xt + k * CLF_VEC);
    }
}
#endif

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
        const ulong top = clf_pool_first(i, H, h), bottom = clf_pool_end(i + 1, H, h);
        const ulong left = clf_pool_first(j, W, w), right = clf_pool_end(j + 1, W, w);
        const float count = (float)((bottom - top) * (right - left));
        const ulong from = x0 + b * xb, to = y0 + b * yb + cell * yt;
        const ulong ahead = (right - left) * xt;
        const bool past = streamed && CLF_PAST((global clf_fv *)(y + to));
        ulong c = begin + get_local_id(0) * CLF_VEC;

        /* Loops of their own: Intel's CPU runtime (2026.22) makes one plain store of two that differ in this alone. */
        if (past) {
#if CLF_TOKENS
            for (ulong fours; c + 3 * step < whole; c += 4 * fours * step) {
                fours = min((whole - c) / (4 * step), (ulong)CLF_POOL_SUMS / 4);
                clf_pool_tokens(x + from + (top * W + left) * xt + c, xt, W * xt, bottom - top, right - left, count,
                                fours, y + to + c);
            }
#else
#if CLF_STRETCH > 4
            CLF_POOL_WALK(CLF_STRETCH, CLF_POOL_STORE_PAST)
#endif
            CLF_POOL_WALK(4, CLF_POOL_STORE_PAST)
#endif
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
