#!/usr/bin/env python3
"""Compiles the kernels that the library uses on GPUs, offline, for GPUs that need not be there:

    Intel   skl, tgllp, dg2            by ocloc
    AMD     gfx906, gfx1030, gfx1100   by clang for amdgcn with libclc

and prints for each kernel its registers, spills, private and local memory and occupancy.  The exit status is 1 when a kernel
does not compile, spills or takes private memory, or when no test launches it; 2 when a compiler or the list is missing.
Scalar registers that AMD's compiler moves to lanes of vector registers take no memory and are not spills here (--json).
The last line counts devices, "N passed, M failed, K skipped"; that kernels are never launched is one more failure.

Which programs there are, and with which options they are built, comes from the library itself: the test programs run on any
device that says it is a GPU (CLF_TEST_GPU, tests/shims.h) and write down each kernel they launch (CLF_TEST_PROGRAMS).

    cmake -S . -B build/test -G Ninja -DCLFUSION_TESTS=ON && cmake --build build/test
    tools/offline_compile.py --build build/test             runs the programs of ROOMS, with both providers, then compiles
    tools/offline_compile.py --programs build/programs.txt  compiles what such runs have written
    tools/offline_compile.py --programs ... --sample        for CI: one set of options a kernel, two devices of each maker

Sets that tests wrote on a CPU device, in the GPUs' shape, are taken as a GPU would build them.

The compilers, on Debian 12 (all from its own archive):
    AMD     apt-get install clang-16 libclc-15              35 + 10 MB; LLVM 14, Debian's default, does not know gfx1100,
            and 15 gives its programs half of its registers.  libclc-16 would drive mesa-opencl-icd out
    Intel   apt-get install intel-opencl-icd                22.43: ocloc and the graphics compiler (about 20 MB of archives,
            110 MB installed; not where libigc1 is held back).  Without installing a driver that programs would see:
            apt-get download intel-opencl-icd libigc1 libigdfcl1 libigdgmm12 && dpkg -x each into FOLDER, then
            --intel-root FOLDER; it also wants libopencl-clang14 and libllvmspirvlib14, installed or in FOLDER

AMD's own compiler takes its own library of built-in functions in place of libclc, so its numbers may differ a little.

Occupancy: AMD, waves of a SIMD unit as the compiler states it, of 10 (gfx906) or 16.  Intel, the share of the hardware
threads of a core (skl 8 x 7, tgllp 16 x 7, dg2 16 x 8) that groups fill when local memory is shared out in powers of
two.  Both know registers, local memory and group size, not the number of groups of a launch.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ("clf_shared.h", "clf_math.h")  # in front of every program, src/runtime/program.c
ROOMS = ("ops", "gemm", "runtime", "fusion", "models")  # the first two launch every kernel, the others as connectors do
OTHER_SHAPES = re.compile(r"_(simd|few|ref)(_|$)|^clf_resize_rows$")  # what GPUs do not get
BENCH = ("peak.cl",)  # measures devices; no test launches it
STAND_INS = ("panel.cl", "panel_pack.cl")  # products where CLBlast is missing: shown, but they decide nothing
SAMPLE = ("gfx906", "gfx1100", "skl", "dg2")  # the oldest and the newest of each maker

AMD = {"gfx906": 10, "gfx1030": 16, "gfx1100": 16}  # waves of a SIMD unit
INTEL = {"skl": (56, 64 << 10), "tgllp": (112, 128 << 10), "dg2": (128, 128 << 10)}  # threads, local bytes of a core
MAKERS = {"amd": AMD, "intel": INTEL}
LIBCLC = ("/usr/lib/clc/amdgcn--amdhsa.bc", "/usr/share/clc/amdgcn--amdhsa.bc")


class Missing(Exception):
    """A compiler or the list of programs is not there."""


# ---- what to compile ---------------------------------------------------------------------------------------------


def run_tests(build, file):
    """Runs the test programs of ROOMS as on a GPU, with CLBlast and without; each adds the kernels it launches to `file`."""
    names = [p.stem for room in ROOMS for p in sorted((ROOT / "tests" / room).glob("test_*.c"))]
    for gemm in ("auto", "panel"):
        environment = dict(os.environ, CLF_TEST_GPU="1", CLF_TEST_PROGRAMS=str(file), CLF_TEST_GEMM=gemm)
        for name in names:
            program = Path(build) / "tests" / name
            if not program.exists():
                raise Missing(f"{program} is not there; build the tests first (cmake -DCLFUSION_TESTS=ON)")
            print(f"listing: {name}, {gemm} products", file=sys.stderr)
            done = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                raise Missing(f"{name} failed, so the list is not whole:\n{done.stdout.decode()[-2000:]}")


def as_gpu(options):
    """What a GPU builds where a CPU device built this: floats come in fours, and prefetch() is an instruction."""
    words = [w for w in options.split() if w not in ("-DCLF_FETCH_BUILTIN", "-DCLF_USE_MAD")]
    return " ".join("-DCLF_VEC=4" if w.startswith("-DCLF_VEC=") else w for w in words)


def read_lists(files):
    """{(source, options): {kernel: items of a group}}, without the shapes for other devices."""
    programs = {}
    for file in files:
        if not Path(file).exists():
            raise Missing(f"{file} is not there; tests write it (CLF_TEST_PROGRAMS)")
        for line in Path(file).read_text().splitlines():
            source, kernel, items, options = line.split("\t")
            if not OTHER_SHAPES.search(kernel):
                kernels = programs.setdefault((source, as_gpu(options)), {})
                kernels[kernel] = max(int(items), kernels.get(kernel, 0))
    if not programs:
        raise Missing(f"{', '.join(map(str, files))}: no kernel is listed")
    return programs


def sample_of(programs):
    """Each kernel in one set of options: the longest, and of these the last by name, which has the largest numbers."""
    chosen = {}
    for (source, options), kernels in programs.items():
        for kernel in kernels if source not in STAND_INS else ():
            chosen[kernel] = max(chosen.get(kernel, (0, "", "")), (len(options), options, source))
    sets = {(source, options) for _, options, source in chosen.values()}
    return {key: kernels for key, kernels in programs.items() if key in sets}


def kernels_in_sources():
    found = {}
    for path in sorted((ROOT / "cl").glob("*.cl")):
        for name in re.findall(r"kernel void (clf_\w+)\(", path.read_text()):
            if not OTHER_SHAPES.search(name) and path.name not in BENCH + STAND_INS:
                found[name] = path.name
    return found


def source_text(source):
    return "".join((ROOT / "cl" / part).read_text() for part in (*HEADERS, source))


# ---- AMD ---------------------------------------------------------------------------------------------------------


def find_clang(wanted):
    names = [wanted] if wanted else [f"clang-{n}" for n in range(16, 30)] + ["clang"]
    for name in names:
        path = shutil.which(name)
        if path and "gfx1100" in subprocess.run([path, "-target", "amdgcn", "--print-supported-cpus"], text=True,
                                                capture_output=True).stderr:
            return path
    raise Missing(f"no clang that knows gfx1100 ({', '.join(names[:3])}, ...); Debian: apt-get install clang-16")


def find_libclc(wanted):
    for path in [wanted] if wanted else LIBCLC:
        if Path(path).exists():
            return path
    raise Missing(f"libclc for amdgcn is not at {wanted or ' or '.join(LIBCLC)}; Debian: apt-get install libclc-15-dev")


def amd_kernels(assembly):
    """Numbers of each kernel: the metadata at the end, and the occupancy from the comments of its code."""
    waves = dict(re.findall(r"^\s*\.amdhsa_kernel (\S+)$.*?^; Occupancy: (\d+)$", assembly, re.M | re.S))
    found = {}
    metadata = re.search(r"^amdhsa\.kernels:\n(.*?)^amdhsa\.", assembly, re.M | re.S)[1]
    for part in re.split(r"^  - ", metadata, flags=re.M)[1:]:
        value = dict(re.findall(r"^    \.(\w+):\s+(\S+)$", "    " + part.lstrip(), re.M))
        found[value["name"]] = {
            "registers": int(value["vgpr_count"]),
            "scalars": int(value["sgpr_count"]),
            "scalars_in_lanes": int(value["sgpr_spill_count"]),  # of vector registers; where memory takes them, private
            "spills": int(value["vgpr_spill_count"]),
            "private": int(value["private_segment_fixed_size"]),
            "local": int(value["group_segment_fixed_size"]),
            "occupancy": int(waves[value["name"]]),
        }
    return found


def compile_amd(tools, device, source, options, work):
    text = work / "program.cl"
    text.write_text(source_text(source))
    command = [tools["clang"], "-x", "cl", "-target", "amdgcn--amdhsa", f"-mcpu={device}", "-nogpulib", "-O3",
               "-D__OPENCL_VERSION__=120", "-Xclang", "-finclude-default-header", "-Xclang", "-mlink-builtin-bitcode",
               "-Xclang", tools["libclc"], *options.split(), "-S", str(text), "-o", str(work / "program.s")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr
    return amd_kernels((work / "program.s").read_text()), ""


# ---- Intel -------------------------------------------------------------------------------------------------------


def find_ocloc(root):
    path = Path(root, "usr/bin/ocloc") if root else shutil.which("ocloc")
    if not path or not Path(path).exists():
        raise Missing("ocloc is not " + (f"in {root}" if root else "installed") + "; Debian: apt-get install "
                      "intel-opencl-icd, or unpack it (see --help)")
    return str(path)


def section(binary, wanted):
    """The bytes of a section of a little-endian 64-bit ELF file."""
    table, = struct.unpack_from("<Q", binary, 0x28)
    size, count, names = struct.unpack_from("<HHH", binary, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + i * size) for i in range(count)]
    for name, _, _, _, offset, length in headers:
        start = headers[names][4] + name
        if binary[start:binary.index(b"\0", start)].decode() == wanted:
            return binary[offset:offset + length]
    raise ValueError(f"no section {wanted}")


def intel_kernels(info):
    """Numbers of each kernel from .ze_info, the driver's own description of the program (a small part of YAML)."""
    found = {}
    body = info[info.index("kernels:"):].split("kernels_misc_info:")[0]
    for part in re.split(r"^  - name: +", body, flags=re.M)[1:]:
        def number(name, text=part):
            return int((re.search(rf"^ +{name}: +(\d+)", text, re.M) or [0, 0])[1])

        memory = part.split("per_thread_memory_buffers:")[1] if "per_thread_memory_buffers:" in part else ""
        usage = re.findall(r"usage: +(\w+)\s+size: +(\d+)", memory)
        found[part.split(None, 1)[0].strip("'")] = {
            "registers": number("grf_count"),
            "lanes": number("simd_size"),
            "spills": sum(int(size) for what, size in usage if what != "private_space"),
            "private": sum(int(size) for what, size in usage if what == "private_space"),
            "local": number("slm_size"),
        }
    return found


