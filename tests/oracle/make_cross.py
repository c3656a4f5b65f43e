"""Cross-attention: clfusion's modules composed from torch, and Mllama's layers and masks from transformers."""

import numpy as np
import torch
from case import Case, faint
from transformers.models.mllama.configuration_mllama import MllamaTextConfig
from transformers.models.mllama.modeling_mllama import (
    MllamaCrossAttentionDecoderLayer,
    _prepare_cross_attention_mask,
)
from transformers.models.mllama.processing_mllama import (
    convert_sparse_cross_attention_mask_to_dense,
    get_cross_attention_token_mask,
)

nn = torch.nn


def attend(q, k, v, heads, scale, mask):
    """softmax(q kT scale) v; a row that sees nothing is zero.  q [B,T,C], mask [B,N] or None."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) * scale
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -torch.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)
    return (weights @ v).transpose(1, 2).flatten(-2), weights


class CrossAttention(nn.Module):
    def __init__(self, Dt, Dv, heads, head_dim, bias=False, scale_heads=None):
        super().__init__()
        inner = heads * head_dim
        self.heads, self.scale = heads, (inner // (scale_heads or heads)) ** -0.5
        self.q_proj = nn.Linear(Dt, inner, bias=bias)
        self.k_proj = nn.Linear(Dv, inner, bias=bias)
        self.v_proj = nn.Linear(Dv, inner, bias=bias)
        self.out_proj = nn.Linear(inner, Dt)

    def forward(self, x, v, mask=None):
        y, weights = attend(self.q_proj(x), self.k_proj(v), self.v_proj(v), self.heads, self.scale, mask)
        return self.out_proj(y), weights


class Gated(nn.Module):
    def __init__(self, Dt, Dv, heads, head_dim, eps=1e-5):
        super().__init__()
        self.layer_norm = nn.LayerNorm(Dt, eps)
        self.cross_attn = CrossAttention(Dt, Dv, heads, head_dim)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x, v, mask=None):
        y, weights = self.cross_attn(self.layer_norm(x), v, mask)
        return x + torch.tanh(self.alpha) * y, weights


class GatedDense(nn.Module):
    def __init__(self, dim, Dv, heads):
        super().__init__()
        self.cross_attn = CrossAttention(dim, Dv, heads, dim // heads)
        self.dense = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x, v, mask=None):
        y, weights = self.cross_attn(x, v, mask)
        return x + torch.tanh(self.gate) * self.dense(y), weights


class StackLayer(CrossAttention):
    def __init__(self, hidden, heads, scale_heads, gate, eps):
        super().__init__(hidden, hidden, heads, hidden // heads, True, scale_heads)
        self.norm = nn.LayerNorm(hidden, eps)
        self.gate = gate
        if gate == "alpha":
            self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x, v, mask=None):
        y, weights = super().forward(self.norm(x), v, mask)
        return x + (torch.tanh(self.alpha) * y if self.gate == "alpha" else torch.tanh(y)), weights


class Stack(nn.Module):
    """Edifice's stack; `attention` is that of the first layer."""

    def __init__(self, hidden, Dv, heads, layers, scale_heads=None, gate="alpha", eps=1e-5):
        super().__init__()
        if Dv != hidden:
            self.visual_proj = nn.Linear(Dv, hidden)
        self.count = layers
        for i in range(layers):
            setattr(self, f"xattn_{i + 1}", StackLayer(hidden, heads, scale_heads, gate, eps))

    def forward(self, x, v, mask=None):
        v = self.visual_proj(v) if hasattr(self, "visual_proj") else v
        all_weights = []
        for i in range(self.count):
            x, weights = getattr(self, f"xattn_{i + 1}")(x, v, mask)
            all_weights.append(weights)
        self.all_weights = all_weights
        return x, all_weights[0]


class Fusion(nn.Module):
    """Post-norm: the same norm after attention and after the feed-forward."""

    def __init__(self, D, heads, F, eps=1e-5, activation=None):
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(D, heads, batch_first=True)
        self.norm = nn.LayerNorm(D, eps)
        self.ffn = nn.Sequential(nn.Linear(D, F), activation or nn.GELU(), nn.Linear(F, D))

    def forward(self, x, v, mask=None):
        padded = None if mask is None else mask == 0
        y, weights = self.cross_attn(x, v, v, key_padding_mask=padded, average_attn_weights=False)
        x = self.norm(x + y)
        return self.norm(x + self.ffn(x)), weights


