/* Bits with one thread of the driver and with all. */
#include "thread_bits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Variables of pocl (old and new) and of Intel's runtime; what a test preloads would run in the shell too. */
#define ONE_THREAD "env -u LD_PRELOAD POCL_MAX_PTHREAD_COUNT=1 POCL_CPU_MAX_CU_COUNT=1 CL_CONFIG_CPU_TBB_NUM_WORKERS=1"

static const clf_thread_case *cases;
static size_t case_count;
static const char *write_to; /* of the second process */

static bool on_pocl(const clf_test *t)
{
    return strstr(clf_context_device(t->ctx)->platform_name, "Portable") != NULL;
}

/* Results of all cases, one behind another. */
static float *compute_all(clf_test *t, size_t *count)
{
    size_t at = 0;
    float *results;

    *count = 0;
    for (size_t i = 0; i < case_count; i++)
        *count += cases[i].count;
    results = clf_test_memory(t, *count * sizeof *results);
    for (size_t i = 0; i < case_count; i++) {
        cases[i].compute(t, results + at);
        at += cases[i].count;
    }
    return results;
}

/* What this program computes with one thread, and the number of compute units that it saw. */
static float *results_of_one_thread(clf_test *t, size_t count, uint32_t *units)
{
    char path[] = "/tmp/clf-threads-XXXXXX", program[500] = { 0 }, command[1200];
    float *results = clf_test_memory(t, count * sizeof *results);
    const int fd = mkstemp(path);
    FILE *file;

    assert_true(fd >= 0);
    close(fd);
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    snprintf(command, sizeof command, ONE_THREAD " '%s' %s >/dev/null", program, path);
    assert_int_equal(system(command), 0);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(units, sizeof *units, 1, file), 1);
    assert_int_equal(fread(results, sizeof *results, count, file), count);
    fclose(file);
    unlink(path);
    return results;
}

static bool same(const clf_thread_case *c, const float *many, const float *one)
{
    for (size_t i = 0; i < c->count; i++)
        if (memcmp(&many[i], &one[i], sizeof *many) != 0) {
            print_error("%s: result %zu is %.9g, with one thread %.9g\n", c->name, i, (double)many[i], (double)one[i]);
            return false;
        }
    return true;
}

static void one_thread_and_many_give_the_same_bits(void **state)
{
    clf_test *t = *state;
    uint32_t units = 0;
    size_t count;
    const float *many, *one;
    bool all_same = true;

    if (on_pocl(t) && clf_context_device(t->ctx)->compute_units < 2)
        clf_test_skip("the driver has one thread");
    many = compute_all(t, &count);
    one = results_of_one_thread(t, count, &units);
    if (on_pocl(t))
        assert_int_equal(units, 1);
    for (size_t i = 0, at = 0; i < case_count; at += cases[i++].count)
        all_same = same(&cases[i], many + at, one + at) && all_same;
    assert_true(all_same);
}

static void the_second_process_writes_its_results(void **state)
{
    clf_test *t = *state;
    const uint32_t units = clf_context_device(t->ctx)->compute_units;
    size_t count;
    const float *results = compute_all(t, &count);
    FILE *file = fopen(write_to, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(&units, sizeof units, 1, file), 1);
    assert_int_equal(fwrite(results, sizeof *results, count, file), count);
    assert_int_equal(fclose(file), 0);
}

int clf_thread_bits_main(int argc, char **argv, const clf_thread_case *given, size_t count)
{
    const struct CMUnitTest first[] = { CLF_TEST(one_thread_and_many_give_the_same_bits) };
    const struct CMUnitTest second[] = { CLF_TEST(the_second_process_writes_its_results) };

    cases = given;
    case_count = count;
    write_to = argc > 1 ? argv[1] : NULL;
    return write_to != NULL ? CLF_TEST_MAIN(second) : CLF_TEST_MAIN(first);
}
