/* Pictures side by side, enlarged, with a word below each: docs/demo.png, which tools/demo.sh makes.
 *     contact_sheet OUT.png FACTOR [WORDS=]PICTURE...
 *
 * Each pixel becomes FACTOR x FACTOR, so that a picture alone is just enlarged.  WORDS: letters a to z, others are gaps. */
#include <clfusion/picture.h>

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "picture/png_write.h"

#define CLF_OP "contact_sheet"

enum { MOST = 16, GAP = 8, GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, PEN = 2, BAND = PEN * GLYPH_HEIGHT + GAP };

/* Rows of the letters from the top, the left dot in bit 4. */
static const uint8_t glyphs[26][GLYPH_HEIGHT] = {
    { 0x00, 0x00, 0x0e, 0x01, 0x0f, 0x11, 0x0f }, { 0x10, 0x10, 0x16, 0x19, 0x11, 0x11, 0x1e }, /* a b */
    { 0x00, 0x00, 0x0e, 0x10, 0x10, 0x11, 0x0e }, { 0x01, 0x01, 0x0d, 0x13, 0x11, 0x11, 0x0f }, /* c d */
    { 0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e }, { 0x06, 0x09, 0x08, 0x1c, 0x08, 0x08, 0x08 }, /* e f */
    { 0x00, 0x0f, 0x11, 0x11, 0x0f, 0x01, 0x0e }, { 0x10, 0x10, 0x16, 0x19, 0x11, 0x11, 0x11 }, /* g h */
    { 0x04, 0x00, 0x0c, 0x04, 0x04, 0x04, 0x0e }, { 0x02, 0x00, 0x06, 0x02, 0x02, 0x12, 0x0c }, /* i j */
    { 0x10, 0x10, 0x12, 0x14, 0x18, 0x14, 0x12 }, { 0x0c, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e }, /* k l */
    { 0x00, 0x00, 0x1a, 0x15, 0x15, 0x11, 0x11 }, { 0x00, 0x00, 0x16, 0x19, 0x11, 0x11, 0x11 }, /* m n */
    { 0x00, 0x00, 0x0e, 0x11, 0x11, 0x11, 0x0e }, { 0x00, 0x00, 0x1e, 0x11, 0x1e, 0x10, 0x10 }, /* o p */
    { 0x00, 0x00, 0x0d, 0x13, 0x0f, 0x01, 0x01 }, { 0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10 }, /* q r */
    { 0x00, 0x00, 0x0e, 0x10, 0x0e, 0x01, 0x1e }, { 0x08, 0x08, 0x1c, 0x08, 0x08, 0x09, 0x06 }, /* s t */
    { 0x00, 0x00, 0x11, 0x11, 0x11, 0x13, 0x0d }, { 0x00, 0x00, 0x11, 0x11, 0x11, 0x0a, 0x04 }, /* u v */
    { 0x00, 0x00, 0x11, 0x11, 0x15, 0x15, 0x0a }, { 0x00, 0x00, 0x11, 0x0a, 0x04, 0x0a, 0x11 }, /* w x */
    { 0x00, 0x00, 0x11, 0x11, 0x0f, 0x01, 0x0e }, { 0x00, 0x00, 0x1f, 0x02, 0x04, 0x08, 0x1f }, /* y z */
};

typedef struct sheet {
    clf_picture picture[MOST];
    const char *words[MOST]; /* may end with "=PICTURE" */
    int count;
    int64_t factor;
    bool labelled;
} sheet;

static clf_status load(sheet *s, int count, char **names, clf_error *err)
{
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(names[i], '=');

        s->words[i] = equals != NULL ? names[i] : "";
        s->labelled = s->labelled || equals != NULL;
        CLF_TRY(clf_picture_load(equals != NULL ? equals + 1 : names[i], &s->picture[i], err));
        s->count = i + 1;
    }
    return CLF_OK;
}

