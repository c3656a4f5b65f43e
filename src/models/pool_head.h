/* Models of an attention pool that makes one vector of a picture: `image_embeds`, `tokens`, `attention`. */
#ifndef CLF_MODELS_POOL_HEAD_H
#define CLF_MODELS_POOL_HEAD_H

#include "models/pool_model.h"

typedef struct clf_head_spec {
    clf_attention_pool_desc pool;
    bool masked;                /* vision_mask */
    int64_t rows;               /* N that the checkpoint fixes; 0: any */
    clf_host_tensor projection; /* [D, P], applied to row 0 from the right; absent: none */
    bool first_apart;           /* row 0 is the picture's, tokens are the others; else tokens are all rows */
    double eps;                 /* of the norm of image_embeds */
} clf_head_spec;

/* image_embeds [B, P] is row 0 of the pool, projected, over its Euclidean norm. */
clf_status clf_build_head(const clf_builder *b, const clf_head_spec *spec, clf_model *m, clf_error *err);

#endif
