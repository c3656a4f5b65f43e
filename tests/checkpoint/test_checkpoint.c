/* checkpoint: folders, shards, single files, and what an index may not name. */
#include "checkpoint/files.h"

#include <fcntl.h>
#include <time.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_map.h"
#include "checkpoint/shard_index.h"

#define ONE(name, begin, end) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static clf_host_tensor found(const clf_tensor_source *source, const char *name)
{
    clf_error err = { .status = CLF_OK };
    clf_host_tensor t;

    if (source->find(source->self, name, &t, &err) != CLF_OK)
        fail_msg("%s: %s", name, err.message);
    return t;
}

static void expect_find_error(const clf_tensor_source *source, const char *name, clf_status status, const char *part)
{
    clf_error err = { .status = CLF_OK };
    clf_host_tensor t = { .dtype = CLF_F32 };

    expect_error(source->find(source->self, name, &t, &err), status, &err, part);
    assert_int_equal(t.dtype, CLF_DTYPE_NONE);
}

static clf_checkpoint *opened(const char *path)
{
    clf_error err = { .status = CLF_OK };
    clf_checkpoint *c;

    if (clf_checkpoint_open(path, &c, &err) != CLF_OK)
        fail_msg("%s: %s", path, err.message);
    return c;
}

static void refused(const char *path, clf_status status, const char *part)
{
    clf_error err = { .status = CLF_OK };
    clf_checkpoint *c;

    expect_error(clf_checkpoint_open(path, &c, &err), status, &err, part);
    assert_null(c);
}

