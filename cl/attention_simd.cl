/* attention on CPU devices: the lanes of a vector are query rows.  Formula and arguments: attention.cl.
 *
 * The g Q rows that share a head of k and v are r = i g + (h mod g).  A work-item, alone in its group, takes a batch, a
 * head of k and v and LANES = W CLF_VEC of these rows; items walk the blocks of rows.
 *
 * Private memory, all [..][LANES]: asked, the rows of q times scale log2(e), turned, [D]; sum, [E]; s, the scores and
 * then the weights of TILE keys.  The inner loops multiply one number of k by W vectors of `asked`, or one of v by W
 * vectors of s, into STEP W sums in registers; softmax needs nothing across lanes.
 *
 * Tiles begin at multiples of TILE whatever the rows are, and every sum is one chain over d or j: the bits of a row
 * depend on what it sees alone.  A hidden key has p = 0; 0 times a finite v changes no sum, and where v is not finite
 * the lanes that do not see it are selected away.  A tile that no lane sees is skipped. */

#define W CLF_ROW_VECTORS /* 1 to 6, or to 4 of fewer than 16 lanes */
#define LANES (W * CLF_VEC)
#define TILE 64 /* `sum` is read and written once a tile */
/* Sums in registers: two units of latency 4 need 8; x86 has 32 registers of 16 lanes, 16 of fewer. */
#if CLF_VEC == 16
#define STEP (W == 1 ? 16 : W <= 3 ? 8 : 4)
#else
#define STEP (W == 1 ? 8 : W <= 3 ? 4 : 2)
#endif

#define EACH_W _Pragma("unroll") for (uint w = 0; w < W; w++)
#define EACH_STEP _Pragma("unroll") for (uint i = 0; i < STEP; i++)
#define EACH_SUM _Pragma("unroll") for (uint i = 0; i < STEP * W; i++)

typedef struct __attribute__((packed, aligned(4))) {
    clf_fv v;
} clf_fv_private; /* for one unaligned store, see clf_fv_at */

/* Rows of k or v as f32: in place, or expanded into `room`, which changes their step. */
#define CLF_IN_PLACE_f32 1
#define CLF_IN_PLACE_f16 0
#define CLF_IN_PLACE_bf16 0
#define CLF_READY_1(name, t)                                                                                           \
    static inline global const float *name(global const float *x, ulong *step, uint count, uint width, float *room)    \
    {                                                                                                                  \
        return x;                                                                                                      \
    }
#define CLF_READY_0(name, t)                                                                                           \
    static inline const float *name(global const CLF_TYPE(t) *x, ulong *step, uint count, uint width, float *room)     \
    {                                                                                                                  \
        const uint whole = width - width % CLF_VEC;                                                                    \
        for (uint i = 0; i < count; i++) {                                                                             \
            for (uint c = 0; c < whole; c += CLF_VEC)                                                                  \
                ((clf_fv_private *)(room + i * width + c))->v = CLF_LOADV(t)(x, i * *step + c);                        \
            for (uint c = whole; c < width; c++)                                                                       \
                room[i * width + c] = CLF_LOAD(t)(x, i * *step + c);                                                   \
        }                                                                                                              \
        *step = width;                                                                                                 \
        return room;                                                                                                   \
    }
#define CLF_SPACE_1 global
#define CLF_SPACE_0 private
#define CLF_SPACE(t) CLF_PASTE(CLF_SPACE_, CLF_PASTE(CLF_IN_PLACE_, t))
#define CLF_READY(t) CLF_PASTE(CLF_READY_, CLF_PASTE(CLF_IN_PLACE_, t))
#define K_SPACE CLF_SPACE(CLF_K)
#define V_SPACE CLF_SPACE(CLF_V)
CLF_READY(CLF_K)(clf_attention_keys, CLF_K)
CLF_READY(CLF_V)(clf_attention_values, CLF_V)

