"""aria, qwen_vl, minicpmv, the pooling heads of siglip and siglip2, clip_resnet, coca.

transformers' classes where there are some; the others are composed from torch.nn.MultiheadAttention, LayerNorm and
F.interpolate, after the authors' code.
"""

import numpy as np
import torch
from case import Case, faint, merge
from torch.nn import functional as F
from transformers.models.aria import modeling_aria as aria
from transformers.models.siglip import modeling_siglip as siglip
from transformers.models.siglip2 import modeling_siglip2 as siglip2

nn = torch.nn


def randomise(case, module, dtype):
    """As Case.randomise; norms of this file are also called ln_*, and their biases are wanted apart from 0."""
    case.randomise(module, dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "ln_" in name and name.endswith("weight"):
                parameter.copy_((1 + 0.3 * case.normal(*parameter.shape)).to(dtype).float())
    return module


def per_head(attention):
    """Makes a torch.nn.MultiheadAttention keep its weights [B, H, Q, K]; its output is that of its own forward."""
    plain = attention.forward

    def forward(*args, **kwargs):
        output, weights = plain(*args, **{**kwargs, "need_weights": True, "average_attn_weights": False})
        attention.kept = weights
        return output, weights

    attention.forward = forward
    return attention


# ---- aria ----


def make_aria(root):
    shapes = (
        ("aria_basic", "", torch.float32, 2, {"image_token_index": 101}),
        ("aria_masked_bf16", "model.", torch.bfloat16, 3, {"image_token_id": 102}),
        ("aria_other_count_f16", "", torch.float16, 1, {}),
    )
    for name, prefix, dtype, batch, keys in shapes:
        case = Case(root, name)
        tower = {"hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 8, "num_hidden_layers": 1}
        values = {
            "model_type": "aria",
            "projector_patch_to_query_dict": {"9": 3, "12": 5, "7": 2},
            "vision_config": {"model_type": "idefics3_vision", **tower},
            "text_config": {"model_type": "aria_text", "hidden_size": 20, "num_attention_heads": 2},
            **keys,
        }
        config = aria.AriaConfig.from_dict(case.config(values))
        module = randomise(case, aria.AriaProjector(config), dtype)
        if batch == 1:
            faint(case, module.query, module.cross_attn.linear)
        case.keep(module, prefix + "multi_modal_projector.")
        case.decoy(prefix + "vision_tower.post_layernorm.weight")
        case.save()
        attention = per_head(module.cross_attn.multihead_attn)
        N, M = (9, 3) if name == "aria_other_count_f16" else (12, 5)
        vision = case.give("vision", case.normal(batch, N, 24) * (0.01 if batch == 1 else 1))
        padded = None
        if batch == 3:
            real = torch.rand(batch, N, generator=case.generator) < 0.6
            real[0] = True
            real[:, 4] = True
            padded = ~real
            case.give("vision_mask", real.to(torch.uint8))
        with torch.no_grad():
            tokens = case.expect("tokens", module(vision, padded))
        case.expect("attention", attention.kept)
        if "image_token_index" in keys or "image_token_id" in keys:
            text, ids = case.text(2, 12, 20, config.image_token_id, batch * M)
        else:  # the default id, 9, which random ids may be too
            text = case.give("text", case.normal(1, 5, 20))
            ids = case.give("text_ids", torch.tensor([[10, 9, 9, 8, 9]]))
        case.expect("fused", merge(aria.AriaModel, config, text, ids, tokens))


# ---- qwen_vl and minicpmv ----


def sincos(C, rows, columns):
    """numpy in float32, as in the authors' get_2d_sincos_pos_embed: the column first, sines before cosines."""
    grid = np.stack(np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)))

    def encode(places):
        omega = 1.0 / 10000 ** (np.arange(C // 4, dtype=np.float32) / (C / 4))
        angles = np.einsum("m,d->md", places.reshape(-1), omega)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    return torch.from_numpy(np.concatenate([encode(grid[0]), encode(grid[1])], axis=1)).float()


class Resampler(nn.Module):
    def __init__(self, queries, C, heads, Dv, Dt):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, C))
        self.kv_proj = nn.Linear(Dv, C, bias=False)
        self.attn = per_head(nn.MultiheadAttention(C, heads, batch_first=True))
        self.ln_q = nn.LayerNorm(C, eps=1e-6)
        self.ln_kv = nn.LayerNorm(C, eps=1e-6)
        self.ln_post = nn.LayerNorm(C, eps=1e-6)
        self.proj = nn.Parameter(torch.zeros(C, Dt))

    def forward(self, vision, query_positions, key_positions, padded=None):
        x = self.ln_kv(self.kv_proj(vision))
        q = self.ln_q(self.query)
        if query_positions is not None:
            q = q + query_positions
        q = q.expand(vision.shape[0], -1, -1)
        a = self.attn(q, x + key_positions, x, key_padding_mask=padded)[0]
        return self.ln_post(a) @ self.proj


