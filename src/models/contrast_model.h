/* Models whose picture's vector is a row of `vision`, their mean or their maximum: CLIP, ALIGN, clfusion's contrastive. */
#ifndef CLF_MODELS_CONTRAST_MODEL_H
#define CLF_MODELS_CONTRAST_MODEL_H

#include "models/contrast_head.h"

typedef enum clf_vision_row {
    CLF_VISION_ROWS,  /* `vision` is [B, Dv], a row a picture */
    CLF_VISION_FIRST, /* [B, N, Dv], the first: CLS */
    CLF_VISION_MEAN,  /* their mean */
    CLF_VISION_MAX    /* the largest of each channel */
} clf_vision_row;

clf_status clf_build_contrast(const clf_builder *b, const clf_contrast_spec *spec, clf_vision_row vision, clf_model *m,
                              clf_error *err);

#endif
