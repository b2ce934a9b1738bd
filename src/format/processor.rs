//! The files that transformers reads beside config.json, tokenizer.json and the weights of a checkpoint directory.
//!
//! | file | here |
//! |---|---|
//! | `processor_config.json` | `image_processor` is the preprocessing (before preprocessor_config.json) |
//! | | `chat_template` is read; the number of an image's rows and the name of its token are checked |
//! | `preprocessor_config.json` | read |
//! | `chat_template.json`, `chat_template.jinja`, `tokenizer_config.json` | the chat template is recognised, or noted |
//! | `tokenizer_config.json`, `added_tokens.json`, `special_tokens_map.json` | missing tokens are noted |
//! | `generation_config.json` | `eos_token_id` is read; settings that are not implemented are noted |
//!
//! # Source
//! `processing_utils.py`, `image_processing_base.py` and `tokenization_utils_base.py` of transformers 5.24.

use crate::config::{Config, json_object};
use crate::ensure;
use crate::error::{Kind, Result};
use crate::format::files::MAX_JSON;
use crate::format::source::{Source, whole};
use crate::prompt::{Template, names_token};
use crate::tokenizer::IMAGE_MARK;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

const PROCESSOR: &str = "processor_config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Most tokens that a note names.
const NAMED: usize = 3;
/// Settings of generation_config.json that are not implemented, each with the value that changes nothing.
const UNUSED_SETTINGS: [(&str, f64); 5] = [
    ("repetition_penalty", 1.0),
    ("encoder_repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("num_beams", 1.0),
    ("min_new_tokens", 0.0),
];
const UNUSED_LISTS: [&str; 6] = [
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "sequence_bias",
    "forced_bos_token_id",
    "forced_eos_token_id",
];

/// The small files around a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Processor {
    /// `preprocessor_config.json`, or the `image_processor` of `processor_config.json`.
    pub preprocessor_config: Option<Vec<u8>>,
    /// The chat template's text.
    chat_template: Option<String>,
    /// `processor_config.json`.
    processor: Option<Value>,
    /// Tokens that the files name.
    tokens: BTreeSet<String>,
    pub notes: Vec<String>,
}

impl Processor {
    /// Announces the files that [`read`](Self::read) asks for in any case.
    pub fn expect<S: Source>(source: &S) {
        [PREPROCESSOR, PROCESSOR, TOKENIZER_CONFIG].iter().for_each(|name| source.expect(name, MAX_JSON));
    }

    /// Reads the files, each of which may be absent.
    ///
    /// # Errors
    /// [`Kind::Config`] for a malformed file that pictures depend on; those of the source.
    pub async fn read<S: Source>(source: &S) -> Result<Self> {
        let mut found = Self::default();
        let legacy = whole(source, PREPROCESSOR, MAX_JSON, Kind::Config).await?;
        if let Some(bytes) = whole(source, PROCESSOR, MAX_JSON, Kind::Config).await? {
            let processor = json_object(&bytes, PROCESSOR)?;
            if let Some(nested) = processor.get("image_processor") {
                ensure!(nested.is_object(), Config, format!("{PROCESSOR}: image_processor"), "is not an object");
                let other = legacy.as_deref().map(serde_json::from_slice::<Value>);
                if other.is_some_and(|other| other.ok().as_ref() != Some(nested)) {
                    found.notes.push(format!("{PREPROCESSOR} is passed over: {PROCESSOR} has image_processor"));
                }
                found.preprocessor_config = Some(nested.to_string().into_bytes());
            }
            found.processor = Some(processor);
        }
        found.preprocessor_config = found.preprocessor_config.or(legacy);
        found.read_template(source).await?;
        found.read_tokens(source).await?;
        Ok(found)
    }

