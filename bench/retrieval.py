#!/usr/bin/env python3
"""Times clf_retrieval_search against PyTorch's matmul and topk on the CPU, in one run, and compares their extra memory.

    build/venv/bench/bin/python bench/retrieval.py          # 64 queries, the best 10 of 1,000,000 x 512

The stored embeddings are a file that is mapped into memory, read once before.  Runners take turns as in compare.py,
where this is a case, too, with the embeddings in memory of the process.  Extra memory is the growth of the process's
resident set, at its highest, over a search in a process of its own, beside the stored embeddings.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import add_settings
from cores import limit_threads
from report import ratio

RUNNERS = ("clfusion", "torch")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_settings(p, rounds=10)
    p.add_argument("--stored", type=int, default=1_000_000)
    p.add_argument("--width", type=int, default=512)
    p.add_argument("--queries", type=int, default=64)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--block-rows", type=int, default=0)
    p.add_argument("--upload", action="store_true", help="blocks are uploaded also where the device reads host memory")
    p.add_argument("--file", type=Path, help="where the stored embeddings lie (default: a temporary file)")
    p.add_argument("--memory-of", choices=RUNNERS, help=argparse.SUPPRESS)
    return p.parse_args()


def write_stored(path, args):
    import numpy as np
    from cases import unit_rows
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(args.stored, args.width))
    unit_rows(args.stored, args.width, 1, stored)
    stored.flush()


def load(path):
    """The mapped embeddings, resident."""
    import numpy as np
    stored = np.load(path, mmap_mode="r")
    float(stored[:, ::16].sum())  # every page
    return stored


def case_of(stored, args):
    import warnings

    from cases import retrieval
    warnings.filterwarnings("ignore", message=".*not writable.*")
    return retrieval(args.queries, k=args.k, stored=stored, block_rows=args.block_rows, upload=args.upload)


def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def measure_memory(path, args):
    """Growth of the resident set by a search: one for a hundredth of the rows has compiled and loaded all before."""
    import numpy as np
    import runners
    stored = load(path)
    make = runners.RUNNERS[args.memory_of]
    make(case_of(np.ascontiguousarray(stored[:max(args.k, len(stored) // 100)]), args), None, args).run()
    runner = make(case_of(stored, args), None, args)
    before = status("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
    runner.run()
    print(status("VmHWM:") - before)


def memory_of(name, path):
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name, "--file", str(path)]
    return int(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split()[-1])


def measure(path, args):
    from measure import describe, read_case
    from readings import result_of
    result = result_of([read_case("retrieval", case_of(load(path), args), RUNNERS, args)])
    for name, figures in result["runners"].items():
        figures["extra_bytes"] = memory_of(name, path)
    ours, torch = (result["runners"].get(name) for name in RUNNERS)
    memory = ours["extra_bytes"] / torch["extra_bytes"] if ours and torch else None
    print(json.dumps({"about": describe(args), **result, "speed": ratio(result), "memory": memory}, indent=1))
    return 0 if ours else 1


def main():
    args = arguments()
    limit_threads("retrieval", args.threads)  # before numpy and the runtimes are loaded
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / "stored.npy"
        if args.memory_of:
            measure_memory(path, args)
            return 0
        if not path.exists():
            write_stored(path, args)
        return measure(path, args)


if __name__ == "__main__":
    sys.exit(main())
