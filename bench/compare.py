#!/usr/bin/env python3
"""Times connectors with clfusion, PyTorch, ONNX Runtime and OpenVINO on the CPU, in one run, beside the FMA peak.

    python3 -m venv build/venv/bench && build/venv/bench/bin/pip install -r bench/requirements.txt
    build/venv/bench/bin/python bench/compare.py            # after tools/demo.sh or another build in build/release

All runners have the same weights in f32, packed and warm, and the same number of threads.  They take turns: in each
round every runner and the peak come once, with a pause before each, because thread pools spin for a while after a call.
A runner whose result differs from the double-precision reference gets no figure.  Medians are compared with medians;
the share of the peak is best time against best peak.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cases", nargs="*", help="names of cases (default: all); --list shows them")
    p.add_argument("--list", action="store_true")
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so and clfusion")
    p.add_argument("--runners", default="clfusion,torch,onnxruntime,openvino")
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("--calls", type=int, default=3, help="timed calls of a runner in a round, after one untimed")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each runner's turn")
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    p.add_argument("--weights", default="f32", choices=["f32", "f16", "bf16"], help="clfusion's storage")
    p.add_argument("--json", type=Path, help="also write everything measured to this file")
    return p.parse_args()


def limit_threads(count):
    """Before any runtime is loaded: the process gets `count` cores, and so does everything that counts cores."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    if len(cores) < count:
        sys.exit(f"compare: --threads is {count}; want at most {len(cores)}, the cores of this machine")
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = os.environ["POCL_MAX_PTHREAD_COUNT"] = str(count)
    os.environ.setdefault("POCL_AFFINITY", "1")  # the peers pin their threads unasked; pocl does not
    if not os.environ.get("OCL_ICD_VENDORS") and not os.environ.get("CLFUSION_DEVICE"):
        folder = ROOT / "build/icd/pocl"  # made by tools/demo.sh and tools/test.sh
        if folder.is_dir():
            os.environ["OCL_ICD_VENDORS"] = str(folder)


ARGS = arguments()
limit_threads(ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)
import torch  # noqa: E402
from torch import nn  # noqa: E402

import clf  # noqa: E402


# ---- cases: a function that gives the reference module, and what clfusion needs to build the same -----------------

class Case:
    def __init__(self, module, tokens, width, config, names, family=None, batch=1):
        """names: state-dict name -> tensor name of the checkpoint."""
        self.module, self.config, self.names, self.family = module.eval(), config, names, family
        self.vision = np.random.default_rng(1).standard_normal((batch, tokens, width), dtype=np.float32)

    def weights(self):
        return {self.names[name]: value.numpy() for name, value in self.module.state_dict().items()}


def linear(tokens, width, out, config, name, family=None):
    return Case(nn.Linear(width, out), tokens, width, config, {"weight": name + ".weight", "bias": name + ".bias"}, family)


def mlp_names(prefix, first, second, norm=None):
    names = {f"{layer}.{kind}": f"{prefix}.{name}.{kind}" for layer, name in ((first, "linear_1"), (second, "linear_2"))
             for kind in ("weight", "bias")}
    return names | ({f"0.{kind}": f"{prefix}.{norm}.{kind}" for kind in ("weight", "bias")} if norm else {})


def llava_1_5(hidden):
    return Case(nn.Sequential(nn.Linear(1024, hidden), nn.GELU(), nn.Linear(hidden, hidden)), 576, 1024,
                {"model_type": "llava", "vision_config": {"hidden_size": 1024}, "text_config": {"hidden_size": hidden},
                 "projector_hidden_act": "gelu"}, mlp_names("multi_modal_projector", 0, 2))


def vipllava():
    return Case(nn.Sequential(nn.LayerNorm(5120), nn.Linear(5120, 4096), nn.GELU(), nn.Linear(4096, 4096)), 576, 5120,
                {"model_type": "vipllava", "vision_config": {"hidden_size": 1024}, "text_config": {"hidden_size": 4096},
                 "vision_feature_layers": [-2, -5, -8, -11, 6], "projector_hidden_act": "gelu"},
                mlp_names("multi_modal_projector", 1, 3, "projector_layernorm"))


