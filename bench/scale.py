#!/usr/bin/env python3
"""How time and memory grow with tokens and batch, and what several streams on one device give.

    build/venv/bench/bin/python bench/scale.py --document docs/performance.md          # some minutes
    build/venv/bench/bin/python bench/scale.py mlp --parts time --json build/scale.json
    build/venv/bench/bin/python bench/scale.py --parts none --json build/scale.json    # the tables of what was measured

Modules have fresh weights in f32.  Their inputs are 1 to 64 pictures of 576 tokens, as a batch, or one picture of 1
to 64 times 576 tokens.  In each round every size comes, small ones several times, so that a busy minute meets all; the
table has medians of the rounds.  Time for a token is set against 16 x 576 tokens, which no cache holds: 1 is linear.
Memory is that of a process with one size only: "scratch" is what the context holds on the device beside weights,
inputs and outputs, "resident" by how much the resident set has grown at its highest since the device was opened,
"later" what both grow by after the second call.

Streams: as many threads, each with a stream and an output of its own, share one module; every result must have the
bits of the first.
"""
import argparse
import ctypes as c
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import document
from cores import ROOT, limit_threads

SIZES, BASE, PICTURE, LATER = (1, 4, 16, 64), 16, 576, 2
STREAMS = (1, 2, 4)
PARTS = ("time", "memory", "streams")
NAME = "scale.py"  # of the marks


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("modules", nargs="*", help="names (default: all)")
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so")
    p.add_argument("--parts", default=",".join(PARTS), help="of time, memory, streams")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    p.add_argument("--json", type=Path, help="a file that keeps what is measured; parts that it has already stay")
    p.add_argument("--document", type=Path, help="put the tables between the marks of this file")
    p.add_argument("--point", help=argparse.SUPPRESS)  # MODULE,AXIS,SIZE: memory, in this process
    return p.parse_args()


ARGS = arguments()
limit_threads("scale", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)

import clf  # noqa: E402

# name: what it is, width of its input, configuration
MODULES = {
    "mlp": ("LLaVA-1.5's MLP, 1024 to 4096", 1024,
            {"module": "mlp_projection", "vision_dim": 1024, "hidden_dim": 4096, "llm_dim": 4096}),
    "qformer": ("Q-Former, 32 queries of 768, 6 layers", 1408,
                {"module": "simplified_qformer", "num_queries": 32, "query_dim": 768, "vision_dim": 1408,
                 "num_layers": 6, "num_heads": 12}),
    "pool": ("pooling to 12 x 12 tokens of 1024", 1024, {"module": "adaptive_avg_pool", "target_grid": [12, 12]}),
}
AXES = ("batch", "tokens")


class ModuleDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("module", c.c_char_p), ("config_json", c.c_char_p),
                ("config_bytes", c.c_size_t), ("sets", c.c_void_p), ("set_count", c.c_size_t), ("seed", c.c_uint64),
                ("storage", c.c_int), ("layer", c.c_int32)]


# ---- calls ---------------------------------------------------------------------------------------------------------

def open_library():
    library = clf.Library(str(ARGS.build / "libclfusion.so"), ARGS.device)
    library.lib.clf_context_memory.restype = c.c_uint64
    return library


def held(library):
    """Device memory in bytes: now, and the most there was."""
    most = c.c_uint64()
    return library.lib.clf_context_memory(library.context, c.byref(most)), most.value


class Module:
    def __init__(self, library, name):
        self.library, self.handle = library, c.c_void_p()
        text = json.dumps({"model_type": "clfusion", **MODULES[name][2]}).encode()
        desc = ModuleDesc(struct_size=c.sizeof(ModuleDesc), config_json=text, config_bytes=len(text), seed=1,
                          storage=clf.F32)
        library.check(library.lib.clf_module_create(library.context, c.byref(desc), c.byref(self.handle),
                                                    c.byref(library.error)))

    def close(self):
        self.library.lib.clf_connector_destroy(self.handle)


