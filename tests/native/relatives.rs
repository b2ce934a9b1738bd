//! Relatives of LLaVA-1.5: configurations, templates, small files and vocabularies that differ from its own. The
//! weights of every model here fix each next token, so that its whole answer is known.

use crate::common::checkpoint::{Checkpoint, Written};
use crate::common::pair::{self, Pair, sentence_piece};
use crate::common::{Talk, golden_file};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{GenerateOptions, Stop};
use llava_web::format::blueprint::Blueprint;
use llava_web::format::convert::{self, convert};
use llava_web::format::gguf::{Strings, Value};
use llava_web::format::source::Memory;
use llava_web::native::load;
use llava_web::preprocess::PreprocessConfig;
use llava_web::prompt::Template;
use pollster::block_on;
use serde_json::{Value as Json, json};

const HUB: [&str; 1] = ["config.json"];
const GGUF: [&str; 2] = ["model.gguf", "mmproj.gguf"];
/// Letters of the golden vocabulary.
const A: u32 = 4 + b'a' as u32 - 33;
const B: u32 = A + 1;
/// First id of the marks that a test adds.
const MARK: u32 = 288;

fn entry(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn plan(files: &Memory, names: &[&str]) -> Blueprint {
    block_on(Blueprint::open(files, &entry(names))).unwrap_or_else(|e| panic!("{e}"))
}

/// Returns ids, text and end of the answer to a question about a picture.
fn answer(files: &Memory, names: &[&str]) -> (Vec<u32>, String, Stop) {
    let device = block_on(Device::open(BackendChoice::Reference)).unwrap();
    let mut engine = block_on(load(files, &entry(names), device, None)).unwrap_or_else(|e| panic!("{e}"));
    let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
    let answer = Talk::about(&mut engine, &[golden_file("wide.png")]).ask(&mut engine, "what is it?", &options);
    (answer.ids, answer.text, answer.stop)
}

/// Makes a checkpoint whose vocabulary also has `marks`, and whose answer is "a", then `end`. If `end` does not stop
/// it, it continues with "b" and "a" without end.
fn with_marks(marks: &[&str], end: u32) -> Checkpoint {
    let vocabulary = MARK + marks.len() as u32;
    let mut hub = Checkpoint::random(|c| c["text_config"]["vocab_size"] = json!(vocabulary))
        .clockwork(&[(A, end), (end, B), (B, A)], A);
    let mut tokenizer: Json = serde_json::from_slice(&hub.files["tokenizer.json"]).unwrap();
    for (mark, id) in marks.iter().zip(MARK..) {
        tokenizer["model"]["vocab"][*mark] = json!(id);
        let mut token = tokenizer["added_tokens"][0].clone();
        (token["id"], token["content"]) = (json!(id), json!(mark));
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    }
    hub.files.insert("tokenizer.json".into(), tokenizer.to_string().into_bytes());
    hub
}

/// The pair of a checkpoint; its marks are control tokens.
fn pair_of(hub: &Checkpoint) -> Memory {
    let mut pair = Pair::of(hub);
    pair::byte_level(&mut pair.language, &hub.files["tokenizer.json"]);
    let count = hub.config["text_config"]["vocab_size"].as_u64().unwrap() as u32;
    let kinds: Vec<i32> = (0..count).map(|id| if (4..MARK).contains(&id) { 1 } else { 3 }).collect();
    pair.language.set("tokenizer.ggml.token_type", kinds.as_slice().into());
    files(&pair)
}

fn files(pair: &Pair) -> Memory {
    let bytes = [pair.language.bytes(), pair.vision.bytes()];
    Memory(GGUF.iter().map(|name| name.to_string()).zip(bytes).collect())
}

/// The shards of a checkpoint.
fn shards(source: &Memory, names: &[&str]) -> Memory {
    let mut out = Written::default();
    block_on(convert(source, &entry(names), "x", &mut out, &convert::ConvertOptions::exact(), &mut |_| ())).unwrap();
    out.0
}

/// Both configurations name only `</s>`, as first uploads of LLaMA-3 and conversions of Phi-3 did.
#[test]
fn an_answer_ends_where_its_templates_turn_does_in_every_layout() {
    for (marks, end, template) in [
        (&["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"][..], "<|eot_id|>", Template::Llama3),
        (&["<|im_start|>", "<|im_end|>"], "<|im_end|>", Template::ChatMl),
        (&["<|user|>", "<|assistant|>", "<|end|>"], "<|end|>", Template::Phi3),
        (&[], "</s>", Template::VicunaV1),
    ] {
        let id = marks.iter().zip(MARK..).find(|(mark, _)| **mark == end).map_or(2, |(_, id)| id);
        let wanted = (vec![A, id], "a".to_string(), Stop::Eos);
        let hub = with_marks(marks, id);
        let pair = pair_of(&hub);
        let hub = hub.into_memory();
        let (from_hub, from_pair) = (shards(&hub, &HUB), shards(&pair, &GGUF));
        for (layout, files, names) in [
            ("hub", &hub, &HUB[..]),
            ("GGUF", &pair, &GGUF),
            ("shards of the hub's", &from_hub, &["manifest.json"]),
            ("shards of the pair", &from_pair, &["manifest.json"]),
        ] {
            assert_eq!(plan(files, names).template, template, "{layout}");
            assert_eq!(answer(files, names), wanted, "{template}, {layout}");
        }
    }
    // What is no template's end does not end an answer.
    let (ids, _, stop) = answer(&with_marks(&["<|im_end|>"], MARK).into_memory(), &HUB);
    assert_eq!((ids.len(), stop), (8, Stop::Length), "it is asked as Vicuna");
}

/// A plain checkpoint that says "ab".
fn control() -> Checkpoint {
    Checkpoint::random(|_| ()).clockwork(&[(A, B), (B, 2), (2, A)], A)
}

fn with_file(name: &str, bytes: impl ToString) -> Memory {
    let mut hub = control();
    hub.files.insert(name.into(), bytes.to_string().into_bytes());
    hub.into_memory()
}

#[test]
fn a_mistral_is_a_llama_whose_context_ends_at_its_window() {
    let with = |change: &dyn Fn(&mut Json)| {
        let mut hub = control();
        hub.config["text_config"]["model_type"] = json!("mistral");
        hub.config["text_config"]["max_position_embeddings"] = json!(32768);
        change(&mut hub.config["text_config"]);
        hub
    };
    for (window, context) in [(json!(null), 32768), (json!(4096), 4096), (json!(200), 200), (json!(65536), 32768)] {
        let hub = with(&|text| text["sliding_window"] = window.clone());
        let files = hub.into_memory();
        let plan = plan(&files, &HUB);
        assert_eq!(plan.config.text.max_position_embeddings, context, "{window}");
        let said = plan.notes().iter().any(|note| note.contains(&format!("window of {context} tokens")));
        assert_eq!(said, context < 32768, "{:?}", plan.notes());
        assert_eq!(answer(&files, &HUB), (vec![A, B, 2], "ab".into(), Stop::Eos));
        // In shards, too, which keep config.json.
        let shards = shards(&files, &HUB);
        assert_eq!(self::plan(&shards, &["manifest.json"]).notes().len(), usize::from(said));
    }
    // The original layout, which is flat: `llava_mistral`.
    let flat = with(&|text| text["sliding_window"] = json!(200)).flat("llava_mistral").into_memory();
    assert_eq!(plan(&flat, &HUB).config.text.sliding_window, Some(200));
    assert_eq!(answer(&flat, &HUB), (vec![A, B, 2], "ab".into(), Stop::Eos));
    let absent = plan(&with(&|_| ()).into_memory(), &HUB);
    assert_eq!(absent.config.text.sliding_window, Some(4096), "transformers' default");
    // A LLaMA has none, whatever is written there; nor has what else a Mistral lacks LLaMA's defaults.
    let parse = |json: Json| llava_web::config::Config::parse(json.to_string().as_bytes(), None).unwrap().text;
    assert_eq!(parse(json!({"text_config": {"sliding_window": 7}})).sliding_window, None);
    let bare = parse(json!({"text_config": {"model_type": "mistral"}}));
    assert_eq!((bare.intermediate_size, bare.num_key_value_heads, bare.max_position_embeddings), (14336, 8, 4096));
    // GGUF says `llama` and may say the window.
    let mut pair = Pair::of(&control());
    pair.language.set("llama.attention.sliding_window", 100u32.into());
    let windowed = plan(&files(&pair), &GGUF);
    assert_eq!(windowed.config.text.max_position_embeddings, 100);
    assert!(windowed.notes().iter().any(|note| note.contains("window of 100")), "{:?}", windowed.notes());
    pair.language.set("llama.attention.sliding_window", 0u32.into());
    assert_eq!(plan(&files(&pair), &GGUF).config.text.max_position_embeddings, 256);
}

#[test]
fn transformers_5s_processor_is_read() {
    let crop: Json = serde_json::from_slice(&golden_file("mha/preprocessor_config.json")).unwrap();
    let nested = |image: Json| {
        json!({"processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": 14,
        "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default", "image_processor": image})
    };
    let with = |processor: Json, legacy: Option<Json>| {
        let mut hub = control();
        hub.files.remove("preprocessor_config.json");
        hub.files.insert("processor_config.json".into(), processor.to_string().into_bytes());
        if let Some(legacy) = legacy {
            hub.files.insert("preprocessor_config.json".into(), legacy.to_string().into_bytes());
        }
        hub.into_memory()
    };
    let read = |files: &Memory| {
        let plan = plan(files, if files.0.contains_key("manifest.json") { &["manifest.json"] } else { &HUB });
        let config = PreprocessConfig::parse(plan.small.preprocessor_config.as_deref(), &plan.config).unwrap();
        (config, plan.notes())
    };
    let wanted = read(&control().into_memory());
    let files = with(nested(crop.clone()), None);
    assert_eq!(read(&files), wanted, "cropped, as its own file would say, and nothing to note");
    assert_eq!(read(&shards(&files, &HUB)), wanted);
    // It goes before the older file, and that is said where they differ.
    assert_eq!(read(&with(nested(crop.clone()), Some(crop.clone()))), wanted);
    let mut other = crop.clone();
    other["do_center_crop"] = json!(false);
    let (config, notes) = read(&with(nested(crop.clone()), Some(other)));
    assert!(config == wanted.0 && notes.iter().any(|note| note.contains("passed over")), "{notes:?}");
    // Without it the older one stands, and the rest is checked.
    let mut plain = nested(json!(null));
    plain.as_object_mut().unwrap().remove("image_processor");
    assert_eq!(read(&with(plain.clone(), Some(crop.clone()))), wanted);
    plain["num_additional_image_tokens"] = json!(0);
    plain["image_token"] = json!({"content": "<img>"});
    let (_, notes) = read(&with(plain, Some(crop)));
    assert!(notes.iter().any(|note| note.contains("counts 8 tokens") && note.contains("there are 9")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("`<img>`")), "{notes:?}");
    let broken = block_on(Blueprint::open(&with(json!({"image_processor": 3}), None), &entry(&HUB))).unwrap_err();
    assert!(broken.to_string().contains("image_processor"), "{broken}");
}

#[test]
fn a_checkpoints_own_chat_template_is_used_or_named() {
    let mistral = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}";
    let hf = "{% for m in messages %}{{ m['role'].upper() + ': ' }}{% endfor %}{{ 'ASSISTANT:' }}";
    let json = |text: &str| json!({"chat_template": text});
    let named =
        json!({"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": mistral}]});
    for (file, bytes, template) in [
        ("chat_template.json", json(mistral).to_string(), Template::Mistral),
        ("chat_template.jinja", mistral.to_string(), Template::Mistral),
        ("tokenizer_config.json", json(mistral).to_string(), Template::Mistral),
        ("tokenizer_config.json", named.to_string(), Template::Mistral),
        ("processor_config.json", json(hf).to_string(), Template::LlavaHf),
    ] {
        let files = with_file(file, bytes);
        let plan = plan(&files, &HUB);
        assert!(plan.template == template && plan.notes().is_empty(), "{file}: {} {:?}", plan.template, plan.notes());
        assert_eq!(answer(&files, &HUB).1, "ab");
        assert_eq!(self::plan(&shards(&files, &HUB), &["manifest.json"]).template, template);
    }
    let note = |files: &Memory, names: &[&str]| {
        let plan = plan(files, names);
        assert_eq!(plan.template, Template::VicunaV1);
        plan.notes().join("; ")
    };
    assert!(note(&with_file("chat_template.jinja", "### Human: {{ q }}"), &HUB).contains("asked as vicuna_v1"));
    let chat_ml = "{{ '<|im_start|>user' + q + '<|im_end|>' }}";
    let lacking = note(&with_file("chat_template.jinja", chat_ml), &HUB);
    assert!(lacking.contains("chat_ml") && lacking.contains("`<|im_start|>` is no token"), "{lacking}");
    // The template that this project's own training records comes first.
    let mut own = control();
    own.config["llava_web"] = json!({"prompt_template": "plain"});
    own.files.insert("chat_template.jinja".into(), mistral.into());
    assert_eq!(plan(&own.into_memory(), &HUB).template, Template::Plain);
    let mut pair = Pair::of(&control());
    pair.language.set("tokenizer.chat_template", mistral.into());
    assert_eq!(plan(&files(&pair), &GGUF).template, Template::Mistral);
    pair.language.set("tokenizer.chat_template", "### Human".into());
    assert!(note(&files(&pair), &GGUF).contains("none that is known"));
}

