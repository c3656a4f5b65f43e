/* utf8: the lead byte says the length, the second byte rules out what is encoded too long or stands for nothing. */
#include "checkpoint/utf8.h"

size_t clf_utf8_length(const char *t)
{
    const unsigned char *b = (const unsigned char *)t;
    const size_t length = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < length; i++)
        if ((b[i] & 0xc0) != 0x80) /* the terminator is none of these */
            return 0;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) || (b[0] == 0xf0 && b[1] < 0x90) ||
        (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return length;
}
