"""Golden attention weights: where the rows that choose an answer's tokens look, by transformers' `attentions`.

Usage: python generate_attention.py [OUT]        (default: this folder; run generate.py, _idefics3, _next and _smolvlm first)
Needs: as generate.py, and num2words 0.5.14.

Prompts and greedy tokens are those of the other golden data: the answer is forced. Writes attention.safetensors: per
MODEL.CASE the first TOKENS tokens as .tokens, and .weights [TOKENS, L, T + TOKENS]: the mean over the heads, for the
row before each token, zero behind that row.
"""
import os, sys
import numpy as np, torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from transformers import LlavaForConditionalGeneration, LlavaNextConfig, LlavaNextForConditionalGeneration, SmolVLMForConditionalGeneration
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
TOKENS = 6
EAGER = dict(dtype=torch.float32, attn_implementation="eager")
torch.set_grad_enabled(False)
out = {}


def case(label, model, golden, name, extra):
    """Appends the weights of a case by one forward pass over the prompt and the forced tokens."""
    ids, tokens = golden[f"{name}.ids"].tolist(), golden[f"{name}.greedy"].tolist()[:TOKENS]
    attentions = model(input_ids=torch.tensor([ids + tokens]), output_attentions=True, use_cache=False, **extra).attentions
    rows = torch.stack([layer[0].mean(0) for layer in attentions], 1)  # [T + TOKENS, L, T + TOKENS]
    out[f"{label}.{name}.weights"] = rows[len(ids) - 1 : len(ids) - 1 + TOKENS].contiguous().numpy()
    out[f"{label}.{name}.tokens"] = np.asarray(tokens, np.int32)
    print(label, name, len(ids), "rows; the weights sum to", float(rows.sum(-1).min()), "to", float(rows.sum(-1).max()))


for label in ("mha", "gqa"):
    model = LlavaForConditionalGeneration.from_pretrained(f"{OUT}/{label}", **EAGER).eval()
    golden = load_file(f"{OUT}/{label}/golden.safetensors")
    for name, pictures in {"one": ["wide"], "two": ["wide", "tall"]}.items():
        pixels = torch.stack([torch.from_numpy(golden[f"{p}.pixel_values"]) for p in pictures])
        case(label, model, golden, name, dict(pixel_values=pixels))

# As generate_next.py: the checkpoint `mha` with a newline.
state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in (load_file(f"{OUT}/mha/model.safetensors") | load_file(f"{OUT}/next/newline.safetensors")).items()}
renamed = {}
for name, value in state.items():
    name = name.replace("language_model.lm_head", "lm_head").replace("language_model.model.", "model.language_model.")
    name = name.replace("vision_tower.vision_model.", "model.vision_tower.").replace("multi_modal_projector", "model.multi_modal_projector")
    renamed["model.image_newline" if name == "image_newline" else name] = value
model = LlavaNextForConditionalGeneration._from_config(LlavaNextConfig.from_pretrained(f"{OUT}/next"), attn_implementation="eager").float().eval()
missing, unexpected = model.load_state_dict(renamed, strict=False)
assert not unexpected and all("position_ids" in m or "inv_freq" in m for m in missing), (missing, unexpected)
processor, golden = LlavaNextImageProcessorPil.from_pretrained(f"{OUT}/next"), load_file(f"{OUT}/next/golden.safetensors")
for name, pictures in {"two": ["tall", "wide"], "strip": ["strip"]}.items():
    inputs = [processor(images=Image.open(f"{OUT}/{p}.png"), return_tensors="np") for p in pictures]
    pixels = [torch.from_numpy(np.asarray(i["pixel_values"], np.float32)) for i in inputs]
    tiles = max(p.shape[1] for p in pixels)
    pad = lambda p: torch.cat([p, torch.zeros(1, tiles - p.shape[1], *p.shape[2:])], 1)
    sizes = torch.cat([torch.tensor(np.asarray(i["image_sizes"])) for i in inputs])
    case("next", model, golden, name, dict(pixel_values=torch.cat([pad(p) for p in pixels]), image_sizes=sizes))

model = SmolVLMForConditionalGeneration.from_pretrained(f"{OUT}/smolvlm", **EAGER).eval()
processor, golden = Idefics3ImageProcessorPil.from_pretrained(f"{OUT}/smolvlm"), load_file(f"{OUT}/smolvlm_prompts/golden.safetensors")
for name, pictures in {"two": ["tall", "wide"], "strip": ["strip"]}.items():
    images = [Image.open(f"{OUT}/{p}.png").convert("RGB") for p in pictures]
    pixels = [torch.from_numpy(np.asarray(processor(images=[i], return_tensors="np")["pixel_values"], np.float32))[0] for i in images]
    case("smolvlm", model, golden, name, dict(pixel_values=torch.cat(pixels)[None]))

save_file(dict(sorted(out.items())), f"{OUT}/attention.safetensors")