#[test]
fn what_other_files_say_is_not_passed_over_in_silence() {
    let notes = |name: &str, json: Json| plan(&with_file(name, json), &HUB).notes().join("; ");
    let token = |text: &str| json!({"content": text, "special": true});
    let decoder = json!({"added_tokens_decoder": {"3": token("<image>"), "290": token("<box>")}});
    assert!(notes("tokenizer_config.json", decoder).contains("lacks `<box>`"));
    assert!(
        notes("added_tokens.json", json!({"<image>": 3, "<a>": 288, "<b>": 289, "<c>": 290, "<d>": 291}))
            .contains("lacks `<a>`, `<b>`, `<c>` and 1 more")
    );
    assert!(
        notes("special_tokens_map.json", json!({"bos_token": "<s>", "eos_token": token("<fin>")})).contains("<fin>")
    );
    assert_eq!(notes("special_tokens_map.json", json!({"bos_token": "<s>", "eos_token": token("</s>")})), "");
    let generation = json!({"eos_token_id": 2, "repetition_penalty": 1.2, "suppress_tokens": [5], "num_beams": 1,
        "do_sample": true, "temperature": 0.2});
    let said = notes("generation_config.json", generation);
    assert!(said.contains("sets repetition_penalty, suppress_tokens, which"), "{said}");
    assert!(said.contains("sample temperature 0.2"), "{said}");
    // Malformed, a file on which nothing depends is named.
    assert!(notes("tokenizer_config.json", json!([1])).contains("tokenizer_config.json is passed over"));
    // Only a SentencePiece model, in the hub's layout: it is read as the original's is.
    let mut bare = control();
    bare.files.remove("tokenizer.json");
    let error = block_on(Blueprint::open(&bare.into_memory(), &entry(&HUB))).unwrap_err();
    assert!(error.to_string().contains("tokenizer.model"), "{error}");
}

