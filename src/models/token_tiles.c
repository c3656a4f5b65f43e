/* Rules of visual tokens for families that cut a picture into tiles.  Divisions and roundings are those of the
 * references, in double. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "models/token_plan.h"

#define MAX_PINPOINTS 256
#define MAX_TILES 256

/* ---- the plain rule ---- */

clf_status clf_token_tiles(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(clf_token_square(c, plan, err));
    const uint64_t side = (uint64_t)plan->tile_height;

    plan->thumbnail = true;
    CLF_TRY(clf_token_bool(c, "thumbnail", &plan->thumbnail, err));
    plan->tile_rows = (int64_t)clf_div_up((uint64_t)c->height, side);
    plan->tile_columns = (int64_t)clf_div_up((uint64_t)c->width, side);
    plan->tiles = plan->tile_rows * plan->tile_columns + (plan->thumbnail ? 1 : 0);
    plan->tokens = plan->tiles * plan->grid_rows * plan->grid_columns;
    return CLF_OK;
}

/* ---- anyres: llava_next, llava_onevision, aria ---- */

/* Of the resolutions the one that keeps most of the picture, then the one that wastes least; the first of equals. */
static clf_resolution best_resolution(const clf_token_call *c, const clf_resolution *all, size_t count)
{
    const double H = (double)c->height, W = (double)c->width;
    double best_kept = 0.0, best_wasted = INFINITY;
    clf_resolution best = all[0];

    for (size_t i = 0; i < count; i++) {
        const double h = (double)all[i].height, w = (double)all[i].width;
        const double scale = fmin(w / W, h / H);
        const double kept = fmin(trunc(W * scale) * trunc(H * scale), W * H), wasted = w * h - kept;

        if (kept > best_kept || (kept == best_kept && wasted < best_wasted)) {
            best = all[i];
            best_kept = kept;
            best_wasted = wasted;
        }
    }
    return best;
}

/* int(round(x, 7)) of the reference, x above 0. */
static int64_t whole(double x)
{
    const double floored = floor(x);

    return (int64_t)(x - floored >= 0.99999995 ? floored + 1.0 : floored);
}

/* The rows and columns of the stitched tiles that are left when the padding of the original's shape is cut off. */
static void unpad(const clf_token_call *c, int64_t *rows, int64_t *columns)
{
    const double H = (double)c->height, W = (double)c->width, h = (double)*rows, w = (double)*columns;

    if (W / H > w / h)
        *rows -= (*rows - whole(H * (w / W))) / 2 * 2;
    else
        *columns -= (*columns - whole(W * (h / H))) / 2 * 2;
}

/* image_grid_pinpoints, or the defaults in `all`; the tile grid, and rows and columns of the stitched features. */
static clf_status stitch(const clf_token_call *c, clf_resolution *all, size_t count, clf_token_plan *plan,
                         int64_t *rows, int64_t *columns, clf_error *err)
{
    CLF_TRY(clf_token_square(c, plan, err));
    CLF_TRY(clf_token_pairs(c, "image_grid_pinpoints", all, MAX_PINPOINTS, &count, err));
    const clf_resolution best = best_resolution(c, all, count);

    plan->thumbnail = true;
    plan->tile_rows = best.height / plan->tile_height;
    plan->tile_columns = best.width / plan->tile_width;
    plan->tiles = plan->tile_rows * plan->tile_columns + 1;
    if (plan->tiles == 1)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: image_grid_pinpoints has %" PRId64 " x %" PRId64 "; want at least one tile of %" PRId64
                        " pixels",
                        c->rule->family, best.height, best.width, plan->tile_height);
    *rows = plan->grid_rows * plan->tile_rows;
    *columns = plan->grid_columns * plan->tile_columns;
    unpad(c, rows, columns);
    return CLF_OK;
}

