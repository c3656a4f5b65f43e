#!/usr/bin/env python3
"""What connectors would take at best on GPUs that are not at hand: a table of estimates, nothing in it measured there.

    python3 tools/roofline.py                               # with build/release/clfusion; prints the table
    python3 tools/roofline.py --write docs/performance.md   # and puts it between the markers of that file

FLOP, bytes of operands and kernel launches are counted: `clfusion run --json` runs each connector at its real size,
with weights and inputs of zeros, on a CPU device with the kernels and the provider that GPUs get
(CLFUSION_KERNELS=tile, --gemm clblast).  What CLBlast launches inside a product is counted by tests/preload_count.c of
the same build, which lets each of these launches run a single work-group, for results do not matter.  For a device the
time is

    max(FLOP / peak, bytes / bandwidth) + launches * cost of a launch

with figures of its vendor: every product at the peak, every operand once from memory, nothing overlapped with launches.
"""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- roofline: begin -->", "<!-- roofline: end -->"
SECTION = "## Other machines"

# f32 lanes, 10^9 clocks a second, 10^9 bytes a second.  A lane does one fused multiply-add a clock, two FLOP.
Device = namedtuple("Device", "name target lanes clock bandwidth source")

DEVICES = [
    Device("Radeon RX 7900 XTX", "gfx1100", 6144, 2.5, 960,
           "AMD's product page: stream processors, boost clock, memory bandwidth; its 61 TFLOP/s count two "
           "instructions a clock, which compilers seldom pair"),
    Device("Radeon RX 6800", "gfx1030", 3840, 2.105, 512, "AMD's product page: the same"),
    Device("Radeon VII", "gfx906", 3840, 1.75, 1024, "AMD's product page: the same"),
    Device("Arc A770 16 GB", "dg2", 4096, 2.1, 560,
           "Intel's product page: 512 vector engines of 8 lanes, graphics clock, memory bandwidth; without its "
           "matrix units"),
    Device("Iris Xe, 96 units", "tgllp", 768, 1.35, 68.2,
           "Intel's page of the Core i7-1185G7: 96 units of 8 lanes, highest graphics clock; two channels of "
           "LPDDR4x-4266, shared with the CPU"),
    Device("UHD 630", "skl", 192, 1.2, 41.6,
           "Intel's page of the Core i7-8700: 24 units of 8 lanes, highest graphics clock, memory bandwidth, shared "
           "with the CPU"),
]
LAUNCH_COST = 10e-6  # seconds; no vendor states one


# ---- connectors: names and shapes of tensors ------------------------------------------------------------------------

def linear(name, out, width, bias=True):
    return {name + ".weight": [out, width]} | ({name + ".bias": [out]} if bias else {})


def norm(name, width, bias=True):
    return {name + ".weight": [width]} | ({name + ".bias": [width]} if bias else {})


def llava_1_5(hidden):
    head = "multi_modal_projector."
    return linear(head + "linear_1", hidden, 1024) | linear(head + "linear_2", hidden, hidden)


def vipllava():
    head = "multi_modal_projector."
    return (norm(head + "projector_layernorm", 5120) | linear(head + "linear_1", 4096, 5120) |
            linear(head + "linear_2", 4096, 4096))


def blip2(layers=12, width=768, inner=3072, vision=1408):
    tensors = {"query_tokens": [1, 32, width]} | norm("qformer.layernorm", width)
    for i in range(layers):
        layer = f"qformer.encoder.layer.{i}."
        for kind in ("attention", "crossattention")[:2 if i % 2 == 0 else 1]:
            seen = vision if kind == "crossattention" else width
            tensors |= linear(layer + kind + ".attention.query", width, width)
            tensors |= linear(layer + kind + ".attention.key", width, seen)
            tensors |= linear(layer + kind + ".attention.value", width, seen)
            tensors |= linear(layer + kind + ".output.dense", width, width)
            tensors |= norm(layer + kind + ".output.LayerNorm", width)
        tensors |= linear(layer + "intermediate_query.dense", inner, width)
        tensors |= linear(layer + "output_query.dense", width, inner) | norm(layer + "output_query.LayerNorm", width)
    return tensors | linear("language_projection", 2560, width)


def flamingo_feed_forward(name, width):
    return (norm(name + "0", width) | linear(name + "1", 4 * width, width, False) |
            linear(name + "3", width, 4 * width, False))


