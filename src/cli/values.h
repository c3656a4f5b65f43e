/* The inputs and outputs of `run`: npy files on one side, tensors on the device on the other. */
#ifndef CLF_CLI_VALUES_H
#define CLF_CLI_VALUES_H

#include <clfusion/connector.h>

#include "checkpoint/npy.h"
#include "cli/cli.h"

typedef struct clf_cli_value {
    clf_npy *file;           /* inputs */
    float *converted;        /* f64 values as f32; else NULL */
    clf_file_writer *writer; /* outputs */
    void *result;            /* outputs, host memory of the planned type */
    clf_host_tensor written; /* result in the type of --output-type */
    uint16_t *half;          /* behind `written`, or NULL */
} clf_cli_value;

/* Parallel arrays; values[i] is what the library sees, own[i] what stands behind it.  An entry whose path is NULL is no
 * file: an input that run fills in itself, an output for run alone. */
typedef struct clf_cli_values {
    const clf_cli_file *files; /* of the options */
    size_t count;
    clf_value *values;
    clf_cli_value *own;
} clf_cli_values;

/* Maps the files.  clf_cli_values_close also after an error. */
clf_status clf_cli_inputs_open(clf_cli_values *inputs, const clf_cli_options *options, clf_error *err);

/* Names without types and shapes, for clf_connector_plan. */
clf_status clf_cli_outputs_open(clf_cli_values *outputs, const clf_cli_options *options, clf_error *err);

/* Puts the floating-point inputs that `outputs` use on the device; ids and masks stay in host memory, and what no output
 * uses is not looked at.  Refuses inputs without elements.  The outputs have been planned.  Enqueued on s. */
clf_status clf_cli_inputs_upload(clf_cli_values *inputs, const clf_cli_values *outputs, const clf_connector *c,
                                 clf_stream *s, clf_error *err);

/* Makes device and host memory for outputs that have been planned. */
clf_status clf_cli_outputs_allocate(clf_cli_values *outputs, clf_stream *s, clf_error *err);

/* Enqueues the copies to the host. */
void clf_cli_outputs_download(clf_cli_values *outputs, clf_stream *s);

/* Writes all files; nothing shows before clf_cli_output_commit of each. */
clf_status clf_cli_outputs_write(clf_cli_values *outputs, clf_dtype type, clf_error *err);
clf_status clf_cli_output_commit(clf_cli_values *outputs, size_t index, clf_error *err);

void clf_cli_values_close(clf_cli_values *values, clf_context *ctx);

#endif