/* A new folder inside the test's; its path is valid for the next three calls of `at`. */
static const char *new_folder(folder *f, const char *name)
{
    const char *path = at(f, name);

    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static void a_folder_gives_config_and_tensors(void **state)
{
    folder *f = *state;
    const clf_tensor_source *source;
    const char *text;
    size_t bytes;
    clf_checkpoint *c;

    new_folder(f, "plain");
    write_text(at(f, "plain/config.json"), "{\"model_type\": \"llava\"}");
    write_safetensors(at(f, "plain/model.safetensors"), "{" ONE("b", 0, 2) "," ONE("a", 2, 4) "}", 4);
    c = opened(at(f, "plain"));
    source = clf_checkpoint_source(c);
    assert_string_equal(source->label, "model.safetensors");
    assert_int_equal(source->count(source->self), 2);
    assert_string_equal(source->name(source->self, 0), "a");
    assert_string_equal(source->name(source->self, 1), "b");
    assert_null(source->name(source->self, 2));
    assert_int_equal(((const unsigned char *)found(source, "a").data)[1], 3);
    assert_int_equal(found(source, "c").dtype, CLF_DTYPE_NONE);
    clf_checkpoint_config_text(c, &text, &bytes);
    assert_int_equal(bytes, 23);
    assert_memory_equal(text, "{\"model_type\": \"llava\"}", 23);
    source->done(source->self, found(source, "a").data, 2); /* smaller than a page: nothing to let go */
    source->done(source->self, NULL, 2);
    clf_checkpoint_close(c);
    c = opened(at(f, "plain/"));
    clf_checkpoint_close(c);
    clf_checkpoint_close(NULL);
}

static void a_single_file_carries_its_config_in_the_metadata(void **state)
{
    folder *f = *state;
    const char *text = "unset";
    size_t bytes;
    clf_checkpoint *c;

    write_safetensors(at(f, "one.safetensors"),
                      "{\"__metadata__\":{\"clfusion\":\"{\\\"module\\\":1}\"}," ONE("a", 0, 2) "}", 2);
    c = opened(at(f, "one.safetensors"));
    assert_string_equal(clf_checkpoint_source(c)->label, "one.safetensors");
    clf_checkpoint_config_text(c, &text, &bytes);
    assert_string_equal(text, "{\"module\":1}");
    assert_int_equal(bytes, 12);
    clf_checkpoint_close(c);
    write_safetensors(at(f, "bare.safetensors"), "{}", 0);
    c = opened(at(f, "bare.safetensors"));
    assert_int_equal(clf_checkpoint_source(c)->count(clf_checkpoint_source(c)->self), 0);
    clf_checkpoint_config_text(c, &text, &bytes);
    assert_null(text);
    assert_int_equal(bytes, 0);
    clf_checkpoint_close(c);
}

static void paths_that_hold_no_checkpoint_are_refused(void **state)
{
    folder *f = *state;

    refused(at(f, "absent"), CLF_IO, "no such file or folder (ENOENT)");
    refused("", CLF_IO, "no such file or folder (ENOENT)");
    refused("/dev/null", CLF_IO, "want a regular file");
    write_text(at(f, "text"), "words");
    refused(at(f, "text"), CLF_BAD_FILE, "text: file is 5 bytes; want at least 8");
    refused(at(f, "text/below"), CLF_IO, "(ENOTDIR)");
    write_text(at(f, "nothing"), "");
    refused(at(f, "nothing"), CLF_BAD_FILE, "file is 0 bytes");
    write_text(at(f, "model.gguf"), "GGUF\3   ");
    refused(at(f, "model.gguf"), CLF_UNSUPPORTED,
            "file is GGUF, which is unsupported in this version; want safetensors");
    assert_int_equal(mkfifo(at(f, "fifo"), 0666), 0);
    refused(at(f, "fifo"), CLF_IO, "want a regular file"); /* and does not wait for a writer */
    new_folder(f, "empty");
    refused(at(f, "empty"), CLF_IO, "folder has neither model.safetensors nor model.safetensors.index.json; want one");
    refused(at(f, "empty"), CLF_IO, "or the path of one .safetensors file and its family");
    new_folder(f, "odd");
    new_folder(f, "odd/model.safetensors");
    refused(at(f, "odd"), CLF_IO, "it is a folder (EISDIR)");
    new_folder(f, "config");
    new_folder(f, "config/config.json");
    write_safetensors(at(f, "config/model.safetensors"), "{}", 0);
    refused(at(f, "config"), CLF_IO, "config.json: cannot read: it is a folder (EISDIR)");
}

static void texts_beyond_their_limits_are_not_read(void **state)
{
    folder *f = *state;

    new_folder(f, "long");
    write_safetensors(at(f, "long/model.safetensors"), "{}", 0);
    write_text(at(f, "long/config.json"), "{}");
    assert_int_equal(truncate(at(f, "long/config.json"), (off_t)(16 << 20) + 1), 0);
    refused(at(f, "long"), CLF_UNSUPPORTED, "config.json: file is 16777217 bytes; want at most 16777216");
    assert_int_equal(unlink(at(f, "long/config.json")), 0);
    assert_int_equal(unlink(at(f, "long/model.safetensors")), 0);
    write_text(at(f, "long/model.safetensors.index.json"), "{}");
    assert_int_equal(truncate(at(f, "long/model.safetensors.index.json"), (off_t)(64 << 20) + 1), 0);
    refused(at(f, "long"), CLF_UNSUPPORTED, "index.json: file is 67108865 bytes; want at most 67108864");
}

static void shards_are_opened_when_a_tensor_in_them_is_asked_for(void **state)
{
    folder *f = *state;
    const clf_tensor_source *source;
    const char *text;
    size_t bytes;
    clf_checkpoint *c;

    new_folder(f, "shards");
    write_text(at(f, "shards/model.safetensors.index.json"),
               "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"c\":\"s2.safetensors\",\"a\":\"s1.safetensors\","
               "\"b\":\"s2.safetensors\",\"gone\":\"s3.safetensors\",\"lost\":\"s1.safetensors\",\"bad\":\"s4."
               "safetensors\"}}");
    write_safetensors(at(f, "shards/s2.safetensors"), "{" ONE("c", 0, 2) "," ONE("b", 2, 4) "," ONE("more", 4, 6) "}",
                      6);
    c = opened(at(f, "shards")); /* s1 is not there yet */
    source = clf_checkpoint_source(c);
    assert_string_equal(source->label, "model.safetensors.index.json");
    assert_int_equal(source->count(source->self), 6);
    assert_string_equal(source->name(source->self, 0), "a");
    assert_string_equal(source->name(source->self, 5), "lost");
    assert_int_equal(((const unsigned char *)found(source, "b").data)[0], 2);
    assert_int_equal(((const unsigned char *)found(source, "c").data)[0], 0);
    assert_int_equal(found(source, "d").dtype, CLF_DTYPE_NONE);
    assert_int_equal(found(source, "more").dtype, CLF_DTYPE_NONE); /* the index does not list it */
    expect_find_error(source, "gone", CLF_IO, "s3.safetensors: cannot open: no such file or folder (ENOENT)");
    expect_find_error(source, "a", CLF_IO, "s1.safetensors: cannot open");
    write_safetensors(at(f, "shards/s1.safetensors"), "{" ONE("a", 0, 2) "}", 2);
    assert_int_equal(((const unsigned char *)found(source, "a").data)[1], 1);
    expect_find_error(source, "lost", CLF_BAD_FILE,
                      "s1.safetensors: lost is absent; want it there, as model.safetensors.index.json says");
    write_text(at(f, "shards/s4.safetensors"), "123456789");
    expect_find_error(source, "bad", CLF_BAD_FILE, "s4.safetensors: header ");
    expect_find_error(source, "bad", CLF_BAD_FILE, "s4.safetensors: header "); /* again the same */
    clf_checkpoint_config_text(c, &text, &bytes);
    assert_null(text);
    clf_checkpoint_close(c);
}

static void model_safetensors_goes_before_an_index(void **state)
{
    folder *f = *state;
    clf_checkpoint *c;

    new_folder(f, "both");
    write_text(at(f, "both/model.safetensors.index.json"), "not looked at");
    write_safetensors(at(f, "both/model.safetensors"), "{" ONE("a", 0, 2) "}", 2);
    c = opened(at(f, "both"));
    assert_int_equal(clf_checkpoint_source(c)->count(clf_checkpoint_source(c)->self), 1);
    clf_checkpoint_close(c);
}

static void an_index_names_bare_files_only(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "{\"weight_map\":{\"a\":\"../s\"}}", "shard of a is '../s'; want the bare name of a file beside the index" },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "shard of a is '/etc/passwd'" },
        { "{\"weight_map\":{\"a\":\"sub/s\"}}", "shard of a is 'sub/s'" },
        { "{\"weight_map\":{\"a\":\"sub\\u002fs\"}}", "shard of a is 'sub/s'" },
        { "{\"weight_map\":{\"a\":\"s/\"}}", "shard of a is 's/'" },
        { "{\"weight_map\":{\"a\":\"C:\\\\s\"}}", "want the bare name" },
        { "{\"weight_map\":{\"a\":\"..\"}}", "shard of a is '..'" },
        { "{\"weight_map\":{\"a\":\".\"}}", "shard of a is '.'" },
        { "{\"weight_map\":{\"a\":\"\"}}", "shard of a is ''" },
        { "{\"weight_map\":{\"a\":\"s\\u0000.safetensors\"}}", "shard of a is 's\\x00.safetensors'" },
        { "{\"weight_map\":{\"a\":1}}", "shard of a is a number; want a file name" },
        { "{\"weight_map\":{\"a\":[\"s\"]}}", "shard of a is an array; want a file name" },
        { "{\"weight_map\":{\"a\\u0000\":\"s\"}}", "tensor name a\\x00 has a NUL" },
        { "{\"weight_map\":{\"a\":\"s\",\"a\":\"t\"}}", "key \"a\" stands twice" },
        { "{\"weight_map\":[]}", "weight_map is an array; want an object" },
        { "{\"weights\":{}}", "weight_map is absent; want an object" },
        { "[]", "weight_map is absent" },
        { "", "text ends at byte 0; want a value" },
    };
    folder *f = *state;

    new_folder(f, "attack");
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        write_text(at(f, "attack/model.safetensors.index.json"), cases[i].text);
        refused(at(f, "attack"), CLF_BAD_FILE, cases[i].part);
    }
    /* a shard that is no regular file is not waited for */
    write_text(at(f, "attack/model.safetensors.index.json"), "{\"weight_map\":{\"a\":\"fifo\",\"b\":\"sub\"}}");
    assert_int_equal(mkfifo(at(f, "attack/fifo"), 0666), 0);
    new_folder(f, "attack/sub");
    {
        clf_checkpoint *c = opened(at(f, "attack"));

        expect_find_error(clf_checkpoint_source(c), "a", CLF_IO, "want a regular file");
        expect_find_error(clf_checkpoint_source(c), "b", CLF_IO, "it is a folder (EISDIR)");
        clf_checkpoint_close(c);
    }
}

