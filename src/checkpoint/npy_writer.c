/* Writing: version 1.0, header and elements into a file writer. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/file_map.h"
#include "checkpoint/npy.h"
#include "checkpoint/npy_types.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

#define PREAMBLE_BYTES 10u
#define HEADER_STEP 64u  /* the elements begin at a multiple of it */
#define HEADER_MOST 256u /* 62 characters and six dimensions of at most 21 */

/* Preamble and header, padded so that the elements begin at a multiple of 64. */
static size_t make_header(clf_host_tensor t, unsigned char header[HEADER_MOST])
{
    char *text = (char *)header + PREAMBLE_BYTES;
    const size_t room = HEADER_MOST - PREAMBLE_BYTES;
    size_t length, total;

    length = clf_format(text, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", clf_npy_descr(t.dtype));
    for (int32_t i = 0; i < t.rank; i++)
        length += clf_format(text + length, room - length, "%s%" PRId64 "%s", i == 0 ? "" : ", ", t.dim[i],
                             t.rank == 1 ? "," : "");
    length += clf_format(text + length, room - length, "), }");
    total = (size_t)clf_div_up(PREAMBLE_BYTES + length + 1, HEADER_STEP) * HEADER_STEP;
    memset(text + length, ' ', total - PREAMBLE_BYTES - length);
    header[total - 1] = '\n';
    memcpy(header, CLF_NPY_MAGIC "\x01\x00", CLF_NPY_MAGIC_BYTES + 2);
    header[8] = (unsigned char)(total - PREAMBLE_BYTES);
    header[9] = 0; /* total is at most HEADER_MOST */
    return total;
}

static clf_status check_tensor(const char *path, clf_host_tensor t, uint64_t *bytes, clf_error *err)
{
    const char *name = clf_file_base(path);

    if (t.dtype == CLF_DTYPE_NONE || t.rank < 0 || t.rank > CLF_MAX_RANK)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor has type %s and rank %d; want one, and 0 to %d", name,
                        clf_dtype_name(t.dtype), (int)t.rank, CLF_MAX_RANK);
    for (int32_t i = 0; i < t.rank; i++)
        if (t.dim[i] < 0)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor is %s; want no negative dimension", name,
                            CLF_HOST_TEXT(t));
    if (!clf_host_bytes(t, bytes) || *bytes > SIZE_MAX)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor is %s; want a size that fits memory", name,
                        CLF_HOST_TEXT(t));
    if (t.data == NULL && *bytes > 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor %s has data NULL; want memory", name, CLF_HOST_TEXT(t));
    if (clf_npy_descr(t.dtype) == NULL)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: tensor is %s; want a type that NumPy has, as f32 or f16", name,
                        CLF_HOST_TEXT(t));
    return CLF_OK;
}

clf_status clf_npy_write(const char *path, clf_host_tensor t, clf_file_writer **w, clf_error *err)
{
    unsigned char header[HEADER_MOST];
    uint64_t bytes = 0;
    clf_status status;

    *w = NULL;
    CLF_TRY(check_tensor(path, t, &bytes, err));
    CLF_TRY(clf_file_writer_open(path, w, err));
    clf_file_writer_put(*w, header, make_header(t, header));
    clf_file_writer_put(*w, t.data, bytes);
    status = clf_file_writer_finish(*w, err);
    if (status != CLF_OK) {
        clf_file_writer_abandon(*w);
        *w = NULL;
    }
    return status;
}