/* base + stitched, unpadded + a newline for each of its rows.  The base has the class token with "full". */
clf_status clf_token_llava_next(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    clf_resolution pinpoints[MAX_PINPOINTS] = {
        { 336, 672 }, { 672, 336 }, { 672, 672 }, { 1008, 336 }, { 336, 1008 }
    };
    const char *strategy = "default", *tower = "";
    int64_t rows, columns;

    CLF_TRY(clf_token_text(c, "vision_feature_select_strategy", &strategy, err));
    CLF_TRY(clf_token_text(c, "vision_config.model_type", &tower, err));
    CLF_TRY(stitch(c, pinpoints, 5, plan, &rows, &columns, err));
    plan->tokens = plan->grid_rows * plan->grid_columns + rows * columns + rows;
    plan->tokens += strstr(tower, "siglip") == NULL ? 1 : 0;
    plan->tokens -= strcmp(strategy, "full") != 0 ? 1 : 0;
    return CLF_OK;
}

/* The number in "anyres_max_9": what is left when those characters are stripped from both ends. */
static clf_status read_most_tiles(const clf_token_call *c, int64_t *most, clf_error *err)
{
    const char *ratio = "anyres_max_9";

    *most = 0;
    CLF_TRY(clf_token_text(c, "vision_aspect_ratio", &ratio, err));
    const char *digit = ratio + strspn(ratio, "anyres_max_");

    for (; *digit >= '0' && *digit <= '9' && *most < MAX_TILES; digit++)
        *most = *most * 10 + (*digit - '0');
    if (*most < 1 || *most > MAX_TILES || *digit != '\0')
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: vision_aspect_ratio has the number %" PRId64 "; want anyres_max_1 to anyres_max_%d",
                        c->rule->family, *most, MAX_TILES);
    return CLF_OK;
}

/* a // b of Python, both above 0: exact where the quotient a / b would round up to a whole number. */
static int64_t floor_division(double a, double b)
{
    return (int64_t)nearbyint((a - fmod(a, b)) / b);
}

/* As llava_next, without class token; more than `most` tiles' worth of features is resized down to that. */
clf_status clf_token_llava_onevision(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    clf_resolution pinpoints[MAX_PINPOINTS];
    const char *strategy = "full";
    int64_t rows, columns, most;

    for (size_t i = 0; i < 36; i++)
        pinpoints[i] = (clf_resolution){ 384 * (int64_t)(i / 6 + 1), 384 * (int64_t)(i % 6 + 1) };
    CLF_TRY(read_most_tiles(c, &most, err));
    CLF_TRY(clf_token_text(c, "vision_feature_select_strategy", &strategy, err));
    CLF_TRY(stitch(c, pinpoints, 36, plan, &rows, &columns, err));
    const double side = (double)plan->grid_rows;
    const double ratio = sqrt((double)rows * (double)columns / ((double)most * (side * side)));

    if (ratio > 1.1) {
        rows = floor_division((double)rows, ratio);
        columns = floor_division((double)columns, ratio);
    }
    plan->tokens = plan->grid_rows * plan->grid_columns + rows * columns + rows;
    plan->tokens -= strcmp(strategy, "full") != 0 ? 1 : 0;
    return CLF_OK;
}

