/* A call of every family fails at each of its OpenCL calls and of its allocations: the first error is told, nothing
 * follows it, no output is published, and the same connector then gives the right bits. */
#include "data_folders.h"
#include "walk.h"

#define MAX_WALKS 400
#define ARGUMENTS 60 /* at most, of a call; the longest sets some 1500 */

typedef struct call {
    clf_connector *connector;
    clf_value in[MAX_VALUES], out[MAX_VALUES];
    size_t in_count, out_count;
} call;

/* What has been walked: "family input input output output". */
static char walked[MAX_WALKS][300];
static size_t walked_count;
static long calls, allocations; /* that failed */

static clf_status run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const call *k = user;

    (void)t;
    return clf_connector_run(s, k->connector, k->in, k->in_count, k->out, k->out_count, err);
}

static void add_name(char *key, const char *name)
{
    const size_t used = strlen(key);

    assert_true(used + strlen(name) + 2 <= sizeof walked[0]);
    snprintf(key + used, sizeof walked[0] - used, "%s ", name);
}

/* False when this family has been walked with these inputs and outputs. */
static bool is_new(const test_case *c, const char *family)
{
    char *key = walked[walked_count];

    assert_true(walked_count + 1 < MAX_WALKS);
    key[0] = '\0';
    add_name(key, family);
    for (size_t i = 0; i < c->in_count; i++)
        add_name(key, c->in[i].name);
    for (size_t i = 0; i < c->out_count; i++)
        add_name(key, c->out[i].name);
    for (size_t i = 0; i < walked_count; i++)
        if (strcmp(walked[i], key) == 0)
            return false;
    walked_count++;
    return true;
}

/* Bytes of an output, rounded up to where another may lie. */
static size_t room(clf_tensor output)
{
    return ((size_t)clf_element_count(output) * clf_dtype_bytes(output.dtype) + 15) / 16 * 16;
}

/* Rows that depend on what a device computes are counted while planning, on a stream of its own. */
static bool is_planned_on_a_stream(const test_case *c)
{
    for (size_t i = 0; i < c->out_count; i++)
        if (strcmp(c->out[i].name, "dense_tokens") == 0)
            return true;
    return false;
}

/* All outputs lie one behind another, so that one look tells whether any was written. */
static clf_walk describe(clf_test *t, const test_case *c, call *k)
{
    clf_walk w = { .name = c->path,
                   .work = run,
                   .user = k,
                   .outputs = (int)c->out_count,
                   .beside = is_planned_on_a_stream(c),
                   .arguments = ARGUMENTS };
    size_t at = 0;

    plan_case(c, k->connector, k->in, k->out);
    k->in_count = c->in_count;
    k->out_count = c->out_count;
    for (size_t i = 0; i < c->out_count; i++)
        w.bytes += room(k->out[i].tensor);
    w.result = clf_test_memory(t, w.bytes);
    for (size_t i = 0; i < c->out_count; i++) {
        k->out[i].host = (char *)w.result + at;
        at += room(k->out[i].tensor);
    }
    return w;
}

static void walk_case(clf_test *t, const test_case *c)
{
    call k = { .connector = NULL };
    clf_error err = { 0 };

    if (clf_connector_open(t->ctx, c->path, NULL, &k.connector, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
    const char *family = clf_connector_describe(k.connector).family;

    if (is_new(c, family)) {
        clf_walk w = describe(t, c, &k);

        calls += clf_walk_calls(t, &w);
        w.beside = true; /* planning reads sizes */
        allocations += clf_walk_allocations(t, &w);
    }
    clf_connector_destroy(k.connector);
}

static bool is_walked(const char *family)
{
    const size_t length = strlen(family);

    for (size_t i = 0; i < walked_count; i++)
        if (strncmp(walked[i], family, length) == 0 && walked[i][length] == ' ')
            return true;
    return false;
}

static void a_failure_anywhere_is_told_and_nothing_is_published(void **state)
{
    clf_test *t = *state;

    each_case(t, walk_case);
    for (size_t i = 0; i < clf_family_count(); i++)
        if (!is_walked(clf_family_name(i)))
            fail_msg("%s has no case in tests/data", clf_family_name(i));
    print_message("             %ld calls and %ld allocations failed in %zu forwards\n", calls, allocations,
                  walked_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(a_failure_anywhere_is_told_and_nothing_is_published) };

    return CLF_TEST_MAIN(tests);
}
