/* A learned table taken to another grid, on the host, sums in double. */
#ifndef CLF_FUSION_TABLE_RESIZE_H
#define CLF_FUSION_TABLE_RESIZE_H

#include <clfusion/positions.h>

/* One axis: `side` old places, `to` new ones. */
typedef struct clf_axis {
    int64_t side, to;
    clf_table_filter filter;
    bool align_corners, antialias;
} clf_axis;

/* result [down->to across->to, C] from table [down->side, across->side, C]; rows of the result in blocks of merge by
 * merge, which divides both. */
void clf_blend_grid(const float *table, int64_t C, const clf_axis *down, const clf_axis *across, int64_t merge,
                    float *result);

#endif
