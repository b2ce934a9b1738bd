//! Comparison of the devices at the shipped model's sizes: loss and gradients of one batch of every stage, steps per
//! second, and the share of the matmul rate that a step reaches.

use super::data_parallel::{GradientWorkers, WorkerGradients};
use super::decoder::{self, DialogueBatch, ImageInput};
use super::device::TrainingDevice;
use super::dialogue_batches::{DialogueSampler, TrainingStage};
use super::model_shape::ModelShape;
use super::params::{Leaves, Params, floats};
use super::run::{RECIPES, StageRecipe};
use super::tower::{self, TowerBatch};
use super::tower_batches;
use crate::error::Result;
use crate::measure::normalised_error;
use crate::scenes::bpe;
use crate::scenes::scene::{TRAIN_SEED, sample, scene_rng};
use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// What is compared.
pub struct Comparison {
    /// The devices; the first one is the reference of the gradients.
    pub devices: Vec<TrainingDevice>,
    /// Multiples of the default batch.
    pub times: Vec<usize>,
    /// Least time per figure, seconds.
    pub seconds: f64,
    /// Gradient workers on the CPU.
    pub workers: usize,
    /// Whether losses and gradients are compared.
    pub parity: bool,
    /// Names of the stages that are timed.
    pub stages: Vec<String>,
}

/// Pictures per worker and step in the recipe: in the tower stage, and in the others.
const PICTURES: [usize; 2] = [16, 5];

/// One batch of any stage.
#[derive(Clone)]
pub enum StageBatch {
    /// Of the contrastive stage.
    Tower(TowerBatch),
    /// Of the others.
    Dialogue(DialogueBatch),
}

impl StageBatch {
    /// Makes the first batch of stage `stage` with `images` pictures.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn first(stage: usize, sampler: &DialogueSampler, images: usize) -> Result<Self> {
        let of = |stage| DialogueSampler { stage, images, ..sampler.clone() }.batch(0).map(Self::Dialogue);
        match stage {
            0 => tower_batches::batch(&sampler.shape, &sampler.tokenizer, sampler.seed, 0, images).map(Self::Tower),
            1 => of(TrainingStage::Text),
            2 => of(TrainingStage::Captions),
            _ => of(TrainingStage::Instructions),
        }
    }

    /// Computes its loss.
    pub fn loss(&self, leaves: &Leaves, shape: &ModelShape, device: &Device) -> Tensor<1> {
        match self {
            Self::Tower(batch) => tower::loss(leaves, shape, batch, device).0,
            Self::Dialogue(batch) => decoder::loss(leaves, shape, batch, device),
        }
    }

    /// Counts the floating-point operations of the matmuls of a step that trains `stage`: two per multiplication and
    /// addition, forward, for the gradient of the weights where they are trained, and for the gradient of the input
    /// where something before them is.
    pub fn operations(&self, stage: usize, params: &Params, s: &ModelShape) -> f64 {
        let trainable = RECIPES[stage].trainable;
        let (p, c) = (s.patches(), s.vision_width);
        let tower_learns = params.names().any(|name| name.starts_with("vision_tower") && trainable(name));
        let mut total = 0.0;
        for name in params.names() {
            let Some([k, n]) = params.shape(name) else { continue };
            // Norms, biases and tables that are looked up.
            if k == 1 || name.contains("embed_tokens") || name.contains("position_embed") || name == "clip_text.embed" {
                continue;
            }
            let rows = match self {
                Self::Tower(b) if name.starts_with("vision_tower") => b.images * (p + 1),
                Self::Tower(b) if name.starts_with("clip_text.layer") => b.captions.ids.len() + b.phrases.ids.len(),
                Self::Tower(b) if name == "clip_region.weight" => b.images * p,
                Self::Tower(_) => 0,
                Self::Dialogue(b) => rows_of(b, name, s),
            };
            let own = f64::from(u8::from(trainable(name)));
            let entry = name == super::whitening::BASIS || name.contains("linear_1");
            let first = name.contains("patch_embedding") || entry && !tower_learns;
            let frozen = name.starts_with("vision_tower") && !tower_learns;
            let input = f64::from(u8::from(!first && !frozen));
            total += 2.0 * (rows * k * n) as f64 * (1.0 + own + input);
        }
        // Scores and mixtures of the values: each twice as much backward.
        let attention = |sequences: usize, queries: usize, keys: usize, width: usize, layers: usize, passes: f64| {
            4.0 * (sequences * queries * keys * width * layers) as f64 * passes
        };
        total += match self {
            Self::Tower(b) => attention(b.images, p + 1, p + 1, c, s.vision_layers, 3.0),
            Self::Dialogue(b) => {
                let (tp, l) = (prefix_rows(b, s), b.length);
                let seen = matches!(b.image_input, ImageInput::Patches(_));
                let passes = if tower_learns { 3.0 } else { 1.0 };
                let tower = if seen { attention(b.images, p + 1, p + 1, c, s.vision_layers - 1, passes) } else { 0.0 };
                tower
                    + attention(b.images, tp, tp, s.hidden, s.layers, 3.0)
                    + attention(b.images * b.branches, l, tp + l, s.hidden, s.layers, 3.0)
            }
        };
        total
    }
}

