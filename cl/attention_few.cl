/* attention of a few rows on CPU devices, bound by the bytes of k and v.  Formula and arguments: attention.cl.
 *
 * The g Q rows that share a head of k and v are at most FEW, r = i g + (h mod g).  A work-item, alone in its group, takes a
 * batch, up to HEADS heads of k and v that are neighbours, and all these rows.  Tile after tile of TILE keys it takes one
 * head after the other: rows of neighbours share pages, so each page is looked up once.
 *
 * Where scores are made the lanes of a vector are keys: CLF_VEC rows of k, turned in registers.  Where values are added they
 * are columns of v.  Both are asked for a tile ahead, the next head's or the next keys', row by row: rows of a head may lie
 * pages apart, and no hardware follows them.
 *
 * Tiles and sums are those of attention_simd.cl, one chain over d or j for each number: a row has the bits that it has
 * among many.  Neither weights nor means of all values here.  D and E are CLF_VEC or more. */

#define FEW CLF_FEW_ROWS   /* 1, 2, 4 or 8 */
#define HEADS CLF_FEW_HEADS /* 1, 2 or 4 */
#define TILE 64
#define BLOCKS (TILE / CLF_VEC)
#define WIDE (CLF_ATTENTION_WIDTH / CLF_VEC)
/* Vectors of columns side by side: their sums stay in registers. */
#if CLF_VEC == 16
#define SIDE (FEW == 8 ? 2 : 4)
#else
#define SIDE (FEW == 8 ? 1 : FEW == 4 ? 2 : 4)
#endif

#define EACH_ROW _Pragma("unroll") for (uint r = 0; r < FEW; r++)
#define EACH_LANE _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++)
#define EACH_SIDE _Pragma("unroll") for (uint c = 0; c < SIDE; c++)

/* The rows and what they see, the mask of each head from an element on. */
typedef struct {
    int end[FEW], group[FEW];
    ulong mask[HEADS][FEW];
    uint least, most; /* of end */
    uint rules, mask_block;
} clf_few_block;

/* Numbers of the keys from j on. */
static inline clf_iv clf_few_keys(uint j)
{
    union {
        clf_iv v;
        int lane[CLF_VEC];
    } keys;

    EACH_LANE keys.lane[i] = (int)(j + i);
    return keys.v;
}

/* Mask of the keys j .. j + count for one row. */
static inline clf_fv clf_few_mask(const clf_few_block *x, global const float *mask, uint j, uint count)
{
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } value;
    const uint first = j / x->mask_block;

    if (x->mask_block == 1 && count == CLF_VEC)
        return CLF_VLOAD(mask + j);
    if (first == (j + count - 1) / x->mask_block)
        return mask[first];
    for (uint i = 0; i < CLF_VEC; i++)
        value.lane[i] = mask[(j + min(i, count - 1)) / x->mask_block];
    return value.v;
}

static inline clf_iv clf_few_groups(global const int *groups, uint j, uint count)
{
    union {
        clf_iv v;
        int lane[CLF_VEC];
    } value;

    for (uint i = 0; i < CLF_VEC; i++)
        value.lane[i] = groups[j + min(i, count - 1)];
    return value.v;
}

/* What is added to the scores of keys j0 .. j0 + count: the mask times log2(e), or -inf where the key is hidden.
 * False when no row sees any of them. */
