/* A state machine over bytes.  The terminator behind the text fits nowhere in the grammar, so looking one byte ahead is
 * always safe; a NUL inside the text is refused like any other stray byte. */
#include "checkpoint/json_scan.h"

#include <string.h>

#include "checkpoint/utf8.h"
#include "core/error.h"
#include "core/text.h"

typedef enum state { WANT_VALUE, WANT_ENTRY_OR_END, WANT_KEY, WANT_KEY_OR_END, AFTER_VALUE } state;

typedef struct scan {
    const char *label, *text;
    size_t bytes, pos;
    const clf_json_limits *limits;
    uint32_t values;
    uint32_t depth;
    uint64_t objects; /* bit d: the container at depth d is an object */
    state state;
    clf_error *err;
} scan;

static clf_status refuse(const scan *s, const char *want)
{
    if (s->pos >= s->bytes)
        return CLF_FAIL(s->err, CLF_BAD_FILE, "%s: text ends at byte %zu; want %s", s->label, s->bytes, want);
    return CLF_FAIL(s->err, CLF_BAD_FILE, "%s: byte %zu is '%s'; want %s", s->label, s->pos,
                    clf_text_quote(s->text + s->pos, 1).text, want);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static clf_status scan_number(scan *s)
{
    const char *t = s->text;

    s->pos += t[s->pos] == '-';
    if (!is_digit(t[s->pos]))
        return refuse(s, "a digit");
    if (t[s->pos] == '0' && is_digit(t[s->pos + 1]))
        return refuse(s, "a number without leading zeros");
    while (is_digit(t[s->pos]))
        s->pos++;
    if (t[s->pos] == '.') {
        s->pos++;
        if (!is_digit(t[s->pos]))
            return refuse(s, "a digit after the point");
        while (is_digit(t[s->pos]))
            s->pos++;
    }
    if (t[s->pos] == 'e' || t[s->pos] == 'E') {
        s->pos++;
        s->pos += t[s->pos] == '+' || t[s->pos] == '-';
        if (!is_digit(t[s->pos]))
            return refuse(s, "a digit of the exponent");
        while (is_digit(t[s->pos]))
            s->pos++;
    }
    return CLF_OK;
}

/* A word, or a number. */
static clf_status scan_primitive(scan *s)
{
    static const char *const words[] = { "null", "true", "false", "NaN", "Infinity", "-Infinity" };
    const size_t count = s->limits->python_constants ? 6 : 3;

    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(words[i]);

        if (length <= s->bytes - s->pos && memcmp(s->text + s->pos, words[i], length) == 0) {
            s->pos += length;
            return CLF_OK;
        }
    }
    if (s->text[s->pos] != '-' && !is_digit(s->text[s->pos]))
        return refuse(s, "a value");
    return scan_number(s);
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits; -1 when there are none. */
static int32_t hex_unit(const char *t)
{
    int32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(t[i]); /* stops at the terminator */

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool is_high(int32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* At a backslash. */
static clf_status scan_escape(scan *s)
{
    const char *t = s->text + s->pos;
    int32_t unit;

    if (t[1] != 'u') {
        if (t[1] == '\0' || strchr("\"\\/bfnrt", t[1]) == NULL)
            return refuse(s, "an escape of JSON");
        s->pos += 2;
        return CLF_OK;
    }
    unit = hex_unit(t + 2);
    if (unit < 0)
        return refuse(s, "four hexadecimal digits after \\u");
    if (is_low(unit) || (is_high(unit) && !(t[6] == '\\' && t[7] == 'u' && is_low(hex_unit(t + 8)))))
        return refuse(s, "no lone surrogate behind it");
    s->pos += is_high(unit) ? 12 : 6;
    return CLF_OK;
}

/* At a quotation mark. */
static clf_status scan_string(scan *s)
{
    s->pos++;
    while (s->text[s->pos] != '"') {
        const unsigned char c = (unsigned char)s->text[s->pos];

        if (c == '\\') {
            CLF_TRY(scan_escape(s));
        } else if (c >= 0x80) {
            const size_t length = clf_utf8_length(s->text + s->pos);

            if (length == 0)
                return refuse(s, "UTF-8");
            s->pos += length;
        } else if (c < 0x20) {
            return refuse(s, "a string without control characters, closed by a quotation mark");
        } else {
            s->pos++;
        }
    }
    s->pos++;
    return CLF_OK;
}

static clf_status count_value(scan *s)
{
    if (s->values == s->limits->values)
        return CLF_FAIL(s->err, CLF_UNSUPPORTED, "%s: more than %u values; want at most that", s->label,
                        (unsigned)s->limits->values);
    s->values++;
    return CLF_OK;
}

static clf_status open_container(scan *s)
{
    const bool object = s->text[s->pos] == '{';

    if (s->depth == s->limits->depth)
        return CLF_FAIL(s->err, CLF_UNSUPPORTED, "%s: byte %zu opens depth %u; want at most %u", s->label, s->pos,
                        (unsigned)s->depth + 1, (unsigned)s->limits->depth);
    s->objects = (s->objects & ~(UINT64_C(1) << s->depth)) | (uint64_t)object << s->depth;
    s->depth++;
    s->pos++;
    s->state = object ? WANT_KEY_OR_END : WANT_ENTRY_OR_END;
    return CLF_OK;
}

static bool in_object(const scan *s)
{
    return (s->objects >> (s->depth - 1) & 1) != 0;
}

/* At a closing bracket of the innermost container. */
static bool closes(const scan *s)
{
    return s->depth > 0 && s->text[s->pos] == (in_object(s) ? '}' : ']');
}

static void close_container(scan *s)
{
    s->depth--;
    s->pos++;
    s->state = AFTER_VALUE;
}

static clf_status scan_value(scan *s)
{
    const char c = s->text[s->pos];

    CLF_TRY(count_value(s));
    if (c == '{' || c == '[')
        return open_container(s);
    s->state = AFTER_VALUE;
    return c == '"' ? scan_string(s) : scan_primitive(s);
}

static void skip_space(scan *s)
{
    while (s->text[s->pos] == ' ' || s->text[s->pos] == '\n' || s->text[s->pos] == '\r' || s->text[s->pos] == '\t')
        s->pos++;
}

static clf_status scan_key(scan *s)
{
    if (s->text[s->pos] != '"')
        return refuse(s, "a key in quotation marks");
    CLF_TRY(count_value(s));
    CLF_TRY(scan_string(s));
    skip_space(s);
    if (s->text[s->pos] != ':')
        return refuse(s, "':' behind the key");
    s->pos++;
    s->state = WANT_VALUE;
    return CLF_OK;
}

static clf_status after_value(scan *s)
{
    if (s->depth == 0)
        return refuse(s, "nothing after the value");
    if (s->text[s->pos] != ',')
        return refuse(s, in_object(s) ? "',' or '}'" : "',' or ']'");
    s->pos++;
    s->state = in_object(s) ? WANT_KEY : WANT_VALUE;
    return CLF_OK;
}

static clf_status scan_step(scan *s)
{
    if (s->state != WANT_VALUE && s->state != WANT_KEY && closes(s)) {
        close_container(s);
        return CLF_OK;
    }
    switch (s->state) {
    case WANT_VALUE:
    case WANT_ENTRY_OR_END:
        return scan_value(s);
    case WANT_KEY:
    case WANT_KEY_OR_END:
        return scan_key(s);
    case AFTER_VALUE:
        break;
    }
    return after_value(s);
}

clf_status clf_json_scan(const char *label, const char *text, size_t bytes, const clf_json_limits *limits,
                         uint32_t *values, clf_error *err)
{
    scan s = { .label = label, .text = text, .bytes = bytes, .limits = limits, .state = WANT_VALUE, .err = err };

    for (skip_space(&s); s.pos < bytes || s.state != AFTER_VALUE || s.depth > 0; skip_space(&s))
        CLF_TRY(scan_step(&s)); /* at the end of the text every step but the last refuses */
    *values = s.values;
    return CLF_OK;
}

static size_t utf8_put(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

size_t clf_json_decode(char *text, size_t length)
{
    static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    size_t in = 0, out = 0;

    while (in < length) {
        if (text[in] != '\\') {
            text[out++] = text[in++];
        } else if (text[in + 1] != 'u') {
            text[out++] = codes[strchr(names, text[in + 1]) - names];
            in += 2;
        } else {
            const int32_t unit = hex_unit(text + in + 2);
            uint32_t code = (uint32_t)unit;

            if (is_high(unit)) {
                code = 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(hex_unit(text + in + 8) - 0xdc00);
                in += 6;
            }
            in += 6;
            out += utf8_put(text + out, code); /* at most 3 bytes for 6, 4 for 12 */
        }
    }
    return out;
}
