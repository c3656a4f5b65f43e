/* Configuration: parsed JSON with overrides, read through typed getters that name key, value and rule.
 *
 * A path is dotted: "text_config.hidden_size"; in an array a segment of digits counts entries from 0:
 * "image_grid_pinpoints.3".  A later override hides earlier ones and the text; what it replaces is gone with all that
 * lies below.  Immutable after creation but for the flags of overrides: without them any number of threads may read. */
#ifndef CLF_CHECKPOINT_CONFIG_H
#define CLF_CHECKPOINT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

typedef struct clf_config clf_config;

#define CLF_CONFIG_BYTES (16u << 20) /* of the text; objects and arrays nest to 64, values number 1,048,576 */

/* Overrides "key.path=VALUE".  The caller's flags: read[i] becomes true when a getter has met items[i], at its path, below
 * or above it, and else stays as it was, so that several configurations may share them. */
typedef struct clf_config_sets {
    const char *const *items;
    size_t count;
    bool *read; /* NULL: nobody asks */
} clf_config_sets;

/* Parses JSON (an object; NULL or no bytes: empty; NaN and Infinity, which Python writes, are numbers) and lays `sets`
 * (NULL: none) over it, VALUE JSON when it parses as JSON, else a string.  `label` (copied) stands before messages.
 * *c is NULL after an error: CLF_BAD_FILE or CLF_UNSUPPORTED (beyond a limit) for the text, CLF_INVALID_ARGUMENT for a
 * malformed override, CLF_OUT_OF_MEMORY. */
clf_status clf_config_create(const char *label, const char *text, size_t bytes, const clf_config_sets *sets,
                             clf_config **c, clf_error *err);
void clf_config_destroy(clf_config *c); /* takes NULL */

/* True when the dotted path is there and not null. */
bool clf_config_has(const clf_config *c, const char *path);

/* Entries of an array, or keys of an object as the text or one override has it; 0 for anything else. */
size_t clf_config_count(const clf_config *c, const char *path);

/* Typed values at a dotted path ("text_config.hidden_size").  Absent or null: CLF_OK and *value as it was, so the
 * caller sets the default before.  Another type: CLF_BAD_FILE, or CLF_INVALID_ARGUMENT when an override put it there;
 * *value is then as it was.  Integers come from digits, never through double; numbers are finite. */
clf_status clf_config_int(const clf_config *c, const char *path, int64_t *value, clf_error *err);
clf_status clf_config_float(const clf_config *c, const char *path, double *value, clf_error *err);
clf_status clf_config_bool(const clf_config *c, const char *path, bool *value, clf_error *err);
/* Decoded text without NUL; lives as long as the configuration. */
clf_status clf_config_text(const clf_config *c, const char *path, const char **value, clf_error *err);
/* Entries of an array of integers; a single integer is an array of one.  *count as it was when absent; more than
 * `capacity` entries are an error like another type. */
clf_status clf_config_ints(const clf_config *c, const char *path, int64_t *values, size_t capacity, size_t *count,
                           clf_error *err);
/* The same for numbers. */
clf_status clf_config_floats(const clf_config *c, const char *path, double *values, size_t capacity, size_t *count,
                             clf_error *err);

#endif
