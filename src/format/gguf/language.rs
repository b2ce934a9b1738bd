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
    /// Rows of the embedding table.
    pub vocab_size: u32,
    /// `text_config`, without the ids of tokens.
    pub config: Json,
}

/// Reads and checks the metadata of a `llama`. `tensor` finds a tensor in any of its parts.
///
/// # Errors
/// [`Kind::Config`], naming the key, for what is missing, inconsistent or not implemented.
pub(super) fn language<'a>(file: &Gguf, tensor: impl Fn(&str) -> Option<&'a TensorInfo>) -> Result<Language> {
    let experts = file.uint("llama.expert_count")?.unwrap_or(0);
    ensure!(experts == 0, Config, "GGUF: llama.expert_count", "a mixture of {experts} experts is not implemented");
    rope_is_plain(file)?;
    if let Some(factors) = tensor("rope_freqs.weight") {
        let message = "Llama 3.1's scaled rotary frequencies are not implemented";
        let error = Error::new(Kind::Tensor, &factors.name, message);
        return Err(error.hint("take a model made of Llama 3 or Llama 2"));
    }
    let Some(&[vocab_size, _]) = tensor("token_embd.weight").map(|t| t.shape.as_slice()) else {
        fail!(Tensor, "token_embd.weight", "is missing, or no matrix");
    };
    let hidden_size = file.required("llama.embedding_length")?;
    let heads = file.required("llama.attention.head_count")?;
    let kv_heads = file.u32("llama.attention.head_count_kv")?.unwrap_or(heads);
    let rotated = file.u32("llama.rope.dimension_count")?;
    let key_length = file.u32("llama.attention.key_length")?;
    let Some(head_dim) = key_length.or(rotated).or(hidden_size.checked_div(heads)) else {
        fail!(Config, "GGUF: llama.attention.head_count", "is zero");
    };
    for (key, value) in [
        ("llama.rope.dimension_count", rotated),
        ("llama.attention.value_length", file.u32("llama.attention.value_length")?),
    ] {
        let same = value.is_none_or(|n| n == head_dim);
        ensure!(same, Config, format!("GGUF: {key}"), "{value:?}, but heads have {head_dim} values: not implemented");
    }
    // llama.cpp calls a Mistral a llama; its window tells it apart. 0 stands for none.
    let window = file.u32("llama.attention.sliding_window")?.filter(|window| *window > 0);
    let config = json!({
        "model_type": if window.is_some() { "mistral" } else { "llama" },
        "sliding_window": window,
        "hidden_size": hidden_size,
        "intermediate_size": file.required("llama.feed_forward_length")?,
        "num_hidden_layers": file.required("llama.block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab_size,
        "rms_norm_eps": file.float("llama.attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
        "rope_theta": file.float("llama.rope.freq_base")?.unwrap_or(10000.0),
        "max_position_embeddings": file.u32("llama.context_length")?.unwrap_or(2048),
        "tie_word_embeddings": tensor("output.weight").is_none(),
    });
    Ok(Language { hidden_size, heads, kv_heads, vocab_size, config })
}

/// Refuses rotary scaling, unless it changes no number.
fn rope_is_plain(file: &Gguf) -> Result<()> {
    let kind = file.text("llama.rope.scaling.type")?.unwrap_or("none");
    let known = matches!(kind, "none" | "linear");
    ensure!(known, Config, "GGUF: llama.rope.scaling.type", "`{}` is not implemented (none)", kind.escape_debug());
    let scaled = |key: &str| Ok(file.float(key)?.filter(|f| *f != 1.0 && *f != 0.0));
    for key in ["llama.rope.scale_linear", "llama.rope.scaling.factor"] {
        if let Some(factor) = scaled(key)? {
            // `none` with a factor is a left-over that llama.cpp does not apply either.
            let applies = key == "llama.rope.scale_linear" || kind != "none";
            ensure!(!applies, Config, format!("GGUF: {key}"), "rotary scaling by {factor} is not implemented");
        }
    }
    Ok(())
}
