"""openflamingo and idefics: perceivers and gated cross-attention.

The perceivers are transformers' own layers.  No class of transformers has OpenFlamingo's gated block, so it stands here
as Alayrac et al. 2022 (arXiv:2204.14198) and OpenFlamingo's description have it.
"""

import torch
from case import Case, faint
from torch import nn
from transformers.models.evolla import modeling_evolla as evolla
from transformers.models.idefics import modeling_idefics as idefics
from transformers.models.idefics.configuration_idefics import IdeficsConfig
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

VISION, TEXT, MEDIA_TOKEN = 24, 28, 7


class SquaredRelu(nn.Module):
    def forward(self, x):
        return torch.relu(x).square()


ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "relu2": SquaredRelu}


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Perceiver(nn.Module):
    """Layers of Evolla, whose attention is Flamingo's, and the norm behind them."""

    def __init__(self, depth, latents, heads, head_dim, mult, activation):
        super().__init__()
        self.heads = heads
        self.latents = nn.Parameter(torch.empty(latents, VISION))
        self.layers = nn.ModuleList()
        for _ in range(depth):
            attention = evolla.EvollaSequenceCompressorAttention(VISION, head_dim, heads)
            feed_forward = evolla.EvollaFeedForward(VISION, mult)
            feed_forward.activation = ACTIVATIONS[activation]()
            self.layers.append(nn.ModuleList([attention, feed_forward]))
        self.norm = nn.LayerNorm(VISION)

    def weights(self, attention, x, latents, answer):
        """What Evolla's attention does not return; `answer` is what it made of them."""
        asking = attention.norm_latents(latents)
        rows = torch.cat([attention.norm_media(x), asking], 1)
        k, v = (split(part, self.heads) for part in attention.to_kv(rows).chunk(2, -1))
        weights = torch.softmax(split(attention.to_q(asking), self.heads) @ k.mT * attention.scale, -1)
        assert torch.allclose(attention.to_out((weights @ v).transpose(1, 2).flatten(-2)), answer, atol=1e-5)
        return weights

    def forward(self, x):
        """The tokens of rows [P, N, Dv], and the attention of the last layer."""
        latents = self.latents.expand(len(x), -1, -1)
        all_seen = torch.ones(len(x), x.shape[1] + latents.shape[1])
        for attention, feed_forward in self.layers:
            answer = attention(x, latents, all_seen)
            weights = self.weights(attention, x, latents, answer)
            latents = latents + answer
            latents = latents + feed_forward(latents)
        return self.norm(latents), weights

    def renamed(self):
        """From Evolla's names to OpenFlamingo's."""
        names = {"norm": "0", "fc1": "1", "fc2": "3"}
        return {f"layers.{i}.1.{a}.": f"layers.{i}.1.{b}." for i in range(len(self.layers)) for a, b in names.items()}


