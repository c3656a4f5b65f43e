"""Writes tests/tables/token_plan.txt, or with --check compares: what the families' own picture processors make of many
sizes.

A line: family, overrides ("-" for none), height, width, tokens, context tokens, tiles, tile rows, tile columns,
thumbnail (0 or 1), grid rows, grid columns, thumbnail rows, thumbnail columns.  -1 where the reference does not say.
"""

import argparse
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from transformers.image_utils import SizeDict
from transformers.models.aria.image_processing_pil_aria import AriaImageProcessorPil
from transformers.models.aria.processing_aria import AriaProcessor
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.fuyu.processing_fuyu import FuyuProcessor
from transformers.models.got_ocr2 import image_processing_pil_got_ocr2 as got_ocr2
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics2 import image_processing_pil_idefics2 as idefics2
from transformers.models.kosmos2_5.image_processing_pil_kosmos2_5 import Kosmos2_5ImageProcessorPil
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.mllama import image_processing_pil_mllama as mllama
from transformers.models.pixtral import image_processing_pil_pixtral as pixtral
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl as qwen2_vl
from transformers.models.siglip2 import image_processing_pil_siglip2 as siglip2
from transformers.utils import logging

TABLE = Path(__file__).parent.parent / "tables" / "token_plan.txt"
FIXED = (
    (1, 1), (1, 2), (2, 1), (7, 3), (13, 999), (999, 13), (100, 50), (224, 224), (336, 336), (336, 672), (337, 337),
    (378, 378), (384, 384), (448, 448), (449, 448), (480, 640), (640, 480), (560, 560), (561, 560), (560, 1120),
    (672, 672), (980, 980), (981, 979), (1000, 1000), (1000, 3000), (3000, 1000), (1080, 1920), (1081, 1921),
    (1920, 1080), (2000, 700), (2000, 2000), (300, 900), (4000, 3000), (8000, 6000), (1120, 1120), (1680, 560),
    (799, 376), (704, 1496), (617, 1851), (1809, 804), (783, 783), (785, 1567),
)


def sizes(count: int):
    chosen = random.Random(5)
    yield from FIXED
    for _ in range(count):
        top = chosen.choice((40, 400, 1200, 4000))
        yield chosen.randint(1, top), chosen.randint(1, top)


def processor(cls, **attributes):
    """An object of the class with these attributes alone: no tokenizer is needed for counting."""
    made = object.__new__(cls)
    for name, value in attributes.items():
        setattr(made, name, value)
    made._merge_kwargs = lambda **kwargs: {"images_kwargs": kwargs}
    return made


def counted(made, height, width, **kwargs):
    return made._get_num_multimodal_tokens(image_sizes=[(height, width)], **kwargs)["num_image_tokens"][0]


def llava(height, width):
    made = processor(LlavaProcessor, patch_size=14, num_additional_image_tokens=1,
                     vision_feature_select_strategy="default",
                     image_processor=SimpleNamespace(crop_size={"height": 336, "width": 336}))
    n = counted(made, height, width)
    return n, n, 1, 1, 1, 0, 24, 24, 0, 0


