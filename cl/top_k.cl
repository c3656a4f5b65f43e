/* top_k: the k best of the N scores of each row; of equal scores the lower index first
 *
 * x        R rows placed by X, dense in c, of CLF_X; row r of a call is row row0 + r of x
 * from     the same of what values are taken from, mostly x itself
 * key      a score as uint in the order of scores: -0 is 0, every NaN is UINT_MAX, 0 is below all scores and fills rows up
 * found    key << 32 | place, one for each result of a row; the second half of its memory is room to sort
 *
 * Two ways, chosen by the operator.  k small beside N:
 *   best      the best key of each block of `block` scores: the pass over x that memory binds
 *   select    the k best blocks.  A score of another block is below k others, the best of these blocks: it is not sought
 *   keys      all keys of those blocks, in the order of their places
 *   select    the k best of them
 * Otherwise keys of the whole row, then select.  In both, where the best shall stand first, order; at last write.
 *
 * select finds the k-th best key digit by digit of 8 bits: count the keys that agree so far by their next digit, take
 * the digit in which the k-th best lies.  Then one pass keeps what is above that key and the first of those equal to it.
 * order is a radix sort from the lowest digit, which is stable, so equal keys stay in the order of their places.
 *
 * _simd: local 1, a row (best: a span of blocks) a work-item.  _tile: local CLF_NORM_WG, a row a group.  keys and write
 * are one kernel for both. */

/* ---- keys ---- */

/* Bits of a float as an int in the order of floats, but -0 is -1, below 0; +NaN are above CLF_INF, -NaN below -CLF_INF. */
#define CLF_INF 0x7f800000
#define CLF_RAW(bits) ((bits) ^ (((bits) >> 31) & 0x7fffffff))
#define CLF_MINUS_INF (-0x7f800001)

/* The best key, from the largest and the least of any number of raw ones. */
static uint clf_top_k_key(int most, int least)
{
    if (most > CLF_INF || least < CLF_MINUS_INF)
        return UINT_MAX;
    return (uint)(most == -1 ? 0 : most) ^ 0x80000000u;
}

static uint clf_top_k_key_at(global const CLF_TYPE(CLF_X) *x, ulong at)
{
    const int bits = as_int(CLF_LOAD(CLF_X)(x, at)), raw = CLF_RAW(bits);

    return clf_top_k_key(raw, raw);
}

static clf_iv clf_top_k_keys_at(global const CLF_TYPE(CLF_X) *x, ulong at)
{
    const clf_iv bits = clf_as_iv(CLF_LOADV(CLF_X)(x, at)), raw = CLF_RAW(bits);
    const clf_iv key = raw == -1 ? (clf_iv)(0) : raw;

    return (raw > CLF_INF || raw < CLF_MINUS_INF ? (clf_iv)(0x7fffffff) : key) ^ (int)0x80000000;
}

