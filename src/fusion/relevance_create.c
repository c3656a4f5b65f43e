/* Creating a relevance module: numbers and weights that fit each other. */
#include <clfusion/budgets.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/orthonormal.h"
#include "fusion/relevance_parts.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "relevance"

#define BEST 200 /* the reference's k */

int64_t clf_relevance_grid(const clf_relevance *m)
{
    return m->g;
}

int64_t clf_relevance_count(const clf_relevance *m)
{
    return m->k;
}

int64_t clf_relevance_query_width(const clf_relevance *m)
{
    if (m->texture[1] == NULL)
        return 0;
    return m->onto != NULL ? clf_linear_weight_in(m->onto) : clf_linear_weight_out(m->texture[1]);
}

static int64_t count_of(const clf_relevance_desc *d)
{
    return d->k > 0 ? d->k : CLF_MIN(BEST, d->grid * d->grid);
}

static clf_status check_numbers(const clf_relevance_desc *d, clf_error *err)
{
    const int64_t g = d->grid;

    CLF_REQUIRE(err, g >= 2 && g <= CLF_TEXTURE_GRID, CLF_INVALID_ARGUMENT, "grid is %" PRId64 "; want 2 to %d", g,
                CLF_TEXTURE_GRID);
    CLF_REQUIRE(err, d->k >= 0 && d->k <= g * g, CLF_INVALID_ARGUMENT,
                "k is %" PRId64 "; want 1 to %" PRId64 ", the cells of grid %" PRId64, d->k, g * g, g);
    CLF_REQUIRE(err, d->scale == CLF_MIN_MAX_BATCH || d->scale == CLF_MIN_MAX_PICTURE, CLF_INVALID_ARGUMENT,
                "scale is %d; want CLF_MIN_MAX_BATCH or CLF_MIN_MAX_PICTURE", (int)d->scale);
    const clf_tensor chosen = clf_tensor_shape(CLF_I32, CLF_DIMS(count_of(d)));

    return clf_budgets_check(clf_tensor_shape(CLF_F32, CLF_DIMS(g * g)), chosen, d->min_tokens, d->max_tokens, d->total,
                             chosen, err);
}

static clf_status check_weights(const clf_relevance_desc *d, clf_error *err)
{
    const clf_linear_layer *t = d->texture, *b = d->balance;

    CLF_TRY(clf_weight_check("texture[0]", &t[0], CLF_TEXTURE_CHANNELS, err));
    CLF_TRY(clf_weight_check("texture[1]", &t[1], t[0].weight.dim[0], err));
    CLF_TRY(clf_weight_check("balance[0]", &b[0], 9 + t[1].weight.dim[0], err));
    CLF_TRY(clf_weight_check("balance[1]", &b[1], b[0].weight.dim[0], err));
    CLF_TRY(clf_weight_check("balance[2]", &b[2], b[1].weight.dim[0], err));
    CLF_REQUIRE(err, b[2].weight.dim[0] == 3, CLF_INVALID_ARGUMENT,
                "balance[2].weight is %s; want 3 rows, one for each map", CLF_HOST_TEXT(b[2].weight));
    return CLF_OK;
}

static clf_status check_desc(const clf_relevance_desc *d, clf_error *err)
{
    size_t there = 0;

    CLF_TRY(check_numbers(d, err));
    for (size_t i = 0; i < 5; i++)
        there += clf_host_present(i < 2 ? d->texture[i].weight : d->balance[i - 2].weight);
    CLF_REQUIRE(err, there == 0 || there == 5, CLF_INVALID_ARGUMENT, "%zu weights are given; want 5, or none", there);
    return there > 0 ? check_weights(d, err) : CLF_OK;
}

/* Of the features only cosines are needed. */
static clf_status create_features(clf_relevance *m, const clf_relevance_desc *d, clf_error *err)
{
    static const char name[] = "texture[1]";
    const clf_linear_layer *layer = &d->texture[1];

    if (clf_orthonormal_pays(layer))
        return clf_orthonormal_create(m->ctx, name, layer, d->source, &m->texture[1], &m->onto, err);
    return clf_weight_create(m->ctx, name, layer, d->storage, d->source, &m->texture[1], err);
}

static clf_status fill(clf_relevance *m, const clf_relevance_desc *d, clf_error *err)
{
    static const char *const balances[] = { "balance[0]", "balance[1]", "balance[2]" };

    CLF_TRY(clf_weight_create(m->ctx, "texture[0]", &d->texture[0], d->storage, d->source, &m->texture[0], err));
    CLF_TRY(create_features(m, d, err));
    for (int i = 0; i < 3; i++)
        CLF_TRY(clf_weight_create(m->ctx, balances[i], &d->balance[i], d->storage, d->source, &m->balance[i], err));
    m->cells = clf_alloc((size_t)(m->g * m->g), 3 * sizeof *m->cells);
    CLF_REQUIRE(err, m->cells != NULL, CLF_OUT_OF_MEMORY, "no host memory for %" PRId64 " cells", m->g * m->g);
    for (int64_t n = 0; n < m->g * m->g; n++) {
        m->cells[3 * n] = 0;
        m->cells[3 * n + 1] = (int32_t)(n / m->g);
        m->cells[3 * n + 2] = (int32_t)(n % m->g);
    }
    return CLF_OK;
}

static clf_status create(clf_context *ctx, const clf_relevance_desc *given, clf_relevance **m, clf_error *err)
{
    clf_relevance_desc d = clf_relevance_desc_default();

    CLF_DESC_READ(err, &d, given);
    CLF_TRY(check_desc(&d, err));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    (*m)->g = d.grid;
    (*m)->k = count_of(&d);
    (*m)->min_tokens = d.min_tokens;
    (*m)->max_tokens = d.max_tokens;
    (*m)->total = d.total;
    (*m)->scale = d.scale;
    return fill(*m, &d, err);
}

clf_status clf_relevance_create(clf_context *ctx, const clf_relevance_desc *desc, clf_relevance **m, clf_error *err)
{
    clf_status status;

    *m = NULL;
    status = create(ctx, desc, m, err);
    if (status != CLF_OK) {
        clf_relevance_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_relevance_destroy(clf_relevance *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < 2; i++)
        clf_linear_weight_destroy(m->texture[i]);
    clf_linear_weight_destroy(m->onto);
    for (int i = 0; i < 3; i++)
        clf_linear_weight_destroy(m->balance[i]);
    clf_free(m->cells);
    clf_free(m);
}
