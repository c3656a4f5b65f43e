#!/usr/bin/env python3
"""Trains the demo's model on drawings that it makes, and writes it as files of clfusion's modules.

    python tools/train_demo.py            # about four minutes on one core; writes examples/drawings and tests/drawings

A drawing has two of three shapes in two of four colours, side by side or one above the other; its caption says so in
six words: "red ring left, blue square right" or "red ring top, blue square bottom".  There are 264 captions.  The
model is as small as its parts can be:

    early      patches of pixels, and words, become one width (early_fusion)
    patches_K  two blocks in which patches look at each other, so that a patch knows the shape it is part of
               (cross_attention_fusion, text and vision the same)
    resampler  eight latents of the patches (perceiver_resampler)
    gated      words look at the patches (gated_cross_attention)
    late       the mean of the latents and the mean of the words, projected (late_fusion)
    contrast   compared (contrastive)
    relevance  where a drawing matters to a phrase, by colour and place: the module knows no shapes (relevance)

The loss is the cross-entropy of the right caption among all, and that of the words' attention, which should lie on the
object that a word names, on each patch as much as the patch has of it: captions can be told apart by the latents alone,
so nothing else makes a word look at what it names.  Each word is asked in both phrases, so that "ring" has to find the
ring and not just the object that its phrase is mostly about.  Patches learn the shape that they are part of sooner when
they are asked for it: a linear head that is thrown away.

examples/drawings  the modules, words.txt (the vocabulary in the order of its ids) and captions.txt
tests/drawings     500 drawings never trained on as one picture, their captions' numbers, and PyTorch's logits

Needs torch, numpy, safetensors, Pillow and kornia: tests/oracle/requirements.txt.
"""

import argparse
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from export_module import write
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/oracle"))
from make_relevance import Relevance, textures_of  # noqa: E402

SEED = 1
SIDE, PATCH, WIDTH, LATENTS, LAYERS, HEADS, EMBED = 64, 8, 64, 8, 3, 4, 32
BLOCKS, GRID, KEPT = 2, 16, 32  # of relevance: cells on a side, and how many are chosen
UNSEEN, ACROSS = 500, 25  # drawings of the test, and how many stand in a row of their picture

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (230, 200, 40)}
SHAPES = ("ring", "square", "cross")
PLACES = (("left", "right"), ("top", "bottom"))
WORDS = (*COLOURS, *SHAPES, *itertools.chain(*PLACES))
OBJECTS = tuple(itertools.product(COLOURS, SHAPES))
CAPTIONS = [(*a, p, *b, q) for a in OBJECTS for p, q in PLACES for b in OBJECTS if a != b]
IDS = torch.tensor([[WORDS.index(word) for word in caption] for caption in CAPTIONS])
KINDS = {"colour": COLOURS, "shape": SHAPES, "place": sum(PLACES, ())}  # words 0, 1 and 2 of a phrase

# ---- drawings --------------------------------------------------------------------------------------------------------

Y, X = (np.mgrid[0:SIDE, 0:SIDE] + 0.5).astype(np.float32)
SHAPE_OF = np.array([[SHAPES.index(c[1]), SHAPES.index(c[4])] for c in CAPTIONS])
COLOUR_OF = np.array([[COLOURS[c[0]], COLOURS[c[3]]] for c in CAPTIONS], np.float32)
IS_ABOVE = np.array([c[2] == "top" for c in CAPTIONS])


def cover(shape, x, y, radius):
    """How much of each pixel each shape covers: its distance to the edge, held to 0 .. 1."""
    x, y, r, shape = (v[:, None, None] for v in (x, y, radius, shape))
    across, along = abs(X - x), abs(Y - y)
    ring = 0.25 * r - abs(np.hypot(across, along) - 0.75 * r)
    square = 0.88 * r - np.maximum(across, along)
    cross = np.minimum(r - np.maximum(across, along), 0.3 * r - np.minimum(across, along))
    return np.clip(np.where(shape == 0, ring, np.where(shape == 1, square, cross)) + 0.5, 0, 1)


