/* add: y[r, c] = a[r, c] + scale b[r, c], in f32
 *
 * a, b, y  rows placed by A, B and Y, dense in c; y may be a or b.  A b of one row has row stride 0.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take vectors of CLF_VEC columns by turns, then
 * the columns that fill no vector one by one.  On CPU devices a group has one item. */

/* The header promises a rounding for the product and one for the sum: no fma. */
#pragma OPENCL FP_CONTRACT OFF

kernel void clf_add_rows(global const CLF_TYPE(CLF_X) *a, clf_rows A, global const CLF_TYPE(CLF_X) *b, clf_rows B,
                         float scale, ulong rows, ulong columns, ulong block, ulong span,
                         global CLF_TYPE(CLF_X) *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        const ulong ar = clf_row(A, r), br = clf_row(B, r), yr = clf_row(Y, r);

        for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC)
            CLF_STOREV(CLF_X)(y, yr + c, CLF_LOADV(CLF_X)(a, ar + c) + scale * CLF_LOADV(CLF_X)(b, br + c));
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
            CLF_STORE(CLF_X)(y, yr + c, CLF_LOAD(CLF_X)(a, ar + c) + scale * CLF_LOAD(CLF_X)(b, br + c));
    }
}
