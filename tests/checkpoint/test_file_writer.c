/* file_writer: what is being written has no name, or a temporary one where the file system gives no other way; targets
 * are compared by where they are. */
#include "checkpoint/files.h"

#include <dirent.h>
#include <sys/syscall.h>

#include "checkpoint/file_writer.h"

#ifdef __linux__
#define TMPFILE_BITS 020000000 /* __O_TMPFILE of <asm-generic/fcntl.h>, which <fcntl.h> shows to _GNU_SOURCE alone */
#else
#define TMPFILE_BITS 0
#endif

static bool nameless_fails; /* as on NFS */

/* Stands before the C library's. */
int open(const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    const int mode = (flags & (O_CREAT | TMPFILE_BITS)) != 0 ? va_arg(list, int) : 0;
    va_end(list);
    if (nameless_fails && (flags & TMPFILE_BITS) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* The names in a folder but for "." and "..". */
static int entries(const char *path)
{
    DIR *place = opendir(path);
    int count = 0;

    assert_non_null(place);
    for (const struct dirent *e = readdir(place); e != NULL; e = readdir(place))
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    assert_int_equal(closedir(place), 0);
    return count;
}

static clf_file_writer *open_writer(const char *path)
{
    clf_error err = { .status = CLF_OK };
    clf_file_writer *w;

    if (clf_file_writer_open(path, &w, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return w;
}

static void expect_text(const char *path, const char *want)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text - 1, file), strlen(want));
    assert_string_equal(text, want);
    assert_int_equal(fclose(file), 0);
}

/* At first every file had a temporary name while it was written, and an interrupt left it there.  A process that is
 * killed here runs nothing more. */
static void a_killed_writer_leaves_nothing(void **state)
{
    char place[512], target[512];

    snprintf(place, sizeof place, "%s", at(*state, "killed"));
    snprintf(target, sizeof target, "%s", at(*state, "killed/x"));
    assert_int_equal(mkdir(place, 0777), 0);
    clf_file_writer *w = open_writer(target);
    clf_file_writer_put(w, "abc", 3);
    const int probe = open(place, O_WRONLY | TMPFILE_BITS | O_DIRECTORY, 0666);
    if (TMPFILE_BITS == 0 || probe < 0) {
        clf_file_writer_abandon(w);
        print_message("the file system has no files without a name\n");
        skip();
    }
    assert_int_equal(close(probe), 0);
    assert_int_equal(entries(place), 0);
    assert_int_equal(clf_file_writer_finish(w, NULL), CLF_OK);
    assert_int_equal(entries(place), 0);
    assert_int_equal(clf_file_writer_commit(w, NULL), CLF_OK);
    assert_int_equal(entries(place), 1);
    expect_text(target, "abc");
}

static void without_nameless_files_there_is_a_temporary_name(void **state)
{
    char place[512], target[512];
    clf_error err = { .status = CLF_OK };

    snprintf(place, sizeof place, "%s", at(*state, "named"));
    snprintf(target, sizeof target, "%s", at(*state, "named/x"));
    assert_int_equal(mkdir(place, 0777), 0);
    nameless_fails = true;
    clf_file_writer *w = open_writer(target), *other = open_writer(target);
    nameless_fails = false;
    assert_int_equal(entries(place), 2);
    clf_file_writer_put(w, "abc", 3);
    clf_file_writer_put(w, "de", 2);
    assert_int_equal(clf_file_writer_finish(w, &err), CLF_OK);
    assert_int_equal(access(target, F_OK), -1);
    assert_int_equal(clf_file_writer_commit(w, &err), CLF_OK);
    expect_text(target, "abcde");
    clf_file_writer_abandon(other);
    assert_int_equal(entries(place), 1);
}

static void both_ways_give_the_same_permissions(void **state)
{
    char named[512], nameless[512];
    struct stat a, b;

    snprintf(named, sizeof named, "%s", at(*state, "mode_a"));
    snprintf(nameless, sizeof nameless, "%s", at(*state, "mode_b"));
    const mode_t old = umask(027);
    nameless_fails = true;
    clf_file_writer *w = open_writer(named);
    nameless_fails = false;
    assert_int_equal(clf_file_writer_finish(w, NULL), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w, NULL), CLF_OK);
    w = open_writer(nameless);
    umask(old);
    assert_int_equal(clf_file_writer_finish(w, NULL), CLF_OK);
    assert_int_equal(clf_file_writer_commit(w, NULL), CLF_OK);
    assert_int_equal(stat(named, &a), 0);
    assert_int_equal(stat(nameless, &b), 0);
    assert_int_equal(a.st_mode & 0777, 0640);
    assert_int_equal(b.st_mode & 0777, 0640);
}

