/* similarity: y[i, j] = scale max over m of the sum over c of x[i, m, c] z[j, c]
 *
 * x  I M rows placed by X, z  J rows placed by Z, y  I rows of J placed by Y; dense in c and j.
 * Products and sums in f32, in an order fixed by C, the kernel and CLF_VEC.  A NaN wins every comparison.
 *
 * Three kernels, one mapping: groups walk pairs, j = group 0, ... and i = group 1, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item k takes columns k, k + WG, ...; WG floats of local memory */

#define CLF_EACH_PAIR                                                                                                  \
    for (ulong i = get_group_id(1); i < I; i += get_num_groups(1))                                                     \
        for (ulong j = get_group_id(0); j < J; j += get_num_groups(0))

/* The larger; a NaN stays. */
static float clf_similarity_better(float best, float value)
{
    return value > best || value != value ? value : best;
}

static float clf_similarity_plain(global const CLF_TYPE(CLF_X) *x, ulong xr, global const CLF_TYPE(CLF_X) *z, ulong zr,
                                  uint C)
{
    float sum = 0.0f;

    for (uint c = 0; c < C; c++)
        sum = CLF_FMA(CLF_LOAD(CLF_X)(x, xr + c), CLF_LOAD(CLF_X)(z, zr + c), sum);
    return sum;
}

static float clf_similarity_vectors(global const CLF_TYPE(CLF_X) *x, ulong xr, global const CLF_TYPE(CLF_X) *z,
                                    ulong zr, uint C)
{
    const uint whole = C - C % CLF_VEC;
    clf_fv sums = (clf_fv)(0.0f);

    for (uint c = 0; c < whole; c += CLF_VEC)
        sums = CLF_FMA(CLF_LOADV(CLF_X)(x, xr + c), CLF_LOADV(CLF_X)(z, zr + c), sums);
    float sum = clf_lanes_sum(sums);
    for (uint c = whole; c < C; c++)
        sum = CLF_FMA(CLF_LOAD(CLF_X)(x, xr + c), CLF_LOAD(CLF_X)(z, zr + c), sum);
    return sum;
}

kernel void clf_similarity_ref(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong M, global const CLF_TYPE(CLF_X) *z,
                               clf_rows Z, float scale, ulong I, ulong J, uint C, global float *y, clf_rows Y)
{
    CLF_EACH_PAIR
    {
        float best = -INFINITY;

        for (ulong m = 0; m < M; m++)
            best = clf_similarity_better(best,
                                         clf_similarity_plain(x, clf_row(X, i * M + m), z, clf_row(Z, j), C));
        y[clf_row(Y, i) + j] = scale * best;
    }
}

kernel void clf_similarity_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong M, global const CLF_TYPE(CLF_X) *z,
                                clf_rows Z, float scale, ulong I, ulong J, uint C, global float *y, clf_rows Y)
{
    CLF_EACH_PAIR
    {
        float best = -INFINITY;

        for (ulong m = 0; m < M; m++)
            best = clf_similarity_better(best,
                                         clf_similarity_vectors(x, clf_row(X, i * M + m), z, clf_row(Z, j), C));
        y[clf_row(Y, i) + j] = scale * best;
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_similarity_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong M,
                                                          global const CLF_TYPE(CLF_X) *z, clf_rows Z, float scale,
                                                          ulong I, ulong J, uint C, global float *y, clf_rows Y)
{
    local float part[CLF_NORM_WG];
    const uint k = get_local_id(0);

    CLF_EACH_PAIR /* the same pairs for all items: barriers inside */
    {
        const ulong zr = clf_row(Z, j);
        float best = -INFINITY;

        for (ulong m = 0; m < M; m++) {
            const ulong xr = clf_row(X, i * M + m);
            float sum = 0.0f;

            for (uint c = k; c < C; c += CLF_NORM_WG)
                sum = CLF_FMA(CLF_LOAD(CLF_X)(x, xr + c), CLF_LOAD(CLF_X)(z, zr + c), sum);
            best = clf_similarity_better(best, clf_group_sum(part, sum));
        }
        if (k == 0)
            y[clf_row(Y, i) + j] = scale * best;
    }
}
