/* budgets: y[r, m] = low + what relevance x[r, indices[r, m]] is worth, of `span` at most; whole numbers throughout
 *
 * x  R rows of N placed by X, of CLF_X;  indices, y  R rows of k placed by I and Y.  The relevance v is held to 0 .. 1;
 * NaN, and an index outside the row, is 0.
 *
 *   plain   v span to the nearest, half to even of the budget.  v is a mantissa of 24 bits over a power of two and span
 *           is below 2^31, so the product is a whole number of 55 bits over that power.  Items take cells by turns.
 *   share   a part of `rest`, below 2^31, by weights w = rint(v 2^24).  A weight c is too heavy, so that its share is
 *           cut to span, where rest c > span (sum of min(w, c)): then the cells up to c, all as heavy as they may be,
 *           do not use rest up.  Being heavier does not help, so the largest weight that is not cut is found bit by bit.
 *           The others split what the cut ones leave, by whole parts and remainders of (rest w) / (sum of w).  Of the
 *           remainders the one that the last cell to get one more has is found in the same way.
 *           A row a group.  _simd: local 1.  _tile: local CLF_NORM_WG, each item a stretch of cells of its own. */

static float clf_budgets_relevance(global const CLF_TYPE(CLF_X) *x, ulong row, ulong N, int index)
{
    const float v = index >= 0 && (ulong)index < N ? CLF_LOAD(CLF_X)(x, row + (ulong)index) : 0.0f;

    return v > 0.0f ? fmin(v, 1.0f) : 0.0f; /* NaN is not above 0 */
}

/* low + v span. */
static uint clf_budgets_round(float v, uint low, uint span)
{
    const uint bits = as_uint(v), exponent = bits >> 23, shift = 150 - exponent; /* v = mantissa / 2^shift */
    const ulong product = (ulong)((bits & 0x7fffffu) | 0x800000u) * span;

    if (shift > 55 || exponent == 0) /* below one half, 0 and what is subnormal too */
        return low;
    const ulong whole = low + (product >> shift), tie = 1UL << (shift - 1), over = product & (2 * tie - 1);
    return (uint)whole + (over > tie || (over == tie && (whole & 1)));
}

kernel void clf_budgets_plain(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong R, ulong N, ulong k,
                              global const int *indices, clf_rows I, uint low, uint span, global int *y, clf_rows Y)
{
    const ulong step = get_num_groups(0) * get_local_size(0);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong xr = clf_row(X, r), ir = clf_row(I, r), yr = clf_row(Y, r);

        for (ulong m = get_group_id(0) * get_local_size(0) + get_local_id(0); m < k; m += step)
            y[yr + m] = (int)clf_budgets_round(clf_budgets_relevance(x, xr, N, indices[ir + m]), low, span);
    }
}

/* ---- share; parts[first .. last) are weights, then remainders ---- */

static void clf_budgets_weigh(global const CLF_TYPE(CLF_X) *x, ulong row, ulong N, global const int *indices,
                              global ulong *parts, ulong first, ulong last)
{
    for (ulong m = first; m < last; m++)
        parts[m] = (ulong)rint(clf_budgets_relevance(x, row, N, indices[m]) * 0x1p24f);
}

/* The sum of min(w, c). */
static ulong clf_budgets_up_to(global const ulong *parts, ulong first, ulong last, ulong c)
{
    ulong sum = 0;

    for (ulong m = first; m < last; m++)
        sum += min(parts[m], c);
    return sum;
}

/* Whether c is too heavy; `sum` is that of min(w, c).  Both products are whole: a high part is above any rest c. */
static bool clf_budgets_too_heavy(ulong c, ulong rest, ulong sum, uint span)
{
    return mul_hi((ulong)span, sum) == 0 && rest * c > span * sum;
}

/* Cells of parts or more. */
static ulong clf_budgets_count(global const ulong *parts, ulong first, ulong last, ulong least)
{
    ulong count = 0;

    for (ulong m = first; m < last; m++)
        count += parts[m] >= least;
    return count;
}

/* Writes the whole parts of `rest` among the cells up to the weight `most`, whose weights have a sum, or of each of `open`
 * cells when it is 0; the sum of these parts.  Heavier cells get span. */
static ulong clf_budgets_split(global ulong *parts, ulong first, ulong last, ulong most, ulong rest, ulong sum,
                               ulong open, uint low, uint span, global int *y)
{
    ulong given = 0;

    for (ulong m = first; m < last; m++) {
        const bool cut = parts[m] > most;
        const ulong share = cut ? 0 : rest * (sum > 0 ? parts[m] : 1), of = sum > 0 ? sum : open;
        const ulong whole = cut ? 0 : share / of;

        y[m] = (int)(low + (cut ? span : whole));
        parts[m] = share - whole * of;
        given += whole;
    }
    return given;
}

