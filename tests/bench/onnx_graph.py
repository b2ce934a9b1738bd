"""A LLaMA in GGUF, every matrix Q4_0, as the ONNX graph that onnxruntime runs fastest: same numbers, no loss.

    python onnx_graph.py MODEL.gguf OUT_FOLDER

Writes `accuracy-0.onnx` (activations as they are), `accuracy-4.onnx` (activations may become int8), the weights of both
as `model.data`, and `expected.json`: a prompt of 256 tokens, and what onnxruntime's native CPU backend answers to it,
greedily, with the lead of each token's logit over the next best. Engines are compared with that.

The graph is the one that onnxruntime-genai's builder makes for int4 models: MatMulNBits (block 32, symmetric),
GatherBlockQuantized embeddings, (Skip)SimplifiedLayerNormalization, GroupQueryAttention with packed QKV, rotation fused
and past/present that may share a buffer. The head sees the last row only. Scales are f32: no f16 without shader-f16.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

BLOCK = 32
PROMPT = 256
TOKENS = 33
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


class Graph:
    """Nodes and initializers of one graph; weights go to one external file."""

    def __init__(self):
        self.nodes, self.weights, self.data = [], [], bytearray()

    def weight(self, name, array):
        """Adds `array` to the external file, where the same name may be asked for again."""
        kind = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}[str(array.dtype)]
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        self.data += b"\0" * (-len(self.data) % 64)
        raw = np.ascontiguousarray(array).tobytes()
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "model.data"), ("offset", len(self.data)), ("length", len(raw))):
            tensor.external_data.add(key=key, value=str(value))
        self.data += raw
        self.weights.append(tensor)
        return name

    def node(self, kind, inputs, outputs, domain="com.microsoft", **attributes):
        """Adds a node and gives its first output."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def linear(self, name, x, weights):
        """`x` times the matrices `weights`, one above the other."""
        packed, scales = (np.concatenate(parts) for parts in zip(*weights))
        rows, blocks, _ = packed.shape
        inputs = [x, self.weight(f"{name}.weight", packed), self.weight(f"{name}.scales", scales.reshape(-1))]
        sizes = {"N": rows, "K": blocks * BLOCK, "bits": 4, "block_size": BLOCK}
        return self.node("MatMulNBits", inputs, [name], accuracy_level=0, **sizes)


def q4_0(tensor):
    """Blocks with neighbours in one byte, low half first, and scales: Q4_0's d·(q − 8) is MatMulNBits' default."""
    blocks = np.asarray(tensor.data).reshape(-1, 18)
    columns, rows = (int(n) for n in tensor.shape)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    levels = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    packed = levels[:, 0::2] | levels[:, 1::2] << 4
    return packed.reshape(rows, columns // BLOCK, BLOCK // 2), scales.reshape(rows, columns // BLOCK)


def unpermuted(pair, heads):
    """Rows of Q or K in the order where halves of a head rotate together, as before llama.cpp's conversion."""
    def turn(array):
        return array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)

    return tuple(turn(array) for array in pair)


