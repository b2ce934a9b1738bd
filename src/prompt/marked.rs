//! Templates whose turns stand between special tokens, and the choice of a checkpoint's template.
//!
//! # Source
//! The `chat_template` of `meta-llama/Meta-Llama-3-8B-Instruct`, `Qwen/Qwen2-0.5B-Instruct`,
//! `microsoft/Phi-3-mini-4k-instruct` and `llava-hf/llava-v1.6-mistral-7b-hf`, with the picture where LLaVA's
//! relatives have it: where it stands, on a line of its own. That of `HuggingFaceTB/SmolVLM-256M-Instruct`, where the
//! question follows the picture directly. Mistral's has no system message: as `mistral-common` does, its text and an empty
//! line begin the first user message.

use super::{Message, Part, Role, Segment, Template};
use crate::error::Result;
use crate::fail;
use crate::tokenizer::{END_OF_TEXT, MARKS, Tokenizer};

/// A template. A system message is `system`, text, `close`; a user's `open`, its parts, `close`; an assistant's `answer`,
/// ids, `end`, `after`.
pub(super) struct Marked {
    template: Template,
    /// The special token before the first message, where the template itself has one.
    pub beginning: Option<&'static str>,
    /// `None` where the system message is the beginning of the first user message.
    system: Option<&'static str>,
    open: &'static str,
    /// Text before a message's first part, unless that is a picture.
    before_text: &'static str,
    /// Text between a text and the part after it.
    after_text: &'static str,
    /// Text after each picture.
    after_picture: &'static str,
    close: &'static str,
    answer: &'static str,
    /// The special token after an answer.
    end: &'static str,
    after: &'static str,
    /// Whether marks that the tokenizer lacks are written as text: the first Mistrals have no `[INST]` token.
    spelled: bool,
}

const TEMPLATES: [Marked; 5] = [
    Marked {
        template: Template::Llama3,
        beginning: None,
        system: Some("<|start_header_id|>system<|end_header_id|>\n\n"),
        open: "<|start_header_id|>user<|end_header_id|>\n\n",
        before_text: "",
        after_text: "\n",
        after_picture: "\n",
        close: "<|eot_id|>",
        answer: "<|start_header_id|>assistant<|end_header_id|>\n\n",
        end: "<|eot_id|>",
        after: "",
        spelled: false,
    },
    Marked {
        template: Template::ChatMl,
        beginning: None,
        system: Some("<|im_start|>system\n"),
        open: "<|im_start|>user\n",
        before_text: "",
        after_text: "\n",
        after_picture: "\n",
        close: "<|im_end|>\n",
        answer: "<|im_start|>assistant\n",
        end: "<|im_end|>",
        after: "\n",
        spelled: false,
    },
    Marked {
        template: Template::Phi3,
        beginning: None,
        system: Some("<|system|>\n"),
        open: "<|user|>\n",
        before_text: "",
        after_text: "\n",
        after_picture: "\n",
        close: "<|end|>\n",
        answer: "<|assistant|>\n",
        end: "<|end|>",
        after: "\n",
        spelled: false,
    },
    Marked {
        template: Template::Mistral,
        beginning: None,
        system: None,
        open: "[INST] ",
        before_text: "",
        after_text: "\n",
        after_picture: "\n",
        close: " [/INST]",
        answer: "",
        end: END_OF_TEXT,
        after: "",
        spelled: true,
    },
    Marked {
        template: Template::SmolVlm,
        beginning: Some("<|im_start|>"),
        system: Some("System:"),
        open: "User:",
        before_text: " ",
        after_text: "",
        after_picture: "",
        close: "<end_of_utterance>\n",
        answer: "Assistant:",
        end: "<end_of_utterance>",
        after: "\n",
        spelled: false,
    },
];

/// Texts that a chat template contains, all of them, and the template that they stand for; the first row that fits
/// decides.
const KINDS: [(&[&str], Template); 8] = [
    (&["<end_of_utterance>", "Assistant:"], Template::SmolVlm),
    (&["<|start_header_id|>", "<|eot_id|>"], Template::Llama3),
    (&["<|im_start|>", "<|im_end|>"], Template::ChatMl),
    (&["<|user|>", "<|end|>"], Template::Phi3),
    (&["[INST]", "[/INST]"], Template::Mistral),
    (&["A chat between a curious user", "ASSISTANT:"], Template::VicunaV1),
    (&["A chat between a curious human", "ASSISTANT:"], Template::LlavaV1),
    (&["ASSISTANT:"], Template::LlavaHf),
];
/// Marks in a vocabulary that only one template has.
const VOCABULARIES: [(&[&str], Template); 4] = [
    (&["<end_of_utterance>", "<fake_token_around_image>"], Template::SmolVlm),
    (&["<|start_header_id|>", "<|eot_id|>"], Template::Llama3),
    (&["<|im_start|>", "<|im_end|>"], Template::ChatMl),
    (&["<|user|>", "<|assistant|>", "<|end|>"], Template::Phi3),
];

