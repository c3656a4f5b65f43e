/* weighted_sum: y[b, c] = sum over m of w[b, m] x[b, m, c]
 *
 * x  B M rows placed by X, w  B rows of M placed by W, y  B rows placed by Y; dense in c and m.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ... of y; its items take vectors of CLF_VEC by turns, then the
 * columns that fill none one by one.  On CPU devices a group has one item. */
kernel void clf_weighted_sum_rows(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint M, global const float *w, clf_rows W,
                                  ulong rows, ulong columns, ulong block, ulong span, global float *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong b = first; b < last; b++) {
        const ulong wr = clf_row(W, b), yr = clf_row(Y, b);

        for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC) {
            clf_fv sum = 0.0f;
            for (uint m = 0; m < M; m++)
                sum = CLF_FMA((clf_fv)(w[wr + m]), CLF_LOADV(CLF_X)(x, clf_row(X, b * M + m) + c), sum);
            CLF_VSTORE(sum, y + yr + c);
        }
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
            float sum = 0.0f;
            for (uint m = 0; m < M; m++)
                sum = CLF_FMA(w[wr + m], CLF_LOAD(CLF_X)(x, clf_row(X, b * M + m) + c), sum);
            y[yr + c] = sum;
        }
    }
}