def rotation(context, size, base):
    """cos and sin of every position."""
    frequencies = base ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    angles = np.outer(np.arange(context), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def build(reader):
    """The graph of what `reader` holds, and its sizes."""
    tensors = {t.name: t for t in reader.tensors}
    field = lambda key: reader.fields[f"llama.{key}"].contents()
    hidden, heads, layers = field("embedding_length"), field("attention.head_count"), field("block_count")
    head, epsilon = hidden // heads, field("attention.layer_norm_rms_epsilon")
    g = Graph()
    norm = lambda name: g.weight(name, np.array(tensors[f"{name}.weight"].data, np.float32))
    matrix = lambda name: q4_0(tensors[f"{name}.weight"])
    cos, sin = (g.weight(n, a) for n, a in zip(("cos", "sin"), rotation(field("context_length"), head, 10000.0)))

    packed, scales = matrix("token_embd")
    table = [g.weight("table", packed.reshape(packed.shape[0], -1)), "input_ids", g.weight("table.scales", scales)]
    x = g.node("GatherBlockQuantized", table, ["embedded"], bits=4, block_size=BLOCK, gather_axis=0, quantize_axis=1)
    h = g.node("SimplifiedLayerNormalization", [x, norm("blk.0.attn_norm")], ["h0"], "", epsilon=epsilon, axis=-1)
    for i in range(layers):
        at = f"blk.{i}"
        q, k = (unpermuted(matrix(f"{at}.attn_{n}"), heads) for n in "qk")
        qkv = g.linear(f"{at}.qkv", h, [q, k, matrix(f"{at}.attn_v")])
        inputs = [qkv, "", "", f"past.{i}.key", f"past.{i}.value", "seqlens_k", "total_sequence_length", cos, sin]
        outputs = [f"{at}.attention", f"present.{i}.key", f"present.{i}.value"]
        g.node("GroupQueryAttention", inputs, outputs, num_heads=heads, kv_num_heads=heads, do_rotary=1)
        out = g.linear(f"{at}.out", outputs[0], [matrix(f"{at}.attn_output")])

        def skip(name, add, weight):
            skipped = [name, "", "", f"{name}.sum"]
            g.node("SkipSimplifiedLayerNormalization", [x, add, norm(weight)], skipped, epsilon=epsilon)
            return name, skipped[3]

        h, x = skip(f"{at}.h", out, f"{at}.ffn_norm")
        gate, up = (g.linear(f"{at}.{n}", h, [matrix(f"{at}.ffn_{n}")]) for n in ("gate", "up"))
        sigmoid = g.node("Sigmoid", [gate], [f"{at}.sigmoid"], "")
        silu = g.node("Mul", [gate, sigmoid], [f"{at}.silu"], "")
        product = g.node("Mul", [silu, up], [f"{at}.product"], "")
        down = g.linear(f"{at}.down", product, [matrix(f"{at}.ffn_down")])
        h, x = skip(f"{at}.next", down, f"blk.{i + 1}.attn_norm" if i + 1 < layers else "output_norm")
    last = g.node("Gather", [h, g.weight("last", np.array([-1], np.int64))], ["last_row"], "", axis=1)
    g.linear("logits", last, [matrix("output")])
    return g, {"layers": layers, "heads": heads, "head": head, "vocabulary": len(scales)}


def model(g, sizes, accuracy):
    """The graph as a file, with `accuracy` as the least that activations must keep."""
    for node in g.nodes:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = accuracy
    value = helper.make_tensor_value_info
    cache = lambda which, rows: [
        value(f"{which}.{i}.{n}", TensorProto.FLOAT, [1, sizes["heads"], rows, sizes["head"]])
        for i in range(sizes["layers"])
        for n in ("key", "value")
    ]
    inputs = [
        value("input_ids", TensorProto.INT64, [1, "rows"]),
        value("seqlens_k", TensorProto.INT32, [1]),
        value("total_sequence_length", TensorProto.INT32, []),
    ]
    outputs = [value("logits", TensorProto.FLOAT, [1, 1, sizes["vocabulary"]])]
    graph = helper.make_graph(g.nodes, "llama", inputs + cache("past", "past"), outputs + cache("present", "total"), g.weights)
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=10)


def answer(path, sizes, prompt):
    """Greedy tokens of the native CPU backend, and each one's lead over the next best."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [f"{i}.{n}" for i in range(sizes["layers"]) for n in ("key", "value")]
    cache = [np.zeros((1, sizes["heads"], 0, sizes["head"]), np.float32) for _ in names]
    ids, leads, next_ids, total = [], [], prompt, 0
    while len(ids) < TOKENS:
        total += len(next_ids)
        feeds = {"input_ids": np.array([next_ids], np.int64), "seqlens_k": np.array([total - 1], np.int32)}
        feeds |= {"total_sequence_length": np.array(total, np.int32)}
        feeds |= {f"past.{name}": array for name, array in zip(names, cache)}
        logits, *cache = session.run(None, feeds)
        row = logits[0, 0]
        second, first = np.argsort(row)[-2:]
        ids.append(int(first))
        leads.append(float(row[first] - row[second]))
        next_ids = [int(first)]
    return ids, leads


def main(source, out):
    """See above."""
    out.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(source)
    g, sizes = build(reader)
    (out / "model.data").write_bytes(g.data)
    for accuracy in (0, 4):
        onnx.save(model(g, sizes, accuracy), out / f"accuracy-{accuracy}.onnx")
    # Letters with spaces between them are a token each; with the mark of the beginning they are as many as wanted.
    question = " ".join(LETTERS[i % len(LETTERS)] for i in range(PROMPT - 1))
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    prompt = [1] + [tokens.index("▁" + letter) for letter in question.split()]
    ids, leads = answer(out / "accuracy-0.onnx", sizes, prompt)
    expected = {**sizes, "question": question, "prompt": prompt, "ids": ids, "leads": leads}
    (out / "expected.json").write_text(json.dumps(expected))
    print(f"{out}: {len(g.data)} bytes of weights; smallest lead {min(leads):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
