use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(vocab_size: u32, image: u32) -> Config {
    let json = json!({"image_token_index": image, "text_config": {"vocab_size": vocab_size}});
    Config::parse(json.to_string().as_bytes(), None).unwrap()
}

fn added(id: u32, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true})
}

/// LLaMA's tokenizer in miniature: byte fallback, `▁` for spaces, one of them prepended, and merges that can
/// spell `</s>` and `<s>`.
fn llama_json() -> Value {
    let mut vocab = serde_json::Map::new();
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..=255).map(|b| format!("<0x{b:02X}>")));
    tokens.extend("▁abcdefghi<s/>.:€".chars().map(String::from));
    tokens.extend(["▁a", "</", "</s", "<s", "ab"].map(String::from));
    tokens.dedup();
    for token in tokens {
        let id = vocab.len();
        vocab.entry(token).or_insert(json!(id));
    }
    let image = vocab.len();
    let id = |t: &str| json!({"SpecialToken": {"id": t, "type_id": 0}});
    json!({
        "version": "1.0", "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": null,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>"), added(image as u32, "<image>"),
            added(image as u32 + 1, "<pad>")],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [id("<s>"), {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": ["▁ a", "a b", "< /", "</ s", "</s >", "< s", "<s >"]},
    })
}

fn image_id(json: &Value) -> u32 {
    json["added_tokens"][3]["id"].as_u64().unwrap() as u32
}

fn parse(json: &Value) -> Result<Tokenizer> {
    let image = image_id(json);
    Tokenizer::parse(json.to_string().as_bytes(), &config(image + 2, image))
}

pub(crate) fn llama_like() -> Tokenizer {
    parse(&llama_json()).unwrap()
}

/// The same, saying that it puts nothing before a text.
pub(crate) fn llama_without_beginning() -> Tokenizer {
    let mut json = llama_json();
    json["post_processor"]["single"].as_array_mut().unwrap().remove(0);
    parse(&json).unwrap()
}

/// A byte-level BPE (GPT-2's kind) of nothing but bytes.
pub(crate) fn byte_level() -> Tokenizer {
    byte_level_with(&[])
}

/// The same with more special tokens.
pub(crate) fn byte_level_with(marks: &[&str]) -> Tokenizer {
    byte_level_of(marks, false)
}

/// The same; whether white space after them belongs to them.
pub(crate) fn byte_level_of(marks: &[&str], strip: bool) -> Tokenizer {
    let mut letters: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    letters.sort();
    let mut vocab: serde_json::Map<String, Value> = serde_json::Map::new();
    for token in ["<pad>", "<s>", "</s>"] {
        vocab.insert(token.into(), json!(vocab.len()));
    }
    for letter in letters {
        vocab.insert(letter.into(), json!(vocab.len()));
    }
    let image = vocab.len() as u32;
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let mut json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, "<pad>"), added(1, "<s>"), added(2, "</s>"), added(image, "<image>")],
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": []},
    });
    for (id, mark) in (image + 1..).zip(marks) {
        let mut token = added(id, mark);
        token["rstrip"] = json!(strip);
        json["added_tokens"].as_array_mut().unwrap().push(token);
    }
    let config = config(image + 1 + marks.len() as u32, image);
    Tokenizer::parse(json.to_string().as_bytes(), &config).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    let mut stream = StreamDecoder::default();
    let pieces: Vec<String> = ids.iter().map(|id| stream.push(tokenizer, *id)).collect();
    let rest = stream.finish(tokenizer);
    let all = pieces.concat() + &rest;
    (pieces, all)
}

#[test]
fn typed_text_is_never_special_and_raw_text_is() {
    let tokenizer = llama_like();
    for mark in ["<s>", "</s>", "<image>", "<pad>", "<unk>", " </s>", "a</s>b", "<<s>>"] {
        let ids = tokenizer.encode_text(mark).unwrap();
        assert!(!ids.iter().any(|id| tokenizer.special.contains(id)), "{mark}: {ids:?}");
        assert_eq!(tokenizer.decode(&ids), mark, "and is still readable");
    }
    let raw = tokenizer.encode_raw("a</s>b<image>").unwrap();
    assert_eq!(raw.iter().filter(|id| tokenizer.special.contains(id)).count(), 3, "{raw:?}");
    assert_eq!((raw[0], raw.last().copied()), (tokenizer.bos(), Some(tokenizer.image())));
    assert!(raw.len() > 4, "the file's truncation to 4 is off");
}

#[test]
fn merges_as_pairs_and_as_strings_are_the_same() {
    let mut pairs = llama_json();
    let merges = pairs["model"]["merges"].as_array().unwrap();
    let split = merges.iter().map(|m| m.as_str().unwrap().split(' ').collect::<Vec<_>>());
    pairs["model"]["merges"] = json!(split.collect::<Vec<_>>());
    let text = "ab a</s> é€ <image>";
    assert_eq!(parse(&pairs).unwrap().encode_text(text).unwrap(), llama_like().encode_text(text).unwrap());
}

#[test]
fn tokenizer_and_config_must_agree() {
    let json = llama_json();
    let (bytes, image) = (json.to_string().into_bytes(), image_id(&json));
    for (vocab, index, message) in [
        (image - 1, image, "the model has"),
        (image + 2, image + 1, "config.json's image_token_index"),
        (1, image, "bos_token_id"),
    ] {
        let error = Tokenizer::parse(&bytes, &config(vocab, index)).err().unwrap();
        assert!(error.kind == Kind::Tokenizer && error.message.contains(message), "{error}");
    }
    // LLaVA's own layout: the mark lies right after the embeddings.
    let tokenizer = Tokenizer::parse(&bytes, &config(image, image)).unwrap();
    assert!(tokenizer.encode_raw("<image>").is_ok());
    assert_eq!(tokenizer.encode_raw("<pad>").unwrap_err().kind, Kind::Prompt, "an id without embedding");
}

