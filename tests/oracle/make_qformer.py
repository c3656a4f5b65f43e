"""BLIP-2's Q-Former with its heads, InstructBLIP's: transformers' classes with eager attention."""

from types import SimpleNamespace

import torch
from case import Case
from transformers import Blip2Config, InstructBlipConfig, InstructBlipVideoConfig
from transformers.models.blip_2 import modeling_blip_2 as blip2
from transformers.models.instructblip import modeling_instructblip as instructblip
from transformers.models.instructblipvideo import modeling_instructblipvideo as instructblipvideo

nn = torch.nn
VOCABULARY, POSITIONS = 40, 12
TEXT_WIDTH = 20  # of the language model


def configuration(config_class, layers, vision_width=18, **extra):
    """A tiny model of this class; only what connectors read goes into config.json."""
    qformer = {
        "vocab_size": VOCABULARY,
        "hidden_size": 12,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "max_position_embeddings": POSITIONS,
        "encoder_hidden_size": 99,  # Blip2Config and InstructBlipConfig put the vision width over it
        "_attn_implementation": "eager",
        **extra.pop("qformer", {}),
    }
    vision = {
        "hidden_size": vision_width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "image_size": 28,
        "patch_size": 14,
    }
    text = {"model_type": "opt", "hidden_size": TEXT_WIDTH, "word_embed_proj_dim": TEXT_WIDTH, "vocab_size": 100}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 8}
    config = config_class(qformer_config=qformer, vision_config=vision, text_config=text, **extra)
    assert config.qformer_config.encoder_hidden_size == vision_width
    config.qformer_config._attn_implementation = "eager"
    written = {k: v for k, v in qformer.items() if not k.startswith("_")}
    return config, {
        "model_type": config.model_type,
        "qformer_config": written,
        "vision_config": {"hidden_size": vision_width},
        "text_config": {"model_type": "opt", "hidden_size": TEXT_WIDTH},
        **extra,
    }


class Parts(nn.Module):
    """The connector of a conditional-generation model, under the model's names."""

    def __init__(self, config, qformer_class, projection=True):
        super().__init__()
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, config.qformer_config.hidden_size))
        self.qformer = qformer_class(config.qformer_config)
        if projection:
            self.language_projection = nn.Linear(config.qformer_config.hidden_size, TEXT_WIDTH)


def padding(case, batch, length, name, empty=False):
    """1 for the first few of each row, at least one; and one gap; `empty`: nothing in the last row."""
    mask = torch.zeros(batch, length, dtype=torch.long)
    for row in range(batch):
        mask[row, : int(torch.randint(2, length + 1, (1,), generator=case.generator))] = 1
    mask[0, 1] = 0
    if empty:
        mask[-1] = 0
    return case.give(name, mask)


def merge(model_class, config, text, ids, tokens):
    """What the model's forward does: its own mask, then masked_scatter."""
    mask = model_class.get_placeholder_mask(SimpleNamespace(config=config), ids, inputs_embeds=text)
    return text.masked_scatter(mask, tokens)


def ids_for(case, batch, length):
    return case.give("text_ids", torch.randint(0, VOCABULARY, (batch, length), generator=case.generator))


def blip_2(root, name, layers=3, shape=(1, 5), dtype=torch.float32, prefix="", masked=False, shown=None, fused=False,
           unbatched=False, small_queries=False, **extra):
    """tokens = language_projection(qformer(query_tokens, vision)); `shown`: config keys of the attention."""
    case = Case(root, name)
    if fused:
        extra["image_token_index"] = 7
    config, written = configuration(Blip2Config, layers, num_query_tokens=extra.pop("queries", 3), **extra)
    parts = case.randomise(Parts(config, blip2.Blip2QFormerModel), dtype)
    if small_queries:  # a variance of 1e-6: an eps of 1e-5 in place of 1e-12 is seen
        parts.query_tokens.data *= 1e-3
    case.keep(parts, prefix)
    case.decoy(f"{prefix}vision_model.post_layernorm.weight", f"{prefix}language_model.lm_head.weight")
    written |= shown or {}
    case.config(written)
    case.save()
    vision = case.normal(*shape, 18)
    case.give("vision", vision[0] if unbatched else vision)
    mask = padding(case, *shape, "vision_mask", empty=True) if masked else None
    with torch.no_grad():
        out = parts.qformer(
            query_embeds=parts.query_tokens.expand(shape[0], -1, -1),
            encoder_hidden_states=vision,
            encoder_attention_mask=mask,
            output_attentions=True,
        )
        tokens = parts.language_projection(out.last_hidden_state)
    case.expect("tokens", tokens[0] if unbatched else tokens)
    if shown is not None:
        attention = out.attentions if shown.get("attention_of") == "self" else out.cross_attentions
        case.expect("attention", attention[0])
    if fused:
        text, ids = case.text(2, 9, TEXT_WIDTH, 7, tokens.shape[0] * tokens.shape[1])
        case.expect("fused", merge(blip2.Blip2ForConditionalGeneration, config, text, ids, tokens))


