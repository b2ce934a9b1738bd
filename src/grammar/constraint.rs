//! The state of one constrained answer.

use crate::{Error, Result, Vocabulary, request};
use llguidance::Matcher;

const PLACE: &str = "response_format";

/// What a `response_format` allows after the tokens so far.
pub struct Constraint {
    matcher: Matcher,
    words: usize,
    /// [`Vocabulary::unspaced`], until the first token.
    unspaced: Vec<(u32, Option<u32>)>,
    ends: Vec<u32>,
}

impl Constraint {
    /// Compiles a `response_format`, as JSON: `{ "type": "json_object" }`,
    /// `{ "type": "json_schema", "json_schema": { "schema": … } }`, `{ "type": "regex", "regex": … }` or
    /// `{ "type": "grammar", "grammar": … }` with a grammar in llguidance's dialect of Lark.
    ///
    /// # Errors
    /// When it is malformed, has a keyword that is not implemented, cannot be met, or costs more than the limits.
    pub fn new(vocabulary: &Vocabulary, response_format: &str) -> Result<Self> {
        with_stack(|| {
            let grammar = request::parse(response_format)?;
            let parser = vocabulary.factory.create_parser(grammar).map_err(failed)?;
            let mut constraint = Self {
                matcher: Matcher::new(Ok(parser)),
                words: vocabulary.words(),
                unspaced: vocabulary.unspaced.clone(),
                ends: vocabulary.ends.clone(),
            };
            // What is too expensive shows here, not in the middle of an answer.
            constraint.mask(&mut vec![0; vocabulary.words()])?;
            Ok(constraint)
        })
    }

    /// Writes the allowed tokens of the next step, one bit each. Tokens that end an answer are allowed where the grammar
    /// may end.
    ///
    /// # Errors
    /// When `words` has another length than [`Vocabulary::words`], and when a step costs more than the limits.
    pub fn mask(&mut self, words: &mut [u32]) -> Result<()> {
        if words.len() != self.words {
            return Err(Error::new("mask", format!("{} words; {} are expected", words.len(), self.words)));
        }
        let mask = self.matcher.compute_mask_or_eos().map_err(failed)?;
        words.copy_from_slice(&mask.as_slice()[..self.words]);
        for (spaced, unspaced) in &self.unspaced {
            let allowed = unspaced.is_some_and(|id| words[id as usize / 32] >> (id % 32) & 1 == 1);
            let (word, bit) = (&mut words[*spaced as usize / 32], 1 << (spaced % 32));
            if allowed { *word |= bit } else { *word &= !bit }
        }
        Ok(())
    }

    /// Records the sampled token. Returns whether the answer must end here: nothing more may follow, or the token ends
    /// it.
    ///
    /// # Errors
    /// When the token is not allowed.
    pub fn accept(&mut self, token: u32) -> Result<bool> {
        let unspaced = std::mem::take(&mut self.unspaced);
        let same = unspaced.iter().find(|(spaced, _)| *spaced == token);
        let token = same.and_then(|(_, unspaced)| *unspaced).unwrap_or(token);
        self.matcher.consume_token(token).map_err(failed)?;
        Ok(self.ends.contains(&token) || self.matcher.is_stopped())
    }
}

/// Converts an error of llguidance.
fn failed(error: impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let text = text.trim_end_matches("\n<non-verbose/>");
    if text == "NoExtensionBias" {
        return Error::new(PLACE, "no answer is possible");
    }
    // A panic brings its backtrace.
    let message = text.strip_prefix("panic: ").map(|panic| panic.lines().next().unwrap_or_default());
    Error::new(PLACE, message.map_or(text.to_owned(), |message| format!("llguidance failed: {message}")))
}

/// Runs `work` with a stack for its recursion. In the browser that is the module's only one.
#[cfg(target_arch = "wasm32")]
fn with_stack<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}

/// Runs `work` with a stack for its recursion.
#[cfg(not(target_arch = "wasm32"))]
fn with_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    use std::thread::{Builder, scope};
    scope(|threads| {
        let thread = Builder::new().stack_size(crate::limits::STACK).spawn_scoped(threads, work);
        let result = thread.map_err(|error| Error::new(PLACE, error))?.join();
        result.unwrap_or_else(|_| Err(Error::new(PLACE, "could not be compiled")))
    })
}