CASES = {
    "llava_1_0": lambda: linear(576, 1024, 4096, {"model_type": "llava_llama", "mm_projector_type": "linear",
                                                  "mm_hidden_size": 1024, "hidden_size": 4096},
                                "model.mm_projector", "llava_original"),
    "llava_1_5_7b": lambda: llava_1_5(4096),
    "llava_1_5_13b": lambda: llava_1_5(5120),
    "vipllava": vipllava,
    "paligemma_224": lambda: linear(256, 1152, 2048, {"model_type": "paligemma", "projection_dim": 2048,
                                                      "vision_config": {"hidden_size": 1152, "projection_dim": 2048}},
                                    "multi_modal_projector.linear"),
    "fuyu_1280x720": lambda: linear(24 * 43, 2700, 4096, {"model_type": "fuyu", "patch_size": 30, "num_channels": 3,
                                                          "hidden_size": 4096, "text_config": {"hidden_size": 4096}},
                                    "vision_embed_tokens"),
}


# ---- runners: an object with run(), which ends when the result is there, and result() ------------------------------

class TorchRunner:
    def __init__(self, case, _):
        torch.set_num_threads(ARGS.threads)
        self.module, self.x, self.y = case.module, torch.from_numpy(case.vision), None

    def run(self):
        with torch.inference_mode():
            self.y = self.module(self.x)

    def result(self):
        return self.y.numpy()


class OnnxRuntimeRunner:
    def __init__(self, case, onnx_path):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = ARGS.threads, 1
        self.session = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input("vision", case.vision)
        self.binding.bind_output("tokens", "cpu")

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        return self.binding.copy_outputs_to_cpu()[0]


