"""The cases of compare.py that have attention in them."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import clf_modules
from case import Case, values, vary


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join(x):
    return x.transpose(1, 2).flatten(2)


class QFormer(nn.Module):
    """BLIP-2's, with the class of transformers; state-dict names are those of the hub's files."""

    def __init__(self):
        super().__init__()
        from transformers.models.blip_2 import modeling_blip_2 as blip2
        config = blip2.Blip2QFormerConfig()
        config._attn_implementation = "sdpa"
        self.query_tokens = nn.Parameter(torch.zeros(1, 32, config.hidden_size))
        self.qformer = blip2.Blip2QFormerModel(config)
        self.language_projection = nn.Linear(config.hidden_size, 2560)

    def forward(self, vision):
        queries = self.query_tokens.expand(vision.shape[0], -1, -1)
        hidden = self.qformer(query_embeds=queries, encoder_hidden_states=vision, return_dict=True).last_hidden_state
        return self.language_projection(hidden)


def qformer(batch):
    # What config.json of blip2-opt-2.7b says, where it matters here.
    config = {"model_type": "blip-2", "num_query_tokens": 32, "vision_config": {"hidden_size": 1408},
              "qformer_config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                                 "intermediate_size": 3072, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                                 "cross_attention_frequency": 2, "encoder_hidden_size": 1408},
              "text_config": {"hidden_size": 2560}}
    # 31 of 32 rows' products at batch 1 have 32 rows, with weights far beyond the caches
    return Case(vary(QFormer()), {"vision": values(batch, 257, 1408)}, config, goal=0.65 if batch == 1 else 0.75)


def feed_forward(dim):
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim, bias=False), nn.GELU(),
                         nn.Linear(4 * dim, dim, bias=False))


class PerceiverAttention(nn.Module):
    """Latents look at the picture and at themselves; 8 heads of 64."""

    def __init__(self, dim):
        super().__init__()
        self.norm_media, self.norm_latents = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, 512, bias=False)
        self.to_kv = nn.Linear(dim, 1024, bias=False)
        self.to_out = nn.Linear(512, dim, bias=False)

    def forward(self, media, latents):
        latents = self.norm_latents(latents)
        k, v = self.to_kv(torch.cat((self.norm_media(media), latents), dim=1)).chunk(2, dim=-1)
        y = F.scaled_dot_product_attention(split(self.to_q(latents), 8), split(k, 8), split(v, 8))
        return self.to_out(join(y))


class Perceiver(nn.Module):
    """OpenFlamingo's resampler, names as in its checkpoint."""

    def __init__(self, dim=1024, depth=6, latents=64):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.layers = nn.ModuleList(nn.ModuleList((PerceiverAttention(dim), feed_forward(dim))) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, vision):
        x = self.latents.expand(vision.shape[0], -1, -1)
        for attention, ff in self.layers:
            x = x + attention(vision, x)
            x = x + ff(x)
        return self.norm(x)


OPENFLAMINGO = {"model_type": "openflamingo", "heads": 8, "dim_head": 64, "only_attend_immediate_media": True,
                "media_token_id": 7}


def openflamingo_perceiver():
    return Case(vary(Perceiver()), {"vision": values(1, 256, 1024)}, OPENFLAMINGO, "perceiver.")


class MediaAttention(nn.Module):
    def __init__(self, dim, media_dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, 512, bias=False)
        self.to_kv = nn.Linear(media_dim, 1024, bias=False)
        self.to_out = nn.Linear(512, dim, bias=False)

    def forward(self, text, media):
        k, v = self.to_kv(media).chunk(2, dim=-1)
        y = F.scaled_dot_product_attention(split(self.to_q(self.norm(text)), 8), split(k, 8), split(v, 8))
        return self.to_out(join(y))


class GatedBlock(nn.Module):
    """OpenFlamingo's block with one picture that every text position sees: peers need no mask."""

    def __init__(self, dim, media_dim):
        super().__init__()
        self.attn, self.ff = MediaAttention(dim, media_dim), feed_forward(dim)
        self.attn_gate, self.ff_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, text, media):
        text = text + self.attn_gate.tanh() * self.attn(text, media)
        return text + self.ff_gate.tanh() * self.ff(text)


