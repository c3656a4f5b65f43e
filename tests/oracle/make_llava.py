"""llava and the families with the same projector, vipllava, llava_original: transformers' own classes."""

import torch
from case import Case, merge
from transformers.models.fast_vlm import modeling_fast_vlm as fast_vlm
from transformers.models.llava import modeling_llava as llava
from transformers.models.llava_next import modeling_llava_next as llava_next
from transformers.models.llava_next_video import modeling_llava_next_video as llava_next_video
from transformers.models.llava_onevision import modeling_llava_onevision as llava_onevision
from transformers.models.video_llava import modeling_video_llava as video_llava
from transformers.models.vipllava import modeling_vipllava as vipllava

# family: configuration class, projector class, model class
CLASSES = {
    "llava": (llava.LlavaConfig, llava.LlavaMultiModalProjector, llava.LlavaModel),
    "llava_next": (
        llava_next.LlavaNextConfig,
        llava_next.LlavaNextMultiModalProjector,
        llava_next.LlavaNextModel,
    ),
    "llava_next_video": (
        llava_next_video.LlavaNextVideoConfig,
        llava_next_video.LlavaNextVideoMultiModalProjector,
        llava_next_video.LlavaNextVideoModel,
    ),
    "llava_onevision": (
        llava_onevision.LlavaOnevisionConfig,
        llava_onevision.LlavaOnevisionMultiModalProjector,
        llava_onevision.LlavaOnevisionModel,
    ),
    "fast_vlm": (fast_vlm.FastVlmConfig, fast_vlm.FastVlmMultiModalProjector, fast_vlm.FastVlmModel),
    "video_llava": (
        video_llava.VideoLlavaConfig,
        video_llava.VideoLlavaMultiModalProjector,
        video_llava.VideoLlavaModel,
    ),
    "vipllava": (vipllava.VipLlavaConfig, vipllava.VipLlavaMultiModalProjector, vipllava.VipLlavaModel),
}
TOWERS = {"llava_onevision": ("siglip_vision_model", "qwen2"), "fast_vlm": ("timm_wrapper", "qwen2")}


def projector(case, family, Dv, Dt, keys=None, dtype=torch.float32, prefix="", layers=1, shards=False):
    """A checkpoint with its config.json; returns configuration, projector and model class."""
    config_class, projector_class, model_class = CLASSES[family]
    tower, language = TOWERS.get(family, ("clip_vision_model", "llama"))
    values = {
        "model_type": family,
        "vision_config": {"model_type": tower, "hidden_size": Dv, "num_attention_heads": 1},
        "text_config": {
            "model_type": language,
            "hidden_size": Dt,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 8,
        },
        **(keys or {}),
    }
    case.config(values)
    config = config_class.from_dict(values)
    module = case.randomise(projector_class(config), dtype)
    case.keep(module, prefix + "multi_modal_projector.")
    case.decoy(prefix + "vision_tower.pre", prefix + "language_model.norm")
    case.save_shards() if shards else case.save()
    return config, module, model_class


def run(case, module, *shape):
    vision = case.give("vision", case.normal(*shape))
    with torch.no_grad():
        return case.expect("tokens", module(vision))


def fuse(case, config, model_class, tokens, batch, length, video=False):
    placeholder = config.video_token_id if video else config.image_token_id
    text, ids = case.text(batch, length, tokens.shape[-1], placeholder, tokens.shape[0] * tokens.shape[1])
    case.expect("fused", merge(model_class, config, text, ids, tokens, video))


def make_llava(root):
    case = Case(root, "llava_basic")
    config, module, model = projector(case, "llava", 40, 56)
    fuse(case, config, model, run(case, module, 1, 5, 40), 1, 9)

    case = Case(root, "llava_prefixed_f16")
    config, module, model = projector(
        case, "llava", 40, 56, {"image_token_index": 7}, torch.float16, prefix="model."
    )
    fuse(case, config, model, run(case, module, 3, 1, 40), 2, 4)  # three pictures in two texts

    case = Case(root, "llava_shards_bf16")
    _, module, _ = projector(case, "llava", 37, 53, dtype=torch.bfloat16, shards=True)
    run(case, module, 1, 257, 37)

    case = Case(root, "llava_no_bias")
    keys = {"multimodal_projector_bias": False, "projector_hidden_act": "gelu_pytorch_tanh"}
    _, module, _ = projector(case, "llava", 24, 16, keys, shards=True, prefix="model.")
    run(case, module, 3, 5, 24)

    case = Case(root, "llava_layers")
    _, module, _ = projector(case, "llava", 20, 24, {"vision_feature_layer": [-2, -5, 6]})
    run(case, module, 2, 5, 60)

    case = Case(root, "llava_576")
    _, module, _ = projector(case, "llava", 8, 12, dtype=torch.float16)
    run(case, module, 1, 576, 8)

    case = Case(root, "llava_unbatched")
    config, module, model = projector(case, "llava", 16, 24, {"image_token_id": 5})
    tokens = run(case, module, 6, 16)
    text, ids = case.text(1, 8, 24, 5, 6)
    fused = merge(model, config, text, ids, tokens[None])
    case.give("text", text[0]), case.give("text_ids", ids[0]), case.expect("fused", fused[0])

    names = ("gelu_new", "gelu_fast", "gelu_python", "gelu_accurate", "quick_gelu", "silu", "swish", "relu", "relu2")
    for name in names:
        case = Case(root, f"llava_{name}")
        _, module, _ = projector(case, "llava", 12, 20, {"projector_hidden_act": name})
        run(case, module, 1, 7, 12)


