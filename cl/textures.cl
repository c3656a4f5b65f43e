/* textures: 13 channels of each cell of a picture: colour, lightness, edges, place
 *
 * x  [B, 3, H, W]   rows of pixels placed by X;  y  [B, 13, g, g]  rows of cells placed by Y.
 *
 * The resized picture, 16 g x 16 g, is never written: bilinear reduction by 16 takes the mean of pixels 7 and 8 of each
 * 16 in both directions, and Sobel's kernel around them reaches pixels 6 to 9.  So a cell is a square of 4 x 4 resized
 * pixels, its middle 2 x 2 the pixels that count, and no cell ever reaches the border, where kernels would be cut.
 *
 * Group (i, j) takes cells i span, ... of rows j, j + groups, ...; its items take cells by turns. */

/* Where resized pixel u of n stands among `size` old ones: between *i and *i + 1 (the last one stays), *part of the way.
 * In whole numbers: f32 would lose the place of a pixel in pictures of thousands. */
static inline float clf_texture_place(ulong u, ulong n, ulong size, ulong *i)
{
    const long twice = (long)((2 * u + 1) * size) - (long)n; /* 2 n (u + 1/2) size / n - n */

    if (twice <= 0) {
        *i = 0;
        return 0.0f;
    }
    *i = (ulong)twice / (2 * n);
    return (float)((ulong)twice % (2 * n)) / (float)(2 * n);
}

/* CIE's linear light, cube roots with a line near black, as kornia 0.9 spells their constants. */
static inline float4 clf_texture_linear(float4 v)
{
    return select(v / 12.92f, pow(max((v + 0.055f) / 1.055f, 0.0f), 2.4f), isgreater(v, 0.04045f));
}

static inline float4 clf_texture_root(float4 v)
{
    return select(CLF_FMA(v, (float4)(7.787f), (float4)(4.0f / 29.0f)), cbrt(v), isgreater(v, 0.008856f));
}

static inline float clf_texture_mean(float4 v)
{
    return 0.25f * (v.s0 + v.s1 + v.s2 + v.s3);
}

/* A row of 4 resized pixels of one colour, `part` of the way from old row `a` to old row `b`.  Where colours are equal the
 * result is too, bit for bit: a plain surface has no edges, which scaling would make edges of. */
static inline float4 clf_texture_row(global const CLF_TYPE(CLF_X) *x, ulong a, ulong b, float part, const ulong *left,
                                     const ulong *right, float4 across)
{
    float4 al, ar, bl, br;

    al = (float4)(CLF_LOAD(CLF_X)(x, a + left[0]), CLF_LOAD(CLF_X)(x, a + left[1]), CLF_LOAD(CLF_X)(x, a + left[2]),
                  CLF_LOAD(CLF_X)(x, a + left[3]));
    ar = (float4)(CLF_LOAD(CLF_X)(x, a + right[0]), CLF_LOAD(CLF_X)(x, a + right[1]), CLF_LOAD(CLF_X)(x, a + right[2]),
                  CLF_LOAD(CLF_X)(x, a + right[3]));
    bl = (float4)(CLF_LOAD(CLF_X)(x, b + left[0]), CLF_LOAD(CLF_X)(x, b + left[1]), CLF_LOAD(CLF_X)(x, b + left[2]),
                  CLF_LOAD(CLF_X)(x, b + left[3]));
    br = (float4)(CLF_LOAD(CLF_X)(x, b + right[0]), CLF_LOAD(CLF_X)(x, b + right[1]), CLF_LOAD(CLF_X)(x, b + right[2]),
                  CLF_LOAD(CLF_X)(x, b + right[3]));
    al = CLF_FMA(ar - al, across, al);
    bl = CLF_FMA(br - bl, across, bl);
    return CLF_FMA(bl - al, (float4)(part), al);
}

