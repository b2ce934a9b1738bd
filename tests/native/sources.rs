//! One model in many layouts: the engine computes the same from each of them, whatever its files and parts.

use crate::common;

use crate::common::checkpoint::{self, Checkpoint};
use crate::common::pair::Pair;
use crate::common::torch;
use crate::common::{Talk, golden, golden_file, gpu_or_skip};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Engine, GenerateOptions, Loader};
use llava_web::error::Kind;
use llava_web::format::blueprint::Blueprint;
use llava_web::format::checkpoint::Checkpoint as Saved;
use llava_web::format::convert::convert;
use llava_web::format::source::Memory;
use llava_web::model::Model;
use llava_web::model::load::WeightLoader;
use llava_web::native::{Folder, load, now};
use llava_web::pass::Call;
use llava_web::quant::Encoding;
use pollster::block_on;
use serde_json::{Value, json};

const ENTRY: &str = "config.json";

fn open(source: &Memory) -> Engine {
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    block_on(load(source, &[ENTRY.into()], device, Some(192))).unwrap_or_else(|e| panic!("{e}"))
}

/// Returns prompt, tokens and logits of an answer about a picture.
fn answer(engine: &mut Engine) -> (Vec<u32>, Vec<u32>, Vec<Vec<f32>>) {
    let options =
        GenerateOptions { max_new_tokens: 6, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
    let answer = Talk::about(engine, &[golden_file("wide.png")]).ask(engine, "what is it?", &options);
    (answer.prompt_ids, answer.ids, answer.logits)
}

/// The keys of `LlavaLlamaForCausalLM`.
fn original_key(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("language_model.") {
        return rest.to_string();
    }
    key.replace("multi_modal_projector.linear_1", "model.mm_projector.0")
        .replace("multi_modal_projector.linear_2", "model.mm_projector.2")
}

/// The same checkpoint as the original code saves it: a flat configuration, and the tower elsewhere or inside.
fn original(tower_inside: bool) -> Memory {
    let hub = Checkpoint::random(|_| ());
    let (text, vision) = (hub.config["text_config"].clone(), hub.config["vision_config"].clone());
    let mut flat = text;
    for (key, value) in [
        ("model_type", json!("llava_llama")),
        ("mm_vision_tower", json!("openai/clip-vit-large-patch14-336")),
        ("mm_projector_type", json!("mlp2x_gelu")),
        ("mm_vision_select_layer", hub.config["vision_feature_layer"].clone()),
        ("mm_vision_select_feature", json!("patch")),
        ("image_aspect_ratio", json!("pad")),
        ("mm_use_im_start_end", json!(false)),
        ("mm_hidden_size", json!(1024)),
    ] {
        flat[key] = value;
    }
    let tower_key = |key: &str| key.strip_prefix("vision_tower.").map(str::to_string);
    let mut tower =
        Checkpoint { config: json!({"vision_config": vision}), tensors: Default::default(), files: Default::default() };
    let mut main = Checkpoint { config: flat, tensors: Default::default(), files: hub.files };
    for (key, tensor) in hub.tensors {
        match tower_key(&key) {
            Some(inner) if tower_inside => {
                drop(main.tensors.insert(format!("model.vision_tower.vision_tower.{inner}"), tensor))
            }
            Some(inner) => drop(tower.tensors.insert(inner, tensor)),
            None => drop(main.tensors.insert(original_key(&key), tensor)),
        }
    }
    // The text tower of a whole CLIP.
    tower.tensors.insert("text_model.final_layer_norm.bias".into(), (vec![4], vec![0.0; 4]));
    tower.tensors.insert("logit_scale".into(), (vec![1], vec![4.6]));
    let mut files = main.into_memory();
    for (name, bytes) in tower.into_memory().0 {
        if !tower_inside || name == "config.json" {
            files.0.insert(format!("vision_tower/{name}"), bytes);
        }
    }
    files
}

/// The hub's checkpoint with an image token as the original code has it: beside the vocabulary, not in it.
fn hub() -> Memory {
    let mut files = Checkpoint::random(|_| ()).into_memory();
    files.0.remove("preprocessor_config.json");
    files
}

#[test]
fn the_original_layout_is_the_same_model() {
    let wanted = answer(&mut open(&hub()));
    for inside in [false, true] {
        let mut files = original(inside);
        // The tiny vocabulary has its image token inside; the original code has it nowhere.
        let mut config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
        config["image_token_index"] = json!(3);
        files.0.insert("config.json".into(), config.to_string().into_bytes());
        assert!(answer(&mut open(&files)) == wanted, "tower inside: {inside}");
    }
}

/// The same values in files of torch, in both layouts, in one file or several, with the connector apart or not.
#[test]
fn files_of_torch_are_the_same_model() {
    let wanted = answer(&mut open(&hub()));
    assert!(answer(&mut open(&torch::pickled(&hub()))) == wanted);
    let image_token = |files: &mut Memory| {
        let mut config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
        config["image_token_index"] = json!(3);
        files.0.insert("config.json".into(), config.to_string().into_bytes());
    };
    let mut files = torch::pickled(&original(false));
    image_token(&mut files);
    assert!(answer(&mut open(&files)) == wanted);
    // The connector apart, as after the first stage of training.
    let mut apart = files.clone();
    let mut main = torch::StateDict::from_safetensors(&original(false).0["model.safetensors"]);
    let mut connector = torch::StateDict::from_safetensors(&original(false).0["model.safetensors"]);
    main.tensors.retain(|tensor| !tensor.name.contains("mm_projector"));
    connector.tensors.retain(|tensor| tensor.name.contains("mm_projector"));
    apart.0.insert("pytorch_model.bin".into(), main.archive().bytes());
    apart.0.insert("mm_projector.bin".into(), connector.archive().bytes());
    assert!(answer(&mut open(&apart)) == wanted);
    // Where both are, safetensors are taken: these files of torch are none.
    let mut both = hub();
    both.0.insert("pytorch_model.bin".into(), vec![0; 99]);
    assert!(answer(&mut open(&both)) == wanted);
    // Converted, to the bit.
    let mut sink = checkpoint::Written::default();
    let options = llava_web::format::convert::ConvertOptions::exact();
    block_on(convert(&files, &[ENTRY.into()], "t", &mut sink, &options, &mut |_| ())).unwrap();
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let mut converted = block_on(load(&sink.0, &["manifest.json".into()], device, Some(192))).unwrap();
    assert!(answer(&mut converted) == wanted);
}

/// Files of torch itself, in the original layout with an index and a whole CLIP in a file of its own, answer like the
/// llava-hf directory that they were made from.
#[test]
fn a_checkpoint_that_torch_wrote_is_the_golden_model() {
    let mut files = Memory::default();
    for name in ["config.json", "pytorch_model.bin.index.json", "vision_tower/config.json"].into_iter().chain([
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "vision_tower/pytorch_model.bin",
    ]) {
        files.0.insert(name.into(), golden_file(&format!("pickle/{name}")));
    }
    for (name, to) in [
        ("tokenizer.json", "tokenizer.json"),
        ("generation_config.json", "generation_config.json"),
        ("preprocessor_config.json", "vision_tower/preprocessor_config.json"),
    ] {
        files.0.insert(to.into(), golden_file(&format!("mha/{name}")));
    }
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let mut hub = block_on(load(&Folder::new(&golden("mha"), None), &[ENTRY.into()], device, Some(192))).unwrap();
    assert!(answer(&mut open(&files)) == answer(&mut hub));
}

/// The error for a directory without weights names the files that it could have, and what its files are.
#[test]
fn a_directory_without_weights_says_what_is_missing() {
    let refused = |extra: &str| {
        let mut files = hub();
        files.0.remove("model.safetensors");
        files.0.insert(extra.into(), b"{}".to_vec());
        block_on(Saved::open(&files, &[ENTRY.into()])).unwrap_err().to_string()
    };
    assert!(refused("README.md").contains("pytorch_model.bin.index.json"));
    assert!(refused("adapter_config.json").contains("LoRA"));
    assert!(refused("mm_projector.bin").contains("connector alone"));
}

#[test]
fn what_an_original_checkpoint_lacks_is_said() {
    let refused = |change: &dyn Fn(&mut Memory)| {
        let mut files = original(false);
        change(&mut files);
        block_on(Saved::open(&files, &[ENTRY.into()])).unwrap_err()
    };
    let tower = refused(&|files| files.0.retain(|name, _| !name.starts_with("vision_tower/model")));
    assert!(tower.kind == Kind::Io && tower.hint.contains("--vision-tower"), "{tower}");
    let tokenizer = refused(&|files| drop(files.0.remove("tokenizer.json")));
    assert!(tokenizer.to_string().contains("tokenizer.model"), "{tokenizer}");
    let change = |key: &'static str, value: Value| {
        refused(&move |files| {
            let mut config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
            config[key] = value.clone();
            files.0.insert("config.json".into(), config.to_string().into_bytes());
        })
    };
    for (key, value) in [
        ("mm_use_im_start_end", json!(true)),
        ("image_aspect_ratio", json!("anyres_max_9")),
        ("mm_vision_select_feature", json!("all")),
        ("mm_projector_type", json!("mlp9x_gelu")),
    ] {
        let error = change(key, value);
        assert!(error.kind == Kind::Config && error.to_string().contains(key), "{error}");
    }
}

