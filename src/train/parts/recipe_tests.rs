//! The two stages from a data file to an exported model, on the tiny parts of `tests/golden/parts`.

use super::super::device::{DeviceChoice, TrainingDevice};
use super::data::{LlavaData, Reader};
use super::lora::{LoraPlan, TARGETS};
use super::recipe::{PartsChoice, PartsPlan, open, train, trained};
use super::{export, score};
use crate::format::files::MANIFEST_FILE;
use crate::prompt::Template;
use crate::quant::WeightType;
use crate::scenes::llava_format;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn choice(lora: bool) -> PartsChoice {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parts");
    let targets = TARGETS.map(str::to_owned).to_vec();
    let lora = lora.then_some(LoraPlan { rank: 2, alpha: 4.0, targets });
    PartsChoice { tower: golden.join("clip"), decoder: golden.join("llama"), template: None, lora, seed: 1 }
}

/// Six steps of stage 1, and with `instructions` four of stage 2.
fn plan(out: &Path, data: &Path, lora: bool, instructions: bool) -> PartsPlan {
    let [captions, later] = ["captions.json", "instructions.json"].map(|name| Some(data.join(name)));
    PartsPlan {
        out: out.to_owned(),
        choice: choice(lora),
        data: [captions, later.filter(|_| instructions)],
        images: data.join("images"),
        batches: [4, 4],
        micro: 2,
        rates: [1e-2, 1e-3],
        connector_rate: 1e-4,
        steps: Some([6, 4]),
        length: 1024,
        workers: 2,
        data_threads: 2,
        device: DeviceChoice::Cpu,
        save_every: 240.0,
    }
}

fn scenes(name: &str) -> PathBuf {
    let base = std::env::temp_dir().join(format!("llava-web-recipe-{name}-{}", std::process::id()));
    llava_format::write(3, 12, &base.join("data")).unwrap();
    base
}

#[test]
fn stages_train_what_they_should_and_a_second_call_goes_on() {
    let cpu = TrainingDevice::cpu();
    for lora in [false, true] {
        let base = scenes(if lora { "lora" } else { "whole" });
        let (data, once, twice) = (base.join("data"), base.join("once"), base.join("twice"));
        train(&plan(&once, &data, lora, true)).unwrap();
        train(&plan(&twice, &data, lora, false)).unwrap();
        let first = trained(&twice, &cpu).unwrap();
        assert_eq!(first.2, Some("stage1"));
        train(&plan(&twice, &data, lora, true)).unwrap();
        let (mut parts, _, last) = trained(&once, &cpu).unwrap();
        assert_eq!(last, Some("stage2"));
        let (again, ..) = trained(&twice, &cpu).unwrap();
        let fresh = open(&choice(lora), &cpu).unwrap();
        for name in parts.params.names() {
            let [a, b, before, middle] = [&parts, &again, &fresh, &first.0].map(|parts| parts.params.get(name));
            assert_eq!(a, b, "{name}: one call and two calls");
            let connector = name.starts_with("multi_modal");
            assert_eq!(middle != before, connector, "{name}: stage 1");
            let learns = if lora { name.contains(".lora_") } else { name.starts_with("language_model") };
            assert_eq!(a != middle, connector || learns, "{name}: stage 2");
        }
        // Another choice in the same folder is refused.
        assert!(train(&plan(&once, &data, !lora, true)).is_err());
        export::hub(&mut parts, &base.join("hub")).unwrap();
        export::shards(&base.join("hub"), &base.join("shards"), WeightType::Q8, "tiny").unwrap();
        assert!(base.join("shards").join(MANIFEST_FILE).exists());
        std::fs::remove_dir_all(&base).ok();
    }
}

#[test]
fn scores_count_every_answer() {
    let base = scenes("score");
    let (data, cpu) = (base.join("data"), TrainingDevice::cpu());
    let scores = [false, true].map(|blank| {
        let parts = open(&choice(false), &cpu).unwrap();
        score::score(parts, &data.join("captions.json"), &data.join("images"), 0, 5, blank).unwrap()
    });
    for s in scores {
        assert!(s.answers == 5 && s.tokens > 50 && s.right < s.tokens && s.whole == 0, "{s:?}");
        assert!(s.loss.is_finite() && s.loss > 0.0, "{s:?}");
    }
    assert_ne!(scores[0].loss, scores[1].loss);
    std::fs::remove_dir_all(&base).ok();
}

#[test]
fn broken_pictures_are_counted_and_named() {
    let base = scenes("broken");
    let images = base.join("data/images");
    std::fs::remove_file(images.join("000002.png")).unwrap();
    std::fs::write(images.join("000004.png"), b"no picture").unwrap();
    let parts = open(&choice(false), &TrainingDevice::cpu()).unwrap();
    let (config, tokenizer) = (Arc::new(parts.config), Arc::new(parts.tokenizer));
    let reader = Reader { config, tokenizer, template: Template::Plain, length: 512 };
    let data = LlavaData::open(&base.join("data/captions.json"), &images).unwrap();
    let read: Vec<bool> = (0..data.len()).map(|i| data.sample(i, &reader).unwrap().is_some()).collect();
    assert_eq!(read.iter().filter(|&&read| !read).count(), 2);
    assert!(!read[2] && !read[4]);
    let skipped = data.skipped.lock().unwrap();
    assert_eq!(skipped.count, 2);
    assert!(skipped.names[0].starts_with("000002.png: ") && skipped.names[1].starts_with("000004.png: "));
    std::fs::remove_dir_all(&base).ok();
}
