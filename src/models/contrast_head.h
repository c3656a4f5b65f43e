/* The last part of models of two towers: `image_embeds`, `text_embeds`, `logits`, `scores`, and the best texts. */
#ifndef CLF_MODELS_CONTRAST_HEAD_H
#define CLF_MODELS_CONTRAST_HEAD_H

#include <clfusion/contrastive.h>

#include "models/family.h"

/* What `text` is, and which of its rows stands for the text. */
typedef enum clf_text_row {
    CLF_TEXT_NONE,  /* the checkpoint has no text side */
    CLF_TEXT_ROWS,  /* `text` is [Bt, Dt], a row a text */
    CLF_TEXT_FIRST, /* [Bt, T, Dt], the first: ALIGN */
    CLF_TEXT_LAST,  /* the last: SigLIP, CoCa */
    CLF_TEXT_END    /* the one that `text_ids` say: CLIP */
} clf_text_row;

typedef struct clf_contrast_spec {
    clf_contrastive_desc contrast;
    clf_text_row text;
    int64_t end_id; /* of CLF_TEXT_END.  2: the row of the largest id, else the first with this id; 0 where none has */
    int64_t k;      /* best texts of each picture; 0: no such outputs */
    uint64_t scalars; /* parameters that are one number each */
} clf_contrast_spec;

/* Stands in the model of a family.  Ports are numbers of the class that clf_contrast_head_describe has filled. */
typedef struct clf_contrast_head {
    clf_contrastive *contrast;
    clf_text_row row;
    int64_t end_id, k;
    size_t text, text_ids;
    size_t image_embeds, text_embeds, logits, scores, indices, values; /* 0 but for the first: none */
    uint64_t image_products, text_products;                            /* of a row's projection */
} clf_contrast_head;

/* Scale 1, softmax, with the builder's source and storage type; no text. */
clf_contrast_spec clf_build_contrast_spec(const clf_builder *b);

/* A scalar, [] or [1]. */
clf_status clf_build_scalar(const clf_builder *b, const char *name, float *value, clf_error *err);

/* scale = e^logit_scale and, where it is there, bias = logit_bias. */
clf_status clf_build_logit_scale(const clf_builder *b, clf_contrast_spec *spec, clf_error *err);

/* Adds image_embeds, which needs `needs` and takes `may`, as the next output of a class whose inputs of the picture stand
 * there already. */
void clf_contrast_head_images(clf_contrast_head *h, clf_model_class *k, uint32_t needs, uint32_t may);

/* Adds the inputs of the text, where there is one, and all other outputs. */
void clf_contrast_head_texts(clf_contrast_head *h, const clf_contrast_spec *spec, clf_model_class *k, uint32_t needs,
                             uint32_t may);

/* Makes the module, counts its parameters, and sets P and, with text, Dt. */
clf_status clf_contrast_head_create(const clf_builder *b, const clf_contrast_spec *spec, clf_contrast_head *h,
                                    clf_model *m, clf_error *err);
void clf_contrast_head_destroy(clf_contrast_head *h);

/* What no formula says: a row of text, k within the texts. */
clf_status clf_contrast_head_shape(const clf_contrast_head *h, const clf_call *call, clf_error *err);

/* As clf_model_class.example: as many texts as k wants. */
int64_t clf_contrast_head_example(const clf_contrast_head *h, const char *letter);

bool clf_contrast_head_wants_images(const clf_contrast_head *h, const clf_call *call);

/* images: a vector of each picture [B, Dv], where wanted. */
void clf_contrast_head_forward(clf_stream *s, const clf_contrast_head *h, clf_tensor images, const clf_call *call);

/* B pictures. */
uint64_t clf_contrast_head_flop(const clf_contrast_head *h, int64_t B, const clf_call *call);

#endif
