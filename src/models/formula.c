/* Shape formulas: parsing, printing, binding, evaluating. */
#include "models/formula.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

/* A place in a formula.  Formulas are ours, not a file's: what does not parse ends the walk. */
typedef struct clf_cursor {
    const char *at;
} clf_cursor;

typedef struct clf_atom {
    char name[8]; /* empty: a number */
    int64_t value;
} clf_atom;

static void skip_spaces(clf_cursor *cursor)
{
    while (*cursor->at == ' ')
        cursor->at++;
}

static bool take(clf_cursor *cursor, char c)
{
    skip_spaces(cursor);
    if (*cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\'';
}

static clf_atom take_atom(clf_cursor *cursor)
{
    clf_atom atom = { .name = "", .value = 0 };
    size_t length = 0;

    skip_spaces(cursor);
    for (; is_digit(*cursor->at); cursor->at++)
        atom.value = atom.value * 10 + (*cursor->at - '0');
    for (; is_name(*cursor->at) && length + 1 < sizeof atom.name; cursor->at++)
        atom.name[length++] = *cursor->at;
    return atom;
}

clf_letter *clf_letters_set(clf_letters *letters, const char *name, int64_t value)
{
    if (letters->count == CLF_MAX_LETTERS)
        return NULL;
    clf_letter *letter = &letters->item[letters->count++];

    *letter = (clf_letter){ .value = value };
    clf_format(letter->name, sizeof letter->name, "%s", name);
    return letter;
}

/* A letter that no input has spelt out so far. */
static clf_status add_bound(clf_letters *letters, const char *where, const char *name, int64_t value,
                            const char *bound_by, bool left_out, clf_error *err)
{
    clf_letter *letter = clf_letters_set(letters, name, value);

    if (letter == NULL)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: %s is one letter more than %d; want a larger CLF_MAX_LETTERS", where,
                        name, CLF_MAX_LETTERS);
    letter->bound_by = bound_by;
    letter->left_out = left_out;
    return CLF_OK;
}

clf_status clf_letters_bind(clf_letters *letters, const char *where, const char *name, int64_t value,
                            const char *bound_by, clf_error *err)
{
    const clf_letter *letter = clf_letters_find(letters, name);

    if (letter == NULL)
        return add_bound(letters, where, name, value, bound_by, false, err);
    if (letter->value != value)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %.*s of %s is %" PRId64 "; want %" PRId64 ", as %s says", where,
                        (int)strcspn(name, "'"), name, letter->bound_by != NULL ? letter->bound_by : "the checkpoint",
                        letter->value, value, bound_by);
    return CLF_OK;
}

const clf_letter *clf_letters_find(const clf_letters *letters, const char *name)
{
    for (size_t i = 0; i < letters->count; i++)
        if (strcmp(letters->item[i].name, name) == 0)
            return &letters->item[i];
    return NULL;
}

const char *clf_formula_next(const char *formula)
{
    const char *bar = strchr(formula, '|');

    return bar != NULL ? bar + 1 : NULL;
}

bool clf_formula_missing(const char *formula, const clf_letters *letters, clf_letter *missing)
{
    clf_cursor cursor = { formula };
    bool more = take(&cursor, '[');

    while (more) {
        const clf_atom atom = take_atom(&cursor);

        if (atom.name[0] != '\0' && clf_letters_find(letters, atom.name) == NULL) {
            *missing = (clf_letter){ .value = 0 };
            memcpy(missing->name, atom.name, sizeof missing->name);
            return true;
        }
        more = take(&cursor, ',') || take(&cursor, '+') || take(&cursor, '*') || take(&cursor, '/');
    }
    return false;
}

/* ---- printing ---- */

typedef struct clf_writer {
    char *text;
    size_t bytes;
    size_t used;
} clf_writer;

static void put(clf_writer *writer, const char *text)
{
    writer->used += clf_format(writer->text + writer->used, writer->bytes - writer->used, "%s", text);
}

static void put_atom(clf_writer *writer, clf_atom atom, const clf_letters *letters)
{
    const clf_letter *letter = clf_letters_find(letters, atom.name);
    const bool number = atom.name[0] == '\0' || (letter != NULL && letter->bound_by == NULL);

    if (number)
        writer->used += clf_format(writer->text + writer->used, writer->bytes - writer->used, "%" PRId64,
                                   atom.name[0] == '\0' ? atom.value : letter->value);
    else
        writer->used += clf_format(writer->text + writer->used, writer->bytes - writer->used, "%.*s",
                                   (int)strcspn(atom.name, "'"), atom.name);
}

static bool is_one(clf_atom atom, const clf_letters *letters)
{
    const clf_letter *letter = clf_letters_find(letters, atom.name);

    return atom.name[0] == '\0' ? atom.value == 1 : letter != NULL && letter->bound_by == NULL && letter->value == 1;
}