#[test]
fn a_mark_must_not_be_an_ordinary_token() {
    let mut json = llama_json();
    json["added_tokens"].as_array_mut().unwrap().remove(3);
    let error = Tokenizer::parse(json.to_string().as_bytes(), &config(400, 5)).err().unwrap();
    assert!(error.message.contains("image_token_index 5 is the token"), "{error}");
}

#[test]
fn characters_and_spaces_come_whole() {
    let tokenizer = llama_like();
    let id = |t: &str| tokenizer.inner.token_to_id(t).unwrap();
    // é is C3 A9, bytes that the vocabulary has only as fallback.
    let ids = [id("▁a"), id("<0xC3>"), id("<0xA9>"), id("▁a"), id("▁"), id("b"), id("<0xC3>")];
    let (pieces, all) = streamed(&tokenizer, &ids);
    assert_eq!(pieces, ["a", "", "", "é a", " ", "b", ""]);
    assert_eq!(all, "aé a b\u{FFFD}");
    assert_eq!(all, tokenizer.decode(&ids));
    // At the beginning a lone space vanishes, and only that one.
    assert_eq!(streamed(&tokenizer, &[id("▁"), id("▁"), id("b")]).1, " b");
    // Special tokens are silent and do not break a character apart.
    assert_eq!(streamed(&tokenizer, &[id("<0xC3>"), tokenizer.eos(), id("<0xA9>"), id("b")]).1, "éb");
}

#[test]
fn stand_ins_are_read_as_what_they_stand_for() {
    let mut json = llama_json();
    let (a, byte) = (json["model"]["vocab"]["▁a"].as_u64().unwrap() as u32, 3 + 0xC3);
    let ids = [0, 1, 2].map(|i| image_id(&json) + i);
    for (id, first) in ids.into_iter().zip([a, ids[1], byte]) {
        json["model"]["vocab"][stand_in(id, first)] = json!(id);
    }
    let image = ids[2] + 1;
    (json["added_tokens"][3]["id"], json["added_tokens"][4]["id"]) = (json!(image), json!(image + 1));
    let tokenizer = Tokenizer::parse(json.to_string().as_bytes(), &config(image + 2, image)).unwrap();
    assert_eq!(tokenizer.encode_text(" a").unwrap(), llama_like().encode_text(" a").unwrap());
    assert!(!tokenizer.encode_text(&stand_in(ids[0], a)).unwrap().contains(&ids[0]), "no text is one");
    // "▁a", nothing, the first half of é and the second.
    let answer = [ids[0], ids[1], ids[2], 3 + 0xA9, ids[0]];
    assert_eq!(tokenizer.decode(&answer), "aé a");
    assert_eq!(streamed(&tokenizer, &answer), (["a", "", "", "", "é a"].map(String::from).into(), "aé a".into()));
    assert_eq!(stands_for("\u{10FFFD}7=x", 7), None);
    assert_eq!(stands_for(&stand_in(7, 3), 8), None, "only under its own id");
}

#[test]
fn the_beginning_is_the_tokenizers_own() {
    // The configuration says 1; the tokenizer puts `<pad>` before a text.
    let mut json = llama_json();
    let pad = image_id(&json) + 1;
    json["post_processor"]["single"][0]["SpecialToken"]["id"] = json!("<pad>");
    json["post_processor"]["special_tokens"] = json!({"<pad>": {"id": "<pad>", "ids": [pad], "tokens": ["<pad>"]}});
    let own = parse(&json).unwrap();
    assert_eq!((own.bos(), own.begins()), (pad, Some(true)));
    json["post_processor"]["single"].as_array_mut().unwrap().remove(0);
    let silent = parse(&json).unwrap();
    assert_eq!((silent.bos(), silent.begins()), (1, Some(false)));
    json["post_processor"] = Value::Null;
    let none = parse(&json).unwrap();
    assert_eq!((none.bos(), none.begins()), (1, None));
    assert_eq!((llama_like().bos(), llama_like().begins()), (1, Some(true)));
}

proptest! {
    /// Pieces add up to the whole, for any ids, known or not, with both kinds of decoder.
    #[test]
    fn the_stream_is_the_whole(ids in prop::collection::vec(0u32..300, 0..24), bytes: bool) {
        let tokenizer = if bytes { byte_level() } else { llama_like() };
        prop_assert_eq!(streamed(&tokenizer, &ids).1, tokenizer.decode(&ids));
    }

    /// For text that is text, no piece has a replacement character, and all of it comes back.
    #[test]
    fn text_streams_back_whole(text in "[a-i €é😀\n]{0,16}", bytes: bool) {
        let tokenizer = if bytes { byte_level() } else { llama_like() };
        let ids = tokenizer.encode_text(&text).unwrap();
        let (pieces, all) = streamed(&tokenizer, &ids);
        prop_assert!(pieces.iter().all(|piece| !piece.contains(char::REPLACEMENT_CHARACTER)));
        prop_assert_eq!(all, text);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Tokenizer::parse(&bytes, &config(100, 99)).is_err());
    }

    /// Damaged files are refused, or make a tokenizer that still works without panicking.
    #[test]
    fn mutations_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let json = llama_json();
        let (mut bytes, image) = (json.to_string().into_bytes(), image_id(&json));
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(tokenizer) = Tokenizer::parse(&bytes, &config(image + 2, image)) {
            let _ = tokenizer.encode_raw("ab <s>é</s><image>");
            if let Ok(ids) = tokenizer.encode_text("ab <s>é</s>") {
                let _ = streamed(&tokenizer, &ids);
            }
        }
    }
}