/// LLaMA's kind of vocabulary that says "ab", its tokens, scores and kinds as `change` leaves them.
fn vocabulary(change: impl FnOnce(&mut Vec<Vec<u8>>, &mut Vec<f32>, &mut Vec<i32>)) -> Memory {
    let (a, b, rows) = (260, 261, 272);
    let hub = Checkpoint::random(|c| c["text_config"]["vocab_size"] = json!(rows));
    let mut pair = Pair::of(&hub.clockwork(&[(a, b), (b, 2), (2, a)], a));
    let pieces = [("▁", -10.0), ("a", -11.0), ("b", -12.0), ("▁a", -1.0), ("ab", -2.0), ("▁b", -3.0)];
    sentence_piece(&mut pair.language, &pieces);
    let get = |key: &str| pair.language.metadata.iter().find(|(k, _)| k == key).unwrap().1.clone();
    let Value::Strings(list) = get("tokenizer.ggml.tokens") else { panic!() };
    let mut tokens: Vec<Vec<u8>> = list.iter().map(|token| token.as_bytes().to_vec()).collect();
    let count = tokens.len();
    let mut scores: Vec<f32> = (0..count).map(|i| if i < 259 { 0.0 } else { pieces[i - 259].1 }).collect();
    let mut kinds: Vec<i32> =
        (0..count).map(|i| [2, 3, 3].get(i).copied().unwrap_or(if i < 259 { 6 } else { 1 })).collect();
    change(&mut tokens, &mut scores, &mut kinds);
    pair.language.set("tokenizer.ggml.scores", scores.as_slice().into());
    pair.language.set("tokenizer.ggml.token_type", kinds.as_slice().into());
    // Texts that are no UTF-8 are written as others of their length, and put in afterwards.
    let stand_in = |token: &Vec<u8>| match String::from_utf8(token.clone()) {
        Ok(text) => text,
        Err(_) => "\u{1}".repeat(token.len()),
    };
    let texts: Vec<String> = tokens.iter().map(stand_in).collect();
    pair.language.set("tokenizer.ggml.tokens", Value::Strings(texts.iter().map(String::as_str).collect::<Strings>()));
    let mut files = files(&pair);
    let bytes = files.0.get_mut(GGUF[0]).unwrap();
    for (token, text) in tokens.iter().zip(&texts).filter(|(token, text)| token.as_slice() != text.as_bytes()) {
        let written = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let at = bytes.windows(written.len()).position(|w| w == written).unwrap() + 8;
        bytes[at..at + token.len()].copy_from_slice(token);
    }
    files
}

