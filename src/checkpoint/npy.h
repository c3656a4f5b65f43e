/* NumPy's .npy files: mapped and checked on reading; written whole or not at all.
 *
 * Format: 93 'NUMPY', major, minor, header length (u16, from version 2.0 u32, little-endian), a header such as
 * "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" with spaces and a newline at its end, the elements.
 * Source: numpy.lib.format.  The header is read by its fixed grammar, never as a Python literal. */
#ifndef CLF_CHECKPOINT_NPY_H
#define CLF_CHECKPOINT_NPY_H

#include <clfusion/tensor.h>

#include "checkpoint/file_writer.h"

typedef struct clf_npy clf_npy;

/* Maps an array: |u1 |i1 |b1 <u2 <i2 <f2 <i4 <u4 <f4 <i8 <u8 <f8, C order, exact length, rank up to CLF_MAX_RANK
 * (rank 0 becomes [1]), versions 1.0, 2.0 and 3.0.  *n is NULL after an error: CLF_IO, CLF_BAD_FILE, CLF_UNSUPPORTED
 * (another type, Fortran order, rank, a header above 10,000 bytes), CLF_OUT_OF_MEMORY. */
clf_status clf_npy_open(const char *path, clf_npy **n, clf_error *err);
clf_host_tensor clf_npy_tensor(const clf_npy *n); /* lives as long as n; data may be unaligned */
void clf_npy_close(clf_npy *n);                   /* takes NULL */

/* The same rules for bytes in memory, into which t points.  *t is absent after an error. */
clf_status clf_npy_parse(const char *label, const void *bytes, size_t count, clf_host_tensor *t, clf_error *err);

/* Writes a file of version 1.0; nothing shows at `path` before clf_file_writer_commit, and nothing stays after
 * clf_file_writer_abandon or an error.  Any thread.  Errors: those of clf_file_writer_open and finish,
 * CLF_INVALID_ARGUMENT (no tensor, a negative dimension), CLF_UNSUPPORTED (bf16, for which NumPy has no type); *w is then
 * NULL. */
clf_status clf_npy_write(const char *path, clf_host_tensor t, clf_file_writer **w, clf_error *err);

#endif
