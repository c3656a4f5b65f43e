/* plan: how many visual tokens pictures become, by the family's rule; needs neither weights nor a device.  Without a
 * picture: what a module costs, plan_module.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/file_map.h"
#include "cli/plan.h"
#include "cli/report.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

typedef struct plan_state {
    clf_token_plan *plans; /* one for each --size */
    const char *advice;
} plan_state;

bool clf_cli_plan_is_path(const char *what)
{
    return strchr(what, '/') != NULL || clf_file_there(what);
}

static clf_status plan_pictures(const clf_cli_options *o, plan_state *s, clf_error *err)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    const char *what = o->arguments[0];

    desc.family = o->family;
    desc.sets = o->sets;
    desc.set_count = o->set_count;
    desc.sets_read = o->sets_read;
    if (!clf_cli_plan_is_path(what))
        desc.family = what;
    for (size_t i = 0; i < o->size_count; i++) {
        const clf_cli_size size = o->sizes[i];

        if (clf_cli_plan_is_path(what))
            CLF_TRY(clf_token_plan_open(what, &desc, size.height, size.width, &s->plans[i], err));
        else
            CLF_TRY(clf_token_plan_compute(&desc, size.height, size.width, &s->plans[i], err));
    }
    return CLF_OK;
}

static void put_pair(clf_cli_report *r, int64_t rows, int64_t columns)
{
    clf_cli_shape(r, NULL, 2, (const int64_t[]){ rows, columns });
}

static void report_pictures(clf_cli_report *r, const clf_cli_options *o, const plan_state *s)
{
    static const clf_cli_column columns[] = { { "size", -14 },         { "tokens", 7 }, { "context_tokens", 14 },
                                              { "context_share", 13 }, { "tiles", 5 },  { "tile_grid", -9 },
                                              { "thumbnail", -9 },     { "tile", -14 }, { "grid", -10 },
                                              { "thumbnail_grid", 0 } };

    clf_cli_table(r, "pictures", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < o->size_count; i++) {
        const clf_token_plan *p = &s->plans[i];

        put_pair(r, o->sizes[i].height, o->sizes[i].width);
        clf_cli_integer(r, NULL, (uint64_t)p->tokens);
        clf_cli_integer(r, NULL, (uint64_t)p->context_tokens);
        clf_cli_real(r, NULL, p->context_share, r->json ? 9 : 3);
        clf_cli_integer(r, NULL, (uint64_t)p->tiles);
        put_pair(r, p->tile_rows, p->tile_columns);
        clf_cli_bool(r, NULL, p->thumbnail);
        put_pair(r, p->tile_height, p->tile_width);
        put_pair(r, p->grid_rows, p->grid_columns);
        put_pair(r, p->thumbnail_rows, p->thumbnail_columns);
    }
    clf_cli_table_end(r);
}

static int report(const clf_cli_options *o, const plan_state *s)
{
    clf_cli_report r = clf_cli_report_open(o->json);
    uint64_t tokens = 0, context_tokens = 0;

    for (size_t i = 0; i < o->size_count; i++) {
        tokens += (uint64_t)s->plans[i].tokens;
        context_tokens += (uint64_t)s->plans[i].context_tokens;
    }
    clf_cli_text(&r, "family", s->plans[0].family);
    clf_cli_integer(&r, "tokens", tokens);
    clf_cli_integer(&r, "context_tokens", context_tokens);
    clf_cli_integer(&r, "context", (uint64_t)s->plans[0].context);
    clf_cli_real(&r, "context_share", (double)context_tokens / (double)s->plans[0].context, r.json ? 9 : 3);
    report_pictures(&r, o, s);
    return clf_cli_report_close(&r);
}

/* The name is that of a family whose pictures are counted, and of no module. */
static bool is_token_rule(const char *name)
{
    for (size_t i = 0; i < clf_token_plan_family_count(); i++)
        if (clf_name_equal(clf_token_plan_family_name(i), name))
            return true;
    return false;
}

