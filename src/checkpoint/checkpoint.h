/* Checkpoints: config.json and safetensors, mapped, validated before anything is believed.
 *
 * A checkpoint belongs to one thread at a time: finding a tensor may open its shard.  Names that came out of a file
 * never become paths, but for the shards that model.safetensors.index.json lists, as bare names beside it. */
#ifndef CLF_CHECKPOINT_CHECKPOINT_H
#define CLF_CHECKPOINT_CHECKPOINT_H

#include <clfusion/source.h>

#include "checkpoint/config.h"

typedef struct clf_checkpoint clf_checkpoint;

/* A folder (config.json; model.safetensors, else model.safetensors.index.json with shards, each opened and validated
 * when a tensor in it is first asked for) or one .safetensors file.  *c is NULL after an error: CLF_IO, CLF_BAD_FILE,
 * CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY. */
clf_status clf_checkpoint_open(const char *path, clf_checkpoint **c, clf_error *err);
void clf_checkpoint_close(clf_checkpoint *c); /* takes NULL */

/* Its tensors, by name in byte order; lives as long as the checkpoint.  Data may be unaligned; rank 0 is given as [1].
 * find: CLF_IO (a shard is missing, or a file changed its length since it was opened), CLF_BAD_FILE (a shard breaks the
 * rules or lacks a tensor of the index), CLF_UNSUPPORTED (a type, more than CLF_MAX_RANK dimensions),
 * CLF_OUT_OF_MEMORY.  `done` lets mapped pages go (madvise). */
const clf_tensor_source *clf_checkpoint_source(clf_checkpoint *c);

/* config.json, or the JSON under the metadata key "clfusion" of a single file; *text is NULL when there is neither.
 * Not parsed yet: clf_config_create does.  Lives as long as the checkpoint. */
void clf_checkpoint_config_text(const clf_checkpoint *c, const char **text, size_t *bytes);

#endif
