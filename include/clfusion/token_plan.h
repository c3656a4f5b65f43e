/* How many visual tokens a picture of a given size becomes: no weights, no device. */
#ifndef CLFUSION_TOKEN_PLAN_H
#define CLFUSION_TOKEN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <clfusion/status.h>

CLF_BEGIN_DECLS

/** Height and width of a picture are 1 to this. */
#define CLF_TOKEN_PLAN_SIDE 16777216

/** One picture. */
typedef struct clf_token_plan {
    const char *family; /* id of the rule; static storage */

    /* Rows that the fusion layer gives for the picture, newline rows of its own included; 1 vector of late fusion. */
    int64_t tokens;

    /* Places in the language model's sequence: as tokens, and the row separators that are text (fuyu, pixtral); 1
     * where a placeholder stands for a picture met by cross-attention; 0 where nothing does.  Markers around a picture
     * belong to the prompt and are not counted. */
    int64_t context_tokens;
    int64_t context;      /* length of that sequence */
    double context_share; /* context_tokens / context; above 1 it does not fit */

    /* Tiles are what the vision tower sees: pictures, or frames of a video. */
    int64_t tiles;                   /* the thumbnail among them */
    int64_t tile_rows, tile_columns; /* their grid, without the thumbnail */
    bool thumbnail;                  /* the whole picture goes along as a tile of its own */
    int64_t tile_height, tile_width; /* pixels, padding included */
    int64_t grid_rows, grid_columns; /* patches of a tile, in the tower's own grid */
    int64_t thumbnail_rows;          /* patches of the thumbnail; 0 without one */
    int64_t thumbnail_columns;
} clf_token_plan;

typedef struct clf_token_plan_desc {
    uint32_t struct_size;
    const char *family;      /* id or the hub's model_type; NULL: from config_json */
    const char *config_json; /* config.json; NULL: none, the sizes of the published models hold */
    size_t config_bytes;
    const char *processor_json; /* preprocessor_config.json or processor_config.json; NULL: none */
    size_t processor_bytes;
    const char *const *sets; /* "key.path=VALUE" overrides, before both files; "context=N" sets the context */
    size_t set_count;
    bool *sets_read; /* as in clf_connector_options */
} clf_token_plan_desc;

/** All defaults. */
static inline clf_token_plan_desc clf_token_plan_desc_default(void)
{
    clf_token_plan_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Fills *plan for a picture of height x width pixels.  The rules are those of the families' own picture processors
 * (transformers 5.23; MiniCPM-V's remote code); a key that a configuration lacks has the default of its class.
 *
 * Two rules need no family: "patches", H/patch_size x W/patch_size tokens of the picture as it is (14 by default), and
 * "tiles", ceil(H/image_size) x ceil(W/image_size) tiles (336) of (image_size/patch_size)^2 tokens and one more for
 * the thumbnail (`thumbnail`: true).
 *
 * Context: the key context, else max_position_embeddings of the language model, else 4096.
 *
 * Errors: CLF_INVALID_ARGUMENT, CLF_BAD_FILE (a value that contradicts), CLF_UNSUPPORTED (a family without a rule),
 * CLF_OUT_OF_MEMORY.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_token_plan_compute(const clf_token_plan_desc *desc, int64_t height, int64_t width,
                                                       clf_token_plan *plan, clf_error *err);

/** The same with config.json, preprocessor_config.json and processor_config.json of the folder `path` (the first must
 * be there, weights need not), in place of desc's.  Also CLF_IO. */
CLF_API CLF_MUST_USE clf_status clf_token_plan_open(const char *path, const clf_token_plan_desc *desc, int64_t height,
                                                    int64_t width, clf_token_plan *plan, clf_error *err);

/** The families that have a rule: number, and id of one (NULL beyond it).  Static storage. */
CLF_API size_t clf_token_plan_family_count(void);
CLF_API const char *clf_token_plan_family_name(size_t index);

CLF_END_DECLS

#endif
