/* Choosing a device by a selector, and saying why. */
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/text.h"
#include "runtime/device.h"

static const char *kind_text(const clf_device_info *d)
{
    switch (d->kind) {
    case CLF_DEVICE_GPU:
        return d->unified_memory ? "integrated GPU" : "discrete GPU";
    case CLF_DEVICE_ACCELERATOR:
        return "accelerator";
    case CLF_DEVICE_CPU:
        break;
    }
    return "CPU device";
}

typedef enum selector_kind { BY_ORDER, BY_CPU, BY_GPU, BY_NUMBER, BY_NAME } selector_kind;

typedef struct device_selector {
    selector_kind kind;
    const char *text;
    long platform, device; /* BY_NUMBER */
} device_selector;

/* "auto", "cpu", "gpu", "P:D" or a part of a name. */
static device_selector parse(const char *text)
{
    device_selector s = { .kind = BY_NAME, .text = text };
    char *end;

    if (clf_name_equal(text, "auto"))
        s.kind = BY_ORDER;
    else if (clf_name_equal(text, "cpu"))
        s.kind = BY_CPU;
    else if (clf_name_equal(text, "gpu"))
        s.kind = BY_GPU;
    else if (text[0] >= '0' && text[0] <= '9') {
        s.platform = strtol(text, &end, 10);
        if (*end == ':' && end[1] >= '0' && end[1] <= '9') {
            s.device = strtol(end + 1, &end, 10);
            s.kind = *end == '\0' ? BY_NUMBER : BY_NAME;
        }
    }
    return s;
}

static bool fits(const device_selector *s, const clf_device_info *d)
{
    switch (s->kind) {
    case BY_ORDER:
        return !d->refused;
    case BY_CPU:
        return !d->refused && d->kind == CLF_DEVICE_CPU;
    case BY_GPU:
        return !d->refused && d->kind == CLF_DEVICE_GPU;
    case BY_NUMBER:
        return d->platform == s->platform && d->device == s->device;
    case BY_NAME:
        break;
    }
    return clf_text_contains(d->name, s->text) || clf_text_contains(d->platform_name, s->text);
}

static void explain(const device_selector *s, size_t candidates, size_t all, clf_device_info *d)
{
    if (s->kind == BY_NUMBER || s->kind == BY_NAME)
        clf_format(d->reason, sizeof d->reason, "named by \"%.60s\"%s", s->text,
                   d->refused ? " although it is refused by default" : "");
    else
        clf_format(d->reason, sizeof d->reason,
                   "%s: first of %zu of %zu devices, a %s; order: discrete GPU, integrated "
                   "GPU, accelerator, CPU (pocl, Intel, others)",
                   s->kind == BY_ORDER ? "auto" : s->text, candidates, all, kind_text(d));
}

clf_status clf_device_pick(const char *selector, clf_device *devices, size_t count, size_t *index, clf_error *err)
{
    const device_selector s = parse(selector);
    size_t candidates = 0, best = 0;

    for (size_t i = 0; i < count; i++) {
        clf_device_info *d = &devices[i].info;

        if (!d->refused)
            clf_format(d->reason, sizeof d->reason, "%s", kind_text(d));
        if (fits(&s, d) && (candidates++ == 0 || devices[i].rank < devices[best].rank))
            best = i;
    }
    if (count == 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "no OpenCL device: no platform has one; install a driver, for CPUs pocl");
    if (candidates == 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "device: \"%s\" fits none of %zu OpenCL devices",
                        clf_text_quote(selector, strlen(selector)).text, count);
    explain(&s, candidates, count, &devices[best].info);
    devices[best].info.picked = true;
    *index = best;
    return CLF_OK;
}
