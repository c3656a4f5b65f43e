/* activate: y[r, c] = activation(x[r, c]), in f32
 *
 * x, y  rows placed by X and Y, dense in c; y may be x.  CLF_ACTIVATION: a code CLF_ACT_... .
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take vectors of CLF_VEC columns by turns, then
 * the columns that fill no vector one by one.  On CPU devices a group has one item. */
kernel void clf_activate_rows(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong rows, ulong columns,
                              ulong block, ulong span, global CLF_TYPE(CLF_X) *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);

        for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC) {
            const clf_fv v = CLF_LOADV(CLF_X)(x, xr + c);
            CLF_STOREV(CLF_X)(y, yr + c, clf_act(CLF_ACTIVATION, v));
        }
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
            CLF_STORE(CLF_X)(y, yr + c, clf_act1(CLF_ACTIVATION, CLF_LOAD(CLF_X)(x, xr + c)));
    }
}
