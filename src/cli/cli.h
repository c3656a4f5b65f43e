/* The command `clfusion`: what its files share.
 *
 * Results go to stdout, everything else to stderr.  A sub-command returns an exit status; a failing one prints exactly
 * one line, "clfusion: what failed: value; rule; what to do".  One that succeeds prints none, but a note for a key of
 * --set that changed nothing. */
#ifndef CLF_CLI_CLI_H
#define CLF_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/clfusion.h>

enum { CLF_EXIT_DONE = 0, CLF_EXIT_FAILED = 1, CLF_EXIT_USAGE = 2 };

/* NAME=FILE of --input and --output. */
typedef struct clf_cli_file {
    char *name;
    const char *path; /* into argv */
} clf_cli_file;

/* HxW of --size: a picture in pixels. */
typedef struct clf_cli_size {
    int64_t height, width;
} clf_cli_size;

/* --heatmap and what goes with it. */
typedef struct clf_cli_heatmap_options {
    bool given;             /* any of them */
    clf_cli_file file;      /* name: the picture; path: the result; NULL without --heatmap */
    int64_t position, head; /* -1: not given */
    int64_t height, width;  /* of --grid; 0: not given */
} clf_cli_heatmap_options;

/* The command line after parsing.  Text belongs to argv but for the names of files. */
typedef struct clf_cli_options {
    bool json;
    bool list;
    bool help;
    const char *device; /* NULL: not given */
    clf_gemm_choice gemm;
    clf_dtype storage; /* --weights; CLF_DTYPE_NONE: stored */
    const char *family;
    const char *profile;
    const char *entropy;
    const char *image;
    clf_cli_heatmap_options heatmap;
    int64_t repeat; /* 0: not given */
    int64_t layer;
    clf_dtype output_type; /* CLF_F32 or CLF_F16 */
    const char **sets;
    size_t set_count;
    bool *sets_read; /* of each: something has read it */
    clf_cli_file *inputs;
    size_t input_count;
    clf_cli_file *outputs;
    size_t output_count;
    clf_cli_size *sizes;
    size_t size_count;
    clf_value *shapes; /* of --shape: names, and f32 tensors without memory */
    size_t shape_count;
    const char *const *arguments; /* what stands between the options */
    size_t argument_count;
} clf_cli_options;

/* Options of the command; a sub-command takes some of them. */
enum {
    CLF_OPTION_JSON = 1 << 0,
    CLF_OPTION_DEVICE = 1 << 1,
    CLF_OPTION_GEMM = 1 << 2,
    CLF_OPTION_WEIGHTS = 1 << 3,
    CLF_OPTION_FAMILY = 1 << 4,
    CLF_OPTION_SET = 1 << 5,
    CLF_OPTION_REPEAT = 1 << 6,
    CLF_OPTION_PROFILE = 1 << 7,
    CLF_OPTION_INPUT = 1 << 8,
    CLF_OPTION_OUTPUT = 1 << 9,
    CLF_OPTION_LIST = 1 << 10,
    CLF_OPTION_LAYER = 1 << 11,
    CLF_OPTION_SIZE = 1 << 16,
    CLF_OPTION_SHAPE = 1 << 17,
    CLF_OPTION_ENTROPY = 1 << 18,
    CLF_OPTION_IMAGE = 1 << 12,
    CLF_OPTION_HEATMAP = 1 << 13
};

typedef struct clf_cli_command {
    const char *name;
    const char *usage;   /* what follows the name on the usage line */
    const char *summary; /* one line */
    const char *text;    /* the rest of --help */
    unsigned options;    /* CLF_OPTION_... */
    size_t most_arguments;
    bool no_checkpoint;                         /* --family and --set are taken as by others, and not read: no notes */
    int (*run)(const clf_cli_options *options); /* returns the exit status */
} clf_cli_command;

extern const clf_cli_command clf_cli_devices;
extern const clf_cli_command clf_cli_inspect;
extern const clf_cli_command clf_cli_plan;
extern const clf_cli_command clf_cli_run;
extern const clf_cli_command clf_cli_diagnose;
extern const clf_cli_command clf_cli_bench;
extern const clf_cli_command clf_cli_selftest;

/* Parses the words behind the sub-command's name; argv[0] is that name.  Returns -1 to go on, else an exit status,
 * with the line printed.  clf_cli_options_free in any case. */
int clf_cli_options_parse(const clf_cli_command *command, int argc, char **argv, clf_cli_options *options);
void clf_cli_options_free(clf_cli_options *options);

/* One line for each option that the sub-command takes. */
void clf_cli_options_print(const clf_cli_command *command);

/* A line for each key of --set that nothing has read: a run that succeeds may not be the one that was meant. */
void clf_cli_note_sets(const clf_cli_options *options);

/* Prints the record as one line with the advice behind it; returns CLF_EXIT_FAILED. */
int clf_cli_fail(const clf_error *err, const char *advice);

/* The same for a record that is made here. */
int clf_cli_failf(const char *format, ...) CLF_PRINTF(1, 2);

/* Wrong usage of `command` (NULL: of the whole); returns CLF_EXIT_USAGE. */
int clf_cli_usage(const clf_cli_command *command, const char *format, ...) CLF_PRINTF(2, 3);

#endif
