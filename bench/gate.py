#!/usr/bin/env python3
"""Ends with status 1 when a build has become slow: against the device's peaks, and against the commit before.

    python3 bench/gate.py                               # build/release; what is not committed against HEAD, else HEAD~1
    python3 bench/gate.py --build build/ci/gcc --against HEAD~3

Every figure is a ratio of readings of this run, never milliseconds:

  share      second best rate against the best peak of the run: FMA, copy or read.  Below a case's floor it fails.
             The rate is that of the processor time where a call could not have all cores at once
  time       of a call, new against old
  processor  the same of the processor time that all threads together spend in a call

Old and new build take turns, a process each; a turn's figure is its best reading, a build's the mean of the best third
of its turns but the very best, which may be a clock's mistake.  A case is slower when its processor time has grown by
more than MARGIN: what else runs on the machine stretches that little; or when time alone has grown by more than IDLE,
as it does when a core idles or somebody waits.
A case that fails gets more turns, and fails only when it still does at the end.  On a device that is no CPU processor
time says nothing: there the peaks alone should judge (--against none).

The commit before is built once in build/gate, with the compiler and the options of the new build.  Where it is not
there (a shallow clone), does not build, or differs in nothing that is timed, the peaks alone judge, and that is said.
Needs Python's own library, git, tar, and what a build needs.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cores import ROOT

# Case of `clfusion bench`, weights, what bounds it, floor: about half of its share of that peak on a quiet machine
# (EPYC of family 26, pocl 3.1).  Short calls, below the slice that a scheduler gives: some of many run undisturbed.
CASES = (
    ("linear.cube", "stored", "fma", 0.40),
    ("linear.qformer", "stored", "fma", 0.35),
    ("linear.queries", "stored", "fma", 0.38),
    ("linear.token", "stored", "read", 0.45),
    ("attention.vision", "stored", "fma", 0.35),
    ("attention.flamingo", "stored", "fma", 0.30),
    ("layer_norm.vipllava", "stored", "copy", 0.30),
    ("activate.gelu", "stored", "copy", 0.40),
    ("gather.tokens", "stored", "copy", 0.40),
    ("pool.tokens", "stored", "copy", 0.40),
    ("pool.half", "stored", "copy", 0.35),
    ("linear.cube", "f16", "fma", 0.40),
    ("linear.token", "f16", "read", 0.45),
    ("linear.token", "bf16", "read", 0.45),
)
MARGIN, IDLE = {"fma": 1.2, "copy": 1.4, "read": 1.4}, 1.8
TURNS, MOST_TURNS = 4, 12  # of each build: all cases, and those that fail
CALLS = 12  # readings of a case in a turn

# What can change a time; a commit of documents or tests cannot.
TIMED = ("CMakeLists.txt", "cmake", "include", "src", "cl", "bench/*.c", "bench/*.h")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder of the new build")
    p.add_argument("--against", metavar="COMMIT", help="the commit to compare with; none: the peaks alone")
    p.add_argument("--old-build", type=Path, help="a folder that is built already, instead of a commit")
    p.add_argument("--json", type=Path, help="also write every turn's figures to this file")
    return p.parse_args()


ARGS = arguments()


def say(text):
    print("gate:", text, flush=True)


# ---- the build of the commit before --------------------------------------------------------------------------------

def git(*words, **options):
    return subprocess.run(("git", "-C", ROOT, *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)


def previous_commit():
    """The commit's hash; None when there is none to compare with, which has then been said."""
    if ARGS.against == "none":
        return None
    changed = git("diff", "--quiet", "HEAD", "--", *TIMED).returncode != 0
    name = ARGS.against or ("HEAD" if changed else "HEAD~1")
    found = git("rev-parse", "--verify", "--quiet", name + "^{commit}", text=True)
    if found.returncode != 0:
        say(f"{name} is not here (a shallow clone?): the peaks alone judge")
        return None
    if git("diff", "--quiet", name, "--", *TIMED).returncode == 0:
        say(f"nothing that is timed differs from {name}: the peaks alone judge")
        return None
    say(f"compared with {name}, {found.stdout.strip()[:12]}")
    return found.stdout.strip()


