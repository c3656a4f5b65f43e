/* relevance: a picture's maps (relevance_maps.c), the k best cells, what each is worth, and their features.
 *
 * indices [B, k], budgets [B, k], tokens [B, k, D], dense_tokens [M, E]. */
#include <clfusion/relevance.h>

#include <clfusion/budgets.h>
#include <clfusion/detail_pool.h>
#include <clfusion/gather.h>
#include <clfusion/top_k.h>
#include <clfusion/widen.h>

#include "core/desc.h"
#include "fusion/apart.h"
#include "fusion/place.h"
#include "fusion/relevance_parts.h"
#include "runtime/op.h"

#define CLF_OP "relevance"

static bool wants_detail(const clf_relevance_call *c)
{
    return clf_present(c->dense_tokens) || clf_present(c->lengths);
}

static bool wants_budgets(const clf_relevance_call *c)
{
    return clf_present(c->budgets) || wants_detail(c);
}

static bool wants_choice(const clf_relevance_call *c)
{
    return clf_present(c->indices) || clf_present(c->positions) || clf_present(c->tokens) || wants_budgets(c);
}

static clf_relevance_need need_of(const clf_relevance_call *c)
{
    clf_relevance_need need = { .information = clf_present(c->information),
                                .perspectival = clf_present(c->perspectival),
                                .participatory = clf_present(c->participatory),
                                .balance = clf_present(c->relevance) || clf_present(c->weights) || wants_choice(c) };

    need.textures =
        clf_present(c->textures) || need.information || need.perspectival || need.participatory || need.balance;
    return need;
}

/* A float tensor of these dimensions, `dims` without the batch. */
static clf_status check_float(const char *name, clf_tensor t, clf_dims dims, clf_error *err)
{
    CLF_REQUIRE(err, clf_is_float(t.dtype), CLF_UNSUPPORTED, "%s is %s; want f32, f16 or bf16", name, CLF_TEXT(t));
    CLF_REQUIRE(err, clf_shape_valid(t) && clf_shape_is(t, dims), CLF_INVALID_ARGUMENT, "%s is %s; want %s", name,
                CLF_TEXT(t), CLF_TEXT(clf_tensor_shape(t.dtype, dims)));
    return CLF_OK;
}

/* The picture or its textures; *B receives the batch. */
static clf_status check_source(const clf_relevance *m, const clf_relevance_call *c, int64_t *B, clf_error *err)
{
    const bool picture = clf_present(c->image);
    const clf_tensor source = picture ? c->image : c->given_textures;

    CLF_REQUIRE(err, picture != clf_present(c->given_textures), CLF_INVALID_ARGUMENT,
                "image and given_textures are %s; want one of them", picture ? "given" : "absent");
    *B = clf_dim(source, 0);
    if (!picture)
        return check_float("given_textures", source, CLF_DIMS(*B, CLF_TEXTURE_CHANNELS, m->g, m->g), err);
    CLF_REQUIRE(err, clf_is_float(source.dtype), CLF_UNSUPPORTED, "image is %s; want f32, f16 or bf16",
                CLF_TEXT(source));
    CLF_REQUIRE(err,
                clf_shape_valid(source) && source.rank == 4 && source.dim[1] == 3 && source.dim[2] >= 1 &&
                    source.dim[3] >= 1,
                CLF_INVALID_ARGUMENT, "image is %s; want [B, 3, H, W] with at least one pixel", CLF_TEXT(source));
    return CLF_OK;
}

static clf_status check_dense(const clf_relevance *m, const clf_relevance_call *c, int64_t B, clf_error *err)
{
    const clf_tensor x = c->dense, chosen = clf_tensor_shape(CLF_I32, CLF_DIMS(B, m->k)), none = { 0 };

    CLF_REQUIRE(err, clf_is_float(x.dtype), CLF_UNSUPPORTED, "dense is %s; want f32, f16 or bf16", CLF_TEXT(x));
    CLF_REQUIRE(err, clf_shape_valid(x) && x.rank == 4 && x.dim[0] == B && x.dim[1] == m->k, CLF_INVALID_ARGUMENT,
                "dense is %s; want [%" PRId64 ", %" PRId64 ", S, E], S features of each chosen cell", CLF_TEXT(x), B,
                m->k);
    CLF_TRY(clf_detail_pool_check(x, chosen, none, chosen, err));
    if (!clf_present(c->dense_tokens))
        return CLF_OK;
    return check_float("dense_tokens", c->dense_tokens, CLF_DIMS(clf_dim(c->dense_tokens, 0), x.dim[3]), err);
}

