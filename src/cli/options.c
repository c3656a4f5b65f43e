/* The command line: one table of options, read with getopt_long. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/heatmap.h"
#include "core/alloc.h"
#include "core/size.h"

enum { MOST_REPEATS = 1000000, MOST_LAYERS = 1000000 };

typedef struct option_row {
    unsigned bit;
    const char *name;
    const char *value; /* NULL: takes none */
    const char *help;
} option_row;

static const option_row rows[] = {
    { CLF_OPTION_INPUT, "input", "NAME=FILE.npy", "an input of the connector; once for each" },
    { CLF_OPTION_OUTPUT, "output", "NAME=FILE.npy", "an output to compute and write; once for each" },
    { CLF_OPTION_OUTPUT, "output-type", "f32|f16", "type of the values written (f32)" },
    { CLF_OPTION_DEVICE, "device", "auto|cpu|gpu|P:D|SUBSTRING", "the device (CLFUSION_DEVICE, else auto)" },
    { CLF_OPTION_GEMM, "gemm", "auto|panel|clblast", "who computes matrix products (auto)" },
    { CLF_OPTION_WEIGHTS, "weights", "stored|f32|f16|bf16", "how weights lie in device memory (stored)" },
    { CLF_OPTION_FAMILY, "family", "NAME", "the family, where config.json does not say it" },
    { CLF_OPTION_SET, "set", "KEY=VALUE", "overrides a configuration key, dotted; may be repeated" },
    { CLF_OPTION_LAYER, "layer", "K", "which of several equal layers, from 0 in the order of the model (0)" },
    { CLF_OPTION_REPEAT, "repeat", "N", "N timed calls after one warm-up" },
    { CLF_OPTION_PROFILE, "profile", "FILE.json", "writes the times of all kernels as a Chrome trace" },
    { CLF_OPTION_SIZE, "size", "HxW", "height and width of a picture in pixels; once for each" },
    { CLF_OPTION_ENTROPY, "entropy", "FILE.npy", "writes the entropy of every row of attention: [layers, B, H, Q]" },
    { CLF_OPTION_SHAPE, "shape", "NAME=AxBx...", "the shape of an input, batch first; once for each" },
    { CLF_OPTION_LIST, "list", NULL, "names what there is; needs no device" },
    { CLF_OPTION_JSON, "json", NULL, "prints one JSON object" },
    { CLF_OPTION_IMAGE, "image", "FILE", "a PNG or JPEG for families that start from pixels" },
    { CLF_OPTION_HEATMAP, "heatmap", "PICTURE=OUT.png",
      "draws attention at --position, else relevance, over a PNG or JPEG" },
    { CLF_OPTION_HEATMAP, "position", "Q", "the text position or query whose attention is drawn, from 0" },
    { CLF_OPTION_HEATMAP, "head", "H", "one head of it, from 0 (the mean of all)" },
    { CLF_OPTION_HEATMAP, "grid", "HxW", "rows and columns of its keys (square, without a leading CLS)" },
};

/* What getopt_long returns: behind every character, so that optopt tells short options from long ones. */
enum { HELP_CODE = 1000, FIRST_ROW_CODE };

typedef struct choice {
    const char *text;
    int value;
} choice;

static const choice gemms[] = { { "auto", CLF_GEMM_AUTO },
                                { "panel", CLF_GEMM_PANEL },
                                { "clblast", CLF_GEMM_CLBLAST } };
static const choice storages[] = {
    { "stored", CLF_DTYPE_NONE }, { "f32", CLF_F32 }, { "f16", CLF_F16 }, { "bf16", CLF_BF16 }
};
static const choice output_types[] = { { "f32", CLF_F32 }, { "f16", CLF_F16 } };

static bool choose(const choice *choices, size_t count, const char *text, int *value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, choices[i].text) == 0) {
            *value = choices[i].value;
            return true;
        }
    return false;
}

/* Splits NAME=FILE.  False when a part is empty or the name stands there already; there is room for one more. */
static bool add_file(clf_cli_file *files, size_t *count, const char *text)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text || equals[1] == '\0')
        return false;
    const size_t length = (size_t)(equals - text);
    for (size_t i = 0; i < *count; i++)
        if (strlen(files[i].name) == length && memcmp(files[i].name, text, length) == 0)
            return false;
    files[*count] = (clf_cli_file){ .name = clf_strndup(text, length), .path = equals + 1 };
    if (files[*count].name == NULL)
        return false;
    (*count)++;
    return true;
}