class Tower(nn.Module):
    """In place of the vision tower: features that are given."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, *_, **__):
        return (self.features,)


def heads(case, config, dtype):
    """Blip2ForImageTextRetrieval without its tower."""
    model = blip2.Blip2ForImageTextRetrieval(config)
    model.vision_model = Tower(None)
    return case.randomise(model, dtype)


def one_pass(model, ids, text_mask, vision, objective):
    """All rows of queries and text under a mask that says who sees whom, written out; HF's own layers."""
    M, (B, T) = model.query_tokens.shape[1], ids.shape
    rows = M + T
    seen = torch.zeros(rows, rows, dtype=torch.bool)
    seen[:M, :M] = True
    if objective == "itm":
        seen[:] = True
    if objective == "itc":
        seen[M:, M:] = True
    if objective == "itg":
        seen[M:, :M] = True
        seen[M:, M:] = torch.ones(T, T).tril().bool()
    keys = torch.cat([torch.ones(B, M, dtype=torch.long), text_mask], 1).bool()
    seen = seen[None, None] & keys[:, None, None]
    mask = torch.zeros(B, 1, rows, rows).masked_fill(~seen, torch.finfo(torch.float32).min)
    x = model.embeddings(input_ids=ids, query_embeds=model.query_tokens.expand(B, -1, -1))
    x = model.qformer.layernorm(x)
    for layer in model.qformer.encoder.layer:
        x = layer(x, mask, vision, encoder_attention_mask=None, query_length=M)
    return x


def cached_generation(model, ids, text_mask, vision):
    """ITG as it is trained: queries first, their keys and values kept; then the text, causal, without vision."""
    M, (B, T) = model.query_tokens.shape[1], ids.shape
    norm, layers = model.qformer.layernorm, model.qformer.encoder.layer
    past, x = [], norm(model.query_tokens.expand(B, -1, -1))
    for layer in layers:
        past.append(x)
        x = layer(x, None, vision, encoder_attention_mask=None, query_length=M)
    y = norm(model.embeddings(input_ids=ids))
    causal = torch.ones(T, T).tril().bool()[None] & text_mask[:, None].bool()
    seen = torch.cat([torch.ones(B, T, M, dtype=torch.bool), causal], 2)[:, None]
    mask = torch.zeros(B, 1, T, M + T).masked_fill(~seen, torch.finfo(torch.float32).min)
    for layer, queries in zip(layers, past):
        a = layer.attention.attention
        both = torch.cat([queries, y], 1)
        split = lambda t: t.view(B, -1, a.num_attention_heads, a.attention_head_size).transpose(1, 2)
        scores = split(a.query(y)) @ split(a.key(both)).transpose(2, 3) * a.scaling + mask
        z = (scores.softmax(-1) @ split(a.value(both))).transpose(1, 2).reshape(B, T, -1)
        y = layer.feed_forward_chunk(layer.attention.output(z, y))
    return torch.cat([x, y], 1)


