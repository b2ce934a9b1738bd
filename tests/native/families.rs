//! Relatives of LLaVA-1.5 from a picture's file to the answer, against PyTorch transformers: the rows of a picture in
//! the prompt, the image embeds, the logits, the tokens. Each runs on the reference kernels, on the CPU and on the GPU.

use llava_web::device::BackendChoice;
use llava_web::engine::{Engine, Event, GenerateOptions, Observer, SilentObserver};
use llava_web::error::Kind;
use llava_web::native::load_model;
use llava_web::prompt::Message;
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Talk, golden, golden_file, gpu_or_skip, next_checkpoint, nmse};

/// A few roundings of f32, accumulated over two blocks, as in golden.rs.
const EMBEDS_NMSE: f64 = 1e-8;
const LOGITS_NMSE: f64 = 1e-7;
/// A pixel value may differ by one level of 255 of the picture, divided by the smallest standard deviation.
const PIXEL: f32 = 1.0 / 255.0 / 0.26;
/// Two logits nearer than this may change places by rounding.
const MARGIN: f32 = 1e-3;

#[derive(Deserialize)]
struct Cases {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    /// With an `<image>` for each picture.
    prompt: String,
    /// The text alone, for the model's own template.
    question: Option<String>,
    images: Vec<String>,
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data())
}

fn words(file: &SafeTensors, name: &str) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data())
}

/// Compares the model in `directory` with the golden data of `family` on every backend.
fn check(family: &str, directory: &Path) {
    let bytes = golden_file(&format!("{family}/golden.safetensors"));
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let Cases { cases } = serde_json::from_slice(&golden_file(&format!("{family}/cases.json"))).unwrap();
    for backend in [BackendChoice::Reference, BackendChoice::Cpu, BackendChoice::Gpu] {
        if backend == BackendChoice::Gpu && !gpu_or_skip() {
            continue;
        }
        let mut engine = block_on(load_model(directory, None, backend, None)).unwrap();
        let label = format!("{family} {backend:?}");
        for picture in golden.names().iter().filter_map(|name| name.strip_suffix(".image_embeds")) {
            check_picture(&label, &mut engine, &golden, picture);
        }
        for (name, case) in &cases {
            check_case(&label, &mut engine, &golden, name, case);
        }
    }
}

fn check_picture(label: &str, engine: &mut Engine, golden: &SafeTensors, picture: &str) {
    let stages = block_on(engine.vision_outputs(&golden_file(&format!("{picture}.png")))).unwrap();
    for (stage, _, got) in stages {
        let name = format!("{picture}.{stage}");
        if golden.tensor(&name).is_err() {
            continue;
        }
        let wanted = floats(golden, &name);
        assert_eq!(got.len(), wanted.len(), "{label} {name}");
        if stage == "pixel_values" {
            let worst = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= PIXEL, "{label} {name}: {worst}");
        } else {
            let error = nmse(&got, &wanted);
            println!("NMSE {label:24} {name:24} {error:.1e}");
            assert!(error <= EMBEDS_NMSE, "{label} {name}: NMSE {error:e}");
        }
    }
}

fn check_case(label: &str, engine: &mut Engine, golden: &SafeTensors, name: &str, case: &Case) {
    let pictures: Vec<_> = case.images.iter().map(|picture| golden_file(&format!("{picture}.png"))).collect();
    let talk = Talk::about(engine, &pictures);
    let greedy = words(golden, &format!("{name}.greedy"));
    let options = GenerateOptions {
        max_new_tokens: greedy.len() as u32,
        ignore_eos: true,
        keep_logits: true,
        ..GenerateOptions::default()
    };
    let answer = block_on(engine.generate_raw(&case.prompt, &talk.pictures, &options, &mut SilentObserver)).unwrap();
    assert_eq!(answer.prompt_ids, words(golden, &format!("{name}.ids")), "{label} {name}: ids of the prompt");
    let wanted = floats(golden, &format!("{name}.step_logits"));
    let mut worst = 0.0f64;
    for (step, (got, wanted)) in answer.logits.iter().zip(wanted.chunks_exact(answer.logits[0].len())).enumerate() {
        worst = worst.max(nmse(got, wanted));
        assert!(worst <= LOGITS_NMSE, "{label} {name}, step {step}: NMSE {worst:e}");
    }
    println!("NMSE {label:24} {:24} {worst:.1e}", format!("{name} logits"));
    let margins = floats(golden, &format!("{name}.margin"));
    for (step, ((got, wanted), margin)) in answer.ids.iter().zip(&greedy).zip(margins).enumerate() {
        if got != wanted {
            assert!(margin < MARGIN, "{label} {name}: token {step} is {got}, not {wanted} (margin {margin})");
            break;
        }
    }
    assert_eq!(answer.ids.len(), greedy.len());
}

