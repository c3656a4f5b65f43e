/* What Mllama's builder makes, and how it is called. */
#ifndef CLF_MODELS_MLLAMA_MODEL_H
#define CLF_MODELS_MLLAMA_MODEL_H

#include <clfusion/projector.h>

#include "models/cross_model.h"

typedef struct clf_mllama {
    clf_projector *projector;    /* NULL: the checkpoint has none */
    clf_cross_attention *layers; /* the chosen one, or all; NULL: none */
    clf_cross_products products;
    uint64_t projector_products;
    int64_t max_tiles; /* of a picture; 0: the configuration does not say */
} clf_mllama;

/* Projector and layer, a layer alone, a projector alone. */
extern const clf_model_class clf_mllama_class, clf_mllama_layer_class, clf_mllama_projector_class;

#endif
