/* What the command `diagnose` shares with the library's side. */
#ifndef CLF_MODELS_DIAGNOSE_H
#define CLF_MODELS_DIAGNOSE_H

#include <clfusion/diagnose.h>

/* Whether the output needs or takes one of the visual inputs that are given. */
bool clf_diagnose_sees(const clf_connector *c, const clf_value *inputs, size_t input_count, const char *output);

#endif
