/* mrope_positions: time, row and column of every token of prompts with pictures and videos. */
#include <clfusion/positions.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/desc.h"
#include "core/error.h"
#include "core/size.h"

#define CLF_OP "mrope_positions"

/* The grids of one kind of picture, taken in order. */
typedef struct feed {
    const char *name;
    const int64_t *grids;
    int64_t count; /* of grids; of their frames where each frame is a run */
    int64_t next;  /* the run that comes */
    int64_t grid;  /* its grid */
    int64_t frame; /* and frame; 0 where a grid is a run */
    bool frames;   /* a run is a frame */
} feed;

/* A walk over the prompts.  Nothing is written while `positions` is NULL: the rules come first. */
typedef struct walk {
    clf_mrope_prompts p;
    feed images, videos;
    int32_t *positions, *deltas;
} walk;

/* ---- rules that need no walk ---- */

static clf_status check_grids(const char *name, const int64_t *grids, int64_t count, clf_error *err)
{
    CLF_REQUIRE(err, count >= 0 && (count == 0 || grids != NULL), CLF_INVALID_ARGUMENT,
                "%s_count is %" PRId64 " with %s_grids %s; want as many grids", name, count, name,
                grids == NULL ? "NULL" : "given");
    for (int64_t g = 0; g < count; g++)
        for (int axis = 0; axis < 3; axis++)
            CLF_REQUIRE(err, grids[3 * g + axis] >= 1 && grids[3 * g + axis] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                        "%s_grids[%" PRId64 "] is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want sizes of 1 to 2^31 - 1",
                        name, g, grids[3 * g], grids[3 * g + 1], grids[3 * g + 2]);
    return CLF_OK;
}

static clf_status check_seconds(const clf_mrope_prompts *p, clf_error *err)
{
    CLF_REQUIRE(err, isfinite(p->tokens_per_second) && p->tokens_per_second >= 0.0, CLF_INVALID_ARGUMENT,
                "tokens_per_second is %g; want 0 or more", p->tokens_per_second);
    for (int64_t i = 0; p->seconds_per_frame != NULL && i < p->video_count; i++) {
        const double seconds = p->seconds_per_frame[i];

        CLF_REQUIRE(err, isfinite(seconds) && seconds >= 0.0, CLF_INVALID_ARGUMENT,
                    "seconds_per_frame[%" PRId64 "] is %g; want 0 or more", i, seconds);
        CLF_REQUIRE(err, seconds * p->tokens_per_second <= 1e30, CLF_INVALID_ARGUMENT,
                    "seconds_per_frame[%" PRId64 "] is %g; want fewer than 1e30 positions a frame at %g a second", i,
                    seconds, p->tokens_per_second);
    }
    return CLF_OK;
}

static clf_status check(const clf_mrope_prompts *p, clf_error *err)
{
    uint64_t count = 0;

    CLF_REQUIRE(err, p->rule >= CLF_MROPE_QWEN2_VL && p->rule <= CLF_MROPE_QWEN3_VL, CLF_INVALID_ARGUMENT,
                "rule is %d; want 0 to %d", (int)p->rule, (int)CLF_MROPE_QWEN3_VL);
    CLF_REQUIRE(err,
                p->B >= 0 && p->T >= 0 && p->T <= INT32_MAX && clf_size_mul((uint64_t)p->B, (uint64_t)p->T, &count) &&
                    count <= PTRDIFF_MAX / (3 * sizeof(int64_t)),
                CLF_INVALID_ARGUMENT, "B and T are %" PRId64 " and %" PRId64 "; want 0 or more, T below 2^31", p->B,
                p->T);
    CLF_REQUIRE(err, p->types != NULL || count == 0, CLF_INVALID_ARGUMENT, "types is NULL; want one for each token");
    CLF_REQUIRE(err, p->merge >= 1 && p->merge <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "merge is %" PRId64 "; want 1 or more, below 2^31", p->merge);
    CLF_TRY(check_grids("image", p->image_grids, p->image_count, err));
    CLF_TRY(check_grids("video", p->video_grids, p->video_count, err));
    return p->rule == CLF_MROPE_QWEN2_5_VL ? check_seconds(p, err) : CLF_OK;
}

