#!/usr/bin/env python3
"""Runs cases of compare.py with clfusion for runtimes.py: a request a line on stdin, a line of JSON on stdout for each.

    open CASE      prepares it and makes its first call: {"device": ...}
    time CALLS     milliseconds of so many calls, after one untimed
    result FILE    the outputs, into an .npz
    close          frees it

One process for all cases, because a runtime without a kernel cache compiles a program once in a process.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

from cores import limit_threads


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", required=True, type=Path, help="folder with libclfusion.so")
    p.add_argument("--threads", required=True, type=int)
    return p.parse_args()


ARGS = arguments()
limit_threads("suite_server", ARGS.threads)

import numpy as np  # noqa: E402  (the lines above must come first)
import torch  # noqa: E402

import clf  # noqa: E402
from cases import CASES  # noqa: E402


class Server:
    def __init__(self):
        self.library, self.module = clf.Library(str(ARGS.build / "libclfusion.so")), None

    def open(self, name):
        torch.manual_seed(1)
        case = CASES[name][1]()
        connect = case.connect or clf.Connector.of_case
        self.module = connect(self.library, case, clf.F32)
        self.module.run()
        about = self.library.describe()
        return {"device": f"{about['device']}, driver {about['driver']}"}

    def time(self, calls):
        self.module.run()
        taken = []
        for _ in range(int(calls)):
            begin = time.perf_counter()
            self.module.run()
            taken.append(1e3 * (time.perf_counter() - begin))
        return taken

    def result(self, path):
        np.savez(path, *self.module.result())

    def close(self):
        self.module.close()
        self.module = None


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    server = Server()
    for line in sys.stdin:
        request, *words = line.split()
        answers.write(json.dumps(getattr(server, request)(*words)) + "\n")


if __name__ == "__main__":
    main()
