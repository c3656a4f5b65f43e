/* attention: y[b, i, h] = sum over j of softmax_j(scale <q[b, i, h], k[b, j, h / g]> + mask[b, h, i, j]) v[b, j, h / g]
 *
 * q [B, Q, H, D], k [B, K, Hk, D], v [B, K, Hk, E], y [B, Q, H, E], g = H / Hk; each from an element on (q0), with
 * steps of batch, row and head (qb, qt, qh), dense in the last dimension.  Sums in f32.
 * mask, lengths, causal_offset and groups say which keys a query sees; `rules` says which of them are given.
 *
 *   _ref   local 1: a row a work-item, plain loops
 *   _tile  local CLF_ATTENTION_WG: ROWS rows, KEYS keys at a time, softmax online; for GPUs
 *   attention_simd.cl has the kernel for CPU devices
 *
 * A row whose scores are all -inf, by overflow, counts as one that sees nothing. */

/* What a row sees: keys below `end`, of a group that fits, with a mask above -FLT_MAX. */
typedef struct {
    uint end, rules, mask_block;
    int group;
    global const float *mask;
    global const int *key_groups;
} clf_attention_row;

/* What is added to the score of key j: the mask, or -inf for a key that is hidden. */
static inline float clf_attention_bias(const clf_attention_row *r, uint j)
{
    const float hidden = -INFINITY;
    if (j >= r->end)
        return hidden;
    if ((r->rules & CLF_ATTENTION_EQUAL) && r->key_groups[j] != r->group)
        return hidden;
    if ((r->rules & CLF_ATTENTION_AT_LEAST) && r->key_groups[j] > r->group)
        return hidden;
    if (!(r->rules & CLF_ATTENTION_MASK))
        return 0.0f;
    const float m = r->mask[j / r->mask_block];
    return m <= -FLT_MAX ? hidden : m;
}

/* The rules for row i of head h in batch b, from the arguments of a kernel. */
#define CLF_ATTENTION_ROW(b, h, i)                                                                                     \
    { .end = clf_attention_end(rules, K, lengths, l0 + (b), causal_offset, (i)),                                       \
      .rules = rules,                                                                                                  \
      .mask_block = mask_block,                                                                                        \
      .group = rules & (CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST) ? query_groups[qg0 + (b) * qgb + (i)] : 0,       \
      .mask = mask + m0 + (b) * mb + (h) * mh + (i) * mq,                                                              \
      .key_groups = key_groups + kg0 + (b) * kgb }

/* e^x for x <= 0, NaN for NaN, exactly 1 for 0. */
static inline float clf_attention_exp(float x)
{
    const clf_fv e = clf_exp((clf_fv)(x));
    return e.s0;
}

/* A row that has seen nothing gives the mean of all values. */
static inline bool clf_attention_uniform(uint rules, float total, int group)
{
    return total == 0.0f &&
           ((rules & CLF_ATTENTION_UNIFORM) || ((rules & CLF_ATTENTION_UNIFORM_BUT_0) && group != 0));
}

/* The mean of a column of values, 0 without any. */
static inline float clf_attention_mean(global const CLF_TYPE(CLF_V) *v, ulong at, ulong step, uint K)
{
    float sum = 0.0f;
    for (uint j = 0; j < K; j++)
        sum += CLF_LOAD(CLF_V)(v, at + j * step);
    return K > 0 ? sum / K : 0.0f;
}

/* The weight of a key from its score, -inf when hidden. */
static inline float clf_attention_weight(float score, float top, float total, bool uniform, uint K)
{
    if (total == 0.0f)
        return uniform ? 1.0f / K : 0.0f;
    return score == -INFINITY ? 0.0f : clf_attention_exp(score - (top == -INFINITY ? 0.0f : top)) / total;
}

static inline float clf_attention_score_of(global const CLF_TYPE(CLF_Q) *q, ulong at, global const CLF_TYPE(CLF_K) *k,
                                           ulong from, uint D, float scale, float bias)
{
    float score = 0.0f;
    if (bias == -INFINITY)
        return bias;
    for (uint d = 0; d < D; d++)
        score = CLF_FMA(CLF_LOAD(CLF_Q)(q, at + d), CLF_LOAD(CLF_K)(k, from + d), score);
    return CLF_FMA(score, scale, bias);
}