def cached(name):
    """A value of the new build's CMakeCache.txt."""
    for line in (ARGS.build / "CMakeCache.txt").read_text().splitlines():
        if line.split(":")[0] == name:
            return line.partition("=")[2]
    return ""


def unpack(commit, folder):
    archive = git("archive", "--format=tar", commit, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


def build_options():
    names = ("CMAKE_BUILD_TYPE", "CMAKE_C_COMPILER", "CMAKE_C_FLAGS", "CLFUSION_CLBLAST", "CLFUSION_CACHE",
             "CLFUSION_PICTURES")
    return [f"-D{name}={cached(name)}" for name in names] + ["-DCLFUSION_SHARED=OFF", "-DCLFUSION_TESTS=OFF"]


def compile_in(folder, options):
    with open(folder / "log", "w") as log:
        for command in (["cmake", "-S", folder / "tree", "-B", folder / "build", "-G", "Ninja", *options],
                        ["cmake", "--build", folder / "build", "--target", "clfusion_command"]):
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)


def old_build(commit):
    """The folder of the commit's build; None when it cannot be built, which has then been said."""
    parent = ROOT / "build/gate"
    folder, options = parent / commit[:12], build_options()
    complete = folder / "complete"
    if complete.exists() and complete.read_text() == str(options):
        return folder / "build"
    shutil.rmtree(parent, ignore_errors=True)
    (folder / "tree").mkdir(parents=True)
    try:
        unpack(commit, folder / "tree")
        compile_in(folder, options)
    except (subprocess.CalledProcessError, OSError) as error:
        say(f"{commit[:12]} does not build ({error}; {folder / 'log'}): the peaks alone judge")
        return None
    complete.write_text(str(options))
    return folder / "build"


# ---- readings ------------------------------------------------------------------------------------------------------

