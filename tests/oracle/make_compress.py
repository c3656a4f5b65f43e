"""Compression: pooling, merging of cells, convolutions, visual vocabularies."""

import torch
from case import Case
from torch.nn import functional as F
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector
from transformers.models.internvl.modeling_internvl import InternVLModel
from transformers.models.ovis2.modeling_ovis2 import Ovis2VisualEmbeddingTable

nn = torch.nn


def case_of(root, name, options, metadata=False):
    case = Case(root, name)
    case.dtype = torch.float32
    case.options = {"model_type": "clfusion", **options}
    case.metadata = metadata
    return case


def save(case):
    """The tensors kept so far, with the options where they belong."""
    if case.metadata:
        case.save(case.options)
    else:
        case.config(case.options)
        case.save()


def pictures(case, B, grids, C, dtype=torch.float32, ragged=False):
    """vision [B, N, C], and as [1, C, H, W] for each picture; grids: one, or one of each picture."""
    H, W = grids[0]
    vision = case.give("vision", case.normal(B, H * W, C).to(dtype)).float()
    if ragged:
        case.give("grid", torch.tensor(grids))
    elif H != W:
        case.give("grid", torch.tensor(grids[0]))
    maps = [v.T.reshape(1, C, *grids[b % len(grids)]) for b, v in enumerate(vision)]
    return vision, maps


def tokens_of(maps):
    return torch.cat([m.flatten(2).transpose(1, 2) for m in maps])


def pool(root, name, options, B, grids, C, to, dtype=torch.float32, metadata=False):
    case = case_of(root, name, {"module": "adaptive_avg_pool", **options}, metadata)
    save(case)
    _, maps = pictures(case, B, grids, C, dtype, ragged=len(grids) > 1)
    case.expect("tokens", tokens_of([nn.AdaptiveAvgPool2d(to)(m) for m in maps]))


def shuffle_internvl(m, r):
    """InternVL's own, on [B, rows, columns, C]; its last step swaps the tokens back."""
    return InternVLModel.pixel_shuffle(None, m.permute(0, 2, 3, 1), 1 / r).flatten(1, 2)


def shuffle_idefics(m, r):
    return Idefics3Connector.pixel_shuffle(None, m.flatten(2).transpose(1, 2), r)


def unfold(m, r):
    """Mistral 3's merging is F.unfold of a picture."""
    return F.unfold(m, r, stride=r).transpose(1, 2)


def regroup(root, name, module, r, reference, B, grids, C, dtype=torch.float32, metadata=False):
    case = case_of(root, name, {"module": module, "factor": r}, metadata)
    save(case)
    _, maps = pictures(case, B, grids, C, dtype, ragged=len(grids) > 1)
    case.expect("tokens", torch.cat([reference(m, r) for m in maps]))


def make_regroups(root):
    regroup(root, "pixel_shuffle_internvl", "pixel_shuffle", 2, shuffle_internvl, 1, [(4, 4)], 12)
    regroup(root, "pixel_shuffle_idefics3", "pixel_shuffle", 3, shuffle_idefics, 3, [(9, 9)], 7, torch.float16, True)
    regroup(root, "pixel_shuffle_grid", "pixel_shuffle", 2, shuffle_internvl, 3, [(2, 6)], 17)
    regroup(root, "unfold_merge_basic", "unfold_merge", 2, unfold, 1, [(6, 6)], 19)
    regroup(root, "unfold_merge_grids", "unfold_merge", 3, unfold, 3, [(3, 12), (6, 6), (12, 3)], 10)


def make_pools(root):
    module = {"target_tokens": 9}
    pool(root, "adaptive_avg_pool_square", module, 1, [(7, 7)], 20, (3, 3))
    pool(root, "adaptive_avg_pool_grid_f16", {"target_grid": [3, 2]}, 3, [(5, 8)], 17, (3, 2), torch.float16, True)
    pool(root, "adaptive_avg_pool_larger", {"target_grid": 5}, 1, [(3, 4)], 9, (5, 5))
    module = {"target_grid": [2, 3], "target_tokens": 6}
    pool(root, "adaptive_avg_pool_grids", module, 3, [(4, 9), (6, 6), (12, 3)], 11, (2, 3))


class Convolutions(nn.Module):
    """DeepSeek-OCR's way from SAM to CLIP, and its projection."""

    def __init__(self, Dv, mid, dim, out):
        super().__init__()
        self.conv1 = nn.Conv2d(Dv, mid, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(mid, dim, 3, stride=2, padding=1, bias=False)
        self.proj = nn.Linear(dim, out)

    def forward(self, x):
        return self.proj(tokens_of([self.conv2(self.conv1(x))]))


def convolutions(root, name, widths, B, grids, dtype=torch.float32, metadata=False, options=True):
    keys = dict(zip(("vision_dim", "mid_dim", "dim", "output_dim"), widths)) if options else {}
    case = case_of(root, name, {"module": "conv_compress", **keys}, metadata)
    module = case.randomise(Convolutions(*widths), dtype)
    case.keep(module, "")
    save(case)
    _, maps = pictures(case, B, grids, widths[0], ragged=len(grids) > 1)
    with torch.no_grad():
        case.expect("tokens", torch.cat([module(m) for m in maps]))


def make_convolutions(root):
    convolutions(root, "conv_compress_square", (7, 12, 20, 9), 1, [(8, 8)])
    convolutions(root, "conv_compress_odd_f16", (16, 9, 11, 24), 3, [(5, 7)], torch.float16, metadata=True)
    convolutions(root, "conv_compress_grids_bf16", (5, 8, 8, 6), 3, [(3, 4), (4, 3), (3, 4)], torch.bfloat16)
    convolutions(root, "conv_compress_one", (4, 6, 5, 3), 1, [(1, 1)], options=False)


def vocabulary(root, name, mode, B, N, Dv, V, Dt, dtype=torch.float32, metadata=False, options=None):
    case = case_of(root, name, {"module": "visual_vocabulary", "mode": mode, **(options or {})}, metadata)
    head = case.randomise(nn.Linear(Dv, V, bias=False), dtype)
    table = case.randomise(Ovis2VisualEmbeddingTable(V, Dt), dtype)
    with torch.no_grad():
        head.weight.mul_(2)  # so that a few entries stand out
    case.keep(head, "head.")
    case.keep(table, "table.")
    save(case)
    vision = case.give("vision", case.normal(B, N, Dv))
    with torch.no_grad():
        logits = head(vision)
        chosen = F.one_hot(logits.argmax(-1), V).float() if mode == "argmax" else logits.softmax(-1, torch.float32)
        case.expect("tokens", table(chosen))


def make_vocabularies(root):
    options = {"vision_dim": 24, "vocab_size": 200, "llm_dim": 18}
    vocabulary(root, "visual_vocabulary_softmax", "softmax", 1, 5, 24, 200, 18, options=options)
    vocabulary(root, "visual_vocabulary_softmax_bf16", "softmax", 3, 7, 17, 33, 29, torch.bfloat16, metadata=True)
    vocabulary(root, "visual_vocabulary_argmax_f16", "argmax", 3, 5, 19, 65, 12, torch.float16)
    vocabulary(root, "visual_vocabulary_argmax_one", "argmax", 1, 7, 21, 131, 9, metadata=True)
    vocabulary(root, "visual_vocabulary_blocks", "softmax", 1, 3, 4, 5000, 3, torch.float16)


def make(root):
    make_pools(root)
    make_regroups(root)
    make_convolutions(root)
    make_vocabularies(root)
