//! `tokenizer.ggml.*` → `tokenizer.json`, as Hugging Face's own conversion would write it.
//!
//! - `llama`: SentencePiece. Its merges are not in the file; they follow from the scores: every way to cut a
//!   piece in two pieces is a merge, the best score first.
//! - `gpt2`: byte-level BPE (Llama 3), with merges in the file and a regular expression by its name.
//!
//! # Source
//! `convert_slow_tokenizer.py` and `generate_merges` of transformers; `llama-vocab.cpp` (expressions by name,
//! which tokens begin and end a text).

use super::{Gguf, Strings};
use crate::error::{Error, Kind, Result};
use crate::tokenizer::IMAGE_MARK;
use crate::{ensure, fail};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value as Json, json};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Longest token, bytes; LLaMA's longest has 48, Llama 3's 128. With the next two it bounds the search for
/// merges, which looks up both pieces of every cut.
const MAX_TOKEN: usize = 256;
/// Longest vocabulary, bytes of text; Llama 3's has 0.9 MB.
const MAX_TEXT: usize = 8 << 20;
/// Most tokens.
const MAX_TOKENS: usize = 1 << 20;
/// The expression by which Llama 3 cuts text before its merges apply.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// llama.cpp's, where a file names none; one after the other.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];
/// Tokens that end an answer wherever they are in a vocabulary as control tokens.
const ENDS: [&str; 3] = ["<|eot_id|>", "<|end_of_text|>", "<|im_end|>"];

/// A vocabulary as the loader takes it.
pub(super) struct Vocabulary {
    /// `tokenizer.json`.
    pub json: Vec<u8>,
    /// Token that marks the place of a picture.
    pub image: u32,
    pub bos: u32,
    /// The first ends a turn in prompts, any of them an answer.
    pub eos: Vec<u32>,
    pub notes: Vec<String>,
}

/// `tokenizer.ggml.token_type`, by its numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// What both models of tokenizer start from.
struct Tokens<'a> {
    list: &'a Strings,
    sorts: Vec<Sort>,
    ids: HashMap<&'a str, u32>,
}

/// The vocabulary of a model with `rows` embeddings.
///
/// # Errors
/// [`Kind::Tokenizer`], naming the key, for what is missing, contradictory or not implemented.
pub(super) fn vocabulary(file: &Gguf, rows: u32) -> Result<Vocabulary> {
    let model = file.text("tokenizer.ggml.model")?.unwrap_or("llama");
    let sentence_piece = match model {
        "llama" => true,
        "gpt2" => false,
        other => fail!(Tokenizer, at("model"), "`{}` is not implemented (llama, gpt2)", other.escape_debug()),
    };
    let tokens = Tokens::read(file, rows)?;
    let count = tokens.list.len() as u32;
    let image = tokens.ids.get(IMAGE_MARK).copied().unwrap_or(count);
    let id = |name: &str, default: Option<u32>| -> Result<Option<u32>> {
        let id = file.u32(&format!("tokenizer.ggml.{name}_token_id"))?.or(default);
        ensure!(id.is_none_or(|id| id < count), Tokenizer, at(name), "{id:?} is no token; there are {count}");
        Ok(id)
    };
    let usual = |id: u32| sentence_piece.then_some(id);
    let (Some(bos), Some(end)) = (id("bos", usual(1))?, id("eos", usual(2))?) else {
        fail!(Tokenizer, at("bos_token_id"), "or eos_token_id is missing");
    };
    let mut eos = vec![end];
    let named = ENDS.iter().filter_map(|mark| tokens.ids.get(mark).copied());
    let control = named.filter(|id| tokens.sorts[*id as usize] == Sort::Control);
    for more in id("eot", None)?.into_iter().chain(control) {
        if !eos.contains(&more) {
            eos.push(more);
        }
    }
    let (mut notes, mut special) = (Vec::new(), vec![bos]);
    special.extend(&eos);
    let parts = if sentence_piece {
        sentence_piece_parts(file, &tokens, id("unknown", Some(0))?.unwrap_or(0))?
    } else {
        byte_level_parts(file, &tokens, &mut notes)?
    };
    if !sentence_piece && !tokens.ids.contains_key("<|start_header_id|>") {
        notes.push("the prompt is Vicuna's also for models that were trained with another".to_string());
    }
    let begins = file.boolean("tokenizer.ggml.add_bos_token")?.unwrap_or(parts.begins);
    let beginning = &tokens.list.get(bos as usize).unwrap_or_default();
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": beginning, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {*beginning: {"id": beginning, "ids": [bos], "tokens": [beginning]}},
    });
    let file = File {
        version: "1.0",
        added_tokens: tokens.added(&special),
        normalizer: parts.normalizer,
        pre_tokenizer: parts.pre_tokenizer,
        post_processor: if begins { template } else { Json::Null },
        decoder: parts.decoder,
        model: parts.model,
    };
    let json = serde_json::to_vec(&file).map_err(|e| Error::new(Kind::Tokenizer, at("tokens"), e.to_string()))?;
    Ok(Vocabulary { json, image, bos, eos, notes })
}

