//! `text_config`: a decoder of LLaMA's kind.
//!
//! Absent fields are those of LLaMA-7B, Mistral-7B or Qwen2-7B, by `model_type`. Qwen2 is a LLaMA whose `q`, `k` and `v`
//! have biases.

use super::fields::Fields;
use super::types::TextConfig;
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde_json::Value;

/// What transformers takes for absent fields, and what a `model_type` fixes.
struct Defaults {
    intermediate: u32,
    /// `None`: as many as query heads.
    kv_heads: Option<u32>,
    positions: u32,
    vocab: u32,
    bos: u32,
    eos: &'static [u32],
    attention_bias: bool,
}

const LLAMA: Defaults = Defaults {
    intermediate: 11008,
    kv_heads: None,
    positions: 2048,
    vocab: 32000,
    bos: 1,
    eos: &[2],
    attention_bias: false,
};
const MISTRAL: Defaults = Defaults { intermediate: 14336, kv_heads: Some(8), positions: 4096 * 32, ..LLAMA };
/// The ids are those of its vocabulary, `<|im_end|>` and `<|endoftext|>`: transformers has none.
const QWEN_2: Defaults = Defaults {
    intermediate: 22016,
    kv_heads: Some(32),
    positions: 32768,
    vocab: 151_936,
    bos: 151_643,
    eos: &[151_645, 151_643],
    attention_bias: true,
};

/// Returns the defaults of a `model_type`.
///
/// # Errors
/// [`Kind::Config`] for any that is not implemented, with a model to take instead.
fn defaults(model_type: &str, place: &str) -> Result<&'static Defaults> {
    let hint = match model_type {
        "llama" | "vicuna" => return Ok(&LLAMA),
        "mistral" => return Ok(&MISTRAL),
        "qwen2" => return Ok(&QWEN_2),
        other => instead(other),
    };
    let error = Error::new(Kind::Config, place, format!("`{model_type}` is not implemented (llama, mistral, qwen2)"));
    Err(error.hint(hint))
}

/// Returns the model to take in place of one with this decoder or `model_type`, which is not implemented.
pub(crate) fn instead(name: &str) -> &'static str {
    match name {
        "phi3" => "take xtuner/llava-phi-3-mini-gguf, whose Phi-3 is written as a LLaMA",
        "phi" | "phi2" | "phi-msft" | "moondream1" => {
            "moondream is not read; HuggingFaceTB/SmolVLM-500M-Instruct is smaller and answers the same questions"
        }
        _ => "take a model whose decoder is a LLaMA, Vicuna, Mistral or Qwen2",
    }
}

/// Parses `text_config`; `tied` is the model's own `tie_word_embeddings`.
///
/// # Errors
/// [`Kind::Config`], naming the field.
pub(super) fn text(f: &Fields, tied: Option<bool>) -> Result<TextConfig> {
    let model_type = f.string("model_type", "llama")?;
    let absent = defaults(model_type, &f.at("model_type"))?;
    let act = f.string("hidden_act", "silu")?;
    ensure!(act == "silu", Config, f.at("hidden_act"), "`{act}` is not implemented (silu)");
    // A Qwen2 knows neither field.
    for key in ["attention_bias", "mlp_bias"].iter().filter(|_| !absent.attention_bias) {
        ensure!(!f.boolean(key, false)?, Config, f.at(key), "biases in a {model_type} are not implemented");
    }
    let heads = f.uint("num_attention_heads", 32)?;
    let hidden_size = f.uint("hidden_size", 4096)?;
    let explicit_head = f.object.get("head_dim").is_some_and(|v| !v.is_null());
    if !explicit_head {
        f.heads(hidden_size, heads)?;
    }
    let positions = f.positions(absent.positions)?;
    let slides = match model_type {
        "mistral" => true,
        "qwen2" => f.boolean("use_sliding_window", false)?,
        _ => false,
    };
    let window = if slides { f.sliding_window()?.filter(|window| *window < positions) } else { None };
    let config = TextConfig {
        hidden_size,
        intermediate_size: f.uint("intermediate_size", absent.intermediate)?,
        num_hidden_layers: f.layers(32)?,
        num_attention_heads: heads,
        num_key_value_heads: f.uint("num_key_value_heads", absent.kv_heads.unwrap_or(heads))?,
        head_dim: f.uint("head_dim", hidden_size / heads)?,
        vocab_size: f.uint("vocab_size", absent.vocab)?,
        rms_norm_eps: f.float("rms_norm_eps", 1e-6)?,
        attention_bias: absent.attention_bias,
        rope_theta: rope_theta(f)?,
        max_position_embeddings: window.unwrap_or(positions),
        sliding_window: window,
        tie_word_embeddings: f.boolean("tie_word_embeddings", tied.unwrap_or(false))?,
        bos_token_id: f.uint_or_zero("bos_token_id", absent.bos)?,
        eos_token_ids: match f.object.get("eos_token_id").filter(|v| !v.is_null()) {
            Some(ids) => id_list(ids, &f.at("eos_token_id"))?,
            None => absent.eos.to_vec(),
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

/// Returns the base of the rotary frequencies; refuses scaled variants by name.
fn rope_theta(f: &Fields) -> Result<f32> {
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
    let nested = rope.and_then(|r| r.get("rope_theta")).and_then(Value::as_f64).unwrap_or(10000.0);
    f.float("rope_theta", nested)
}

/// Parses a token id or a list of at most 64.
pub(super) fn id_list(value: &Value, place: &str) -> Result<Vec<u32>> {
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
