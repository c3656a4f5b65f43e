/* Files that appear whole or not at all: written without a name in the target's folder, renamed on commit. */
#ifndef CLF_CHECKPOINT_FILE_WRITER_H
#define CLF_CHECKPOINT_FILE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

typedef struct clf_file_writer clf_file_writer;

/* Opens a file that nobody sees until commit.  It has no name where the system can do that, so that nothing is left
 * when the process is killed; elsewhere it is ".clfusion-<process>-<n>.tmp" in the target's folder.  A file at `path` is
 * replaced on commit, a link to one too; anything else there is refused, so that no device or FIFO is.  Any thread; one
 * thread a writer.  *w is NULL after an error: CLF_IO, CLF_OUT_OF_MEMORY. */
clf_status clf_file_writer_open(const char *path, clf_file_writer **w, clf_error *err);

/* Appends.  The first failure is kept for clf_file_writer_finish. */
void clf_file_writer_put(clf_file_writer *w, const void *data, uint64_t bytes);

/* For those who write by themselves, until clf_file_writer_finish; it stays the writer's. */
int clf_file_writer_descriptor(const clf_file_writer *w);

/* Ends the writing.  CLF_IO when not all of it could be written; then only clf_file_writer_abandon is left. */
clf_status clf_file_writer_finish(clf_file_writer *w, clf_error *err);

/* What clf_file_writer_open and commit require of the target, for checks of several files before the first commit. */
clf_status clf_file_target_check(const char *path, clf_error *err);

/* True when both paths name one entry of one folder, however they are spelled.  Two links to one file are two targets:
 * commit replaces the link.  False where a folder is missing, unless the spellings agree. */
bool clf_file_target_same(const char *a, const char *b);

clf_status clf_file_writer_commit(clf_file_writer *w, clf_error *err); /* renames; w is gone in any case */
void clf_file_writer_abandon(clf_file_writer *w);                      /* nothing appears; takes NULL */

#endif