class Side:
    """A build, and the figures of its turns by case and weights."""

    def __init__(self, name, folder):
        self.name, self.command, self.turns = name, str(folder / "clfusion"), {}
        self.shapes = {row["case"]: row["shapes"] for row in json.loads(self.call("--list"))["cases"]}

    def call(self, *words):
        """What a bench prints; it fails when a result is wrong."""
        return subprocess.run((self.command, "bench", *words, "--json"), check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    def turn(self, cases, peaks):
        for weights in dict.fromkeys(case[1] for case in cases):
            names = [case[0] for case in cases if case[1] == weights]
            words = [] if weights == "stored" else ["--weights", weights]
            told = json.loads(self.call(*names, *words, "--repeat", str(CALLS)))
            for kind in ("fma", "copy", "read"):
                unit = "gflops" if kind == "fma" else "gbytes_s"
                peaks[kind] = max(peaks.get(kind, 0.0), told[f"peak_{kind}_{unit}"])
            for row in told["cases"]:
                self.turns.setdefault((row["case"], weights), []).append(row)

    def figures(self, case, key):
        return [row[key] for row in self.turns[case[:2]]]


# ---- judging -------------------------------------------------------------------------------------------------------

def share_of_peak(case, side, peaks):
    """The second best turn's rate, by time or by processor time on all cores; a row's rate belongs to its median."""
    rate, cores = "gflops" if case[2] == "fma" else "gbytes_s", len(os.sched_getaffinity(0))
    rates = [row[rate] * row["ms"] / min(row["best_ms"], row["cpu_ms"] / cores) for row in side.turns[case[:2]]]
    return sorted(rates)[-2] / peaks[case[2]]


def growth(case, new, old, key):
    """Means of the best third of the turns, at least of two, behind the very best: one lucky turn is no yardstick."""
    best = (sorted(side.figures(case, key))[1:] for side in (new, old))
    mine, theirs = (statistics.mean(figures[:max(2, (len(figures) + 1) // 3)]) for figures in best)
    return mine / theirs


def judge(case, new, old, peaks):
    """The ratios of a case, and why it fails, or None."""
    name, weights, bound, floor = case
    share = share_of_peak(case, new, peaks)
    verdict = {"case": name, "weights": weights, "bound": bound, "share": share, "floor": floor, "time": None,
               "processor": None, "fault": None}
    if share < floor:
        verdict["fault"] = f"{100 * share:.0f} % of the {bound} peak; want at least {100 * floor:.0f}"
    if old is None or case[:2] not in old.turns:
        return verdict
    verdict["time"], verdict["processor"] = (growth(case, new, old, key) for key in ("best_ms", "cpu_ms"))
    if verdict["processor"] > MARGIN[bound]:
        verdict["fault"] = f"more processor time than before; want at most {MARGIN[bound]} times as much"
    elif verdict["time"] > IDLE:
        verdict["fault"] = f"more time than before, without more work; want at most {IDLE} times as much"
    return verdict


def usable(folder):
    """The old build, or None when it does not run or does not tell processor time, which has then been said."""
    try:
        old = Side("old build", folder)
        told = json.loads(old.call(*(case[0] for case in CASES if case[0] in old.shapes), "--repeat", "1"))
        if all("cpu_ms" in row for row in told["cases"]):
            return old
        say("the old build does not tell processor time: the peaks alone judge")
    except (subprocess.CalledProcessError, OSError) as error:
        say(f"the old build does not run ({error}): the peaks alone judge")
    return None


def comparable(old, new):
    """The cases that both builds have, with the same shapes."""
    return [case for case in CASES if old.shapes.get(case[0]) == new.shapes[case[0]]]


def measure(new, old):
    """Turns until every case passes, at most MOST_TURNS; the verdicts, and the turns that it took."""
    peaks, left, common = {}, list(CASES), comparable(old, new) if old else []
    for turn in range(1, MOST_TURNS + 1):
        for side in (new, old) if turn % 2 else (old, new):
            cases = left if side is new else [case for case in left if case in common]
            if cases:
                side.turn(cases, peaks)
        if turn >= TURNS:
            verdicts = [judge(case, new, old, peaks) for case in CASES]
            left = [case for case, verdict in zip(CASES, verdicts) if verdict["fault"]]
            if not left:
                break
    return verdicts, turn


def print_table(verdicts):
    print(f"{'case':22}{'weights':9}{'bound':6}{'share':>6}{'floor':>7}{'time':>7}{'processor':>11}")
    for v in verdicts:
        ratios = "".join(f"{v[key]:{width}.2f}" if v[key] else f"{'-':>{width}}"
                         for key, width in (("time", 7), ("processor", 11)))
        print(f"{v['case']:22}{v['weights']:9}{v['bound']:6}{100 * v['share']:4.0f} %{100 * v['floor']:5.0f} %{ratios}"
              + (f"  {v['fault']}" if v["fault"] else ""))


def find_old():
    if ARGS.old_build:
        return ARGS.old_build
    commit = previous_commit()
    return old_build(commit) if commit else None


def main():
    os.environ.setdefault("POCL_AFFINITY", "1")  # threads that share a core for a while would be taken for slow ones
    begin = time.monotonic()
    folder = find_old()
    built = time.monotonic()
    try:
        new, old = Side("new build", ARGS.build), usable(folder) if folder else None
        verdicts, turns = measure(new, old)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"gate: {error}")
    print_table(verdicts)
    say(f"{turns} turns; {built - begin:.0f} s of building, {time.monotonic() - built:.0f} s of measuring")
    failed = sum(v["fault"] is not None for v in verdicts)
    if ARGS.json:
        rows = {side.name: [{"weights": key[1], **row} for key, turns in side.turns.items() for row in turns]
                for side in (new, old) if side}
        ARGS.json.write_text(json.dumps({"verdicts": verdicts, "rows": rows}) + "\n")
    print(f"{len(verdicts) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
