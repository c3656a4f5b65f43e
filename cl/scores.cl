/* scores: logits = scale x + bias;  scores = 1 / (1 + e^-l) with CLF_SIGMOID, else e^(l - m) / sum of e^(l - m), m the
 * largest logit of the row
 *
 * x, logits, scores  [R, C]  rows placed by X, L and S, dense in c; has_logits and has_scores say which are wanted.
 * The sum is in an order fixed by C, the kernel and CLF_VEC.
 *
 * Three kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 * logits or scores may be x: each element is read before its place is written, by the item that writes it.  Logits wait in
 * `scores` for the row's largest.  fmax leaves a NaN out of m; it makes the sum NaN all the same. */

#define CLF_EACH_ROW for (ulong r = get_group_id(0); r < R; r += get_num_groups(0))

/* The logit of one element, put where it is wanted. */
static float clf_scores_logit(global const float *x, ulong xr, float scale, float bias, uint has_logits,
                              global float *logits, ulong lr, uint has_scores, global float *scores, ulong sr, uint c)
{
    const float l = CLF_FMA(scale, x[xr + c], bias);

    if (has_logits)
        logits[lr + c] = l;
    if (has_scores)
        scores[sr + c] = CLF_SIGMOID ? 1.0f / (1.0f + exp(-l)) : l;
    return l;
}

kernel void clf_scores_ref(global const float *x, clf_rows X, float scale, float bias, ulong R, uint C, uint has_logits,
                           global float *logits, clf_rows L, uint has_scores, global float *scores, clf_rows S)
{
    CLF_EACH_ROW
    {
        const ulong xr = clf_row(X, r), lr = clf_row(L, r), sr = clf_row(S, r);
        float most = -INFINITY, sum = 0.0f;

        for (uint c = 0; c < C; c++)
            most = fmax(most, clf_scores_logit(x, xr, scale, bias, has_logits, logits, lr, has_scores, scores, sr, c));
        if (CLF_SIGMOID || !has_scores)
            continue;
        for (uint c = 0; c < C; c++) {
            scores[sr + c] = exp(scores[sr + c] - most);
            sum += scores[sr + c];
        }
        for (uint c = 0; c < C; c++)
            scores[sr + c] /= sum;
    }
}

static clf_fv clf_scores_sigmoid(clf_fv l)
{
    return 1.0f / (1.0f + clf_exp(-l));
}

/* One element as the vectors do it, so that equal logits have equal scores wherever they stand. */
static float clf_scores_exp(float l)
{
    return clf_exp((clf_fv)(l)).s0;
}

/* The rest of a row, which fills no vector. */
static float clf_scores_rest(global const float *x, ulong xr, float scale, float bias, uint has_logits,
                             global float *logits, ulong lr, uint has_scores, global float *scores, ulong sr, uint c)
{
    const float l = CLF_FMA(scale, x[xr + c], bias);

    if (has_logits)
        logits[lr + c] = l;
    if (has_scores)
        scores[sr + c] = CLF_SIGMOID ? clf_scores_sigmoid((clf_fv)(l)).s0 : l;
    return l;
}

static float clf_scores_lanes_max(clf_fv v)
{
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } u = { v };
    float most = u.lane[0];

    for (uint i = 1; i < CLF_VEC; i++)
        most = fmax(most, u.lane[i]);
    return most;
}

kernel void clf_scores_simd(global const float *x, clf_rows X, float scale, float bias, ulong R, uint C,
                            uint has_logits, global float *logits, clf_rows L, uint has_scores, global float *scores,
                            clf_rows S)
{
    const uint whole = C - C % CLF_VEC; /* columns in full vectors; the rest one by one */

    CLF_EACH_ROW
    {
        const ulong xr = clf_row(X, r), lr = clf_row(L, r), sr = clf_row(S, r);
        clf_fv mosts = (clf_fv)(-INFINITY), sums = (clf_fv)(0.0f);

        for (uint c = 0; c < whole; c += CLF_VEC) {
            const clf_fv l = CLF_FMA((clf_fv)(scale), CLF_VLOAD(x + xr + c), (clf_fv)(bias));

            if (has_logits)
                CLF_VSTORE(l, logits + lr + c);
            if (has_scores)
                CLF_VSTORE(CLF_SIGMOID ? clf_scores_sigmoid(l) : l, scores + sr + c);
            mosts = fmax(mosts, l);
        }
        float most = clf_scores_lanes_max(mosts);
        for (uint c = whole; c < C; c++)
            most = fmax(most, clf_scores_rest(x, xr, scale, bias, has_logits, logits, lr, has_scores, scores, sr, c));
        if (CLF_SIGMOID || !has_scores)
            continue;

        for (uint c = 0; c < whole; c += CLF_VEC) {
            const clf_fv e = clf_exp(CLF_VLOAD(scores + sr + c) - most);

            CLF_VSTORE(e, scores + sr + c);
            sums += e;
        }
        float sum = clf_lanes_sum(sums);
        for (uint c = whole; c < C; c++) {
            scores[sr + c] = clf_scores_exp(scores[sr + c] - most);
            sum += scores[sr + c];
        }
        for (uint c = 0; c < whole; c += CLF_VEC)
            CLF_VSTORE(CLF_VLOAD(scores + sr + c) / sum, scores + sr + c);
        for (uint c = whole; c < C; c++)
            scores[sr + c] /= sum;
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_scores_tile(global const float *x, clf_rows X, float scale, float bias, ulong R,
                                                      uint C, uint has_logits, global float *logits, clf_rows L,
                                                      uint has_scores, global float *scores, clf_rows S)
{
    local float part[CLF_NORM_WG];
    const uint i = get_local_id(0);

    CLF_EACH_ROW /* the same rows for all items: barriers inside */
    {
        const ulong xr = clf_row(X, r), lr = clf_row(L, r), sr = clf_row(S, r);
        float most = -INFINITY, sum = 0.0f;

        for (uint c = i; c < C; c += CLF_NORM_WG)
            most = fmax(most, clf_scores_logit(x, xr, scale, bias, has_logits, logits, lr, has_scores, scores, sr, c));
        most = clf_group_max(part, most);
        if (!CLF_SIGMOID)
            for (uint c = i; has_scores && c < C; c += CLF_NORM_WG) {
                const float e = exp(scores[sr + c] - most);

                scores[sr + c] = e;
                sum += e;
            }
        sum = clf_group_sum(part, sum);
        if (!CLF_SIGMOID)
            for (uint c = i; has_scores && c < C; c += CLF_NORM_WG)
                scores[sr + c] /= sum;
    }
}
