/* textures: 13 channels of each cell of a picture: colour, lightness, edges, place
 *
 * x  [B, 3, H, W]   rows of pixels placed by X;  y  [B, 13, g, g]  rows of cells placed by Y.
 *
 * The resized picture, 16 g x 16 g, is never written: bilinear reduction by 16 takes the mean of pixels 7 and 8 of each
 * 16 in both directions, and Sobel's kernel around them reaches pixels 6 to 9.  So a cell is a square of 4 x 4 resized
 * pixels, its middle 2 x 2 the pixels that count, and no cell ever reaches the border, where kernels would be cut.
 *
 * Group (i, j) takes cells i span, ... of rows j, j + groups, ...; its items take cells by turns. */

/* Where pixel 6 + k of a cell's 16 resized ones stands among `size` old ones: between *i and *i + 1 (the last one stays),
 * *part of the way, (32 cell + 13 + 2 k) size / (32 g) - 1/2.  In whole numbers: f32 would lose the place of a pixel in
 * pictures of thousands.  And in 32 bits, for size = g q + r: 19 * 31 g + 32 g g + 16 g is below 2^30 for g up to 4096. */
static inline float clf_texture_place(uint cell, uint k, uint g, uint size, uint *i)
{
    const uint q = size / g, r = size % g, at = 13 + 2 * k;
    const uint whole = cell * q + at * (q / 32); /* and one less, for the half that `rest` would not hold */
    const uint rest = at * (q % 32) * g + (32 * cell + at) * r + 16 * g;

    if (whole == 0 && rest <= 32 * g) {
        *i = 0;
        return 0.0f;
    }
    *i = whole + rest / (32 * g) - 1;
    return (float)(rest % (32 * g)) / (float)(32 * g);
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
static inline float4 clf_texture_row(global const CLF_TYPE(CLF_X) *x, ulong a, ulong b, float part, const uint *left,
                                     const uint *right, float4 across)
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

kernel void clf_textures_cells(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong B, uint H, uint W, uint g, uint span,
                               global float *y, clf_rows Y)
{
    const float weight[3] = { 0.299f, 0.587f, 0.114f };
    const uint begin = get_group_id(0) * span, end = min(begin + span, g);

    for (ulong r = get_group_id(1); r < B * g; r += get_num_groups(1)) {
        const ulong b = r / g;
        const uint i = (uint)(r % g);
        float part[4];
        uint above[4], below[4];

        for (uint k = 0; k < 4; k++) {
            part[k] = clf_texture_place(i, k, g, H, &above[k]);
            below[k] = min(above[k] + 1, H - 1);
        }
        for (uint j = begin + get_local_id(0); j < end; j += get_local_size(0)) {
            float4 red = 0.0f, green = 0.0f, blue = 0.0f, row[4], grey[4];
            float v[13], across[4];
            uint left[4], right[4];

            for (uint k = 0; k < 4; k++) {
                across[k] = clf_texture_place(j, k, g, W, &left[k]);
                right[k] = min(left[k] + 1, W - 1);
                grey[k] = 0.0f;
            }
            /* Rows by constant numbers and one colour after the other, of which only the middle stays: so GPUs keep all
             * in registers. */
            _Pragma("unroll 1") for (uint c = 0; c < 3; c++)
            {
                _Pragma("unroll") for (uint k = 0; k < 4; k++)
                {
                    row[k] = clf_texture_row(x, clf_row(X, (b * 3 + c) * H + above[k]),
                                             clf_row(X, (b * 3 + c) * H + below[k]), part[k], left, right,
                                             (float4)(across[0], across[1], across[2], across[3]));
                    grey[k] = CLF_FMA((float4)(weight[c]), row[k], grey[k]);
                }
                red = green;
                green = blue;
                blue = (float4)(row[1].s12, row[2].s12);
            }
            clf_texture_colours(red, green, blue, v);
            clf_texture_edges(grey, v);
            clf_texture_position(i, j, g, v);
            for (uint c = 0; c < 13; c++)
                y[clf_row(Y, (b * 13 + c) * g + i) + j] = v[c];
        }
    }
}