    /// Reads a file that nothing depends on: a malformed one is named in a note and passed over.
    async fn lenient<S: Source>(&mut self, source: &S, name: &str) -> Result<Option<Value>> {
        match source.size(name).await? {
            None => return Ok(None),
            Some(size) if size > MAX_JSON => {
                self.notes.push(format!("{name} is passed over: {size} bytes are more than {MAX_JSON}"));
                return Ok(None);
            }
            Some(_) => {}
        }
        let Some(bytes) = whole(source, name, MAX_JSON, Kind::Config).await? else { return Ok(None) };
        let value = json_object(&bytes, name);
        if let Err(e) = &value {
            self.notes.push(format!("{name} is passed over: {}", e.message));
        }
        Ok(value.ok())
    }

    /// Reads the chat template: the processor's own, else the older file, else the newer. The tokenizer's comes last.
    async fn read_template<S: Source>(&mut self, source: &S) -> Result<()> {
        let text = |json: &Value| json.get("chat_template").and_then(Value::as_str).map(str::to_string);
        self.chat_template = self.processor.as_ref().and_then(text);
        if self.chat_template.is_none() {
            self.chat_template = self.lenient(source, "chat_template.json").await?.as_ref().and_then(text);
        }
        let jinja = "chat_template.jinja";
        if self.chat_template.is_none() && source.size(jinja).await?.is_some_and(|size| size <= MAX_JSON) {
            let bytes = whole(source, jinja, MAX_JSON, Kind::Config).await?;
            self.chat_template = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(())
    }

    async fn read_tokens<S: Source>(&mut self, source: &S) -> Result<()> {
        let config = self.lenient(source, TOKENIZER_CONFIG).await?.unwrap_or_default();
        if self.chat_template.is_none() {
            self.chat_template = config.get("chat_template").and_then(default_template);
        }
        let mut named: Vec<Value> = Vec::new();
        match config.get("added_tokens_decoder").and_then(Value::as_object) {
            Some(decoder) => named.extend(decoder.values().cloned()),
            // Only then are the older files read.
            None => {
                if let Some(map) = self.lenient(source, "special_tokens_map.json").await? {
                    named.extend(map.as_object().into_iter().flat_map(|map| map.values().cloned()));
                }
                if let Some(Value::Object(added)) = self.lenient(source, "added_tokens.json").await? {
                    named.extend(added.into_iter().map(|(token, _)| Value::String(token)));
                }
            }
        }
        for value in named {
            let list = if let Value::Array(list) = value { list } else { vec![value] };
            let text = |value: &Value| value.get("content").unwrap_or(value).as_str().map(str::to_string);
            self.tokens.extend(list.iter().filter_map(text));
        }
        Ok(())
    }

    /// Chooses the prompt template by the chat template or the tokenizer's marks, with a note where it is not the
    /// checkpoint's own.
    pub fn template(&mut self, tokenizer_json: &[u8]) -> Template {
        choose_template(self.chat_template.as_deref(), tokenizer_json, &mut self.notes)
    }

    /// Adds notes on settings of the files that do not apply here.
    pub fn check(&mut self, config: &Config, tokenizer_json: &[u8], generation: Option<&[u8]>) -> Result<()> {
        if let Some(processor) = &self.processor {
            self.notes.extend(image_tokens(processor, config));
        }
        let known = added_tokens(tokenizer_json);
        let missing = |token: &&String| !known.contains(*token) && !names_token(tokenizer_json, token);
        let missing: Vec<&str> = self.tokens.iter().filter(missing).map(String::as_str).collect();
        if !missing.is_empty() {
            let (list, more) = (missing[..missing.len().min(NAMED)].join("`, `"), missing.len().saturating_sub(NAMED));
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes
                .push(format!("tokenizer.json lacks `{list}`{more}, which other files name: that is plain text here"));
        }
        if let Some(generation) = generation {
            self.notes.extend(generation_notes(&json_object(generation, "generation_config.json")?));
        }
        Ok(())
    }
}

/// Returns the template of tokenizer_config.json, which has a text or a list of named texts.
fn default_template(value: &Value) -> Option<String> {
    let named = |list: &Vec<Value>| {
        let default = list.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
        default.or(list.first()).and_then(|entry| entry.get("template")?.as_str()).map(str::to_string)
    };
    value.as_str().map(str::to_string).or_else(|| value.as_array().and_then(named))
}

/// Chooses the template of a checkpoint with this chat template and this tokenizer. `notes` receives every difference
/// from the checkpoint's own.
pub(super) fn choose_template(chat: Option<&str>, tokenizer_json: &[u8], notes: &mut Vec<String>) -> Template {
    let suggested = Template::for_tokenizer(tokenizer_json);
    let Some(chat) = chat else { return suggested };
    match Template::of_chat_template(chat) {
        Some(template) => match template.lacks(tokenizer_json) {
            None => {
                if chat.contains("<|im_start|>system") {
                    notes.push("the system sentence of its chat template is left out".to_string());
                }
                template
            }
            Some(mark) => {
                notes.push(format!(
                    "its chat template is {template}, whose `{mark}` is no token of its vocabulary: it is asked as \
                     {suggested}"
                ));
                suggested
            }
        },
        None => {
            notes.push(format!("its own chat template is none that is known here: it is asked as {suggested}"));
            suggested
        }
    }
}

/// The texts of `added_tokens`.
fn added_tokens(tokenizer_json: &[u8]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Token {
        content: String,
    }
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        added_tokens: Vec<Token>,
    }
    let file = serde_json::from_slice(tokenizer_json).unwrap_or(File { added_tokens: Vec::new() });
    file.added_tokens.into_iter().map(|token| token.content).collect()
}

