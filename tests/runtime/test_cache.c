/* The cache of program binaries, over a table made up here: any doubt about a file means the source, and no unchecked
 * byte reaches the driver. */
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/text.h"
#include "runtime/cache.h"

#define BINARY_BYTES 777

static unsigned char binary[BINARY_BYTES];
static const char *const texts[CLF_PROGRAM_PARTS] = { "shared", "math", "kernel" };
static const size_t bytes[CLF_PROGRAM_PARTS] = { 6, 4, 6 };
static int given_to_driver; /* calls of clCreateProgramWithBinary */
static char folder[64];
static char path[160]; /* of the one record in it */
static clf_context ctx;

static cl_int program_info(cl_program p, cl_program_info what, size_t size, void *value, size_t *written)
{
    const size_t count = sizeof binary;

    (void)p;
    (void)size;
    (void)written;
    if (what == CL_PROGRAM_BINARY_SIZES)
        memcpy(value, &count, sizeof count);
    else
        memcpy(*(unsigned char **)value, binary, sizeof binary);
    return CL_SUCCESS;
}

static cl_program with_binary(cl_context c, cl_uint n, const cl_device_id *devices, const size_t *sizes,
                              const unsigned char **binaries, cl_int *status, cl_int *code)
{
    (void)c;
    (void)n;
    (void)devices;
    given_to_driver++;
    assert_int_equal(sizes[0], sizeof binary);
    assert_memory_equal(binaries[0], binary, sizeof binary);
    *status = *code = CL_SUCCESS;
    return (cl_program)(uintptr_t)1;
}

static cl_int build(cl_program p, cl_uint n, const cl_device_id *devices, const char *options,
                    void (*notify)(cl_program, void *), void *user)
{
    (void)p;
    (void)n;
    (void)devices;
    (void)options;
    (void)notify;
    (void)user;
    return CL_SUCCESS;
}

static cl_int platform_info(cl_platform_id p, cl_platform_info what, size_t size, void *value, size_t *written)
{
    (void)p;
    (void)what;
    (void)written;
    clf_format(value, size, "OpenCL 3.0 made up");
    return CL_SUCCESS;
}

static void set_driver(const char *driver)
{
    clf_format(ctx.info.driver, sizeof ctx.info.driver, "%s", driver);
}

static cl_program load(void)
{
    return clf_cache_load(&ctx, texts, bytes, "-DX");
}

static void store(void)
{
    clf_cache_store(&ctx, texts, bytes, "-DX", (cl_program)(uintptr_t)1);
}

static void find_record(void)
{
    char command[200];
    FILE *list;
    size_t length;

    clf_format(command, sizeof command, "ls -A %s", folder);
    list = popen(command, "r");
    assert_non_null(list);
    length = (size_t)snprintf(path, sizeof path, "%s/", folder);
    if (fgets(path + length, (int)(sizeof path - length), list) == NULL)
        path[0] = '\0';
    path[strcspn(path, "\n")] = '\0';
    pclose(list);
}

static int begin(void **state)
{
    static clf_cl_table table;

    (void)state;
    table.GetProgramInfo = program_info;
    table.CreateProgramWithBinary = with_binary;
    table.BuildProgram = build;
    table.GetPlatformInfo = platform_info;
    clf_cl_replace(&table);
    clf_format(folder, sizeof folder, "/tmp/clf-cache-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof binary; i++)
        binary[i] = (unsigned char)(i * 31 + 7);
    memset(&ctx, 0, sizeof ctx);
    ctx.cache_dir = folder;
    set_driver("1.0");
    given_to_driver = 0;
    return 0;
}

static int end(void **state)
{
    char command[200];

    (void)state;
    clf_format(command, sizeof command, "rm -rf %s", folder);
    clf_cl_replace(NULL);
    return system(command);
}

static void a_stored_binary_comes_back(void **state)
{
    (void)state;
    assert_null(load());
    store();
    assert_non_null(load());
    assert_int_equal(given_to_driver, 1);
}

static void another_driver_source_or_option_is_another_key(void **state)
{
    static const char *const other[CLF_PROGRAM_PARTS] = { "share", "dmath", "kernel" };
    static const size_t other_bytes[CLF_PROGRAM_PARTS] = { 5, 5, 6 };

    (void)state;
    store();
    set_driver("1.1");
    assert_null(load());
    set_driver("1.0");
    assert_null(clf_cache_load(&ctx, texts, bytes, "-DY"));
    assert_null(clf_cache_load(&ctx, other, other_bytes, "-DX"));
    assert_non_null(load());
}

static unsigned char record[4096];

static size_t read_record(void)
{
    FILE *f;
    size_t count;

    find_record();
    f = fopen(path, "rb");
    assert_non_null(f);
    count = fread(record, 1, sizeof record, f);
    fclose(f);
    return count;
}

static void write_record(size_t count)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(record, 1, count, f), count);
    fclose(f);
}

