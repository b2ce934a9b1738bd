//! The whole path, from picture file to greedy tokens, against the reference data of `shared/reference` (PyTorch
//! transformers, real LLaMA tokenizer). Reported as skipped where `LLAVA_REFERENCE` does not name that folder.

use crate::common::{Scratch, Talk, gpu_or_skip, nmse};
use llava_web::device::BackendChoice;
use llava_web::engine::{GenerateOptions, SilentObserver};
use llava_web::native::{load_model, read_file};
use pollster::block_on;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::process::Command;

fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("LLAVA_REFERENCE").map(PathBuf::from).filter(|p| p.join("tiny").is_dir());
    if path.is_none() {
        eprintln!("SKIPPED: LLAVA_REFERENCE does not name a folder made by shared/reference/setup.sh");
    }
    path
}

fn tensor<T: bytemuck::AnyBitPattern>(file: &SafeTensors, name: &str) -> Vec<T> {
    bytemuck::pod_collect_to_vec::<u8, u8>(file.tensor(name).unwrap().data())
        .chunks_exact(size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .collect()
}

fn check(root: &Path, model: &str, quant: &str, backend: BackendChoice) {
    let source = root.join("tiny").join(model);
    let scratch = Scratch::new(model);
    let mut convert = Command::new(env!("CARGO_BIN_EXE_convert"));
    convert.arg(&source).arg(scratch.path()).args(["--quant", quant]);
    assert!(convert.status().unwrap().success());
    let cases: serde_json::Value =
        serde_json::from_slice(&read_file(&source.join("golden/cases.json")).unwrap()).unwrap();
    let mut engine = block_on(load_model(scratch.path(), None, backend, None)).unwrap();
    for (name, case) in cases.as_object().unwrap() {
        let golden = read_file(&source.join(format!("golden/{name}.safetensors"))).unwrap();
        let golden = SafeTensors::deserialize(&golden).unwrap();
        let mut talk = Talk::default();
        for (index, image) in case["images"].as_array().unwrap().iter().enumerate() {
            let bytes = read_file(&root.join(format!("preproc/{}.png", image.as_str().unwrap()))).unwrap();
            talk.encode(&mut engine, &bytes).unwrap();
            for (stage, _, values) in block_on(engine.vision_outputs(&bytes)).unwrap() {
                let key = match stage {
                    "pixel_values" => "pixel_values",
                    "image_features" => "vision.selected",
                    _ => "projected",
                };
                let wanted: Vec<f32> = tensor(&golden, key);
                let wanted = &wanted[index * values.len()..][..values.len()];
                let error = nmse(&values, wanted);
                // The resize may differ by 1/255 from PIL per value; here it does not at all.
                assert!(error <= 1e-8, "{model} {quant} {name} {stage}: NMSE {error:e}");
            }
        }
        let options =
            GenerateOptions { max_new_tokens: 32, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
        let prompt = case["prompt"].as_str().unwrap();
        let answer = block_on(engine.generate_raw(prompt, &talk.pictures, &options, &mut SilentObserver)).unwrap();
        assert_eq!(answer.prompt_ids, tensor::<u32>(&golden, "input_ids"), "{model} {name}: prompt ids");
        let error = nmse(&answer.logits[0], &tensor::<f32>(&golden, "logits_last"));
        println!("NMSE {model} {quant} {} {name}: {error:.1e}", engine.report().backend);
        assert!(error <= 1e-7, "{model} {quant} {name}: logits NMSE {error:e}");
        let (greedy, margin) = (tensor::<u32>(&golden, "greedy"), tensor::<f32>(&golden, "greedy_margin"));
        let differs = (0..32).find(|i| answer.ids[*i] != greedy[*i]);
        assert!(differs.is_none_or(|i| margin[i] < 1e-3), "{model} {quant} {name}: ids {:?} {greedy:?}", answer.ids);
    }
}

#[test]
fn twins_equal_the_reference() {
    let Some(root) = reference() else { return };
    for (model, quant) in [("mha-q4x", "f32"), ("mha-q4x", "q4"), ("gqa-q4x", "q4"), ("gqa-f16", "f16")] {
        check(&root, model, quant, BackendChoice::Reference);
    }
}

#[test]
fn gpu_equals_the_reference() {
    let Some(root) = reference() else { return };
    if gpu_or_skip() {
        for (model, quant) in [("mha-q4x", "f32"), ("mha-q4x", "q4"), ("gqa-q4x", "q4"), ("gqa-f16", "f16")] {
            check(&root, model, quant, BackendChoice::Gpu);
        }
    }
}
