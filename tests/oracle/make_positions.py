"""Writes tests/positions, or with --check compares: rotary angles and rotated values, ids of mixed prompts, and resized
tables, as the classes of transformers make them.

A case is a folder with in_NAME.npy and out_NAME.npy.  angles_*: `layout` holds layout, pairs, width, base and the
sections as clfusion/rotary.h and clfusion/positions.h number them.  prompts_*: `rule` holds rule, merge and
tokens_per_second.  tables_*: `options` holds filter, align_corners, antialias and merge.
"""

import argparse
import inspect
import shutil
import sys
import tempfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from make_all import differences
from transformers import vision_utils
from transformers.models.ernie4_5_vl_moe import configuration_ernie4_5_vl_moe as ernie_config
from transformers.models.ernie4_5_vl_moe import modeling_ernie4_5_vl_moe as ernie
from transformers.models.glm4v import configuration_glm4v as glm4v_config
from transformers.models.glm4v import modeling_glm4v as glm4v
from transformers.models.hunyuan_vl import configuration_hunyuan_vl as hunyuan_config
from transformers.models.hunyuan_vl import modeling_hunyuan_vl as hunyuan
from transformers.models.llama4 import configuration_llama4 as llama4_config
from transformers.models.llama4 import modeling_llama4 as llama4
from transformers.models.pixtral import configuration_pixtral as pixtral_config
from transformers.models.pixtral import modeling_pixtral as pixtral
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5
from transformers.models.qwen2_vl import configuration_qwen2_vl as qwen2_config
from transformers.models.qwen2_vl import modeling_qwen2_vl as qwen2
from transformers.models.qwen3_5 import configuration_qwen3_5 as qwen3_5_config
from transformers.models.qwen3_5 import modeling_qwen3_5 as qwen3_5
from transformers.models.qwen3_vl import configuration_qwen3_vl as qwen3_config
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3
from transformers.models.siglip2 import modeling_siglip2 as siglip2

FOLDER = Path(__file__).parent.parent / "positions"
GRID, PIXTRAL, LLAMA4, SECTIONED, INTERLEAVED, ROUND_ROBIN, ALTERNATING, WHOLE_HEAD = range(8)
HALVES, ADJACENT, QUARTERS = range(3)
QWEN2_VL, QWEN2_5_VL, QWEN3_VL = range(3)
BILINEAR, BICUBIC = range(2)


class Case:
    """Everything random comes from a generator seeded with the name of the case."""

    def __init__(self, root, name):
        self.folder = root / name
        self.folder.mkdir(parents=True)
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator)

    def whole(self, low, high, *shape):
        return torch.randint(low, high, shape, generator=self.generator)

    def give(self, name, value):
        value = np.ascontiguousarray(value)
        np.save(self.folder / f"in_{name}.npy", value)
        return value

    def expect(self, name, value):
        np.save(self.folder / f"out_{name}.npy", np.ascontiguousarray(value.detach().numpy()))


# ---- angles: cosines and sines [B, T, columns as the class gives them], y from x [B, T, H, D] ----


def angles(case, layout, pairs, base, sections, positions, cosines, sines, x, y, grids=None, merge=1,
           frequency=None):
    width = cosines.shape[-1]
    case.give("layout", np.array([layout, pairs, width, base, *sections], dtype=np.float64))
    case.give("positions", positions.to(torch.int32).numpy())
    case.expect("cosines", cosines)
    case.expect("sines", sines)
    case.give("x", x.numpy())
    case.expect("y", y)
    if frequency is not None:
        case.expect("frequency", frequency)
    if grids is not None:
        case.give("grids", grids.numpy())
        case.give("merge", np.array([merge]))