def draw(captions, rng):
    """Drawings [n, SIDE, SIDE, 3] of these captions, in which place, size and colour vary, and how much of each pixel
    belongs to the first and to the second object [n, 2, SIDE, SIDE]."""
    def vary(low, high, *shape):
        return rng.uniform(low, high, (len(captions), *shape)).astype(np.float32)

    above = IS_ABOVE[captions]
    picture = np.broadcast_to(vary(200, 250, 1, 1, 1) + vary(-8, 8, 1, 1, 3), (len(captions), SIDE, SIDE, 3))
    objects = []
    for i, middle in enumerate((16, 48)):
        along, aside = middle + vary(-3, 3), SIDE / 2 + vary(-10, 10)
        x, y = np.where(above, aside, along), np.where(above, along, aside)
        objects.append(cover(SHAPE_OF[captions, i], x, y, vary(9, 13)))
        colour = COLOUR_OF[captions, i] + vary(-20, 20, 3)
        share = objects[i][..., None]
        picture = picture * (1 - share) + share * colour[:, None, None]
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), np.stack(objects, 1)


def pixels(drawings):
    return torch.from_numpy(drawings).permute(0, 3, 1, 2).float() / 255


def cells(objects, side):
    """The share of each cell of a side x side grid that an object covers: [n, 2, side * side]."""
    return F.adaptive_avg_pool2d(torch.from_numpy(objects), side).flatten(2)


# ---- model: clfusion's modules, under their tensors' names -----------------------------------------------------------

def split(t):
    return t.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def attention(q, k, v):
    return F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)


def places(side, width):
    """Sine and cosine of row and column [side * side, width]: a neighbour is then a rotation away, which attention
    finds sooner than among random vectors."""
    rate = math.pi * 0.5 ** torch.linspace(0, 3, width // 4)
    row, column = (t[..., None] * rate for t in torch.meshgrid(*2 * (torch.arange(float(side)),), indexing="ij"))
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], -1).flatten(0, 1)


class Early(nn.Module):
    """early_fusion"""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.text_embed = nn.Embedding(len(WORDS), WIDTH)
        self.vision_pos_embed = nn.Parameter(0.5 * places(SIDE // PATCH, WIDTH))
        self.text_pos_embed = nn.Parameter(0.3 * torch.randn(IDS.shape[1], WIDTH))
        self.modality_embed = nn.Parameter(0.1 * torch.randn(2, WIDTH))
        nn.init.normal_(self.text_embed.weight, std=0.5)

    def tokens(self, image):
        return self.patch_embed(image).flatten(2).transpose(1, 2) + self.vision_pos_embed + self.modality_embed[0]

    def words(self, ids, positions=slice(None)):
        return self.text_embed(ids) + self.text_pos_embed[positions] + self.modality_embed[1]


class Block(nn.Module):
    """cross_attention_fusion"""

    def __init__(self):
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.ffn = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x, v):
        q, k, v = (F.linear(t, w, b) for t, w, b in zip((x, v, v), self.cross_attn.in_proj_weight.chunk(3),
                                                        self.cross_attn.in_proj_bias.chunk(3)))
        x = self.norm(x + self.cross_attn.out_proj(attention(q, k, v)))
        return self.norm(x + self.ffn(x))


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
        q, k = split(self.q_proj(x)), split(self.k_proj(v))
        weights = (q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)).softmax(-1)
        return self.out_proj((weights @ split(self.v_proj(v))).transpose(1, 2).flatten(2)), weights


class Gated(nn.Module):
    """gated_cross_attention"""

    def __init__(self):
        super().__init__()
        self.layer_norm, self.cross_attn = nn.LayerNorm(WIDTH), CrossAttention()
        self.alpha = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x, v):
        y, weights = self.cross_attn(self.layer_norm(x), v)
        return x + torch.tanh(self.alpha) * y, weights


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


# Cross-attention knows no neighbours, so a word's row is the same in all captions that have it in this place: a slot.
SLOTS = [(j + first, WORDS.index(word)) for first in (0, 3) for j, kind in enumerate(KINDS) for word in KINDS[kind]]
SLOT_POSITION, SLOT_WORD = torch.tensor(SLOTS).T
SLOT_OF = torch.tensor([[SLOTS.index((j, int(word))) for j, word in enumerate(ids)] for ids in IDS])
MEAN_OF = F.one_hot(SLOT_OF, len(SLOTS)).float().mean(1)