/* Four numbers side by side as f32. */
#define CLF_FOUR(t, x, at)                                                                                             \
    (float4)(CLF_LOAD(t)(x, at), CLF_LOAD(t)(x, (at) + 1), CLF_LOAD(t)(x, (at) + 2), CLF_LOAD(t)(x, (at) + 3))

/* Rows to fetch, which may lie pages apart: no hardware follows them. */
typedef struct {
    global const CLF_TYPE(CLF_K) *k;
    global const CLF_TYPE(CLF_V) *v;
    ulong kt, vt;
} clf_attention_ahead;

/* s[i] = <k[i], asked> for STEP keys; those from `count` on repeat the last.  STEP rows of `ahead` are fetched, a few
 * cache lines at a time: more would wait for each other. */
static inline void clf_attention_dot(K_SPACE const float *k, ulong step, uint count, uint D, const clf_fv *asked,
                                     clf_attention_ahead ahead, clf_fv *s)
{
    K_SPACE const float *row[STEP];
    clf_fv dot[STEP * W];

    EACH_STEP row[i] = k + min(i, count - 1) * step;
    EACH_SUM dot[i] = 0.0f;
    for (uint line = 0; line < D; line += 16) {
        EACH_STEP
        {
            CLF_FETCH(ahead.k + i * ahead.kt + line);
            CLF_FETCH(ahead.v + i * ahead.vt + line);
        }
        for (uint d = line; d < min(line + 16, D); d++, asked += W)
            EACH_STEP
            {
                const clf_fv a = row[i][d];
                EACH_W dot[i * W + w] = CLF_FMA(a, asked[w], dot[i * W + w]);
            }
    }
    EACH_SUM s[i] = dot[i];
}

/* sum[e] = sum[e] factor + p[j] v[j][e] for every j. */
static inline void clf_attention_add(V_SPACE const float *v, ulong step, uint count, uint E, const clf_fv *p,
                                     const clf_fv *factor, clf_fv *sum)
{
    uint e = 0;

    for (; e + STEP <= E; e += STEP, sum += STEP * W) {
        V_SPACE const float *row = v + e;
        clf_fv part[STEP * W];

        EACH_STEP EACH_W part[i * W + w] = sum[i * W + w] * factor[w];
        for (uint j = 0; j < count; j++, row += step)
            EACH_STEP
            {
                const clf_fv a = row[i];
                EACH_W part[i * W + w] = CLF_FMA(a, p[j * W + w], part[i * W + w]);
            }
        EACH_SUM sum[i] = part[i];
    }
    for (; e < E; e++, sum += W) {
        clf_fv part[W];

        EACH_W part[w] = sum[w] * factor[w];
        for (uint j = 0; j < count; j++)
            EACH_W part[w] = CLF_FMA((clf_fv)(v[j * step + e]), p[j * W + w], part[w]);
        EACH_W sum[w] = part[w];
    }
}

/* The same for values that may be NaN or infinite where a lane does not see them. */
static inline void clf_attention_add_seen(V_SPACE const float *v, ulong step, uint count, uint E, const clf_fv *p,
                                          const clf_fv *bias, const clf_fv *factor, clf_fv *sum)
{
    for (uint e = 0; e < E; e++, sum += W)
        for (uint w = 0; w < W; w++) {
            clf_fv part = sum[w] * factor[w];
            for (uint j = 0; j < count; j++)
                part = bias[j * W + w] == -INFINITY ? part : CLF_FMA((clf_fv)(v[j * step + e]), p[j * W + w], part);
            sum[w] = part;
        }
}

static inline bool clf_attention_finite(V_SPACE const float *v, ulong step, uint count, uint E)
{
    uint largest = 0;
    for (uint j = 0; j < count; j++)
        for (uint e = 0; e < E; e++)
            largest = max(largest, as_uint(v[j * step + e]) & 0x7fffffffu);
    return largest < 0x7f800000u;
}

