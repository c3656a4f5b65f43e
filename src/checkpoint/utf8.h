/* UTF-8: one character. */
#ifndef CLF_CHECKPOINT_UTF8_H
#define CLF_CHECKPOINT_UTF8_H

#include <stddef.h>

/* Bytes of the UTF-8 character at t, in terminated text: 1 to 4, or 0 when it is none: stray, cut, overlong, a
 * surrogate or above U+10FFFF.  Source: RFC 3629, section 4. */
size_t clf_utf8_length(const char *t);

#endif
