/* Positions of visual and text tokens: ids on a grid, in mixed prompts, and what they become: rotary angles, sines and
 * cosines, rows of learned tables.
 *
 * Host functions unless a stream is among the arguments.  They write only after every rule was found to hold; threads:
 * any. */
#ifndef CLFUSION_POSITIONS_H
#define CLFUSION_POSITIONS_H

#include <string.h>

#include <clfusion/rotary.h>

CLF_BEGIN_DECLS

/* ---- rotary: which column turns by which axis, and how fast ---- */

/** How the P columns of a table share the axes.  f[j] = base^(-2 j / W), R the width that turns, s the sections; P = R/2
 * except for WHOLE_HEAD, where P = R.
 *
 *                W     column p                                                          for; pairs
 * GRID           R/2   [row f | column f], R/4 each                                      Qwen-VL's pictures; halves
 *                                                                                        rows, then columns; quarters
 * PIXTRAL        R     [row f[0, 2, ..] | column f[1, 3, ..]]                            Pixtral; halves
 * LLAMA4         R/2   [column f | row f]                                                Llama 4's pictures; adjacent
 * SECTIONED      R     f[p] of axis 0 in the first s[0], of axis 1 in the next s[1], ..  Qwen2-VL, 2.5; halves
 *                                                                                        GLM-4V; adjacent
 * INTERLEAVED    R     f[p] of axis p mod 3 below 3 s[p mod 3], else of axis 0           Qwen3-VL, 3.5; halves
 * ROUND_ROBIN    R     f[p] of axis p mod 3                                              halves
 * ALTERNATING    R     f[p] of axes 1, 2, 1, .. in the first s[0] + s[1], else of 0      ERNIE-4.5-VL; adjacent
 * WHOLE_HEAD     R     f[p mod R/2] of axis 0 in the first 2 s[0], 1 in the next 2 s[1]  HunyuanVL; halves
 */
typedef enum clf_rotary_layout {
    CLF_ROTARY_GRID = 0,
    CLF_ROTARY_PIXTRAL = 1,
    CLF_ROTARY_LLAMA4 = 2,
    CLF_ROTARY_SECTIONED = 3,
    CLF_ROTARY_INTERLEAVED = 4,
    CLF_ROTARY_ROUND_ROBIN = 5,
    CLF_ROTARY_ALTERNATING = 6,
    CLF_ROTARY_WHOLE_HEAD = 7
} clf_rotary_layout;

#define CLF_ROTARY_AXES 4

typedef struct clf_rotary_columns_desc {
    uint32_t struct_size;
    clf_rotary_layout layout;
    int64_t width;                     /* R, even; a multiple of 4 for GRID, PIXTRAL, LLAMA4 */
    double base;                       /* "rope_theta"; default 10000 */
    int32_t section_count;             /* layouts with sections; 3 where the table names three axes */
    int64_t sections[CLF_ROTARY_AXES]; /* frequencies of each axis; together R/2 */
} clf_rotary_columns_desc;

/** GRID, base 10000; the width is the caller's to set. */
static inline clf_rotary_columns_desc clf_rotary_columns_desc_default(void)
{
    clf_rotary_columns_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.base = 10000.0;
    return desc;
}

/**
 * Fills the caller's arrays, with room for R numbers each, and makes *columns point to them.  Frequencies are rounded
 * at each step as transformers rounds them in f32, since models were trained with those; the power itself is rounded
 * correctly.  Scaled variants (yarn, linear) are the caller's to write into `frequency`.
 *
 * Errors: CLF_INVALID_ARGUMENT: a width, base or section that breaks a rule; both numbers are in the message.
 * Source: transformers 5.23's Qwen2VLRotaryEmbedding, Qwen3VLTextRotaryEmbedding, Glm4vTextRotaryEmbedding,
 * Ernie4_5_VLMoeTextRotaryEmbedding, HunYuanVLRotaryEmbedding, Qwen2VLVisionRotaryEmbedding,
 * PixtralVisionRotaryEmbedding, Llama4VisionRotaryEmbedding.
 */
CLF_API CLF_MUST_USE clf_status clf_rotary_columns_fill(const clf_rotary_columns_desc *desc, float *frequency,
                                                        int32_t *axis, clf_rotary_columns *columns, clf_error *err);

