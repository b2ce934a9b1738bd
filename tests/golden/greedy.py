"""Greedy answers of a transformers model, as golden data (used by generate_next.py, _smolvlm.py, _interleave.py)."""
import torch

STEPS, KEPT = 32, 9


def greedy(case, model, ids, extra):
    """Returns CASE.ids, CASE.greedy [32], CASE.margin [32] (distance between the two best logits) and CASE.step_logits
    [9, V] (the first of the prompt's last row) for a prompt's ids; `extra` goes with the prompt."""
    tokens, margins, steps, current, past = [], [], [], torch.tensor([ids]), None
    for _ in range(STEPS):
        o = model(input_ids=current, past_key_values=past, use_cache=True, **extra)
        past, extra = o.past_key_values, {}
        best, token = o.logits[0, -1].topk(2)
        steps.append(o.logits[0, -1]); tokens.append(int(token[0])); margins.append(float(best[0] - best[1]))
        current = token[:1].view(1, 1)
    print(case, len(ids), "rows, smallest margin", round(min(margins), 4), "distinct", len(set(tokens)))
    return {f"{case}.ids": torch.tensor(ids, dtype=torch.int32), f"{case}.step_logits": torch.stack(steps[:KEPT]),
            f"{case}.greedy": torch.tensor(tokens, dtype=torch.int32), f"{case}.margin": torch.tensor(margins)}
