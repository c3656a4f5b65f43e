/* npy: NumPy's files are read, everything near them is refused, and a file appears whole or not at all. */
#include "checkpoint/files.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include "checkpoint/npy.h"

/* A file of this version around a header; data count up from 0.  Returns its length. */
static size_t make_npy(char *out, size_t room, int major, const char *header, size_t data_bytes)
{
    const size_t length = strlen(header), begin = major == 1 ? 10 : 12;

    assert_true(begin + length + data_bytes <= room);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)major;
    out[7] = 0;
    for (size_t i = 8; i < begin; i++)
        out[i] = (char)(length >> 8 * (i - 8) & 0xff);
    memcpy(out + begin, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        out[begin + length + i] = (char)i;
    return begin + length + data_bytes;
}

static clf_status parse_bytes(const char *bytes, size_t count, clf_host_tensor *t, clf_error *err)
{
    const guarded g = guard(bytes, count);
    const clf_status status = clf_npy_parse("t.npy", g.bytes, count, t, err);

    if (status == CLF_OK) { /* everything it promises lies inside: read it all */
        size_t size = clf_dtype_bytes(t->dtype), sum = 0;

        assert_in_range(t->rank, 1, CLF_MAX_RANK);
        for (int32_t i = 0; i < t->rank; i++)
            size *= (size_t)t->dim[i];
        assert_ptr_equal((const char *)t->data + size, g.bytes + count);
        for (size_t i = 0; i < size; i++)
            sum += ((const unsigned char *)t->data)[i];
        assert_true(sum <= 255 * size);
    } else {
        assert_int_equal(t->dtype, CLF_DTYPE_NONE);
    }
    unguard(g);
    return status;
}

static clf_status parse_header(int major, const char *header, size_t data_bytes, clf_host_tensor *t, clf_error *err)
{
    static char file[16384];

    return parse_bytes(file, make_npy(file, sizeof file, major, header, data_bytes), t, err);
}

#define HEADER(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }\n"

static void every_type_of_the_list_is_read(void **state)
{
    static const struct {
        const char *header;
        clf_dtype dtype;
        size_t bytes;
    } cases[] = {
        { HEADER("|u1", "False", "(2, 3)"), CLF_U8, 1 },   { HEADER("|i1", "False", "(2, 3)"), CLF_I8, 1 },
        { HEADER("|b1", "False", "(2, 3)"), CLF_BOOL, 1 }, { HEADER("<u2", "False", "(2, 3)"), CLF_U16, 2 },
        { HEADER("<i2", "False", "(2, 3)"), CLF_I16, 2 },  { HEADER("<f2", "False", "(2, 3)"), CLF_F16, 2 },
        { HEADER("<i4", "False", "(2, 3)"), CLF_I32, 4 },  { HEADER("<u4", "False", "(2, 3)"), CLF_U32, 4 },
        { HEADER("<f4", "False", "(2, 3)"), CLF_F32, 4 },  { HEADER("<i8", "False", "(2, 3)"), CLF_I64, 8 },
        { HEADER("<u8", "False", "(2, 3)"), CLF_U64, 8 },  { HEADER("<f8", "False", "(2, 3)"), CLF_F64, 8 },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++)
        for (int major = 1; major <= 3; major++) {
            clf_host_tensor t;
            clf_error err;

            assert_int_equal(parse_header(major, cases[i].header, 6 * cases[i].bytes, &t, &err), CLF_OK);
            assert_int_equal(t.dtype, cases[i].dtype);
            assert_true(t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 3);
        }
}

