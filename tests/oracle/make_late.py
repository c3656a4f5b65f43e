"""late_fusion and contrastive, and the heads of clip, siglip, siglip2, align and coca with both towers.

Late fusion and CoCa are composed from torch.  The heads of transformers' models run inside CLIPModel, SiglipModel,
Siglip2Model and AlignModel: their towers are replaced by what hands over the features of the case.
"""

import numpy as np
import torch
from case import Case
from make_pool import CoCa, faint, per_head, randomise, unit
from torch.nn import functional as F
from transformers import AlignConfig, CLIPConfig, Siglip2Config, SiglipConfig
from transformers.models.align.modeling_align import AlignModel
from transformers.models.clip.modeling_clip import CLIPModel
from transformers.models.siglip.modeling_siglip import SiglipModel
from transformers.models.siglip2.modeling_siglip2 import Siglip2Model

nn = torch.nn


def some(case, batch, length):
    """A mask with at least one row of each batch entry."""
    mask = (torch.rand(batch, length, generator=case.generator) < 0.6).long()
    mask[:, 1] = 1
    return mask


# ---- late_fusion ----


class LateFusion(nn.Module):
    def __init__(self, Dv, Dt, D, classes, pool, merge):
        super().__init__()
        self.vision_proj = nn.Linear(Dv, D)
        self.text_proj = nn.Linear(Dt, D)
        if pool == "attention":
            self.vision_pool = nn.Module()
            self.vision_pool.query = nn.Parameter(torch.zeros(Dv))
            self.text_pool = nn.Module()
            self.text_pool.query = nn.Parameter(torch.zeros(Dt))
        if classes:
            self.classifier = nn.Linear(2 * D if merge == "concat" else D, classes)
        self.pool, self.merge = pool, merge

    def pooled(self, x, mask, module):
        if self.pool == "cls":
            return x[:, 0]
        keep = torch.ones(x.shape[:2]) if mask is None else mask.float()
        if self.pool == "mean":
            return (x * keep[..., None]).sum(1) / keep.sum(1, keepdim=True).clamp_min(1)
        scores = x @ module.query / x.shape[-1] ** 0.5
        weights = scores.masked_fill(keep == 0, -torch.inf).softmax(-1).nan_to_num(0.0)
        return (weights[..., None] * x).sum(1)

    def forward(self, vision, text, vision_mask, text_mask):
        image = self.vision_proj(self.pooled(vision, vision_mask, getattr(self, "vision_pool", None)))
        words = self.text_proj(self.pooled(text, text_mask, getattr(self, "text_pool", None)))
        fused = torch.cat([image, words], -1) if self.merge == "concat" else image + words
        return image, words, fused, self.classifier(fused) if hasattr(self, "classifier") else None


def make_late_fusion(root):
    # name, dtype, batch, pool, merge, classes, masks
    shapes = (
        ("late_fusion_basic", torch.float32, 1, "mean", "concat", 5, False),
        ("late_fusion_mean_masked", torch.float32, 3, "mean", "add", 4, True),
        ("late_fusion_attention_masked_f16", torch.float16, 3, "attention", "concat", 3, True),
        ("late_fusion_attention", torch.float32, 1, "attention", "add", 0, False),
        ("late_fusion_cls_bf16", torch.bfloat16, 3, "cls", "concat", 0, False),
        ("late_fusion_cls_one", torch.float32, 1, "cls", "add", 7, False),
        ("late_fusion_attention_batch", torch.float32, 3, "attention", "add", 5, False),
    )
    for name, dtype, batch, pool, merge, classes, masked in shapes:
        case = Case(root, name)
        options = {"vision_dim": 23, "text_dim": 20, "dim": 12, "pool": pool, "merge": merge}
        if classes:
            options["num_classes"] = classes
        case.config({"model_type": "clfusion", "module": "late_fusion", **options})
        module = case.randomise(LateFusion(23, 20, 12, classes, pool, merge), dtype)
        case.keep(module, "")
        case.save()
        vision, text = case.give("vision", case.normal(batch, 7, 23)), case.give("text", case.normal(batch, 5, 20))
        masks = [None, None]
        if masked:
            masks = [some(case, batch, 7), some(case, batch, 5)]
            masks[0][2] = 0  # a picture without a row
            case.give("vision_mask", masks[0].bool())
            case.give("text_mask", masks[1].to(torch.uint8))
        with torch.no_grad():
            image, words, fused, logits = module(vision, text, *masks)
        case.expect("image_embeds", image)
        case.expect("text_embeds", words)
        case.expect("fused", fused)
        if logits is not None:
            case.expect("logits", logits)