static inline bool clf_few_bias(const clf_few_block *x, uint head, uint j0, uint count, global const float *mask,
                                global const int *groups, clf_fv *bias)
{
    clf_iv seen = 0;

    for (uint j = 0; j < count; j += CLF_VEC) {
        const uint some = min((uint)CLF_VEC, count - j);
        const clf_iv key = clf_few_keys(j0 + j), there = clf_few_keys(j) < (clf_iv)((int)count);
        clf_iv group = 0;

        if (x->rules & (CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST))
            group = clf_few_groups(groups, j0 + j, some);
        for (uint r = 0; r < FEW; r++) {
            const clf_fv value =
                x->rules & CLF_ATTENTION_MASK ? clf_few_mask(x, mask + x->mask[head][r], j0 + j, some) : (clf_fv)(0.0f);
            clf_iv hidden = (key >= (clf_iv)(x->end[r])) | (value <= -FLT_MAX);

            if (x->rules & CLF_ATTENTION_EQUAL)
                hidden |= group != (clf_iv)(x->group[r]);
            if (x->rules & CLF_ATTENTION_AT_LEAST)
                hidden |= group > (clf_iv)(x->group[r]);
            seen |= ~hidden & there;
            bias[r * BLOCKS + j / CLF_VEC] =
                hidden ? (clf_fv)(-INFINITY) : CLF_AT_LEAST(value * M_LOG2E_F, -FLT_MAX);
        }
    }
    return any(seen);
}

/* Fetches rows of `bytes` bytes, line by line: so the hardware goes along. */
static inline void clf_few_fetch(global const uchar *row, ulong step, uint rows, uint bytes)
{
    for (uint i = 0; i < rows; i++, row += step)
        for (uint at = 0; at < bytes; at += 64)
            CLF_FETCH(row + at);
}

/* s[r] = <k[lane], asked[r]>, the lanes from `count` on repeating the last.  The rows `ahead` of these are fetched. */
static inline void clf_few_dot(global const CLF_TYPE(CLF_K) *k, ulong kt, uint count, ulong ahead, uint D,
                               const float *asked, clf_fv *s)
{
    const uint rest = D % CLF_VEC, whole = D - rest;
    global const CLF_TYPE(CLF_K) *next = k + ahead;
    ulong row[CLF_VEC];
    clf_fv sum[FEW];

    EACH_LANE row[i] = min(i, count - 1) * kt;
    EACH_ROW sum[r] = 0.0f;
    for (uint d = 0; d < whole; d += CLF_VEC, asked += CLF_VEC, k += CLF_VEC) {
        const uint first = count * d / whole, last = count * (d + CLF_VEC) / whole;
        clf_fv v[CLF_VEC];

        clf_few_fetch((global const uchar *)(next + first * kt), kt * sizeof(*k), last - first, D * sizeof(*k));
        EACH_LANE v[i] = CLF_LOADV(CLF_K)(k, row[i]);
        clf_turn(v);
        EACH_LANE
        EACH_ROW sum[r] = CLF_FMA(v[i], (clf_fv)(asked[r * CLF_ATTENTION_WIDTH + i]), sum[r]);
    }
    if (rest > 0) { /* the last vector begins before them */
        clf_fv v[CLF_VEC], column[CLF_VEC];

        EACH_LANE v[i] = CLF_LOADV(CLF_K)(k - (CLF_VEC - rest), row[i]);
        clf_turn(v);
        EACH_LANE column[i] = v[i];
        for (uint d = 0; d < rest; d++)
            EACH_ROW sum[r] =
                CLF_FMA(column[CLF_VEC - rest + d], (clf_fv)(asked[r * CLF_ATTENTION_WIDTH + d]), sum[r]);
    }
    EACH_ROW s[r * BLOCKS] = sum[r];
}

/* 2^x for x <= 0, NaN for NaN; exactly 1 for 0 and 0 for -inf. */
static inline clf_fv clf_few_exp2(clf_fv x)
{
    return clf_exp2_normal(CLF_AT_LEAST(x, -127.0f));
}

