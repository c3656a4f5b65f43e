"""tools/export_module.py: what it writes equals PyTorch, and what does not fit is refused and leaves nothing.

    python tests/oracle/check_export.py build/release/clfusion
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tools")]

import export_module  # noqa: E402
from make_early import Early  # noqa: E402
from make_modules import Mlp  # noqa: E402

REFERENCE = Path(__file__)


@dataclass
class Widths:
    """Annotations as text are looked up in the module that the class says it is of."""

    all: tuple[int, ...] = (24, 40, 16)


def mlp():
    return Mlp(list(Widths().all))


class Tied(torch.nn.Module):
    """Two layers that are one."""

    def __init__(self):
        super().__init__()
        self.mlp = torch.nn.Sequential(torch.nn.Linear(24, 24), torch.nn.GELU(), torch.nn.Linear(24, 24))
        self.mlp[2].weight = self.mlp[0].weight

    def forward(self, vision):
        return self.mlp(vision)


def tied():
    return Tied()


def louder():
    """Another module under the same tensor names."""
    module = mlp()
    module.register_forward_hook(lambda *call: call[-1] * 1.01)
    return module


def early():
    module = Early(24, patch=4, vocabulary=11, positions=(9, 8))
    for parameter in module.parameters():  # its tables are memory as it comes
        torch.nn.init.normal_(parameter)
    return module


def run(*words):
    """The message; empty when it went well."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            export_module.main([str(w) for w in words])
    except SystemExit as e:
        return str(e.code)
    return ""


def main():
    command = ["--command", sys.argv[1]]
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def expect(message, out, *words):
            got = run(*words[:2], root / out, *words[2:], *command)
            if (message not in got) if message else got:
                sys.exit(f"check_export: {words}: {got or 'went well'}; want {message or 'success'}")
            if (root / out).exists() == bool(message):
                sys.exit(f"check_export: {words}: {out} is {'there' if message else 'not there'}")

        torch.save({"head." + k: v for k, v in mlp().state_dict().items()}, root / "mlp.pt")
        torch.save(early().state_dict(), root / "early.pt")
        mlp_words = ("mlp_projection", root / "mlp.pt", "--prefix", "head.")
        expect("", "folder", *mlp_words, "--set", "vision_dim=24", "--reference", f"{REFERENCE}:mlp")
        expect("", "file.safetensors", *mlp_words, "--reference", f"{REFERENCE}:mlp")
        expect("", "early", "early_fusion", root / "early.pt", "--reference", f"{REFERENCE}:early")
        torch.save(tied().state_dict(), root / "tied.pt")
        expect("", "tied", "mlp_projection", root / "tied.pt", "--reference", f"{REFERENCE}:tied")
        expect("times the bound", "louder", *mlp_words, "--reference", f"{REFERENCE}:louder")
        expect("vision_dim is 25; want 24", "other", *mlp_words, "--set", "vision_dim=25")
        expect("no tensor begins with 'tail.'", "prefix", "mlp_projection", root / "mlp.pt", "--prefix", "tail.")
        expect("unsupported", "name", "no_such_module", root / "mlp.pt", "--prefix", "head.")
        expect("want KEY=VALUE", "set", *mlp_words, "--set", "vision_dim")
        (root / "text.pt").write_text("no state dict")
        (root / "text.safetensors").write_text("no state dict")
        torch.save({"epoch": 3, "model": mlp().state_dict()}, root / "nested.pt")
        for name, message in (("text.pt", "text.pt: "), ("text.safetensors", "text.safetensors: "),
                              ("none.pt", "No such file"), ("nested.pt", "want a state dict")):
            expect(message, "bad", "mlp_projection", root / name)
    print("check_export: 13 exports as expected")


if __name__ == "__main__":
    main()
