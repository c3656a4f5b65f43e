/* entropy map: rows of layers, collected and written as one array. */
#include "cli/entropy_map.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"

#define CLF_OP "--entropy"

static size_t row_count(const clf_cli_entropy_map *m)
{
    return (size_t)clf_element_count(clf_tensor_shape(CLF_F32, m->row));
}

clf_status clf_cli_entropy_map_add(clf_cli_entropy_map *m, const float *weights, clf_dims shape, clf_error *err)
{
    clf_dims row = shape;
    void *values = m->values;

    if (m->path == NULL)
        return CLF_OK;
    row.rank--; /* without the keys */
    row.dim[row.rank] = 0;
    CLF_REQUIRE(err, m->layers == 0 || memcmp(&row, &m->row, sizeof row) == 0, CLF_UNSUPPORTED,
                "layer %zu has rows %s; want %s, as the layers before have", m->layers,
                CLF_TEXT(clf_tensor_shape(CLF_F32, row)), CLF_TEXT(clf_tensor_shape(CLF_F32, m->row)));
    m->row = row;
    CLF_TRY(clf_grow(&values, m->layers, &m->capacity, row_count(m) * sizeof(float), err));
    m->values = values;
    CLF_TRY(clf_diagnose_entropy(weights, shape, m->values + m->layers * row_count(m), err));
    m->layers++;
    return CLF_OK;
}

clf_status clf_cli_entropy_map_write(clf_cli_entropy_map *m, clf_error *err)
{
    clf_host_tensor t = { .data = m->values, .dtype = CLF_F32, .rank = m->row.rank + 1 };

    if (m->path == NULL)
        return CLF_OK;
    CLF_REQUIRE(err, m->layers > 0, CLF_INVALID_ARGUMENT, "no layer gives attention; want inputs that it needs");
    CLF_REQUIRE(err, t.rank <= CLF_MAX_RANK, CLF_UNSUPPORTED, "attention has %d dimensions; want at most %d",
                (int)m->row.rank + 1, CLF_MAX_RANK);
    t.dim[0] = (int64_t)m->layers;
    memcpy(t.dim + 1, m->row.dim, (size_t)m->row.rank * sizeof t.dim[0]);
    return clf_npy_write(m->path, t, &m->writer, err);
}

clf_status clf_cli_entropy_map_commit(clf_cli_entropy_map *m, clf_error *err)
{
    clf_file_writer *writer = m->writer;

    m->writer = NULL; /* gone in any case */
    return writer != NULL ? clf_file_writer_commit(writer, err) : CLF_OK;
}

void clf_cli_entropy_map_close(clf_cli_entropy_map *m)
{
    clf_file_writer_abandon(m->writer);
    clf_free(m->values);
    *m = (clf_cli_entropy_map){ .path = NULL };
}
