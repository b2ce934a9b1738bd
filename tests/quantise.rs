//! Quantising a float checkpoint while it is loaded: the weights equal those of `convert --quant` to the bit, and
//! memory holds only the parts in flight.

mod common;
use common::counting;
use common::torch;

use common::checkpoint::{Checkpoint, Written};
use common::pair::Pair;
use common::{Scratch, Talk, golden, golden_file, gpu_or_skip};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Engine, GenerateOptions, Loader};
use llava_web::error::Kind;
use llava_web::format::blueprint::{Blueprint, PART_BYTES};
use llava_web::format::convert::{self, convert};
use llava_web::format::files::MANIFEST_FILE;
use llava_web::format::source::{Memory, Source, exactly};
use llava_web::native::{Folder, load, load_quantized, now};
use llava_web::quant::{WeightType, stored_bytes};
use pollster::block_on;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

const ENTRY: &str = "config.json";
const CHOICES: [WeightType; 2] = [WeightType::Q8, WeightType::Q4];

/// Returns prompt, tokens and logits of an answer about a picture.
fn answer(engine: &mut Engine) -> (Vec<u32>, Vec<u32>, Vec<Vec<f32>>) {
    let options =
        GenerateOptions { max_new_tokens: 4, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
    let answer = Talk::about(engine, &[golden_file("wide.png")]).ask(engine, "what is it?", &options);
    (answer.prompt_ids, answer.ids, answer.logits)
}

fn converted(source: &impl Source, quant: WeightType) -> Memory {
    let mut sink = Written::default();
    let options = convert::ConvertOptions::new(quant, "t");
    block_on(convert(source, &[ENTRY.into()], "t", &mut sink, &options, &mut |_| ())).unwrap();
    sink.0
}

/// Compares the types of both with those that `is` asks for, and the answers of both, on every device.
fn agree(source: &impl Source, quant: WeightType, what: &str) {
    let shards = converted(source, quant);
    let types = |source: &dyn Fn() -> Blueprint| -> BTreeMap<String, WeightType> {
        source().tensors.into_iter().map(|t| (t.expected.name, t.weight_type)).collect()
    };
    let wanted = types(&|| block_on(Blueprint::open(&shards, &[MANIFEST_FILE.into()])).unwrap());
    assert!(wanted.values().any(|t| *t == quant), "{what}: nothing is {quant}");
    let held = types(&|| {
        let mut blueprint = block_on(Blueprint::open(source, &[ENTRY.into()])).unwrap();
        let options = convert::ConvertOptions { quant: Some(quant), ..convert::ConvertOptions::exact() };
        blueprint.tensors = blueprint.tensors_as(&|tensor, encoding| options.weight_type(tensor, encoding)).unwrap();
        blueprint
    });
    assert_eq!(held, wanted, "{what}");
    let backends = [Some(BackendChoice::Cpu), gpu_or_skip().then_some(BackendChoice::Gpu)];
    for backend in backends.into_iter().flatten() {
        let device = || block_on(Device::open(backend)).unwrap();
        let mut from_shards = block_on(load(&shards, &[MANIFEST_FILE.into()], device(), Some(192))).unwrap();
        let mut on_the_way =
            block_on(load_quantized(source, &[ENTRY.into()], device(), Some(192), Some(quant))).unwrap();
        assert!(answer(&mut on_the_way) == answer(&mut from_shards), "{what} as {quant} on {backend:?}");
    }
}

#[test]
fn the_golden_checkpoint_is_what_convert_makes_of_it() {
    for quant in CHOICES {
        for model in ["mha", "gqa"] {
            agree(&Folder::new(&golden(model), None), quant, model);
        }
    }
}

#[test]
fn halves_of_both_kinds_are_what_convert_makes_of_them() {
    for (dtype, name) in [(Dtype::F16, "f16"), (Dtype::BF16, "bf16")] {
        let source = Checkpoint::random(|_| ()).into_16_bits(dtype);
        for quant in CHOICES {
            agree(&source, quant, name);
            agree(&torch::pickled(&source), quant, &format!("{name}, pickled"));
        }
    }
}

/// An MLP of 40 values a row, no multiple of 32: its matrix stays f16 beside those that are quantised.
#[test]
fn rows_that_are_no_whole_groups_stay_halves() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let odd = || Checkpoint::random(|c| c["text_config"]["intermediate_size"] = json!(40)).into_16_bits(dtype);
        for quant in CHOICES {
            let mut loader = open(&odd());
            loader.set_weight_type(Some(quant)).unwrap();
            let shards = converted(&odd(), quant);
            let manifest: Value = serde_json::from_slice(&shards.0[MANIFEST_FILE]).unwrap();
            let down =
                manifest["tensors"].as_array().unwrap().iter().find(|t| t["name"].to_string().contains("down_proj"));
            assert_eq!(down.unwrap()["type"], json!("f16"), "{}", down.unwrap());
            agree(&odd(), quant, "odd rows");
        }
    }
}