def make_qwen_vl(root):
    # name, dtype, picture's side, usual side, batch, is the stored table that of the formula
    shapes = (
        ("qwen_vl_basic", torch.float32, 6, 6, 1, True),
        ("qwen_vl_smaller_bf16", torch.bfloat16, 2, 6, 3, False),
        ("qwen_vl_other_size_f16", torch.float16, 5, 8, 2, False),
        ("qwen_vl_same_size", torch.float16, 3, 3, 3, False),
    )
    for name, dtype, side, usual, batch, formula in shapes:
        case = Case(root, name)
        module = randomise(case, Resampler(9, 32, 4, 20, 28), dtype)
        if side == usual == 3:
            faint(case, module.query, module.kv_proj, module.attn.out_proj)
        table = (sincos(32, 3, 3) if formula else case.normal(9, 32)).to(dtype)
        start = 50
        case.config(
            {
                "model_type": "qwen",
                "hidden_size": 28,
                "heads": 4,
                "visual": {"image_size": 14 * usual, "patch_size": 14, "width": 20, "image_start_id": start},
            }
        )
        case.keep(module, "transformer.visual.attn_pool.")
        for part in ("ln_post.weight", "ln_post.bias", "proj"):
            moved = case.tensors.pop("transformer.visual.attn_pool." + part)
            case.tensors["transformer.visual." + part] = moved
        case.tensors["transformer.visual.attn_pool.pos_embed"] = table
        case.decoy("transformer.visual.ln_pre.weight", "transformer.wte.weight")
        case.save()
        vision = case.give("vision", case.normal(batch, side * side, 20))
        table = table.float()
        keys = table
        if side != 3:
            keys = F.interpolate(
                table.reshape(1, 3, 3, -1).permute(0, 3, 1, 2), size=(side, side), mode="bicubic", align_corners=False
            )
            keys = keys.permute(0, 2, 3, 1).flatten(0, 2)
        with torch.no_grad():
            tokens = case.expect("tokens", module(vision, table, keys))
        case.expect("attention", module.attn.kept)
        if batch > 1:  # padding alone
            text, ids = case.text(batch, 14, 28, start + 2, batch * 9, vocabulary=48)
            places = ids == start + 2
        else:  # the authors' own form: the name of the picture as bytes, then padding, between two ids
            text = case.give("text", case.normal(1, 14, 28))
            ids = case.give("text_ids", torch.tensor([[7, 50, 30, 31, 52, 52, 52, 52, 52, 52, 52, 51, 8, 9]]))
            places = torch.zeros(1, 14, dtype=torch.bool)
            places[0, 2:11] = True
        fused = text.clone()
        fused[places] = tokens.reshape(-1, 28)
        case.expect("fused", fused)


