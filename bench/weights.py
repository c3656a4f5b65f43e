#!/usr/bin/env python3
"""Times clf_linear with weights in f32, f16 and bf16, and sets the halves' times against f32.

    build/venv/bench/bin/python bench/weights.py --document docs/performance.md          # about a minute; needs numpy

In each round every product comes once with each type, one directly after the other, in an order that rotates; a reading
is as many calls as take some milliseconds, and one wait.  The ratio is the median of the rounds' ratios.  Weights are
drawn in f32 and rounded by the library; each result is checked against the product of the rounded weights in double.
"""
import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import document
from cores import ROOT, limit_threads

NAME = "weights.py"  # of the marks
SHAPES = ((4096, 4096), (4096, 1024), (768, 768))  # [out, in]
ROWS = (1, 4, 8, 32, 128, 576)
READING = 0.01  # seconds, at least
LIMIT = 2e-5  # of the greatest error, in units of the result's root mean square
SLOW = 1.03  # ratios above it are named


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    p.add_argument("--json", type=Path, help="write everything measured to this file")
    p.add_argument("--document", type=Path, help="put the table between the marks of this Markdown file")
    return p.parse_args()


ARGS = arguments()
limit_threads("weights", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)

import clf  # noqa: E402
from clf_modules import Linear  # noqa: E402


def as_f16(w):
    return w.astype(np.float16).astype(np.float32)


def as_bf16(w):
    """To nearest, ties to even."""
    bits = w.view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000).astype(np.uint32).view(np.float32)


# name: on the device, and what that makes of f32
TYPES = {"f32": (clf.F32, lambda w: w), "f16": (clf.F16, as_f16), "bf16": (clf.BF16, as_bf16)}


# ---- measuring -----------------------------------------------------------------------------------------------------

def seconds_of(product, calls):
    begin = time.perf_counter()
    for _ in range(calls):
        product.enqueue()
    product.library.finish()
    return (time.perf_counter() - begin) / calls


def calls_for(product):
    """So many that a reading takes long enough; the first calls build and warm."""
    calls = 1
    seconds_of(product, calls)
    while seconds_of(product, calls) * calls < READING:
        calls *= 2
    return calls


def check(product, x, weight, name):
    want = x.astype(np.float64) @ weight.astype(np.float64).T
    off = float(np.max(np.abs(product.result()[0] - want)) / math.sqrt(np.mean(want * want)))
    if not off <= LIMIT:
        sys.exit(f"weights: {len(x)} rows, {list(weight.shape)} in {name} is {off:.2g} off; want at most {LIMIT:.0e}")


def measure_size(library, rows, weight, rounded):
    """Milliseconds of every round by type."""
    x = np.random.default_rng(rows).standard_normal((rows, weight.shape[1]), np.float32)
    products = {name: Linear(library, weight, x, storage) for name, (storage, _) in TYPES.items()}
    calls = max(calls_for(product) for product in products.values())
    for name, product in products.items():
        check(product, x, rounded[name], name)
    taken, order = {name: [] for name in TYPES}, list(TYPES)
    for _ in range(ARGS.rounds):
        for name in order:
            taken[name].append(1e3 * seconds_of(products[name], calls))
        order = order[1:] + order[:1]
    for product in products.values():
        product.close()
    return taken


def ratios_of(taken, name):
    return [half / full for half, full in zip(taken[name], taken["f32"])]


def measure(library):
    results = []
    for shape in SHAPES:
        weight = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        rounded = {name: convert(weight) for name, (_, convert) in TYPES.items()}
        for rows in ROWS:
            taken = measure_size(library, rows, weight, rounded)
            ratios = {name: ratios_of(taken, name) for name in TYPES if name != "f32"}
            results.append({"rows": rows, "weight": shape, "ms": taken, "ratios": ratios,
                            "ratio": {name: statistics.median(values) for name, values in ratios.items()}})
    return results


# ---- the table -----------------------------------------------------------------------------------------------------

def row(result):
    cells = [" x ".join(map(str, result["weight"])), str(result["rows"]),
             f"{statistics.median(result['ms']['f32']):.3g}"]
    cells += [f"{result['ratio'][name]:.2f} ({min(values):.2f}-{max(values):.2f})"
              for name, values in result["ratios"].items()]
    return "| " + " | ".join(cells) + " |"


def table(results, about):
    slow = [f"{' x '.join(map(str, r['weight']))} with {r['rows']} rows in {name}, {ratio:.2f}"
            for r in results for name, ratio in r["ratio"].items() if ratio > SLOW]
    lines = ["| weight | rows | f32, ms | f16 / f32 | bf16 / f32 |", "|---|---|---|---|---|", *map(row, results), "",
             f"Slower than {SLOW} times f32: {'; '.join(slow) or 'none'}.", "",
             f"{about['date']}: {about['device']}, {about['platform']} {about['driver']}, {about['threads']} threads; "
             f"medians of {about['rounds']} rounds, in brackets the least and the greatest ratio."]
    return "\n".join(lines) + "\n"


def main():
    if ARGS.document:
        document.split(ARGS.document, NAME)  # before a minute of measuring
    library = clf.Library(str(ARGS.build / "libclfusion.so"), ARGS.device)
    results = measure(library)
    about = library.describe() | {"date": time.strftime("%Y-%m-%d", time.gmtime()), "rounds": ARGS.rounds,
                                  "threads": ARGS.threads}
    text = table(results, about)
    print(text, end="")
    if ARGS.json:
        ARGS.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    if ARGS.document:
        document.put(ARGS.document, NAME, text)


if __name__ == "__main__":
    main()
