//! One error type from the kernels to the page: kind, place, message and hint.
//!
//! An [`Error`] stays structured all the way to JavaScript (`web.rs` serialises it field by field), so
//! that the page can choose its words and its buttons by [`Kind`] and never parses a sentence.

use serde::Serialize;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Kind of an error. The page and the tests match on it, never on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The picture could not be read, or is larger than the limits.
    Image,
    /// `config.json`, `preprocessor_config.json` or a template names something that is not implemented.
    Config,
    /// `manifest.json` is malformed, contradicts itself, or is of an unknown version.
    Manifest,
    /// A fetched part differs from the manifest (length, hash). Fetch that part again.
    Shard,
    /// A tensor is missing, superfluous, or of the wrong shape or type.
    Tensor,
    /// The tokenizer file is malformed or lacks a token that the model needs.
    Tokenizer,
    /// The prompt itself cannot be built (an `<image>` without a picture, say).
    Prompt,
    /// The conversation would not fit in the context.
    ContextFull,
    /// No adapter, or the adapter lacks a required feature.
    NoGpu,
    /// The device reported an error of its own.
    Gpu,
    /// The device was lost with all its memory; a new one can be opened.
    GpuLost,
    /// An allocation failed.
    OutOfMemory,
    /// A call came at the wrong time (generate before finish, two calls together).
    State,
    /// An argument is outside its range.
    Argument,
    /// A file could not be read or written (command line only).
    Io,
}

/// An error: its kind, its place, a message, and a hint for the person.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{place}: {message}{}", if hint.is_empty() { String::new() } else { format!(" ({hint})") })]
pub struct Error {
    /// Kind, for programs.
    pub kind: Kind,
    /// Place: a file, a tensor, a field, an option.
    pub place: String,
    /// Message, with the numbers.
    pub message: String,
    /// Advice; may be empty.
    pub hint: String,
}

/// Longest place and message, bytes: both quote files, whose fields may have a megabyte.
const LONGEST: usize = 1000;

/// Cuts the end of a text that is too long to be read.
fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

impl Error {
    /// Makes an error of `kind` at `place`. Place and message are cut at 1000 bytes.
    pub fn new(kind: Kind, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, place: shortened(place.into()), message: shortened(message.into()), hint: String::new() }
    }

    /// Adds advice to the error.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Shorthand for `Err(Error::new(..))` with a formatted message.
#[macro_export]
macro_rules! fail {
    ($kind:ident, $place:expr, $($message:tt)+) => {
        return Err($crate::error::Error::new($crate::error::Kind::$kind, $place, format!($($message)+)))
    };
}

/// `ensure!(condition, Kind, place, "message")`: [`fail!`] unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $kind:ident, $place:expr, $($message:tt)+) => {
        if !$condition { $crate::fail!($kind, $place, $($message)+) }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_a_megabyte_are_cut() {
        let long = "é".repeat(1 << 20);
        let error = Error::new(Kind::Config, long.clone(), long);
        assert!(error.message.len() <= LONGEST + 3 && error.message.ends_with("é…"), "{}", error.message.len());
        assert_eq!(error.place, error.message);
        assert_eq!(Error::new(Kind::Config, "a", "b").to_string(), "a: b");
    }
}
