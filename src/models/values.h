/* The caller's values made ready for a model, and results brought back. */
#ifndef CLF_MODELS_VALUES_H
#define CLF_MODELS_VALUES_H

#include <clfusion/connector.h>

/* Integers or bool of any type, possibly unaligned, to int64.  What is above 2^63 - 1 becomes 2^63 - 1: no id. */
void clf_values_to_int64(const void *data, clf_dtype dtype, size_t count, int64_t *out);

bool clf_is_integer(clf_dtype dtype); /* bool too */

/* The values on the device in the shape `dims`: the caller's memory as it is, or a copy in scratch; f64 becomes f32. */
clf_tensor clf_values_on_device(clf_stream *s, const clf_value *value, clf_dims dims);

#endif
