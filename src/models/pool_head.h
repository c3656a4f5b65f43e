/* Models of an attention pool that makes one vector of a picture: `image_embeds`, `tokens`, `attention`, and with a text
 * side what contrast_head.h has. */
#ifndef CLF_MODELS_POOL_HEAD_H
#define CLF_MODELS_POOL_HEAD_H

#include "models/contrast_head.h"
#include "models/pool_model.h"

typedef struct clf_head_spec {
    clf_attention_pool_desc pool;
    bool masked;                /* vision_mask */
    int64_t rows;               /* N that the checkpoint fixes; 0: any */
    bool first_apart;           /* row 0 is the picture's, tokens are the others; else tokens are all rows */
    clf_contrast_spec contrast; /* clf_build_contrast_spec; of row 0 and the text */

    /* Projections applied from the right, in place of those in `contrast`; absent: none. */
    clf_host_tensor projection;      /* [D, P] */
    clf_host_tensor text_projection; /* [Dt, P] */
} clf_head_spec;

/* image_embeds [B, P] is row 0 of the pool, projected, over its Euclidean norm.  *spec is changed. */
clf_status clf_build_head(const clf_builder *b, clf_head_spec *spec, clf_model *m, clf_error *err);

#endif
