"""Golden data: the squares that transformers' image processors make of pictures.

Usage: python generate_tiles.py [OUT]        (default: this folder; writes tiles.json, a minute)
Needs: transformers 5.23.0, pillow 13.0.0, numpy 2.4.6.

The pictures are a formula of integers, which tests/native/tiles.rs computes as well, and tall.png and wide.png of this folder.
  processors  preprocessor_config.json of each, as the processor itself saves it
  cases       processor, picture, number of squares, rows and columns, SHA-256 of the 8-bit values [tiles, S, S, 3]
              before normalisation, and the normalised values at 7 places of [tiles, 3, S, S]
  grids       rows and columns by size of the picture alone: processor → [width, height, rows, columns] …
"""
import hashlib, json, os, sys
import numpy as np, PIL, transformers
from PIL import Image
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import select_best_resolution
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else HERE
SIZES = [(1, 1), (5, 3), (1, 40), (40, 1), (33, 32), (64, 63), (301, 97), (97, 301), (640, 480), (480, 640), (700, 700)]
SHAPES = [(4000, 3000), (6000, 4000), (1920, 1080), (3000, 4000), (1080, 1920), (1000, 1000), (640, 480), (100, 100),
          (2048, 2048), (2048, 1), (1, 2048), (1536, 1), (1, 1536), (16384, 1), (1, 16384), (16384, 3000), (49, 1), (1, 49), (8192, 6103),
          (4096, 4095), (4095, 4096), (2047, 1025), (1023, 513), (513, 1023), (2, 1), (3, 2), (1365, 1024), (1366, 1024)]


def grid(kind, side, longest, **more):
    return kind(size={"longest_edge": longest}, max_image_size={"longest_edge": side}, **more)


def anyres(side, shapes):
    pinpoints = [[side * h, side * w] for h, w in shapes]
    square = {"height": side, "width": side}
    return LlavaNextImageProcessorPil(size={"shortest_edge": side}, crop_size=square, image_grid_pinpoints=pinpoints)


NEXT = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
SMALL = {
    "grid 32 128": grid(SmolVLMImageProcessorPil, 32, 128),
    "grid 32 64": grid(Idefics3ImageProcessorPil, 32, 64),
    "grid 32 32": grid(Idefics3ImageProcessorPil, 32, 32),
    "grid 27 81": grid(Idefics3ImageProcessorPil, 27, 81),
    "grid 31 100": grid(Idefics3ImageProcessorPil, 31, 100),
    "whole 32 128": grid(Idefics3ImageProcessorPil, 32, 128, do_image_splitting=False),
    "siglip 32": SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    "siglip 27": SiglipImageProcessorPil(size={"height": 27, "width": 27}),
    "next 28": anyres(28, NEXT),
    "onevision 27": anyres(27, [(h, w) for h in range(1, 7) for w in range(1, 7)]),
}
LARGE = {
    "grid 512 2048": grid(SmolVLMImageProcessorPil, 512, 2048),
    "grid 512 1024": grid(SmolVLMImageProcessorPil, 512, 1024),
    "grid 512 512": grid(SmolVLMImageProcessorPil, 512, 512),
    "grid 384 1536": grid(SmolVLMImageProcessorPil, 384, 1536),
    "siglip 384": SiglipImageProcessorPil(size={"height": 384, "width": 384}),
    "next 336": anyres(336, NEXT),
}


def picture(width, height):
    """Coarse blocks, gradients and grain, per channel; integers below 2^31 only."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    grain = (x * 73 + y * 151 + c * 199) * 37 % 61
    block = ((x // 7 + y // 5 + c) % 3) * 90
    ramp = (x * (2 + c) + y * 3) % 97
    return Image.fromarray(np.minimum(block + ramp // 2 + grain, 255).astype(np.uint8), "RGB")


def rows_and_columns(processor, width, height):
    if isinstance(processor, LlavaNextImageProcessorPil):
        side = processor.crop_size["height"]
        best = select_best_resolution((height, width), processor.image_grid_pinpoints)
        return [best[0] // side, best[1] // side]
    return [0, 0]


def case(name, processor, what, image):
    more = {"return_row_col_info": True} if "max_image_size" in processor.to_dict() else {}
    out = processor([image], return_tensors="np", **more)
    values = out["pixel_values"].reshape(-1, *out["pixel_values"].shape[-3:])
    grid = [int(out["rows"][0][0]), int(out["cols"][0][0])] if more else rows_and_columns(processor, *image.size)
    mean, std = (np.array(v, np.float64).reshape(3, 1, 1) for v in (processor.image_mean, processor.image_std))
    levels = (values.astype(np.float64) * std + mean) * 255
    exact = np.rint(levels)
    assert np.abs(levels - exact).max() < 1e-3 and 0 <= exact.min() and exact.max() <= 255
    exact = exact.astype(np.uint8).transpose(0, 2, 3, 1)
    flat = values.reshape(-1)
    places = [int(i) for i in np.linspace(0, flat.size - 1, 7)]
    return {"processor": name, "picture": what, "tiles": len(values), "grid": grid,
            "sha256": hashlib.sha256(exact.tobytes()).hexdigest(), "values": [[i, float(flat[i])] for i in places]}


def cases():
    files = [(name, Image.open(os.path.join(HERE, name)).convert("RGB")) for name in ("tall.png", "wide.png")]
    for name, processor in SMALL.items():
        for size in SIZES:
            yield case(name, processor, list(size), picture(*size))
        for what, image in files:
            yield case(name, processor, what, image)
    for name, processor in LARGE.items():
        for size in [(640, 480), (300, 400)]:
            yield case(name, processor, list(size), picture(*size))


def grids():
    """Rows and columns of the processors' own code, with a resize that only gives shapes."""
    random = np.random.Generator(np.random.Philox(20261126))
    shapes = SHAPES + [tuple(int(n) for n in np.exp2(random.uniform(0, 14, 2))) for _ in range(120)]
    resize = PilBackend.resize
    PilBackend.resize = lambda self, image, size, **_: np.broadcast_to(np.uint8(0), (3, size.height, size.width))
    quick = dict(do_rescale=False, do_normalize=False, do_pad=False, return_row_col_info=True)
    for name, processor in {**SMALL, **LARGE}.items():
        found = []
        for width, height in shapes:
            if "max_image_size" in processor.to_dict():
                image = np.broadcast_to(np.uint8(0), (3, height, width))
                out = processor([image], input_data_format="channels_first", do_convert_rgb=False, **quick)
                sides = [int(out["rows"][0][0]), int(out["cols"][0][0])]
            else:
                sides = rows_and_columns(processor, width, height)
            found.append([width, height, *sides])
        yield name, found
    PilBackend.resize = resize


def main():
    processors = {name: json.loads(p.to_json_string()) for name, p in {**SMALL, **LARGE}.items()}
    versions = {"transformers": transformers.__version__, "pillow": PIL.__version__, "numpy": np.__version__}
    lines = lambda items: ",\n".join(json.dumps(i, separators=(",", ":")) for i in items)
    named = lambda items: ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in items)
    with open(os.path.join(OUT, "tiles.json"), "w") as out:
        out.write(f'{{"versions":{json.dumps(versions)},\n"processors":{{\n{named(processors.items())}\n}},\n')
        out.write(f'"cases":[\n{lines(cases())}\n],\n"grids":{{\n{named(grids())}\n}}}}\n')


main()