static clf_status check_inputs(const clf_relevance *m, const clf_relevance_call *c, int64_t B, clf_error *err)
{
    const clf_relevance_need need = need_of(c);
    const int64_t N = m->g * m->g;

    if (need.participatory || need.balance) {
        CLF_REQUIRE(err, m->texture[0] != NULL, CLF_INVALID_ARGUMENT,
                    "the module has no weights; want them for participatory and what is made of it");
        CLF_TRY(check_float("query", c->query, CLF_DIMS(B, clf_relevance_query_width(m)), err));
    }
    if (clf_present(c->tokens)) {
        CLF_REQUIRE(err, clf_is_float(c->vision.dtype), CLF_UNSUPPORTED, "vision is %s; want f32, f16 or bf16",
                    CLF_TEXT(c->vision));
        CLF_REQUIRE(err,
                    clf_shape_valid(c->vision) && c->vision.rank == 3 && c->vision.dim[0] == B && c->vision.dim[1] == N,
                    CLF_INVALID_ARGUMENT,
                    "vision is %s; want [%" PRId64 ", %" PRId64 ", D], for %" PRId64 " x %" PRId64 " cells",
                    CLF_TEXT(c->vision), B, N, m->g, m->g);
    }
    return wants_detail(c) ? check_dense(m, c, B, err) : CLF_OK;
}

static clf_status check_map(const char *name, clf_tensor t, clf_dims dims, clf_error *err)
{
    return clf_present(t) ? check_float(name, t, dims, err) : CLF_OK;
}

static clf_status check_numbers_out(const char *name, clf_tensor t, clf_dims dims, clf_error *err)
{
    if (!clf_present(t))
        return CLF_OK;
    CLF_REQUIRE(err, (t.dtype == CLF_I32 || t.dtype == CLF_I64) && clf_shape_valid(t) && clf_shape_is(t, dims),
                CLF_INVALID_ARGUMENT, "%s is %s; want %s, or i32", name, CLF_TEXT(t),
                CLF_TEXT(clf_tensor_shape(CLF_I64, dims)));
    return CLF_OK;
}

static clf_status check_outputs(const clf_relevance *m, const clf_relevance_call *c, int64_t B, clf_error *err)
{
    const clf_dims map = CLF_DIMS(B, m->g, m->g), chosen = CLF_DIMS(B, m->k);

    CLF_TRY(check_map("textures", c->textures, CLF_DIMS(B, CLF_TEXTURE_CHANNELS, m->g, m->g), err));
    CLF_TRY(check_map("information", c->information, map, err));
    CLF_TRY(check_map("perspectival", c->perspectival, map, err));
    CLF_TRY(check_map("participatory", c->participatory, map, err));
    CLF_TRY(check_map("relevance", c->relevance, map, err));
    CLF_TRY(check_map("weights", c->weights, CLF_DIMS(B, 3), err));
    CLF_TRY(check_map("tokens", c->tokens, CLF_DIMS(B, m->k, clf_dim(c->vision, 2)), err));
    CLF_TRY(check_numbers_out("indices", c->indices, chosen, err));
    CLF_TRY(check_numbers_out("budgets", c->budgets, chosen, err));
    CLF_TRY(check_numbers_out("lengths", c->lengths, chosen, err));
    return check_numbers_out("positions", c->positions, CLF_DIMS(B, m->k, 3), err);
}

/* Outputs lie apart from each other and from the inputs. */
static clf_status check_apart(const clf_relevance_call *c, clf_error *err)
{
    enum { INPUTS = 5 };
    const clf_named_tensor all[] = {
        { "image", c->image },
        { "given_textures", c->given_textures },
        { "query", c->query },
        { "vision", c->vision },
        { "dense", c->dense },
        { "textures", c->textures }, /* INPUTS stand before it */
        { "information", c->information },
        { "perspectival", c->perspectival },
        { "participatory", c->participatory },
        { "relevance", c->relevance },
        { "weights", c->weights },
        { "indices", c->indices },
        { "budgets", c->budgets },
        { "positions", c->positions },
        { "tokens", c->tokens },
        { "dense_tokens", c->dense_tokens },
        { "lengths", c->lengths },
    };

    return clf_outputs_apart(CLF_OP, all, CLF_COUNT(all), INPUTS, err);
}

clf_status clf_relevance_check(const clf_relevance *m, const clf_relevance_call *given, clf_error *err)
{
    clf_relevance_call c = clf_relevance_call_default();
    int64_t B = 0;

    CLF_DESC_READ(err, &c, given);
    if (!need_of(&c).textures)
        return CLF_OK;
    CLF_TRY(check_source(m, &c, &B, err));
    CLF_TRY(check_inputs(m, &c, B, err));
    CLF_TRY(check_outputs(m, &c, B, err));
    return check_apart(&c, err);
}

