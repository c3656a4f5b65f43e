/* Rules of visual tokens for families that take a picture in about its own shape.  Divisions and roundings are those
 * of the references, in double. */
#include <inttypes.h>
#include <math.h>

#include "core/error.h"
#include "core/size.h"
#include "models/token_plan.h"

/* rows x columns patches of the tile, each one a token. */
static void set_grid(clf_token_plan *plan, int64_t rows, int64_t columns, int64_t patch)
{
    plan->grid_rows = rows;
    plan->grid_columns = columns;
    plan->tile_height = rows * patch;
    plan->tile_width = columns * patch;
    plan->tokens = rows * columns;
}

/* The picture as it is; what does not fill a patch is cut off. */
clf_status clf_token_patches(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t patch;

    CLF_TRY(clf_token_int(c, "patch_size", c->rule->patch, &patch, err));
    if (c->height < patch || c->width < patch)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: picture is %" PRId64 " x %" PRId64 "; want at least one patch of %" PRId64 " pixels",
                        c->rule->family, c->height, c->width, patch);
    set_grid(plan, c->height / patch, c->width / patch, patch);
    return CLF_OK;
}

/* At most `longest`, the smaller side by the same factor; then whole patches. */
static int64_t fuyu_patches(int64_t side, double scale, int64_t most, int64_t patch)
{
    const double scaled = trunc((double)side * scale);
    const int64_t pixels = scale < 1.0 ? CLF_MIN((int64_t)scaled, side) : side;

    return CLF_MIN(most, (int64_t)clf_div_up((uint64_t)pixels, (uint64_t)patch) * patch) / patch;
}

/* Shrunk into size.height x size.width where it is larger, padded to whole patches; a newline id ends each row. */
clf_status clf_token_fuyu(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t height, width, patch;

    CLF_TRY(clf_token_int(c, "size.height", (clf_token_size){ 1080, 0 }, &height, err));
    CLF_TRY(clf_token_int(c, "size.width", (clf_token_size){ 1920, 0 }, &width, err));
    CLF_TRY(clf_token_int(c, "patch_size.height|patch_size", c->rule->patch, &patch, err));
    const double scale = fmin((double)height / (double)c->height, (double)width / (double)c->width);

    if (height % patch != 0 || width % patch != 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: patch_size is %" PRId64 "; want a divisor of size %" PRId64 " x %" PRId64, c->rule->family,
                        patch, height, width);
    if ((double)c->height * scale < 1.0 || (double)c->width * scale < 1.0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: picture is %" PRId64 " x %" PRId64 "; want one pixel of each side left in %" PRId64
                        " x %" PRId64,
                        c->rule->family, c->height, c->width, height, width);
    set_grid(plan, fuyu_patches(c->height, scale, height, patch), fuyu_patches(c->width, scale, width, patch), patch);
    plan->context_tokens = plan->tokens + plan->grid_rows;
    return CLF_OK;
}

/* LLaVA with a Pixtral tower: at most longest_edge, rounded up to whole patches; a break id ends each row, an end id
 * the last. */
clf_status clf_token_pixtral(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t longest, patch, height = c->height, width = c->width;

    CLF_TRY(clf_token_int(c, "size.longest_edge|vision_config.image_size", (clf_token_size){ 1024, 0 }, &longest, err));
    CLF_TRY(clf_token_int(c, "vision_config.patch_size|patch_size", (clf_token_size){ 16, 0 }, &patch, err));
    const double ratio = fmax((double)height / (double)longest, (double)width / (double)longest);

    if (ratio > 1.0) {
        height = (int64_t)fmax(floor((double)height / ratio), 1.0);
        width = (int64_t)fmax(floor((double)width / ratio), 1.0);
    }
    set_grid(plan, (height - 1) / patch + 1, (width - 1) / patch + 1, patch);
    plan->context_tokens = plan->tokens + plan->grid_rows;
    return CLF_OK;
}

