/* rotary_table: cosines[r, p] = cos(positions[axis[p], r] frequency[p]), sines likewise
 *
 * positions        [A, R] from element p0;  frequency, axis [P] from element f0 and a0, every axis below A
 * cosines, sines   [R, P], rows placed by C and S
 *
 * Groups of CLF_ITEMS walk the rows; their items take columns by turns.  The product is rounded to f32 before the cosine
 * is taken: no fma reaches into it.  sin and cos, not their native_ forms: angles grow to the length of the text. */
#pragma OPENCL FP_CONTRACT OFF

CLF_GROUP_OF(CLF_ITEMS) kernel void clf_rotary_table_rows(global const int *positions, ulong p0, ulong R,
                                                          global const float *frequency, ulong f0,
                                                          global const int *axis, ulong a0, uint P,
                                                          global float *cosines, clf_rows C, global float *sines,
                                                          clf_rows S)
{
    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong cr = clf_row(C, r), sr = clf_row(S, r);

        for (uint p = get_local_id(0); p < P; p += get_local_size(0)) {
            const float angle = (float)positions[p0 + (ulong)axis[a0 + p] * R + r] * frequency[f0 + p];

            cosines[cr + p] = cos(angle);
            sines[sr + p] = sin(angle);
        }
    }
}
