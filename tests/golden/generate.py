"""Golden data: tiny random LLaVAs in the llava-hf layout, and what PyTorch transformers computes with them.

Usage: python generate.py [OUT]        (default: this folder)
Needs: torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, tokenizers 0.23.3, pillow 13.0.0, numpy 2.4.6.

  mha   multi-head attention; every matrix exact in q4 groups of 32 (values s·q, q in -8..7, both ends present)
  gqa   grouped queries, tied head, `full` feature selection, another rope_theta; exact in q8 groups of 32
        (values s·q, |q| up to 127, 127 present)

So an f32 engine, and the quantised engine of the same type, must both reproduce these results to rounding.
Each model folder holds the checkpoint (f16), and golden.safetensors: pixel_values, image_features (tower output at
the selected layer), image_embeds (connector output), hidden.N (of `wide`, every layer), and per case CASE.ids, CASE.logits [T, V], CASE.greedy [32],
CASE.margin [32] (distance between the two best logits), CASE.step_logits [32, V]. cases.json has prompts and versions.
"""
import json, os, sys, zlib
import numpy as np, torch, transformers
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SEED = 20261123
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGE_TOKEN, STEPS = 3, 32
CORPUS = ["USER: what is in the picture? ASSISTANT: a red circle and a blue square.", "how many stars are there? two.",
          "the small green triangle is left of the large yellow cross.", "is there a word in the image? yes: hello."]
torch.set_grad_enabled(False)


