"""Golden data: tiny random MobileVLMs in the original layout, and what PyTorch computes with them.

Usage: python generate_ldp.py [OUT]        (default: this folder)
Needs: what generate.py needs.

  ldp     LDP on a grid of 5 × 5 (odd: stride 2 makes 3 × 3 rows; image 40, patch 8); the CLIP tower in a folder of its own
  ldpv2   LDPv2 on MobileVLM's grid of 24 × 24 (12 × 12 rows; image 48, patch 2); the tower inside the checkpoint, as published

Tower and decoder are those of transformers. The connectors are written here in plain PyTorch after
`mobilevlm/model/vision_projector.py` of Meituan-AutoML/MobileVLM, with torchvision's InvertedResidual and
SqueezeExcitation and timm's LayerNormAct2d spelled out, under the original code's names of parameters.
Each folder holds the checkpoint (f16) and golden.safetensors: pixel_values, image_embeds, ids (with an image
token per row), step_logits [32, V] (the first of the prompt's last row), greedy [32], margin [32].
"""
import json, os, sys, zlib
import numpy as np, torch
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from generate import IMAGE_TOKEN, MEAN, STD, STEPS, picture, tokenizer

SEED = 20261125
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
TEXT = dict(vocab_size=288, hidden_size=40, intermediate_size=48, num_hidden_layers=2, num_attention_heads=5,
            num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=False,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
PROMPT = "USER: <image>\nwhat is in the picture? ASSISTANT:"
torch.set_grad_enabled(False)


class LayerNorm2d(nn.LayerNorm):
    """timm's LayerNormAct2d without activation: over the channels of [B, C, H, W], eps 1e-5."""
    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))) * x


