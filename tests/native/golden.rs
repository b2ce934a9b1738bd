//! The engine against PyTorch transformers, stage by stage, on the tiny models of `tests/golden`.
//!
//! `mha` is exact in q4, `gqa` in q8 (see `generate.py`): the f32 engine and the engine on weights quantised to
//! that type must both reproduce the reference to rounding. Each runs on the CPU twins and on the GPU; and on the
//! fast CPU, which rounds activations to 8 bits where weights are integers, with tolerances of its own. `smolvlm` and
//! `siglip` (see `generate_idefics3.py`) are exact in f16, and in q8 where their rows fit it.

use crate::common::pair::{Pair, byte_level};
use llava_web::config::Config;
use llava_web::device::{BackendChoice, Device};
use llava_web::format::blueprint::Blueprint;
use llava_web::format::gguf::describe;
use llava_web::format::names::{canonical, expected};
use llava_web::model::Model;
use llava_web::model::load::WeightLoader;
use llava_web::native::{Folder, Threads};
use llava_web::pass::Call;
use llava_web::tuning::{Operands, Tuning, WorkgroupTile};
use pollster::block_on;
use safetensors::SafeTensors;
use std::collections::HashMap;

use crate::common::checkpoint::Checkpoint;
use crate::common::{Scratch, convert, convert_directory, golden_file, gpu_or_skip, nmse};

/// Stages must be this close: a few roundings of f32 (2⁻²⁴)² accumulated over two blocks.
const STAGE_NMSE: f64 = 1e-8;
/// Stages of SigLIP towers must be closer, so that the two forms of GELU are told apart: 5e-9 in `siglip`. Found: up to
/// 1.1e-11.
const SIGLIP_NMSE: f64 = 1e-10;
/// Logits come after the decoder, too.
const LOGITS_NMSE: f64 = 1e-7;
/// With activations of 8 bits: 2e-5 for each product (see `kernels::matmul`), amplified by random blocks with large
/// scores. Found: up to 3.4e-3 for a stage, 2e-3 for prompts, 2e-2 for single steps.
const INTEGER_NMSE: f64 = 5e-2;

/// With products of f16, 2e-6 each. Found: up to 3.2e-5 for a stage, from 3.4e-4 to below 1e-3 for the worst step.
const F16_NMSE: f64 = 1e-3;

/// Returns the bounds of stages and logits.
fn bounds(quant: &str, backend: BackendChoice, tuning: Tuning) -> (f64, f64) {
    let operands = match backend {
        BackendChoice::Cpu => Operands::Int8,
        _ => tuning.tile.map_or(Operands::F32, |tile| tile.operands),
    };
    match (quant, operands) {
        ("q4" | "q8", Operands::Int8) => (INTEGER_NMSE, INTEGER_NMSE),
        ("q4" | "q8", Operands::F16) => (F16_NMSE, F16_NMSE),
        _ => (STAGE_NMSE, LOGITS_NMSE),
    }
}

/// Prompts of a golden model, each with the pictures or tiles in it.
fn cases(model: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match model {
        "smolvlm" => &[("two", &["tall", "wide"]), ("text", &[])],
        "siglip" => &[("one", &["wide"])],
        _ => &[("one", &["wide"]), ("two", &["wide", "tall"]), ("text", &[])],
    }
}

struct Golden(HashMap<String, Vec<f32>>, HashMap<String, Vec<u32>>);

impl Golden {
    fn read(model: &str) -> Self {
        let bytes = golden_file(&format!("{model}/golden.safetensors"));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (mut floats, mut words) = (HashMap::new(), HashMap::new());
        for (name, view) in file.tensors() {
            match view.dtype() {
                safetensors::Dtype::F32 => drop(floats.insert(name, bytemuck::pod_collect_to_vec(view.data()))),
                _ => drop(words.insert(name, bytemuck::pod_collect_to_vec(view.data()))),
            }
        }
        Self(floats, words)
    }
    fn floats(&self, name: &str) -> &[f32] {
        &self.0[name]
    }
    fn words(&self, name: &str) -> &[u32] {
        &self.1[name]
    }
}

