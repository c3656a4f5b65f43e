/* vocabulary: a softmax or an argmax over a vocabulary, a block of logits at a time
 *
 * x  f32 [R, V], rows placed by X;  y  f32 [R, C], rows placed by Y
 * state  f32 [R, 2] from s0: the largest logit m so far, and the sum of e^(logit - m)
 *
 * softmax  m' = max(m, max over v of x[r, v]);  f = e^(m - m');  x[r, v] = e^(x[r, v] - m');
 *          sum' = f sum + the row's sum;  y[r, c] = f y[r, c].  `first`: m = -inf, sum = 0
 * divide   y[r, c] = y[r, c] / sum
 * argmax   the largest logit (best, from b0) and its index (from i0), the lower among equals, the first NaN before all
 *
 * Groups walk rows r = group, group + groups, ...
 *   _ref   local 1: plain loops
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats and ints of local memory
 *
 * A maximum of -inf is taken as 0: e^(-inf - 0) is 0, where -inf - -inf would be NaN. */

#define CLF_VOCABULARY_EACH_ROW for (ulong r = get_group_id(0); r < R; r += get_num_groups(0))

/* What the exponents are relative to. */
static float clf_vocabulary_origin(float most)
{
    return most == -INFINITY ? 0.0f : most;
}

/* ---- softmax ---- */

kernel void clf_vocabulary_softmax_ref(global float *x, clf_rows X, global float *state, ulong s0, ulong R, uint V,
                                       uint C, uint first, global float *y, clf_rows Y)
{
    CLF_VOCABULARY_EACH_ROW
    {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        const float before = first ? -INFINITY : state[s0 + 2 * r];
        float most = before, sum = 0.0f;

        for (uint v = 0; v < V; v++)
            most = fmax(most, x[xr + v]);
        const float origin = clf_vocabulary_origin(most), factor = exp(before - origin);
        for (uint v = 0; v < V; v++) {
            x[xr + v] = exp(x[xr + v] - origin);
            sum += x[xr + v];
        }
        state[s0 + 2 * r] = most;
        state[s0 + 2 * r + 1] = first ? sum : CLF_FMA(state[s0 + 2 * r + 1], factor, sum);
        for (uint c = 0; c < C; c++)
            y[yr + c] *= factor;
    }
}

static float clf_vocabulary_lanes_most(clf_fv v)
{
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } u = { v };

    for (uint n = CLF_VEC / 2; n > 0; n /= 2)
        for (uint i = 0; i < n; i++)
            u.lane[i] = fmax(u.lane[i], u.lane[i + n]);
    return u.lane[0];
}

/* One number through the vectors' exponential. */
static float clf_vocabulary_exp(float x)
{
    const clf_fv v = clf_exp((clf_fv)(x));
    return v.s0;
}