/// Pieces of every size are written to their rows: many rows together, 32 rows, an odd end, on both devices.
#[test]
fn however_a_checkpoint_is_cut_it_is_the_same() {
    let folder = Folder::new(&golden("gqa"), None);
    let backends = [Some(BackendChoice::Cpu), gpu_or_skip().then_some(BackendChoice::Gpu)];
    for backend in backends.into_iter().flatten() {
        let mut seen: Option<Vec<f32>> = None;
        for part_bytes in [1 << 30, 9_000, 1 << 11] {
            let logits = block_on(async {
                let saved = Saved::open(&folder, &[ENTRY.into()]).await.unwrap();
                // Q8 has planes of two kinds, and scales of two bytes.
                let q8 = |e: &llava_web::format::names::Expected, _| match e.name.contains("embed") {
                    true => llava_web::quant::WeightType::F16,
                    false => llava_web::quant::WeightType::Q8,
                };
                let blueprint = Blueprint::from_checkpoint(saved, "t", &q8, part_bytes).unwrap();
                let parts = blueprint.parts.clone();
                let device = Device::open(backend).await.unwrap();
                let mut loader = WeightLoader::new(device, blueprint).await.unwrap();
                for (index, part) in parts.iter().enumerate().rev() {
                    let bytes =
                        &golden_file(&format!("gqa/{}", part.file))[part.offset as usize..][..part.bytes as usize];
                    loader.push(index, bytes).await.unwrap();
                }
                let mut model: Model = loader.finish(64).await.unwrap().0;
                model.prefill(&[5, 9, 17, 30, 2], 0, Some(4)).unwrap();
                model.sample(&Call::new(1, 5)).unwrap();
                model.logits().await.unwrap()
            });
            assert!(logits.iter().all(|x| x.is_finite()));
            assert!(*seen.get_or_insert_with(|| logits.clone()) == logits, "{backend:?} {part_bytes}");
        }
    }
}

