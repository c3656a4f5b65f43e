/* Regular files, read-only: mapped, or read whole. */
#ifndef CLF_CHECKPOINT_FILE_MAP_H
#define CLF_CHECKPOINT_FILE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

/* A mapped file.  Owned by whoever opened it; closed with clf_file_map_close.  All zero: closed.
 *
 * The length is taken once, when the file is opened; nothing reads it again to find out how far to go.  A file that
 * another process shortens meanwhile has pages without content, and reading those ends the process (SIGBUS); no
 * mapping can prevent that.  So the descriptor stays open and clf_file_map_check, called before data are handed out,
 * turns a changed length into an error; what parsers believe, they copy first. */
typedef struct clf_file_map {
    const unsigned char *bytes;
    size_t size;
    int file; /* descriptor + 1; 0 when closed */
} clf_file_map;

/* Maps a regular file; links to one are followed.  Folders, FIFOs and devices are refused without blocking.  Costs the
 * same for any length.  Errors: CLF_IO, CLF_UNSUPPORTED (no address space), CLF_OUT_OF_MEMORY; *m is then closed. */
clf_status clf_file_map_open(const char *path, clf_file_map *m, clf_error *err);
void clf_file_map_close(clf_file_map *m);

/* CLF_IO when the file's length is no longer what it was; `label` stands before the message. */
clf_status clf_file_map_check(const clf_file_map *m, const char *label, clf_error *err);

/* Lets the whole pages inside the range go; they come back from the file when touched again.  A range outside the
 * mapping is ignored. */
void clf_file_map_done(const clf_file_map *m, const void *data, size_t bytes);

/* Reads a regular file of at most `most` bytes into memory for clf_free, terminated.  *text is NULL after an error:
 * CLF_IO, CLF_UNSUPPORTED (longer), CLF_OUT_OF_MEMORY. */
clf_status clf_file_read(const char *path, uint64_t most, char **text, size_t *bytes, clf_error *err);

/* False only when there is certainly nothing at that path. */
bool clf_file_there(const char *path);
bool clf_file_is_folder(const char *path);

/* "folder/name" in memory for clf_free; NULL without memory. */
char *clf_file_join(const char *folder, const char *name);

/* What follows the last '/'. */
const char *clf_file_base(const char *path);

#endif
