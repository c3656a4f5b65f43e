"""Early fusion: pictures or features, then text, composed from torch."""

import torch
from case import Case

nn = torch.nn


class Early(nn.Module):
    def __init__(self, D, patch=0, channels=3, Dv=0, vocabulary=0, positions=(0, 0), modalities=True, bias=True):
        super().__init__()
        self.patch_embed = nn.Conv2d(channels, D, patch, patch, bias=bias) if patch else None
        self.vision_proj = nn.Linear(Dv, D) if Dv else None
        self.text_embed = nn.Embedding(vocabulary, D) if vocabulary else None
        self.vision_pos_embed = nn.Parameter(torch.empty(positions[0], D)) if positions[0] else None
        self.text_pos_embed = nn.Parameter(torch.empty(positions[1], D)) if positions[1] else None
        self.modality_embed = nn.Parameter(torch.empty(2, D)) if modalities else None

    def added(self, x, positions, modality):
        if positions is not None:
            x = x + positions[: x.shape[1]]
        return x if self.modality_embed is None else x + self.modality_embed[modality]

    def tokens(self, vision):
        if self.patch_embed is not None:
            vision = self.patch_embed(vision).flatten(2).transpose(1, 2)
        elif self.vision_proj is not None:
            vision = self.vision_proj(vision)
        return self.added(vision, self.vision_pos_embed, 0)

    def forward(self, vision, text):
        words = text if self.text_embed is None else self.text_embed(text)
        return torch.cat([self.tokens(vision), self.added(words, self.text_pos_embed, 1)], dim=1)


def early(root, name, module, shape, T, config=None, dtype=torch.float32, masks=False):
    case = Case(root, name)
    case.randomise(module, dtype)
    case.keep(module, "")
    case.config({"model_type": "clfusion", "module": "early_fusion", **(config or {})})
    case.save()
    B = shape[0]
    vision = case.give("image" if module.patch_embed is not None else "vision", case.normal(*shape))
    with torch.no_grad():
        tokens = case.expect("tokens", module.tokens(vision))
    N, D = tokens.shape[1:]
    if module.text_embed is not None:
        rows = module.text_embed.num_embeddings
        text = case.give("text_ids", torch.randint(0, rows, (B, T), generator=case.generator))
    else:
        text = case.give("text", case.normal(B, T, D))
    with torch.no_grad():
        fused = case.expect("fused", module(vision, text))
    case.expect("hidden", fused[:, N:])
    if masks:
        both = []
        for side, count in (("vision", N), ("text", T)):
            mask = torch.rand(B, count, generator=case.generator) < 0.7
            both.append(case.give(f"{side}_mask", mask))
        case.expect("mask", torch.cat(both, dim=1).long())


def make(root):
    early(root, "early_fusion_pixels", Early(24, patch=4, vocabulary=11, positions=(9, 8)), (1, 3, 8, 12), 5,
          {"dim": 24, "patch_size": 4, "vocab_size": 11})
    early(root, "early_fusion_masks", Early(19, patch=3, channels=1, vocabulary=7, positions=(4, 0), bias=False),
          (3, 1, 6, 6), 4, masks=True)
    early(root, "early_fusion_features", Early(33, Dv=21, positions=(0, 6)), (3, 5, 21), 6)
    early(root, "early_fusion_bare", Early(16, positions=(7, 3), modalities=False), (1, 7, 16), 2, dtype=torch.float16)
