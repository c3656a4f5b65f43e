/* Which tensors a module has with given options: tables for clfusion/module.h.
 *
 * A new module is one row of module_specs.c.  Options give letters their values; shapes are formulas of letters; a row
 * may depend on a letter that is not 0, or stand once for each layer. */
#ifndef CLF_MODELS_MODULE_SPEC_H
#define CLF_MODELS_MODULE_SPEC_H

#include <clfusion/module.h>

#include "checkpoint/config.h"
#include "models/formula.h"

/* What an option is without being given: a number, another letter's value, or nothing at all. */
typedef enum clf_spec_kind {
    CLF_SPEC_NUMBER,   /* `value`, 0 is allowed only so */
    CLF_SPEC_LIKE,     /* the value of the option with the letter `like`, above it in the table */
    CLF_SPEC_REQUIRED, /* must be given */
    CLF_SPEC_ABSENT,   /* its letter is 0 */
    CLF_SPEC_SWITCH,   /* true or false; `value` 0 or 1 */
    CLF_SPEC_WORD      /* letter 1 where the text is `like`, else 0 */
} clf_spec_kind;

typedef struct clf_spec_option {
    const char *key;
    const char *letter;
    clf_spec_kind kind;
    int64_t value;
    const char *like;
} clf_spec_option;

typedef struct clf_spec_tensor {
    const char *name;    /* {i}: the number of the layer; {X}: the letter X */
    const char *shape;   /* models/formula.h; no letter that begins with B */
    const char *when;    /* letter that must not be 0; after '!' one that must be 0; NULL: always */
    const char *count;   /* letter with the number of layers; NULL: once */
    int32_t first, step; /* {i} of the first layer, and from one to the next (0: 1) */
} clf_spec_tensor;

#define CLF_SPEC_OPTIONS 12
#define CLF_SPEC_TENSORS 24

typedef struct clf_module_spec {
    const char *module;
    const char *further; /* keys of options that change no tensor, apart by spaces; NULL: none */
    clf_spec_option options[CLF_SPEC_OPTIONS];
    clf_spec_tensor tensors[CLF_SPEC_TENSORS];

    /* May be NULL.  Letters that follow from the options'; set with clf_letters_set. */
    void (*derive)(clf_letters *letters);
} clf_module_spec;

/* NULL: none of that name. */
const clf_module_spec *clf_module_spec_find(const char *module);

/* The value of a letter; 0 when it is not there. */
int64_t clf_spec_value(const clf_letters *letters, const char *letter);

#endif
