//! `tokenizer.ggml.*` → `tokenizer.json`, as Hugging Face's own conversion would write it.
//!
//! - `llama`: SentencePiece. Its merges are not in the file; they follow from the scores: every way to cut a
//!   piece in two pieces is a merge, the best score first.
//! - `gpt2`: byte-level BPE, with merges in the file and expressions by their name (`pre`).
//!
//! # Source
//! `convert_slow_tokenizer.py` and `generate_merges` of transformers; `llama-vocab.cpp` (expressions by name,
//! which tokens begin and end a text).

use super::header::Gguf;
use super::pre::{PRE_TOKENIZERS, PreTokenizer, named};
use super::tokens::{Sort, Tokens, at};
use crate::error::{Error, Kind, Result};
use crate::tokenizer::{IMAGE_MARK, MAX_TOKENIZER};
use crate::{ensure, fail};
use serde_json::{Value as Json, json};
use std::cmp::Reverse;
use std::collections::HashSet;

/// Longest piece that merges are searched for, bytes; LLaMA's longest has 48. The search looks up both pieces of every
/// cut.
const MAX_PIECE: usize = 256;
/// Longest list of merges that scores may imply, bytes as written: half of what a `tokenizer.json` may have. Gemma's
/// 580 000 take 15 MB; a vocabulary of nothing but runs of letters would imply gigabytes.
const MAX_MERGES: usize = MAX_TOKENIZER as usize / 2;
/// Tokens that end an answer in every vocabulary that has them as control tokens.
const ENDS: [&str; 4] = ["<|eot_id|>", "<|end_of_text|>", "<|im_end|>", "<|end|>"];

/// A vocabulary as `tokenizer.json`, and its special ids.
pub(super) struct Vocabulary {
    /// `tokenizer.json`.
    pub json: Vec<u8>,
    /// Token that marks the place of a picture.
    pub image: u32,
    pub bos: u32,
    /// The first ends a turn in prompts; each of them ends an answer.
    pub eos: Vec<u32>,
    pub notes: Vec<String>,
}

/// Makes `tokenizer.json` from the metadata `tokenizer.ggml.*` of a model with `rows` embeddings.
///
/// # Errors
/// [`Kind::Tokenizer`], naming the key, for what is missing or not implemented.
pub fn tokenizer_json(file: &Gguf, rows: u32) -> Result<Vec<u8>> {
    vocabulary(file, rows).map(|vocabulary| vocabulary.json)
}

/// Reads the vocabulary of a model with `rows` embeddings.
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
    let mut notes = Vec::new();
    let tokens = Tokens::read(file, rows, &mut notes)?;
    let count = tokens.len() as u32;
    let image = tokens.id(IMAGE_MARK).unwrap_or(count);
    let mut id = |name: &str, usual: u32| id(file, name, count, sentence_piece.then_some(usual), &mut notes);
    let (bos, end, more) = (id("bos", 1), id("eos", 2), id("eot", u32::MAX).filter(|id| *id < count));
    let unknown = id("unknown", 0).unwrap_or(0);
    let named = ENDS.iter().filter_map(|mark| tokens.id(mark)).filter(|id| tokens.sort(*id) == Sort::Control);
    let mut eos = Vec::new();
    for end in end.into_iter().chain(more).chain(named) {
        if !eos.contains(&end) {
            eos.push(end);
        }
    }
    let Some(&first_end) = eos.first() else {
        fail!(Tokenizer, at("eos_token_id"), "is missing, and no token of the vocabulary is known to end an answer");
    };
    // GPT-2's line has one token for both.
    let bos = bos.unwrap_or(first_end);
    let special: Vec<u32> = eos.iter().copied().chain([bos]).collect();
    let fields = if sentence_piece {
        sentence_piece_fields(file, &tokens, unknown, &mut notes)?
    } else {
        byte_level_fields(file, &tokens, &mut notes)?
    };
    let begins = file.boolean("tokenizer.ggml.add_bos_token")?;
    let beginning = tokens.text(bos);
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let single = match begins.unwrap_or(fields.begins) {
        true => json!([{"SpecialToken": {"id": beginning, "type_id": 0}}, text]),
        false => json!([text]),
    };
    let template = json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {beginning: {"id": beginning, "ids": [bos], "tokens": [beginning]}},
    });
    let file = TokenizerFile {
        version: "1.0",
        added_tokens: tokens.added(&special),
        normalizer: fields.normalizer,
        pre_tokenizer: fields.pre_tokenizer,
        // Without one where neither the file nor its kind of tokenizer says anything.
        post_processor: if begins.is_some() || fields.begins { template } else { Json::Null },
        decoder: fields.decoder,
        model: fields.model,
    };
    let json = serde_json::to_vec(&file).map_err(|e| Error::new(Kind::Tokenizer, at("tokens"), e.to_string()))?;
    Ok(Vocabulary { json, image, bos, eos, notes })
}