/* A whole number from `least` to `most`. */
static bool set_number(const char *text, int64_t least, int64_t most, int64_t *number)
{
    char *end = NULL;
    const long long value = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;

    if (value < least || value > most || *end != '\0')
        return false;
    *number = value;
    return true;
}

/* HxW, both whole numbers above 0. */
static bool add_size(clf_cli_options *o, const char *text)
{
    clf_cli_size *size = &o->sizes[o->size_count];
    const size_t digits = strspn(text, "0123456789");
    char height[24];

    if (digits == 0 || digits >= sizeof height || (text[digits] != 'x' && text[digits] != 'X'))
        return false;
    memcpy(height, text, digits);
    height[digits] = '\0';
    if (!set_number(height, 1, CLF_TOKEN_PLAN_SIDE, &size->height) ||
        !set_number(text + digits + 1, 1, CLF_TOKEN_PLAN_SIDE, &size->width))
        return false;
    o->size_count++;
    return true;
}

/* NAME=AxBx...: the name is copied. */
static bool add_shape(clf_cli_options *o, const char *text)
{
    clf_value *value = &o->shapes[o->shape_count];
    const char *equals = strchr(text, '=');
    clf_dims dims = { .rank = 0 };
    const char *at = equals;

    if (equals == NULL || equals == text)
        return false;
    do {
        char *end = NULL;
        const long long dim = at[1] >= '0' && at[1] <= '9' ? strtoll(at + 1, &end, 10) : -1;

        if (dim < 1 || dim > CLF_TOKEN_PLAN_SIDE || dims.rank == CLF_MAX_RANK)
            return false;
        dims.dim[dims.rank++] = dim;
        at = end;
    } while (*at == 'x');
    if (*at != '\0')
        return false;
    *value = (clf_value){ .name = clf_strndup(text, (size_t)(equals - text)) };
    value->tensor = clf_tensor_shape(CLF_F32, dims);
    o->shape_count += value->name != NULL;
    return value->name != NULL;
}

static bool add_set(clf_cli_options *o, const char *text)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text)
        return false;
    o->sets[o->set_count++] = text;
    return true;
}

/* Takes one option.  False when the value breaks the rule of the row. */
static bool take_option(clf_cli_options *o, const option_row *row, const char *value)
{
    int chosen = 0;

    switch (row->bit) {
    case CLF_OPTION_JSON:
        o->json = true;
        return true;
    case CLF_OPTION_LIST:
        o->list = true;
        return true;
    case CLF_OPTION_DEVICE:
        o->device = value;
        return value[0] != '\0';
    case CLF_OPTION_FAMILY:
        o->family = value;
        return value[0] != '\0';
    case CLF_OPTION_PROFILE:
        o->profile = value;
        return value[0] != '\0';
    case CLF_OPTION_IMAGE:
        o->image = value;
        return value[0] != '\0';
    case CLF_OPTION_HEATMAP:
        return clf_cli_heatmap_take(&o->heatmap, row->name, value);
    case CLF_OPTION_SET:
        return add_set(o, value);
    case CLF_OPTION_REPEAT:
        return set_number(value, 1, MOST_REPEATS, &o->repeat);
    case CLF_OPTION_LAYER:
        return set_number(value, 0, MOST_LAYERS, &o->layer);
    case CLF_OPTION_ENTROPY:
        o->entropy = value;
        return value[0] != '\0';
    case CLF_OPTION_SHAPE:
        return add_shape(o, value);
    case CLF_OPTION_SIZE:
        return add_size(o, value);
    case CLF_OPTION_INPUT:
        return add_file(o->inputs, &o->input_count, value);
    case CLF_OPTION_GEMM:
        if (!choose(gemms, CLF_COUNT(gemms), value, &chosen))
            return false;
        o->gemm = (clf_gemm_choice)chosen;
        return true;
    case CLF_OPTION_WEIGHTS:
        if (!choose(storages, CLF_COUNT(storages), value, &chosen))
            return false;
        o->storage = (clf_dtype)chosen;
        return true;
    default: /* CLF_OPTION_OUTPUT: two rows */
        if (strcmp(row->name, "output") == 0)
            return add_file(o->outputs, &o->output_count, value);
        if (!choose(output_types, CLF_COUNT(output_types), value, &chosen))
            return false;
        o->output_type = (clf_dtype)chosen;
        return true;
    }
}

