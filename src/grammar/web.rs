//! The exported surface of the grammar module, as JavaScript classes.
//!
//! A panic ends a WebAssembly module. The worker then drops it and loads another one for the next answer
//! (`www/worker/grammar.js`), so the engine's own module never sees it.

use crate::{Constraint, Error, Vocabulary};
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsError>;

fn thrown(error: Error) -> JsError {
    JsError::new(&error.to_string())
}

/// The vocabulary of a model, for its constraints.
#[wasm_bindgen]
pub struct Grammars(Vocabulary);

#[wasm_bindgen]
impl Grammars {
    /// Parses what `Llava.vocabulary()` returned.
    #[wasm_bindgen(constructor)]
    pub fn new(vocabulary: &[u8]) -> Result<Grammars> {
        Vocabulary::parse(vocabulary).map(Grammars).map_err(thrown)
    }

    /// Compiles a `response_format`, as JSON, for one answer.
    pub fn constrain(&self, response_format: &str) -> Result<AnswerConstraint> {
        let constraint = Constraint::new(&self.0, response_format).map_err(thrown)?;
        Ok(AnswerConstraint { constraint, words: vec![0; self.0.words()] })
    }
}

/// What may come next in one answer.
#[wasm_bindgen]
pub struct AnswerConstraint {
    constraint: Constraint,
    words: Vec<u32>,
}

#[wasm_bindgen]
impl AnswerConstraint {
    /// Returns the allowed tokens of the next step, one bit each.
    pub fn mask(&mut self) -> Result<Vec<u32>> {
        self.constraint.mask(&mut self.words).map_err(thrown)?;
        Ok(self.words.clone())
    }

    /// Records the sampled token. Returns whether the answer must end here.
    pub fn accept(&mut self, token: u32) -> Result<bool> {
        self.constraint.accept(token).map_err(thrown)
    }
}
