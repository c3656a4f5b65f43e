"""One test case: a tiny random checkpoint, inputs, and what the reference makes of them.

A case is a folder: config.json, model.safetensors (or shards and their index), in_NAME.npy, out_NAME.npy.
Without config.json the configuration stands in the metadata of the file, under the key "clfusion".
"""

import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors.torch import save_file


class Case:
    """Everything random comes from a generator seeded with the name of the case."""

    def __init__(self, root: Path, name: str):
        self.folder = root / name
        self.folder.mkdir(parents=True)
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self.tensors: dict[str, torch.Tensor] = {}

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator)

    def randomise(self, module: torch.nn.Module, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """Sets every parameter: matrices scaled to keep the variance, vectors around their usual place.  Values are
        rounded to `dtype`, in which they are stored; the module computes in float32."""
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                value = self.normal(*parameter.shape)
                if parameter.dim() > 1:
                    value = value / parameter.shape[-1] ** 0.5
                elif "norm" in name and name.endswith("weight"):
                    value = 1 + 0.3 * value
                parameter.copy_(value.to(dtype).float())
        self.dtype = dtype
        return module.eval()

    def keep(self, module: torch.nn.Module, prefix: str, rename: dict[str, str] | None = None) -> None:
        """Puts the parameters into the checkpoint as PREFIX + name, names changed where `rename` says so."""
        for name, parameter in module.named_parameters():
            for old, new in (rename or {}).items():
                if name.startswith(old):
                    name = new + name[len(old):]
                    break
            self.tensors[prefix + name] = parameter.detach().to(self.dtype).contiguous()

    def decoy(self, *names: str) -> None:
        """Tensors of other parts of the model, which the connector must not mind."""
        for name in names:
            self.tensors[name] = self.normal(3, 5).to(self.dtype)

    def config(self, config: dict) -> dict:
        (self.folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        return config

    def save(self, metadata: dict | None = None) -> None:
        # One key alone: the writer keeps metadata in an unordered map, and the bytes must be the same every time.
        text = {"format": "pt"} if metadata is None else {"clfusion": json.dumps(metadata, sort_keys=True)}
        save_file(self.tensors, self.folder / "model.safetensors", metadata=text)

    def save_shards(self) -> None:
        """Two files and model.safetensors.index.json, tensors dealt out in turn."""
        names = sorted(self.tensors)
        files = {name: f"model-{i % 2 + 1:05d}-of-00002.safetensors" for i, name in enumerate(names)}
        for file in sorted(set(files.values())):
            part = {name: self.tensors[name] for name in names if files[name] == file}
            save_file(part, self.folder / file, metadata={"format": "pt"})
        size = sum(t.numel() * t.element_size() for t in self.tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": files}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

    def give(self, name: str, value: torch.Tensor) -> torch.Tensor:
        np.save(self.folder / f"in_{name}.npy", value.numpy())
        return value

    def expect(self, name: str, value: torch.Tensor) -> torch.Tensor:
        kept = value.detach().float() if value.is_floating_point() else value.detach().long()
        np.save(self.folder / f"out_{name}.npy", np.ascontiguousarray(kept.numpy()))
        return value.detach()

    def text(self, batch: int, length: int, width: int, placeholder: int, count: int, vocabulary: int = 100):
        """Text states and ids with `count` placeholders at random places, in order over the whole batch."""
        ids = torch.randint(8, vocabulary, (batch, length), generator=self.generator)
        places = torch.randperm(batch * length, generator=self.generator)[:count]
        ids.view(-1)[places] = placeholder
        return self.give("text", self.normal(batch, length, width)), self.give("text_ids", ids)


def faint(case: Case, *layers) -> None:
    """A hundredth of the values: a norm behind them shows its eps.  Before they are kept, unless they are float32."""
    with torch.no_grad():
        for layer in layers:
            for parameter in [layer] if isinstance(layer, torch.nn.Parameter) else layer.parameters():
                parameter.mul_(0.01).copy_(parameter.to(case.dtype).float())


def merge(model_class, config, text, ids, tokens, video: bool = False) -> torch.Tensor:
    """What the forward of a transformers model does with its features: its own mask, then masked_scatter."""
    features = {"video_features" if video else "image_features": tokens}
    mask = model_class.get_placeholder_mask(SimpleNamespace(config=config), ids, inputs_embeds=text, **features)
    if isinstance(mask, tuple):
        mask = mask[1 if video else 0]
    return text.masked_scatter(mask, tokens)
