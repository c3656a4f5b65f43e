/* --heatmap: the attention of one query over a picture, or without --position a map of relevance, as a PNG. */
#ifndef CLF_CLI_HEATMAP_H
#define CLF_CLI_HEATMAP_H

#include <clfusion/picture.h>

#include "checkpoint/file_writer.h"
#include "cli/cli.h"
#include "cli/values.h"

/* Without --heatmap every function succeeds and does nothing. */
typedef struct clf_cli_heatmap {
    const clf_cli_heatmap_options *options;
    clf_picture picture, drawn;
    clf_file_writer *writer;
} clf_cli_heatmap;

/* Takes one of --heatmap, --position, --head, --grid.  False when the value breaks its rule. */
bool clf_cli_heatmap_take(clf_cli_heatmap_options *o, const char *name, const char *value);

/* A usage error when options are given that need --heatmap, or --head without --position; else CLF_EXIT_DONE. */
int clf_cli_heatmap_check(const clf_cli_command *command, const clf_cli_heatmap_options *o);

/* The output that is drawn: "attention" or "relevance". */
const char *clf_cli_heatmap_output(const clf_cli_heatmap_options *o);

/* Reads the picture.  clf_cli_heatmap_close also after an error. */
clf_status clf_cli_heatmap_open(clf_cli_heatmap *h, const clf_cli_heatmap_options *options, clf_error *err);

/* Draws from that output, which has been downloaded; uses the stream and finishes it. */
clf_status clf_cli_heatmap_draw(clf_cli_heatmap *h, const clf_cli_values *outputs, clf_stream *s, clf_error *err);

clf_status clf_cli_heatmap_write(clf_cli_heatmap *h, clf_error *err); /* all but the name */
clf_status clf_cli_heatmap_commit(clf_cli_heatmap *h, clf_error *err);
void clf_cli_heatmap_close(clf_cli_heatmap *h);

#endif