/* One more to the cells above the mark, and to the first `at_mark` of those at it. */
static void clf_budgets_give(global const ulong *parts, ulong first, ulong last, ulong mark, ulong at_mark,
                             global int *y)
{
    for (ulong m = first; m < last; m++) {
        const bool takes = parts[m] > mark || (parts[m] == mark && at_mark > 0);

        at_mark -= takes && parts[m] == mark;
        y[m] += takes;
    }
}

#define CLF_BUDGETS_BITS 55 /* of the sum of weights, above every remainder */
#define CLF_BUDGETS_WEIGHT_BITS 25

kernel void clf_budgets_share_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong R, ulong N, ulong k,
                                   global const int *indices, clf_rows I, uint low, uint span, ulong rest,
                                   global ulong *parts, ulong parts0, global int *y, clf_rows Y)
{
    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        global ulong *part = parts + parts0 + r * k;
        global int *out = y + clf_row(Y, r);
        ulong most = 0, mark = 0;

        clf_budgets_weigh(x, clf_row(X, r), N, indices + clf_row(I, r), part, 0, k);
        for (ulong bit = 1UL << (CLF_BUDGETS_WEIGHT_BITS - 1); bit > 0; bit /= 2)
            if (!clf_budgets_too_heavy(most + bit, rest, clf_budgets_up_to(part, 0, k, most + bit), span))
                most += bit;
        const ulong cut = clf_budgets_count(part, 0, k, most + 1);
        const ulong sum = clf_budgets_up_to(part, 0, k, most) - cut * most, left = rest - cut * span;
        const ulong over = left - clf_budgets_split(part, 0, k, most, left, sum, k - cut, low, span, out);

        for (ulong bit = 1UL << (CLF_BUDGETS_BITS - 1); bit > 0; bit /= 2)
            if (clf_budgets_count(part, 0, k, mark + bit) >= over) /* with nothing over the mark has all bits */
                mark += bit;
        clf_budgets_give(part, 0, k, mark, over - clf_budgets_count(part, 0, k, mark + 1), out);
    }
}

/* The parts of all items together. */
CLF_INLINE ulong clf_budgets_total(local const ulong *part)
{
    ulong sum = 0;

    for (uint i = 0; i < CLF_NORM_WG; i++)
        sum += part[i];
    return sum;
}

/* What all items agree on stays in local memory: pocl 3.1 loses such variables of a loop around barriers, 2026-11. */
CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_budgets_share_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong R,
                                ulong N, ulong k, global const int *indices, clf_rows I, uint low, uint span,
                                ulong rest, global ulong *parts, ulong parts0, global int *y, clf_rows Y)
{
    local ulong part[CLF_NORM_WG], heavy[CLF_NORM_WG], most, mark, left, open, over;
    const uint i = get_local_id(0);
    const ulong stretch = (k + CLF_NORM_WG - 1) / CLF_NORM_WG;
    const ulong first = min(i * stretch, k), last = min(first + stretch, k);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        global ulong *own = parts + parts0 + r * k;
        global int *out = y + clf_row(Y, r);

        clf_budgets_weigh(x, clf_row(X, r), N, indices + clf_row(I, r), own, first, last);
        if (i == 0)
            most = 0;
        for (int bit = CLF_BUDGETS_WEIGHT_BITS - 1; bit >= 0; bit--) {
            barrier(CLK_LOCAL_MEM_FENCE);
            part[i] = clf_budgets_up_to(own, first, last, most + (1UL << bit));
            barrier(CLK_LOCAL_MEM_FENCE);
            if (i == 0 && !clf_budgets_too_heavy(most + (1UL << bit), rest, clf_budgets_total(part), span))
                most += 1UL << bit;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        heavy[i] = clf_budgets_count(own, first, last, most + 1);
        part[i] = clf_budgets_up_to(own, first, last, most) - heavy[i] * most;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (i == 0) {
            const ulong cut = clf_budgets_total(heavy);
            left = rest - cut * span;
            open = k - cut;
            over = clf_budgets_total(part);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        part[i] = clf_budgets_split(own, first, last, most, left, over, open, low, span, out);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (i == 0) {
            over = left - clf_budgets_total(part);
            mark = 0;
        }
        for (int bit = CLF_BUDGETS_BITS - 1; bit >= 0; bit--) {
            barrier(CLK_LOCAL_MEM_FENCE);
            part[i] = clf_budgets_count(own, first, last, mark + (1UL << bit));
            barrier(CLK_LOCAL_MEM_FENCE);
            if (i == 0 && clf_budgets_total(part) >= over)
                mark += 1UL << bit;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        heavy[i] = clf_budgets_count(own, first, last, mark + 1);
        part[i] = clf_budgets_count(own, first, last, mark) - heavy[i];
        barrier(CLK_LOCAL_MEM_FENCE);
        ulong at_mark = over - clf_budgets_total(heavy);
        for (uint j = 0; j < i; j++)
            at_mark -= min(at_mark, part[j]);
        clf_budgets_give(own, first, last, mark, at_mark, out);
        barrier(CLK_LOCAL_MEM_FENCE); /* the next row overwrites what is agreed */
    }
}
