/* widen: y[r, c] = x[r, c], 32 bits to 64
 *
 * x, y  rows placed by X and Y, dense in c, apart from each other.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take columns by turns.  On CPU devices a group
 * has one item. */
kernel void clf_widen_rows(global const int *x, clf_rows X, ulong rows, ulong columns, ulong block, ulong span,
                           global long *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns);
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);

        for (ulong c = begin + get_local_id(0); c < end; c += get_local_size(0))
            y[yr + c] = x[xr + c];
    }
}