class OpenVinoRunner:
    def __init__(self, case, onnx_path):
        import openvino as ov
        core = ov.Core()
        compiled = core.compile_model(core.read_model(onnx_path), "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": ARGS.threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY"})
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(ov.Tensor(case.vision, shared_memory=True))

    def run(self):
        self.request.infer()

    def result(self):
        return self.request.get_output_tensor().data.copy()


class ClfusionRunner:
    library = None

    def __init__(self, case, _):
        if ClfusionRunner.library is None:
            ClfusionRunner.library = clf.Library(str(ARGS.build / "libclfusion.so"), ARGS.device)
        storage = {"f32": clf.F32, "f16": clf.F16, "bf16": clf.BF16}[ARGS.weights]
        self.connector = clf.Connector(self.library, case.config, case.weights(), case.vision, case.family, storage)
        self.run, self.result, self.flop = self.connector.run, self.connector.result, self.connector.flop
        self.close = self.connector.close


RUNNERS = {"clfusion": ClfusionRunner, "torch": TorchRunner, "onnxruntime": OnnxRuntimeRunner,
           "openvino": OpenVinoRunner}


def export(case, folder):
    path = os.path.join(folder, "case.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(case.module, (torch.from_numpy(case.vision),), path, input_names=["vision"],
                          output_names=["tokens"], opset_version=20, dynamo=True, verbose=False)
    return path


def reference(case):
    with torch.inference_mode():
        return case.module.double()(torch.from_numpy(case.vision).double()).numpy()


def difference(got, want):
    """The greatest difference, in units of the reference's root mean square; NaN is infinite."""
    d = float(np.max(np.abs(got - want)) / np.sqrt(np.mean(want * want)))
    return d if d == d else float("inf")


# What f32 accumulation over a few thousand products leaves; f16 and bf16 weights are rounded to 11 and 8 bits.
WRONG = []  # runners whose result missed the reference: the exit status is 1 then
LIMITS = {"f32": 2e-5, "f16": 2e-3, "bf16": 2e-2}


def measure_peak():
    """The device's FMA peak in GFLOP/s: best of five readings, which the command takes beside any short case."""
    command = [str(ARGS.build / "clfusion"), "bench", "linear.qformer", "--repeat", "5", "--json"]
    text = subprocess.run(command + (["--device", ARGS.device] if ARGS.device else []), check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return json.loads(text)["peak_fma_gflops"]


def prepare(case, names):
    """The runners whose results are right, and how far off each was."""
    runners, off = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = export(case, folder) if {"onnxruntime", "openvino"} & set(names) else None
        for name in names:
            runners[name] = RUNNERS[name](case, path)
            runners[name].run()
    results = {name: runner.result().copy() for name, runner in runners.items()}
    weights = {key: value.clone() for key, value in case.module.state_dict().items()}
    want = reference(case)
    case.module.float().load_state_dict(weights)
    for name, got in results.items():
        off[name] = difference(got, want)
        if off[name] > LIMITS[ARGS.weights if name == "clfusion" else "f32"]:
            print(f"compare: {name} is {off[name]:.2g} off the reference; it gets no figure", file=sys.stderr)
            WRONG.append(name)
            del runners[name]
    return runners, off


def measure(runners):
    """Seconds of every timed call by runner, and the readings of the peak."""
    seconds, peaks = {name: [] for name in runners}, []
    for turn in range(ARGS.rounds):
        order = list(runners)
        order = order[turn % len(order):] + order[:turn % len(order)]
        for name in order:
            time.sleep(ARGS.pause)
            runners[name].run()
            for _ in range(ARGS.calls):
                begin = time.perf_counter()
                runners[name].run()
                seconds[name].append(time.perf_counter() - begin)
        time.sleep(ARGS.pause)
        peaks.append(measure_peak())
    return seconds, peaks


def run_case(name, names):
    torch.manual_seed(1)
    case = CASES[name]()
    runners, off = prepare(case, names)
    if not runners:
        sys.exit(f"compare: {name}: no runner gave the right result")
    flop = runners["clfusion"].flop() if "clfusion" in runners else None
    seconds, peaks = measure(runners)
    for runner in runners.values():
        getattr(runner, "close", lambda: None)()

    result = {"case": name, "shape": list(case.vision.shape), "flop": flop, "peak_best": max(peaks),
              "peak_median": statistics.median(peaks), "runners": {}}
    for runner, times in seconds.items():
        quarter = statistics.quantiles(times, n=4)
        result["runners"][runner] = {
            "median_ms": 1e3 * quarter[1], "quartiles_ms": [1e3 * quarter[0], 1e3 * quarter[2]],
            "best_ms": 1e3 * min(times), "difference": off[runner]}
        if flop:
            figures = result["runners"][runner]
            figures["gflops"] = flop / quarter[1] * 1e-9
            figures["peak_share"] = flop / min(times) * 1e-9 / max(peaks)
    return result


def row(result, names):
    cells = [result["case"], "×".join(str(d) for d in result["shape"])]
    for name in names:
        r = result["runners"].get(name)
        cells.append("wrong" if r is None else f"{r['median_ms']:.2f} ms, {r.get('gflops', 0):.0f}")
    ours = result["runners"].get("clfusion")
    peers = [r["median_ms"] for name, r in result["runners"].items() if name != "clfusion"]
    cells.append(f"{min(peers) / ours['median_ms']:.2f}×" if ours and peers else "-")
    cells.append(f"{100 * ours['peak_share']:.0f} % of {result['peak_best']:.0f}" if ours else "-")
    return "| " + " | ".join(cells) + " |"


def main():
    if ARGS.list:
        print("\n".join(CASES))
        return
    names, cases = ARGS.runners.split(","), ARGS.cases or list(CASES)
    for what, given, known in (("runner", names, RUNNERS), ("case", cases, CASES)):
        for name in given:
            if name not in known:
                sys.exit(f"compare: {what} is {name}; want one of {', '.join(known)}")

    header = ["case", "vision"] + [f"{name} (median, GFLOP/s)" for name in names]
    header += ["clfusion against the best peer", "best share of the best FMA peak"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    results = []
    for name in cases:
        print(f"{name} ...", file=sys.stderr)
        results.append(run_case(name, names))
        lines.append(row(results[-1], names))

    about = {"rounds": ARGS.rounds, "calls": ARGS.calls, "threads": ARGS.threads, "weights": ARGS.weights,
             "torch": torch.__version__}
    if ClfusionRunner.library:
        about["clfusion"] = ClfusionRunner.library.describe()
    for module in {"onnxruntime", "openvino"} & set(sys.modules):
        about[module] = sys.modules[module].__version__
    print("\n".join(lines))
    print(json.dumps(about))
    if ARGS.json:
        ARGS.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    sys.exit(1 if WRONG else 0)


if __name__ == "__main__":
    main()