/// Fails unless `got` is close, and prints its error for the table of figures.
fn close(what: &str, got: &[f32], wanted: &[f32], bound: f64) {
    let error = nmse(got, wanted);
    println!("NMSE {what:50} {error:.1e}");
    assert!(error <= bound, "{what}: NMSE {error:e} above {bound:e}");
}

async fn load(directory: &std::path::Path, backend: BackendChoice, tuning: Tuning) -> Model {
    load_entry(directory, &["manifest.json".into()], backend, tuning).await
}

async fn load_entry(directory: &std::path::Path, entry: &[String], backend: BackendChoice, tuning: Tuning) -> Model {
    let blueprint = Blueprint::open(&Folder::new(directory, None), entry).await.unwrap();
    let (parts, config) = (blueprint.parts.clone(), &blueprint.config);
    let context = Model::longest_context(config, Model::usual_cache_type(config));
    let mut device = Device::open(backend).await.unwrap();
    device.set_tuning(tuning);
    // More threads than heads, and operations of all sizes. GPU and twins ignore the pool.
    device.set_thread_pool(Box::new(Threads::new(3)));
    let mut loader = WeightLoader::new(device, blueprint).await.unwrap();
    // Backwards: the order of the parts does not matter.
    for (index, part) in parts.iter().enumerate().rev() {
        let file = std::fs::read(directory.join(&part.file)).unwrap();
        loader.push(index, &file[part.offset as usize..][..part.bytes as usize]).await.unwrap();
    }
    loader.finish(context).await.unwrap().0
}

/// Replaces the n-th image token by the image embed id of the n-th row of the pictures in their slots.
fn input_ids(model: &Model, config: &Config, ids: &[u32]) -> Vec<u32> {
    let mut rows = 0;
    let mut input_id = |id: &u32| {
        if *id != config.image_token_index {
            return *id;
        }
        rows += 1;
        model.image_embed_id((rows - 1) / config.tile_rows(), (rows - 1) % config.tile_rows())
    };
    ids.iter().map(&mut input_id).collect()
}

async fn check_case(label: &str, bound: f64, model: &mut Model, golden: &Golden, case: &str, pictures: &[&str]) {
    let config = model.config.clone();
    let vocab = config.text.vocab_size as usize;
    for (slot, picture) in pictures.iter().enumerate() {
        model.encode(golden.floats(&format!("{picture}.pixel_values")), slot as u32).unwrap();
    }
    let ids = input_ids(model, &config, golden.words(&format!("{case}.ids")));
    // In two chunks, so that the second attends to a cache; the head computes the logits of each row in turn.
    let (mut got, cut) = (Vec::new(), ids.len() / 3);
    for row in 0..ids.len() {
        let (chunk, pos, row) = if row < cut { (&ids[..cut], 0, row) } else { (&ids[cut..], cut, row - cut) };
        model.prefill(chunk, pos as u32, Some(row as u32)).unwrap();
        got.extend(model.logits().await.unwrap());
    }
    close(&format!("{label} {case} logits"), &got, golden.floats(&format!("{case}.logits")), bound);

    let (greedy, margins) = (golden.words(&format!("{case}.greedy")), golden.floats(&format!("{case}.margin")));
    let steps = golden.floats(&format!("{case}.step_logits"));
    let mut call = Call::new(1, 0);
    model.sample(&call).unwrap();
    for (step, (token, margin)) in greedy.iter().zip(margins).enumerate() {
        let logits = model.logits().await.unwrap();
        // The last steps of some models are stored without their logits.
        let wanted = steps.chunks_exact(vocab).nth(step);
        let error = wanted.map_or(0.0, |wanted| nmse(&logits, wanted));
        assert!(error <= bound, "{label} {case} step {step}: NMSE {error:e}");
        let pending = model.start_token_read_back(step as u32);
        let chosen = model.device.finish_read_back(pending).await.unwrap()[0];
        if chosen != *token {
            let gap = wanted.map_or(*margin, |wanted| wanted[*token as usize] - wanted[chosen as usize]);
            // Two logits may change places when they are as close as the error that is allowed.
            let power = wanted.unwrap_or(&logits).iter().map(|x| x * x).sum::<f32>() / vocab as f32;
            let limit = if bound == LOGITS_NMSE { 1e-3 } else { 4.0 * (bound as f32 * power).sqrt() };
            assert!(
                gap < limit,
                "{label} {case} step {step}: {chosen} instead of {token}, {gap} below (margin {margin})"
            );
            return; // a tie in the reference: from here on the texts differ
        }
        call.pos = (ids.len() + step) as u32;
        call.step = step as u32 + 1;
        model.step(&call).unwrap();
    }
}

