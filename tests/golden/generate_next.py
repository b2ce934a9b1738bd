"""Golden data of LLaVA-1.6: the checkpoint `mha` of generate.py with an `image_newline`, read in tiles.

Usage: python generate_next.py [OUT]        (default: this folder; run generate.py first)
Needs: as generate.py.

Writes next/: the configuration files, newline.safetensors (the one tensor that `mha` lacks) and golden.safetensors:
wide.pixel_values [tiles, 3, 42, 42], per picture PICTURE.image_embeds [tiles · 9, H], per case CASE.ids,
CASE.greedy [32], CASE.margin [32] and CASE.step_logits [9, V] (the first of the prompt's last row). cases.json has the
prompts.
"""
import json, os, sys
import numpy as np, torch, transformers
from safetensors.numpy import load_file, save_file
from PIL import Image
from tokenizers import Tokenizer
from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from greedy import greedy

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
PINPOINTS = [[42, 84], [84, 42], [84, 84], [126, 42], [42, 126]]
IMAGE_TOKEN = 3
CASES = {"wide": ("<s>USER: <image>\nwhat is in the picture? ASSISTANT:", ["wide"]),
         "two": ("<s>USER: <image>\n<image>\nis there a word? ASSISTANT:", ["tall", "wide"]),
         "strip": ("<s>USER: <image>\nhow many? ASSISTANT:", ["strip"]),
         "text": ("<s>USER: how many stars are there? ASSISTANT:", [])}
torch.set_grad_enabled(False)


def strip():
    """A picture three times as wide as high, and of an odd size."""
    y, x = np.mgrid[0:31, 0:97]
    return Image.fromarray(np.stack([x * 255 // 96, y * 255 // 30, (x * y) % 256], -1).astype(np.uint8), "RGB")


folder = f"{OUT}/next"
os.makedirs(folder, exist_ok=True)
strip().save(f"{OUT}/strip.png", optimize=True)
config = json.load(open(f"{OUT}/mha/config.json"))
config |= dict(architectures=["LlavaNextForConditionalGeneration"], model_type="llava_next", image_grid_pinpoints=PINPOINTS)
config["text_config"]["max_position_embeddings"] = 512
preprocessor = json.load(open(f"{OUT}/mha/preprocessor_config.json"))
preprocessor |= dict(image_processor_type="LlavaNextImageProcessor", image_grid_pinpoints=PINPOINTS, do_pad=True)
for name, content in {"config.json": config, "preprocessor_config.json": preprocessor}.items():
    json.dump(content, open(f"{folder}/{name}", "w"), indent=1)
newline = (0.3 * np.random.Generator(np.random.Philox(key=16)).standard_normal(config["text_config"]["hidden_size"])).astype(np.float16)
save_file({"image_newline": newline}, f"{folder}/newline.safetensors", metadata={"format": "pt"})

state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in (load_file(f"{OUT}/mha/model.safetensors") | {"image_newline": newline}).items()}
renamed = {}
for name, value in state.items():  # the hub's names → those of transformers 5
    name = name.replace("language_model.lm_head", "lm_head").replace("language_model.model.", "model.language_model.")
    name = name.replace("vision_tower.vision_model.", "model.vision_tower.").replace("multi_modal_projector", "model.multi_modal_projector")
    renamed["model.image_newline" if name == "image_newline" else name] = value
model = LlavaNextForConditionalGeneration._from_config(LlavaNextConfig.from_pretrained(folder), attn_implementation="eager").float().eval()
missing, unexpected = model.load_state_dict(renamed, strict=False)
assert not unexpected and all("position_ids" in m or "inv_freq" in m for m in missing), (missing, unexpected)

processor, tok = LlavaNextImageProcessorPil.from_pretrained(folder), Tokenizer.from_file(f"{OUT}/mha/tokenizer.json")
out, cases, pictures, rows = {}, {}, {}, {}
for name in ("wide", "tall", "strip"):
    inputs = processor(images=Image.open(f"{OUT}/{name}.png"), return_tensors="np")
    pixels, sizes = torch.from_numpy(np.asarray(inputs["pixel_values"], np.float32)), torch.tensor(np.asarray(inputs["image_sizes"]))
    pictures[name] = (pixels, sizes)
    hidden = model.model.vision_tower(pixels[0], output_hidden_states=True).hidden_states[-2][:, 1:]
    embeds = model.model.multi_modal_projector(hidden)
    packed, lengths = model.model.pack_image_features([embeds], sizes, "default", image_newline=model.model.image_newline)
    rows[name] = int(lengths[0])
    out[f"{name}.image_embeds"] = embeds.reshape(-1, embeds.shape[-1])
    if name == "wide":
        out["wide.pixel_values"] = pixels[0]
    print(name, tuple(pixels.shape), rows[name], "rows")
for case, (prompt, names) in CASES.items():
    left, ids = list(names), []
    for token in tok.encode(prompt, add_special_tokens=False).ids:
        ids += [token] * (rows[left.pop(0)] if token == IMAGE_TOKEN else 1)
    tiles = max([pictures[n][0].shape[1] for n in names], default=0)
    pad = lambda p: torch.cat([p, torch.zeros(1, tiles - p.shape[1], *p.shape[2:])], 1)
    extra = dict(pixel_values=torch.cat([pad(pictures[n][0]) for n in names]), image_sizes=torch.cat([pictures[n][1] for n in names])) if names else {}
    out |= greedy(case, model, ids, extra)
    cases[case] = dict(prompt=prompt, images=names)
save_file({k: v.contiguous().numpy() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")
versions = dict(torch=torch.__version__, transformers=transformers.__version__)
json.dump(dict(versions=versions, cases=cases), open(f"{folder}/cases.json", "w"), indent=1)