static void put_dimension(clf_writer *writer, clf_cursor *cursor, const clf_letters *letters)
{
    do {
        put_atom(writer, take_atom(cursor), letters);
        for (;;) {
            const char *sign = take(cursor, '/') ? "/" : take(cursor, '*') ? "*" : NULL;
            if (sign == NULL)
                break;
            const clf_atom factor = take_atom(cursor);
            if (is_one(factor, letters))
                continue;
            put(writer, sign);
            put_atom(writer, factor, letters);
        }
    } while (take(cursor, '+') && (put(writer, " + "), true));
}

static void put_list(clf_writer *writer, clf_cursor *cursor, const clf_letters *letters)
{
    put(writer, "[");
    do {
        put_dimension(writer, cursor, letters);
    } while (take(cursor, ',') && (put(writer, ", "), true));
    put(writer, "]");
}

void clf_formula_text(const char *formula, const clf_letters *letters, char *text, size_t bytes)
{
    clf_writer writer = { text, bytes, 0 };

    for (const char *form = formula; form != NULL; form = clf_formula_next(form)) {
        clf_cursor cursor = { form };

        if (form != formula)
            put(&writer, " or ");
        if (take(&cursor, '['))
            put_list(&writer, &cursor, letters);
    }
}

/* Steps over a leading batch. */
static bool take_batch(clf_cursor *cursor)
{
    const clf_cursor begin = *cursor;

    if (take_atom(cursor).name[0] == 'B' && take(cursor, ','))
        return true;
    *cursor = begin;
    return false;
}

bool clf_formula_text_unbatched(const char *formula, const clf_letters *letters, char *text, size_t bytes)
{
    clf_cursor cursor = { formula };
    clf_writer writer = { text, bytes, 0 };

    if (!take(&cursor, '[') || !take_batch(&cursor))
        return false;
    put_list(&writer, &cursor, letters);
    return true;
}

/* ---- binding ---- */

static int32_t rank_of(const char *formula)
{
    int32_t rank = 1;

    for (const char *c = formula; *c != ']' && *c != '\0'; c++)
        rank += *c == ',';
    return rank;
}

static clf_status wrong_shape(const char *where, const char *port, const char *formula, clf_dtype dtype, clf_dims dims,
                              const clf_letters *letters, clf_error *err)
{
    clf_letters widths = { 0 }; /* the checkpoint's alone: what is bound is bound by chance */
    char text[400], form[100];
    size_t used = 0;

    for (size_t i = 0; i < letters->count; i++)
        if (letters->item[i].bound_by == NULL)
            widths.item[widths.count++] = letters->item[i];
    clf_formula_text(formula, &widths, text, sizeof text);
    used = strlen(text);
    for (; formula != NULL; formula = clf_formula_next(formula))
        if (clf_formula_text_unbatched(formula, &widths, form, sizeof form))
            used += clf_format(text + used, sizeof text - used, " or %s", form);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s%s; want %s", where, port, clf_dtype_name(dtype),
                    clf_text_shape(dims.rank, dims.dim).text, text);
}

static clf_status bind_letter(const char *where, const char *port, clf_atom atom, int64_t value, bool left_out,
                              clf_dtype dtype, clf_dims dims, clf_letters *letters, clf_error *err)
{
    clf_letter *letter = NULL;

    for (size_t i = 0; i < letters->count; i++)
        if (strcmp(letters->item[i].name, atom.name) == 0)
            letter = &letters->item[i];
    if (letter == NULL)
        return add_bound(letters, where, atom.name, value, port, left_out, err);
    if (letter->value != value)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s%s; want %.*s of %" PRId64 ", as %s has", where, port,
                        clf_dtype_name(dtype), clf_text_shape(dims.rank, dims.dim).text, (int)strcspn(atom.name, "'"),
                        atom.name, letter->value, letter->bound_by);
    letter->left_out = letter->left_out && left_out;
    return CLF_OK;
}

/* The value that an atom must have: a number, or a letter of the checkpoint; -1: any. */
static int64_t fixed_value(clf_atom atom, const clf_letters *letters)
{
    const clf_letter *letter = clf_letters_find(letters, atom.name);

    if (atom.name[0] == '\0')
        return atom.value;
    return letter != NULL && letter->bound_by == NULL ? letter->value : -1;
}

/* Rank and the dimensions that the checkpoint fixes. */
static bool fits(const char *formula, const clf_letters *letters, clf_dims whole)
{
    clf_cursor cursor = { formula };

    if (!take(&cursor, '[') || rank_of(formula) != whole.rank)
        return false;
    for (int32_t i = 0; i < whole.rank; i++) {
        const int64_t fixed = fixed_value(take_atom(&cursor), letters);

        (void)take(&cursor, ',');
        if (whole.dim[i] < 0 || (fixed >= 0 && whole.dim[i] != fixed))
            return false;
    }
    return true;
}

/* Puts a batch of 1 before a shape that leaves it out. */
static clf_dims with_batch(const char *formula, clf_dims dims, bool *left_out)
{
    clf_cursor cursor = { formula };
    clf_dims whole = { .rank = dims.rank + 1, .dim = { 1 } };

    *left_out = dims.rank >= 0 && dims.rank + 1 == rank_of(formula) && whole.rank <= CLF_MAX_RANK &&
                take(&cursor, '[') && take_batch(&cursor);
    if (!*left_out)
        return dims;
    for (int32_t i = 0; i < dims.rank; i++)
        whole.dim[i + 1] = dims.dim[i];
    return whole;
}

