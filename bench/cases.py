"""The cases of compare.py by name, and its suite."""
import sys

import numpy as np
import torch
from torch import nn

import clf_modules
from case import Case, TopKCase, values, vary
from cases_attention import (idefics2_perceiver, mllama_cross, openflamingo_gated, openflamingo_perceiver,
                             post_norm_fusion, qformer)
from cores import ROOT


# ---- projectors ---------------------------------------------------------------------------------------------------

def linear(tokens, width, out, config, name, family=None):
    return Case(nn.Linear(width, out), {"vision": values(1, tokens, width)}, config,
                {"weight": name + ".weight", "bias": name + ".bias"}, family)


def llava_1_0():
    return linear(576, 1024, 4096, {"model_type": "llava_llama", "mm_projector_type": "linear", "mm_hidden_size": 1024,
                                    "hidden_size": 4096}, "model.mm_projector", "llava_original")


def mlp_names(prefix, first, second, norm=None):
    names = {f"{layer}.{kind}": f"{prefix}.{name}.{kind}" for layer, name in ((first, "linear_1"), (second, "linear_2"))
             for kind in ("weight", "bias")}
    return names | ({f"0.{kind}": f"{prefix}.{norm}.{kind}" for kind in ("weight", "bias")} if norm else {})


def llava_1_5(hidden):
    return Case(nn.Sequential(nn.Linear(1024, hidden), nn.GELU(), nn.Linear(hidden, hidden)),
                {"vision": values(1, 576, 1024)},
                {"model_type": "llava", "vision_config": {"hidden_size": 1024}, "text_config": {"hidden_size": hidden},
                 "projector_hidden_act": "gelu"}, mlp_names("multi_modal_projector", 0, 2), goal=0.85)


def norm_mlp(tokens, width, hidden, layers):
    """ViP-LLaVA's projector: `layers` of the tower side by side, a norm over all of them, the MLP."""
    module = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
    return Case(vary(module), {"vision": values(1, tokens, width)},
                {"model_type": "vipllava", "vision_config": {"hidden_size": width // len(layers)},
                 "text_config": {"hidden_size": hidden}, "vision_feature_layers": layers,
                 "projector_hidden_act": "gelu"},
                mlp_names("multi_modal_projector", 1, 3, "projector_layernorm"))


class PatchMerger(nn.Module):
    """Qwen2-VL's: each token normalised, four side by side, an MLP; names as in its checkpoint."""

    def __init__(self, width, out):
        super().__init__()
        self.ln_q = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(4 * width, 4 * width), nn.GELU(), nn.Linear(4 * width, out))

    def forward(self, vision):
        return self.mlp(self.ln_q(vision).reshape(vision.shape[0], -1, 4 * vision.shape[2]))


def qwen2_vl_merger():
    def connect(library, case, storage):
        return clf_modules.Merger(library, case.weights(), 4, case.inputs["vision"], storage)

    return Case(vary(PatchMerger(1280, 3584)), {"vision": values(1, 1024, 1280)}, connect=connect)


def paligemma():
    return linear(256, 1152, 2048, {"model_type": "paligemma", "projection_dim": 2048,
                                    "vision_config": {"hidden_size": 1152, "projection_dim": 2048}},
                  "multi_modal_projector.linear")


def fuyu():
    return linear(24 * 43, 2700, 4096, {"model_type": "fuyu", "patch_size": 30, "num_channels": 3, "hidden_size": 4096,
                                        "text_config": {"hidden_size": 4096}}, "vision_embed_tokens")


# ---- pooling ------------------------------------------------------------------------------------------------------

class GridPool(nn.Module):
    def __init__(self, side, to):
        super().__init__()
        self.side, self.pool = side, nn.AdaptiveAvgPool2d(to)

    def forward(self, vision):
        grid = vision.transpose(1, 2).unflatten(2, (self.side, self.side))
        return self.pool(grid).flatten(2).transpose(1, 2).contiguous()


