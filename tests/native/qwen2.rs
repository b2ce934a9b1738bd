//! LLaVAs with a Qwen2 decoder against PyTorch transformers: biases of `q`, `k` and `v`, no beginning-of-sequence token,
//! ChatML, a normaliser; from the hub's layout and from GGUF pairs, on the twins, the GPU and the CPU.
//!
//! The weights are a formula (see `tests/golden/generate_qwen2.py`), so that no checkpoint is committed.

use crate::common::checkpoint::Checkpoint;
use crate::common::pair::{self, Pair};
use crate::common::{Talk, golden_file, gpu_or_skip, nmse};
use llava_web::config::Config;
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Engine, GenerateOptions, SilentObserver};
use llava_web::format::names;
use llava_web::format::source::Memory;
use llava_web::native::{Threads, load};
use llava_web::quant::Encoding;
use llava_web::tuning::Tuning;
use pollster::block_on;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value as Json, json};

/// Steps whose logits the golden files keep.
const KEPT: [usize; 4] = [0, 10, 20, 31];
/// Stages and logits with products of f32: see `tests/native/golden.rs`.
const EXACT: [f64; 2] = [1e-8, 1e-7];
/// The same with activations of 8 bits.
const INTEGER: [f64; 2] = [5e-2, 5e-2];

/// Returns integers from −127 to 127: splitmix64 from the name's FNV-1a.
fn uniform(name: &str) -> impl Iterator<Item = i32> + use<> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let mut state = name.bytes().fold(0xCBF2_9CE4_8422_2325, fnv);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ z >> 31) >> 33) % 255) as i32 - 127
    })
}

fn weight(name: &str, shape: &[u32]) -> Vec<f32> {
    let columns: u32 = shape[1..].iter().product();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let vector = shape.len() == 1 || has(&["position_embedding"]);
    let exponent = match name {
        _ if name.ends_with("bias") => {
            if has(&["language_model"]) {
                -6
            } else {
                -10
            }
        }
        _ if has(&["class_embedding", "position_embedding"]) => -8,
        _ if vector => -9,
        _ if has(&["patch_embedding"]) => -12,
        _ if has(&["q_proj", "k_proj", "lm_head"]) => -7,
        _ => -8,
    };
    let norm = if vector && exponent == -9 { 1.0 } else { 0.0 };
    let value = |(i, q): (u32, i32)| {
        let q = if !vector && (i % columns).is_multiple_of(32) { 127 } else { q };
        norm + q as f32 * 2f32.powi(exponent)
    };
    (0..shape.iter().product()).zip(uniform(name)).map(value).collect()
}

/// The checkpoint `name` of the formula.
fn hub(name: &str) -> Checkpoint {
    let config: Json = serde_json::from_slice(&golden_file(&format!("qwen2/{name}.json"))).unwrap();
    let parsed = Config::parse(config.to_string().as_bytes(), None).unwrap();
    assert!(parsed.text.attention_bias && parsed.text.rms_norm_eps == 1e-6 && parsed.text.sliding_window.is_none());
    let tensor = |e: names::Expected| {
        let values = weight(&e.name, &e.checkpoint_shape);
        (e.name, (e.checkpoint_shape, values))
    };
    let tensors = names::expected(&parsed).into_iter().map(tensor).collect();
    let files = [("tokenizer.json".to_string(), golden_file("qwen2/tokenizer.json"))];
    Checkpoint { config, tensors, files: files.into() }
}

/// The pair of a checkpoint, `v` in another type than `q` and `k`: a step multiplies them apart.
fn mixed_pair(name: &str) -> Memory {
    let mut pair = Pair::of(&hub(name));
    let language = &mut pair.language;
    let rows = language.tensor("token_embd.weight").0.shape[0];
    let mut tokenizer: Json = serde_json::from_slice(&golden_file("qwen2/tokenizer.json")).unwrap();
    let added: Vec<Json> = tokenizer["added_tokens"].as_array().unwrap().clone();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocabulary.extend(added.iter().map(|token| (token["content"].as_str().unwrap().to_string(), token["id"].clone())));
    let specials = vocabulary.len() as u32 - 4..vocabulary.len() as u32;
    vocabulary.extend((vocabulary.len() as u32..rows).map(|id| (format!("[PAD{id}]"), json!(id))));
    pair::byte_level(language, tokenizer.to_string().as_bytes());
    let kind = |id: u32| {
        if specials.contains(&id) {
            3
        } else if id >= specials.end {
            5
        } else {
            1
        }
    };
    let kinds: Vec<i32> = (0..rows).map(kind).collect();
    language.set("tokenizer.ggml.token_type", kinds.as_slice().into());
    language.set("tokenizer.ggml.pre", "qwen2".into());
    language.set("tokenizer.ggml.eos_token_id", (specials.start + 2).into());
    language.unset("tokenizer.ggml.bos_token_id");
    for block in 0..2 {
        language.tensor(&format!("blk.{block}.attn_v.weight")).0.encoding = Encoding::F32;
    }
    Memory([("model.gguf".into(), pair.language.bytes()), ("mmproj.gguf".into(), pair.vision.bytes())].into())
}

