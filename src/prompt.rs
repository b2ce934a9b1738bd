//! Prompt templates.

use crate::error::{Error, Result};
use crate::fail;
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

impl Template {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::VicunaV1, Self::LlavaV1, Self::LlavaHf, Self::Plain];

    /// The name in manifests and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::VicunaV1 => "vicuna_v1",
            Self::LlavaV1 => "llava_v1",
            Self::LlavaHf => "llava_hf",
            Self::Plain => "plain",
        }
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Template {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|t| t.name() == name) {
            Some(template) => Ok(template),
            None => fail!(Argument, "prompt template", "`{name}` is unknown (vicuna_v1, llava_v1, llava_hf, plain)"),
        }
    }
}
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