def intel_occupancy(device, kernel, items):
    """Percent of a core's threads: its groups are limited by threads and by local memory, in powers of two from 1 KiB."""
    threads, local = INTEL[device]
    of_group = -(-items // kernel["lanes"])
    groups = threads // of_group
    if kernel["local"] > 0:
        share = 1024
        while share < kernel["local"]:
            share *= 2
        groups = min(groups, local // share)
    return 100 * groups * of_group // threads


def compile_intel(tools, device, source, options, work):
    text = work / "program.cl"
    text.write_text(source_text(source))
    root = tools["intel_root"]
    environment = dict(os.environ)
    if root:
        environment["LD_LIBRARY_PATH"] = f"{root}/usr/lib/x86_64-linux-gnu"
    command = [tools["ocloc"], "compile", "-file", str(text), "-device", device, "-options", options, "-internal_options",
               "-cl-intel-allow-zebin", "-output", "made", "-out_dir", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    made = list(work.glob("made*.bin"))  # with the name of the core in it
    if done.returncode != 0 or not made:
        return None, done.stdout + done.stderr
    return intel_kernels(section(made[0].read_bytes(), ".ze_info").decode()), ""


# ---- all of them -------------------------------------------------------------------------------------------------


def compile_one(tools, device, source, options, kernels):
    """Rows of this program's kernels on this device, or the compiler's words."""
    with tempfile.TemporaryDirectory() as folder:
        compiler = compile_amd if device in AMD else compile_intel
        found, log = compiler(tools, device, source, options, Path(folder))
    rows = []
    for kernel, items in kernels.items():
        row = {"source": source, "kernel": kernel, "options": options, "device": device, "items": items}
        if found is None or kernel not in found:
            row["error"] = log.strip() or "the compiler made no such kernel"
        else:
            row.update(found[kernel])
            if device in INTEL:
                row["occupancy"] = intel_occupancy(device, row, items)
        rows.append(row)
    return rows


def bad(row):
    return "error" in row or row["spills"] > 0 or row["private"] > 0


def decides(row):
    return bad(row) and row["source"] not in STAND_INS


def short(options, common):
    return " ".join(o.replace("-DCLF_", "") for o in options.split() if o not in common)


def cell(rows):
    """The worst of several rows: registers and occupancy; what is wrong stands in the lines below the table."""
    if any("error" in r for r in rows):
        return "error"
    worst = min(rows, key=lambda r: (r["occupancy"], -r["registers"]))
    mark = "!" if any(bad(r) for r in rows) else ""
    if worst["device"] in AMD:
        return f"{mark}{max(r['registers'] for r in rows)} v {worst['occupancy']}/{AMD[worst['device']]}"
    return f"{mark}{worst['lanes']}x{worst['registers']} {worst['occupancy']}%"


def print_columns(lines):
    lines = [[str(cell) for cell in line] for line in lines]
    width = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(line, width))))
    print()


