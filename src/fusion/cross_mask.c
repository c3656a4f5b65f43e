/* Which text positions see which pictures: Mllama's mask, from sparse to dense. */
#include <clfusion/cross_mask.h>

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/size.h"

#define CLF_OP "mllama_cross_mask"

static clf_status check(const clf_mllama_prompt *p, int64_t length, int64_t pictures, int64_t max_tiles,
                        uint64_t *count, clf_error *err)
{
    int64_t tokens = 0;

    CLF_REQUIRE(err, p->id_count >= 0 && length >= 0 && max_tiles >= 0, CLF_INVALID_ARGUMENT,
                "id_count, length and max_tiles are %" PRId64 ", %" PRId64 " and %" PRId64 "; want 0 or more",
                p->id_count, length, max_tiles);
    CLF_REQUIRE(err, p->picture_count >= 0 && pictures >= p->picture_count, CLF_INVALID_ARGUMENT,
                "the mask has %" PRId64 " pictures; want at least those of the prompt, %" PRId64, pictures,
                p->picture_count);
    for (int64_t t = 0; t < p->id_count; t++)
        tokens += p->ids[t] == p->image_token;
    CLF_REQUIRE(err, tokens == p->picture_count, CLF_INVALID_ARGUMENT,
                "ids has %" PRId64 " image tokens (id %" PRId64 "); want %" PRId64 ", the number of pictures", tokens,
                p->image_token, p->picture_count);
    for (int64_t i = 0; i < p->picture_count; i++)
        CLF_REQUIRE(err, p->tiles[i] >= 0 && p->tiles[i] <= max_tiles, CLF_INVALID_ARGUMENT,
                    "tiles[%" PRId64 "] is %" PRId64 "; want 0 to %" PRId64, i, p->tiles[i], max_tiles);
    CLF_REQUIRE(err,
                clf_size_mul((uint64_t)length, (uint64_t)pictures, count) &&
                    clf_size_mul(*count, (uint64_t)max_tiles, count) && *count <= SIZE_MAX / sizeof(int64_t),
                CLF_INVALID_ARGUMENT, "the mask is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want it to fit into memory",
                length, pictures, max_tiles);
    return CLF_OK;
}

clf_status clf_mllama_cross_mask(const clf_mllama_prompt *p, int64_t length, int64_t pictures, int64_t max_tiles,
                                 int64_t *mask, clf_error *err)
{
    int64_t next = p->id_count;   /* the token of the picture behind, or the end */
    int64_t beyond = p->id_count; /* where that picture is seen to */
    int64_t i = p->picture_count;
    uint64_t count = 0;

    CLF_TRY(check(p, length, pictures, max_tiles, &count, err));
    if (count == 0)
        return CLF_OK;
    memset(mask, 0, (size_t)count * sizeof *mask);
    for (int64_t t = p->id_count - 1; t >= 0; t--) {
        if (p->ids[t] != p->image_token)
            continue;
        const int64_t end = t == next - 1 ? beyond : next;

        i--;
        for (int64_t row = t; row < (p->picture_count == 1 ? length : CLF_MIN(end, length)); row++)
            for (int64_t j = 0; j < p->tiles[i]; j++)
                mask[(row * pictures + i) * max_tiles + j] = 1;
        next = t;
        beyond = end;
    }
    return CLF_OK;
}
