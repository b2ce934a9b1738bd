//! `config.json` and `preprocessor_config.json` of a LLaVA checkpoint, checked before they are believed.
//!
//! Hub files leave most fields out; what is absent takes the value that transformers gives it: CLIP
//! ViT-L/14-336 for the vision tower, LLaMA-7B for the decoder. Whatever we do not implement is refused by
//! name here, so that no later layer has to doubt a size.
// budget: one check per field of two files, and their tests.

use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest value we accept for any size, so that products of two sizes fit in `u32` bindings and `u64` bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Most blocks in a tower or decoder; the 65B LLaMA has 80.
const MAX_LAYERS: u32 = 512;

/// The whole model: `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The CLIP vision tower.
    pub vision: VisionConfig,
    /// The LLaMA decoder.
    pub text: TextConfig,
    /// The connector between the two.
    pub connector: ConnectorKind,
    /// Number of blocks of the tower that are run: `vision_feature_layer` resolved against the depth
    /// (−2 of 24 → 23 blocks). Later blocks and `post_layernorm` are never loaded.
    pub vision_blocks: u32,
    /// `default` drops the class token's row, `full` keeps it.
    pub keep_class_row: bool,
    /// Id of the `<image>` token. It marks a place and is never embedded.
    pub image_token_index: u32,
}

/// `vision_config`: CLIP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisionConfig {
    /// Side of the square input, pixels.
    pub image_size: u32,
    /// Side of a patch, pixels.
    pub patch_size: u32,
    /// `C`.
    pub hidden_size: u32,
    /// MLP width.
    pub intermediate_size: u32,
    /// Blocks in the checkpoint (not all are run, see [`Config::vision_blocks`]).
    pub num_hidden_layers: u32,
    /// Attention heads.
    pub num_attention_heads: u32,
    /// LayerNorm epsilon.
    pub layer_norm_eps: f32,
    /// Activation of the MLP.
    pub hidden_act: Activation,
}

/// `text_config`: LLaMA.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextConfig {
    /// `H`.
    pub hidden_size: u32,
    /// `F`, the MLP width.
    pub intermediate_size: u32,
    /// Blocks.
    pub num_hidden_layers: u32,
    /// `N`, query heads.
    pub num_attention_heads: u32,
    /// Key and value heads; fewer than `N` means grouped-query attention.
    pub num_key_value_heads: u32,
    /// `D`, the size of a head.
    pub head_dim: u32,
    /// `V`.
    pub vocab_size: u32,
    /// RMSNorm epsilon.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Longest context, tokens: no longer than a sliding window, within which attention is the ordinary one.
    pub max_position_embeddings: u32,
    /// Mistral's sliding window where it is what ends the context, tokens.
    pub sliding_window: Option<u32>,
    /// The output head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Token put before every prompt.
    pub bos_token_id: u32,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// Pointwise activations of the tower's MLP and the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// Exact: `x · Φ(x)` with erf.
    Gelu,
}

/// `mm_projector_type` of the original code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorKind {
    /// One matrix (LLaVA).
    Linear,
    /// Linear, activation, linear (LLaVA-1.5: `mlp2x_gelu`).
    Mlp2x(Activation),
}

impl VisionConfig {
    /// `P`, patches per image.
    pub fn patches(&self) -> u32 {
        let side = self.image_size / self.patch_size;
        side * side
    }

    /// Columns of the patch embedding as stored: `3·p·p` rounded up to a multiple of 32 (588 → 608), so that every
    /// weight type fits.
    pub fn patch_columns(&self) -> u32 {
        (3 * self.patch_size * self.patch_size).next_multiple_of(32)
    }

    /// Size of a head.
    pub fn head_dim(&self) -> u32 {
        self.hidden_size / self.num_attention_heads
    }
}

impl Config {
    /// Rows an image takes in the prompt: `P`, or `P + 1` with the class row.
    pub fn image_rows(&self) -> u32 {
        self.vision.patches() + u32::from(self.keep_class_row)
    }

