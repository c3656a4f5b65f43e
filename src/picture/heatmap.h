/* Attention over a picture as a picture. */
#ifndef CLF_PICTURE_HEATMAP_H
#define CLF_PICTURE_HEATMAP_H

#include <clfusion/picture.h>

/* A row of attention weights and where its keys lie in the picture. */
typedef struct clf_heatmap {
    int64_t height, width; /* of the grid of keys; 0: square, found from their number */
    int64_t position;      /* query */
    int64_t head;          /* -1: the mean over all */
    int64_t skip;          /* leading keys without a place: 1 for a CLS token */
} clf_heatmap;

/* Fits the grid to [H, Q, K] and fills in what it leaves open; `where` begins messages.  CLF_INVALID_ARGUMENT names the
 * option as the command line spells it: --position, --head, --grid. */
clf_status clf_heatmap_fit(clf_heatmap *m, const char *where, int64_t H, int64_t Q, int64_t K, clf_error *err);

/* The map [height, width] of weights [H, Q, K], divided by its largest value; NaN counts as 0. */
void clf_heatmap_row(const clf_heatmap *m, const float *weights, int64_t H, int64_t Q, int64_t K, float *map);

/* Colours from black (0) over red to pale yellow (1), laid over the picture the thicker the warmer.  heat [height, width]
 * of the picture, held to 0 .. 1.  `drawn` is new: clf_picture_free; CLF_OUT_OF_MEMORY. */
clf_status clf_heatmap_draw(const clf_picture *picture, const float *heat, clf_picture *drawn, clf_error *err);

#endif