# ---- contrastive ----


def make_contrastive(root):
    # name, dtype, pictures, texts, activation, k, bias, projections
    shapes = (
        ("contrastive_basic", torch.float32, 1, 3, "softmax", 2, False, (True, True)),
        ("contrastive_sigmoid_f16", torch.float16, 3, 5, "sigmoid", 5, True, (True, True)),
        ("contrastive_plain_bf16", torch.bfloat16, 3, 4, "softmax", 0, True, (False, False)),
        ("contrastive_one_projection", torch.float32, 2, 1, "sigmoid", 0, False, (True, False)),
    )
    for name, dtype, pictures, texts, activation, k, bias, projections in shapes:
        case = Case(root, name)
        config = {"model_type": "clfusion", "module": "contrastive", "activation": activation}
        case.config({**config, "k": k} if k else config)
        widths = [20 if projections[0] else 16, 24 if projections[1] else 16]
        case.dtype = dtype
        for part, there, width in zip(("visual_projection", "text_projection"), projections, widths):
            if there:
                case.tensors[part + ".weight"] = (case.normal(16, width) / width**0.5).to(dtype)
        case.tensors["logit_scale"] = torch.tensor(1.3).to(dtype)
        if bias:
            case.tensors["logit_bias"] = torch.tensor([-0.7]).to(dtype)
        case.save()
        rows = [case.give("vision", case.normal(pictures, widths[0])), case.give("text", case.normal(texts, widths[1]))]
        for i, part in enumerate(("visual_projection", "text_projection")):
            if projections[i]:
                rows[i] = rows[i] @ case.tensors[part + ".weight"].float().T
        image, words = unit(rows[0]), unit(rows[1])
        logits = image @ words.T * case.tensors["logit_scale"].float().exp()
        if bias:
            logits = logits + case.tensors["logit_bias"].float()
        case.expect("image_embeds", image)
        case.expect("text_embeds", words)
        case.expect("logits", logits)
        case.expect("scores", logits.softmax(-1) if activation == "softmax" else logits.sigmoid())
        if k:
            best = (logits.softmax(-1) if activation == "softmax" else logits.sigmoid()).topk(k, dim=-1)
            case.expect("values", best.values)
            np.save(case.folder / "best_indices.npy", best.indices.numpy())  # i64: read by test_contrast_model.c


# ---- towers ----


