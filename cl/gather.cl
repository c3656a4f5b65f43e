/* gather: y[r, :] = table[index[r], :], bit for bit
 *
 * table, y  rows placed by T and Y, dense in c, apart from each other; CLF_UNIT: unsigned integer of an element's size.
 * index     one entry a row of y, from element index0.  A row whose entry is not in 0 .. V - 1 is left as it is.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take vectors of 16 columns by turns, then the
 * columns that fill no vector one by one.  On CPU devices a group has one item.  The next row, which may lie anywhere, is
 * fetched while one is copied.  `streamed`: y goes past the caches. */

/* One unaligned store, as in clf_math.h; the elements are aligned. */
typedef CLF_PASTE(CLF_UNIT, 16) clf_unit16;
typedef struct __attribute__((packed, aligned(sizeof(CLF_UNIT)))) {
    clf_unit16 v;
} clf_units;

kernel void clf_gather_rows(global const CLF_UNIT *table, clf_rows T, ulong V, global const int *index, ulong index0,
                            ulong rows, ulong columns, ulong block, ulong span, global CLF_UNIT *y, clf_rows Y, uint streamed)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % 16;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        const int v = index[index0 + r];

        if (v < 0 || (ulong)v >= V)
            continue;
        const int next = index[index0 + min(r + 1, rows - 1)];
        const ulong tr = clf_row(T, (ulong)v), yr = clf_row(Y, r);
        const bool past = streamed && CLF_PAST((global clf_unit16 *)(y + yr));
        const ulong ahead = next < 0 || (ulong)next >= V ? tr : clf_row(T, (ulong)next);

        for (ulong c = begin + get_local_id(0) * 16; c < whole; c += get_local_size(0) * 16) {
            CLF_FETCH(table + ahead + c);
            if (past)
                CLF_STORE_PAST(vload16(0, table + tr + c), (global clf_unit16 *)(y + yr + c));
            else
                ((global clf_units *)(y + yr + c))->v = vload16(0, table + tr + c);
        }
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
            y[yr + c] = table[tr + c];
    }
}