def pool(batch=8, side=48, width=1024, to=24):
    inputs = {"vision": values(batch, side * side, width)}
    return Case(GridPool(side, to), inputs, {"model_type": "clfusion", "module": "adaptive_avg_pool",
                                             "target_grid": [to, to]},
                bound="read", traffic=(0, 4 * batch * (side * side + to * to) * width), goal=None)


# ---- the best of many ---------------------------------------------------------------------------------------------

class Contrast(nn.Module):
    """CLIP's last part, and the k best texts of each picture."""

    def __init__(self, image_width, text_width, width, k):
        super().__init__()
        self.visual_projection = nn.Linear(image_width, width, bias=False)
        self.text_projection = nn.Linear(text_width, width, bias=False)
        self.logit_scale, self.k = nn.Parameter(torch.tensor(4.6052)), k

    def scores(self, vision, text):
        images, texts = self.visual_projection(vision), self.text_projection(text)
        images = images / images.norm(dim=-1, keepdim=True)
        texts = texts / texts.norm(dim=-1, keepdim=True)
        return (self.logit_scale.exp() * images @ texts.T).softmax(-1)

    def exact(self, vision, text):
        scores = self.double().scores(vision.double(), text.double())
        self.float()
        return scores

    def forward(self, vision, text):
        return torch.topk(self.scores(vision, text), self.k)


def clip_top_k(images=512, texts=2048, k=5):
    return TopKCase(Contrast(1024, 768, 768, k), {"vision": values(images, 1024), "text": values(texts, 768, seed=2)},
                    {"model_type": "clfusion", "module": "contrastive", "k": k}, outputs=("values", "indices"),
                    limit=1e-4)  # cosines times a hundred, and then exp


