/* clf_math.h: element access by type, rows of a tensor, and f32 functions whose bounds are published.
 *
 * CLF_VEC     floats in a clf_fv: 16 (default), 8 or 4.
 * CLF_USE_MAD for devices that emulate fma.  mad may round twice, so nothing here relies on one rounding alone.
 *
 * CLF_FETCH_BUILTIN  where prefetch() is no instruction: pocl's does nothing (3.1), Intel's CPU runtime calls a function,
 *             around which all registers are saved (2026.22; both 2026-11).  rusticl knows no __builtin_prefetch.
 *
 * A type name t is f32, f16 or bf16, also through a macro such as -DCLF_X=f16.  Accesses need the alignment of one
 * element; stores go to global memory.  Neither cl_khr_fp16 nor any other extension is needed.
 *
 * Activations, error in f32 against the exact value (tests/ops/test_activate.c holds them; clf_exp is within 2 ulp):
 *   silu, quick_gelu   rel 4e-6 (the argument of exp is rounded once for quick_gelu)
 *   gelu         1e-7·max(1, |x|);   gelu_tanh  2e-7·max(1, |x|);   tanh  rel 1e-6
 * NaN gives NaN in all of them.  -inf gives the limit, -1 for tanh and 0 in every other but "none", where x·sigmoid(x),
 * taken literally, would be NaN.  Every constant that is not written as a formula comes from tools/fit_math.py. */
#ifndef CLF_MATH_H
#define CLF_MATH_H

#ifndef CLF_VEC
#define CLF_VEC 16
#endif

#define CLF_PASTE_(a, b) a##b
#define CLF_PASTE(a, b) CLF_PASTE_(a, b)

#if CLF_VEC == 16
#define CLF_HALF_VEC 8
#elif CLF_VEC == 8
#define CLF_HALF_VEC 4
#else
#define CLF_HALF_VEC 2
#endif

typedef CLF_PASTE(float, CLF_VEC) clf_fv;
typedef CLF_PASTE(int, CLF_VEC) clf_iv;
#define CLF_WIDE(name) CLF_PASTE(name, CLF_VEC)
#define CLF_VLOAD(p) CLF_WIDE(vload)(0, p)
/* One unaligned store.  pocl 3.1 writes vstore16 as three or four smaller ones, 2026-11; vload16 is whole there. */
typedef struct __attribute__((packed, aligned(4))) {
    clf_fv v;
} clf_fv_at;
typedef struct __attribute__((packed, aligned(2))) {
    CLF_PASTE(ushort, CLF_VEC) v;
} clf_usv_at;
#define CLF_VSTORE(x, p) (((global clf_fv_at *)(p))->v = (x))
#define clf_as_fv CLF_WIDE(as_float)
#define clf_as_iv CLF_WIDE(as_int)

#ifdef CLF_USE_MAD
#define CLF_FMA(a, b, c) mad(a, b, c)
#else
#define CLF_FMA(a, b, c) fma(a, b, c)
#endif

/* Fetches the cache line of an element.  A hint, which reads nothing: it may point behind the end. */
#ifdef CLF_FETCH_BUILTIN
#define CLF_FETCH(at) __builtin_prefetch((private const void *)(size_t)(at))
#else
#define CLF_FETCH(at) prefetch((global const uchar *)(at), 1) /* of any type, half too */
#endif

/* CLF_STORE_PAST(v, at): stores a vector past the caches where `at`, a pointer to its type, is aligned, which CLF_PAST(at)
 * tells; nothing is read before it is written over, and nothing goes that is needed.  Elsewhere a plain store. */
#ifdef __has_builtin
#if __has_builtin(__builtin_nontemporal_store)
#define CLF_STORE_PAST(v, at) __builtin_nontemporal_store(v, at)
#endif
#endif
#ifndef CLF_STORE_PAST
#define CLF_STORE_PAST(v, at) (*(at) = (v))
#endif
#define CLF_PAST(at) ((size_t)(at) % max(sizeof(*(at)), (size_t)64) == 0) /* whole cache lines, with those behind it */

#if defined(__AVX512F__) && defined(__has_builtin)
#if __has_builtin(__builtin_ia32_vcvtph2ps512_mask)
#define CLF_WIDEN_BUILTIN
#endif
#endif

