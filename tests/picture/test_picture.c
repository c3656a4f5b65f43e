/* Pictures in: equal to Pillow for every kind, a clear error for every damaged file, nothing left behind. */
#include "checkpoint/files.h"

#include <dirent.h>

#include <clfusion/picture.h>

#include "checkpoint/file_map.h"
#include "checkpoint/npy.h"
#include "core/alloc.h"
#include "picture/png_write.h"

#define PICTURES CLF_TEST_DATA "/../pictures"

typedef struct file {
    char *bytes;
    size_t count;
} file;

static file read_file(const char *name)
{
    char path[512];
    clf_error err = { 0 };
    file f = { NULL, 0 };

    snprintf(path, sizeof path, PICTURES "/%s", name);
    if (clf_file_read(path, 1u << 20, &f.bytes, &f.count, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return f;
}

static bool ends(const char *name, const char *with)
{
    const size_t a = strlen(name), b = strlen(with);

    return a > b && strcmp(name + a - b, with) == 0;
}

/* Calls `run` for every picture file of the folder whose name begins so; returns their number. */
static int each_picture(const char *begin, void (*run)(const char *name))
{
    DIR *dir = opendir(PICTURES);
    int count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, begin, strlen(begin)) == 0 &&
            (ends(entry->d_name, ".png") || ends(entry->d_name, ".jpg"))) {
            run(entry->d_name);
            count++;
        }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static void equals_the_oracle(const char *name)
{
    char path[512];
    clf_error err = { 0 };
    clf_picture p;
    clf_npy *npy;

    snprintf(path, sizeof path, PICTURES "/%s", name);
    if (clf_picture_load(path, &p, &err) != CLF_OK)
        fail_msg("%s", err.message);
    snprintf(path, sizeof path, PICTURES "/%s.npy", name);
    assert_int_equal(clf_npy_open(path, &npy, &err), CLF_OK);
    const clf_host_tensor want = clf_npy_tensor(npy);
    const uint8_t *pixels = want.data;

    if (want.dtype != CLF_U8 || want.rank != 3 || want.dim[0] != p.height || want.dim[1] != p.width)
        fail_msg("%s: %d x %d is not the oracle's size", name, (int)p.height, (int)p.width);
    for (int64_t i = 0; i < p.height * p.width * 3; i++)
        if (p.rgb[i] != pixels[i])
            fail_msg("%s: row %d, column %d, colour %d is %d; want %d", name, (int)(i / 3 / p.width),
                     (int)(i / 3 % p.width), (int)(i % 3), p.rgb[i], pixels[i]);
    clf_npy_close(npy);
    clf_picture_free(&p);
    assert_null(p.rgb);
}

static void every_kind_equals_pillow(void **state)
{
    (void)state;
    assert_int_equal(each_picture("png_", equals_the_oracle), 36);
    assert_int_equal(each_picture("jpeg_", equals_the_oracle), 9);
}

/* Decodes bytes that end at a guard page.  Either a picture, or one line that names the file, and nothing. */
static clf_status decode(const void *bytes, size_t count)
{
    const guarded g = guard(bytes, count);
    clf_error err = { .status = CLF_OK };
    clf_picture p;
    const clf_status status = clf_picture_decode(g.bytes, count, "some.file", &p, &err);

    unguard(g);
    if (status != CLF_OK) {
        assert_null(p.rgb);
        assert_int_equal(status, err.status);
        assert_true(status == CLF_BAD_FILE || status == CLF_UNSUPPORTED);
        assert_true(strncmp(err.message, "some.file: ", 11) == 0 && strstr(err.message, "; want ") != NULL);
        assert_null(strchr(err.message, '\n'));
    } else
        assert_true(p.rgb != NULL && p.height * p.width <= CLF_PICTURE_PIXELS);
    clf_picture_free(&p);
    return status;
}

/* A file without its last bytes is damaged, wherever it is cut; JPEG's end marker alone may be missing in part. */
static void cut_everywhere(const char *name)
{
    const file f = read_file(name);

    assert_int_equal(decode(f.bytes, f.count), CLF_OK);
    for (size_t n = 0; n < f.count; n++)
        if (decode(f.bytes, n) == CLF_OK)
            fail_msg("%s: the first %zu of %zu bytes were taken for the whole", name, n, f.count);
    clf_free(f.bytes);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    assert_true(each_picture("png_6_8", cut_everywhere) + each_picture("png_3_4", cut_everywhere) +
                    each_picture("jpeg_rgb", cut_everywhere) + each_picture("jpeg_prog", cut_everywhere) +
                    each_picture("jpeg_cmyk", cut_everywhere) ==
                9);
}

static void flip_everywhere(const char *name)
{
    const file f = read_file(name);
    size_t refused = 0;

    for (size_t i = 0; i < f.count * 8; i++) {
        f.bytes[i / 8] = (char)(f.bytes[i / 8] ^ (1 << i % 8));
        refused += decode(f.bytes, f.count) != CLF_OK;
        f.bytes[i / 8] = (char)(f.bytes[i / 8] ^ (1 << i % 8));
    }
    /* checksums of PNG see nearly all; of JPEG only structure can be seen */
    if (refused < (ends(name, ".png") ? f.count * 8 * 7 / 10 : f.count))
        fail_msg("%s: %zu of %zu flipped bits were seen", name, refused, f.count * 8);
    clf_free(f.bytes);
}

static void a_flipped_bit_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(each_picture("png_3_8_", flip_everywhere), 1);
    assert_int_equal(each_picture("png_6_16.", flip_everywhere), 1);
    assert_int_equal(each_picture("png_grey_key", flip_everywhere), 1);
    assert_int_equal(each_picture("jpeg_progressive", flip_everywhere), 1);
    assert_int_equal(each_picture("jpeg_restarts", flip_everywhere), 1);
    assert_int_equal(each_picture("jpeg_one", flip_everywhere), 1);
}