def retrieval(root, name, shape=(2, 5), texts=(3, 4), dtype=torch.float32, prefix="", padded=True, layers=3,
              placeholder=None):
    """image_embeds, text_embeds, logits of every picture with every text; with a placeholder also itm_logits."""
    case = Case(root, name)
    extra = {"num_query_tokens": 4, "image_text_hidden_size": 10}
    if placeholder is not None:
        extra["image_token_index"] = placeholder
    config, written = configuration(Blip2Config, layers, qformer={"use_qformer_text_input": True}, **extra)
    model = heads(case, config, dtype)
    case.keep(model, prefix)
    case.config(written)
    case.save()
    vision = case.give("vision", case.normal(*shape, 18))
    ids = ids_for(case, *texts)
    mask = padding(case, *texts, "text_mask", empty=True) if padded else torch.ones_like(ids)
    if placeholder is not None:  # in front, as the processor puts them
        ids = case.give("text_ids", torch.cat([torch.full((texts[0], 4), placeholder), ids], 1))
        mask = case.give("text_mask", torch.cat([torch.ones(texts[0], 4, dtype=torch.long), mask], 1))
    model.vision_model.features = vision
    with torch.no_grad():
        out = model(pixel_values=None, input_ids=ids, attention_mask=mask)
        case.expect("image_embeds", out.image_embeds)
        case.expect("text_embeds", out.text_embeds)
        case.expect("logits", out.logits_per_image)
        if placeholder is not None:
            out = model(pixel_values=None, input_ids=ids, attention_mask=mask, use_image_text_matching_head=True)
            case.expect("itm_logits", out.logits_per_image)


def matching(root, name, objective, batch=2, dtype=torch.float32, attention_of=None, queries=4, layers=3):
    """itm_logits and hidden of pairs, and the attention of a layer."""
    case = Case(root, name)
    config, written = configuration(
        Blip2Config,
        layers,
        num_query_tokens=queries,
        image_text_hidden_size=10,
        qformer={"use_qformer_text_input": True},
    )
    model = heads(case, config, dtype)
    case.keep(model, "")
    if objective != "itm":
        written["objective"] = objective
    if attention_of:
        written["attention_of"] = attention_of
    case.config(written)
    case.save()
    vision = case.give("vision", case.normal(batch, 5, 18))
    ids = ids_for(case, batch, 6)
    mask = padding(case, batch, 6, "text_mask")
    mask[:, 0] = 1
    case.give("text_mask", mask)
    model.vision_model.features = vision
    with torch.no_grad():
        out = model(pixel_values=None, input_ids=ids, attention_mask=mask, use_image_text_matching_head=True)
        case.expect("itm_logits", out.logits_per_image)
        hidden = case.expect("hidden", one_pass(model, ids, mask, vision, objective))
        if objective == "itm":
            assert torch.allclose(hidden, out.text_model_output.last_hidden_state, atol=1e-6)
        if objective == "itg":
            assert torch.allclose(hidden, cached_generation(model, ids, mask, vision), atol=1e-5)
        if objective == "itc":
            alone = model.qformer(query_embeds=model.embeddings(input_ids=ids), query_length=0, attention_mask=mask)
            assert torch.allclose(hidden[:, queries:], alone.last_hidden_state, atol=1e-5)
        if attention_of:
            case.expect("attention", shown(model, ids, mask, vision, objective, attention_of))


def shown(model, ids, mask, vision, objective, attention_of):
    """The softmax of layer 0, as its attention returns it."""
    kept = []
    layer = model.qformer.encoder.layer[0]
    part = layer.attention if attention_of == "self" else layer.crossattention
    hook = part.attention.register_forward_hook(lambda _, __, result: kept.append(result[1]))
    one_pass(model, ids, mask, vision, objective)
    hook.remove()
    return kept[0]


def instructions(root, name, video=False, shape=(2, 5), length=6, dtype=torch.float32, prefix="", masked=True,
                 shown=None, fused=False, layers=3, **extra):
    """InstructBLIP's tokens for pictures [B, N], or for videos [B, F, N]."""
    case = Case(root, name)
    config_class = InstructBlipVideoConfig if video else InstructBlipConfig
    if fused:
        extra["video_token_index" if video else "image_token_index"] = 7
    config, written = configuration(config_class, layers, num_query_tokens=3, **extra)
    qformer_class = (
        instructblipvideo.InstructBlipVideoQFormerModel if video else instructblip.InstructBlipQFormerModel
    )
    parts = case.randomise(Parts(config, qformer_class), dtype)
    case.keep(parts, prefix)
    written |= shown or {}
    case.config(written)
    case.save()
    vision = case.give("vision", case.normal(*shape, 18))
    ids = ids_for(case, shape[0], length)
    mask = padding(case, shape[0], length, "text_mask") if masked else torch.ones_like(ids)
    frames = shape[1] if video else 1
    picture_mask = padding(case, *shape, "vision_mask") if masked and not video else None
    flat = vision.reshape(-1, *vision.shape[-2:])
    mask = torch.cat([torch.ones(shape[0], 3, dtype=torch.long), mask], 1).repeat_interleave(frames, dim=0)
    with torch.no_grad():
        out = parts.qformer(
            input_ids=ids.repeat_interleave(frames, dim=0),
            attention_mask=mask,
            query_embeds=parts.query_tokens.expand(flat.shape[0], -1, -1),
            encoder_hidden_states=flat,
            encoder_attention_mask=picture_mask,
            output_attentions=True,
        )
        tokens = parts.language_projection(out.last_hidden_state[:, :3]).reshape(shape[0], -1, TEXT_WIDTH)
    case.expect("tokens", tokens)
    if shown is not None:
        attention = (out.attentions if shown.get("attention_of") == "self" else out.cross_attentions)[0]
        case.expect("attention", attention.reshape(*vision.shape[:-2], *attention.shape[1:]))
    if fused:
        text, llm_ids = text_for(case, tokens)
        model_class = instructblip.InstructBlipForConditionalGeneration
        if video:
            model_class = instructblipvideo.InstructBlipVideoForConditionalGeneration
        case.expect("fused", merge(model_class, config, text, llm_ids, tokens))