static void a_shortened_or_longer_record_never_reaches_the_driver(void **state)
{
    size_t count;

    (void)state;
    store();
    count = read_record();
    for (size_t cut = 0; cut < count; cut++) {
        write_record(cut);
        assert_null(load());
    }
    write_record(count + 1);
    assert_null(load());
    assert_int_equal(given_to_driver, 0);
    write_record(count);
    assert_non_null(load());
}

static void a_changed_byte_never_reaches_the_driver(void **state)
{
    size_t count;

    (void)state;
    store();
    count = read_record();
    for (size_t i = 0; i < count; i++) {
        record[i] ^= 0x10;
        write_record(count);
        assert_null(load());
        record[i] ^= 0x10;
    }
    assert_int_equal(given_to_driver, 0);
}

static void a_damaged_record_is_replaced(void **state)
{
    (void)state;
    store();
    read_record();
    write_record(100);
    assert_null(load());
    store();
    assert_non_null(load());
}

static void folders_and_files_that_others_may_write_are_not_used(void **state)
{
    (void)state;
    store();
    find_record();
    assert_int_equal(chmod(path, 0666), 0);
    assert_null(load());
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_null(load());
    assert_int_equal(chmod(folder, 0700), 0);
    assert_non_null(load());
}

static void links_are_not_followed(void **state)
{
    char moved[200];

    (void)state;
    store();
    find_record();
    clf_format(moved, sizeof moved, "%s/elsewhere", folder);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(symlink(moved, path), 0);
    assert_null(load());
    assert_int_equal(given_to_driver, 0);
}

static void a_missing_folder_costs_nothing_but_time(void **state)
{
    char nowhere[] = "/tmp/clf-no-such-folder";

    (void)state;
    ctx.cache_dir = nowhere;
    store();
    assert_null(load());
    ctx.cache_dir = folder;
}

/* Two processes store and load, and are killed at any moment: a reader sees a whole record or none. */
static void two_processes_share_a_folder(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        pid_t children[2];

        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0)
                for (;;) {
                    store();
                    if (load() == NULL)
                        _exit(1);
                }
        }
        usleep(1000U * (unsigned)(1 + round % 5));
        for (int i = 0; i < 2; i++) {
            int status;

            kill(children[i], SIGKILL);
            waitpid(children[i], &status, 0);
            assert_true(WIFSIGNALED(status)); /* it did not end by itself, so it always found a whole record */
        }
        assert_true(load() != NULL || round == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stored_binary_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(another_driver_source_or_option_is_another_key, begin, end),
        cmocka_unit_test_setup_teardown(a_shortened_or_longer_record_never_reaches_the_driver, begin, end),
        cmocka_unit_test_setup_teardown(a_changed_byte_never_reaches_the_driver, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_record_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(folders_and_files_that_others_may_write_are_not_used, begin, end),
        cmocka_unit_test_setup_teardown(links_are_not_followed, begin, end),
        cmocka_unit_test_setup_teardown(a_missing_folder_costs_nothing_but_time, begin, end),
        cmocka_unit_test_setup_teardown(two_processes_share_a_folder, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
