"""Golden data: a tiny random SmolVLM and a tiny random LLaVA with a SigLIP tower, and what PyTorch computes with them.

Usage: python generate_idefics3.py [OUT]        (default: this folder)
Needs: what generate.py needs. The position ids of transformers 5.23.0 are the identity for whole tiles, as in training; those
of releases about 4.53 are not.

  smolvlm  `smolvlm`: image 22 of patches of 5 (4 x 4, the last 2 pixels unused), 3 heads of 16, MLP of 24; pixel shuffle by 2; a
           decoder of 3 heads on 1, rows of 48; a vocabulary with SmolVLM's marks. Names as transformers saves them
  siglip   `llava` with siglip_vision_model: image 15 of patches of 4 (3 x 3), one head of 72, MLP of 24; layer -1, `full`, so
           post_layernorm is in the file and not run; two-layer connector, tied head

Rows that are a multiple of 32 are exact in q8 groups of 32; the others are stored as f16 or f32. golden.safetensors is that of
generate.py, with tiles in place of pictures, and with step_logits of the first 8 steps only.
"""
import json, os, sys
import numpy as np, torch, transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlavaConfig, LlavaForConditionalGeneration, SmolVLMConfig, SmolVLMForConditionalGeneration
from generate import hub_name, picture, tokenizer, weights

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
STEPS, STORED_STEPS, HALF = 32, 8, [0.5, 0.5, 0.5]
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>", *(f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)),
         "<fake_token_around_image>", "<image>", "<end_of_utterance>"]
torch.set_grad_enabled(False)


