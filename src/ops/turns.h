/* How often the loops of a work-item turn: bounds for clf_kernel.turns, which a device may limit (runtime/launch.h).
 * Leaving a loop counts as a turn.  Sizes that are out of all proportion give CLF_TURNS_MANY. */
#ifndef CLF_OPS_TURNS_H
#define CLF_OPS_TURNS_H

#include <clfusion/attention.h>

#define CLF_TURNS_MANY UINT32_MAX

/* A loop of `times` turns, each of which makes `inside` in loops of its own. */
uint64_t clf_turns(uint64_t times, uint64_t inside);

/* Once over a row of C columns: one by one, in vectors, or by the items of a group of CLF_NORM_WG in turns, with a sum
 * over their parts. */
uint64_t clf_turns_of_row(const clf_stream *s, int64_t C);

/* Over rows as clf_row_groups shares them, `inside` for each. */
uint64_t clf_turns_of_rows(int64_t rows, uint64_t inside);

/* The kernels of attention; `vectors` of rows of q are what an item of the CPU kernel takes. */
uint64_t clf_turns_of_attention(const clf_stream *s, clf_tensor q, clf_tensor v, int64_t vectors,
                                const clf_attention_options *o);

#endif