#[test]
fn the_plan_tells_what_will_be_needed_exactly() {
    block_on(async {
        let folder = Folder::new(&golden("mha"), None);
        for context in [64, 128] {
            let device = Device::open(BackendChoice::Cpu).await.unwrap();
            let mut loader = Loader::open(device, &folder, &[ENTRY.into()], &now).await.unwrap();
            let plan = loader.plan(Some(context)).await.unwrap();
            assert_eq!(plan.total_bytes, plan.parts.iter().map(|part| part.bytes).sum::<u64>());
            assert_eq!(plan.total_bytes, plan.file_bytes.iter().map(|file| file.bytes).sum::<u64>());
            for (index, part) in plan.parts.iter().enumerate() {
                let file = golden_file(&format!("mha/{}", part.file));
                loader.push(index, &file[part.offset as usize..][..part.bytes as usize]).await.unwrap();
            }
            let engine = loader.finish(Some(context)).await.unwrap();
            let report = engine.report();
            // Two buffers of one word, for absent biases and scales, are not counted.
            let cache = plan.memory.cache_per_token * u64::from(context);
            assert_eq!(report.device_bytes, plan.memory.weights + plan.memory.scratch + cache + 8);
            assert_eq!(plan.memory.total, plan.memory.weights + plan.memory.scratch + cache);
        }
        let device = Device::open(BackendChoice::Cpu).await.unwrap();
        let loader = Loader::open(device, &folder, &[ENTRY.into()], &now).await.unwrap();
        assert_eq!(loader.plan(Some(1 << 20)).await.unwrap_err().kind, Kind::Argument);
    });
}