def openflamingo(dim=1024, depth=6, text=2048):
    tensors = {"perceiver.latents": [64, dim]} | norm("perceiver.norm", dim)
    for i in range(depth):
        layer = f"perceiver.layers.{i}."
        tensors |= norm(layer + "0.norm_media", dim) | norm(layer + "0.norm_latents", dim)
        tensors |= linear(layer + "0.to_q", 512, dim, False) | linear(layer + "0.to_kv", 1024, dim, False)
        tensors |= linear(layer + "0.to_out", dim, 512, False) | flamingo_feed_forward(layer + "1.", dim)
    block = "lang_encoder.transformer.blocks.0.gated_cross_attn_layer."
    tensors |= norm(block + "attn.norm", text) | linear(block + "attn.to_q", 512, text, False)
    tensors |= linear(block + "attn.to_kv", 1024, dim, False) | linear(block + "attn.to_out", text, 512, False)
    tensors |= flamingo_feed_forward(block + "ff.", text)
    return tensors | {block + "attn_gate": [1], block + "ff_gate": [1]}


def swiglu(name, out, inner, width):
    return (linear(name + "gate_proj", inner, width, False) | linear(name + "up_proj", inner, width, False) |
            linear(name + "down_proj", out, inner, False))


def idefics2(width=4096, inner=14336, vision=1152, depth=3):
    tensors = swiglu("connector.modality_projection.", width, inner, vision)
    head = "connector.perceiver_resampler."
    tensors |= {head + "latents": [64, width]} | norm(head + "norm", width, False)
    for i in range(depth):
        layer = f"{head}layers.{i}."
        for name in ("input_context_norm", "input_latents_norm", "post_attention_layernorm"):
            tensors |= norm(layer + name, width, False)
        for name, out, wide in (("q", 1536, width), ("k", 384, width), ("v", 384, width), ("o", width, 1536)):
            tensors |= linear(f"{layer}self_attn.{name}_proj", out, wide, False)
        tensors |= swiglu(layer + "mlp.", width, 4 * width, width)
    return tensors


def mllama(width=4096, inner=14336):
    layer = "language_model.model.layers.3."
    tensors = linear("multi_modal_projector", width, 7680) | swiglu(layer + "mlp.", width, inner, width)
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors |= norm(layer + name, width, False)
    for name, out in (("q", width), ("k", 1024), ("v", 1024), ("o", width)):
        tensors |= linear(f"{layer}cross_attn.{name}_proj", out, width, False)
    tensors |= norm(layer + "cross_attn.q_norm", 128, False) | norm(layer + "cross_attn.k_norm", 128, False)
    return tensors | {layer + "cross_attn_attn_gate": [1], layer + "cross_attn_mlp_gate": [1]}


LLAVA = {"model_type": "llava", "projector_hidden_act": "gelu", "vision_config": {"hidden_size": 1024}}
BLIP2 = {"model_type": "blip-2", "num_query_tokens": 32, "vision_config": {"hidden_size": 1408},
         "qformer_config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                            "intermediate_size": 3072, "encoder_hidden_size": 1408},
         "text_config": {"hidden_size": 2560}}
OPENFLAMINGO = {"model_type": "openflamingo", "media_token_id": 0}
MLLAMA = {"model_type": "mllama", "vision_config": {"vision_output_dim": 7680},
          "text_config": {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
                          "num_key_value_heads": 8, "cross_attention_layers": [3]}}

# A module has options instead of tensors, which `clfusion plan` then lists.
Case = namedtuple("Case", "name config tensors inputs output")

