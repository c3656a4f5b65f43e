#!/usr/bin/env python3
"""Times the relevance map of a picture with clfusion against torch and kornia on the CPU, in one run.

    build/venv/bench/bin/python bench/relevance.py          # 1024 x 1024 pixels, after tools/demo.sh or another build

The other side is the oracle of the tests, tests/oracle/make_relevance.py: the reference's steps in torch and kornia,
from the picture to the balanced map.  Both have the same weights in f32, warm, and the picture in memory, and take
turns as in compare.py, where this is a case, too.  No figure is given unless clfusion's map is within 1e-4 of the
oracle in double precision.
"""
import argparse
import json
import sys

from compare import add_settings
from cores import limit_threads
from report import ratio


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_settings(p, rounds=20)
    p.add_argument("--runners", default="clfusion,torch")
    p.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("HEIGHT", "WIDTH"))
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--grid", type=int, default=32)
    p.add_argument("--query", type=int, default=2048, help="width of the query; Qwen3-VL-2B's embeddings have 2048")
    return p.parse_args()


def main():
    args = arguments()
    limit_threads("relevance", args.threads)  # before numpy and the runtimes are loaded
    import torch
    from cases import relevance
    from measure import describe, read_case
    from readings import result_of
    torch.manual_seed(1)
    case = relevance(args.size, args.batch, args.grid, args.query)
    result = result_of([read_case("relevance", case, args.runners.split(","), args)])
    print(json.dumps({"about": describe(args), **result, "speed": ratio(result),
                      "speed_of_best": ratio(result, "best_ms")}, indent=1))
    return 0 if "clfusion" in result["runners"] else 1


if __name__ == "__main__":
    sys.exit(main())
