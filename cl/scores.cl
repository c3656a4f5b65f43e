/* scores: logits = scale x + bias;  scores = 1 / (1 + e^-l) with CLF_SIGMOID, else e^(l - m) / sum of e^(l - m), m the
 * largest logit of the row
 *
 * x, logits, scores  [R, C]  rows placed by X, L and S, dense in c; has_logits and has_scores say which are wanted.
 * The sum is in an order fixed by C, the kernel and CLF_VEC.
 *
 * Kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 *   _best_simd  as _simd: instead of logits and scores it gives the k largest logits' places, and their scores.
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
        float most = clf_lanes_max(mosts);
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

/* ---- the best of a row ---- */

/* A logit as an int in the order of cl/top_k.cl: -0 is 0, every NaN INT_MAX.  None is INT_MIN. */
static clf_iv clf_scores_key(clf_fv l)
{
    const clf_iv bits = clf_as_iv(l + 0.0f), key = bits ^ ((bits >> 31) & 0x7fffffff);

    return l != l ? (clf_iv)(INT_MAX) : key;
}

/* Back to the logit. */
static float clf_scores_of_key(int key)
{
    return as_float(key == INT_MAX ? 0x7fc00000 : key ^ ((key >> 31) & 0x7fffffff));
}

/* The k largest keys so far, the largest first, of equal ones the earlier; keys up to `low` are not wanted. */
typedef struct clf_scores_list {
    uint k, count;
    int low, key[CLF_SCORES_BEST];
    uint place[CLF_SCORES_BEST];
} clf_scores_list;

static void clf_scores_insert(clf_scores_list *list, int key, uint place)
{
    uint at = min(list->count, list->k - 1); /* a full list loses its last */

    if (key <= list->low)
        return;
    for (; at > 0 && list->key[at - 1] < key; at--) {
        list->key[at] = list->key[at - 1];
        list->place[at] = list->place[at - 1];
    }
    list->key[at] = key;
    list->place[at] = place;
    list->count = min(list->count + 1, list->k);
    if (list->count == list->k)
        list->low = list->key[list->k - 1];
}

static void clf_scores_insert_lanes(clf_scores_list *list, clf_iv keys, uint c)
{
    union {
        clf_iv v;
        int lane[CLF_VEC];
    } u = { keys };

    for (uint i = 0; i < CLF_VEC; i++)
        clf_scores_insert(list, u.lane[i], c + i);
}

/* Whether any lane is set: any() of pocl 3.1 looks at one after the other, 2026-11. */
static bool clf_scores_any(clf_iv v)
{
#if CLF_VEC == 16
    const int8 w = v.lo | v.hi;
    const int4 u = w.lo | w.hi;
#elif CLF_VEC == 8
    const int4 u = v.lo | v.hi;
#else
    const int4 u = v;
#endif
    return as_long(u.lo | u.hi) != 0;
}

#define HALVES 2

/* The largest key of each lane of every second vector: k columns reach at least the k-th of these, which says where the
 * list may begin.  Returns the largest of the row. */
static int clf_scores_begin(global const float *x, float scale, float bias, uint C, clf_scores_list *list)
{
    const uint whole = C - C % CLF_VEC;
    clf_iv most[HALVES] = { (clf_iv)(INT_MIN), (clf_iv)(INT_MIN) };
    uint c = 0;

    for (; c + HALVES * CLF_VEC <= whole; c += HALVES * CLF_VEC)
        _Pragma("unroll") for (uint h = 0; h < HALVES; h++)
            most[h] = max(most[h], clf_scores_key(CLF_FMA((clf_fv)(scale), CLF_VLOAD(x + c + h * CLF_VEC),
                                                          (clf_fv)(bias))));
    for (; c < whole; c += CLF_VEC)
        most[0] = max(most[0], clf_scores_key(CLF_FMA((clf_fv)(scale), CLF_VLOAD(x + c), (clf_fv)(bias))));
    list->count = 0;
    list->low = INT_MIN;
    for (uint h = 0; h < HALVES; h++)
        clf_scores_insert_lanes(list, most[h], 0);
    int best = list->count > 0 ? list->key[0] : INT_MIN;
    for (c = whole; c < C; c++)
        best = max(best, clf_scores_key((clf_fv)(CLF_FMA(scale, x[c], bias))).s0);
    list->low = list->count == list->k ? list->low - 1 : INT_MIN;
    list->count = 0;
    return best;
}

/* The list of the row, and the sum of e^(l - most) as clf_scores_simd has it; `ahead` is the row that may come next. */
static float clf_scores_list_row(global const float *x, float scale, float bias, uint C, float most, uint sums,
                                 global const float *ahead, clf_scores_list *list)
{
    const uint whole = C - C % CLF_VEC;
    clf_fv each = (clf_fv)(0.0f);
    float sum;

    for (uint c = 0; c < whole; c += CLF_VEC) {
        const clf_fv l = CLF_FMA((clf_fv)(scale), CLF_VLOAD(x + c), (clf_fv)(bias));
        const clf_iv keys = clf_scores_key(l);

        CLF_FETCH(ahead + c);
        if (clf_scores_any(keys > list->low))
            clf_scores_insert_lanes(list, keys, c);
        if (sums)
            each += clf_exp(l - most);
    }
    sum = clf_lanes_sum(each);
    for (uint c = whole; c < C; c++) {
        const float l = CLF_FMA(scale, x[c], bias);

        clf_scores_insert(list, clf_scores_key((clf_fv)(l)).s0, c);
        if (sums)
            sum += clf_scores_exp(l - most);
    }
    return sum;
}

kernel void clf_scores_best_simd(global const float *x, clf_rows X, float scale, float bias, ulong R, uint C, uint k,
                            uint has_values, global float *values, clf_rows V, global int *indices, clf_rows I)
{
    CLF_EACH_ROW
    {
        const ulong xr = clf_row(X, r), vr = clf_row(V, r), ir = clf_row(I, r);
        clf_scores_list list = { .k = k };
        const float most = clf_scores_of_key(clf_scores_begin(x + xr, scale, bias, C, &list));
        const float sum = clf_scores_list_row(x + xr, scale, bias, C, most, CLF_SIGMOID ? 0 : has_values,
                                              x + clf_row(X, r + 1), &list);

        for (uint m = 0; m < k; m++) {
            const float l = CLF_FMA(scale, x[xr + list.place[m]], bias);

            indices[ir + m] = (int)list.place[m];
            if (has_values)
                values[vr + m] = CLF_SIGMOID ? clf_scores_sigmoid((clf_fv)(l)).s0 : clf_scores_exp(l - most) / sum;
        }
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