static uint32_t crc_of(const unsigned char *bytes, size_t count)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? 0xedb88320 ^ crc >> 1 : crc >> 1;
    }
    return ~crc;
}

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * (3 - i));
}

/* Every bit behind a checksum that is right again: what a hostile writer would send. */
static void flip_behind_checksums(const char *name)
{
    const file f = read_file(name);
    unsigned char *bytes = (unsigned char *)f.bytes;
    size_t refused = 0;

    for (size_t at = 8; at + 12 <= f.count;) {
        const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3], end = at + 8 + length;
        unsigned char checksum[4];

        memcpy(checksum, bytes + end, 4);
        for (size_t bit = (at + 4) * 8; bit < end * 8; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            put_u32(bytes + end, crc_of(bytes + at + 4, length + 4));
            refused += decode(bytes, f.count) != CLF_OK;
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        memcpy(bytes + end, checksum, 4);
        at = end + 4;
    }
    assert_true(refused > f.count);
    clf_free(f.bytes);
}

static void a_flipped_bit_behind_a_right_checksum_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(each_picture("png_3_2_", flip_behind_checksums), 1);
    assert_int_equal(each_picture("png_palette_alpha", flip_behind_checksums), 1);
    assert_int_equal(each_picture("png_4_16", flip_behind_checksums), 2);
    assert_int_equal(each_picture("png_rgb_key", flip_behind_checksums), 1);
}

