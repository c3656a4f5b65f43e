/* patches: y[b, (i, j), (c, u, v)] = x[b, c, i p + u, j p + v], bit for bit
 *
 * x  [B, C, H, W], rows of W placed by X;  y  [B, (H/p) (W/p), C p p], rows placed by Y.  CLF_UNIT: unsigned integer of
 * an element's size.  Groups of one item walk the patches; neighbours read neighbouring parts of the same lines. */

kernel void clf_patches_rows(global const CLF_UNIT *x, clf_rows X, ulong patches, uint C, ulong H, ulong W, uint p,
                             global CLF_UNIT *y, clf_rows Y)
{
    const ulong across = W / p, of_picture = H / p * across;

    for (ulong r = get_group_id(0); r < patches; r += get_num_groups(0)) {
        const ulong b = r / of_picture, i = r % of_picture / across, j = r % across;
        ulong to = clf_row(Y, r);

        for (uint c = 0; c < C; c++)
            for (uint u = 0; u < p; u++) {
                const ulong from = clf_row(X, (b * C + c) * H + i * p + u) + j * p;

                for (uint v = 0; v < p; v++)
                    y[to++] = x[from + v];
            }
    }
}