/// transformers writes `(size / patch_size)² + num_additional_image_tokens` marks for an image, one less where the
/// class row is dropped; where that is not the number of rows, it fails.
fn image_tokens(processor: &Value, config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let number = |key: &str| processor.get(key).and_then(Value::as_u64);
    if let Some(patch) = number("patch_size").filter(|patch| *patch > 0) {
        let side = u64::from(config.vision.image_size) / patch;
        let default = processor.get("vision_feature_select_strategy").and_then(Value::as_str) == Some("default");
        let marks = (side * side).saturating_add(number("num_additional_image_tokens").unwrap_or(0));
        let (marks, rows) = (marks.saturating_sub(u64::from(default)), u64::from(config.tile_rows()));
        if marks != rows {
            notes.push(format!("{PROCESSOR} counts {marks} tokens for a picture; by config.json there are {rows}"));
        }
    }
    let token = processor.get("image_token").map(|token| token.get("content").unwrap_or(token));
    if let Some(token) = token.and_then(Value::as_str).filter(|token| *token != IMAGE_MARK) {
        notes.push(format!("{PROCESSOR} calls a picture's token `{token}`; in raw prompts it is `{IMAGE_MARK}` here"));
    }
    notes
}

/// Returns notes on settings that would change an answer and are not implemented, and on sampling, which is the
/// person's choice here.
fn generation_notes(generation: &Value) -> Vec<String> {
    let set = |key: &&str| match generation.get(*key) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(_) => true,
    };
    let number = |key: &str| generation.get(key).and_then(Value::as_f64);
    let changed = UNUSED_SETTINGS.iter().filter(|(key, usual)| number(key).is_some_and(|x| x != *usual));
    let names: Vec<&str> =
        changed.map(|(key, _)| *key).chain(UNUSED_LISTS.into_iter().filter(|key| set(key))).collect();
    let mut notes = Vec::new();
    if !names.is_empty() {
        notes.push(format!("generation_config.json sets {}, which is not implemented", names.join(", ")));
    }
    if generation.get("do_sample").and_then(Value::as_bool) == Some(true) {
        let of = |key: &str| number(key).map(|x| format!(" {key} {x}"));
        let values: String = ["temperature", "top_p", "top_k"].into_iter().filter_map(of).collect();
        notes.push(format!("its authors sample{values}; here the settings beside the question decide"));
    }
    notes
}