/* ---- ids on grids ---- */

/**
 * Rows and columns of the patches of pictures and videos, one behind the other: positions[0, n] the row, [1, n] the
 * column; repeated for every frame.
 *
 * grids      [G, 3]  frames, rows, columns of patches; each at least 0
 * merge      side of the blocks whose patches follow each other, blocks row by row; 1: row by row.  Divides rows and
 *            columns.
 * N          the sum of frames * rows * columns
 * positions  [2, N]
 *
 * Errors: CLF_INVALID_ARGUMENT: another N, a side that merge does not divide, negative sizes.
 * Source: transformers' get_vision_position_ids (Qwen-VL: merge 2; Pixtral: 1).
 */
CLF_API CLF_MUST_USE clf_status clf_grid_positions(const int64_t *grids, int64_t G, int64_t merge, int64_t N,
                                                   int32_t *positions, clf_error *err);

/**
 * Llama 4's, whose class token comes last: rows and columns from 1, then 0, 0, which turns nothing.
 *
 * positions  [2, side side + 1].  Errors: CLF_INVALID_ARGUMENT: side below 1 or above 2^15.
 */
CLF_API CLF_MUST_USE clf_status clf_llama4_positions(int64_t side, int32_t *positions, clf_error *err);

/**
 * The fixed table of a grid: row (y, x) is [e(x), e(y)], the column first; e(t) of width C/2 has C/4 sines of t w[j],
 * then C/4 cosines, w[j] = 10000^(-j / (C/4)).
 *
 * table  [rows, columns, C], C a multiple of 4.  Errors: CLF_INVALID_ARGUMENT: another C, negative or too large sizes.
 * Source: He et al. 2021, arXiv:2111.06377; Qwen-VL's and MiniCPM-V's resamplers.
 */
CLF_API CLF_MUST_USE clf_status clf_sincos_table(int64_t rows, int64_t columns, int64_t C, float *table,
                                                 clf_error *err);

/* ---- learned tables ---- */

typedef enum clf_table_filter { CLF_TABLE_BILINEAR = 0, CLF_TABLE_BICUBIC = 1 } clf_table_filter;

/** How a learned table is taken to another grid, as torch.nn.functional.interpolate does.
 *
 * CLIP, SigLIP, ViT, BLIP-2, Kimi-K2.5, Qwen-VL: bicubic; GLM-4V too, with merge 2; PaddleOCR-VL: bilinear;
 * SigLIP 2: bilinear with antialias; Qwen3-VL: bilinear with align_corners and merge 2. */
typedef struct clf_table_resize_options {
    uint32_t struct_size;
    clf_table_filter filter;
    bool align_corners; /* corners of both grids meet: place i (old - 1) / (new - 1); else (i + 1/2) old / new - 1/2 */
    bool antialias;     /* the filter widens when the grid shrinks; bicubic's constant is then -1/2, not -3/4 */
    int64_t merge;      /* rows of the result in blocks, as in clf_grid_positions; default 1 */
} clf_table_resize_options;

/** Bicubic, row by row. */
static inline clf_table_resize_options clf_table_resize_options_default(void)
{
    clf_table_resize_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.filter = CLF_TABLE_BICUBIC;
    options.merge = 1;
    return options;
}

/**
 * result = table at another size; sums in double.
 *
 * table    [rows, columns, C]     from [0, 2] of a host tensor; what stands before the grid (a class token) is the
 *                                 caller's to keep
 * result   [to_rows, to_columns, C], apart from table
 * options  NULL: the defaults
 *
 * Errors: CLF_INVALID_ARGUMENT: a size below 1, too large, or not a multiple of merge; CLF_UNSUPPORTED: antialias with
 * align_corners.
 */
CLF_API CLF_MUST_USE clf_status clf_table_resize(const float *table, int64_t rows, int64_t columns, int64_t C,
                                                 const clf_table_resize_options *options, int64_t to_rows,
                                                 int64_t to_columns, float *result, clf_error *err);

