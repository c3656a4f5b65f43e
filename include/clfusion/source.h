/* Where weights come from: named tensors in host memory. */
#ifndef CLFUSION_SOURCE_H
#define CLFUSION_SOURCE_H

#include <clfusion/tensor.h>

CLF_BEGIN_DECLS

/** A set of named tensors.  clfusion reads files through it; a program can bring its own memory. */
typedef struct clf_tensor_source {
    void *self;
    const char *label; /* stands before messages, as the file's name; may be NULL */

    /** Number of tensors, and the name of tensor `index` (lives as long as the source). */
    size_t (*count)(void *self);
    const char *(*name)(void *self, size_t index);

    /** Fills *t with the tensor of that name, or makes it absent (CLF_DTYPE_NONE) when there is none.  Its data live as
     * long as the source.  An error when the tensor cannot be read. */
    clf_status (*find)(void *self, const char *name, clf_host_tensor *t, clf_error *err);

    /** These bytes have been read and are not needed again: mapped pages may go.  May be NULL. */
    void (*done)(void *self, const void *data, size_t bytes);
} clf_tensor_source;

CLF_END_DECLS

#endif
