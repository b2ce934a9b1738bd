"""GGUF pairs of tiny LLaVAs, and what PyTorch computes with the values that are in them.

Usage: python generate_gguf.py [OUT] [--all]        (default: the folder gguf beside this file)
Needs: gguf 0.19.0, and what generate.py needs.

  q4_0    the checkpoint `mha`, every matrix of the language model Q4_0 (exact: its values are), mmproj f16
  legacy  the same, with every older type somewhere (Q4_1, Q5_0, Q5_1, Q8_0, BF16, F16, F32), and an mmproj as the first
          converters wrote it: no architecture, ffn_up and ffn_down swapped, the tower's last block and norm still there
  k       width 256, grouped queries, a SentencePiece vocabulary without `<image>`; random blocks of Q4_K, Q5_K and Q6_K (the
          package cannot quantise to them), mmproj Q8_0
  --all   the checkpoint `mha` in every single type besides, not kept in the repository

Values are taken back out of the files' own bytes by the package's dequantisation, so the answers are those of the files.
NAME.json has the files' names and per case: prompt, images, ids (with one `<image>` per picture, no beginning), the eight best
logits after the prompt, the greedy tokens, and their margins (distance between the two best logits).
"""
import json, os, sys, zlib
import numpy as np, torch
from gguf import GGMLQuantizationType as T, GGUFReader, GGUFWriter, quants
from safetensors.numpy import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.tokenization_utils_base import generate_merges
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
SEED, STEPS = 20261124, 24
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CASES = {"one": ("USER: <image>\nwhat is in the picture? ASSISTANT:", ["wide"]),
         "text": ("USER: how many stars are there? ASSISTANT:", [])}
