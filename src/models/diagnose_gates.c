/* diagnose: the gates of a checkpoint, found by name. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <clfusion/diagnose.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/order.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "diagnose"

/* Names of gates.  A word behind the last dot of any name, or the whole name where a word alone says too little. */
static const struct gate_rule {
    const char *word;
    bool whole;
    clf_gate_branch branch;
} gate_rules[] = {
    { "attn_gate", false, CLF_GATE_ATTENTION }, /* openflamingo */
    { "ff_gate", false, CLF_GATE_FEED_FORWARD },
    { "alpha_attn", false, CLF_GATE_ATTENTION }, /* flamingo-mini */
    { "alpha_ffw", false, CLF_GATE_FEED_FORWARD },
    { "alpha_cross_attn", false, CLF_GATE_ATTENTION }, /* idefics */
    { "alpha_dense", false, CLF_GATE_FEED_FORWARD },
    { "cross_attn_attn_gate", false, CLF_GATE_ATTENTION }, /* mllama */
    { "cross_attn_mlp_gate", false, CLF_GATE_FEED_FORWARD },
    { "alpha", true, CLF_GATE_ATTENTION }, /* gated_cross_attention */
    { "gate", true, CLF_GATE_ATTENTION },  /* gated_cross_attention_dense */
};

/* OpenFlamingo keeps its layers in two places; a raw state dict has them under both names. */
#define IN_THE_DECODER ".gated_cross_attn_layer."
#define IN_A_LIST "lang_encoder.gated_cross_attn_layers."

static size_t prefix_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot == NULL ? 0 : (size_t)(dot - name) + 1;
}

/* xattn_{i}.alpha: gated_cross_attention_stack. */
static bool is_stack_gate(const char *name)
{
    const char *digits = name + strlen("xattn_");

    if (strncmp(name, "xattn_", strlen("xattn_")) != 0)
        return false;
    const size_t count = strspn(digits, "0123456789");
    return count > 0 && strcmp(digits + count, ".alpha") == 0;
}

static bool is_gate(const char *name, clf_gate_branch *branch)
{
    const size_t prefix = prefix_length(name);

    for (size_t i = 0; i < CLF_COUNT(gate_rules); i++)
        if (strcmp(gate_rules[i].whole ? name : name + prefix, gate_rules[i].word) == 0) {
            *branch = gate_rules[i].branch;
            return true;
        }
    *branch = CLF_GATE_ATTENTION;
    return is_stack_gate(name);
}

typedef struct gate_list {
    const char **names; /* of the source, in its order */
    size_t count;
    size_t capacity;
    bool in_the_decoder;
} gate_list;

static clf_status collect_gates(const clf_tensor_source *source, gate_list *list, clf_error *err)
{
    const size_t count = source->count(source->self);

    for (size_t i = 0; i < count; i++) {
        const char *name = source->name(source->self, i);
        clf_gate_branch branch;
        void *items = (void *)list->names;

        if (!is_gate(name, &branch))
            continue;
        CLF_TRY(clf_grow(&items, list->count, &list->capacity, sizeof *list->names, err));
        list->names = items;
        list->names[list->count++] = name;
        list->in_the_decoder = list->in_the_decoder || strstr(name, IN_THE_DECODER) != NULL;
    }
    return CLF_OK;
}

