//! A conversation → what the decoder reads: token ids, with places for pictures between them.
//!
//! As in the original code, text is cut at the pictures and at special tokens, and each piece is tokenised by
//! itself. Hence a piece after a picture begins like a beginning: with LLaMA's tokenizer, `"\n"` there is
//! 29871, 13. Everything up to and including a picture is independent of the question after it, so that it can
//! be read before there is a question.
//!
//! # Source
//! LLaVA's `conversation.py` (`vicuna_v1`, `llava_v1`, `plain`) and `tokenizer_image_token` of `mm_utils.py`;
//! the chat template of `llava-hf/llava-1.5-7b-hf` (`llava_hf`).

mod marked;

pub use marked::MARKS;
pub(crate) use marked::names_token;

use crate::error::{Error, Result};
use crate::fail;
use crate::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// How a conversation is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// LLaVA-1.5 as trained and benchmarked: `{system} USER: <image>\n{q} ASSISTANT: {a}</s>USER: …`.
    #[default]
    VicunaV1,
    /// The same with the wording of the original demo ("a curious human").
    LlavaV1,
    /// The same without a system sentence, as the Hugging Face checkpoints' chat template has it.
    LlavaHf,
    /// LLaMA-3's chat format, for relatives of LLaVA with that decoder:
    /// `<|start_header_id|>user<|end_header_id|>\n\n<image>\n{q}<|eot_id|>…`.
    #[serde(rename = "llama_3")]
    Llama3,
    /// ChatML (Qwen, SmolLM2, Hermes): `<|im_start|>user\n<image>\n{q}<|im_end|>\n<|im_start|>assistant\n…`.
    ChatMl,
    /// Phi-3: `<|user|>\n<image>\n{q}<|end|>\n<|assistant|>\n…`.
    #[serde(rename = "phi_3")]
    Phi3,
    /// Mistral's instructions: `[INST] <image>\n{q} [/INST]…</s>`.
    Mistral,
    /// `<image>{q}`: picture, then text. Stage 1.
    Plain,
}

/// One element of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptItem {
    /// A token.
    Token(u32),
    /// The rows of a picture, counted from 0 through the whole conversation.
    Image(usize),
}

/// A question and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// How many pictures stand before the question.
    pub images: usize,
    /// What was typed. No part of it becomes a special token.
    pub question: String,
    /// The answer's ids as they were generated, without the token that ended them; `None` for the question
    /// that is to be answered. Ids, not text: tokenising the text again might give others, and what was read
    /// once would have to be read anew. (For an answer that exists as text only:
    /// [`Tokenizer::encode_text`].)
    pub answer: Option<Vec<u32>>,
}

/// What a template consists of, before it is tokenised.
enum Piece {
    /// Adjacent texts are joined before they are tokenised.
    Text(String),
    Image,
    Ids(Vec<u32>),
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::VicunaV1,
        Self::LlavaV1,
        Self::LlavaHf,
        Self::Llama3,
        Self::ChatMl,
        Self::Phi3,
        Self::Mistral,
        Self::Plain,
    ];

    /// The name in manifests and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::VicunaV1 => "vicuna_v1",
            Self::LlavaV1 => "llava_v1",
            Self::LlavaHf => "llava_hf",
            Self::Llama3 => "llama_3",
            Self::ChatMl => "chat_ml",
            Self::Phi3 => "phi_3",
            Self::Mistral => "mistral",
            Self::Plain => "plain",
        }
    }

    /// What stands before the first turn, its separator included.
    fn system(self) -> &'static str {
        match self {
            Self::VicunaV1 => {
                "A chat between a curious user and an artificial intelligence assistant. \
                 The assistant gives helpful, detailed, and polite answers to the user's questions. "
            }
            Self::LlavaV1 => {
                "A chat between a curious human and an artificial intelligence assistant. \
                 The assistant gives helpful, detailed, and polite answers to the human's questions. "
            }
            _ => "",
        }
    }

    /// The conversation as the decoder reads it, the beginning-of-sequence token first. The last turn's answer
    /// is what comes next.
    ///
    /// # Errors
    /// [`crate::error::Kind::Prompt`] if a turn before the last has no answer, or there is no turn.
    pub fn items(&self, turns: &[Turn], tokenizer: &Tokenizer) -> Result<Vec<PromptItem>> {
        if turns.is_empty() {
            fail!(Prompt, "conversation", "has no turns");
        }
        if let Some(i) = turns[..turns.len() - 1].iter().position(|turn| turn.answer.is_none()) {
            fail!(Prompt, format!("turn {i}"), "has no answer, but turns follow it");
        }
        let marked = self.marked();
        // ChatML's models have no beginning of their own; the others' were all trained with one.
        let begins = *self != Self::ChatMl || tokenizer.begins();
        let beginning = if begins { vec![tokenizer.bos()] } else { Vec::new() };
        let mut pieces = vec![Piece::Ids(beginning), Piece::Text(self.system().to_string())];
        for turn in turns {
            match marked {
                Some(marked) => marked.turn(*self, turn, tokenizer, &mut pieces)?,
                None => self.turn(turn, tokenizer, &mut pieces),
            }
        }
        tokenize(pieces, tokenizer)
    }

    fn turn(self, turn: &Turn, tokenizer: &Tokenizer, pieces: &mut Vec<Piece>) {
        let text = |text: &str| Piece::Text(text.to_string());
        let plain = self == Self::Plain;
        if !plain {
            pieces.push(text("USER: "));
        }
        for _ in 0..turn.images {
            pieces.push(Piece::Image);
            if !plain {
                pieces.push(text("\n"));
            }
        }
        pieces.push(text(&turn.question));
        if !plain {
            pieces.push(text(" ASSISTANT:"));
        }
        if let Some(answer) = &turn.answer {
            pieces.push(Piece::Ids(answer.clone()));
            pieces.push(if plain { text("\n") } else { Piece::Ids(vec![tokenizer.eos()]) });
        }
    }
}

/// Joins adjacent texts, tokenises each, counts the pictures.
fn tokenize(pieces: Vec<Piece>, tokenizer: &Tokenizer) -> Result<Vec<PromptItem>> {
    let (mut items, mut text, mut images) = (Vec::new(), String::new(), 0);
    for piece in pieces.into_iter().map(Some).chain([None]) {
        if let Some(Piece::Text(more)) = &piece {
            text.push_str(more);
            continue;
        }
        if !text.is_empty() {
            items.extend(tokenizer.encode_text(&text)?.into_iter().map(PromptItem::Token));
            text.clear();
        }
        match piece {
            Some(Piece::Image) => {
                items.push(PromptItem::Image(images));
                images += 1;
            }
            Some(Piece::Ids(ids)) => items.extend(ids.into_iter().map(PromptItem::Token)),
            _ => {}
        }
    }
    Ok(items)
}

/// A prompt as it stands, tokenised as transformers does; every `<image>` is a picture.
///
/// # Errors
/// [`crate::error::Kind::Prompt`] as [`Tokenizer::encode_raw`].
pub fn raw(prompt: &str, tokenizer: &Tokenizer) -> Result<Vec<PromptItem>> {
    let mut images = 0..;
    let item = |id: u32| {
        let image = (id == tokenizer.image()).then(|| images.next()).flatten();
        image.map_or(PromptItem::Token(id), PromptItem::Image)
    };
    Ok(tokenizer.encode_raw(prompt)?.into_iter().map(item).collect())
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Template {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|t| t.name() == name) {
            Some(template) => Ok(template),
            None => {
                fail!(Argument, "prompt template", "`{name}` is unknown ({})", Self::ALL.map(Self::name).join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
