/* What the tests of src/checkpoint share: folders that go away, bytes in front of a guard page, an allocator that
 * counts and fails.  Include it first: it asks the system for mmap, mkdtemp and nftw. */
#ifndef CLF_TESTS_CHECKPOINT_FILES_H
#define CLF_TESTS_CHECKPOINT_FILES_H

#define _DEFAULT_SOURCE 1
#define _XOPEN_SOURCE 700
#define _FILE_OFFSET_BITS 64

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clfusion/memory.h>
#include <clfusion/status.h>

#include "core/size.h"

/* Bytes that end where the readable memory ends: reading one more is a crash. */
typedef struct guarded {
    char *bytes;
    char *pages;
    size_t page_bytes; /* of all pages */
} guarded;

static inline guarded guard(const void *bytes, size_t count)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (count + page - 1) / page * page;
    guarded g = { .page_bytes = room + page };

    g.pages = mmap(NULL, g.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g.pages, MAP_FAILED);
    assert_int_equal(mprotect(g.pages + room, page, PROT_NONE), 0);
    g.bytes = g.pages + room - count;
    if (count > 0)
        memcpy(g.bytes, bytes, count);
    return g;
}

static inline void unguard(guarded g)
{
    assert_int_equal(munmap(g.pages, g.page_bytes), 0);
}

/* Counts what is allocated; call number `fail_at` (from 1; 0: none) fails, once. */
typedef struct counting {
    long calls, live, fail_at;
} counting;

static inline void *counting_allocate(void *user, size_t bytes)
{
    counting *c = user;

    if (++c->calls == c->fail_at)
        return NULL;
    c->live++;
    return malloc(bytes);
}

static inline void *counting_reallocate(void *user, void *memory, size_t bytes)
{
    counting *c = user;

    if (++c->calls == c->fail_at)
        return NULL;
    c->live += memory == NULL;
    return realloc(memory, bytes);
}

static inline void counting_release(void *user, void *memory)
{
    counting *c = user;

    c->live -= memory != NULL;
    free(memory);
}

/* Runs the scenario with its k-th allocation failing, for k = 1, 2, ... until none fails.  The scenario returns its
 * status and has released everything; out of memory is the only other answer than CLF_OK. */
static inline void fail_each_allocation(clf_status (*scenario)(void *argument, clf_error *err), void *argument)
{
    for (long k = 1;; k++) {
        counting c = { .fail_at = k };
        const clf_allocator table = { &c, counting_allocate, counting_reallocate, counting_release };
        clf_error err = { .status = CLF_OK };
        clf_status status;

        clf_set_allocator(&table);
        status = scenario(argument, &err);
        clf_set_allocator(NULL);
        assert_int_equal(c.live, 0);
        if (c.calls < k) {
            assert_int_equal(status, CLF_OK);
            assert_true(k > 1);
            return;
        }
        assert_int_equal(status, CLF_OUT_OF_MEMORY);
        assert_int_equal(err.status, CLF_OUT_OF_MEMORY);
        assert_non_null(strstr(err.message, "no memory"));
    }
}

/* Every message is one line that names something; "want" or "of" leads to the rule. */
static inline void expect_error(clf_status got, clf_status want, const clf_error *err, const char *part)
{
    if (got != want || err->status != want || strstr(err->message, part) == NULL)
        fail_msg("got %s '%s'; want %s with '%s'", clf_status_name(got), got == CLF_OK ? "" : err->message,
                 clf_status_name(want), part);
    assert_null(strchr(err->message, '\n'));
}

/* A folder for the test program, removed at its end. */
typedef struct folder {
    char path[256];
    char name[4][512]; /* the last paths that `at` gave */
    int next;
} folder;

static inline int folder_setup(void **state)
{
    const char *root = getenv("TMPDIR");
    folder *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    snprintf(f->path, sizeof f->path, "%s/clfusion-test-", root != NULL && strlen(root) < 200 ? root : "/tmp");
    memset(f->path + strlen(f->path), 'X', 6); /* what mkdtemp replaces; zeros follow */
    *state = f;
    return mkdtemp(f->path) == NULL ? -1 : 0;
}

static inline int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline int folder_teardown(void **state)
{
    folder *f = *state;
    const int result = nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    free(f);
    return result;
}

/* "folder/name"; valid for the next three calls. */
static inline const char *at(folder *f, const char *name)
{
    char *path = f->name[f->next++ % 4];
    const size_t length = strlen(f->path), name_length = strlen(name);

    assert_true(length + name_length + 2 <= sizeof f->name[0]);
    memcpy(path, f->path, length);
    path[length] = '/';
    memcpy(path + length + 1, name, name_length + 1);
    return path;
}

static inline void write_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* A safetensors file in `out`: length, header, `data_bytes` bytes counting up from 0.  Returns its length. */
static inline size_t make_safetensors(char *out, size_t room, const char *header, size_t data_bytes)
{
    const size_t length = strlen(header);

    assert_true(8 + length + data_bytes <= room);
    for (size_t i = 0; i < 8; i++)
        out[i] = (char)(i < sizeof length ? length >> 8 * i & 0xff : 0);
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        out[8 + length + i] = (char)i;
    return 8 + length + data_bytes;
}

static inline void write_safetensors(const char *path, const char *header, size_t data_bytes)
{
    static char file[8192];

    write_bytes(path, file, make_safetensors(file, sizeof file, header, data_bytes));
}

#endif
