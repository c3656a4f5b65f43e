/* model.safetensors.index.json: which shard holds which tensor.
 *
 * The one place where a file names other files, so the names are base names and nothing else: no '/', '\\' or NUL, not
 * empty, "." or "..".  They are looked for beside the index only. */
#ifndef CLF_CHECKPOINT_SHARD_INDEX_H
#define CLF_CHECKPOINT_SHARD_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

typedef struct clf_shard_index clf_shard_index;

#define CLF_SHARD_INDEX_BYTES (64u << 20)
#define CLF_SHARD_NONE UINT32_MAX

/* Parses the text; nothing is opened.  `label` stands before messages.  *x is NULL after an error: CLF_BAD_FILE,
 * CLF_UNSUPPORTED (above CLF_SHARD_INDEX_BYTES or 1,048,576 tensors), CLF_OUT_OF_MEMORY. */
clf_status clf_shard_index_parse(const char *label, const char *text, uint64_t bytes, clf_shard_index **x,
                                 clf_error *err);
void clf_shard_index_free(clf_shard_index *x); /* takes NULL */

/* Tensors by name (by byte), and shards; names live as long as x. */
size_t clf_shard_index_count(const clf_shard_index *x);
const char *clf_shard_index_name(const clf_shard_index *x, size_t index);
size_t clf_shard_index_shard_count(const clf_shard_index *x);
const char *clf_shard_index_shard_name(const clf_shard_index *x, uint32_t shard);

/* The shard of a tensor; CLF_SHARD_NONE when the index does not list it. */
uint32_t clf_shard_index_find(const clf_shard_index *x, const char *name);

#endif
