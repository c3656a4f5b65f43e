/* copy: y[r, c] = x[r, c], bit for bit
 *
 * x, y  rows placed by X and Y, dense in c, apart from each other; CLF_UNIT: unsigned integer of an element's size.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take vectors of 16 columns by turns, then the
 * columns that fill no vector one by one.  On CPU devices a group has one item.  `streamed`: y goes past the caches. */

/* One unaligned store, as in clf_math.h; the elements are aligned. */
typedef CLF_PASTE(CLF_UNIT, 16) clf_unit16;
typedef struct __attribute__((packed, aligned(sizeof(CLF_UNIT)))) {
    clf_unit16 v;
} clf_units;

kernel void clf_copy_rows(global const CLF_UNIT *x, clf_rows X, ulong rows, ulong columns, ulong block, ulong span,
                          global CLF_UNIT *y, clf_rows Y, uint streamed)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % 16;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        const bool past = streamed && CLF_PAST((global clf_unit16 *)(y + yr));

        for (ulong c = begin + get_local_id(0) * 16; c < whole; c += get_local_size(0) * 16)
            if (past)
                CLF_STORE_PAST(vload16(0, x + xr + c), (global clf_unit16 *)(y + yr + c));
            else
                ((global clf_units *)(y + yr + c))->v = vload16(0, x + xr + c);
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
            y[yr + c] = x[xr + c];
    }
}