BLOCK = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
TOWER = [("multi_modal_projector.linear_1", "mm.0"), ("multi_modal_projector.linear_2", "mm.2"), ("vision_tower.vision_model.", "v."),
         ("embeddings.class_embedding", "class_embd"), ("embeddings.patch_embedding", "patch_embd"),
         ("embeddings.position_embedding", "position_embd"), ("pre_layrnorm", "pre_ln"), ("post_layernorm", "post_ln"),
         ("encoder.layers", "blk"), ("layer_norm", "ln"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
         ("self_attn.v_proj", "attn_v"), ("self_attn.out_proj", "attn_out"), ("mlp.fc1", "ffn_up"), ("mlp.fc2", "ffn_down")]
torch.set_grad_enabled(False)


def theirs(name):
    """Hugging Face's name -> llama.cpp's."""
    if not name.startswith("language_model."):
        for ours, other in TOWER:
            name = name.replace(ours, other)
        return name
    name = name.removeprefix("language_model.").removeprefix("model.")
    whole = {"lm_head.weight": "output.weight", "embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, block, part = name.removesuffix(".weight").split(".", 2)
    return f"blk.{block}.{BLOCK[part]}.weight"


def permute(w, heads):
    """Rows of each head for rotation of neighbours; `unpermute` takes it back."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def rng(name):
    return np.random.Generator(np.random.Philox(key=[SEED, zlib.crc32(name.encode())]))


def k_blocks(name, rows, cols, kind, std):
    """Random blocks of a K type whose values have about this standard deviation and no large mean."""
    g, n = rng(name), rows * cols // 256
    f16 = lambda x: np.asarray(x, np.float16).reshape(n, 1).view(np.uint8)
    vary = 2.0 ** g.uniform(-0.5, 0.5, n)
    bytes_ = lambda count: g.integers(0, 256, (n, count), dtype=np.uint8)
    if kind == T.Q6_K:
        sc = (g.integers(16, 128, (n, 16)) * g.choice([-1, 1], (n, 16))).astype(np.int8).view(np.uint8)
        return np.concatenate([bytes_(128), bytes_(64), sc, f16(std / 18.5 / 79 * vary)], 1).reshape(rows, -1)
    middle, spread = (7.5, 4.6) if kind == T.Q4_K else (15.5, 9.2)
    sc = g.integers(8, 64, (n, 8))
    m = np.clip(sc + g.integers(-3, 4, (n, 8)), 0, 63)
    packed = np.zeros((n, 12), np.uint8)
    packed[:, 0:4] = sc[:, :4] | (sc[:, 4:] >> 4) << 6
    packed[:, 4:8] = m[:, :4] | (m[:, 4:] >> 4) << 6
    packed[:, 8:12] = (sc[:, 4:] & 15) | (m[:, 4:] & 15) << 4
    d = std / spread / 36 * vary
    quants_ = [bytes_(128)] if kind == T.Q4_K else [bytes_(32), bytes_(128)]
    return np.concatenate([f16(d), f16(d * middle), packed, *quants_], 1).reshape(rows, -1)


def tower_metadata(w, vision, blocks):
    w.add_bool("clip.has_text_encoder", False); w.add_bool("clip.has_vision_encoder", True); w.add_bool("clip.has_llava_projector", True)
    w.add_bool("clip.use_gelu", False)
    for key, value in {"image_size": vision.image_size, "patch_size": 14, "embedding_length": vision.hidden_size, "block_count": blocks,
                       "feed_forward_length": vision.intermediate_size, "attention.head_count": vision.num_attention_heads}.items():
        w.add_uint32(f"clip.vision.{key}", value)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", vision.layer_norm_eps)
    w.add_array("clip.vision.image_mean", MEAN); w.add_array("clip.vision.image_std", STD)


def language_metadata(w, text, name):
    w.add_name(name); w.add_context_length(text.max_position_embeddings); w.add_embedding_length(text.hidden_size)
    w.add_block_count(text.num_hidden_layers); w.add_feed_forward_length(text.intermediate_size)
    w.add_rope_dimension_count(text.hidden_size // text.num_attention_heads); w.add_head_count(text.num_attention_heads)
    w.add_head_count_kv(text.num_key_value_heads); w.add_layer_norm_rms_eps(text.rms_norm_eps)
    w.add_rope_freq_base(text.rope_parameters["rope_theta"]); w.add_bos_token_id(1); w.add_eos_token_id(2)


def finish(w):
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def byte_level(w):
    """The vocabulary of `mha`."""
    file = f"{HERE}/mha/tokenizer.json"
    t = json.load(open(file, encoding="utf-8"))["model"]
    tokens = sorted(t["vocab"], key=t["vocab"].get)
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("gpt-2"); w.add_token_list(tokens)
    w.add_token_types([3 if i < 4 else 1 for i in range(len(tokens))]); w.add_token_merges([" ".join(m) for m in t["merges"]])
    return Tokenizer.from_file(file), 3


PIECES = ["▁", *"etaoinshrdlucmfwypvbgkjqxzUSERAINT:?.,'!<>/", "▁▁", "▁▁▁▁", "th", "he", "the", "▁the", "in", "▁in", "an", "▁a", "re", "▁w",
          "at", "▁wh", "what", "▁what", "US", "ER", "USER", "▁USER", "▁is", "is", "ct", "ure", "ar", "st", "▁st", "ow", "ho", "how", "▁how"]


def sentence_piece(w):
    """A vocabulary of our own, its scores not in the order of its ids; the picture's token is none of it."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + PIECES
    g = rng("scores")
    scores = [0.0] * 259 + [-1e9 if p.strip("▁") == "" and len(p) > 1 else round(-float(g.uniform(1, 40)) / len(p), 3) for p in PIECES]
    scores = [float(np.float32(s)) for s in scores]
    w.add_tokenizer_model("llama"); w.add_token_list(tokens); w.add_token_scores(scores)
    w.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(PIECES)); w.add_unk_token_id(0)
    vocab = {t: i for i, t in enumerate(tokens)}
    t = Tokenizer(models.BPE(vocab=vocab, merges=generate_merges(vocab, dict(zip(tokens, scores))), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in ("<unk>", "<s>", "</s>", "<image>")])
    return t, len(tokens)


def read_back(path, config):
    """A file's tensors as Hugging Face has them: f32, rows in its order, by llama.cpp's names."""
    out, text = {}, config.text_config
    for t in GGUFReader(path).tensors:
        w = quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])
        heads = {"attn_q.weight": text.num_attention_heads, "attn_k.weight": text.num_key_value_heads}.get(t.name.split(".", 2)[-1])
        out[t.name] = unpermute(w, heads) if heads and t.name.startswith("blk.") else w
    return out