static void an_index_cut_at_any_byte_is_refused(void **state)
{
    static const char text[] = "{\"metadata\":{},\"weight_map\":{\"b\":\"s2\",\"a\":\"s1\",\"c\":\"s1\"}}";

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        const guarded g = guard(text, n);
        clf_error err = { .status = CLF_OK };
        clf_shard_index *x;

        if (n + 1 < sizeof text) {
            expect_error(clf_shard_index_parse("i", g.bytes, n, &x, &err), CLF_BAD_FILE, &err, "i: ");
        } else {
            assert_int_equal(clf_shard_index_parse("i", g.bytes, n, &x, &err), CLF_OK);
            assert_int_equal(clf_shard_index_shard_count(x), 2);
            assert_string_equal(clf_shard_index_shard_name(x, clf_shard_index_find(x, "a")), "s1");
            assert_string_equal(clf_shard_index_shard_name(x, clf_shard_index_find(x, "b")), "s2");
            assert_int_equal(clf_shard_index_find(x, "d"), CLF_SHARD_NONE);
        }
        clf_shard_index_free(x);
        unguard(g);
    }
}

/* Pages of this process in memory. */
static long resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long all = 0, resident = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident;
}

static void fifteen_gigabytes_open_at_once(void **state)
{
    folder *f = *state;
    static const char header[] =
        "{\"small\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"huge\":{\"dtype\":\"F32\",\"shape\":[3750000000],\"data_offsets\":[8,15000000008]}}";
    const char *path = at(f, "huge.safetensors");
    const long before = resident_pages();
    const clock_t start = clock();
    const clf_tensor_source *source;
    clf_host_tensor t;
    clf_checkpoint *c;
    double sum = 0;

    write_safetensors(path, header, 8);
    assert_int_equal(truncate(path, (off_t)(8 + sizeof header - 1) + 15000000008), 0);
    c = opened(path);
    source = clf_checkpoint_source(c);
    assert_int_equal(((const unsigned char *)found(source, "small").data)[7], 7);
    t = found(source, "huge");
    assert_int_equal(t.dim[0], 3750000000);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 1.0);
    assert_true((resident_pages() - before) * sysconf(_SC_PAGESIZE) < 16 << 20);
    for (size_t at_byte = 0; at_byte < (size_t)64 << 20; at_byte += 4096)
        sum += ((const unsigned char *)t.data)[at_byte];
    assert_true(sum == 0);
    assert_true((resident_pages() - before) * sysconf(_SC_PAGESIZE) > 32 << 20);
    source->done(source->self, t.data, (size_t)15000000000);
    assert_true((resident_pages() - before) * sysconf(_SC_PAGESIZE) < 16 << 20);
    clf_checkpoint_close(c);
    assert_int_equal(unlink(path), 0);
}