/// Rows before the conversations of a picture.
fn prefix_rows(b: &DialogueBatch, s: &ModelShape) -> usize {
    b.lead.len()
        + match &b.image_input {
            ImageInput::Patches(_) => s.patches(),
            ImageInput::Description(texts) => texts.length,
        }
}

/// Rows that the matrix `name` is multiplied with.
fn rows_of(b: &DialogueBatch, name: &str, s: &ModelShape) -> usize {
    let seen = usize::from(matches!(b.image_input, ImageInput::Patches(_)));
    let all = b.images * prefix_rows(b, s) + b.ids.len();
    let last = format!("layers.{}.", s.layers - 1);
    // The last block's queries, keys and values are of all rows; what comes after is of the predicted ones.
    let late = name.contains(&last) && ["o_proj", "mlp"].iter().any(|part| name.contains(part));
    if name == decoder::HEAD || name.starts_with("language_model") && late {
        return b.rows.len();
    }
    if name.starts_with("language_model") {
        return all;
    }
    if name.starts_with("multi_modal") || name == super::whitening::BASIS {
        return seen * b.images * s.patches();
    }
    let unused = name.contains(&format!("layers.{}.", s.vision_layers - 1)) || name.starts_with("clip_");
    if unused { 0 } else { seen * b.images * (s.patches() + 1) }
}

/// Makes the parameters of a model on `device`.
pub fn params(shape: &ModelShape, device: &TrainingDevice) -> Params {
    let mut params = device.params();
    let mut rng = scene_rng(TRAIN_SEED, u64::MAX);
    tower::init(&mut params, shape, &mut rng);
    decoder::init(&mut params, shape, &mut rng);
    params
}

/// Loss and gradients by name.
type Gradients = (f32, BTreeMap<String, Vec<f32>>);

/// Computes loss and gradients of a batch.
pub fn gradients(stage: usize, params: &Params, shape: &ModelShape, batch: &StageBatch) -> Gradients {
    let leaves = params.leaves(RECIPES[stage].trainable);
    let loss = batch.loss(&leaves, shape, params.device());
    let mut gradients = loss.backward();
    let named = leaves.gradients(&mut gradients).into_iter().map(|(name, g)| (name, floats(g))).collect();
    (floats(loss)[0], named)
}

/// Returns the normalised mean squared error of `got`.
pub fn nmse(got: &BTreeMap<String, Vec<f32>>, want: &BTreeMap<String, Vec<f32>>) -> f64 {
    let of = |name: &String, len: usize| got.get(name).filter(|got| got.len() == len);
    if want.iter().any(|(name, want)| of(name, want.len()).is_none()) {
        return f64::INFINITY;
    }
    let pairs = want.iter().flat_map(|(name, want)| got[name].iter().zip(want));
    normalised_error(pairs.map(|(g, w)| [f64::from(*g), f64::from(*w)]))
}

