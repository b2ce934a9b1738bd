"""Blocks of every encoding that the engine reads, and what the Python package `gguf` makes of them.

Usage: python gguf_types.py [OUT]        (default: gguf_types.safetensors in this folder)
Needs: gguf 0.19.0, numpy, safetensors.

Per encoding E: `E.bytes`, random blocks of [3, 512] values, and `E.values`, dequantised. The f16 scales are ordinary
numbers of both signs, the largest, the smallest subnormal, and both zeros; all other bits are random (in the float
encodings, values are finite).
"""
import os, sys
import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf.quants import dequantize
from safetensors.numpy import save_file

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf_types.safetensors")
VALUES = 3 * 512
EXTREMES = np.array([0x7BFF, 0xFBFF, 0x0001, 0x8001, 0x0000, 0x8000], np.uint16)  # ±65504, ±6e-8, ±0
# Bytes and values of a block, and where its f16 scales are.
BLOCKS = {"Q4_0": (18, 32, [0]), "Q4_1": (20, 32, [0, 2]), "Q5_0": (22, 32, [0]), "Q5_1": (24, 32, [0, 2]),
          "Q8_0": (34, 32, [0]), "Q4_K": (144, 256, [0, 2]), "Q5_K": (176, 256, [0, 2]), "Q6_K": (210, 256, [208])}
rng = np.random.default_rng(20261123)


def scales(count):
    """Half of them extreme: each extreme at least once, where there is room."""
    half = (rng.standard_normal(count) * 0.05).astype(np.float16).view(np.uint16)
    half[::2] = np.resize(rng.permutation(EXTREMES), len(half[::2]))
    return half


out = {}
for name, (size, values, at) in BLOCKS.items():
    blocks = rng.integers(0, 256, (VALUES // values, size), np.uint8)
    for offset in at:
        blocks[:, offset : offset + 2] = scales(len(blocks)).view(np.uint8).reshape(-1, 2)
    out[name] = blocks.reshape(-1), dequantize(blocks, Q[name]).reshape(-1)
floats = (rng.standard_normal(VALUES) * np.exp2(rng.integers(-30, 16, VALUES))).astype(np.float32)
out["F32"] = floats.view(np.uint8), floats
half = floats.clip(-65504, 65504).astype(np.float16)
out["F16"] = half.view(np.uint8), dequantize(half.view(np.uint8), Q.F16).reshape(-1)
bf16 = floats.view(np.uint16)[1::2].copy()
out["BF16"] = bf16.view(np.uint8), dequantize(bf16.view(np.uint8), Q.BF16).reshape(-1)
tensors = {}
for name, (blocks, values) in out.items():
    assert values.dtype == np.float32 and values.shape == (VALUES,) and np.isfinite(values).all(), name
    tensors[f"{name}.bytes"], tensors[f"{name}.values"] = blocks, values
save_file(tensors, OUT)
print(OUT, os.path.getsize(OUT))
