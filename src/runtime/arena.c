/* Scratch memory, scopes, and views. */
#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "runtime/stream.h"

#define ALIGNMENT 256U           /* bytes: a multiple of what any device wants for vectors */
#define BLOCK_BYTES (256U << 10) /* small requests share blocks of this size */

void clf_arena_release(clf_stream *s)
{
    while (s->block_count > 0) {
        const clf_arena_block *block = &s->blocks[--s->block_count];

        clf_buffer_release(s->ctx, block->mem, block->bytes);
    }
    s->block = 0;
    s->used = 0;
}

static clf_status create_block(clf_stream *s, uint64_t bytes, clf_arena_block *block, clf_error *err)
{
    *block = (clf_arena_block){ .bytes = CLF_MAX(bytes, BLOCK_BYTES) };
    return clf_buffer_create(s->ctx, block->bytes, &block->mem, err);
}

static clf_status add_block(clf_stream *s, uint64_t bytes, clf_error *err)
{
    CLF_TRY(clf_grow((void **)&s->blocks, s->block_count, &s->block_capacity, sizeof *s->blocks, err));
    CLF_TRY(create_block(s, bytes, &s->blocks[s->block_count], err));
    s->block_count++;
    return CLF_OK;
}

/* A larger block in the place of the current one, in which nothing lives.  Commands in flight keep the old memory. */
static clf_status replace_block(clf_stream *s, uint64_t bytes, clf_error *err)
{
    clf_arena_block larger, *old = &s->blocks[s->block];

    CLF_TRY(create_block(s, bytes, &larger, err));
    clf_buffer_release(s->ctx, old->mem, old->bytes);
    *old = larger;
    return CLF_OK;
}

/* Finds room behind the bump pointer: in the current block, else in the next, made larger if need be.  So each place
 * in the walk holds the most that was ever wanted there, however slowly sizes grow. */
static clf_status take(clf_stream *s, uint64_t bytes, clf_tensor *t, clf_error *err)
{
    if (s->block < s->block_count && s->used > 0 &&
        (s->used > s->blocks[s->block].bytes || bytes > s->blocks[s->block].bytes - s->used)) {
        s->block++;
        s->used = 0;
    }
    if (s->block == s->block_count)
        CLF_TRY(add_block(s, bytes, err));
    else if (s->used == 0 && bytes > s->blocks[s->block].bytes)
        CLF_TRY(replace_block(s, bytes, err));
    t->mem = s->blocks[s->block].mem;
    t->offset = s->used;
    s->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return CLF_OK;
}

clf_tensor clf_scratch(clf_stream *s, clf_dtype dtype, clf_dims dims)
{
    clf_tensor t = clf_tensor_shape(dtype, dims);
    uint64_t bytes;

    if (!clf_op_enter(s))
        return t;
    if (!clf_shape_valid(t) || !clf_extent_bytes(t, &bytes) || bytes > INT64_MAX) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT, "scratch: shape is %s; want none negative, a product below 2^63",
                    CLF_TEXT(t));
        return t;
    }
    if (bytes > 0)
        clf_op_passed(s, take(s, bytes, &t, &s->error));
    return t;
}

clf_tensor clf_scratch_alone(clf_stream *s, clf_dtype dtype, clf_dims dims)
{
    if (s->used > 0) { /* what is left of this block is lost until the scope closes */
        s->block++;
        s->used = 0;
    }
    return clf_scratch(s, dtype, dims);
}

/* The path ends with this name: a module of a family of the same name is named once. */
static bool stands_last(const clf_stream *s, const char *name)
{
    const size_t length = strlen(name), end = s->path_length;

    return end > length && strncmp(s->path + end - length - 1, name, length) == 0 &&
           (end == length + 1 || s->path[end - length - 2] == '/');
}

clf_scope clf_scope_open(clf_stream *s, const char *name, int64_t index)
{
    const clf_scope scope = { .block = s->block, .used = s->used, .path = s->path_length };
    char *end = s->path + s->path_length;
    const size_t room = sizeof s->path - s->path_length;

    if (name == NULL || (index < 0 && stands_last(s, name)))
        return scope;
    if (index < 0)
        s->path_length += (uint32_t)clf_format(end, room, "%s/", name);
    else
        s->path_length += (uint32_t)clf_format(end, room, "%s[%" PRId64 "]/", name, index);
    return scope;
}

void clf_scope_close(clf_stream *s, clf_scope scope)
{
    s->block = scope.block;
    s->used = scope.used;
    s->path_length = scope.path;
    s->path[scope.path] = '\0';
}

clf_tensor clf_slice(clf_stream *s, clf_tensor t, int axis, int64_t begin, int64_t count)
{
    const int i = axis < 0 ? axis + t.rank : axis;

    if (i < 0 || i >= t.rank || begin < 0 || count < 0 || begin > t.dim[i] || count > t.dim[i] - begin) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT,
                    "slice: %" PRId64 " entries from %" PRId64 " of axis %d; want a range inside %s", count, begin,
                    axis, CLF_TEXT(t));
        return t;
    }
    t.dim[i] = count;
    t.offset += (uint64_t)begin * (uint64_t)t.stride[i] * clf_dtype_bytes(t.dtype);
    return t;
}

clf_tensor clf_reshape(clf_stream *s, clf_tensor t, clf_dims dims)
{
    clf_tensor r = clf_tensor_at(t.mem, t.offset, t.dtype, dims);

    if (!clf_is_dense(t) || clf_element_count(r) != clf_element_count(t))
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT, "reshape: %s to %s; want dense and the same number of elements",
                    CLF_TEXT(t), clf_text_shape(dims.rank, dims.dim).text);
    return r;
}