static void paint(clf_picture *out, const clf_picture *p, int64_t factor, int64_t left)
{
    for (int64_t y = 0; y < factor * p->height; y++)
        for (int64_t x = 0; x < factor * p->width; x++)
            memcpy(out->rgb + 3 * (y * out->width + left + x), p->rgb + 3 * (y / factor * p->width + x / factor), 3);
}

/* In the middle of columns left to left + width, below row `top`; what does not fit is left out. */
static void write_words(clf_picture *out, const char *words, int64_t left, int64_t width, int64_t top)
{
    const int64_t step = PEN * (GLYPH_WIDTH + 1), length = (int64_t)strcspn(words, "=");
    int64_t x = left + (width > length * step ? (width - length * step) / 2 : 0);

    for (int64_t i = 0; i < length && x + step <= left + width; i++, x += step)
        for (int row = 0; row < PEN * GLYPH_HEIGHT && words[i] >= 'a' && words[i] <= 'z'; row++)
            for (int column = 0; column < PEN * GLYPH_WIDTH; column++)
                if (glyphs[words[i] - 'a'][row / PEN] >> (GLYPH_WIDTH - 1 - column / PEN) & 1)
                    memset(out->rgb + 3 * ((top + row) * out->width + x + column), 0, 3);
}

static clf_status compose(const sheet *s, clf_picture *out, clf_error *err)
{
    int64_t left = 0;

    for (int i = 0; i < s->count; i++) {
        const int64_t below = s->factor * s->picture[i].height + (s->labelled ? BAND : 0);
        out->height = out->height > below ? out->height : below;
        out->width += s->factor * s->picture[i].width + (i > 0 ? GAP : 0);
    }
    CLF_REQUIRE(err, out->width <= CLF_PICTURE_SIDE && out->height <= CLF_PICTURE_SIDE, CLF_UNSUPPORTED,
                "the sheet is %d x %d pixels; want sides of 65535 or less", (int)out->width, (int)out->height);
    out->rgb = clf_alloc((size_t)(out->height * out->width), 3);
    CLF_REQUIRE(err, out->rgb != NULL, CLF_OUT_OF_MEMORY, "no memory for a sheet of %d x %d pixels", (int)out->width,
                (int)out->height);
    memset(out->rgb, 255, (size_t)(3 * out->height * out->width));
    for (int i = 0; i < s->count; i++) {
        const int64_t width = s->factor * s->picture[i].width;
        paint(out, &s->picture[i], s->factor, left);
        write_words(out, s->words[i], left, width, s->factor * s->picture[i].height + GAP);
        left += width + GAP;
    }
    return CLF_OK;
}

static clf_status save(const clf_picture *p, const char *path, clf_error *err)
{
    clf_file_writer *writer = NULL;

    CLF_TRY(clf_png_write(path, p, &writer, err));
    return clf_file_writer_commit(writer, err);
}

int main(int argc, char **argv)
{
    sheet s = { .factor = 0 };
    clf_picture out = { 0 };
    clf_error err = { 0 };

    if (argc > 3 && argv[2][0] >= '1' && argv[2][0] <= '9' && argv[2][1] == '\0')
        s.factor = argv[2][0] - '0';
    if (s.factor == 0 || argc > 3 + MOST) {
        fprintf(stderr, "usage: contact_sheet OUT.png FACTOR [WORDS=]PICTURE..., 1 to 9 and up to 16 pictures\n");
        return 2;
    }
    clf_status status = load(&s, argc - 3, argv + 3, &err);
    if (status == CLF_OK)
        status = compose(&s, &out, &err);
    if (status == CLF_OK)
        status = save(&out, argv[1], &err);
    for (int i = 0; i < s.count; i++)
        clf_picture_free(&s.picture[i]);
    clf_picture_free(&out);
    if (status != CLF_OK)
        fprintf(stderr, "%s\n", err.message);
    return status != CLF_OK;
}
