/* clfusion's own modules by name, their options, and what an attention costs. */
#include <clfusion/module.h>

#include <inttypes.h>

#include "core/size.h"
#include "core/text.h"
#include "models/module_spec.h"
#include "models/registry.h"

/* Modules of the registry whose tensors are known. */
static const char *known(size_t index)
{
    const clf_family *family = clf_family_at(index);

    return family->module && clf_module_spec_find(family->id) != NULL ? family->id : NULL;
}

size_t clf_module_count(void)
{
    size_t count = 0;

    for (size_t i = 0; i < clf_family_count(); i++)
        count += known(i) != NULL;
    return count;
}

const char *clf_module_name(size_t index)
{
    for (size_t i = 0; i < clf_family_count(); i++)
        if (known(i) != NULL && index-- == 0)
            return known(i);
    return NULL;
}

size_t clf_module_option_count(const char *module)
{
    const clf_module_spec *spec = clf_module_spec_find(module);
    size_t count = 0;

    while (spec != NULL && count < CLF_SPEC_OPTIONS && spec->options[count].key != NULL)
        count++;
    return count;
}

static const char *key_of(const clf_module_spec *spec, const char *letter)
{
    for (size_t i = 0; i < CLF_SPEC_OPTIONS && spec->options[i].key != NULL; i++)
        if (strcmp(spec->options[i].letter, letter) == 0)
            return spec->options[i].key;
    return "";
}

clf_module_option clf_module_option_at(const char *module, size_t index)
{
    const clf_module_spec *spec = clf_module_spec_find(module);

    if (index >= clf_module_option_count(module))
        return (clf_module_option){ .key = NULL };
    const clf_spec_option *o = &spec->options[index];
    clf_module_option option = { .key = o->key, .value = o->value };

    option.like = o->kind == CLF_SPEC_LIKE ? key_of(spec, o->like) : NULL;
    option.required = o->kind == CLF_SPEC_REQUIRED;
    option.on_off = o->kind == CLF_SPEC_SWITCH;
    option.word = o->kind == CLF_SPEC_WORD ? o->like : NULL;
    return option;
}

const char *clf_module_further_options(const char *module)
{
    const clf_module_spec *spec = clf_module_spec_find(module);

    return spec != NULL && spec->further != NULL ? spec->further : "";
}

/* A product that stays UINT64_MAX once it does not fit. */
static uint64_t times(uint64_t a, int64_t b)
{
    uint64_t product = UINT64_MAX;

    if (a != UINT64_MAX)
        (void)clf_size_mul(a, (uint64_t)CLF_MAX(b, 0), &product);
    return product;
}

clf_attention_cost clf_module_attention_cost(int64_t B, int64_t H, int64_t Q, int64_t K, int64_t D)
{
    const uint64_t heads = times(times(1, B), H);
    const uint64_t weights = times(times(heads, Q), K);

    return (clf_attention_cost){ .flop = times(times(weights, D), 4),
                                 .weights = weights,
                                 .bytes = times(times(times(heads, K), D), 8) };
}