static void drop_second_names(gate_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (!list->in_the_decoder || strstr(list->names[i], IN_A_LIST) == NULL)
            list->names[kept++] = list->names[i];
    list->count = kept;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Byte order with numbers as numbers: layers.3 before layers.13.  Below 0, 0 or above, as strcmp. */
static int compare_names(const char *a, const char *b)
{
    while (*a != '\0' && (is_digit(*a) ? is_digit(*b) : *a == *b)) {
        if (!is_digit(*a)) {
            a++;
            b++;
            continue;
        }
        a += strspn(a, "0");
        b += strspn(b, "0");
        const size_t digits = strspn(a, "0123456789"), other = strspn(b, "0123456789");
        const int order = digits != other ? (digits < other ? -1 : 1) : strncmp(a, b, digits);
        if (order != 0)
            return order;
        a += digits;
        b += digits;
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

static int compare_indices(const void *context, uint32_t a, uint32_t b)
{
    const gate_list *list = context;

    return compare_names(list->names[a], list->names[b]);
}

static void add_value(clf_gate_report *g, double alpha, bool first)
{
    const double gate = tanh(alpha);

    g->alpha_min = first || alpha < g->alpha_min ? alpha : g->alpha_min;
    g->alpha_max = first || alpha > g->alpha_max ? alpha : g->alpha_max;
    g->alpha_mean += alpha / (double)g->elements;
    g->tanh_min = first || gate < g->tanh_min ? gate : g->tanh_min;
    g->tanh_max = first || gate > g->tanh_max ? gate : g->tanh_max;
    g->tanh_mean += gate / (double)g->elements;
}

static clf_status read_gate(const clf_tensor_source *source, const char *name, int32_t layer, clf_gate_report *g,
                            clf_error *err)
{
    const clf_text quoted = clf_text_quote(name, strlen(name));
    clf_host_tensor t;
    uint64_t bytes = 0;

    CLF_TRY(source->find(source->self, name, &t, err));
    CLF_REQUIRE(err, clf_is_float(t.dtype) || t.dtype == CLF_F64, CLF_UNSUPPORTED,
                "%s is %s; want a gate of f32, f16, bf16 or f64", quoted.text, CLF_HOST_TEXT(t));
    CLF_REQUIRE(err, clf_host_bytes(t, &bytes) && bytes > 0, CLF_INVALID_ARGUMENT, "%s is %s; want at least one value",
                quoted.text, CLF_HOST_TEXT(t));
    *g = (clf_gate_report){ .layer = layer, .elements = (int64_t)(bytes / clf_dtype_bytes(t.dtype)) };
    (void)clf_format(g->name, sizeof g->name, "%s", name);
    (void)is_gate(name, &g->branch);
    for (int64_t i = 0; i < g->elements; i++)
        add_value(g, clf_host_value(t.data, t.dtype, (size_t)i), i == 0);
    return CLF_OK;
}

/* Gates whose names differ in the last word alone belong to one layer. */
static clf_status read_in_order(const clf_tensor_source *source, const gate_list *list, const uint32_t *order,
                                clf_gate_report *gates, size_t capacity, clf_error *err)
{
    const char *last = NULL;
    int32_t layer = -1;

    for (size_t i = 0; i < list->count && i < capacity; i++) {
        const char *name = list->names[order[i]];
        const size_t prefix = prefix_length(name);

        if (last == NULL || prefix_length(last) != prefix || memcmp(last, name, prefix) != 0)
            layer++;
        last = name;
        CLF_TRY(read_gate(source, name, layer, &gates[i], err));
    }
    return CLF_OK;
}

static clf_status read_list(const clf_tensor_source *source, gate_list *list, clf_gate_report *gates, size_t capacity,
                            clf_error *err)
{
    uint32_t *order;

    CLF_TRY(collect_gates(source, list, err));
    drop_second_names(list);
    order = clf_alloc(list->count, sizeof *order);
    CLF_REQUIRE(err, order != NULL && list->count <= UINT32_MAX, CLF_OUT_OF_MEMORY, "no host memory for %zu gates",
                list->count);
    for (size_t i = 0; i < list->count; i++)
        order[i] = (uint32_t)i;
    clf_status status = clf_order(order, list->count, compare_indices, list, err);
    if (status == CLF_OK)
        status = read_in_order(source, list, order, gates, capacity, err);
    clf_free(order);
    return status;
}

clf_status clf_diagnose_gates(const clf_tensor_source *source, clf_gate_report *gates, size_t capacity, size_t *count,
                              clf_error *err)
{
    gate_list list = { .names = NULL };

    CLF_REQUIRE(err, source != NULL && count != NULL && (gates != NULL || capacity == 0), CLF_INVALID_ARGUMENT,
                "%s is NULL; want memory",
                source == NULL  ? "source"
                : count == NULL ? "count"
                                : "gates");
    const clf_status status = read_list(source, &list, gates, capacity, err);
    *count = status == CLF_OK ? list.count : 0;
    clf_free((void *)list.names);
    return status;
}

clf_status clf_diagnose_gates_open(const char *path, clf_gate_report *gates, size_t capacity, size_t *count,
                                   clf_error *err)
{
    clf_checkpoint *checkpoint = NULL;

    CLF_TRY(clf_checkpoint_open(path, &checkpoint, err));
    const clf_status status = clf_diagnose_gates(clf_checkpoint_source(checkpoint), gates, capacity, count, err);
    clf_checkpoint_close(checkpoint);
    return status;
}
