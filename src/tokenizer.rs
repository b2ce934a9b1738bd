//! Text ⇄ token ids, by a checkpoint's `tokenizer.json`.
//!
//! [`Tokenizer::encode_text`] encodes typed text: no piece of it becomes a special token. [`Tokenizer::encode_raw`]
//! encodes a prompt as transformers does: special tokens are recognised and the beginning-of-sequence token is added.
//! [`StreamDecoder`] decodes token by token. It never returns half a character, and its texts together are exactly the
//! text of all tokens decoded together.

mod bytes;
mod limits;
mod marks;
mod vocabulary;

pub(crate) use marks::END_OF_TEXT;
pub use marks::MARKS;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use tokenizers::{Model, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

const FILE: &str = "tokenizer.json";
/// Largest `tokenizer.json`, bytes. LLaMA's has 1.8 MB.
pub const MAX_TOKENIZER: u64 = 64 << 20;
/// Mark for the place of a picture in a prompt.
pub const IMAGE_MARK: &str = "<image>";
/// First letter of a token that stands in for another: see [`stand_in`]. Unicode leaves it unassigned, so that no text
/// holds it.
const STAND_IN: char = '\u{10FFFD}';

/// Returns the text under which a vocabulary stores `id`, whose own text is also that of `first`: that text is encoded
/// as `first`, and `id` is decoded like `first`. A token without text stands in for itself and is decoded to nothing.
pub fn stand_in(id: u32, first: u32) -> String {
    format!("{STAND_IN}{id}={first}")
}

/// Returns the id that `token`, whose id is `id`, stands in for.
fn stands_for(token: &str, id: u32) -> Option<u32> {
    let (own, first) = token.strip_prefix(STAND_IN)?.split_once('=')?;
    (own.parse() == Ok(id)).then(|| first.parse().ok()).flatten()
}

/// The steps of LLaMA's pipelines and of byte-level ones. Others are refused: some panic on malformed contents while
/// they are parsed, and no LLaVA checkpoint has them.
const KNOWN_STEPS: [(&str, &[&str]); 5] = [
    ("normalizer", &["Sequence", "Prepend", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip"]),
    ("pre_tokenizer", &["Sequence", "ByteLevel", "Metaspace", "Split", "Digits", "Punctuation", "Whitespace"]),
    ("post_processor", &["Sequence", "TemplateProcessing", "ByteLevel"]),
    ("decoder", &["Sequence", "Replace", "ByteFallback", "Fuse", "Strip", "ByteLevel", "Metaspace"]),
    ("model", &["BPE"]),
];

/// A tokenizer that has been checked against a model's configuration.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Ids that text must not produce, and that decoding leaves out.
    special: HashSet<u32>,
    /// Ids that stand in for another, or for nothing ([`stand_in`]).
    stand_ins: HashMap<u32, u32>,
    /// Whether a raw text begins with [`Tokenizer::bos`], where the file says what surrounds a text.
    begins: Option<bool>,
    vocab_size: u32,
    bos: u32,
    eos: u32,
    image: u32,
}

impl Tokenizer {
    /// Parses `tokenizer.json` and checks it against `config`.
    ///
    /// # Errors
    /// [`Kind::Tokenizer`] for a file that is too large, malformed, of a kind whose result is random, or has
    /// ids that the model has no embedding for.
    pub fn parse(bytes: &[u8], config: &Config) -> Result<Self> {
        ensure!(
            bytes.len() as u64 <= MAX_TOKENIZER,
            Tokenizer,
            FILE,
            "{} bytes are more than {MAX_TOKENIZER}",
            bytes.len()
        );
        check_pipelines(bytes)?;
        let broken = |e: tokenizers::Error| Error::new(Kind::Tokenizer, FILE, e.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(broken)?;
        // Neither belongs to a prompt; files saved from a training run may have them on.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(broken)?;
        if let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model() {
            ensure!(bpe.dropout.is_none_or(|p| p == 0.0), Tokenizer, FILE, "drops merges at random");
        }
        let text = &config.text;
        let image = config.image_token_index;
        let Some(&eos) = text.eos_token_ids.first() else {
            fail!(Tokenizer, "generation_config.json", "names no token that ends an answer");
        };
        let added = inner.get_added_tokens_decoder();
        let mut special: HashSet<u32> = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        // Where it puts a special token before a text, that is the beginning, whatever the configuration calls it.
        let empty = inner.encode_fast("", true).map_err(broken)?;
        let own =
            empty.get_ids().first().copied().filter(|id| special.contains(id) && !text.eos_token_ids.contains(id));
        let bos = own.unwrap_or(text.bos_token_id);
        let begins = inner.get_post_processor().map(|_| empty.get_ids().first() == Some(&bos));
        special.extend([bos, image].iter().chain(&text.eos_token_ids));
        // What chat templates put around turns is no text, whether the file calls it special or not.
        special.extend(MARKS.iter().filter_map(|mark| inner.token_to_id(mark)));
        let vocabulary = inner.get_model().get_vocab();
        let stand_ins = vocabulary.iter().filter_map(|(token, id)| Some((*id, stands_for(token, *id)?))).collect();
        let tokenizer = Self { special, stand_ins, begins, vocab_size: text.vocab_size, bos, eos, image, inner };
        tokenizer.check()?;
        Ok(tokenizer)
    }

    fn check(&self) -> Result<()> {
        let size = self.vocab_size;
        for (what, id) in [("bos_token_id", self.bos), ("eos_token_id", self.eos)] {
            ensure!(id < size, Tokenizer, "config.json", "{what} {id} is outside the vocabulary of {size}");
        }
        // Only what the model itself produces: tokens added on top are refused where a prompt contains them.
        let beyond = self.inner.get_model().get_vocab().into_iter().filter(|(_, id)| *id >= size && *id != self.image);
        if let Some((token, id)) = beyond.min_by_key(|(_, id)| *id) {
            fail!(Tokenizer, FILE, "`{}` has the id {id}; the model has {size} embeddings", token.escape_debug());
        }
        let mark = self.inner.token_to_id(IMAGE_MARK);
        ensure!(
            mark.is_none_or(|id| id == self.image),
            Tokenizer,
            FILE,
            "`{IMAGE_MARK}` has the id {}; config.json's image_token_index is {}",
            mark.unwrap(),
            self.image
        );
        let other = self.inner.id_to_token(self.image).filter(|token| token != IMAGE_MARK);
        ensure!(
            other.is_none() || mark.is_some(),
            Tokenizer,
            FILE,
            "image_token_index {} is the token `{}`",
            self.image,
            other.unwrap().escape_debug()
        );
        Ok(())
    }

    /// Encodes typed text: no part of it becomes a special token, and no beginning-of-sequence token is added.
    ///
    /// # Errors
    /// [`Kind::Prompt`] if the tokenizer has no ids for it.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.plain(text).map_err(|e| Error::new(Kind::Prompt, "text", format!("cannot be tokenised: {e}")))
    }

    /// Runs the pipeline of `tokenizers` without its search for added tokens: normalise, split, model.
    fn plain(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let mut normalized = tokenizers::NormalizedString::from(text);
        if let Some(normalizer) = self.inner.get_normalizer() {
            normalizer.normalize(&mut normalized)?;
        }
        let mut pieces = PreTokenizedString::from(normalized);
        if let Some(splitter) = self.inner.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut pieces)?;
        }
        let model = self.inner.get_model();
        pieces.tokenize(|piece| model.tokenize(piece.get()))?;
        let mut ids = Vec::new();
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            for token in tokens.iter().flatten() {
                if !self.special.contains(&token.id) || token.value.chars().count() < 2 {
                    ids.push(token.id);
                    continue;
                }
                // The model can spell a special token from its letters: then letter by letter.
                for letter in token.value.chars() {
                    ids.extend(model.tokenize(letter.encode_utf8(&mut [0; 4]))?.iter().map(|t| t.id));
                }
            }
        }
        Ok(ids)
    }

    /// Encodes a raw prompt as transformers does: special tokens are recognised, and a beginning is added if the
    /// tokenizer's post-processor adds one.
    ///
    /// # Errors
    /// [`Kind::Prompt`] if the tokenizer has no ids for it, or one that the model has no embedding for.
    pub fn encode_raw(&self, text: &str) -> Result<Vec<u32>> {
        let failed = |e: tokenizers::Error| Error::new(Kind::Prompt, "raw prompt", format!("cannot be tokenised: {e}"));
        self.known(self.inner.encode_fast(text, true).map_err(failed)?.get_ids(), "raw prompt")
    }

    /// Refuses ids that the model has no embedding for.
    fn known(&self, ids: &[u32], place: &str) -> Result<Vec<u32>> {
        if let Some(id) = ids.iter().find(|id| **id >= self.vocab_size && **id != self.image) {
            let token = self.inner.id_to_token(*id).unwrap_or_default();
            fail!(Prompt, place, "`{token}` has the id {id}; the model has {} embeddings", self.vocab_size);
        }
        Ok(ids.to_vec())
    }

    /// Encodes text of the model's own, in which special tokens are recognised; nothing is added before it.
    ///
    /// # Errors
    /// As [`encode_raw`](Self::encode_raw).
    pub fn encode_marked(&self, text: &str) -> Result<Vec<u32>> {
        let failed = |e: tokenizers::Error| Error::new(Kind::Prompt, "marks", format!("cannot be tokenised: {e}"));
        self.known(self.inner.encode_fast(text, false).map_err(failed)?.get_ids(), "marks")
    }

    /// Decodes ids to text, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        // Decoders only join and replace; what fails to decode has no text.
        let ids: Vec<u32> = ids.iter().filter_map(|id| self.read_as(*id)).collect();
        let ids: Vec<u32> = ids.into_iter().filter(|id| !self.special.contains(id)).collect();
        self.inner.decode(&ids, true).unwrap_or_default()
    }

    /// Returns the id whose text `id` has; `None` where it has none.
    fn read_as(&self, id: u32) -> Option<u32> {
        let first = self.stand_ins.get(&id).copied().unwrap_or(id);
        (first != id || !self.stand_ins.contains_key(&id)).then_some(first)
    }

    /// The token before every prompt.
    pub fn bos(&self) -> u32 {
        self.bos
    }

    /// Whether the checkpoint's own tokenizer puts [`Tokenizer::bos`] before a text; `None` where its file has no
    /// post-processor, as in files that were not made by transformers.
    pub fn begins(&self) -> Option<bool> {
        self.begins
    }

    /// The token after an answer.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The token that marks the place of a picture.
    pub fn image(&self) -> u32 {
        self.image
    }

    /// The id of a special token by its text.
    pub fn special_id(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text).filter(|id| self.special.contains(id))
    }

    /// Whether white space after a special token belongs to it.
    pub fn strips_after(&self, id: u32) -> bool {
        self.inner.get_added_tokens_decoder().get(&id).is_some_and(|token| token.rstrip)
    }

    /// Whether decoding leaves `id` out: special, or no token at all.
    fn is_silent(&self, id: u32) -> bool {
        let silent = |id: u32| self.special.contains(&id) || self.inner.id_to_token(id).is_none();
        self.read_as(id).is_none_or(silent)
    }

    /// Whether a token is spelled like `<0x41>`: one byte of a character that the vocabulary lacks. A run of them is
    /// decoded together, so its text is not known before it ends.
    fn is_byte(&self, id: u32) -> bool {
        let token = self.read_as(id).and_then(|id| self.inner.id_to_token(id)).unwrap_or_default();
        token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
    }
}

