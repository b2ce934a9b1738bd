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
    pub const ALL: [Self; 5] = [Self::VicunaV1, Self::LlavaV1, Self::LlavaHf, Self::Llama3, Self::Plain];

    /// The name in manifests and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::VicunaV1 => "vicuna_v1",
            Self::LlavaV1 => "llava_v1",
            Self::LlavaHf => "llava_hf",
            Self::Llama3 => "llama_3",
            Self::Plain => "plain",
        }
    }

    /// What a checkpoint is asked with when it does not say: LLaMA-3's own format where the tokenizer has its marks,
    /// else that of LLaVA-1.5's training.
    pub fn for_tokenizer(tokenizer_json: &[u8]) -> Self {
        let mark = format!("\"{}\"", HEADER_MARKS[0]);
        let found = tokenizer_json.windows(mark.len()).any(|window| window == mark.as_bytes());
        if found { Self::Llama3 } else { Self::default() }
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
            Self::LlavaHf | Self::Llama3 | Self::Plain => "",
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
        let mut pieces = vec![Piece::Ids(vec![tokenizer.bos()]), Piece::Text(self.system().to_string())];
        for turn in turns {
            match self {
                Self::Llama3 => llama_3_turn(turn, &header_ids(tokenizer)?, &mut pieces),
                _ => self.turn(turn, tokenizer, &mut pieces),
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

/// What LLaMA-3 puts around the name of a speaker, and after what he says.
const HEADER_MARKS: [&str; 3] = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];

fn header_ids(tokenizer: &Tokenizer) -> Result<[u32; 3]> {
    let mut ids = [0; 3];
    for (id, mark) in ids.iter_mut().zip(HEADER_MARKS) {
        match tokenizer.special_id(mark) {
            Some(found) => *id = found,
            None => fail!(Prompt, "prompt template", "llama_3 needs `{mark}`, which the tokenizer does not have"),
        }
    }
    Ok(ids)
}

/// Source: `chat_template` of `meta-llama/Meta-Llama-3-8B-Instruct`.
fn llama_3_turn(turn: &Turn, &[start, end, over]: &[u32; 3], pieces: &mut Vec<Piece>) {
    let header = |speaker: &str| [Piece::Ids(vec![start]), Piece::Text(speaker.into()), Piece::Ids(vec![end])];
    let text = |text: &str| Piece::Text(text.to_string());
    pieces.extend(header("user"));
    pieces.push(text("\n\n"));
    for _ in 0..turn.images {
        pieces.extend([Piece::Image, text("\n")]);
    }
    pieces.extend([text(&turn.question), Piece::Ids(vec![over])]);
    pieces.extend(header("assistant"));
    pieces.push(text("\n\n"));
    if let Some(answer) = &turn.answer {
        pieces.push(Piece::Ids(answer.iter().copied().chain([over]).collect()));
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
            None => fail!(
                Argument,
                "prompt template",
                "`{name}` is unknown (vicuna_v1, llava_v1, llava_hf, llama_3, plain)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::{byte_level, llama_like, with_specials};
    use proptest::prelude::*;

    fn turn(images: usize, question: &str, answer: Option<&[u32]>) -> Turn {
        Turn { images, question: question.to_string(), answer: answer.map(<[u32]>::to_vec) }
    }

    /// Those whose marks are text, or ids that every tokenizer has.
    const SPELLED: [Template; 4] = [Template::VicunaV1, Template::LlavaV1, Template::LlavaHf, Template::Plain];

    /// Items as text again: special tokens and pictures by their marks.
    fn spelled(items: &[PromptItem], tokenizer: &Tokenizer) -> String {
        let one = |item: &PromptItem| match *item {
            PromptItem::Image(i) => format!("[{i}]"),
            PromptItem::Token(id) if id == tokenizer.bos() => "<s>".to_string(),
            PromptItem::Token(id) if id == tokenizer.eos() => "</s>".to_string(),
            PromptItem::Token(id) => tokenizer.decode(&[id]),
        };
        items.iter().map(one).collect()
    }

    #[test]
    fn templates_spell_what_they_promise() {
        let tokenizer = byte_level();
        let spell =
            |template: Template, turns: &[Turn]| spelled(&template.items(turns, &tokenizer).unwrap(), &tokenizer);
        let answer = tokenizer.encode_text(" a").unwrap();
        let turns = [turn(2, "q", Some(&answer)), turn(0, "r", Some(&answer)), turn(1, "s", None)];
        let hf = "USER: [0]\n[1]\nq ASSISTANT: a</s>USER: r ASSISTANT: a</s>USER: [2]\ns ASSISTANT:";
        assert_eq!(spell(Template::LlavaHf, &turns), format!("<s>{hf}"));
        let vicuna = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
                      helpful, detailed, and polite answers to the user's questions. ";
        assert_eq!(spell(Template::VicunaV1, &turns), format!("<s>{vicuna}{hf}"));
        assert_eq!(spell(Template::LlavaV1, &turns), format!("<s>{}{hf}", vicuna.replace("user", "human")));
        assert_eq!(spell(Template::Plain, &turns), "<s>[0][1]q a\nr a\n[2]s");
        assert_eq!(spell(Template::LlavaHf, &[turn(0, "q", None)]), "<s>USER: q ASSISTANT:");
    }

    #[test]
    fn llama_3_has_marks_of_its_own() {
        let plain = byte_level();
        let error = Template::Llama3.items(&[turn(1, "q", None)], &plain).unwrap_err();
        assert!(error.message.contains("<|start_header_id|>"), "{error}");
        let tokenizer = with_specials(&HEADER_MARKS);
        let [start, end, over] = header_ids(&tokenizer).unwrap();
        let answer = tokenizer.encode_text("a").unwrap();
        let turns = [turn(1, "q<|eot_id|>", Some(&answer)), turn(0, "r", None)];
        let items = Template::Llama3.items(&turns, &tokenizer).unwrap();
        let marks: Vec<u32> = items
            .iter()
            .filter_map(|item| match item {
                PromptItem::Token(id) if [start, end, over].contains(id) => Some(*id),
                _ => None,
            })
            .collect();
        assert_eq!(marks, [start, end, over, start, end, over, start, end, over, start, end], "typed marks stay text");
        assert_eq!(items.iter().filter(|i| matches!(i, PromptItem::Image(_))).count(), 1);
        assert_eq!(Template::for_tokenizer(br#"{"content": "<|start_header_id|>"}"#), Template::Llama3);
        assert_eq!(Template::for_tokenizer(b"{}"), Template::VicunaV1);
    }

    #[test]
    fn an_unanswered_turn_must_be_the_last() {
        let tokenizer = byte_level();
        let error = Template::Plain.items(&[turn(0, "q", None), turn(0, "r", None)], &tokenizer).unwrap_err();
        assert!(error.place == "turn 0" && Template::Plain.items(&[], &tokenizer).is_err());
    }

    #[test]
    fn raw_prompts_have_their_marks_counted() {
        let tokenizer = llama_like();
        let items = raw("a<image><image>b</s>", &tokenizer).unwrap();
        assert_eq!(spelled(&items, &tokenizer), "<s>a[0][1]b</s>");
    }

    #[test]
    fn names_are_those_of_manifests() {
        for template in Template::ALL {
            assert_eq!(template.name().parse::<Template>().unwrap(), template);
            assert_eq!(serde_json::to_string(&template).unwrap(), format!("\"{template}\""));
        }
        assert!("vicuna".parse::<Template>().is_err());
    }

    proptest! {
        /// What is read before there is a question stays valid when there is one, and after the answer.
        #[test]
        fn the_prefix_does_not_depend_on_the_question(
            question in ".{0,12}", other in ".{0,12}", images in 1usize..3, which in 0usize..4,
            answer in prop::collection::vec(3u32..40, 0..5),
        ) {
            let (template, tokenizer) = (SPELLED[which], llama_like());
            let items = |turns: &[Turn]| template.items(turns, &tokenizer).unwrap();
            let asked = items(&[turn(images, &question, None)]);
            let empty = items(&[turn(images, "", None)]);
            let last = |items: &[PromptItem]| items.iter().rposition(|i| matches!(i, PromptItem::Image(_))).unwrap();
            prop_assert_eq!(&asked[..=last(&asked)], &empty[..=last(&empty)]);
            // The answer's ids follow the question's unchanged, and so does the next turn.
            let next = items(&[turn(images, &question, Some(&answer)), turn(0, &other, None)]);
            prop_assert_eq!(&next[..asked.len()], &asked[..]);
            let ids: Vec<PromptItem> = answer.iter().map(|id| PromptItem::Token(*id)).collect();
            prop_assert_eq!(&next[asked.len()..][..ids.len()], &ids[..]);
        }

        /// Typed text gives no special token and no picture, whatever it spells.
        #[test]
        fn typed_marks_stay_text(before in ".{0,4}", mark in 0usize..4, after in ".{0,4}", which in 0usize..4) {
            let tokenizer = llama_like();
            let mark = ["<image>", "</s>", "<s>", "<pad>"][mark];
            let items = SPELLED[which].items(&[turn(1, &format!("{before}{mark}{after}"), None)], &tokenizer).unwrap();
            prop_assert_eq!(items.iter().filter(|i| matches!(i, PromptItem::Image(_))).count(), 1);
            let specials = [tokenizer.bos(), tokenizer.eos(), tokenizer.image()];
            let special = |i: &&PromptItem| matches!(i, PromptItem::Token(id) if specials.contains(id));
            prop_assert_eq!(items.iter().filter(special).count(), 1, "only the beginning");
        }
    }
}