static void a_file_that_changed_its_length_is_an_error(void **state)
{
    folder *f = *state;
    const char *path = at(f, "short.safetensors");
    clf_checkpoint *c;

    write_safetensors(path, "{" ONE("a", 0, 2) "}", 2);
    c = opened(path);
    found(clf_checkpoint_source(c), "a");
    assert_int_equal(truncate(path, 9), 0);
    expect_find_error(clf_checkpoint_source(c), "a", CLF_IO,
                      "short.safetensors: file is now 9 bytes; want 63, as when");
    clf_checkpoint_close(c);
}

static void ranges_outside_the_mapping_are_ignored(void **state)
{
    folder *f = *state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const char *path = at(f, "pages");
    clf_file_map m;
    clf_error err;

    write_text(path, "x");
    assert_int_equal(truncate(path, (off_t)(4 * page)), 0);
    assert_int_equal(clf_file_map_open(path, &m, &err), CLF_OK);
    clf_file_map_done(&m, m.bytes + 1, page);
    clf_file_map_done(&m, m.bytes - 1, 2 * page);
    clf_file_map_done(&m, m.bytes + 3 * page, SIZE_MAX);
    clf_file_map_done(&m, m.bytes, 4 * page + 1);
    clf_file_map_done(&m, m.bytes + 4 * page, 0);
    clf_file_map_done(&m, m.bytes, 4 * page);
    assert_int_equal(m.bytes[0], 'x'); /* comes back from the file */
    assert_int_equal(clf_file_map_check(&m, "pages", &err), CLF_OK);
    clf_file_map_close(&m);
    clf_file_map_close(&m); /* closed twice is closed */
    assert_null(m.bytes);
}

