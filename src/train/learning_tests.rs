//! Tests that the float model learns and that the conversations of a batch are independent. Tiny sizes: seconds.

use super::decoder::{self, DialogueBatch};
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::model_shape::ModelShape;
use super::params::{Params, floats};
use super::{tower, tower_batches};
use crate::scenes::bpe;
use crate::scenes::scene::{TRAIN_SEED, sample, scene_rng};
use burn::tensor::Device;
use std::sync::Arc;

fn tiny() -> (ModelShape, Params, DialogueSampler) {
    let shape = ModelShape {
        image_size: 32,
        patch_size: 16,
        vision_width: 32,
        vision_layers: 2,
        vision_heads: 2,
        vision_mlp: 64,
        hidden: 32,
        layers: 2,
        heads: 2,
        mlp: 64,
        vocab: bpe::VOCAB_SIZE,
    };
    let mut params = Params::new(Device::flex());
    let mut rng = scene_rng(TRAIN_SEED, u64::MAX);
    tower::init(&mut params, &shape, &mut rng);
    decoder::init(&mut params, &shape, &mut rng);
    let tokenizer = match bpe::train(1, 40) {
        Ok(tokenizer) => Arc::new(tokenizer),
        Err(e) => panic!("{e}"),
    };
    let sampler = DialogueSampler {
        shape: shape.clone(),
        tokenizer,
        seed: TRAIN_SEED,
        stage: TrainingStage::Instructions,
        images: 2,
        scenes: sample,
    };
    (shape, params, sampler)
}

fn batch(sampler: &DialogueSampler, index: u64) -> DialogueBatch {
    sampler.batch(index).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_few_conversations_are_learned_by_heart() {
    let (shape, mut params, sampler) = tiny();
    let (device, batch) = (params.device().clone(), batch(&sampler, 0));
    let mut losses = Vec::new();
    for _ in 0..150 {
        let leaves = params.leaves(|name| !name.starts_with("clip_") && !name.starts_with("vision_tower"));
        let loss = decoder::loss(&leaves, &shape, &batch, &device);
        let mut gradients = loss.backward();
        losses.push(floats(loss)[0]);
        params.step(vec![leaves.gradients(&mut gradients)], 0.0, |_| 1e-2);
    }
    assert!(losses[0] > 5.0 && losses[149] < 0.1, "{} → {}", losses[0], losses[149]);
}

#[test]
fn the_contrastive_loss_falls() {
    let (shape, mut params, sampler) = tiny();
    let device = params.device().clone();
    let batch = tower_batches::batch(&shape, &sampler.tokenizer, TRAIN_SEED, 0, 4).unwrap_or_else(|e| panic!("{e}"));
    let mut losses = Vec::new();
    for _ in 0..60 {
        let leaves = params.leaves(|name| !name.starts_with("language_model"));
        let (loss, _) = tower::loss(&leaves, &shape, &batch, &device);
        let mut gradients = loss.backward();
        losses.push(floats(loss)[0]);
        params.step(vec![leaves.gradients(&mut gradients)], 0.0, |_| 5e-3);
    }
    assert!(losses[59] < losses[0] * 0.3, "{} → {}", losses[0], losses[59]);
}

#[test]
fn conversations_that_share_a_picture_do_not_see_each_other() {
    let (shape, params, sampler) = tiny();
    let (device, leaves) = (params.device().clone(), params.leaves(|_| false));
    let mut all = batch(&sampler, 0);
    let together = floats(decoder::logits(&leaves, &shape, &all, &device));
    // The same rows when every other conversation says something else.
    let kept: Vec<usize> = (0..all.rows.len()).filter(|&i| all.rows[i] < all.length as i32).collect();
    assert!(!kept.is_empty() && kept.len() < all.rows.len());
    all.ids[all.length..].iter_mut().for_each(|id| *id = 7);
    let apart = floats(decoder::logits(&leaves, &shape, &all, &device));
    let rows = |logits: &[f32]| {
        kept.iter().flat_map(|&i| logits[i * shape.vocab..][..shape.vocab].to_vec()).collect::<Vec<_>>()
    };
    let worst = rows(&together).iter().zip(rows(&apart)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn a_checkpoint_gives_back_parameters_and_moments() {
    let (shape, mut params, sampler) = tiny();
    let (device, batch) = (params.device().clone(), batch(&sampler, 1));
    let step = |params: &mut Params| {
        let leaves = params.leaves(|name| name.starts_with("language_model"));
        let mut gradients = decoder::loss(&leaves, &shape, &batch, &device).backward();
        params.step(vec![leaves.gradients(&mut gradients)], 0.0, |_| 1e-2);
    };
    step(&mut params);
    let path = std::env::temp_dir().join(format!("llava-web-checkpoint-{}.safetensors", std::process::id()));
    params.save(&path, "1 2.5", |_| true).unwrap_or_else(|e| panic!("{e}"));
    let (_, mut other, _) = tiny();
    assert_eq!(other.load(&path).unwrap_or_default(), "1 2.5");
    std::fs::remove_file(&path).ok();
    step(&mut params);
    step(&mut other);
    for ((name, _, a), (_, _, b)) in params.values().zip(other.values()) {
        assert_eq!(a, b, "{name}");
    }
}
