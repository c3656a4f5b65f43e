#!/usr/bin/env python3
"""Times clf_retrieval_search against PyTorch's matmul and topk on the CPU, in one run, and compares their extra memory.

    build/venv/bench/bin/python bench/retrieval.py          # 64 queries, the best 10 of 1,000,000 x 512

The stored embeddings are a file that is mapped into memory, read once before.  Runners take turns on the same threads, with
a pause before each.  Extra memory is the growth of the process's resident set, at its highest, over a search in a process
of its own, beside the stored embeddings.
"""
import argparse
import ctypes as c
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cores import ROOT, limit_threads


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so")
    p.add_argument("--stored", type=int, default=1_000_000)
    p.add_argument("--width", type=int, default=512)
    p.add_argument("--queries", type=int, default=64)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each runner's turn")
    p.add_argument("--block-rows", type=int, default=0)
    p.add_argument("--upload", action="store_true", help="blocks are uploaded also where the device reads host memory")
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    p.add_argument("--file", type=Path, help="where the stored embeddings lie (default: a temporary file)")
    p.add_argument("--memory-of", choices=["clfusion", "torch"], help=argparse.SUPPRESS)
    return p.parse_args()


ARGS = arguments()
limit_threads("retrieval", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)

import clf  # noqa: E402


class RetrievalDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("stored", clf.HostTensor), ("block_rows", c.c_int64),
                ("upload", c.c_bool), ("profiling", c.c_bool)]


class ClfusionRunner:
    def __init__(self, stored, queries):
        self.library, self.queries, self.kept = clf.Library(str(ARGS.build / "libclfusion.so"), ARGS.device), queries, stored
        desc = RetrievalDesc(c.sizeof(RetrievalDesc), clf.host_tensor(stored), ARGS.block_rows, ARGS.upload, False)
        self.handle = c.c_void_p()
        self.library.check(self.library.lib.clf_retrieval_create(self.library.context, c.byref(desc),
                                                                 c.byref(self.handle), c.byref(self.library.error)))
        self.search = self.library.lib.clf_retrieval_search
        self.search.argtypes = [c.c_void_p, clf.HostTensor, c.c_int64, c.c_void_p, c.c_void_p, c.c_void_p]
        self.values = np.empty((len(queries), ARGS.k), np.float32)
        self.indices = np.empty((len(queries), ARGS.k), np.int64)

    def run(self):
        self.library.check(self.search(self.handle, clf.host_tensor(self.queries), ARGS.k, self.values.ctypes.data,
                                       self.indices.ctypes.data, c.byref(self.library.error)))

    def result(self):
        return self.values, self.indices


class TorchRunner:
    def __init__(self, stored, queries):
        import torch
        torch.set_num_threads(ARGS.threads)
        self.torch = torch
        self.stored, self.queries = torch.from_numpy(stored), torch.from_numpy(queries)

    def run(self):
        with self.torch.inference_mode():
            self.values, self.indices = self.torch.topk(self.queries @ self.stored.T, ARGS.k)

    def result(self):
        return self.values.numpy(), self.indices.numpy()


RUNNERS = {"clfusion": ClfusionRunner, "torch": TorchRunner}


def write_stored(path):
    """Unit vectors, written in pieces."""
    random = np.random.default_rng(1)
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(ARGS.stored, ARGS.width))
    for begin in range(0, ARGS.stored, 1 << 16):
        rows = random.standard_normal((min(1 << 16, ARGS.stored - begin), ARGS.width), np.float32)
        stored[begin:begin + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    stored.flush()


def load(path):
    """The mapped embeddings, resident, and queries."""
    import warnings
    warnings.filterwarnings("ignore", message=".*not writable.*")
    stored = np.load(path, mmap_mode="r")
    float(stored[:, ::16].sum())  # every page
    queries = np.random.default_rng(2).standard_normal((ARGS.queries, ARGS.width)).astype(np.float32)
    return stored, queries / np.linalg.norm(queries, axis=1, keepdims=True)


def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def measure_memory(path):
    """Growth of the resident set by a search: one for a hundredth of the rows has compiled and loaded all before."""
    stored, queries = load(path)
    small = np.ascontiguousarray(stored[:max(ARGS.k, len(stored) // 100)])
    RUNNERS[ARGS.memory_of](small, queries).run()
    runner = RUNNERS[ARGS.memory_of](stored, queries)
    before = status("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
    runner.run()
    print(status("VmHWM:") - before)


def memory_of(name, path):
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name, "--file", str(path)]
    return int(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split()[-1])


def agree(runners):
    """The same places, but where scores are nearer to each other than two f32 products may differ."""
    (v, i), (w, j) = (runner.result() for runner in runners.values())
    scale = float(np.abs(w).max())
    return bool(np.all(np.abs(v - w) <= 1e-5 * scale)), float(np.mean(i == j))


def main():
    folder = tempfile.TemporaryDirectory()
    path = ARGS.file or Path(folder.name) / "stored.npy"
    if ARGS.memory_of:
        measure_memory(path)
        return
    if not path.exists():
        write_stored(path)
    stored, queries = load(path)
    runners = {name: make(stored, queries) for name, make in RUNNERS.items()}
    seconds = {name: [] for name in runners}
    for runner in runners.values():
        runner.run()
    for turn in range(ARGS.rounds):
        for name in list(runners)[::1 if turn % 2 else -1]:
            time.sleep(ARGS.pause)
            begin = time.perf_counter()
            runners[name].run()
            seconds[name].append(time.perf_counter() - begin)
    right, same = agree(runners)
    result = {"queries": ARGS.queries, "stored": ARGS.stored, "width": ARGS.width, "k": ARGS.k,
              "threads": ARGS.threads, "agrees": right, "equal_indices": same}
    for name in runners:
        result[name] = {"median_ms": 1e3 * statistics.median(seconds[name]), "best_ms": 1e3 * min(seconds[name]),
                        "extra_bytes": memory_of(name, path)}
    result["speed"] = result["torch"]["median_ms"] / result["clfusion"]["median_ms"]
    result["memory"] = result["clfusion"]["extra_bytes"] / result["torch"]["extra_bytes"]
    print(json.dumps(result, indent=1))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