/* The reference: a row a work-item, the largest score first, then the sums, then the weights if wanted. */
kernel void clf_attention_ref(CLF_ATTENTION_ARGUMENTS)
{
    float sum[CLF_ATTENTION_WIDTH];

    for (ulong row = get_group_id(0); row < (ulong)B * Q * H; row += get_num_groups(0)) {
        const uint h = row % H, i = row / H % Q, b = row / H / Q, hk = h / (H / Hk);
        const ulong qr = q0 + b * qb + i * qt + h * qh, kr = k0 + b * kb + hk * kh, vr = v0 + b * vb + hk * vh;
        const ulong yr = y0 + b * yb + i * yt + h * yh, wr = w0 + (((ulong)b * H + h) * Q + i) * K;
        const clf_attention_row r = CLF_ATTENTION_ROW(b, h, i);
        float top = -INFINITY, total = 0.0f;

        for (uint e = 0; e < E; e++)
            sum[e] = 0.0f;
        for (uint j = 0; j < K; j++) {
            const float s = clf_attention_score_of(q, qr, k, kr + j * kt, D, scale, clf_attention_bias(&r, j));
            top = s > top ? s : top;
        }
        for (uint j = 0; j < K; j++) {
            const float bias = clf_attention_bias(&r, j);
            if (bias == -INFINITY)
                continue;
            const float s = clf_attention_score_of(q, qr, k, kr + j * kt, D, scale, bias);
            const float p = clf_attention_exp(s - (top == -INFINITY ? 0.0f : top));
            total += p;
            for (uint e = 0; e < E; e++)
                sum[e] = CLF_FMA(p, CLF_LOAD(CLF_V)(v, vr + j * vt + e), sum[e]);
        }
        const bool uniform = clf_attention_uniform(rules, total, r.group);
        for (uint e = 0; e < E; e++)
            CLF_STORE(CLF_Y)(y, yr + e, uniform ? clf_attention_mean(v, vr + e, vt, K)
                                        : total == 0.0f ? 0.0f : sum[e] / total);
        for (uint j = 0; j < K && (rules & CLF_ATTENTION_WEIGHTS); j++) {
            const float s = clf_attention_score_of(q, qr, k, kr + j * kt, D, scale, clf_attention_bias(&r, j));
            weights[wr + j] = clf_attention_weight(s, top, total, uniform, K);
        }
    }
}

/* Each item of the GPU kernel has a row of the tile, PAIR of its keys, and every PER-th column of its sums.  CLF_ROOM:
 * room for a row of k or v, 64, 128 or 256. */
#define ROWS CLF_ATTENTION_ROWS
#define KEYS CLF_ATTENTION_KEYS
#define PER (CLF_ATTENTION_WG / ROWS)
#define PAIR (KEYS / PER)
#ifndef CLF_ROOM
#define CLF_ROOM CLF_ATTENTION_WIDTH
#endif
#define COLUMNS (CLF_ROOM / PER)
#define PITCH (CLF_ROOM + 1) /* odd: neighbours in a column fall into different banks */

/* Rows of k or v for all items, zeros behind `width`, between barriers of the caller. */
#define CLF_ATTENTION_FILL(t, x, at, step, count, width)                                                               \
    for (uint n = get_local_id(0); n < (count) * CLF_ROOM; n += CLF_ATTENTION_WG)                                      \
        tile[n / CLF_ROOM * PITCH + n % CLF_ROOM] =                                                                    \
            n % CLF_ROOM < (width) ? CLF_LOAD(t)(x, (at) + n / CLF_ROOM * (step) + n % CLF_ROOM) : 0.0f;

/* Biases of the item's keys, from key j on.  False when no item of the group sees any of its own.  Its barriers also
 * part one tile from the next. */
CLF_INLINE bool clf_attention_look(const clf_attention_row *r, uint j, local uint *sees, float *bias)
{
    uint seen = 0;

    for (uint n = 0; n < PAIR; n++) {
        bias[n] = clf_attention_bias(r, j + n * PER);
        seen |= bias[n] != -INFINITY;
    }
    sees[get_local_id(0)] = seen;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint n = 0; n < CLF_ATTENTION_WG; n++)
        seen |= sees[n];
    barrier(CLK_LOCAL_MEM_FENCE); /* the next look overwrites sees */
    return seen;
}

/* Scores of the item's keys, `first` of the tile and every PER-th after it; -inf where a key is hidden. */
CLF_INLINE void clf_attention_score(local const float *asked, local const float *tile, uint first, uint D,
                                    const float *bias, float *score)
{
    for (uint n = 0; n < PAIR; n++)
        score[n] = 0.0f;
    for (uint d = 0; d < D; d++)
        for (uint n = 0; n < PAIR; n++)
            score[n] = CLF_FMA(asked[d], tile[(first + n * PER) * PITCH + d], score[n]);
    for (uint n = 0; n < PAIR; n++)
        score[n] = bias[n] == -INFINITY ? bias[n] : score[n] + bias[n];
}

/* For GPUs: a work-group takes a batch, a head of k and ROWS of the rows r = i g + (h mod g) that share it, KEYS keys
 * at a time.  All items of a row keep its largest score and its total, in the same order.  In `p` a hidden key has -1:
 * its value is stepped over. */
