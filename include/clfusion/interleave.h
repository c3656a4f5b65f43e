/* Interleaved pictures and text: which pictures stand before a position.
 *
 * Flamingo numbers the pictures of a text from 1; a position's time is the number of pictures that have begun at it or
 * before it.  As groups of clf_attention_options these numbers say what a position sees: CLF_GROUPS_EQUAL the last
 * picture (with CLF_UNSEEN_UNIFORM_BUT_GROUP_0 as OpenFlamingo has it: text before the first picture gets nothing, text
 * behind more media tokens than pictures the mean), CLF_GROUPS_AT_LEAST all pictures so far.
 * Source: Alayrac et al. 2022, arXiv:2204.14198, section 2.3; OpenFlamingo's MaskedCrossAttention.
 *
 * Host functions, for host memory, without errors; threads: any. */
#ifndef CLFUSION_INTERLEAVE_H
#define CLFUSION_INTERLEAVE_H

#include <stdint.h>

#include <clfusion/export.h>

CLF_BEGIN_DECLS

/**
 * text_time[b, t] = how many of ids[b, 0 .. t] are media_token, the id at t included.
 *
 * ids [B, T],  text_time [B, T].  B and T may be 0.
 */
CLF_API void clf_text_time(const int64_t *ids, int64_t B, int64_t T, int64_t media_token, int32_t *text_time);

/**
 * The same for T rows that continue a prompt and have no media token of their own, as a step of cached decoding:
 * text_time[b, t] = how many of ids[b, 0 .. P - 1] are media_token.
 *
 * ids [B, P], the prompt,  text_time [B, T].  Any of B, P and T may be 0.
 */
CLF_API void clf_text_time_after(const int64_t *ids, int64_t B, int64_t P, int64_t media_token, int64_t T,
                                 int32_t *text_time);

/**
 * The same from the positions at which pictures begin: text_time[b, t] = how many of places[b, :] are at most t.
 *
 * places [B, I], in any order; below 0: before this text, T or more: not yet.  text_time [B, T].
 */
CLF_API void clf_text_time_at(const int64_t *places, int64_t B, int64_t I, int64_t T, int32_t *text_time);

/** media_time[i M + m] = i + 1: the number of the picture that a visual token belongs to; media_time [I M]. */
CLF_API void clf_media_time(int64_t I, int64_t M, int32_t *media_time);

CLF_END_DECLS

#endif