/* The rows that the sub-command takes, as getopt_long wants them; `val` is FIRST_ROW_CODE + the row's index. */
static void fill_options(const clf_cli_command *command, struct option *out)
{
    size_t count = 0;

    for (size_t i = 0; i < CLF_COUNT(rows); i++)
        if ((rows[i].bit & command->options) != 0)
            out[count++] = (struct option){ .name = rows[i].name,
                                            .has_arg = rows[i].value != NULL ? required_argument : no_argument,
                                            .flag = NULL,
                                            .val = FIRST_ROW_CODE + (int)i };
    out[count++] = (struct option){ .name = "help", .has_arg = no_argument, .flag = NULL, .val = HELP_CODE };
    out[count] = (struct option){ .name = NULL, .has_arg = 0, .flag = NULL, .val = 0 };
}

/* getopt_long has refused a word. */
static int refuse_option(const clf_cli_command *command, const char *word)
{
    if (optopt == HELP_CODE)
        return clf_cli_usage(command, "--help takes no value; want it alone");
    if (optopt >= FIRST_ROW_CODE)
        return clf_cli_usage(command, "--%s takes no value; want it alone", rows[optopt - FIRST_ROW_CODE].name);
    if (optopt != 0) /* inside a cluster such as -xy, getopt_long has not moved on: the word would be another */
        return clf_cli_usage(command, "-%c is no option of this command", optopt);
    return clf_cli_usage(command, "%s is no option of this command", word);
}

static int take_all(const clf_cli_command *command, int argc, char **argv, clf_cli_options *o)
{
    struct option table[CLF_COUNT(rows) + 2];
    int code;

    fill_options(command, table);
    opterr = 0; /* the line is ours */
    while ((code = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        if (code == ':')
            return clf_cli_usage(command, "%s has no value; want one behind it", argv[optind - 1]);
        if (code == '?')
            return refuse_option(command, argv[optind - 1]);
        if (code == HELP_CODE || code == 'h') {
            o->help = true;
            return -1;
        }
        const option_row *row = &rows[code - FIRST_ROW_CODE];
        if (!take_option(o, row, optarg))
            return clf_cli_usage(command, "--%s is %s; want %s%s", row->name, optarg, row->value,
                                 (row->bit & (CLF_OPTION_INPUT | CLF_OPTION_OUTPUT)) != 0 && strchr(optarg, '=') != NULL
                                     ? ", each name once"
                                     : "");
    }
    return -1;
}

int clf_cli_options_parse(const clf_cli_command *command, int argc, char **argv, clf_cli_options *o)
{
    const size_t room = (size_t)argc;

    *o = (clf_cli_options){ .output_type = CLF_F32, .heatmap = { .position = -1, .head = -1 } };
    o->sets = clf_alloc(room, sizeof *o->sets);
    o->sets_read = clf_alloc(room, sizeof *o->sets_read);
    o->inputs = clf_alloc(room, sizeof *o->inputs);
    o->outputs = clf_alloc(room, sizeof *o->outputs);
    o->sizes = clf_alloc(room, sizeof *o->sizes);
    o->shapes = clf_alloc(room, sizeof *o->shapes);
    if (o->sets == NULL || o->sets_read == NULL || o->inputs == NULL || o->outputs == NULL || o->sizes == NULL ||
        o->shapes == NULL)
        return clf_cli_failf("%s: no memory for the command line; free some memory", command->name);
    const int status = take_all(command, argc, argv, o);
    if (status >= 0 || o->help)
        return status;
    o->arguments = (const char *const *)(argv + optind);
    o->argument_count = (size_t)(argc - optind);
    if (o->argument_count > command->most_arguments)
        return clf_cli_usage(command, "%s is one argument too many", o->arguments[command->most_arguments]);
    return -1;
}

void clf_cli_options_free(clf_cli_options *o)
{
    for (size_t i = 0; o->inputs != NULL && i < o->input_count; i++)
        clf_free(o->inputs[i].name);
    for (size_t i = 0; o->outputs != NULL && i < o->output_count; i++)
        clf_free(o->outputs[i].name);
    clf_free(o->heatmap.file.name);
    clf_free(o->inputs);
    clf_free(o->outputs);
    clf_free(o->sets);
    clf_free(o->sets_read);
    clf_free(o->sizes);
    for (size_t i = 0; o->shapes != NULL && i < o->shape_count; i++)
        clf_free((void *)(uintptr_t)o->shapes[i].name);
    clf_free(o->shapes);
}

void clf_cli_options_print(const clf_cli_command *command)
{
    (void)printf("options:\n");
    for (size_t i = 0; i < CLF_COUNT(rows); i++)
        if ((rows[i].bit & command->options) != 0 && rows[i].help != NULL)
            (void)printf("  --%s%s%s\n      %s\n", rows[i].name, rows[i].value != NULL ? " " : "",
                         rows[i].value != NULL ? rows[i].value : "", rows[i].help);
    (void)printf("  --help\n      this text\n");
}
