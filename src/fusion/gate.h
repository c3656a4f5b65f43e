/* Gates: tanh(alpha), known when a module is made. */
#ifndef CLF_FUSION_GATE_H
#define CLF_FUSION_GATE_H

#include <clfusion/linear.h>

#include "core/error.h"

/* alpha [1] or [C], leading ones allowed; absent is right too. */
clf_status clf_gate_check(const char *name, clf_host_tensor alpha, int64_t width, clf_error *err);

/* alpha is absent: for `name`, a part without a residual, which has nothing to be weighed against. */
clf_status clf_gate_check_absent(const char *name, clf_host_tensor alpha, clf_error *err);

/* There is an alpha for each of several channels. */
bool clf_gate_has_channels(clf_host_tensor alpha);

/* tanh(alpha) for a single one; 1 when absent or one per channel. */
float clf_gate_value(clf_host_tensor alpha);

/* tanh(alpha) of C channels as f32 [C], for clf_linear_part.row_scale; absent unless there is one per channel.  *memory
 * holds the values and is the caller's to free with clf_free. */
clf_status clf_gate_channels(const char *name, clf_host_tensor alpha, float **memory, clf_host_tensor *scale,
                             clf_error *err);

#endif
