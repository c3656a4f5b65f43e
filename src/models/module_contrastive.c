/* clfusion's contrastive: a vector of each picture against a vector of each text.
 *
 * logit_scale [], logit_bias [] or none, visual_projection.weight [P, Dv] or none, text_projection.weight [P, Dt] or none
 *
 * Options activation (softmax, sigmoid) of `scores`; k, the best texts of each picture: `indices` and `values`, the
 * largest score first. */
#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/text.h"
#include "models/contrast_model.h"
#include "models/registry.h"

static clf_status read_projection(const clf_builder *b, const char *name, const char *weight, clf_linear_layer *layer,
                                  clf_error *err)
{
    bool there;

    CLF_TRY(clf_build_has(b, weight, &there, err));
    return there ? clf_build_linear(b, name, false, 0, NULL, layer, err) : CLF_OK;
}

static clf_status read_projections(const clf_builder *b, clf_contrastive_desc *d, clf_error *err)
{
    CLF_TRY(read_projection(b, "visual_projection", "visual_projection.weight", &d->vision.projection, err));
    CLF_TRY(read_projection(b, "text_projection", "text_projection.weight", &d->text.projection, err));
    const clf_host_tensor v = d->vision.projection.weight, t = d->text.projection.weight;

    if (v.dtype != CLF_DTYPE_NONE && t.dtype != CLF_DTYPE_NONE && v.dim[0] != t.dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: text_projection.weight has %" PRId64 " rows; want %" PRId64
                        ", as visual_projection.weight",
                        b->family, t.dim[0], v.dim[0]);
    return CLF_OK;
}

static clf_status read_options(const clf_builder *b, clf_contrast_spec *spec, clf_error *err)
{
    const char *activation = "softmax";

    CLF_TRY(clf_config_text(b->config, "activation", &activation, err));
    if (strcmp(activation, "sigmoid") == 0)
        spec->contrast.kind = CLF_SCORES_SIGMOID;
    else if (strcmp(activation, "softmax") != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: activation is %s; want softmax or sigmoid", b->family,
                        clf_text_quote(activation, strlen(activation)).text);
    if (!clf_config_has(b->config, "k"))
        return CLF_OK;
    CLF_TRY(clf_config_int(b->config, "k", &spec->k, err));
    if (spec->k < 1 || spec->k > INT32_MAX)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: k is %" PRId64 "; want 1 to the number of texts", b->family, spec->k);
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_contrast_spec spec = clf_build_contrast_spec(b);

    CLF_TRY(read_options(b, &spec, err));
    CLF_TRY(read_projections(b, &spec.contrast, err));
    CLF_TRY(clf_build_logit_scale(b, &spec, err));
    spec.text = CLF_TEXT_ROWS;
    return clf_build_contrast(b, &spec, CLF_VISION_ROWS, m, err);
}

const clf_family clf_family_contrastive = { .id = "contrastive", .module = true, .build = build };