class Call:
    """A module on one input, with an output of its own."""

    def __init__(self, module, vision, stream=None):
        self.module, self.library, self.vision = module, module.library, vision
        self.stream, self.one = stream or self.library.stream, c.c_size_t(1)
        self.error = clf.Error()
        self.input, self.output = clf.Value(b"vision", vision, None), clf.Value(b"tokens", clf.Tensor(), None)
        self.library.check(self.library.lib.clf_connector_plan(
            module.handle, c.byref(self.input), self.one, c.byref(self.output), self.one, c.byref(self.library.error)))
        planned = self.output.tensor
        self.output.tensor = self.library.tensor(planned.dtype, planned.dim[:planned.rank])

    def run(self):
        self.library.lib.clf_connector_enqueue(self.stream, self.module.handle, c.byref(self.input), self.one,
                                               c.byref(self.output), self.one)
        if self.library.lib.clf_stream_finish(self.stream, c.byref(self.error)) != 0:
            raise RuntimeError(self.error.message.decode())

    def bytes(self):
        return sum(4 * math.prod(value.tensor.dim[:value.tensor.rank]) for value in (self.input, self.output))

    def result(self):
        return self.library.download(self.output.tensor)

    def close(self):
        self.library.free(self.output.tensor)


def upload(library, name, axis, size):
    shape = (size, PICTURE, MODULES[name][1]) if axis == "batch" else (1, size * PICTURE, MODULES[name][1])
    array = np.random.default_rng(1).standard_normal(shape, np.float32)
    tensor = library.upload(array)
    library.finish()
    return tensor


