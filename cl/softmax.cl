/* softmax: y[r, c] = e^(l - m) / sum of e^(l - m), l = scale x[r, c] + mask[r / per, c], m the largest l of the row
 *
 * x, y  [R, N]         rows placed by X and Y, dense in c; y may be x
 * mask  [R / per, N]   from element m0, m_step from row to row; -FLT_MAX and below hide a column, whatever x is there
 *
 * A row that sees no column is `unseen` everywhere.  The sum is in an order fixed by the kernel and CLF_VEC: column c of
 * _simd is in lane c % CLF_VEC, so that hidden columns behind a row change no bit.
 *
 * Three kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 * fmax leaves a NaN out of m; it makes the sum NaN all the same. */

#define CLF_EACH_ROW for (ulong r = get_group_id(0); r < R; r += get_num_groups(0))

#define CLF_SOFTMAX_ARGUMENTS                                                                                          \
    global const float *x, clf_rows X, float scale, uint has_mask, global const float *mask, ulong m0, ulong m_step,   \
        ulong per, float unseen, ulong R, uint N, global float *y, clf_rows Y

static inline float clf_softmax_logit(float x, float scale, uint has_mask, global const float *mask, uint c)
{
    if (!has_mask)
        return scale * x;
    return mask[c] <= -FLT_MAX ? -INFINITY : CLF_FMA(scale, x, mask[c]);
}

/* What is subtracted: 0 where nothing is seen, for -inf would give NaN. */
static inline float clf_softmax_base(float most)
{
    return most == -INFINITY ? 0.0f : most;
}

kernel void clf_softmax_ref(CLF_SOFTMAX_ARGUMENTS)
{
    CLF_EACH_ROW
    {
        global const float *from = x + clf_row(X, r), *hidden = mask + m0 + r / per * m_step;
        global float *to = y + clf_row(Y, r);
        float most = -INFINITY, sum = 0.0f;

        for (uint c = 0; c < N; c++) {
            to[c] = clf_softmax_logit(from[c], scale, has_mask, hidden, c);
            most = fmax(most, to[c]);
        }
        most = clf_softmax_base(most);
        for (uint c = 0; c < N; c++) {
            to[c] = exp(to[c] - most);
            sum += to[c];
        }
        for (uint c = 0; c < N; c++)
            to[c] = sum == 0.0f ? unseen : to[c] / sum;
    }
}

kernel void clf_softmax_simd(CLF_SOFTMAX_ARGUMENTS)
{
    const uint whole = N - N % CLF_VEC; /* columns in full vectors; the rest one by one, as the vectors do it */

    CLF_EACH_ROW
    {
        global const float *from = x + clf_row(X, r), *hidden = mask + m0 + r / per * m_step;
        global float *to = y + clf_row(Y, r);
        clf_fv mosts = (clf_fv)(-INFINITY);
        union {
            clf_fv v;
            float lane[CLF_VEC];
        } sums = { (clf_fv)(0.0f) };

        for (uint c = 0; c < whole; c += CLF_VEC) {
            const clf_fv v = CLF_VLOAD(from + c), m = has_mask ? CLF_VLOAD(hidden + c) : (clf_fv)(-0.0f);
            const clf_fv l = m <= -FLT_MAX ? (clf_fv)(-INFINITY) : CLF_FMA((clf_fv)(scale), v, m);

            CLF_VSTORE(l, to + c);
            mosts = fmax(mosts, l);
        }
        float most = clf_lanes_max(mosts);
        for (uint c = whole; c < N; c++) {
            to[c] = clf_softmax_logit(from[c], scale, has_mask, hidden, c);
            most = fmax(most, to[c]);
        }
        most = clf_softmax_base(most);
        for (uint c = 0; c < whole; c += CLF_VEC) {
            const clf_fv e = clf_exp(CLF_VLOAD(to + c) - most);

            CLF_VSTORE(e, to + c);
            sums.v += e;
        }
        for (uint c = whole; c < N; c++) {
            to[c] = clf_exp((clf_fv)(to[c] - most)).s0;
            sums.lane[c - whole] += to[c];
        }
        const float sum = clf_lanes_sum(sums.v);
        for (uint c = 0; c < whole; c += CLF_VEC)
            CLF_VSTORE(sum == 0.0f ? (clf_fv)(unseen) : CLF_VLOAD(to + c) / sum, to + c);
        for (uint c = whole; c < N; c++)
            to[c] = sum == 0.0f ? unseen : to[c] / sum;
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_softmax_tile(CLF_SOFTMAX_ARGUMENTS)
{
    local float part[CLF_NORM_WG];
    const uint i = get_local_id(0);

    CLF_EACH_ROW /* the same rows for all items: barriers inside */
    {
        global const float *from = x + clf_row(X, r), *hidden = mask + m0 + r / per * m_step;
        global float *to = y + clf_row(Y, r);
        float most = -INFINITY, sum = 0.0f;

        for (uint c = i; c < N; c += CLF_NORM_WG) {
            to[c] = clf_softmax_logit(from[c], scale, has_mask, hidden, c);
            most = fmax(most, to[c]);
        }
        most = clf_softmax_base(clf_group_max(part, most));
        for (uint c = i; c < N; c += CLF_NORM_WG) {
            to[c] = exp(to[c] - most);
            sum += to[c];
        }
        sum = clf_group_sum(part, sum);
        for (uint c = i; c < N; c += CLF_NORM_WG)
            to[c] = sum == 0.0f ? unseen : to[c] / sum;
    }
}

/* Rows y[r] of C columns become 0 where the mask hides everything, or N is 0.  Groups walk rows; items take columns by
 * turns. */
kernel void clf_softmax_clear(global const float *mask, ulong m0, ulong m_step, ulong per, ulong R, uint N, uint C,
                              global float *y, clf_rows Y)
{
    CLF_EACH_ROW
    {
        global const float *hidden = mask + m0 + r / per * m_step;
        bool seen = false;

        for (uint c = 0; c < N; c++)
            seen |= !(hidden[c] <= -FLT_MAX);
        for (uint c = get_local_id(0); !seen && c < C; c += get_local_size(0))
            y[clf_row(Y, r) + c] = 0.0f;
    }
}
