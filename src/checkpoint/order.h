/* Sorting indices: stable, n log n in the worst case, and linear on what is sorted already. */
#ifndef CLF_CHECKPOINT_ORDER_H
#define CLF_CHECKPOINT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

/* Below, equal to or above 0, as strcmp, for the items behind two indices. */
typedef int clf_order_compare(const void *context, uint32_t a, uint32_t b);

/* Sorts `count` indices in place.  qsort has no context and no bound on its time.  Errors: CLF_OUT_OF_MEMORY. */
clf_status clf_order(uint32_t *indices, size_t count, clf_order_compare *compare, const void *context, clf_error *err);

/* For the comparison: two stretches of bytes, the shorter one first where one begins with the other. */
int clf_order_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes);

#endif