static void targets_that_are_no_files_are_refused(void **state)
{
    char fifo[512], name[400], path[1024];
    clf_error err = { .status = CLF_OK };
    clf_file_writer *w;
    struct stat about;

    snprintf(fifo, sizeof fifo, "%s", at(*state, "fifo"));
    assert_int_equal(mkfifo(fifo, 0666), 0);
    assert_int_equal(clf_file_writer_open(fifo, &w, &err), CLF_IO);
    assert_null(w);
    assert_non_null(strstr(err.message, "there is a device, pipe or socket"));
    assert_int_equal(clf_file_target_check(fifo, NULL), CLF_IO);
    assert_int_equal(clf_file_target_check("/dev/null", NULL), CLF_IO);
    assert_int_equal(clf_file_target_check("/tmp", NULL), CLF_IO);
    assert_int_equal(stat(fifo, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    /* the temporary name would be short enough: seen before the rename, which comes late */
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    snprintf(path, sizeof path, "%s", at(*state, name));
    assert_int_equal(clf_file_target_check(path, &err), CLF_IO);
    assert_non_null(strstr(err.message, "the name is too long (ENAMETOOLONG)"));
}

static void targets_are_the_same_by_place_not_by_spelling(void **state)
{
    char folder_path[512], plain[512], dotted[512], linked[512], link_path[512], away[512];

    snprintf(folder_path, sizeof folder_path, "%s", at(*state, "same"));
    snprintf(link_path, sizeof link_path, "%s", at(*state, "same_link"));
    snprintf(plain, sizeof plain, "%s", at(*state, "same/x"));
    snprintf(dotted, sizeof dotted, "%s", at(*state, "same/../same//./x"));
    snprintf(linked, sizeof linked, "%s", at(*state, "same_link/x"));
    snprintf(away, sizeof away, "%s", at(*state, "missing/x"));
    assert_int_equal(mkdir(folder_path, 0777), 0);
    assert_int_equal(symlink(folder_path, link_path), 0);
    assert_true(clf_file_target_same(plain, plain));
    assert_true(clf_file_target_same(plain, dotted));
    assert_true(clf_file_target_same(linked, dotted));
    assert_true(clf_file_target_same("x", "./x"));
    assert_true(clf_file_target_same(away, away));
    assert_false(clf_file_target_same(plain, away));
    assert_false(clf_file_target_same("x", "./y"));
    assert_false(clf_file_target_same(plain, at(*state, "x")));
    /* two links to one file are replaced one by one */
    assert_int_equal(close(open(plain, O_WRONLY | O_CREAT, 0666)), 0);
    assert_int_equal(link(plain, at(*state, "same/y")), 0);
    assert_false(clf_file_target_same(plain, at(*state, "same/y")));
}

static void the_first_failure_of_many_puts_is_told(void **state)
{
    char target[512];
    clf_error err = { .status = CLF_OK };

    snprintf(target, sizeof target, "%s", at(*state, "closed"));
    clf_file_writer *w = open_writer(target);
    const int file = clf_file_writer_descriptor(w), reader = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(reader, file), file); /* writing fails with EBADF */
    clf_file_writer_put(w, "abc", 3);
    clf_file_writer_put(w, "de", 2);
    assert_int_equal(clf_file_writer_finish(w, &err), CLF_IO);
    assert_non_null(
        strstr(err.message, "closed: cannot write 5 bytes: error 9; nothing was kept; want another output"));
    clf_file_writer_abandon(w);
    assert_int_equal(access(target, F_OK), -1);
    assert_int_equal(close(reader), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_writer_leaves_nothing),
        cmocka_unit_test(without_nameless_files_there_is_a_temporary_name),
        cmocka_unit_test(both_ways_give_the_same_permissions),
        cmocka_unit_test(targets_that_are_no_files_are_refused),
        cmocka_unit_test(targets_are_the_same_by_place_not_by_spelling),
        cmocka_unit_test(the_first_failure_of_many_puts_is_told),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
