"""One case with all runners: results checked, then calls timed in rounds that alternate, beside the machine's peaks.

In each round every runner comes once, in an order that rotates, with a pause before each, because thread pools spin for
a while after a call; short calls are timed several times in a turn.  Then the peaks: fused multiply-adds (what
`clfusion bench` reads with a kernel of its own) and reading from memory (sums of an array beyond every cache, by torch).
A runner whose result misses the double-precision reference is not timed.  readings.py makes the figures.
"""
import functools
import gc
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from cores import ROOT
from runners import RUNNERS, STORAGE_BYTES, ClfusionRunner, Export, first_line, storage_of

# In units of the reference's root mean square: what f32 accumulation over a few thousand products leaves; f16 and bf16
# weights are rounded to 11 and 8 bits.
LIMITS = {"f32": 2e-5, "f16": 2e-3, "bf16": 2e-2}

TURN_SECONDS = 0.02  # of the fastest runner's calls in a turn: of few short ones the best would be luck


# ---- the machine ---------------------------------------------------------------------------------------------------

def read_fma(settings):
    """GFLOP/s: best of five readings, which the command takes beside any short case."""
    command = [str(Path(settings.build) / "clfusion"), "bench", "linear.qformer", "--repeat", "5", "--json"]
    text = subprocess.run(command + (["--device", settings.device] if settings.device else []), check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return json.loads(text)["peak_fma_gflops"]


READ_BYTES = 1 << 27  # of a reading: as many as a short call that memory binds takes, so that both are as long
READINGS = 8          # of one part after the other, together far beyond every cache


@functools.cache
def long_array():
    return torch.ones(READINGS, READ_BYTES // 4)


def read_memory(settings):
    """GB/s: best of the sums of all parts."""
    best = 0.0
    for part in long_array():
        begin = time.perf_counter()
        part.sum()
        best = max(best, READ_BYTES / (time.perf_counter() - begin) * 1e-9)
    return best


PEAKS = {"fma": (read_fma, "GFLOP/s"), "read": (read_memory, "GB/s")}


def first_word(path, key):
    """What stands behind "key:" in a file of /proc, or ""."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return ""


def describe(settings):
    """Machine, versions and settings of a run."""
    memory = int(first_word("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    about = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "processor": first_word("/proc/cpuinfo", "model name"),
             "cores": os.cpu_count(), "memory": f"{memory:.0f} GiB", "system": platform.platform(),
             "python": platform.python_version(), "torch": torch.__version__}
    for key in ("rounds", "calls", "threads", "pause", "weights"):
        about[key] = getattr(settings, key)
    if ClfusionRunner.library:
        about["clfusion"] = ClfusionRunner.library.describe()
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    if commit:
        about["commit"] = commit
    for module in ("onnxruntime", "openvino", "transformers", "kornia"):
        if module in sys.modules:
            about[module] = sys.modules[module].__version__.split("-")[0]
    return about


# ---- a case --------------------------------------------------------------------------------------------------------

class Stopwatch:
    """Seconds of each part of a case's time, so that what is not measuring shows."""

    def __init__(self):
        self.seconds, self.last = {}, time.perf_counter()

    def lap(self, part):
        """What has passed since the last lap belongs to this part."""
        now = time.perf_counter()
        self.seconds[part], self.last = round(now - self.last, 2), now


def limit_of(case, name, settings):
    """Of the difference.  Where parameters have the storage's values, peers compute in that type; clfusion does not,
    but rounds the keys that it makes itself, some of them to the other neighbour than the reference does."""
    if case.storage:
        return 10 * LIMITS["f32"] if name == "clfusion" else 4 * LIMITS[case.storage]
    return (case.limit or LIMITS["f32"]) * LIMITS[storage_of(case, name, settings)] / LIMITS["f32"]


def prepare(case, names, settings, watch):
    """Runners whose results are right, how far off each was, why others are not there, and which were wrong."""
    want, flop = case.reference()
    gc.collect()
    watch.lap("reference")
    export, runners, off, missing, wrong = Export(case), {}, {}, {}, []
    for name in names:
        if name in case.without:
            missing[name] = case.without[name]
            continue
        limit = limit_of(case, name, settings)
        try:
            runner = RUNNERS[name](case, export, settings)
            runner.run()
            off[name] = case.difference(runner.result(), want)
        except Exception as error:
            if name == "clfusion":
                raise
            missing[name] = first_line(error)
            continue
        finally:
            watch.lap(name)
        if off[name] <= limit:
            runners[name] = runner
        else:
            wrong.append(name)
            missing[name] = f"wrong: {off[name]:.2g} off the reference, limit {limit:.0e}"
            runner.close()
    export.close()
    for name, reason in missing.items():
        print(f"bench: {name}: {reason}; no figure", file=sys.stderr)
    return runners, off, missing, wrong, flop


def seconds_of(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def calls_of_turn(runners, least):
    """As many for all runners: at least so many, and more where the fastest runner's are short."""
    fastest = min(seconds_of(runner.run) for runner in runners.values())
    return max(least, math.ceil(TURN_SECONDS / fastest))


def take_turns(runners, settings):
    """Seconds of every timed call by runner, and the readings of the peaks."""
    seconds, peaks = {name: [] for name in runners}, {name: [] for name in PEAKS}
    calls = calls_of_turn(runners, settings.calls) if runners else 0
    for turn in range(settings.rounds):
        first = turn % max(len(runners), 1)
        for name in (list(runners) * 2)[first:first + len(runners)]:
            time.sleep(settings.pause)
            runners[name].run()
            seconds[name] += [seconds_of(runners[name].run) for _ in range(calls)]
        for name, (read, _) in PEAKS.items():
            time.sleep(settings.pause)
            peaks[name].append(read(settings))
    return seconds, peaks


def read_case(name, case, names, settings):
    """One case in this process: what readings.result_of takes."""
    watch = Stopwatch()
    runners, off, missing, wrong, flop = prepare(case, names, settings, watch)
    long_array()
    launches = runners["clfusion"].launches() if "clfusion" in runners else None
    work = {runner: case.bytes(STORAGE_BYTES[storage_of(case, runner, settings)]) if case.bound == "read" else flop
            for runner in runners}
    if "clfusion" in runners and case.bound != "read":
        work["clfusion"] = runners["clfusion"].flop(flop)
    watch.lap("first readings")
    seconds, peaks = take_turns(runners, settings)
    watch.lap("rounds")
    for runner in runners.values():
        runner.close()

    shapes = {key: list(array.shape) for key, array in case.inputs.items()}
    part = {"case": name, "title": name, "suite": False, "inputs": shapes, "flop": flop, "bound": case.bound,
            "goal": case.goal_with(storage_of(case, "clfusion", settings)), "launches": launches, "wrong": wrong,
            "missing": missing, "difference": off, "work": work, "seconds": seconds,
            "peaks": {peak: {"readings": readings, "unit": PEAKS[peak][1]} for peak, readings in peaks.items()}}
    if case.bound == "read":
        part["bytes"] = case.bytes(STORAGE_BYTES[case.storage or "f32"])
    watch.lap("end")
    part["took_s"] = watch.seconds
    part["peak_resident_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return part
