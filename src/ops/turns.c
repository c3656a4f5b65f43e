/* Bounds for the turns of a work-item's loops.  Each follows the loops of its kernel in cl/. */
#include "ops/turns.h"

#include "core/shape.h"
#include "core/size.h"
#include "ops/sweep.h"
#include "runtime/context.h"
#include "runtime/op.h"

uint64_t clf_turns(uint64_t times, uint64_t inside)
{
    uint64_t turns;

    return clf_size_mul(times, 1 + CLF_MIN(inside, CLF_TURNS_MANY), &turns) ? CLF_MIN(turns + 1, CLF_TURNS_MANY)
                                                                            : CLF_TURNS_MANY;
}

uint64_t clf_turns_of_row(const clf_stream *s, int64_t C)
{
    const uint64_t columns = (uint64_t)C, vector = clf_stream_context(s)->vector_width;

    switch (clf_op_kernels(s)) {
    case CLF_KERNELS_SIMD:
        return clf_turns(columns / vector, 0) + clf_turns(3 * vector, 0); /* the rest, a sum over lanes */
    case CLF_KERNELS_TILE:
        return clf_turns(clf_div_up(columns, CLF_NORM_WG), 0) + clf_turns(7, 0);
    default:
        return clf_turns(columns, 0);
    }
}

uint64_t clf_turns_of_rows(int64_t rows, uint64_t inside)
{
    return rows == 0 ? 0 : clf_turns(clf_div_up((uint64_t)rows, clf_row_groups(rows)), inside);
}

/* ---- attention ---- */

typedef struct loops {
    uint64_t K, D, E;
    uint64_t vector, vectors; /* floats of a vector; vectors of rows that an item of the CPU kernel takes */
    bool half;                /* k and v are expanded first */
    bool rules, weights;
} loops;

/* A row: all scores twice and the values, then the weights or the mean. */
static uint64_t of_ref(loops n)
{
    const uint64_t scores = clf_turns(n.K, clf_turns(n.D, 0)), values = clf_turns(n.K, clf_turns(n.E, 0));

    return (2 + n.weights) * scores + (1 + n.rules) * values + 4 * n.E;
}

/* A tile of keys: looking, filling twice, scores, three walks over the keys, sums with their columns. */
static uint64_t of_tile(loops n)
{
    const uint64_t room = CLF_ATTENTION_WIDTH, keys = CLF_ATTENTION_KEYS, pair = 4;
    const uint64_t fill = clf_turns(keys * room / CLF_ATTENTION_WG, 0), columns = room / 8;
    const uint64_t look = clf_turns(CLF_ATTENTION_WG, 0) + pair, score = clf_turns(n.D, pair) + 2 * pair;
    const uint64_t sums = 3 * clf_turns(keys, 0) + clf_turns(keys, columns) + columns;
    const uint64_t tiles = clf_div_up(n.K, keys);

    return clf_turns(tiles, look + 2 * fill + score + sums) + (n.weights ? clf_turns(tiles, look + fill + score) : 0) +
           (n.rules ? clf_turns(n.E, clf_turns(n.K, 0)) : 0) + clf_turns(n.D, 0) + 2 * columns;
}

/* Keys, or columns of v, side by side in registers: STEP of attention_simd.cl. */
static uint64_t step_of(loops n)
{
    const uint64_t most = n.vector == 16 ? 16 : 8;

    return n.vectors == 1 ? most : n.vectors <= 3 ? most / 2 : most / 4;
}

/* TILE of attention_simd.cl, and what it fetches at once. */
#define SIMD_KEYS 64
#define SIMD_LINE 16

/* A tile of keys: k and v expanded, scores, softmax, sums.  With rules the mask, whether values are finite, and if not,
 * sums column by column. */
static uint64_t of_simd(loops n)
{
    const uint64_t tile = CLF_MAX(1, CLF_MIN(SIMD_KEYS, n.K)), tiles = clf_div_up(n.K, SIMD_KEYS);
    const uint64_t step = step_of(n), lanes = n.vector * n.vectors;
    const uint64_t expand = n.half ? clf_turns(tile, (n.D + n.E) / n.vector + 2 * n.vector + 4) : 0;
    const uint64_t product = clf_turns(clf_div_up(n.D, SIMD_LINE), clf_turns(SIMD_LINE, 0));
    const uint64_t score = clf_turns(clf_div_up(tile, step), product), softmax = 2 * clf_turns(tile, 0);
    const uint64_t sums = clf_turns(n.E / step + n.E % step, clf_turns(tile, 0)) + 1;
    const uint64_t look = clf_turns(tile, lanes + n.vectors) + clf_turns(lanes, tile);
    const uint64_t seen = clf_turns(tile, clf_turns(n.E, 0)) + clf_turns(n.E, clf_turns(n.vectors, tile + 1));
    const uint64_t weights = look + score + expand + clf_turns(lanes, clf_turns(tile, 0));

    return clf_turns(tiles, expand + score + softmax + sums + (n.rules ? look + seen : 0)) +
           (n.weights ? clf_turns(tiles, weights) : 0) + (n.rules ? clf_turns(n.E, clf_turns(n.K, 0)) : 0) +
           clf_turns(lanes, (n.D + n.E) / 4 + 20) + n.E * n.vectors + n.E;
}

uint64_t clf_turns_of_attention(const clf_stream *s, clf_tensor q, clf_tensor v, int64_t vectors,
                                const clf_attention_options *o)
{
    const clf_kernel_shape shape = clf_op_kernels(s);
    const loops n = { .K = (uint64_t)clf_dim(v, 1),
                      .D = (uint64_t)clf_dim(q, 3),
                      .E = (uint64_t)clf_dim(v, 3),
                      .vector = clf_stream_context(s)->vector_width,
                      .vectors = (uint64_t)vectors,
                      .half = v.dtype != CLF_F32,
                      .rules = clf_present(o->mask) || clf_present(o->key_lengths) || o->causal ||
                               o->group_rule != CLF_GROUPS_NONE || o->unseen != CLF_UNSEEN_ZERO,
                      .weights = clf_present(o->weights) };

    return shape == CLF_KERNELS_SIMD ? of_simd(n) : shape == CLF_KERNELS_TILE ? of_tile(n) : of_ref(n);
}
