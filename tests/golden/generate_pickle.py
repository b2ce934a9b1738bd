"""The golden model `mha` as the original LLaVA-1.5 is published: files of PyTorch, the CLIP tower in one of its own.

Usage: python generate_pickle.py [OUT]        (default: pickle, beside this file)
Needs: torch 2.15.0, safetensors 0.8.0.

Two parts with an index, and vision_tower/ with what a whole CLIP has beside its eyes: a text tower, a 0-dimensional
logit_scale, position_ids of int64 and of two dimensions. The values are those of mha/model.safetensors, to the bit.
"""
import json, os, sys
import torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else f"{HERE}/pickle"


def original(key):
    """Keys of llava-hf -> keys of LlavaLlamaForCausalLM."""
    key = key.replace("multi_modal_projector.linear_1", "model.mm_projector.0").replace("multi_modal_projector.linear_2", "model.mm_projector.2")
    return key.removeprefix("language_model.")


def save(state, file):
    # A module's state dict has this attribute; nn.Module.state_dict() gives plain tensors.
    state._metadata = {"": {"version": 1}}
    torch.save(state, f"{OUT}/{file}")


if __name__ == "__main__":
    from collections import OrderedDict
    os.makedirs(f"{OUT}/vision_tower", exist_ok=True)
    tensors = load_file(f"{HERE}/mha/model.safetensors")
    tower = OrderedDict((k.removeprefix("vision_tower."), v) for k, v in tensors.items() if k.startswith("vision_tower."))
    main = OrderedDict((original(k), v) for k, v in tensors.items() if not k.startswith("vision_tower."))
    main["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    # As CLIPModel saves it.
    tower["logit_scale"] = torch.tensor(4.6, dtype=torch.float16)
    tower["text_model.embeddings.position_ids"] = torch.arange(7).expand((1, -1))
    tower["vision_model.embeddings.position_ids"] = torch.arange(10).expand((1, -1))
    tower["visual_projection.weight"] = torch.nn.Parameter(torch.ones(4, 3, dtype=torch.float16), requires_grad=False)
    keys, index = list(main), {}
    for part, chosen in ((1, keys[: len(keys) // 2]), (2, keys[len(keys) // 2 :])):
        file = f"pytorch_model-0000{part}-of-00002.bin"
        save(OrderedDict((k, main[k]) for k in chosen), file)
        index |= dict.fromkeys(chosen, file)
    save(tower, "vision_tower/pytorch_model.bin")
    config = json.load(open(f"{HERE}/mha/config.json"))
    flat = config["text_config"] | dict(model_type="llava", mm_vision_tower="openai/clip-vit-large-patch14-336", mm_projector_type="mlp2x_gelu",
                                        mm_vision_select_layer=-2, mm_vision_select_feature="patch", image_aspect_ratio="square", image_token_index=3)
    for file, content in {"config.json": flat, "vision_tower/config.json": dict(model_type="clip", vision_config=config["vision_config"]),
                          "pytorch_model.bin.index.json": dict(metadata=dict(total_size=0), weight_map=index)}.items():
        json.dump(content, open(f"{OUT}/{file}", "w"), indent=1)