fn check(name: &str, quant: &str, backend: BackendChoice) {
    check_tuned(name, quant, backend, Tuning::default());
}

/// With the kernels of software adapters, and with those of real ones.
fn check_gpu(name: &str, quant: &str) {
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        check_tuned(name, quant, BackendChoice::Gpu, tuning);
    }
}

/// With the operand types that real adapters may multiply faster; reports those that the adapter lacks.
fn check_gpu_tiers(name: &str, quant: &str) {
    let features = block_on(Device::open(BackendChoice::Gpu)).unwrap().features();
    for operands in [Operands::F16, Operands::Int8] {
        let row_operands = if operands == Operands::Int8 { operands } else { Operands::F32 };
        let tile = Some(WorkgroupTile::new(64, 64, operands));
        let tuning = Tuning { row_operands, tile, ..Tuning::HARDWARE };
        if features.supports(operands) {
            check_tuned(name, quant, BackendChoice::Gpu, tuning);
        } else {
            eprintln!("SKIPPED: this adapter does not multiply {operands:?}");
        }
    }
}

fn check_tuned(name: &str, quant: &str, backend: BackendChoice, tuning: Tuning) {
    let directory = convert(name, quant);
    let model = block_on(load(directory.path(), backend, tuning));
    check_model(name, quant, model, bounds(quant, backend, tuning));
}

fn check_model(name: &str, quant: &str, mut model: Model, (stage, logits): (f64, f64)) {
    let golden = Golden::read(name);
    let exact = stage == STAGE_NMSE && matches!(name, "smolvlm" | "siglip");
    let stage = if exact { SIGLIP_NMSE } else { stage };
    block_on(async {
        let label = format!("{name} {quant} {} {}", model.device.backend(), model.device.adapter());
        for picture in ["wide", "tall"].into_iter().filter(|p| cases(name).iter().any(|(_, names)| names.contains(p))) {
            let pixel_values = golden.floats(&format!("{picture}.pixel_values"));
            let (features, embeds) = model.vision_outputs(pixel_values).await.unwrap();
            let wanted = |stage: &str| golden.floats(&format!("{picture}.{stage}"));
            close(&format!("{label} {picture} image_features"), &features, wanted("image_features"), stage);
            close(&format!("{label} {picture} image_embeds"), &embeds, wanted("image_embeds"), stage);
        }
        for (case, pictures) in cases(name) {
            check_case(&label, logits, &mut model, &golden, case, pictures).await;
        }
    });
}

#[test]
fn twins_f32_equal_transformers() {
    check("mha", "f32", BackendChoice::Reference);
    check("gqa", "f32", BackendChoice::Reference);
}

#[test]
fn twins_quantised_equal_transformers_on_the_same_weights() {
    check("mha", "q4", BackendChoice::Reference);
    check("gqa", "q8", BackendChoice::Reference);
    check("gqa", "f16", BackendChoice::Reference);
}

#[test]
fn siglip_towers_equal_transformers_on_twins_and_cpu() {
    for name in ["smolvlm", "siglip"] {
        for quant in ["f32", "f16", "q8"] {
            check(name, quant, BackendChoice::Reference);
            check(name, quant, BackendChoice::Cpu);
        }
    }
}

#[test]
fn siglip_towers_equal_transformers_on_the_gpu() {
    if gpu_or_skip() {
        for (name, quant) in [("smolvlm", "f32"), ("smolvlm", "q8"), ("siglip", "f32"), ("siglip", "q8")] {
            check_gpu(name, quant);
        }
    }
}

