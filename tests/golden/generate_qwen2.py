"""Tiny LLaVAs with a Qwen2 decoder: configurations, a GGUF pair, and what PyTorch transformers computes with them.

Usage: python generate_qwen2.py [OUT]        (default: the folder qwen2 beside this file)
Needs: gguf 0.19.0, and what generate.py needs.

  even  hidden 64, 4 heads on 2, tied head; every matrix exact in q8 groups of 32; also as a GGUF pair (Q8_0, mmproj f16)
  odd   hidden 72, 3 heads of 24 on 1, a head of its own: rows are no multiple of 32

No checkpoint is written: `weight` is a formula, which tests/native/qwen2.rs has, too. Biases are as large as the products that they
are added to. NAME.json is config.json; NAME.safetensors has image_features and image_embeds of square.png, and per case
CASE.ids (one `<image>` per row of a picture), CASE.greedy [32], CASE.margin [32] (distance between the two best logits) and
CASE.logits [4, V], those of steps 0, 10, 20 and 31. cases.json has the questions. tokenizer.json has a normaliser (NFC).
"""
import json, os, sys
import numpy as np, torch, transformers
from gguf import GGMLQuantizationType as T, GGUFWriter, MODEL_ARCH, get_tensor_name_map, quants
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
import generate, generate_gguf

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else f"{HERE}/qwen2"
VOCAB, ROWS, STEPS, KEPT = 288, 4, 32, [0, 10, 20, 31]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
# Qwen2's, of transformers' tokenization_qwen2.py.
CUTS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASES = {"one": ("what is in the picture?", 1), "two": ("is there a word in both?", 2), "text": ("how many cafe\u0301s are there, 12 or 3?", 0)}
torch.set_grad_enabled(False)