#[test]
fn vocabularies_need_not_be_perfect() {
    let control = answer(&vocabulary(|_, _, _| ()), &GGUF);
    assert_eq!(control, (vec![260, 261, 2], "ab".into(), Stop::Eos));
    let add = |extra: &[(&[u8], f32, i32)], said: &[&str]| {
        let files = vocabulary(|tokens, scores, kinds| {
            for (token, score, kind) in extra {
                tokens.push(token.to_vec());
                scores.push(*score);
                kinds.push(*kind);
            }
        });
        assert_eq!(answer(&files, &GGUF), control);
        let plan = plan(&files, &GGUF);
        let notes = plan.notes().join("; ");
        assert!(said.iter().all(|said| notes.contains(said)), "{notes}");
        let tokenizer = llava_web::tokenizer::Tokenizer::parse(&plan.small.tokenizer, &plan.config).unwrap();
        assert_eq!(answer(&shards(&files, &GGUF), &["manifest.json"]), control);
        tokenizer
    };
    let holes = add(&[(b"", 0.0, 5), (b"", 0.0, 5), (b"", 0.0, 1)], &["3 of its 268 tokens have no text"]);
    assert_eq!(holes.decode(&[260, 265, 266, 267, 261]), "ab");
    let doubles = add(
        &[("▁ab".as_bytes(), -0.5, 1), ("▁ab".as_bytes(), -21.0, 4), (b"ab", -22.0, 4), (b"<0x41>", 0.0, 6)],
        &["3 of its 269 tokens have the text of an earlier one"],
    );
    assert_eq!(doubles.encode_text("ab").unwrap(), [265], "the first id");
    assert_eq!(doubles.decode(&[265, 266, 267, 268]), "ab ababA");
    let odd = add(
        &[(b"\xff\xfe", -20.0, 1), (b"a\x80", -20.0, 1), (b"\xff\xfe", -20.0, 1)],
        &["3 of its 268 tokens are not"],
    );
    assert_eq!(odd.decode(&[266]), "a\u{fffd}");
    assert_eq!(odd.encode_text("ab").unwrap(), doubles_free("ab"), "as without them");
}