/* Families with a rule for pictures; modules that options alone make. */
static int report_names(bool json)
{
    static const clf_cli_column columns[] = { { "name", -28 }, { "takes", 0 } };
    clf_cli_report r = clf_cli_report_open(json);

    clf_cli_table(&r, "names", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < clf_token_plan_family_count(); i++) {
        clf_cli_text(&r, NULL, clf_token_plan_family_name(i));
        clf_cli_text(&r, NULL, "--size HxW");
    }
    for (size_t i = 0; i < clf_module_count(); i++) {
        const char *module = clf_module_name(i);
        char keys[300] = "";
        size_t used = 0;

        for (size_t k = 0; k < clf_module_option_count(module); k++)
            used += clf_format(keys + used, sizeof keys - used, "%s%s", k > 0 ? " " : "",
                               clf_module_option_at(module, k).key);
        if (clf_module_further_options(module)[0] != '\0')
            (void)clf_format(keys + used, sizeof keys - used, "%s%s", used > 0 ? " " : "",
                             clf_module_further_options(module));
        clf_cli_text(&r, NULL, module);
        clf_cli_text(&r, NULL, keys);
    }
    clf_cli_table_end(&r);
    return clf_cli_report_close(&r);
}

static const char *advice_for(clf_status status)
{
    switch (status) {
    case CLF_IO:
        return "name a family, or a folder with config.json";
    case CLF_UNSUPPORTED:
        return "choose another family, or give --family";
    case CLF_INVALID_ARGUMENT:
        return "check the name, --size and --set";
    default:
        return "check the configuration and --set";
    }
}

static int run_plan(const clf_cli_options *options)
{
    plan_state s = { .plans = NULL };
    clf_error err = { .status = CLF_OK };
    int result;

    if (options->list)
        return report_names(options->json);
    if (options->argument_count == 0)
        return clf_cli_usage(&clf_cli_plan, "no family is given; want a name, or the path of a checkpoint");
    if (options->size_count == 0 && is_token_rule(options->arguments[0]))
        return clf_cli_usage(&clf_cli_plan, "no picture is given; want --size HxW");
    if (options->size_count == 0)
        return clf_cli_plan_module(options);
    s.plans = clf_alloc(options->size_count, sizeof *s.plans);
    if (s.plans == NULL)
        return clf_cli_failf("plan: no memory for %zu pictures; free some memory", options->size_count);
    const clf_status status = plan_pictures(options, &s, &err);

    result = status == CLF_OK ? report(options, &s) : clf_cli_fail(&err, advice_for(status));
    clf_free(s.plans);
    return result;
}

const clf_cli_command clf_cli_plan = {
    .name = "plan",
    .usage = "FAMILY-OR-CHECKPOINT --size HxW [--size HxW ...] [OPTIONS] | MODULE-OR-CHECKPOINT [OPTIONS]",
    .summary = "counts visual tokens of pictures, or parameters and FLOP of a module; no device",
    .text =
        "With --size: the first argument is a family, \"patches\" or \"tiles\" (the plain rules: patch grid, and tiles "
        "with a\n"
        "thumbnail), or a folder with config.json; its picture processor's file is read too.  tokens: what the\n"
        "fusion layer gives; context_tokens: places among the text.  --set context=N sets the length of the\n"
        "context; --set image_size=N, patch_size=N and the configuration's own keys set the rest.\n"
        "\n"
        "Without --size: a module of clfusion's own by its name, with options from --set and their defaults, or a\n"
        "checkpoint.  Parameters, tensors, and for each output its shape and the FLOP of a call; --shape gives the\n"
        "shapes of inputs, --set num_visual_tokens=N and text_seq_len=N lengths alone.\n",
    .options = CLF_OPTION_LIST | CLF_OPTION_SIZE | CLF_OPTION_SHAPE | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY |
               CLF_OPTION_SET | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_plan,
};
