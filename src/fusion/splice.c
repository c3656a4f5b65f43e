/* splice: fused = text, with the rows of `tokens` at the placeholders. */
#include <clfusion/splice.h>

#include <clfusion/copy.h>
#include <clfusion/gather.h>

#include "core/alloc.h"
#include "runtime/op.h"

#define CLF_OP "splice"

static clf_status check(clf_tensor text, const int64_t *text_ids, clf_tensor tokens, clf_tensor fused, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, text, "text");
    CLF_REQUIRE_SHAPE(err, text, "text");
    CLF_REQUIRE(err, text.rank == 3, CLF_INVALID_ARGUMENT, "text is %s; want [B, T, Dt]", CLF_TEXT(text));
    CLF_REQUIRE(err, text_ids != NULL || clf_row_count(text) == 0, CLF_INVALID_ARGUMENT,
                "text_ids is NULL; want one for each row of text %s", CLF_TEXT(text));
    CLF_REQUIRE_SHAPE(err, tokens, "tokens");
    CLF_REQUIRE(err, clf_dim(tokens, -1) == clf_dim(text, -1) && tokens.dtype == text.dtype, CLF_INVALID_ARGUMENT,
                "tokens is %s; want type and width of text %s", CLF_TEXT(tokens), CLF_TEXT(text));
    CLF_REQUIRE_ALIKE(err, fused, "fused", text, "text");
    CLF_REQUIRE_APART(err, fused, "fused", text, "text");
    CLF_REQUIRE_APART(err, fused, "fused", tokens, "tokens");
    CLF_REQUIRE(err, clf_row_count(tokens) <= INT32_MAX, CLF_UNSUPPORTED, "tokens is %s; want at most 2^31 - 1 rows",
                CLF_TEXT(tokens));
    return CLF_OK;
}

/* index[i]: the row of tokens that replaces row i of text, or -1. */
static clf_status fill_index(const int64_t *text_ids, int64_t count, int64_t placeholder, clf_tensor tokens,
                             int32_t *index, clf_error *err)
{
    const int64_t rows = clf_row_count(tokens);
    int64_t found = 0;

    for (int64_t i = 0; i < count; i++) {
        const bool replaced = text_ids[i] == placeholder;

        index[i] = replaced && found < rows ? (int32_t)found : -1;
        found += replaced;
    }
    CLF_REQUIRE(err, found == rows, CLF_INVALID_ARGUMENT,
                "text_ids has %" PRId64 " placeholders %" PRId64 "; want %" PRId64 ", the rows of tokens %s", found,
                placeholder, rows, CLF_TEXT(tokens));
    return CLF_OK;
}

void clf_splice(clf_stream *s, clf_tensor text, const int64_t *text_ids, int64_t placeholder, clf_tensor tokens,
                clf_tensor fused)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check(text, text_ids, tokens, fused, clf_op_error(s))))
        return;
    const int64_t count = clf_row_count(text);
    int32_t *host = clf_alloc((size_t)count, sizeof *host);

    if (host == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %" PRId64 " indices", count);
        return;
    }
    if (clf_op_passed(s, fill_index(text_ids, count, placeholder, tokens, host, clf_op_error(s)))) {
        const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
        const clf_tensor index = clf_scratch(s, CLF_I32, CLF_DIMS(text.dim[0], text.dim[1]));

        clf_upload_copy(s, host, (uint64_t)count * sizeof *host, index);
        clf_copy(s, text, fused);
        clf_gather(s, tokens, index, fused);
        clf_scope_close(s, scope);
    }
    clf_free(host);
}
