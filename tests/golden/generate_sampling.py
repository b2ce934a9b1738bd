"""Golden data: the probabilities that tokens are sampled with, by transformers' logits processors and warpers.

Usage: python generate_sampling.py [OUT]        (default: this folder; writes sampling.json, some seconds)
Needs: transformers 5.23.0, torch 2.15.

The processors are those that `generate` itself builds from a GenerationConfig, in its order. Frequency and presence
penalties, which it lacks, are computed as vLLM computes them and stand between its processors and its warpers.
  logits         [32]; every fourth case has ties at the threshold of top_k
  prompt, answer ids
  options        names and values of GenerateOptions; a bias of -100 excludes the token (transformers: -inf)
  allowed        ids that the mask allows; absent: all
  probabilities  id → probability of the tokens that are kept
"""
import json, os, random, sys
import torch, transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessor

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else HERE
VOCAB, CASES = 32, 64
ORDER = ["SequenceBias", "RepetitionPenalty", "PrefixConstrained", "Penalties", "Temperature", "TopK", "TopP", "MinP"]


class PenaltiesLogitsProcessor(LogitsProcessor):
    """`apply_penalties` of vllm/model_executor/layers/utils.py without its repetition penalty."""

    def __init__(self, prompt, frequency, presence):
        self.prompt, self.frequency, self.presence = prompt, frequency, presence

    def __call__(self, ids, scores):
        counts = torch.bincount(ids[0, self.prompt:], minlength=scores.shape[-1])
        return scores - self.frequency * counts - self.presence * (counts > 0)


def processors(model, prompt, options, allowed):
    """The processors of `generate` for the options, with our own in its place."""
    bias = {(int(i),): -float("inf") if b == -100 else b for i, b in options.get("logit_bias", {}).items()}
    known = {k: v for k, v in options.items() if k in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")}
    config = GenerationConfig(do_sample=True, top_k=known.pop("top_k", 0), sequence_bias=bias or None, num_beams=1, **known)
    model._prepare_special_tokens(config)
    fn = (lambda batch, ids: allowed) if allowed is not None else None
    made = model._get_logits_processor(config, input_ids_seq_length=prompt, prefix_allowed_tokens_fn=fn)
    frequency, presence = options.get("frequency_penalty", 0), options.get("presence_penalty", 0)
    if frequency or presence:
        first = next((i for i, p in enumerate(made) if type(p).__name__.endswith("Warper")), len(made))
        made.insert(first, PenaltiesLogitsProcessor(prompt, frequency, presence))
    names = [ORDER.index(type(p).__name__.removesuffix("LogitsProcessor").removesuffix("LogitsWarper")) for p in made]
    assert names == sorted(names), made
    return made


def chosen(draw, index):
    """Each option alone, then mixtures."""
    make = {
        "temperature": lambda: draw.choice([0.3, 0.7, 1.5]),
        "top_k": lambda: draw.choice([1, 3, 8, 31, 32, 1000]),
        "top_p": lambda: draw.choice([0.1, 0.5, 0.8, 0.95]),
        "min_p": lambda: draw.choice([0.02, 0.1, 0.4, 1.0]),
        "repetition_penalty": lambda: draw.choice([0.7, 1.2, 2.0]),
        "frequency_penalty": lambda: draw.choice([-1.0, 0.3, 2.0]),
        "presence_penalty": lambda: draw.choice([-0.5, 0.6, 2.0]),
        "logit_bias": lambda: {str(draw.randrange(VOCAB)): draw.choice([-100.0, -3.5, 2.0, 10.0]) for _ in range(4)},
    }
    names = list(make)
    wanted = names[index // 2: index // 2 + 1] if index < 2 * len(names) else draw.sample(names, draw.randint(2, len(names)))
    options = {name: make[name]() for name in names if name in wanted}
    return {"temperature": 1.0, **options}


def main():
    torch.manual_seed(15)
    draw = random.Random(15)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=1))
    cases = []
    for index in range(CASES):
        # Quantised logits tie at the threshold of top_k; the sort of top_p orders ties in no defined way.
        options, ties = chosen(draw, index), index % 4 == 3
        if ties:
            options.pop("top_p", None)
        scale = 2 if ties else 1000
        logits = [round(draw.gauss(0, 2) * scale) / scale for _ in range(VOCAB)]
        prompt, answer = ([draw.randrange(VOCAB) for _ in range(n)] for n in (6, draw.randint(0, 8)))
        allowed = sorted(draw.sample(range(VOCAB), 12)) if index % 5 == 4 else None
        scores = torch.tensor([logits], dtype=torch.float32)
        ids = torch.tensor([prompt + answer])
        for processor in processors(model, len(prompt), options, allowed):
            scores = processor(ids, scores)
        p = torch.softmax(scores[0], dim=-1)
        kept = {str(i): float(f"{p[i]:.7g}") for i in range(VOCAB) if scores[0, i] > -float("inf")}
        cases.append({"logits": logits, "prompt": prompt, "answer": answer, "options": options,
                      **({"allowed": allowed} if allowed is not None else {}), "probabilities": kept})
    written = {"generated_with": f"transformers {transformers.__version__}, torch {torch.__version__}", "cases": cases}
    with open(os.path.join(OUT, "sampling.json"), "w") as file:
        text = json.dumps(written, separators=(",", ":")).replace('{"logits"', '\n{"logits"')
        file.write(text + "\n")
    print(len(cases), "cases,", min(len(c["probabilities"]) for c in cases), "to", max(len(c["probabilities"]) for c in cases), "tokens kept")


main()
