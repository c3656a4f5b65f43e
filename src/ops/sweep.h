/* How elementwise operators and norms share their rows among work-groups. */
#ifndef CLF_OPS_SWEEP_H
#define CLF_OPS_SWEEP_H

#include <clfusion/stream.h>

/* Work-groups along one dimension of a launch: more than fill any device, few enough for every driver. */
#define CLF_GROUPS_MAX 65535

/* Work-groups for kernels that walk rows r = group, group + groups, ...; 0 without rows.  A row each while they last:
 * several narrow rows in a group gained 15 % on f32[6404, 128] with pocl and lost a third on f32[51232, 128]. */
uint64_t clf_row_groups(int64_t rows);

/* A kernel over `rows` by `columns`: group (i, j) takes columns i span, ... of rows j block, ... */
typedef struct clf_sweep {
    uint64_t rows, columns;
    uint64_t block, span;
    uint64_t groups[2]; /* 0 when there is nothing to do */
    uint64_t items;     /* of a group: they take vectors of the span by turns */
} clf_sweep;

/* Cuts the elements of t for the devices of the stream. */
clf_sweep clf_sweep_of(const clf_stream *s, clf_tensor t);

/* Bytes of the elements of a tensor. */
uint64_t clf_element_bytes(clf_tensor t);

/* Merges trailing dimensions into the row while they lie without gaps in all `count` tensors, which have one shape:
 * dense tensors become a single row, so narrow ones are as fast as wide ones. */
void clf_fold(clf_tensor *const *t, size_t count);
#define CLF_FOLD(...)                                                                                                  \
    clf_fold((clf_tensor *const[]){ __VA_ARGS__ }, sizeof((clf_tensor *[]){ __VA_ARGS__ }) / sizeof(clf_tensor *))

/* The four numbers as arguments, in the order in which all kernels take them. */
#define CLF_ARG_SWEEP(w) clf_arg_u64((w).rows), clf_arg_u64((w).columns), clf_arg_u64((w).block), clf_arg_u64((w).span)

#endif
