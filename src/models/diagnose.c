/* diagnose: attention collapse and entropy, blind baseline.  The gates of a checkpoint: diagnose_gates.c. */
#include "models/diagnose.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "diagnose"

/* ---- attention ---- */

/* Sizes of the weights; B is the product of what stands before H, 1 where that is nothing. */
typedef struct weight_sizes {
    int64_t B, H, Q, K;
} weight_sizes;

typedef struct head_sum {
    double entropy; /* of `rows` rows */
    int64_t rows;
    double largest;
} head_sum;

static clf_status read_sizes(clf_dims shape, weight_sizes *n, clf_error *err)
{
    CLF_REQUIRE(err, shape.rank >= 3 && shape.rank <= CLF_MAX_RANK, CLF_INVALID_ARGUMENT,
                "attention has %" PRId32 " dimensions; want 4, [B, H, Q, K], or 3 without a batch", shape.rank);
    const clf_tensor t = clf_tensor_shape(CLF_F32, shape);
    const int64_t *dim = shape.dim + shape.rank - 3;

    CLF_REQUIRE(err, clf_element_count(t) > 0, CLF_INVALID_ARGUMENT,
                "attention is %s; want [B, H, Q, K] with dimensions above 0", CLF_TEXT(t));
    *n =
        (weight_sizes){ .B = clf_element_count(t) / (dim[0] * dim[1] * dim[2]), .H = dim[0], .Q = dim[1], .K = dim[2] };
    return CLF_OK;
}

/* Of one row of K weights; false when all are 0.  -p ln p is 0 at 0. */
static bool row_entropy(const float *p, int64_t K, double *entropy)
{
    bool sees = false;

    *entropy = 0.0;
    for (int64_t k = 0; k < K; k++) {
        if (p[k] != 0.0F)
            *entropy -= (double)p[k] * log((double)p[k]);
        sees = sees || p[k] != 0.0F;
    }
    return sees;
}

/* One row of K weights; peaks[k] is the largest of the key so far. */
static void add_row(const float *p, int64_t K, float *peaks, head_sum *head)
{
    double entropy;
    const bool sees = row_entropy(p, K, &entropy);

    for (int64_t k = 0; k < K; k++) {
        if (p[k] > peaks[k])
            peaks[k] = p[k];
        head->largest = p[k] > head->largest ? (double)p[k] : head->largest;
    }
    head->entropy += sees ? entropy : 0.0;
    head->rows += sees;
}

static int64_t count_above(const float *values, int64_t count, double threshold)
{
    int64_t above = 0;

    for (int64_t i = 0; i < count; i++)
        above += (double)values[i] > threshold;
    return above;
}

static clf_head_report head_report(const head_sum *sum, int64_t K, double threshold)
{
    const double entropy = sum->rows > 0 ? sum->entropy / (double)sum->rows : (double)NAN;

    return (clf_head_report){
        .entropy = entropy,
        .relative_entropy = K > 1 ? entropy / log((double)K) : 0.0 * entropy,
        .largest = sum->largest,
        .collapsed = sum->largest > threshold,
    };
}

static void add_head(clf_attention_report *r, const weight_sizes *n, const head_sum *sum, const clf_head_report *head)
{
    r->entropy += head->entropy / (double)n->H;
    r->relative_entropy += head->relative_entropy / (double)n->H;
    r->largest = head->largest > r->largest ? head->largest : r->largest;
    r->collapsed_heads += head->collapsed;
    r->unseeing_rows += n->B * n->Q - sum->rows;
}

static void read_weights(const float *weights, const weight_sizes *n, double threshold, float *peaks, head_sum *sums,
                         clf_head_report *heads, clf_attention_report *report)
{
    *report = (clf_attention_report){ .heads = n->H, .tokens = n->B * n->K };
    for (int64_t b = 0; b < n->B; b++) {
        memset(peaks, 0, (size_t)n->K * sizeof *peaks);
        for (int64_t row = 0; row < n->H * n->Q; row++, weights += n->K)
            add_row(weights, n->K, peaks, &sums[row / n->Q]);
        report->collapsed_tokens += count_above(peaks, n->K, threshold);
    }
    for (int64_t h = 0; h < n->H; h++) {
        const clf_head_report head = head_report(&sums[h], n->K, threshold);

        add_head(report, n, &sums[h], &head);
        if (heads != NULL)
            heads[h] = head;
    }
}

clf_status clf_diagnose_entropy(const float *weights, clf_dims shape, float *entropy, clf_error *err)
{
    weight_sizes n = { .B = 1, .H = 1, .Q = 1, .K = 1 };

    CLF_REQUIRE(err, weights != NULL && entropy != NULL, CLF_INVALID_ARGUMENT, "%s is NULL; want memory",
                weights == NULL ? "weights" : "entropy");
    CLF_TRY(read_sizes(shape, &n, err));
    for (int64_t row = 0; row < n.B * n.H * n.Q; row++) {
        double value;

        entropy[row] = row_entropy(weights + row * n.K, n.K, &value) ? (float)value : (float)NAN;
    }
    return CLF_OK;
}

clf_status clf_diagnose_attention(const float *weights, clf_dims shape, double threshold, clf_head_report *heads,
                                  clf_attention_report *report, clf_error *err)
{
    weight_sizes n = { .B = 1, .H = 1, .Q = 1, .K = 1 };

    CLF_REQUIRE(err, weights != NULL && report != NULL, CLF_INVALID_ARGUMENT, "%s is NULL; want memory",
                weights == NULL ? "weights" : "report");
    CLF_REQUIRE(err, threshold >= 0.0 && threshold <= 1.0, CLF_INVALID_ARGUMENT, "threshold is %g; want 0 to 1",
                threshold);
    CLF_TRY(read_sizes(shape, &n, err));
    float *peaks = clf_alloc((size_t)n.K, sizeof *peaks);
    head_sum *sums = clf_alloc((size_t)n.H, sizeof *sums);
    const bool there = peaks != NULL && sums != NULL;

    if (there)
        read_weights(weights, &n, threshold, peaks, sums, heads, report);
    clf_free(peaks);
    clf_free(sums);
    CLF_REQUIRE(err, there, CLF_OUT_OF_MEMORY, "no host memory for %" PRId64 " keys", n.K);
    return CLF_OK;
}