/* ---- runs ---- */

static feed feed_of(const char *name, const int64_t *grids, int64_t count, bool frames)
{
    feed f = { .name = name, .grids = grids, .count = count, .frames = frames };

    if (frames) {
        f.count = 0;
        for (int64_t g = 0; g < count; g++)
            f.count += grids[3 * g]; /* each below 2^31 */
    }
    return f;
}

static void feed_advance(feed *f)
{
    f->next++;
    f->frame++;
    if (!f->frames || f->frame == f->grids[3 * f->grid]) {
        f->grid++;
        f->frame = 0;
    }
}

/* What a frame i of a grid adds to the time: f32 products, cut, as transformers computes them. */
static double time_of(const walk *w, const feed *f, int64_t i)
{
    if (w->p.rule != CLF_MROPE_QWEN2_5_VL || f != &w->videos)
        return (double)i;
    const double seconds = w->p.seconds_per_frame != NULL ? w->p.seconds_per_frame[f->grid] : 1.0;
    const float interval = (float)(w->p.tokens_per_second * seconds), time = (float)i * interval;

    return trunc((double)time);
}

/* The token at place t of prompt b. */
static bool present(const walk *w, int64_t b, int64_t t)
{
    return w->p.mask == NULL || w->p.mask[b * w->p.T + t] != 0;
}

static void put(const walk *w, int64_t b, int64_t t, int64_t time, int64_t row, int64_t column)
{
    const int64_t plane = w->p.B * w->p.T, at = b * w->p.T + t;

    w->positions[at] = (int32_t)time;
    w->positions[plane + at] = (int32_t)row;
    w->positions[2 * plane + at] = (int32_t)column;
}

/* One prompt on the way: the place, the count so far, the largest position and the tokens that are there. */
typedef struct prompt {
    int64_t b, t, now, largest, tokens;
} prompt;

/* Places from p->t on that hold tokens of p's type, padding passed over; the place behind them in *end. */
static int64_t run_length(const walk *w, const prompt *p, int64_t *end)
{
    const int64_t *types = w->p.types + p->b * w->p.T;
    int64_t length = 0, t = p->t;

    for (*end = t; t < w->p.T; t++) {
        if (!present(w, p->b, t))
            continue;
        if (types[t] != types[p->t])
            break;
        length++;
        *end = t + 1;
    }
    return length;
}

static void run_put(const walk *w, const feed *f, const prompt *p, int64_t end, int64_t rows, int64_t columns)
{
    int64_t i = 0;

    for (int64_t t = p->t; t < end; t++) {
        if (!present(w, p->b, t))
            continue;
        put(w, p->b, t, p->now + (int64_t)time_of(w, f, i / (rows * columns)), p->now + i / columns % rows,
            p->now + i % columns);
        i++;
    }
}

/* A run of placeholders meets the next grid. */
static clf_status take_run(walk *w, feed *f, prompt *p, clf_error *err)
{
    int64_t end;
    const int64_t length = run_length(w, p, &end);

    CLF_REQUIRE(err, f->next < f->count, CLF_INVALID_ARGUMENT,
                "types has a run of %" PRId64 " %s tokens at [%" PRId64 ", %" PRId64 "], run %" PRId64
                "; want at most %" PRId64 ", the %s of %s_grids",
                length, f->name, p->b, p->t, f->next + 1, f->count, f->frames ? "frames" : "entries", f->name);
    const int64_t *grid = f->grids + 3 * f->grid, merge = w->p.merge;
    const int64_t frames = f->frames ? 1 : grid[0], rows = grid[1] / merge, columns = grid[2] / merge;
    uint64_t count = 0;

    CLF_REQUIRE(err,
                clf_size_mul((uint64_t)frames * (uint64_t)rows, (uint64_t)columns, &count) && count == (uint64_t)length,
                CLF_INVALID_ARGUMENT,
                "types has a run of %" PRId64 " %s tokens at [%" PRId64 ", %" PRId64 "]; want %" PRIu64
                ", %s_grids[%" PRId64 "] [%" PRId64 ", %" PRId64 ", %" PRId64 "] by merge %" PRId64,
                length, f->name, p->b, p->t, count, f->name, f->grid, frames, grid[1], grid[2], merge);
    const double last = (double)p->now + time_of(w, f, frames - 1);

    CLF_REQUIRE(err, last <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "%s_grids[%" PRId64 "] ends at time %.0f; want positions below 2^31", f->name, f->grid, last);
    if (w->positions != NULL)
        run_put(w, f, p, end, rows, columns);
    p->largest = CLF_MAX(p->largest, CLF_MAX((int64_t)last, p->now + CLF_MAX(rows, columns) - 1));
    p->now += CLF_MAX(grid[1], grid[2]) / merge;
    p->tokens += length;
    p->t = end;
    feed_advance(f);
    return CLF_OK;
}