impl Template {
    pub(super) fn marked(self) -> Option<&'static Marked> {
        TEMPLATES.iter().find(|marked| marked.template == self)
    }

    /// Recognises the template in the text of a checkpoint's own chat template (Jinja).
    pub fn of_chat_template(text: &str) -> Option<Self> {
        KINDS.iter().find(|(marks, _)| marks.iter().all(|mark| text.contains(mark))).map(|(_, template)| *template)
    }

    /// Returns the template for a checkpoint that names none: the one whose marks its tokenizer has, else that of
    /// LLaVA-1.5's training.
    pub fn for_tokenizer(tokenizer_json: &[u8]) -> Self {
        let has = |mark: &&str| names_token(tokenizer_json, mark);
        let found = VOCABULARIES.iter().find(|(marks, _)| marks.iter().all(has));
        found.map_or(Self::default(), |(_, template)| *template)
    }

    /// Returns the first mark that this template needs and a tokenizer lacks.
    pub fn lacks(self, tokenizer_json: &[u8]) -> Option<&'static str> {
        let marked = self.marked().filter(|marked| !marked.spelled)?;
        marked.marks().find(|mark| !names_token(tokenizer_json, mark))
    }

    /// Returns the token that ends a turn of this template, if the tokenizer has it as one token. An answer ends there,
    /// beside the ends that the checkpoint's configuration names.
    pub fn end_of_turn(self, tokenizer: &Tokenizer) -> Option<u32> {
        let end = match self.marked() {
            Some(marked) => marked.end,
            None => END_OF_TEXT,
        };
        tokenizer.special_id(end)
    }
}

/// Whether `tokenizer.json` has `token` somewhere as a whole string.
pub(crate) fn names_token(tokenizer_json: &[u8], token: &str) -> bool {
    let quoted = serde_json::to_vec(token).unwrap_or_default();
    tokenizer_json.windows(quoted.len().max(1)).any(|window| window == quoted)
}

impl Marked {
    /// Lists the marks of a conversation without a system message.
    fn marks(&self) -> impl Iterator<Item = &'static str> {
        let texts = [self.beginning.unwrap_or_default(), self.open, self.close, self.answer, self.end];
        MARKS.into_iter().filter(move |mark| texts.iter().any(|text| text.contains(mark)))
    }

    /// Appends messages, and the beginning of an answer unless the last message is one.
    pub(super) fn messages(
        &self,
        messages: &[Message],
        tokenizer: &Tokenizer,
        segments: &mut Vec<Segment>,
    ) -> Result<()> {
        // Text of a system message that waits for the user's.
        let mut waiting = String::new();
        for (index, message) in messages.iter().enumerate() {
            match (message.role, self.system) {
                (Role::System, None) => waiting = message.joined(self.after_text) + "\n\n",
                (Role::System, Some(open)) => {
                    self.write(open, tokenizer, segments)?;
                    let typed = message.joined(self.after_text);
                    // As in its chat template.
                    let typed = if self.template == Template::Llama3 { typed.trim() } else { &typed };
                    segments.push(Segment::Text(format!("{}{typed}", self.before_text)));
                    self.write(self.close, tokenizer, segments)?;
                }
                (Role::User, _) => {
                    self.write(self.open, tokenizer, segments)?;
                    segments.push(Segment::Text(std::mem::take(&mut waiting)));
                    self.parts(&message.parts, segments);
                    self.write(self.close, tokenizer, segments)?;
                }
                (Role::Assistant, _) => {
                    self.write(self.answer, tokenizer, segments)?;
                    segments.push(Segment::Ids(self.template.answer_ids(message, tokenizer)?));
                    if index + 1 == messages.len() {
                        return Ok(());
                    }
                    let end = self.id(self.end, tokenizer)?.unwrap_or(tokenizer.eos());
                    segments.push(Segment::Ids(vec![end]));
                    let strips = tokenizer.strips_after(end);
                    segments.push(Segment::Text(if strips { self.after.trim_start() } else { self.after }.to_string()));
                }
            }
        }
        self.write(self.answer, tokenizer, segments)
    }

    /// Appends the parts of a user's message.
    fn parts(&self, parts: &[Part], segments: &mut Vec<Segment>) {
        if !matches!(parts.first(), Some(Part::Image(_))) {
            segments.push(Segment::Text(self.before_text.to_string()));
        }
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => {
                    let after = if index + 1 < parts.len() { self.after_text } else { "" };
                    segments.push(Segment::Text(format!("{text}{after}")));
                }
                _ => segments.extend([Segment::Image, Segment::Text(self.after_picture.to_string())]),
            }
        }
    }

    /// Appends `text` with its marks as ids. White space after a mark that strips it is left out, as in `tokenizers`.
    fn write(&self, mut text: &'static str, tokenizer: &Tokenizer, segments: &mut Vec<Segment>) -> Result<()> {
        while let Some((at, mark)) = MARKS.iter().filter_map(|mark| Some((text.find(mark)?, *mark))).min() {
            segments.push(Segment::Text(text[..at].to_string()));
            text = &text[at + mark.len()..];
            match self.id(mark, tokenizer)? {
                Some(id) => {
                    segments.push(Segment::Ids(vec![id]));
                    text = if tokenizer.strips_after(id) { text.trim_start() } else { text };
                }
                None => segments.push(Segment::Text(mark.to_string())),
            }
        }
        segments.push(Segment::Text(text.to_string()));
        Ok(())
    }

    pub(super) fn id(&self, mark: &str, tokenizer: &Tokenizer) -> Result<Option<u32>> {
        match tokenizer.special_id(mark) {
            None if !self.spelled => {
                let template = self.template;
                fail!(Prompt, "prompt template", "{template} needs `{mark}`, which the tokenizer does not have")
            }
            found => Ok(found),
        }
    }
}