def anyres(made, side, patch, tokens, height, width):
    best = llava_next_best(made.image_processor.image_grid_pinpoints, height, width)
    rows, columns = best[0] // side, best[1] // side
    return tokens, tokens, 1 + rows * columns, rows, columns, 1, *([side // patch] * 4)


def llava_next_best(pinpoints, height, width):
    from transformers.image_processing_utils import select_best_resolution

    return select_best_resolution((height, width), pinpoints)


def llava_next(strategy="default"):
    def row(height, width):
        made = processor(LlavaNextProcessor, patch_size=14, num_additional_image_tokens=1,
                         vision_feature_select_strategy=strategy,
                         image_processor=LlavaNextImageProcessorPil(size={"shortest_edge": 336}))
        return anyres(made, 336, 14, counted(made, height, width), height, width)

    return row


def onevision(limit):
    def row(height, width):
        made = processor(LlavaOnevisionProcessor, num_image_tokens=729, vision_feature_select_strategy="full",
                         vision_aspect_ratio=f"anyres_max_{limit}", image_processor=LlavaOnevisionImageProcessorPil())
        return anyres(made, 384, 14, counted(made, height, width), height, width)

    return row


def mllama_row(most):
    def row(height, width):
        canvas = mllama.get_optimal_tiled_canvas(height, width, most, 560)
        rows, columns = int(canvas[0]) // 560, int(canvas[1]) // 560
        return rows * columns * 1601, 1, rows * columns, rows, columns, 0, 40, 40, 0, 0

    return row


def aria(side, split):
    def row(height, width):
        made = processor(AriaProcessor, size_conversion={490: 128, 980: 256},
                         image_processor=AriaImageProcessorPil(max_image_size=side, split_image=split))
        n = counted(made, height, width)
        tiles = made.image_processor.get_number_of_image_patches(height, width, {})
        return n, n, tiles, -1, -1, 0, side // 14, side // 14, 0, 0

    return row


def minicpmv(most, resolution=448):
    """The published 2.6 slices as 4.6 does; its sides are multiples of one patch, those of 4.6 ("4x") of two: patches
    of half the size are the same rule."""
    made = MiniCPMV4_6ImageProcessorPil()

    def fit(size, up):
        height, width = made.find_best_resize(size, resolution, 7, "4x", allow_upscale=up)
        return height // 14, width // 14

    def row(height, width):
        grid = made.get_sliced_grid((height, width), most, resolution)
        if grid is None:
            return 64, 64, 1, 1, 1, 0, *fit((height, width), True), 0, 0
        refined = made.get_refine_size((height, width), grid, resolution, 7, "4x", allow_upscale=True)
        n = 64 * (1 + grid[0] * grid[1])
        patches = refined[0] // grid[0] // 14, refined[1] // grid[1] // 14
        return n, n, 1 + grid[0] * grid[1], *grid, 1, *patches, *fit((height, width), False)

    return row


def idefics2_row(split):
    made = idefics2.Idefics2ImageProcessorPil()

    def patches(shape):
        size = idefics2.get_resize_output_image_size(np.broadcast_to(np.uint8(0), (3, *shape)), made.size)
        return size[0] // 14, size[1] // 14

    def row(height, width):
        if not split:
            return 64, 64, 1, 1, 1, 0, *patches((height, width)), 0, 0
        parts = made.split_images(np.broadcast_to(np.uint8(0), (3, height, width)))
        return 320, 320, len(parts), 2, 2, 1, *patches(parts[3].shape[1:]), *patches((height, width))

    return row


def fuyu(height, width):
    made = processor(FuyuProcessor, image_processor=FuyuImageProcessorPil())
    return -1, counted(made, height, width), 1, 1, 1, 0, -1, -1, 0, 0


def pixtral_row(height, width):
    """PixtralProcessor wants torchvision; its rule beyond the size is a break or end id for each row."""
    side = pixtral.PixtralImageProcessorPil().size["longest_edge"]
    shape = pixtral.get_resize_output_image_size(np.broadcast_to(np.uint8(0), (height, width, 3)), (side, side),
                                                 (16, 16))
    rows, columns = shape[0] // 16, shape[1] // 16
    return rows * columns, rows * (columns + 1), 1, 1, 1, 0, rows, columns, 0, 0


def kosmos2_5(height, width):
    made = Kosmos2_5ImageProcessorPil()
    picture = np.zeros((1, height, width), np.float32)
    _, _, _, rows, columns = made.extract_flattened_patches(picture, 4096, SizeDict(height=16, width=16))
    return 2048, 2048, 1, 1, 1, 0, rows, columns, 0, 0


def siglip2_row(most):
    def row(height, width):
        shape = siglip2.get_image_size_for_max_num_patches(height, width, 16, most)
        return 1, 0, 1, 1, 1, 0, shape[0] // 16, shape[1] // 16, 0, 0

    return row


def internvl(least, most):
    made = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448}, crop_to_patches=True, min_patches=least,
                                    max_patches=most)

    def row(height, width):
        columns, rows = got_ocr2.get_optimal_tiled_canvas((height, width), (448, 448), least, most)
        tiles = made.get_number_of_image_patches(height, width)
        thumbnail = int(tiles > 1)
        side = 32 * thumbnail
        return 256 * tiles, 256 * tiles, tiles, rows, columns, thumbnail, 32, 32, side, side

    return row


