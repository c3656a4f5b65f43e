"""Interleaved pictures in clfusion's gated modules: every position alone with the pictures that it sees.

A position's attention depends on nothing but its own text and those rows, so the reference runs position by position
and needs no mask.  What sees nothing keeps its text.
"""

import torch
from case import Case
from make_cross import Gated, GatedDense, Stack

MEDIA = 7


def begun(ids):
    """How many media tokens stand at or before each position."""
    return (ids == MEDIA).cumsum(-1)


def alone(net, text, vision, seen):
    """text [B,T,Dt], vision [B,N,Dv], seen [B,T,N] -> hidden, attention [B,H,T,N]."""
    hidden, attention = text.clone(), None
    for b in range(text.shape[0]):
        for t in range(text.shape[1]):
            rows = seen[b, t].nonzero()[:, 0]
            if len(rows) == 0:
                continue
            hidden[b, t : t + 1], weights = (x[0] for x in net(text[b : b + 1, t : t + 1], vision[b : b + 1, rows]))
            if attention is None:
                attention = torch.zeros(text.shape[0], weights.shape[0], text.shape[1], vision.shape[1])
            attention[b, :, t, rows] = weights[:, 0]
    return hidden, attention


def start(root, name, options, net, dtype):
    case = Case(root, name)
    case.randomise(net, dtype)
    case.keep(net, "")
    case.config({"model_type": "clfusion", **options})
    case.save()
    return case


def finish(case, net, text, vision, seen):
    with torch.no_grad():
        hidden, attention = alone(net, text, vision, seen)
    case.expect("hidden", hidden)
    case.expect("attention", attention)


def by_ids(root, name, options, net, shape, ids, immediate, dtype=torch.float32):
    """shape: Dt, Dv, I, M."""
    Dt, Dv, I, M = shape
    case = start(root, name, {"media_token_id": MEDIA, **options}, net, dtype)
    ids = case.give("text_ids", torch.tensor(ids))
    text = case.give("text", case.normal(*ids.shape, Dt))
    vision = case.give("vision", case.normal(len(ids), I, M, Dv)).flatten(1, 2)
    number = torch.arange(I).repeat_interleave(M) + 1
    time = begun(ids)[..., None]
    finish(case, net, text, vision, time == number if immediate else time >= number)


def by_mask(root, name, options, net, shape, cross_mask, vision_mask, dtype):
    Dt, Dv, M = shape
    case = start(root, name, options, net, dtype)
    cross = case.give("cross_mask", torch.tensor(cross_mask))
    B, T, I = cross.shape
    text, vision = case.give("text", case.normal(B, T, Dt)), case.give("vision", case.normal(B, I * M, Dv))
    real = case.give("vision_mask", torch.tensor(vision_mask))
    finish(case, net, text, vision, (cross.repeat_interleave(M, -1) != 0) & (real[:, None] != 0))


def make(root):
    heads = {"num_heads": 2, "head_dim": 8}
    by_ids(root, "gated_cross_attention_interleaved", {"module": "gated_cross_attention", **heads},
           Gated(24, 20, 2, 8), (24, 20, 2, 3), [[1, 2, 7, 3, 4, 7, 5, 5, 6]], True)
    by_ids(root, "gated_cross_attention_stack_interleaved_f16",
           {"module": "gated_cross_attention_stack", "num_heads": 3, "only_attend_immediate_media": False},
           Stack(24, 17, 3, 2), (24, 17, 3, 5), [[7, 1, 7, 2, 7], [1, 1, 1, 1, 1], [1, 7, 1, 7, 1]], False,
           torch.float16)
    by_mask(root, "gated_cross_attention_dense_cross_mask_bf16",
            {"module": "gated_cross_attention_dense", "num_heads": 4}, GatedDense(24, 13, 4), (24, 13, 3),
            [[[1, 0], [0, 1], [1, 1], [0, 0]], [[0, 0], [5, 0], [1, 1], [0, 1]], [[1, 1], [1, 0], [0, 1], [0, 0]]],
            [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1], [1, 0, 1, 1, 1, 0]], torch.bfloat16)
