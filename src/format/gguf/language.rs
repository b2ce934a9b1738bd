//! The language model of a GGUF pair: llama.cpp's keys → `text_config`.

use super::header::{Gguf, TensorInfo};
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde_json::{Value as Json, json};

/// Metadata of a language model.
pub(super) struct Language {
    pub hidden_size: u32,
    pub heads: u32,
    pub kv_heads: u32,
    /// Whether rows of `q` and `k` are interleaved for a rotation of neighbours.
    pub interleaved: bool,
    /// Rows of the embedding table.
    pub vocab_size: u32,
    /// `text_config`, without the ids of tokens.
    pub config: Json,
}

/// Architectures that are read. Their keys begin with their names.
pub(super) const ARCHITECTURES: [&str; 2] = ["llama", "qwen2"];

/// Reads and checks the metadata of one of [`ARCHITECTURES`]. `tensor` finds a tensor in any of its parts.
///
/// # Errors
/// [`Kind::Config`], naming the key, for what is missing, inconsistent or not implemented.
pub(super) fn language<'a>(file: &Gguf, tensor: impl Fn(&str) -> Option<&'a TensorInfo>) -> Result<Language> {
    // Files from before architectures were named are LLaMA's.
    let architecture = file.text("general.architecture")?.unwrap_or(ARCHITECTURES[0]);
    let qwen2 = architecture == "qwen2";
    let key = |name: &str| format!("{architecture}.{name}");
    let at = |name: &str| format!("GGUF: {architecture}.{name}");
    let experts = file.uint(&key("expert_count"))?.unwrap_or(0);
    ensure!(experts == 0, Config, at("expert_count"), "a mixture of {experts} experts is not implemented");
    rope_is_plain(file, architecture)?;
    if let Some(factors) = tensor("rope_freqs.weight") {
        let message = "Llama 3.1's scaled rotary frequencies are not implemented";
        let error = Error::new(Kind::Tensor, &factors.name, message);
        return Err(error.hint("take a model made of Llama 3 or Llama 2"));
    }
    let Some(&[vocab_size, _]) = tensor("token_embd.weight").map(|t| t.shape.as_slice()) else {
        fail!(Tensor, "token_embd.weight", "is missing, or no matrix");
    };
    let hidden_size = file.required(&key("embedding_length"))?;
    let heads = file.required(&key("attention.head_count"))?;
    let kv_heads = file.u32(&key("attention.head_count_kv"))?.unwrap_or(heads);
    let head_dim = head_dim(file, architecture, hidden_size, heads)?;
    // llama.cpp calls a Mistral a llama; its window tells it apart. 0 stands for none. It gives a qwen2 none.
    let window = file.u32(&key("attention.sliding_window"))?.filter(|window| *window > 0 && !qwen2);
    let model_type = if window.is_some() { "mistral" } else { architecture };
    let config = json!({
        "model_type": model_type,
        "sliding_window": window,
        "hidden_size": hidden_size,
        "intermediate_size": file.required(&key("feed_forward_length"))?,
        "num_hidden_layers": file.required(&key("block_count"))?,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab_size,
        "rms_norm_eps": file.float(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(if qwen2 { 1e-6 } else { 1e-5 }),
        "rope_theta": file.float(&key("rope.freq_base"))?.unwrap_or(10000.0),
        "max_position_embeddings": file.u32(&key("context_length"))?.unwrap_or(2048),
        "tie_word_embeddings": tensor("output.weight").is_none(),
    });
    Ok(Language { hidden_size, heads, kv_heads, interleaved: !qwen2, vocab_size, config })
}

/// Returns the size of a head; all of it is rotated.
fn head_dim(file: &Gguf, architecture: &str, hidden_size: u32, heads: u32) -> Result<u32> {
    let key = |name: &str| format!("{architecture}.{name}");
    let rotated = file.u32(&key("rope.dimension_count"))?;
    let key_length = file.u32(&key("attention.key_length"))?;
    let Some(head_dim) = key_length.or(rotated).or(hidden_size.checked_div(heads)) else {
        fail!(Config, format!("GGUF: {}", key("attention.head_count")), "is zero");
    };
    for (name, value) in
        [("rope.dimension_count", rotated), ("attention.value_length", file.u32(&key("attention.value_length"))?)]
    {
        let same = value.is_none_or(|n| n == head_dim);
        let place = format!("GGUF: {}", key(name));
        ensure!(same, Config, place, "{value:?}, but heads have {head_dim} values: not implemented");
    }
    Ok(head_dim)
}

/// Refuses rotary scaling, unless it changes no number.
fn rope_is_plain(file: &Gguf, architecture: &str) -> Result<()> {
    let key = |name: &str| format!("{architecture}.rope.{name}");
    let kind = file.text(&key("scaling.type"))?.unwrap_or("none");
    let known = matches!(kind, "none" | "linear");
    let place = format!("GGUF: {}", key("scaling.type"));
    ensure!(known, Config, place, "`{}` is not implemented (none)", kind.escape_debug());
    for name in ["scale_linear", "scaling.factor"] {
        if let Some(factor) = file.float(&key(name))?.filter(|f| *f != 1.0 && *f != 0.0) {
            // `none` with a factor is a left-over that llama.cpp does not apply either.
            let applies = name == "scale_linear" || kind != "none";
            ensure!(!applies, Config, format!("GGUF: {}", key(name)), "rotary scaling by {factor} is not implemented");
        }
    }
    Ok(())
}