def named_by(slot, caption):
    """The object that a word names in a drawing of a caption, (1, 0) or (0, 1); (0, 0) for none.  Of two that it could
    mean it is the one that the word's phrase is about; of one it is that one, in whichever phrase the word stands."""
    position, word = slot
    said_of = [word in caption[:3].tolist(), word in caption[3:].tolist()]
    if all(said_of):
        said_of[1 - position // 3] = False
    return said_of


NAMED = torch.tensor([[named_by(slot, ids) for slot in SLOTS] for ids in IDS]).float()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.early, self.resampler, self.gated = Early(), Resampler(), Gated()
        self.late, self.contrast = Late(), Contrast()
        for i in range(1, BLOCKS + 1):
            setattr(self, f"patches_{i}", Block())
        self.relevance = Relevance(WIDTH)

    def forward(self, image):
        """Logits [B, C] of all captions for each picture, how each slot looks at the patches [B, slots, N], and the
        patches [B, N, WIDTH]."""
        tokens = self.early.tokens(image)
        for i in range(1, BLOCKS + 1):
            tokens = getattr(self, f"patches_{i}")(tokens, tokens)
        words = self.early.words(SLOT_WORD, SLOT_POSITION).expand(len(image), -1, -1)
        seen, weights = self.gated(words, tokens)
        picture = self.late.vision_proj(self.resampler(tokens).mean(1))
        caption = self.late.text_proj(MEAN_OF @ seen)
        picture = F.normalize(self.contrast.visual_projection(picture), dim=-1)
        caption = F.normalize(self.contrast.text_projection(caption), dim=-1)
        return self.contrast.logit_scale.exp() * torch.einsum("bd,bcd->bc", picture, caption), weights.mean(1), tokens


OPTIONS = {
    "early": ("early_fusion", {"dim": WIDTH, "patch_size": PATCH, "vocab_size": len(WORDS)}),
    **{f"patches_{i}": ("cross_attention_fusion", {"d_model": WIDTH, "nhead": HEADS}) for i in range(1, BLOCKS + 1)},
    "resampler": ("perceiver_resampler", {"vision_dim": WIDTH, "output_dim": WIDTH, "num_queries": LATENTS,
                                          "num_layers": LAYERS, "num_heads": HEADS}),
    "gated": ("gated_cross_attention", {"text_dim": WIDTH, "vision_dim": WIDTH, "num_heads": HEADS,
                                        "head_dim": WIDTH // HEADS}),
    "late": ("late_fusion", {"vision_dim": WIDTH, "text_dim": WIDTH, "dim": WIDTH}),
    "contrast": ("contrastive", {}),
    "relevance": ("relevance", {"grid": GRID, "k": KEPT, "scale": "picture"}),
}

# ---- training --------------------------------------------------------------------------------------------------------

def fresh(count, rng):
    """Pixels, numbers of the captions, where each slot's word should look [count, slots, N]: at what it names, at each
    patch as much as it has of it, 0 where it names nothing; and the shape that each patch is part of [count, N], -1
    where an object has less than a quarter of it."""
    captions = rng.integers(0, len(CAPTIONS), count)
    drawings, objects = draw(captions, rng)
    shares = cells(objects, SIDE // PATCH)
    largest, object_of = shares.max(1)
    part_of = torch.from_numpy(SHAPE_OF[captions]).gather(1, object_of).masked_fill(largest < 0.25, -1)
    return pixels(drawings), torch.from_numpy(captions), NAMED[captions] @ F.normalize(shares, p=1, dim=-1), part_of


def train(steps, batch=64, rate=2.5e-3):
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model, head = Model(), nn.Linear(WIDTH, len(SHAPES))
    trained = [p for name, p in model.named_parameters() if not name.startswith("relevance")] + [*head.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=1e-4)
    start = time.time()
    pools = [fresh(1024, rng) for _ in range(8)]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))
        if step % 40 == 0:
            pools[step // 40 % 8] = fresh(1024, rng)
        chosen = torch.from_numpy(rng.integers(0, 1024, batch))
        images, right, named, part_of = (part[chosen] for part in pools[rng.integers(8)])
        logits, weights, tokens = model(images)
        naming = F.cross_entropy(logits, right)
        looking = -(named * (weights + 1e-6).log()).sum() / named.sum()
        shaping = F.cross_entropy(head(tokens).flatten(0, 1), part_of.flatten(), ignore_index=-1)
        optimiser.zero_grad()
        (naming + looking + shaping).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step}, {time.time() - start:.0f} s: loss {naming.item():.4f} of naming, {looking.item():.4f} "
                  f"of looking, {shaping.item():.4f} of shapes", flush=True)
    return model.eval()

# ---- relevance: trained last, on the phrases of the trained model ----------------------------------------------------

def phrases(model, captions, which):
    """Mean of the words' rows behind late fusion's projection [n, WIDTH]: of the whole caption (which 0), or of the
    phrase of its first or second object (1, 2) by itself."""
    ids = IDS[captions]
    halves = torch.where((which == 2)[:, None], ids[:, 3:], ids[:, :3])
    means = torch.where((which == 0)[:, None], model.early.words(ids).mean(1),
                        model.early.words(halves, slice(3)).mean(1))
    return model.late.text_proj(means)


def train_relevance(model, steps=2000, batch=32, rate=5e-3):
    """The balanced map should be 1 on what the query names and 0 elsewhere."""
    rng = np.random.default_rng(SEED + 2)
    captions = rng.integers(0, len(CAPTIONS), 768)
    drawings, objects = draw(captions, rng)
    textures = torch.cat([textures_of(part, GRID, "picture") for part in pixels(drawings).split(64)])
    covered = cells(objects, GRID)
    optimiser = torch.optim.AdamW(model.relevance.parameters(), lr=rate, weight_decay=1e-4)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen, which = rng.integers(0, len(captions), batch), torch.from_numpy(rng.integers(0, 3, batch))
        with torch.no_grad():
            query = phrases(model, captions[chosen], which)
        both = covered[chosen]
        wanted = torch.where((which == 0)[:, None], both.sum(1), both[torch.arange(batch), (which == 2).long()])
        found = model.relevance.maps(textures[chosen], query, "picture")[3].flatten(1)
        loss = F.binary_cross_entropy(found.clamp(1e-4, 1 - 1e-4), wanted.clamp(0, 1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 500 == 499:
            print(f"relevance, step {step + 1}: loss {loss.item():.4f}", flush=True)


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
    drawings, objects = draw(captions, rng)
    with torch.no_grad():
        logits, weights, _ = (torch.cat(part) for part in zip(*(model(pixels(d[None])) for d in drawings)))
    folder.mkdir(parents=True, exist_ok=True)
    sheet = drawings.reshape(-1, ACROSS, SIDE, SIDE, 3).swapaxes(1, 2).reshape(-1, ACROSS * SIDE, 3)
    Image.fromarray(sheet).save(folder / "unseen.png", optimize=True)
    np.save(folder / "captions.npy", captions.astype(np.int64))
    np.save(folder / "logits.npy", logits.numpy())

    right = (logits.argmax(1).numpy() == captions).mean()
    print(f"{100 * right:.1f} % of {UNSEEN} unseen drawings have the right caption of {len(CAPTIONS)} on top")
    on = torch.einsum("bsn,bon,bso->bs", weights, (cells(objects, SIDE // PATCH) >= 0.125).float(), NAMED[captions])
    for kind, words in KINDS.items():
        slots = torch.tensor([WORDS[word] in words for _, word in SLOTS])
        share = on[:, slots].sum() / NAMED[captions][:, slots].sum()
        print(f"attention of {kind} words on what they name: {100 * share:.1f} %")
    return drawings, captions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--examples", type=Path, default=ROOT / "examples/drawings")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests/drawings")
    options = parser.parse_args()

    torch.set_num_threads(1)  # the same bits with any number of cores
    model = train(options.steps)
    train_relevance(model)
    write_model(model, options.examples)
    drawings, captions = write_test(model, options.tests)
    scene = next(i for i, c in enumerate(captions) if not set(CAPTIONS[c][:2]) & set(CAPTIONS[c][3:5]))
    Image.fromarray(drawings[scene]).save(options.examples / "scene.png", optimize=True)
    words = CAPTIONS[captions[scene]]
    (options.examples / "scene.txt").write_text(f"{' '.join(words[:3])}, {' '.join(words[3:])}\n")
    print(f"{time.process_time():.0f} s of processor time")


if __name__ == "__main__":
    main()
