#!/usr/bin/env python3
"""Times `clfusion run` from the start of the process to its end, with the result written, for checkpoints of real size.

    python3 bench/start.py                                       # after tools/demo.sh or another build in build/release
    python3 bench/start.py --folder build/start llava_1_5_7b     # keeps the checkpoints for the next time
    python3 bench/start.py --write docs/performance.md           # puts the table between its markers there

Cold kernel cache: the driver's cache is an empty folder.  Warm: the same folder after that, the checkpoint in the page
cache.  Rounds run through all cases, so that a slow minute meets all of them.  The limit is 0.4 s and 1 s for each GB
of weights in the file, for the median of the warm runs.  An output that is not finite is an error.  Needs numpy.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document
from cores import ROOT, limit_threads


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cases", nargs="*", help="names of cases (default: all); --list shows them")
    p.add_argument("--list", action="store_true")
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with clfusion")
    p.add_argument("--folder", type=Path, help="where checkpoints are kept (default: a temporary folder)")
    p.add_argument("--make", action="store_true", help="only writes the checkpoints into --folder")
    p.add_argument("--cold", type=int, default=3, help="runs with an empty kernel cache")
    p.add_argument("--warm", type=int, default=9, help="runs with a warm one")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", help="as in `clfusion run --device`")
    p.add_argument("--json", type=Path, help="also write everything measured to this file")
    p.add_argument("--write", type=Path, help="put the table between the markers of this Markdown file")
    return p.parse_args()


ARGS = arguments()
limit_threads("start", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)

from cases_start import CASES, TYPES  # noqa: E402

NAME = "start.py"  # of the marks
# Where each driver keeps what it has compiled: pocl, Intel's for GPUs, Mesa.  Intel's CPU runtime keeps nothing.
CACHES = "POCL_CACHE_DIR", "NEO_CACHE_DIR", "cl_cache_dir", "MESA_SHADER_CACHE_DIR"
OUTPUT = "result.npy"


class Checkpoint:
    """A case on disk, and the kernel cache that its last cold run left."""

    def __init__(self, name, folder):
        self.name, self.case, self.folder = name, CASES[name](), folder / name
        self.cache, self.cold, self.warm = None, [], []
        done = self.folder / "done"  # a folder that was left half-way is written again
        if not done.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.case.write(self.folder)
            done.touch()

    def command(self):
        words = [str(ARGS.build / "clfusion"), "run", str(self.folder), *self.case.options]
        for name in self.case.inputs:
            words += ["--input", f"{name}={self.folder / name}.npy"]
        return words + ["--output", f"{self.case.output}={self.folder / OUTPUT}"] + \
            (["--device", ARGS.device] if ARGS.device else [])

    def run(self, runs):
        """Seconds of one process."""
        environment = os.environ | dict.fromkeys(CACHES, self.cache)
        begin = time.perf_counter()
        done = subprocess.run(self.command(), env=environment, stdout=subprocess.DEVNULL)
        runs.append(time.perf_counter() - begin)
        if done.returncode != 0:
            sys.exit(f"start: {self.name}: {' '.join(self.command())} failed")
        self.check()

    def check(self):
        values = np.load(self.folder / OUTPUT)
        (self.folder / OUTPUT).unlink()
        if not np.isfinite(values).all() or not values.any():
            sys.exit(f"start: {self.name}: the output is not finite, or all zeros")

    def run_cold(self):
        self.forget()
        self.cache = tempfile.mkdtemp(prefix="clfusion-start-")
        self.run(self.cold)

    def read(self):
        """Into the page cache."""
        for path in self.folder.iterdir():
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass

    def forget(self):
        if self.cache is not None:
            shutil.rmtree(self.cache, ignore_errors=True)

    def result(self):
        gigabytes = self.case.weight_bytes() * 1e-9
        return {"case": self.name, "weights_gb": gigabytes, "weights": TYPES[self.case.dtype.name],
                "limit_s": 0.4 + gigabytes, "warm_s": sorted(self.warm), "cold_s": sorted(self.cold),
                "warm_median_s": statistics.median(self.warm), "cold_median_s": statistics.median(self.cold)}


def measure(checkpoints):
    try:
        for c in checkpoints:
            c.read()
        for _ in range(ARGS.cold):
            for c in checkpoints:
                c.run_cold()
        for _ in range(ARGS.warm):
            for c in checkpoints:
                c.run(c.warm)
    finally:
        for c in checkpoints:
            c.forget()
    return [c.result() for c in checkpoints]


def describe():
    """Device and driver that the runs used."""
    command = [str(ARGS.build / "clfusion"), "devices", "--json"] + (["--device", ARGS.device] if ARGS.device else [])
    listed = json.loads(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)
    picked = [d for d in listed["devices"] if d["choice"] == "picked"]
    return {"device": picked[0]["name"], "driver": picked[0]["driver"]} if picked else {}


def table(results, about):
    lines = ["| case | weights | warm: median, least to most | limit | kernel cache cold |", "|---|---|---|---|---|"]
    for r in results:
        warm, size = r["warm_s"], f"{1e3 * r['weights_gb']:.0f} MB {r['weights']}" if r["weights_gb"] else "none"
        over = "" if r["warm_median_s"] <= r["limit_s"] else " **over**"
        lines.append(f"| {r['case']} | {size} | {r['warm_median_s']:.2f} s, {warm[0]:.2f} to {warm[-1]:.2f}{over} | "
                     f"{r['limit_s']:.2f} s | {r['cold_median_s']:.1f} s |")
    where = f"{about.get('device', 'unknown device')}, driver {about.get('driver', 'unknown')}"
    runs = f"{about['threads']} threads; of each case {about['cold']} cold and {about['warm']} warm processes"
    return "\n".join(lines) + f"\n\n{about['date']}: {where}, {runs}.\n"


def main():
    names = ARGS.cases or list(CASES)
    if ARGS.list:
        print("\n".join(CASES))
        return
    for name in names:
        if name not in CASES:
            sys.exit(f"start: case is {name}; want one of {', '.join(CASES)}")
    if ARGS.cold < 1 or ARGS.warm < 1:
        sys.exit(f"start: --cold is {ARGS.cold} and --warm is {ARGS.warm}; want at least 1 each")
    if ARGS.write:
        document.split(ARGS.write, NAME)  # before minutes of measuring
    with tempfile.TemporaryDirectory() as temporary:
        checkpoints = [Checkpoint(name, ARGS.folder or Path(temporary)) for name in names]
        if ARGS.make:
            return
        results = measure(checkpoints)
    about = {"date": time.strftime("%Y-%m-%d"), "threads": ARGS.threads, "cold": ARGS.cold, "warm": ARGS.warm,
             "machine": platform.machine(), "pocl_affinity": os.environ.get("POCL_AFFINITY")} | describe()
    text = table(results, about)
    print(text, end="")
    if ARGS.json:
        ARGS.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    if ARGS.write:
        document.put(ARGS.write, NAME, text)
    sys.exit(1 if any(r["warm_median_s"] > r["limit_s"] for r in results) else 0)


if __name__ == "__main__":
    main()
