/* panel_pack: rows into the panels of the panel provider: weights once, at load, and rows that a call makes.
 *
 * w[n, k] -> packed[n / NR][k][n % NR], NR = 2 CLF_VEC; columns past N repeat the last or are 0.  From CLF_SRC to
 * CLF_W.
 * Work-groups of one item; no barriers, no local memory.  CLF_VEC rows and columns are turned in registers, so that both
 * sides move whole vectors. */

#define NR (2 * CLF_VEC)

/* Where CLF_VEC rows begin: n, n + 1, ... of `rows`. */
static inline void clf_panel_from(uint n, uint rows, ulong pitch, ulong *from)
{
    _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) from[i] = min(n + i, rows - 1) * pitch;
}

static inline clf_fv clf_panel_some(global const CLF_TYPE(CLF_SRC) *src, uint columns)
{
    float part[CLF_VEC];

    for (uint j = 0; j < CLF_VEC; j++)
        part[j] = j < columns ? CLF_LOAD(CLF_SRC)(src, j) : 0.0f;
    return CLF_VLOAD(part);
}

/* v[j] is column j of these rows, `columns` of which exist. */
static inline void clf_panel_turned(global const CLF_TYPE(CLF_SRC) *src, const ulong *from, uint columns, clf_fv *v)
{
    if (columns == CLF_VEC)
        _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) v[i] = CLF_LOADV(CLF_SRC)(src, from[i]);
    else
        _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) v[i] = clf_panel_some(src + from[i], columns);
    clf_turn(v);
}

static inline void clf_panel_store(const clf_fv *v, uint columns, global CLF_TYPE(CLF_W) *w)
{
    if (columns == CLF_VEC) {
        _Pragma("unroll") for (uint j = 0; j < CLF_VEC; j++) CLF_STOREV(CLF_W)(w, j * NR, v[j]);
    } else {
        clf_fv rest[CLF_VEC];

        _Pragma("unroll") for (uint j = 0; j < CLF_VEC; j++) rest[j] = v[j];
        for (uint j = 0; j < columns; j++)
            CLF_STOREV(CLF_W)(w, j * NR, rest[j]);
    }
}

/* src holds rows first_panel·NR .. of w, row-major and dense, as far as they are staged; `rows` of them in this call.
 * Several weights of as many rows lie behind each other, here and there, each in panels of its own.
 * Global size (ceil(rows/NR) weights, ceil(K/CLF_PANEL_COLUMNS)). */
kernel void clf_panel_pack_weight(global const CLF_TYPE(CLF_SRC) *src, ulong src_at, uint rows, uint K, uint first_panel,
                                  global CLF_TYPE(CLF_W) *w, ulong w_at)
{
    const uint panels = (rows + NR - 1) / NR, panel = get_global_id(0) % panels, weight = get_global_id(0) / panels;
    const uint begin = get_global_id(1) * CLF_PANEL_COLUMNS, end = min(K, begin + CLF_PANEL_COLUMNS);

    src += src_at + (ulong)weight * rows * K;
    w += w_at + ((ulong)first_panel + get_global_id(0)) * K * NR;
    for (uint n = 0; n < NR; n += CLF_VEC) {
        ulong from[CLF_VEC];

        clf_panel_from(panel * NR + n, rows, K, from);
        for (uint k = begin; k < end; k += CLF_VEC) {
            const uint columns = min((uint)CLF_VEC, end - k);
            clf_fv v[CLF_VEC];

            clf_panel_turned(src + k, from, columns, v);
            clf_panel_store(v, columns, w + (ulong)k * NR + n);
        }
    }
}

/* w turned: src holds it as [K][N], so that packed[n / NR][k][n % NR] = src[k, n]; several behind each other, here and
 * there.  Where a mask is given, k that it hides become 0, unless it hides all: hidden rows may be NaN.
 * Global size (ceil(N/NR), ceil(K/CLF_PANEL_COLUMNS) weights). */