def make_divisible(v, divisor):
    new = max(divisor, int(v + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * v else new


class InvertedResidual(nn.Module):
    """Kernel 3, as many channels inside as outside (so no expansion), squeeze-and-excitation, hardswish."""
    def __init__(self, c, stride):
        super().__init__()
        self.residual = stride == 1
        self.block = nn.Sequential(
            nn.Sequential(nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False), LayerNorm2d(c), nn.Hardswish()),
            SqueezeExcitation(c, make_divisible(c // 4, 8)),
            nn.Sequential(nn.Conv2d(c, c, 1, bias=False), LayerNorm2d(c)))

    def forward(self, x):
        return self.block(x) + x if self.residual else self.block(x)


def as_map(x):
    side = int(x.shape[1] ** 0.5)
    return x.permute(0, 2, 1).reshape(x.shape[0], -1, side, side)


def as_rows(x):
    return x.flatten(2).permute(0, 2, 1)


class Ldp(nn.Module):
    def __init__(self, c, h):
        super().__init__()
        self.model = nn.Module()
        self.model.mlp = nn.Sequential(nn.Identity(), nn.Linear(c, h), nn.GELU(), nn.Linear(h, h))
        self.model.mb_block = nn.Sequential(nn.Identity(), InvertedResidual(h, 1), InvertedResidual(h, 2))

    def forward(self, x):
        return as_rows(self.model.mb_block(as_map(self.model.mlp(x))))


class LdpV2(nn.Module):
    def __init__(self, c, h):
        super().__init__()
        self.mlp, self.peg = nn.Module(), nn.Module()
        self.mlp.mlp = nn.Sequential(nn.Linear(c, h), nn.GELU(), nn.Linear(h, h))
        self.peg.peg = nn.Sequential(nn.Conv2d(h, h, 3, 1, 1, bias=True, groups=h))

    def forward(self, x):
        x = F.adaptive_avg_pool2d(as_map(self.mlp.mlp(x)), (12, 12))
        return as_rows(self.peg.peg(x) + x)


def fill(module, prefix):
    """Random weights that f16 holds exactly, by the parameters' names."""
    out = {}
    for name, parameter in module.named_parameters():
        g, shape = np.random.Generator(np.random.Philox(key=[SEED, zlib.crc32((prefix + name).encode())])), tuple(parameter.shape)
        norm = any(part in name for part in ("norm", "block.0.1", "block.2.1"))
        if norm and name.endswith("weight"):
            w = 1 + 0.15 * g.standard_normal(shape)
        elif len(shape) == 1:
            w = 0.2 * g.standard_normal(shape)
        elif "embedding" in name or "embed_tokens" in name:
            w = 0.3 * g.standard_normal(shape)
        else:
            first = "mlp.0" in name or "mlp.1" in name
            gain = 4.0 if any(part in name for part in ("lm_head", "q_proj", "k_proj")) else 0.3 if first else 2.0
            w = gain / np.prod(shape[1:]) ** 0.5 * g.standard_normal(shape)
        out[prefix + name] = np.asarray(w, np.float16)
        parameter.copy_(torch.from_numpy(out[prefix + name].astype(np.float32)))
    return out


def expand2square(image):
    """As in mobilevlm/utils.py."""
    side, color = max(image.size), tuple(int(x * 255) for x in MEAN)
    out = Image.new("RGB", (side, side), color)
    out.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return out


def write(folder, kind, connector_class, image_size, patch_size, inside):
    os.makedirs(f"{folder}/vision_tower", exist_ok=True)
    vision = dict(model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                  image_size=image_size, patch_size=patch_size, projection_dim=16)
    config = dict(architectures=["MobileLlamaForCausalLM"], model_type="mobilevlm", hidden_act="silu", **TEXT, image_aspect_ratio="pad",
                  mm_hidden_size=32, mm_projector_type=kind, mm_use_im_patch_token=False, mm_use_im_start_end=False,
                  mm_vision_select_feature="patch", mm_vision_select_layer=-2, mm_vision_tower="openai/clip-vit-large-patch14-336",
                  vision_tower_type="clip", use_mm_proj=True, image_token_index=IMAGE_TOKEN)
    preprocessor = dict(image_processor_type="CLIPImageProcessor", do_resize=True, size=dict(shortest_edge=image_size), resample=3,
                        do_center_crop=True, crop_size=dict(height=image_size, width=image_size), do_rescale=True,
                        rescale_factor=1 / 255, do_normalize=True, image_mean=MEAN, image_std=STD, do_convert_rgb=True)
    for file, content in {"config.json": config, "generation_config.json": dict(bos_token_id=1, eos_token_id=2),
                          "vision_tower/config.json": dict(vision_config=vision),
                          "vision_tower/preprocessor_config.json": preprocessor}.items():
        with open(f"{folder}/{file}", "w") as f:
            json.dump(content, f, indent=1)
    tokenizer().save(f"{folder}/tokenizer.json", pretty=False)
    tower = CLIPVisionModel(CLIPVisionConfig(**vision)).eval()
    decoder = LlamaForCausalLM(LlamaConfig(**TEXT, attn_implementation="eager")).eval()
    connector = connector_class(32, 40).eval()
    prefix = "model.vision_tower.vision_tower.vision_model." if inside else "vision_model."
    of_tower = {prefix + k.removeprefix("vision_model."): v for k, v in fill(tower, "").items()}
    state = {**fill(decoder, ""), **fill(connector, "model.mm_projector."), **(of_tower if inside else {})}
    save_file(dict(sorted(state.items())), f"{folder}/model.safetensors", metadata={"format": "pt"})
    if not inside:
        save_file(dict(sorted(of_tower.items())), f"{folder}/vision_tower/model.safetensors", metadata={"format": "pt"})
    golden(folder, tower, connector, decoder)


def golden(folder, tower, connector, decoder):
    processor = CLIPImageProcessorPil.from_pretrained(f"{folder}/vision_tower")
    pixels = torch.from_numpy(np.asarray(processor(images=expand2square(picture(60, 40)), return_tensors="np")["pixel_values"], np.float32))
    features = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    embeds = connector(features)
    ids = [1] + Tokenizer.from_file(f"{folder}/tokenizer.json").encode(PROMPT, add_special_tokens=False).ids
    at = ids.index(IMAGE_TOKEN)
    rows = decoder.model.embed_tokens(torch.tensor([ids]))
    inputs = torch.cat([rows[:, :at], embeds, rows[:, at + 1:]], 1)
    ids = ids[:at] + [IMAGE_TOKEN] * embeds.shape[1] + ids[at + 1:]
    greedy, margins, steps, past, extra = [], [], [], None, dict(inputs_embeds=inputs)
    for _ in range(STEPS):
        o = decoder(**extra, past_key_values=past, use_cache=True)
        best, token = o.logits[0, -1].topk(2)
        steps.append(o.logits[0, -1]); greedy.append(int(token[0])); margins.append(float(best[0] - best[1]))
        past, extra = o.past_key_values, dict(input_ids=token[:1].view(1, 1))
    out = dict(pixel_values=pixels[0], image_embeds=embeds[0], ids=torch.tensor(ids, dtype=torch.int32),
               step_logits=torch.stack(steps), greedy=torch.tensor(greedy, dtype=torch.int32), margin=torch.tensor(margins))
    save_file({k: v.contiguous().numpy() for k, v in sorted(out.items())}, f"{folder}/golden.safetensors")
    print(os.path.basename(folder), len(ids), "rows, image embeds", tuple(embeds.shape), "deviation", round(float(embeds.std()), 2),
          "smallest margin", round(min(margins), 4), "distinct", len(set(greedy)))


if __name__ == "__main__":
    write(f"{OUT}/ldp", "ldpnet", Ldp, 40, 8, False)
    write(f"{OUT}/ldpv2", "ldpnetv2", LdpV2, 48, 2, True)
    for kind in (Ldp, LdpV2):
        print(kind.__name__, "of MobileVLM 1.7B:", sum(p.numel() for p in kind(1024, 2048).parameters()), "parameters")
