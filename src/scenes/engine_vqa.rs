//! Evaluation of a model with the engine, the code that the page runs.

use super::eval::VqaModel;
use crate::device::BackendChoice;
use crate::engine::{Engine, GenerateOptions};
use crate::error::Result;
use crate::native::{ResponseFormat, answer_in_turn, load_model};
use crate::preprocess::Rendering;
use pollster::block_on;
use serde_json::Value;
use std::path::Path;

/// Maximum length of an answer, tokens.
const MAX_NEW_TOKENS: u32 = 100;

/// A model loaded into the engine, answering with greedy decoding unless other options are set.
pub struct EngineVqa {
    engine: Engine,
    options: GenerateOptions,
    format: Option<ResponseFormat>,
}

impl EngineVqa {
    /// Loads the model whose manifest is in `directory`; its pictures are decoded with `rendering`.
    ///
    /// # Errors
    /// Errors of the loader.
    pub fn load(directory: &Path, backend: BackendChoice, rendering: Rendering) -> Result<Self> {
        let mut engine = block_on(load_model(directory, None, backend, None))?;
        engine.set_rendering(rendering);
        let options = GenerateOptions { max_new_tokens: MAX_NEW_TOKENS, ..GenerateOptions::default() };
        Ok(Self { engine, options, format: None })
    }

    /// Samples as `options` say; the maximum length of an answer stays.
    pub fn with_options(self, options: GenerateOptions) -> Self {
        Self { options: GenerateOptions { max_new_tokens: MAX_NEW_TOKENS, ..options }, ..self }
    }

    /// Restricts every answer to a `response_format`.
    ///
    /// # Errors
    /// Those of [`ResponseFormat::new`].
    pub fn with_format(self, response_format: Option<&Value>) -> Result<Self> {
        let format = response_format.map(|format| ResponseFormat::new(&self.engine, format)).transpose()?;
        Ok(Self { format, ..self })
    }
}

impl VqaModel for EngineVqa {
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String> {
        let questions = earlier.iter().map(String::as_str).chain([question]);
        let Self { engine, options, format } = self;
        Ok(block_on(answer_in_turn(engine, Some(image), questions, options, format.as_ref()))?.text)
    }
}
