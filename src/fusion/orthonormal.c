/* Thin QR of a layer on the host: modified Gram-Schmidt in double, whose loss of orthogonality f32 does not see. */
#include "fusion/orthonormal.h"

#include <inttypes.h>
#include <math.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/shape.h"
#include "fusion/weight.h"

#define MOST_WORK (INT64_C(1) << 25) /* outputs times columns squared; four operations each */
#define DEPENDENT 1e-10              /* of a column's length: a part of its own that products in f32 would lose */

/* [W | b], column by column, and what it is made into. */
typedef struct factors {
    int64_t rows, inputs, columns; /* columns: inputs and one for a bias */
    double *q;                     /* [columns, rows] */
    double *r;                     /* [columns, columns], upper triangle */
    float *onto;                   /* [columns, rows], q as it is uploaded */
    float *weight, *bias;          /* [columns, inputs], [columns]: r */
} factors;

static bool readable(clf_host_tensor t)
{
    return t.data != NULL && (clf_is_float(t.dtype) || t.dtype == CLF_F64);
}

static int64_t columns_of(const clf_linear_layer *layer)
{
    return layer->weight.dim[1] + clf_host_present(layer->bias);
}

bool clf_orthonormal_pays(const clf_linear_layer *layer)
{
    const int64_t rows = layer->weight.dim[0], columns = columns_of(layer);

    return readable(layer->weight) && (!clf_host_present(layer->bias) || readable(layer->bias)) &&
           columns <= rows / 2 && columns <= MOST_WORK / rows / columns;
}

static void read_columns(const clf_linear_layer *layer, const factors *f)
{
    for (int64_t i = 0; i < f->rows; i++) {
        for (int64_t j = 0; j < f->inputs; j++)
            f->q[j * f->rows + i] =
                clf_host_value(layer->weight.data, layer->weight.dtype, (size_t)(i * f->inputs + j));
        if (f->columns > f->inputs)
            f->q[f->inputs * f->rows + i] = clf_host_value(layer->bias.data, layer->bias.dtype, (size_t)i);
    }
}

static double product(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Takes from column j its share in the columns before it, and notes it. */
static void take_out(const factors *f, int64_t j)
{
    double *column = f->q + j * f->rows;

    for (int64_t k = 0; k < j; k++) {
        const double *before = f->q + k * f->rows, share = product(before, column, f->rows);

        f->r[k * f->columns + j] = share;
        for (int64_t i = 0; i < f->rows; i++)
            column[i] -= share * before[i];
    }
}

static void factorise(const factors *f)
{
    for (int64_t j = 0; j < f->columns; j++) {
        double *column = f->q + j * f->rows;
        const double whole = sqrt(product(column, column, f->rows));

        take_out(f, j);
        const double length = sqrt(product(column, column, f->rows)), own = length <= DEPENDENT * whole ? 0 : length;
        f->r[j * f->columns + j] = own;
        for (int64_t i = 0; i < f->rows; i++)
            column[i] = own == 0 ? 0 : column[i] / own;
    }
}

static void round_to_f32(const factors *f)
{
    for (int64_t i = 0; i < f->columns * f->rows; i++)
        f->onto[i] = (float)f->q[i];
    for (int64_t k = 0; k < f->columns; k++) {
        for (int64_t j = 0; j < f->inputs; j++)
            f->weight[k * f->inputs + j] = (float)f->r[k * f->columns + j];
        if (f->columns > f->inputs)
            f->bias[k] = (float)f->r[k * f->columns + f->inputs];
    }
}

static clf_status make_room(factors *f, const char *name, clf_error *err)
{
    const size_t C = (size_t)f->columns, N = (size_t)f->rows;

    f->q = clf_alloc(C * N, sizeof *f->q);
    f->r = clf_alloc(C * C, sizeof *f->r);
    f->onto = clf_alloc(C * N, sizeof *f->onto);
    f->weight = clf_alloc(C * (size_t)f->inputs, sizeof *f->weight);
    f->bias = clf_alloc(C, sizeof *f->bias);
    if (f->q == NULL || f->r == NULL || f->onto == NULL || f->weight == NULL || f->bias == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the factors of %" PRId64 " x %" PRId64, name,
                        f->rows, f->columns);
    return CLF_OK;
}

static void free_room(factors *f)
{
    clf_free(f->q);
    clf_free(f->r);
    clf_free(f->onto);
    clf_free(f->weight);
    clf_free(f->bias);
}

static void tell(const clf_tensor_source *source, clf_host_tensor t)
{
    uint64_t bytes;

    if (source != NULL && source->done != NULL && clf_host_present(t) && clf_host_bytes(t, &bytes))
        source->done(source->self, t.data, (size_t)bytes);
}

static clf_status upload(clf_context *ctx, const char *name, const factors *f, clf_linear_weight **coordinates,
                         clf_linear_weight **onto, clf_error *err)
{
    clf_linear_layer to_z = { .weight = { f->weight, CLF_F32, 2, { f->columns, f->inputs } } };
    const clf_linear_layer to_basis = { .weight = { f->onto, CLF_F32, 2, { f->columns, f->rows } } };

    if (f->columns > f->inputs)
        to_z.bias = (clf_host_tensor){ f->bias, CLF_F32, 1, { f->columns } };
    CLF_TRY(clf_weight_create(ctx, name, &to_z, CLF_F32, NULL, coordinates, err));
    return clf_weight_create(ctx, name, &to_basis, CLF_F32, NULL, onto, err);
}

clf_status clf_orthonormal_create(clf_context *ctx, const char *name, const clf_linear_layer *layer,
                                  const clf_tensor_source *source, clf_linear_weight **coordinates,
                                  clf_linear_weight **onto, clf_error *err)
{
    factors f = { .rows = layer->weight.dim[0], .inputs = layer->weight.dim[1], .columns = columns_of(layer) };
    clf_status status = make_room(&f, name, err);

    *coordinates = *onto = NULL;
    if (status == CLF_OK) {
        read_columns(layer, &f);
        tell(source, layer->weight);
        tell(source, layer->bias);
        factorise(&f);
        round_to_f32(&f);
        status = upload(ctx, name, &f, coordinates, onto, err);
    }
    free_room(&f);
    if (status != CLF_OK) {
        clf_linear_weight_destroy(*coordinates);
        *coordinates = NULL;
    }
    return status;
}
