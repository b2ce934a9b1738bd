//! A conversation that the engine keeps: its turns, and the pictures of the next question. Its prompt is that of its
//! messages (`messages.rs`).

use super::RestoredTurn;
use crate::ensure;
use crate::error::Result;
use crate::prompt::{Message, Part, Role, Template};
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

/// A question with its pictures, and the answer.
#[derive(Debug)]
struct Turn {
    question: Message,
    answer: Message,
}

/// Turns and pictures so far.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    turns: Vec<Turn>,
    /// Pictures of the next question, by SHA-256.
    pending: Vec<String>,
}

impl Conversation {
    /// Returns the number of turns.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Returns the messages of the whole conversation with `question` as its next turn.
    pub fn messages(&self, question: &str) -> Vec<Message> {
        let turns = self.turns.iter().flat_map(|turn| [turn.question.clone(), turn.answer.clone()]);
        turns.chain([Message::user(&self.pending, question)]).collect()
    }

    /// Returns the pictures of the next question.
    pub fn pending(&self) -> &[String] {
        &self.pending
    }

    /// Returns whether a picture belongs to the conversation.
    pub fn needs(&self, sha256: &str) -> bool {
        let mut images = self.turns.iter().flat_map(|turn| turn.question.images()).chain(&self.pending);
        images.any(|image| image == sha256)
    }

    /// Adds a picture to the next question.
    pub fn attach(&mut self, sha256: &str) {
        self.pending.push(sha256.to_string());
    }

    /// Removes the picture that was attached last.
    pub fn detach(&mut self) {
        self.pending.pop();
    }

    /// Appends the turn of `question`, its pictures and the answer `ids`.
    pub fn push_turn(&mut self, format: &PromptFormat, question: &str, ids: &[u32]) {
        self.push_turn_with(question, Message::answer(&format.without_end(ids)), self.pending.len());
    }

    /// Appends a turn with the first `images` of the attached pictures.
    fn push_turn_with(&mut self, question: &str, answer: Message, images: usize) {
        let images: Vec<String> = self.pending.drain(..images).collect();
        self.turns.push(Turn { question: Message::user(&images, question), answer });
    }

    /// Keeps the first `turns` turns; the pictures of the first removed turn are attached to the next question.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) when there are fewer turns.
    pub fn truncate(&mut self, turns: usize) -> Result<()> {
        ensure!(turns <= self.turns.len(), Argument, "truncate", "{turns} turns; there are {}", self.turns.len());
        if turns < self.turns.len() {
            let removed = self.turns.split_off(turns);
            self.pending = removed[0].question.images().cloned().collect();
        }
        Ok(())
    }

    /// Appends `turns` of an earlier conversation; they use the attached pictures in order.
    ///
    /// # Errors
    /// [`Kind::Argument`](crate::error::Kind::Argument) when pictures are missing or an id is outside the vocabulary;
    /// [`Kind::Prompt`](crate::error::Kind::Prompt) for a text that cannot be tokenised. Nothing has changed then.
    pub fn restore(&mut self, format: &PromptFormat, turns: &[RestoredTurn]) -> Result<()> {
        let needed: usize = turns.iter().map(|turn| turn.images).sum();
        let attached = self.pending.len();
        ensure!(needed <= attached, Argument, "restore", "the turns have {needed} pictures; {attached} were encoded");
        let vocabulary = format.vocab_size;
        let known = turns.iter().flat_map(|turn| &turn.ids).all(|id| *id < vocabulary);
        ensure!(known, Argument, "restore", "an answer has tokens outside the vocabulary of {vocabulary}");
        let answer = |turn: &RestoredTurn| match &turn.text {
            Some(text) => format.template.answer_ids(&Message::text(Role::Assistant, text), &format.tokenizer),
            None => Ok(format.without_end(&turn.ids)),
        };
        let answers: Vec<_> = turns.iter().map(answer).collect::<Result<_>>()?;
        for (turn, ids) in turns.iter().zip(answers) {
            let answer = Message { role: Role::Assistant, parts: vec![Part::Ids(ids)] };
            self.push_turn_with(&turn.question, answer, turn.images);
        }
        Ok(())
    }

    /// Removes turns and attached pictures.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.pending.clear();
    }
}

#[cfg(test)]
pub(super) mod tests;
