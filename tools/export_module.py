#!/usr/bin/env python3
"""Writes a PyTorch state dict as a file of one of clfusion's own modules, and checks the result against PyTorch.

    export_module.py mlp_projection projector.pt out --set vision_dim=1024 --set llm_dim=4096
    export_module.py gated_cross_attention block.pt block.safetensors --set num_heads=8 --set head_dim=64 \\
        --prefix decoder.3.xattn. --reference blocks.py:make_block

OUT is a folder, which receives config.json and model.safetensors, or a file that ends in .safetensors and carries the
configuration in its metadata.  Tensors keep their types; names are those of the module (`clfusion inspect` lists them),
after PREFIX has been taken away.  `clfusion inspect` reads the result in any case, so a missing tensor, a wrong shape or
an option that contradicts a tensor is told here.

With --reference FILE.py:NAME the module NAME() of that file gets the state dict and runs beside `clfusion run` on the
same random inputs; the module takes them in the order in which `clfusion inspect` lists what the output needs, and
returns the output named by --output (default: the first).  Every element must be within 2e-5 of the largest value plus
1e-4 of its own.  Nothing stays in OUT after a failure.

Needs torch, safetensors, numpy, and the command `clfusion` (--command, default: the one in PATH).
"""
import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from pickle import UnpicklingError

try:
    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
except ModuleNotFoundError as missing:
    sys.exit(f"export_module: {missing.name} is not installed; pip install torch safetensors numpy")


class Refused(Exception):
    """What is wrong, for the user."""


def arguments(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("module", help="name of the module")
    p.add_argument("state", type=Path, help="state dict: .safetensors, or what torch.save wrote")
    p.add_argument("out", type=Path, help="folder, or a file that ends in .safetensors; must not exist")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option; JSON, else text")
    p.add_argument("--prefix", default="", help="takes the tensors that begin with this, without it")
    p.add_argument("--reference", metavar="FILE.py:NAME", help="compares with this torch.nn.Module")
    p.add_argument("--output", help="the output to compare (the first)")
    p.add_argument("--command", default="clfusion", help="the command")
    return p.parse_args(argv)


def options_of(pairs):
    """As `clfusion run --set` reads them."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Refused(f"--set is {pair}; want KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value
    return options


def state_of(path, prefix):
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, UnpicklingError, RuntimeError) as e:
        raise Refused(f"{path}: {str(e).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Refused(f"{path}: it holds other things than tensors by name; want a state dict")
    # Clones, because tied parameters share memory, which safetensors refuses.
    state = {name[len(prefix):]: value.contiguous().clone() for name, value in state.items() if name.startswith(prefix)}
    if not state:
        raise Refused(f"{path}: no tensor begins with {prefix!r}; want a state dict")
    return state


def write(module, state, options, out):
    """The file format of clfusion's modules: a configuration beside the tensors, or in their file's metadata."""
    config = {"model_type": "clfusion", "module": module, **options}
    if out.suffix == ".safetensors":
        save_file(state, out, metadata={"clfusion": json.dumps(config, sort_keys=True)})
        return
    out.mkdir()
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})


def call(command, *words):
    try:
        done = subprocess.run([command, *map(str, words)], text=True, capture_output=True)
    except FileNotFoundError:
        raise Refused(f"{command} is not there; want --command PATH of clfusion") from None
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return done.stdout


# ---- comparison ------------------------------------------------------------------------------------------------------

def sizes_of(facts, output):
    """The letters of the example call that `inspect` gives for the output: {"B": 1, "N": 576}."""
    text = next(f["call"] for f in facts["flop"] if f["output"] == output)
    return {name: int(value) for name, value in re.findall(r"([\w']+) = (\d+)", text)}


def shape_of(formula, sizes):
    """[B, N, 1024] with its letters' sizes."""
    form = formula.split(" or ")[0].strip("[]")
    return tuple(int(d) if d.isdigit() else sizes[d] for d in form.split(", "))


def random_input(port, sizes, state, generator):
    shape = shape_of(port["shape"], sizes)
    if "i64" not in port["types"]:
        return torch.randn(shape, generator=generator)
    rows = state["text_embed.weight"].shape[0] if "text_embed.weight" in state else 2
    return torch.randint(0, rows, shape, generator=generator)


def reference_of(where, state):
    path, colon, name = where.rpartition(":")
    if not colon or not Path(path).is_file():
        raise Refused(f"--reference is {where}; want FILE.py:NAME")
    spec = importlib.util.spec_from_file_location("reference", path)
    file = sys.modules["reference"] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    spec.loader.exec_module(file)
    if not hasattr(file, name):
        raise Refused(f"{path} has no {name}")
    module = getattr(file, name)()
    module.load_state_dict({key: value.float() for key, value in state.items()})
    return module.eval()


def compare(options, state, facts):
    """Runs both; the greatest error as a share of the bound."""
    output = options.output or facts["outputs"][0]["name"]
    if output not in (o["name"] for o in facts["outputs"]):
        raise Refused(f"--output is {output}; want one of {', '.join(o['name'] for o in facts['outputs'])}")
    sizes, generator = sizes_of(facts, output), torch.Generator().manual_seed(1)
    inputs = {port["name"]: random_input(port, sizes, state, generator)
              for port in facts["inputs"] if output in port["needed_by"].split()}
    with torch.inference_mode():
        want = reference_of(options.reference, state)(*inputs.values()).numpy()
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", options.out]
        for name, value in inputs.items():
            np.save(f"{folder}/{name}.npy", value.numpy())
            words += ["--input", f"{name}={folder}/{name}.npy"]
        call(options.command, *words, "--output", f"{output}={folder}/got.npy")
        got = np.load(f"{folder}/got.npy")
    if got.shape != want.shape:
        raise Refused(f"{output} is {list(got.shape)}, PyTorch's {list(want.shape)}; want one shape")
    share = np.abs(got - want) / (2e-5 * np.abs(want).max() + 1e-4 * np.abs(want))
    if not share.max() <= 1:
        raise Refused(f"{output} is off by {np.abs(got - want).max():.3g}, {share.max():.3g} times the bound; "
                      "the tensors are not what the module takes them for")
    return output, sizes, float(share.max())


def export(options):
    if options.out.exists():
        raise Refused(f"{options.out} exists; want a new name")
    state = state_of(options.state, options.prefix)
    write(options.module, state, options_of(options.set), options.out)
    try:
        facts = json.loads(call(options.command, "inspect", options.out, "--json"))
        if options.reference:
            output, sizes, share = compare(options, state, facts)
            call_text = ", ".join(f"{name} = {size}" for name, size in sizes.items())
            print(f"{output} equals PyTorch's: {100 * share:.2g} % of the bound ({call_text})")
    except BaseException:
        shutil.rmtree(options.out) if options.out.is_dir() else options.out.unlink(missing_ok=True)
        raise
    print(f"{options.out}: {options.module}, {facts['parameters']} parameters, outputs "
          + ", ".join(o["name"] + " " + o["shape"] for o in facts["outputs"]))


def main(argv=None):
    try:
        export(arguments(argv))
    except Refused as e:
        sys.exit(f"export_module: {e}")


if __name__ == "__main__":
    main()
