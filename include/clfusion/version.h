/* The version of clfusion: the one place where it stands.  The build reads it here. */
#ifndef CLFUSION_VERSION_H
#define CLFUSION_VERSION_H

#include <clfusion/export.h>

#define CLF_VERSION_MAJOR 0
#define CLF_VERSION_MINOR 1
#define CLF_VERSION_PATCH 0

CLF_BEGIN_DECLS

/** The version of the library that runs, as "0.1.0"; static storage. */
CLF_API const char *clf_version(void);

CLF_END_DECLS

#endif