/* ---- elements: CLF_TYPE(t), CLF_LOAD(t)(ptr, i), CLF_STORE(t)(ptr, i, v); CLF_LOADV and CLF_STOREV move CLF_VEC ---- */

#define CLF_TYPE(t) CLF_PASTE(CLF_TYPE_, t)
#define CLF_LOAD(t) CLF_PASTE(clf_load_, t)
#define CLF_STORE(t) CLF_PASTE(clf_store_, t)
#define CLF_LOADV(t) CLF_PASTE(clf_loadv_, t)
#define CLF_STOREV(t) CLF_PASTE(clf_storev_, t)

#define CLF_TYPE_f32 float
#define CLF_TYPE_f16 half
#define CLF_TYPE_bf16 ushort

#define clf_load_f32(p, i) ((p)[i])
#define clf_store_f32(p, i, v) ((p)[i] = (v))
#define clf_loadv_f32(p, i) CLF_VLOAD((p) + (i))
#define clf_storev_f32(p, i, v) CLF_VSTORE(v, (p) + (i))

#define clf_load_f16(p, i) vload_half(i, p)
#define clf_store_f16(p, i, v) vstore_half_rte(v, i, p)
/* Through a register: pocl 3.1 compiles vload_half8 from memory to a load that wants 16-byte alignment, and the upper half
 * of vload_half16 to four instructions where eight numbers take one, 2026-11.  All sixteen take one with clang's builtin,
 * which pocl's compiler knows where the processor has it, and as vload_half16 on Intel's CPU runtime. */
static inline clf_fv clf_loadv_f16(global const half *p, ulong i)
{
    global const ushort *from = (global const ushort *)p + i;
#if CLF_VEC == 16 && defined(CLF_WIDEN_BUILTIN)
    return __builtin_ia32_vcvtph2ps512_mask(as_short16(vload16(0, from)), (float16)(0.0f), (ushort)0xffff, 4);
#else
    const CLF_PASTE(ushort, CLF_VEC) bits = CLF_VLOAD(from);
    return CLF_WIDE(vload_half)(0, (private const half *)&bits);
#endif
}

static inline void clf_storev_f16(global half *p, ulong i, clf_fv v)
{
    CLF_PASTE(ushort, CLF_VEC) bits;
    CLF_PASTE(CLF_WIDE(vstore_half), _rte)(v, 0, (private half *)&bits);
    ((global clf_usv_at *)((global ushort *)p + i))->v = bits;
}

/* bf16 is the upper half of an f32.  Adding 0x7fff plus the last kept bit rounds to nearest even; the same sum could
 * carry a NaN into infinity, so a NaN is cut instead and made quiet. */
static inline float clf_load_bf16(global const ushort *p, ulong i)
{
    return as_float((uint)p[i] << 16);
}

