/* The case folders of tests/positions, which tests/oracle/make_positions.py writes. */
#ifndef CLF_TESTS_POSITIONS_DATA_H
#define CLF_TESTS_POSITIONS_DATA_H

#include <stdio.h>
#include <unistd.h>

#include "checkpoint/npy.h"
#include "harness.h"

typedef struct position_array {
    int32_t rank;
    int64_t dim[CLF_MAX_RANK];
    int64_t count;
    double *value; /* lives until the test ends; NULL: there is no such file */
} position_array;

/* Array "in_grids" of a case; `needed`: fails where it is missing. */
static inline position_array position_data(clf_test *t, const char *folder, const char *name, bool needed)
{
    position_array a = { .count = 1 };
    char path[1000];
    clf_npy *file;
    clf_error err = { 0 };

    snprintf(path, sizeof path, "%s/../positions/%s/%s.npy", CLF_TEST_DATA, folder, name);
    if (!needed && access(path, R_OK) != 0)
        return a;
    if (clf_npy_open(path, &file, &err) != CLF_OK)
        fail_msg("%s", err.message);
    const clf_host_tensor host = clf_npy_tensor(file);

    a.rank = host.rank;
    for (int32_t i = 0; i < host.rank; i++) {
        a.dim[i] = host.dim[i];
        a.count *= host.dim[i];
    }
    a.value = clf_test_memory(t, (size_t)a.count * sizeof *a.value);
    for (int64_t i = 0; i < a.count; i++)
        a.value[i] = clf_host_value(host.data, host.dtype, (size_t)i);
    clf_npy_close(file);
    return a;
}

static inline int64_t *position_whole(clf_test *t, position_array a)
{
    int64_t *whole = clf_test_memory(t, (size_t)a.count * sizeof *whole);

    for (int64_t i = 0; a.value != NULL && i < a.count; i++)
        whole[i] = (int64_t)a.value[i];
    return a.value != NULL ? whole : NULL;
}

#endif
