/* panel_rows: activations into the row panels of the panel provider, normalised on the way.
 *
 * x[r, k] -> a[r / MR][k][r % MR] f32, MR the tile height of the product; rows past m are 0.
 * Prologues: plain; layer norm (x - mean) / sqrt(var + eps) · g + b, or without both; RMS norm x / sqrt(mean(x²) + eps) · g.
 * Types: CLF_X of the rows.  Work-groups of one item; no barriers, no local memory.
 * The sums depend on K and CLF_VEC alone, so equal rows give equal bits in any batch and under any MR. */

#define MR_MAX 12

/* x[at .. at + count), zeros after it; count >= CLF_VEC is a plain vector load. */
static inline clf_fv clf_panel_load(global const CLF_TYPE(CLF_X) *x, ulong at, uint count)
{
    if (count >= CLF_VEC)
        return CLF_LOADV(CLF_X)(x, at);
    float part[CLF_VEC];
    for (uint j = 0; j < CLF_VEC; j++)
        part[j] = j < count ? CLF_LOAD(CLF_X)(x, at + j) : 0.0f;
    return CLF_VLOAD(part);
}

/* v with the lanes from count on set to 0. */
static inline clf_fv clf_panel_cut(clf_fv v, uint count)
{
    float *lane = (float *)&v;
    for (uint j = count; j < CLF_VEC; j++)
        lane[j] = 0.0f;
    return v;
}

/* Sum over k of (x - m - m_low)² when square, of x - m - m_low otherwise.  Four sums run side by side to hide the
 * latency of the addition. */
static inline float clf_panel_moment(global const CLF_TYPE(CLF_X) *x, ulong at, uint K, float m, float m_low, bool square)
{
    clf_fv s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    uint k = 0;

    x += at;
    for (; K - k >= 4 * CLF_VEC; k += 4 * CLF_VEC) {
        const clf_fv d0 = CLF_LOADV(CLF_X)(x, k) - m - m_low, d1 = CLF_LOADV(CLF_X)(x, k + CLF_VEC) - m - m_low;
        const clf_fv d2 = CLF_LOADV(CLF_X)(x, k + 2 * CLF_VEC) - m - m_low;
        const clf_fv d3 = CLF_LOADV(CLF_X)(x, k + 3 * CLF_VEC) - m - m_low;
        s0 = square ? CLF_FMA(d0, d0, s0) : s0 + d0;
        s1 = square ? CLF_FMA(d1, d1, s1) : s1 + d1;
        s2 = square ? CLF_FMA(d2, d2, s2) : s2 + d2;
        s3 = square ? CLF_FMA(d3, d3, s3) : s3 + d3;
    }
    for (; k < K; k += CLF_VEC) {
        const uint count = min(K - k, (uint)CLF_VEC);
        clf_fv d = clf_panel_load(x, k, count) - m - m_low;
        if (count < CLF_VEC)
            d = clf_panel_cut(d, count);
        s0 = square ? CLF_FMA(d, d, s0) : s0 + d;
    }
    return clf_lanes_sum((s0 + s1) + (s2 + s3));
}

/* What the prologue does to an element: ((x - m) - m_low)·scale·g + b.  m and m_low are the mean in two parts. */
typedef struct { ulong at; float m, m_low, scale; } clf_panel_row;

/* Which of these terms there are; a constant wherever it is passed, so each kernel keeps its own case only. */
#define FORM_PLAIN 0
#define FORM_LAYER_NORM 1
#define FORM_RMS 2

static inline clf_fv clf_panel_prologue(int form, clf_panel_row row, clf_fv v, clf_fv g, clf_fv b)
{
    if (form == FORM_LAYER_NORM)
        return CLF_FMA((v - row.m - row.m_low) * row.scale, g, b);
    return form == FORM_RMS ? v * row.scale * g : v;
}

