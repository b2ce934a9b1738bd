//! A conversation → the ids of one training sequence, with the places of its picture and the answers to learn.
//!
//! The prompts are the engine's own ([`Template`]), so that a model is asked as it was trained.

use crate::ensure;
use crate::error::Result;
use crate::prompt::{Message, PromptItem, Role, Template};
use crate::tokenizer::Tokenizer;
use std::ops::Range;

/// One training sequence before its picture is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Tokens, and the place of the picture.
    pub items: Vec<PromptItem>,
    /// Ranges of `items` that the loss covers: answers, each with the token that ends it.
    pub answers: Vec<Range<usize>>,
}

/// Makes the sequence of a conversation that begins with the user and alternates. The loss covers every answer and the
/// token after it; nothing else.
///
/// # Errors
/// [`Kind::Prompt`](crate::error::Kind::Prompt) for what the template cannot express, and for one whose prompts do not
/// continue one another.
pub fn sequence(template: Template, messages: &[Message], tokenizer: &Tokenizer) -> Result<Sequence> {
    // What follows an answer shows the token that ends it.
    let mut whole = messages.to_vec();
    whole.push(Message::user(&[], "?"));
    let longest = template.items(&whole, tokenizer)?;
    let (mut answers, mut end) = (Vec::new(), 0);
    for (index, message) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
        let start = template.items(&messages[..index], tokenizer)?.len();
        let ids = template.answer_ids(message, tokenizer)?.len();
        let with = template.items(&messages[..=index], tokenizer)?;
        ensure!(
            with.len() == start + ids && longest.get(..with.len()) == Some(&with[..]) && longest.len() > with.len(),
            Prompt,
            format!("messages[{index}]"),
            "the template {template} continues it differently"
        );
        end = with.len() + 1;
        answers.push(start..end);
    }
    let items = longest.into_iter().take(end).collect();
    Ok(Sequence { items, answers })
}

impl Sequence {
    /// Counts its pictures.
    pub fn pictures(&self) -> usize {
        self.items.iter().filter(|item| matches!(item, PromptItem::Image(_))).count()
    }

    /// Cuts the sequence after `rows` rows, a picture counting `image_rows`; an answer that is cut keeps what remains.
    pub fn truncate(&mut self, rows: usize, image_rows: usize) {
        let mut used = 0;
        let cut = self.items.iter().position(|item| {
            used += if matches!(item, PromptItem::Image(_)) { image_rows } else { 1 };
            used > rows
        });
        if let Some(cut) = cut {
            self.items.truncate(cut);
            self.answers.retain(|answer| answer.start < cut);
            self.answers.iter_mut().for_each(|answer| answer.end = answer.end.min(cut));
        }
    }
}