/* Scores of one row become weights.  A row that has seen no key has the maximum -inf, which would give NaN. */
static inline float clf_few_softmax(bool partial, uint count, const clf_fv *bias, clf_fv *s, float *top, float *total)
{
    const uint blocks = (count + CLF_VEC - 1) / CLF_VEC;
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } now = { *top };
    float most = *top;

    for (uint b = 0; partial && b < blocks; b++)
        s[b] = bias[b] == -INFINITY ? bias[b] : s[b] + bias[b];
    for (uint b = 0; b < blocks; b++)
        now.v = s[b] > now.v ? s[b] : now.v;
    for (uint i = 0; i < CLF_VEC; i++)
        most = now.lane[i] > most ? now.lane[i] : most;

    const float base = most == -INFINITY ? 0.0f : most;
    const clf_fv factor = clf_few_exp2((clf_fv)(*top - base));
    float sum = *total * factor.s0;

    *top = most;
    for (uint b = 0; b < blocks; b++)
        s[b] = clf_few_exp2(s[b] - base);
    for (uint j = 0; j < count; j++)
        sum = CLF_FMA(((const float *)s)[j], 1.0f, sum); /* Intel's compiler takes a chain of scalar additions apart */
    *total = sum;
    return factor.s0;
}

/* sum[r][c] = sum[r][c] factor[r] + p[r][j] v[j][c] for every j.  The last vector of columns may overlap its neighbour. */
static inline void clf_few_add(global const CLF_TYPE(CLF_V) *v, ulong vt, uint count, ulong ahead, uint E, const clf_fv *p,
                               const float *factor, clf_fv *sum)
{
    const uint vectors = (E + CLF_VEC - 1) / CLF_VEC;

    for (uint first = 0; first < vectors; first += SIDE) {
        clf_fv part[FEW * SIDE];
        uint at[SIDE];

        EACH_SIDE at[c] = min((first + c) * CLF_VEC, E - CLF_VEC);
        EACH_ROW EACH_SIDE part[r * SIDE + c] = sum[r * WIDE + first + c] * factor[r];
        for (uint j = 0; j < count; j++) {
            clf_fv a[SIDE];

            EACH_SIDE
            {
                CLF_FETCH(v + j * vt + ahead + at[c]);
                a[c] = CLF_LOADV(CLF_V)(v, j * vt + at[c]);
            }
            EACH_ROW EACH_SIDE part[r * SIDE + c] =
                CLF_FMA(a[c], (clf_fv)(((const float *)p)[r * TILE + j]), part[r * SIDE + c]);
        }
        EACH_ROW EACH_SIDE sum[r * WIDE + first + c] = part[r * SIDE + c];
    }
}

/* The same for values that may be NaN or infinite where a row does not see them. */
static inline void clf_few_add_seen(global const CLF_TYPE(CLF_V) *v, ulong vt, uint count, uint E, const clf_fv *p,
                                    const clf_fv *bias, const float *factor, clf_fv *sum)
{
    const uint vectors = (E + CLF_VEC - 1) / CLF_VEC;

    for (uint r = 0; r < FEW; r++)
        for (uint c = 0; c < vectors; c++) {
            const uint at = min(c * CLF_VEC, E - CLF_VEC);
            clf_fv part = sum[r * WIDE + c] * factor[r];

            for (uint j = 0; j < count; j++)
                if (((const float *)bias)[r * TILE + j] != -INFINITY)
                    part = CLF_FMA(CLF_LOADV(CLF_V)(v, j * vt + at), (clf_fv)(((const float *)p)[r * TILE + j]), part);
            sum[r * WIDE + c] = part;
        }
}

static inline bool clf_few_finite(global const CLF_TYPE(CLF_V) *v, ulong vt, uint count, uint E)
{
    clf_iv beyond = 0;

    for (uint j = 0; j < count; j++)
        for (uint c = 0; c < E; c += CLF_VEC) {
            const clf_fv a = CLF_LOADV(CLF_V)(v, j * vt + min(c, E - CLF_VEC));
            beyond |= (clf_as_iv(a) & 0x7fffffff) >= 0x7f800000;
        }
    return !any(beyond);
}