static clf_status open_and_find(void *argument, clf_error *err)
{
    clf_checkpoint *c;
    clf_host_tensor t;
    clf_status status = clf_checkpoint_open(argument, &c, err);

    if (status == CLF_OK)
        status = clf_checkpoint_source(c)->find(c == NULL ? NULL : clf_checkpoint_source(c)->self, "a", &t, err);
    clf_checkpoint_close(c);
    return status;
}

static void any_failing_allocation_is_out_of_memory(void **state)
{
    folder *f = *state;
    char path[512];

    snprintf(path, sizeof path, "%s", at(f, "shards"));
    fail_each_allocation(open_and_find, path);
    snprintf(path, sizeof path, "%s", at(f, "plain"));
    fail_each_allocation(open_and_find, path);
}

static void no_file_stays_open(void **state)
{
    folder *f = *state;
    const int before = open("/dev/null", O_RDONLY);
    int after;

    close(before);
    for (int i = 0; i < 3; i++) {
        clf_checkpoint *c = opened(at(f, "shards"));

        found(clf_checkpoint_source(c), "a");
        expect_find_error(clf_checkpoint_source(c), "bad", CLF_BAD_FILE, "header");
        clf_checkpoint_close(c);
        refused(at(f, "text"), CLF_BAD_FILE, "text");
    }
    after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_gives_config_and_tensors),
        cmocka_unit_test(a_single_file_carries_its_config_in_the_metadata),
        cmocka_unit_test(paths_that_hold_no_checkpoint_are_refused),
        cmocka_unit_test(texts_beyond_their_limits_are_not_read),
        cmocka_unit_test(shards_are_opened_when_a_tensor_in_them_is_asked_for),
        cmocka_unit_test(model_safetensors_goes_before_an_index),
        cmocka_unit_test(an_index_names_bare_files_only),
        cmocka_unit_test(an_index_cut_at_any_byte_is_refused),
        cmocka_unit_test(fifteen_gigabytes_open_at_once),
        cmocka_unit_test(a_file_that_changed_its_length_is_an_error),
        cmocka_unit_test(ranges_outside_the_mapping_are_ignored),
        cmocka_unit_test(any_failing_allocation_is_out_of_memory),
        cmocka_unit_test(no_file_stays_open),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