/// Every hidden state of SigLIP's tower, without and with the last norm; and the pixel shuffle.
#[test]
fn siglip_towers_give_the_states_of_transformers() {
    let (smolvlm, siglip) = (Golden::read("smolvlm"), Golden::read("siglip"));
    for layer in 0..3 {
        let directory = convert_changed("siglip", |config| config["vision_feature_layer"] = layer.into());
        let mut model = block_on(load(directory.path(), BackendChoice::Reference, Tuning::default()));
        let (features, _) = block_on(model.vision_outputs(siglip.floats("wide.pixel_values"))).unwrap();
        close(&format!("siglip layer {layer}"), &features, siglip.floats(&format!("hidden.{layer}")), SIGLIP_NMSE);
    }
    // The last norm is applied: the features are not the last block's output.
    let last = smolvlm.floats("hidden.2");
    assert!(nmse(smolvlm.floats("wide.image_features"), last) > 1e-2);
}

/// A golden checkpoint's tensors by canonical name.
fn checkpoint_of(model: &str) -> Checkpoint {
    let bytes = golden_file(&format!("{model}/model.safetensors"));
    let tensor = |(key, view): (String, safetensors::tensor::TensorView)| {
        let values = view.data().chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
        (canonical(&key), (view.shape().iter().map(|n| *n as u32).collect(), values))
    };
    Checkpoint {
        config: serde_json::from_slice(&golden_file(&format!("{model}/config.json"))).unwrap(),
        tensors: SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter().map(tensor).collect(),
        files: Default::default(),
    }
}

/// `smolvlm` as llama.cpp's converter writes it.
fn smolvlm_pair() -> Pair {
    let mut pair = Pair::of(&checkpoint_of("smolvlm"));
    byte_level(&mut pair.language, &golden_file("smolvlm/tokenizer.json"));
    let control: Vec<i32> = (0..302).map(|id| if id < 43 { 3 } else { 1 }).collect();
    pair.language.set("tokenizer.ggml.pre", "smollm".into());
    pair.language.set("tokenizer.ggml.add_bos_token", false.into());
    pair.language.set("tokenizer.ggml.eos_token_id", 42u32.into());
    pair.language.set("tokenizer.ggml.token_type", control.as_slice().into());
    pair.vision.rename("mm.0.weight", "mm.model.fc.weight");
    pair.vision.set("clip.projector_type", "idefics3".into());
    pair.vision.set("clip.use_gelu", true.into());
    pair.vision.set("clip.vision.projector.scale_factor", 2u32.into());
    // What the converter writes where config.json says nothing; 1e-6 is what transformers computes with.
    pair.vision.set("clip.vision.attention.layer_norm_epsilon", 1e-5f32.into());
    for key in ["image_mean", "image_std"] {
        pair.vision.set(&format!("clip.vision.{key}"), (&[0.5f32; 3][..]).into());
    }
    pair
}

/// `siglip` as a pair with the connector of LLaVA-1.5.
fn siglip_pair() -> Pair {
    let mut pair = Pair::of(&checkpoint_of("siglip"));
    pair.vision.set("clip.use_gelu", true.into());
    pair.vision.set("clip.vision.feature_layer", 2u32.into());
    // Absent, they are SigLIP's.
    ["image_mean", "image_std"].iter().for_each(|key| pair.vision.unset(&format!("clip.vision.{key}")));
    pair
}

fn config_of(pair: &Pair) -> Result<Config, llava_web::error::Error> {
    let d = describe(&pair.headers())?;
    Config::parse(&d.config, Some(&d.generation_config))
}