def module(root, name, options, net, shapes, mask=None, dtype=torch.float32, metadata=False):
    """shapes: B, T, Dt, N, Dv."""
    B, T, Dt, N, Dv = shapes
    case = Case(root, name)
    case.randomise(net, dtype)
    case.keep(net, "")
    config = {"model_type": "clfusion", **options}
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    text, vision = case.give("text", case.normal(B, T, Dt)), case.give("vision", case.normal(B, N, Dv))
    if mask is not None:
        mask = case.give("vision_mask", torch.tensor(mask))
    with torch.no_grad():
        hidden, weights = net(text, vision, mask)
    case.expect("hidden", hidden)
    case.expect("attention", weights)
    return case


def odd_widths(root):
    """Widths of texts, pictures and heads that fill no vector; the batch that the other cases of a module do not have."""
    sizes = {"text_dim": 27, "vision_dim": 19, "num_heads": 3, "head_dim": 7}
    options = {"module": "cross_attention", **sizes}
    module(root, "cross_attention_odd", options, CrossAttention(27, 19, 3, 7), (3, 3, 27, 11, 19))
    options = {"module": "gated_cross_attention", **sizes}
    module(root, "gated_cross_attention_odd_f16", options, Gated(27, 19, 3, 7), (3, 5, 27, 9, 19), None, torch.float16)
    options = {"module": "gated_cross_attention_dense", "dim": 27, "vision_dim": 19, "num_heads": 3}
    module(root, "gated_cross_attention_dense_odd", options, GatedDense(27, 19, 3), (1, 3, 27, 5, 19))
    options = {"module": "gated_cross_attention_stack", "hidden_size": 21, "vision_dim": 13, "num_heads": 3,
               "num_layers": 1, "gate": "alpha"}
    module(root, "gated_cross_attention_stack_alpha_one", options, Stack(21, 13, 3, 1), (1, 3, 21, 5, 13))
    options = {"module": "gated_cross_attention_stack", "hidden_size": 15, "vision_dim": 13, "num_heads": 1,
               "scale_heads": 3, "num_layers": 2, "gate": "tanh_output"}
    net = Stack(15, 13, 1, 2, 3, "tanh_output")
    module(root, "gated_cross_attention_stack_tanh_bf16", options, net, (3, 5, 15, 9, 13), None, torch.bfloat16)
    options = {"module": "cross_attention_fusion", "d_model": 21, "nhead": 3}
    module(root, "cross_attention_fusion_odd", options, Fusion(21, 3, 33), (3, 5, 21, 7, 21))


def modules(root):
    plain = {"module": "cross_attention", "text_dim": 24, "vision_dim": 20, "num_heads": 4, "head_dim": 8}
    module(root, "cross_attention_basic", plain, CrossAttention(24, 20, 4, 8), (1, 5, 24, 7, 20))
    hidden_row = [[1, 1, 0, 1, 1, 1, 0], [0] * 7, [0, 0, 0, 0, 0, 0, 1]]
    wide = {"module": "cross_attention", "num_heads": 2, "head_dim": 72}
    module(root, "cross_attention_masked_f16", wide, CrossAttention(20, 16, 2, 72), (3, 5, 20, 7, 16), hidden_row,
           torch.float16)

    gated = {"module": "gated_cross_attention", "text_dim": 24, "vision_dim": 20, "num_heads": 3, "head_dim": 8}
    net = Gated(24, 20, 3, 8)
    module(root, "gated_cross_attention_basic", gated, net, (1, 5, 24, 9, 20), metadata=True)
    wide = {"module": "gated_cross_attention", "num_heads": 2, "head_dim": 80, "layer_norm_eps": 0.01}
    module(root, "gated_cross_attention_step_bf16", wide, Gated(20, 16, 2, 80, 0.01), (3, 1, 20, 7, 16), hidden_row,
           torch.bfloat16)

    dense = {"module": "gated_cross_attention_dense", "dim": 24, "vision_dim": 20, "num_heads": 4}
    module(root, "gated_cross_attention_dense_basic", dense, GatedDense(24, 20, 4), (3, 5, 24, 7, 20), hidden_row)
    same = {"module": "gated_cross_attention_dense", "num_heads": 2}
    module(root, "gated_cross_attention_dense_same", same, GatedDense(24, 24, 2), (1, 1, 24, 7, 24))

    stack = {"module": "gated_cross_attention_stack", "hidden_size": 24, "vision_dim": 36, "num_heads": 4,
             "num_layers": 3, "gate": "alpha"}
    net = Stack(24, 36, 4, 3)
    case = module(root, "gated_cross_attention_stack_alpha", stack, net, (3, 5, 24, 7, 36), hidden_row)
    np.save(case.folder / "layer2_attention.npy", net.all_weights[2].numpy())
    stack = {"module": "gated_cross_attention_stack", "hidden_size": 24, "vision_dim": 24, "num_heads": 1,
             "scale_heads": 4, "num_layers": 2, "gate": "tanh_output", "layer_norm_eps": 0.02}
    net = Stack(24, 24, 1, 2, 4, "tanh_output", 0.02)
    module(root, "gated_cross_attention_stack_tanh", stack, net, (1, 5, 24, 7, 24))
    odd_widths(root)

    fusion = {"module": "cross_attention_fusion", "d_model": 24, "nhead": 3}
    module(root, "cross_attention_fusion_basic", fusion, Fusion(24, 3, 48), (1, 5, 24, 9, 24))
    seen = [[1, 1, 0, 1, 1, 1, 0], [1] * 7, [0, 0, 0, 0, 0, 0, 1]]
    fusion = {"module": "cross_attention_fusion", "nhead": 3, "layer_norm_eps": 0.01, "activation": "silu"}
    net = Fusion(24, 3, 40, 0.01, nn.SiLU())
    module(root, "cross_attention_fusion_masked_f16", fusion, net, (3, 1, 24, 7, 24), seen, torch.float16)