class Search(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def exact(self, queries, stored):
        return torch.cat([queries.double() @ rows.double().T for rows in stored.split(1 << 16)], -1)

    def forward(self, queries, stored):
        return torch.topk(queries @ stored.T, self.k)


def unit_rows(rows, width, seed, into=None):
    """Unit vectors, made in pieces."""
    random = np.random.default_rng(seed)
    into = np.empty((rows, width), np.float32) if into is None else into
    for begin in range(0, rows, 1 << 16):
        piece = random.standard_normal((min(1 << 16, rows - begin), width), np.float32)
        into[begin:begin + len(piece)] = piece / np.linalg.norm(piece, axis=1, keepdims=True)
    return into


def retrieval(queries=64, rows=1_000_000, width=512, k=10, stored=None, **options):
    """stored: in place of `rows` unit vectors; options of clf_modules.Retrieval."""
    def connect(library, case, storage):
        return clf_modules.Retrieval(library, case.inputs["stored"], case.inputs["queries"], k, **options)

    stored = unit_rows(rows, width, 1) if stored is None else stored
    return TopKCase(Search(k), {"queries": unit_rows(queries, stored.shape[1], 2), "stored": stored},
                    outputs=("values", "indices"), connect=connect)


# ---- the relevance map --------------------------------------------------------------------------------------------

class RelevanceMap(nn.Module):
    """From the picture to the balanced map: the oracle of the tests, in torch and kornia."""

    def __init__(self, oracle, width, grid):
        super().__init__()
        self.oracle, self.relevance, self.grid = oracle, oracle.Relevance(width), grid

    def forward(self, image, query):
        return self.relevance.maps(self.oracle.textures_of(image, self.grid, "batch"), query, "batch")[3]


class RelevanceCase(Case):
    def weights(self):
        return {name: value.numpy() for name, value in self.module.relevance.state_dict().items()}

    def difference(self, got, want):
        """Of maps in 0..1: the greatest difference."""
        off = float(np.abs(got[0] - want[0]).max())
        return off if off == off else float("inf")


def picture(batch, height, width):
    """Waves of colour with noise: nothing is flat, nothing is noise alone."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(0, 12, height), torch.linspace(0, 12, width), indexing="ij")
    wave = torch.randn(batch, 3, 2, 1, 1, generator=generator)
    noise = torch.randn(batch, 3, height, width, generator=generator)
    return (0.5 + 0.3 * torch.sin(wave[:, :, 0] * y + wave[:, :, 1] * x) + 0.05 * noise).clamp(0, 1).numpy()


def relevance(size=(1024, 1024), batch=1, grid=32, query=2048):
    """query: its width; Qwen3-VL-2B's embeddings have 2048."""
    sys.path.append(str(ROOT / "tests/oracle"))
    import make_relevance
    return RelevanceCase(RelevanceMap(make_relevance, query, grid),
                         {"image": picture(batch, *size), "query": values(batch, query)},
                         {"model_type": "clfusion", "module": "relevance", "grid": grid}, outputs=("relevance",),
                         bound=None, goal=None, limit=1e-4)


# ---- by name ------------------------------------------------------------------------------------------------------

SUITE = {
    "llava_1_0": ("LLaVA 1.0, linear, 576 tokens", llava_1_0),
    "llava_1_5_7b": ("LLaVA-1.5-7B, MLP, 576 tokens", lambda: llava_1_5(4096)),
    "norm_mlp": ("LayerNorm, MLP, 256 × 4096 → 3584 → 3584", lambda: norm_mlp(256, 4096, 3584, [-2])),
    "qwen2_vl_merger": ("Qwen2-VL, LayerNorm, merge, MLP, 1024 × 1280 → 256 × 5120 → 3584", qwen2_vl_merger),
    "blip2_qformer": ("BLIP-2, Q-Former and projection, 257 × 1408", lambda: qformer(1)),
    "blip2_qformer_b4": ("BLIP-2, the same, batch 4", lambda: qformer(4)),
    "openflamingo_perceiver": ("OpenFlamingo, perceiver, 6 layers, 256 tokens", openflamingo_perceiver),
    "idefics2_perceiver": ("Idefics2, perceiver, 3 layers, 729 × 4096", idefics2_perceiver),
    "openflamingo_gated": ("OpenFlamingo, gated block, 128 text tokens", openflamingo_gated),
    "mllama_cross_512": ("Llama 3.2, cross-attention, 512 text tokens", lambda: mllama_cross(512)),
    "mllama_cross_32": ("Llama 3.2, cross-attention, 32 text tokens", lambda: mllama_cross(32)),
    "mllama_cross_1": ("Llama 3.2, cross-attention, 1 text token", lambda: mllama_cross(1)),
    "post_norm_fusion": ("post-norm fusion, 77 × 577, 768 wide", post_norm_fusion),
    "clip_top_5": ("CLIP, late fusion, best 5 of 2048 texts for 512 pictures", clip_top_k),
    "pool": ("pooling, 8 × 2304 × 1024 to 576 tokens", pool),
    "retrieval": ("retrieval, best 10 of 1,000,000 × 512 for 64 queries", retrieval),
    "relevance": ("relevance map, 1024 × 1024 pixels", relevance),
}
# Measured with the suite and shown below it, not counted: what peers could make of the same layer, and half the bytes.
BESIDE = {
    "mllama_folded_512": ("Llama 3.2, 512 text tokens, heads folded by peers", lambda: mllama_cross(512, True)),
    "mllama_folded_32": ("Llama 3.2, 32 text tokens, heads folded by peers", lambda: mllama_cross(32, True)),
    "mllama_folded_1": ("Llama 3.2, 1 text token, heads folded by peers", lambda: mllama_cross(1, True)),
    "mllama_cross_1_f16": ("Llama 3.2, 1 text token, weights and keys in f16; PyTorch computes in it",
                           lambda: mllama_cross(1, True, "f16")),
    "mllama_cross_1_bf16": ("Llama 3.2, 1 text token, weights and keys in bf16; PyTorch computes in it",
                            lambda: mllama_cross(1, True, "bf16")),
}
MORE = {
    "llava_1_5_13b": ("LLaVA-1.5-13B, MLP, 576 tokens", lambda: llava_1_5(5120)),
    "vipllava": ("ViP-LLaVA-7B, 576 tokens", lambda: norm_mlp(576, 5120, 4096, [-2, -5, -8, -11, 6])),
    "paligemma_224": ("PaliGemma-3B, linear, 256 tokens", paligemma),
    "fuyu_1280x720": ("Fuyu-8B, linear, 1032 patches", fuyu),
}
CASES = SUITE | BESIDE | MORE