def openflamingo_gated():
    ids = np.arange(100, 228, dtype=np.int64)[None]
    ids[0, 0] = OPENFLAMINGO["media_token_id"]
    block = vary(GatedBlock(2048, 1024))
    with torch.no_grad():
        block.attn.to_out.weight.mul_(4)  # a branch that counts beside the text: errors in it show
    return Case(block, {"text": values(1, 128, 2048), "media": values(1, 64, 1024, seed=2)},
                OPENFLAMINGO, "lang_encoder.transformer.blocks.0.gated_cross_attn_layer.", outputs=("hidden",),
                extra={"text_ids": ids})


class MllamaCross(nn.Module):
    """The attention half of a cross layer of Llama 3.2 Vision, keys and values ready [B, Hk, K, D].

    As transformers computes it, scaled_dot_product_attention with enable_gqa; or folded: the four query heads of a
    group are rows of one product, so nothing is repeated.  The latter is what a careful port would write, and much
    faster.  OpenVINO 2026.4 gets the former wrong where T equals the number of heads, 32, and no other T that was
    tried (1 to 512): no figure then."""

    def __init__(self, dim, heads, kv_heads, folded):
        super().__init__()
        width = dim // heads
        self.heads, self.kv_heads, self.folded = heads, kv_heads, folded
        self.input_layernorm = nn.RMSNorm(dim, eps=1e-5)
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.q_norm = nn.RMSNorm(width, eps=1e-5)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, text, keys, values):
        T, query = text.shape[1], self.q_proj(self.input_layernorm(text))
        if self.folded:
            q = self.q_norm(query.unflatten(-1, (self.kv_heads, -1, keys.shape[-1])))
            q = q.permute(0, 2, 3, 1, 4).flatten(2, 3)  # [B, Hk, G T, D]
            y = F.scaled_dot_product_attention(q, keys, values)
            y = y.unflatten(2, (-1, T)).permute(0, 3, 1, 2, 4).flatten(2)
        else:
            q = self.q_norm(split(query, self.heads))
            y = join(F.scaled_dot_product_attention(q, keys, values, enable_gqa=True))
        return text + self.gate.tanh() * self.o_proj(y)


ONE_PEER = dict.fromkeys(("compile", "onnxruntime", "openvino"), "not run with weights of 16 bits")


def round_to(storage, *tensors):
    """To the values that the type has, in place; None: as they are."""
    with torch.no_grad():
        for tensor in tensors if storage else ():
            tensor.copy_(tensor.to({"f16": torch.float16, "bf16": torch.bfloat16}[storage]))


def visual_memory(media, kv_heads, width, storage):
    """Keys and values of media as peers get them, and the parameters that make them, for clf_visual_memory_append."""
    k_proj, v_proj = (nn.Linear(media.shape[-1], kv_heads * width, bias=False) for _ in range(2))
    k_norm = vary(nn.RMSNorm(width, eps=1e-5))
    state = {"k_proj.weight": k_proj.weight, "v_proj.weight": v_proj.weight, "k_norm.weight": k_norm.weight}
    round_to(storage, *state.values())
    with torch.inference_mode():
        keys = k_norm.double()(split(media @ k_proj.weight.double().T, kv_heads)).float()
        mem_values = split(media @ v_proj.weight.double().T, kv_heads).float()
        round_to(storage, keys, mem_values)
    return (keys.contiguous().numpy(), mem_values.contiguous().numpy(),
            {name: weight.detach().float().numpy() for name, weight in state.items()})


