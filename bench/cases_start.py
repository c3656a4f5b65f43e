"""The checkpoints of start.py: real sizes, made-up weights.  Names and shapes are those of the hub's files."""
import json

import numpy as np


class Case:
    """A checkpoint and one call.

    config    of config.json
    tensors   name -> shape, of all that the connector reads
    inputs    name -> shape of f32, or an array
    output    the output that is asked for
    dtype     of the weights in the file
    options   more of the command line
    """

    def __init__(self, config, tensors, inputs, output="tokens", dtype=np.float32, options=()):
        self.config, self.tensors, self.inputs, self.output = config, tensors, inputs, output
        self.dtype, self.options = np.dtype(dtype), list(options)

    def weight_bytes(self):
        return sum(int(np.prod(shape)) for shape in self.tensors.values()) * self.dtype.itemsize

    def write(self, folder):
        (folder / "config.json").write_text(json.dumps(self.config))
        write_safetensors(folder / "model.safetensors", self.tensors, self.dtype)
        for seed, (name, value) in enumerate(self.inputs.items()):
            array = value if isinstance(value, np.ndarray) else \
                np.random.default_rng(seed).standard_normal(value, dtype=np.float32)
            np.save(folder / f"{name}.npy", array)


TYPES = {"float32": "f32", "float16": "f16"}
BLOCK = 1 << 20  # values drawn; a tensor repeats them


