/* pool: y[b, (i, j), c] = mean over the cell (i, j) of x[b, (m, n), c], in f32
 *
 * x  [B, H W, C] from element x0, steps xb of a picture and xt of a token;  y  [B, h w, C] from y0, steps yb and yt.
 * Cell (i, j) has the rows floor(i H / h) .. ceil((i + 1) H / h) - 1, likewise columns.
 *
 * Group (g, k) takes columns g span, ... of cells k block, ...; its items take vectors of CLF_VEC columns by turns,
 * then the columns that fill no vector one by one.  On CPU devices a group has one item.  Four vectors side by side: whole
 * cache lines of a token before the next token's, and four sums that do not wait for each other.  The same columns of the
 * next cell are fetched beside each token's.  `streamed`, for f32: y goes past the caches. */

/* The tokens of a cell one after the other; `at` is the element at column 0 of each. */
#define CLF_POOL_EACH_TOKEN                                                                                            \
    for (ulong m = top; m < bottom; m++)                                                                               \
        for (ulong n = left, at = from + (m * W + left) * xt; n < right; n++, at += xt)

/* floor(i a / b) and ceil(i a / b). */
static ulong clf_pool_first(ulong i, ulong a, ulong b)
{
    return i * a / b;
}

static ulong clf_pool_end(ulong i, ulong a, ulong b)
{
    return (i * a + b - 1) / b;
}

kernel void clf_pool_cells(global const CLF_TYPE(CLF_X) *x, ulong x0, ulong xb, ulong xt, ulong H, ulong W, ulong h,
                           ulong w, ulong rows, ulong columns, ulong block, ulong span, global CLF_TYPE(CLF_Y) *y,
                           ulong y0, ulong yb, ulong yt, uint streamed)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);
    const ulong step = get_local_size(0) * CLF_VEC;

    for (ulong r = first; r < last; r++) {
        const ulong b = r / (h * w), cell = r % (h * w), i = cell / w, j = cell % w;
        const ulong top = clf_pool_first(i, H, h), bottom = clf_pool_end(i + 1, H, h);
        const ulong left = clf_pool_first(j, W, w), right = clf_pool_end(j + 1, W, w);
        const float count = (float)((bottom - top) * (right - left));
        const ulong from = x0 + b * xb, to = y0 + b * yb + cell * yt;
        const ulong ahead = (right - left) * xt;
        const bool past = streamed && CLF_PAST((global clf_fv *)(y + to));
        ulong c = begin + get_local_id(0) * CLF_VEC;

        for (; c + 3 * step < whole; c += 4 * step) {
            clf_fv s0 = (clf_fv)(0.0f), s1 = s0, s2 = s0, s3 = s0;

            CLF_POOL_EACH_TOKEN
            {
                s0 += CLF_LOADV(CLF_X)(x, at + c);
                s1 += CLF_LOADV(CLF_X)(x, at + c + step);
                s2 += CLF_LOADV(CLF_X)(x, at + c + 2 * step);
                s3 += CLF_LOADV(CLF_X)(x, at + c + 3 * step);
                CLF_FETCH(x + at + ahead + c);
                CLF_FETCH(x + at + ahead + c + 2 * step);
                if (sizeof(*x) == 4) {
                    CLF_FETCH(x + at + ahead + c + step);
                    CLF_FETCH(x + at + ahead + c + 3 * step);
                }
            }
            if (past) {
                CLF_STORE_PAST(s0 / count, (global clf_fv *)(y + to + c));
                CLF_STORE_PAST(s1 / count, (global clf_fv *)(y + to + c + step));
                CLF_STORE_PAST(s2 / count, (global clf_fv *)(y + to + c + 2 * step));
                CLF_STORE_PAST(s3 / count, (global clf_fv *)(y + to + c + 3 * step));
                continue;
            }
            CLF_STOREV(CLF_Y)(y, to + c, s0 / count);
            CLF_STOREV(CLF_Y)(y, to + c + step, s1 / count);
            CLF_STOREV(CLF_Y)(y, to + c + 2 * step, s2 / count);
            CLF_STOREV(CLF_Y)(y, to + c + 3 * step, s3 / count);
        }
        for (; c < whole; c += step) {
            clf_fv sum = (clf_fv)(0.0f);

            CLF_POOL_EACH_TOKEN
                sum += CLF_LOADV(CLF_X)(x, at + c);
            CLF_STOREV(CLF_Y)(y, to + c, sum / count);
        }
        for (c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
            float sum = 0.0f;

            CLF_POOL_EACH_TOKEN
                sum += CLF_LOAD(CLF_X)(x, at + c);
            CLF_STORE(CLF_Y)(y, to + c, sum / count);
        }
    }
}