def mllama_cross(T, folded=False, storage=None, K=1601, dim=4096, media_dim=4096, heads=32, kv_heads=8):
    """Of one picture, whose keys and values are ready."""
    module = vary(MllamaCross(dim, heads, kv_heads, folded))
    with torch.no_grad():  # few keys matter, and the branch counts beside the text: errors in it show
        module.q_norm.weight.mul_(4)
        module.o_proj.weight.mul_(4)
    round_to(storage, *module.parameters())
    media = torch.from_numpy(values(1, K, media_dim, seed=2)).double()
    keys, mem_values, makers = visual_memory(media, kv_heads, dim // heads, storage)

    def connect(library, case, stored):
        state = {name: value.numpy() for name, value in case.module.state_dict().items()} | makers
        return clf_modules.CrossLayer(library, state, heads, kv_heads, media.float().numpy(), case.inputs["text"],
                                      stored)

    inputs = {"text": values(1, T, dim), "keys": keys, "values": mem_values}
    if T > 1:
        return Case(module, inputs, outputs=("hidden",), connect=connect)
    read = sum(p.nbytes for p in module.parameters()) + keys.nbytes + mem_values.nbytes
    return Case(module, inputs, outputs=("hidden",), connect=connect, bound="read", traffic=(read, 0), goal=0.8,
                storage=storage, without=ONE_PEER if storage else None)


class PostNormFusion(nn.Module):
    """cross_attention_fusion: the same norm twice.  Without the averaged weights torch takes its fused attention."""

    def __init__(self, dim, heads):
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, text, vision):
        text = self.norm(text + self.cross_attn(text, vision, vision, need_weights=False)[0])
        return self.norm(text + self.ffn(text))


def post_norm_fusion():
    return Case(vary(PostNormFusion(768, 8)), {"text": values(1, 77, 768), "vision": values(1, 577, 768, seed=2)},
                {"model_type": "clfusion", "module": "cross_attention_fusion", "d_model": 768, "nhead": 8},
                outputs=("hidden",))


class GroupedAttention(nn.Module):
    """Idefics2's: latents look at the picture and at themselves, `heads` of 96 with fewer key heads."""

    def __init__(self, dim, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.q_proj, self.o_proj = nn.Linear(dim, 96 * heads, bias=False), nn.Linear(96 * heads, dim, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(dim, 96 * kv_heads, bias=False) for _ in range(2))

    def forward(self, latents, context):
        context = torch.cat((context, latents), dim=1)
        k, v = split(self.k_proj(context), self.kv_heads), split(self.v_proj(context), self.kv_heads)
        y = F.scaled_dot_product_attention(split(self.q_proj(latents), self.heads), k, v, enable_gqa=True)
        return self.o_proj(join(y))


class GatedMlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(dim, 4 * dim, bias=False)
        self.down_proj = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class GroupedLayer(nn.Module):
    def __init__(self, dim, heads, kv_heads):
        super().__init__()
        self.input_latents_norm, self.input_context_norm, self.post_attention_layernorm = (
            nn.RMSNorm(dim, eps=1e-6) for _ in range(3))
        self.self_attn, self.mlp = GroupedAttention(dim, heads, kv_heads), GatedMlp(dim)

    def forward(self, x, context):
        x = x + self.self_attn(self.input_latents_norm(x), self.input_context_norm(context))
        return x + self.mlp(self.post_attention_layernorm(x))


class Idefics2Perceiver(nn.Module):
    """Idefics2's perceiver behind its projection, names as in its checkpoint."""

    def __init__(self, dim=4096, heads=16, kv_heads=4, depth=3, latents=64):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.layers = nn.ModuleList(GroupedLayer(dim, heads, kv_heads) for _ in range(depth))
        self.norm = nn.RMSNorm(dim, eps=1e-6)

    def forward(self, vision):
        x = self.latents.expand(vision.shape[0], -1, -1)
        for layer in self.layers:
            x = layer(x, vision)
        return self.norm(x)


def idefics2_perceiver(heads=16, kv_heads=4):
    def connect(library, case, storage):
        return clf_modules.Idefics2Perceiver(library, case.weights(), heads, kv_heads, case.inputs["vision"], storage)

    return Case(vary(Idefics2Perceiver(heads=heads, kv_heads=kv_heads)), {"vision": values(1, 729, 4096)},
                connect=connect)