kernel void clf_top_k_best_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong row0, ulong R, ulong N, ulong block,
                                ulong blocks, ulong span, global uint *keys, ulong keys0)
{
    const ulong first = get_group_id(0) * span, last = min(first + span, blocks);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong xr = clf_row(X, row0 + r);

        for (ulong j = first; j < last; j++) {
            const ulong end = min((j + 1) * block, N);
            ulong c = j * block;
            union {
                clf_iv v;
                int lane[CLF_VEC];
            } most = { (clf_iv)(INT_MIN) }, least = { (clf_iv)(INT_MAX) };

            for (; c + CLF_VEC <= end; c += CLF_VEC) {
                const clf_iv bits = clf_as_iv(CLF_LOADV(CLF_X)(x, xr + c)), raw = CLF_RAW(bits);
                most.v = max(most.v, raw);
                least.v = min(least.v, raw);
            }
            for (; c < end; c++) {
                const int bits = as_int(CLF_LOAD(CLF_X)(x, xr + c)), raw = CLF_RAW(bits);
                most.lane[0] = max(most.lane[0], raw);
                least.lane[0] = min(least.lane[0], raw);
            }
            for (uint n = CLF_VEC / 2; n > 0; n /= 2)
                for (uint i = 0; i < n; i++) {
                    most.lane[i] = max(most.lane[i], most.lane[i + n]);
                    least.lane[i] = min(least.lane[i], least.lane[i + n]);
                }
            keys[keys0 + r * blocks + j] = clf_top_k_key(most.lane[0], least.lane[0]);
        }
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_top_k_best_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong row0,
                                ulong R, ulong N, ulong block, ulong blocks, ulong span, global uint *keys, ulong keys0)
{
    local uint part[CLF_NORM_WG];
    const ulong first = get_group_id(0) * span, last = min(first + span, blocks);
    const uint i = get_local_id(0);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong xr = clf_row(X, row0 + r);

        for (ulong j = first; j < last; j++) { /* at least one: a group begins below `blocks` */
            const ulong end = min((j + 1) * block, N);
            uint best = 0;

            for (ulong c = j * block + i; c < end; c += CLF_NORM_WG)
                best = max(best, clf_top_k_key_at(x, xr + c));
            part[i] = best;
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint n = CLF_NORM_WG / 2; n > 0; n /= 2) {
                if (i < n)
                    part[i] = max(part[i], part[i + n]);
                barrier(CLK_LOCAL_MEM_FENCE);
            }
            if (i == 0)
                keys[keys0 + r * blocks + j] = part[0];
            barrier(CLK_LOCAL_MEM_FENCE); /* the next block overwrites part */
        }
    }
}

/* keys[r, j block + t] is the key of score t of block j, or with has_chosen of block chosen[r, j]; n keys a row. */
kernel void clf_top_k_keys(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong row0, ulong R, ulong N, ulong block,
                           ulong blocks, ulong span, uint has_chosen, global const ulong *chosen, ulong chosen0, ulong n,
                           global uint *keys, ulong keys0)
{
    const ulong first = get_group_id(0) * span, last = min(first + span, blocks);
    const ulong i = get_local_id(0), items = get_local_size(0);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong xr = clf_row(X, row0 + r);

        for (ulong j = first; j < last; j++) {
            const ulong from = block * (has_chosen ? chosen[chosen0 + r * blocks + j] & UINT_MAX : j);
            const ulong to = keys0 + r * n + j * block, count = min(block, n - j * block);
            const ulong there = min(count, N - from), whole = there - there % CLF_VEC;

            for (ulong t = i * CLF_VEC; t < whole; t += items * CLF_VEC)
                CLF_VSTORE(clf_as_fv(clf_top_k_keys_at(x, xr + from + t)), (global float *)keys + to + t);
            for (ulong t = whole + i; t < count; t += items)
                keys[to + t] = t < there ? clf_top_k_key_at(x, xr + from + t) : 0;
        }
    }
}

/* ---- select: found[r, 0 .. k) of keys[r, 0 .. n), ascending places ---- */

kernel void clf_top_k_select_simd(global const uint *keys, ulong keys0, ulong R, ulong n, ulong k, global ulong *found,
                                  ulong found0)
{
    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong row = keys0 + r * n, end = row + n;
        uint prefix = 0, known = 0, count[256]; /* `known` bits of prefix stand; `need` are sought among those that agree */
        ulong need = k, to = found0 + r * k;

        for (int shift = 24; shift >= 0; shift -= 8) {
            uint digit = 255;

            for (uint d = 0; d < 256; d++)
                count[d] = 0;
            for (ulong c = row; c < end; c++)
                if ((keys[c] & known) == prefix)
                    count[keys[c] >> shift & 255]++;
            for (; digit > 0 && count[digit] < need; digit--) /* rusticl 22.3 loses the next loop without digit > 0 */
                need -= count[digit];
            prefix |= digit << shift;
            known |= 255u << shift;
            if (count[digit] == need) { /* all that agree are kept: the lower digits do not matter */
                need = n;
                break;
            }
        }
        for (ulong c = row; c < end; c++)
            if (keys[c] > prefix || (keys[c] == prefix && need > 0)) {
                need -= keys[c] == prefix;
                found[to++] = (ulong)keys[c] << 32 | (c - row);
            }
    }
}

