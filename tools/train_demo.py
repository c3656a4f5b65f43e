#!/usr/bin/env python3
"""Trains the demo's model on drawings that it makes, and writes it as files of clfusion's modules.

    python tools/train_demo.py            # under five minutes on two cores; writes examples/drawings and tests/drawings

A drawing has two of three shapes in two of four colours, side by side or one above the other; its caption says so in
five words: "red circle left of blue square" or "red circle above blue square" ("left of" is one word here).  There are
264 captions.  The model is as small as its parts can be: patches of pixels and words become one width (early_fusion),
a perceiver resampler makes eight latents of the patches, gated cross-attention lets words look at the patches, and a
late-fusion head compares the pooled latents with the pooled words (late_fusion, contrastive).

examples/drawings  the five modules, words.txt (the vocabulary in the order of its ids) and captions.txt
tests/drawings     500 drawings never trained on as one picture, their captions' numbers, and PyTorch's logits

Needs torch, numpy, safetensors and Pillow: tests/oracle/requirements.txt.
"""

import argparse
import itertools
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from export_module import write
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
SEED = 1
SIDE, PATCH, WIDTH, LATENTS, LAYERS, HEADS, EMBED = 64, 8, 64, 8, 3, 4, 32
UNSEEN, ACROSS = 500, 25  # drawings of the test, and how many stand in a row of their picture

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (230, 200, 40)}
SHAPES = ("circle", "square", "triangle")
RELATIONS = ("left of", "above")
WORDS = (*COLOURS, *SHAPES, *RELATIONS)
CAPTIONS = [c for c in itertools.product(COLOURS, SHAPES, RELATIONS, COLOURS, SHAPES) if c[:2] != c[3:]]
IDS = torch.tensor([[WORDS.index(word) for word in caption] for caption in CAPTIONS])

# ---- drawings --------------------------------------------------------------------------------------------------------

Y, X = (np.mgrid[0:SIDE, 0:SIDE] + 0.5).astype(np.float32)
SHAPE_OF = np.array([[SHAPES.index(c[1]), SHAPES.index(c[4])] for c in CAPTIONS])
COLOUR_OF = np.array([[COLOURS[c[0]], COLOURS[c[3]]] for c in CAPTIONS], np.float32)
IS_ABOVE = np.array([c[2] == "above" for c in CAPTIONS])


def cover(shape, x, y, radius):
    """How much of each pixel each shape covers: its distance to the edge, held to 0 .. 1."""
    x, y, r, shape = (v[:, None, None] for v in (x, y, radius, shape))
    circle = r - np.hypot(X - x, Y - y)
    square = 0.88 * r - np.maximum(abs(X - x), abs(Y - y))
    triangle = np.minimum(0.85 * r - (Y - y), 0.88 * (0.54 * (Y - y + r) - abs(X - x)))
    return np.clip(np.where(shape == 0, circle, np.where(shape == 1, square, triangle)) + 0.5, 0, 1)


def draw(captions, rng):
    """Drawings [n, SIDE, SIDE, 3] of these captions: place, size and colour vary."""
    def vary(low, high, *shape):
        return rng.uniform(low, high, (len(captions), *shape)).astype(np.float32)

    above = IS_ABOVE[captions]
    picture = np.broadcast_to(vary(200, 250, 1, 1, 1) + vary(-8, 8, 1, 1, 3), (len(captions), SIDE, SIDE, 3))
    for i, middle in enumerate((17, 47)):
        along, aside = middle + vary(-3, 3), SIDE / 2 + vary(-7, 7)
        x, y = np.where(above, aside, along), np.where(above, along, aside)
        share = cover(SHAPE_OF[captions, i], x, y, vary(9, 13))[..., None]
        colour = COLOUR_OF[captions, i] + vary(-20, 20, 3)
        picture = picture * (1 - share) + share * colour[:, None, None]
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def pixels(drawings):
    return torch.from_numpy(drawings).permute(0, 3, 1, 2).float() / 255


# ---- model: clfusion's modules, under their tensors' names -----------------------------------------------------------

