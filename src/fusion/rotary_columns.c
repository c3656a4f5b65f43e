/* Columns of rotary tables: which axis turns a column, and how fast. */
#include <clfusion/positions.h>

#include <inttypes.h>
#include <math.h>

#include "core/desc.h"
#include "core/error.h"
#include "core/size.h"

#define CLF_OP "rotary_columns"

static bool on_grid(clf_rotary_layout layout)
{
    return layout == CLF_ROTARY_GRID || layout == CLF_ROTARY_PIXTRAL || layout == CLF_ROTARY_LLAMA4;
}

/* Sections that the layout wants: 0 none, 3 exactly three, CLF_ROTARY_AXES from one to that many. */
static int32_t sections_of(clf_rotary_layout layout)
{
    switch (layout) {
    case CLF_ROTARY_SECTIONED:
    case CLF_ROTARY_WHOLE_HEAD:
        return CLF_ROTARY_AXES;
    case CLF_ROTARY_INTERLEAVED:
    case CLF_ROTARY_ALTERNATING:
        return 3;
    default:
        return 0;
    }
}

static clf_status check_sections(const clf_rotary_columns_desc *d, clf_error *err)
{
    const int32_t wanted = sections_of(d->layout);
    int64_t sum = 0;

    CLF_REQUIRE(err, d->section_count >= (wanted == 3 ? 3 : 1) && d->section_count <= wanted, CLF_INVALID_ARGUMENT,
                "section_count is %" PRId32 "; want %s", d->section_count, wanted == 3 ? "3" : "1 to 4");
    for (int32_t i = 0; i < d->section_count; i++) {
        CLF_REQUIRE(err, d->sections[i] >= 0 && d->sections[i] <= d->width, CLF_INVALID_ARGUMENT,
                    "sections[%" PRId32 "] is %" PRId64 "; want 0 to %" PRId64 ", half the width", i, d->sections[i],
                    d->width / 2);
        sum += d->sections[i];
    }
    CLF_REQUIRE(err, sum == d->width / 2, CLF_INVALID_ARGUMENT,
                "sections add up to %" PRId64 "; want %" PRId64 ", half the width %" PRId64, sum, d->width / 2,
                d->width);
    CLF_REQUIRE(err, d->layout != CLF_ROTARY_ALTERNATING || d->sections[0] == d->sections[1], CLF_INVALID_ARGUMENT,
                "sections begin with %" PRId64 " and %" PRId64 "; want both alike, since rows and columns alternate",
                d->sections[0], d->sections[1]);
    return CLF_OK;
}

static clf_status check(const clf_rotary_columns_desc *d, clf_error *err)
{
    const int step = on_grid(d->layout) ? 4 : 2;

    CLF_REQUIRE(err, d->layout >= CLF_ROTARY_GRID && d->layout <= CLF_ROTARY_WHOLE_HEAD, CLF_INVALID_ARGUMENT,
                "layout is %d; want 0 to %d", (int)d->layout, (int)CLF_ROTARY_WHOLE_HEAD);
    CLF_REQUIRE(err, d->width >= step && d->width % step == 0 && d->width <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "width is %" PRId64 "; want a multiple of %d, below 2^31", d->width, step);
    CLF_REQUIRE(err, isfinite(d->base) && d->base > 0.0, CLF_INVALID_ARGUMENT, "base is %g; want above 0", d->base);
    return sections_of(d->layout) > 0 ? check_sections(d, err) : CLF_OK;
}

/* base^(-2 j / W), rounded where transformers rounds: exponent, power, quotient. */
static float frequency_of(double base, int64_t j, int64_t W)
{
    const float exponent = (float)(2 * j) / (float)W, power = (float)pow((double)(float)base, (double)exponent);

    return 1.0F / power;
}

/* The section that frequency p, or column p of a whole head, falls into. */
static int32_t section_at(const clf_rotary_columns_desc *d, int64_t p, int64_t times)
{
    int32_t i = 0;

    for (int64_t end = times * d->sections[0]; p >= end && i + 1 < d->section_count; end += times * d->sections[i])
        i++;
    return i;
}

static int32_t axis_of(const clf_rotary_columns_desc *d, int64_t p)
{
    const int32_t third = (int32_t)(p % 3);

    switch (d->layout) {
    case CLF_ROTARY_LLAMA4:
        return p < d->width / 4 ? 1 : 0;
    case CLF_ROTARY_SECTIONED:
        return section_at(d, p, 1);
    case CLF_ROTARY_WHOLE_HEAD:
        return section_at(d, p, 2);
    case CLF_ROTARY_INTERLEAVED:
        return p < 3 * d->sections[third] ? third : 0;
    case CLF_ROTARY_ROUND_ROBIN:
        return third;
    case CLF_ROTARY_ALTERNATING:
        return p >= d->sections[0] + d->sections[1] ? 0 : p % 2 == 0 ? 1 : 2;
    default: /* grid and pixtral */
        return p < d->width / 4 ? 0 : 1;
    }
}

static float frequency_at(const clf_rotary_columns_desc *d, int64_t p)
{
    const int64_t R = d->width;

    switch (d->layout) {
    case CLF_ROTARY_GRID:
    case CLF_ROTARY_LLAMA4:
        return frequency_of(d->base, p % (R / 4), R / 2);
    case CLF_ROTARY_PIXTRAL:
        return frequency_of(d->base, p % (R / 4) * 2 + p / (R / 4), R);
    default:
        return frequency_of(d->base, p % (R / 2), R);
    }
}

clf_status clf_rotary_columns_fill(const clf_rotary_columns_desc *desc, float *frequency, int32_t *axis,
                                   clf_rotary_columns *columns, clf_error *err)
{
    clf_rotary_columns_desc d = clf_rotary_columns_desc_default();

    CLF_DESC_READ(err, &d, desc);
    CLF_TRY(check(&d, err));
    const int64_t P = d.layout == CLF_ROTARY_WHOLE_HEAD ? d.width : d.width / 2;

    for (int64_t p = 0; p < P; p++) {
        frequency[p] = frequency_at(&d, p);
        axis[p] = axis_of(&d, p);
    }
    *columns = (clf_rotary_columns){ .count = P, .frequency = frequency, .axis = axis };
    return CLF_OK;
}