class Attention(nn.Module):
    def __init__(self, heads, head_dim):
        super().__init__()
        self.norm = nn.LayerNorm(TEXT)
        self.to_q = nn.Linear(TEXT, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(VISION, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, TEXT, bias=False)


class GatedBlock(nn.Module):
    def __init__(self, heads, head_dim, mult, activation):
        super().__init__()
        self.heads = heads
        self.attn = Attention(heads, head_dim)
        self.attn_gate = nn.Parameter(torch.empty(1))
        up, down = nn.Linear(TEXT, mult * TEXT, bias=False), nn.Linear(mult * TEXT, TEXT, bias=False)
        self.ff = nn.Sequential(nn.LayerNorm(TEXT), up, ACTIVATIONS[activation](), down)
        self.ff_gate = nn.Parameter(torch.empty(1))

    def forward(self, x, media, allowed, silent):
        """media [B, I, M, Dv]; allowed [B, T, I]; the attention of `silent` [B, T] is 0.  Also the weights."""
        rows = media.flatten(1, 2)
        k, v = (split(part, self.heads) for part in self.attn.to_kv(rows).chunk(2, -1))
        q = split(self.attn.to_q(self.attn.norm(x)), self.heads)
        scores = q @ k.mT * q.shape[-1] ** -0.5
        seen = allowed.repeat_interleave(media.shape[2], -1)[:, None]
        scores = torch.where(seen, scores, -torch.finfo(scores.dtype).max)
        weights = torch.softmax(scores - scores.amax(-1, keepdim=True), -1)
        weights = torch.where(silent[:, None, :, None], 0.0, weights)
        answer = (weights @ v).transpose(1, 2).flatten(-2)
        x = x + torch.tanh(self.attn_gate) * self.attn.to_out(answer)
        return x + torch.tanh(self.ff_gate) * self.ff(x), weights


def seen_by_time(text_time, pictures, immediate):
    """What each position may see, and which rows are silent: text before the first picture, in immediate mode."""
    number = torch.arange(1, pictures + 1)
    if immediate:
        return text_time[..., None] == number, text_time == 0
    return text_time[..., None] >= number, torch.zeros_like(text_time, dtype=torch.bool)


def start(root, name, heads=2, head_dim=8, activation=None, **keys):
    case = Case(root, name)
    values = {"model_type": "openflamingo", "heads": heads, "dim_head": head_dim, "media_token_id": MEDIA_TOKEN}
    if activation is not None:
        values["activation"] = activation
    case.config({**values, **keys})
    return case


def perceiver_of(case, dtype=torch.float32, depth=2, heads=2, head_dim=8, mult=4, activation="gelu"):
    perceiver = case.randomise(Perceiver(depth, 5, heads, head_dim, mult, activation), dtype)
    case.keep(perceiver, "perceiver.", perceiver.renamed())
    return perceiver


def blocks_of(case, prefixes, dtype=torch.float32, heads=2, head_dim=8, mult=4, activation="gelu"):
    blocks = []
    for prefix in prefixes:
        blocks.append(case.randomise(GatedBlock(heads, head_dim, mult, activation), dtype))
        case.keep(blocks[-1], prefix)
    return blocks


def ids_with_media(case, batch, length, places):
    ids = torch.randint(8, 100, (batch, length), generator=case.generator)
    for row, column in places:
        ids[row, column] = MEDIA_TOKEN
    return case.give("text_ids", ids)


def make_perceivers(root):
    # The perceiver alone, pictures as rows; its attention.
    case = start(root, "openflamingo_perceiver", attention_of="tokens")
    perceiver = perceiver_of(case, depth=1)
    case.decoy("lang_encoder.transformer.wte.weight", "vision_encoder.visual.proj")
    case.save()
    with torch.no_grad():
        tokens, weights = perceiver(case.give("vision", case.normal(3, 7, VISION)))
    case.expect("tokens", tokens)
    case.expect("attention", weights)

    # Media and frames, with both embeddings, more of each than are used.
    case = start(root, "openflamingo_frames_bf16", heads=4, head_dim=6, activation="relu2")
    perceiver = perceiver_of(case, torch.bfloat16, heads=4, head_dim=6, activation="relu2")
    frames, media = (case.normal(*shape).bfloat16() for shape in ((3, VISION), (4, 1, VISION)))
    case.tensors |= {"perceiver.frame_embs": frames, "perceiver.media_time_embs": media}
    case.save()
    vision = case.give("vision", case.normal(2, 3, 2, 4, VISION))
    rows = vision + frames.float()[:2, None]
    rows = rows.flatten(2, 3) + media.float()[:3]
    with torch.no_grad():
        tokens, _ = perceiver(rows.flatten(0, 1))
    case.expect("tokens", tokens.unflatten(0, (2, 3)))

    # One text without its batch, frames without embeddings.
    case = start(root, "openflamingo_frames_unbatched", activation="relu")
    perceiver = perceiver_of(case, depth=1, mult=2, activation="relu")
    case.save()
    vision = case.give("vision", case.normal(2, 3, 4, VISION))
    with torch.no_grad():
        tokens, _ = perceiver(vision.flatten(1, 2))
    case.expect("tokens", tokens)


def run_block(case, block, text, media, allowed, silent):
    with torch.no_grad():
        hidden, weights = block(text, media, allowed, silent)
    case.expect("hidden", hidden)
    case.expect("attention", weights)


def make_immediate(root):
    # Text before the first picture, and more <image> tokens than pictures.
    case = start(root, "openflamingo_immediate")
    perceiver = perceiver_of(case, depth=1, mult=2)
    stem = "lang_encoder.transformer.blocks."
    blocks = blocks_of(case, [stem + f"{i}.gated_cross_attn_layer." for i in (1, 3)], mult=2)
    case.decoy(stem + "1.decoder_layer.norm_1.weight", "lang_encoder.old_decoder_blocks.1.norm_1.weight")
    case.save()
    with torch.no_grad():
        tokens, _ = perceiver(case.give("vision", case.normal(6, 4, VISION)))
    case.expect("tokens", tokens)
    media = case.give("media", tokens.unflatten(0, (3, 2)))
    text = case.give("text", case.normal(3, 9, TEXT))
    ids = ids_with_media(case, 3, 9, ((0, 0), (0, 4), (1, 3), (2, 1), (2, 2), (2, 6)))
    run_block(case, blocks[0], text, media, *seen_by_time((ids == MEDIA_TOKEN).cumsum(-1), 2, True))


def make_all_media(root):
    # All pictures so far, the paper's activation; rows before the first picture see all alike.
    case = start(root, "openflamingo_all_media_f16", 4, 6, "relu2", only_attend_immediate_media=False)
    stem = "lang_encoder.gpt_neox.layers.0.gated_cross_attn_layer."
    block = blocks_of(case, [stem], torch.float16, 4, 6, 2, "relu2")[0]
    case.save()
    media, text = case.give("media", case.normal(1, 3, 5, VISION)), case.give("text", case.normal(1, 11, TEXT))
    ids = ids_with_media(case, 1, 11, ((0, 2), (0, 5), (0, 7), (0, 9)))
    run_block(case, block, text, media, *seen_by_time((ids == MEDIA_TOKEN).cumsum(-1), 3, False))


def make_cached(root):
    # A step of decoding: one row each, the count of its whole prompt, which has no, one and two pictures.
    case = start(root, "openflamingo_cached")
    block = blocks_of(case, ["lang_encoder.model.decoder.layers.0.gated_cross_attn_layer."], mult=2)[0]
    case.save()
    media, text = case.give("media", case.normal(3, 2, 5, VISION)), case.give("text", case.normal(3, 1, TEXT))
    ids = ids_with_media(case, 3, 6, ((1, 4), (2, 0), (2, 3)))
    time = (ids == MEDIA_TOKEN).sum(-1, keepdim=True)
    run_block(case, block, text, media, *seen_by_time(time, 2, True))

    # As many new rows as the prompt has: the configuration says that it is one.
    case = start(root, "openflamingo_cached_all", only_attend_immediate_media=False, use_cached_media=True)
    block = blocks_of(case, ["lang_encoder.model.layers.0.gated_cross_attn_layer."], mult=2)[0]
    case.save()
    media, text = case.give("media", case.normal(2, 2, 5, VISION)), case.give("text", case.normal(2, 4, TEXT))
    ids = ids_with_media(case, 2, 4, ((0, 2), (1, 0), (1, 3)))
    time = (ids == MEDIA_TOKEN).sum(-1, keepdim=True).expand(-1, 4)
    run_block(case, block, text, media, *seen_by_time(time, 2, False))


def make_masked(root):
    # A finished mask in place of text ids; a raw state dict, whose layers stand in a list of their own.
    case = start(root, "openflamingo_cross_mask")
    stem = "lang_encoder.gated_cross_attn_layers."
    block = blocks_of(case, [stem + f"{i}." for i in (3, 7)], mult=2)[0]
    case.save()
    media, text = case.give("media", case.normal(2, 3, 4, VISION)), case.give("text", case.normal(2, 5, TEXT))
    mask = torch.rand(2, 5, 3, generator=case.generator) < 0.5
    mask[0, 1], mask[0, 2], mask[1, 4] = False, True, False
    case.give("cross_mask", mask)
    run_block(case, block, text, media, mask, ~mask.any(-1))

    # One picture, no ids: every position sees it.
    case = start(root, "openflamingo_one_picture")
    block = blocks_of(case, ["lang_encoder.transformer.h.0.gated_cross_attn_layer."], mult=2)[0]
    case.save()
    media, text = case.give("media", case.normal(2, 6, VISION)), case.give("text", case.normal(2, 5, TEXT))
    everything = torch.ones(2, 5, 1, dtype=torch.bool)
    run_block(case, block, text, media[:, None], everything, ~everything[..., 0])


def make_mini(root):
    # flamingo-mini's names: keys and values apart, alpha for gates, ffw.
    case = start(root, "openflamingo_mini")
    perceiver = case.randomise(Perceiver(1, 5, 2, 8, 2, "gelu"))
    case.keep(perceiver, "perceiver.", perceiver.renamed())
    prefix = "lang_encoder.transformer.h.0.gated_cross_attn_layer."
    block = case.randomise(GatedBlock(2, 8, 2, "gelu"))
    case.keep(block, prefix, {"attn_gate": "alpha_attn", "ff_gate": "alpha_ffw", "ff.": "ffw."})
    for stem in ("perceiver.layers.0.0.", prefix + "attn."):
        k, v = case.tensors.pop(stem + "to_kv.weight").chunk(2)
        case.tensors |= {stem + "to_k.weight": k.contiguous(), stem + "to_v.weight": v.contiguous()}
    case.save()
    with torch.no_grad():
        tokens, _ = perceiver(case.give("vision", case.normal(2, 4, VISION)))
    case.expect("tokens", tokens)
    media, text = case.give("media", case.normal(1, 2, 5, VISION)), case.give("text", case.normal(1, 5, TEXT))
    ids = ids_with_media(case, 1, 5, ((0, 1), (0, 3)))
    run_block(case, block, text, media, *seen_by_time((ids == MEDIA_TOKEN).cumsum(-1), 2, True))


def make_faint(root):
    # So little before every norm that its eps shows.
    case = start(root, "openflamingo_faint")
    perceiver = perceiver_of(case, depth=1, mult=2)
    block = blocks_of(case, ["lang_encoder.transformer.h.0.gated_cross_attn_layer."], mult=2)[0]
    attention, feed_forward = perceiver.layers[0]
    faint(case, perceiver.latents, attention.to_out, feed_forward.fc2, block.attn.to_out)
    case.save()
    with torch.no_grad():
        tokens, _ = perceiver(case.give("vision", 0.01 * case.normal(1, 6, VISION)))
    case.expect("tokens", tokens)
    media, text = case.give("media", case.normal(1, 5, VISION)), case.give("text", 0.01 * case.normal(1, 4, TEXT))
    everything = torch.ones(1, 4, 1, dtype=torch.bool)
    run_block(case, block, text, media[:, None], everything, ~everything[..., 0])

    # rms_norm_eps has its default.
    case = Case(root, "idefics_faint")
    config = idefics_config(case, True, qk_layer_norms=True, qk_layer_norms_perceiver=True)
    assert config.rms_norm_eps == 1e-6
    perceiver = idefics_perceiver(case, config)
    layer = idefics_layers(case, config)[0]
    for attention, feed_forward in perceiver.blocks:
        faint(case, attention.q_proj, attention.k_proj, attention.output_proj, feed_forward.c_proj)
    cross = layer.cross_attn
    faint(case, perceiver.latents, cross.q_proj, cross.k_proj, cross.o_proj)
    case.save()
    with torch.no_grad():
        tokens = perceiver(case.give("vision", 0.01 * case.normal(1, 6, VISION)))
    case.expect("tokens", tokens)
    text, media = case.give("text", 0.01 * case.normal(1, 4, TEXT)), case.give("media", 0.01 * case.normal(1, 5, VISION))
    run_idefics(case, layer, text, media[:, None], torch.ones(1, 4, 1))


def idefics_config(case, resampler, interval=2, **keys):
    perceiver = {"resampler_depth": 2, "resampler_n_heads": 4, "resampler_head_dim": 6, "resampler_n_latents": 5}
    values = {
        "model_type": "idefics",
        "use_resampler": resampler,
        "hidden_size": TEXT,
        "intermediate_size": 20,
        "num_attention_heads": 4,
        "num_hidden_layers": 2 * interval,
        "cross_layer_interval": interval,
        "alpha_initializer": "ones",
        "vision_config": {"model_type": "idefics_vision", "embed_dim": VISION},
        # use_resampler means nothing in here.
        "perceiver_config": {"model_type": "idefics_perciever", "use_resampler": not resampler, **perceiver},
    }
    for key, value in keys.items():
        (values["perceiver_config"] if key == "qk_layer_norms_perceiver" else values)[key] = value
    config = IdeficsConfig.from_dict(case.config(values))
    config._attn_implementation = "eager"
    return config


def idefics_perceiver(case, config, dtype=torch.float32, prefix=""):
    p = config.perceiver_config
    perceiver = IdeficsPerceiverResampler(
        config, VISION, p.resampler_depth, p.resampler_n_heads, p.resampler_head_dim, p.resampler_n_latents
    )
    case.randomise(perceiver, dtype)
    case.keep(perceiver, prefix + "perceiver_resampler.")
    return perceiver


def idefics_layers(case, config, dtype=torch.float32, prefix=""):
    layers = []
    for i in range(2):
        layers.append(case.randomise(idefics.IdeficsGatedCrossAttentionLayer(config, i), dtype))
        if config.alpha_type == "vector":
            with torch.no_grad():
                for alpha in (layers[i].alpha_cross_attn, layers[i].alpha_dense):
                    alpha.copy_(case.normal(*alpha.shape).to(dtype).float())
        case.keep(layers[i], prefix + f"gated_cross_attn_layers.{i}.")
    return layers


def run_idefics(case, layer, text, media, mask, attention=True):
    """The masks as IdeficsModel.forward makes them."""
    seen = mask.bool().repeat_interleave(media.shape[2], -1)
    caught = []
    layer.cross_attn.register_forward_hook(lambda module, args, output: caught.append(output[1]))
    with torch.no_grad():
        hidden = layer(
            text,
            image_hidden_states=media.flatten(1, 2),
            image_attention_mask=torch.where(seen[:, None], 0.0, torch.finfo(torch.float32).min),
            cross_attention_gate=seen.any(-1).float(),
        )
    case.expect("hidden", hidden)
    if attention:
        case.expect("attention", caught[0])


def make_idefics(root):
    # Everything, one alpha a layer; positions that see one picture, all and none.
    case = Case(root, "idefics_float")
    config = idefics_config(case, True, qk_layer_norms=True, qk_layer_norms_perceiver=True)
    perceiver = idefics_perceiver(case, config)
    layers = idefics_layers(case, config)
    case.decoy("layers.0.self_attn.q_proj.weight")
    case.save()
    with torch.no_grad():
        tokens = perceiver(case.give("vision", case.normal(6, 7, VISION)))
    case.expect("tokens", tokens)
    text, media = case.give("text", case.normal(3, 6, TEXT)), case.give("media", tokens.unflatten(0, (3, 2)))
    mask = torch.randint(0, 2, (3, 6, 2), generator=case.generator)
    mask[0, 0], mask[1, 5] = 0, 0
    run_idefics(case, layers[0], text, media, case.give("cross_mask", mask), attention=False)

    # A gate per channel, no perceiver: the tower's rows are the media.
    case = Case(root, "idefics_vector_f16")
    config = idefics_config(case, False, 1, alpha_type="vector", rms_norm_eps=1e-5)
    layers = idefics_layers(case, config, torch.float16, "model.")
    case.save()
    text, media = case.give("text", case.normal(1, 5, TEXT)), case.give("media", case.normal(1, 3, 4, VISION))
    mask = torch.ones(1, 5, 3, dtype=torch.int64)
    mask[0, 0, 1:], mask[0, 1, 2] = 0, 0
    run_idefics(case, layers[0], text, media, case.give("cross_mask", mask))

    # One picture without a mask; the perceiver without norms of q and k.
    case = Case(root, "idefics_no_mask_bf16")
    config = idefics_config(case, True, alpha_type="vector", qk_layer_norms=True, hidden_act="gelu")
    perceiver = idefics_perceiver(case, config, torch.bfloat16, "model.")
    layers = idefics_layers(case, config, torch.bfloat16, "model.")
    case.save()
    with torch.no_grad():
        tokens = perceiver(case.give("vision", case.normal(1, 9, VISION)))
    case.expect("tokens", tokens)
    text, media = case.give("text", case.normal(2, 4, TEXT)), case.give("media", case.normal(2, 5, VISION))
    run_idefics(case, layers[0], text, media[:, None], torch.ones(2, 4, 1))


def make(root):
    make_perceivers(root)
    make_immediate(root)
    make_all_media(root)
    make_cached(root)
    make_masked(root)
    make_mini(root)
    make_idefics(root)
    make_faint(root)