/* One digit, for item 0: agreed is the prefix, and how many are sought among the keys that have it. */
CLF_INLINE void clf_top_k_digit(local const uint *count, int shift, local uint *agreed)
{
    uint digit = 255, need = agreed[1];

    for (; digit > 0 && count[digit] < need; digit--)
        need -= count[digit];
    agreed[0] |= digit << shift;
    agreed[1] = need;
}

/* What all items agree on stays in local memory: pocl 3.1 loses such variables of a loop around barriers, 2026-11. */
CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_top_k_select_tile(global const uint *keys, ulong keys0, ulong R, ulong n,
                                ulong k, global ulong *found, ulong found0)
{
    local uint count[256], above[CLF_NORM_WG], equal[CLF_NORM_WG], agreed[2];
    const uint i = get_local_id(0);
    const ulong part = (n + CLF_NORM_WG - 1) / CLF_NORM_WG, begin = min(i * part, n), end = min(begin + part, n);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong row = keys0 + r * n;

        if (i == 0) {
            agreed[0] = 0;
            agreed[1] = (uint)k;
        }
        for (int shift = 24; shift >= 0; shift -= 8) {
            for (uint d = i; d < 256; d += CLF_NORM_WG)
                count[d] = 0;
            barrier(CLK_LOCAL_MEM_FENCE);
            for (ulong c = i; c < n; c += CLF_NORM_WG)
                if (((keys[row + c] ^ agreed[0]) >> shift) < 256)
                    atomic_inc(&count[keys[row + c] >> shift & 255]);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (i == 0)
                clf_top_k_digit(count, shift, agreed);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const uint prefix = agreed[0], need = agreed[1];
        uint a = 0, e = 0;

        for (ulong c = begin; c < end; c++) { /* each item its own stretch: its results lie side by side */
            a += keys[row + c] > prefix;
            e += keys[row + c] == prefix;
        }
        above[i] = a;
        equal[i] = e;
        barrier(CLK_LOCAL_MEM_FENCE);
        a = 0;
        e = 0;
        for (uint before = 0; before < i; before++) {
            a += above[before];
            e += equal[before];
        }
        ulong to = found0 + r * k + a + min(e, need);
        for (ulong c = begin; c < end; c++)
            if (keys[row + c] > prefix || (keys[row + c] == prefix && e++ < need))
                found[to++] = (ulong)keys[row + c] << 32 | c;
        barrier(CLK_LOCAL_MEM_FENCE); /* the next row overwrites above, equal and agreed */
    }
}

/* ---- order: the best first.  found[r, 0 .. k); from element spare0 on there is room for as much ---- */

#define CLF_TOP_K_FEW 32 /* so many are sorted by insertion */

kernel void clf_top_k_order_simd(global ulong *found, ulong found0, ulong spare0, ulong R, ulong k)
{
    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        global ulong *from = found + found0 + r * k, *to = found + spare0 + r * k;

        for (ulong m = 1; m < k && k <= CLF_TOP_K_FEW; m++) {
            const ulong v = from[m];
            ulong at = m;

            for (; at > 0 && from[at - 1] >> 32 < v >> 32; at--)
                from[at] = from[at - 1];
            from[at] = v;
        }
        for (int shift = 32; shift < 64 && k > CLF_TOP_K_FEW; shift += 8) { /* an even number of passes */
            ulong begin[256], sum = 0;

            for (uint d = 0; d < 256; d++)
                begin[d] = 0;
            for (ulong m = 0; m < k; m++)
                begin[from[m] >> shift & 255]++;
            for (int d = 255; d >= 0; d--) {
                const ulong count = begin[d];
                begin[d] = sum;
                sum += count;
            }
            for (ulong m = 0; m < k; m++)
                to[begin[from[m] >> shift & 255]++] = from[m];
            global ulong *swap = from;
            from = to;
            to = swap;
        }
    }
}