def attention(q, k, v):
    def heads(t):
        return t.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    return F.scaled_dot_product_attention(heads(q), heads(k), heads(v)).transpose(1, 2).flatten(2)


class Early(nn.Module):
    """early_fusion"""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.text_embed = nn.Embedding(len(WORDS), WIDTH)
        self.vision_pos_embed = nn.Parameter(0.3 * torch.randn((SIDE // PATCH) ** 2, WIDTH))
        self.text_pos_embed = nn.Parameter(0.3 * torch.randn(IDS.shape[1], WIDTH))
        self.modality_embed = nn.Parameter(0.1 * torch.randn(2, WIDTH))
        nn.init.normal_(self.text_embed.weight, std=0.5)

    def tokens(self, image):
        return self.patch_embed(image).flatten(2).transpose(1, 2) + self.vision_pos_embed + self.modality_embed[0]

    def words(self, ids):
        return self.text_embed(ids) + self.text_pos_embed + self.modality_embed[1]


class ResamplerLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_norm, self.cross_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        for name in ("self_q", "self_k", "self_v", "cross_q", "cross_k", "cross_v"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH))

    def forward(self, x, v):
        n = self.self_norm(x)
        x = x + attention(self.self_q(n), self.self_k(n), self.self_v(n))
        n = self.cross_norm(x)
        return x + attention(self.cross_q(n), self.cross_k(v), self.cross_v(v))


class Resampler(nn.Module):
    """perceiver_resampler"""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(0.5 * torch.randn(LATENTS, WIDTH))
        for i in range(1, LAYERS + 1):
            setattr(self, f"resampler_{i}", ResamplerLayer())

    def forward(self, v):
        x = self.queries.expand(len(v), -1, -1)
        for i in range(1, LAYERS + 1):
            x = getattr(self, f"resampler_{i}")(x, v)
        return x


class CrossAttention(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, v):
        return self.out_proj(attention(self.q_proj(x), self.k_proj(v), self.v_proj(v)))


class Gated(nn.Module):
    """gated_cross_attention"""

    def __init__(self):
        super().__init__()
        self.layer_norm, self.cross_attn = nn.LayerNorm(WIDTH), CrossAttention()
        self.alpha = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x, v):
        return x + torch.tanh(self.alpha) * self.cross_attn(self.layer_norm(x), v)


class Late(nn.Module):
    """late_fusion"""

    def __init__(self):
        super().__init__()
        self.vision_proj, self.text_proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)