def print_table(rows, devices, each, common):
    """One line a kernel, the worst over its options; with `each`, a line for every set of options."""
    lines = [["kernel", "built", "items", "local", *devices]]
    groups = {}
    for r in rows:
        groups.setdefault((r["kernel"], short(r["options"], common) if each else ""), []).append(r)
    for (kernel, options), of in sorted(groups.items()):
        built = len({r["options"] for r in of})
        local = max(r.get("local", 0) for r in of)
        lines.append([f"{kernel} {options}".strip(), str(built), str(min(r["items"] for r in of)), str(local),
                      *(cell([r for r in of if r["device"] == d]) for d in devices)])
    print_columns(lines)


def print_devices(rows, devices):
    """One line a device: how much was compiled, and the worst number of each kind, without STAND_INS."""
    lines = [["device", "programs", "kernels", "wrong", "registers", "local", "spilled", "private", "occupancy"]]
    for device in devices:
        of = [r for r in rows if r["device"] == device and r["source"] not in STAND_INS]
        good = [r for r in of if "error" not in r]
        built, wrong = len({(r["source"], r["options"]) for r in of}), sum(map(decides, of))
        most = [max((r[what] for r in good), default=0) for what in ("registers", "local", "spills", "private")]
        least = min((r["occupancy"] for r in good), default=0)
        lines.append([device, built, len(of), wrong, *most, f"{least}/{AMD[device]}" if device in AMD else f"{least}%"])
    print_columns(lines)