def make_minicpmv(root):
    # name, dtype, grids, rows beyond the largest grid, keys, positions of the queries
    shapes = (
        ("minicpmv_basic", torch.float32, [(3, 4)], 0, {"version": 2.6}, None),
        ("minicpmv_grids_f16", torch.float16, [(2, 5), (7, 1), (3, 4)], 1, {"version": "2.5", "query_num": 9}, None),
        ("minicpmv_2_0", torch.float16, [(4, 3), (2, 2), (1, 12)], 0, {"query_positions": True}, "formula"),
        ("minicpmv_stored_bf16", torch.bfloat16, [(3, 3), (1, 1), (2, 4)], 0, {}, "stored"),
        ("minicpmv_beyond_70", torch.float32, [(2, 75), (73, 2), (1, 9)], 0, {"version": 4.5}, None),
    )
    for name, dtype, grids, more, keys, positions in shapes:
        case = Case(root, name)
        small = name == "minicpmv_beyond_70"
        C, Dv, Dt = (16, 4, 8) if small else (32, 20, 32)
        heads = 2 if small else 4
        module = randomise(case, Resampler(9, C, heads, Dv, Dt), dtype)
        values = {"model_type": "minicpmv", "hidden_size": Dt, "heads": heads, "image_token_index": 60, **keys}
        case.config({**values, "vision_config": {"hidden_size": Dv}})
        case.keep(module, "resampler.")
        table = None
        if positions == "formula":
            table = sincos(C, 3, 3)
        elif positions == "stored":
            table = case.tensors["resampler.pos_embed"] = case.normal(9, C).to(dtype)
            table = table.float()
        case.decoy("vpm.post_layernorm.weight", "llm.model.embed_tokens.weight")
        case.save()
        B, N = len(grids), max(rows * columns for rows, columns in grids) + more
        vision = case.give("vision", case.normal(B, N, Dv))
        case.give("grid", torch.tensor(grids))
        own = torch.zeros(B, N, C)
        padded = torch.zeros(B, N, dtype=torch.bool)
        for b, (rows, columns) in enumerate(grids):
            own[b, : rows * columns] = sincos(C, rows, columns)
            padded[b, rows * columns :] = True
        with torch.no_grad():
            tokens = case.expect("tokens", module(vision, table, own, padded))
        if not small:
            case.expect("attention", module.attn.kept)
        text, ids = case.text(B, 12, Dt, 60, B * 9, vocabulary=59)
        fused = text.clone()
        fused[ids == 60] = tokens.reshape(-1, Dt)
        case.expect("fused", fused)


# ---- heads ----


def unit(x, eps=0.0):
    return x / x.norm(p=2, dim=-1, keepdim=True).clamp_min(eps)


def make_siglip(root):
    tower = {"hidden_size": 32, "intermediate_size": 44, "num_attention_heads": 4, "num_hidden_layers": 1}
    text = {"hidden_size": 32, "intermediate_size": 44, "num_attention_heads": 4, "num_hidden_layers": 1}
    # name, prefix, dtype, batch, does the configuration hold both towers, more keys
    shapes = (
        ("siglip_basic", "vision_model.", torch.float32, 1, True, {}),
        ("siglip_tower_f16", "", torch.float16, 3, False, {"hidden_act": "gelu", "layer_norm_eps": 1e-3}),
        ("siglip_bf16", "vision_model.", torch.bfloat16, 3, True, {}),
    )
    for name, prefix, dtype, batch, both, keys in shapes:
        case = Case(root, name)
        vision_config = {**tower, **keys}
        values = {"model_type": "siglip_vision_model", **vision_config}
        if both:
            values = {"model_type": "siglip", "vision_config": vision_config, "text_config": text}
        case.config(values)
        config = siglip.SiglipVisionConfig(**vision_config)
        module = randomise(case, siglip.SiglipMultiheadAttentionPoolingHead(config), dtype)
        if not keys:
            faint(case, module.attention.out_proj)
        head_outputs(case, module, prefix, batch, None)
    for name, batch, fully in (("siglip2_mask", 3, False), ("siglip2_unseen_bf16", 3, True), ("siglip2_plain", 1, None)):
        case = Case(root, name)
        case.config({"model_type": "siglip2", "vision_config": tower, "text_config": text})
        config = siglip2.Siglip2VisionConfig(**tower)
        config._attn_implementation = "eager"
        dtype = torch.bfloat16 if fully else torch.float32
        module = randomise(case, siglip2.Siglip2MultiheadAttentionPoolingHead(config), dtype)
        mask = None
        if fully is not None:
            mask = (torch.rand(batch, 7, generator=case.generator) < 0.5).long()
            mask[:, 0] = 1
            if fully:
                mask[1] = 0
        head_outputs(case, module, "vision_model.", batch, mask)


def head_outputs(case, module, prefix, batch, mask):
    case.keep(module, prefix + "head.")
    case.decoy(prefix + "post_layernorm.weight", "text_model.head.weight")
    case.save()
    attention = per_head(module.attention)
    vision = case.give("vision", case.normal(batch, 7, 32))
    if mask is not None:
        case.give("vision_mask", mask)
    with torch.no_grad():
        pooled = module(vision) if mask is None else module(vision, mask)
    case.expect("tokens", pooled[:, None])
    case.expect("image_embeds", unit(pooled))
    case.expect("attention", attention.kept)