class Contrast(nn.Module):
    """contrastive"""

    def __init__(self):
        super().__init__()
        self.visual_projection = nn.Linear(WIDTH, EMBED, bias=False)
        self.text_projection = nn.Linear(WIDTH, EMBED, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.early, self.resampler, self.gated = Early(), Resampler(), Gated()
        self.late, self.contrast = Late(), Contrast()

    def forward(self, image, ids):
        """Logits [B, C] of C captions for each picture; ids [B, C, words]."""
        B, C, T = ids.shape
        tokens = self.early.tokens(image)
        words = self.gated(self.early.words(ids).reshape(B, C * T, WIDTH), tokens).view(B, C, T, WIDTH)
        picture = self.late.vision_proj(self.resampler(tokens).mean(1))
        caption = self.late.text_proj(words.mean(2))
        picture = F.normalize(self.contrast.visual_projection(picture), dim=-1)
        caption = F.normalize(self.contrast.text_projection(caption), dim=-1)
        return self.contrast.logit_scale.exp() * torch.einsum("bd,bcd->bc", picture, caption)


OPTIONS = {
    "early": ("early_fusion", {"dim": WIDTH, "patch_size": PATCH, "vocab_size": len(WORDS)}),
    "resampler": ("perceiver_resampler", {"vision_dim": WIDTH, "output_dim": WIDTH, "num_queries": LATENTS,
                                          "num_layers": LAYERS, "num_heads": HEADS}),
    "gated": ("gated_cross_attention", {"text_dim": WIDTH, "vision_dim": WIDTH, "num_heads": HEADS,
                                        "head_dim": WIDTH // HEADS}),
    "late": ("late_fusion", {"vision_dim": WIDTH, "text_dim": WIDTH, "dim": WIDTH}),
    "contrast": ("contrastive", {}),
}

# ---- training --------------------------------------------------------------------------------------------------------

def near_misses():
    """Of each caption those that differ in one word, and those with colours, shapes or both exchanged."""
    number = {caption: i for i, caption in enumerate(CAPTIONS)}
    rows = []
    for c in CAPTIONS:
        row = [i for i, other in enumerate(CAPTIONS) if sum(a != b for a, b in zip(c, other)) == 1]
        swaps = ((c[3], c[1], c[2], c[0], c[4]), (c[0], c[4], c[2], c[3], c[1]), (*c[3:], c[2], *c[:2]))
        row += [number[s] for s in swaps if s in number and s != c]
        rows.append((row * 2)[:14])
    return torch.tensor(rows)


def train(seconds, steps, batch=64, others=9, rate=3e-3):
    """Cross-entropy of the right caption against its near misses and some others."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model, near = Model(), near_misses()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    start = time.time()

    def fresh(count):
        captions = rng.integers(0, len(CAPTIONS), count)
        return pixels(draw(captions, rng)), torch.from_numpy(captions)

    pools = [fresh(1024) for _ in range(8)]
    for step in range(steps):
        done = max(step / steps, (time.time() - start) / seconds)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * done))
        if step % 40 == 0:
            pools[step // 40 % 8] = fresh(1024)
        images, captions = pools[rng.integers(8)]
        chosen = torch.from_numpy(rng.integers(0, 1024, batch))
        right = captions[chosen]
        more = torch.from_numpy(rng.integers(0, len(CAPTIONS), (batch, others)))
        candidates = torch.cat([right[:, None], near[right], more], dim=1)
        again = candidates == right[:, None]
        again[:, 0] = False
        logits = model(images[chosen], IDS[candidates]).masked_fill(again, -1e4)
        loss = F.cross_entropy(logits, torch.zeros(batch, dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 200 == 0:
            print(f"step {step}, {time.time() - start:.0f} s: loss {loss.item():.4f}", flush=True)
    print(f"{step} steps in {time.time() - start:.0f} s")
    return model.eval()


# ---- files -----------------------------------------------------------------------------------------------------------

def write_model(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (module, options) in OPTIONS.items():
        file = folder / f"{name}.safetensors"
        file.unlink(missing_ok=True)
        write(module, {k: v.contiguous() for k, v in getattr(model, name).state_dict().items()}, options, file)
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "captions.txt").write_text("\n".join(" ".join(str(int(i)) for i in ids) for ids in IDS) + "\n")


def write_test(model, folder):
    """Drawings that no training run has seen: other random numbers."""
    rng = np.random.default_rng(SEED + 1)
    captions = rng.integers(0, len(CAPTIONS), UNSEEN)
    drawings = draw(captions, rng)
    with torch.no_grad():
        logits = torch.cat([model(pixels(d[None]), IDS[None]) for d in drawings])
    right = (logits.argmax(1).numpy() == captions).mean()
    folder.mkdir(parents=True, exist_ok=True)
    sheet = drawings.reshape(-1, ACROSS, SIDE, SIDE, 3).swapaxes(1, 2).reshape(-1, ACROSS * SIDE, 3)
    Image.fromarray(sheet).save(folder / "unseen.png", optimize=True)
    np.save(folder / "captions.npy", captions.astype(np.int64))
    np.save(folder / "logits.npy", logits.numpy())
    return right, drawings, captions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=270)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--examples", type=Path, default=ROOT / "examples/drawings")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests/drawings")
    options = parser.parse_args()

    model = train(options.seconds, options.steps)
    write_model(model, options.examples)
    right, drawings, captions = write_test(model, options.tests)
    Image.fromarray(drawings[0]).save(options.examples / "scene.png", optimize=True)
    print(f"{100 * right:.1f} % of {UNSEEN} unseen drawings have the right caption of {len(CAPTIONS)} on top")
    (options.examples / "scene.txt").write_text(" ".join(CAPTIONS[captions[0]]) + "\n")


if __name__ == "__main__":
    main()