/* Columns begin .. end of one panel.  row[i] describes its row i; rows of them exist, the others are zeros. */
static inline void clf_panel_fill(int form, uint rms_mode, global const CLF_TYPE(CLF_X) *x, const clf_panel_row *row, uint rows,
                           uint MR, uint begin, uint end, global const float *g, global const float *b, global float *a)
{
    for (uint r = 0; r < MR; r += 4) {
        const uint high = min(MR - r, 4u);                          /* rows of the panel, real or zero, in this quarter */
        for (uint k = begin; k < end; k += CLF_VEC) {
            const uint count = min(end - k, (uint)CLF_VEC);
            global float *to = a + (ulong)k * MR + r;
            clf_fv quad[4];
            const float *four = (const float *)quad;
            clf_fv gain = 1.0f, shift = 0.0f;
            if (form == FORM_LAYER_NORM && b)
                shift = clf_loadv_some(b, k, count);
            if ((form == FORM_LAYER_NORM && g) || (form == FORM_RMS && rms_mode != CLF_GAIN_PLAIN))
                gain = clf_loadv_some(g, k, count);
            if (form == FORM_RMS && rms_mode == CLF_GAIN_ONE_PLUS)
                gain += 1.0f;
            for (uint i = 0; i < 4; i++) {
                quad[i] = 0.0f;
                if (r + i < rows)
                    quad[i] = clf_panel_prologue(form, row[r + i], clf_panel_load(x, row[r + i].at + k, count), gain, shift);
            }
            if (high == 4 && count == CLF_VEC)
                for (uint j = 0; j < CLF_VEC; j += 4) {
                    const float4 in[4] = { vload4(0, four + j), vload4(0, four + CLF_VEC + j),
                                      vload4(0, four + 2 * CLF_VEC + j), vload4(0, four + 3 * CLF_VEC + j) };
                    float4 out[4];
                    clf_turn4(in, out);
                    for (uint i = 0; i < 4; i++)
                        vstore4(out[i], 0, to + (j + i) * MR);
                }
            else
                for (uint j = 0; j < count; j++)
                    for (uint i = 0; i < high; i++)
                        to[j * MR + i] = four[i * CLF_VEC + j];
        }
    }
}

/* The rows packed are first_row .. first_row + m of X; a begins at a_at.  Global size (ceil(m/MR), ceil(K/CLF_PANEL_COLUMNS)). */
kernel void clf_panel_rows_plain(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint first_row, uint m, uint K, uint MR,
                                 global float *a, ulong a_at)
{
    const uint panel = get_global_id(0), begin = get_global_id(1) * CLF_PANEL_COLUMNS, rows = min(MR, m - panel * MR);
    clf_panel_row row[MR_MAX];

    for (uint i = 0; i < rows; i++)
        row[i].at = clf_row(X, (ulong)first_row + panel * MR + i);
    clf_panel_fill(FORM_PLAIN, 0, x, row, rows, MR, begin, min(K, begin + CLF_PANEL_COLUMNS), 0, 0, a + a_at + (ulong)panel * K * MR);
}

/* a = (x - mean)/sqrt(var + eps)·gamma + beta, gamma and beta [K], both optional.  Global size ceil(m/MR).
 * The mean is kept in two f32, m and the mean of x - m: with a mean of 1e4 and a spread of 1, the rounding of m alone
 * would shift every output by 5e-4. */
kernel void clf_panel_rows_layer_norm(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint first_row, uint m, uint K,
                                      uint MR, global const float *gamma, ulong gamma_at, uint has_gamma,
                                      global const float *beta, ulong beta_at, uint has_beta, float eps,
                                      global float *a, ulong a_at)
{
    const uint panel = get_global_id(0), rows = min(MR, m - panel * MR);
    clf_panel_row row[MR_MAX];

    for (uint i = 0; i < rows; i++) {
        row[i].at = clf_row(X, (ulong)first_row + panel * MR + i);
        row[i].m = clf_panel_moment(x, row[i].at, K, 0.0f, 0.0f, false) / K;
        row[i].m_low = clf_panel_moment(x, row[i].at, K, row[i].m, 0.0f, false) / K;
        row[i].scale = 1.0f / sqrt(clf_panel_moment(x, row[i].at, K, row[i].m, row[i].m_low, true) / K + eps);
    }
    for (uint k = 0; k < K; k += CLF_PANEL_COLUMNS)
        clf_panel_fill(FORM_LAYER_NORM, 0, x, row, rows, MR, k, min(K, k + CLF_PANEL_COLUMNS),
                       has_gamma ? gamma + gamma_at : 0, has_beta ? beta + beta_at : 0, a + a_at + (ulong)panel * K * MR);
}

/* a = x/sqrt(mean(x²) + eps)·w, or ·(1 + w), or neither, as mode says; w [K].  Global size ceil(m/MR). */
kernel void clf_panel_rows_rms_norm(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint first_row, uint m, uint K,
                                    uint MR, global const float *weight, ulong weight_at, uint mode, float eps,
                                    global float *a, ulong a_at)
{
    const uint panel = get_global_id(0), rows = min(MR, m - panel * MR);
    clf_panel_row row[MR_MAX];

    for (uint i = 0; i < rows; i++) {
        row[i].at = clf_row(X, (ulong)first_row + panel * MR + i);
        row[i].scale = 1.0f / sqrt(clf_panel_moment(x, row[i].at, K, 0.0f, 0.0f, true) / K + eps);
    }
    for (uint k = 0; k < K; k += CLF_PANEL_COLUMNS)
        clf_panel_fill(FORM_RMS, mode, x, row, rows, MR, k, min(K, k + CLF_PANEL_COLUMNS), weight + weight_at, 0,
                       a + a_at + (ulong)panel * K * MR);
}