static void a_file_of_numpy_is_read(void **state)
{
    /* numpy.save of array([[1, 2, 3], [4, 5, 6]], '<f4'), NumPy 2 */
    static const char head[] = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
                               "                                                          \n";
    folder *f = *state;
    const float values[6] = { 1, 2, 3, 4, 5, 6 };
    char file[128 + sizeof values];
    clf_host_tensor t;
    clf_error err;
    clf_npy *n;

    assert_int_equal(sizeof head - 1, 128);
    memcpy(file, head, 128);
    memcpy(file + 128, values, sizeof values);
    write_bytes(at(f, "n.npy"), file, sizeof file);
    assert_int_equal(clf_npy_open(at(f, "n.npy"), &n, &err), CLF_OK);
    t = clf_npy_tensor(n);
    assert_int_equal(t.dtype, CLF_F32);
    assert_memory_equal(t.data, values, sizeof values);
    clf_npy_close(n);
    clf_npy_close(NULL);
}

static void shapes_and_spellings_of_the_grammar_are_read(void **state)
{
    static const struct {
        const char *header;
        size_t bytes;
        int32_t rank;
        int64_t first;
    } cases[] = {
        { HEADER("<f4", "False", "()"), 4, 1, 1 },
        { HEADER("<f4", "False", "(3,)"), 12, 1, 3 },
        { HEADER("<f4", "False", "(0,)"), 0, 1, 0 },
        { HEADER("<f4", "False", "(0, 9223372036854775807, 9223372036854775807)"), 0, 3, 0 },
        { HEADER("<f4", "False", "(3, 1,)"), 12, 2, 3 },
        { HEADER("<f4", "False", "(1,1,1,1,1,3)"), 12, 6, 1 },
        { "{\"descr\":\"<f4\",\"shape\":(3,),\"fortran_order\":False}\n", 12, 1, 3 },
        { "{ 'shape' : ( 3 , ) , 'descr' : '<f4' , 'fortran_order' : False , } \n", 12, 1, 3 },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}   \n", 12, 1, 3 },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;

        if (parse_header(1, cases[i].header, cases[i].bytes, &t, &err) != CLF_OK)
            fail_msg("%s: %s", cases[i].header, err.message);
        assert_int_equal(t.rank, cases[i].rank);
        assert_int_equal(t.dim[0], cases[i].first);
    }
}

