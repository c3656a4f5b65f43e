/* CLBlast behind a table: opened at run time (it links the OpenCL loader, which may be absent), replaceable by tests. */
#ifndef CLF_GEMM_BLAST_TABLE_H
#define CLF_GEMM_BLAST_TABLE_H

#include "core/error.h"
#include "runtime/cl_table.h"

/* Values of clblast_c.h 1.5 to 1.7. */
#define CLF_BLAST_ROW_MAJOR 101
#define CLF_BLAST_COLUMN_MAJOR 102
#define CLF_BLAST_TRANSPOSE_NO 111
#define CLF_BLAST_SINGLE 32

typedef struct clf_blast_table {
    /* CLBlastSgemmWithTempBuffer: sizes and leading dimensions in elements; the queue is in and out. */
    int (*SgemmWithTempBuffer)(int layout, int a_transpose, int b_transpose, size_t m, size_t n, size_t k, float alpha,
                               cl_mem a, size_t a_offset, size_t a_ld, cl_mem b, size_t b_offset, size_t b_ld,
                               float beta, cl_mem c, size_t c_offset, size_t c_ld, cl_command_queue *queue,
                               cl_event *event, cl_mem temporary);
    /* CLBlastSGemmTempBufferSize (its own spelling): bytes that the call above needs. */
    int (*SGemmTempBufferSize)(int layout, int a_transpose, int b_transpose, size_t m, size_t n, size_t k,
                               size_t a_offset, size_t a_ld, size_t b_offset, size_t b_ld, size_t c_offset, size_t c_ld,
                               cl_command_queue *queue, size_t *bytes);
    int (*OverrideParameters)(cl_device_id device, const char *kernel, int precision, size_t count, const char **names,
                              const size_t *values);
    int (*ClearCache)(void);
} clf_blast_table;

/* Opens CLBlast once for the process.  CLF_UNSUPPORTED: not installed, or not built in. */
clf_status clf_blast_load(clf_error *err);
const clf_blast_table *clf_blast(void);
const clf_blast_table *clf_blast_replace(const clf_blast_table *table); /* as clf_cl_replace */

/* "temporary buffer too small" and the like; OpenCL's own names for its codes. */
const char *clf_blast_code_name(int code);

#endif
