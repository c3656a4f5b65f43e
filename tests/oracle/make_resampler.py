"""Resamplers: transformers' Idefics2, Kosmos-2 and Kosmos-2.5, and clfusion's own modules composed from torch.

out_attention.npy is the attention of layer 0; attention_LAYER.npy that of a later one, for tests that ask for it.
"""

from types import SimpleNamespace

import numpy as np
import torch
from case import Case
from transformers.models.idefics2 import modeling_idefics2 as idefics2
from transformers.models.kosmos2 import modeling_kosmos2 as kosmos2
from transformers.models.kosmos2_5 import modeling_kosmos2_5 as kosmos2_5

nn = torch.nn
LEAST = torch.finfo(torch.float32).min
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


def mask_of(case, batch, rows):
    """The first picture has a hole, the second ends early, the third has nothing that is real."""
    mask = torch.ones(batch, rows, dtype=torch.bool)
    mask[0, 2] = False
    if batch > 1:
        mask[1, rows // 2:] = False
    if batch > 2:
        mask[2] = False
    return case.give("vision_mask", mask)


def later(case, layer, value):
    np.save(case.folder / f"attention_{layer}.npy", np.ascontiguousarray(value.detach().float().numpy()))


# ---- families ----


def idefics2_case(root, name, dtype, shape, prefix="", masked=False, text={}, perceiver={}, drop=()):
    case = Case(root, name)
    values = {
        "model_type": "idefics2",
        "vision_config": {"hidden_size": shape[2]},
        "text_config": {"model_type": "mistral", "hidden_size": 16, "intermediate_size": 24, **text},
        "perceiver_config": {
            "hidden_size": 16,
            "resampler_n_latents": 5,
            "resampler_depth": 2,
            "resampler_n_heads": 4,
            "resampler_head_dim": 6,
            "num_key_value_heads": 2,
            **perceiver,
        },
    }
    config = idefics2.Idefics2Config.from_dict(values)
    for key in drop:
        del values["perceiver_config"][key]
    case.config(values)
    module = case.randomise(idefics2.Idefics2Connector(config), dtype)
    case.keep(module, prefix + "connector.")
    case.decoy(prefix + "vision_model.post_layernorm.weight")
    case.save()
    module.perceiver_resampler.config._attn_implementation = "eager"
    seen = []
    for layer in module.perceiver_resampler.layers:
        layer.self_attn.register_forward_hook(lambda module, args, output: seen.append(output[1]))
    vision = case.give("vision", case.normal(*shape))
    mask = mask_of(case, *shape[:2]) if masked else torch.ones(shape[:2], dtype=torch.bool)
    with torch.no_grad():
        tokens = case.expect("tokens", module(vision, mask))
    case.expect("attention", seen[0])
    later(case, len(seen) - 1, seen[-1])
    text, ids = case.text(2, 3 + tokens.shape[0] * tokens.shape[1], tokens.shape[2], config.image_token_id,
                          tokens.shape[0] * tokens.shape[1])
    stand_in = SimpleNamespace(config=config, image_token_id=config.image_token_id)
    case.expect("fused", idefics2.Idefics2Model.inputs_merger(stand_in, ids, text, tokens))


def make_idefics2(root):
    idefics2_case(root, "idefics2_basic", F32, (1, 7, 20))
    idefics2_case(root, "idefics2_masked", F32, (3, 9, 20), prefix="model.", masked=True)
    # Another hidden_size than the text's: it is overwritten, and eps is the text's.
    trap = {"hidden_size": 32, "rms_norm_eps": 1e-4, "hidden_act": "gelu"}
    idefics2_case(root, "idefics2_text_eps_bf16", BF16, (2, 5, 18), text={"rms_norm_eps": 0.25}, perceiver=trap)
    own = {"rms_norm_eps": 0.25, "resampler_n_heads": 16, "num_key_value_heads": 4, "resampler_head_dim": 3}
    own["resampler_depth"] = 3
    drop = ("resampler_n_heads", "num_key_value_heads", "resampler_depth", "resampler_n_latents", "resampler_head_dim")
    idefics2_case(root, "idefics2_own_eps_f16", F16, (1, 6, 20), masked=True, perceiver=own, drop=drop)


def kosmos_case(root, name, module_class, model_type, dtype, shape, latents, heads, prefix="", ids=None):
    case = Case(root, name)
    width = 24
    values = {
        "model_type": model_type,
        "latent_query_num": latents,
        "text_config": {"embed_dim": width, "attention_heads": heads},
        "vision_config": {"hidden_size": shape[2]},
    }
    if ids is not None:
        values["image_token_id"] = ids
    case.config(values)
    config = SimpleNamespace(
        vision_config=SimpleNamespace(hidden_size=shape[2]),
        text_config=SimpleNamespace(
            embed_dim=width, attention_heads=heads, attention_dropout=0.0, _attn_implementation="eager"
        ),
        latent_query_num=latents,
    )
    module = case.randomise(module_class(config), dtype)
    case.keep(module, prefix + "image_to_text_projection.")
    case.save()
    vision = case.give("vision", nn.functional.normalize(case.normal(*shape), dim=-1))
    with torch.no_grad():
        tokens, attention = module(vision)
    case.expect("tokens", tokens)
    case.expect("attention", attention)
    if ids is not None:
        text, ids = case.text(2, 12, width, ids, shape[0] * latents)
        mask = ids == values["image_token_id"]
        fused = text.clone()
        fused[mask] = tokens.reshape(-1, width)  # as the text model does with image_embeds_position_mask
        case.expect("fused", fused)


def make_kosmos(root):
    two, two_5 = kosmos2.Kosmos2ImageToTextProjection, kosmos2_5.Kosmos2_5ImageToTextProjection
    kosmos_case(root, "kosmos2_basic", two, "kosmos-2", F32, (1, 10, 20), 6, 4)
    kosmos_case(root, "kosmos2_prefixed_f16", two, "kosmos-2", F16, (3, 5, 18), 5, 2, prefix="model.", ids=7)
    kosmos_case(root, "kosmos2_5_bf16", two_5, "kosmos-2.5", BF16, (2, 7, 20), 9, 3)


# ---- modules ----


def attend(q, k, v, heads, mask):
    """softmax(q k^T D^-1/2 + mask) v as transformers' eager attention has it: rows that see nothing are uniform."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v))
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores + torch.where(mask[:, None, None, :], 0.0, LEAST)
    weights = scores.softmax(-1)
    return (weights @ v).transpose(-3, -2).flatten(-2), weights


class Cross(nn.Module):
    """q, k and v without biases, then out_proj."""

    def __init__(self, width, context, heads):
        super().__init__()
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(context, width, bias=False)
        self.v_proj = nn.Linear(context, width, bias=False)
        self.out_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x, c, mask):
        y, weights = attend(self.q_proj(x), self.k_proj(c), self.v_proj(c), self.heads, mask)
        return self.out_proj(y), weights


class EdificeLayer(nn.Module):
    def __init__(self, D, heads):
        super().__init__()
        for kind in ("self", "cross"):
            setattr(self, f"{kind}_norm", nn.LayerNorm(D))
            for part in "qkv":
                setattr(self, f"{kind}_{part}", nn.Linear(D, D))
        self.heads = heads

    def forward(self, x, v, mask):
        n = self.self_norm(x)
        y, own = attend(self.self_q(n), self.self_k(n), self.self_v(n), self.heads, None)
        x = x + y
        y, weights = attend(self.cross_q(self.cross_norm(x)), self.cross_k(v), self.cross_v(v), self.heads, mask)
        return x + y, own, weights


class Perceiver(nn.Module):
    def __init__(self, Dv, D, M, layers, heads):
        super().__init__()
        self.visual_proj = nn.Linear(Dv, D) if Dv != D else None
        self.queries = nn.Parameter(torch.empty(M, D))
        for i in range(layers):
            setattr(self, f"resampler_{i + 1}", EdificeLayer(D, heads))
        self.layers = layers

    def forward(self, v, mask):
        v = self.visual_proj(v) if self.visual_proj is not None else v
        x, own, cross = self.queries.expand(len(v), -1, -1), [], []
        for i in range(self.layers):
            x, a, b = getattr(self, f"resampler_{i + 1}")(x, v, mask)
            own.append(a)
            cross.append(b)
        return x, own, cross


class Latents(nn.Module):
    def __init__(self, Dv, D, M, layers, heads, residual=False, pre_norm=False):
        super().__init__()
        self.latents = nn.Parameter(torch.empty(M, D))
        self.cross_attn_layers = nn.ModuleList(Cross(D, Dv, heads) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(layers)) if pre_norm else None
        self.residual = residual

    def forward(self, v, mask):
        x, cross = self.latents.expand(len(v), -1, -1), []
        for i, layer in enumerate(self.cross_attn_layers):
            y, weights = layer(self.norms[i](x) if self.norms is not None else x, v, mask)
            x = x + y if self.residual else y
            cross.append(weights)
        return x, [], cross


class Compressor(nn.Module):
    def __init__(self, Dv, D, M, heads):
        super().__init__()
        self.queries = nn.Parameter(torch.empty(M, D))
        widths = {} if Dv == D else {"kdim": Dv, "vdim": Dv}
        self.cross_attn = nn.MultiheadAttention(D, heads, batch_first=True, **widths)

    def forward(self, v, mask):
        x = self.queries.expand(len(v), -1, -1)
        hide = None if mask is None else torch.where(mask, 0.0, LEAST)  # added, as eager attention does
        y, weights = self.cross_attn(x, v, v, key_padding_mask=hide, average_attn_weights=False)
        return y, [], [weights]


class QFormerLayer(nn.Module):
    def __init__(self, D, Dv, heads, F):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(D, heads, batch_first=True)
        self.self_norm = nn.LayerNorm(D)
        self.cross_attn = Cross(D, Dv, heads)
        self.cross_norm = nn.LayerNorm(D)
        self.ffn = nn.Sequential(nn.Linear(D, F), nn.GELU(), nn.Linear(F, D))
        self.ffn_norm = nn.LayerNorm(D)

    def forward(self, x, v, mask):
        n = self.self_norm(x)
        y, own = self.self_attn(n, n, n, average_attn_weights=False)
        x = x + y
        y, weights = self.cross_attn(self.cross_norm(x), v, mask)
        x = x + y
        return x + self.ffn(self.ffn_norm(x)), own, weights


class QFormer(nn.Module):
    def __init__(self, D, Dv, M, layers, heads, F):
        super().__init__()
        self.queries = nn.Parameter(torch.empty(1, M, D))
        self.layers = nn.ModuleList(QFormerLayer(D, Dv, heads, F) for _ in range(layers))

    def forward(self, v, mask):
        x, own, cross = self.queries.expand(len(v), -1, -1), [], []
        for layer in self.layers:
            x, a, b = layer(x, v, mask)
            own.append(a)
            cross.append(b)
        return x, own, cross


def module_case(root, name, module, options, shape, dtype=F32, masked=False, metadata=False, eps=None):
    case = Case(root, name)
    if eps is not None:
        for part in module.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = options["layer_norm_eps"] = eps
    case.randomise(module, dtype)
    case.keep(module, "")
    config = {"model_type": "clfusion", **options}
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    vision = case.give("vision", case.normal(*shape))
    mask = mask_of(case, *shape[:2]) if masked else None
    with torch.no_grad():
        tokens, own, cross = module(vision, mask)
    case.expect("tokens", tokens)
    case.expect("attention", own[0] if options.get("attention_of") == "self" else cross[0])
    if len(cross) > 1:
        later(case, len(cross) - 1, own[-1] if options.get("attention_of") == "self" else cross[-1])


def make_modules(root):
    options = {"module": "perceiver_resampler", "vision_dim": 20, "output_dim": 24, "num_queries": 5, "num_layers": 2}
    module_case(root, "perceiver_resampler_basic", Perceiver(20, 24, 5, 2, 4), options, (1, 7, 20))
    options = {"module": "perceiver_resampler", "num_heads": 2, "attention_of": "self"}
    module_case(root, "perceiver_resampler_self_f16", Perceiver(16, 16, 6, 3, 2), options, (3, 9, 16), F16, eps=0.25)
    options = {"module": "perceiver_resampler", "num_heads": 3}
    module_case(root, "perceiver_resampler_masked", Perceiver(21, 18, 5, 2, 3), options, (3, 8, 21), BF16, masked=True)

    options = {"module": "latent_resampler", "vision_dim": 20, "dim": 24, "num_latents": 5, "depth": 2, "num_heads": 4}
    module_case(root, "latent_resampler_basic", Latents(20, 24, 5, 2, 4), options, (1, 7, 20))
    options = {"module": "latent_resampler", "num_heads": 3, "residual": True}
    module_case(root, "latent_resampler_residual_f16", Latents(17, 21, 7, 3, 3, True), options, (3, 5, 17), F16,
                masked=True)
    options = {"module": "latent_resampler", "num_heads": 2, "residual": True, "pre_norm": True}
    module_case(root, "latent_resampler_pre_norm", Latents(16, 20, 5, 2, 2, True, True), options, (2, 6, 16), BF16,
                metadata=True, eps=0.25)
    options = {"module": "latent_resampler", "num_heads": 2, "pre_norm": True, "depth": 1}
    module_case(root, "latent_resampler_norm_alone", Latents(16, 16, 3, 1, 2, False, True), options, (1, 1, 16))

    options = {"module": "learned_query_compressor", "num_queries": 5, "dim": 32}
    module_case(root, "learned_query_compressor_basic", Compressor(32, 32, 5, 16), options, (1, 7, 32))
    options = {"module": "learned_query_compressor", "num_heads": 3}
    module_case(root, "learned_query_compressor_widths", Compressor(20, 24, 6, 3), options, (3, 9, 20), F16,
                masked=True, metadata=True)

    options = {"module": "learned_query_compressor", "num_queries": 7, "dim": 21, "num_heads": 3}
    module_case(root, "learned_query_compressor_odd", Compressor(21, 21, 7, 3), options, (3, 11, 21))
    options = {"module": "simplified_qformer", "num_heads": 3}
    module_case(root, "simplified_qformer_odd", QFormer(21, 13, 5, 1, 3, 27), options, (3, 9, 13))
    options = {"module": "perceiver_resampler", "vision_dim": 13, "output_dim": 21, "num_heads": 3}
    module_case(root, "perceiver_resampler_odd", Perceiver(13, 21, 5, 1, 3), options, (1, 11, 13))
    options = {"module": "simplified_qformer", "query_dim": 24, "vision_dim": 20, "num_layers": 2, "num_queries": 5}
    module_case(root, "simplified_qformer_basic", QFormer(24, 20, 5, 2, 12, 40), options, (1, 7, 20))
    options = {"module": "simplified_qformer", "num_heads": 2}
    module_case(root, "simplified_qformer_masked", QFormer(18, 22, 4, 2, 2, 30), options, (3, 6, 22), F16,
                masked=True, eps=0.25)
    options = {"module": "simplified_qformer", "num_heads": 2, "attention_of": "self"}
    module_case(root, "simplified_qformer_self", QFormer(16, 16, 5, 2, 2, 24), options, (2, 6, 16), BF16)


def make(root):
    make_idefics2(root)
    make_kosmos(root)
    make_modules(root)
