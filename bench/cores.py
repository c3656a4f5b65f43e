"""Where the benchmarks run: the project's folder, and the cores that every runner gets."""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def limit_threads(program, count):
    """Before any runtime is loaded: the process gets `count` cores, and so does everything that counts cores."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    if len(cores) < count:
        sys.exit(f"{program}: --threads is {count}; want at most {len(cores)}, the cores of this machine")
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = os.environ["POCL_MAX_PTHREAD_COUNT"] = str(count)
    os.environ.setdefault("POCL_AFFINITY", "1")  # the peers pin their threads unasked; pocl does not
    folder = ROOT / "build/icd/pocl"  # made by tools/demo.sh and tools/test.sh
    if not os.environ.get("OCL_ICD_VENDORS") and not os.environ.get("CLFUSION_DEVICE") and folder.is_dir():
        os.environ["OCL_ICD_VENDORS"] = str(folder)
