/* Reading: the preamble, the header's dict by a fixed grammar, the length. */
#include "checkpoint/npy.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/digits.h"
#include "checkpoint/file_map.h"
#include "checkpoint/npy_types.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define HEADER_BYTES 10000u /* NumPy reads no more without being told to */

static const struct {
    const char *descr;
    clf_dtype dtype;
} types[] = {
    { "<f4", CLF_F32 }, { "<f2", CLF_F16 }, { "<f8", CLF_F64 }, { "|i1", CLF_I8 },
    { "|u1", CLF_U8 },  { "<i2", CLF_I16 }, { "<u2", CLF_U16 }, { "<i4", CLF_I32 },
    { "<u4", CLF_U32 }, { "<i8", CLF_I64 }, { "<u8", CLF_U64 }, { "|b1", CLF_BOOL },
};

struct clf_npy {
    clf_file_map map;
    clf_host_tensor tensor;
};

const char *clf_npy_descr(clf_dtype dtype)
{
    for (size_t i = 0; i < CLF_COUNT(types); i++)
        if (types[i].dtype == dtype)
            return types[i].descr;
    return NULL;
}

/* CLF_DTYPE_NONE when there is none. */
static clf_dtype dtype_of(const char *descr, size_t length)
{
    for (size_t i = 0; i < CLF_COUNT(types); i++)
        if (length == strlen(types[i].descr) && memcmp(descr, types[i].descr, length) == 0)
            return types[i].dtype;
    return CLF_DTYPE_NONE;
}

/* The dict inside the header: text[pos .. bytes), bounded by every look. */
typedef struct header {
    const char *label, *text;
    size_t bytes, pos;
    clf_error *err;
} header;

static char look(const header *h)
{
    return h->pos < h->bytes ? h->text[h->pos] : '\0';
}

static void skip_spaces(header *h)
{
    while (look(h) == ' ')
        h->pos++;
}

static clf_status refuse(const header *h, const char *want)
{
    if (h->pos >= h->bytes)
        return CLF_FAIL(h->err, CLF_BAD_FILE, "%s: header ends at its byte %zu; want %s", h->label, h->bytes, want);
    return CLF_FAIL(h->err, CLF_BAD_FILE, "%s: byte %zu of the header is '%s'; want %s", h->label, h->pos,
                    clf_text_quote(h->text + h->pos, 1).text, want);
}

/* One character with spaces on both sides. */
static clf_status expect(header *h, char c, const char *want)
{
    skip_spaces(h);
    if (look(h) != c)
        return refuse(h, want);
    h->pos++;
    skip_spaces(h);
    return CLF_OK;
}

/* A string between equal quotation marks, without escapes. */
static clf_status read_string(header *h, const char **text, size_t *length)
{
    const char mark = look(h);
    const char *end;

    if (mark != '\'' && mark != '"')
        return refuse(h, "a string");
    h->pos++;
    *text = h->text + h->pos;
    end = memchr(*text, mark, h->bytes - h->pos);
    if (end == NULL) {
        h->pos = h->bytes;
        return refuse(h, "a closing quotation mark");
    }
    *length = (size_t)(end - *text);
    h->pos += *length + 1;
    return CLF_OK;
}

static clf_status read_descr(header *h, clf_host_tensor *t)
{
    const char *descr;
    size_t length;

    if (look(h) == '[')
        return CLF_FAIL(h->err, CLF_UNSUPPORTED, "%s: descr is a structured type; want one number an element",
                        h->label);
    CLF_TRY(read_string(h, &descr, &length));
    t->dtype = dtype_of(descr, length);
    if (t->dtype == CLF_DTYPE_NONE)
        return CLF_FAIL(h->err, CLF_UNSUPPORTED,
                        "%s: descr is '%s'; want little-endian <f4 <f2 <f8, <i2 <i4 <i8, <u2 <u4 <u8, |i1, |u1 or |b1",
                        h->label, clf_text_quote(descr, length).text);
    return CLF_OK;
}

static bool take_word(header *h, const char *word)
{
    const size_t length = strlen(word);

    if (h->bytes - h->pos < length || memcmp(h->text + h->pos, word, length) != 0)
        return false;
    h->pos += length;
    return true;
}

static clf_status read_order(header *h)
{
    if (take_word(h, "False"))
        return CLF_OK;
    if (take_word(h, "True"))
        return CLF_FAIL(h->err, CLF_UNSUPPORTED,
                        "%s: fortran_order is True; want C order, as numpy.ascontiguousarray gives", h->label);
    return refuse(h, "True or False");
}

static clf_status read_dim(header *h, clf_host_tensor *t)
{
    const size_t start = h->pos;
    uint64_t dim;

    while (look(h) >= '0' && look(h) <= '9')
        h->pos++;
    if (h->pos == start)
        return refuse(h, "a dimension in digits");
    if (!clf_digits_u64(h->text + start, h->pos - start, &dim) || dim > INT64_MAX)
        return CLF_FAIL(h->err, CLF_BAD_FILE,
                        "%s: shape has a dimension %s; want one without leading zeros, below 2^63", h->label,
                        clf_text_quote(h->text + start, h->pos - start).text);
    if (t->rank == CLF_MAX_RANK)
        return CLF_FAIL(h->err, CLF_UNSUPPORTED, "%s: shape has more than %d dimensions; want at most that", h->label,
                        CLF_MAX_RANK);
    t->dim[t->rank++] = (int64_t)dim;
    return CLF_OK;
}

/* "()", "(3,)", "(2, 3)", "(2, 3, )": one dimension alone needs its comma. */
static clf_status read_shape(header *h, clf_host_tensor *t)
{
    CLF_TRY(expect(h, '(', "'('"));
    while (look(h) != ')') {
        CLF_TRY(read_dim(h, t));
        skip_spaces(h);
        if (look(h) == ')' && t->rank > 1)
            break;
        CLF_TRY(expect(h, ',', "',' behind the dimension"));
    }
    h->pos++;
    return CLF_OK;
}

