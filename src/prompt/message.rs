//! The messages of a conversation, and which of them a template can express.

use super::Template;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A part of a message: `{ "text": … }`, `{ "image": … }` or `{ "ids": … }` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Typed text. No piece of it becomes a special token.
    Text(String),
    /// A picture, by the SHA-256 of its file: 64 lower-case hex digits.
    Image(String),
    /// An answer's tokens as they were generated, without the token that ended them: tokenising its text might give
    /// other ids, which would have to be prefilled anew.
    Ids(Vec<u32>),
}

/// A message of a conversation. Pictures stand in messages of the user, ids in those of the assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// Returns a message of the user: `images`, then `text`.
    pub fn user(images: &[String], text: &str) -> Self {
        let images = images.iter().map(|image| Part::Image(image.clone()));
        Self { role: Role::User, parts: images.chain([Part::Text(text.to_string())]).collect() }
    }

    /// Returns a message of `role` that is one text.
    pub fn text(role: Role, text: &str) -> Self {
        Self { role, parts: vec![Part::Text(text.to_string())] }
    }

    /// Returns an answer by its ids.
    pub fn answer(ids: &[u32]) -> Self {
        Self { role: Role::Assistant, parts: vec![Part::Ids(ids.to_vec())] }
    }

    /// Returns the ids of its pictures, in order.
    pub fn images(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| if let Part::Image(id) = part { Some(id) } else { None })
    }

    /// Returns its texts, joined by `separator`.
    pub(super) fn joined(&self, separator: &str) -> String {
        let texts =
            self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(&text[..]) } else { None });
        texts.collect::<Vec<_>>().join(separator)
    }
}

/// Returns the error that `messages[index]` cannot be expressed.
fn refused(index: usize, message: String, hint: &str) -> Error {
    Error::new(Kind::Prompt, format!("messages[{index}]"), message).hint(hint)
}

impl Template {
    /// Checks that this template has a place for every message and part.
    pub(super) fn check(self, messages: &[Message]) -> Result<()> {
        if messages.is_empty() {
            return Err(Error::new(Kind::Prompt, "messages", "there are none").hint("add a user message"));
        }
        for (index, message) in messages.iter().enumerate() {
            check_parts(index, message)?;
            self.check_place(index, messages)?;
        }
        let answerable = self != Self::Mistral || messages.iter().any(|m| m.role != Role::System);
        let message = format!("the template {self} has no question without a user message");
        if answerable { Ok(()) } else { Err(refused(0, message, "add a user message")) }
    }

    /// Checks the role of `messages[index]` against those before it.
    fn check_place(self, index: usize, messages: &[Message]) -> Result<()> {
        let role = messages[index].role;
        let before = index.checked_sub(1).map(|before| messages[before].role);
        let alternates = matches!(self, Self::Mistral | Self::Plain);
        let begins = matches!(self, Self::VicunaV1 | Self::LlavaV1 | Self::Mistral);
        match (role, before) {
            (Role::System, _) if self == Self::Plain => {
                let message = format!("the template {self} has no system message");
                Err(refused(index, message, "put its text into the first user message"))
            }
            (Role::System, Some(_)) if begins => {
                let message = format!("the template {self} has one system message, at the beginning");
                Err(refused(index, message, "join it with the first message"))
            }
            (Role::User, Some(Role::User)) | (Role::Assistant, Some(Role::Assistant)) if alternates => {
                let message = format!("two messages of one role in a row; those of the template {self} alternate");
                Err(refused(index, message, "join the two messages"))
            }
            (Role::Assistant, None | Some(Role::System)) if alternates => {
                let message = format!("an answer without a question, which the template {self} does not have");
                Err(refused(index, message, "put a user message before it"))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that pictures are the user's and ids the assistant's.
fn check_parts(index: usize, message: &Message) -> Result<()> {
    for (part, found) in message.parts.iter().enumerate() {
        let (wrong, hint) = match (found, message.role) {
            (Part::Image(_), Role::System | Role::Assistant) => {
                ("a picture outside the user's messages", "put it into a user message")
            }
            (Part::Ids(_), Role::System | Role::User) => ("ids outside an answer", "give text in their place"),
            _ => continue,
        };
        return Err(Error::new(Kind::Prompt, format!("messages[{index}].parts[{part}]"), wrong).hint(hint));
    }
    Ok(())
}