def make_kin(root):
    case = Case(root, "llava_next_basic")
    config, module, model = projector(case, "llava_next", 40, 56, prefix="model.")
    fuse(case, config, model, run(case, module, 2, 5, 40), 2, 9)

    case = Case(root, "llava_next_layers_bf16")
    _, module, _ = projector(case, "llava_next", 12, 20, {"vision_feature_layer": [3, -1]}, torch.bfloat16)
    run(case, module, 1, 9, 24)

    for what, video in (("image", False), ("video", True)):
        case = Case(root, f"llava_next_video_{what}")
        config, module, model = projector(case, "llava_next_video", 16, 24, {"projector_hidden_act": "silu"})
        fuse(case, config, model, run(case, module, 2, 4, 16), 1, 12, video)

        case = Case(root, f"video_llava_{what}")
        config, module, model = projector(case, "video_llava", 16, 28, prefix="model." if video else "")
        fuse(case, config, model, run(case, module, 2, 4, 16), 2, 11, video)

        case = Case(root, f"llava_onevision_{what}")
        config, module, model = projector(case, "llava_onevision", 16, 28, dtype=torch.float16)
        fuse(case, config, model, run(case, module, 1, 6, 16), 1, 11, video)

    case = Case(root, "llava_onevision_729")
    _, module, _ = projector(case, "llava_onevision", 6, 10)
    run(case, module, 1, 729, 6)

    case = Case(root, "fast_vlm_basic")
    config, module, model = projector(case, "fast_vlm", 24, 20)
    fuse(case, config, model, run(case, module, 1, 5, 24), 1, 8)


def make_vipllava(root):
    case = Case(root, "vipllava_basic")
    config, module, model = projector(case, "vipllava", 12, 20)
    fuse(case, config, model, run(case, module, 1, 5, 60), 1, 9)

    case = Case(root, "vipllava_eps")
    keys = {"vision_feature_layers": [-2, -5], "projector_layernorm_eps": 0.05}
    config, module, model = projector(case, "vipllava", 20, 24, keys, torch.float16, prefix="model.", shards=True)
    run(case, module, 3, 7, 40)


def make_llava_original(root):
    """mlp2x is the class of llava under other names; linear and mlp3x are what build_vision_projector makes."""
    nn = torch.nn

    case = Case(root, "llava_original_linear")
    case.config({"model_type": "llava", "mm_hidden_size": 40, "hidden_size": 56})  # mm_projector_type: linear
    module = case.randomise(nn.Linear(40, 56), torch.float16)
    case.keep(module, "model.mm_projector.")
    case.save()
    run(case, module, 1, 5, 40)

    case = Case(root, "llava_original_mlp2x")
    tower = {"model_type": "clip_vision_model", "hidden_size": 24}
    language = {"model_type": "llama", "hidden_size": 32}
    config = llava.LlavaConfig.from_dict({"vision_config": tower, "text_config": language})
    module = case.randomise(llava.LlavaMultiModalProjector(config), torch.bfloat16)
    case.config(
        {
            "model_type": "llava_llama",
            "mm_projector_type": "mlp2x_gelu",
            "mm_hidden_size": 24,
            "hidden_size": 32,
            "image_token_index": 3,
        }
    )
    case.keep(module, "model.mm_projector.", {"linear_1": "0", "linear_2": "2"})
    case.decoy("model.layers.0.mlp.down_proj.weight")
    case.save()
    config.image_token_index = 3
    fuse(case, config, llava.LlavaModel, run(case, module, 2, 3, 24), 1, 9)

    case = Case(root, "llava_original_mlp3x")
    layers = [nn.Linear(13, 20), nn.GELU(), nn.Linear(20, 20), nn.GELU(), nn.Linear(20, 20)]
    module = case.randomise(nn.Sequential(*layers))
    case.config({"model_type": "llava", "mm_projector_type": "mlp3x_gelu"})
    case.keep(module, "mm_projector.")
    case.save()
    run(case, module, 3, 4, 13)


def make(root):
    make_llava(root)
    make_kin(root)
    make_vipllava(root)
    make_llava_original(root)