# ---- Mllama ----

def mllama_layer(case, config, index, dtype):
    layer = case.randomise(MllamaCrossAttentionDecoderLayer(config, index), dtype)
    layer.cross_attn.config._attn_implementation = "eager"
    return layer


def run_mllama(layer, text, media, mask, tokens):
    """mask [B,T,I,tiles] or None; media [B,K,Dt] with `tokens` rows for each tile."""
    seen = {}
    hook = layer.cross_attn.register_forward_hook(lambda m, args, out: seen.update(weights=out[1]))
    additive = full_rows = None
    if mask is not None:
        additive, full_rows = _prepare_cross_attention_mask(mask.float(), tokens, torch.float32)
    with torch.no_grad():
        hidden = layer(text, media, additive, None, full_rows)
    hook.remove()
    return hidden, seen["weights"]


def mllama(root, name, shapes, mask=None, dtype=torch.float32, prefix="language_model.model.layers.", listed=True,
           heads=(4, 2), layout="rows", vision=(), act="silu", eps=1e-5, little=False):
    """shapes: B, T, I, tiles, tokens of a tile.  layout of media: rows [B,K,Dt], pictures [B,I,M,Dt] or tiles
    [B I tiles, tokens, Dt].  little: so little before every norm that eps shows, which is the default then."""
    B, T, I, tiles, tokens = shapes
    Dt, Dv = 32, 40
    case = Case(root, name)
    text_config = {"hidden_size": Dt, "num_attention_heads": heads[0], "num_key_value_heads": heads[1],
                   "intermediate_size": 48, "rms_norm_eps": eps, "hidden_act": act}
    config = MllamaTextConfig(**text_config, cross_attention_layers=[1, 3], num_hidden_layers=4,
                              attn_implementation="eager")
    layers = {i: mllama_layer(case, config, i, dtype) for i in (1, 3)}
    if little:
        assert text_config.pop("rms_norm_eps") == MllamaTextConfig().rms_norm_eps
        a = layers[1].cross_attn
        faint(case, a.q_proj, a.k_proj, a.o_proj)
    for i, layer in layers.items():
        case.keep(layer, f"{prefix}{i}.")
    projector = case.randomise(nn.Linear(Dv, Dt), dtype)
    case.keep(projector, ("model." if prefix.startswith("model.") else "") + "multi_modal_projector.")
    case.decoy("language_model.model.layers.0.self_attn.q_proj.weight")
    if listed:
        text_config["cross_attention_layers"] = [1, 3]
    case.config({"model_type": "mllama", "text_config": text_config, "vision_config": {"vision_output_dim": Dv}})
    case.save()

    text = case.give("text", case.normal(B, T, Dt) * (0.001 if little else 1))
    media = case.normal(B, I * tiles * tokens, Dt)
    forms = {"rows": (B, -1, Dt), "pictures": (B, I, -1, Dt), "tiles": (B * I * tiles, tokens, Dt)}
    case.give("media", media.reshape(forms[layout]))
    if mask is not None:
        case.give("cross_mask", mask)
        mask = mask if mask.dim() == 4 else mask[..., None].expand(B, T, I, tiles)
    hidden, weights = run_mllama(layers[1], text, media, mask, tokens)
    case.expect("hidden", hidden)
    case.expect("attention", weights)
    features = case.give("vision", case.normal(*(vision or (B * I * tiles, tokens)), Dv))
    with torch.no_grad():
        case.expect("tokens", projector(features).reshape(-1, features.shape[-2], Dt))
    return case, lambda: run_mllama(layers[3], text, media, mask, tokens)