fn open(source: &impl Source) -> Loader {
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    block_on(Loader::open(device, source, &[ENTRY.into()], &now)).unwrap()
}

#[test]
fn the_plan_says_what_each_choice_needs() {
    let source = Checkpoint::random(|_| ()).into_16_bits(Dtype::BF16);
    let mut loader = open(&source);
    let plan = block_on(loader.plan(None)).unwrap();
    assert_eq!(plan.quant, None);
    let quants: Vec<_> = plan.choices.iter().map(|choice| choice.quant).collect();
    assert_eq!(quants, [None, Some(WeightType::Q8), Some(WeightType::Q4)]);
    for choice in &plan.choices {
        loader.set_weight_type(choice.quant).unwrap();
        let chosen = block_on(loader.plan(None)).unwrap();
        assert_eq!((chosen.quant, chosen.memory.total), (choice.quant, choice.memory));
        assert_eq!(chosen.bytes_per_token, choice.bytes_per_token);
        assert_eq!((&chosen.parts, &chosen.choices), (&plan.parts, &plan.choices), "the same is fetched");
        // The predicted memory is the memory in use.
        let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
        let engine = block_on(load_quantized(&source, &[ENTRY.into()], device, None, choice.quant)).unwrap();
        let unused = chosen.memory.cache_per_token * u64::from(chosen.context.saturating_sub(1024));
        assert_eq!(engine.report().device_bytes, choice.memory - unused + 8);
    }
    assert!(plan.choices.windows(2).all(|pair| pair[0].memory > pair[1].memory), "{:?}", plan.choices);
}

#[test]
fn what_has_its_own_types_offers_no_choice() {
    let pair = Pair::random();
    let files = Memory([("m.gguf".into(), pair.language.bytes()), ("mmproj.gguf".into(), pair.vision.bytes())].into());
    let shards = converted(&Checkpoint::random(|_| ()).into_memory(), WeightType::Q8);
    let k = Folder::new(&golden("gguf"), None);
    let refused = |entry: &[&str], source: &dyn Fn(&[String]) -> Loader| {
        let entry: Vec<String> = entry.iter().map(|name| name.to_string()).collect();
        let mut loader = source(&entry);
        assert_eq!(block_on(loader.plan(None)).unwrap().choices, []);
        let error = loader.set_weight_type(Some(WeightType::Q4)).unwrap_err();
        assert!(error.kind == Kind::Argument && error.message.contains("types of their own"), "{error}");
        loader.set_weight_type(None).unwrap();
    };
    let device = || block_on(Device::open(BackendChoice::Cpu)).unwrap();
    refused(&[MANIFEST_FILE], &|entry| block_on(Loader::open(device(), &shards, entry, &now)).unwrap());
    refused(&["k.gguf", "k-mmproj.gguf"], &|entry| block_on(Loader::open(device(), &k, entry, &now)).unwrap());
    // A pair in f16 is a float checkpoint, too.
    let entry = ["m.gguf".to_string(), "mmproj.gguf".to_string()];
    let loader = block_on(Loader::open(device(), &files, &entry, &now)).unwrap();
    assert_eq!(block_on(loader.plan(None)).unwrap().choices.len(), 3);
}

#[test]
fn a_choice_comes_before_the_parts() {
    let source = Checkpoint::random(|_| ()).into_memory();
    let mut loader = open(&source);
    assert_eq!(loader.set_weight_type(Some(WeightType::Q4K)).unwrap_err().kind, Kind::Argument);
    let part = block_on(loader.plan(None)).unwrap().parts.remove(0);
    block_on(loader.push(0, &block_on(exactly(&source, &part.file, part.offset, part.bytes)).unwrap())).unwrap();
    assert_eq!(loader.set_weight_type(Some(WeightType::Q8)).unwrap_err().kind, Kind::State);
}

