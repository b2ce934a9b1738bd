//! SmolLM2-135M in its published GGUF file, with a tiny random tower.

use super::Scratch;
use super::checkpoint::Checkpoint;
use super::pair::Pair;
use llava_web::device::Device;
use llava_web::engine::Engine;
use llava_web::native::{Folder, load};
use pollster::block_on;
use serde_json::json;
use std::path::Path;

/// The pair of the file and an mmproj of random weights, whose image embeds are about as large as the text embeds.
pub fn open(file: &Path, device: Device) -> Engine {
    let mut vision = Pair::of(&Checkpoint::random(|c| c["text_config"]["hidden_size"] = json!(576))).vision;
    for (tensor, values) in vision.tensors.iter_mut().filter(|(tensor, _)| tensor.name.ends_with(".weight")) {
        let scale = 1.0 / *tensor.shape.last().unwrap() as f32;
        values.iter_mut().for_each(|value| *value *= scale.sqrt());
    }
    for name in ["mm.2.weight", "mm.2.bias"] {
        vision.tensor(name).1.iter_mut().for_each(|value| *value *= 0.1);
    }
    let scratch = Scratch::new("smollm2");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let mmproj = scratch.path().join("mmproj.gguf");
    std::fs::write(&mmproj, vision.bytes()).unwrap();
    let (folder, entry) = Folder::locate(file, Some(&mmproj), None).unwrap();
    block_on(load(&folder, &entry, device, Some(512))).unwrap_or_else(|e| panic!("{e}"))
}
