//! Constraints on answers: a grammar outside the engine says which tokens may come next.
//!
//! The package `src/grammar/` has the grammars. The engine knows a trait alone, so that a page that constrains no answer
//! loads none of it.

use super::{Engine, GenerateOptions};
use crate::ensure;
use crate::error::Result;

/// What may come next in one answer.
pub trait Constraint {
    /// Writes the allowed tokens of the next step: bit `id % 32` of word `id / 32` is set where a token is allowed.
    /// `words` has ⌈V / 32⌉ words.
    ///
    /// # Errors
    /// When no token is allowed, or the step would cost too much.
    fn mask(&mut self, words: &mut [u32]) -> Result<()>;

    /// Records a sampled token. Returns whether the answer must end here.
    ///
    /// # Errors
    /// When the token is not allowed.
    fn accept(&mut self, token: u32) -> Result<bool>;
}

/// The constraint of the running answer, with the words of its masks.
pub(super) struct Constrained {
    constraint: Box<dyn Constraint>,
    words: Vec<u32>,
    /// Whether the answer must end: nothing may follow the tokens so far.
    pub ended: bool,
}

impl Constrained {
    /// Records a token of the answer.
    pub fn accept(&mut self, token: u32) -> Result<()> {
        self.ended = self.constraint.accept(token)?;
        Ok(())
    }

    /// Returns the mask of the next step.
    pub fn mask(&mut self) -> Result<&[u32]> {
        self.words.fill(0);
        self.constraint.mask(&mut self.words)?;
        ensure!(self.words.iter().any(|word| *word != 0), Argument, "constraint", "allows no token");
        Ok(&self.words)
    }
}

impl Engine {
    /// Constrains the next answer, and no answer after it; `None` takes a constraint back. The tokens of
    /// [`GenerateOptions::answer_prefix`] are part of a constrained answer.
    pub fn constrain(&mut self, constraint: Option<Box<dyn Constraint>>) {
        self.constraint = constraint;
    }

    /// Returns the bytes of each token and the tokens that end an answer, for constraints: see
    /// [`Tokenizer::pack_vocabulary`](crate::tokenizer::Tokenizer::pack_vocabulary).
    pub fn vocabulary(&self) -> Vec<u8> {
        self.format.tokenizer.pack_vocabulary(&self.format.end_ids)
    }

    /// Takes the constraint for an answer that begins with the tokens of `options`.
    pub(super) fn begin_constraint(&mut self, options: &GenerateOptions) -> Result<Option<Constrained>> {
        let Some(constraint) = self.constraint.take() else { return Ok(None) };
        let mut constrained = Constrained { constraint, words: vec![0; self.model.mask_words()], ended: false };
        options.answer_prefix.iter().try_for_each(|id| constrained.accept(*id))?;
        Ok(Some(constrained))
    }
}
