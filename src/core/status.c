/* The status list as text, and the version. */
#include <clfusion/status.h>
#include <clfusion/version.h>

#define CLF_TEXT_OF(x) #x
#define CLF_VERSION_TEXT(a, b, c) CLF_TEXT_OF(a) "." CLF_TEXT_OF(b) "." CLF_TEXT_OF(c)

const char *clf_version(void)
{
    return CLF_VERSION_TEXT(CLF_VERSION_MAJOR, CLF_VERSION_MINOR, CLF_VERSION_PATCH);
}

const char *clf_status_name(clf_status status)
{
    switch (status) {
#define CLF_STATUS_CASE(name, value, sentence)                                                                         \
    case name:                                                                                                         \
        return #name;
        CLF_STATUS_LIST(CLF_STATUS_CASE)
#undef CLF_STATUS_CASE
    }
    return "unknown status";
}

const char *clf_status_sentence(clf_status status)
{
    switch (status) {
#define CLF_STATUS_CASE(name, value, sentence)                                                                         \
    case name:                                                                                                         \
        return sentence;
        CLF_STATUS_LIST(CLF_STATUS_CASE)
#undef CLF_STATUS_CASE
    }
    return "unknown status";
}
