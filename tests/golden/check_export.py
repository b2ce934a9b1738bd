"""Does PyTorch transformers compute what Burn computed with the checkpoint that `train export` wrote?

Usage: python check_export.py CHECKPOINT CHECK.safetensors
       (train export --run RUN --out CHECKPOINT --check CHECK.safetensors)
Needs what generate.py needs. Exits with 1 unless the checkpoint loads without a missing or superfluous tensor,
the tokenizer gives Burn's ids, and the logits agree to NMSE <= 1e-8.
"""
import sys
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlavaForConditionalGeneration

checkpoint, check = sys.argv[1:]
torch.set_grad_enabled(False)
model, info = LlavaForConditionalGeneration.from_pretrained(checkpoint, output_loading_info=True, dtype=torch.float32)
model.eval()
want = load_file(check)
ids, logits = want["input_ids"].long()[None], want["logits"]
got = model(input_ids=ids, pixel_values=want["pixel_values"], attention_mask=torch.ones_like(ids)).logits[0, -len(logits):]
nmse = float(((got - logits).double() ** 2).sum() / (logits.double() ** 2).sum())
same = int((got.argmax(-1) == logits.argmax(-1)).sum())
tokenizer = AutoTokenizer.from_pretrained(checkpoint)
image = model.config.image_token_id if hasattr(model.config, "image_token_id") else model.config.image_token_index
rows = int((ids == image).sum())
prompt = tokenizer("USER: <image>\nWhat do you see? ASSISTANT:")["input_ids"]
at = prompt.index(image)
expanded = prompt[:at] + [image] * rows + prompt[at + 1:]
problems = {key: sorted(value) for key, value in info.items() if value and key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
answer = model.generate(input_ids=ids, pixel_values=want["pixel_values"], attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
print(f"NMSE {nmse:.2e}; likeliest token equal in {same} of {len(logits)} positions")
print(f"ids of the prompt equal: {expanded == ids[0].tolist()}; loading: {problems or 'clean'}")
print("answer:", tokenizer.decode(answer[0, ids.shape[1]:], skip_special_tokens=True))
sys.exit(0 if nmse <= 1e-8 and expanded == ids[0].tolist() and not problems else 1)
