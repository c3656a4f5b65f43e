/* Every operator refuses a result whose rows meet: two of its elements would go to one place.  No device. */
#include <clfusion/activation.h>
#include <clfusion/add.h>
#include <clfusion/attention.h>
#include <clfusion/cast.h>
#include <clfusion/copy.h>
#include <clfusion/gated_unit.h>
#include <clfusion/gather.h>
#include <clfusion/l2_norm.h>
#include <clfusion/layer_norm.h>
#include <clfusion/linear.h>
#include <clfusion/rms_norm.h>
#include <clfusion/scale.h>
#include <clfusion/similarity.h>

#include "core/text.h"
#include "ops.h"

typedef struct result_case {
    const char *name;
    clf_status (*check)(clf_tensor y, clf_error *err);
} result_case;

/* Arguments that are sound with a result f32 [3, 8]. */
#define X CLF_OPS_SHAPE(CLF_F32, 3, 8)
#define NONE ((clf_tensor){ .mem = NULL })

static clf_status check_activate(clf_tensor y, clf_error *err)
{
    return clf_activate_check(X, CLF_GELU, y, err);
}

static clf_status check_add(clf_tensor y, clf_error *err)
{
    return clf_add_check(X, X, 1.0F, y, err);
}

static clf_status check_attention(clf_tensor y, clf_error *err)
{
    const clf_tensor q = CLF_OPS_SHAPE(CLF_F32, 1, 3, 1, 8);
    clf_tensor heads = q;

    heads.mem = y.mem;
    heads.offset = y.offset;
    heads.stride[1] = y.stride[0];
    return clf_attention_check(q, q, q, NULL, heads, err);
}

static clf_status check_cast(clf_tensor y, clf_error *err)
{
    return clf_cast_check(CLF_OPS_SHAPE(CLF_F16, 3, 8), y, err);
}

static clf_status check_copy(clf_tensor y, clf_error *err)
{
    return clf_copy_check(X, y, err);
}

static clf_status check_gated_unit(clf_tensor y, clf_error *err)
{
    return clf_gated_unit_check(X, X, CLF_SILU, y, err);
}

static clf_status check_gather(clf_tensor y, clf_error *err)
{
    return clf_gather_check(CLF_OPS_SHAPE(CLF_F32, 5, 8), CLF_OPS_SHAPE(CLF_I32, 3), y, err);
}

static clf_status check_l2_norm(clf_tensor y, clf_error *err)
{
    return clf_l2_norm_check(X, 0.0F, y, err);
}

static clf_status check_layer_norm(clf_tensor y, clf_error *err)
{
    return clf_layer_norm_check(X, NONE, NONE, 1e-5F, y, err);
}

static clf_status check_linear(clf_tensor y, clf_error *err)
{
    return clf_linear_check(CLF_OPS_SHAPE(CLF_F32, 3, 5), 8, 5, NULL, y, err);
}

static clf_status check_rms_norm(clf_tensor y, clf_error *err)
{
    return clf_rms_norm_check(X, NONE, CLF_RMS_PLAIN, 1e-5F, y, err);
}

static clf_status check_scale(clf_tensor y, clf_error *err)
{
    return clf_scale_check(X, 2.0F, y, err);
}

static clf_status check_similarity(clf_tensor y, clf_error *err)
{
    return clf_similarity_check(CLF_OPS_SHAPE(CLF_F32, 3, 2, 5), CLF_OPS_SHAPE(CLF_F32, 8, 5), 1.0F, y, err);
}

static const result_case cases[] = {
    { "activate", check_activate },
    { "add", check_add },
    { "attention", check_attention },
    { "cast", check_cast },
    { "copy", check_copy },
    { "gated_unit", check_gated_unit },
    { "gather", check_gather },
    { "l2_norm", check_l2_norm },
    { "layer_norm", check_layer_norm },
    { "linear", check_linear },
    { "rms_norm", check_rms_norm },
    { "scale", check_scale },
    { "similarity", check_similarity },
};

/* Strides of 0 (all rows in one place) and 7 (the last column of a row is the first of the next) against 8 and 16. */
static void rows_that_meet_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        const bool heads = cases[i].check == check_attention;

        for (int64_t stride = 0; stride <= 16; stride = stride == 0 ? 7 : stride == 7 ? 8 : stride + 8) {
            clf_tensor y = clf_ops_at(CLF_F32, 64, CLF_DIMS(3, 8));
            char want[200];

            y.stride[0] = stride;
            if (stride >= 8) {
                CLF_OPS_ACCEPTS(cases[i].check(y, &err));
                continue;
            }
            clf_format(want, sizeof want,
                       "%s: y f32[%s] is a view whose rows meet; want each element in a place of its own",
                       cases[i].name, heads ? "1, 3, 1, 8" : "3, 8");
            CLF_OPS_REFUSES(cases[i].check(y, &err), CLF_INVALID_ARGUMENT, want);
        }
    }
}

/* Rows in any order, and dimensions of 1 or 0 with any stride, are no reason to refuse. */
static void other_views_are_accepted(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 4, 3, 8);
    clf_tensor y = clf_ops_at(CLF_F32, 64, CLF_DIMS(4, 3, 8));

    (void)state;
    y.stride[0] = 8; /* the rows of [3, 4, 8] */
    y.stride[1] = 32;
    CLF_OPS_ACCEPTS(clf_copy_check(x, y, &err));
    CLF_OPS_ACCEPTS(clf_linear_check(x, 8, 8, NULL, y, &err));
    y.stride[1] = 24; /* row 3 of the first batch is row 0 of the last one */
    CLF_OPS_REFUSES(clf_linear_check(x, 8, 8, NULL, y, &err), CLF_INVALID_ARGUMENT,
                    "linear: y f32[4, 3, 8] is a view whose rows meet; want each element in a place of its own");
    y = clf_ops_at(CLF_F32, 64, CLF_DIMS(1, 8));
    y.stride[0] = 0;
    CLF_OPS_ACCEPTS(clf_copy_check(CLF_OPS_SHAPE(CLF_F32, 1, 8), y, &err));
    y.dim[0] = 0;
    CLF_OPS_ACCEPTS(clf_copy_check(CLF_OPS_SHAPE(CLF_F32, 0, 8), y, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_meet_are_refused),
        cmocka_unit_test(other_views_are_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
