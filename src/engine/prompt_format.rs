//! What a model prescribes for its prompts.

use crate::prompt::Template;
use crate::tokenizer::Tokenizer;

/// Everything that a model prescribes for its prompts.
pub(super) struct PromptFormat {
    pub template: Template,
    pub tokenizer: Tokenizer,
    /// Tokens that end an answer: those of the checkpoint, and the template's end of a turn.
    pub end_ids: Vec<u32>,
    /// `V`.
    pub vocab_size: u32,
}

impl PromptFormat {
    /// Returns an answer's ids without those that end it.
    pub fn without_end(&self, ids: &[u32]) -> Vec<u32> {
        ids.iter().copied().filter(|id| !self.end_ids.contains(id)).collect()
    }
}