/// A value that the narrower type cannot hold is refused by name, with a hint.
#[test]
fn what_does_not_fit_is_refused_with_the_way_out() {
    let mut checkpoint = Checkpoint::random(|_| ());
    let (name, (_, values)) = checkpoint.tensors.iter_mut().find(|(name, _)| name.contains("linear_1.weight")).unwrap();
    let name = name.clone();
    values[40] = 1e6;
    let source = checkpoint.into_16_bits(Dtype::BF16);
    let loaded = |quant| {
        let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
        block_on(load_quantized(&source, &[ENTRY.into()], device, None, quant)).map(|_| ())
    };
    let error = loaded(Some(WeightType::Q8)).unwrap_err();
    assert!(error.kind == Kind::Tensor && error.place.contains(&name), "{error}");
    assert!(error.message.contains("beyond the largest f16") && error.hint.contains("as they are"), "{error}");
    loaded(None).unwrap();
}

/// Beside the pushed part, memory holds only its planes and 2 MiB of floats, for every choice.
#[test]
fn only_the_part_in_flight_is_in_memory() {
    const RUN: u64 = 2 << 20;
    let large = |c: &mut Value| {
        c["text_config"]["hidden_size"] = json!(1024);
        c["text_config"]["intermediate_size"] = json!(4096);
        c["text_config"]["num_hidden_layers"] = json!(1);
    };
    for dtype in [Dtype::F16, Dtype::BF16] {
        let source = Checkpoint::random(large).into_16_bits(dtype);
        for quant in [None, Some(WeightType::Q8), Some(WeightType::Q4)] {
            let mut loader = open(&source);
            loader.set_weight_type(quant).unwrap();
            let (parts, mut peak) = (block_on(loader.plan(None)).unwrap().parts, 0);
            let largest = parts.iter().map(|part| part.bytes).max().unwrap();
            assert!(largest > 4 << 20 && largest <= PART_BYTES, "{largest}");
            for (index, part) in parts.iter().enumerate() {
                let bytes = block_on(exactly(&source, &part.file, part.offset, part.bytes)).unwrap();
                let before = counting::held();
                let (pushed, most) = counting::measured(|| block_on(loader.push(index, &bytes)));
                pushed.unwrap();
                let stays = counting::held() - before;
                peak = peak.max(most as i64 - stays as i64 + bytes.len() as i64);
            }
            // Bytes of the widest planes per byte of the part.
            let bits = |t| stored_bytes(t, 1, 1024).unwrap();
            let exact = if dtype == Dtype::BF16 { WeightType::F32 } else { WeightType::F16 };
            let planes = largest * bits(quant.unwrap_or(exact)) / 2048;
            println!("{dtype:?} as {quant:?}: part {largest}, at most {peak} bytes at a time");
            assert!(peak as u64 <= largest + planes + RUN, "{dtype:?} as {quant:?}: {peak} for parts of {largest}");
        }
    }
}

/// `chat --quant` answers like `chat` with the output of `convert --quant`.
#[test]
fn the_command_line_says_the_same() {
    let directory = Scratch::new("quantise");
    std::fs::create_dir_all(directory.path()).unwrap();
    for (name, bytes) in Checkpoint::random(|_| ()).into_16_bits(Dtype::F16).0 {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let logits = Scratch::new("logits");
    let chat = |model: &std::path::Path, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chat"))
            .args(["--backend", "cpu", "--prompt", "what is it?", "--max-new-tokens", "4", "--ignore-eos", "--json"])
            .args(["--image".as_ref(), golden("wide.png").as_os_str(), "--model".as_ref(), model.as_os_str()])
            .args(["--logits".as_ref(), logits.path().as_os_str()])
            .args(more)
            .output()
            .unwrap();
        let json = serde_json::from_slice::<Value>(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned());
        json.map(|json| (json["ids"].clone(), std::fs::read(logits.path()).unwrap()))
    };
    for quant in ["q8", "q4"] {
        let out = Scratch::new(quant);
        let converted = Command::new(env!("CARGO_BIN_EXE_convert"))
            .args([directory.path(), out.path()])
            .args(["--quant", quant])
            .output()
            .unwrap();
        assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
        let wanted = chat(out.path(), &[]).unwrap();
        assert!(chat(directory.path(), &["--quant", quant]).unwrap() == wanted, "{quant}");
        assert!(chat(directory.path(), &[]).unwrap().1 != wanted.1, "{quant} changes something");
        let refused = chat(out.path(), &["--quant", quant]).unwrap_err();
        assert!(refused.contains("types of their own"), "{refused}");
    }
    let _ = std::fs::remove_file(logits.path());
}