def smollm_tokenizer():
    """SmolLM's pipeline: digits one by one, ByteLevel; nothing is put before a text. A line break twice is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate([*MARKS, *alphabet, "ĊĊ", "us", "er"])}
    t = Tokenizer(models.BPE(vocab=vocab, merges=[("Ċ", "Ċ"), ("u", "s"), ("e", "r")]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(m, special=True, normalized=False) for m in MARKS])
    return t


def tile(side, seed):
    """A picture of `side` x `side` pixels, normalised with mean and deviation 0.5."""
    image = np.asarray(picture(40 + seed, 30 + 3 * seed).resize((side, side)), np.float32)
    return torch.from_numpy(np.ascontiguousarray(((image / 255 - 0.5) / 0.5).transpose(2, 0, 1)))


def write(folder, model_class, config, tok, preprocessor, rename):
    os.makedirs(folder, exist_ok=True)
    files = {"config.json": config, "preprocessor_config.json": preprocessor,
             "generation_config.json": dict(bos_token_id=config["text_config"]["bos_token_id"], eos_token_id=config["text_config"]["eos_token_id"])}
    for file, content in files.items():
        with open(f"{folder}/{file}", "w") as f:
            json.dump(content, f, indent=1)
    tok.save(f"{folder}/tokenizer.json", pretty=False)
    model = model_class(model_class.config_class.from_pretrained(folder))
    state = {rename(k): v for k, v in weights(model, 8).items()}
    if config.get("tie_word_embeddings"):
        state.pop(rename("lm_head.weight"), None)
    save_file(dict(sorted(state.items())), f"{folder}/model.safetensors", metadata={"format": "pt"})


def greedy(model, ids, extra, out, case):
    inputs = torch.tensor([ids])
    logits = model(input_ids=inputs, **extra, use_cache=False).logits[0]
    tokens, margins, steps, current, past = [], [], [], inputs, None
    for _ in range(STEPS):
        o = model(input_ids=current, past_key_values=past, use_cache=True, **extra)
        past, extra = o.past_key_values, {}
        best, token = o.logits[0, -1].topk(2)
        steps.append(o.logits[0, -1]); tokens.append(int(token[0])); margins.append(float(best[0] - best[1]))
        current = token[:1].view(1, 1)
    out |= {f"{case}.ids": torch.tensor(ids, dtype=torch.int32), f"{case}.logits": logits, f"{case}.step_logits": torch.stack(steps[:STORED_STEPS]),
            f"{case}.greedy": torch.tensor(tokens, dtype=torch.int32), f"{case}.margin": torch.tensor(margins)}
    print(case, len(ids), "rows, smallest margin", round(min(margins), 4), "distinct", len(set(tokens)))


def load(folder, model_class):
    """Everything is computed from the files, so the layout itself is proven loadable."""
    model, info = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def smolvlm(folder):
    tok = smollm_tokenizer()
    text = dict(model_type="llama", vocab_size=tok.get_vocab_size(), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3,
                num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=100000.0, bos_token_id=1,
                eos_token_id=tok.token_to_id("<end_of_utterance>"), pad_token_id=2)
    # model_type, activation and eps are left out, as in published files.
    vision = dict(hidden_size=48, intermediate_size=24, num_hidden_layers=2, num_attention_heads=3, image_size=22, patch_size=5)
    config = dict(architectures=["SmolVLMForConditionalGeneration"], model_type="smolvlm", image_token_id=tok.token_to_id("<image>"), scale_factor=2,
                  tie_word_embeddings=False, text_config=text, vision_config=vision)
    preprocessor = dict(image_processor_type="Idefics3ImageProcessor", do_convert_rgb=True, do_resize=True, size=dict(longest_edge=4 * 22), resample=1,
                        do_image_splitting=True, max_image_size=dict(longest_edge=22), do_rescale=True, rescale_factor=1 / 255,
                        do_normalize=True, image_mean=HALF, image_std=HALF, do_pad=True)
    write(folder, SmolVLMForConditionalGeneration, config, tok, preprocessor, lambda name: name)
    model, out = load(folder, SmolVLMForConditionalGeneration), {}
    tiles = {"wide": tile(22, 1), "tall": tile(22, 9)}
    for name, value in tiles.items():
        seen = model.model.vision_model(value[None], output_hidden_states=True)
        embeds = model.model.get_image_features(value[None, None]).pooler_output[0]
        if name == "wide":
            out |= {f"hidden.{i}": state[0] for i, state in enumerate(seen.hidden_states)}
        out |= {f"{name}.pixel_values": value, f"{name}.image_features": seen.last_hidden_state[0], f"{name}.image_embeds": embeds}
    n = 4 * "<image>"
    prompts = {"two": (f"<|im_start|>User:<fake_token_around_image><row_1_col_1>{n}\n\n<fake_token_around_image><global-img>{n}"
                       "<fake_token_around_image>7?<end_of_utterance>\nAssistant:", ["tall", "wide"]),
               "text": ("<|im_start|>User: how?<end_of_utterance>\nAssistant:", [])}
    for case, (prompt, names) in prompts.items():
        extra = {"pixel_values": torch.stack([tiles[n] for n in names])[None]} if names else {}
        greedy(model, tok.encode(prompt, add_special_tokens=False).ids, extra, out, case)
    save_file({k: v.contiguous() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")


def siglip(folder):
    tok = tokenizer()
    text = dict(model_type="llama", vocab_size=288, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    vision = dict(model_type="siglip_vision_model", hidden_size=72, intermediate_size=24, num_hidden_layers=2, num_attention_heads=1, image_size=15,
                  patch_size=4, vision_use_head=False)
    config = dict(architectures=["LlavaForConditionalGeneration"], model_type="llava", image_token_index=3, image_seq_length=9, projector_hidden_act="gelu",
                  vision_feature_layer=-1, vision_feature_select_strategy="full", tie_word_embeddings=True, text_config=text, vision_config=vision)
    preprocessor = dict(image_processor_type="SiglipImageProcessor", do_convert_rgb=True, do_resize=True, size=dict(height=15, width=15), resample=3,
                        do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=HALF, image_std=HALF)
    write(folder, LlavaForConditionalGeneration, config, tok, preprocessor, hub_name)
    model, out = load(folder, LlavaForConditionalGeneration), {}
    value = tile(15, 4)
    states = model.model.vision_tower(value[None], output_hidden_states=True).hidden_states
    out |= {f"hidden.{i}": state[0] for i, state in enumerate(states)}
    out |= {"wide.pixel_values": value, "wide.image_features": states[-1][0], "wide.image_embeds": model.model.multi_modal_projector(states[-1])[0]}
    seen = model.model.get_image_features(value[None], vision_feature_layer=-1, vision_feature_select_strategy="full").pooler_output[0]
    assert torch.equal(seen, out["wide.image_embeds"]), "the features are not the last block's output"
    ids = [1] + [i for t in tok.encode("USER: <image>\nwhat? ASSISTANT:", add_special_tokens=False).ids for i in ([t] * 9 if t == 3 else [t])]
    greedy(model, ids, {"pixel_values": value[None]}, out, "one")
    save_file({k: v.contiguous() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")


if __name__ == "__main__":
    smolvlm(f"{OUT}/smolvlm")
    siglip(f"{OUT}/siglip")
    print("torch", torch.__version__, "transformers", transformers.__version__)
    for folder in ("smolvlm", "siglip"):
        for file in sorted(os.listdir(f"{OUT}/{folder}")):
            print(f"{folder}/{file}: {os.path.getsize(f'{OUT}/{folder}/{file}')} bytes")