/// The pipelines of `tokenizer.json`. They are read completely, so that nothing in them can be malformed afterwards.
#[derive(Deserialize)]
struct Pipelines {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: PipelineStep,
}

/// A step of a pipeline, or a sequence of them.
#[derive(Deserialize)]
struct PipelineStep {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default, alias = "normalizers", alias = "pretokenizers", alias = "processors", alias = "decoders")]
    inner: Vec<PipelineStep>,
    continuing_subword_prefix: Option<String>,
    /// `TemplateProcessing`: what surrounds a text, and the tokens that are known to it.
    #[serde(default)]
    single: Vec<TemplateItem>,
    #[serde(default)]
    special_tokens: HashMap<String, IgnoredAny>,
}

/// An item of a `TemplateProcessing`.
#[derive(Deserialize)]
enum TemplateItem {
    SpecialToken { id: String },
    Sequence { id: String },
}

/// Refuses bytes that are no JSON, and pipelines with other steps than [`KNOWN_STEPS`]: on some of either, the parser
/// of `tokenizers` panics.
fn check_pipelines(bytes: &[u8]) -> Result<()> {
    fn check(name: &str, step: &PipelineStep, known: &[&str]) -> Result<()> {
        let kind = step.kind.as_deref().unwrap_or("no type");
        let place = || format!("{FILE}: {name}");
        ensure!(known.contains(&kind), Tokenizer, place(), "`{}` is not implemented", kind.escape_debug());
        let prefix = step.continuing_subword_prefix.as_deref().unwrap_or_default();
        ensure!(prefix.is_empty(), Tokenizer, place(), "a continuing_subword_prefix is not implemented");
        let undefined = step.single.iter().find_map(|item| match item {
            TemplateItem::SpecialToken { id } => (!step.special_tokens.contains_key(id)).then_some(id),
            TemplateItem::Sequence { id } => (id != "A").then_some(id),
        });
        ensure!(undefined.is_none(), Tokenizer, place(), "`{}` is not defined", undefined.unwrap().escape_debug());
        step.inner.iter().try_for_each(|inner| check(name, inner, known))
    }
    let malformed = |e: serde_json::Error| Error::new(Kind::Tokenizer, FILE, e.to_string());
    let pipelines: Pipelines = serde_json::from_slice(bytes).map_err(malformed)?;
    let small = [pipelines.normalizer, pipelines.pre_tokenizer, pipelines.post_processor, pipelines.decoder];
    let mut limits = limits::Limits::default();
    for ((name, known), pipeline) in KNOWN_STEPS.iter().zip(small) {
        if let Some(pipeline) = pipeline.filter(|pipeline| !pipeline.is_null()) {
            limits.check(name, &pipeline)?;
            check(name, &serde_json::from_value(pipeline).map_err(malformed)?, known)?;
        }
    }
    check(KNOWN_STEPS[4].0, &pipelines.model, KNOWN_STEPS[4].1)
}

