/* Events that are no errors, handed to the callback of clf_set_log. */
#ifndef CLF_CORE_LOG_H
#define CLF_CORE_LOG_H

#include <clfusion/export.h>

void clf_log(const char *format, ...) CLF_PRINTF(1, 2);

#endif
