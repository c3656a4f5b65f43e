/* The maps of relevance realisation: textures [B, 13, g, g] -> three maps [B, 3, N] -> their weights -> one [B, N]. */
#include <clfusion/copy.h>
#include <clfusion/entropy.h>
#include <clfusion/l2_norm.h>
#include <clfusion/patches.h>
#include <clfusion/row_stats.h>
#include <clfusion/scores.h>
#include <clfusion/similarity.h>
#include <clfusion/weighted_sum.h>

#include "fusion/place.h"
#include "fusion/relevance_parts.h"
#include "runtime/op.h"

#define SCALE_EPS 1e-8F    /* the reference's numbers */
#define ENTROPY_EPS 1e-10F /* as above */
#define LEAST_NORM 1e-12F  /* torch.nn.functional.normalize */

#define EDGES 5 /* channels 5 to 7: gx, gy, strength */
#define STRENGTH 7
#define STRENGTH_AGAIN 11

#define BLOCK (INT64_C(1) << 22) /* features made at once, in elements */

/* [B, C, g, g] as [B, C, g g]; its maps are dense. */
static clf_tensor flat(clf_tensor t)
{
    t.dim[2] *= t.dim[3];
    t.stride[2] = 1;
    t.rank = 3;
    return t;
}

clf_tensor clf_relevance_map(clf_stream *s, clf_tensor three, int64_t i)
{
    return clf_slice(s, three, 1, i, 1);
}

/* [B, 1, N] as [B, N]. */
static clf_tensor rows(clf_tensor map)
{
    map.dim[1] = map.dim[2];
    map.stride[1] = map.stride[2];
    map.rank = 2;
    return map;
}

/* ---- textures ---- */

#define CLF_OP "relevance_textures"

clf_status clf_relevance_textures_check(clf_tensor image, clf_min_max_over scale, clf_tensor textures, clf_error *err)
{
    CLF_TRY(clf_textures_check(image, textures, err));
    CLF_REQUIRE(err, clf_is_dense(textures), CLF_UNSUPPORTED, "textures is a view with gaps; want a dense tensor");
    CLF_REQUIRE(err, scale == CLF_MIN_MAX_BATCH || scale == CLF_MIN_MAX_PICTURE, CLF_INVALID_ARGUMENT,
                "scale is %d; want CLF_MIN_MAX_BATCH or CLF_MIN_MAX_PICTURE", (int)scale);
    return CLF_OK;
}

void clf_relevance_textures(clf_stream *s, clf_tensor image, clf_min_max_over scale, clf_tensor textures)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_relevance_textures_check(image, scale, textures, clf_op_error(s))))
        return;

    const clf_tensor channels = flat(textures), edges = clf_slice(s, channels, 1, EDGES, 3);

    clf_textures(s, image, textures);
    clf_min_max(s, edges, scale, SCALE_EPS, edges);
    clf_copy(s, clf_slice(s, channels, 1, STRENGTH, 1), clf_slice(s, channels, 1, STRENGTH_AGAIN, 1));
}

#undef CLF_OP

static clf_tensor textures_of(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c)
{
    clf_tensor textures;

    if (!clf_present(c->image))
        return clf_place_dense(s, clf_place_as(s, c->given_textures, CLF_F32));
    textures = clf_scratch(s, CLF_F32, CLF_DIMS(c->image.dim[0], CLF_TEXTURE_CHANNELS, m->g, m->g));
    clf_relevance_textures(s, c->image, m->scale, textures);
    return textures;
}

/* ---- three maps ---- */

static void inform(clf_stream *s, const clf_relevance *m, clf_tensor textures, clf_tensor map)
{
    clf_entropy(s, flat(textures), ENTROPY_EPS, rows(map));
    clf_min_max(s, map, m->scale, SCALE_EPS, map);
}

static clf_linear_options relu(void)
{
    clf_linear_options o = clf_linear_options_default();

    o.activation = CLF_RELU;
    return o;
}

/* map [B, 1, N], pictures b .. b + B' - 1 and cells n .. n + N' - 1: the cosine of their features and the query.
 * hidden [B, N, F], query [B, E] in the coordinates of the features [B', N', E], which are scratch. */
static void compare(clf_stream *s, const clf_relevance *m, clf_tensor hidden, clf_tensor query, int64_t b, int64_t n,
                    clf_tensor features, clf_tensor map)
{
    const int64_t count = features.dim[0], cells = features.dim[1], E = features.dim[2];

    clf_linear(s, clf_slice(s, clf_slice(s, hidden, 0, b, count), 1, n, cells), m->texture[1], NULL, features);
    clf_l2_norm(s, features, LEAST_NORM, features);
    for (int64_t i = 0; i < count; i++)
        clf_similarity(s, clf_reshape(s, clf_slice(s, query, 0, b + i, 1), CLF_DIMS(1, 1, E)),
                       clf_reshape(s, clf_slice(s, features, 0, i, 1), CLF_DIMS(cells, E)), 1.0F,
                       clf_slice(s, clf_slice(s, rows(map), 0, b + i, 1), 1, n, cells));
}

