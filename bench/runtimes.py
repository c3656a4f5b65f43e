#!/usr/bin/env python3
"""Times clfusion on two or more OpenCL runtimes, in one run: cases of `clfusion bench` and whole modules.

    python3 bench/runtimes.py build/icd/pocl build/icd/intel                     # all cases
    python3 bench/runtimes.py POCL INTEL linear attention.mllama --rounds 9
    python3 bench/runtimes.py POCL INTEL --module CHECKPOINT --module CHECKPOINT

A runtime is a folder of ICD files (OCL_ICD_VENDORS), with variables of its own after it if need be:
FOLDER,NAME=VALUE,... .  The first one is what the others are compared with.  In each round the runtimes take turns, bench
by bench, each in a process of its own.  The table has the median over the rounds of each process's median, the ratio of
these, in brackets the least and the greatest ratio of a round, and the ratio of the best calls, which says more where
others use the machine.  The inputs of a module are CHECKPOINT/NAME.npy; its first output is computed.  Needs no package.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cores import ROOT, limit_threads


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runtimes", nargs="+", help="two or more runtimes, then cases as `clfusion bench` takes them")
    p.add_argument("--module", action="append", default=[], type=Path, metavar="CHECKPOINT",
                   help="a checkpoint to run; without cases, modules alone are timed")
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with clfusion")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeat", type=int, default=10, help="timed calls of a process, after one untimed")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each turn")
    p.add_argument("--margin", type=float, default=1.15, help="ratios above it are counted at the end")
    p.add_argument("--json", type=Path, help="also write everything measured to this file")
    return p.parse_args()


class Runtime:
    """A folder of ICD files and the environment of its processes."""

    def __init__(self, text):
        folder, *settings = text.split(",")
        self.name = os.path.basename(folder.rstrip("/")) + "".join(" " + s for s in settings)
        self.environment = os.environ | {"OCL_ICD_VENDORS": folder} | dict(s.split("=", 1) for s in settings)

    def command(self, *words):
        """What `clfusion WORDS --json` answers."""
        done = subprocess.run([str(ARGS.build / "clfusion"), *map(str, words), "--json"], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"runtimes: {self.name}: {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)


class Bench:
    """Cases of one bench: name -> median and best milliseconds."""

    def __init__(self, cases):
        self.cases = cases

    def run(self, runtime):
        answer = runtime.command("bench", *self.cases, "--repeat", ARGS.repeat)
        return answer["device"], {case["case"]: (case["ms"], case["best_ms"]) for case in answer["cases"]}


class Module:
    """A checkpoint with inputs beside it."""

    def __init__(self, checkpoint, runtime):
        self.checkpoint = checkpoint
        plan = runtime.command("inspect", checkpoint)
        self.name, self.output = f"{plan['family']} ({checkpoint.name})", plan["outputs"][0]["name"]
        files = {port["name"]: checkpoint / f"{port['name']}.npy" for port in plan["inputs"]}
        self.inputs = [w for name, file in files.items() if file.exists() for w in ("--input", f"{name}={file}")]

    def run(self, runtime):
        with tempfile.TemporaryDirectory() as folder:
            answer = runtime.command("run", self.checkpoint, *self.inputs, "--output", f"{self.output}={folder}/y.npy",
                                     "--repeat", ARGS.repeat)
        return answer["device"], {self.name: (answer["median_ms"], answer["minimum_ms"])}


def split_words(words):
    """Folders come first, then names of cases."""
    count = next((i for i, word in enumerate(words) if not os.path.isdir(word.split(",")[0])), len(words))
    if count < 2:
        sys.exit(f"runtimes: {' '.join(words)}: want two or more folders of ICD files first")
    return [Runtime(word) for word in words[:count]], words[count:]


def benches(cases):
    """What is timed by one process: the cases of one bench."""
    text = subprocess.run([str(ARGS.build / "clfusion"), "bench", *cases, "--list", "--json"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    known = [case["case"] for case in json.loads(text)["cases"]]
    wanted = [name for name in known if not cases or name in cases or name.split(".")[0] in cases]
    groups = {}
    for name in wanted:
        groups.setdefault(name.split(".")[0], []).append(name)
    return [Bench(group) for group in groups.values()]


def measure(runtimes, works):
    """device of each runtime, and case -> runtime -> (median, best) milliseconds of each round."""
    devices, taken = {}, {}
    for turn in range(ARGS.rounds):
        for work in works:
            for runtime in runtimes[::-1 if turn % 2 else 1]:
                time.sleep(ARGS.pause)
                devices[runtime.name], times = work.run(runtime)
                for case, pair in times.items():
                    taken.setdefault(case, {}).setdefault(runtime.name, []).append(pair)
    return devices, taken


def medians(rounds):
    return [median for median, _ in rounds]


def summary(rounds):
    return {"median_ms": statistics.median(medians(rounds)), "best_ms": min(best for _, best in rounds), "rounds_ms": rounds}


def compare(first, other):
    """How many times as long `other` takes, from the rounds of both."""
    a, b = summary(first), summary(other)
    ratios = [y / x for x, y in zip(medians(first), medians(other))]
    return {"medians": b["median_ms"] / a["median_ms"], "least": min(ratios), "greatest": max(ratios),
            "best": b["best_ms"] / a["best_ms"]}


def print_table(names, result):
    first, others = names[0], names[1:]
    heads = ["case", *(f"{name}, ms" for name in names)]
    heads += [text for name in others for text in (f"{name} / {first}", "best calls")]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for case, row in result.items():
        cells = [case, *(f"{row[name]['median_ms']:.4g}" for name in names)]
        for name in others:
            r = row[name]["against_first"]
            cells += [f"{r['medians']:.2f} ({r['least']:.2f}-{r['greatest']:.2f})", f"{r['best']:.2f}"]
        print("| " + " | ".join(cells) + " |")
    for name in others:
        for kind in ("medians", "best"):
            slow = [case for case, row in result.items() if row[name]["against_first"][kind] > ARGS.margin]
            print(f"\n{name}, {kind}: {len(slow)} of {len(result)} cases above {ARGS.margin}: {', '.join(slow) or 'none'}")


ARGS = arguments()


def main():
    runtimes, cases = split_words(ARGS.runtimes)
    limit_threads("runtimes", ARGS.threads)
    works = benches(cases) if cases or not ARGS.module else []
    works += [Module(checkpoint, runtimes[0]) for checkpoint in ARGS.module]
    devices, taken = measure(runtimes, works)
    names = [runtime.name for runtime in runtimes]
    result = {case: {name: summary(rounds[name]) for name in names} for case, rounds in taken.items()}
    for case, rounds in taken.items():
        for name in names[1:]:
            result[case][name]["against_first"] = compare(rounds[names[0]], rounds[name])
    print_table(names, result)
    print("\n" + "\n".join(f"{name}: {device}" for name, device in devices.items()))
    if ARGS.json:
        ARGS.json.write_text(json.dumps({"devices": devices, "rounds": ARGS.rounds, "repeat": ARGS.repeat,
                                         "threads": ARGS.threads, "cases": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