/// SmolVLM cuts a picture into tiles, with marks between them.
#[test]
fn smolvlm_equals_transformers() {
    check("smolvlm_prompts", &golden("smolvlm"));
    check_questions("smolvlm_prompts", &golden("smolvlm"));
}

/// llava-interleave: a SigLIP tower, a two-layer connector, a Qwen2 decoder, pictures stretched to a square.
#[test]
fn llava_interleave_equals_transformers() {
    check("interleave", &golden("interleave"));
    check_questions("interleave", &golden("interleave"));
}

/// The model's own template puts the ids around a question that transformers' template does.
fn check_questions(family: &str, directory: &Path) {
    let bytes = golden_file(&format!("{family}/golden.safetensors"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let Cases { cases } = serde_json::from_slice(&golden_file(&format!("{family}/cases.json"))).unwrap();
    let mut engine = block_on(load_model(directory, None, BackendChoice::Cpu, None)).unwrap();
    for (name, Case { question, images, .. }) in cases {
        let pictures: Vec<_> = images.iter().map(|picture| golden_file(&format!("{picture}.png"))).collect();
        let mut talk = Talk::about(&mut engine, &pictures);
        let options = GenerateOptions { max_new_tokens: 1, ..GenerateOptions::default() };
        let answer = talk.ask(&mut engine, &question.unwrap(), &options);
        assert_eq!(answer.prompt_ids, words(&file, &format!("{name}.ids")), "{family} {name}: ids of the template");
    }
}

/// One tile, the smallest of the offered sizes, takes fewer rows; the same picture is encoded anew.
#[test]
fn a_smaller_picture_has_fewer_tiles() {
    let mut engine = block_on(load_model(&golden("smolvlm"), None, BackendChoice::Cpu, None)).unwrap();
    let picture = golden_file("wide.png");
    let mut encode = |edge: Option<u32>| {
        edge.iter().for_each(|edge| engine.set_longest_edge(*edge).unwrap());
        let encoded = block_on(engine.encode(&picture, &[], &mut SilentObserver)).unwrap();
        (encoded.tiles, encoded.rows, encoded.reused)
    };
    // The whole picture and three marks; a tile and two marks, with the end of a line after each row.
    let rows = |rows: u32, columns: u32| (4 + 3) + rows * (columns * (4 + 2) + 1);
    assert_eq!(encode(None), (13, rows(3, 4), false));
    assert_eq!(encode(Some(44)), (5, rows(2, 2), false));
    assert_eq!(encode(Some(22)), (1, rows(0, 0), false));
    assert_eq!(encode(None), (1, rows(0, 0), true));
    let error = engine.set_longest_edge(30).unwrap_err();
    assert!(error.message.contains("no multiple of 22"), "{error}");
}

/// An observer that cancels at the first pause.
struct Cancel;

impl Observer for Cancel {
    fn event(&mut self, _: Event) {}
    async fn pause(&mut self) -> bool {
        true
    }
}

/// Between two tiles an encode can be cancelled: the picture is not on the device then, and the next encode gives it.
#[test]
fn an_encode_can_be_cancelled_between_tiles() {
    let mut engine = block_on(load_model(&golden("smolvlm"), None, BackendChoice::Cpu, None)).unwrap();
    let picture = golden_file("wide.png");
    let cancelled = block_on(engine.encode(&picture, &[], &mut Cancel)).unwrap();
    assert!(cancelled.cancelled);
    let about = [Message::user(std::slice::from_ref(&cancelled.id), "how many?")];
    assert_eq!(engine.missing_pictures(&about).unwrap(), [&cancelled.id[..]]);
    let options = GenerateOptions { max_new_tokens: 4, ..GenerateOptions::default() };
    assert_eq!(block_on(engine.generate(&about, &options, &mut SilentObserver)).unwrap_err().kind, Kind::Prompt);
    let alone = Talk::default().ask(&mut engine, "how many?", &options);
    assert!(alone.prompt_ids.len() < 50, "no picture: {} rows", alone.prompt_ids.len());
    assert!(!block_on(engine.encode(&picture, &[], &mut SilentObserver)).unwrap().cancelled);
    let seen = block_on(engine.generate(&about, &options, &mut SilentObserver)).unwrap();
    assert!(seen.prompt_ids.len() > 80);
}

/// LLaVA-1.6 reads a picture in tiles: the checkpoint `mha`, and `image_newline` in a second file.
#[test]
fn llava_next_equals_transformers() {
    check("next", next_checkpoint().path());
}