/// Reads the id under `{name}_token_id`, or returns the usual one. An id that is no token (often 2^32 − 1) counts as
/// absent.
fn id(file: &Gguf, name: &str, count: u32, usual: Option<u32>, notes: &mut Vec<String>) -> Option<u32> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let given = file.uint(&key).ok().flatten().and_then(|id| u32::try_from(id).ok()).filter(|id| *id < count);
    if given.is_none() && file.metadata.contains_key(&key) {
        notes.push(format!("{key} is passed over: it is none of the {count} tokens"));
    }
    given.or(usual.filter(|id| *id < count))
}

/// The fields of `tokenizer.json` that depend on the kind of tokenizer.
struct KindFields<'a> {
    normalizer: Json,
    pre_tokenizer: Json,
    decoder: Json,
    model: Model<'a>,
    /// Whether a text starts with the beginning-of-sequence token, where the file does not say.
    begins: bool,
}

fn sentence_piece_fields<'a>(
    file: &Gguf,
    tokens: &'a Tokens<'a>,
    unknown: u32,
    notes: &mut Vec<String>,
) -> Result<KindFields<'a>> {
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
    let model = Model {
        kind: "BPE",
        unk_token: Some(tokens.text(unknown)),
        fuse_unk: true,
        byte_fallback: tokens.bytes() == 256,
        ignore_merges: false,
        vocab: tokens,
        merges: scored_merges(file, tokens, notes)?,
    };
    Ok(KindFields {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Json::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model,
        begins: true,
    })
}

/// Derives merges from scores, in the order of `generate_merges`: by score, then by the lengths of the two pieces, all
/// descending; what is equal in these stays in the order of ids. Runs of spaces are why the order is not that
/// of ids: LLaMA gives them scores of −10⁹, late ids or not. Without scores, ids are what is left.
fn scored_merges<'a>(file: &Gguf, tokens: &'a Tokens, notes: &mut Vec<String>) -> Result<Vec<(&'a str, &'a str)>> {
    let count = tokens.len();
    let scores = file.numbers("tokenizer.ggml.scores")?.unwrap_or_else(|| {
        notes.push("its pieces have no scores: those with lower ids merge first".to_string());
        (0..count).map(|id| -(id as f64)).collect()
    });
    let fits = scores.len() == count && scores.iter().all(|s| !s.is_nan());
    ensure!(fits, Tokenizer, at("scores"), "{} numbers for {count} tokens", scores.len());
    let mergeable = |id: u32| matches!(tokens.sort(id), Sort::Normal | Sort::UserDefined);
    let piece = |text: &str| tokens.id(text).filter(|id| mergeable(*id));
    let (mut merges, mut cuts, mut written) = (Vec::new(), Vec::new(), 0);
    for (token, id) in tokens.firsts().filter(|(token, id)| mergeable(*id) && token.len() <= MAX_PIECE) {
        cuts.clear();
        let letters = token.chars().count();
        for (before, (at, _)) in token.char_indices().enumerate().skip(1) {
            if let (Some(left), Some(right)) = (piece(&token[..at]), piece(&token[at..])) {
                cuts.push((left, right, before));
            }
        }
        cuts.sort_unstable();
        // `["left","right"],`
        written += cuts.len() * (token.len() + 8);
        ensure!(written <= MAX_MERGES, Tokenizer, at("tokens"), "imply merges of more than {MAX_MERGES} bytes");
        merges.extend(
            cuts.iter().map(|&(left, right, before)| (scores[id as usize], before, letters - before, left, right)),
        );
    }
    // Stable, like Python's with `reverse`.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(Reverse((a.1, a.2)).cmp(&Reverse((b.1, b.2)))));
    Ok(merges.into_iter().map(|(_, _, _, left, right)| (tokens.text(left), tokens.text(right))).collect())
}