kernel void clf_vocabulary_softmax_simd(global float *x, clf_rows X, global float *state, ulong s0, ulong R, uint V,
                                        uint C, uint first, global float *y, clf_rows Y)
{
    const uint whole = V - V % CLF_VEC, full = C - C % CLF_VEC;

    CLF_VOCABULARY_EACH_ROW
    {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        const float before = first ? -INFINITY : state[s0 + 2 * r];
        clf_fv mosts = (clf_fv)(before), sums = (clf_fv)(0.0f);

        for (uint v = 0; v < whole; v += CLF_VEC) {
            const clf_fv z = CLF_VLOAD(x + xr + v);
            mosts = z > mosts ? z : mosts; /* a NaN is passed over: its exponential shows it */
        }
        float most = clf_vocabulary_lanes_most(mosts);
        for (uint v = whole; v < V; v++)
            most = fmax(most, x[xr + v]);

        const float origin = clf_vocabulary_origin(most), factor = clf_vocabulary_exp(before - origin);
        for (uint v = 0; v < whole; v += CLF_VEC) {
            const clf_fv e = clf_exp(CLF_VLOAD(x + xr + v) - origin);
            CLF_VSTORE(e, x + xr + v);
            sums += e;
        }
        float sum = clf_lanes_sum(sums);
        for (uint v = whole; v < V; v++) {
            const float e = clf_vocabulary_exp(x[xr + v] - origin);
            x[xr + v] = e;
            sum += e;
        }

        state[s0 + 2 * r] = most;
        state[s0 + 2 * r + 1] = first ? sum : CLF_FMA(state[s0 + 2 * r + 1], factor, sum);
        for (uint c = 0; c < full; c += CLF_VEC)
            CLF_VSTORE(CLF_VLOAD(y + yr + c) * factor, y + yr + c);
        for (uint c = full; c < C; c++)
            y[yr + c] *= factor;
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_vocabulary_softmax_tile(global float *x, clf_rows X, global float *state,
                                                                  ulong s0, ulong R, uint V, uint C, uint first,
                                                                  global float *y, clf_rows Y)
{
    local float part[CLF_NORM_WG];
    const uint i = get_local_id(0);

    CLF_VOCABULARY_EACH_ROW /* the same rows for all items: barriers inside */
    {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        const float before = first ? -INFINITY : state[s0 + 2 * r];
        float most = before, sum = 0.0f;

        for (uint v = i; v < V; v += CLF_NORM_WG)
            most = fmax(most, x[xr + v]);
        most = clf_group_max(part, most); /* behind its barriers all items have read the state */
        const float origin = clf_vocabulary_origin(most), factor = exp(before - origin);
        for (uint v = i; v < V; v += CLF_NORM_WG) {
            const float e = exp(x[xr + v] - origin);
            x[xr + v] = e;
            sum += e;
        }
        sum = clf_group_sum(part, sum);
        if (i == 0) {
            state[s0 + 2 * r] = most;
            state[s0 + 2 * r + 1] = first ? sum : CLF_FMA(state[s0 + 2 * r + 1], factor, sum);
        }
        for (uint c = i; c < C; c += CLF_NORM_WG)
            y[yr + c] *= factor;
    }
}

kernel void clf_vocabulary_divide_ref(global const float *state, ulong s0, ulong R, uint C, global float *y, clf_rows Y)
{
    CLF_VOCABULARY_EACH_ROW
        for (uint c = 0; c < C; c++)
            y[clf_row(Y, r) + c] /= state[s0 + 2 * r + 1];
}

kernel void clf_vocabulary_divide_simd(global const float *state, ulong s0, ulong R, uint C, global float *y,
                                       clf_rows Y)
{
    const uint whole = C - C % CLF_VEC;

    CLF_VOCABULARY_EACH_ROW
    {
        const ulong yr = clf_row(Y, r);
        const float sum = state[s0 + 2 * r + 1];

        for (uint c = 0; c < whole; c += CLF_VEC)
            CLF_VSTORE(CLF_VLOAD(y + yr + c) / sum, y + yr + c);
        for (uint c = whole; c < C; c++)
            y[yr + c] /= sum;
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_vocabulary_divide_tile(global const float *state, ulong s0, ulong R, uint C,
                                                                 global float *y, clf_rows Y)
{
    CLF_VOCABULARY_EACH_ROW
    {
        const ulong yr = clf_row(Y, r);
        const float sum = state[s0 + 2 * r + 1];

        for (uint c = get_local_id(0); c < C; c += CLF_NORM_WG)
            y[yr + c] /= sum;
    }
}

/* ---- argmax ---- */

/* Whether b goes before a: it is larger, or the first NaN. */
static bool clf_vocabulary_better(float a, float b)
{
    return b > a || (b != b && a == a);
}

/* Takes the best of a block over, unless the blocks before had one as good. */
static void clf_vocabulary_take(global float *best, global int *index, float most, uint at, uint begin)
{
    const bool first = begin == 0;

    if (first || clf_vocabulary_better(*best, most)) {
        *best = most;
        *index = (int)(begin + at);
    }
}

kernel void clf_vocabulary_argmax_ref(global const float *x, clf_rows X, ulong R, uint V, uint begin,
                                      global float *best, ulong b0, global int *index, ulong i0)
{
    CLF_VOCABULARY_EACH_ROW
    {
        const ulong xr = clf_row(X, r);
        float most = -INFINITY;
        uint at = 0;

        for (uint v = 0; v < V; v++)
            if (clf_vocabulary_better(most, x[xr + v])) {
                most = x[xr + v];
                at = v;
            }
        clf_vocabulary_take(best + b0 + r, index + i0 + r, most, at, begin);
    }
}

/* The maximum by vectors, then the first column that has it. */
kernel void clf_vocabulary_argmax_simd(global const float *x, clf_rows X, ulong R, uint V, uint begin,
                                       global float *best, ulong b0, global int *index, ulong i0)
{
    const uint whole = V - V % CLF_VEC;

    CLF_VOCABULARY_EACH_ROW
    {
        const ulong xr = clf_row(X, r);
        union {
            clf_fv v;
            float lane[CLF_VEC];
        } u = { (clf_fv)(-INFINITY) };
        float most = -INFINITY;
        uint at = 0;

        for (uint v = 0; v < whole; v += CLF_VEC) {
            const clf_fv z = CLF_VLOAD(x + xr + v);
            u.v = ((z > u.v) | (z != z)) ? z : u.v; /* a NaN stays: nothing is larger */
        }
        for (uint i = 0; i < CLF_VEC; i++)
            most = clf_vocabulary_better(most, u.lane[i]) ? u.lane[i] : most;
        for (uint v = whole; v < V; v++)
            most = clf_vocabulary_better(most, x[xr + v]) ? x[xr + v] : most;
        if (begin != 0 && !clf_vocabulary_better(best[b0 + r], most))
            continue;
        while (x[xr + at] != most && (x[xr + at] == x[xr + at] || most == most))
            at++;
        clf_vocabulary_take(best + b0 + r, index + i0 + r, most, at, begin);
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_vocabulary_argmax_tile(global const float *x, clf_rows X, ulong R, uint V,
                                                                 uint begin, global float *best, ulong b0,
                                                                 global int *index, ulong i0)
{
    local float part[CLF_NORM_WG];
    local uint place[CLF_NORM_WG];
    const uint i = get_local_id(0);

    CLF_VOCABULARY_EACH_ROW /* the same rows for all items: barriers inside */
    {
        const ulong xr = clf_row(X, r);
        float most = -INFINITY;
        uint at = i;

        for (uint v = i; v < V; v += CLF_NORM_WG)
            if (clf_vocabulary_better(most, x[xr + v])) {
                most = x[xr + v];
                at = v;
            }
        part[i] = most;
        place[i] = at;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint n = CLF_NORM_WG / 2; n > 0; n /= 2) {
            if (i < n) {
                const float other = part[i + n];
                const bool equal = other == part[i] || (other != other && part[i] != part[i]);

                if (clf_vocabulary_better(part[i], other) || (equal && place[i + n] < place[i])) {
                    part[i] = other;
                    place[i] = place[i + n];
                }
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (i == 0)
            clf_vocabulary_take(best + b0 + r, index + i0 + r, part[0], place[0], begin);
        barrier(CLK_LOCAL_MEM_FENCE); /* the next row overwrites part */
    }
}