static void sound_files_that_we_do_not_read_are_unsupported(void **state)
{
    static const struct {
        const char *header, *part;
    } cases[] = {
        { HEADER(">f4", "False", "(1,)"), "descr is '>f4'; want little-endian" },
        { HEADER("=f4", "False", "(1,)"), "descr is '=f4'" },
        { HEADER("|O", "False", "(1,)"), "descr is '|O'" },
        { HEADER("<U4", "False", "(1,)"), "descr is '<U4'" },
        { HEADER("|S4", "False", "(1,)"), "descr is '|S4'" },
        { HEADER("<c8", "False", "(1,)"), "descr is '<c8'" },
        { HEADER("<f44", "False", "(1,)"), "descr is '<f44'" },
        { HEADER("f4", "False", "(1,)"), "descr is 'f4'" },
        { HEADER("", "False", "(1,)"), "descr is ''" },
        { HEADER("\x01", "False", "(1,)"), "descr is '\\x01'" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", "descr is a structured type" },
        { HEADER("<f4", "True", "(1, 1)"), "fortran_order is True; want C order" },
        { HEADER("<f4", "False", "(1,1,1,1,1,1,1)"), "shape has more than 6 dimensions" },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;

        expect_error(parse_header(1, cases[i].header, 4, &t, &err), CLF_UNSUPPORTED, &err, cases[i].part);
    }
}

static void headers_outside_the_grammar_are_refused(void **state)
{
    static const char *const headers[] = {
        "",
        "\n",
        "{}\n",
        "{",
        "}\n",
        "[]\n",
        "None\n",
        "__import__('os')\n",
        "{'descr': '<f4'}\n",
        "{'descr': '<f4', 'fortran_order': False}\n",
        "{'descr': '<f4', 'fortran_order': False, }\n",
        "{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}\n",
        "{'descr': '<f4', 'fortran_order': False, 'x': (1,)}\n",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}\n",
        "{'descr': '<f4', 'fortran_order': False 'shape': (1,)}\n",
        "{'descr' '<f4', 'fortran_order': False, 'shape': (1,)}\n",
        "{descr: '<f4', 'fortran_order': False, 'shape': (1,)}\n",
        "{'descr': <f4, 'fortran_order': False, 'shape': (1,)}\n",
        "{'descr': '<f4\", \"fortran_order\": False, \"shape\": (1,)}\n",
        "{'descr': '<f4', 'fortran_order': false, 'shape': (1,)}\n",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}\n",
        "{'descr': '<f4', 'fortran_order': Falsey, 'shape': (1,)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)},\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n ",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}x\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\t\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,),,}\n",
        "{,'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n",
        HEADER("<f4", "False", "(1)"),
        HEADER("<f4", "False", "1"),
        HEADER("<f4", "False", "[1]"),
        HEADER("<f4", "False", "(,)"),
        HEADER("<f4", "False", "(1,,1)"),
        HEADER("<f4", "False", "(1 1)"),
        HEADER("<f4", "False", "(1,"),
        HEADER("<f4", "False", "(-1,)"),
        HEADER("<f4", "False", "(+1,)"),
        HEADER("<f4", "False", "(1.0,)"),
        HEADER("<f4", "False", "(1L,)"),
        HEADER("<f4", "False", "(0x1,)"),
        HEADER("<f4", "False", "(01,)"),
        HEADER("<f4", "False", "(True,)"),
        HEADER("<f4", "False", "((1,),)"),
        HEADER("<f4", "False", "(9223372036854775808,)"),
        HEADER("<f4", "False", "(18446744073709551617,)"),
        HEADER("<f4", "False", "(4294967296, 4294967296)"),
        HEADER("<f4", "False", "(4611686018427387905,)"),
        HEADER("<f4", "False", "(2,)"),
        HEADER("<f4", "False", "(0,)"),
        HEADER("<f8", "False", "(1,)"),
        HEADER("<f4", "False", "(4194305, 4194305, 211106198978564)"),
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(headers); i++) {
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;
        const clf_status status = parse_header(1 + (int)(i % 3), headers[i], 4, &t, &err);

        if (status == CLF_OK)
            fail_msg("accepted: %s", headers[i]);
        expect_error(status, CLF_BAD_FILE, &err, "t.npy: ");
        assert_non_null(strstr(err.message, "; want "));
    }
}

static void preambles_are_checked(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
        clf_status status;
        const char *part;
    } cases[] = {
        { "", 0, CLF_BAD_FILE, "file begins with ''; want \\x93NUMPY" },
        { "\x93NUMPY\1", 7, CLF_BAD_FILE, "file begins with '\\x93NUMPY\\x01'; want" },
        { "\x93NUMPX\1\0\0\0", 10, CLF_BAD_FILE, "file begins with" },
        { "PK\3\4\0\0\0\0\0\0", 10, CLF_BAD_FILE, "file begins with 'PK\\x03\\x04" },
        { "\x93NUMPY\0\0\0\0", 10, CLF_UNSUPPORTED, "version is 0.0; want 1.0, 2.0 or 3.0" },
        { "\x93NUMPY\4\0\0\0", 10, CLF_UNSUPPORTED, "version is 4.0" },
        { "\x93NUMPY\1\1\0\0", 10, CLF_UNSUPPORTED, "version is 1.1" },
        { "\x93NUMPY\1\0\1", 9, CLF_BAD_FILE, "file is 9 bytes; want 10 before the header" },
        { "\x93NUMPY\2\0\1\0\0", 11, CLF_BAD_FILE, "file is 11 bytes; want 12 before the header" },
        { "\x93NUMPY\1\0\1\0", 10, CLF_BAD_FILE, "header of 1 bytes in a file of 10; want at most 0" },
        { "\x93NUMPY\1\0\xff\xff", 10, CLF_BAD_FILE, "header of 65535 bytes" },
        { "\x93NUMPY\2\0\xff\xff\xff\xff", 12, CLF_BAD_FILE, "header of 4294967295 bytes in a file of 12" },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;

        expect_error(parse_bytes(cases[i].bytes, cases[i].count, &t, &err), cases[i].status, &err, cases[i].part);
    }
}