def picture(width, height):
    """Gradients with a disc and a bar, integer arithmetic only."""
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2)], -1)
    a[(x - width // 3) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 4) ** 2] = (220, 40, 30)
    a[height // 8 : height // 5, width // 2 :] = (20, 30, 160)
    return Image.fromarray(a.astype(np.uint8), "RGB")


def tokenizer():
    t = Tokenizer(models.BPE(unk_token=None))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = [AddedToken(s, special=True, normalized=False) for s in ("<unk>", "<s>", "</s>", "<image>")]
    trainer = trainers.BpeTrainer(vocab_size=288, special_tokens=special, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    t.train_from_iterator(CORPUS * 4, trainer)
    assert t.token_to_id("<image>") == IMAGE_TOKEN and t.get_vocab_size() == 288
    return t


def matrix(name, rows, cols, std, levels):
    """Random s·q in groups of 32 columns; s a power of two per row, so that f16 holds it exactly."""
    g = np.random.Generator(np.random.Philox(key=[SEED, zlib.crc32(name.encode())]))
    low, high = (-8, 7) if levels == 4 else (-127, 127)
    q = g.integers(low, high + 1, (rows, cols)).astype(np.float32)
    for start in range(0, cols, 32):
        end = min(start + 32, cols)
        q[:, start], q[:, end - 1] = low, high
    s = 2.0 ** (np.round(np.log2(std / (0.29 * (high - low)))) + g.integers(-1, 1, (rows, 1)))
    return q * s


def weights(model, levels):
    out = {}
    for name, tensor in model.state_dict().items():
        shape, g = tuple(tensor.shape), np.random.Generator(np.random.Philox(key=[SEED, zlib.crc32(name.encode())]))
        if "position_ids" in name or "inv_freq" in name:
            continue
        if "patch_embedding" in name:
            w = matrix(name, shape[0], int(np.prod(shape[1:])), 0.05, levels).reshape(shape)
        elif "class_embedding" in name or "position_embedding" in name:
            w = 0.3 * g.standard_normal(shape)
        elif "norm" in name and name.endswith("weight"):
            w = 1 + 0.15 * g.standard_normal(shape)
        elif name.endswith("bias"):
            w = 0.1 * g.standard_normal(shape)
        else:
            std = 0.3 if "embed_tokens" in name else (4.0 if "lm_head" in name else 4.0 if "q_proj" in name or "k_proj" in name else 3.0) / shape[1] ** 0.5
            w = matrix(name, *shape, std, levels)
        out[name] = torch.from_numpy(np.asarray(w, np.float32)).to(torch.float16)
    return out


def hub_name(name):
    """In-memory names of transformers ≥ 4.52 → names of the hub's files."""
    name = name.removeprefix("model.")
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.")
    if name.startswith("lm_head."):
        return "language_model." + name
    if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.")
    return name


def write_checkpoint(folder, kv_heads, levels, tied, select, theta):
    os.makedirs(folder, exist_ok=True)
    text = dict(model_type="llama", vocab_size=288, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=kv_heads, max_position_embeddings=256, rms_norm_eps=1e-5,
                rope_theta=theta, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    vision = dict(model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=3,
                  num_attention_heads=2, image_size=42, patch_size=14, projection_dim=16)
    config = dict(architectures=["LlavaForConditionalGeneration"], model_type="llava", image_token_index=IMAGE_TOKEN,
                  image_seq_length=9 + (select == "full"), projector_hidden_act="gelu", vision_feature_layer=-2,
                  vision_feature_select_strategy=select, tie_word_embeddings=tied, text_config=text, vision_config=vision)
    preprocessor = dict(image_processor_type="CLIPImageProcessor", do_resize=True, size=dict(shortest_edge=42), resample=3,
                        do_center_crop=True, crop_size=dict(height=42, width=42), do_rescale=True, rescale_factor=1 / 255,
                        do_normalize=True, image_mean=MEAN, image_std=STD, do_convert_rgb=True)
    files = {"config.json": config, "preprocessor_config.json": preprocessor, "generation_config.json": dict(bos_token_id=1, eos_token_id=2)}
    for file, content in files.items():
        with open(f"{folder}/{file}", "w") as f:
            json.dump(content, f, indent=1)
    tokenizer().save(f"{folder}/tokenizer.json", pretty=False)
    model = LlavaForConditionalGeneration(LlavaConfig.from_pretrained(folder))
    state = {hub_name(k): v.numpy() for k, v in weights(model, levels).items()}
    if tied:
        state.pop("language_model.lm_head.weight", None)
    save_file(dict(sorted(state.items())), f"{folder}/model.safetensors", metadata={"format": "pt"})


CASES = {"one": ("USER: <image>\nwhat is in the picture? ASSISTANT:", ["wide"]),
         "two": ("<image>\n<image>\nUSER: is there a word? ASSISTANT:", ["wide", "tall"]),
         "text": ("USER: how many stars are there? ASSISTANT:", [])}


def golden(folder, images):
    """Everything is computed from the files, so the layout itself is proven loadable."""
    model, info = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info.values()), info
    model.eval()
    tok, processor = Tokenizer.from_file(f"{folder}/tokenizer.json"), CLIPImageProcessorPil.from_pretrained(folder)
    pixels = {n: torch.from_numpy(np.asarray(processor(images=i, return_tensors="np")["pixel_values"], np.float32)) for n, i in images.items()}
    config, out, cases = model.config, {}, {}
    for name, value in pixels.items():
        states = model.model.vision_tower(value, output_hidden_states=True).hidden_states
        if name == "wide":  # every layer that vision_feature_layer can name, with the class row
            out |= {f"hidden.{i}": state[0] for i, state in enumerate(states)}
        hidden = states[-2]
        features = hidden[:, 1:] if config.vision_feature_select_strategy == "default" else hidden
        out |= {f"{name}.pixel_values": value[0], f"{name}.image_features": features[0], f"{name}.image_embeds": model.model.multi_modal_projector(features)[0]}
    for case, (prompt, names) in CASES.items():
        rows = config.image_seq_length
        ids = [1] + [i for t in tok.encode(prompt, add_special_tokens=False).ids for i in ([t] * rows if t == IMAGE_TOKEN else [t])]
        inputs = torch.tensor([ids])
        extra = {"pixel_values": torch.cat([pixels[n] for n in names])} if names else {}
        prompt_logits = model(input_ids=inputs, **extra, use_cache=False).logits[0]
        greedy, margins, steps, current, past = [], [], [], inputs, None
        for _ in range(STEPS):
            o = model(input_ids=current, past_key_values=past, use_cache=True, **extra)
            past, extra = o.past_key_values, {}
            best, token = o.logits[0, -1].topk(2)
            steps.append(o.logits[0, -1]); greedy.append(int(token[0])); margins.append(float(best[0] - best[1]))
            current = token[:1].view(1, 1)
        out |= {f"{case}.ids": torch.tensor(ids, dtype=torch.int32), f"{case}.logits": prompt_logits, f"{case}.step_logits": torch.stack(steps),
                f"{case}.greedy": torch.tensor(greedy, dtype=torch.int32), f"{case}.margin": torch.tensor(margins)}
        cases[case] = dict(prompt=prompt, images=names)
        print(os.path.basename(folder), case, len(ids), "rows, smallest margin", round(min(margins), 4), "distinct", len(set(greedy)))
    save_file({k: v.numpy() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")
    return cases


if __name__ == "__main__":
    images = {"wide": picture(60, 40), "tall": picture(45, 70)}
    for name, image in images.items():
        image.save(f"{OUT}/{name}.png", optimize=True)
    write_checkpoint(f"{OUT}/mha", 4, 4, False, "default", 10000.0)
    write_checkpoint(f"{OUT}/gqa", 2, 8, True, "full", 5000.0)
    cases = {m: golden(f"{OUT}/{m}", images) for m in ("mha", "gqa")}["mha"]
    versions = dict(torch=torch.__version__, transformers=transformers.__version__, seed=SEED)
    with open(f"{OUT}/cases.json", "w") as f:
        json.dump(dict(versions=versions, cases=cases), f, indent=1)
