//! `config.json` of a checkpoint, checked before it is believed.
//!
//! Hub files leave most fields out; an absent field takes the value that transformers gives it. What is not implemented
//! is refused by name here, so that no later layer has to doubt a size. A family of models has one file here:
//! `llava.rs`.

mod fields;
mod llava;
mod types;

pub use fields::json_object;
pub use types::{Activation, Config, ConnectorKind, LDP_V2_SIDE, SquarePolicy, TextConfig, VisionConfig};

use crate::error::Result;
use crate::fail;
use serde_json::Value;

impl Config {
    /// Parses and checks `config.json` (llava-hf layout), with `generation_config.json` where there is one (its
    /// `eos_token_id` may be a list).
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), naming the field, for anything malformed, inconsistent, out of
    /// range or not implemented.
    pub fn parse(config: &[u8], generation: Option<&[u8]>) -> Result<Self> {
        let root = json_object(config, "config.json")?;
        let model_type = root.get("model_type").and_then(Value::as_str).unwrap_or("llava");
        match model_type {
            "llava" => llava::parse(&root, generation),
            other => fail!(
                Config,
                "config.json: model_type",
                "`{other}` is not implemented; this is LLaVA-1.5 (`llava`) with a CLIP tower and a LLaMA decoder"
            ),
        }
    }
}