fn doubles_free(text: &str) -> Vec<u32> {
    let plan = plan(&vocabulary(|_, _, _| ()), &GGUF);
    llava_web::tokenizer::Tokenizer::parse(&plan.small.tokenizer, &plan.config).unwrap().encode_text(text).unwrap()
}

/// Faults of a metadata block that are noted and do not change the answer.
#[test]
fn metadata_need_not_be_perfect() {
    let changed = |change: &dyn Fn(&mut Pair), said: &str| {
        let mut pair = Pair::of(&control());
        change(&mut pair);
        let files = files(&pair);
        let notes = plan(&files, &GGUF).notes().join("; ");
        assert!(notes.contains(said), "{said}: {notes}");
        assert_eq!(answer(&files, &GGUF).1, "ab", "{said}");
    };
    let set = |key: &'static str, value: Value| move |pair: &mut Pair| pair.language.set(key, value.clone());
    changed(&set("general.name", 7u32.into()), "");
    changed(&set("tokenizer.chat_template", 7u32.into()), "");
    changed(&set("tokenizer.ggml.token_type", (&[1i32][..]).into()), "token_type is passed over");
    changed(&set("tokenizer.ggml.token_type", "x".into()), "token_type is passed over");
    changed(&set("tokenizer.ggml.bos_token_id", u32::MAX.into()), "bos_token_id is passed over");
    changed(&set("tokenizer.ggml.eot_token_id", u32::MAX.into()), "eot_token_id is passed over");
    changed(&set("tokenizer.ggml.padding_token_id", u32::MAX.into()), "");
    let mut merges = vec!["a b".to_string(); 1];
    let golden: Json = serde_json::from_slice(&golden_file("mha/tokenizer.json")).unwrap();
    let pair = |m: &Json| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap());
    merges.extend(golden["model"]["merges"].as_array().unwrap().iter().map(pair));
    merges.extend(["ab".to_string(), merges[1].clone(), "zz yy".to_string()]);
    let list = Value::Strings(merges.iter().map(String::as_str).collect());
    changed(&set("tokenizer.ggml.merges", list), "merges join no two tokens to a third");
    let lowest = |pair: &mut Pair| {
        sentence_piece(&mut pair.language, &[("▁", -1.0), ("a", -2.0)]);
        pair.language.unset("tokenizer.ggml.scores");
    };
    let mut pair = Pair::of(&control());
    lowest(&mut pair);
    assert!(plan(&files(&pair), &GGUF).notes().join(";").contains("have no scores"));
    // Faults that change an answer are refused by name.
    let refused = |change: &dyn Fn(&mut Pair)| {
        let mut pair = Pair::of(&control());
        change(&mut pair);
        block_on(Blueprint::open(&files(&pair), &entry(&GGUF))).unwrap_err().to_string()
    };
    assert!(refused(&set("tokenizer.ggml.eos_token_id", u32::MAX.into())).contains("eos_token_id"));
    assert!(refused(&set("tokenizer.ggml.pre", "deepseek-v3".into())).contains("`deepseek-v3`"));
    assert!(refused(&set("llama.embedding_length", "64".into())).contains("llama.embedding_length"));
}