def text_for(case, tokens):
    """As Case.text, with the language model's ids under their own name."""
    count = tokens.shape[0] * tokens.shape[1]
    length = count + 2
    ids = torch.randint(8, 100, (1, length), generator=case.generator)
    ids.view(-1)[torch.randperm(length, generator=case.generator)[:count]] = 7
    return case.give("text", case.normal(1, length, TEXT_WIDTH)), case.give("llm_ids", ids)


def make(root):
    blip_2(root, "blip2_basic", shown={}, small_queries=True)
    blip_2(root, "blip2_masked", shape=(3, 7), masked=True, prefix="model.", dtype=torch.float16)
    blip_2(root, "blip2_fused", shape=(2, 4), fused=True, shown={"attention_of": "self"})
    blip_2(root, "blip2_bf16", shape=(3, 5), dtype=torch.bfloat16)
    blip_2(root, "blip2_unbatched", unbatched=True, layers=1, queries=5)
    blip_2(
        root,
        "blip2_other_config",
        layers=3,
        qformer={
            "cross_attention_frequency": 3,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-3,
            "num_attention_heads": 4,
        },
    )
    # Few queries against wide heads: clfusion absorbs the weights of keys and values (src/fusion/absorbed_attention.h).
    few = {"hidden_size": 64, "cross_attention_frequency": 1}  # two heads of 32
    blip_2(root, "blip2_few_queries_bf16", 2, (1, 9), torch.bfloat16, queries=5, shown={}, qformer=few)
    blip_2(root, "blip2_few_queries_masked_f16", 2, (3, 7), torch.float16, "model.", True, {}, queries=5, qformer=few)
    retrieval(root, "blip2_retrieval")
    retrieval(root, "blip2_retrieval_single_f16", (1, 5), (1, 3), torch.float16, "model.", padded=False, layers=2)
    retrieval(root, "blip2_retrieval_placeholders", (3, 4), placeholder=VOCABULARY, layers=2)
    matching(root, "blip2_matching", "itm", attention_of="cross")
    matching(root, "blip2_matching_bf16", "itm", batch=3, dtype=torch.bfloat16, layers=2)
    matching(root, "blip2_matching_single_f16", "itm", batch=1, dtype=torch.float16, layers=2)
    matching(root, "blip2_contrast_hidden", "itc", batch=3, attention_of="self", layers=2)
    matching(root, "blip2_generation", "itg", batch=3, attention_of="self")
    matching(root, "blip2_generation_single_f16", "itg", batch=1, dtype=torch.float16, layers=2)
    instructions(root, "instructblip_basic", fused=True, shown={"attention_of": "self"})
    instructions(
        root, "instructblip_single_f16", shape=(1, 5), dtype=torch.float16, masked=False, prefix="model.", layers=2
    )
    instructions(root, "instructblip_bf16", shape=(3, 4), dtype=torch.bfloat16, length=1, masked=False, layers=1)
    instructions(root, "instructblipvideo_basic", video=True, shape=(2, 3, 4), shown={}, layers=2)
    instructions(root, "instructblipvideo_fused", video=True, shape=(1, 2, 4), fused=True, masked=False, layers=1)
