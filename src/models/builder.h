/* What builders of families read: tensors by name and configuration keys, checked against each other. */
#ifndef CLF_MODELS_BUILDER_H
#define CLF_MODELS_BUILDER_H

#include <clfusion/activation.h>
#include <clfusion/context.h>
#include <clfusion/layers.h>
#include <clfusion/projector.h>
#include <clfusion/source.h>

#include "checkpoint/config.h"

typedef struct clf_family clf_family;
typedef struct clf_model clf_model;

typedef struct clf_builder {
    clf_context *ctx;
    const clf_tensor_source *source;
    const clf_config *config;
    const char *family; /* stands before messages */
    clf_dtype storage;
    int32_t layer; /* which of several equal layers; 0 or more, or CLF_ALL_LAYERS where the family says all_layers */
    bool ends;     /* a stack of layers ends behind `layer`: its outputs are that layer's.  For diagnose */
} clf_builder;

/* Fills *t with the tensor `name` or "model." + name; absent when there is neither. */
clf_status clf_source_find(const clf_tensor_source *source, const char *name, clf_host_tensor *t, clf_error *err);

/* The same, and an error unless it is there, a float type, and of this rank with dimensions above 0. */
clf_status clf_build_tensor(const clf_builder *b, const char *name, int32_t rank, clf_host_tensor *t, clf_error *err);

/* Whether `name` or "model." + name is there. */
clf_status clf_build_has(const clf_builder *b, const char *name, bool *there, clf_error *err);

/* NAME.weight [out, in] and, unless bias is false, NAME.bias [out].  in 0: any; otherwise a rule, which `in_is`
 * explains in the message. */
clf_status clf_build_linear(const clf_builder *b, const char *name, bool bias, int64_t in, const char *in_is,
                            clf_linear_layer *layer, clf_error *err);

/* Layers of an nn.Sequential: NAME.0, NAME.step, NAME.(2 step), ... as far as there are weights. */
clf_status clf_build_sequence(const clf_builder *b, const char *name, int step, clf_projector_desc *desc,
                              clf_error *err);

/* The whole number at `key`, if it is there, must be `got`, which is `what`: "the rows of proj.weight". */
clf_status clf_build_width(const clf_builder *b, const char *key, int64_t got, const char *what, clf_error *err);

/* The activation at `key`, or the one in *activation when the key is not there. */
clf_status clf_build_activation(const clf_builder *b, const char *key, clf_activation *activation, clf_error *err);

/* A descriptor with the builder's source and storage type. */
clf_projector_desc clf_build_projector_desc(const clf_builder *b);

/* Ids that stand for visual tokens among text. */
typedef struct clf_placeholders {
    int64_t image;
    int64_t video; /* equal to image where a family has one */
} clf_placeholders;

/* image_token_index or image_token_id, video_token_index or video_token_id, at top level; else the defaults given.
 * A family without a video id says image in both. */
clf_status clf_build_placeholders(const clf_builder *b, clf_placeholders defaults, clf_placeholders *ids,
                                  clf_error *err);

/* The model of a projector: `tokens`, and `fused` with the tokens at the placeholders, or before the text when ids is
 * NULL. */
clf_status clf_build_projector(const clf_builder *b, const clf_projector_desc *desc, const clf_placeholders *ids,
                               clf_model *m, clf_error *err);

/* Rows first .. first + count of a host tensor of rank 1 or 2: a part of a packed weight. */
clf_host_tensor clf_build_rows(clf_host_tensor t, int64_t first, int64_t count);

/* NAME.weight [width] and, of a layer norm, NAME.bias [width]. */
clf_status clf_build_norm(const clf_builder *b, const char *name, clf_norm_kind kind, int64_t width, double eps,
                          clf_norm_desc *norm, clf_error *err);

/* torch.nn.MultiheadAttention: NAME.in_proj_weight [3 D, D], NAME.in_proj_bias [3 D], NAME.out_proj.{weight, bias}; or
 * with other widths of keys and values NAME.{q,k,v}_proj_weight in place of the first.  `key` is where heads come from. */
clf_status clf_build_multihead(const clf_builder *b, const char *name, const char *key, int64_t heads,
                               clf_attention_layer_desc *attention, clf_error *err);

/* An error unless heads is above 0 and divides the rows of the q of an attention; `key` is where heads come from. */
clf_status clf_build_heads(const clf_builder *b, const char *key, int64_t heads, clf_attention_layer_desc *attention,
                           clf_error *err);

/* Count all parameters of a part, present or not. */
void clf_build_count_linear(clf_model *m, const clf_linear_layer *layer, clf_dtype storage);
void clf_build_count_norm(clf_model *m, const clf_norm_desc *norm);
void clf_build_count_attention(clf_model *m, const clf_attention_layer_desc *attention, clf_dtype storage);
void clf_build_count_feed_forward(clf_model *m, const clf_feed_forward_desc *ff, clf_dtype storage);

/* How many numbers from `first` on make a tensor BEFORE + number + BEHIND that is there. */
clf_status clf_build_find_layers(const clf_builder *b, const char *before, int32_t first, const char *behind,
                                 int32_t *count, clf_error *err);

/* How many of a stack's `count` layers to build. */
int32_t clf_build_end(const clf_builder *b, int32_t count);

/* An error unless the builder's layer is one of `count`. */
clf_status clf_build_layer(const clf_builder *b, int32_t count, clf_error *err);

/* Counts the parameters of a weight that lies in the storage type, and of one that stays f32 (biases, norms). */
void clf_build_count(clf_model *m, clf_host_tensor t, clf_dtype storage);
void clf_build_count_f32(clf_model *m, clf_host_tensor t);

/* Gives a letter of the shape formulas its value. */
clf_status clf_build_letter(const clf_builder *b, clf_model *m, const char *letter, int64_t value, clf_error *err);

/* Counts the parameters of a projector, and sets Dv, Dt and r. */
clf_status clf_build_projector_facts(const clf_builder *b, const clf_projector_desc *desc, clf_model *m,
                                     clf_error *err);

/* Elements of all weights: the multiply-adds of one row of the output. */
uint64_t clf_build_projector_products(const clf_projector_desc *desc);

#endif