#[test]
fn pairs_with_a_siglip_tower_are_described_like_their_checkpoints() {
    for (name, pair) in [("smolvlm", smolvlm_pair()), ("siglip", siglip_pair())] {
        let theirs = Config::parse(&golden_file(&format!("{name}/config.json")), None).unwrap();
        let mut ours = config_of(&pair).unwrap();
        // A vocabulary's `<|im_end|>` ends an answer, too.
        ours.text.eos_token_ids.truncate(1);
        assert_eq!(ours, theirs, "{name}");
        let tensors = describe(&pair.headers()).unwrap().tensors;
        assert!(tensors.iter().map(|(e, _)| e).eq(&expected(&theirs)), "{name}");
    }
    let preprocessor = |pair: &Pair| -> serde_json::Value {
        serde_json::from_slice(&describe(&pair.headers()).unwrap().preprocessor_config).unwrap()
    };
    let mut pair = smolvlm_pair();
    // The converter's file says the same as the processor of the checkpoint.
    let theirs: serde_json::Value = serde_json::from_slice(&golden_file("smolvlm/preprocessor_config.json")).unwrap();
    assert_eq!(preprocessor(&pair), theirs);
    pair.vision.set("clip.vision.preproc_image_size", 44u32.into());
    assert_eq!(preprocessor(&pair)["size"]["longest_edge"], 44);
    assert_eq!(preprocessor(&siglip_pair())["image_mean"], serde_json::json!([0.5, 0.5, 0.5]));
    // Without its key, the factor follows from the matrix.
    pair.vision.unset("clip.vision.projector.scale_factor");
    assert_eq!(config_of(&pair).unwrap().tile_rows(), 4);
    let refused = |change: &dyn Fn(&mut Pair)| {
        let mut pair = smolvlm_pair();
        change(&mut pair);
        config_of(&pair).unwrap_err().to_string()
    };
    let factor = refused(&|p| p.vision.set("clip.vision.projector.scale_factor", 3u32.into()));
    assert!(factor.contains("scale_factor"), "{factor}");
    let fc = refused(&|p| p.vision.set("clip.vision.projector.scale_factor", 4u32.into()));
    assert!(fc.contains("mm.model.fc.weight") && fc.contains("[48, 768]"), "{fc}");
    let block = refused(&|p| p.vision.set("clip.vision.block_count", 3u32.into()));
    assert!(block.contains("v.blk.2") && block.contains("announces 3"), "{block}");
    let norm = refused(&|p| drop(p.vision.remove("v.post_ln.bias")));
    assert!(norm.contains("post_layernorm.bias"), "{norm}");
    let bias = refused(&|p| drop(p.vision.remove("v.patch_embd.bias")));
    assert!(bias.contains("v.patch_embd.bias"), "{bias}");
}

#[test]
fn pairs_with_a_siglip_tower_equal_transformers() {
    for (name, pair) in [("smolvlm", smolvlm_pair()), ("siglip", siglip_pair())] {
        let scratch = Scratch::new(name);
        std::fs::create_dir_all(scratch.path()).unwrap();
        for (file, bytes) in [("model.gguf", pair.language.bytes()), ("mmproj.gguf", pair.vision.bytes())] {
            std::fs::write(scratch.path().join(file), bytes).unwrap();
        }
        let entry = ["model.gguf".to_string(), "mmproj.gguf".to_string()];
        let mut runs = vec![(BackendChoice::Reference, Tuning::default()), (BackendChoice::Cpu, Tuning::default())];
        if gpu_or_skip() {
            runs.extend([Tuning::SOFTWARE, Tuning::HARDWARE].map(|tuning| (BackendChoice::Gpu, tuning)));
        }
        for (backend, tuning) in runs {
            let model = block_on(load_entry(scratch.path(), &entry, backend, tuning));
            check_model(name, "pair", model, (STAGE_NMSE, LOGITS_NMSE));
        }
    }
}

/// What distinguishes SigLIP from its neighbours is no matter of rounding.
#[test]
fn the_comparison_notices_another_tower() {
    let golden = Golden::read("siglip");
    let differs = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let directory = convert_changed("siglip", change);
        let mut model = block_on(load(directory.path(), BackendChoice::Reference, Tuning::default()));
        let (features, _) = block_on(model.vision_outputs(golden.floats("wide.pixel_values"))).unwrap();
        let error = nmse(&features, golden.floats("wide.image_features"));
        assert!(error > 2.0 * SIGLIP_NMSE, "{what}: {error:e}");
    };
    differs("GELU by erf", &|config| config["vision_config"]["hidden_act"] = "gelu".into());
    differs("another epsilon", &|config| config["vision_config"]["layer_norm_eps"] = 1e-3.into());
    differs("the last block but one", &|config| config["vision_feature_layer"] = (-2).into());
}

#[test]
fn cpu_equals_transformers_within_its_tolerance() {
    for quant in ["f32", "q4"] {
        check("mha", quant, BackendChoice::Cpu);
    }
    for quant in ["f32", "q8", "f16"] {
        check("gqa", quant, BackendChoice::Cpu);
    }
}

#[test]
fn gpu_f32_equals_transformers() {
    if gpu_or_skip() {
        check_gpu("mha", "f32");
        check_gpu("gqa", "f32");
    }
}

