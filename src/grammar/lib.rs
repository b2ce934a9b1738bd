//! Constrained answers: which tokens a JSON schema, a regular expression or a grammar allows next.
//!
//! A [`Vocabulary`] is built once per model, from the bytes of its tokens. A [`Constraint`] follows one answer: before
//! each token it writes a mask of the allowed ones, one bit each, and it is told which one was sampled. The work is
//! done by [llguidance]; this package checks what comes in and sets the limits.
//!
//! ```
//! use llava_grammar::{Constraint, Vocabulary, pack};
//!
//! // A vocabulary of single bytes, and the token 256, which ends an answer.
//! let tokens: Vec<Vec<u8>> = (0..=256u32).map(|id| u8::try_from(id).map_or(Vec::new(), |byte| vec![byte])).collect();
//! let vocabulary = Vocabulary::parse(&pack(&tokens, &[256], false)?)?;
//! let mut constraint = Constraint::new(&vocabulary, r#"{ "type": "regex", "regex": "yes|no" }"#)?;
//! let mut words = vec![0; vocabulary.words()];
//! constraint.mask(&mut words)?;
//! let allowed: Vec<u8> = (0..=255).filter(|byte| words[*byte as usize / 32] >> (byte % 32) & 1 == 1).collect();
//! assert_eq!(allowed, b"ny");
//! assert!(!constraint.accept(b'n'.into())?, "the answer goes on");
//! assert!(constraint.accept(b'o'.into())?, "the answer must end here");
//! # Ok::<(), llava_grammar::Error>(())
//! ```
//!
//! [llguidance]: https://github.com/guidance-ai/llguidance

mod check;
mod constraint;
mod formats;
mod limits;
mod request;
mod vocabulary;
#[cfg(target_arch = "wasm32")]
mod web;

pub use constraint::Constraint;
pub use vocabulary::{Vocabulary, pack};

use std::fmt;

/// The result of everything in this package that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error: its place and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Place: `vocabulary`, or a field of `response_format`.
    pub place: &'static str,
    /// Message, with the numbers.
    pub message: String,
}

/// Longest message, bytes: those of llguidance quote schemas.
const LONGEST: usize = 500;

impl Error {
    /// Makes an error at `place`. The message is cut at 500 bytes.
    pub fn new(place: &'static str, message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.push('…');
        }
        Self { place, message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Error {}
