/* layer_norm: y[r, c] = (x[r, c] - mean[r]) / sqrt(var[r] + eps) * w[c] + b[c]
 *
 * x, y  [R, C]  rows placed by X and Y, dense in c, of CLF_X and CLF_Y;  w, b [C] from element w0 and b0 when has_w, has_b.
 * Sums in f32, in an order fixed by C, the kernel and CLF_VEC.
 *
 * Three kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 * Two passes.  The first mean m carries the rounding of a sum of C terms, which a common offset of 1e4 would make
 * visible; so the second pass also sums the deviations from m.  Their mean `rest` corrects the mean, and its square the
 * variance: mean = m + rest, var = mean((x - m)^2) - rest^2, and (x - m) - rest keeps its digits.
 *
 * y may be x: a row is read before it is written, by the item that writes it; so neither is restrict. */

/* 1 / sqrt(var + eps).  Rounding can leave the difference a little below 0. */
static float clf_layer_norm_factor(float square, float rest, float eps)
{
    return 1.0f / sqrt(fmax(square - rest * rest, 0.0f) + eps);
}

/* Column c from its deviation from the mean. */
static float clf_layer_norm_column(float deviation, float factor, uint has_w, global const CLF_TYPE(CLF_W) *w,
                                   ulong w0, uint has_b, global const CLF_TYPE(CLF_W) *b, ulong b0, uint c)
{
    float v = deviation * factor;
    if (has_w)
        v *= CLF_LOAD(CLF_W)(w, w0 + c);
    if (has_b)
        v += CLF_LOAD(CLF_W)(b, b0 + c);
    return v;
}

kernel void clf_layer_norm_ref(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint has_w,
                               global const CLF_TYPE(CLF_W) *w, ulong w0, uint has_b, global const CLF_TYPE(CLF_W) *b,
                               ulong b0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        float sum = 0.0f, rest = 0.0f, square = 0.0f;

        for (uint c = 0; c < C; c++)
            sum += CLF_LOAD(CLF_X)(x, xr + c);
        const float m = sum / C;
        for (uint c = 0; c < C; c++) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m;
            rest += d;
            square = CLF_FMA(d, d, square);
        }
        rest /= C;
        const float factor = clf_layer_norm_factor(square / C, rest, eps);
        for (uint c = 0; c < C; c++) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m - rest;
            CLF_STORE(CLF_Y)(y, yr + c, clf_layer_norm_column(d, factor, has_w, w, w0, has_b, b, b0, c));
        }
    }
}

/* Chains of sums side by side: each addition waits for the one before it in its chain. */
#define CHAINS 4

static inline float clf_chains_sum(const clf_fv *chains)
{
    return clf_lanes_sum((chains[0] + chains[1]) + (chains[2] + chains[3]));
}

static inline void clf_layer_norm_deviate(clf_fv d, clf_fv *rests, clf_fv *squares)
{
    *rests += d;
    *squares = CLF_FMA(d, d, *squares);
}

kernel void clf_layer_norm_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint has_w,
                                global const CLF_TYPE(CLF_W) *w, ulong w0, uint has_b, global const CLF_TYPE(CLF_W) *b,
                                ulong b0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    const uint whole = C - C % CLF_VEC; /* columns in full vectors; the rest one by one */
    const uint abreast = C - C % (CHAINS * CLF_VEC);

    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        clf_fv sums[CHAINS], rests[CHAINS], squares[CHAINS];

        _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) sums[i] = rests[i] = squares[i] = 0.0f;
        for (uint c = 0; c < abreast; c += CHAINS * CLF_VEC)
            _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) sums[i] += CLF_LOADV(CLF_X)(x, xr + c + i * CLF_VEC);
        for (uint c = abreast; c < whole; c += CLF_VEC)
            sums[0] += CLF_LOADV(CLF_X)(x, xr + c);
        float sum = clf_chains_sum(sums);
        for (uint c = whole; c < C; c++)
            sum += CLF_LOAD(CLF_X)(x, xr + c);
        const float m = sum / C;

        for (uint c = 0; c < abreast; c += CHAINS * CLF_VEC)
            _Pragma("unroll") for (uint i = 0; i < CHAINS; i++)
                clf_layer_norm_deviate(CLF_LOADV(CLF_X)(x, xr + c + i * CLF_VEC) - m, rests + i, squares + i);
        for (uint c = abreast; c < whole; c += CLF_VEC)
            clf_layer_norm_deviate(CLF_LOADV(CLF_X)(x, xr + c) - m, rests, squares);
        float rest = clf_chains_sum(rests), square = clf_chains_sum(squares);
        for (uint c = whole; c < C; c++) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m;
            rest += d;
            square = CLF_FMA(d, d, square);
        }
        rest /= C;
        const float factor = clf_layer_norm_factor(square / C, rest, eps);

        for (uint c = 0; c < whole; c += CLF_VEC) {
            clf_fv v = (CLF_LOADV(CLF_X)(x, xr + c) - m - rest) * factor;
            if (has_w)
                v *= CLF_LOADV(CLF_W)(w, w0 + c);
            if (has_b)
                v += CLF_LOADV(CLF_W)(b, b0 + c);
            CLF_STOREV(CLF_Y)(y, yr + c, v);
        }
        for (uint c = whole; c < C; c++) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m - rest;
            CLF_STORE(CLF_Y)(y, yr + c, clf_layer_norm_column(d, factor, has_w, w, w0, has_b, b, b0, c));
        }
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_layer_norm_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint has_w,
                                global const CLF_TYPE(CLF_W) *w, ulong w0, uint has_b, global const CLF_TYPE(CLF_W) *b,
                                ulong b0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    local float part[CLF_NORM_WG];
    const uint i = get_local_id(0);

    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) { /* the same rows for all items: barriers inside */
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        float sum = 0.0f, rest = 0.0f, square = 0.0f;

        for (uint c = i; c < C; c += CLF_NORM_WG)
            sum += CLF_LOAD(CLF_X)(x, xr + c);
        const float m = clf_group_sum(part, sum) / C;
        for (uint c = i; c < C; c += CLF_NORM_WG) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m;
            rest += d;
            square = CLF_FMA(d, d, square);
        }
        rest = clf_group_sum(part, rest) / C;
        const float factor = clf_layer_norm_factor(clf_group_sum(part, square) / C, rest, eps);
        for (uint c = i; c < C; c += CLF_NORM_WG) {
            const float d = CLF_LOAD(CLF_X)(x, xr + c) - m - rest;
            CLF_STORE(CLF_Y)(y, yr + c, clf_layer_norm_column(d, factor, has_w, w, w0, has_b, b, b0, c));
        }
    }
}