/* ---- forward ---- */

/* A map x [B, 1, N] to where it is wanted, y [B, g, g]. */
static void give_map(clf_stream *s, const clf_relevance *m, clf_tensor x, clf_tensor y)
{
    if (!clf_present(y))
        return;
    x.dim[1] = x.dim[2] = m->g;
    x.stride[1] = m->g;
    x.stride[2] = 1;
    clf_place(s, x, y);
}

/* Whole numbers, i32, to where they are wanted. */
static void give_numbers(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_present(y))
        return;
    if (y.dtype == CLF_I64)
        clf_widen(s, x, y);
    else
        clf_place(s, x, y);
}

static void give_maps(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c,
                      const clf_relevance_maps *maps)
{
    if (clf_present(c->textures))
        clf_place(s, maps->textures, c->textures);
    give_map(s, m, clf_relevance_map(s, maps->three, 0), c->information);
    give_map(s, m, clf_relevance_map(s, maps->three, 1), c->perspectival);
    give_map(s, m, clf_relevance_map(s, maps->three, 2), c->participatory);
    if (clf_present(c->weights))
        clf_place(s, maps->weights, c->weights);
    if (clf_present(c->relevance))
        give_map(s, m, clf_reshape(s, maps->relevance, CLF_DIMS(maps->relevance.dim[0], 1, m->g * m->g)), c->relevance);
}

static void give_positions(clf_stream *s, const clf_relevance *m, clf_tensor indices, clf_tensor y)
{
    const int64_t N = m->g * m->g;
    const clf_tensor cells = clf_scratch(s, CLF_I32, CLF_DIMS(N, 3));
    const clf_tensor positions = clf_scratch(s, CLF_I32, clf_tensor_dims(y));

    clf_upload_copy(s, m->cells, (uint64_t)N * 3 * sizeof *m->cells, cells);
    clf_gather(s, cells, indices, positions);
    give_numbers(s, positions, y);
}

static void give_detail(clf_stream *s, const clf_relevance_call *c, clf_tensor budgets)
{
    const clf_tensor wanted = c->dense_tokens, none = { 0 };
    const clf_tensor lengths = clf_present(c->lengths) ? clf_scratch(s, CLF_I32, clf_tensor_dims(budgets)) : none;
    const bool direct = !clf_present(wanted) || wanted.dtype == CLF_F32 || wanted.dtype == c->dense.dtype;
    const clf_tensor tokens = direct ? wanted : clf_scratch(s, CLF_F32, clf_tensor_dims(wanted));

    clf_detail_pool(s, c->dense, budgets, tokens, lengths);
    if (!direct)
        clf_place(s, tokens, wanted);
    give_numbers(s, lengths, c->lengths);
}

/* What each cell is worth, and its features in that many tokens. */
static void spend(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c, clf_tensor relevance,
                  clf_tensor indices)
{
    const clf_tensor budgets = clf_scratch(s, CLF_I32, clf_tensor_dims(indices));

    clf_budgets(s, relevance, indices, m->min_tokens, m->max_tokens, m->total, budgets);
    give_numbers(s, budgets, c->budgets);
    if (wants_detail(c))
        give_detail(s, c, budgets);
}

static void choose(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c, clf_tensor relevance)
{
    const clf_tensor indices = clf_scratch(s, CLF_I32, CLF_DIMS(relevance.dim[0], m->k));

    clf_top_k(s, relevance, CLF_TOP_K_BY_SCORE, (clf_tensor){ 0 }, indices);
    give_numbers(s, indices, c->indices);
    if (clf_present(c->positions))
        give_positions(s, m, indices, c->positions);
    if (clf_present(c->tokens))
        clf_place_rows(s, c->vision, indices, c->tokens);
    if (wants_budgets(c))
        spend(s, m, c, relevance, indices);
}

static void forward(clf_stream *s, const clf_relevance *m, const clf_relevance_call *c)
{
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_relevance_maps maps = clf_relevance_make_maps(s, m, c, need_of(c));

    give_maps(s, m, c, &maps);
    if (wants_choice(c))
        choose(s, m, c, maps.relevance);
    clf_scope_close(s, scope);
}

void clf_relevance_forward(clf_stream *s, const clf_relevance *m, const clf_relevance_call *given)
{
    clf_relevance_call call = clf_relevance_call_default();

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_relevance_check(m, given, clf_op_error(s))))
        return;
    if (given == NULL)
        return;
    (void)clf_desc_read(&call, sizeof call, given); /* the check has found it readable */
    if (need_of(&call).textures && clf_dim(clf_present(call.image) ? call.image : call.given_textures, 0) > 0)
        forward(s, m, &call);
}
