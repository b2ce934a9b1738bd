//! Evaluation of a model with the engine, the code that the page runs.

use super::eval::VqaModel;
use crate::device::BackendChoice;
use crate::engine::{Engine, GenerateOptions, SilentObserver};
use crate::error::Result;
use crate::native::load_model;
use crate::preprocess::Rendering;
use pollster::block_on;
use std::path::Path;

/// Maximum length of an answer, tokens.
const MAX_NEW_TOKENS: u32 = 100;

/// A model loaded into the engine, answering with greedy decoding unless other options are set.
pub struct EngineVqa {
    engine: Engine,
    options: GenerateOptions,
}

impl EngineVqa {
    /// Loads the model whose manifest is in `directory`; its pictures are decoded with `rendering`.
    ///
    /// # Errors
    /// Errors of the loader.
    pub fn load(directory: &Path, backend: BackendChoice, rendering: Rendering) -> Result<Self> {
        let mut engine = block_on(load_model(directory, None, backend, None))?;
        engine.set_rendering(rendering);
        Ok(Self { engine, options: GenerateOptions { max_new_tokens: MAX_NEW_TOKENS, ..GenerateOptions::default() } })
    }

    /// Samples as `options` say; the maximum length of an answer stays.
    pub fn with_options(self, options: GenerateOptions) -> Self {
        Self { options: GenerateOptions { max_new_tokens: MAX_NEW_TOKENS, ..options }, ..self }
    }
}

impl VqaModel for EngineVqa {
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String> {
        let options = self.options.clone();
        self.engine.reset();
        block_on(async {
            self.engine.encode(image, &mut SilentObserver).await?;
            for question in earlier {
                self.engine.generate(question, &options, &mut SilentObserver).await?;
            }
            Ok(self.engine.generate(question, &options, &mut SilentObserver).await?.text)
        })
    }
}