/// Decodes token by token; text is returned as soon as it is certain.
///
/// Decoders look at neighbours (bytes are joined to characters, the first space of all is dropped), so text
/// comes from decoding a short *window* of recent tokens: what it has more than before is new. The window
/// begins with a token whose own text is whole and not empty, which keeps it from being taken for a beginning.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    window: Vec<u32>,
    /// Bytes of the window's text that have been returned.
    given: usize,
}

impl StreamDecoder {
    /// Appends a token and returns the text that it completes, perhaps none.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        if tokenizer.is_silent(id) {
            return String::new();
        }
        self.window.push(id);
        if tokenizer.is_byte(id) {
            return String::new();
        }
        let text = tokenizer.decode(&self.window);
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return String::new(); // half a character, so far
        }
        let new = text.get(self.given..).unwrap_or_default().to_owned();
        let alone = tokenizer.decode(&[id]);
        if alone.is_empty() || alone.contains(char::REPLACEMENT_CHARACTER) {
            self.given = text.len();
        } else {
            (self.window, self.given) = (vec![id], alone.len());
        }
        new
    }

    /// Returns the rest: bytes that never became a character, as U+FFFD.
    pub fn finish(self, tokenizer: &Tokenizer) -> String {
        tokenizer.decode(&self.window).get(self.given..).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
pub(crate) mod tests;
