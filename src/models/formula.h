/* Shape formulas: "[B, N/r + T, Dt]", where letters stand for sizes.
 *
 * A formula is a list of dimensions; a dimension is a sum of terms, a term a product or quotient of letters and
 * numbers.  Letters are given by the checkpoint (Dv, Dt, r) or bound by the first input that has them (B, N, T).  A letter that
 * starts with B in first place is a batch: the dimension may be left out, and is then left out of the outputs too.  A
 * trailing apostrophe makes another letter of the same looks: B' is the batch of the text where pictures are counted
 * on their own.
 *
 * A port can have several forms, "[S, Dv] | [B, N, Dv]".  An input takes the first that has its rank and the numbers
 * that are known, and only then one whose batch may be left out; an output the first whose letters all have values. */
#ifndef CLF_MODELS_FORMULA_H
#define CLF_MODELS_FORMULA_H

#include <clfusion/tensor.h>

#define CLF_MAX_LETTERS 32

typedef struct clf_letter {
    char name[8];
    int64_t value;
    const char *bound_by; /* the input that says it; NULL: the checkpoint */
    bool left_out;        /* a batch that no input has spelt out so far */
} clf_letter;

typedef struct clf_letters {
    size_t count;
    clf_letter item[CLF_MAX_LETTERS];
} clf_letters;

/* Gives a new letter the value that the checkpoint says.  NULL when there is no room. */
clf_letter *clf_letters_set(clf_letters *letters, const char *name, int64_t value);

/* Gives a letter the value that follows from the input `bound_by`; an error when another input has said otherwise. */
clf_status clf_letters_bind(clf_letters *letters, const char *where, const char *name, int64_t value,
                            const char *bound_by, clf_error *err);

const clf_letter *clf_letters_find(const clf_letters *letters, const char *name);

/* The form behind this one; NULL after the last. */
const char *clf_formula_next(const char *formula);

/* The first letter of the form (not of those behind it) that has no value yet: false when there is none. */
bool clf_formula_missing(const char *formula, const clf_letters *letters, clf_letter *missing);

/* Writes all forms, with " or " between them and the checkpoint's numbers in place of their letters:
 * "[B, N/4 + T, 4096]".  A factor of 1 disappears. */
void clf_formula_text(const char *formula, const clf_letters *letters, char *text, size_t bytes);

/* The first form without its batch, "[N, Dv]" of "[B, N, Dv]"; false when it has none.  For messages. */
bool clf_formula_text_unbatched(const char *formula, const clf_letters *letters, char *text, size_t bytes);

/* Compares a shape with forms of single letters and numbers, and binds the letters that are new.  *whole receives
 * the shape with its batch.  `where` and `port` stand in messages. */
clf_status clf_formula_bind(const char *where, const char *port, const char *formula, clf_dtype dtype, clf_dims dims,
                            clf_letters *letters, clf_dims *whole, clf_error *err);

/* The shape that the formula gives: *whole with its batch, *dims without where it was left out. */
clf_status clf_formula_shape(const char *where, const char *port, const char *formula, const clf_letters *letters,
                             clf_dims *whole, clf_dims *dims, clf_error *err);

#endif
