//! MobileVLM and small relatives of LLaVA-1.5: the connectors LDP and LDPv2 against PyTorch (`generate_ldp.py`), from
//! the original layout, from GGUF pairs and from shards; TinyLLaVA and llava-phi-3-mini by their configurations.

use crate::common::checkpoint::{Checkpoint, Written};
use crate::common::pair::{self, Pair, sentence_piece};
use crate::common::{Talk, golden, golden_file, gpu_or_skip, nmse};
use llava_web::config::{Config, ConnectorKind, SquarePolicy};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{GenerateOptions, Stop};
use llava_web::format::blueprint::Blueprint;
use llava_web::format::checkpoint::Checkpoint as Saved;
use llava_web::format::convert::{ConvertOptions, convert};
use llava_web::format::gguf::Value;
use llava_web::format::gguf::write::TensorSpec;
use llava_web::format::names::{self, Component, Expected};
use llava_web::format::source::{Memory, Source};
use llava_web::model::Model;
use llava_web::model::load::WeightLoader;
use llava_web::native::{Folder, Threads, load};
use llava_web::pass::Call;
use llava_web::preprocess::{PreprocessConfig, Tiling, preprocess};
use llava_web::prompt::Template;
use llava_web::quant::{Encoding, decode};
use llava_web::tuning::Tuning;
use pollster::block_on;
use safetensors::SafeTensors;
use serde_json::{Value as Json, json};

/// As in `golden.rs`: a few roundings of f32, and those of two decoder blocks.
const EMBEDS_NMSE: f64 = 1e-8;
const LOGITS_NMSE: f64 = 1e-7;
const HUB: [&str; 1] = ["config.json"];
const GGUF: [&str; 2] = ["model.gguf", "mmproj.gguf"];

fn entry(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Values of a golden model.
struct Golden(Vec<u8>);

impl Golden {
    fn read(model: &str) -> Self {
        Self(golden_file(&format!("{model}/golden.safetensors")))
    }
    fn words<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&self, name: &str) -> Vec<T> {
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data())
    }
    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name)
    }
}

async fn open<S: Source>(source: &S, names: &[&str], backend: BackendChoice, tuning: Tuning) -> Model {
    let blueprint = Blueprint::open(source, &entry(names)).await.unwrap_or_else(|e| panic!("{e}"));
    let (parts, config) = (blueprint.parts.clone(), &blueprint.config);
    let context = Model::longest_context(config, Model::usual_cache_type(config));
    let mut device = Device::open(backend).await.unwrap();
    device.set_tuning(tuning);
    device.set_thread_pool(Box::new(Threads::new(2)));
    let mut loader = WeightLoader::new(device, blueprint).await.unwrap();
    for (index, part) in parts.iter().enumerate() {
        loader.push(index, &source.read(&part.file, part.offset, part.bytes).await.unwrap()).await.unwrap();
    }
    loader.finish(context).await.unwrap().0
}

/// Asserts that a model gives PyTorch's image embeds, logits and 32 greedy tokens.
fn check<S: Source>(name: &str, layout: &str, source: &S, names: &[&str], backend: BackendChoice, tuning: Tuning) {
    let golden = Golden::read(name);
    block_on(async {
        let mut model = open(source, names, backend, tuning).await;
        let label = format!("{name}, {layout}, {} {}", model.device.backend(), model.device.adapter());
        let close = |what: &str, got: &[f32], wanted: &[f32], bound: f64| {
            let error = nmse(got, wanted);
            println!("NMSE {label} {what}: {error:.1e}");
            assert!(error <= bound, "{label} {what}: NMSE {error:e} above {bound:e}");
        };
        let pixel_values = golden.floats("pixel_values");
        let (_, embeds) = model.vision_outputs(&pixel_values).await.unwrap();
        close("image embeds", &embeds, &golden.floats("image_embeds"), EMBEDS_NMSE);
        model.encode(&pixel_values, 0).unwrap();
        let (image_token, mut row) = (model.config.image_token_index, 0);
        let mut input_id = |id: u32| {
            if id != image_token {
                return id;
            }
            row += 1;
            model.image_embed_id(0, row - 1)
        };
        let ids: Vec<u32> = golden.words::<u32>("ids").into_iter().map(&mut input_id).collect();
        assert_eq!(row, model.config.tile_rows(), "{label}");
        model.prefill(&ids, 0, Some(ids.len() as u32 - 1)).unwrap();
        let (greedy, steps) = (golden.words::<u32>("greedy"), golden.floats("step_logits"));
        let vocabulary = model.config.text.vocab_size as usize;
        let mut call = Call::new(1, 0);
        model.sample(&call).unwrap();
        for (step, (token, wanted)) in greedy.iter().zip(steps.chunks_exact(vocabulary)).enumerate() {
            let logits = model.logits().await.unwrap();
            if step == 0 {
                close("logits", &logits, wanted, LOGITS_NMSE);
            }
            let error = nmse(&logits, wanted);
            assert!(error <= LOGITS_NMSE, "{label} step {step}: NMSE {error:e}");
            let pending = model.start_token_read_back(step as u32);
            let chosen = model.device.finish_read_back(pending).await.unwrap()[0];
            assert_eq!(chosen, *token, "{label} step {step}");
            call = Call::new(1, (ids.len() + step) as u32);
            call.step = step as u32 + 1;
            model.step(&call).unwrap();
        }
    });
}