/* Queries by the number of patches; split_image cuts the best of split_resolutions into tiles, without a thumbnail. */
clf_status clf_token_aria(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    static const int8_t grids[][2] = { { 1, 2 }, { 1, 3 }, { 1, 4 }, { 1, 5 }, { 1, 6 }, { 1, 7 }, { 1, 8 },
                                       { 2, 4 }, { 2, 3 }, { 2, 2 }, { 2, 1 }, { 3, 1 }, { 3, 2 }, { 4, 1 },
                                       { 4, 2 }, { 5, 1 }, { 6, 1 }, { 7, 1 }, { 8, 1 } };
    clf_resolution all[MAX_PINPOINTS];
    size_t count = CLF_COUNT(grids);
    int64_t patch, side, queries;
    bool split = false;

    CLF_TRY(clf_token_int(c, "max_image_size", (clf_token_size){ 980, 0 }, &side, err));
    CLF_TRY(clf_token_int(c, "vision_config.patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_bool(c, "split_image", &split, err));
    if (side != 490 && side != 980)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: max_image_size is %" PRId64 "; want 490 or 980", c->rule->family, side);
    for (size_t i = 0; i < count; i++)
        all[i] = (clf_resolution){ 490 * grids[i][0], 490 * grids[i][1] };
    CLF_TRY(clf_token_pairs(c, "split_resolutions", all, MAX_PINPOINTS, &count, err));
    CLF_TRY(clf_token_int(c, side == 490 ? "size_conversion.490" : "size_conversion.980",
                          (clf_token_size){ side == 490 ? 128 : 256, 0 }, &queries, err));
    if (split) {
        const clf_resolution best = best_resolution(c, all, count);

        plan->tile_rows = (int64_t)clf_div_up((uint64_t)best.height, (uint64_t)side);
        plan->tile_columns = (int64_t)clf_div_up((uint64_t)best.width, (uint64_t)side);
    }
    plan->tile_height = plan->tile_width = side;
    plan->grid_rows = plan->grid_columns = side / patch;
    plan->tiles = plan->tile_rows * plan->tile_columns;
    plan->tokens = plan->tiles * queries;
    return CLF_OK;
}

/* ---- mllama ---- */

/* The canvas of at most `most` tiles that scales the picture up least, or where none scales it up, down least.
 * Of equals the smallest: it has the fewest rows and the fewest columns, so it comes first. */
static void choose_canvas(const clf_token_call *c, int64_t most, int64_t side, clf_token_plan *plan)
{
    double best = 0.0;

    for (int64_t h = 1; h <= most; h++)
        for (int64_t w = 1; h * w <= most; w++) {
            const double down = (double)(h * side) / (double)c->height, across = (double)(w * side) / (double)c->width;
            const double scale = fmin(down, across);
            const bool first = best == 0.0, up = scale >= 1.0, best_up = best >= 1.0;
            const bool better = up ? !best_up || scale < best : !best_up && scale > best;

            if (first || better) {
                best = scale;
                plan->tile_rows = h;
                plan->tile_columns = w;
            }
        }
}

/* Tiles that text can see; the projector gives max_num_tiles of them, padding included.  The class token stays. */
clf_status clf_token_mllama(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t most;

    CLF_TRY(clf_token_square(c, plan, err));
    CLF_TRY(clf_token_int(c, "max_image_tiles|vision_config.max_num_tiles", (clf_token_size){ 4, 0 }, &most, err));
    if (most > MAX_TILES)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: max_num_tiles is %" PRId64 "; want 1 to %d", c->rule->family, most,
                        MAX_TILES);
    choose_canvas(c, most, plan->tile_height, plan);
    plan->tiles = plan->tile_rows * plan->tile_columns;
    plan->tokens = plan->tiles * (plan->grid_rows * plan->grid_columns + 1);
    return CLF_OK;
}

/* ---- internvl ---- */

/* The grid of `least` to `most` tiles whose shape is nearest to the picture's.  Of equals, tried with fewer tiles first
 * and then fewer columns, the last whose tiles have less than twice the picture's pixels. */
static void choose_shape(const clf_token_call *c, int64_t least, int64_t most, clf_token_plan *plan)
{
    const double H = (double)c->height, W = (double)c->width, side = (double)plan->tile_height;
    double best = INFINITY;

    for (int64_t tiles = least; tiles <= most; tiles++)
        for (int64_t columns = 1; columns <= tiles; columns++) {
            const int64_t rows = tiles / columns;
            const double error = fabs(W / H - (double)columns / (double)rows);

            if (tiles % columns != 0 || error > best || (error == best && W * H <= 0.5 * side * side * (double)tiles))
                continue;
            best = error;
            plan->tile_rows = rows;
            plan->tile_columns = columns;
        }
}

/* (side/patch downsample_ratio)^2 tokens a tile; a thumbnail where there is more than one. */
clf_status clf_token_internvl(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    bool thumbnail = true, crop = true;
    double ratio = 0.5;
    int64_t patch, least, most;

    CLF_TRY(clf_token_int(c, "force_image_size|size.height|vision_config.image_size.0|vision_config.image_size",
                          c->rule->image, &plan->tile_height, err));
    CLF_TRY(clf_token_int(c, "vision_config.patch_size.0|vision_config.patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_int(c, "min_patches|min_dynamic_patch", (clf_token_size){ 1, 0 }, &least, err));
    CLF_TRY(clf_token_int(c, "max_patches|max_dynamic_patch", (clf_token_size){ 12, 0 }, &most, err));
    CLF_TRY(clf_config_float(c->config, "downsample_ratio", &ratio, err));
    CLF_TRY(clf_token_bool(c, "use_thumbnail", &thumbnail, err));
    CLF_TRY(clf_token_bool(c, "crop_to_patches", &crop, err));
    if (least > most || most > MAX_TILES || !(ratio > 0.0 && ratio <= 1.0) || patch > plan->tile_height)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %" PRId64 " to %" PRId64 " tiles of %" PRId64 " pixels, patches of %" PRId64
                        ", downsample_ratio %g; want 1 to %d tiles, patches within them, a ratio of at most 1",
                        c->rule->family, least, most, plan->tile_height, patch, ratio, MAX_TILES);
    plan->tile_width = plan->tile_height;
    plan->grid_rows = plan->grid_columns = plan->tile_height / patch;
    if (crop)
        choose_shape(c, least, most, plan);
    plan->tiles = plan->tile_rows * plan->tile_columns;
    plan->thumbnail = thumbnail && plan->tiles > 1;
    plan->tiles += plan->thumbnail;
    const int64_t side = (int64_t)((double)plan->grid_rows * ratio);

    plan->tokens = plan->tiles * side * side;
    return CLF_OK;
}

/* ---- minicpmv ---- */

/* Python's round: halves to even, as nearbyint in the default rounding mode; at least one divisor. */
static double ensure_divide(double length, double divisor)
{
    return fmax(nearbyint(length / divisor) * divisor, divisor);
}

/* A picture or slice scaled to about resolution x resolution pixels, sides multiples of the patch. */
static void fit(double height, double width, double resolution, double patch, bool up, int64_t *rows, int64_t *columns)
{
    if (height * width > resolution * resolution || up) {
        const double ratio = width / height;

        height = trunc(resolution / sqrt(ratio));
        width = trunc(height * ratio);
    }
    *rows = (int64_t)(ensure_divide(height, patch) / patch);
    *columns = (int64_t)(ensure_divide(width, patch) / patch);
}

/* The grid whose shape is nearest to the picture's, of those with about `multiple` slices; more rows of equals. */
static void choose_slices(double log_ratio, int64_t multiple, int64_t most, clf_token_plan *plan)
{
    double best = INFINITY;

    for (int64_t slices = multiple - 1; slices <= multiple + 1 && slices <= most; slices++)
        for (int64_t rows = 1; rows <= slices && slices > 1; rows++) {
            const double error = fabs(log_ratio - log((double)(slices / rows) / (double)rows));

            if (slices % rows != 0 || error > best || (error == best && rows <= plan->tile_rows))
                continue;
            best = error;
            plan->tile_rows = rows;
            plan->tile_columns = slices / rows;
        }
}

typedef struct slice_options {
    int64_t most, resolution, patch, queries;
    bool slice;
} slice_options;

static clf_status read_slices(const clf_token_call *c, slice_options *o, clf_error *err)
{
    o->slice = true;
    CLF_TRY(clf_token_bool(c, "slice_mode", &o->slice, err));
    CLF_TRY(clf_token_int(c, "slice_config.max_slice_nums|max_slice_nums", (clf_token_size){ 9, 0 }, &o->most, err));
    CLF_TRY(clf_token_int(c, "slice_config.scale_resolution|scale_resolution", (clf_token_size){ 448, 0 },
                          &o->resolution, err));
    CLF_TRY(clf_token_int(c, "slice_config.patch_size|vision_config.patch_size|patch_size", c->rule->patch, &o->patch,
                          err));
    CLF_TRY(clf_token_int(c, c->rule->count_keys, c->rule->count, &o->queries, err));
    if (o->most > MAX_TILES)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: max_slice_nums is %" PRId64 "; want 1 to %d", c->rule->family, o->most,
                        MAX_TILES);
    return CLF_OK;
}

/* The whole picture, and above resolution x resolution pixels its slices. */
clf_status clf_token_minicpmv(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const double H = (double)c->height, W = (double)c->width;
    slice_options o;

    CLF_TRY(read_slices(c, &o, err));
    const double resolution = (double)o.resolution, patch = (double)o.patch;
    const double ratio = ceil(W * H / (resolution * resolution));
    const int64_t multiple = (int64_t)fmin(ratio, (double)o.most);

    plan->thumbnail = o.slice && multiple > 1;
    if (plan->thumbnail) {
        choose_slices(log(W / H), multiple, o.most, plan);
        const double rows = (double)plan->tile_rows, columns = (double)plan->tile_columns;

        plan->tiles = 1 + plan->tile_rows * plan->tile_columns;
        fit(H, W, resolution, patch, false, &plan->thumbnail_rows, &plan->thumbnail_columns);
        fit(ensure_divide(H, rows) / rows, ensure_divide(W, columns) / columns, resolution, patch, true,
            &plan->grid_rows, &plan->grid_columns);
    } else {
        fit(H, W, resolution, patch, true, &plan->grid_rows, &plan->grid_columns);
    }
    plan->tile_height = plan->grid_rows * o.patch;
    plan->tile_width = plan->grid_columns * o.patch;
    plan->tokens = plan->tiles * o.queries;
    return CLF_OK;
}

/* ---- idefics2 ---- */

/* A picture below the longest edge keeps its size; sides are at least the shortest edge. */
static void idefics2_size(int64_t height, int64_t width, int64_t shortest, int64_t longest, int64_t *h, int64_t *w)
{
    const double ratio = (double)width / (double)height;

    if (width >= height && width > longest) {
        width = longest;
        height = (int64_t)((double)width / ratio);
    } else if (height > width && height > longest) {
        height = longest;
        width = (int64_t)((double)height * ratio);
    }
    *h = CLF_MAX(height, shortest);
    *w = CLF_MAX(width, shortest);
}

/* do_image_splitting: four quarters and the whole, each resized on its own; the grid is that of the last quarter, the
 * largest where sides are odd. */
clf_status clf_token_idefics2(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t shortest, longest, patch, queries, height = c->height, width = c->width;

    CLF_TRY(clf_token_int(c, "size.shortest_edge", (clf_token_size){ 378, 0 }, &shortest, err));
    CLF_TRY(clf_token_int(c, "size.longest_edge", (clf_token_size){ 980, 0 }, &longest, err));
    CLF_TRY(clf_token_int(c, "vision_config.patch_size", c->rule->patch, &patch, err));
    CLF_TRY(clf_token_int(c, c->rule->count_keys, c->rule->count, &queries, err));
    CLF_TRY(clf_token_bool(c, "do_image_splitting", &plan->thumbnail, err));
    if (plan->thumbnail) {
        idefics2_size(height, width, shortest, longest, &plan->thumbnail_rows, &plan->thumbnail_columns);
        plan->thumbnail_rows /= patch;
        plan->thumbnail_columns /= patch;
        height -= height / 2;
        width -= width / 2;
        plan->tile_rows = plan->tile_columns = 2;
        plan->tiles = 5;
    }
    idefics2_size(height, width, shortest, longest, &plan->tile_height, &plan->tile_width);
    plan->grid_rows = plan->tile_height / patch;
    plan->grid_columns = plan->tile_width / patch;
    plan->tokens = plan->tiles * queries;
    return CLF_OK;
}