    /// Parses and checks `config.json` (llava-hf layout), with `generation_config.json` when there is one
    /// (its `eos_token_id` may be a list).
    ///
    /// # Errors
    /// [`Kind::Config`], naming the field, for anything malformed, inconsistent, out of range or not
    /// implemented.
    pub fn parse(config: &[u8], generation: Option<&[u8]>) -> Result<Self> {
        let root = json_object(config, "config.json")?;
        let model_type = root.get("model_type").and_then(Value::as_str).unwrap_or("llava");
        ensure!(
            model_type == "llava",
            Config,
            "config.json: model_type",
            "`{model_type}` is not implemented; this is LLaVA-1.5 (`llava`) with a CLIP tower and a LLaMA decoder"
        );
        let empty = Value::Object(Default::default());
        let vision = vision(&Fields {
            name: "config.json: vision_config",
            object: root.get("vision_config").unwrap_or(&empty),
        })?;
        let mut text = text(
            &Fields { name: "config.json: text_config", object: root.get("text_config").unwrap_or(&empty) },
            root.get("tie_word_embeddings").and_then(Value::as_bool),
        )?;
        if let Some(generation) = generation {
            let generation = json_object(generation, "generation_config.json")?;
            if let Some(ids) = generation.get("eos_token_id").filter(|v| !v.is_null()) {
                text.eos_token_ids = id_list(ids, "generation_config.json: eos_token_id")?;
            }
        }
        let top = Fields { name: "config.json", object: &root };
        ensure!(
            top.boolean("multimodal_projector_bias", true)?,
            Config,
            "config.json: multimodal_projector_bias",
            "a connector without bias is not implemented"
        );
        let connector = match top.string("mm_projector_type", "mlp2x_gelu")? {
            "linear" => ConnectorKind::Linear,
            "mlp2x_gelu" => ConnectorKind::Mlp2x(activation(
                top.string("projector_hidden_act", "gelu")?,
                "config.json: projector_hidden_act",
            )?),
            other => {
                fail!(Config, "config.json: mm_projector_type", "`{other}` is not implemented (mlp2x_gelu, linear)")
            }
        };
        let keep_class_row = match top.string("vision_feature_select_strategy", "default")? {
            "default" => false,
            "full" => true,
            other => {
                fail!(Config, "config.json: vision_feature_select_strategy", "`{other}` is unknown (default, full)")
            }
        };
        let vision_blocks = feature_layer(&root, vision.num_hidden_layers)?;
        let image_token_index = top.uint("image_token_index", top.uint("image_token_id", 32000)?)?;
        let config = Self { vision, text, connector, vision_blocks, keep_class_row, image_token_index };
        Ok(config)
    }
}

/// `vision_feature_layer` → number of blocks to run. `hidden_states[0]` is the embedding, `[i]` the output
/// of block `i`, so index −2 of 24 blocks is `hidden_states[23]`: 23 blocks.
fn feature_layer(root: &Value, layers: u32) -> Result<u32> {
    let place = "config.json: vision_feature_layer";
    let layer = match root.get("vision_feature_layer") {
        None | Some(Value::Null) => -2,
        Some(Value::Number(n)) if n.is_i64() => n.as_i64().unwrap_or(-2),
        Some(Value::Array(one)) if one.len() == 1 && one[0].is_i64() => one[0].as_i64().unwrap_or(-2),
        Some(Value::Array(_)) => fail!(Config, place, "a list of layers (concatenated features) is not implemented"),
        Some(other) => fail!(Config, place, "`{other}` is not an integer"),
    };
    let states = i64::from(layers) + 1;
    let index = if layer < 0 { states + layer } else { layer };
    ensure!((0..states).contains(&index), Config, place, "{layer} is outside the tower's {states} hidden states");
    Ok(index as u32)
}

fn vision(f: &Fields) -> Result<VisionConfig> {
    let model_type = f.string("model_type", "clip_vision_model")?;
    ensure!(
        model_type == "clip_vision_model",
        Config,
        f.at("model_type"),
        "`{model_type}` is not implemented (clip_vision_model)"
    );
    let config = VisionConfig {
        image_size: f.uint("image_size", 336)?,
        patch_size: f.uint("patch_size", 14)?,
        hidden_size: f.uint("hidden_size", 1024)?,
        intermediate_size: f.uint("intermediate_size", 4096)?,
        num_hidden_layers: f.layers(24)?,
        num_attention_heads: f.uint("num_attention_heads", 16)?,
        layer_norm_eps: f.float("layer_norm_eps", 1e-5)?,
        hidden_act: activation(f.string("hidden_act", "quick_gelu")?, &f.at("hidden_act"))?,
    };
    ensure!(
        config.image_size.is_multiple_of(config.patch_size),
        Config,
        f.at("patch_size"),
        "{} does not divide image_size {}",
        config.patch_size,
        config.image_size
    );
    // Before patches() is called: 2^20 pixels have more patches than 32 bits can count.
    let patches = u64::from(config.image_size / config.patch_size).pow(2);
    ensure!(
        config.image_size <= 2048 && patches <= 4096,
        Config,
        f.at("image_size"),
        "{} pixels and {patches} patches are more than 2048 and 4096",
        config.image_size
    );
    f.multiple_of_4("hidden_size", config.hidden_size)?;
    f.multiple_of_4("intermediate_size", config.intermediate_size)?;
    f.heads(config.hidden_size, config.num_attention_heads)?;
    Ok(config)
}