static void a_header_above_ten_thousand_bytes_is_unsupported(void **state)
{
    static char header[10002];

    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;
        const char *dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";

        memset(header, ' ', sizeof header);
        memcpy(header, dict, strlen(dict));
        header[9999 + extra] = '\n';
        header[10000 + extra] = '\0';
        assert_int_equal(parse_header(2, header, 4, &t, &err), extra == 0 ? CLF_OK : CLF_UNSUPPORTED);
    }
}

static const char sample[] = HEADER("<f4", "False", "(2, 3)");

static void a_file_cut_or_lengthened_by_a_byte_is_refused(void **state)
{
    static char file[512];

    (void)state;
    for (int major = 1; major <= 3; major++) {
        const size_t count = make_npy(file, sizeof file, major, sample, 24);
        clf_error err = { .status = CLF_OK };
        clf_host_tensor t;

        for (size_t n = 0; n < count; n++)
            expect_error(parse_bytes(file, n, &t, &err), CLF_BAD_FILE, &err, "t.npy: ");
        assert_int_equal(parse_bytes(file, count, &t, &err), CLF_OK);
        expect_error(parse_bytes(file, count + 1, &t, &err), CLF_BAD_FILE, &err,
                     "array f32[2, 3] takes 24 bytes; want 25, as the file has");
    }
}

static void any_flipped_bit_gives_a_sound_array_or_an_error(void **state)
{
    static char file[512];
    int accepted = 0;

    (void)state;
    for (int major = 1; major <= 3; major++) {
        const size_t count = make_npy(file, sizeof file, major, sample, 24);

        for (size_t bit = 0; bit < 8 * (count - 24); bit++) {
            clf_error err = { .status = CLF_OK };
            clf_host_tensor t;

            file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
            if (parse_bytes(file, count, &t, &err) == CLF_OK)
                accepted++;
            else
                assert_true(err.status == CLF_BAD_FILE || err.status == CLF_UNSUPPORTED);
            file[bit / 8] = (char)(file[bit / 8] ^ (1 << bit % 8));
        }
    }
    assert_true(accepted > 0); /* version 2.0 against 3.0; u4 against f4 needs more than a bit */
}

static void what_cannot_be_opened_is_an_io_error(void **state)
{
    folder *f = *state;
    clf_error err = { .status = CLF_OK };
    clf_npy *n;

    expect_error(clf_npy_open(at(f, "absent.npy"), &n, &err), CLF_IO, &err, "absent.npy: cannot open: no such file");
    assert_null(n);
    expect_error(clf_npy_open(f->path, &n, &err), CLF_IO, &err, "it is a folder (EISDIR)");
    assert_int_equal(mkfifo(at(f, "fifo.npy"), 0666), 0);
    expect_error(clf_npy_open(at(f, "fifo.npy"), &n, &err), CLF_IO, &err, "want a regular file");
    write_text(at(f, "text.npy"), "no array");
    expect_error(clf_npy_open(at(f, "text.npy"), &n, &err), CLF_BAD_FILE, &err,
                 "text.npy: file begins with 'no array'");
    assert_null(n);
}

/* Entries of a folder other than "." and "..". */
static int entries(const char *path)
{
    DIR *d = opendir(path);
    int count = -2;

    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    assert_int_equal(closedir(d), 0);
    return count;
}