/* A block of rows and what they see. */
typedef struct {
    clf_iv end[W], group[W];
    ulong q[LANES], mask[LANES], y[LANES], weights[LANES]; /* where the lane's rows begin */
    uint least, most; /* of end: keys that all lanes see but for groups and mask, and beyond which none sees any */
    uint rules, mask_block;
    bool one_mask; /* one row of the mask for all lanes */
} clf_attention_block;

/* A column of the mask for each key j0 .. j0 + count and a row for each lane, turned. */
static inline void clf_attention_masks(const clf_attention_block *x, uint j0, uint count, global const float *mask,
                                       clf_fv *value)
{
    for (uint lane = 0; lane < LANES; lane += 4) {
        float *to = (float *)value + lane;
        uint j = 0;

        for (; j + 4 <= count; j += 4) {
            float4 row[4], column[4];
            _Pragma("unroll") for (uint i = 0; i < 4; i++) row[i] = vload4(0, mask + x->mask[lane + i] + j0 + j);
            clf_turn4(row, column);
            _Pragma("unroll") for (uint i = 0; i < 4; i++) vstore4(column[i], 0, to + (j + i) * LANES);
        }
        for (; j < count; j++)
            for (uint i = 0; i < 4; i++)
                to[j * LANES + i] = mask[x->mask[lane + i] + j0 + j];
    }
}

/* What is added to the scores of keys j0 .. j0 + count: the mask times log2(e), or -inf where the key is hidden.
 * False when no lane sees any of them. */
static inline bool clf_attention_bias(const clf_attention_block *x, uint j0, uint count, global const float *mask,
                                      global const int *groups, clf_fv *bias)
{
    const bool own_masks = (x->rules & CLF_ATTENTION_MASK) && !x->one_mask && x->mask_block == 1;
    clf_fv value[W];
    clf_iv seen = 0;
    uint column = UINT_MAX;

    if (own_masks)
        clf_attention_masks(x, j0, count, mask, bias);
    EACH_W value[w] = 0.0f;
    for (uint j = j0; j < j0 + count; j++, bias += W) {
        if (own_masks) {
            EACH_W value[w] = bias[w];
        } else if ((x->rules & CLF_ATTENTION_MASK) && j / x->mask_block != column) {
            column = j / x->mask_block;
            if (x->one_mask)
                EACH_W value[w] = mask[x->mask[0] + column];
            else
                for (uint lane = 0; lane < LANES; lane++)
                    ((float *)value)[lane] = mask[x->mask[lane] + column];
        }
        EACH_W
        {
            clf_iv hidden = ((clf_iv)((int)j) >= x->end[w]) | (value[w] <= -FLT_MAX);
            if (x->rules & CLF_ATTENTION_EQUAL)
                hidden |= (clf_iv)(groups[j]) != x->group[w];
            if (x->rules & CLF_ATTENTION_AT_LEAST)
                hidden |= (clf_iv)(groups[j]) > x->group[w];
            seen |= ~hidden;
            bias[w] = hidden ? (clf_fv)(-INFINITY) : CLF_AT_LEAST(value[w] * M_LOG2E_F, -FLT_MAX);
        }
    }
    return any(seen);
}

/* Scores of `count` keys from k on, in units of log 2.  Fetches their values, from v on, and the keys of the next tile. */
static inline void clf_attention_score(global const CLF_TYPE(CLF_K) *k, ulong kt, global const CLF_TYPE(CLF_V) *v,
                                       ulong vt, uint count, uint D, const clf_fv *asked, bool partial,
                                       const clf_fv *bias, float *room, clf_fv *s)
{
    for (uint j = 0; j < count; j += STEP) {
        const uint some = min((uint)STEP, count - j);
        const clf_attention_ahead ahead = { k + (j + TILE) * kt, v + j * vt, kt, vt };
        ulong step = kt;
        K_SPACE const float *rows = clf_attention_keys(k + j * kt, &step, some, D, room);
        clf_attention_dot(rows, step, some, D, asked, ahead, s + j * W);
    }
    if (partial)
        for (uint i = 0; i < count * W; i++)
            s[i] = bias[i] == -INFINITY ? bias[i] : s[i] + bias[i];
}