CASES = [
    Case("LLaVA-1.0 linear, 576 tokens, 7B", {"model_type": "llava_llama", "mm_hidden_size": 1024, "hidden_size": 4096},
         linear("model.mm_projector", 4096, 1024), {"vision": [1, 576, 1024]}, "tokens"),
    Case("LLaVA-1.5 MLP, 576 tokens, 7B", LLAVA | {"text_config": {"hidden_size": 4096}}, llava_1_5(4096),
         {"vision": [1, 576, 1024]}, "tokens"),
    Case("the same, 13B", LLAVA | {"text_config": {"hidden_size": 5120}}, llava_1_5(5120), {"vision": [1, 576, 1024]},
         "tokens"),
    Case("ViP-LLaVA norm + MLP, 576 tokens, 7B",
         {"model_type": "vipllava", "vision_config": {"hidden_size": 1024}, "text_config": {"hidden_size": 4096}},
         vipllava(), {"vision": [1, 576, 5120]}, "tokens"),
    Case("4-token merge + MLP, 1024 x 1280 to 3584", {"vision_dim": 1280, "hidden_dim": 5120, "llm_dim": 3584,
                                                      "compress_ratio": 4},
         "mlp_projection", {"vision": [1, 1024, 1280]}, "tokens"),
    Case("BLIP-2 Q-Former + projection, 257 x 1408", BLIP2, blip2(), {"vision": [1, 257, 1408]}, "tokens"),
    Case("the same, batch of 4", BLIP2, blip2(), {"vision": [4, 257, 1408]}, "tokens"),
    Case("OpenFlamingo perceiver, 256 tokens", OPENFLAMINGO, openflamingo(), {"vision": [1, 256, 1024]}, "tokens"),
    Case("OpenFlamingo gated block, T 128", OPENFLAMINGO, openflamingo(),
         {"text": [1, 128, 2048], "media": [1, 1, 64, 1024], "text_ids": [1, 128]}, "hidden"),
    Case("Idefics2 projection + perceiver, 729 tokens",
         {"model_type": "idefics2", "vision_config": {"hidden_size": 1152},
          "perceiver_config": {"hidden_size": 4096, "resampler_n_latents": 64, "resampler_depth": 3,
                               "resampler_n_heads": 16, "resampler_head_dim": 96, "num_key_value_heads": 4},
          "text_config": {"hidden_size": 4096, "intermediate_size": 14336}},
         idefics2(), {"vision": [1, 729, 1152]}, "tokens"),
    Case("Mllama projector, one tile", MLLAMA, mllama(), {"vision": [1, 1, 1, 1601, 7680]}, "tokens"),
    Case("Mllama cross layer, T 512, keys included", MLLAMA, mllama(),
         {"text": [1, 512, 4096], "media": [1, 1601, 4096]}, "hidden"),
    Case("Mllama cross layer, T 1, keys included", MLLAMA, mllama(),
         {"text": [1, 1, 4096], "media": [1, 1601, 4096]}, "hidden"),
    Case("post-norm fusion, 77 x 577, width 768", {"d_model": 768}, "cross_attention_fusion",
         {"text": [1, 77, 768], "vision": [1, 577, 768]}, "hidden"),
    Case("late fusion, 512 pictures, 2048 texts, top 5", {"vision_dim": 1024, "text_dim": 768, "projection_dim": 768,
                                                          "k": 5},
         "contrastive", {"vision": [512, 1024], "text": [2048, 768]}, "indices"),
]


# ---- files of zeros, which take no room on a disk -------------------------------------------------------------------

def write_zeros(path, head, count):
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + count)


def write_tensors(path, tensors):
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_zeros(path, len(text).to_bytes(8, "little") + text, end)