fn text(f: &Fields, tied: Option<bool>) -> Result<TextConfig> {
    let model_type = f.string("model_type", "llama")?;
    ensure!(
        matches!(model_type, "llama" | "vicuna" | "mistral"),
        Config,
        f.at("model_type"),
        "`{model_type}` is not implemented (llama, mistral)"
    );
    // What an absent field means to transformers: intermediate_size, num_key_value_heads, max_position_embeddings.
    let mistral = model_type == "mistral";
    let (intermediate, kv_heads, positions) = if mistral { (14336, Some(8), 4096 * 32) } else { (11008, None, 2048) };
    let act = f.string("hidden_act", "silu")?;
    ensure!(act == "silu", Config, f.at("hidden_act"), "`{act}` is not implemented (silu)");
    for key in ["attention_bias", "mlp_bias"] {
        ensure!(!f.boolean(key, false)?, Config, f.at(key), "biases in the decoder are not implemented");
    }
    let rope = f.get("rope_parameters").or(f.get("rope_scaling"));
    let rope_type =
        rope.and_then(|r| r.get("rope_type").or(r.get("type"))).and_then(Value::as_str).unwrap_or("default");
    let unscaled = rope_type == "linear" && rope.and_then(|r| r.get("factor")).and_then(Value::as_f64) == Some(1.0);
    ensure!(
        rope_type == "default" || unscaled,
        Config,
        f.at("rope_scaling"),
        "rope type `{rope_type}` is not implemented (default)"
    );
    let nested_theta = rope.and_then(|r| r.get("rope_theta")).and_then(Value::as_f64).unwrap_or(10000.0);
    let heads = f.uint("num_attention_heads", 32)?;
    let hidden_size = f.uint("hidden_size", 4096)?;
    let explicit_head = f.object.get("head_dim").is_some_and(|v| !v.is_null());
    if !explicit_head {
        f.heads(hidden_size, heads)?;
    }
    let positions = f.positions(positions)?;
    let window = if mistral { f.sliding_window()?.filter(|window| *window < positions) } else { None };
    let config = TextConfig {
        hidden_size,
        intermediate_size: f.uint("intermediate_size", intermediate)?,
        num_hidden_layers: f.layers(32)?,
        num_attention_heads: heads,
        num_key_value_heads: f.uint("num_key_value_heads", kv_heads.unwrap_or(heads))?,
        head_dim: f.uint("head_dim", hidden_size / heads)?,
        vocab_size: f.uint("vocab_size", 32000)?,
        rms_norm_eps: f.float("rms_norm_eps", 1e-6)?,
        rope_theta: f.float("rope_theta", nested_theta)?,
        max_position_embeddings: window.unwrap_or(positions),
        sliding_window: window,
        tie_word_embeddings: f.boolean("tie_word_embeddings", tied.unwrap_or(false))?,
        bos_token_id: f.uint_or_zero("bos_token_id", 1)?,
        eos_token_ids: match f.object.get("eos_token_id").filter(|v| !v.is_null()) {
            Some(ids) => id_list(ids, &f.at("eos_token_id"))?,
            None => vec![2],
        },
    };
    f.multiple_of_4("hidden_size", config.hidden_size)?;
    f.multiple_of_4("intermediate_size", config.intermediate_size)?;
    ensure!(
        config.head_dim.is_multiple_of(4) && config.head_dim <= 256,
        Config,
        f.at("head_dim"),
        "{} is not a multiple of 4 up to 256",
        config.head_dim
    );
    ensure!(
        heads % config.num_key_value_heads == 0,
        Config,
        f.at("num_key_value_heads"),
        "{} does not divide num_attention_heads {heads}",
        config.num_key_value_heads
    );
    Ok(config)
}

fn activation(name: &str, place: &str) -> Result<Activation> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        other => fail!(Config, place, "`{other}` is not implemented (quick_gelu, gelu)"),
    }
}

