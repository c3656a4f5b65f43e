/* clblast: weights for CLBlast.
 *
 * clf_clblast_pack_weight  x [rows, K] CLF_X, rows first .. of a weight [N, K], to columns first .. of w [K, N] CLF_W
 * clf_clblast_expand       w of CLF_W to f32, elementwise
 * On CPU devices a group has one item. */

/* Global (rows in whole groups, ceil(K / CLF_CLBLAST_COLUMNS)): neighbouring items write neighbouring elements. */
kernel void clf_clblast_pack_weight(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong rows, ulong first, ulong N, uint K,
                                    global CLF_TYPE(CLF_W) *w)
{
    const ulong row = get_global_id(0);
    const uint begin = (uint)get_global_id(1) * CLF_CLBLAST_COLUMNS, end = min(K, begin + CLF_CLBLAST_COLUMNS);

    if (row >= rows)
        return;
    x += clf_row(X, row);
    for (uint k = begin; k < end; k++)
        CLF_STORE(CLF_W)(w, k * N + first + row, CLF_LOAD(CLF_X)(x, k));
}

/* ceil(count / CLF_CLBLAST_RUN) groups, whose items take vectors by turns, then what fills no vector one by one. */
kernel void clf_clblast_expand(global const CLF_TYPE(CLF_W) *w, ulong count, global float *y, ulong y_at)
{
    const ulong begin = get_group_id(0) * (ulong)CLF_CLBLAST_RUN, end = min(count, begin + CLF_CLBLAST_RUN);
    const ulong whole = end - (end - begin) % CLF_VEC;

    y += y_at;
    for (ulong i = begin + get_local_id(0) * CLF_VEC; i < whole; i += get_local_size(0) * CLF_VEC)
        CLF_VSTORE(CLF_LOADV(CLF_W)(w, i), y + i);
    for (ulong i = whole + get_local_id(0); i < end; i += get_local_size(0))
        y[i] = CLF_LOAD(CLF_W)(w, i);
}