def tokenizer():
    """Special tokens after the vocabulary, as Qwen2 has them."""
    t = Tokenizer(models.BPE(unk_token=None))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CUTS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(generate.CORPUS * 4, trainers.BpeTrainer(vocab_size=276, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    assert t.get_vocab_size() == 280
    return t


def uniform(name, count):
    """Integers from -127 to 127: splitmix64 from the name's FNV-1a."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(33)).astype(np.int64) % 255 - 127


def weight(name, shape):
    q = uniform(name, int(np.prod(shape)))
    if name.endswith("bias"):
        return (q * 2.0 ** (-6 if "language_model" in name else -10)).reshape(shape)
    if name.endswith("class_embedding") or "position_embedding" in name:
        return (q * 2.0**-8).reshape(shape)
    if len(shape) == 1:
        return 1 + q * 2.0**-9
    q = q.reshape(shape[0], -1)
    q[:, ::32] = 127
    large = any(part in name for part in ("q_proj", "k_proj", "lm_head"))
    return (q * 2.0 ** (-12 if "patch_embedding" in name else -7 if large else -8)).reshape(shape)


def configuration(name, tok, **text):
    im_end, image = tok.token_to_id("<|im_end|>"), tok.token_to_id("<image>")
    text = dict(model_type="qwen2", vocab_size=VOCAB, num_hidden_layers=2, max_position_embeddings=256, rope_theta=1e6,
                bos_token_id=tok.token_to_id("<|endoftext|>"), eos_token_id=im_end, sliding_window=4096, use_sliding_window=False, **text)
    vision = dict(model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
                  image_size=28, patch_size=14, projection_dim=16)
    config = dict(architectures=["LlavaForConditionalGeneration"], model_type="llava", image_token_index=image, image_seq_length=ROWS,
                  projector_hidden_act="gelu", vision_feature_layer=-2, vision_feature_select_strategy="default",
                  tie_word_embeddings=text["tie_word_embeddings"], text_config=text, vision_config=vision)
    json.dump(config, open(f"{OUT}/{name}.json", "w"), indent=1)
    return LlavaConfig.from_pretrained(f"{OUT}/{name}.json")


def golden(name, tok, pixels, **text):
    config = configuration(name, tok, **text)
    model = LlavaForConditionalGeneration(config).eval()
    state = {k: torch.from_numpy(weight(generate.hub_name(k), v.shape).astype(np.float32)) for k, v in model.state_dict().items() if "position_ids" not in k}
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    result = model.load_state_dict(state, strict=False)
    assert not result.unexpected_keys and all("position_ids" in k for k in result.missing_keys), result
    assert any(k.endswith("self_attn.k_proj.bias") for k in state) and not any(k.endswith("o_proj.bias") for k in state)
    hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    out = {"image_features": hidden[0], "image_embeds": model.model.multi_modal_projector(hidden)[0]}
    for case, (question, pictures) in CASES.items():
        prompt = "<|im_start|>user\n" + pictures * "<image>\n" + question + "<|im_end|>\n<|im_start|>assistant\n"
        image = tok.token_to_id("<image>")
        ids = [i for t in tok.encode(prompt).ids for i in ([t] * ROWS if t == image else [t])]
        greedy, margins, kept, past, current = [], [], [], None, torch.tensor([ids])
        extra = {"pixel_values": torch.cat([pixels] * pictures)} if pictures else {}
        for step in range(STEPS):
            o = model(input_ids=current, past_key_values=past, use_cache=True, **extra)
            past, extra = o.past_key_values, {}
            best, token = o.logits[0, -1].topk(2)
            greedy.append(int(token[0])); margins.append(float(best[0] - best[1]))
            kept += [o.logits[0, -1]] if step in KEPT else []
            current = token[:1].view(1, 1)
        out |= {f"{case}.ids": torch.tensor(ids, dtype=torch.int32), f"{case}.greedy": torch.tensor(greedy, dtype=torch.int32),
                f"{case}.margin": torch.tensor(margins), f"{case}.logits": torch.stack(kept)}
        print(name, case, len(ids), "rows, smallest margin", round(min(margins), 4), "distinct", len(set(greedy)))
    save_file({k: v.numpy() for k, v in sorted(out.items())}, f"{OUT}/{name}.safetensors")
    return config, {generate.hub_name(k): v.numpy() for k, v in state.items()}


def gguf_pair(config, state, tok):
    """Names by the package's own table for QWEN2; nothing is permuted."""
    language, vision = GGUFWriter(f"{OUT}/even.gguf", "qwen2"), GGUFWriter(f"{OUT}/even-mmproj.gguf", "clip")
    text, names = config.text_config, get_tensor_name_map(MODEL_ARCH.QWEN2, config.text_config.num_hidden_layers)
    language.add_name("golden even"); language.add_context_length(text.max_position_embeddings); language.add_embedding_length(text.hidden_size)
    language.add_block_count(text.num_hidden_layers); language.add_feed_forward_length(text.intermediate_size)
    language.add_head_count(text.num_attention_heads); language.add_head_count_kv(text.num_key_value_heads)
    language.add_layer_norm_rms_eps(text.rms_norm_eps); language.add_rope_freq_base(text.rope_parameters["rope_theta"])
    tokens = {**tok.get_vocab(), **{f"[PAD{i}]": i for i in range(tok.get_vocab_size(), VOCAB)}}
    language.add_tokenizer_model("gpt2"); language.add_tokenizer_pre("qwen2"); language.add_token_list(sorted(tokens, key=tokens.get))
    language.add_token_types([3 if t in SPECIAL else 5 if t.startswith("[PAD") else 1 for t in sorted(tokens, key=tokens.get)])
    language.add_token_merges([" ".join(m) for m in json.loads(tok.to_str())["model"]["merges"]])
    language.add_eos_token_id(text.eos_token_id); language.add_bos_token_id(text.bos_token_id); language.add_add_bos_token(False)
    generate_gguf.tower_metadata(vision, config.vision_config, 2); vision.add_string("clip.projector_type", "mlp")
    for name, value in sorted(state.items()):
        if name.startswith("language_model."):
            if name == "language_model.lm_head.weight":
                continue  # tied
            their = names.get_name(name.removeprefix("language_model."), try_suffixes=(".weight", ".bias"))
            if value.ndim == 2:
                blocks = quants.quantize(value, T.Q8_0)
                assert (quants.dequantize(blocks, T.Q8_0) == value).all(), name
                language.add_tensor(their, blocks, raw_dtype=T.Q8_0)
            else:
                language.add_tensor(their, value)
            continue
        their = generate_gguf.theirs(name)
        if "post_ln" in their or ".blk.2." in their:
            continue
        half = value.ndim == 4 or value.ndim == 2 and their.endswith(".weight")
        assert not half or (value.astype(np.float16) == value).all()
        vision.add_tensor(their, value.astype(np.float16 if half else np.float32))
    generate_gguf.finish(language); generate_gguf.finish(vision)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    tok, image = tokenizer(), generate.picture(50, 50)
    tok.save(f"{OUT}/tokenizer.json", pretty=False)
    image.save(f"{OUT}/square.png", optimize=True)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_mean=generate.MEAN, image_std=generate.STD)
    pixels = torch.from_numpy(np.asarray(processor(images=image, return_tensors="np")["pixel_values"], np.float32))
    even = golden("even", tok, pixels, hidden_size=64, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)
    golden("odd", tok, pixels, hidden_size=72, intermediate_size=104, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=False)
    gguf_pair(*even, tok)
    versions = dict(torch=torch.__version__, transformers=transformers.__version__, gguf="0.19.0")
    cases = {k: dict(question=q, pictures=n) for k, (q, n) in CASES.items()}
    json.dump(dict(versions=versions, cases=cases), open(f"{OUT}/cases.json", "w"), indent=1)