/* As many patches as max_patches allows, in the shape of the picture; the queries are always the same number. */
clf_status clf_token_kosmos2_5(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const double H = (double)c->height, W = (double)c->width;
    int64_t patch, most, queries;

    CLF_TRY(clf_token_int(c, "patch_size.height|patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_int(c, "max_patches", (clf_token_size){ 4096, 0 }, &most, err));
    CLF_TRY(clf_token_int(c, c->rule->count_keys, c->rule->count, &queries, err));
    const double p = (double)patch, scale = sqrt((double)most * (p / H) * (p / W));

    set_grid(plan, (int64_t)fmax(fmin(floor(scale * H / p), (double)most), 1.0),
             (int64_t)fmax(fmin(floor(scale * W / p), (double)most), 1.0), patch);
    plan->tokens = queries;
    return CLF_OK;
}

/* A number of pixels that is a multiple of `factor`, near height x width and from `least` to `most` where it can be. */
static void smart_resize(const clf_token_call *c, double factor, double least, double most, double *height,
                         double *width)
{
    const double H = (double)c->height, W = (double)c->width;

    *height = nearbyint(H / factor) * factor; /* halves to even, as Python's round */
    *width = nearbyint(W / factor) * factor;
    if (*height * *width > most) {
        const double beta = sqrt(H * W / most);

        *height = fmax(factor, floor(H / beta / factor) * factor);
        *width = fmax(factor, floor(W / beta / factor) * factor);
    } else if (*height * *width < least) {
        const double beta = sqrt(least / (H * W));

        *height = ceil(H * beta / factor) * factor;
        *width = ceil(W * beta / factor) * factor;
    }
}

/* Qwen2-VL and 2.5: merge_size x merge_size patches are a token. */
clf_status clf_token_qwen2(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const double longer = (double)CLF_MAX(c->height, c->width), shorter = (double)CLF_MIN(c->height, c->width);
    int64_t patch, merge, least, most;
    double height, width;

    CLF_TRY(clf_token_int(c, "vision_config.patch_size|patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_int(c, "vision_config.spatial_merge_size|merge_size", (clf_token_size){ 2, 0 }, &merge, err));
    CLF_TRY(clf_token_int(c, "min_pixels|size.shortest_edge", (clf_token_size){ 56 * 56, 0 }, &least, err));
    CLF_TRY(clf_token_int(c, "max_pixels|size.longest_edge", (clf_token_size){ 28 * 28 * 1280, 0 }, &most, err));
    if (longer / shorter > 200)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: picture is %" PRId64 " x %" PRId64 "; want sides of at most 200 to 1", c->rule->family,
                        c->height, c->width);
    smart_resize(c, (double)(patch * merge), (double)least, (double)most, &height, &width);
    set_grid(plan, (int64_t)height / patch, (int64_t)width / patch, patch);
    plan->tokens /= merge * merge;
    return CLF_OK;
}

static double scaled_patches(double scale, double side, double patch)
{
    return fmax(1.0, ceil(side * scale / patch));
}

/* The largest scale with at most max_num_patches, found by bisection as the reference does; one pooled vector. */
clf_status clf_token_siglip2(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const double H = (double)c->height, W = (double)c->width, eps = 1e-5;
    double low = eps / 10, high = 100.0;
    int64_t patch, most;

    CLF_TRY(clf_token_int(c, "patch_size|vision_config.patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_int(c, "max_num_patches|vision_config.num_patches", (clf_token_size){ 256, 0 }, &most, err));
    const double p = (double)patch;

    while (high - low >= eps) {
        const double scale = (low + high) / 2;

        if (scaled_patches(scale, H, p) * scaled_patches(scale, W, p) <= (double)most)
            low = scale;
        else
            high = scale;
    }
    set_grid(plan, (int64_t)scaled_patches(low, H, p), (int64_t)scaled_patches(low, W, p), patch);
    plan->tokens = 1;
    return CLF_OK;
}
