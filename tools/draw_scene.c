/* Draws examples/scene.ppm, the picture that the demo embeds: a house on a hill under a low sun.  Whole numbers only,
 * so every machine draws the same bytes; .ci/run compares them with the file.
 *     draw_scene scene.ppm */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { WIDTH = 300, HEIGHT = 240 };

typedef struct colour {
    uint8_t red, green, blue;
} colour;

static colour mix(colour a, colour b, int part, int whole)
{
    return (colour){ (uint8_t)(a.red + (b.red - a.red) * part / whole),
                     (uint8_t)(a.green + (b.green - a.green) * part / whole),
                     (uint8_t)(a.blue + (b.blue - a.blue) * part / whole) };
}

static bool in_disc(int x, int y, int cx, int cy, int radius)
{
    return (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius;
}

static bool in_box(int x, int y, int left, int top, int width, int height)
{
    return x >= left && x < left + width && y >= top && y < top + height;
}

static colour sky(int x, int y)
{
    const colour high = { 62, 104, 178 }, low = { 246, 196, 140 }, sun = { 255, 240, 190 };

    if (in_disc(x, y, 226, 96, 22))
        return sun;
    return mix(high, low, y < 160 ? y : 160, 160);
}

/* A parabola with its top at (150, 138), striped like a mown field. */
static bool on_hill(int x, int y)
{
    return y >= 138 + (x - 150) * (x - 150) / 400;
}

static colour hill(int x, int y)
{
    const colour light = { 104, 152, 70 }, dark = { 72, 118, 58 };

    return (x + 2 * y) / 12 % 2 == 0 ? light : dark;
}

/* True when (x, y) belongs to the house; *c is then its colour. */
static bool house(int x, int y, colour *c)
{
    if (in_box(x, y, 120, 108, 18, 22) || in_box(x, y, 152, 108, 18, 22))
        *c = (colour){ 250, 230, 130 }; /* windows */
    else if (in_box(x, y, 138, 136, 16, 30))
        *c = (colour){ 92, 58, 40 }; /* door */
    else if (in_box(x, y, 106, 100, 78, 66))
        *c = (colour){ 214, 202, 186 }; /* wall */
    else if (y >= 64 && y < 100 && x >= 145 - (y - 64) * 5 / 4 && x <= 145 + (y - 64) * 5 / 4)
        *c = (colour){ 168, 60, 48 }; /* roof */
    else
        return false;
    return true;
}

static bool tree(int x, int y, colour *c)
{
    if (in_disc(x, y, 56, 112, 26) || in_disc(x, y, 40, 130, 18) || in_disc(x, y, 72, 130, 18))
        *c = (colour){ 36, (uint8_t)(84 + (x * y) % 24), 44 };
    else if (in_box(x, y, 51, 130, 10, 52))
        *c = (colour){ 84, 60, 42 };
    else
        return false;
    return true;
}

static colour pixel(int x, int y)
{
    colour c;

    if (house(x, y, &c) || tree(x, y, &c))
        return c;
    return on_hill(x, y) ? hill(x, y) : sky(x, y);
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "wb") : NULL;

    if (file == NULL) {
        fprintf(stderr, "usage: draw_scene FILE.ppm, a file that can be written\n");
        return 2;
    }
    fprintf(file, "P6\n%d %d\n255\n", WIDTH, HEIGHT);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            const colour c = pixel(x, y);
            fwrite(&c, 1, 3, file);
        }
    }
    const bool good = !ferror(file);
    return fclose(file) == 0 && good ? 0 : 1;
}
