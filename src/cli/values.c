/* values: npy files in, npy files out, device tensors between them. */
#include "cli/values.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/text.h"

#define CLF_OP "run"

static clf_status allocate(clf_cli_values *v, const clf_cli_file *files, size_t count, clf_error *err)
{
    v->files = files;
    v->values = clf_alloc(count, sizeof *v->values);
    v->own = clf_alloc(count, sizeof *v->own);
    CLF_REQUIRE(err, v->values != NULL && v->own != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu names", count);
    v->count = count;
    return CLF_OK;
}

static clf_tensor shape_of(clf_host_tensor t)
{
    clf_dims dims = { .rank = t.rank };

    for (int32_t i = 0; i < t.rank; i++)
        dims.dim[i] = t.dim[i];
    return clf_tensor_shape(t.dtype, dims);
}

/* Files hold f64, devices f32. */
static clf_status convert(clf_cli_value *own, clf_value *value, clf_error *err)
{
    const size_t count = (size_t)clf_element_count(value->tensor);

    own->converted = clf_alloc(count, sizeof *own->converted);
    CLF_REQUIRE(err, own->converted != NULL, CLF_OUT_OF_MEMORY, "no memory for %s %s as f32", value->name,
                CLF_TEXT(value->tensor));
    clf_host_to_f32(value->host, CLF_F64, count, own->converted);
    value->host = own->converted;
    value->tensor.dtype = CLF_F32;
    return CLF_OK;
}

static clf_status open_input(const clf_cli_file *file, clf_cli_value *own, clf_value *value, clf_error *err)
{
    value->name = file->name;
    if (file->path == NULL)
        return CLF_OK;
    CLF_TRY(clf_npy_open(file->path, &own->file, err));
    const clf_host_tensor t = clf_npy_tensor(own->file);
    value->name = file->name;
    value->tensor = shape_of(t);
    /* The library reads inputs and never writes them, as connector.h says: the cast takes nothing from `const`. */
    value->host = (void *)(uintptr_t)t.data;
    return CLF_OK;
}

clf_status clf_cli_inputs_open(clf_cli_values *inputs, const clf_cli_options *options, clf_error *err)
{
    CLF_TRY(allocate(inputs, options->inputs, options->input_count, err));
    for (size_t i = 0; i < inputs->count; i++)
        CLF_TRY(open_input(&inputs->files[i], &inputs->own[i], &inputs->values[i], err));
    return CLF_OK;
}

clf_status clf_cli_outputs_open(clf_cli_values *outputs, const clf_cli_options *options, clf_error *err)
{
    CLF_TRY(allocate(outputs, options->outputs, options->output_count, err));
    for (size_t i = 0; i < outputs->count; i++)
        outputs->values[i].name = outputs->files[i].name;
    return CLF_OK;
}

/* The device form of the value's shape, in value->tensor. */
static clf_status to_device(clf_context *ctx, clf_value *value, clf_error *err)
{
    return clf_tensor_create(ctx, value->tensor.dtype, clf_tensor_dims(value->tensor), &value->tensor, err);
}

/* True when `name` is one of the words of the list. */
static bool lists(const char *words, const char *name)
{
    const size_t length = strlen(name);

    for (const char *c = words; c != NULL && *c != '\0';) {
        const size_t word = strcspn(c, " ");
        if (word == length && memcmp(c, name, length) == 0)
            return true;
        c += word + (c[word] == ' ' ? 1 : 0);
    }
    return false;
}

/* True when one of the outputs needs the input, or takes it when it is given. */
static bool used(const clf_connector_info *info, const char *input, const clf_cli_values *outputs)
{
    for (size_t i = 0; i < info->input_count; i++)
        for (size_t k = 0; strcmp(info->inputs[i].name, input) == 0 && k < outputs->count; k++)
            if (lists(info->inputs[i].needed_by, outputs->files[k].name) ||
                lists(info->inputs[i].taken_by, outputs->files[k].name))
                return true;
    return false;
}

static clf_status upload(clf_cli_value *own, clf_value *value, clf_stream *s, clf_error *err)
{
    CLF_REQUIRE(err, clf_element_count(value->tensor) > 0, CLF_INVALID_ARGUMENT, "%s is %s; want at least one element",
                value->name, CLF_TEXT(value->tensor));
    if (value->tensor.dtype == CLF_F64)
        CLF_TRY(convert(own, value, err));
    if (!clf_is_float(value->tensor.dtype))
        return CLF_OK;
    CLF_TRY(to_device(clf_stream_context(s), value, err));
    clf_upload(s, value->host, value->tensor);
    return CLF_OK;
}

clf_status clf_cli_inputs_upload(clf_cli_values *inputs, const clf_cli_values *outputs, const clf_connector *c,
                                 clf_stream *s, clf_error *err)
{
    const clf_connector_info info = clf_connector_describe(c);

    for (size_t i = 0; i < inputs->count; i++)
        if (inputs->values[i].tensor.mem == NULL && used(&info, inputs->files[i].name, outputs))
            CLF_TRY(upload(&inputs->own[i], &inputs->values[i], s, err));
    return CLF_OK;
}

clf_status clf_cli_outputs_allocate(clf_cli_values *outputs, clf_stream *s, clf_error *err)
{
    for (size_t i = 0; i < outputs->count; i++) {
        clf_value *value = &outputs->values[i];
        const int64_t count = clf_element_count(value->tensor);
        CLF_REQUIRE(err, count > 0, CLF_INVALID_ARGUMENT, "%s would be %s; want at least one element", value->name,
                    CLF_TEXT(value->tensor));
        outputs->own[i].result = clf_alloc((size_t)count, clf_dtype_bytes(value->tensor.dtype));
        CLF_REQUIRE(err, outputs->own[i].result != NULL, CLF_OUT_OF_MEMORY, "no memory for %s %s", value->name,
                    CLF_TEXT(value->tensor));
        CLF_TRY(to_device(clf_stream_context(s), value, err));
    }
    return CLF_OK;
}

void clf_cli_outputs_download(clf_cli_values *outputs, clf_stream *s)
{
    for (size_t i = 0; i < outputs->count; i++)
        clf_download(s, outputs->values[i].tensor, outputs->own[i].result);
}

static clf_status to_half(clf_cli_value *own, const clf_value *value, clf_error *err)
{
    const size_t count = (size_t)clf_element_count(value->tensor);
    const float *from = own->result;

    own->half = clf_alloc(count, sizeof *own->half);
    CLF_REQUIRE(err, own->half != NULL, CLF_OUT_OF_MEMORY, "no memory for %s %s as f16", value->name,
                CLF_TEXT(value->tensor));
    for (size_t i = 0; i < count; i++)
        own->half[i] = clf_f32_to_f16(from[i]);
    own->written.data = own->half;
    own->written.dtype = CLF_F16;
    return CLF_OK;
}

static clf_status write_output(const clf_cli_file *file, clf_cli_value *own, const clf_value *value, clf_dtype type,
                               clf_error *err)
{
    own->written = (clf_host_tensor){ .data = own->result, .dtype = value->tensor.dtype, .rank = value->tensor.rank };
    for (int32_t i = 0; i < value->tensor.rank; i++)
        own->written.dim[i] = value->tensor.dim[i];
    if (type == CLF_F16 && value->tensor.dtype == CLF_F32)
        CLF_TRY(to_half(own, value, err));
    return clf_npy_write(file->path, own->written, &own->writer, err);
}

clf_status clf_cli_outputs_write(clf_cli_values *outputs, clf_dtype type, clf_error *err)
{
    for (size_t i = 0; i < outputs->count; i++)
        if (outputs->files[i].path != NULL)
            CLF_TRY(write_output(&outputs->files[i], &outputs->own[i], &outputs->values[i], type, err));
    return CLF_OK;
}

clf_status clf_cli_output_commit(clf_cli_values *outputs, size_t index, clf_error *err)
{
    clf_file_writer *writer = outputs->own[index].writer;

    outputs->own[index].writer = NULL; /* gone in any case */
    return writer != NULL ? clf_file_writer_commit(writer, err) : CLF_OK;
}

void clf_cli_values_close(clf_cli_values *v, clf_context *ctx)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->values[i].tensor.mem != NULL)
            clf_tensor_free(ctx, &v->values[i].tensor);
        clf_npy_close(v->own[i].file);
        clf_file_writer_abandon(v->own[i].writer);
        clf_free(v->own[i].converted);
        clf_free(v->own[i].result);
        clf_free(v->own[i].half);
    }
    clf_free(v->values);
    clf_free(v->own);
    *v = (clf_cli_values){ .count = 0 };
}