def write_array(path, shape, ids):
    text = repr({"descr": "<i8" if ids else "<f4", "fortran_order": False, "shape": tuple(shape)}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    write_zeros(path, head, (8 if ids else 4) * math.prod(shape))


# ---- counting -------------------------------------------------------------------------------------------------------

class Counter:
    def __init__(self, options):
        self.command, self.preload = options.build / "clfusion", options.build / "tests/libpreload_count.so"
        self.device = options.device
        for path in (self.command, self.preload):
            if not path.exists():
                sys.exit(f"roofline: {path} is missing; build it, with -DCLFUSION_TESTS=ON")

    def call(self, words, **more):
        done = subprocess.run([self.command, *words, "--json"], env=os.environ | more, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"roofline: clfusion {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout), done.stderr

    def checkpoint(self, case, folder):
        """Words of the command for the case's weights, written to the folder."""
        tensors, words = case.tensors, [str(folder)]
        if isinstance(tensors, str):
            sets = [word for key, value in case.config.items() for word in ("--set", f"{key}={value}")]
            plan, _ = self.call(["plan", tensors, *sets])
            tensors = {row["name"]: row["shape"] for row in plan["tensors"]}
            words = [str(folder / "model.safetensors"), "--family", case.tensors, *sets]
        else:
            (folder / "config.json").write_text(json.dumps(case.config))
        write_tensors(folder / "model.safetensors", tensors)
        return words

    def count(self, case):
        """GFLOP, bytes of weights, bytes of operands and launches of one call."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            checkpoint = self.checkpoint(case, folder)
            words = ["run", *checkpoint, "--gemm", "clblast", "--device", self.device,
                     "--output", f"{case.output}={folder / 'out.npy'}"]
            for key, shape in case.inputs.items():
                write_array(folder / f"{key}.npy", shape, key.endswith("_ids"))
                words += ["--input", f"{key}={folder / key}.npy"]
            weights, _ = self.call(["inspect", *checkpoint])
            profile = ["--profile", str(folder / "profile.json")]
            more = {"CLFUSION_KERNELS": "tile", "LD_PRELOAD": str(self.preload), "CLF_PRELOAD_TELL": "1"}
            run, told = self.call([*words, *profile, "--repeat", "1"], **more)
            products = (folder / "profile.json").read_text().count('"clblast_sgemm"')
        # The profile and the preloaded counter have both calls, the first and the repeated one, which are alike.
        # Linkers that the driver starts tell their 0 before.
        inner = int(re.findall(r"(\d+) kernels", told)[-1])
        return {"flop": run["flop"], "weights": weights["bytes_as_f32"], "bytes": run["operand_bytes"],
                "launches": run["launches"] + (inner - products) // 2}


# ---- the table ------------------------------------------------------------------------------------------------------

def estimate(device, counts):
    """Milliseconds, and what they are mostly: a(rithmetic), m(emory), l(aunches)."""
    parts = {"a": counts["flop"] / (device.lanes * device.clock * 2e9), "m": counts["bytes"] / (device.bandwidth * 1e9),
             "l": counts["launches"] * LAUNCH_COST}
    return 1e3 * (max(parts["a"], parts["m"]) + parts["l"]), max(parts, key=parts.get)


def row(*cells):
    return "| " + " | ".join(cells) + " |"


HEAD = f"""\
**Estimates; nothing here is measured.** FLOP, bytes and launches are counted in runs on a CPU device with the GPUs'
kernels and CLBlast, weights in f32. Bytes are those of every kernel's operands, each once; launches include what
CLBlast launches inside a product there. The time is the larger of arithmetic at the peak and bytes at the bandwidth,
and {LAUNCH_COST * 1e6:.0f} µs for each launch, an assumption: no vendor states it. A real device takes longer. The
letter says what the time is mostly: a(rithmetic), m(emory) or l(aunches). The table is made by

    python3 tools/roofline.py --write docs/performance.md
"""


def table(counted):
    yield HEAD
    yield row("ms for one call", "GFLOP", "MB checkpoint", "MB operands", "launches", *(d.name for d in DEVICES))
    yield row("---", *["---:"] * (4 + len(DEVICES)))
    for case, counts in counted:
        times = (estimate(device, counts) for device in DEVICES)
        yield row(case.name, f"{counts['flop'] / 1e9:.2f}", f"{counts['weights'] / 1e6:.1f}",
                  f"{counts['bytes'] / 1e6:.1f}", str(counts["launches"]), *(f"{ms:.2f} {what}" for ms, what in times))
    yield ""
    yield row("device", "compiled for", "TFLOP/s f32", "GB/s", "figures from")
    yield row("---", "---", "---:", "---:", "---")
    for d in DEVICES:
        yield row(d.name, d.target, f"{d.lanes * d.clock * 2e-3:.2f}", f"{d.bandwidth:g}", d.source)


def put(path, text):
    """Replaces what stands between the markers; without markers it goes behind the section's heading, or a new one."""
    old = path.read_text() if path.exists() else ""
    block = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in old and END in old:
        new = old[:old.index(BEGIN)] + block + old[old.index(END) + len(END):]
    elif SECTION in old.splitlines():
        new = re.sub(rf"^{SECTION}$", lambda _: f"{SECTION}\n\n{block}", old.rstrip("\n"), count=1, flags=re.M) + "\n"
    else:
        new = old.rstrip("\n") + ("\n\n" if old else "") + f"{SECTION}\n\n{block}\n"
    path.write_text(new)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=Path, default=ROOT / "build/release", help="folder with clfusion and its tests")
    p.add_argument("--device", default="cpu", help="where the connectors run, as in `clfusion run --device`")
    p.add_argument("--case", action="append", help="only cases with this in their names")
    p.add_argument("--write", type=Path, help="Markdown file whose marked section becomes the table")
    options = p.parse_args()
    counter, counted = Counter(options), []
    for case in CASES:
        if options.case and not any(text in case.name for text in options.case):
            continue
        counted.append((case, counter.count(case)))
        print(case.name, counted[-1][1], file=sys.stderr)
    text = "\n".join(table(counted))
    if options.write:
        put(options.write, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
