/* entropy: y[b, n] = -sum over c of p log(p + eps),  p = e^(x - m) / sum of e^(x - m),  m the largest x[b, :, n]
 *
 * x  B C rows of N placed by X, y  B rows of N placed by Y; dense in n.
 *
 * y = log(C) - sum of p log(C (p + eps)): channels differ by little as a rule, and then the sum is small and keeps the
 * digits in which places differ.  The p of f32 add up to 1 + d, d some 1e-7, which counts like an entropy of -d: it is
 * found from C p - 1, which are small too, and put back.
 *
 * Group (i, j) takes places i span, ... of pictures j, j + groups, ...; its items take vectors of CLF_VEC places by turns,
 * the last of them in part.  fmax leaves a NaN out of m; it makes the sum NaN all the same. */

/* Places first .. first + count - 1 of CLF_VEC; x is the first channel's row there. */
static inline clf_fv clf_entropy_of(global const float *x, clf_rows X, ulong row, uint C, ulong first, uint count,
                                    float eps)
{
    clf_fv most = -INFINITY, sum = 0.0f, less = 0.0f, over = 0.0f;

    for (uint c = 0; c < C; c++)
        most = fmax(most, clf_loadv_some(x, clf_row(X, row + c) + first, count));
    for (uint c = 0; c < C; c++)
        sum += clf_exp(clf_loadv_some(x, clf_row(X, row + c) + first, count) - most);
    for (uint c = 0; c < C; c++) {
        const clf_fv p = clf_exp(clf_loadv_some(x, clf_row(X, row + c) + first, count) - most) / sum;
        less = CLF_FMA(p, log((float)C * (p + eps)), less);
        over += CLF_FMA((clf_fv)((float)C), p, (clf_fv)(-1.0f));
    }
    return log((float)C) - (less - over / (float)C);
}

kernel void clf_entropy_places(global const float *x, clf_rows X, ulong B, uint C, ulong N, ulong span, float eps,
                               global float *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, N);

    for (ulong b = get_group_id(1); b < B; b += get_num_groups(1))
        for (ulong n = begin + get_local_id(0) * CLF_VEC; n < end; n += get_local_size(0) * CLF_VEC) {
            const uint count = (uint)min((ulong)CLF_VEC, end - n);
            const clf_fv v = clf_entropy_of(x, X, b * C, C, n, count, eps);
            global float *to = y + clf_row(Y, b) + n;

            if (count == CLF_VEC) {
                CLF_VSTORE(v, to);
                continue;
            }
            float lane[CLF_VEC];
            CLF_WIDE(vstore)(v, 0, lane);
            for (uint i = 0; i < count; i++)
                to[i] = lane[i];
        }
}
