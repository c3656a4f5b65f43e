/* The number of the driver's threads does not show in the bits: the program runs itself once more with one thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define ROWS 70
#define IN 130
#define OUT 65

/* y = GELU(norm(x) Wᵀ) and the row sums' stand-in n = layer_norm(x), from fixed numbers. */
static clf_status compute(clf_test *t, float y[ROWS * OUT], float n[ROWS * IN])
{
    static float x[ROWS * IN], weight[OUT * IN];
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_options o = clf_linear_options_default();
    clf_linear_weight *w = NULL;
    clf_tensor xs, ys, ns;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };

    for (size_t i = 0; i < CLF_COUNT(x); i++)
        x[i] = (float)((i * 7919) % 1009) / 1009.0F - 0.4F;
    for (size_t i = 0; i < CLF_COUNT(weight); i++)
        weight[i] = (float)((i * 104729) % 2003) / 2003.0F - 0.5F;
    d.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { OUT, IN } };
    o.prologue = CLF_PROLOGUE_RMS_NORM;
    o.activation = CLF_GELU;
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, NULL), CLF_OK);
    xs = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, IN));
    ys = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, OUT));
    ns = clf_scratch(t->stream, CLF_F32, CLF_DIMS(ROWS, IN));
    clf_upload(t->stream, x, xs);
    clf_linear(t->stream, xs, w, &o, ys);
    clf_layer_norm(t->stream, xs, none, none, 1e-5F, ns);
    clf_download(t->stream, ys, y);
    clf_download(t->stream, ns, n);
    clf_linear_weight_destroy(w);
    return clf_stream_finish(t->stream, NULL);
}

static float y[ROWS * OUT], n[ROWS * IN];
static const char *write_to; /* of the second process */

static void one_thread_and_many_give_the_same_bits(void **state)
{
    static float other_y[ROWS * OUT], other_n[ROWS * IN];
    char path[] = "/tmp/clf-threads-XXXXXX", program[500] = { 0 }, command[1200];
    const int fd = mkstemp(path);
    FILE *file;

    assert_true(fd >= 0);
    close(fd);
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    assert_int_equal(compute(*state, y, n), CLF_OK);
    snprintf(
        command, sizeof command,
        "env -u LD_PRELOAD POCL_MAX_PTHREAD_COUNT=1 POCL_CPU_MAX_CU_COUNT=1 CL_CONFIG_CPU_TBB_NUM_WORKERS=1 '%s' %s "
        ">/dev/null",
        program, path);
    assert_int_equal(system(command), 0);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(other_y, 1, sizeof other_y, file), sizeof other_y);
    assert_int_equal(fread(other_n, 1, sizeof other_n, file), sizeof other_n);
    fclose(file);
    unlink(path);
    assert_memory_equal(y, other_y, sizeof y);
    assert_memory_equal(n, other_n, sizeof n);
}

static void the_second_process_writes_its_result(void **state)
{
    FILE *file;

    assert_int_equal(compute(*state, y, n), CLF_OK);
    file = fopen(write_to, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(y, 1, sizeof y, file), sizeof y);
    assert_int_equal(fwrite(n, 1, sizeof n, file), sizeof n);
    assert_int_equal(fclose(file), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest first[] = { CLF_TEST(one_thread_and_many_give_the_same_bits) };
    const struct CMUnitTest second[] = { CLF_TEST(the_second_process_writes_its_result) };

    write_to = argc > 1 ? argv[1] : NULL;
    return write_to != NULL ? CLF_TEST_MAIN(second) : CLF_TEST_MAIN(first);
}