def text_case(root, name, layout, pairs, config, cls, apply, batch, length, axes=3, head=128, top=3000):
    """A class of a language model: position_ids [axes, B, T], and q [B, H, T, D] as its attention calls it."""
    case = Case(root, "angles_" + name)
    positions = case.whole(0, top, axes, batch, length)
    x = case.normal(batch, length, 2, head)
    rotary = cls(config)
    cosines, sines = rotary(x, positions)
    q = x.transpose(1, 2)
    y = apply(q, q, cosines, sines)[0].transpose(1, 2)
    parameters = config.rope_parameters
    sections = rotary.mrope_section if hasattr(rotary, "mrope_section") else parameters["mrope_section"]
    frequency = rotary.inv_freq.repeat(2) if layout == WHOLE_HEAD else rotary.inv_freq
    angles(case, layout, pairs, parameters["rope_theta"], sections, positions, cosines, sines, x, y,
           frequency=None if layout == ALTERNATING else frequency)  # ERNIE's stand in another order


def parameters(base, sections, **others):
    return {"rope_type": "default", "rope_theta": base, "mrope_section": sections, **others}


def make_text(root):
    config = qwen2_config.Qwen2VLTextConfig(
        hidden_size=256, num_attention_heads=2, rope_parameters=parameters(1e6, [16, 24, 24])
    )
    for name, batch, top in (("qwen2_vl", 3, 3000), ("qwen2_vl_far", 1, 40000)):
        text_case(root, name, SECTIONED, HALVES, config, qwen2.Qwen2VLRotaryEmbedding, qwen2.apply_rotary_pos_emb,
                  batch, 3, top=top)
    config = qwen3_config.Qwen3VLTextConfig(
        hidden_size=256, num_attention_heads=2, head_dim=128, rope_parameters=parameters(5e6, [24, 20, 20])
    )
    for name, batch, top in (("qwen3_vl", 3, 3000), ("qwen3_vl_far", 1, 200000)):
        text_case(root, name, INTERLEAVED, HALVES, config, qwen3.Qwen3VLTextRotaryEmbedding,
                  qwen3.apply_rotary_pos_emb, batch, 3, top=top)
    config = qwen3_5_config.Qwen3_5TextConfig(
        hidden_size=512, num_attention_heads=2, head_dim=256,
        rope_parameters=parameters(1e7, [11, 11, 10], partial_rotary_factor=0.25),
    )
    text_case(root, "qwen3_5", INTERLEAVED, HALVES, config, qwen3_5.Qwen3_5TextRotaryEmbedding,
              qwen3_5.apply_rotary_pos_emb, 1, 5, head=256)
    config = glm4v_config.Glm4vTextConfig(
        hidden_size=256, num_attention_heads=2,
        rope_parameters=parameters(1e4, [8, 12, 12], partial_rotary_factor=0.5),
    )
    text_case(root, "glm4v", SECTIONED, ADJACENT, config, glm4v.Glm4vTextRotaryEmbedding, glm4v.apply_rotary_pos_emb, 3,
              3)
    config = ernie_config.Ernie4_5_VLMoeTextConfig(
        hidden_size=256, num_attention_heads=2, num_key_value_heads=2, rope_parameters=parameters(5e5, [22, 22, 20])
    )
    text_case(root, "ernie", ALTERNATING, ADJACENT, config, ernie.Ernie4_5_VLMoeTextRotaryEmbedding,
              ernie.apply_rotary_pos_emb, 1, 5)
    config = hunyuan_config.HunYuanVLTextConfig(
        hidden_size=256, num_attention_heads=2, head_dim=128, rope_parameters=parameters(1e4, [16, 16, 16, 16])
    )
    text_case(root, "hunyuan", WHOLE_HEAD, HALVES, config, hunyuan.HunYuanVLRotaryEmbedding,
              hunyuan.apply_rotary_pos_emb, 3, 3, axes=4)


def frequencies(base, width):
    return 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float) / width))


