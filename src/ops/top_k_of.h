/* The k best by one tensor, with values from another. */
#ifndef CLF_OPS_TOP_K_OF_H
#define CLF_OPS_TOP_K_OF_H

#include <clfusion/top_k.h>

/* clf_top_k, but values are those of `from`, a tensor like scores, at the indices: what has been made of the scores. */
void clf_top_k_of(clf_stream *s, clf_tensor scores, clf_top_k_order order, clf_tensor from, clf_tensor values,
                  clf_tensor indices);

#endif
