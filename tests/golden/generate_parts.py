"""Tiny towers and a tiny decoder in the hub's layouts, each in a folder of its own, and what PyTorch computes with them:
logits, the gradients of one batch, and the parameters after three AdamW steps (src/train/parts/parity_tests.rs).

Usage: generate_parts.py [OUT]   (default: the folder `parts` beside this file; transformers 5.23, torch 2.15)
"""
import json, os, sys
import numpy as np, torch
from safetensors.numpy import save_file
from transformers import LlavaConfig, LlavaForConditionalGeneration

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "parts")
VOCAB, HIDDEN, WIDTH, IMAGE = 80, 32, 32, 79
CLIP = dict(model_type="clip_vision_model", hidden_size=WIDTH, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2,
            image_size=12, patch_size=4, projection_dim=16, hidden_act="quick_gelu", layer_norm_eps=1e-5)
# 14 pixels are three patches of four and two pixels that no patch reads.
SIGLIP = dict(model_type="siglip_vision_model", hidden_size=WIDTH, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2,
              image_size=14, patch_size=4, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6)
LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=HIDDEN, intermediate_size=40, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=VOCAB, max_position_embeddings=128, rms_norm_eps=1e-6,
             rope_theta=1e5, hidden_act="silu", tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
PICTURE = -1
# Sequences: ids with a place for a picture, and the ranges that are answers.
SEQUENCES = [([1, 5, PICTURE, 6, 7, 8, 2], [(4, 7)]), ([1, 9, 10, 11, 12, 2, 13, 14, 15, 2], [(3, 6), (8, 10)]),
             ([1, PICTURE, 20, 21, 22], [(2, 5)])]
LEARNING_RATE, DECAY = 1e-2, 0.1


def model(vision, seed):
    torch.manual_seed(seed)
    siglip = vision["model_type"].startswith("siglip")
    config = LlavaConfig(vision_config=dict(vision), text_config=dict(LLAMA), image_token_index=IMAGE, projector_hidden_act="gelu",
                         vision_feature_layer=-2, vision_feature_select_strategy="full" if siglip else "default",
                         tie_word_embeddings=False)
    net = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager", dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.15 * noise)
            elif p.dim() > 1 and "embed" not in name:
                p.copy_(noise * 1.3 / p[0].numel() ** 0.5)
            else:
                p.copy_(0.3 * noise)
            # Stored as f16.
            p.copy_(p.half().float())
    return net.eval()


def hub_name(name):
    name = name.removeprefix("model.")
    if name.startswith("lm_head."):
        return "language_model." + name
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.")
    if name.startswith("vision_tower."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.").removeprefix("vision_model.")
    return name


def tensors(net, prefix, dtype):
    out = {}
    for name, p in net.named_parameters():
        name = hub_name(name)
        if name.startswith(prefix) and ".head." not in name:
            out[name] = np.ascontiguousarray(p.detach().numpy().astype(dtype))
    return out


def save(folder, config, weights):
    os.makedirs(os.path.join(OUT, folder), exist_ok=True)
    with open(os.path.join(OUT, folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    save_file(weights, os.path.join(OUT, folder, "model.safetensors"), metadata={"format": "pt"})


def inputs(vision):
    rows = (vision["image_size"] // vision["patch_size"]) ** 2
    sequences, labels = [], []
    for ids, answers in SEQUENCES:
        sequence, label = [], []
        for i, id in enumerate(ids):
            wanted = any(a <= i < b for a, b in answers)
            sequence += [IMAGE] * rows if id == PICTURE else [id]
            label += [-100] * rows if id == PICTURE else [id if wanted else -100]
        sequences.append(sequence)
        labels.append(label)
    longest = max(map(len, sequences))
    pad = lambda rows, value: torch.tensor([row + [value] * (longest - len(row)) for row in rows])
    mask = pad([[1] * len(row) for row in sequences], 0)
    size = vision["image_size"]
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3)).half().float()
    return dict(input_ids=pad(sequences, 0), attention_mask=mask, labels=pad(labels, -100), pixel_values=pixels)


def logits(net, batch):
    """The logits at the rows whose next token is predicted, by sequence and position."""
    with torch.no_grad():
        all = net(**batch).logits
    return all[:, :-1][batch["labels"][:, 1:] != -100].numpy()


golden = {}
nets = {"clip": model(CLIP, 1), "siglip": model(SIGLIP, 2)}
for name, vision in [("clip", CLIP), ("siglip", SIGLIP)]:
    net = nets[name]
    if name == "siglip":  # one decoder for both
        net.load_state_dict({k: v for k, v in nets["clip"].state_dict().items() if "vision_tower" not in k}, strict=False)
    tower = {k.removeprefix("vision_tower."): v for k, v in tensors(net, "vision_tower.", np.float16).items()}
    save(name, vision, tower)
    batch = inputs(vision)
    golden[f"{name}.pixels"] = batch["pixel_values"].numpy().astype(np.float16)
    golden[f"{name}.logits"] = logits(net, batch)

net, batch = nets["clip"], inputs(CLIP)
llama = {k.removeprefix("language_model."): v for k, v in tensors(net, "language_model.", np.float16).items()}
save("llama", LLAMA, llama)
letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
pieces = ["<unk>", "<s>", "</s>"] + letters
pieces += [f"piece{i}" for i in range(len(pieces), IMAGE)]
vocabulary = {t: i for i, t in enumerate(pieces)}
special = [dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
           for i, t in enumerate(["<unk>", "<s>", "</s>"])] + [dict(id=IMAGE, content="<image>", single_word=False, lstrip=False,
                                                                  rstrip=False, normalized=False, special=True)]
with open(os.path.join(OUT, "llama", "tokenizer.json"), "w") as file:
    json.dump(dict(version="1.0", truncation=None, padding=None, added_tokens=special, normalizer=None, pre_tokenizer=None,
                   post_processor=None, decoder=None,
                   model=dict(type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None,
                              fuse_unk=False, byte_fallback=False, vocab=vocabulary, merges=[])), file)
    file.write("\n")
golden |= tensors(net, "multi_modal_projector.", np.float32)

# Stage 2: connector and decoder are trained.
groups = {True: [], False: []}
for name, p in net.named_parameters():
    p.requires_grad_("vision_tower" not in name)
    if p.requires_grad:
        groups[p.dim() > 1 and "embed" not in name].append(p)
loss = net(**batch).loss
loss.backward()
golden["loss"] = np.array([loss.item()], np.float32)
for name, p in net.named_parameters():
    if p.requires_grad:
        golden["grad." + hub_name(name)] = p.grad.numpy().copy()
net.zero_grad()
optimizer = torch.optim.AdamW([dict(params=groups[True], weight_decay=DECAY), dict(params=groups[False], weight_decay=0.0)],
                              lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8)
for _ in range(3):
    optimizer.zero_grad()
    net(**batch).loss.backward()
    torch.nn.utils.clip_grad_norm_([p for g in groups.values() for p in g], 1.0)
    optimizer.step()
for name, p in net.named_parameters():
    name = hub_name(name)
    if "multi_modal" in name or "layers.1" in name or name.endswith("norm.weight"):
        golden["after." + name] = p.detach().numpy().copy()
golden.pop("after.vision_tower", None)
golden = {k: v for k, v in golden.items() if not k.startswith("after.vision_tower")}
save_file(golden, os.path.join(OUT, "golden.safetensors"))
for folder, _, files in os.walk(OUT):
    for file in files:
        path = os.path.join(folder, file)
        print(os.path.getsize(path), path)
