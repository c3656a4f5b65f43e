/* A contrast as its two halves know it: contrastive_create.c makes it, contrastive.c runs it. */
#ifndef CLF_FUSION_CONTRASTIVE_PARTS_H
#define CLF_FUSION_CONTRASTIVE_PARTS_H

#include <clfusion/contrastive.h>

#include "fusion/norm.h"

typedef struct clf_contrastive_side {
    int64_t width; /* of the rows; 0: any */
    clf_norm norm;
    clf_linear_weight *projection; /* NULL: none */
} clf_contrastive_side;

struct clf_contrastive {
    clf_context *ctx;
    clf_contrastive_side vision, text;
    int64_t P; /* 0: any */
    float scale, bias, eps;
    clf_scores_kind kind;
};

#endif
