/* Thin QR of a layer on the host: modified Gram-Schmidt in double.  Of columns that nearly depend on each other Q is not
 * quite orthogonal, but R and the product Q R are accurate, and nothing else is used. */
#include "fusion/orthonormal.h"

#include <inttypes.h>
#include <math.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/shape.h"
#include "fusion/weight.h"

#define MOST_WORK (INT64_C(1) << 25) /* outputs times columns squared; two operations each */

/* [W | b], column by column, becomes Q, and R the weight and the bias of the coordinates. */
typedef struct factors {
    int64_t outputs, inputs, columns; /* columns: inputs and one for a bias */
    double *q;                        /* [columns, outputs] */
    double *weight, *bias;            /* [columns, inputs], [columns] */
} factors;

static bool readable(clf_host_tensor t)
{
    return t.data != NULL && (clf_is_float(t.dtype) || t.dtype == CLF_F64);
}

bool clf_orthonormal_pays(const clf_linear_layer *layer)
{
    const bool has_bias = clf_host_present(layer->bias);
    const int64_t outputs = layer->weight.dim[0], inputs = layer->weight.dim[1], columns = inputs + has_bias;

    return readable(layer->weight) && (!has_bias || readable(layer->bias)) && inputs < outputs &&
           columns <= outputs / 2 && columns <= MOST_WORK / outputs / columns;
}

static int64_t columns_of(const clf_linear_layer *layer)
{
    return layer->weight.dim[1] + clf_host_present(layer->bias);
}

uint64_t clf_orthonormal_products(const clf_linear_layer *layer, uint64_t *onto)
{
    const uint64_t columns = (uint64_t)columns_of(layer);

    *onto = columns * (uint64_t)layer->weight.dim[0];
    return columns * (uint64_t)layer->weight.dim[1];
}

static void read_columns(const clf_linear_layer *layer, const factors *f)
{
    for (int64_t i = 0; i < f->outputs; i++) {
        for (int64_t j = 0; j < f->inputs; j++)
            f->q[j * f->outputs + i] =
                clf_host_value(layer->weight.data, layer->weight.dtype, (size_t)(i * f->inputs + j));
        if (f->columns > f->inputs)
            f->q[f->inputs * f->outputs + i] = clf_host_value(layer->bias.data, layer->bias.dtype, (size_t)i);
    }
}

static double product(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* R[k, j]. */
static double *entry(const factors *f, int64_t k, int64_t j)
{
    return j < f->inputs ? f->weight + k * f->inputs + j : f->bias + k;
}

static void factorise(const factors *f)
{
    for (int64_t j = 0; j < f->columns; j++) {
        double *column = f->q + j * f->outputs;

        for (int64_t k = 0; k < j; k++) {
            const double *before = f->q + k * f->outputs, share = product(before, column, f->outputs);

            *entry(f, k, j) = share;
            for (int64_t i = 0; i < f->outputs; i++)
                column[i] -= share * before[i];
        }
        const double length = sqrt(product(column, column, f->outputs));
        *entry(f, j, j) = length;
        for (int64_t i = 0; i < f->outputs; i++)
            column[i] = length == 0 ? 0 : column[i] / length;
    }
}

static clf_status make_room(factors *f, const char *name, clf_error *err)
{
    const size_t columns = (size_t)f->columns;

    f->q = clf_alloc(columns * (size_t)f->outputs, sizeof *f->q);
    f->weight = clf_alloc(columns * (size_t)f->inputs, sizeof *f->weight);
    f->bias = clf_alloc(columns, sizeof *f->bias);
    if (f->q == NULL || f->weight == NULL || f->bias == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the factors of %" PRId64 " x %" PRId64, name,
                        f->outputs, f->columns);
    return CLF_OK;
}

static void free_room(factors *f)
{
    clf_free(f->q);
    clf_free(f->weight);
    clf_free(f->bias);
}

static clf_status upload(clf_context *ctx, const char *name, const factors *f, clf_linear_weight **coordinates,
                         clf_linear_weight **onto, clf_error *err)
{
    clf_linear_layer to_z = { .weight = { f->weight, CLF_F64, 2, { f->columns, f->inputs } } };
    const clf_linear_layer to_basis = { .weight = { f->q, CLF_F64, 2, { f->columns, f->outputs } } };

    if (f->columns > f->inputs)
        to_z.bias = (clf_host_tensor){ f->bias, CLF_F64, 1, { f->columns } };
    CLF_TRY(clf_weight_create(ctx, name, &to_z, CLF_F32, NULL, coordinates, err));
    return clf_weight_create(ctx, name, &to_basis, CLF_F32, NULL, onto, err);
}

clf_status clf_orthonormal_create(clf_context *ctx, const char *name, const clf_linear_layer *layer,
                                  const clf_tensor_source *source, clf_linear_weight **coordinates,
                                  clf_linear_weight **onto, clf_error *err)
{
    factors f = { .outputs = layer->weight.dim[0], .inputs = layer->weight.dim[1], .columns = columns_of(layer) };
    clf_status status = make_room(&f, name, err);

    *coordinates = *onto = NULL;
    if (status == CLF_OK) {
        read_columns(layer, &f);
        clf_weight_read(source, layer->weight);
        clf_weight_read(source, layer->bias);
        factorise(&f);
        status = upload(ctx, name, &f, coordinates, onto, err);
    }
    free_room(&f);
    if (status != CLF_OK) {
        clf_linear_weight_destroy(*coordinates);
        *coordinates = NULL;
    }
    return status;
}