class AttentionPool2d(nn.Module):
    """F.multi_head_attention_forward with separate weights, as CLIP's ResNets call it."""

    def __init__(self, N, C, P, heads):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(N + 1, C))
        self.k_proj = nn.Linear(C, C)
        self.q_proj = nn.Linear(C, C)
        self.v_proj = nn.Linear(C, C)
        self.c_proj = nn.Linear(C, P)
        self.heads = heads

    def forward(self, feature_map):
        x = feature_map.flatten(start_dim=2).permute(2, 0, 1)  # [B, C, H, W] to [H W, B, C]
        x = torch.cat([x.mean(dim=0, keepdim=True), x], dim=0)
        x = x + self.positional_embedding[:, None, :]
        y, weights = F.multi_head_attention_forward(
            query=x[:1],
            key=x,
            value=x,
            embed_dim_to_check=x.shape[-1],
            num_heads=self.heads,
            q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight,
            in_proj_weight=None,
            in_proj_bias=torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=self.c_proj.weight,
            out_proj_bias=self.c_proj.bias,
            use_separate_proj_weight=True,
            training=False,
            need_weights=True,
            average_attn_weights=False,
        )
        return y[0], weights


def make_clip_resnet(root):
    # name, dtype, rows and columns, batch, heads: None is the default, one of 64 channels
    shapes = (
        ("clip_resnet_basic", torch.float32, (3, 3), 1, 32, 4),
        ("clip_resnet_f16", torch.float16, (2, 5), 3, 24, 3),
        ("clip_resnet_default_heads_bf16", torch.bfloat16, (3, 2), 3, 64, None),
    )
    for name, dtype, (rows, columns), batch, C, heads in shapes:
        case = Case(root, name)
        case.config({"model_type": "clip_resnet"} | ({"heads": heads} if heads else {}))
        module = randomise(case, AttentionPool2d(rows * columns, C, 20, heads or C // 64), dtype)
        case.keep(module, "visual.attnpool.")
        case.decoy("visual.conv1.weight", "text_projection")
        case.save()
        feature_map = case.normal(batch, C, rows, columns)
        case.give("vision", feature_map.permute(0, 2, 3, 1).reshape(batch, rows * columns, C).contiguous())
        with torch.no_grad():
            pooled, weights = module(feature_map)
        case.expect("tokens", pooled[:, None])
        case.expect("image_embeds", unit(pooled))
        case.expect("attention", weights)


class AttentionalPooler(nn.Module):
    def __init__(self, queries, D, context, heads):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, D))
        self.attn = per_head(nn.MultiheadAttention(D, heads, kdim=context, vdim=context, batch_first=True))
        self.ln_q = nn.LayerNorm(D)
        self.ln_k = nn.LayerNorm(context)

    def forward(self, x):
        x = self.ln_k(x)
        return self.attn(self.ln_q(self.query).expand(x.shape[0], -1, -1), x, x, need_weights=False)[0]


class CoCa(nn.Module):
    def __init__(self, queries, D, context, heads, P):
        super().__init__()
        self.attn_pool = AttentionalPooler(queries, D, context, heads)
        self.ln_post = nn.LayerNorm(D)
        self.proj = nn.Parameter(torch.zeros(D, P))

    def forward(self, x):
        x = self.ln_post(self.attn_pool(x))
        return F.normalize(x[:, 0] @ self.proj, dim=-1), x[:, 1:]


def make_coca(root):
    # name, dtype, context width, batch, heads and where they stand
    shapes = (
        ("coca_basic", torch.float32, 32, 1, 8, {}),
        ("coca_other_width_f16", torch.float16, 20, 3, 8, {}),
        ("coca_heads_bf16", torch.bfloat16, 32, 3, 4, {"vision_cfg": {"attn_pooler_heads": 4}}),
    )
    for name, dtype, context, batch, heads, keys in shapes:
        case = Case(root, name)
        case.config({"model_type": "coca", "embed_dim": 24, **keys})
        module = randomise(case, CoCa(6, 32, context, heads, 24), dtype)
        if batch == 1:
            faint(case, module.attn_pool.query, module.attn_pool.attn.out_proj)
        case.keep(module, "visual.")
        case.decoy("visual.ln_pre.weight", "text.token_embedding.weight")
        case.save()
        vision = case.give("vision", case.normal(batch, 10, context) * (0.01 if batch == 1 else 1))
        with torch.no_grad():
            embeds, tokens = module(vision)
        case.expect("image_embeds", embeds)
        case.expect("tokens", tokens)
        case.expect("attention", module.attn_pool.attn.kept)


def make(root):
    make_aria(root)
    make_qwen_vl(root)
    make_minicpmv(root)
    make_siglip(root)
    make_clip_resnet(root)
    make_coca(root)