/* Digits of 4 bits: the counts of all items fit into 4 KB of local memory. */
CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_top_k_order_tile(global ulong *found, ulong found0, ulong spare0, ulong R,
                                ulong k)
{
    local uint begin[16 * CLF_NORM_WG], total[16]; /* begin[digit, item]; digit 0 is the best */
    const uint i = get_local_id(0);
    const ulong part = (k + CLF_NORM_WG - 1) / CLF_NORM_WG, first = min(i * part, k), last = min(first + part, k);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1))
        for (int shift = 32; shift < 64; shift += 4) { /* an even number of passes */
            global ulong *from = found + (shift % 8 == 0 ? found0 : spare0) + r * k;
            global ulong *to = found + (shift % 8 == 0 ? spare0 : found0) + r * k;

            for (uint d = 0; d < 16; d++)
                begin[d * CLF_NORM_WG + i] = 0;
            for (ulong m = first; m < last; m++)
                begin[(15 - (from[m] >> shift & 15)) * CLF_NORM_WG + i]++;
            barrier(CLK_LOCAL_MEM_FENCE);
            if (i < 16) {
                uint sum = 0;
                for (uint j = 0; j < CLF_NORM_WG; j++)
                    sum += begin[i * CLF_NORM_WG + j];
                total[i] = sum;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            if (i < 16) {
                uint sum = 0;
                for (uint d = 0; d < i; d++)
                    sum += total[d];
                for (uint j = 0; j < CLF_NORM_WG; j++) {
                    const uint count = begin[i * CLF_NORM_WG + j];
                    begin[i * CLF_NORM_WG + j] = sum;
                    sum += count;
                }
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (ulong m = first; m < last; m++)
                to[begin[(15 - (from[m] >> shift & 15)) * CLF_NORM_WG + i]++] = from[m];
            barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
        }
}

/* ---- results ---- */

#define CLF_TOP_K_RESULTS                                                                                              \
    uint has_values, global float *values, clf_rows V, global int *indices, clf_rows I

/* The place of what was found: in its row, or with has_chosen in one of the row's k chosen blocks. */
kernel void clf_top_k_write(global const CLF_TYPE(CLF_X) *from, clf_rows F, ulong row0, ulong R, ulong k, ulong block,
                            uint has_chosen, global const ulong *chosen, ulong chosen0, global const ulong *found,
                            ulong found0, CLF_TOP_K_RESULTS)
{
    const ulong i = get_local_id(0), items = get_local_size(0);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong fr = clf_row(F, row0 + r), vr = clf_row(V, row0 + r), ir = clf_row(I, row0 + r);

        for (ulong m = get_group_id(0) * items + i; m < k; m += get_num_groups(0) * items) {
            ulong at = found[found0 + r * k + m] & UINT_MAX;

            if (has_chosen)
                at = (chosen[chosen0 + r * k + at / block] & UINT_MAX) * block + at % block;
            indices[ir + m] = (int)at;
            if (has_values)
                values[vr + m] = CLF_LOAD(CLF_X)(from, fr + at);
        }
    }
}

/* Local 1, a row a work-item: k times the best behind the last one, put where it belongs among those before it. */
kernel void clf_top_k_ref(global const CLF_TYPE(CLF_X) *x, clf_rows X, global const CLF_TYPE(CLF_X) *from, clf_rows F,
                          ulong R, ulong N, ulong k, uint by_score, CLF_TOP_K_RESULTS)
{
    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        const ulong xr = clf_row(X, r), vr = clf_row(V, r), ir = clf_row(I, r);
        ulong limit = ULONG_MAX; /* of key, then ~place: the better, the larger */

        for (ulong m = 0; m < k; m++) {
            ulong best = 0, at = m;

            for (ulong c = 0; c < N; c++) {
                const ulong v = (ulong)clf_top_k_key_at(x, xr + c) << 32 | (uint)~c;
                best = v <= limit ? max(best, v) : best;
            }
            limit = best - 1;
            const int place = (int)~(uint)best;
            for (; !by_score && at > 0 && indices[ir + at - 1] > place; at--)
                indices[ir + at] = indices[ir + at - 1];
            indices[ir + at] = place;
        }
        for (ulong m = 0; m < k && has_values; m++)
            values[vr + m] = CLF_LOAD(CLF_X)(from, clf_row(F, r) + indices[ir + m]);
    }
}