fn at(key: &str) -> String {
    format!("GGUF: tokenizer.ggml.{key}")
}

impl<'a> Tokens<'a> {
    fn read(file: &'a Gguf, rows: u32) -> Result<Self> {
        let Some(list) = file.strings("tokenizer.ggml.tokens")? else {
            fail!(Tokenizer, at("tokens"), "is missing: the file has no vocabulary");
        };
        let count = list.len();
        ensure!(count as u64 <= u64::from(rows), Tokenizer, at("tokens"), "{count} tokens, but {rows} embeddings");
        let (large, bytes) = (count > MAX_TOKENS || list.bytes() > MAX_TEXT, list.bytes());
        ensure!(!large, Tokenizer, at("tokens"), "{count} tokens of {bytes} bytes; at most 2^20 of 8 MiB are read");
        let mut ids = HashMap::with_capacity(count);
        for (token, id) in list.iter().zip(0u32..) {
            ensure!(token.len() <= MAX_TOKEN, Tokenizer, at("tokens"), "token {id} has {} bytes", token.len());
            let before = ids.insert(token, id);
            ensure!(before.is_none(), Tokenizer, at("tokens"), "{before:?} and {id} are the same text");
        }
        let types = file.numbers("tokenizer.ggml.token_type")?.unwrap_or_default();
        ensure!(
            types.is_empty() || types.len() == count,
            Tokenizer,
            at("token_type"),
            "{} types for {count} tokens",
            types.len()
        );
        let sort = |(i, token): (usize, &str)| match types.get(i).map(|t| *t as i64) {
            Some(2) => Sort::Unknown,
            Some(3) => Sort::Control,
            Some(4) => Sort::UserDefined,
            Some(5) => Sort::Unused,
            Some(6) => Sort::Byte,
            None if byte(token).is_some() => Sort::Byte,
            None if matches!(token, "<unk>" | "<s>" | "</s>") => Sort::Control,
            _ => Sort::Normal,
        };
        Ok(Self { list, sorts: list.iter().enumerate().map(sort).collect(), ids })
    }

    /// `added_tokens`: what is recognised in a raw prompt before anything else.
    fn added(&self, special: &[u32]) -> Vec<Json> {
        let one = |id: u32, content: &str, special: bool| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special})
        };
        let mut added = Vec::new();
        for (token, id) in self.list.iter().zip(0u32..) {
            let sort = self.sorts[id as usize];
            let marks = matches!(sort, Sort::Control | Sort::Unknown) || special.contains(&id) || token == IMAGE_MARK;
            if marks || sort == Sort::UserDefined {
                added.push(one(id, token, marks));
            }
        }
        if !self.ids.contains_key(IMAGE_MARK) {
            added.push(one(self.list.len() as u32, IMAGE_MARK, true));
        }
        added
    }
}

/// The byte that `<0x41>` stands for.
fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The pieces of `tokenizer.json` that depend on the kind of tokenizer.
struct Parts<'a> {
    normalizer: Json,
    pre_tokenizer: Json,
    decoder: Json,
    model: Model<'a>,
    /// Whether a text begins with the token for it, where the file does not say.
    begins: bool,
}

fn sentence_piece_parts<'a>(file: &Gguf, tokens: &Tokens<'a>, unknown: u32) -> Result<Parts<'a>> {
    let prefix = file.boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut normalizers = vec![replace];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let bytes = tokens.list.iter().zip(&tokens.sorts).filter(|(t, s)| **s == Sort::Byte && byte(t).is_some()).count();
    let model = Model {
        kind: "BPE",
        unk_token: tokens.list.get(unknown as usize),
        fuse_unk: true,
        byte_fallback: bytes == 256,
        ignore_merges: false,
        vocab: Ids(tokens.list),
        merges: scored_merges(file, tokens)?,
    };
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Json::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model,
        begins: true,
    })
}

