"""paligemma, fuyu, janus: transformers' own classes."""

import torch
from case import Case, merge
from transformers.image_utils import SizeDict
from transformers.models.fuyu import modeling_fuyu as fuyu
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.janus import modeling_janus as janus
from transformers.models.paligemma import modeling_paligemma as paligemma


def run(case, module, *shape):
    vision = case.give("vision", case.normal(*shape))
    with torch.no_grad():
        return case.expect("tokens", module(vision))


def make_paligemma(root):
    for name, prefix, dtype, keys in (
        ("paligemma_basic", "", torch.float32, {}),
        ("paligemma_prefixed_bf16", "model.", torch.bfloat16, {"image_token_index": 4}),
    ):
        case = Case(root, name)
        values = {
            "model_type": "paligemma",
            "projection_dim": 56,
            "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 36, "projection_dim": 56},
            "text_config": {"model_type": "gemma", "hidden_size": 56},
            **keys,
        }
        config = paligemma.PaliGemmaConfig.from_dict(case.config(values))
        module = case.randomise(paligemma.PaliGemmaMultiModalProjector(config), dtype)
        case.keep(module, prefix + "multi_modal_projector.")
        case.save()
        tokens = run(case, module, 2, 7, 36)
        text, ids = case.text(2, 10, 56, config.image_token_id, 14)
        case.expect("fused", merge(paligemma.PaliGemmaModel, config, text, ids, tokens))


def fuyu_patches(case, batch):
    """Pictures of 2 x 3 patches, cut as the processor does."""
    processor, image = FuyuImageProcessorPil(), case.give("image", case.normal(batch, 3, 6, 9))
    return torch.stack([torch.from_numpy(processor.patchify_image(i.numpy(), SizeDict(3, 3))) for i in image])


def make_fuyu(root):
    for name, prefix, dtype, pictures in (
        ("fuyu_basic", "", torch.float32, 0),
        ("fuyu_prefixed_f16", "model.", torch.float16, 0),
        ("fuyu_image", "", torch.float32, 1),
        ("fuyu_images_bf16", "", torch.bfloat16, 3),
    ):
        case = Case(root, name)
        values = {
            "model_type": "fuyu",
            "patch_size": 3,
            "num_channels": 3,
            "text_config": {
                "model_type": "persimmon",
                "hidden_size": 32,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "vocab_size": 16,
                "pad_token_id": 0,
            },
        }
        config = fuyu.FuyuConfig.from_dict(case.config(values))
        module = case.randomise(fuyu.FuyuModel(config).vision_embed_tokens, dtype)
        case.keep(module, prefix + "vision_embed_tokens.")
        case.save()
        if pictures:
            tokens = case.expect("tokens", module(fuyu_patches(case, pictures)))
        else:
            tokens = run(case, module, 1, 6, 27)
        text, ids = case.text(1, 9 + 6 * pictures, 32, config.image_token_id, 6 * max(pictures, 1))
        case.expect("fused", merge(fuyu.FuyuModel, config, text, ids, tokens))


def aligner(case, depth, act, dtype):
    vision = {"hidden_size": 40, "projection_dim": 48, "depth": depth, "hidden_act": act, "num_attention_heads": 2}
    config = janus.JanusVisionConfig(**vision)
    return vision, case.randomise(janus.JanusVisionAlignerMLP(config), dtype)


def make_janus(root):
    for name, prefix, depth, act, dtype in (
        ("janus_hub", "model.", 2, "gelu", torch.float32),
        ("janus_hub_depth3", "", 3, "gelu_pytorch_tanh", torch.bfloat16),
    ):
        case = Case(root, name)
        vision, module = aligner(case, depth, act, dtype)
        config = janus.JanusConfig.from_dict(case.config({"model_type": "janus", "vision_config": vision}))
        case.keep(module, prefix + "aligner.")
        case.decoy(prefix + "generation_aligner.fc1.weight")
        case.save()
        tokens = run(case, module, 1, 5, 40)
        text, ids = case.text(1, 8, 48, config.image_token_id, 5)
        case.expect("fused", merge(janus.JanusModel, config, text, ids, tokens))

    # The authors' names.
    case = Case(root, "janus_original")
    _, module = aligner(case, 2, "gelu", torch.float16)
    params = {"depth": 2, "input_dim": 40, "n_embed": 48, "projector_type": "mlp_gelu"}
    case.config({"model_type": "multi_modality", "aligner_config": {"cls": "MlpProjector", "params": params}})
    case.keep(module, "aligner.", {"fc1": "layers.0", "hidden_layers.0": "layers.2"})
    case.save()
    run(case, module, 3, 4, 40)

    case = Case(root, "janus_original_linear")
    module = case.randomise(torch.nn.Linear(24, 20))
    case.config({"model_type": "multi_modality"})
    case.keep(module, "aligner.layers.")
    case.save()
    run(case, module, 1, 4, 24)


def make(root):
    make_paligemma(root)
    make_fuyu(root)
    make_janus(root)