def print_bad(rows, common):
    for r in rows:
        if bad(r):
            what = f"{r['spills']} spilled, {r['private']} bytes of private memory" if "error" not in r else r["error"]
            stands_in = "" if decides(r) else " (stands in for CLBlast: not counted)"
            print(f"{r['device']}: {r['kernel']} ({short(r['options'], common)}): {what}{stands_in}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/test", help="folder of a build with tests, which make the list")
    parser.add_argument("--programs", action="append", metavar="FILE", help="the list, from an earlier run of the tests; "
                        "may be given several times")
    parser.add_argument("--sample", action="store_true", help="one set of options a kernel, the longest, for "
                        + ", ".join(SAMPLE))
    parser.add_argument("--skip-missing", action="store_true", help="leave out a maker whose compiler is not there")
    parser.add_argument("--only", choices=MAKERS, help="one maker's devices")
    parser.add_argument("--device", action="append", choices=(*AMD, *INTEL), help="these devices alone")
    parser.add_argument("--kernel", default="", metavar="PART", help="kernels with this in their names alone")
    parser.add_argument("--each", action="store_true", help="a line for each set of options, not the worst of each kernel")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there, too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at a time")
    parser.add_argument("--clang", help="a clang for amdgcn")
    parser.add_argument("--libclc", help="amdgcn--amdhsa.bc")
    parser.add_argument("--intel-root", metavar="FOLDER", help="where Intel's packages are unpacked")
    return parser.parse_args()