fn original(name: &str) -> Folder {
    Folder::new(&golden(name), None)
}

/// The checkpoint as llama.cpp's converter writes it: the connector's keys by its two replacements, matrices and
/// convolutions without sides of 1 and in f16, the rest in f32.
fn pair_of(name: &str) -> Memory {
    let saved = block_on(Saved::open(&original(name), &entry(&HUB))).unwrap();
    let file = |path: &str| golden_file(&format!("{name}/{path}"));
    let mut hub = Checkpoint {
        config: serde_json::from_slice(&saved.small.config).unwrap(),
        tensors: Default::default(),
        files: Default::default(),
    };
    for (expected, t) in saved.tensors.iter().filter(|(e, _)| e.component != Component::Connector) {
        let bytes = file(&saved.files[t.file]);
        let values = decode(t.encoding, &bytes[t.offset as usize..][..t.bytes() as usize]).unwrap();
        hub.tensors.insert(expected.name.clone(), (t.shape.clone(), values));
    }
    let mut pair = Pair::of(&hub);
    pair.vision.set("clip.projector_type", if name == "ldp" { "ldp" } else { "ldpv2" }.into());
    let bytes = file("model.safetensors");
    for (key, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let Some(layer) = key.strip_prefix("model.mm_projector.") else { continue };
        let layer = layer.replacen("mlp.mlp.", "model.mlp.", 1).replacen("peg.peg.", "model.peg.", 1);
        let shape: Vec<u32> = view.shape().iter().filter(|n| **n != 1).map(|n| *n as u32).collect();
        let encoding = if view.shape().len() > 1 { Encoding::F16 } else { Encoding::F32 };
        let values = decode(Encoding::F16, view.data()).unwrap();
        pair.vision.tensors.push((TensorSpec { name: format!("mm.{layer}"), encoding, shape }, values));
    }
    Memory(GGUF.iter().map(|n| n.to_string()).zip([pair.language.bytes(), pair.vision.bytes()]).collect())
}

/// The checkpoint as this project's shards, converted with its own types.
fn shards_of(name: &str) -> Memory {
    let mut out = Written::default();
    let source = original(name);
    block_on(convert(&source, &entry(&HUB), name, &mut out, &ConvertOptions::exact(), &mut |_| ())).unwrap();
    out.0
}

#[test]
fn twins_equal_pytorch_from_every_layout() {
    for name in ["ldp", "ldpv2"] {
        let (backend, tuning) = (BackendChoice::Reference, Tuning::default());
        check(name, "original", &original(name), &HUB, backend, tuning);
        check(name, "GGUF", &pair_of(name), &GGUF, backend, tuning);
        check(name, "shards", &shards_of(name), &["manifest.json"], backend, tuning);
    }
}

/// Matrices of 16-bit floats are multiplied in f32 there.
#[test]
fn cpu_equals_pytorch() {
    for name in ["ldp", "ldpv2"] {
        check(name, "original", &original(name), &HUB, BackendChoice::Cpu, Tuning::default());
        check(name, "GGUF", &pair_of(name), &GGUF, BackendChoice::Cpu, Tuning::default());
    }
}

#[test]
fn gpu_equals_pytorch() {
    if !gpu_or_skip() {
        return;
    }
    for name in ["ldp", "ldpv2"] {
        for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
            check(name, "original", &original(name), &HUB, BackendChoice::Gpu, tuning);
        }
        check(name, "GGUF", &pair_of(name), &GGUF, BackendChoice::Gpu, Tuning::SOFTWARE);
    }
}

#[test]
fn the_comparison_notices_a_wrong_connector() {
    let changed = |name: &str, tensor: &str| {
        let mut files = pair_of(name);
        let header = pair::header(&files.0[GGUF[1]]);
        let t = header.tensors.iter().find(|t| t.name == tensor).unwrap_or_else(|| panic!("there is no {tensor}"));
        let (at, end) = (t.offset as usize, t.offset as usize + 8);
        // The first values of the first channel.
        files.0.get_mut(GGUF[1]).unwrap()[at..end].fill(0);
        let run = || check(name, "changed", &files, &GGUF, BackendChoice::Cpu, Tuning::default());
        assert!(std::panic::catch_unwind(run).is_err(), "{name}: another {tensor} passed");
    };
    changed("ldpv2", "mm.model.peg.0.weight");
    changed("ldpv2", "mm.model.peg.0.bias");
    changed("ldp", "mm.model.mb_block.1.block.0.0.weight");
    changed("ldp", "mm.model.mb_block.2.block.1.fc2.bias");
}

