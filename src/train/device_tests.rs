//! Tests that the GPU computes what the CPU does: losses and gradients of one batch of every stage, ten steps of each,
//! and runs that stop on one device and go on on the other.
//!
//! A machine without any adapter fails them under `LLAVA_REQUIRE_GPU=1`; elsewhere they say that they did nothing.

use super::compare::{StageBatch, gradients, nmse, params};
use super::device::TrainingDevice;
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::model_shape::ModelShape;
use super::params::{Params, floats};
use super::run::RECIPES;
use crate::scenes::bpe;
use crate::scenes::scene::{TRAIN_SEED, sample};
use std::sync::Arc;

/// Largest normalised mean squared error of a gradient: both devices round f32 sums in other orders.
const NMSE: f64 = 1e-6;

/// Opens the GPU; `None` where there is none and none is required.
fn gpu() -> Option<TrainingDevice> {
    match TrainingDevice::gpu() {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            assert!(std::env::var("LLAVA_REQUIRE_GPU").is_err(), "{error}");
            eprintln!("not tested: {error}");
            None
        }
    }
}

/// A small shape whose sides are multiples of nothing in particular, so that partial tiles occur.
fn shape() -> ModelShape {
    ModelShape {
        image_size: 48,
        patch_size: 16,
        vision_width: 36,
        vision_layers: 3,
        vision_heads: 3,
        vision_mlp: 60,
        hidden: 40,
        layers: 2,
        heads: 2,
        mlp: 72,
        vocab: bpe::VOCAB_SIZE,
    }
}

/// Returns the first batch of each stage.
fn batches(shape: &ModelShape) -> Vec<StageBatch> {
    let tokenizer = Arc::new(bpe::train(1, 40).unwrap_or_else(|e| panic!("{e}")));
    let (shape, stage) = (shape.clone(), TrainingStage::Text);
    let sampler = DialogueSampler { shape, tokenizer, seed: TRAIN_SEED, stage, images: 2, scenes: sample };
    let first = |stage| StageBatch::first(stage, &sampler, 2).unwrap_or_else(|e| panic!("{e}"));
    (0..RECIPES.len()).map(first).collect()
}

/// Takes one step on `batch`; returns its loss.
fn step(stage: usize, params: &mut Params, shape: &ModelShape, batch: &StageBatch) -> f32 {
    let leaves = params.leaves(RECIPES[stage].trainable);
    let loss = batch.loss(&leaves, shape, params.device());
    let mut gradients = loss.backward();
    let value = floats(loss)[0];
    params.step(vec![leaves.gradients(&mut gradients)], 0.05, |_| 1e-3);
    value
}

#[test]
fn losses_and_gradients_of_every_stage_equal_the_cpus() {
    let Some(gpu) = gpu() else { return };
    let shape = shape();
    let (on_cpu, on_gpu) = (params(&shape, &TrainingDevice::cpu()), params(&shape, &gpu));
    for (stage, batch) in batches(&shape).iter().enumerate() {
        let name = RECIPES[stage].name;
        let (want, wanted) = gradients(stage, &on_cpu, &shape, batch);
        let (got, given) = gradients(stage, &on_gpu, &shape, batch);
        assert_eq!(wanted.keys().collect::<Vec<_>>(), given.keys().collect::<Vec<_>>(), "{name}");
        let error = nmse(&given, &wanted);
        let power: f64 = wanted.values().flatten().map(|&g| f64::from(g).powi(2)).sum();
        eprintln!("{name}: loss {want} and {got}, NMSE of {} gradients {error:.1e}", wanted.len());
        assert!(want.is_finite() && (want - got).abs() <= 1e-4 * want.abs(), "{name}: {want} {got}");
        assert!(power > 1e-6 && error <= NMSE, "{name}: {error} of {power}");
    }
}

#[test]
fn ten_steps_of_every_stage_stay_together() {
    let Some(gpu) = gpu() else { return };
    let shape = shape();
    let mut both = [params(&shape, &TrainingDevice::cpu()), params(&shape, &gpu)];
    for (stage, batch) in batches(&shape).iter().enumerate() {
        let curves = both.each_mut().map(|params| {
            params.reset_optimizer();
            (0..10).map(|_| step(stage, params, &shape, batch)).collect::<Vec<f32>>()
        });
        let name = RECIPES[stage].name;
        eprintln!("{name}: {curves:.4?}");
        assert!(curves[0][9] < curves[0][0], "{name}: {curves:?}");
        // AdamW divides by the root of the second moment: where a gradient is near zero, its rounding is a whole step.
        for (a, b) in curves[0].iter().zip(&curves[1]) {
            assert!((a - b).abs() <= 1e-3 * a.abs(), "{name}: {curves:?}");
        }
    }
}

/// A run that stops on one device goes on on the other as if it had stayed.
#[test]
fn a_run_stopped_on_one_device_resumes_on_the_other() {
    let Some(gpu) = gpu() else { return };
    let (shape, cpu, stage) = (shape(), TrainingDevice::cpu(), RECIPES.len() - 1);
    let Some(batch) = batches(&shape).pop() else { panic!("no stage") };
    for (first, second) in [(&cpu, &gpu), (&gpu, &cpu)] {
        let mut stayed = params(&shape, first);
        let three = |params: &mut Params| (0..3).map(|_| step(stage, params, &shape, &batch)).collect::<Vec<f32>>();
        three(&mut stayed);
        let path = std::env::temp_dir().join(format!("llava-web-resume-{}-{}", std::process::id(), first.gpu));
        stayed.save(&path, "3 1", |_| true).unwrap_or_else(|e| panic!("{e}"));
        let mut moved = params(&shape, second);
        assert_eq!(moved.load(&path).unwrap_or_default(), "3 1");
        std::fs::remove_file(&path).ok();
        let (a, b) = (three(&mut stayed), three(&mut moved));
        let values = |params: &Params| params.values().map(|(name, _, v)| (name.to_owned(), v)).collect();
        let error = nmse(&values(&moved), &values(&stayed));
        eprintln!("from {} to {}: losses {a:?} and {b:?}, NMSE of the parameters {error:.1e}", first.name, second.name);
        assert!(error <= NMSE && (a[0] - b[0]).abs() <= 1e-5 * a[0], "{error} {a:?} {b:?}");
    }
}
