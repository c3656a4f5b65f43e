/* From weights to colours. */
#include "picture/heatmap.h"

#include <inttypes.h>
#include <math.h>

#include "core/error.h"
#include "core/size.h"
#include "picture/reader.h"

/* Share of the colour laid over the picture, of the coldest and of the warmest place. */
#define LEAST 0.35F
#define MOST 0.85F

static const float ramp[][3] = { { 0, 0, 4 }, { 87, 16, 110 }, { 188, 55, 84 }, { 249, 142, 9 }, { 252, 255, 164 } };

static int64_t root_of(int64_t n)
{
    int64_t r = (int64_t)sqrt((double)n);

    while (r * r > n)
        r--;
    while ((r + 1) * (r + 1) <= n)
        r++;
    return r;
}

/* A grid of `keys` cells, after `skip` keys that have no place. */
static bool fits(const clf_heatmap *m, int64_t keys)
{
    const int64_t side = root_of(keys);

    return m->height > 0 ? keys / m->height == m->width && keys % m->height == 0 : keys > 0 && side * side == keys;
}

clf_status clf_heatmap_fit(clf_heatmap *m, const char *where, int64_t H, int64_t Q, int64_t K, clf_error *err)
{
    if (m->position < 0 || m->position >= Q)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: --position is %" PRId64 "; want 0 to %" PRId64 ", a row of attention", where, m->position,
                        Q - 1);
    if (m->head >= H)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: --head is %" PRId64 "; want 0 to %" PRId64, where, m->head,
                        H - 1);
    m->skip = !fits(m, K) && fits(m, K - 1) ? 1 : 0;
    if (!fits(m, K - m->skip) && m->height > 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: --grid is %" PRId64 "x%" PRId64 ", %" PRId64 " cells; want %" PRId64
                        " keys of attention, or one less",
                        where, m->height, m->width, m->height * m->width, K);
    if (!fits(m, K - m->skip))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: attention has %" PRId64 " keys, no square with or without a CLS token; want --grid HxW",
                        where, K);
    if (m->height == 0)
        m->height = m->width = root_of(K - m->skip);
    return CLF_OK;
}

void clf_heatmap_row(const clf_heatmap *m, const float *weights, int64_t H, int64_t Q, int64_t K, float *map)
{
    const int64_t first = m->head < 0 ? 0 : m->head, last = m->head < 0 ? H : m->head + 1, cells = m->height * m->width;
    float most = 0.0F;

    for (int64_t i = 0; i < cells; i++) {
        double sum = 0.0;

        for (int64_t h = first; h < last; h++) {
            const float w = weights[(h * Q + m->position) * K + m->skip + i];

            sum += isnan(w) ? 0.0 : (double)w;
        }
        map[i] = (float)sum;
        most = fmaxf(most, map[i]);
    }
    for (int64_t i = 0; i < cells && most > 0.0F; i++)
        map[i] = isinf(most) ? (isinf(map[i]) ? 1.0F : 0.0F) : map[i] / most;
}

/* Colour c of the ramp at t. */
static float colour(float t, int c)
{
    const float at = t * (float)(CLF_COUNT(ramp) - 1);
    const size_t below = CLF_MIN((size_t)at, CLF_COUNT(ramp) - 2);
    const float rest = at - (float)below;

    return ramp[below][c] * (1.0F - rest) + ramp[below + 1][c] * rest;
}

clf_status clf_heatmap_draw(const clf_picture *picture, const float *heat, clf_picture *drawn, clf_error *err)
{
    *drawn = (clf_picture){ .height = picture->height, .width = picture->width };
    drawn->rgb = clf_picture_memory((uint64_t)picture->height, (uint64_t)picture->width, 3);
    if (drawn->rgb == NULL) {
        *drawn = (clf_picture){ .rgb = NULL };
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "heatmap: no memory for %" PRId64 " x %" PRId64 " pixels",
                        picture->height, picture->width);
    }
    for (int64_t i = 0; i < picture->height * picture->width; i++) {
        const float t = heat[i] > 0.0F ? fminf(heat[i], 1.0F) : 0.0F, share = LEAST + (MOST - LEAST) * t;

        for (int c = 0; c < 3; c++)
            drawn->rgb[3 * i + c] =
                (uint8_t)((1.0F - share) * (float)picture->rgb[3 * i + c] + share * colour(t, c) + 0.5F);
    }
    return CLF_OK;
}