kernel void clf_attention_few_rows(CLF_ATTENTION_ARGUMENTS)
{
    const uint g = H / Hk, rows = g * Q, vectors = (E + CLF_VEC - 1) / CLF_VEC, shares = (Hk + HEADS - 1) / HEADS;
    const bool selective = rules & (CLF_ATTENTION_MASK | CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST);
    clf_fv sum[HEADS][FEW * WIDE], s[FEW * BLOCKS], bias[FEW * BLOCKS];
    float asked[HEADS][FEW * CLF_ATTENTION_WIDTH], top[HEADS][FEW], total[HEADS][FEW], factor[FEW];
    ulong to[HEADS][FEW];
    clf_few_block x;

    for (ulong item = get_group_id(0); item < (ulong)shares * B; item += get_num_groups(0)) {
        const uint b = item / shares, hk = item % shares * HEADS, heads = min((uint)HEADS, Hk - hk);
        global const int *groups = key_groups + kg0 + b * kgb;

        x.rules = rules;
        x.mask_block = mask_block;
        x.least = K;
        x.most = 0;
        for (uint r = 0; r < FEW; r++) {
            const uint own = min(r, rows - 1), i = own / g;
            const uint end = clf_attention_end(rules, K, lengths, l0 + b, causal_offset, i);

            x.end[r] = (int)end;
            x.group[r] = rules & (CLF_ATTENTION_EQUAL | CLF_ATTENTION_AT_LEAST) ? query_groups[qg0 + b * qgb + i] : 0;
            x.least = min(x.least, end);
            x.most = max(x.most, end);
            for (uint n = 0; n < heads; n++) {
                const uint h = (hk + n) * g + own % g;

                x.mask[n][r] = m0 + b * mb + h * mh + i * mq;
                to[n][r] = y0 + b * yb + i * yt + h * yh;
                for (uint d = 0; d < D; d++)
                    asked[n][r * CLF_ATTENTION_WIDTH + d] =
                        CLF_LOAD(CLF_Q)(q, q0 + b * qb + i * qt + h * qh + d) * (scale * M_LOG2E_F);
                top[n][r] = -INFINITY;
                total[n][r] = 0.0f;
            }
        }
        for (uint n = 0; n < heads; n++)
            for (uint i = 0; i < FEW * WIDE; i++)
                sum[n][i] = 0.0f;
        for (uint j0 = 0; j0 < x.most; j0 += TILE) {
            const uint count = min((uint)TILE, x.most - j0);
            const bool partial = selective || j0 + count > x.least, more = j0 + 2 * TILE <= x.most;

            for (uint n = 0; n < heads; n++) {
                global const CLF_TYPE(CLF_K) *keys = k + k0 + b * kb + (hk + n) * kh + j0 * kt;
                global const CLF_TYPE(CLF_V) *values = v + v0 + b * vb + (hk + n) * vh + j0 * vt;
                const ulong k_ahead = n + 1 < heads ? kh : more ? TILE * kt - n * kh : 0;
                const ulong v_ahead = n + 1 < heads ? vh : more ? TILE * vt - n * vh : 0;

                if (partial && !clf_few_bias(&x, n, j0, count, mask, groups, bias))
                    continue;
                for (uint j = 0; j < count; j += CLF_VEC)
                    clf_few_dot(keys + j * kt, kt, min((uint)CLF_VEC, count - j), k_ahead, D, asked[n], s + j / CLF_VEC);
                for (uint r = 0; r < FEW; r++)
                    factor[r] = clf_few_softmax(partial, count, bias + r * BLOCKS, s + r * BLOCKS, top[n] + r, total[n] + r);
                if (partial && !clf_few_finite(values, vt, count, E))
                    clf_few_add_seen(values, vt, count, E, s, bias, factor, sum[n]);
                else
                    clf_few_add(values, vt, count, v_ahead, E, s, factor, sum[n]);
            }
        }
        for (uint n = 0; n < heads; n++)
            for (uint r = 0; r < min((uint)FEW, rows); r++) {
                const float all = total[n][r], part = all == 0.0f ? 0.0f : (1.0f / (float4)(all)).s0; /* rounds as vectors do */

                for (uint c = 0; c < vectors; c++)
                    CLF_STOREV(CLF_Y)(y, to[n][r] + min(c * CLF_VEC, E - CLF_VEC),
                                      all == 0.0f ? (clf_fv)(0.0f) : sum[n][r * WIDE + c] * part);
            }
    }
}
