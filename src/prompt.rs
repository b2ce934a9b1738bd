//! A conversation → prompt items: token ids, with places for pictures between them.
//!
//! As in the original code, text is cut at the pictures and at special tokens, and each segment is tokenised by
//! itself. Hence a segment after a picture is tokenised like the start of a text: with LLaMA's tokenizer, `"\n"` there
//! is 29871, 13. Everything up to and including a picture is independent of the question after it, so that it can be
//! prefilled before the question is known.
//!
//! # Source
//! LLaVA's `conversation.py` (`vicuna_v1`, `llava_v1`, `plain`) and `tokenizer_image_token` of `mm_utils.py`;
//! the chat template of `llava-hf/llava-1.5-7b-hf` (`llava_hf`).

mod marked;
mod message;
mod picture;

pub(crate) use marked::names_token;
pub use message::{Message, Part, Role};
pub use picture::{PictureRow, PictureTiles, picture_rows};

use crate::error::{Error, Result};
use crate::fail;
use crate::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// A prompt template: the text around the turns of a conversation.
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
    /// SmolVLM: `<|im_start|>User:<image>{q}<end_of_utterance>\nAssistant: {a}<end_of_utterance>\nUser: …`.
    #[serde(rename = "smol_vlm")]
    SmolVlm,
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

/// A segment of a prompt before it is tokenised.
enum Segment {
    /// Adjacent texts are joined before they are tokenised.
    Text(String),
    Image,
    Ids(Vec<u32>),
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::VicunaV1,
        Self::LlavaV1,
        Self::LlavaHf,
        Self::Llama3,
        Self::ChatMl,
        Self::Phi3,
        Self::Mistral,
        Self::SmolVlm,
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
            Self::SmolVlm => "smol_vlm",
            Self::Plain => "plain",
        }
    }

    /// Returns the system sentence before the first turn, its separator included.
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

    /// Returns the items of a conversation, the beginning-of-sequence token first where the tokenizer puts one before a
    /// text. The decoder continues with an answer; where the last message is an assistant's, it continues that one.
    ///
    /// A system message takes the place of the template's own system sentence.
    ///
    /// # Errors
    /// [`crate::error::Kind::Prompt`], naming the message, if there is none or the template has no place for one; if the
    /// tokenizer lacks a mark of the template or has no ids for a text.
    pub fn items(self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Vec<PromptItem>> {
        self.check(messages)?;
        let marked = self.marked();
        // Where the tokenizer does not say: ChatML's models have no beginning; the others' were all trained with one.
        let begins = tokenizer.begins().unwrap_or(self != Self::ChatMl);
        let beginning = match marked.and_then(|marked| Some((marked, marked.beginning?))) {
            Some((marked, mark)) => marked.id(mark, tokenizer)?,
            None => begins.then(|| tokenizer.bos()),
        };
        let mut segments = vec![Segment::Ids(beginning.into_iter().collect())];
        match marked {
            Some(marked) => marked.messages(messages, tokenizer, &mut segments)?,
            None => self.messages(messages, tokenizer, &mut segments)?,
        }
        tokenize(segments, tokenizer)
    }

    /// Appends messages in LLaVA's own formats.
    fn messages(self, messages: &[Message], tokenizer: &Tokenizer, segments: &mut Vec<Segment>) -> Result<()> {
        let text = |text: &str| Segment::Text(text.to_string());
        let marks = |mark: &str| text(if self == Self::Plain { "" } else { mark });
        if messages[0].role != Role::System {
            segments.push(text(self.system()));
        }
        for (index, message) in messages.iter().enumerate() {
            match message.role {
                Role::System => segments.push(Segment::Text(message.joined(" ") + " ")),
                Role::User => {
                    segments.push(marks("USER: "));
                    for part in &message.parts {
                        match part {
                            Part::Text(typed) => segments.extend([text(typed), marks(" ")]),
                            _ => segments.extend([Segment::Image, marks("\n")]),
                        }
                    }
                }
                Role::Assistant => {
                    segments.extend([marks("ASSISTANT:"), Segment::Ids(self.answer_ids(message, tokenizer)?)]);
                    match (index + 1 < messages.len(), self) {
                        (false, _) => return Ok(()),
                        (true, Self::Plain) => segments.push(text("\n")),
                        (true, _) => segments.push(Segment::Ids(vec![tokenizer.eos()])),
                    }
                }
            }
        }
        segments.push(marks("ASSISTANT:"));
        Ok(())
    }

    /// Returns the ids of an answer: its own, or those of its text as transformers tokenises it behind the role.
    ///
    /// # Errors
    /// [`crate::error::Kind::Prompt`] if the tokenizer has no ids for a text.
    pub fn answer_ids(self, message: &Message, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        let spaced = !matches!(self, Self::Llama3 | Self::ChatMl | Self::Phi3 | Self::Plain);
        let mut ids = Vec::new();
        for part in &message.parts {
            match part {
                Part::Ids(own) => ids.extend(own),
                Part::Text(text) if text.is_empty() => {}
                Part::Text(text) if spaced && ids.is_empty() => {
                    let [role, both] = [":".to_string(), format!(": {text}")].map(|text| tokenizer.encode_text(&text));
                    let (role, both) = (role?, both?);
                    match both.strip_prefix(&role[..]) {
                        Some(behind) => ids.extend(behind),
                        None => ids = tokenizer.encode_text(text)?,
                    }
                }
                Part::Text(text) => ids.extend(tokenizer.encode_text(text)?),
                Part::Image(_) => {}
            }
        }
        Ok(ids)
    }
}

/// Joins adjacent texts, tokenises each, counts the pictures.
fn tokenize(segments: Vec<Segment>, tokenizer: &Tokenizer) -> Result<Vec<PromptItem>> {
    let (mut items, mut text, mut images) = (Vec::new(), String::new(), 0);
    for segment in segments.into_iter().map(Some).chain([None]) {
        if let Some(Segment::Text(more)) = &segment {
            text.push_str(more);
            continue;
        }
        if !text.is_empty() {
            items.extend(tokenizer.encode_text(&text)?.into_iter().map(PromptItem::Token));
            text.clear();
        }
        match segment {
            Some(Segment::Image) => {
                items.push(PromptItem::Image(images));
                images += 1;
            }
            Some(Segment::Ids(ids)) => items.extend(ids.into_iter().map(PromptItem::Token)),
            _ => {}
        }
    }
    Ok(items)
}

/// Tokenises a raw prompt as transformers does; every `<image>` is a picture.
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
