/* Q-Formers of checkpoints: the tensors of transformers' classes, and what the families that have one share. */
#ifndef CLF_MODELS_QFORMER_MODEL_H
#define CLF_MODELS_QFORMER_MODEL_H

#include <clfusion/qformer.h>

#include "models/family.h"

/* Where a Q-Former stands in a checkpoint. */
typedef struct clf_qformer_place {
    const char *prefix;         /* of tensors: "qformer." */
    const char *key;            /* of the configuration: "qformer_config." */
    const char *embedding_norm; /* "qformer.layernorm" */
    const char *words;          /* "embeddings.", before word_embeddings and position_embeddings; NULL: no text */
    const char *queries;        /* "query_tokens" */
} clf_qformer_place;

typedef struct clf_qformer_model {
    clf_model_class class; /* the family's, with the shape of the attention that is shown */
    clf_context *ctx;
    clf_qformer *qformer;
    clf_linear_weight *projection;                                     /* language_projection; NULL: none */
    clf_linear_weight *vision_projection, *text_projection, *itm_head; /* heads of retrieval */
    int64_t placeholder;                                               /* stands for visual tokens among text */
    clf_qformer_objective objective;
    int32_t weights_of; /* layer whose attention is shown */
    bool weights_of_self;
} clf_qformer_model;

/* Reads `place` and makes the model: the Q-Former, `objective`, attention_of and the layer.  Letters Dv, M, H and D are
 * set and the parameters counted.  m->module receives the model at once; m->model_class is the caller's. */
clf_status clf_build_qformer(const clf_builder *b, const clf_qformer_place *place, clf_model *m,
                             clf_qformer_model **model, clf_error *err);

/* A Linear over the rows of the Q-Former, NAME.{weight [out, D], bias}, counted; `letter` receives out. */
clf_status clf_build_qformer_head(const clf_builder *b, const char *name, const char *letter, clf_model *m,
                                  clf_linear_weight **head, clf_error *err);

void clf_qformer_model_destroy(void *module); /* takes NULL */

/* Gives the model the class, in which `attention` has the shape of cross-attention or of self-attention. */
void clf_qformer_model_set_class(clf_model *m, const clf_model_class *of, const char *cross, const char *self);

/* One pass through the Q-Former. */
typedef struct clf_qformer_pass {
    clf_tensor vision; /* [B, N, Dv]; absent: text alone */
    int64_t B, T;
    const int64_t *text_ids;                /* [B, T] */
    const int64_t *text_mask, *vision_mask; /* [B, T], [B, N]; NULL: all ones */
    clf_qformer_objective objective;
    clf_tensor weights; /* f32 [B, H, Q, K], dense; absent: not wanted */
} clf_qformer_pass;

/* Runs it into scratch, f32 [B, rows, D]. */
clf_tensor clf_qformer_model_run(clf_stream *s, const clf_qformer_model *m, const clf_qformer_pass *pass);

/* Scratch for the attention that is wanted, of B rows of a batch; absent when it is not wanted. */
clf_tensor clf_qformer_model_weights(clf_stream *s, clf_tensor wanted, int64_t B);

/* y = head(x), x f32, for any type of y. */
void clf_qformer_model_head(clf_stream *s, const clf_linear_weight *head, clf_tensor x, clf_tensor y);

uint64_t clf_qformer_model_head_flop(const clf_linear_weight *head, int64_t rows);

/* wanted = x in the shape and type of `wanted`; nothing when that is absent. */
void clf_qformer_model_give(clf_stream *s, clf_tensor x, clf_tensor wanted);

#endif