/* The file with another IHDR, whose checksum is right again. */
static clf_status with_header(size_t at, uint32_t value, size_t bytes, clf_error *err)
{
    const file f = read_file("png_2_8.png");
    clf_picture p;
    unsigned char *header = (unsigned char *)f.bytes + 12;

    for (size_t i = 0; i < bytes; i++)
        header[4 + at + i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
    put_u32(header + 17, crc_of(header, 17));
    const clf_status status = clf_picture_decode(f.bytes, f.count, "big.png", &p, err);
    assert_null(p.rgb);
    clf_free(f.bytes);
    return status;
}

/* 16 million by 16 million pixels in 400 bytes: known before memory is taken. */
static void limits_are_checked_first(void **state)
{
    clf_error err = { .status = CLF_OK };

    (void)state;
    expect_error(with_header(0, 70000, 4, &err), CLF_UNSUPPORTED, &err,
                 "big.png: PNG is 13 x 70000 pixels; want at most 65535 a side and 67108864 in all");
    expect_error(with_header(4, 0x7fffffff, 4, &err), CLF_UNSUPPORTED, &err, "PNG is 2147483647 x 11 pixels; want");
    expect_error(with_header(0, 0, 4, &err), CLF_BAD_FILE, &err, "big.png: PNG is damaged at byte 33 of ");
    expect_error(with_header(8, 3, 1, &err), CLF_BAD_FILE, &err, "PNG is damaged at byte 33 of "); /* depth 3 */
    expect_error(with_header(9, 5, 1, &err), CLF_BAD_FILE, &err, "PNG is damaged at byte 33 of "); /* color 5 */
}

/* Size of the frame of a JPEG, behind marker SOF0: length, precision, height, width. */
static clf_status with_frame(uint32_t height, uint32_t width, unsigned char precision, clf_error *err)
{
    const file f = read_file("jpeg_rgb.jpg");
    clf_picture p;

    for (size_t i = 0; i + 9 < f.count; i++)
        if ((unsigned char)f.bytes[i] == 0xff && (unsigned char)f.bytes[i + 1] == 0xc0) {
            f.bytes[i + 4] = (char)precision;
            f.bytes[i + 5] = (char)(height >> 8);
            f.bytes[i + 6] = (char)height;
            f.bytes[i + 7] = (char)(width >> 8);
            f.bytes[i + 8] = (char)width;
            break;
        }
    const clf_status status = clf_picture_decode(f.bytes, f.count, "big.jpg", &p, err);
    clf_picture_free(&p);
    clf_free(f.bytes);
    return status;
}

static void limits_hold_for_jpeg(void **state)
{
    clf_error err = { .status = CLF_OK };

    (void)state;
    expect_error(with_frame(60000, 60000, 8, &err), CLF_UNSUPPORTED, &err,
                 "big.jpg: JPEG is 60000 x 60000 pixels; want at most 65535 a side and 67108864 in all");
    expect_error(with_frame(35, 43, 12, &err), CLF_BAD_FILE, &err, "big.jpg: JPEG is damaged at byte ");
    expect_error(with_frame(0, 43, 8, &err), CLF_BAD_FILE, &err, "big.jpg: JPEG is damaged at byte ");
    expect_error(with_frame(350, 43, 8, &err), CLF_BAD_FILE, &err, "big.jpg: JPEG is damaged at byte ");
}

/* A progressive file whose last scan comes again and again: 100 scans are enough for every writer. */
static void endless_scans_are_refused(void **state)
{
    const file f = read_file("jpeg_progressive.jpg");
    size_t at = f.count - 2;
    clf_error err = { .status = CLF_OK };
    clf_picture p;

    (void)state;
    while (!((unsigned char)f.bytes[at] == 0xff && (unsigned char)f.bytes[at + 1] == 0xda))
        at--;
    const size_t scan = f.count - 2 - at;
    char *many = clf_alloc(f.count + 200 * scan, 1);

    memcpy(many, f.bytes, f.count - 2);
    for (size_t i = 0; i < 200; i++)
        memcpy(many + f.count - 2 + i * scan, f.bytes + at, scan);
    memcpy(many + f.count - 2 + 200 * scan, f.bytes + f.count - 2, 2);
    const clf_status status = clf_picture_decode(many, f.count + 200 * scan, "long.jpg", &p, &err);
    assert_true(status == CLF_UNSUPPORTED || status == CLF_BAD_FILE); /* or it finds that nothing is left to refine */
    assert_null(p.rgb);
    clf_free(many);
    clf_free(f.bytes);
}

static void messages_name_file_and_place(void **state)
{
    folder *dir = *state;
    clf_error err = { .status = CLF_OK };
    clf_picture p;
    const file f = read_file("png_2_8.png");

    f.bytes[f.count - 20] = (char)~f.bytes[f.count - 20];
    write_bytes(at(dir, "broken.png"), f.bytes, f.count);
    expect_error(clf_picture_load(at(dir, "broken.png"), &p, &err), CLF_BAD_FILE, &err,
                 "broken.png: PNG is damaged at byte ");
    write_text(at(dir, "text.jpg"), "no picture");
    expect_error(clf_picture_load(at(dir, "text.jpg"), &p, &err), CLF_BAD_FILE, &err,
                 "text.jpg: 10 bytes begin neither as PNG nor as JPEG; want one of these");
    write_text(at(dir, "empty"), "");
    expect_error(clf_picture_load(at(dir, "empty"), &p, &err), CLF_BAD_FILE, &err, ": 0 bytes begin neither");
    expect_error(clf_picture_load(at(dir, "none"), &p, &err), CLF_IO, &err, "none: cannot open: no such file");
    clf_free(f.bytes);
}

/* libjpeg takes its memory from the C library; the rows are ours. */
static clf_status decode_one(void *name, clf_error *err)
{
    clf_picture p;
    clf_status status;
    char path[512];

    snprintf(path, sizeof path, PICTURES "/%s", (const char *)name);
    status = clf_picture_load(path, &p, err);
    clf_picture_free(&p);
    return status;
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    fail_each_allocation(decode_one, "png_6_16_interlaced.png");
    fail_each_allocation(decode_one, "png_palette_alpha.png");
    fail_each_allocation(decode_one, "jpeg_cmyk.jpg");
}

/* A picture that is written and read is the same. */
static void what_is_written_can_be_read(void **state)
{
    static const int64_t sizes[][2] = { { 1, 1 }, { 1, 300 }, { 257, 3 }, { 40, 61 } };
    folder *dir = *state;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const int64_t bytes = sizes[i][0] * sizes[i][1] * 3;
        clf_picture p = { sizes[i][0], sizes[i][1], clf_alloc((size_t)bytes, 1) }, back;
        clf_file_writer *writer;
        clf_error err = { 0 };

        for (int64_t k = 0; k < bytes; k++)
            p.rgb[k] = (uint8_t)(k * k + 7 * k);
        assert_int_equal(clf_png_write(at(dir, "out.png"), &p, &writer, &err), CLF_OK);
        assert_int_equal(clf_file_writer_commit(writer, &err), CLF_OK);
        assert_int_equal(clf_picture_load(at(dir, "out.png"), &back, &err), CLF_OK);
        assert_true(back.height == p.height && back.width == p.width);
        assert_memory_equal(back.rgb, p.rgb, (size_t)bytes);
        clf_picture_free(&p);
        clf_picture_free(&back);
    }
}

typedef struct writing {
    const char *path;
    clf_picture picture;
} writing;

static clf_status write_one(void *argument, clf_error *err)
{
    const writing *w = argument;
    clf_file_writer *writer;
    const clf_status status = clf_png_write(w->path, &w->picture, &writer, err);

    assert_true((writer != NULL) == (status == CLF_OK));
    clf_file_writer_abandon(writer);
    return status;
}

static void a_failed_allocation_leaves_no_file(void **state)
{
    static uint8_t rgb[4 * 5 * 3];
    writing w = { at(*state, "never.png"), { 4, 5, rgb } };

    fail_each_allocation(write_one, &w);
    assert_false(clf_file_there(w.path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_equals_pillow),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_flipped_bit_does_no_harm),
        cmocka_unit_test(a_flipped_bit_behind_a_right_checksum_does_no_harm),
        cmocka_unit_test(limits_are_checked_first),
        cmocka_unit_test(limits_hold_for_jpeg),
        cmocka_unit_test(endless_scans_are_refused),
        cmocka_unit_test(messages_name_file_and_place),
        cmocka_unit_test(a_failed_allocation_is_reported),
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(a_failed_allocation_leaves_no_file),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
