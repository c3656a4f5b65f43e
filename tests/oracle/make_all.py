"""Writes tests/data and tests/pictures beside it, or with --check DIR makes everything anew and compares.

Checkpoints, configurations and inputs must be equal byte for byte; outputs within 1e-6 of the largest value of their
file, because the CPU kernels of torch differ between machines.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import make_compress
import make_cross
import make_early
import make_flamingo
import make_interleaved
import make_late
import make_llava
import make_modules
import make_others
import make_pictures
import make_pool
import make_qformer
import make_relevance
import make_resampler
import make_select
import numpy as np
import torch

PARTS = (
    make_llava, make_others, make_modules, make_cross, make_flamingo, make_resampler, make_qformer, make_pool,
    make_early,
    make_late,
    make_select,
    make_compress,
    make_relevance,
    make_interleaved,
)


def make_all(root: Path) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for part in PARTS:
        part.make(root)


def outputs_agree(made: Path, kept: Path) -> bool:
    a, b = np.load(made), np.load(kept)
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.all(np.abs(a - b) <= 1e-6 * np.max(np.abs(b))))


def differences(made: Path, kept: Path):
    files = {p.relative_to(root) for root in (made, kept) for p in root.rglob("*") if p.is_file()}
    for file in sorted(files):
        a, b = made / file, kept / file
        if not a.exists() or not b.exists():
            yield f"{file}: only in {'the folder' if b.exists() else 'what was made'}"
        elif file.name.startswith("out_"):
            if not outputs_agree(a, b):
                yield f"{file}: outputs differ by more than 1e-6"
        elif a.read_bytes() != b.read_bytes():
            yield f"{file}: bytes differ"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", type=Path, metavar="DIR", help="compare with this folder instead of writing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.parent / "data")
    options = parser.parse_args()

    if options.check is None:
        if options.output.exists():
            shutil.rmtree(options.output)
        make_all(options.output)
        make_pictures.make(options.output.parent / "pictures")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        data, pictures = Path(folder) / "data", Path(folder) / "pictures"
        make_all(data)
        make_pictures.make(pictures)
        found = [*differences(data, options.check), *differences(pictures, options.check.parent / "pictures")]
        cases = len(list(data.iterdir())) + len(list(pictures.glob("*.npy")))
    print("\n".join([*found, f"{cases} cases made, {len(found)} files differ"]))
    return 1 if found or cases == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