#[test]
fn a_source_that_fails_or_lies_is_refused() {
    let names = |files: &Memory, entry: &[&str]| {
        let entry: Vec<String> = entry.iter().map(|name| name.to_string()).collect();
        block_on(Blueprint::open(files, &entry)).unwrap_err()
    };
    let files = hub();
    assert_eq!(names(&files, &[]).kind, Kind::Argument);
    assert_eq!(names(&Memory::default(), &["manifest.json"]).kind, Kind::Io);
    assert_eq!(names(&Memory::default(), &[ENTRY]).kind, Kind::Io);
    let pair = names(&files, &["model.gguf"]);
    assert!(pair.kind == Kind::Io && pair.hint.contains("pair"), "{pair}");
    assert_eq!(names(&files, &["model-00001-of-99999.gguf"]).kind, Kind::Io);
}

/// Both files of a pair, in memory.
fn pair(change: impl FnOnce(&mut Pair)) -> Memory {
    let mut pair = Pair::random();
    change(&mut pair);
    Memory([("m.gguf".into(), pair.language.bytes()), ("mmproj.gguf".into(), pair.vision.bytes())].into())
}

fn open_pair(files: &Memory) -> Engine {
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let entry = ["mmproj.gguf".to_string(), "m.gguf".to_string()];
    block_on(load(files, &entry, device, Some(192))).unwrap_or_else(|e| panic!("{e}"))
}

/// Permuted rows, other names and a vocabulary from metadata give the same numbers.
#[test]
fn a_gguf_pair_is_the_same_model() {
    let wanted = answer(&mut open(&hub()));
    let exact = pair(|p| {
        for (tensor, _) in p.language.tensors.iter_mut().chain(&mut p.vision.tensors) {
            tensor.encoding = Encoding::F32;
        }
    });
    assert!(answer(&mut open_pair(&exact)) == wanted);
    // Matrices are usually written as f16: the directory of the same values in f16 gives the same numbers.
    let narrow = {
        let mut hub = Checkpoint::random(|_| ());
        for (name, (shape, values)) in &mut hub.tensors {
            if shape.len() > 1 && !name.contains("position_embedding") {
                values.iter_mut().for_each(|w| *w = half::f16::from_f32(*w).to_f32());
            }
        }
        let mut files = hub.into_memory();
        files.0.remove("preprocessor_config.json");
        files
    };
    assert!(answer(&mut open_pair(&pair(|_| ()))) == answer(&mut open(&narrow)));
}

/// Converting keeps the file's values to the bit, and the manifest loads to the same answer.
#[test]
fn a_converted_pair_is_the_same_model() {
    let files = pair(|_| ());
    let mut sink = checkpoint::Written::default();
    let entry = ["m.gguf".to_string(), "mmproj.gguf".to_string()];
    let options = llava_web::format::convert::ConvertOptions {
        shard_bytes: 50_000,
        ..llava_web::format::convert::ConvertOptions::exact()
    };
    let manifest = block_on(convert(&files, &entry, "t", &mut sink, &options, &mut |_| ())).unwrap();
    assert!(manifest.shards.len() > 5);
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let mut converted = block_on(load(&sink.0, &["manifest.json".into()], device, Some(192))).unwrap();
    assert!(answer(&mut converted) == answer(&mut open_pair(&files)));
}

/// The cache starts with 1024 rows. A conversation that outgrows it moves to larger buffers, on which the recorded
/// passes continue: earlier rows are still attended to.
#[test]
fn a_long_conversation_outgrows_the_first_cache() {
    let mut logits: Vec<Vec<Vec<f32>>> = Vec::new();
    let backends = [Some(BackendChoice::Cpu), gpu_or_skip().then_some(BackendChoice::Gpu)];
    for backend in backends.into_iter().flatten() {
        let files = Checkpoint::random(|c| c["text_config"]["max_position_embeddings"] = json!(4096)).into_memory();
        let device = block_on(Device::open(backend)).unwrap();
        let mut engine = block_on(load(&files, &[ENTRY.into()], device, Some(2048))).unwrap();
        let options =
            GenerateOptions { max_new_tokens: 4, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
        let before = engine.report().device_bytes;
        Talk::default().ask(&mut engine, "short", &options);
        assert_eq!(engine.report().device_bytes, before, "there was room");
        let long: String = (0..420).map(|i| format!("{i} ")).collect();
        let answer = Talk::default().ask(&mut engine, &long, &options);
        let report = engine.report();
        assert!(report.cached > 1024 && report.device_bytes > before, "{} rows", report.cached);
        logits.push(answer.logits);
    }
    let [cpu, gpu] = &logits[..] else { return };
    for (cpu, gpu) in cpu.iter().zip(gpu) {
        let error = common::nmse(gpu, cpu);
        assert!(error < 1e-6, "NMSE {error:e}");
    }
}
