//! Prompt templates.

use serde::{Deserialize, Serialize};

/// How a conversation is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// LLaVA-1.5 as trained and benchmarked.
    #[default]
    VicunaV1,
    /// The original demo's wording.
    LlavaV1,
    /// The Hugging Face chat template: no system prompt.
    LlavaHf,
    /// Image, then text; stage 1.
    Plain,
}
use crate::error::Result;
use crate::tokenizer::Tokenizer;
pub enum PromptItem {
    Token(u32),
    Image(usize),
}
#[derive(Clone)]
pub struct Turn {
    pub images: usize,
    pub question: String,
    pub answer: Option<Vec<u32>>,
}
impl Template {
    pub fn items(&self, _: &[Turn], _: &Tokenizer) -> Result<Vec<PromptItem>> {
        Ok(vec![])
    }
}
pub fn raw(_: &str, _: &Tokenizer) -> Result<Vec<PromptItem>> {
    Ok(vec![])
}
