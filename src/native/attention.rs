//! The attention of an answer as a file of JSON.

use super::io_error;
use crate::engine::{AttentionPicture, Event, TokenAttention};
use crate::error::Result;
use serde_json::json;
use std::path::Path;

/// Collects where an answer looked.
#[derive(Debug, Default)]
pub struct AttentionLog {
    pictures: Vec<AttentionPicture>,
    tokens: Vec<TokenAttention>,
}

impl AttentionLog {
    /// Keeps what an event tells of attention.
    pub fn receive(&mut self, event: &Event) {
        match event {
            Event::AttentionPictures { pictures } => self.pictures = pictures.clone(),
            Event::Attention(token) => self.tokens.push(token.clone()),
            _ => {}
        }
    }

    /// Writes pictures and tokens; weights as arrays of numbers `[layers · rows of pictures]`.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let token = |token: &TokenAttention| {
            let TokenAttention { index, id, text, weights, rest, .. } = token;
            json!({ "index": index, "id": id, "text": text, "weights": weights, "rest": rest })
        };
        let layers = self.tokens.first().map_or(0, |token| token.layers);
        let tokens: Vec<_> = self.tokens.iter().map(token).collect();
        let file = json!({ "layers": layers, "pictures": self.pictures, "tokens": tokens });
        std::fs::write(path, file.to_string()).map_err(|e| io_error(path, &e))
    }
}