/**
 * y[b, n] = x[b, n] + table[ids[b, n]], or + table[first + n] where ids is NULL.
 *
 * x      [B, N, C]  f32, f16 or bf16: visual tokens or embedded text
 * table  [V, C]     f32, f16 or bf16, V below 2^31; a learned table, or one made by the functions above
 * ids    [B, N]     host memory, read before the call returns
 * first  the row of the first token, as for text behind a cache; 0 or more; 0 beside ids
 * y      [B, N, C]  the type of x, or f32; may be x; no other overlap, none with table
 *
 * The sum is rounded once to f32, then to the type of y.
 * Errors, kept by the stream: also CLF_INVALID_ARGUMENT for an id or a token outside the table: its place, its number
 * and the rows of the table are in the message.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_add_positions(clf_stream *s, clf_tensor x, clf_tensor table, const int64_t *ids, int64_t first,
                               clf_tensor y);

/* ---- mixed prompts ---- */

/** How the ids of a video are counted. */
typedef enum clf_mrope_rule {
    CLF_MROPE_QWEN2_VL = 0,   /* time rises by 1 a frame of the grid */
    CLF_MROPE_QWEN2_5_VL = 1, /* by tokens_per_second times the seconds of a frame, cut to whole numbers */
    CLF_MROPE_QWEN3_VL = 2    /* text with timestamps stands between frames, each of which is a picture of its own;
                               * GLM-4V, Qwen3.5 */
} clf_mrope_rule;

/** What a token is: the type ids of transformers' processors. */
enum { CLF_TOKEN_TEXT = 0, CLF_TOKEN_IMAGE = 1, CLF_TOKEN_VIDEO = 2 };

/** A batch of prompts as the processor makes them.  Host memory of the caller. */
typedef struct clf_mrope_prompts {
    uint32_t struct_size;
    clf_mrope_rule rule;
    int64_t B, T;
    const int64_t *types;       /* [B, T], CLF_TOKEN_..; clf_token_types makes them from ids */
    const int64_t *mask;        /* [B, T], 0 where padded; NULL: nothing is */
    int64_t merge;              /* side of the block of patches that becomes a token; default 2 */
    const int64_t *image_grids; /* [image_count, 3] frames, rows, columns of patches, over the whole batch in order */
    int64_t image_count;
    const int64_t *video_grids; /* [video_count, 3] */
    int64_t video_count;
    double tokens_per_second;        /* QWEN2_5_VL; default 2, as released; 4 in transformers' class */
    const double *seconds_per_frame; /* [video_count], QWEN2_5_VL: "second_per_grid_ts"; NULL: 1 each */
} clf_mrope_prompts;

/** Nothing set but merge and tokens_per_second. */
static inline clf_mrope_prompts clf_mrope_prompts_default(void)
{
    clf_mrope_prompts prompts;

    memset(&prompts, 0, sizeof prompts);
    prompts.struct_size = sizeof prompts;
    prompts.merge = 2;
    prompts.tokens_per_second = 2.0;
    return prompts;
}

/** types[i] of each id: CLF_TOKEN_IMAGE, CLF_TOKEN_VIDEO, else CLF_TOKEN_TEXT; in place too. */
CLF_API void clf_token_types(const int64_t *ids, int64_t count, int64_t image_token, int64_t video_token,
                             int64_t *types);

/**
 * Time, row and column of every token, and what decoding adds.
 *
 * Text counts 1 a token on all three axes.  A run of placeholders is one picture, one video, or with QWEN3_VL one frame
 * of a video, of the next grid: from the count so far, time by the rule, rows and columns of the merged grid; behind it
 * the count has risen by the longer side of the grid / merge.
 *
 * positions  [3, B, T]  0 where padded
 * deltas     [B]        largest position + 1 - tokens that are not padded: position t of cached decoding is
 *                       t + deltas[b] on all three axes.  0 for a prompt without a token.
 *
 * Errors: CLF_INVALID_ARGUMENT: a run of another length than its grid has tokens (place, run, grid and both numbers are
 * in the message), more or fewer runs than grids (both numbers), a type other than the three, seconds that are negative
 * or not finite, positions above 2^31 - 1, sizes that are negative or overflow.
 * Source: get_rope_index of transformers 5.23's Qwen2VLModel, Qwen2_5_VLModel, Qwen3VLModel.
 */
CLF_API CLF_MUST_USE clf_status clf_mrope_positions(const clf_mrope_prompts *prompts, int32_t *positions,
                                                    int32_t *deltas, clf_error *err);

CLF_END_DECLS

#endif
