//! Constrained answers on a command line: files and flags for the package of grammars.

use super::read_file;
use crate::engine::{Constraint, Engine};
use crate::error::{Error, Kind, Result};
use clap::Args;
use llava_grammar::Vocabulary;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The flags of `chat` and `train eval` that restrict answers. At most one is given.
#[derive(Debug, Clone, Args)]
#[group(id = "constraint", multiple = false)]
pub struct ConstraintArguments {
    /// File with a JSON schema: the answer is JSON that it allows.
    #[arg(long, value_name = "FILE")]
    pub json_schema: Option<PathBuf>,
    /// Regular expression that the whole answer matches.
    #[arg(long, value_name = "REGEX")]
    pub regex: Option<String>,
    /// File with a grammar of the answer, in llguidance's dialect of Lark.
    #[arg(long, value_name = "FILE")]
    pub grammar: Option<PathBuf>,
}

impl ConstraintArguments {
    /// Returns the `response_format` that the flags ask for.
    ///
    /// # Errors
    /// [`Kind::Io`] for a file that cannot be read; [`Kind::Argument`] for one that is no JSON, or no text.
    pub fn response_format(&self) -> Result<Option<Value>> {
        let text = |path: &Path| {
            String::from_utf8(read_file(path)?).map_err(|_| refused(path.display().to_string(), "is no UTF-8 text"))
        };
        if let Some(path) = &self.json_schema {
            let malformed = |e: serde_json::Error| refused(path.display().to_string(), e.to_string());
            let schema: Value = serde_json::from_str(&text(path)?).map_err(malformed)?;
            return Ok(Some(json!({ "type": "json_schema", "json_schema": { "schema": schema } })));
        }
        if let Some(path) = &self.grammar {
            return Ok(Some(json!({ "type": "grammar", "grammar": text(path)? })));
        }
        Ok(self.regex.as_ref().map(|regex| json!({ "type": "regex", "regex": regex })))
    }
}

/// A `response_format` for the answers of one model.
pub struct ResponseFormat {
    vocabulary: Vocabulary,
    json: String,
}

impl ResponseFormat {
    /// Prepares the vocabulary of the engine's model, and checks `response_format` (OpenAI's, with the types `regex` and
    /// `grammar` in addition).
    ///
    /// # Errors
    /// [`Kind::Argument`] for one that is malformed, not implemented, or too expensive.
    pub fn new(engine: &Engine, response_format: &Value) -> Result<Self> {
        let vocabulary = Vocabulary::parse(&engine.vocabulary()).map_err(failed)?;
        let format = Self { vocabulary, json: response_format.to_string() };
        format.constraint()?;
        Ok(format)
    }

    /// Returns the constraint of one answer, for [`Engine::constrain`].
    ///
    /// # Errors
    /// None beyond those of [`new`](Self::new).
    pub fn constraint(&self) -> Result<Box<dyn Constraint>> {
        Ok(Box::new(Grammar(llava_grammar::Constraint::new(&self.vocabulary, &self.json).map_err(failed)?)))
    }
}

struct Grammar(llava_grammar::Constraint);

impl Constraint for Grammar {
    fn mask(&mut self, words: &mut [u32]) -> Result<()> {
        self.0.mask(words).map_err(failed)
    }

    fn accept(&mut self, token: u32) -> Result<bool> {
        self.0.accept(token).map_err(failed)
    }
}

fn failed(error: llava_grammar::Error) -> Error {
    refused(error.place, error.message)
}

fn refused(place: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(Kind::Argument, place, message)
}
