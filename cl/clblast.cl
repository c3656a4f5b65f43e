/* clblast: weights for CLBlast.
 *
 * clf_clblast_pack_weight  x [rows, K] CLF_X, rows first .. of a weight [N, K], to columns first .. of w [K, N] CLF_W
 * clf_clblast_expand       w of CLF_W to f32, elementwise
 * Work-groups of one; both run at load or beside a product that is far longer. */

/* Global (rows, ceil(K / CLF_CLBLAST_COLUMNS)). */
kernel void clf_clblast_pack_weight(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong first, ulong N, uint K,
                                    global CLF_TYPE(CLF_W) *w)
{
    const ulong row = get_global_id(0);
    const uint begin = (uint)get_global_id(1) * CLF_CLBLAST_COLUMNS, end = min(K, begin + CLF_CLBLAST_COLUMNS);

    x += clf_row(X, row);
    for (uint k = begin; k < end; k++)
        CLF_STORE(CLF_W)(w, k * N + first + row, CLF_LOAD(CLF_X)(x, k));
}

/* Global ceil(count / CLF_CLBLAST_RUN). */
kernel void clf_clblast_expand(global const CLF_TYPE(CLF_W) *w, ulong count, global float *y, ulong y_at)
{
    const ulong begin = get_global_id(0) * CLF_CLBLAST_RUN, end = min(count, begin + CLF_CLBLAST_RUN);

    y += y_at;
    for (ulong i = begin; i < end; i++)
        y[i] = CLF_LOAD(CLF_W)(w, i);
}