IMAGE = 9
PROMPTS = [  # ids, tiles of each picture, length of the mask
    ([1, IMAGE, 2, 3, 4], [3], 5),
    ([1, IMAGE, 2, 3, 4], [2], 8),  # a single picture is seen to the end of the padding
    ([IMAGE, 1, 2, IMAGE, 3, 4], [1, 4], 6),
    ([IMAGE, 1, 2, IMAGE, 3, 4], [1, 4], 9),  # of several the last is not
    ([1, IMAGE, IMAGE, 2, IMAGE, IMAGE, IMAGE, 3], [4, 1, 2, 3, 4], 8),  # pictures side by side
    ([1, IMAGE, 2, IMAGE], [2, 2], 4),  # the last token is a picture
    ([1, IMAGE, 2, 3, IMAGE, 4, 5], [2, 3], 5),  # cut
    ([IMAGE, IMAGE], [1, 2], 3),
    ([1, 2, 3], [], 3),
]


def sparse_masks(case, max_tiles=4):
    """Prompts and their dense masks, one after another; ids padded with -1."""
    longest = max(len(ids) for ids, _, _ in PROMPTS)
    most = max(len(tiles) for _, tiles, _ in PROMPTS)
    all_ids = np.full((len(PROMPTS), longest), -1, np.int64)
    all_tiles = np.zeros((len(PROMPTS), most), np.int64)
    sizes, dense = [], []
    for row, (ids, tiles, length) in enumerate(PROMPTS):
        sparse = get_cross_attention_token_mask(ids, IMAGE)
        mask = convert_sparse_cross_attention_mask_to_dense([sparse], [tiles], max_tiles, length)
        assert mask.shape == (1, length, len(tiles), max_tiles)
        all_ids[row, :len(ids)] = ids
        all_tiles[row, :len(tiles)] = tiles
        sizes.append([len(ids), len(tiles), length, max_tiles])
        dense.append(mask.reshape(-1))
    np.save(case.folder / "mask_ids.npy", all_ids)
    np.save(case.folder / "mask_tiles.npy", all_tiles)
    np.save(case.folder / "mask_sizes.npy", np.array(sizes, np.int64))
    np.save(case.folder / "mask_dense.npy", np.concatenate(dense).astype(np.int64))


def make(root):
    modules(root)

    # Position 0 sees nothing, hence everything without its MLP; position 3 one tile of two.
    mask = torch.ones(1, 5, 1, 2, dtype=torch.int64)
    mask[0, 0] = 0
    mask[0, 3, 0, 1] = 0
    case, second = mllama(root, "mllama_basic", (1, 5, 1, 2, 5), mask, vision=(1, 1, 2, 5))
    hidden, weights = second()
    np.save(case.folder / "layer1_hidden.npy", hidden.numpy())
    np.save(case.folder / "layer1_attention.npy", weights.numpy())
    sparse_masks(case)

    generator = torch.Generator().manual_seed(4)
    mask = torch.randint(0, 2, (3, 1, 2, 2), generator=generator)
    mask[1] = 0
    mllama(root, "mllama_step_f16", (3, 1, 2, 2, 3), mask, torch.float16, "model.language_model.layers.",
           layout="pictures")
    mask = torch.randint(0, 2, (3, 5, 2), generator=generator, dtype=torch.bool)
    mask[2, 1:3] = False
    mllama(root, "mllama_pictures_bf16", (3, 5, 2, 1, 7), mask, torch.bfloat16, listed=False, heads=(4, 1),
           act="gelu", eps=0.01)
    case, second = mllama(root, "mllama_no_mask", (1, 5, 1, 2, 5), None, heads=(2, 2), layout="tiles")
    np.save(case.folder / "layer1_hidden.npy", second()[0].numpy())
    mllama(root, "mllama_faint", (1, 3, 1, 1, 4), None, little=True)