static clf_status take_token(walk *w, prompt *p, clf_error *err)
{
    const int64_t type = w->p.types[p->b * w->p.T + p->t];

    if (type == CLF_TOKEN_IMAGE || type == CLF_TOKEN_VIDEO)
        return take_run(w, type == CLF_TOKEN_IMAGE ? &w->images : &w->videos, p, err);
    CLF_REQUIRE(err, type == CLF_TOKEN_TEXT, CLF_INVALID_ARGUMENT,
                "types[%" PRId64 ", %" PRId64 "] is %" PRId64 "; want 0 text, 1 image or 2 video", p->b, p->t, type);
    if (w->positions != NULL)
        put(w, p->b, p->t, p->now, p->now, p->now);
    p->largest = CLF_MAX(p->largest, p->now);
    p->now++;
    p->tokens++;
    p->t++;
    return CLF_OK;
}

/* Every grid has met its run. */
static clf_status check_used(const feed *f, clf_error *err)
{
    CLF_REQUIRE(err, f->next == f->count, CLF_INVALID_ARGUMENT,
                "types has %" PRId64 " runs of %s tokens; want %" PRId64 ", the %s of %s_grids", f->next, f->name,
                f->count, f->frames ? "frames" : "entries", f->name);
    return CLF_OK;
}

static clf_status all(walk *w, clf_error *err)
{
    const clf_mrope_prompts *p = &w->p;

    w->images = feed_of("image", p->image_grids, p->image_count, false);
    w->videos = feed_of("video", p->video_grids, p->video_count, p->rule == CLF_MROPE_QWEN3_VL);
    for (int64_t b = 0; b < p->B; b++) {
        prompt at = { .b = b, .largest = -1 };

        while (at.t < p->T)
            if (present(w, b, at.t))
                CLF_TRY(take_token(w, &at, err));
            else
                at.t++;
        CLF_REQUIRE(err, at.now <= INT32_MAX && at.largest < INT32_MAX, CLF_INVALID_ARGUMENT,
                    "positions of prompt %" PRId64 " reach %" PRId64 "; want them below 2^31 - 1", b,
                    CLF_MAX(at.now, at.largest));
        if (w->deltas != NULL)
            w->deltas[b] = (int32_t)(at.largest + 1 - at.tokens);
    }
    CLF_TRY(check_used(&w->images, err));
    return check_used(&w->videos, err);
}

clf_status clf_mrope_positions(const clf_mrope_prompts *prompts, int32_t *positions, int32_t *deltas, clf_error *err)
{
    walk w = { .p = clf_mrope_prompts_default() };

    CLF_DESC_READ(err, &w.p, prompts);
    CLF_TRY(check(&w.p, err));
    CLF_TRY(all(&w, err));
    if (w.p.B == 0)
        return CLF_OK;
    w.positions = positions;
    w.deltas = deltas;
    if (w.p.T > 0)
        memset(positions, 0, (size_t)(3 * w.p.B * w.p.T) * sizeof *positions);
    return all(&w, err);
}

void clf_token_types(const int64_t *ids, int64_t count, int64_t image_token, int64_t video_token, int64_t *types)
{
    for (int64_t i = 0; i < count; i++)
        types[i] = ids[i] == image_token ? CLF_TOKEN_IMAGE : ids[i] == video_token ? CLF_TOKEN_VIDEO : CLF_TOKEN_TEXT;
}