def seconds_of(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


# ---- memory: a process for each size -------------------------------------------------------------------------------

def resident(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def measure_point(name, axis, size):
    """All in bytes.  The resident set is that of the calls: without this process's own copy of the input."""
    library = open_library()
    before = resident("VmRSS")
    module = Module(library, name)
    weights = held(library)[0]
    call = Call(module, upload(library, name, axis, size))
    Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
    call.run()
    call.run()
    second, resident_second = held(library)[0], resident("VmRSS")
    for _ in range(LATER):
        call.run()
    now, most = held(library)
    print(json.dumps({"weights": weights, "values": call.bytes(), "device": most,
                      "scratch": most - weights - call.bytes(), "later_device": now - second,
                      "resident": resident("VmHWM") - before, "later_resident": resident("VmRSS") - resident_second}))


def memory_of(name, axis, size):
    command = [sys.executable, __file__, "--build", ARGS.build, "--threads", str(ARGS.threads), "--point",
               f"{name},{axis},{size}"] + (["--device", ARGS.device] if ARGS.device else [])
    return json.loads(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)


# ---- time ----------------------------------------------------------------------------------------------------------

def times_of(library, module, name, axis):
    """Seconds and the output's shape by size."""
    visions = [upload(library, name, axis, size) for size in SIZES]
    calls = [Call(module, vision) for vision in visions]
    seconds = {size: [] for size in SIZES}
    for call in calls:
        call.run()
    for turn in range(ARGS.rounds):
        for size, call in list(zip(SIZES, calls))[::1 if turn % 2 else -1]:
            seconds[size].append(min(seconds_of(call.run) for _ in range(4 if size < BASE else 1)))
    shapes = [call.output.tensor.dim[:call.output.tensor.rank] for call in calls]
    for call, vision in zip(calls, visions):
        call.close()
        library.free(vision)
    return {size: {"shape": shape, "ms": 1e3 * statistics.median(seconds[size]), "best_ms": 1e3 * min(seconds[size])}
            for size, shape in zip(SIZES, shapes)}


def open_streams(library):
    """The library's own, and new ones."""
    streams = [library.stream]
    while len(streams) < max(STREAMS):
        streams.append(c.c_void_p())
        library.check(library.lib.clf_stream_create(library.context, None, c.byref(streams[-1]),
                                                    c.byref(library.error)))
    return streams


def run_together(calls, count):
    """Each thread as often, `count` times in all."""
    threads = [threading.Thread(target=lambda call=call: [call.run() for _ in range(count // len(calls))])
               for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def share_device(library, module, name):
    """Calls a second by number of streams."""
    vision, streams = upload(library, name, "batch", 1), open_streams(library)
    calls = [Call(module, vision, stream) for stream in streams]
    for call in calls:
        call.run()
    once = min(seconds_of(calls[0].run) for _ in range(3))
    count = max(2, math.ceil(0.3 / once / max(STREAMS))) * max(STREAMS)
    seconds = {used: [] for used in STREAMS}
    for turn in range(ARGS.rounds):
        for used in STREAMS[::1 if turn % 2 else -1]:
            seconds[used].append(seconds_of(lambda: run_together(calls[:used], count)))
    first = calls[0].result()
    equal = all(np.array_equal(call.result(), first) for call in calls)
    for call, stream in zip(calls, streams):
        call.close()
        if stream is not library.stream:
            library.lib.clf_stream_destroy(stream)
    library.free(vision)
    return {"equal_bits": equal} | {str(used): count / statistics.median(times) for used, times in seconds.items()}


def measure(library, name, parts, kept):
    """Adds to kept["points"]["module axis size"] and kept["streams"][module]."""
    module = Module(library, name)
    for axis in AXES:
        times = times_of(library, module, name, axis) if "time" in parts else {}
        for size in SIZES:
            point = kept["points"].setdefault(f"{name} {axis} {size}", {})
            point.update(times.get(size, {}))
            if "memory" in parts:
                point.update(memory_of(name, axis, size))
    if "streams" in parts:
        kept["streams"][name] = share_device(library, module, name)
    module.close()


# ---- the tables ----------------------------------------------------------------------------------------------------

def mb(count):
    return f"{count / 1e6:,.1f}" if abs(count) < 1e7 else f"{count / 1e6:,.0f}"


def grown_row(kept, name, axis, size):
    point = kept["points"].get(f"{name} {axis} {size}")
    if point is None:
        return None
    cells = [MODULES[name][0], f"{size} x {PICTURE}" if axis == "batch" else f"1 x {size * PICTURE}"]
    if "ms" in point:
        base = kept["points"][f"{name} {axis} {BASE}"]["ms"] / BASE
        cells += [" x ".join(map(str, point["shape"])), f"{point['ms']:.2f}", f"{point['ms'] / size / base:.2f}"]
    else:
        cells += ["-"] * 3
    if "scratch" in point:
        cells += [mb(point["scratch"]), f"{point['scratch'] / (size * PICTURE) / 1e3:.1f}", mb(point["resident"]),
                  f"{mb(point['later_device'])} and {mb(point['later_resident'])}"]
    else:
        cells += ["-"] * 4
    return "| " + " | ".join(cells) + " |"


def stream_row(name, rates):
    cells = [f"{rates[str(used)]:.1f} a second, {rates[str(used)] / rates['1']:.2f}" for used in STREAMS]
    return f"| {MODULES[name][0]} | {' | '.join(cells)} | {'equal' if rates['equal_bits'] else 'DIFFERENT'} |"


def tables(kept):
    about = kept["about"]
    header = ["module", "input", "output", "ms", "time for a token", "scratch, MB", "for a token, KB", "resident, MB",
              "later, MB"]
    rows = [grown_row(kept, name, axis, size) for name in MODULES for axis in AXES for size in SIZES]
    lines = [f"`bench/scale.py --rounds {about['rounds']}`: {about['device']}, {about['platform']} {about['driver']}, "
             f"{about['threads']} threads, weights in f32.", "", "| " + " | ".join(header) + " |",
             "|" + "---|" * len(header), *filter(None, rows), "",
             "| calls of 576 tokens | " + " | ".join(f"{n} stream{'s' * (n > 1)}" for n in STREAMS) + " | bits |",
             "|---|" + "---|" * (len(STREAMS) + 1)]
    return "\n".join(lines + [stream_row(name, rates) for name, rates in kept["streams"].items()])


def main():
    if ARGS.point:
        name, axis, size = ARGS.point.split(",")
        measure_point(name, axis, int(size))
        return
    for name in ARGS.modules:
        if name not in MODULES:
            sys.exit(f"scale: module is {name}; want one of {', '.join(MODULES)}")
    if ARGS.document:
        document.split(ARGS.document, NAME)  # before minutes of measuring
    library, kept = open_library(), {"points": {}, "streams": {}}
    if ARGS.json and ARGS.json.exists():
        kept = json.loads(ARGS.json.read_text())
    parts = [] if ARGS.parts == "none" else ARGS.parts.split(",")
    if not parts and "about" not in kept:
        sys.exit("scale: nothing was kept and nothing is to be measured; want --parts, or --json of an earlier run")
    if parts:
        kept["about"] = library.describe() | {"rounds": ARGS.rounds, "threads": ARGS.threads}
    for name in (ARGS.modules or MODULES) if parts else ():
        print(f"{name} ...", file=sys.stderr)
        measure(library, name, parts, kept)
    if ARGS.json:
        ARGS.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(tables(kept))
    if ARGS.document:
        document.put(ARGS.document, NAME, tables(kept))
    sys.exit(0 if all(rates["equal_bits"] for rates in kept["streams"].values()) else 1)


if __name__ == "__main__":
    main()
