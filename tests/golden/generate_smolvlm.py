"""Golden data of SmolVLM from a picture's file to the answer: the checkpoint `smolvlm` of generate_idefics3.py, asked
through transformers' own processor.

Usage: python generate_smolvlm.py [OUT]        (default: this folder; run generate_idefics3.py and generate_next.py first)
Needs: as generate.py, and num2words 0.5.14.

Writes smolvlm_prompts/golden.safetensors: per picture PICTURE.image_embeds, per case CASE.ids, CASE.greedy [32],
CASE.margin [32], CASE.step_logits [9, V] (the first of the prompt's last row); wide.pixel_values. cases.json has the
prompts: as `prompt` with one <image> a picture, and as `question` for the chat template.
"""
import json, os, sys
import numpy as np, torch, transformers
from PIL import Image
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerFast, SmolVLMForConditionalGeneration
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE, get_image_prompt_string
from greedy import greedy

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
PICTURES = ("wide", "tall", "strip")
CASES = {"wide": ("what is in the picture?", ["wide"]), "two": ("is there a word?", ["tall", "wide"]),
         "strip": ("how many?", ["strip"]), "text": ("how many stars are there?", [])}
torch.set_grad_enabled(False)

folder = f"{OUT}/smolvlm"
model = SmolVLMForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
processor = Idefics3ImageProcessorPil.from_pretrained(folder)
tok = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", chat_template=DEFAULT_CHAT_TEMPLATE)
config = model.config
rows_per_tile = (config.vision_config.image_size // config.vision_config.patch_size) ** 2 // config.scale_factor**2
out, cases, texts, pixels = {}, {}, {}, {}
for name in PICTURES:
    image = Image.open(f"{OUT}/{name}.png").convert("RGB")
    inputs = processor(images=[image], return_tensors="np", return_row_col_info=True)
    values = torch.from_numpy(np.asarray(inputs["pixel_values"], np.float32))
    rows, columns = inputs["rows"][0][0], inputs["cols"][0][0]
    texts[name] = get_image_prompt_string(rows, columns, rows_per_tile, "<fake_token_around_image>", "<image>", "<global-img>")
    pixels[name] = values[0]
    hidden = model.model.vision_model(values[0]).last_hidden_state
    out[f"{name}.image_embeds"] = model.model.connector(hidden).reshape(-1, config.text_config.hidden_size)
    print(name, tuple(values.shape), rows, "x", columns)
out["wide.pixel_values"] = pixels["wide"]
for case, (question, names) in CASES.items():
    content = [dict(type="image")] * len(names) + [dict(type="text", text=question)]
    prompt = tok.apply_chat_template([dict(role="user", content=content)], add_generation_prompt=True, tokenize=False)
    text, left = prompt, list(names)
    while left:
        text = text.replace("<image>", texts[left.pop(0)].replace("<image>", "<picture>"), 1)
    ids = tok(text.replace("<picture>", "<image>"), add_special_tokens=False).input_ids
    # Tiles of all pictures, one after the other: the model numbers them through.
    extra = dict(pixel_values=torch.cat([pixels[n] for n in names])[None]) if names else {}
    out |= greedy(case, model, ids, extra)
    cases[case] = dict(prompt=prompt, question=question, images=names)
os.makedirs(f"{OUT}/smolvlm_prompts", exist_ok=True)
path = f"{OUT}/smolvlm_prompts/golden.safetensors"
save_file({k: v.contiguous().numpy() for k, v in sorted(out.items())}, path)
os.chmod(path, 0o644)
versions = dict(torch=torch.__version__, transformers=transformers.__version__)
json.dump(dict(versions=versions, cases=cases), open(f"{OUT}/smolvlm_prompts/cases.json", "w"), indent=1)