def write_safetensors(path, tensors, dtype):
    """Uniform weights of variance 1 / in; vectors around 0.5, so that no gate is closed and no norm is 0."""
    header, at = {}, 0
    for name, shape in tensors.items():
        end = at + int(np.prod(shape)) * dtype.itemsize
        header[name] = {"dtype": TYPES[dtype.name].upper(), "shape": list(shape),
                        "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    unit = np.random.default_rng(7).uniform(-1, 1, BLOCK).astype(np.float32)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in tensors.values():
            count = int(np.prod(shape))
            block = unit * np.sqrt(3 / shape[-1]) if len(shape) > 1 else 0.5 + 0.1 * unit
            block = block.astype(dtype)
            for first in range(0, count, BLOCK):
                file.write(block[:min(BLOCK, count - first)].tobytes())


def linear(name, out, width, bias=True):
    return {f"{name}.weight": (out, width)} | ({f"{name}.bias": (out,)} if bias else {})


def norm(name, width, bias=True):
    return {f"{name}.weight": (width,)} | ({f"{name}.bias": (width,)} if bias else {})


def merged(parts):
    return {name: shape for part in parts for name, shape in part.items()}


# ---- projectors ---------------------------------------------------------------------------------------------------

def llava_1_0():
    return Case({"model_type": "llava_llama", "mm_projector_type": "linear", "mm_hidden_size": 1024,
                 "hidden_size": 4096}, linear("model.mm_projector", 4096, 1024), {"vision": (1, 576, 1024)})


def llava_1_5(hidden, dtype=np.float32):
    return Case({"model_type": "llava", "projector_hidden_act": "gelu", "vision_config": {"hidden_size": 1024},
                 "text_config": {"hidden_size": hidden}},
                linear("multi_modal_projector.linear_1", hidden, 1024) |
                linear("multi_modal_projector.linear_2", hidden, hidden), {"vision": (1, 576, 1024)}, dtype=dtype)


def vipllava():
    name = "multi_modal_projector"
    return Case({"model_type": "vipllava", "projector_hidden_act": "gelu", "vision_config": {"hidden_size": 1024},
                 "text_config": {"hidden_size": 4096}, "vision_feature_layers": [-2, -5, -8, -11, 6]},
                norm(f"{name}.projector_layernorm", 5120) | linear(f"{name}.linear_1", 4096, 5120) |
                linear(f"{name}.linear_2", 4096, 4096), {"vision": (1, 576, 5120)})


# ---- attention ----------------------------------------------------------------------------------------------------

def bert_attention(name, width, vision):
    return merged([linear(f"{name}.attention.query", width, width), linear(f"{name}.attention.key", width, vision),
                   linear(f"{name}.attention.value", width, vision), linear(f"{name}.output.dense", width, width),
                   norm(f"{name}.output.LayerNorm", width)])


def blip2_qformer():
    width, vision, parts = 768, 1408, [{"query_tokens": (1, 32, 768)}, norm("qformer.layernorm", 768)]
    for i in range(12):
        layer = f"qformer.encoder.layer.{i}"
        parts.append(bert_attention(f"{layer}.attention", width, width))
        if i % 2 == 0:
            parts.append(bert_attention(f"{layer}.crossattention", width, vision))
        parts += [linear(f"{layer}.intermediate_query.dense", 4 * width, width),
                  linear(f"{layer}.output_query.dense", width, 4 * width),
                  norm(f"{layer}.output_query.LayerNorm", width)]
    parts.append(linear("language_projection", 2560, width))
    config = {"model_type": "blip-2", "num_query_tokens": 32, "vision_config": {"hidden_size": vision},
              "qformer_config": {"hidden_size": width, "num_hidden_layers": 12, "num_attention_heads": 12,
                                 "intermediate_size": 3072, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                                 "cross_attention_frequency": 2, "encoder_hidden_size": vision},
              "text_config": {"hidden_size": 2560}}
    return Case(config, merged(parts), {"vision": (1, 257, vision)})


OPENFLAMINGO = {"model_type": "openflamingo", "heads": 8, "dim_head": 64, "only_attend_immediate_media": True,
                "media_token_id": 7}


def feed_forward(name, width):
    return norm(f"{name}.0", width) | {f"{name}.1.weight": (4 * width, width), f"{name}.3.weight": (width, 4 * width)}


def openflamingo_perceiver():
    width, parts = 1024, [{"perceiver.latents": (64, 1024)}, norm("perceiver.norm", 1024)]
    for i in range(6):
        layer = f"perceiver.layers.{i}"
        parts += [norm(f"{layer}.0.norm_media", width), norm(f"{layer}.0.norm_latents", width),
                  linear(f"{layer}.0.to_q", 512, width, False), linear(f"{layer}.0.to_kv", 1024, width, False),
                  linear(f"{layer}.0.to_out", width, 512, False), feed_forward(f"{layer}.1", width)]
    return Case(OPENFLAMINGO, merged(parts), {"vision": (1, 256, width)})


def openflamingo_gated():
    name, ids = "lang_encoder.transformer.blocks.0.gated_cross_attn_layer", np.arange(100, 228, dtype=np.int64)[None]
    ids[0, 0] = OPENFLAMINGO["media_token_id"]
    tensors = merged([norm(f"{name}.attn.norm", 2048), linear(f"{name}.attn.to_q", 512, 2048, False),
                      linear(f"{name}.attn.to_kv", 1024, 1024, False), linear(f"{name}.attn.to_out", 2048, 512, False),
                      feed_forward(f"{name}.ff", 2048), {f"{name}.attn_gate": (1,), f"{name}.ff_gate": (1,)}])
    return Case(OPENFLAMINGO, tensors, {"text": (1, 128, 2048), "media": (1, 64, 1024), "text_ids": ids}, "hidden")


def idefics2(dtype=np.float32):
    width, vision, inner, parts = 4096, 1152, 14336, []
    name = "connector.modality_projection"
    parts += [linear(f"{name}.gate_proj", inner, vision, False), linear(f"{name}.up_proj", inner, vision, False),
              linear(f"{name}.down_proj", width, inner, False)]
    name = "connector.perceiver_resampler"
    parts += [{f"{name}.latents": (64, width)}, norm(f"{name}.norm", width, False)]
    for i in range(3):
        layer = f"{name}.layers.{i}"
        parts += [norm(f"{layer}.{kind}", width, False)
                  for kind in ("input_latents_norm", "input_context_norm", "post_attention_layernorm")]
        parts += [linear(f"{layer}.self_attn.q_proj", 1536, width, False),
                  linear(f"{layer}.self_attn.k_proj", 384, width, False),
                  linear(f"{layer}.self_attn.v_proj", 384, width, False),
                  linear(f"{layer}.self_attn.o_proj", width, 1536, False),
                  linear(f"{layer}.mlp.gate_proj", 4 * width, width, False),
                  linear(f"{layer}.mlp.up_proj", 4 * width, width, False),
                  linear(f"{layer}.mlp.down_proj", width, 4 * width, False)]
    config = {"model_type": "idefics2", "vision_config": {"hidden_size": vision},
              "text_config": {"model_type": "mistral", "hidden_size": width, "intermediate_size": inner},
              "perceiver_config": {"hidden_size": width, "resampler_n_latents": 64, "resampler_depth": 3,
                                   "resampler_n_heads": 16, "resampler_head_dim": 96, "num_key_value_heads": 4}}
    return Case(config, merged(parts), {"vision": (1, 729, vision)}, dtype=dtype)


def mllama_cross():
    """One cross-attention layer of Llama 3.2 Vision 11B with its MLP, and the projector that the family wants."""
    width, inner, layer = 4096, 14336, "language_model.model.layers.3"
    tensors = merged([
        linear("multi_modal_projector", width, 7680), linear(f"{layer}.cross_attn.q_proj", width, width, False),
        linear(f"{layer}.cross_attn.k_proj", 1024, width, False),
        linear(f"{layer}.cross_attn.v_proj", 1024, width, False),
        linear(f"{layer}.cross_attn.o_proj", width, width, False), norm(f"{layer}.cross_attn.q_norm", 128, False),
        norm(f"{layer}.cross_attn.k_norm", 128, False), norm(f"{layer}.input_layernorm", width, False),
        norm(f"{layer}.post_attention_layernorm", width, False),
        {f"{layer}.cross_attn_attn_gate": (1,), f"{layer}.cross_attn_mlp_gate": (1,)},
        linear(f"{layer}.mlp.gate_proj", inner, width, False), linear(f"{layer}.mlp.up_proj", inner, width, False),
        linear(f"{layer}.mlp.down_proj", width, inner, False)])
    config = {"model_type": "mllama", "vision_config": {"vision_output_dim": 7680},
              "text_config": {"hidden_size": width, "hidden_act": "silu", "intermediate_size": inner,
                              "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
                              "cross_attention_layers": [3]}}
    return Case(config, tensors, {"text": (1, 32, width), "media": (1, 1601, width)}, "hidden")


def post_norm_fusion():
    tensors = merged([{"cross_attn.in_proj_weight": (2304, 768), "cross_attn.in_proj_bias": (2304,)},
                      linear("cross_attn.out_proj", 768, 768), norm("norm", 768), linear("ffn.0", 3072, 768),
                      linear("ffn.2", 768, 3072)])
    return Case({"model_type": "clfusion", "module": "cross_attention_fusion", "d_model": 768, "nhead": 8}, tensors,
                {"text": (1, 77, 768), "vision": (1, 577, 768)}, "hidden")


# ---- the rest -----------------------------------------------------------------------------------------------------

def clip_late_fusion():
    """ViT-L/14's heads: 512 pictures of 1024 and 2048 texts of 768, both to 768, the best five texts of each."""
    tensors = {"visual_projection.weight": (768, 1024), "text_projection.weight": (768, 768), "logit_scale": (1,)}
    return Case({"model_type": "clfusion", "module": "contrastive", "vision_dim": 1024, "text_dim": 768,
                 "projection_dim": 768, "bias": False, "k": 5}, tensors,
                {"vision": (512, 1024), "text": (2048, 768)}, "indices")


def adaptive_avg_pool():
    return Case({"model_type": "clfusion", "module": "adaptive_avg_pool", "target_tokens": 576}, {},
                {"vision": (8, 2304, 1024)})


CASES = {
    "llava_1_0": llava_1_0,
    "llava_1_5_7b": lambda: llava_1_5(4096),
    "llava_1_5_7b_f16": lambda: llava_1_5(4096, np.float16),
    "llava_1_5_13b": lambda: llava_1_5(5120),
    "vipllava_7b": vipllava,
    "blip2_qformer": blip2_qformer,
    "openflamingo_perceiver": openflamingo_perceiver,
    "openflamingo_gated": openflamingo_gated,
    "idefics2": idefics2,
    "idefics2_f16": lambda: idefics2(np.float16),
    "mllama_cross": mllama_cross,
    "post_norm_fusion": post_norm_fusion,
    "clip_late_fusion": clip_late_fusion,
    "adaptive_avg_pool": adaptive_avg_pool,
}
