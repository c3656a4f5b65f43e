#!/usr/bin/env python3
"""Times clfusion on two or more OpenCL runtimes, in one run: `clfusion bench`, whole modules, compare.py's suite.

    python3 bench/runtimes.py build/icd/pocl build/icd/intel                     # all cases
    python3 bench/runtimes.py POCL INTEL linear attention.mllama --rounds 9
    python3 bench/runtimes.py POCL INTEL --module CHECKPOINT --module CHECKPOINT
    build/venv/bench/bin/python bench/runtimes.py POCL INTEL --suite --document docs/performance.md

A runtime is a folder of ICD files (OCL_ICD_VENDORS), with variables of its own after it if need be:
FOLDER,NAME=VALUE,... .  The first one is what the others are compared with.  In each round the runtimes take turns, bench
by bench, each in a process of its own.  The table has the median over the rounds of each process's median, the ratio of
these, in brackets the least and the greatest ratio of a round, and the ratio of the best calls, which says more where
others use the machine.  The inputs of a module are CHECKPOINT/NAME.npy; its first output is computed.

--suite: cases of compare.py with f32 weights, one after the other; each runtime has one process for all of them, since
not every runtime keeps programs, and the results have to agree.  That needs what compare.py needs, all else no package.

--json is written after every case.  A case that fails on one of the runtimes has no figures, nor have those that share
its process; the others go on, and the status is 1 in the end.
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

import document
import report
from cores import ROOT, limit_threads

NAME = "runtimes.py"  # of the marks
AGREE = 2e-4  # results of two runtimes differ by at most this, in units of their root mean square


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runtimes", nargs="+", help="two or more runtimes, then cases as `clfusion bench` takes them")
    p.add_argument("--module", action="append", default=[], type=Path, metavar="CHECKPOINT",
                   help="a checkpoint to run; without cases, modules alone are timed")
    p.add_argument("--suite", action="store_true", help="cases are names of compare.py; none: its suite")
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with clfusion and libclfusion.so")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeat", type=int, default=10, help="timed calls of a process, after one untimed")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each turn")
    p.add_argument("--margin", type=float, default=1.15, help="ratios above it are counted at the end")
    p.add_argument("--json", type=Path, help="write everything measured to this file, after every case")
    p.add_argument("--document", type=Path, help="put the table between the marks of this Markdown file")
    return p.parse_intermixed_args()  # cases may stand behind --suite


class Failed(Exception):
    """A runtime could not do what it was asked; the text says which, and why."""


def answer_of(name, text):
    try:
        return json.loads(text)
    except ValueError as error:  # half an answer of a process that was killed
        raise Failed(f"{name}: {error}") from error


class Runtime:
    """A folder of ICD files and the environment of its processes."""

    def __init__(self, text):
        folder, *settings = text.split(",")
        self.name, self.settings = os.path.basename(folder.rstrip("/")), settings
        self.environment = os.environ | {"OCL_ICD_VENDORS": folder} | dict(s.split("=", 1) for s in settings)

    def command(self, *words):
        """What `clfusion WORDS --json` answers."""
        done = subprocess.run([str(ARGS.build / "clfusion"), *map(str, words), "--json"], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            status = f"the process ended with status {done.returncode}"
            raise Failed(f"{self.name}: {done.stderr.strip() or status}")
        return answer_of(self.name, done.stdout)


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
        self.cases = [self.name]
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
    return name_apart([Runtime(word) for word in words[:count]]), words[count:]


def name_apart(runtimes):
    """Folders of one name differ by their variables."""
    names = [runtime.name for runtime in runtimes]
    for runtime in runtimes:
        if names.count(runtime.name) > 1:
            runtime.name += "".join(" " + setting for setting in runtime.settings)
    if len({runtime.name for runtime in runtimes}) < len(runtimes):
        sys.exit(f"runtimes: {' '.join(names)}: want names or variables that differ")
    return runtimes


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


class Run:
    """What has been measured of these runtimes: the device of each; case -> runtime -> (median, best) milliseconds of
    each round; and case -> why it failed."""

    def __init__(self, runtimes):
        self.names, self.devices, self.taken, self.failed = [runtime.name for runtime in runtimes], {}, {}, {}

    def fail(self, cases, error):
        print(f"runtimes: {', '.join(cases)}: {error}", file=sys.stderr, flush=True)
        for case in cases:
            self.taken.pop(case, None)
            self.failed[case] = " ".join(str(error).split())  # a line of a table

    def result(self):
        """case -> runtime -> figures."""
        first, *others = self.names
        result = {case: {name: summary(rounds[name]) for name in self.names} for case, rounds in self.taken.items()}
        for case, rounds in self.taken.items():
            for name in others:
                result[case][name]["against_first"] = compare(rounds[first], rounds[name])
        return result

    def write(self):
        report.write_json({"devices": self.devices, "rounds": ARGS.rounds, "repeat": ARGS.repeat,
                           "threads": ARGS.threads, "cases": self.result(), "failed": self.failed}, ARGS.json)


def take_turn(runtimes, work, run):
    """One more round of a bench, of which every runtime must have the same cases."""
    answers = {}
    for runtime in runtimes:
        time.sleep(ARGS.pause)
        run.devices[runtime.name], answers[runtime.name] = work.run(runtime)
    for case in dict.fromkeys(case for times in answers.values() for case in times):
        for name, times in answers.items():
            if case not in times:
                raise Failed(f"{name}: no figure of {case}")
            run.taken.setdefault(case, {}).setdefault(name, []).append(times[case])


def measure(runtimes, works, run):
    for turn in range(ARGS.rounds):
        for work in list(works):
            try:
                take_turn(runtimes[::-1 if turn % 2 else 1], work, run)
            except Failed as error:
                works.remove(work)
                run.fail(work.cases, error)
            run.write()


# ---- the suite -----------------------------------------------------------------------------------------------------

class Server:
    """A runtime's process with the suite's cases."""

    def __init__(self, runtime):
        self.name = runtime.name
        command = [sys.executable, ROOT / "bench/suite_server.py", "--build", ARGS.build, "--threads", ARGS.threads]
        self.process = subprocess.Popen(list(map(str, command)), env=runtime.environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, *words):
        try:
            print(*words, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # there will be no answer

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}: the process ended with status {self.process.wait()}")
        return answer_of(self.name, line)

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.communicate()


def ask_all(servers, *words):
    """All at once, so that they share the machine."""
    for server in servers:
        server.send(*words)
    return {server.name: server.answer() for server in servers}


def outputs_of(server, path):
    """Of numbers: of equally good rows any index will do."""
    import numpy as np
    server.ask("result", path)
    with np.load(path) as outputs:
        return [values for values in outputs.values() if values.dtype.kind == "f"]


def difference(got, want):
    """The greatest, in units of the root mean square; NaN where there is any."""
    return sum(0 * g.sum() for g in got) + max(abs(g - w).max() / (w * w).mean() ** 0.5 for g, w in zip(got, want))


def check_equal(servers):
    """That the others compute what the first one does."""
    with tempfile.TemporaryDirectory() as folder:
        first, *others = (outputs_of(server, f"{folder}/{i}.npz") for i, server in enumerate(servers))
    for server, got in zip(servers[1:], others):
        off = difference(got, first)
        if not off <= AGREE:
            raise Failed(f"{server.name}: {off:.2g} off {servers[0].name}; want at most {AGREE:.0e}")


def time_case(servers):
    """Runtime -> (median, best) milliseconds of each round."""
    taken = {server.name: [] for server in servers}
    for turn in range(ARGS.rounds):
        for server in servers[::-1 if turn % 2 else 1]:
            time.sleep(ARGS.pause)
            ms = server.ask("time", ARGS.repeat)
            taken[server.name].append((statistics.median(ms), min(ms)))
    return taken


def measure_suite(runtimes, names, run):
    """Case by case, because all together would not fit into memory."""
    from cases import CASES, SUITE
    for name in names:
        if name not in CASES:
            sys.exit(f"runtimes: case is {name}; want one of {', '.join(CASES)}")
    servers = []
    for name in names or SUITE:
        print(f"{name} ...", file=sys.stderr)
        servers = servers or [Server(runtime) for runtime in runtimes]
        try:
            answers = ask_all(servers, "open", name)
            check_equal(servers)
            taken = time_case(servers)
            ask_all(servers, "close")
            run.devices |= {runtime: answer["device"] for runtime, answer in answers.items()}
            run.taken[name] = taken
        except Failed as error:
            run.fail([name], error)
            for server in servers:
                server.kill()
            servers = []  # the next case begins with new ones
        run.write()
    for server in servers:
        server.end()


# ---- the table -----------------------------------------------------------------------------------------------------

def medians(rounds):
    return [median for median, _ in rounds]


def summary(rounds):
    return {"median_ms": statistics.median(medians(rounds)), "best_ms": min(best for _, best in rounds),
            "rounds_ms": rounds}


def compare(first, other):
    """How many times as long `other` takes, from the rounds of both."""
    a, b = summary(first), summary(other)
    ratios = [y / x for x, y in zip(medians(first), medians(other))]
    return {"medians": b["median_ms"] / a["median_ms"], "least": min(ratios), "greatest": max(ratios),
            "best": b["best_ms"] / a["best_ms"]}


def row(names, case, figures):
    cells = [case, *(f"{figures[name]['median_ms']:.4g}" for name in names)]
    for name in names[1:]:
        r = figures[name]["against_first"]
        cells += [f"{r['medians']:.2f} ({r['least']:.2f}-{r['greatest']:.2f})", f"{r['best']:.2f}"]
    return "| " + " | ".join(cells) + " |"


def slow_lines(name, result):
    """What is above the margin, of medians and of best calls."""
    for kind, text in (("medians", "medians"), ("best", "best calls")):
        slow = [f"`{case}` {figures[name]['against_first'][kind]:.2f}" for case, figures in result.items()
                if figures[name]["against_first"][kind] > ARGS.margin]
        yield f"- {name}, {text}: {len(slow)} of {len(result)} cases above {ARGS.margin}: {', '.join(slow) or 'none'}."


def table(run):
    names, result = run.names, run.result()
    heads = ["case", *(f"{name}, ms" for name in names)]
    heads += [text for name in names[1:] for text in (f"{name} / {names[0]}", "best calls")]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += [row(names, case, figures) for case, figures in result.items()] + [""]
    lines += [line for name in names[1:] for line in slow_lines(name, result)]
    lines += [f"- No figure: `{case}`: {reason.replace('|', '/')}." for case, reason in run.failed.items()]
    lines += [f"- {name}: {device}." for name, device in run.devices.items()]
    lines.append(f"- {time.strftime('%Y-%m-%d', time.gmtime())}, {ARGS.threads} threads, {ARGS.rounds} rounds of "
                 f"{ARGS.repeat} calls.")
    return "\n".join(lines) + "\n"


ARGS = arguments()


def modules(runtime):
    try:
        return [Module(checkpoint, runtime) for checkpoint in ARGS.module]
    except Failed as error:  # before minutes of measuring
        sys.exit(f"runtimes: {error}")


def measure_all(runtimes, cases, run):
    if ARGS.suite:
        measure_suite(runtimes, cases, run)
        return
    works = benches(cases) if cases or not ARGS.module else []
    measure(runtimes, works + modules(runtimes[0]), run)


def main():
    runtimes, cases = split_words(ARGS.runtimes)
    limit_threads("runtimes", ARGS.threads)
    if ARGS.document:
        document.split(ARGS.document, NAME)  # before minutes of measuring
    if ARGS.json:
        ARGS.json.parent.mkdir(parents=True, exist_ok=True)
    run = Run(runtimes)
    measure_all(runtimes, cases, run)
    text = table(run)
    print(text, end="")
    if ARGS.document:
        document.put(ARGS.document, NAME, text)
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