/* The form that a shape has, *whole with its batch.  A form as it stands goes before one without its batch: three
 * dimensions are [B, M, C] where there is [B, I, M, C] too.  NULL: none. */
static const char *choose_form(const char *formula, const clf_letters *letters, clf_dims dims, clf_dims *whole,
                               bool *left_out)
{
    *left_out = false;
    *whole = dims;
    for (const char *form = formula; form != NULL; form = clf_formula_next(form))
        if (fits(form, letters, dims))
            return form;
    for (const char *form = formula; form != NULL; form = clf_formula_next(form)) {
        *whole = with_batch(form, dims, left_out);
        if (*left_out && fits(form, letters, *whole))
            return form;
    }
    return NULL;
}

clf_status clf_formula_bind(const char *where, const char *port, const char *formula, clf_dtype dtype, clf_dims dims,
                            clf_letters *letters, clf_dims *whole, clf_error *err)
{
    bool left_out;
    clf_cursor cursor = { choose_form(formula, letters, dims, whole, &left_out) };

    if (cursor.at == NULL)
        return wrong_shape(where, port, formula, dtype, dims, letters, err);
    (void)take(&cursor, '[');
    for (int32_t i = 0; i < whole->rank; i++) {
        const clf_atom atom = take_atom(&cursor);

        (void)take(&cursor, ',');
        if (fixed_value(atom, letters) < 0)
            CLF_TRY(bind_letter(where, port, atom, whole->dim[i], left_out && i == 0, dtype, dims, letters, err));
    }
    return CLF_OK;
}

/* ---- evaluating ---- */

static int64_t value_of(clf_atom atom, const clf_letters *letters)
{
    const clf_letter *letter = clf_letters_find(letters, atom.name);

    return atom.name[0] == '\0' ? atom.value : letter != NULL ? letter->value : 0;
}

/* A term; false when a quotient has a rest or a product overflows, with the atoms at fault. */
static bool term_value(clf_cursor *cursor, const clf_letters *letters, int64_t *value, clf_atom *of, clf_atom *by)
{
    *of = take_atom(cursor);
    *value = value_of(*of, letters);
    for (;;) {
        const bool divide = take(cursor, '/');

        if (!divide && !take(cursor, '*'))
            return true;
        *by = take_atom(cursor);
        const int64_t factor = value_of(*by, letters);
        if (divide ? factor < 1 || *value % factor != 0 : factor != 0 && *value > INT64_MAX / factor)
            return false;
        *value = divide ? *value / factor : *value * factor;
    }
}

static clf_status dimension_value(const char *where, const char *port, clf_cursor *cursor, const clf_letters *letters,
                                  int64_t *sum, clf_error *err)
{
    *sum = 0;
    do {
        clf_atom of = { 0 }, by = { 0 };
        int64_t term = 0;

        if (!term_value(cursor, letters, &term, &of, &by)) {
            const clf_letter *letter = clf_letters_find(letters, of.name);
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "%s: %.*s of %s is %" PRId64 "; want a multiple of %" PRId64 " for %s", where,
                            (int)strcspn(of.name, "'"), of.name,
                            letter != NULL && letter->bound_by != NULL ? letter->bound_by : "the checkpoint",
                            value_of(of, letters), value_of(by, letters), port);
        }
        if (*sum > INT64_MAX - term)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s has a dimension above 2^63 - 1; want it below", where,
                            port);
        *sum += term;
    } while (take(cursor, '+'));
    return CLF_OK;
}

static bool batch_left_out(const char *formula, const clf_letters *letters)
{
    clf_cursor cursor = { formula };

    if (!take(&cursor, '['))
        return false;
    const clf_letter *letter = clf_letters_find(letters, take_atom(&cursor).name);
    return letter != NULL && letter->left_out;
}

/* The first form whose letters all have values; NULL: none. */
static const char *known_form(const char *formula, const clf_letters *letters)
{
    clf_letter missing;

    while (formula != NULL && clf_formula_missing(formula, letters, &missing))
        formula = clf_formula_next(formula);
    return formula;
}

clf_status clf_formula_shape(const char *where, const char *port, const char *formula, const clf_letters *letters,
                             clf_dims *whole, clf_dims *dims, clf_error *err)
{
    const char *form = known_form(formula, letters);
    clf_cursor cursor = { form };

    if (form == NULL)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: %s is %s; want a value for each letter", where, port, formula);
    *whole = (clf_dims){ .rank = rank_of(form) };
    (void)take(&cursor, '[');
    for (int32_t i = 0; i < whole->rank; i++) {
        CLF_TRY(dimension_value(where, port, &cursor, letters, &whole->dim[i], err));
        (void)take(&cursor, ',');
    }
    *dims = *whole;
    if (batch_left_out(form, letters)) {
        dims->rank--;
        memmove(dims->dim, dims->dim + 1, sizeof dims->dim[0] * (size_t)dims->rank);
    }
    return CLF_OK;
}
