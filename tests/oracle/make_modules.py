"""clfusion's own modules: composed from torch."""

import torch
from case import Case

nn = torch.nn
ACTIVATIONS = {"gelu": nn.GELU(), "silu": nn.SiLU(), "relu": nn.ReLU(), "gelu_pytorch_tanh": nn.GELU("tanh")}


class Mlp(nn.Module):
    """Linear, activation, Linear, ..., after r consecutive tokens have become one."""

    def __init__(self, widths, activation="gelu", ratio=1):
        super().__init__()
        layers = [nn.Linear(widths[0] * ratio, widths[1])]
        for before, after in zip(widths[1:], widths[2:]):
            layers += [ACTIVATIONS[activation], nn.Linear(before, after)]
        self.mlp = nn.Sequential(*layers)
        self.ratio = ratio

    def forward(self, x):
        B, N, C = x.shape
        return self.mlp(x.reshape(B, N // self.ratio, C * self.ratio))


class Proj(nn.Module):
    def __init__(self, Dv, Dt):
        super().__init__()
        self.proj = nn.Linear(Dv, Dt)

    def forward(self, x):
        return self.proj(x)


class LlavaFusion(nn.Module):
    """Projected tokens, then embedded text."""

    def __init__(self, projector, vocabulary, Dt):
        super().__init__()
        self.projector = projector
        self.text_embed = nn.Embedding(vocabulary, Dt)

    def forward(self, vision, ids):
        return torch.cat([self.projector(vision), self.text_embed(ids)], dim=1)


def projection(root, name, module, options, shape, text=0, dtype=torch.float32, metadata=False):
    case = Case(root, name)
    case.randomise(module, dtype)
    case.keep(module, "")
    config = {"model_type": "clfusion", **options}
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    vision = case.give("vision", case.normal(*shape))
    with torch.no_grad():
        tokens = case.expect("tokens", module(vision))
    if text > 0:
        states = case.give("text", case.normal(shape[0], text, tokens.shape[-1]))
        case.expect("fused", torch.cat([tokens, states], dim=1))


def fusion(root, name, projector, options, shape, vocabulary, Dt, dtype=torch.float32, metadata=False):
    case = Case(root, name)
    module = case.randomise(LlavaFusion(projector, vocabulary, Dt), dtype)
    case.keep(module, "")
    config = {"model_type": "clfusion", "module": "llava_fusion", **options}
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    vision = case.give("vision", case.normal(*shape))
    ids = case.give("text_ids", torch.randint(0, vocabulary, (shape[0], 6), generator=case.generator))
    with torch.no_grad():
        case.expect("tokens", module.projector(vision))
        case.expect("fused", module(vision, ids))


def make(root):
    linear = {"module": "linear_projection", "vision_dim": 40, "llm_dim": 56}
    projection(root, "linear_projection_basic", Proj(40, 56), linear, (1, 5, 40), text=4)
    linear = {"module": "linear_projection", "vision_dim": 37, "llm_dim": 53}
    projection(root, "linear_projection_metadata", Proj(37, 53), linear, (3, 1, 37), metadata=True, dtype=torch.float16)

    mlp = {"module": "mlp_projection", "vision_dim": 40, "llm_dim": 56}
    projection(root, "mlp_projection_basic", Mlp([40, 56, 56]), mlp, (1, 5, 40), text=7)
    mlp = {"module": "mlp_projection", "vision_dim": 37, "llm_dim": 29, "hidden_dim": 53, "depth": 3}
    mlp["activation"] = "silu"
    projection(
        root, "mlp_projection_depth3", Mlp([37, 53, 53, 29], "silu"), mlp, (3, 5, 37), text=1, dtype=torch.bfloat16
    )
    mlp = {"module": "mlp_projection", "vision_dim": 10, "llm_dim": 24, "compress_ratio": 4, "activation": "relu"}
    projection(root, "mlp_projection_merge", Mlp([10, 24, 24], "relu", 4), mlp, (2, 12, 10), text=5, metadata=True)
    mlp = {"module": "mlp_projection", "vision_dim": 11, "llm_dim": 21, "compress_ratio": 3}
    projection(root, "mlp_projection_merge_one", Mlp([11, 21, 21], ratio=3), mlp, (1, 15, 11))
    projection(root, "mlp_projection_merge_f16", Mlp([11, 21, 21], ratio=3), mlp, (3, 9, 11), dtype=torch.float16)
    mlp = {"module": "mlp_projection", "vision_dim": 24, "llm_dim": 20, "depth": 1}
    projection(root, "mlp_projection_depth1", Mlp([24, 20]), mlp, (1, 3, 24))
    mlp = {"module": "mlp_projection", "vision_dim": 8, "llm_dim": 12, "activation": "gelu_pytorch_tanh"}
    projection(root, "mlp_projection_576", Mlp([8, 12, 12], "gelu_pytorch_tanh"), mlp, (1, 576, 8), dtype=torch.float16)

    options = {"vision_dim": 24, "llm_dim": 32, "vocab_size": 50}
    fusion(root, "llava_fusion_mlp", Mlp([24, 32, 32]), options, (1, 5, 24), 50, 32)
    options = {"vision_dim": 24, "llm_dim": 32, "vocab_size": 50, "use_mlp": False}
    fusion(root, "llava_fusion_linear", Proj(24, 32), options, (3, 5, 24), 50, 32, torch.float16)
    options = {"vision_dim": 13, "llm_dim": 27, "vocab_size": 41}
    fusion(root, "llava_fusion_mlp_odd", Mlp([13, 27, 27]), options, (3, 7, 13), 41, 27)
    options = {"vision_dim": 13, "llm_dim": 27, "vocab_size": 41, "use_mlp": False}
    fusion(root, "llava_fusion_linear_one", Proj(13, 27), options, (1, 3, 13), 41, 27)
    options = {"vision_dim": 10, "llm_dim": 28, "vocab_size": 33, "compress_ratio": 2}
    merging = Mlp([10, 28, 28], ratio=2)
    fusion(root, "llava_fusion_merge", merging, options, (2, 6, 10), 33, 28, torch.bfloat16, metadata=True)