#[test]
fn gpu_quantised_equals_transformers_on_the_same_weights() {
    if gpu_or_skip() {
        check_gpu("mha", "q4");
        check_gpu("gqa", "q8");
        check_gpu("gqa", "f16");
    }
}

#[test]
fn gpu_with_f16_and_integer_products_equals_transformers_within_their_tolerances() {
    if gpu_or_skip() {
        check_gpu_tiers("mha", "q4");
        check_gpu_tiers("gqa", "q8");
    }
}

/// A copy of the golden checkpoint with `config.json` changed, converted to f32.
fn convert_changed(model: &str, change: impl FnOnce(&mut serde_json::Value)) -> Scratch {
    let source = Scratch::new("changed");
    std::fs::create_dir_all(source.path()).unwrap();
    for file in ["model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
        std::fs::write(source.path().join(file), golden_file(&format!("{model}/{file}"))).unwrap();
    }
    let mut config = serde_json::from_slice(&golden_file(&format!("{model}/config.json"))).unwrap();
    change(&mut config);
    std::fs::write(source.path().join("config.json"), config.to_string()).unwrap();
    convert_directory(source.path(), "f32")
}

#[test]
fn every_layer_and_strategy_of_the_tower_can_be_selected() {
    let golden = Golden::read("mha");
    let pixel_values = golden.floats("wide.pixel_values");
    for (layer, state) in [(-1, 3), (-2, 2), (1, 1), (0, 0)] {
        for strategy in ["default", "full"] {
            let directory = convert_changed("mha", |config| {
                config["vision_feature_layer"] = layer.into();
                config["vision_feature_select_strategy"] = strategy.into();
            });
            let mut model = block_on(load(directory.path(), BackendChoice::Reference, Tuning::default()));
            let (features, _) = block_on(model.vision_outputs(pixel_values)).unwrap();
            let wanted = golden.floats(&format!("hidden.{state}"));
            let class_row = if strategy == "full" { 0 } else { model.config.vision.hidden_size as usize };
            close(&format!("layer {layer} {strategy}"), &features, &wanted[class_row..], STAGE_NMSE);
        }
    }
}

#[test]
fn the_linear_connector_is_one_matrix() {
    let checkpoint = golden_file("mha/model.safetensors");
    let checkpoint = SafeTensors::deserialize(&checkpoint).unwrap();
    let f16 = |name: &str| -> Vec<f32> {
        let bytes = checkpoint.tensor(&format!("multi_modal_projector.linear_1.{name}")).unwrap().data();
        bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
    };
    let (weight, bias) = (f16("weight"), f16("bias"));
    let source = Scratch::new("linear");
    std::fs::create_dir_all(source.path()).unwrap();
    let kept: Vec<_> = checkpoint.tensors().into_iter().filter(|(name, _)| !name.contains("linear_2")).collect();
    std::fs::write(source.path().join("model.safetensors"), safetensors::serialize(kept, None).unwrap()).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&golden_file("mha/config.json")).unwrap();
    config["mm_projector_type"] = "linear".into();
    std::fs::write(source.path().join("config.json"), config.to_string()).unwrap();
    std::fs::write(source.path().join("tokenizer.json"), golden_file("mha/tokenizer.json")).unwrap();
    let directory = convert_directory(source.path(), "f32");
    let mut model = block_on(load(directory.path(), BackendChoice::Reference, Tuning::default()));
    let golden = Golden::read("mha");
    let (features, embeds) = block_on(model.vision_outputs(golden.floats("wide.pixel_values"))).unwrap();
    let c = model.config.vision.hidden_size as usize;
    let row = |x: &[f32]| -> Vec<f32> {
        let output = |(w, b): (&[f32], &f32)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
        weight.chunks_exact(c).zip(&bias).map(output).collect()
    };
    let wanted: Vec<f32> = features.chunks_exact(c).flat_map(row).collect();
    close("linear connector", &embeds, &wanted, STAGE_NMSE);
}

#[test]
fn the_comparison_notices_a_wrong_weight_type() {
    // `gqa` is not exact in q4: the same checks must fail there.
    let failed = std::panic::catch_unwind(|| check("gqa", "q4", BackendChoice::Reference));
    assert!(failed.is_err(), "q4 weights that differ from the reference's passed");
}