/* ---- blind baseline ---- */

static bool is_visual(const char *name)
{
    static const char *const names[] = { "image", "textures", "vision", "media" };

    for (size_t i = 0; i < CLF_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "deepstack.", strlen("deepstack.")) == 0;
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

bool clf_diagnose_sees(const clf_connector *c, const clf_value *inputs, size_t input_count, const char *output)
{
    const clf_connector_info info = clf_connector_describe(c);

    for (size_t i = 0; i < input_count; i++)
        for (size_t k = 0; is_visual(inputs[i].name) && k < info.input_count; k++)
            if (strcmp(info.inputs[k].name, inputs[i].name) == 0 &&
                (lists(info.inputs[k].needed_by, output) || lists(info.inputs[k].taken_by, output)))
                return true;
    return false;
}

/* Both results, and the inputs with zeros. */
typedef struct blind_work {
    clf_value *inputs;
    void **zeros; /* by input; NULL for those that stay */
    float *real, *blank;
} blind_work;

static clf_status blank_inputs(blind_work *w, const clf_value *inputs, size_t count, clf_error *err)
{
    w->inputs = clf_alloc(count, sizeof *w->inputs);
    w->zeros = clf_alloc(count, sizeof *w->zeros);
    CLF_REQUIRE(err, w->inputs != NULL && w->zeros != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu inputs", count);
    for (size_t i = 0; i < count; i++) {
        const int64_t elements = clf_element_count(inputs[i].tensor);

        w->inputs[i] = inputs[i];
        if (!is_visual(inputs[i].name) || elements <= 0)
            continue;
        w->zeros[i] = clf_alloc((size_t)elements, clf_dtype_bytes(inputs[i].tensor.dtype));
        CLF_REQUIRE(err, w->zeros[i] != NULL, CLF_OUT_OF_MEMORY, "no host memory for zeros like %s %s", inputs[i].name,
                    CLF_TEXT(inputs[i].tensor));
        w->inputs[i].tensor =
            clf_tensor_shape(inputs[i].tensor.dtype, clf_tensor_dims(inputs[i].tensor)); /* device or not: host */
        w->inputs[i].host = w->zeros[i];
    }
    return CLF_OK;
}

static void free_work(blind_work *w, size_t count)
{
    for (size_t i = 0; w->zeros != NULL && i < count; i++)
        clf_free(w->zeros[i]);
    clf_free(w->zeros);
    clf_free(w->inputs);
    clf_free(w->real);
    clf_free(w->blank);
}

static double relative_difference(const float *real, const float *blank, size_t count)
{
    double change = 0.0, size = 0.0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)real[i] - (double)blank[i];

        change += d * d;
        size += (double)real[i] * (double)real[i];
    }
    return change == 0.0 ? 0.0 : sqrt(change / size);
}

/* Pruning keeps other tokens without the picture: there is nothing to compare then. */
static clf_status same_shape(const clf_connector *c, const clf_value *inputs, size_t count, const clf_value *output,
                             bool *same, clf_error *err)
{
    clf_value planned = { .name = output->name };

    CLF_TRY(clf_connector_plan(c, inputs, count, &planned, 1, err));
    *same = clf_shape_is(planned.tensor, clf_tensor_dims(output->tensor));
    return CLF_OK;
}

static clf_status run_both(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t count,
                           clf_value output, blind_work *w, double *difference, clf_error *err)
{
    const size_t elements = (size_t)clf_element_count(output.tensor);
    bool same;

    CLF_TRY(blank_inputs(w, inputs, count, err));
    CLF_TRY(same_shape(c, w->inputs, count, &output, &same, err));
    if (!same) {
        *difference = 1.0;
        return CLF_OK;
    }

    w->real = clf_alloc(elements, sizeof *w->real);
    w->blank = clf_alloc(elements, sizeof *w->blank);
    CLF_REQUIRE(err, w->real != NULL && w->blank != NULL, CLF_OUT_OF_MEMORY, "no host memory for two of %s %s",
                output.name, CLF_TEXT(output.tensor));
    output.host = w->real;
    CLF_TRY(clf_connector_run(s, c, inputs, count, &output, 1, err));
    output.host = w->blank;
    CLF_TRY(clf_connector_run(s, c, w->inputs, count, &output, 1, err));
    *difference = relative_difference(w->real, w->blank, elements);
    return CLF_OK;
}

clf_status clf_diagnose_blind(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t input_count,
                              const char *output, double *difference, clf_error *err)
{
    clf_value planned = { .name = output };
    blind_work w = { .inputs = NULL };

    CLF_TRY(clf_connector_plan(c, inputs, input_count, &planned, 1, err));
    CLF_REQUIRE(err, planned.tensor.dtype == CLF_F32, CLF_UNSUPPORTED, "output %s is %s; want floating-point values",
                output, clf_dtype_name(planned.tensor.dtype));
    CLF_REQUIRE(err, clf_diagnose_sees(c, inputs, input_count, output), CLF_INVALID_ARGUMENT,
                "no visual input of %s is given; want image, vision, media or deepstack.K", output);
    const clf_status status = run_both(s, c, inputs, input_count, planned, &w, difference, err);
    free_work(&w, input_count);
    return status;
}