CLF_GROUP_OF(CLF_ATTENTION_WG) kernel void clf_attention_tile(CLF_ATTENTION_ARGUMENTS)
{
    local float asked[ROWS * PITCH], tile[KEYS * PITCH], p[ROWS * KEYS];
    local uint sees[CLF_ATTENTION_WG];
    const uint row = get_local_id(0) / PER, first = get_local_id(0) % PER, g = H / Hk;
    const uint rows = g * Q, blocks = (rows + ROWS - 1) / ROWS;
    local float *my_p = p + row * KEYS;

    for (ulong item = get_group_id(0); item < (ulong)blocks * Hk * B; item += get_num_groups(0)) {
        const uint own = item % blocks * ROWS + row, shown = min(own, rows - 1); /* rows behind the last repeat it */
        const uint hk = item / blocks % Hk, b = item / blocks / Hk, i = shown / g, h = hk * g + shown % g;
        const ulong kr = k0 + b * kb + hk * kh, vr = v0 + b * vb + hk * vh;
        const clf_attention_row r = CLF_ATTENTION_ROW(b, h, i);
        float sum[COLUMNS], bias[PAIR], score[PAIR], top = -INFINITY, total = 0.0f;

        for (uint d = first; d < D; d += PER)
            asked[row * PITCH + d] = CLF_LOAD(CLF_Q)(q, q0 + b * qb + i * qt + h * qh + d) * scale;
        _Pragma("unroll") for (uint c = 0; c < COLUMNS; c++) sum[c] = 0.0f;

        for (uint j0 = 0; j0 < K; j0 += KEYS) {
            const uint count = min((uint)KEYS, K - j0);

            /* The same for all items. */
            if (!clf_attention_look(&r, j0 + first, sees, bias))
                continue;
            CLF_ATTENTION_FILL(CLF_K, k, kr + j0 * kt, kt, count, D)
            barrier(CLK_LOCAL_MEM_FENCE);
            clf_attention_score(asked + row * PITCH, tile, first, D, bias, score);
            for (uint n = 0; n < PAIR; n++)
                my_p[first + n * PER] = score[n];
            barrier(CLK_LOCAL_MEM_FENCE);

            float now = top;
            for (uint n = 0; n < KEYS; n++)
                now = my_p[n] > now ? my_p[n] : now;
            const float base = now == -INFINITY ? 0.0f : now, factor = clf_attention_exp(top - base);
            top = now;
            for (uint n = 0; n < PAIR; n++)
                score[n] = bias[n] == -INFINITY ? -1.0f : clf_attention_exp(score[n] - base);
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint n = 0; n < PAIR; n++)
                my_p[first + n * PER] = score[n];
            CLF_ATTENTION_FILL(CLF_V, v, vr + j0 * vt, vt, count, E)
            barrier(CLK_LOCAL_MEM_FENCE);

            total *= factor;
            for (uint n = 0; n < KEYS; n++)
                total += my_p[n] < 0.0f ? 0.0f : my_p[n];
            _Pragma("unroll") for (uint c = 0; c < COLUMNS; c++) sum[c] *= factor;
            for (uint n = 0; n < count; n++)
                if (!(my_p[n] < 0.0f))
                    _Pragma("unroll") for (uint c = 0; c < COLUMNS; c++)
                        sum[c] = CLF_FMA(my_p[n], tile[n * PITCH + first + c * PER], sum[c]);
        }

        const bool uniform = clf_attention_uniform(rules, total, r.group);
        const ulong yr = y0 + b * yb + i * yt + h * yh + first;
        _Pragma("unroll") for (uint c = 0; c < COLUMNS; c++)
            if (own < rows && first + c * PER < E)
                CLF_STORE(CLF_Y)(y, yr + c * PER, total == 0.0f ? 0.0f : sum[c] / total);
        for (uint e = first; uniform && own < rows && e < E; e += PER)
            CLF_STORE(CLF_Y)(y, yr + e - first, clf_attention_mean(v, vr + e, vt, K));
        for (uint j0 = 0; j0 < K && (rules & CLF_ATTENTION_WEIGHTS); j0 += KEYS) {
            const uint count = min((uint)KEYS, K - j0);

            clf_attention_look(&r, j0 + first, sees, bias);
            CLF_ATTENTION_FILL(CLF_K, k, kr + j0 * kt, kt, count, D)
            barrier(CLK_LOCAL_MEM_FENCE);
            clf_attention_score(asked + row * PITCH, tile, first, D, bias, score);
            for (uint n = 0; n < PAIR && own < rows; n++)
                if (first + n * PER < count)
                    weights[w0 + (((ulong)b * H + h) * Q + i) * K + j0 + first + n * PER] =
                        clf_attention_weight(score[n], top, total, uniform, K);
        }
        barrier(CLK_LOCAL_MEM_FENCE); /* the next item overwrites asked */
    }
}