static inline void clf_store_bf16(global ushort *p, ulong i, float v)
{
    const uint u = as_uint(v), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    p[i] = (ushort)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

static inline clf_fv clf_loadv_bf16(global const ushort *p, ulong i)
{
    return clf_as_fv(CLF_WIDE(convert_int)(CLF_VLOAD(p + i)) << 16);
}

static inline void clf_storev_bf16(global ushort *p, ulong i, clf_fv v)
{
    const clf_iv u = clf_as_iv(v), high = (u >> 16) & 0xffff;
    const clf_iv rounded = ((u + 0x7fff + (high & 1)) >> 16) & 0xffff;
    const clf_iv cut = (u & 0x7fffffff) > 0x7f800000 ? high | 0x40 : rounded;
    ((global clf_usv_at *)(p + i))->v = CLF_WIDE(convert_ushort)(cut);
}

/* v[0 .. count) of f32, zeros after it; count >= CLF_VEC is a plain vector load. */
static inline clf_fv clf_loadv_some(global const float *p, ulong at, uint count)
{
    if (count >= CLF_VEC)
        return CLF_VLOAD(p + at);
    float part[CLF_VEC];
    for (uint j = 0; j < CLF_VEC; j++)
        part[j] = j < count ? p[at + j] : 0.0f;
    return CLF_VLOAD(part);
}

/* Four rows of four, turned: out[j] holds column j. */
static inline void clf_turn4(const float4 *row, float4 *out)
{
    const float4 a = (float4)(row[0].s01, row[1].s01), b = (float4)(row[2].s01, row[3].s01);
    const float4 c = (float4)(row[0].s23, row[1].s23), d = (float4)(row[2].s23, row[3].s23);
    out[0] = (float4)(a.s02, b.s02);
    out[1] = (float4)(a.s13, b.s13);
    out[2] = (float4)(c.s02, d.s02);
    out[3] = (float4)(c.s13, d.s13);
}

/* a0 b0 a1 b1 ... of the first or the second halves, as one shuffle of two vectors.  Not by naming the numbers, which
 * Intel's CPU runtime (2026.22) follows back through all rounds: four times as many shuffles. */
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#if CLF_VEC == 16
#define CLF_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define CLF_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif CLF_VEC == 8
#define CLF_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define CLF_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define CLF_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define CLF_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif
#endif
#endif
#ifndef CLF_ZIP_LOW
static inline clf_fv clf_zip(CLF_PASTE(float, CLF_HALF_VEC) a, CLF_PASTE(float, CLF_HALF_VEC) b)
{
    clf_fv zipped;

    zipped.even = a;
    zipped.odd = b;
    return zipped;
}
#define CLF_ZIP_LOW(a, b) clf_zip((a).lo, (b).lo)
#define CLF_ZIP_HIGH(a, b) clf_zip((a).hi, (b).hi)
#endif

/* One round of turning rows into columns: zipping the first half with the second turns the number that row and column
 * make by one bit. */
static inline void clf_turn_round(clf_fv *v)
{
    clf_fv zipped[CLF_VEC];

    _Pragma("unroll") for (uint i = 0; i < CLF_VEC / 2; i++) {
        zipped[2 * i] = CLF_ZIP_LOW(v[i], v[i + CLF_VEC / 2]);
        zipped[2 * i + 1] = CLF_ZIP_HIGH(v[i], v[i + CLF_VEC / 2]);
    }
    _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) v[i] = zipped[i];
}

/* CLF_VEC rows of CLF_VEC, turned in registers. */
static inline void clf_turn(clf_fv *v)
{
    clf_turn_round(v);
    clf_turn_round(v);
#if CLF_VEC >= 8
    clf_turn_round(v);
#endif
#if CLF_VEC == 16
    clf_turn_round(v);
#endif
}

/* ---- over lanes and items ---- */

/* Sum over the lanes of a vector, in pairs. */
static inline float clf_lanes_sum(clf_fv v)
{
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } u = { v };

    for (uint n = CLF_VEC / 2; n > 0; n /= 2)
        for (uint i = 0; i < n; i++)
            u.lane[i] += u.lane[i + n];
    return u.lane[0];
}

/* The largest over the lanes of a vector; NaN is left out. */
static inline float clf_lanes_max(clf_fv v)
{
    union {
        clf_fv v;
        float lane[CLF_VEC];
    } u = { v };
    float most = u.lane[0];

    for (uint i = 1; i < CLF_VEC; i++)
        most = fmax(most, u.lane[i]);
    return most;
}

/* For kernels with barriers: some drivers allow 32 or 256 items only, unless the kernel says what it needs. */
#define CLF_GROUP_OF(items) __attribute__((reqd_work_group_size(items, 1, 1)))

/* Of functions that take local memory.  pocl 3.1 gives a kernel's local arrays to each thread of its own, but leaves one
 * for all threads where a function that it has not inlined by then names the array, 2026-11. */
#define CLF_INLINE static inline __attribute__((always_inline))

/* Sum over the items of a group, in pairs; all items call it and get the same bits.  part: CLF_NORM_WG floats. */
CLF_INLINE float clf_group_sum(local float *part, float v)
{
    const uint i = get_local_id(0);

    part[i] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint n = CLF_NORM_WG / 2; n > 0; n /= 2) {
        if (i < n)
            part[i] += part[i + n];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float sum = part[0];
    barrier(CLK_LOCAL_MEM_FENCE); /* the next sum overwrites part */
    return sum;
}