/// Prints the comparison.
///
/// # Errors
/// When a batch cannot be made or a device fails.
pub fn compare(comparison: &Comparison) -> Result<()> {
    let shape = ModelShape::shipped();
    let (tokenizer, seed) = (Arc::new(bpe::train(1, 300)?), TRAIN_SEED);
    let sampler = DialogueSampler {
        shape: shape.clone(),
        tokenizer,
        seed,
        stage: TrainingStage::Text,
        images: 1,
        scenes: sample,
    };
    let mut all: Vec<Params> = comparison.devices.iter().map(|d| params(&shape, d)).collect();
    let mut rates = Vec::new();
    for device in &comparison.devices {
        rates.push(matmul_rate(device, comparison.seconds)?);
        println!("{}: matmul 2048³ f32 {:.1} GFLOP/s", device.name, rates[rates.len() - 1] / 1e9);
    }
    if comparison.parity {
        for (stage, recipe) in RECIPES.iter().enumerate() {
            let batch = StageBatch::first(stage, &sampler, 2)?;
            let results: Vec<Gradients> = all.iter().map(|p| gradients(stage, p, &shape, &batch)).collect();
            let (want, others) = (&results[0], &results[1..]);
            for (device, got) in comparison.devices[1..].iter().zip(others) {
                let error = nmse(&got.1, &want.1);
                println!(
                    "{}: loss {} and {}, NMSE of gradients {error:.1e} ({})",
                    recipe.name, want.0, got.0, device.name
                );
            }
        }
    }
    println!(
        "{:<8} {:<28} {:>9} {:>10} {:>10} {:>8}",
        "stage", "device", "pictures", "steps/s", "pictures/s", "matmul"
    );
    let timed = |recipe: &StageRecipe| comparison.stages.iter().any(|name| name == recipe.name);
    for (stage, recipe) in RECIPES.iter().enumerate().filter(|(_, recipe)| timed(recipe)) {
        for &times in &comparison.times {
            for ((device, params), rate) in comparison.devices.iter().zip(&mut all).zip(&rates) {
                let images = PICTURES[usize::from(stage > 0)] * times;
                let (seconds, operations, images) = step(comparison, device, params, &sampler, stage, images)?;
                println!(
                    "{:<8} {:<28.28} {images:>9} {:>10.2} {:>10.1} {:>6.1} %",
                    recipe.name,
                    device.name,
                    1.0 / seconds,
                    images as f64 / seconds,
                    100.0 * operations / seconds / rate
                );
            }
        }
    }
    Ok(())
}

/// Times a step: gradients of `workers` batches of `images` pictures on the CPU, of one batch of all of them on a GPU,
/// and the update. Returns the least seconds, the operations of its matmuls, and its pictures.
fn step(
    comparison: &Comparison,
    device: &TrainingDevice,
    params: &mut Params,
    sampler: &DialogueSampler,
    stage: usize,
    images: usize,
) -> Result<(f64, f64, usize)> {
    let count = if device.gpu { 1 } else { comparison.workers };
    let each = images * comparison.workers / count;
    let parts = vec![StageBatch::first(stage, sampler, each)?; count];
    let operations = parts.iter().map(|part| part.operations(stage, params, &sampler.shape)).sum();
    let workers = GradientWorkers::new(count)?;
    let (started, mut least, mut steps) = (Instant::now(), f64::INFINITY, 0);
    // The first step compiles kernels.
    while steps < 3 || started.elapsed().as_secs_f64() < comparison.seconds {
        let began = Instant::now();
        let work = |part: StageBatch| {
            let leaves = params.leaves(RECIPES[stage].trainable);
            let loss = part.loss(&leaves, &sampler.shape, params.device());
            let mut gradients = loss.backward();
            WorkerGradients { gradients: leaves.gradients(&mut gradients), losses: floats(loss), tokens: 0 }
        };
        let parts = parts.clone();
        let outcomes = device.gradients(&workers, parts, work);
        params.step(outcomes.into_iter().map(|o| o.gradients).collect(), 0.0, |_| 1e-6);
        device.wait()?;
        least = least.min(began.elapsed().as_secs_f64());
        steps += 1;
    }
    params.reset_optimizer();
    Ok((least, operations, each * count))
}

/// Measures Burn's matmul of 2048³, operations per second.
fn matmul_rate(device: &TrainingDevice, seconds: f64) -> Result<f64> {
    // A software adapter takes minutes for more.
    let n = 2048;
    let a: Tensor<2> = Tensor::ones([n, n], &device.device);
    let (started, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 3 || started.elapsed().as_secs_f64() < seconds {
        let began = Instant::now();
        drop(a.clone().matmul(a.clone()));
        device.wait()?;
        least = least.min(began.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(2.0 * (n as f64).powi(3) / least)
}