/* 2^x for x <= 0, NaN for NaN; exactly 1 for 0 and 0 for -inf. */
static inline clf_fv clf_attention_exp2(clf_fv x)
{
    return clf_exp2_normal(CLF_AT_LEAST(x, -127.0f));
}

/* What is subtracted from scores; a row that has seen no key has the maximum -inf, which would give NaN. */
static inline clf_fv clf_attention_base(clf_fv top)
{
    return top == -INFINITY ? (clf_fv)(0.0f) : top;
}

/* Scores become weights; the largest score and the total follow.  factor: by how much earlier sums shrink. */
static inline void clf_attention_softmax(uint count, clf_fv *s, clf_fv *top, clf_fv *total, clf_fv *factor)
{
    clf_fv now[W], base[W], sum[W];

    EACH_W now[w] = top[w];
    for (uint j = 0; j < count; j++)
        EACH_W now[w] = s[j * W + w] > now[w] ? s[j * W + w] : now[w];
    EACH_W
    {
        base[w] = clf_attention_base(now[w]);
        factor[w] = clf_attention_exp2(top[w] - base[w]);
        sum[w] = total[w] * factor[w];
        top[w] = now[w];
    }
    for (uint j = 0; j < count; j++)
        EACH_W
        {
            const clf_fv p = clf_attention_exp2(s[j * W + w] - base[w]);
            sum[w] += p;
            s[j * W + w] = p;
        }
    EACH_W total[w] = sum[w];
}

/* The rows first .. first + LANES of a batch and a head of k: what they see and where they are.  Lanes behind the last
 * row repeat it. */
#define CLF_ATTENTION_OPEN                                                                                             \
    x.rules = rules;                                                                                                   \
    x.mask_block = mask_block;                                                                                         \
    x.one_mask = mq == 0 && mh == 0;                                                                                   \
    x.least = K;                                                                                                       \
    x.most = 0;                                                                                                        \
    for (uint lane = 0; lane < LANES; lane++) {                                                                        \
        const uint r = min(first + lane, rows - 1), i = r / g, h = hk * g + r % g;                                     \
        const uint end = clf_attention_end(rules, K, lengths, l0 + b, causal_offset, i);                               \
        ((int *)x.end)[lane] = (int)end;                                                                               \
        ((int *)x.group)[lane] =                                                                                       \
            rules & (CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST) ? query_groups[qg0 + b * qgb + i] : 0;              \
        x.least = min(x.least, end);                                                                                   \
        x.most = max(x.most, end);                                                                                     \
        x.q[lane] = q0 + b * qb + i * qt + h * qh;                                                                     \
        x.mask[lane] = m0 + b * mb + h * mh + i * mq;                                                                  \
        x.y[lane] = y0 + b * yb + i * yt + h * yh;                                                                     \
        x.weights[lane] = w0 + (((ulong)b * H + h) * Q + i) * K;                                                       \
    }

/* asked[d] = q[d] factor, turned. */
static inline void clf_attention_ask(const clf_attention_block *x, global const CLF_TYPE(CLF_Q) *q, uint D,
                                     float factor, clf_fv *asked)
{
    for (uint lane = 0; lane < LANES; lane += 4) {
        float *to = (float *)asked + lane;
        uint d = 0;

        for (; d + 4 <= D; d += 4) {
            float4 row[4], column[4];
            _Pragma("unroll") for (uint i = 0; i < 4; i++) row[i] = CLF_FOUR(CLF_Q, q, x->q[lane + i] + d) * factor;
            clf_turn4(row, column);
            _Pragma("unroll") for (uint i = 0; i < 4; i++) vstore4(column[i], 0, to + (d + i) * LANES);
        }
        for (; d < D; d++)
            for (uint i = 0; i < 4; i++)
                to[d * LANES + i] = CLF_LOAD(CLF_Q)(q, x->q[lane + i] + d) * factor;
    }
}

