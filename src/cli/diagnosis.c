/* The report of `diagnose`: gates, attention, heads, blind baseline, warnings. */
#include "cli/diagnosis.h"

#include <inttypes.h>
#include <stdarg.h>

#include "cli/report.h"
#include "core/size.h"
#include "core/text.h"

/* People get few digits; programs get what f32 has. */
static void put_real(clf_cli_report *r, double value)
{
    clf_cli_real(r, NULL, value, r->json ? 9 : 4);
}

static void report_gates(clf_cli_report *r, const clf_cli_diagnosis *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },  { "branch", -12 },   { "values", 6 },
                                              { "alpha", 10 }, { "alpha_min", 10 }, { "alpha_max", 10 },
                                              { "tanh", 9 },   { "tanh_min", 9 },   { "tanh_max", 9 },
                                              { "tensor", 0 } };

    clf_cli_integer(r, "gated_layers", d->gate_count == 0 ? 0 : (uint64_t)d->gates[d->gate_count - 1].layer + 1);
    if (d->gate_count == 0 && !r->json)
        return; /* people need no empty table */
    clf_cli_table(r, "gates", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->gate_count; i++) {
        const clf_gate_report *g = &d->gates[i];

        clf_cli_integer(r, NULL, (uint64_t)g->layer);
        clf_cli_text(r, NULL, g->branch == CLF_GATE_ATTENTION ? "attention" : "feed_forward");
        clf_cli_integer(r, NULL, (uint64_t)g->elements);
        put_real(r, g->alpha_mean);
        put_real(r, g->alpha_min);
        put_real(r, g->alpha_max);
        put_real(r, g->tanh_mean);
        put_real(r, g->tanh_min);
        put_real(r, g->tanh_max);
        clf_cli_text(r, NULL, g->name);
    }
    clf_cli_table_end(r);
}

static void report_attention(clf_cli_report *r, const clf_cli_diagnosis *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },
                                              { "heads", 5 },
                                              { "collapsed_heads", 15 },
                                              { "tokens", 8 },
                                              { "collapsed_tokens", 16 },
                                              { "entropy", 8 },
                                              { "relative_entropy", 16 },
                                              { "largest", 8 },
                                              { "unseeing_rows", 0 } };

    clf_cli_real(r, "collapse_threshold", CLF_COLLAPSE_THRESHOLD, 3);
    clf_cli_table(r, "attention", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->attention_count; i++) {
        const clf_attention_report *a = &d->attention[i].report;

        clf_cli_integer(r, NULL, (uint64_t)d->attention[i].layer);
        clf_cli_integer(r, NULL, (uint64_t)a->heads);
        put_real(r, (double)a->collapsed_heads / (double)a->heads);
        clf_cli_integer(r, NULL, (uint64_t)a->tokens);
        put_real(r, (double)a->collapsed_tokens / (double)a->tokens);
        put_real(r, a->entropy);
        put_real(r, a->relative_entropy);
        put_real(r, a->largest);
        clf_cli_integer(r, NULL, (uint64_t)a->unseeing_rows);
    }
    clf_cli_table_end(r);
}

static void report_heads(clf_cli_report *r, const clf_cli_diagnosis *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },   { "head", 4 },
                                              { "entropy", 8 }, { "relative_entropy", 16 },
                                              { "largest", 8 }, { "collapsed", 0 } };

    clf_cli_table(r, "heads", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->attention_count; i++)
        for (int64_t h = 0; h < d->attention[i].report.heads; h++) {
            const clf_head_report *head = &d->attention[i].heads[h];

            clf_cli_integer(r, NULL, (uint64_t)d->attention[i].layer);
            clf_cli_integer(r, NULL, (uint64_t)h);
            put_real(r, head->entropy);
            put_real(r, head->relative_entropy);
            put_real(r, head->largest);
            clf_cli_bool(r, NULL, head->collapsed);
        }
    clf_cli_table_end(r);
}

static void report_blind(clf_cli_report *r, const clf_cli_diagnosis *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 }, { "output", -14 }, { "difference", 10 }, { "blind", 0 } };

    clf_cli_real(r, "blind_threshold", CLF_BLIND_THRESHOLD, 3);
    clf_cli_table(r, "blind_baseline", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->blind_count; i++) {
        clf_cli_integer(r, NULL, (uint64_t)d->blind[i].layer);
        clf_cli_text(r, NULL, d->blind[i].output);
        put_real(r, d->blind[i].difference);
        clf_cli_bool(r, NULL, d->blind[i].difference < CLF_BLIND_THRESHOLD);
    }
    clf_cli_table_end(r);
}

/* The table of warnings appears with the first; programs find it always. */
typedef struct warnings {
    clf_cli_report *report;
    bool open;
} warnings;

static void open_warnings(warnings *w)
{
    static const clf_cli_column columns[] = { { "warning", 0 } };

    if (!w->open)
        clf_cli_table(w->report, "warnings", columns, CLF_COUNT(columns));
    w->open = true;
}

static void warn(warnings *w, const char *format, ...) CLF_PRINTF(2, 3);

static void warn(warnings *w, const char *format, ...)
{
    char text[300];
    va_list list;

    va_start(list, format);
    (void)clf_format_list(text, sizeof text, format, list);
    va_end(list);
    open_warnings(w);
    clf_cli_text(w->report, NULL, text);
}

static void warn_of_gates(warnings *w, const clf_cli_diagnosis *d)
{
    for (size_t i = 0; i < d->gate_count; i++)
        if (d->gates[i].tanh_min == 0.0 && d->gates[i].tanh_max == 0.0)
            warn(w, "%s is 0: the branch adds nothing", d->gates[i].name);
}

static void warn_of_layers(warnings *w, const clf_cli_diagnosis *d)
{
    for (size_t i = 0; i < d->attention_count; i++) {
        const clf_attention_report *a = &d->attention[i].report;

        if (a->collapsed_heads > 0)
            warn(w,
                 "layer %" PRId32 ": %" PRId64 " of %" PRId64 " heads and %" PRId64 " of %" PRId64
                 " tokens have a weight above %g: attention may have collapsed",
                 d->attention[i].layer, a->collapsed_heads, a->heads, a->collapsed_tokens, a->tokens,
                 CLF_COLLAPSE_THRESHOLD);
    }
    for (size_t i = 0; i < d->blind_count; i++)
        if (d->blind[i].difference < CLF_BLIND_THRESHOLD)
            warn(w, "layer %" PRId32 ": %s changes by %.3g of itself without the picture: it may be ignored",
                 d->blind[i].layer, d->blind[i].output, d->blind[i].difference);
}

int clf_cli_diagnosis_report(const clf_cli_diagnosis *d, bool json)
{
    clf_cli_report r = clf_cli_report_open(json);
    warnings w = { .report = &r };

    clf_cli_text(&r, "family", d->family);
    report_gates(&r, d);
    if (d->attention_count > 0 || (json && d->measured)) {
        report_attention(&r, d);
        report_heads(&r, d);
    }
    if (d->blind_count > 0 || (json && d->measured))
        report_blind(&r, d);
    if (json)
        open_warnings(&w);
    warn_of_gates(&w, d);
    warn_of_layers(&w, d);
    if (w.open)
        clf_cli_table_end(&r);
    return clf_cli_report_close(&r);
}