/// `ByteLevel` without its own expression: bytes as letters.
fn byte_letters() -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false})
}

fn pre_tokenizer(file: &Gguf, tokens: &Tokens, notes: &mut Vec<String>) -> Result<&'static PreTokenizer> {
    let mut name = file.text("tokenizer.ggml.pre")?.unwrap_or("default");
    if name == "default" && tokens.id("<|begin_of_text|>").is_some() {
        // Conversions from before llama.cpp recorded the expression.
        notes.push("the vocabulary is Llama 3's; the file does not say how it cuts text".to_string());
        name = "llama-bpe";
    }
    let known = || PRE_TOKENIZERS.iter().map(|pre| pre.names[0]).collect::<Vec<_>>().join(", ");
    match named(name) {
        Some(pre) => Ok(pre),
        None => {
            fail!(Tokenizer, at("pre"), "`{}` is not implemented ({} and their kin)", name.escape_debug(), known())
        }
    }
}

fn byte_level_fields<'a>(file: &'a Gguf, tokens: &'a Tokens<'a>, notes: &mut Vec<String>) -> Result<KindFields<'a>> {
    let cut = |by: &&str| json!({"type": "Split", "pattern": {"Regex": by}, "behavior": "Isolated", "invert": false});
    let pre = pre_tokenizer(file, tokens, notes)?;
    let pre_tokenizers: Vec<Json> = pre.expressions.iter().map(cut).chain([byte_letters()]).collect();
    let model = Model {
        kind: "BPE",
        unk_token: None,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: pre.ignore_merges,
        vocab: tokens,
        merges: listed_merges(file, tokens, notes)?,
    };
    Ok(KindFields {
        normalizer: if pre.composes { json!({"type": "NFC"}) } else { Json::Null },
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": pre_tokenizers}),
        decoder: byte_letters(),
        model,
        begins: pre.begins,
    })
}

/// Reads the file's merges. One that is no pair, occurs twice, or makes no token can never apply: it is left out.
fn listed_merges<'a>(file: &'a Gguf, tokens: &Tokens, notes: &mut Vec<String>) -> Result<Vec<(&'a str, &'a str)>> {
    let Some(list) = file.strings("tokenizer.ggml.merges")? else {
        fail!(Tokenizer, at("merges"), "is missing");
    };
    let mut seen = HashSet::with_capacity(list.len());
    let applies = |(left, right): &(&str, &str)| {
        let known = |text: &str| tokens.id(text).is_some();
        known(left) && known(right) && known(&[*left, *right].concat())
    };
    let merges: Vec<_> = list.iter().filter_map(|merge| merge.split_once(' ')).filter(applies).collect();
    let merges: Vec<_> = merges.into_iter().filter(|merge| seen.insert(*merge)).collect();
    let lost = list.len() - merges.len();
    ensure!(lost <= list.len() / 2, Tokenizer, at("merges"), "{lost} of {} join no two tokens to a third", list.len());
    if lost > 0 {
        notes.push(format!("{lost} of its {} merges join no two tokens to a third: they are left out", list.len()));
    }
    Ok(merges)
}

/// `tokenizer.json`, with the vocabulary by reference.
#[derive(serde::Serialize)]
struct TokenizerFile<'a> {
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
    vocab: &'a Tokens<'a>,
    merges: Vec<(&'a str, &'a str)>,
}
