/* What the rules of token_plan share: the call, typed keys, the table of families. */
#ifndef CLF_MODELS_TOKEN_PLAN_H
#define CLF_MODELS_TOKEN_PLAN_H

#include <clfusion/token_plan.h>

#include "checkpoint/config.h"

typedef struct clf_token_rule clf_token_rule;

typedef struct clf_token_call {
    const clf_token_rule *rule;
    const clf_config *config;    /* config.json below the overrides */
    const clf_config *processor; /* the picture processor's file; without keys where there is none */
    bool given;                  /* there is a config.json: what it lacks has the default of its class */
    int64_t height, width;       /* of the picture */
} clf_token_call;

/* A published number, and the default of the configuration class where that differs (0: it does not). */
typedef struct clf_token_size {
    int64_t published, of_class;
} clf_token_size;

/* One family.  `compute` fills tokens, tiles and grids of *plan, which begins as one tile of the tower without a
 * thumbnail, and context_tokens where they differ from tokens (-1 before). */
struct clf_token_rule {
    const char *family;
    const char *also; /* another name; NULL: those of the registry alone */
    clf_status (*compute)(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
    clf_token_size image; /* side of a tile in pixels */
    clf_token_size patch;
    const char *image_keys; /* as in clf_token_int; NULL: the usual ones */
    const char *count_keys; /* of learned queries */
    clf_token_size count;   /* of learned queries */
    int64_t context_tokens; /* -1: as many as tokens */
};

/* The rules, in the order of the list that messages give. */
extern const clf_token_rule *const clf_token_rules[];
extern const size_t clf_token_rule_count;

/* The number at the first of `keys` ("a.b|c", each asked of config.json and then of the processor) that is there,
 * 1 to 2^24; `missing` when none is. */
clf_status clf_token_int(const clf_token_call *c, const char *keys, clf_token_size missing, int64_t *value,
                         clf_error *err);
clf_status clf_token_bool(const clf_token_call *c, const char *key, bool *value, clf_error *err);
clf_status clf_token_text(const clf_token_call *c, const char *key, const char **value, clf_error *err);

/* Side of a tile and of a patch, by the rule's keys and defaults; the patch is at most the tile. */
clf_status clf_token_tower(const clf_token_call *c, int64_t *image, int64_t *patch, clf_error *err);

/* One tile of image/patch squared; sets tile and grid. */
clf_status clf_token_square(const clf_token_call *c, clf_token_plan *plan, clf_error *err);

/* Resolutions (height, width) of an array of pairs at `key`, at most `capacity`; *count as it was when absent. */
typedef struct clf_resolution {
    int64_t height, width;
} clf_resolution;

clf_status clf_token_pairs(const clf_token_call *c, const char *key, clf_resolution *pairs, size_t capacity,
                           size_t *count, clf_error *err);

/* token_tiles.c */
clf_status clf_token_tiles(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_llava_next(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_llava_onevision(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_mllama(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_aria(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_minicpmv(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_idefics2(const clf_token_call *c, clf_token_plan *plan, clf_error *err);

clf_status clf_token_internvl(const clf_token_call *c, clf_token_plan *plan, clf_error *err);

/* token_native.c */
clf_status clf_token_patches(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_fuyu(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_pixtral(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_kosmos2_5(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_qwen2(const clf_token_call *c, clf_token_plan *plan, clf_error *err);
clf_status clf_token_siglip2(const clf_token_call *c, clf_token_plan *plan, clf_error *err);

#endif