kernel void clf_panel_pack_turned(global const CLF_TYPE(CLF_SRC) *src, ulong src_at, uint N, uint K, ulong first_weight,
                                  uint has_mask, global const float *mask, ulong mask_at, ulong mask_step,
                                  global CLF_TYPE(CLF_W) *w, ulong w_at)
{
    const uint panels = (N + NR - 1) / NR, parts = (K + CLF_PANEL_COLUMNS - 1) / CLF_PANEL_COLUMNS;
    const uint n = get_global_id(0) * NR, weight = get_global_id(1) / parts;
    const uint begin = get_global_id(1) % parts * CLF_PANEL_COLUMNS, end = min(K, begin + CLF_PANEL_COLUMNS);
    bool seen = false;

    src += src_at + (ulong)weight * K * N + n;
    w += w_at + (((first_weight + weight) * panels + get_global_id(0)) * K) * NR;
    mask += mask_at + weight * mask_step;
    for (uint k = 0; has_mask && k < K; k++)
        seen |= !(mask[k] <= -FLT_MAX);
    for (uint k = begin; k < end; k++) {
        clf_fv v[2] = { 0.0f, 0.0f };
        if (!seen || !(mask[k] <= -FLT_MAX)) {
            if (n + NR <= N) {
                v[0] = CLF_LOADV(CLF_SRC)(src, (ulong)k * N);
                v[1] = CLF_LOADV(CLF_SRC)(src, (ulong)k * N + CLF_VEC);
            } else {
                for (uint j = 0; n + j < N; j++)
                    ((float *)v)[j] = CLF_LOAD(CLF_SRC)(src, (ulong)k * N + j);
            }
        }
        CLF_STOREV(CLF_W)(w, (ulong)k * NR, v[0]);
        CLF_STOREV(CLF_W)(w, (ulong)k * NR + CLF_VEC, v[1]);
    }
}

/* max(sqrt(sum of squares), eps) of CLF_VEC rows, a NaN stays: the operations of l2_norm_simd, which has a row's lanes
 * side by side as well. */
static inline clf_fv clf_panel_lengths(global const CLF_TYPE(CLF_SRC) *z, const ulong *from, uint K, float eps)
{
    const uint whole = K - K % CLF_VEC;
    clf_fv squares[CLF_VEC];
    float length[CLF_VEC];

    _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) squares[i] = (clf_fv)(0.0f);
    for (uint k = 0; k < whole; k += CLF_VEC)
        _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++)
        {
            const clf_fv v = CLF_LOADV(CLF_SRC)(z, from[i] + k);
            squares[i] = CLF_FMA(v, v, squares[i]);
        }
    clf_turn(squares);
    _Pragma("unroll") for (uint n = CLF_VEC / 2; n > 0; n /= 2)
        _Pragma("unroll") for (uint i = 0; i < n; i++) squares[i] += squares[i + n];
    for (uint i = 0; i < CLF_VEC; i++) {
        float square = ((const float *)squares)[i];

        for (uint k = whole; k < K; k++) {
            const float v = CLF_LOAD(CLF_SRC)(z, from[i] + k);
            square = CLF_FMA(v, v, square);
        }
        length[i] = sqrt(square);
        if (length[i] < eps)
            length[i] = eps;
    }
    return CLF_VLOAD(length);
}

/* Rows first .. of w from z [rows, K], `pitch` apart; with `unit` each divided by its length.  first is a multiple
 * of NR.  Global size 2 ceil(rows / NR): half a panel each. */
kernel void clf_panel_pack_part(global const CLF_TYPE(CLF_SRC) *z, ulong z_at, ulong pitch, uint rows, uint K, uint first,
                                uint unit, float eps, global CLF_TYPE(CLF_W) *w, ulong w_at)
{
    const uint n = get_global_id(0) * CLF_VEC;
    ulong from[CLF_VEC];

    z += z_at;
    w += w_at + (ulong)(first + n) / NR * NR * K + n % NR;
    clf_panel_from(n, rows, pitch, from);
    const clf_fv length = unit ? clf_panel_lengths(z, from, K, eps) : (clf_fv)(1.0f);
    for (uint k = 0; k < K; k += CLF_VEC) {
        const uint columns = min((uint)CLF_VEC, K - k);
        clf_fv v[CLF_VEC];

        clf_panel_turned(z + k, from, columns, v);
        _Pragma("unroll") for (uint j = 0; j < CLF_VEC; j++) v[j] /= length;
        clf_panel_store(v, columns, w + (ulong)k * NR);
    }
}
