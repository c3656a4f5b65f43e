#!/usr/bin/env python3
"""Times connectors with clfusion, PyTorch, ONNX Runtime and OpenVINO on the CPU, in one run, beside the FMA peak.

    python3 -m venv build/venv/bench && build/venv/bench/bin/pip install -r bench/requirements.txt
    build/venv/bench/bin/python bench/compare.py            # after tools/demo.sh or another build in build/release

All runners have the same weights in f32, packed and warm, and the same number of threads.  They take turns: in each
round every runner and the peak come once, with a pause before each, because thread pools spin for a while after a call.
A runner whose result differs from the double-precision reference gets no figure.  Medians are compared with medians;
the share of the peak is best time against best peak: of fused multiply-adds, or of reading from memory in the cases
that read every weight for a single row.
"""
import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from cores import ROOT, limit_threads


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


ARGS = arguments()
limit_threads("compare", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)
import torch  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import clf  # noqa: E402
from cases import CASES  # noqa: E402


# ---- runners: an object with run(), which ends when the result is there, and result() ------------------------------

class TorchRunner:
    def __init__(self, case, _):
        torch.set_num_threads(ARGS.threads)
        self.module, self.inputs, self.y = case.module, case.arguments(), None

    def run(self):
        with torch.inference_mode():
            self.y = self.module(*self.inputs)

    def result(self):
        return self.y.numpy()


class OnnxRuntimeRunner:
    def __init__(self, case, onnx_path):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = ARGS.threads, 1
        self.session = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        for name, array in case.inputs.items():
            self.binding.bind_cpu_input(name, array)
        self.binding.bind_output(case.output, "cpu")

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
        for name, array in case.inputs.items():
            self.request.set_tensor(name, ov.Tensor(array, shared_memory=True))

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
        connect = case.connect or clf.Connector.of_case
        self.module = connect(self.library, case, storage)
        self.run, self.result, self.close = self.module.run, self.module.result, self.module.close


RUNNERS = {"clfusion": ClfusionRunner, "torch": TorchRunner, "onnxruntime": OnnxRuntimeRunner,
           "openvino": OpenVinoRunner}


def export(case, folder):
    path = os.path.join(folder, "case.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(case.module, case.arguments(), path, input_names=list(case.inputs),
                          output_names=[case.output], opset_version=20, dynamo=True, verbose=False)
    return path


def reference(case):
    """The result in double precision, and the floating-point operations: two for each multiply-add of a product."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        want = case.module.double()(*case.arguments(torch.float64)).numpy()
    return want, counter.get_total_flops()


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


READ_BYTES = 1 << 30  # far beyond every cache


@functools.cache
def long_array():
    return torch.ones(READ_BYTES // 4)


def measure_read():
    """What the threads read from memory in GB/s: best of three sums, which torch vectorises."""
    array, best = long_array(), 0.0
    for _ in range(3):
        begin = time.perf_counter()
        array.sum()
        best = max(best, READ_BYTES / (time.perf_counter() - begin) * 1e-9)
    return best


def prepare(case, names):
    """The runners whose results are right, how far off each was, and the floating-point operations of a call."""
    runners, off = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = export(case, folder) if {"onnxruntime", "openvino"} & set(names) else None
        for name in names:
            runners[name] = RUNNERS[name](case, path)
            runners[name].run()
    results = {name: runner.result().copy() for name, runner in runners.items()}
    weights = {key: value.clone() for key, value in case.module.state_dict().items()}
    want, flop = reference(case)
    case.module.float().load_state_dict(weights)
    for name, got in results.items():
        off[name] = difference(got, want)
        if off[name] > LIMITS[ARGS.weights if name == "clfusion" else "f32"]:
            print(f"compare: {name} is {off[name]:.2g} off the reference; it gets no figure", file=sys.stderr)
            WRONG.append(name)
            del runners[name]
    return runners, off, flop


def measure(runners, measure_bound):
    """Seconds of every timed call by runner, and the readings of what bounds the case."""
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
        peaks.append(measure_bound())
    return seconds, peaks


def run_case(name, names):
    torch.manual_seed(1)
    case = CASES[name]()
    runners, off, flop = prepare(case, names)
    if not runners:
        sys.exit(f"compare: {name}: no runner gave the right result")
    work, unit = (case.bytes_read, "GB/s") if case.bytes_read else (flop, "GFLOP/s")
    seconds, peaks = measure(runners, measure_read if case.bytes_read else measure_peak)
    for runner in runners.values():
        getattr(runner, "close", lambda: None)()

    result = {"case": name, "shape": case.shape(), "flop": flop, "bytes_read": case.bytes_read, "unit": unit,
              "peak_best": max(peaks), "peak_median": statistics.median(peaks), "runners": {}}
    for runner, times in seconds.items():
        quarter = statistics.quantiles(times, n=4)
        result["runners"][runner] = {
            "median_ms": 1e3 * quarter[1], "quartiles_ms": [1e3 * quarter[0], 1e3 * quarter[2]],
            "best_ms": 1e3 * min(times), "difference": off[runner], "rate": work / quarter[1] * 1e-9,
            "peak_share": work / min(times) * 1e-9 / max(peaks)}
    return result


def row(result, names):
    cells = [result["case"], "×".join(str(d) for d in result["shape"])]
    for name in names:
        r = result["runners"].get(name)
        cells.append("wrong" if r is None else
                     f"{r['median_ms']:.2f} ms, {r['rate']:.0f} {result['unit']}, {100 * r['peak_share']:.0f} %")
    ours = result["runners"].get("clfusion")
    peers = [r["median_ms"] for name, r in result["runners"].items() if name != "clfusion"]
    cells.append(f"{min(peers) / ours['median_ms']:.2f}×" if ours and peers else "-")
    cells.append(f"{result['peak_best']:.0f} {result['unit']}")
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

    header = ["case", "first input"] + [f"{name} (median, rate, best as share of the peak)" for name in names]
    header += ["clfusion against the best peer", "peak"]
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