def make_round_robin(root):
    """Axis i mod 3 for frequency i; pairs i, i + D/2 turned as complex numbers."""
    case = Case(root, "angles_round_robin")
    positions, x = case.whole(0, 500, 3, 3, 4), case.normal(3, 4, 2, 40)
    axis = torch.arange(20) % 3
    angle = positions.float()[axis].permute(1, 2, 0) * frequencies(1e4, 40)
    turn = torch.polar(torch.ones_like(angle), angle)[:, :, None]
    y = torch.complex(x[..., :20], x[..., 20:]) * turn
    twice = torch.cat([angle, angle], -1)
    angles(case, ROUND_ROBIN, HALVES, 1e4, [], positions, twice.cos(), twice.sin(), x,
           torch.cat([y.real, y.imag], -1))


def make_pictures(root):
    grids = torch.tensor([[1, 4, 6], [2, 6, 2]])
    config = qwen2_config.Qwen2VLVisionConfig(embed_dim=80, num_heads=2, hidden_size=64)
    ids = vision_utils.get_vision_position_ids(grids, 2)
    case = Case(root, "angles_qwen2_vl_picture")
    x = case.normal(len(ids), 2, 40)
    rotary = qwen2.Qwen2VLVisionRotaryEmbedding(config)
    cosines, sines = rotary(x, ids)
    y = qwen2.apply_rotary_pos_emb_vision(x, x, cosines, sines)[0]
    angles(case, GRID, HALVES, 1e4, [], ids.T, cosines[None], sines[None], x[None], y[None], grids, 2,
           rotary.inv_freq.repeat(2))

    grids = torch.tensor([[1, 3, 5], [1, 7, 2]])
    config = pixtral_config.PixtralVisionConfig(hidden_size=64, num_attention_heads=2)
    ids = vision_utils.get_vision_position_ids(grids, 1)
    case = Case(root, "angles_pixtral")
    x = case.normal(1, len(ids), 2, 32)
    rotary = pixtral.PixtralVisionRotaryEmbedding(config)
    cosines, sines = rotary(x, ids)
    y = pixtral.apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cosines, sines, unsqueeze_dim=0)[0]
    angles(case, PIXTRAL, HALVES, 1e4, [], ids.T, cosines[None], sines[None], x, y.transpose(1, 2), grids,
           frequency=rotary.inv_freq)

    config = llama4_config.Llama4VisionConfig(hidden_size=48, num_attention_heads=2, image_size=70, patch_size=14)
    case = Case(root, "angles_llama4")
    x = case.normal(3, 26, 2, 24)
    turn = llama4.Llama4VisionRotaryEmbedding(config)(x)
    y = llama4.vision_apply_rotary_emb(x, x, turn)[0]
    cosines, sines = (part[:, 0].repeat_interleave(2, -1)[None] for part in (turn.real, turn.imag))
    places = torch.arange(25)
    ids = torch.stack([torch.cat([places // 5 + 1, places[:1]]), torch.cat([places % 5 + 1, places[:1]])])
    angles(case, LLAMA4, ADJACENT, 1e4, [], ids, cosines, sines, x, y)


def make_quarters(root):
    """The seed's layout: features in four quarters, the first two turned by rows, the others by columns."""
    grids = torch.tensor([[1, 5, 3]])
    ids = vision_utils.get_vision_position_ids(grids, 1)
    case = Case(root, "angles_quarters")
    x = case.normal(1, 15, 3, 40)
    angle = torch.stack([ids[:, axis, None].float() * frequencies(1e4, 20) for axis in (0, 1)], 1)
    pairs = torch.view_as_complex(x.view(1, 15, 3, 2, 2, 10).transpose(-1, -2).contiguous())
    turned = pairs * torch.polar(torch.ones_like(angle), angle)[None, :, None]
    y = torch.view_as_real(turned).transpose(-1, -2).reshape(x.shape)
    twice = angle.repeat_interleave(2, 1).reshape(1, 15, 40)
    angles(case, GRID, QUARTERS, 1e4, [], ids.T, twice.cos(), twice.sin(), x, y, grids)


# ---- prompts: get_rope_index ----


def parse(text, length, left):
    """t text, i picture, v video, . a masked token; padding to `length`, on the left or the right."""
    kinds = [max("tiv".find(c), 0) for c in text]
    padding = [0] * (length - len(kinds))
    mask = [int(c != ".") for c in text]
    return (padding + kinds, padding + mask) if left else (kinds + padding, mask + padding)


def prompts(root, name, rule, texts, images, videos, masked=True, left=False, seconds=None, per_second=2.0):
    case = Case(root, "prompts_" + name)
    length = max(map(len, texts)) + (2 if masked else 0)
    rows = [parse(text, length, left) for text in texts]
    types, mask = (torch.tensor([row[i] for row in rows]) for i in (0, 1))
    vision = SimpleNamespace(spatial_merge_size=2, tokens_per_second=per_second)
    cls = (qwen2.Qwen2VLModel, qwen2_5.Qwen2_5_VLModel, qwen3.Qwen3VLModel)[rule]
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision))
    model.get_vision_position_ids = lambda *a, **k: cls.get_vision_position_ids(model, *a, **k)
    grids = {f"{kind}_grid_thw": torch.tensor(g) for kind, g in (("image", images), ("video", videos)) if g}
    extra = {} if seconds is None else {"second_per_grid_ts": torch.tensor(seconds)}
    positions, deltas = inspect.unwrap(cls.get_rope_index)(
        model, torch.zeros_like(types), types, attention_mask=mask if masked else None, **grids, **extra
    )
    case.give("rule", np.array([rule, 2, per_second], dtype=np.float64))
    case.give("types", types.numpy())
    if masked:
        case.give("mask", mask.numpy())
    if images:
        case.give("images", np.array(images))
    if videos:
        case.give("videos", np.array(videos))
    if seconds is not None:
        case.give("seconds", np.array(seconds, dtype=np.float32).astype(np.float64))
    case.expect("positions", positions)
    case.expect("deltas", deltas)


def make_prompts(root):
    picture, odd, video = [1, 4, 6], [1, 7, 5], [3, 4, 2]  # 6, 6 and 3 x 2 tokens by merge 2
    one = "tttt" + "i" * 6 + "tt"
    two = "t" + "i" * 6 + "ttt" + "i" * 6 + "ttttt"
    film = "tt" + "v" * 6 + "ttt"
    mixed = "t" + "v" * 6 + "i" * 6 + "tt" + "i" * 6 + "t" + "v" * 6
    frames = "tt" + "vvttt" * 3
    prompts(root, "one_picture", QWEN2_VL, [one], [picture], [], masked=False)
    for left in (False, True):
        side = "left" if left else "right"
        prompts(root, f"qwen2_vl_{side}", QWEN2_VL, [two, film, mixed], [odd, picture, odd, picture], [video] * 3,
                left=left)
        prompts(root, f"qwen3_vl_{side}", QWEN3_VL, [two, frames, one + frames], [odd, picture, picture],
                [video, video], left=left)
    prompts(root, "qwen2_5_vl_left", QWEN2_5_VL, [two, film, mixed], [odd, picture, odd, picture], [video] * 3,
            left=True, seconds=[0.75, 1.0, 4.3])
    prompts(root, "qwen2_5_vl_plain", QWEN2_5_VL, [film], [], [video], masked=False)
    long = [[40, 2, 2]]
    for seconds in (0.05, 0.7, 1.0 / 3.0, 2.3):  # 0.7: 5 frames are 7 in float32, less in double
        prompts(root, f"qwen2_5_vl_{seconds:.2f}", QWEN2_5_VL, ["t" + "v" * 40 + "t"], [], long, masked=False,
                seconds=[seconds], per_second=2.0 if seconds == 0.7 else 4.0)
    prompts(root, "qwen2_5_vl_holes", QWEN2_5_VL, ["t.ii.iiii.t", "t" + "v" * 6 + ".t"], [[3, 2, 4]], [video],
            seconds=[3.0])
    prompts(root, "text", QWEN3_VL, ["tttttt", "ttt", "t"], [], [], left=True)


# ---- learned tables ----


def resized(table, grid, mode, align, merge):
    """transformers' gathered rows and weights: [N, C]."""
    grids = torch.tensor([[1, *grid]])
    indices, weights = vision_utils.get_vision_interpolation_indices_and_weights(
        grids, table.shape[0], mode=mode, align_corners=align, spatial_merge_size=merge
    )
    return (table.reshape(-1, table.shape[-1])[indices] * weights[..., None]).sum(1).view(*grid, -1)


def interpolated(table, grid, **options):
    maps = torch.nn.functional.interpolate(table.permute(2, 0, 1)[None], size=grid, **options)
    return maps[0].permute(1, 2, 0)


def table_case(root, name, shape, options, result):
    case = Case(root, "tables_" + name)
    table = case.normal(*shape)
    case.give("table", table.numpy())
    case.give("options", np.array(options, dtype=np.float64))
    case.expect("table", result(table))


def make_tables(root):
    table_case(root, "qwen3_vl", (6, 6, 5), (BILINEAR, 1, 0, 2), lambda t: resized(t, (8, 4), "bilinear", True, 2))
    table_case(root, "qwen3_vl_one", (6, 6, 3), (BILINEAR, 1, 0, 1), lambda t: resized(t, (1, 9), "bilinear", True, 1))
    table_case(root, "paddleocr", (5, 5, 4), (BILINEAR, 0, 0, 1), lambda t: resized(t, (3, 11), "bilinear", False, 1))
    table_case(root, "kimi", (4, 4, 6), (BICUBIC, 0, 0, 2), lambda t: resized(t, (6, 10), "bicubic", False, 2))
    table_case(root, "siglip", (7, 7, 3), (BICUBIC, 0, 0, 1),
               lambda t: interpolated(t, (5, 13), mode="bicubic", align_corners=False))
    table_case(root, "corners", (3, 8, 2), (BICUBIC, 1, 0, 1),
               lambda t: interpolated(t, (7, 5), mode="bicubic", align_corners=True))
    table_case(root, "bicubic_antialias", (9, 12, 2), (BICUBIC, 0, 1, 1),
               lambda t: interpolated(t, (4, 5), mode="bicubic", align_corners=False, antialias=True))

    def siglip2_table(table):
        resize = siglip2.Siglip2VisionEmbeddings.resize_positional_embeddings
        return resize(table, torch.tensor([[3, 10]]), 30)[0].view(3, 10, -1)

    table_case(root, "siglip2", (8, 8, 5), (BILINEAR, 0, 1, 1), siglip2_table)

    def glm4v_table(table):
        grid = torch.tensor([[1, 4, 6]])
        rows, columns = vision_utils.get_vision_position_ids(grid, 2).T
        weight = SimpleNamespace(weight=table.reshape(-1, table.shape[-1]))
        model = SimpleNamespace(position_embedding=weight, interpolated_method="bicubic")
        none = torch.zeros(24, table.shape[-1])
        return glm4v.Glm4vVisionEmbeddings.forward(model, none, [24], grid, rows, columns).view(4, 6, -1)

    table_case(root, "glm4v", (5, 5, 3), (BICUBIC, 0, 0, 2), glm4v_table)


def make(root):
    torch.set_num_threads(1)
    for part in (make_text, make_round_robin, make_pictures, make_quarters, make_prompts, make_tables):
        part(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()

    if not options.check:
        if options.output.exists():
            shutil.rmtree(options.output)
        make(options.output)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        found = list(differences(Path(folder), options.output))
    print("\n".join([*found, f"{len(found)} files differ"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