static void what_is_written_is_read_back(void **state)
{
    static const struct {
        clf_dtype dtype;
        int32_t rank;
        int64_t dim[6];
    } cases[] = {
        { CLF_F32, 2, { 2, 3 } },
        { CLF_F16, 1, { 7 } },
        { CLF_F64, 3, { 1, 2, 1 } },
        { CLF_I8, 1, { 5 } },
        { CLF_U8, 1, { 0 } },
        { CLF_I16, 2, { 0, 4 } },
        { CLF_U16, 1, { 3 } },
        { CLF_I32, 6, { 1, 2, 1, 1, 1, 2 } },
        { CLF_U32, 1, { 1 } },
        { CLF_I64, 2, { 2, 2 } },
        { CLF_U64, 1, { 2 } },
        { CLF_BOOL, 4, { 1, 1, 2, 1 } },
        { CLF_I8, 6, { 0, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } }, /* the longest header */
    };
    static const unsigned char data[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    folder *f = *state;
    const char *path = at(f, "back.npy");

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_host_tensor t = { .data = data, .dtype = cases[i].dtype, .rank = cases[i].rank }, got;
        clf_error err = { .status = CLF_OK };
        clf_file_writer *w;
        struct stat about;
        size_t bytes = clf_dtype_bytes(t.dtype);
        clf_npy *n;

        memcpy(t.dim, cases[i].dim, sizeof t.dim);
        for (int32_t d = 0; d < t.rank; d++)
            bytes = t.dim[d] == 0 || bytes == 0 ? 0 : bytes * (size_t)t.dim[d];
        if (clf_npy_write(path, t, &w, &err) != CLF_OK || clf_file_writer_commit(w, &err) != CLF_OK)
            fail_msg("%s", err.message);
        if (clf_npy_open(path, &n, &err) != CLF_OK)
            fail_msg("%s", err.message);
        got = clf_npy_tensor(n);
        assert_int_equal(got.dtype, t.dtype);
        assert_int_equal(got.rank, t.rank);
        assert_memory_equal(got.dim, t.dim, (size_t)t.rank * sizeof t.dim[0]);
        assert_memory_equal(got.data, data, bytes);
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(((size_t)about.st_size - bytes) % 64, 0);
        clf_npy_close(n);
    }
    unlink(path);
}

static void nothing_shows_before_commit_and_nothing_stays_after_abandon(void **state)
{
    static const float one = 1, two = 2;
    folder *f = *state;
    const clf_host_tensor t = { .data = &one, .dtype = CLF_F32, .rank = 1, .dim = { 1 } };
    const clf_host_tensor t2 = { .data = &two, .dtype = CLF_F32, .rank = 0 };
    clf_error err = { .status = CLF_OK };
    char target[512], place[512], link_path[512];
    clf_file_writer *w, *w2;
    clf_npy *n;

    snprintf(place, sizeof place, "%s", at(f, "out"));
    snprintf(target, sizeof target, "%s", at(f, "out/x.npy"));
    snprintf(link_path, sizeof link_path, "%s", at(f, "out/link.npy"));
    assert_int_equal(mkdir(place, 0777), 0);
    assert_int_equal(clf_npy_write(target, t, &w, &err), CLF_OK);
    assert_int_equal(access(target, F_OK), -1);
    clf_file_writer_abandon(w);
    assert_int_equal(entries(place), 0);
    clf_file_writer_abandon(NULL);
    /* two at once; the second commit replaces the first file */
    assert_int_equal(clf_npy_write(target, t, &w, &err), CLF_OK);
    assert_int_equal(clf_npy_write(target, t2, &w2, &err), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w, &err), CLF_OK);
    assert_int_equal(clf_npy_open(target, &n, &err), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w2, &err), CLF_OK);
    assert_memory_equal(clf_npy_tensor(n).data, &one, 4); /* who had it open still sees the old one */
    clf_npy_close(n);
    assert_int_equal(clf_npy_open(target, &n, &err), CLF_OK);
    assert_memory_equal(clf_npy_tensor(n).data, &two, 4);
    clf_npy_close(n);
    assert_int_equal(entries(place), 1);
    /* an abandoned writer leaves the old file as it was */
    assert_int_equal(clf_npy_write(target, t, &w, &err), CLF_OK);
    clf_file_writer_abandon(w);
    assert_int_equal(clf_npy_open(target, &n, &err), CLF_OK);
    assert_memory_equal(clf_npy_tensor(n).data, &two, 4);
    clf_npy_close(n);
    /* a link is replaced, what it pointed to is not */
    assert_int_equal(symlink(target, link_path), 0);
    assert_int_equal(clf_npy_write(link_path, t, &w, &err), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w, &err), CLF_OK);
    assert_int_equal(clf_npy_open(target, &n, &err), CLF_OK);
    assert_memory_equal(clf_npy_tensor(n).data, &two, 4);
    clf_npy_close(n);
    assert_int_equal(entries(place), 2);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(unlink(target), 0);
}

