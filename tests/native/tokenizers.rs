//! Vocabularies of GGUF files against references: every pre-tokenizer, and a real file.

use crate::common::checkpoint::Checkpoint;
use crate::common::pair::Pair;
use crate::common::{golden_file, smollm2_or_skip};
use llava_web::config::Config;
use llava_web::format::gguf::{Described, Parsed, Strings, Value, describe, parse};
use llava_web::tokenizer::Tokenizer;
use serde_json::{Value as Json, json};

fn tokenizer(d: &Described) -> Tokenizer {
    Tokenizer::parse(&d.tokenizer, &Config::parse(&d.config, Some(&d.generation_config)).unwrap()).unwrap()
}

fn texts(json: &Json) -> Vec<&str> {
    json.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Mixed scripts, digits of all kinds, contractions, runs of white space: as `tokenizers` and the expressions
/// themselves give them (`generate_pre.py`).
#[test]
fn every_way_of_cutting_text_gives_the_ids_of_python() {
    let golden: Json = serde_json::from_slice(&golden_file("pre_tokenizers.json")).unwrap();
    let (tokens, merges) = (texts(&golden["tokens"]), texts(&golden["merges"]));
    let vocabulary = tokens.len() as u32 + 1;
    let mut pair = Pair::of(&Checkpoint::random(|c| c["text_config"]["vocab_size"] = json!(vocabulary)));
    let mut all = tokens.clone();
    all.push("</s>");
    let kinds: Vec<i32> = all.iter().map(|token| if *token == "</s>" { 3 } else { 1 }).collect();
    pair.language.set("tokenizer.ggml.tokens", Value::Strings(all.into_iter().collect::<Strings>()));
    pair.language.set("tokenizer.ggml.merges", Value::Strings(merges.into_iter().collect::<Strings>()));
    pair.language.set("tokenizer.ggml.token_type", kinds.as_slice().into());
    pair.language.set("tokenizer.ggml.eos_token_id", (vocabulary - 1).into());
    pair.language.set("tokenizer.ggml.bos_token_id", (vocabulary - 1).into());
    let mut different = std::collections::BTreeSet::new();
    for (name, ids) in golden["ids"].as_object().unwrap() {
        pair.language.set("tokenizer.ggml.pre", name.as_str().into());
        let ours = tokenizer(&describe(&pair.headers()).unwrap());
        for (text, wanted) in texts(&golden["texts"]).into_iter().zip(ids.as_array().unwrap()) {
            let wanted: Vec<u32> = serde_json::from_value(wanted.clone()).unwrap();
            let got = ours.encode_text(text).unwrap();
            let pieces = |ids: &[u32]| ids.iter().map(|id| ours.decode(&[*id])).collect::<Vec<_>>();
            assert_eq!(got, wanted, "{name}: {text:?}\n{:?}\n{:?}", pieces(&got), pieces(&wanted));
        }
        different.insert(ids.to_string());
    }
    assert!(different.len() >= 12, "the texts tell the ways apart");
}

/// Ids by transformers 5.24 (`generate_smollm2.py`) of the texts in `smollm2.json`.
#[test]
fn a_real_vocabulary_gives_the_ids_of_transformers() {
    let Some(path) = smollm2_or_skip("a_real_vocabulary_gives_the_ids_of_transformers") else { return };
    let bytes = std::fs::read(&path).unwrap();
    let Parsed::Header(language) = parse(&bytes, bytes.len() as u64).unwrap() else { panic!("all of it is there") };
    // Its mmproj is any that projects to the same width.
    let vision = Pair::of(&Checkpoint::random(|c| c["text_config"]["hidden_size"] = json!(576))).vision.header();
    let d = describe(&[language, vision]).unwrap();
    let ours = tokenizer(&d);
    let golden: Json = serde_json::from_slice(&golden_file("smollm2.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let wanted: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(ours.encode_raw(text).unwrap(), wanted, "{text:?}");
        assert_eq!(ours.decode(&wanted), case["decoded"].as_str().unwrap(), "{text:?}");
    }
    assert_eq!(ours.begins(), Some(false), "nothing is put before a text");
    let template = llava_web::prompt::Template::of_chat_template(d.chat_template.as_deref().unwrap()).unwrap();
    assert_eq!(template, llava_web::prompt::Template::ChatMl);
    assert_eq!(template.end_of_turn(&ours), Some(2));
}
