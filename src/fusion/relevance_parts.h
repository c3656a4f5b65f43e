/* What the files of the relevance module share. */
#ifndef CLF_FUSION_RELEVANCE_PARTS_H
#define CLF_FUSION_RELEVANCE_PARTS_H

#include <clfusion/relevance.h>

struct clf_relevance {
    clf_context *ctx;
    int64_t g, k, min_tokens, max_tokens, total;
    clf_min_max_over scale;
    clf_linear_weight *texture[2], *balance[3]; /* all or none; a texture[1] made orthonormal gives coordinates */
    clf_linear_weight *onto;                    /* the query into these coordinates; NULL: texture[1] gives features */
    int32_t *cells;                             /* host [N, 3]: 0, row, column */
};

/* The maps of a call in scratch, f32; those that no output needs are absent. */
typedef struct clf_relevance_maps {
    clf_tensor textures;  /* [B, 13, g, g] */
    clf_tensor three;     /* [B, 3, N]: information, perspectival, participatory, as far as they are needed */
    clf_tensor weights;   /* [B, 3] */
    clf_tensor relevance; /* [B, N] */
} clf_relevance_maps;

/* Which of them. */
typedef struct clf_relevance_need {
    bool textures, information, perspectival, participatory, balance;
} clf_relevance_need;

/* Map `i` of three as [B, 1, N], a view. */
clf_tensor clf_relevance_map(clf_stream *s, clf_tensor three, int64_t i);

clf_relevance_maps clf_relevance_make_maps(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c,
                                           clf_relevance_need need);

#endif