/* A lane that has seen nothing gives the mean of all values. */
static inline bool clf_attention_uniform(uint rules, float total, int group)
{
    return total == 0.0f &&
           ((rules & CLF_ATTENTION_UNIFORM) || ((rules & CLF_ATTENTION_UNIFORM_BUT_0) && group != 0));
}

/* The weights of the block, once the largest scores and the totals are known. */
static inline void clf_attention_store_weights(const clf_attention_block *x, uint own, uint K, uint D,
                                               global const CLF_TYPE(CLF_K) *k, ulong kt,
                                               global const CLF_TYPE(CLF_V) *v, ulong vt, global const float *mask,
                                               global const int *groups, const clf_fv *asked, const clf_fv *top,
                                               const clf_fv *total, float *room, clf_fv *bias, clf_fv *s,
                                               global float *weights)
{
    for (uint j0 = 0; j0 < K; j0 += TILE) {
        const uint count = min((uint)TILE, K - j0);

        clf_attention_bias(x, j0, count, mask, groups, bias);
        clf_attention_score(k + j0 * kt, kt, v + j0 * vt, vt, count, D, asked, true, bias, room, s);
        for (uint lane = 0; lane < own; lane++) {
            const float all = ((const float *)total)[lane];
            const bool uniform = clf_attention_uniform(x->rules, all, ((const int *)x->group)[lane]);
            const uint w = lane / CLF_VEC;
            const clf_fv base = clf_attention_base(top[w]);
            for (uint j = 0; j < count; j++) {
                const clf_fv p = clf_attention_exp2(s[j * W + w] - base);
                weights[x->weights[lane] + j0 + j] =
                    all == 0.0f ? (uniform ? 1.0f / K : 0.0f) : ((const float *)&p)[lane % CLF_VEC] / all;
            }
        }
    }
}

/* The mean of all values for the lanes that see nothing, where that is the rule. */
static inline void clf_attention_store_uniform(const clf_attention_block *x, uint own, uint E, uint K,
                                               const clf_fv *total, global const CLF_TYPE(CLF_V) *v, ulong vt,
                                               global CLF_TYPE(CLF_Y) *y, float *mean)
{
    bool known = false;

    for (uint lane = 0; lane < own; lane++) {
        if (!clf_attention_uniform(x->rules, ((const float *)total)[lane], ((const int *)x->group)[lane]))
            continue;
        for (uint e = 0; e < E && !known; e++) {
            float sum = 0.0f;
            for (uint j = 0; j < K; j++)
                sum += CLF_LOAD(CLF_V)(v, j * vt + e);
            mean[e] = K > 0 ? sum / K : 0.0f;
        }
        known = true;
        for (uint e = 0; e < E; e++)
            CLF_STORE(CLF_Y)(y, x->y[lane] + e, mean[e]);
    }
}

/* The sums of the block over their totals, turned back; 0 for a lane that has seen nothing.  Lanes behind the last row
 * write it again. */
