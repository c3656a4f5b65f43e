/* similarity: y[i, j] = scale max over m of the sum over c of x[i, m, c] z[j, c]
 *
 * x  I M rows placed by X, z  J rows placed by Z, y  I rows of J placed by Y; dense in c and j.
 * Products and sums in f32, in an order fixed by C, the kernel and CLF_VEC.  A NaN wins every comparison.
 *
 * Three kernels:
 *   _ref   local 1: groups walk pairs, j = group 0, ... and i = group 1, ...; a plain loop
 *   _simd  local 1, for CPU devices: group (n, b) takes ROWS rows of z from n ROWS on, then every so many groups, and `block`
 *          of I from b block on.  ROWS by ROWS sums at a time, a vector each: ROWS^2 fma for 2 ROWS loads
 *   _tile  local CLF_NORM_WG: pairs as in _ref; item k takes columns k, k + WG, ...; WG floats of local memory */

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

#define ROWS 4

/* The sums over the lanes of ROWS^2 vectors, each as clf_lanes_sum has it: turned, lanes are added side by side. */
static inline void clf_similarity_lanes(clf_fv *sums, float *sum)
{
    _Pragma("unroll") for (uint p = 0; p < ROWS * ROWS; p += CLF_VEC)
    {
        clf_fv *v = sums + p;

        clf_turn(v);
        _Pragma("unroll") for (uint n = CLF_VEC / 2; n > 0; n /= 2)
            _Pragma("unroll") for (uint i = 0; i < n; i++) v[i] += v[i + n];
        CLF_WIDE(vstore)(v[0], 0, sum + p);
    }
}

/* sum[a ROWS + b] = <row xr[a] of x, row zr[b] of z>. */
static inline void clf_similarity_sums(global const CLF_TYPE(CLF_X) *x, const ulong *xr,
                                       global const CLF_TYPE(CLF_X) *z, const ulong *zr, uint C, float *sum)
{
    const uint whole = C - C % CLF_VEC;
    clf_fv sums[ROWS * ROWS];

    _Pragma("unroll") for (uint p = 0; p < ROWS * ROWS; p++) sums[p] = (clf_fv)(0.0f);
    for (uint c = 0; c < whole; c += CLF_VEC) {
        clf_fv zv[ROWS];

        _Pragma("unroll") for (uint b = 0; b < ROWS; b++) zv[b] = CLF_LOADV(CLF_X)(z, zr[b] + c);
        _Pragma("unroll") for (uint a = 0; a < ROWS; a++)
        {
            const clf_fv xv = CLF_LOADV(CLF_X)(x, xr[a] + c);
            _Pragma("unroll") for (uint b = 0; b < ROWS; b++) sums[a * ROWS + b] =
                CLF_FMA(xv, zv[b], sums[a * ROWS + b]);
        }
    }
    clf_similarity_lanes(sums, sum);
    for (uint c = whole; c < C; c++)
        for (uint p = 0; p < ROWS * ROWS; p++)
            sum[p] = CLF_FMA(CLF_LOAD(CLF_X)(x, xr[p / ROWS] + c), CLF_LOAD(CLF_X)(z, zr[p % ROWS] + c), sum[p]);
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
                                clf_rows Z, float scale, ulong I, ulong J, uint C, global float *y, clf_rows Y,
                                ulong block)
{
    const ulong first = get_group_id(1) * block, last = min(first + block, I);

    for (ulong j = get_group_id(0) * ROWS; j < J; j += get_num_groups(0) * ROWS) {
        float best[ROWS] = { 0.0f };
        ulong i = first, m = 0, zr[ROWS];

        for (uint b = 0; b < ROWS; b++)
            zr[b] = clf_row(Z, min(j + b, J - 1)); /* what is one too many is computed and not stored */
        for (ulong r = first * M; r < last * M; r += ROWS) {
            float sum[ROWS * ROWS];
            ulong xr[ROWS];

            for (uint a = 0; a < ROWS; a++)
                xr[a] = clf_row(X, min(r + a, last * M - 1));
            clf_similarity_sums(x, xr, z, zr, C, sum);
            for (uint a = 0; a < ROWS && i < last; a++) {
                for (uint b = 0; b < ROWS; b++)
                    best[b] = m == 0 ? sum[a * ROWS + b] : clf_similarity_better(best[b], sum[a * ROWS + b]);
                if (++m < M)
                    continue;
                for (uint b = 0; b < ROWS && j + b < J; b++)
                    y[clf_row(Y, i) + j + b] = scale * best[b];
                m = 0;
                i++;
            }
        }
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
