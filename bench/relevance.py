#!/usr/bin/env python3
"""Times the relevance map of a picture with clfusion against torch and kornia on the CPU, in one run.

    build/venv/bench/bin/python bench/relevance.py          # 1024 x 1024 pixels, after tools/demo.sh or another build

The other side is the oracle of the tests, tests/oracle/make_relevance.py: the reference's steps in torch and kornia, from the
picture to the balanced map.  Both have the same weights in f32, warm, and the picture in memory, and take turns on the
same threads, with a pause before each.  No figure is given unless clfusion's map is within 1e-4 of the oracle in
double precision.
"""
import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path

from cores import ROOT, limit_threads


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=ROOT / "build/release", type=Path, help="folder with libclfusion.so")
    p.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("HEIGHT", "WIDTH"))
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--grid", type=int, default=32)
    p.add_argument("--query", type=int, default=2048, help="width of the query; Qwen3-VL-2B's embeddings have 2048")
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--calls", type=int, default=3, help="timed calls of a runner in a round, after one untimed")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pause", type=float, default=0.1, help="seconds before each runner's turn")
    p.add_argument("--device", help="clfusion's device, as in `clfusion run --device`")
    return p.parse_args()


ARGS = arguments()
limit_threads("relevance", ARGS.threads)

sys.path.append(str(ROOT / "tests/oracle"))
import numpy as np  # noqa: E402  (the lines above must come first)
import torch  # noqa: E402

import clf  # noqa: E402
import make_relevance  # noqa: E402


class OracleRunner:
    def __init__(self, module, image, query):
        self.module, self.image, self.query = module, image, query

    def run(self):
        with torch.inference_mode():
            textures = make_relevance.textures_of(self.image, ARGS.grid, "batch")
            self.map = self.module.maps(textures, self.query, "batch")[3]

    def result(self):
        return self.map.numpy()


def clfusion_runner(library, module, image, query):
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    config = {"model_type": "clfusion", "module": "relevance", "grid": ARGS.grid}
    return clf.Connector(library, config, weights, {"image": image.numpy(), "query": query.numpy()}, "relevance")


def picture(generator):
    """Waves of colour with noise: nothing is flat, nothing is noise alone."""
    H, W = ARGS.size
    y, x = torch.meshgrid(torch.linspace(0, 12, H), torch.linspace(0, 12, W), indexing="ij")
    wave = torch.randn(ARGS.batch, 3, 2, 1, 1, generator=generator)
    noise = torch.randn(ARGS.batch, 3, H, W, generator=generator)
    return (0.5 + 0.3 * torch.sin(wave[:, :, 0] * y + wave[:, :, 1] * x) + 0.05 * noise).clamp(0, 1)


def measure(runners):
    """Milliseconds of each runner's calls."""
    taken = {name: [] for name in runners}
    for turn in range(ARGS.rounds):
        for name in list(runners)[::1 if turn % 2 else -1]:
            time.sleep(ARGS.pause)
            runners[name].run()
            for _ in range(ARGS.calls):
                begin = time.perf_counter()
                runners[name].run()
                taken[name].append(1e3 * (time.perf_counter() - begin))
    return taken


def main():
    torch.set_num_threads(ARGS.threads)
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)  # of the weights
    module = make_relevance.Relevance(ARGS.query).eval().requires_grad_(False)
    image, query = picture(generator), torch.randn(ARGS.batch, ARGS.query, generator=generator)
    library = clf.Library(str(ARGS.build / "libclfusion.so"), ARGS.device)
    runners = {"clfusion": clfusion_runner(library, module, image, query),
               "torch + kornia": OracleRunner(module, image, query)}

    exact = OracleRunner(copy.deepcopy(module).double(), image.double(), query.double())
    exact.run()
    errors = {}
    for name, runner in runners.items():
        runner.run()
        errors[name] = float(np.abs(runner.result() - exact.result()).max())
    result = {"picture": list(ARGS.size), "batch": ARGS.batch, "grid": ARGS.grid, "threads": ARGS.threads,
              **library.describe(), "errors": errors, "agrees": errors["clfusion"] <= 1e-4}
    if result["agrees"]:
        taken = measure(runners)
        for name in runners:
            result[name] = {"median_ms": statistics.median(taken[name]), "best_ms": min(taken[name])}
        result["speed"] = result["torch + kornia"]["median_ms"] / result["clfusion"]["median_ms"]
        result["speed_of_best"] = result["torch + kornia"]["best_ms"] / result["clfusion"]["best_ms"]
    print(json.dumps(result, indent=1))
    sys.exit(0 if result["agrees"] else 1)


if __name__ == "__main__":
    main()