def answers(config, tensors, tokenizer, image_id):
    """Greedy tokens; everything is computed from `tensors`. Pictures are put in place here: their id may have no embedding."""
    model = LlavaForConditionalGeneration(config).eval()
    state = {}
    for name in model.state_dict():
        hub = name.removeprefix("model.")
        hub = hub.replace("language_model.", "language_model.model.", 1) if hub.startswith("language_model.") else hub
        hub = "language_model." + hub if hub.startswith("lm_head") else hub
        hub = hub.replace("vision_tower.", "vision_tower.vision_model.", 1) if hub.startswith("vision_tower.") and "vision_model" not in hub else hub
        if theirs(hub) in tensors:
            state[name] = torch.from_numpy(tensors[theirs(hub)].copy())
    result = model.load_state_dict(state, strict=False)
    unused = [k for k in result.missing_keys if "position_ids" not in k and "post_layernorm" not in k and f"layers.{config.vision_config.num_hidden_layers - 1}." not in k]
    assert not unused and not result.unexpected_keys, (unused, result)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 42}, crop_size={"height": 42, "width": 42}, image_mean=MEAN, image_std=STD)
    out = {}
    for case, (prompt, images) in CASES.items():
        rows = []
        for name in images:
            image = Image.open(f"{HERE}/{name}.png").convert("RGB")
            side = max(image.size)
            square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in MEAN))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            pixels = torch.from_numpy(np.asarray(processor(images=square, return_tensors="np")["pixel_values"], np.float32))
            hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
            rows.append(model.model.multi_modal_projector(hidden)[0])
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        table, pieces = model.get_input_embeddings(), [model.get_input_embeddings()(torch.tensor([1]))]
        for i in ids:
            pieces.append(rows.pop(0) if i == image_id else table(torch.tensor([i])))
        current, past, greedy, margins = torch.cat(pieces)[None], None, [], []
        for _ in range(STEPS):
            o = model.model.language_model(inputs_embeds=current, past_key_values=past, use_cache=True)
            past = o.past_key_values
            best, token = model.lm_head(o.last_hidden_state[0, -1]).topk(8)
            if not greedy:
                top = [[int(i), round(float(x), 5)] for i, x in zip(token, best)]
            greedy.append(int(token[0])); margins.append(round(float(best[0] - best[1]), 5))
            current = table(token[:1])[None]
        out[case] = dict(prompt=prompt, images=images, ids=ids, top=top, greedy=greedy, margin=margins)
        print(case, len(ids), "ids, smallest margin", min(margins), "distinct", len(set(greedy)))
    return out


def record(out, name, config, tokenizer, image_id, **more):
    files = dict(language=f"{name}.gguf", vision=f"{name}-mmproj.gguf")
    tensors = {k: v for file in files.values() for k, v in read_back(f"{out}/{file}", config).items()}
    if more.pop("swapped", False):
        for key in [k for k in tensors if k.startswith("v.") and "ffn_up" in k]:
            down = key.replace("ffn_up", "ffn_down")
            tensors[key], tensors[down] = tensors[down], tensors[key]
    cases = answers(config, tensors, tokenizer, image_id)
    with open(f"{out}/{name}.json", "w") as f:
        json.dump(dict(files=files, torch=torch.__version__, gguf="0.19.0", **more, cases=cases), f, indent=1)


def mha(out, name, kind_of, early=False):
    """The golden checkpoint, each matrix of its language model in the type that `kind_of` gives it."""
    config, state = LlavaConfig.from_pretrained(f"{HERE}/mha"), load_file(f"{HERE}/mha/model.safetensors")
    language, vision = GGUFWriter(f"{out}/{name}.gguf", "llama"), GGUFWriter(f"{out}/{name}-mmproj.gguf", "clip")
    language_metadata(language, config.text_config, f"golden mha, {name}")
    tokenizer, image_id = byte_level(language)
    tower_metadata(vision, config.vision_config, 3 if early else 2)
    if early:
        vision.kv_data[0].pop("general.architecture")
    else:
        vision.add_string("clip.projector_type", "mlp")
    for key, value in state.items():
        value, their = value.astype(np.float32), theirs(key)
        if not key.startswith("language_model."):
            if not early and ("post_ln" in their or ".blk.2." in their):
                continue
            if early:
                their = their.replace("ffn_up", "-").replace("ffn_down", "ffn_up").replace("-", "ffn_down")
            half = value.ndim == 4 or value.ndim == 2 and their.endswith(".weight")
            vision.add_tensor(their, value.astype(np.float16 if half else np.float32))
            continue
        if "attn_q" in their or "attn_k" in their:
            value = permute(value, config.text_config.num_attention_heads)
        kind = kind_of(their) if value.ndim == 2 else T.F32
        if kind in (T.F32, T.F16):
            language.add_tensor(their, value.astype({T.F32: np.float32, T.F16: np.float16}[kind]))
        else:
            language.add_tensor(their, quants.quantize(value, kind), raw_dtype=kind)
    finish(language); finish(vision)
    record(out, name, config, tokenizer, image_id, swapped=early)


