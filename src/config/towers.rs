//! The vision towers: `vision_config` of every family, each with transformers' values for absent fields.

use super::fields::Fields;
use super::types::{Activation, TowerKind, VisionConfig};
use crate::error::Result;
use crate::{ensure, fail};

/// Parses the `vision_config` of a LLaVA: CLIP, or SigLIP as `siglip_vision_model`. Absent fields are those of CLIP
/// ViT-L/14-336, as LlavaConfig has them, and of SigLIP base.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config), naming the field.
pub(super) fn vision(f: &Fields) -> Result<VisionConfig> {
    match f.string("model_type", "clip_vision_model")? {
        "clip_vision_model" => {
            let vision = read(f, TowerKind::Clip, [336, 14, 1024, 4096, 24, 16], 1e-5, "quick_gelu")?;
            ensure!(
                vision.image_size.is_multiple_of(vision.patch_size),
                Config,
                f.at("patch_size"),
                "{} does not divide image_size {}",
                vision.patch_size,
                vision.image_size
            );
            Ok(vision)
        }
        "siglip_vision_model" => read(f, TowerKind::Siglip, [224, 16, 768, 3072, 12, 12], 1e-6, TANH),
        other => {
            fail!(Config, f.at("model_type"), "`{other}` is not implemented (clip_vision_model, siglip_vision_model)")
        }
    }
}

/// Parses the `vision_config` of an Idefics3 or SmolVLM: SigLIP with its last norm.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config), naming the field.
pub(super) fn idefics3(f: &Fields) -> Result<VisionConfig> {
    let model_type = f.string("model_type", "idefics3_vision")?;
    ensure!(
        matches!(model_type, "idefics3" | "idefics3_vision" | "smolvlm_vision" | "siglip_vision_model"),
        Config,
        f.at("model_type"),
        "`{model_type}` is not implemented (idefics3_vision, smolvlm_vision)"
    );
    let vision = read(f, TowerKind::Siglip, [224, 32, 1152, 3072, 12, 16], 1e-6, TANH)?;
    Ok(VisionConfig { post_layernorm: true, ..vision })
}

/// SigLIP's activation.
const TANH: &str = "gelu_pytorch_tanh";

/// Reads the fields of any tower. `defaults`: image size, patch size, width, MLP width, blocks, heads.
fn read(f: &Fields, tower: TowerKind, defaults: [u32; 6], eps: f64, act: &str) -> Result<VisionConfig> {
    let [image, patch, hidden, intermediate, layers, heads] = defaults;
    let config = VisionConfig {
        tower,
        post_layernorm: false,
        image_size: f.uint("image_size", image)?,
        patch_size: f.uint("patch_size", patch)?,
        hidden_size: f.uint("hidden_size", hidden)?,
        intermediate_size: f.uint("intermediate_size", intermediate)?,
        num_hidden_layers: f.layers(layers)?,
        num_attention_heads: f.uint("num_attention_heads", heads)?,
        layer_norm_eps: f.float("layer_norm_eps", eps)?,
        hidden_act: match f.get("hidden_act") {
            None => activation(act, "")?,
            Some(_) => activation(f.string("hidden_act", "")?, &f.at("hidden_act"))?,
        },
    };
    let channels = f.uint("num_channels", 3)?;
    ensure!(channels == 3, Config, f.at("num_channels"), "{channels} is not implemented (3)");
    // Before patches() is called: 2^20 pixels have more patches than 32 bits can count.
    let patches = u64::from(config.image_size / config.patch_size).pow(2);
    ensure!(
        config.image_size <= 2048 && (1..=4096).contains(&patches),
        Config,
        f.at("image_size"),
        "{} pixels and {patches} patches are not up to 2048 and 1 to 4096",
        config.image_size
    );
    f.multiple_of_4("hidden_size", config.hidden_size)?;
    f.multiple_of_4("intermediate_size", config.intermediate_size)?;
    f.heads(config.hidden_size, config.num_attention_heads)?;
    Ok(config)
}

/// Returns the activation that transformers calls `name`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) at `place` for another one.
pub(super) fn activation(name: &str, place: &str) -> Result<Activation> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        // One formula under three names.
        TANH | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => fail!(Config, place, "`{other}` is not implemented (quick_gelu, gelu, {TANH})"),
    }
}
