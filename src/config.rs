//! `config.json` of a checkpoint, checked before it is believed.
//!
//! Hub files leave most fields out; an absent field takes the value that transformers gives it. What is not implemented
//! is refused by name here, so that no later layer has to doubt a size. A family of models has one file here:
//! `llava.rs`, `llava_next.rs`, `idefics3.rs`. What families share is in `towers.rs` and `text.rs`.

mod fields;
mod idefics3;
mod llava;
pub mod llava_next;
mod text;
mod towers;
mod types;

pub use fields::json_object;
pub(crate) use text::instead;
pub use types::{
    Activation, Config, ConnectorKind, LDP_V2_SIDE, PictureLayout, SquarePolicy, TextConfig, TowerKind, VisionConfig,
};

use crate::error::{Error, Kind, Result};
use serde_json::Value;

impl Config {
    /// Parses and checks `config.json` (llava-hf layout), with `generation_config.json` where there is one (its
    /// `eos_token_id` may be a list).
    ///
    /// # Errors
    /// [`Kind::Config`], naming the field, for anything malformed, inconsistent, out of
    /// range or not implemented.
    pub fn parse(config: &[u8], generation: Option<&[u8]>) -> Result<Self> {
        let root = json_object(config, "config.json")?;
        let model_type = root.get("model_type").and_then(Value::as_str).unwrap_or("llava");
        match model_type {
            "llava" => llava::parse(&root, generation),
            "llava_next" => llava_next::parse(&root, generation),
            "idefics3" | "smolvlm" => idefics3::parse(&root, generation),
            other => {
                let message = format!("`{other}` is not implemented (llava, llava_next, idefics3, smolvlm)");
                Err(Error::new(Kind::Config, "config.json: model_type", message).hint(instead(other)))
            }
        }
    }
}