/// What surrounds the weights: padded pictures, Vicuna's prompt, MobileLLaMA's sizes, and an answer by the engine.
#[test]
fn mobilevlms_settings_are_those_of_its_code() {
    for (name, connector, rows) in [("ldp", ConnectorKind::Ldp, 9), ("ldpv2", ConnectorKind::LdpV2, 144)] {
        let plan = block_on(Blueprint::open(&original(name), &entry(&HUB))).unwrap();
        assert_eq!((plan.config.connector, plan.config.tile_rows()), (connector, rows));
        assert_eq!((plan.template, plan.config.vision_blocks), (Template::VicunaV1, 1));
        let pixels = PreprocessConfig::parse(plan.small.preprocessor_config.as_deref(), &plan.config).unwrap();
        assert_eq!(pixels.tiling, Tiling::One(SquarePolicy::Pad));
        let got = preprocess(&golden_file("wide.png"), &pixels).unwrap().data;
        let wanted = Golden::read(name).floats("pixel_values");
        // A step of 1/255 is at most 0.0153 after normalisation.
        let most = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(got.len() == wanted.len() && most < 0.016, "{name}: {most}");
        let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
        let mut engine = block_on(load(&original(name), &entry(&HUB), device, None)).unwrap();
        let mut talk = Talk::about(&mut engine, &[golden_file("wide.png")]);
        let options = GenerateOptions { max_new_tokens: 4, ignore_eos: true, ..GenerateOptions::default() };
        let answer = talk.ask(&mut engine, "a?", &options);
        assert_eq!(answer.ids.len(), 4);
    }
}

/// The configuration of MobileVLM 1.7B, V1 and V2, as re-uploads have it: 576 patches become 144 rows.
#[test]
fn mobilevlms_configuration_is_read() {
    for kind in ["ldpnet", "ldpnetv2"] {
        let config = json!({
            "mm_projector_type": kind, "text_config": {"model_type": "llama", "hidden_size": 2048,
            "intermediate_size": 5632, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
            "rms_norm_eps": 1e-6, "vocab_size": 32000, "max_position_embeddings": 2048},
        });
        let parse = |json: &Json| Config::parse(json.to_string().as_bytes(), None);
        let parsed = parse(&config).unwrap();
        assert_eq!((parsed.feature_rows(), parsed.tile_rows(), parsed.text.head_dim), (576, 144, 128));
        let mut class_row = config.clone();
        class_row["vision_feature_select_strategy"] = json!("full");
        assert!(parse(&class_row).unwrap_err().to_string().contains("vision_feature_select_strategy"));
        let mut narrow = config;
        narrow["text_config"]["hidden_size"] = json!(2036);
        narrow["text_config"]["head_dim"] = json!(128);
        assert!(parse(&narrow).unwrap_err().to_string().contains("multiple of 8"));
    }
}

/// What becomes of a connector's tensor: its key and shape (none where it stays), or nothing.
type Change = dyn Fn(&str) -> Option<(String, Vec<usize>)>;

#[test]
fn a_connector_with_other_tensors_is_refused_by_name() {
    let files = |change: &Change| {
        let bytes = golden_file("ldpv2/model.safetensors");
        let checkpoint = SafeTensors::deserialize(&bytes).unwrap();
        let changed = checkpoint.tensors().into_iter().filter_map(|(key, view)| {
            let (key, shape) = match key.contains("mm_projector") {
                true => change(&key)?,
                false => (key, Vec::new()),
            };
            let shape = if shape.is_empty() { view.shape().to_vec() } else { shape };
            Some((key, safetensors::tensor::TensorView::new(view.dtype(), shape, view.data()).unwrap()))
        });
        let changed: Vec<_> = changed.collect();
        let mut files = Memory::default();
        files.0.insert("model.safetensors".into(), safetensors::serialize(changed, None).unwrap());
        for path in ["config.json", "tokenizer.json", "vision_tower/config.json"] {
            files.0.insert(path.into(), golden_file(&format!("ldpv2/{path}")));
        }
        block_on(Blueprint::open(&files, &entry(&HUB))).map(|_| ()).map_err(|e| e.to_string())
    };
    let same = |key: &str| Some((key.to_string(), Vec::new()));
    assert_eq!(files(&same), Ok(()));
    let unit = |key: &str| Some((key.to_string(), if key.ends_with("peg.0.weight") { vec![40, 3, 3] } else { vec![] }));
    assert_eq!(files(&unit), Ok(()), "sides of 1 order nothing");
    let turned =
        |key: &str| Some((key.to_string(), if key.ends_with("peg.0.weight") { vec![3, 3, 40] } else { vec![] }));
    assert!(files(&turned).unwrap_err().contains("multi_modal_projector.peg.weight"));
    let without = |key: &str| (!key.ends_with("peg.0.bias")).then(|| (key.to_string(), Vec::new()));
    assert!(files(&without).unwrap_err().contains("multi_modal_projector.peg.bias"));
    let other = |key: &str| Some((key.replace("peg.peg.0", "peg.peg.1"), Vec::new()));
    assert!(files(&other).is_err());
}

