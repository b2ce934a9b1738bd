//! The engine answering: what the page runs is what is examined.

use super::eval::Answerer;
use crate::device::BackendChoice;
use crate::engine::{Engine, GenerateOptions, SilentObserver};
use crate::error::Result;
use crate::native::load_model;
use crate::preprocess::Rendering;
use pollster::block_on;
use std::path::Path;

/// Longest answer, tokens.
const LONGEST: u32 = 100;

/// A loaded model.
pub struct EngineAnswerer {
    engine: Engine,
}

impl EngineAnswerer {
    /// Loads the model whose manifest is in `directory`; pictures are rendered as `rendering` says.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn load(directory: &Path, backend: BackendChoice, rendering: Rendering) -> Result<Self> {
        let mut engine = block_on(load_model(directory, None, backend, None))?;
        engine.set_rendering(rendering);
        Ok(Self { engine })
    }
}

impl Answerer for EngineAnswerer {
    fn answer(&mut self, image: &[u8], earlier: &[String], question: &str) -> Result<String> {
        let options = GenerateOptions { max_new_tokens: LONGEST, temperature: 0.0, ..GenerateOptions::default() };
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
