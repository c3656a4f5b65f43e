/* safetensors: 8 bytes header length (u64, little-endian), a JSON header, the bytes of the tensors.
 *
 * Everything is checked on opening, before anything is believed: after CLF_OK the tensors lie one behind the other
 * from the end of the header to the end of the file, without hole or overlap, each as long as its shape says.
 * Stricter than the reference reader: names and fields stand once, numbers are digits only, the header begins with '{'
 * and ends in spaces at most.  Names are UTF-8 without NUL.  Values are not looked at.
 * Source: github.com/huggingface/safetensors, README and safetensors/src/tensor.rs (August 2026). */
#ifndef CLF_CHECKPOINT_SAFETENSORS_H
#define CLF_CHECKPOINT_SAFETENSORS_H

#include <clfusion/tensor.h>

typedef struct clf_safetensors clf_safetensors;

/* Beyond a limit: CLF_UNSUPPORTED. */
typedef struct clf_safetensors_limits {
    uint64_t header_bytes; /* the format's own limit is 100,000,000: above it CLF_BAD_FILE */
    uint32_t tensors;
    uint32_t dims; /* at most CLF_SAFETENSORS_DIMS */
    uint32_t name_bytes;
} clf_safetensors_limits;

#define CLF_SAFETENSORS_DIMS 8

/* 16 MiB, 65,536 tensors, 8 dimensions, 1,024 bytes. */
clf_safetensors_limits clf_safetensors_limits_default(void);

/* Reads `bytes`, which must stay as long as s and may be unaligned.  `label` (copied) stands before messages; limits
 * may be NULL.  *s is NULL after an error: CLF_BAD_FILE, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY. */
clf_status clf_safetensors_open(const char *label, const void *bytes, uint64_t count,
                                const clf_safetensors_limits *limits, clf_safetensors **s, clf_error *err);
void clf_safetensors_close(clf_safetensors *s); /* takes NULL */

/* Tensors in the order of their names (by byte); a name lives as long as s. */
size_t clf_safetensors_count(const clf_safetensors *s);
const char *clf_safetensors_name(const clf_safetensors *s, size_t index);

/* The tensor of that name, pointing into the bytes; absent (CLF_DTYPE_NONE) when there is none.  Rank 0 becomes [1].
 * CLF_UNSUPPORTED: a type that clfusion does not compute with, or more than CLF_MAX_RANK dimensions. */
clf_status clf_safetensors_find(const clf_safetensors *s, const char *name, clf_host_tensor *t, clf_error *err);

/* The decoded text under a key of __metadata__; NULL without one.  Lives as long as s. */
const char *clf_safetensors_metadata(const clf_safetensors *s, const char *key, size_t *bytes);

#endif