class Features(nn.Module):
    """In place of an encoder: its last_hidden_state is the case's."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, *args, **kwargs):
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(last_hidden_state=self.features)


class Same(nn.Module):
    def forward(self, x, *args, **kwargs):
        return x


def both_outputs(case, output, scores):
    case.expect("image_embeds", output.image_embeds)
    case.expect("text_embeds", output.text_embeds)
    case.expect("logits", output.logits_per_image)
    case.expect("scores", scores(output.logits_per_image))


def keep_parameters(case, model, names):
    """The parameters whose names begin with one of these."""
    for name, parameter in model.named_parameters():
        if name.startswith(names):
            case.tensors[name] = parameter.detach().to(case.dtype).contiguous()


def make_clip(root):
    tower = {"hidden_size": 24, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1}
    # name, dtype, pictures, texts, more of text_config, layer_norm_eps of vision, ids
    shapes = (
        ("clip_basic", torch.float32, 1, 1, {"eos_token_id": 2}, None, [[49, 5, 88, 2, 2]]),
        ("clip_eos_f16", torch.float16, 3, 2, {"eos_token_id": 90}, 1e-3, [[49, 95, 90, 90, 99], [49, 90, 3, 7, 98]]),
        ("clip_default_bf16", torch.bfloat16, 2, 3, {}, None, [[49406, 5, 49407], [7, 8, 9], [49407, 49407, 1]]),
    )
    for name, dtype, pictures, texts, keys, eps, ids in shapes:
        case = Case(root, name)
        vision_config = {**tower, "image_size": 8, "patch_size": 4}
        if eps:
            vision_config["layer_norm_eps"] = eps
        text_config = {**tower, "hidden_size": 20, "vocab_size": 49408 if not keys else 100, **keys}
        values = {"model_type": "clip", "projection_dim": 16, "vision_config": vision_config, "text_config": text_config}
        config = CLIPConfig.from_dict(case.config(values))
        model = CLIPModel(config)
        case.dtype = dtype
        for part in (model.visual_projection, model.text_projection, model.vision_model.post_layernorm):
            randomise(case, part, dtype)
        if eps:
            with torch.no_grad():
                model.vision_model.post_layernorm.bias.copy_(case.normal(24).to(dtype).float())
        norm = model.vision_model.post_layernorm
        with torch.no_grad():
            norm.weight.copy_((1 + 0.3 * case.normal(24)).to(dtype).float())
            model.logit_scale.copy_(torch.tensor(1.7).to(dtype).float())
        model.eval()
        keep_parameters(
            case, model, ("visual_projection", "text_projection", "logit_scale", "vision_model.post_layernorm")
        )
        case.decoy("vision_model.pre_layrnorm.weight", "text_model.final_layer_norm.weight")
        case.save()
        vision = case.give("vision", case.normal(pictures, 5, 24) * (0.02 if eps else 1))
        ids = case.give("text_ids", torch.tensor(ids))
        text = case.give("text", case.normal(texts, ids.shape[1], 20))
        model.vision_model.pre_layrnorm = Same()
        model.vision_model.encoder = Features(vision)
        model.text_model.encoder = Features(text)
        model.text_model.final_layer_norm = Same()  # `text` is behind it
        with torch.no_grad():
            output = model(
                input_ids=ids.clamp_max(text_config["vocab_size"] - 1), pixel_values=torch.zeros(pictures, 3, 8, 8)
            )
        both_outputs(case, output, lambda logits: logits.softmax(-1))


def make_siglip(root):
    tower = {"hidden_size": 24, "intermediate_size": 20, "num_attention_heads": 4, "num_hidden_layers": 1}
    # name, class, dtype, pictures, texts, projection_size, mask
    shapes = (
        ("siglip_text_basic", SiglipModel, SiglipConfig, torch.float32, 1, 1, None, False),
        ("siglip_text_f16", SiglipModel, SiglipConfig, torch.float16, 3, 2, 24, False),
        ("siglip2_text_mask_bf16", Siglip2Model, Siglip2Config, torch.bfloat16, 3, 4, None, True),
    )
    for name, model_class, config_class, dtype, pictures, texts, size, masked in shapes:
        case = Case(root, name)
        text_config = {**tower, "vocab_size": 50}
        if size:
            text_config.update({"hidden_size": 20, "projection_size": size})
        vision_config = {**tower, "patch_size": 4}
        vision_config |= {"num_patches": 4} if masked else {"image_size": 8}
        values = {"model_type": "siglip2" if masked else "siglip"}
        values |= {"vision_config": vision_config, "text_config": text_config}
        config = config_class.from_dict(case.config(values))
        config._attn_implementation = "eager"
        model = model_class(config)
        case.dtype = dtype
        for part in (model.vision_model.head, model.text_model.head):
            randomise(case, part, dtype)
        with torch.no_grad():
            model.logit_scale.copy_(torch.tensor([1.9]).to(dtype).float())
            model.logit_bias.copy_(torch.tensor([-3.1]).to(dtype).float())
        model.eval()
        keep_parameters(case, model, ("vision_model.head", "text_model.head", "logit_scale", "logit_bias"))
        case.decoy("vision_model.post_layernorm.weight", "text_model.final_layer_norm.weight")
        case.save()
        attention = per_head(model.vision_model.head.attention)
        vision = case.give("vision", case.normal(pictures, 4, 24))
        text = case.give("text", case.normal(texts, 5, text_config["hidden_size"]))
        model.vision_model.encoder = Features(vision)
        model.vision_model.post_layernorm = Same()  # `vision` is behind it
        model.text_model.encoder = Features(text)
        model.text_model.final_layer_norm = Same()
        inputs = {"pixel_values": torch.zeros(pictures, 3, 8, 8)}
        if masked:
            mask = some(case, pictures, 4)
            case.give("vision_mask", mask)
            inputs = {
                "pixel_values": torch.zeros(pictures, 4, 48),
                "pixel_attention_mask": mask,
                "spatial_shapes": torch.tensor([[2, 2]] * pictures),
            }
        with torch.no_grad():
            output = model(input_ids=torch.ones(texts, 5, dtype=torch.long), **inputs)
        both_outputs(case, output, torch.sigmoid)
        case.expect("attention", attention.kept)


def make_align(root):
    text = {"hidden_size": 20, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1}
    # name, dtype, pictures, texts, pooling, rows and columns
    shapes = (
        ("align_basic", torch.float32, 1, 3, None, (3, 3)),
        ("align_f16", torch.float16, 3, 1, "mean", (2, 5)),
        ("align_max_bf16", torch.bfloat16, 3, 2, "max", (4, 4)),
    )
    for name, dtype, pictures, texts, pooling, (rows, columns) in shapes:
        case = Case(root, name)
        vision_config = {"hidden_dim": 16} | ({"pooling_type": pooling} if pooling else {})
        values = {"model_type": "align", "projection_dim": 16}
        config = AlignConfig.from_dict(
            case.config({**values, "vision_config": vision_config, "text_config": {**text, "vocab_size": 50}})
        )
        model = AlignModel(config)
        case.dtype = dtype
        randomise(case, model.text_projection, dtype)
        with torch.no_grad():
            model.temperature.copy_(torch.tensor(0.31).to(dtype).float())
        model.eval()
        keep_parameters(case, model, ("text_projection", "temperature"))
        case.decoy("text_model.pooler.dense.weight")
        case.save()
        feature_map = case.normal(pictures, 16, rows, columns)
        case.give("vision", feature_map.permute(0, 2, 3, 1).reshape(pictures, rows * columns, 16).contiguous())
        words = case.give("text", case.normal(texts, 5, 20))
        model.vision_model.embeddings = Same()
        model.vision_model.encoder = Features(feature_map)
        model.text_model.encoder = Features(words)
        with torch.no_grad():
            output = model(
                input_ids=torch.ones(texts, 5, dtype=torch.long), pixel_values=torch.zeros(pictures, 3, 8, 8)
            )
        both_outputs(case, output, lambda logits: logits.softmax(-1))


def make_coca(root):
    # name, dtype, pictures, texts, the text tower's name of open_clip, a bias of the logits
    shapes = (
        ("coca_text_basic", torch.float32, 1, 3, False),
        ("coca_text_bias_f16", torch.float16, 3, 2, True),
    )
    for name, dtype, pictures, texts, bias in shapes:
        case = Case(root, name)
        case.config({"model_type": "coca", "embed_dim": 16})
        module = randomise(case, CoCa(4, 16, 20, 8, 16), dtype)
        faint(case, module.attn_pool.query)
        case.keep(module, "visual.")
        norm = nn.LayerNorm(24)
        with torch.no_grad():
            norm.weight.copy_((1 + 0.3 * case.normal(24)).to(dtype).float())
            norm.bias.copy_((0.3 * case.normal(24)).to(dtype).float())
        projection = (case.normal(24, 16) / 5).to(dtype)
        case.tensors["text.ln_final.weight"] = norm.weight.detach().to(dtype)
        case.tensors["text.ln_final.bias"] = norm.bias.detach().to(dtype)
        case.tensors["text.text_projection"] = projection
        case.tensors["logit_scale"] = torch.tensor(1.1).to(dtype)
        if bias:
            case.tensors["logit_bias"] = torch.tensor(0.4).to(dtype)
        case.decoy("text.cls_emb", "text.token_embedding.weight")
        case.save()
        vision, text = case.give("vision", case.normal(pictures, 7, 20)), case.give("text", case.normal(texts, 5, 24))
        with torch.no_grad():
            image, tokens = module(vision)
            words = F.normalize(norm(text[:, -1]) @ projection.float(), dim=-1)
            logits = image @ words.T * case.tensors["logit_scale"].float().exp()
            if bias:
                logits = logits + case.tensors["logit_bias"].float()
        case.expect("image_embeds", image)
        case.expect("tokens", tokens)
        case.expect("text_embeds", words)
        case.expect("logits", logits)
        case.expect("scores", logits.softmax(-1))


def make(root):
    make_late_fusion(root)
    make_contrastive(root)
    make_clip(root)
    make_siglip(root)
    make_align(root)
    make_coca(root)