/// Merges from scores, in the order of `generate_merges`: by score, then by the lengths of the two pieces, all
/// descending; what is equal in these stays in the order of ids. Runs of spaces are why the order is not that
/// of ids: LLaMA gives them scores of −10⁹, late ids or not.
fn scored_merges<'a>(file: &Gguf, tokens: &Tokens<'a>) -> Result<Vec<(&'a str, &'a str)>> {
    let scores = file.numbers("tokenizer.ggml.scores")?.unwrap_or_default();
    let fits = scores.len() == tokens.list.len() && scores.iter().all(|s| !s.is_nan());
    ensure!(fits, Tokenizer, at("scores"), "{} numbers for {} tokens", scores.len(), tokens.list.len());
    let mergeable = |id: u32| matches!(tokens.sorts[id as usize], Sort::Normal | Sort::UserDefined);
    let piece = |text: &str| tokens.ids.get(text).copied().filter(|id| mergeable(*id));
    let (mut merges, mut cuts) = (Vec::new(), Vec::new());
    for (token, id) in tokens.list.iter().zip(0u32..).filter(|(_, id)| mergeable(*id)) {
        cuts.clear();
        let letters = token.chars().count();
        for (before, (at, _)) in token.char_indices().enumerate().skip(1) {
            if let (Some(left), Some(right)) = (piece(&token[..at]), piece(&token[at..])) {
                cuts.push((left, right, before));
            }
        }
        cuts.sort_unstable();
        merges.extend(
            cuts.iter().map(|&(left, right, before)| (scores[id as usize], before, letters - before, left, right)),
        );
    }
    // Stable, like Python's with `reverse`.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(Reverse((a.1, a.2)).cmp(&Reverse((b.1, b.2)))));
    let text = |id: u32| tokens.list.get(id as usize).unwrap_or_default();
    Ok(merges.into_iter().map(|(_, _, _, left, right)| (text(left), text(right))).collect())
}

fn byte_level_parts<'a>(file: &'a Gguf, tokens: &Tokens<'a>, notes: &mut Vec<String>) -> Result<Parts<'a>> {
    let level =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let cut = |by: &str| json!({"type": "Split", "pattern": {"Regex": by}, "behavior": "Isolated", "invert": false});
    let mut name = file.text("tokenizer.ggml.pre")?.unwrap_or("default");
    if name == "default" && tokens.ids.contains_key("<|begin_of_text|>") {
        // Conversions from before llama.cpp recorded the expression.
        notes.push("the vocabulary is Llama 3's; the file does not say how it cuts text".to_string());
        name = "llama-bpe";
    }
    let llama_3 = matches!(name, "llama-bpe" | "llama3" | "llama-v3");
    let pre_tokenizers = match name {
        _ if llama_3 => vec![cut(LLAMA_3), level(false)],
        "default" => DEFAULT.iter().map(|by| cut(by)).chain([level(false)]).collect(),
        "gpt-2" => vec![level(true)],
        other => {
            fail!(Tokenizer, at("pre"), "`{}` is not implemented (llama-bpe, default, gpt-2)", other.escape_debug())
        }
    };
    let Some(list) = file.strings("tokenizer.ggml.merges")? else {
        fail!(Tokenizer, at("merges"), "is missing");
    };
    let pairs = list.iter().map(|merge| merge.split_once(' ')).collect::<Option<Vec<_>>>();
    let Some(merges) = pairs else {
        fail!(Tokenizer, at("merges"), "has one that is no pair");
    };
    let model = Model {
        kind: "BPE",
        unk_token: None,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: llama_3,
        vocab: Ids(tokens.list),
        merges,
    };
    Ok(Parts {
        normalizer: Json::Null,
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": pre_tokenizers}),
        decoder: level(true),
        model,
        begins: llama_3,
    })
}

/// `tokenizer.json`; the vocabulary is written from where it is.
#[derive(serde::Serialize)]
struct File<'a> {
    version: &'static str,
    added_tokens: Vec<Json>,
    normalizer: Json,
    pre_tokenizer: Json,
    post_processor: Json,
    decoder: Json,
    model: Model<'a>,
}

#[derive(serde::Serialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    unk_token: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Ids<'a>,
    merges: Vec<(&'a str, &'a str)>,
}

/// Token → id.
struct Ids<'a>(&'a Strings);

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (token, id) in self.0.iter().zip(0u32..) {
            map.serialize_entry(token, &id)?;
        }
        map.end()
    }
}
