/* devices: what the machine has, which one would be picked, which are refused, and why. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/report.h"
#include "core/alloc.h"
#include "core/size.h"
#include "core/text.h"

static const char *kind_name(clf_device_kind kind)
{
    switch (kind) {
    case CLF_DEVICE_GPU:
        return "gpu";
    case CLF_DEVICE_ACCELERATOR:
        return "accelerator";
    case CLF_DEVICE_CPU:
        return "cpu";
    }
    return "unknown";
}

static const clf_cli_column columns[] = {
    { "id", 0 },          { "choice", 0 },
    { "reason", 0 },      { "name", 0 },
    { "type", 0 },        { "vendor", 0 },
    { "platform", 0 },    { "version", 0 },
    { "driver", 0 },      { "compute_units", 0 },
    { "memory_mib", 0 },  { "allocation_mib", 0 },
    { "local_kib", 0 },   { "work_group_limit", 0 },
    { "float_width", 0 }, { "unified_memory", 0 },
    { "fp16", 0 },        { "fp64", 0 },
    { "sub_groups", 0 },
};

/* One cell for each column. */
static void print_device(clf_cli_report *r, const clf_device_info *d)
{
    char id[32];

    (void)clf_format(id, sizeof id, "%d:%d", d->platform, d->device);
    clf_cli_text(r, NULL, id);
    clf_cli_text(r, NULL, d->picked ? "picked" : d->refused ? "refused" : "possible");
    clf_cli_text(r, NULL, d->reason);
    clf_cli_text(r, NULL, d->name);
    clf_cli_text(r, NULL, kind_name(d->kind));
    clf_cli_text(r, NULL, d->vendor);
    clf_cli_text(r, NULL, d->platform_name);
    clf_cli_text(r, NULL, d->version);
    clf_cli_text(r, NULL, d->driver);
    clf_cli_integer(r, NULL, d->compute_units);
    clf_cli_integer(r, NULL, d->memory_bytes >> 20);
    clf_cli_integer(r, NULL, d->allocation_bytes >> 20);
    clf_cli_integer(r, NULL, d->local_bytes >> 10);
    clf_cli_integer(r, NULL, d->work_group_limit);
    clf_cli_integer(r, NULL, d->float_width);
    clf_cli_bool(r, NULL, d->unified_memory);
    clf_cli_bool(r, NULL, d->fp16);
    clf_cli_bool(r, NULL, d->fp64);
    clf_cli_bool(r, NULL, d->sub_groups);
}

/* `none`: why none is picked; NULL when one is. */
static int print_devices(const clf_cli_options *options, const clf_device_info *infos, size_t count, const char *none)
{
    clf_cli_report r = clf_cli_report_open(options->json);

    if (none != NULL)
        clf_cli_text(&r, "none_picked", none);
    clf_cli_blocks(&r, "devices", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < count; i++)
        print_device(&r, &infos[i]);
    clf_cli_table_end(&r);
    return clf_cli_report_close(&r);
}

/* A list without a pick is a list too, unless the caller asked for a device that is not there. */
static bool listed(const clf_cli_options *options, clf_status status, size_t count)
{
    return status == CLF_OK || (status == CLF_UNSUPPORTED && count > 0 && options->device == NULL);
}

static clf_text why_none(void)
{
    const char *environment = getenv("CLFUSION_DEVICE");
    clf_text why;

    if (environment != NULL && environment[0] != '\0')
        (void)clf_format(why.text, sizeof why.text, "CLFUSION_DEVICE is \"%.80s\" and fits none of these; want another",
                         environment);
    else
        (void)clf_format(why.text, sizeof why.text, "all are refused unless --device names one");
    return why;
}

static int run_devices(const clf_cli_options *options)
{
    clf_error err = { .status = CLF_OK };
    clf_device_info *infos = NULL;
    size_t capacity = 0, count = 0;
    clf_status status = clf_device_list(options->device, NULL, 0, &count, &err);

    if (listed(options, status, count) && count > 0) {
        infos = clf_alloc(count, sizeof *infos);
        if (infos == NULL)
            return clf_cli_failf("devices: no memory for %zu entries; free some memory", count);
        capacity = count;
        status = clf_device_list(options->device, infos, capacity, &count, &err);
    }
    const char *advice = count > 0 ? "choose another --device" : "install an OpenCL driver";
    const int result = listed(options, status, count) ? print_devices(options, infos, CLF_MIN(count, capacity),
                                                                      status != CLF_OK ? why_none().text : NULL)
                                                      : clf_cli_fail(&err, advice);
    clf_free(infos);
    return result;
}

const clf_cli_command clf_cli_devices = {
    .name = "devices",
    .usage = "[--device SELECTOR] [--json]",
    .summary = "lists every OpenCL device and says which one is picked, which are refused, and why",
    .text = "The id is the P:D that --device takes.  Order of auto: discrete GPUs, integrated GPUs,\n"
            "accelerators, CPUs.  Refused devices are used only when they are named.\n",
    .options = CLF_OPTION_DEVICE | CLF_OPTION_JSON,
    .most_arguments = 0,
    .run = run_devices,
};
