/* peak: what the device can do, to judge kernels by.
 *
 *   fma    chains of s = s * a + b that stay in registers: 2 * CHAINS * vector * rounds flop for each work-item
 *   copy   out[i] = in[i], 8 bytes an element; past the caches when `streamed`, as operators do with as much
 *   read   sums of in[i], 4 bytes an element; a sum for each work-item keeps the compiler from dropping the reads
 *
 * _simd  local 1: a work-item has vectors of CLF_VEC, and an unbroken block of the memory
 * _tile  any local size: scalars, and every global-size-th element, so that neighbours read neighbours
 *
 * CHAINS: two units of latency 4 need 8 chains; 12 vectors and two constants still fit into 16 registers.
 * count is a multiple of global size * STEP * CLF_VEC. */

#define CHAINS 12
#define STEP 4

/* Vector width and chains, which the host needs to count. */
kernel void clf_peak_width(global float *out)
{
    out[0] = CLF_VEC;
    out[1] = CHAINS;
}

kernel void clf_peak_fma_simd(global float *out, uint rounds, float a, float b)
{
    clf_fv s[CHAINS];
    const clf_fv va = a, vb = b;

    _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) s[i] = (clf_fv)(a + i + get_global_id(0));
    for (uint k = 0; k < rounds; k++)
        _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) s[i] = CLF_FMA(s[i], va, vb);
    _Pragma("unroll") for (uint i = 1; i < CHAINS; i++) s[0] += s[i];
    CLF_VSTORE(s[0], out + get_global_id(0) * CLF_VEC);
}

kernel void clf_peak_fma_tile(global float *out, uint rounds, float a, float b)
{
    float s[CHAINS];

    _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) s[i] = a + i + get_global_id(0);
    for (uint k = 0; k < rounds; k++)
        _Pragma("unroll") for (uint i = 0; i < CHAINS; i++) s[i] = CLF_FMA(s[i], a, b);
    _Pragma("unroll") for (uint i = 1; i < CHAINS; i++) s[0] += s[i];
    out[get_global_id(0)] = s[0];
}

kernel void clf_peak_copy_simd(global const float *in, global float *out, ulong count, uint streamed)
{
    const ulong block = count / get_global_size(0), begin = get_global_id(0) * block;

    for (ulong i = begin; i < begin + block; i += CLF_VEC)
        if (streamed && CLF_PAST((global clf_fv *)(out + begin)))
            CLF_STORE_PAST(CLF_VLOAD(in + i), (global clf_fv *)(out + i));
        else
            CLF_VSTORE(CLF_VLOAD(in + i), out + i);
}

kernel void clf_peak_copy_tile(global const float *in, global float *out, ulong count, uint streamed)
{
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
        out[i] = in[i];
}

/* Four streams for each work-item: one alone does not fill the prefetchers of a core. */
kernel void clf_peak_read_simd(global const float *in, global float *out, ulong count)
{
    const ulong block = count / get_global_size(0), part = block / STEP;
    global const float *from = in + get_global_id(0) * block;
    clf_fv s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;

    for (ulong i = 0; i < part; i += CLF_VEC) {
        s0 += CLF_VLOAD(from + i);
        s1 += CLF_VLOAD(from + part + i);
        s2 += CLF_VLOAD(from + 2 * part + i);
        s3 += CLF_VLOAD(from + 3 * part + i);
    }
    CLF_VSTORE(s0 + s1 + s2 + s3, out + get_global_id(0) * CLF_VEC);
}

kernel void clf_peak_read_tile(global const float *in, global float *out, ulong count)
{
    float s = 0.0f;

    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
        s += in[i];
    out[get_global_id(0)] = s;
}