/// `bczhou/tiny-llava-v1-hf` as its config.json has it; `num_attention_heads` and what CLIP has are left out there.
#[test]
fn tinyllava_is_a_llava_with_grouped_queries() {
    let config = json!({
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "ignore_index": -100,
        "image_token_index": 32000, "pad_token_id": 32001, "projector_hidden_act": "gelu",
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064,
        "text_config": {
            "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
            "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "vocab_size": 32064,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
            "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
            "vocab_size": 32000,
        },
    });
    let generation = br#"{"_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001}"#;
    let parsed = Config::parse(config.to_string().as_bytes(), Some(generation)).unwrap();
    let t = &parsed.text;
    assert_eq!((t.num_attention_heads, t.num_key_value_heads, t.head_dim), (32, 4, 64));
    assert_eq!((t.vocab_size, parsed.image_token_index, t.tie_word_embeddings), (32064, 32000, false));
    assert_eq!((t.bos_token_id, t.eos_token_ids.as_slice(), parsed.tile_rows()), (1, &[2][..], 576));
    // Its two files, 4.98 GB and 661 MB, hold these parameters and those of the block and the norm that are not run, as
    // f32.
    let needed: u64 = names::expected(&parsed).iter().map(Expected::parameters).sum();
    let bytes = (needed + 12_596_224 + 2048) * 4;
    assert!(bytes.abs_diff(4_980_000_000 + 661_000_000) < 6_000_000, "{bytes}");
    // It has LLaMA's tokenizer and no chat template: it was trained by LLaVA-1.5's recipe, and is asked so.
    assert_eq!(Template::for_tokenizer(&golden_file("mha/tokenizer.json")), Template::VicunaV1);
}

/// `xtuner/llava-phi-3-mini-gguf`: a LLaMA by its keys, with Phi-3's marks at their ids. Its metadata name
/// `<|endoftext|>` (32000) as the end; its turns end with `<|end|>` (32007).
#[test]
fn llava_phi_3_mini_ends_at_32007() {
    let (rows, a, b, end) = (32064, 260, 261, 32007);
    let hub = Checkpoint::random(|c| c["text_config"]["vocab_size"] = json!(rows));
    let mut pair = Pair::of(&hub.clockwork(&[(a, end), (end, b), (b, a)], a));
    let marks =
        [(32000, "<|endoftext|>"), (32001, "<|assistant|>"), (end, "<|end|>"), (32010, "<|user|>"), (32038, "<image>")];
    let mark = |id: u32| marks.iter().find(|(of, _)| *of == id).map(|(_, text)| text.to_string());
    let first = ["▁", "a", "b"].map(str::to_string);
    let others = (262..rows).map(|id| mark(id).unwrap_or_else(|| format!("unused {id}")));
    let pieces: Vec<String> = first.into_iter().chain(others).collect();
    let scored: Vec<(&str, f32)> = pieces.iter().map(|piece| (piece.as_str(), -1.0)).collect();
    sentence_piece(&mut pair.language, &scored);
    let kind = |id: u32| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        259..262 => 1,
        id if mark(id).is_some() => 3,
        _ => 5,
    };
    pair.language.set("tokenizer.ggml.token_type", (0..rows).map(kind).collect::<Vec<i32>>().as_slice().into());
    pair.language.set("tokenizer.ggml.eos_token_id", Value::from(32000u32));
    let files = Memory(GGUF.iter().map(|n| n.to_string()).zip([pair.language.bytes(), pair.vision.bytes()]).collect());
    let plan = block_on(Blueprint::open(&files, &entry(&GGUF))).unwrap();
    assert_eq!((plan.template, plan.config.image_token_index), (Template::Phi3, 32038));
    assert_eq!(plan.config.text.eos_token_ids, [32000, 32007], "what the file says, and the end of its turns");
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let mut engine = block_on(load(&files, &entry(&GGUF), device, None)).unwrap();
    let mut talk = Talk::about(&mut engine, &[golden_file("wide.png")]);
    let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
    let answer = talk.ask(&mut engine, "what is it?", &options);
    assert_eq!((answer.ids, answer.text.trim(), answer.stop), (vec![a, end], "a", Stop::Eos));
}