/* Each of the three keys once, in any order. */
static clf_status read_item(header *h, clf_host_tensor *t, bool seen[3])
{
    static const char *const keys[3] = { "descr", "fortran_order", "shape" };
    const char *key;
    size_t length, i = 0;

    CLF_TRY(read_string(h, &key, &length));
    while (i < 3 && (length != strlen(keys[i]) || memcmp(key, keys[i], length) != 0))
        i++;
    if (i == 3 || seen[i])
        return CLF_FAIL(h->err, CLF_BAD_FILE,
                        "%s: header has key '%s'%s; want descr, fortran_order and shape once each", h->label,
                        clf_text_quote(key, length).text, i == 3 ? "" : " twice");
    seen[i] = true;
    CLF_TRY(expect(h, ':', "':' behind the key"));
    if (i == 0)
        return read_descr(h, t);
    return i == 1 ? read_order(h) : read_shape(h, t);
}

static clf_status read_dict(header *h, clf_host_tensor *t)
{
    bool seen[3] = { false, false, false };

    CLF_TRY(expect(h, '{', "'{'"));
    for (int i = 0; i < 3; i++) {
        if (look(h) == '}')
            return refuse(h, "descr, fortran_order and shape");
        CLF_TRY(read_item(h, t, seen));
        skip_spaces(h);
        if (look(h) == '}' && i == 2)
            break;
        CLF_TRY(expect(h, ',', i == 2 ? "',' or '}'" : "','"));
    }
    CLF_TRY(expect(h, '}', "'}' behind three keys"));
    if (look(h) != '\n' || h->pos + 1 != h->bytes)
        return refuse(h, "spaces and a newline at the end");
    return CLF_OK;
}

/* The preamble: where the header begins, and its length. */
static clf_status read_preamble(const char *label, const unsigned char *b, size_t count, size_t *begin, size_t *length,
                                clf_error *err)
{
    if (count < CLF_NPY_MAGIC_BYTES + 2 || memcmp(b, CLF_NPY_MAGIC, CLF_NPY_MAGIC_BYTES) != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: file begins with '%s'; want \\x93NUMPY and a version", label,
                        clf_text_quote((const char *)b, CLF_MIN(count, 8)).text);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: version is %u.%u; want 1.0, 2.0 or 3.0", label, (unsigned)b[6],
                        (unsigned)b[7]);
    *begin = b[6] == 1 ? 10 : 12;
    if (count < *begin)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: file is %zu bytes; want %zu before the header", label, count, *begin);
    *length = (size_t)b[8] | (size_t)b[9] << 8;
    if (b[6] > 1)
        *length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (*length > count - *begin)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: header of %zu bytes in a file of %zu; want at most %zu", label, *length,
                        count, count - *begin);
    if (*length > HEADER_BYTES)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: header is %zu bytes; want at most %u", label, *length, HEADER_BYTES);
    return CLF_OK;
}

/* An array without elements is empty whatever its other dimensions; else every product is checked. */
static clf_status check_length(const char *label, const clf_host_tensor *t, size_t data_bytes, clf_error *err)
{
    uint64_t size = clf_dtype_bytes(t->dtype);
    bool fits = true;

    for (int32_t i = 0; i < t->rank; i++)
        if (t->dim[i] == 0) {
            size = 0;
            break;
        }
    for (int32_t i = 0; i < t->rank; i++)
        fits = fits && clf_size_mul(size, (uint64_t)t->dim[i], &size);
    if (!fits)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: array is %s, above 2^64 bytes; want %zu bytes, as the file has", label,
                        CLF_HOST_TEXT(*t), data_bytes);
    if (size != data_bytes)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: array %s takes %" PRIu64 " bytes; want %zu, as the file has", label,
                        CLF_HOST_TEXT(*t), size, data_bytes);
    return CLF_OK;
}

static clf_status parse(const char *label, const unsigned char *bytes, size_t count, clf_host_tensor *t, clf_error *err)
{
    header h = { .label = label, .err = err };
    size_t begin = 0;

    CLF_TRY(read_preamble(label, bytes, count, &begin, &h.bytes, err));
    h.text = (const char *)bytes + begin;
    CLF_TRY(read_dict(&h, t));
    CLF_TRY(check_length(label, t, count - begin - h.bytes, err));
    if (t->rank == 0)
        t->dim[t->rank++] = 1;
    t->data = bytes + begin + h.bytes;
    return CLF_OK;
}

clf_status clf_npy_parse(const char *label, const void *bytes, size_t count, clf_host_tensor *t, clf_error *err)
{
    clf_host_tensor made = { .dtype = CLF_DTYPE_NONE };

    *t = made;
    CLF_TRY(parse(label, bytes, count, &made, err));
    *t = made;
    return CLF_OK;
}

clf_status clf_npy_open(const char *path, clf_npy **n, clf_error *err)
{
    clf_npy *made = clf_alloc(1, sizeof *made);
    clf_status status;

    *n = NULL;
    if (made == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to open it", path);
    status = clf_file_map_open(path, &made->map, err);
    if (status == CLF_OK)
        status = clf_npy_parse(path, made->map.bytes, made->map.size, &made->tensor, err);
    if (status != CLF_OK) {
        clf_npy_close(made);
        return status;
    }
    *n = made;
    return CLF_OK;
}

clf_host_tensor clf_npy_tensor(const clf_npy *n)
{
    return n->tensor;
}

void clf_npy_close(clf_npy *n)
{
    if (n == NULL)
        return;
    clf_file_map_close(&n->map);
    clf_free(n);
}
