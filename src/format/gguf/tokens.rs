//! The list of tokens of a GGUF file, which may have duplicates, empty texts and invalid UTF-8.
//!
//! A text that occurs twice belongs to its first id. A later id, and a token without a text, is stored under a text
//! that no prompt holds ([`stand_in`]), so that it still decodes.

use super::header::Gguf;
use super::value::Strings;
use crate::error::Result;
use crate::tokenizer::{IMAGE_MARK, stand_in};
use crate::{ensure, fail};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};

/// Longest vocabulary, bytes of text; Llama 3's has 0.9 MB.
const MAX_TEXT: usize = 8 << 20;
/// Most tokens.
const MAX_TOKENS: usize = 1 << 20;
/// Phi-3's marks. White space after them belongs to them, which no key of the file states.
const STRIPPING: [&str; 3] = ["<|user|>", "<|assistant|>", "<|end|>"];

/// `tokenizer.ggml.token_type`, by its numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The tokens of a vocabulary, for both models of tokenizer.
pub(super) struct Tokens<'a> {
    list: &'a Strings,
    sorts: Vec<Sort>,
    /// Text → its first id.
    ids: HashMap<&'a str, u32>,
    /// Texts of ids that are not stored under their own text.
    stand_ins: BTreeMap<u32, String>,
}

impl<'a> Tokens<'a> {
    /// Reads the tokens of a model with `rows` embeddings.
    ///
    /// # Errors
    /// [`Kind::Tokenizer`](crate::error::Kind::Tokenizer), naming the key, when there are none, or more than
    /// embeddings.
    pub fn read(file: &'a Gguf, rows: u32, notes: &mut Vec<String>) -> Result<Self> {
        let Some(list) = file.strings("tokenizer.ggml.tokens")? else {
            fail!(Tokenizer, at("tokens"), "is missing: the file has no vocabulary");
        };
        let count = list.len();
        ensure!(count as u64 <= u64::from(rows), Tokenizer, at("tokens"), "{count} tokens, but {rows} embeddings");
        let (large, bytes) = (count > MAX_TOKENS || list.bytes() > MAX_TEXT, list.bytes());
        ensure!(!large, Tokenizer, at("tokens"), "{count} tokens of {bytes} bytes; at most 2^20 of 8 MiB are read");
        let (mut ids, mut stand_ins) = (HashMap::with_capacity(count), BTreeMap::new());
        let mut empty = 0;
        for (token, id) in list.iter().zip(0u32..) {
            let first = if token.is_empty() { id } else { *ids.entry(token).or_insert(id) };
            if token.is_empty() || first != id {
                empty += u32::from(token.is_empty());
                stand_ins.insert(id, stand_in(id, first));
            }
        }
        let doubles = stand_ins.len() as u32 - empty;
        for (number, what) in [
            (doubles, "have the text of an earlier one, which is what text becomes"),
            (empty, "have no text"),
            (list.odd(), "are not UTF-8"),
        ] {
            if number > 0 {
                notes.push(format!("{number} of its {count} tokens {what}"));
            }
        }
        let sorts = sorts(file, list, notes)?;
        Ok(Self { list, sorts, ids, stand_ins })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The first id of `text`.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// The text under which the vocabulary stores `id`.
    pub fn text(&self, id: u32) -> &str {
        let own = || self.list.get(id as usize).unwrap_or_default();
        self.stand_ins.get(&id).map_or_else(own, String::as_str)
    }

    pub fn sort(&self, id: u32) -> Sort {
        self.sorts.get(id as usize).copied().unwrap_or(Sort::Unused)
    }

    /// Texts that are stored under their own id, each with the id.
    pub fn firsts(&self) -> impl Iterator<Item = (&'a str, u32)> {
        self.list.iter().zip(0u32..).filter(|(_, id)| !self.stand_ins.contains_key(id))
    }

    /// Number of the 256 bytes that have a token.
    pub fn bytes(&self) -> usize {
        self.firsts().filter(|(text, id)| self.sort(*id) == Sort::Byte && byte(text).is_some()).count()
    }

    /// Makes `added_tokens`: the tokens that are recognised in a raw prompt before anything else.
    pub fn added(&self, special: &[u32]) -> Vec<Json> {
        let phi_3 = STRIPPING.iter().all(|mark| self.id(mark).is_some_and(|id| self.sort(id) == Sort::Control));
        let one = |id: u32, content: &str, special: bool| {
            let strips = phi_3 && STRIPPING.contains(&content);
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": strips,
                "normalized": false, "special": special})
        };
        let mut added = Vec::new();
        for (token, id) in self.firsts() {
            let sort = self.sort(id);
            let marks = matches!(sort, Sort::Control | Sort::Unknown) || special.contains(&id) || token == IMAGE_MARK;
            if marks || sort == Sort::UserDefined {
                added.push(one(id, token, marks));
            }
        }
        if self.id(IMAGE_MARK).is_none() {
            added.push(one(self.len() as u32, IMAGE_MARK, true));
        }
        added
    }
}

/// Place of an error under a key of the vocabulary.
pub(super) fn at(key: &str) -> String {
    format!("GGUF: tokenizer.ggml.{key}")
}

/// Reads the kinds of tokens. Where the file has none, or another number of them, the spelling decides.
fn sorts(file: &Gguf, list: &Strings, notes: &mut Vec<String>) -> Result<Vec<Sort>> {
    let key = "tokenizer.ggml.token_type";
    let mut types = file.numbers(key).unwrap_or_default().unwrap_or_default();
    if types.len() != list.len() && file.metadata.contains_key(key) {
        notes.push(format!("{key} is passed over: it is no list of {} numbers", list.len()));
        types.clear();
    }
    let sort = |(i, token): (usize, &str)| match types.get(i).map(|t| *t as i64) {
        Some(2) => Sort::Unknown,
        Some(3) => Sort::Control,
        Some(4) => Sort::UserDefined,
        Some(5) => Sort::Unused,
        Some(6) => Sort::Byte,
        None if byte(token).is_some() => Sort::Byte,
        None if matches!(token, "<unk>" | "<s>" | "</s>") || is_mark(token) => Sort::Control,
        _ => Sort::Normal,
    };
    Ok(list.iter().enumerate().map(sort).collect())
}

/// Whether a token is spelled like `<|im_end|>`.
fn is_mark(token: &str) -> bool {
    token.len() > 4 && token.starts_with("<|") && token.ends_with("|>")
}

/// The byte that `<0x41>` stands for.
pub(super) fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Serialises the map of all tokens to their ids.
impl Serialize for Tokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for id in 0..self.len() as u32 {
            map.serialize_entry(self.text(id), &id)?;
        }
        map.end()
    }
}
