/* row_max: y[b, c] = max over n of x[b, n, c]
 *
 * x  B N rows placed by X, y  B rows placed by Y; dense in c.
 *
 * Group (i, j) takes columns i span, ... of batches j, j + groups, ...; its items take vectors of CLF_VEC columns by
 * turns, then the columns that fill no vector one by one.  On CPU devices a group has one item.  Comparisons are written
 * so that a NaN stays. */
kernel void clf_row_max_columns(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong B, ulong N, ulong columns, ulong span,
                                global float *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;

    for (ulong b = get_group_id(1); b < B; b += get_num_groups(1)) {
        const ulong yr = clf_row(Y, b);

        for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC) {
            clf_fv best = CLF_LOADV(CLF_X)(x, clf_row(X, b * N) + c);

            for (ulong n = 1; n < N; n++) {
                const clf_fv v = CLF_LOADV(CLF_X)(x, clf_row(X, b * N + n) + c);
                best = v <= best || best != best ? best : v;
            }
            CLF_VSTORE(best, y + yr + c);
        }
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
            float best = CLF_LOAD(CLF_X)(x, clf_row(X, b * N) + c);

            for (ulong n = 1; n < N; n++) {
                const float v = CLF_LOAD(CLF_X)(x, clf_row(X, b * N + n) + c);
                best = v <= best || best != best ? best : v;
            }
            y[yr + c] = best;
        }
    }
}