/* The query of length 1 in the coordinates of the features, [B, E]. */
static clf_tensor turned_query(clf_stream *s, const clf_relevance *m, clf_tensor query)
{
    const clf_tensor unit = clf_scratch(s, CLF_F32, clf_tensor_dims(query));
    clf_tensor turned;

    clf_l2_norm(s, query, LEAST_NORM, unit);
    if (m->onto == NULL)
        return unit;
    turned = clf_scratch(s, CLF_F32, CLF_DIMS(query.dim[0], clf_linear_weight_out(m->onto)));
    clf_linear(s, unit, m->onto, NULL, turned);
    return turned;
}

static void participate(clf_stream *s, const clf_relevance *m, clf_tensor textures, clf_tensor query, clf_tensor map)
{
    const clf_scope scope = clf_scope_open(s, "participatory", -1);
    const int64_t B = textures.dim[0], N = m->g * m->g, E = clf_linear_weight_out(m->texture[1]);
    const int64_t pictures = CLF_MAX(CLF_MIN(BLOCK / (N * E), B), 1);
    const int64_t cells = pictures > 1 ? N : CLF_MAX(CLF_MIN(BLOCK / E, N), 1);
    const clf_tensor x = clf_scratch(s, CLF_F32, CLF_DIMS(B, N, CLF_TEXTURE_CHANNELS));
    const clf_tensor hidden = clf_scratch(s, CLF_F32, CLF_DIMS(B, N, clf_linear_weight_out(m->texture[0])));
    const clf_tensor turned = turned_query(s, m, query);
    const clf_tensor features = clf_scratch(s, CLF_F32, CLF_DIMS(pictures, cells, E));
    const clf_linear_options activated = relu();

    clf_patches(s, textures, 1, x); /* channels last: each cell a row */
    clf_linear(s, x, m->texture[0], &activated, hidden);
    for (int64_t b = 0; b < B; b += pictures)
        for (int64_t n = 0; n < N; n += cells) {
            const clf_tensor few = clf_slice(s, features, 0, 0, CLF_MIN(pictures, B - b));

            compare(s, m, hidden, turned, b, n, clf_slice(s, few, 1, 0, CLF_MIN(cells, N - n)), map);
        }
    clf_scores(s, map, 0.5F, 0.5F, CLF_SCORES_SIGMOID, map, (clf_tensor){ 0 }); /* its logits: (1 + cos) / 2 */
    clf_scope_close(s, scope);
}

/* ---- one map ---- */

/* [B, 9] of the first columns of x [B, 9 + Q] as [B, 3, 3]: a map a row. */
static clf_tensor summaries(clf_tensor x)
{
    x.rank = 3;
    x.dim[1] = x.dim[2] = 3;
    x.stride[1] = 3;
    x.stride[2] = 1;
    return x;
}

static void balance(clf_stream *s, const clf_relevance *m, clf_tensor three, clf_tensor query, clf_tensor weights,
                    clf_tensor relevance)
{
    const clf_scope scope = clf_scope_open(s, "balance", -1);
    const int64_t B = three.dim[0], Q = query.dim[1];
    const clf_tensor x = clf_scratch(s, CLF_F32, CLF_DIMS(B, 9 + Q));
    const clf_tensor first = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_linear_weight_out(m->balance[0])));
    const clf_tensor second = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_linear_weight_out(m->balance[1])));
    const clf_tensor map = clf_reshape(s, relevance, CLF_DIMS(B, 1, three.dim[2]));
    const clf_linear_options activated = relu();

    clf_row_stats(s, three, summaries(x));
    clf_copy(s, query, clf_slice(s, x, 1, 9, Q));
    clf_linear(s, x, m->balance[0], &activated, first);
    clf_linear(s, first, m->balance[1], &activated, second);
    clf_linear(s, second, m->balance[2], NULL, weights);
    clf_scores(s, weights, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, (clf_tensor){ 0 }, weights);
    clf_weighted_sum(s, three, weights, relevance);
    clf_min_max(s, map, m->scale, SCALE_EPS, map);
    clf_scope_close(s, scope);
}

clf_relevance_maps clf_relevance_make_maps(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c,
                                           clf_relevance_need need)
{
    clf_relevance_maps maps = { .textures = textures_of(s, m, c) };
    const int64_t B = maps.textures.dim[0], N = m->g * m->g;
    clf_tensor query = { 0 };

    maps.three = clf_scratch(s, CLF_F32, CLF_DIMS(B, 3, N));
    if (need.participatory || need.balance)
        query = clf_place_dense(s, clf_place_as(s, c->query, CLF_F32));
    if (need.information || need.balance)
        inform(s, m, maps.textures, clf_relevance_map(s, maps.three, 0));
    if (need.perspectival || need.balance)
        clf_copy(s, clf_slice(s, flat(maps.textures), 1, STRENGTH, 1), clf_relevance_map(s, maps.three, 1));
    if (need.participatory || need.balance)
        participate(s, m, maps.textures, query, clf_relevance_map(s, maps.three, 2));
    if (!need.balance)
        return maps;
    maps.weights = clf_scratch(s, CLF_F32, CLF_DIMS(B, 3));
    maps.relevance = clf_scratch(s, CLF_F32, CLF_DIMS(B, N));
    balance(s, m, maps.three, query, maps.weights, maps.relevance);
    return maps;
}