static void expect_write_error(const char *path, clf_host_tensor t, clf_status status, const char *part)
{
    clf_error err = { .status = CLF_OK };
    clf_file_writer *w;

    expect_error(clf_npy_write(path, t, &w, &err), status, &err, part);
    assert_null(w);
}

static void what_cannot_be_written_is_refused_with_a_way_out(void **state)
{
    static const float one = 1;
    folder *f = *state;
    const clf_host_tensor t = { .data = &one, .dtype = CLF_F32, .rank = 1, .dim = { 1 } };
    clf_host_tensor bad = t;
    struct stat before, after;

    write_text(at(f, "file"), "x");
    expect_write_error(at(f, "file/x.npy"), t, CLF_IO,
                       "file/x.npy: cannot write in its folder: part of the path is no folder");
    expect_write_error(at(f, "missing/x.npy"), t, CLF_IO, "(ENOENT); want another output path, in a folder with space");
    expect_write_error("", t, CLF_IO, "path ends without a name; want the name of a file");
    expect_write_error(at(f, "file/"), t, CLF_IO, "path ends without a name; want the name of a file");
    expect_write_error(f->path, t, CLF_IO, "there is a folder; want a regular file or a new name");
    assert_int_equal(stat("/dev/null", &before), 0);
    expect_write_error("/dev/null", t, CLF_IO, "there is a device, pipe or socket; want a regular file or a new name");
    assert_int_equal(stat("/dev/null", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    bad.dtype = CLF_BF16;
    expect_write_error(at(f, "x.npy"), bad, CLF_UNSUPPORTED, "x.npy: tensor is bf16[1]; want a type that NumPy has");
    bad = t;
    bad.dtype = CLF_DTYPE_NONE;
    expect_write_error(at(f, "x.npy"), bad, CLF_INVALID_ARGUMENT, "x.npy: tensor has type none and rank 1; want one");
    bad = t;
    bad.rank = 7;
    expect_write_error(at(f, "x.npy"), bad, CLF_INVALID_ARGUMENT, "rank 7; want one, and 0 to 6");
    bad = t;
    bad.dim[0] = -1;
    expect_write_error(at(f, "x.npy"), bad, CLF_INVALID_ARGUMENT, "tensor is f32[-1]; want no negative dimension");
    bad = t;
    bad.data = NULL;
    expect_write_error(at(f, "x.npy"), bad, CLF_INVALID_ARGUMENT, "has data NULL; want memory");
    bad = t;
    bad.dim[0] = INT64_MAX;
    expect_write_error(at(f, "x.npy"), bad, CLF_INVALID_ARGUMENT, "want a size that fits memory");
    assert_int_equal(access(at(f, "x.npy"), F_OK), -1);
}

/* The limit of file sizes stands in for a full disk: write fails the same way, halfway through. */
static void a_full_disk_leaves_nothing_and_keeps_the_old_file(void **state)
{
    static const char data[100000] = { 1 };
    folder *f = *state;
    const clf_host_tensor small = { .data = data, .dtype = CLF_U8, .rank = 1, .dim = { 3 } };
    const clf_host_tensor large = { .data = data, .dtype = CLF_U8, .rank = 1, .dim = { sizeof data } };
    struct rlimit old, tight;
    char place[512], target[512];
    clf_error err = { .status = CLF_OK };
    clf_file_writer *w;
    clf_npy *n;
    clf_status status;

    snprintf(place, sizeof place, "%s", at(f, "full"));
    snprintf(target, sizeof target, "%s", at(f, "full/x.npy"));
    assert_int_equal(mkdir(place, 0777), 0);
    assert_int_equal(clf_npy_write(target, small, &w, &err), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w, &err), CLF_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    status = clf_npy_write(target, large, &w, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    expect_error(status, CLF_IO, &err,
                 "x.npy: cannot write 100128 bytes: the limit of file sizes is reached (EFBIG); nothing was "
                 "kept; want another output path");
    assert_null(w);
    assert_int_equal(entries(place), 1);
    assert_int_equal(clf_npy_open(target, &n, &err), CLF_OK);
    assert_int_equal(clf_npy_tensor(n).dim[0], 3);
    clf_npy_close(n);
}

static void a_commit_that_fails_removes_its_file(void **state)
{
    static const float one = 1;
    folder *f = *state;
    const clf_host_tensor t = { .data = &one, .dtype = CLF_F32, .rank = 1, .dim = { 1 } };
    char place[512], target[512];
    clf_error err = { .status = CLF_OK };
    clf_file_writer *w;

    snprintf(place, sizeof place, "%s", at(f, "taken"));
    snprintf(target, sizeof target, "%s", at(f, "taken/x.npy"));
    assert_int_equal(mkdir(place, 0777), 0);
    assert_int_equal(clf_npy_write(target, t, &w, &err), CLF_OK);
    assert_int_equal(mkdir(target, 0777), 0); /* somebody takes the name meanwhile */
    expect_error(clf_file_writer_commit(w, &err), CLF_IO, &err,
                 "x.npy: there is a folder; want a regular file or a new name");
    assert_int_equal(entries(place), 1);
    assert_int_equal(rmdir(target), 0);
    /* the temporary file disappears meanwhile */
    assert_int_equal(clf_npy_write(target, t, &w, &err), CLF_OK);
    nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    expect_error(clf_file_writer_commit(w, &err), CLF_IO, &err,
                 "x.npy: cannot rename the finished file to it: no such file");
}

static clf_status write_and_read(void *argument, clf_error *err)
{
    static const float one = 1;
    const clf_host_tensor t = { .data = &one, .dtype = CLF_F32, .rank = 1, .dim = { 1 } };
    clf_file_writer *w;
    clf_npy *n;

    clf_status status = clf_npy_write(argument, t, &w, err);

    if (status == CLF_OK)
        status = clf_file_writer_commit(w, err);
    if (status == CLF_OK) {
        status = clf_npy_open(argument, &n, err);
        clf_npy_close(n);
    }
    return status;
}

static void any_failing_allocation_is_out_of_memory_and_leaves_no_file(void **state)
{
    folder *f = *state;
    char place[512], target[512];

    snprintf(place, sizeof place, "%s", at(f, "memory"));
    snprintf(target, sizeof target, "%s", at(f, "memory/x.npy"));
    assert_int_equal(mkdir(place, 0777), 0);
    fail_each_allocation(write_and_read, target);
    assert_int_equal(entries(place), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_the_list_is_read),
        cmocka_unit_test(a_file_of_numpy_is_read),
        cmocka_unit_test(shapes_and_spellings_of_the_grammar_are_read),
        cmocka_unit_test(sound_files_that_we_do_not_read_are_unsupported),
        cmocka_unit_test(headers_outside_the_grammar_are_refused),
        cmocka_unit_test(preambles_are_checked),
        cmocka_unit_test(a_header_above_ten_thousand_bytes_is_unsupported),
        cmocka_unit_test(a_file_cut_or_lengthened_by_a_byte_is_refused),
        cmocka_unit_test(any_flipped_bit_gives_a_sound_array_or_an_error),
        cmocka_unit_test(what_cannot_be_opened_is_an_io_error),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(nothing_shows_before_commit_and_nothing_stays_after_abandon),
        cmocka_unit_test(what_cannot_be_written_is_refused_with_a_way_out),
        cmocka_unit_test(a_full_disk_leaves_nothing_and_keeps_the_old_file),
        cmocka_unit_test(a_commit_that_fails_removes_its_file),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory_and_leaves_no_file),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