/* The largest over the items of a group, NaN left out; as clf_group_sum. */
CLF_INLINE float clf_group_max(local float *part, float v)
{
    const uint i = get_local_id(0);

    part[i] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint n = CLF_NORM_WG / 2; n > 0; n /= 2) {
        if (i < n)
            part[i] = fmax(part[i], part[i + n]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float most = part[0];
    barrier(CLK_LOCAL_MEM_FENCE); /* the next one overwrites part */
    return most;
}

/* ---- rows: where row r of a tensor begins; clf_rows is in clf_shared.h ---- */

static inline ulong clf_row(clf_rows X, ulong r)
{
    if (r < X.s1) /* one outer block, the common case: no division */
        return X.s0 + r * X.s2;
    return X.s0 + (r / X.s1) * X.s3 + (r % X.s1) * X.s2;
}

/* ---- exponentials ---- */

/* Selections are written so that a NaN in x stays: a comparison with NaN is false. */
#define CLF_AT_LEAST(x, low) ((x) < (low) ? (clf_fv)(low) : (x))
#define CLF_AT_MOST(x, high) ((x) > (high) ? (clf_fv)(high) : (x))

/* 1.5·2^23: added to |v| < 2^22 it leaves the nearest integer in the low bits of the sum. */
#define CLF_ROUNDER 0x1.8p23f

/* 2^r for |r| <= 1/2, relative error 3e-9 before rounding. */
static inline clf_fv clf_exp2_part(clf_fv r)
{
    clf_fv p = CLF_FMA(r, (clf_fv)(0x1.416b8p-13f), (clf_fv)(0x1.5f0838p-10f));
    p = CLF_FMA(r, p, (clf_fv)(0x1.3b2dep-7f));
    p = CLF_FMA(r, p, (clf_fv)(0x1.c6af7cp-5f));
    p = CLF_FMA(r, p, (clf_fv)(0x1.ebfbdcp-3f));
    p = CLF_FMA(r, p, (clf_fv)(0x1.62e43p-1f));
    return CLF_FMA(r, p, (clf_fv)(1.0f));
}

/* 2^v for -127.5 < v < 127.5, or NaN; below -126.5 the result is 0 instead of a subnormal. */
static inline clf_fv clf_exp2_normal(clf_fv v)
{
    const clf_fv z = v + CLF_ROUNDER;
    const clf_fv p = clf_exp2_part(v - (z - CLF_ROUNDER));
    return p * clf_as_fv((clf_as_iv(z) << 23) + 0x3f800000); /* the constant of the rounder is shifted out */
}

/* e^x, subnormal and infinite results included. */
static inline clf_fv clf_exp(clf_fv x)
{
    const float log2e = 0x1.715476p0f, log2e_low = 0x1.4ae0cp-26f; /* their sum is log2(e) to 48 bits */
    x = CLF_AT_LEAST(CLF_AT_MOST(x, 89.0f), -104.0f);              /* e^89 overflows, e^-104 rounds to 0 */
    const clf_fv z = x * log2e + CLF_ROUNDER, n = z - CLF_ROUNDER;
#ifdef CLF_USE_MAD
    /* x and log2e in parts of 12 bits, so that the leading product is exact without fma. */
    const float c = 0x1.714p0f, c_low = 0x1.47652cp-12f;
    const clf_fv head = clf_as_fv(clf_as_iv(x) & ~0xfff);
    clf_fv r = head * c - n;
    r += (x - head) * c;
    r += x * c_low;
#else
    clf_fv r = fma(x, (clf_fv)(log2e), -n);
    r = fma(x, (clf_fv)(log2e_low), r);
#endif
    const clf_iv whole = clf_as_iv(z) - clf_as_iv((clf_fv)(CLF_ROUNDER)), first = whole >> 1;
    const clf_fv p =
        clf_exp2_part(r) * clf_as_fv((first + 127) << 23); /* 2^n in two factors: n runs from -150 to 128 */
    return p * clf_as_fv((whole - first + 127) << 23);
}

/* Phi(-t) = erfc(t/sqrt 2)/2 for t >= 0: its logarithm is smooth enough for one polynomial, which costs less than a
 * division.  Absolute error 1e-8 and the rounding of 2^v; relative 3e-4 in the far tail; 0 from t = 13 on, where P is -127.1. */
#define CLF_TAIL_END 13.01f
static inline clf_fv clf_normal_tail(clf_fv t)
{
    t = CLF_AT_MOST(t, CLF_TAIL_END);
    clf_fv p = CLF_FMA(t, (clf_fv)(-0x1.bec6d2p-36f), (clf_fv)(0x1.f23246p-30f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.df5f26p-25f));
    p = CLF_FMA(t, p, (clf_fv)(0x1.0427b8p-20f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.5bff44p-17f));
    p = CLF_FMA(t, p, (clf_fv)(0x1.213f98p-14f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.05474ep-12f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.09f752p-14f));
    p = CLF_FMA(t, p, (clf_fv)(0x1.cbfb86p-8f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.adf362p-5f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.d63adcp-2f));
    p = CLF_FMA(t, p, (clf_fv)(-0x1.26aed6p0f));
    p = CLF_FMA(t, p, (clf_fv)(-1.0f));
    return clf_exp2_normal(p);
}

/* ---- activations ---- */

/* By the sign alone: of numbers that were f16, pocl 3.1 compares lane after lane with 0 (SiLU took six times as long). */
#define CLF_NEGATIVE(v) (clf_as_iv(v) < 0)

/* x·sigmoid(v), where v has the sign of x.  Only e^-|v| is taken: it cannot overflow, and the left tail keeps its
 * relative accuracy.  x = -inf is moved to the largest finite number, so that 0 follows and not inf·0. */
static inline clf_fv clf_times_sigmoid(clf_fv x, clf_fv v)
{
    const clf_fv e = clf_exp(-fabs(v));
    const clf_fv top = CLF_NEGATIVE(v) ? e : (clf_fv)(1.0f); /* -0: e is 1 */
    return CLF_AT_LEAST(x, -FLT_MAX) * (top / (1.0f + e));
}

static inline clf_fv clf_relu(clf_fv x)
{
    return CLF_AT_LEAST(x, 0.0f);
}

/* x·Phi(x) = max(x, 0) - |x|·Phi(-|x|): no cancellation on either side.  |x| is held at the end of the tail, where
 * Phi is 0, so that inf·0 does not arise. */
static inline clf_fv clf_gelu(clf_fv x)
{
    const clf_fv t = CLF_AT_MOST(fabs(x), CLF_TAIL_END);
    return CLF_FMA(-t, clf_normal_tail(t), clf_relu(x));
}

/* 1 + tanh(u) = 2·sigmoid(2u); the constants are 2·sqrt(2/pi) and that times 0.044715. */
static inline clf_fv clf_gelu_tanh(clf_fv x)
{
    const clf_fv c = CLF_FMA(x * x, (clf_fv)(0.0713548162726f), (clf_fv)(1.59576912161f));
    return clf_times_sigmoid(x, x * c);
}

static inline clf_fv clf_relu2(clf_fv x)
{
    x = clf_relu(x);
    return x * x;
}

/* (1 - e)/(1 + e) with e = e^-2|x|, which would lose the digits of a small x: below 0.55 an odd polynomial, of relative
 * error 1.2e-9, takes its place. */
#define CLF_TANH_NEAR 0.55f
static inline clf_fv clf_tanh(clf_fv x)
{
    const clf_fv t = fabs(x), u = x * x, e = clf_exp(-2.0f * t), far = (1.0f - e) / (1.0f + e);
    clf_fv p = CLF_FMA(u, (clf_fv)(-0x1.9921a2p-8f), (clf_fv)(0x1.58e518p-6f));
    p = CLF_FMA(u, p, (clf_fv)(-0x1.b91e7ep-5f));
    p = CLF_FMA(u, p, (clf_fv)(0x1.110ceep-3f));
    p = CLF_FMA(u, p, (clf_fv)(-0x1.55554ap-2f));
    return t < CLF_TANH_NEAR ? CLF_FMA(x * u, p, x) : CLF_NEGATIVE(x) ? -far : far;
}

/* Of the code CLF_ACT_...; where that is a constant the others are not compiled. */
static inline clf_fv clf_act(uint code, clf_fv x)
{
    switch (code) {
    case CLF_ACT_GELU:
        return clf_gelu(x);
    case CLF_ACT_GELU_TANH:
        return clf_gelu_tanh(x);
    case CLF_ACT_QUICK_GELU:
        return clf_times_sigmoid(x, 1.702f * x);
    case CLF_ACT_SILU:
        return clf_times_sigmoid(x, x);
    case CLF_ACT_RELU:
        return clf_relu(x);
    case CLF_ACT_RELU2:
        return clf_relu2(x);
    case CLF_ACT_TANH:
        return clf_tanh(x);
    default:
        return x;
    }
}

/* One element, with the bits the vector gives. */
static inline float clf_act1(uint code, float x)
{
    return clf_act(code, (clf_fv)(x)).s0;
}

#endif