/* The channels of a cell from its middle pixels and the 4 rows of grey around them. */
static inline void clf_texture_colours(float4 red, float4 green, float4 blue, float *v)
{
    const float4 r = clf_texture_linear(red), g = clf_texture_linear(green), b = clf_texture_linear(blue);
    const float4 fx = clf_texture_root((0.412453f * r + 0.357580f * g + 0.180423f * b) / 0.95047f);
    const float4 fy = clf_texture_root(0.212671f * r + 0.715160f * g + 0.072169f * b);

    v[0] = clf_texture_mean(red);
    v[1] = clf_texture_mean(green);
    v[2] = clf_texture_mean(blue);
    v[3] = v[12] = clf_texture_mean(CLF_FMA((float4)(116.0f), fy, (float4)(-16.0f))) / 100.0f;
    v[4] = (clf_texture_mean(500.0f * (fx - fy)) + 128.0f) / 255.0f;
}

static inline void clf_texture_edges(const float4 *grey, float *v)
{
    float4 gx, gy;
    /* [1 2 1] down or across, then the difference of what lies two apart. */
    const float4 top = grey[0] + 2.0f * grey[1] + grey[2], bottom = grey[1] + 2.0f * grey[2] + grey[3];
    const float4 upper = grey[2] - grey[0], lower = grey[3] - grey[1];

    gx = 0.125f * (float4)(top.s23 - top.s01, bottom.s23 - bottom.s01);
    gy = 0.125f * (float4)(upper.s01 + 2.0f * upper.s12 + upper.s23, lower.s01 + 2.0f * lower.s12 + lower.s23);
    v[5] = clf_texture_mean(gx);
    v[6] = clf_texture_mean(gy);
    v[7] = v[11] = clf_texture_mean(sqrt(gx * gx + gy * gy + 1e-8f));
}

/* Over the corner's distance, the largest; a single cell is its own corner. */
static inline void clf_texture_position(uint i, uint j, uint g, float *v)
{
    const float down = g > 1 ? (float)i / (float)(g - 1) : 0.0f, across = g > 1 ? (float)j / (float)(g - 1) : 0.0f;

    v[8] = down;
    v[9] = across;
    v[10] = sqrt(((down - 0.5f) * (down - 0.5f) + (across - 0.5f) * (across - 0.5f)) * 2.0f);
}

kernel void clf_textures_cells(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong B, ulong H, ulong W, uint g,
                               uint span, global float *y, clf_rows Y)
{
    const ulong side = 16 * (ulong)g;
    const uint begin = get_group_id(0) * span, end = min(begin + span, g);

    for (ulong r = get_group_id(1); r < B * g; r += get_num_groups(1)) {
        const ulong b = r / g, i = r % g;
        float part[4];
        ulong above[4], below[4];

        for (uint k = 0; k < 4; k++) {
            part[k] = clf_texture_place(16 * i + 6 + k, side, H, &above[k]);
            below[k] = min(above[k] + 1, H - 1);
        }
        for (uint j = begin + get_local_id(0); j < end; j += get_local_size(0)) {
            float4 red[4], green[4], row[4], grey[4];
            float v[13], across[4];
            ulong left[4], right[4];

            for (uint k = 0; k < 4; k++) {
                across[k] = clf_texture_place(16 * (ulong)j + 6 + k, side, W, &left[k]);
                right[k] = min(left[k] + 1, W - 1);
            }
            /* Rows by constant numbers and one colour after the other: so GPUs keep all in registers. */
            _Pragma("unroll 1") for (uint c = 0; c < 3; c++)
                _Pragma("unroll") for (uint k = 0; k < 4; k++) {
                    row[k] = clf_texture_row(x, clf_row(X, (b * 3 + c) * H + above[k]),
                                             clf_row(X, (b * 3 + c) * H + below[k]), part[k], left, right,
                                             (float4)(across[0], across[1], across[2], across[3]));
                    red[k] = c == 0 ? row[k] : red[k];
                    green[k] = c == 1 ? row[k] : green[k];
                }
            for (uint k = 0; k < 4; k++)
                grey[k] = 0.299f * red[k] + 0.587f * green[k] + 0.114f * row[k];
            clf_texture_colours((float4)(red[1].s12, red[2].s12), (float4)(green[1].s12, green[2].s12),
                                (float4)(row[1].s12, row[2].s12), v);
            clf_texture_edges(grey, v);
            clf_texture_position((uint)i, j, g, v);
            for (uint c = 0; c < 13; c++)
                y[clf_row(Y, (b * 13 + c) * g + i) + j] = v[c];
        }
    }
}