def tools_of(maker, args):
    if maker == "amd":
        return {"clang": find_clang(args.clang), "libclc": find_libclc(args.libclc)}
    return {"ocloc": find_ocloc(args.intel_root), "intel_root": args.intel_root}


def find_tools(args):
    """{device: tools}; with --skip-missing without the devices whose compiler is not there, which are named."""
    found, skipped = {}, 0
    for maker in [args.only] if args.only else MAKERS:
        devices = [d for d in MAKERS[maker] if d in (args.device or (SAMPLE if args.sample else MAKERS[maker]))]
        try:
            found |= dict.fromkeys(devices, tools_of(maker, args) if devices else {})
        except Missing as error:
            if not args.skip_missing:
                raise
            skipped += len(devices)
            print(f"{', '.join(devices)}: {len(devices)} skipped: {error}")
    return found, skipped


def list_of_programs(args):
    if args.programs:
        return read_lists(args.programs)
    with tempfile.TemporaryDirectory() as folder:
        run_tests(args.build, Path(folder, "programs.txt"))
        return read_lists([Path(folder, "programs.txt")])


def compile_all(tools, programs, args):
    work = []
    for (source, options), kernels in sorted(programs.items()):
        wanted = {k: n for k, n in kernels.items() if args.kernel in k}
        work += [(tools[d], d, source, options, wanted) for d in tools if wanted]
    rows = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for i, part in enumerate(pool.map(lambda w: compile_one(*w), work)):
            rows += part
            print(f"\rcompiled {i + 1} of {len(work)}", end="\n" if i + 1 == len(work) else "", file=sys.stderr, flush=True)
    return rows


def report(rows, devices, unseen, args):
    if rows:
        common = set.intersection(*(set(r["options"].split()) for r in rows))
        print(f"built with {' '.join(sorted(common))}")
        print_table(rows, devices, args.each, common)
        print_devices(rows, devices)
        print_bad(rows, common)
    for kernel, source in unseen.items():
        print(f"{kernel} of cl/{source}: no test launches it on a GPU")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")


def main():
    args = arguments()
    tools, skipped = find_tools(args)
    programs = list_of_programs(args)
    launched = {k for kernels in programs.values() for k in kernels}
    unseen = {k: s for k, s in kernels_in_sources().items() if args.kernel in k and k not in launched}
    rows = compile_all(tools, sample_of(programs) if args.sample else programs, args)
    report(rows, tools, unseen, args)
    wrong = {r["device"] for r in rows if decides(r)}
    failed = len(wrong) + (1 if unseen else 0)
    print(f"{len(tools) - len(wrong)} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as error:
        print(f"offline_compile: {error}", file=sys.stderr)
        sys.exit(2)