def legacy(name):
    """Every older type somewhere."""
    if name == "token_embd.weight":
        return T.Q5_1
    if name == "output.weight":
        return T.Q8_0
    return {"attn_q": T.Q4_1, "attn_k": T.Q5_0, "attn_v": T.Q5_1, "attn_output": T.BF16, "ffn_gate": T.F16, "ffn_up": T.Q8_0,
            "ffn_down": T.Q4_1 if ".0." in name else T.F32}[name.split(".")[2]]


def k_mix(out, name="k"):
    """Random K blocks; a vocabulary of SentencePiece's kind."""
    language, vision = GGUFWriter(f"{out}/{name}.gguf", "llama"), GGUFWriter(f"{out}/{name}-mmproj.gguf", "clip")
    tokenizer, image_id = sentence_piece(language)
    size = dict(hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    config = LlavaConfig.from_pretrained(f"{HERE}/mha")
    config.text_config = type(config.text_config)(vocab_size=image_id, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False,
                                                  bos_token_id=1, eos_token_id=2, **size)
    language_metadata(language, config.text_config, "random K blocks")
    tower_metadata(vision, config.vision_config, 2); vision.add_string("clip.projector_type", "mlp")
    h, kinds = 256, {"token_embd": T.Q4_K, "output": T.Q6_K, "attn_q": T.Q4_K, "attn_k": T.Q5_K, "attn_v": T.Q6_K, "attn_output": T.Q5_K,
                     "ffn_gate": T.Q4_K, "ffn_up": T.Q5_K, "ffn_down": T.Q6_K}
    shapes = {"token_embd": (image_id, h), "output": (image_id, h)}
    for i in range(2):
        shapes |= {f"blk.{i}.{part}": (128 if part in ("attn_k", "attn_v") else h, h) for part in kinds if "_" in part and part != "token_embd"}
    for key, (n, k) in shapes.items():
        part = key.split(".")[-1]
        std = 0.3 if part == "token_embd" else (4.0 if part in ("attn_q", "attn_k", "output") else 3.0) / k ** 0.5
        language.add_tensor(f"{key}.weight", k_blocks(key, n, k, kinds[part], std), raw_dtype=kinds[part])
    for key in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm", "blk.1.attn_norm", "blk.1.ffn_norm"]:
        language.add_tensor(f"{key}.weight", (1 + 0.15 * rng(key).standard_normal(h)).astype(np.float32))
    for key, value in load_file(f"{HERE}/mha/model.safetensors").items():
        their = theirs(key)
        if key.startswith("language_model.") or "post_ln" in their or ".blk.2." in their:
            continue
        value = value.astype(np.float32)
        if their.startswith("mm."):
            shape = {"mm.0.weight": (h, 32), "mm.2.weight": (h, h)}.get(their, (h,))
            value = ((3.0 / shape[-1] ** 0.5 if len(shape) == 2 else 0.1) * rng(their).standard_normal(shape)).astype(np.float32)
        if value.ndim == 2 and their.endswith(".weight") and "position" not in their:
            vision.add_tensor(their, quants.quantize(value, T.Q8_0), raw_dtype=T.Q8_0)
        else:
            vision.add_tensor(their, value.astype(np.float16 if value.ndim > 1 else np.float32))
    finish(language); finish(vision)
    record(out, name, config, tokenizer, image_id)


if __name__ == "__main__":
    folders = [a for a in sys.argv[1:] if not a.startswith("--")]
    out = folders[0] if folders else f"{HERE}/gguf"
    os.makedirs(out, exist_ok=True)
    mha(out, "q4_0", lambda name: T.Q4_0)
    mha(out, "legacy", legacy, early=True)
    k_mix(out)
    for kind in (T.F32, T.F16, T.BF16, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0) if "--all" in sys.argv else ():
        mha(out, kind.name.lower(), lambda name: kind)
    for file in sorted(os.listdir(out)):
        print(f"{file}: {os.path.getsize(f'{out}/{file}')} bytes")