fn id_list(value: &Value, place: &str) -> Result<Vec<u32>> {
    let one = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value {
        Value::Array(list) => list.iter().map(one).collect::<Option<Vec<_>>>(),
        single => one(single).map(|id| vec![id]),
    };
    match ids {
        Some(ids) if ids.len() <= 64 => Ok(ids),
        _ => fail!(Config, place, "`{value}` is not a token id or a list of at most 64"),
    }
}

/// Bytes → JSON object, with the file named in the error. 1 MiB is hundreds of times a real config.
pub fn json_object(bytes: &[u8], place: &str) -> Result<Value> {
    ensure!(bytes.len() <= 1 << 20, Config, place, "{} bytes; a configuration has at most 1 MiB", bytes.len());
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::new(Kind::Config, place, e.to_string()))?;
    ensure!(value.is_object(), Config, place, "is not a JSON object");
    Ok(value)
}

/// Typed access to an object's fields, with the place in every error.
struct Fields<'a> {
    name: &'a str,
    object: &'a Value,
}

impl<'a> Fields<'a> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }
    fn uint_or_zero(&self, key: &str, default: u32) -> Result<u32> {
        match self.get(key).map(|v| (v, v.as_u64())) {
            None => Ok(default),
            Some((_, Some(n))) if n <= MAX_SIZE => Ok(n as u32),
            Some((v, _)) => fail!(Config, self.at(key), "`{v}` is not an integer up to {MAX_SIZE}"),
        }
    }
    fn uint(&self, key: &str, default: u32) -> Result<u32> {
        let n = self.uint_or_zero(key, default)?;
        ensure!(n > 0, Config, self.at(key), "is zero");
        Ok(n)
    }
    fn layers(&self, default: u32) -> Result<u32> {
        let n = self.uint("num_hidden_layers", default)?;
        ensure!(n <= MAX_LAYERS, Config, self.at("num_hidden_layers"), "{n} is more than {MAX_LAYERS}");
        Ok(n)
    }
    /// `max_position_embeddings`; more than we could ever hold is as good as [`MAX_SIZE`].
    fn positions(&self, default: u32) -> Result<u32> {
        match self.get("max_position_embeddings").and_then(Value::as_u64) {
            Some(n) if n > MAX_SIZE => Ok(MAX_SIZE as u32),
            _ => self.uint("max_position_embeddings", default),
        }
    }
    /// Mistral's `sliding_window`: absent it is 4096, as transformers has it; null is none.
    fn sliding_window(&self) -> Result<Option<u32>> {
        match self.object.get("sliding_window") {
            Some(Value::Null) => Ok(None),
            _ => self.uint("sliding_window", 4096).map(Some),
        }
    }
    fn float(&self, key: &str, default: f64) -> Result<f32> {
        match self.get(key).map(|v| (v, v.as_f64())) {
            None => Ok(default as f32),
            Some((_, Some(x))) if x > 0.0 && x < 1e9 => Ok(x as f32),
            Some((v, _)) => fail!(Config, self.at(key), "`{v}` is not a positive number"),
        }
    }
    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key).map(|v| (v, v.as_bool())) {
            None => Ok(default),
            Some((_, Some(b))) => Ok(b),
            Some((v, None)) => fail!(Config, self.at(key), "`{v}` is not true or false"),
        }
    }
    fn string(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key).map(|v| (v, v.as_str())) {
            None => Ok(default),
            Some((_, Some(s))) => Ok(s),
            Some((v, None)) => fail!(Config, self.at(key), "`{v}` is not a string"),
        }
    }
    fn multiple_of_4(&self, key: &str, n: u32) -> Result<()> {
        ensure!(n.is_multiple_of(4), Config, self.at(key), "{n} is not a multiple of 4");
        Ok(())
    }
    fn heads(&self, hidden: u32, heads: u32) -> Result<()> {
        ensure!(
            hidden.is_multiple_of(heads) && (hidden / heads).is_multiple_of(4) && hidden / heads <= 256,
            Config,
            self.at("num_attention_heads"),
            "{hidden} / {heads} heads is not a head size that is a multiple of 4 up to 256"
        );
        Ok(())
    }
}

/// How a picture becomes the square input: `preprocessor_config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquarePolicy {
    /// Paste on a square of the mean colour, then resize: LLaVA-1.5's own way.
    Pad,
    /// Resize the shorter side, then cut out the centre: the Hugging Face default; loses the borders.
    Crop,
}
