#!/usr/bin/env python3
"""Times connectors with clfusion, PyTorch, ONNX Runtime and OpenVINO on the CPU, in one run, beside its peaks.

    python3 -m venv build/venv/bench && build/venv/bench/bin/pip install -r bench/requirements.txt
    build/venv/bench/bin/python bench/compare.py            # after tools/demo.sh or another build in build/release

All runners have the same weights in f32, packed and warm, the same inputs and the same number of threads, and take
turns: bench/measure.py says how.  PyTorch runs as it is and, with a C++ compiler, through torch.compile.  The cases come
one after the other, several times over, each time in a process of its own, which gives its memory back and cannot take
the others' figures with it; bench/readings.py puts together what they have read.  --json is written after every process,
so that a run that is stopped keeps what it has measured.  --document writes the table into a Markdown file, so that no
figure is typed by hand; bench/report.py does the same from JSON files of earlier runs, whole or not.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document
import report
from cores import ROOT, limit_threads
from readings import result_of

RUNNERS = "clfusion,torch,compile,onnxruntime,openvino"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cases", nargs="*", metavar="CASE",
                   help="names, suite, beside or all; default: suite and beside; --list shows them")
    p.add_argument("--list", action="store_true")
    add_settings(p)
    p.add_argument("--runners", default=RUNNERS)
    p.add_argument("--processes", type=int, default=3, help="of each case, which share the rounds")
    p.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # one case in this process, into this file
    p.add_argument("--json", type=Path, help="write everything measured to this file, after every process")
    p.add_argument("--markdown", type=Path, help="write the table and what stands below it to this file, too")
    p.add_argument("--plot", type=Path, help="draw the speeds into this .svg or .png")
    p.add_argument("--document", type=Path, help="put the table between the marks of this Markdown file")
    return p.parse_args()


def add_settings(p, rounds=30):
    """What every script that measures cases can be told."""
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so and clfusion")
    p.add_argument("--rounds", type=int, default=rounds)
    p.add_argument("--calls", type=int, default=3, help="least timed calls of a runner in a round, after one untimed")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each runner's turn")
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    p.add_argument("--weights", default="f32", choices=["f32", "f16", "bf16"], help="clfusion's storage")


def choose(given):
    """The cases, in the order of the suite."""
    from cases import BESIDE, CASES, SUITE
    groups = {"suite": SUITE, "beside": BESIDE, "all": CASES}
    for name in given:
        if name not in CASES and name not in groups:
            sys.exit(f"compare: case is {name}; want one of {', '.join([*groups, *CASES])}")
    wanted = {case for name in given or ("suite", "beside") for case in groups.get(name, [name])}
    return [name for name in CASES if name in wanted]


def read_here(name, args):
    """One case in this process: what it has read, and about the run."""
    import torch
    from cases import CASES, SUITE
    from measure import describe, read_case
    torch.manual_seed(1)
    title, make = CASES[name]
    part = read_case(name, make(), args.runners.split(","), args)
    return {"about": describe(args), "part": part | {"title": title, "suite": name in SUITE}}


def read_apart(name, rounds, args):
    """One case in a process of its own; a text where that failed, if only at its end: the case then has no figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        command = [sys.executable, __file__, name, "--here", str(path), "--rounds", str(rounds)]
        for key in ("build", "calls", "threads", "pause", "device", "weights", "runners"):
            if getattr(args, key) is not None:
                command += [f"--{key}", str(getattr(args, key))]
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if status == 0:
            return json.loads(path.read_text())
    print(f"compare: {name}: the process ended with status {status}", file=sys.stderr)
    return f"a process ended with status {status}"


def rounds_of(args):
    """Of each process of a case."""
    processes = min(args.processes, args.rounds)
    return [args.rounds // processes + (i < args.rounds % processes) for i in range(processes)]


def result(name, parts):
    """Of a case; without figures where one of its processes failed."""
    from cases import SUITE
    failed = [part for part in parts if isinstance(part, str)]
    return report.failure(name, name in SUITE, failed[0]) if failed else result_of(parts)


def measure(names, args):
    """All cases, one after the other, as often as they have processes: the run."""
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    about, parts, done = {}, {}, 0
    for i, rounds in enumerate(rounds_of(args)):
        done += rounds
        for name in names:
            begin = time.monotonic()
            read = read_apart(name, rounds, args)
            if isinstance(read, dict):
                about |= read["about"] | {"rounds": done, "processes": i + 1}  # of the first cases, when it is stopped
                read = read["part"]
                print(report.progress(read, time.monotonic() - begin), file=sys.stderr, flush=True)
            parts.setdefault(name, []).append(read)
            run = report.run_of(about, [result(case, parts[case]) for case in names if case in parts])
            report.write_json(run, args.json)
    return run


def main():
    args = arguments()
    limit_threads("compare", args.threads)  # before numpy and the runtimes are loaded
    try:
        from cases import CASES
    except ModuleNotFoundError as error:
        sys.exit(f"compare: {error.name} is not installed; want the packages of bench/requirements.txt (docs/performance.md)")
    if args.list:
        print("\n".join(f"{name:24}{title}" for name, (title, _) in CASES.items()))
        return 0
    for name in args.runners.split(","):
        if name not in RUNNERS.split(","):
            sys.exit(f"compare: runner is {name}; want one of {RUNNERS}")
    if args.rounds < 1 or args.processes < 1:
        sys.exit(f"compare: --rounds is {args.rounds} and --processes {args.processes}; want at least 1")
    names = choose(args.cases)
    if args.here:
        report.write_json(read_here(names[0], args), args.here)
        return 0
    if args.document:
        document.split(args.document, report.NAME)  # before minutes of measuring
    run = measure(names, args)
    report.write(run, args)
    return 0 if report.whole(run) else 1


if __name__ == "__main__":
    sys.exit(main())
