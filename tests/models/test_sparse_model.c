/* A model of 15 GB in three shards, almost all of it holes: opening its connector costs what the connector costs. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/text.h"
#include "harness.h"

#define GIGA (1LL << 30)

static char folder[64];

static void path_of(char path[160], const char *name)
{
    clf_format(path, 160, "%s/%s", folder, name);
}

static void write_text(const char *name, const char *text)
{
    char path[160];
    FILE *file;

    path_of(path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* A safetensors file of this header and `data` bytes, of which `given` are written and the rest are a hole. */
static void write_shard(const char *name, const char *header, long long data, const void *values, size_t given)
{
    char path[160];
    const uint64_t length = strlen(header);
    int fd;

    path_of(path, name);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &length, 8), 8);
    assert_int_equal(write(fd, header, length), (ssize_t)length);
    if (given > 0)
        assert_int_equal(write(fd, values, given), (ssize_t)given);
    assert_int_equal(ftruncate(fd, 8 + (off_t)length + data), 0);
    close(fd);
}

static long peak_kilobytes(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void make_model(void)
{
    static const float values[8] = { 1, 2, 3, 4, 5, 6, 0.5F, -0.5F }; /* weight [2, 3], bias [2] */
    char header[300];

    clf_format(folder, sizeof folder, "/tmp/clf-sparse-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_text("config.json", "{\"model_type\": \"paligemma\"}");
    write_text("model.safetensors.index.json",
               "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {"
               "\"language_model.a\": \"model-00001-of-00003.safetensors\","
               "\"multi_modal_projector.linear.weight\": \"model-00002-of-00003.safetensors\","
               "\"multi_modal_projector.linear.bias\": \"model-00002-of-00003.safetensors\","
               "\"language_model.b\": \"model-00002-of-00003.safetensors\","
               "\"language_model.c\": \"model-00003-of-00003.safetensors\"}}");
    clf_format(header, sizeof header,
               "{\"language_model.%s\":{\"dtype\":\"F16\",\"shape\":[%lld],\"data_offsets\":[0,%lld]}}", "a",
               5 * GIGA / 2, 5 * GIGA);
    write_shard("model-00001-of-00003.safetensors", header, 5 * GIGA, NULL, 0);
    clf_format(header, sizeof header,
               "{\"multi_modal_projector.linear.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
               "\"multi_modal_projector.linear.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
               "\"language_model.b\":{\"dtype\":\"F16\",\"shape\":[%lld],\"data_offsets\":[32,%lld]}}",
               5 * GIGA / 2, 5 * GIGA + 32);
    write_shard("model-00002-of-00003.safetensors", header, 5 * GIGA + 32, values, sizeof values);
    /* The third shard is not even a safetensors file: nothing of the connector lies in it, so nobody looks. */
    write_shard("model-00003-of-00003.safetensors", "no header", 5 * GIGA, NULL, 0);
}

static void a_15_gb_model_costs_what_its_connector_costs(void **state)
{
    clf_test *t = *state;
    float vision[3] = { 1, 0, -1 }, tokens[2] = { 0 };
    const clf_value in = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 1, 3)), vision };
    const clf_value out = { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 1, 2)), tokens };
    clf_connector *c = NULL;
    clf_error err = { 0 };
    char command[100];
    long before;

    make_model();
    before = peak_kilobytes();
    if (clf_connector_open(t->ctx, folder, NULL, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_int_equal(clf_connector_run(t->stream, c, &in, 1, &out, 1, &err), CLF_OK);
    assert_true(tokens[0] == -1.5F && tokens[1] == -2.5F);
    assert_int_equal(clf_connector_describe(c).parameters, 8);
    /* Compiling the kernels may take 100 MB; the model is a hundred and fifty times that. */
    assert_true(peak_kilobytes() - before < 300 << 10);
    clf_connector_destroy(c);
    clf_format(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(a_15_gb_model_costs_what_its_connector_costs) };

    return CLF_TEST_MAIN(tests);
}