/// The committed pair, written with llama.cpp's own package.
fn golden_pair() -> Memory {
    let file = |ours: &str, theirs: &str| (ours.to_string(), golden_file(&format!("qwen2/{theirs}")));
    Memory([file("model.gguf", "even.gguf"), file("mmproj.gguf", "even-mmproj.gguf")].into())
}

fn open(files: &Memory, backend: BackendChoice, tuning: Option<Tuning>) -> Engine {
    let names: &[&str] =
        if files.0.contains_key("model.gguf") { &["model.gguf", "mmproj.gguf"] } else { &["config.json"] };
    let entry: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut device = block_on(Device::open(backend)).unwrap();
    device.set_thread_pool(Box::new(Threads::new(3)));
    tuning.into_iter().for_each(|tuning| device.set_tuning(tuning));
    let engine = block_on(load(files, &entry, device, None)).unwrap_or_else(|e| panic!("{e}"));
    assert!(tuning.is_none() || engine.report().tuning == tuning);
    engine
}

fn values<T: bytemuck::AnyBitPattern>(file: &SafeTensors, name: &str) -> Vec<T> {
    let view = file.tensor(name).unwrap();
    assert!(matches!(view.dtype(), Dtype::F32 | Dtype::I32));
    view.data().chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
}

/// Fails unless `got` is close, and prints its error for the table of figures.
fn close(what: &str, got: &[f32], wanted: &[f32], bound: f64) {
    let error = nmse(got, wanted);
    println!("NMSE {what:60} {error:.1e}");
    assert!(error <= bound, "{what}: NMSE {error:e} above {bound:e}");
}

/// Compares ids, image features, image embeds, logits and greedy tokens of all cases.
fn check(label: &str, name: &str, mut engine: Engine, [stage, logits]: [f64; 2]) {
    let label = format!("{name} {label} {}", engine.report().adapter);
    let golden = golden_file(&format!("qwen2/{name}.safetensors"));
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let cases: Json = serde_json::from_slice(&golden_file("qwen2/cases.json")).unwrap();
    let picture = golden_file("qwen2/square.png");
    for (kind, _, got) in block_on(engine.vision_outputs(&picture)).unwrap() {
        if kind != "pixel_values" {
            close(&format!("{label} {kind}"), &got, &values::<f32>(&golden, kind), stage);
        }
    }
    let options =
        GenerateOptions { max_new_tokens: 32, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
    for (case, content) in cases["cases"].as_object().unwrap() {
        let question = content["question"].as_str().unwrap();
        let answer = match content["pictures"].as_u64().unwrap() {
            1 => Talk::about(&mut engine, std::slice::from_ref(&picture)).ask(&mut engine, question, &options),
            count => {
                let talk = Talk::about(&mut engine, &vec![picture.clone(); count as usize]);
                let pictures = "<image>\n".repeat(count as usize);
                let prompt = format!("<|im_start|>user\n{pictures}{question}<|im_end|>\n<|im_start|>assistant\n");
                block_on(engine.generate_raw(&prompt, &talk.pictures, &options, &mut SilentObserver)).unwrap()
            }
        };
        assert_eq!(answer.prompt_ids, values::<u32>(&golden, &format!("{case}.ids")), "{label} {case}");
        let wanted: Vec<f32> = values(&golden, &format!("{case}.logits"));
        let greedy: Vec<u32> = values(&golden, &format!("{case}.greedy"));
        let margins: Vec<f32> = values(&golden, &format!("{case}.margin"));
        let differs = (0..32).find(|i| answer.ids[*i] != greedy[*i]).unwrap_or(32);
        for (step, wanted) in KEPT.into_iter().zip(wanted.chunks_exact(wanted.len() / 4)) {
            if step <= differs {
                close(&format!("{label} {case} logits of step {step}"), &answer.logits[step], wanted, logits);
            }
        }
        let power = wanted.iter().map(|x| x * x).sum::<f32>() / wanted.len() as f32;
        let tie = if logits <= 1e-7 { 1e-3 } else { 4.0 * (logits as f32 * power).sqrt() };
        assert!(differs == 32 || margins[differs] < tie, "{label} {case}: {:?} instead of {greedy:?}", answer.ids);
    }
}

/// Every layout with weights that nothing rounds.
fn layouts() -> Vec<(&'static str, &'static str, Memory)> {
    vec![
        ("f32", "even", hub("even").into_memory()),
        ("f32", "odd", hub("odd").into_memory()),
        ("f16", "odd", hub("odd").into_16_bits(Dtype::F16)),
        ("GGUF f16 and f32", "odd", mixed_pair("odd")),
        ("GGUF f16 and f32", "even", mixed_pair("even")),
        ("GGUF Q8_0", "even", golden_pair()),
    ]
}

#[test]
fn twins_equal_transformers() {
    for (layout, name, files) in layouts() {
        check(layout, name, open(&files, BackendChoice::Reference, None), EXACT);
    }
}

#[test]
fn gpu_equals_transformers() {
    if gpu_or_skip() {
        for (layout, name, files) in layouts() {
            for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
                let label = format!("{layout}, norm in products: {},", tuning.fuse_norm);
                check(&label, name, open(&files, BackendChoice::Gpu, Some(tuning)), EXACT);
            }
        }
    }
}

