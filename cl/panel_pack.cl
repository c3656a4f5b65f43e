/* panel_pack: weights into the panels of the panel provider, once, at load.
 *
 * w[n, k] -> packed[n / NR][k][n % NR], NR = 2 CLF_VEC; columns past N are 0.  Elements from CLF_SRC to CLF_W.
 * Work-groups of one item; no barriers, no local memory.  Tiles of NR rows and CLF_VEC columns are turned in registers, so
 * that both sides move whole vectors. */

#define NR (2 * CLF_VEC)

/* Rows n0 = panel·NR .. of w, CLF_VEC columns from k, into the packed panel: tile is [CLF_VEC][NR]. */
static inline void clf_panel_turn_weight(global const CLF_TYPE(CLF_SRC) *src, uint rows, uint K, uint k, uint columns, float *tile)
{
    for (uint n = 0; n < NR; n += 4) {
        clf_fv four[4];
        float *row = (float *)four;
        for (uint i = 0; i < 4; i++)
            if (n + i >= rows)
                four[i] = 0.0f;
            else if (columns == CLF_VEC)
                four[i] = CLF_LOADV(CLF_SRC)(src, (ulong)(n + i) * K + k);
            else
                for (uint j = 0; j < columns; j++)
                    row[i * CLF_VEC + j] = CLF_LOAD(CLF_SRC)(src, (ulong)(n + i) * K + k + j);
        for (uint j = 0; j < CLF_VEC; j += 4) {
            const float4 in[4] = { vload4(0, row + j), vload4(0, row + CLF_VEC + j),
                                   vload4(0, row + 2 * CLF_VEC + j), vload4(0, row + 3 * CLF_VEC + j) };
            float4 out[4];
            clf_turn4(in, out);
            for (uint i = 0; i < 4; i++)
                vstore4(out[i], 0, tile + (j + i) * NR + n);
        }
    }
}

/* src holds rows first_panel·NR .. of w, row-major and dense, as far as they are staged; `rows` of them in this call.
 * Global size (ceil(rows/NR), ceil(K/CLF_PANEL_COLUMNS)). */
kernel void clf_panel_pack_weight(global const CLF_TYPE(CLF_SRC) *src, ulong src_at, uint rows, uint K, uint first_panel,
                                  global CLF_TYPE(CLF_W) *w, ulong w_at)
{
    const uint panel = get_global_id(0), begin = get_global_id(1) * CLF_PANEL_COLUMNS, end = min(K, begin + CLF_PANEL_COLUMNS);
    float tile[CLF_VEC * NR];

    src += src_at + (ulong)panel * NR * K;
    w += w_at + ((ulong)first_panel + panel) * K * NR;
    for (uint k = begin; k < end; k += CLF_VEC) {
        const uint columns = min((uint)CLF_VEC, end - k);
        clf_panel_turn_weight(src, rows - panel * NR, K, k, columns, tile);
        for (uint j = 0; j < columns; j++) {
            CLF_STOREV(CLF_W)(w, (ulong)(k + j) * NR, CLF_VLOAD(tile + j * NR));
            CLF_STOREV(CLF_W)(w, (ulong)(k + j) * NR + CLF_VEC, CLF_VLOAD(tile + j * NR + CLF_VEC));
        }
    }
}