static inline void clf_attention_store(const clf_attention_block *x, uint own, uint E, const clf_fv *total,
                                       const clf_fv *sum, global CLF_TYPE(CLF_Y) *y)
{
    for (uint lane = 0; lane < own; lane += 4) {
        const float4 all = vload4(0, (const float *)total + lane);
        const float4 part = all == 0.0f ? (float4)(0.0f) : 1.0f / all;
        const float *from = (const float *)sum + lane;
        uint e = 0;

        for (; e + 4 <= E; e += 4) {
            float4 row[4], column[4];
            _Pragma("unroll") for (uint i = 0; i < 4; i++)
            {
                column[i] = vload4(0, from + (e + i) * LANES) * part;
                column[i] = all == 0.0f ? (float4)(0.0f) : column[i];
            }
            clf_turn4(column, row);
            for (uint i = 0; i < 4; i++) {
                CLF_STORE(CLF_Y)(y, x->y[lane + i] + e, row[i].s0);
                CLF_STORE(CLF_Y)(y, x->y[lane + i] + e + 1, row[i].s1);
                CLF_STORE(CLF_Y)(y, x->y[lane + i] + e + 2, row[i].s2);
                CLF_STORE(CLF_Y)(y, x->y[lane + i] + e + 3, row[i].s3);
            }
        }
        for (; e < E; e++)
            for (uint i = 0; i < 4; i++)
                CLF_STORE(CLF_Y)(y, x->y[lane + i] + e,
                                 ((const float *)&all)[i] == 0.0f ? 0.0f
                                                                  : from[e * LANES + i] * ((const float *)&part)[i]);
    }
}

kernel void clf_attention_simd_rows(CLF_ATTENTION_ARGUMENTS)
{
    const uint g = H / Hk;
    const uint rows = g * Q, blocks = (rows + LANES - 1) / LANES;
    clf_fv asked[CLF_ATTENTION_WIDTH * W], sum[CLF_ATTENTION_WIDTH * W], s[TILE * W], bias[TILE * W];
    clf_fv top[W], total[W], factor[W];
    float room[TILE * CLF_ATTENTION_WIDTH];
    clf_attention_block x;

    for (ulong item = get_group_id(0); item < (ulong)blocks * Hk * B; item += get_num_groups(0)) {
        const uint first = item % blocks * LANES, hk = item / blocks % Hk, b = item / blocks / Hk;
        const uint own = min((uint)LANES, rows - first);
        global const CLF_TYPE(CLF_K) *keys = k + k0 + b * kb + hk * kh;
        global const CLF_TYPE(CLF_V) *values = v + v0 + b * vb + hk * vh;
        global const int *groups = key_groups + kg0 + b * kgb;
        const bool selective = rules & (CLF_ATTENTION_MASK | CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST);

        CLF_ATTENTION_OPEN
        clf_attention_ask(&x, q, D, scale * M_LOG2E_F, asked);
        EACH_W top[w] = -INFINITY;
        EACH_W total[w] = 0.0f;
        for (uint i = 0; i < E * W; i++)
            sum[i] = 0.0f;
        for (uint j0 = 0; j0 < x.most; j0 += TILE) {
            const uint count = min((uint)TILE, x.most - j0);
            const bool partial = selective || j0 + count > x.least;
            ulong step = vt;

            if (partial && !clf_attention_bias(&x, j0, count, mask, groups, bias))
                continue;
            clf_attention_score(keys + j0 * kt, kt, values + j0 * vt, vt, count, D, asked, partial, bias, room, s);
            clf_attention_softmax(count, s, top, total, factor);
            V_SPACE const float *rows_of_v = clf_attention_values(values + j0 * vt, &step, count, E, room);
            if (partial && !clf_attention_finite(rows_of_v, step, count, E))
                clf_attention_add_seen(rows_of_v, step, count, E, s, bias, factor, sum);
            else
                clf_attention_add(rows_of_v, step, count, E, s, factor, sum);
        }
        clf_attention_store(&x, own, E, total, sum, y);
        if (rules & (CLF_ATTENTION_UNIFORM | CLF_ATTENTION_UNIFORM_BUT_0))
            clf_attention_store_uniform(&x, own, E, K, total, values, vt, y, room);
        if (rules & CLF_ATTENTION_WEIGHTS)
            clf_attention_store_weights(&x, own, K, D, keys, kt, values, vt, mask, groups, asked, top, total, room, bias, s,
                                        weights);
    }
}