def qwen2(**size):
    made = qwen2_vl.Qwen2VLImageProcessorPil(**size)

    def row(height, width):
        patches = made.get_number_of_image_patches(height, width)
        shape = qwen2_vl.smart_resize(height, width, 28, made.size["shortest_edge"], made.size["longest_edge"])
        return patches // 4, patches // 4, 1, 1, 1, 0, shape[0] // 14, shape[1] // 14, 0, 0

    return row


PARTS = (
    ("internvl", "-", internvl(1, 12), 1, False),
    ("internvl_chat", "min_patches=2;max_patches=6", internvl(2, 6), 3, False),
    ("qwen2_vl", "-", qwen2(), 1, False),
    ("qwen2_5_vl", "min_pixels=100352;max_pixels=401408", qwen2(min_pixels=100352, max_pixels=401408), 2, False),
    ("llava", "-", llava, 4, False),
    ("llava_next", "-", llava_next(), 1, False),
    ("llava_next", "vision_feature_select_strategy=full", llava_next("full"), 8, False),
    ("llava_onevision", "-", onevision(9), 1, False),
    ("llava_onevision", "vision_aspect_ratio=anyres_max_4", onevision(4), 4, False),
    ("mllama", "-", mllama_row(4), 1, False),
    ("mllama", "max_image_tiles=9", mllama_row(9), 4, False),
    ("aria", "-", aria(980, False), 16, False),
    ("aria", "split_image=true", aria(980, True), 2, False),
    ("aria", "split_image=true;max_image_size=490", aria(490, True), 2, False),
    ("minicpmv", "-", minicpmv(9), 1, False),
    ("minicpmv", "max_slice_nums=4;scale_resolution=336", minicpmv(4, 336), 4, False),
    ("idefics2", "-", idefics2_row(False), 2, False),
    ("idefics2", "do_image_splitting=true", idefics2_row(True), 1, True),
    ("fuyu", "-", fuyu, 3, True),
    ("llava", "vision_config.model_type=pixtral", pixtral_row, 2, True),
    ("kosmos-2.5", "-", kosmos2_5, 3, False),
    ("siglip2", "-", siglip2_row(256), 2, False),
    ("siglip2", "max_num_patches=1024", siglip2_row(1024), 4, False),
)


def lines(count: int):
    """Every `step`-th size; pictures below 30 pixels are left out where `plain`: the reference refuses or empties
    them."""
    for family, sets, row, step, plain in PARTS:
        for i, (height, width) in enumerate(sizes(count)):
            narrow = max(height, width) > 200 * min(height, width)  # Qwen refuses
            if i % step == 0 and not (plain and min(height, width) < 30) and not (family[0] == "q" and narrow):
                yield " ".join(str(int(v)) if not isinstance(v, str) else v
                               for v in (family, sets, height, width, *row(height, width)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--count", type=int, default=120, help="random sizes beside the fixed ones")
    parser.add_argument("--output", type=Path, default=TABLE)
    options = parser.parse_args()

    logging.set_verbosity_error()
    text = "\n".join(lines(options.count)) + "\n"
    if options.check:
        same = options.output.read_text() == text
        print("equal" if same else f"{options.output} differs from what was made")
        return 0 if same else 1
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
