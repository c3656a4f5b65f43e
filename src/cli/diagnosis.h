/* What the command `diagnose` has found out, and how it is told. */
#ifndef CLF_CLI_DIAGNOSIS_H
#define CLF_CLI_DIAGNOSIS_H

#include <stdbool.h>

#include <clfusion/diagnose.h>

typedef struct clf_cli_attention {
    int32_t layer;
    clf_attention_report report;
    clf_head_report *heads;
} clf_cli_attention;

typedef struct clf_cli_blind {
    int32_t layer;
    char output[40];
    double difference;
} clf_cli_blind;

/* Rows in the order of the layers.  The arrays, and the heads in them, are diagnose.c's. */
typedef struct clf_cli_diagnosis {
    const char *family;
    clf_gate_report *gates;
    size_t gate_count;
    bool measured; /* inputs were given: the rest is there */
    clf_cli_attention *attention;
    size_t attention_count;
    clf_cli_blind *blind;
    size_t blind_count;
} clf_cli_diagnosis;

/* Prints it all; returns the exit status. */
int clf_cli_diagnosis_report(const clf_cli_diagnosis *d, bool json);

#endif