#[test]
fn cpu_equals_transformers_within_its_tolerance() {
    for (layout, name, files) in layouts() {
        let bounds = if layout.contains("Q8_0") { INTEGER } else { EXACT };
        check(layout, name, open(&files, BackendChoice::Cpu, None), bounds);
    }
}

/// The same answers would come of other biases only by chance.
#[test]
fn the_comparison_notices_a_missing_bias() {
    for part in ["q_proj", "k_proj", "v_proj"] {
        let mut changed = hub("odd");
        changed.tensors.get_mut(&format!("language_model.model.layers.1.self_attn.{part}.bias")).unwrap().1.fill(0.0);
        let files = changed.into_memory();
        let failed = std::panic::catch_unwind(|| {
            check("changed", "odd", open(&files, BackendChoice::Reference, None), EXACT);
        });
        assert!(failed.is_err(), "no bias of {part}");
    }
}

#[test]
fn a_pair_is_asked_in_chat_ml_without_a_beginning() {
    let engine = &mut open(&golden_pair(), BackendChoice::Reference, None);
    assert!(engine.report().notes.is_empty(), "{:?}", engine.report().notes);
    let options = GenerateOptions { max_new_tokens: 1, ..GenerateOptions::default() };
    let answer = Talk::default().ask(engine, "é", &options);
    assert_eq!(answer.prompt_ids[0], 277, "<|im_start|>");
}

fn parse(config: Json) -> Result<Config, String> {
    Config::parse(config.to_string().as_bytes(), None).map_err(|e| e.to_string())
}

/// As `Qwen2Config()` of transformers 5.23, but for the ids, of which it has none.
#[test]
fn absent_fields_are_those_of_transformers() {
    let text = |text: Json| parse(json!({"text_config": text})).unwrap().text;
    let bare = text(json!({"model_type": "qwen2"}));
    let sizes = [bare.hidden_size, bare.intermediate_size, bare.num_hidden_layers, bare.vocab_size];
    assert_eq!(sizes, [4096, 22016, 32, 151_936]);
    assert_eq!([bare.num_attention_heads, bare.num_key_value_heads, bare.max_position_embeddings], [32, 32, 32768]);
    assert_eq!((bare.rms_norm_eps, bare.rope_theta, bare.tie_word_embeddings), (1e-6, 10000.0, false));
    assert_eq!((bare.bos_token_id, bare.eos_token_ids), (151_643, vec![151_645, 151_643]));
    // The window counts where it is used: within it, attention is the ordinary one.
    for (used, context) in [(json!(null), 32768), (json!(false), 32768), (json!(true), 1024)] {
        let config = text(json!({"model_type": "qwen2", "sliding_window": 1024, "use_sliding_window": used}));
        assert_eq!(config.max_position_embeddings, context, "{used}");
    }
    let error = parse(json!({"text_config": {"attention_bias": true}})).unwrap_err();
    assert!(error.contains("attention_bias") && error.contains("biases in a llama"), "{error}");
}

#[test]
fn other_decoders_are_refused_with_one_to_take_instead() {
    for (config, name, instead) in [
        (json!({"text_config": {"model_type": "phi3"}}), "phi3", "xtuner/llava-phi-3-mini-gguf"),
        (json!({"model_type": "moondream1"}), "moondream1", "SmolVLM-500M"),
        (json!({"text_config": {"model_type": "phi"}}), "phi", "SmolVLM-500M"),
        (json!({"text_config": {"model_type": "gemma"}}), "gemma", "Qwen2"),
    ] {
        let error = parse(config).unwrap_err();
        assert!(error.contains(&format!("`{name}`")) && error.contains(instead), "{error}");
    }
}

/// nanoLLaVA's kind: a flat configuration, `llava-qwen2`.
#[test]
fn the_original_layout_names_its_decoder() {
    let files = hub("odd").flat("llava-qwen2").into_memory();
    check("original", "odd", open(&files, BackendChoice::Reference, None), EXACT);
}
