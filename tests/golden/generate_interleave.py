"""Golden data of a tiny llava-interleave: a SigLIP tower, a two-layer connector, a Qwen2 decoder, stretched pictures, ChatML.

Usage: python generate_interleave.py [OUT]        (default: this folder; run generate.py and generate_next.py first)
Needs: what generate.py needs.

Writes interleave/: the checkpoint, golden.safetensors (per picture PICTURE.image_embeds, per case CASE.ids, CASE.greedy [32],
CASE.margin [32] and CASE.step_logits [9, V]; wide.pixel_values) and cases.json with the prompts.
"""
import json, os, sys
import numpy as np, torch, transformers
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from generate import hub_name
from generate_idefics3 import write
from greedy import greedy
from generate_qwen2 import VOCAB, tokenizer

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
ROWS, PICTURES, HALF = 9, ("wide", "tall", "strip"), [0.5, 0.5, 0.5]
CASES = {"wide": ("what is in the picture?", ["wide"]), "two": ("is there a word?", ["tall", "strip"]), "text": ("how many stars are there?", [])}
torch.set_grad_enabled(False)

folder, tok = f"{OUT}/interleave", tokenizer()
image, end = tok.token_to_id("<image>"), tok.token_to_id("<|im_end|>")
text = dict(model_type="qwen2", vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=True,
            bos_token_id=tok.token_to_id("<|endoftext|>"), eos_token_id=end, use_sliding_window=False)
vision = dict(model_type="siglip_vision_model", hidden_size=72, intermediate_size=100, num_hidden_layers=2, num_attention_heads=1,
              image_size=15, patch_size=4, vision_use_head=False)
config = dict(architectures=["LlavaForConditionalGeneration"], model_type="llava", image_token_index=image, image_seq_length=ROWS,
              projector_hidden_act="gelu", vision_feature_layer=-1, vision_feature_select_strategy="full", tie_word_embeddings=True,
              text_config=text, vision_config=vision)
preprocessor = dict(image_processor_type="SiglipImageProcessor", do_resize=True, size=dict(height=15, width=15), resample=3,
                    do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=HALF, image_std=HALF)
write(folder, LlavaForConditionalGeneration, config, tok, preprocessor, hub_name)
model, info = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
assert not any(info.values()), info
model.eval()
processor, tok = SiglipImageProcessorPil.from_pretrained(folder), Tokenizer.from_file(f"{folder}/tokenizer.json")
out, cases, pixels = {}, {}, {}
for name in PICTURES:
    picture = Image.open(f"{OUT}/{name}.png").convert("RGB")
    pixels[name] = torch.from_numpy(np.asarray(processor(images=picture, return_tensors="np")["pixel_values"], np.float32))
    hidden = model.model.vision_tower(pixels[name], output_hidden_states=True).hidden_states[-1]
    out[f"{name}.image_embeds"] = model.model.multi_modal_projector(hidden)[0]
out["wide.pixel_values"] = pixels["wide"]
for case, (question, names) in CASES.items():
    prompt = "<|im_start|>user\n" + "<image>\n" * len(names) + f"{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = [i for t in tok.encode(prompt, add_special_tokens=False).ids for i in ([t] * ROWS if t == image else [t])]
    extra = {"pixel_values": torch.cat([pixels[n] for n in names])} if names else {}
    out |= greedy(case, model, ids, extra)
    cases[case] = dict(prompt=prompt, question=question, images=names)
save_file({k: v.contiguous().numpy() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")
for file in os.listdir(folder):
    os.chmod(f"{folder}/{file}", 0o644)
versions = dict(torch=torch.__version__, transformers=transformers.__version__)
json.dump(dict(versions=versions, cases=cases), open(f"{folder}/cases.json", "w"), indent=1)
