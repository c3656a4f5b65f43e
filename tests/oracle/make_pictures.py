"""Pictures of every kind with what Pillow makes of them, and what transformers' processors make of some."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from transformers.image_transforms import convert_to_rgb
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first row, first column, step of rows, step of columns
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind, data):
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def packed(row, depth):
    """Samples of one row as bytes."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = "".join(format(int(v), f"0{depth}b") for v in row)
    return bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))


def scanlines(samples, depth):
    """Rows with the filters 0 and 1 by turns."""
    step = max(1, samples.shape[2] * depth // 8)
    out = b""
    for y, row in enumerate(samples):
        line = packed(row.reshape(-1), depth)
        if y % 2:
            line = bytes((v - (line[i - step] if i >= step else 0)) % 256 for i, v in enumerate(line))
        out += bytes([y % 2]) + line
    return out


def png(samples, color, depth, interlaced=False, palette=None, transparency=None):
    """Pillow writes neither all depths nor interlaced files, so they are written here."""
    height, width = samples.shape[:2]
    parts = [samples]
    if interlaced:
        parts = [samples[r::dr, c::dc] for r, c, dr, dc in PASSES]
    data = b"".join(scanlines(p, depth) for p in parts if p.size)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, color, 0, 0, int(interlaced)])
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    out += chunk(b"tEXt", b"Comment\0not looked into")
    return out + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def scene(rng, height, width):
    """Smooth colours with an edge, so that files stay small and filters matter."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    base = np.stack([np.sin(7 * x + 3 * y), np.cos(5 * y - 2 * x), np.sin(9 * x * y + 1)], -1) * 100 + 127
    base[(x - 0.4) ** 2 + (y - 0.5) ** 2 < 0.05] = (250, 20, 60)
    return np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8)


def pngs(rng):
    shape = (13, 11)
    for color, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            for interlaced in (False, True):
                samples = rng.integers(0, 2**depth, (*shape, CHANNELS[color]))
                palette = rng.integers(0, 256, (2 ** min(depth, 8), 3)) if color == 3 else None
                name = f"png_{color}_{depth}{'_interlaced' if interlaced else ''}"
                yield f"{name}.png", png(samples, color, depth, interlaced, palette)
    palette = rng.integers(0, 256, (256, 3))
    samples = rng.integers(0, 256, (*shape, 1))
    yield "png_palette_alpha.png", png(samples, 3, 8, False, palette, bytes(range(0, 256, 2)))
    yield "png_grey_key.png", png(samples % 5, 0, 8, False, None, b"\0\3")
    yield "png_rgb_key.png", png(np.repeat(samples % 5, 3, -1), 2, 8, True, None, b"\0\3\0\3\0\3")
    yield "png_one.png", png(rng.integers(0, 256, (1, 1, 3)), 2, 8)
    yield "png_row.png", png(rng.integers(0, 256, (1, 37, 3)), 2, 8, True)
    yield "png_column.png", png(rng.integers(0, 256, (37, 1, 3)), 2, 8)


def jpegs(rng):
    picture = Image.fromarray(scene(rng, 35, 43))
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, image, options in (
        ("rgb", picture, {"subsampling": 2}),
        ("rgb_444", picture, {"subsampling": 0, "quality": 95}),
        ("rgb_422", picture, {"subsampling": 1}),
        ("progressive", picture, {"progressive": True}),
        ("restarts", picture, {"restart_marker_blocks": 2}),
        ("orientation", picture, {"exif": turned}),
        ("grey", picture.convert("L"), {}),
        ("cmyk", picture.convert("CMYK"), {}),
        ("one", picture.crop((20, 20, 21, 21)), {}),
    ):
        file = io.BytesIO()
        image.save(file, "JPEG", **options)
        yield f"jpeg_{name}.jpg", file.getvalue()


def expected(name, data):
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I;16"):  # Pillow cuts at 255; the upper byte is what its other 16-bit files give
        return np.repeat((np.array(image) >> 8).astype(np.uint8)[..., None], 3, -1)
    return convert_to_rgb(image, return_numpy=True)


def pixels_of(processor, image):
    """Fuyu's processor fills up to `size`; of that the model sees whole patches (preprocess_with_tokenizer_info)."""
    made = processor(image, return_tensors="np")
    if not isinstance(processor, FuyuImageProcessorPil):
        return made["pixel_values"]
    pixels, patch = made["images"][0][0], processor.patch_size.height
    sides = made["image_unpadded_heights"][0][0], made["image_unpadded_widths"][0][0]
    height, width = (min(full, -(-side // patch) * patch) for full, side in zip(pixels.shape[1:], sides))
    return pixels[None, :, :height, :width]


def processed(rng, folder):
    sources = {"down": (90, 61), "up": (9, 14), "one": (1, 1), "wide": (3, 70), "tall": (80, 2), "same": (24, 24)}
    processors = {
        "clip": (CLIPImageProcessorPil, {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}),
        "clip_odd": (CLIPImageProcessorPil, {"size": 19, "crop_size": {"height": 23, "width": 18}, "resample": 2}),
        "clip_lanczos": (CLIPImageProcessorPil, {"size": {"height": 21, "width": 13}, "crop_size": 12, "resample": 1}),
        "clip_plain": (CLIPImageProcessorPil, {"do_resize": False, "crop_size": 17, "do_normalize": False}),
        "siglip": (SiglipImageProcessorPil, {"size": {"height": 24, "width": 24}}),
        "siglip_bilinear": (
            SiglipImageProcessorPil,
            {"size": {"height": 17, "width": 31}, "resample": 2, "do_rescale": False, "image_mean": [100, 120, 90.5]},
        ),
        "fuyu": (
            FuyuImageProcessorPil,
            {"size": {"height": 44, "width": 58}, "patch_size": {"height": 4, "width": 4}, "padding_value": 70.0},
        ),
    }
    for source, (height, width) in sources.items():
        picture = scene(rng, height, width)
        (folder / f"source_{source}.png").write_bytes(png(picture, 2, 8))
        for name, (kind, options) in processors.items():
            pixels = pixels_of(kind(**options), Image.fromarray(picture))
            np.save(folder / f"processed_{name}_{source}.npy", pixels.astype(np.float32))
    for name, (_, options) in processors.items():
        (folder / f"processor_{name}.json").write_text(json.dumps(options) + "\n")
    # The defaults make 224 x 224 and more: every seventh row and column is kept.
    picture = scene(rng, 300, 333)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=40)
    (folder / "source_large.jpg").write_bytes(file.getvalue())
    kinds = {"clip": CLIPImageProcessorPil, "siglip": SiglipImageProcessorPil, "fuyu": FuyuImageProcessorPil}
    for name, kind in kinds.items():
        pixels = pixels_of(kind(), Image.open(file))
        np.save(folder / f"sampled_{name}.npy", pixels[:, :, ::7, ::7].astype(np.float32))


def make(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for name, data in (*pngs(rng), *jpegs(rng)):
        (root / name).write_bytes(data)
        np.save(root / f"{name}.npy", expected(name, data))
    processed(rng, root)
