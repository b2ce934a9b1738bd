//! The CLIP vision tower and the small text tower of contrastive training.
//!
//! There are two contrastive losses. In the first (CLIP's), the class token of a picture must match its caption among
//! the captions of the batch. In the second, the patch at an object's centre must match the object's phrases among the
//! phrases of the batch, and a patch far from every centre must match "nothing". The second takes patches from the
//! layer that LLaVA reads (`hidden_states[-2]`), so that image features name the object at their place.

use super::layers::{clip_block, cross_entropy, l2_normalize, layer_norm, linear};
use super::model_shape::ModelShape;
use super::params::{Leaves, Matrix, Params};
use burn::tensor::{Device, Int, Tensor, TensorData, module};
use rand_chacha::ChaCha8Rng;

const TOWER: &str = "vision_tower.vision_model";
const TEXT: &str = "clip_text";

/// Token ids of several texts, padded to one length.
#[derive(Debug, Clone, Default)]
pub struct TokenBatch {
    /// `[texts · length]`, 0 where padded.
    pub ids: Vec<i32>,
    /// Tokens per text, padding included.
    pub length: usize,
    /// Number of texts.
    pub count: usize,
}

/// One softmax of the region loss: patch rows against a range of phrases.
#[derive(Debug, Clone, Default)]
pub struct ContrastiveGroup {
    /// Patch rows, `image · P + patch`.
    pub rows: Vec<i32>,
    /// The phrase that each row must match, counted from `first`.
    pub targets: Vec<i32>,
    /// First phrase of the group.
    pub first: usize,
    /// Phrases in the group.
    pub count: usize,
    /// Weight in the loss.
    pub weight: f32,
}

/// A batch of the contrastive stage.
#[derive(Clone)]
pub struct TowerBatch {
    /// `[B · P, 3 · p · p]` pixel values by patch.
    pub patches: Vec<f32>,
    /// `B`, pictures.
    pub images: usize,
    /// One caption per picture.
    pub captions: TokenBatch,
    /// Phrases of all groups.
    pub phrases: TokenBatch,
    /// Groups of the region loss.
    pub groups: Vec<ContrastiveGroup>,
}

/// Initializes the tower's parameters, and those of the contrastive stage alone (`clip_*`).
pub fn init(p: &mut Params, s: &ModelShape, rng: &mut ChaCha8Rng) {
    let c = s.vision_width;
    p.normal(format!("{TOWER}.embeddings.class_embedding"), [1, c], 0.02, rng);
    let pixels = 3 * s.patch_size * s.patch_size;
    p.normal(format!("{TOWER}.embeddings.patch_embedding.weight"), [pixels, c], 0.02, rng);
    p.set(format!("{TOWER}.embeddings.position_embedding.weight"), [s.patches() + 1, c], positions(s));
    norm(p, &format!("{TOWER}.pre_layrnorm"), c);
    norm(p, &format!("{TOWER}.post_layernorm"), c);
    for i in 0..s.vision_layers {
        block(p, &format!("{TOWER}.encoder.layers.{i}"), c, s.vision_mlp, s.vision_layers, rng);
    }
    p.normal(format!("{TEXT}.embed"), [s.vocab, c], 0.05, rng);
    p.normal(format!("{TEXT}.position_embed"), [64, c], 0.02, rng);
    block(p, &format!("{TEXT}.layer"), c, 2 * c, 1, rng);
    norm(p, &format!("{TEXT}.norm"), c);
    for name in ["image", "region", "text"] {
        p.normal(format!("clip_{name}.weight"), [c, c], (c as f32).powf(-0.5), rng);
    }
    // CLIP's initial temperature, 0.07.
    p.constant("clip_scale".to_owned(), [1, 1], (1.0f32 / 0.07).ln());
}

/// Returns the initial position embeddings, sines and cosines over the grid, `[P + 1, C]`; they are trained.
fn positions(s: &ModelShape) -> Vec<f32> {
    let (c, across) = (s.vision_width, s.image_size / s.patch_size);
    let mut values = vec![0.0; c];
    for patch in 0..s.patches() {
        let at = [(patch / across) as f32, (patch % across) as f32];
        values.extend((0..c).map(|i| {
            // A quarter of the channels each: sine and cosine of the row and of the column.
            let (axis, wave) = (i % 2, i / 4);
            let frequency = std::f32::consts::PI * 20f32.powf(-(wave as f32) / (c / 4) as f32);
            let phase = at[axis] * frequency;
            0.5 * if i / 2 % 2 == 0 { phase.sin() } else { phase.cos() }
        }));
    }
    values
}

/// Initializes a LayerNorm to the identity.
fn norm(p: &mut Params, name: &str, width: usize) {
    p.constant(format!("{name}.weight"), [1, width], 1.0);
    p.constant(format!("{name}.bias"), [1, width], 0.0);
}

/// Initializes one CLIP block.
fn block(p: &mut Params, name: &str, c: usize, mlp: usize, layers: usize, rng: &mut ChaCha8Rng) {
    let deviation = (c as f32).powf(-0.5) * 0.7;
    let residual = deviation / (2.0 * layers as f32).sqrt();
    for which in ["q", "k", "v", "out"] {
        let deviation = if which == "out" { residual } else { deviation };
        p.normal(format!("{name}.self_attn.{which}_proj.weight"), [c, c], deviation, rng);
        p.constant(format!("{name}.self_attn.{which}_proj.bias"), [1, c], 0.0);
    }
    p.normal(format!("{name}.mlp.fc1.weight"), [c, mlp], deviation, rng);
    p.constant(format!("{name}.mlp.fc1.bias"), [1, mlp], 0.0);
    p.normal(format!("{name}.mlp.fc2.weight"), [mlp, c], residual, rng);
    p.constant(format!("{name}.mlp.fc2.bias"), [1, c], 0.0);
    norm(p, &format!("{name}.layer_norm1"), c);
    norm(p, &format!("{name}.layer_norm2"), c);
}

/// The tower's outputs for a batch of pictures.
pub struct Features {
    /// `hidden_states[-2]` without the class row, `[B · P, C]`: LLaVA's image features.
    pub patches: Matrix,
    /// `post_layernorm` of the class row, `[B, C]`; on request.
    pub class: Option<Matrix>,
}

/// Computes the tower over `images` pictures given as patches `[B · P, 3 · p · p]`.
pub fn features(p: &Leaves, s: &ModelShape, patches: Matrix, images: usize, with_class: bool) -> Features {
    let (c, n) = (s.vision_width, s.patches());
    let embedded = patches.matmul(p.get(&format!("{TOWER}.embeddings.patch_embedding.weight")));
    let class: Tensor<3> = p.get(&format!("{TOWER}.embeddings.class_embedding")).reshape([1, 1, c]);
    let rows = Tensor::cat(vec![class.expand([images, 1, c]), embedded.reshape([images, n, c])], 1);
    let position: Tensor<3> = p.get(&format!("{TOWER}.embeddings.position_embedding.weight")).reshape([1, n + 1, c]);
    let mut x: Matrix = (rows + position).reshape([images * (n + 1), c]);
    x = layer_norm(p, &format!("{TOWER}.pre_layrnorm"), x);
    let last = s.vision_layers - 1;
    for i in 0..last {
        x = clip_block(p, &format!("{TOWER}.encoder.layers.{i}"), x, images, s.vision_heads, None);
    }
    let states: Tensor<3> = x.clone().reshape([images, n + 1, c]);
    let selected = states.slice([0..images, 1..n + 1]).reshape([images * n, c]);
    let class = with_class.then(|| {
        let x = clip_block(p, &format!("{TOWER}.encoder.layers.{last}"), x, images, s.vision_heads, None);
        let class: Tensor<3> = x.reshape([images, n + 1, c]).slice([0..images, 0..1]);
        layer_norm(p, &format!("{TOWER}.post_layernorm"), class.reshape([images, c]))
    });
    Features { patches: selected, class }
}

/// Computes text embeddings of unit length `[texts, C]`: one block, then the mean over unpadded tokens.
fn embed_texts(p: &Leaves, s: &ModelShape, texts: &TokenBatch, device: &Device) -> Matrix {
    let (n, t, c) = (texts.count, texts.length, s.vision_width);
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(texts.ids.clone(), [n, t]), device);
    let real: Vec<f32> = texts.ids.iter().map(|&id| f32::from(u8::from(id != 0))).collect();
    let hide: Vec<f32> = real.iter().map(|r| (r - 1.0) * 1e4).collect();
    let mask: Tensor<4> = Tensor::from_data(TensorData::new(hide, [n, 1, 1, t]), device);
    let share: Vec<f32> = real
        .chunks(t)
        .flat_map(|row| {
            let sum: f32 = row.iter().sum::<f32>().max(1.0);
            row.iter().map(move |r| r / sum)
        })
        .collect();
    let share: Tensor<3> = Tensor::from_data(TensorData::new(share, [n, 1, t]), device);
    let positions: Tensor<3> = p.get(&format!("{TEXT}.position_embed")).slice([0..t, 0..c]).reshape([1, t, c]);
    let x = (module::embedding(p.get(&format!("{TEXT}.embed")), ids) + positions).reshape([n * t, c]);
    let x = clip_block(p, &format!("{TEXT}.layer"), x, n, s.vision_heads, Some(mask));
    let mean: Tensor<3> = share.matmul(x.reshape([n, t, c]));
    let x = layer_norm(p, &format!("{TEXT}.norm"), mean.reshape([n, c]));
    l2_normalize(linear(p, "clip_text", x, false))
}

/// Computes the loss of one batch and its parts: caption, then each group.
pub fn loss(p: &Leaves, s: &ModelShape, batch: &TowerBatch, device: &Device) -> (Tensor<1>, Vec<Tensor<1>>) {
    let pixels = 3 * s.patch_size * s.patch_size;
    let shape = [batch.images * s.patches(), pixels];
    let patches = Tensor::from_data(TensorData::new(batch.patches.clone(), shape), device);
    let features = features(p, s, patches, batch.images, true);
    let scale = p.get("clip_scale").clamp_max(4.6).exp();
    let mut parts = Vec::new();
    let mut total: Option<Tensor<1>> = None;
    if let Some(class) = features.class {
        let images = l2_normalize(linear(p, "clip_image", class, false));
        let captions = embed_texts(p, s, &batch.captions, device);
        let logits = images.matmul(captions.transpose()) * scale.clone();
        let order: Vec<i32> = (0..batch.images as i32).collect();
        let order: Tensor<1, Int> = Tensor::from_data(TensorData::new(order, [batch.images]), device);
        let both = cross_entropy(logits.clone(), order.clone()) + cross_entropy(logits.transpose(), order);
        let part = both.mul_scalar(0.5);
        parts.push(part.clone());
        total = Some(part.mul_scalar(0.3));
    }
    let phrases = embed_texts(p, s, &batch.phrases, device);
    let regions = l2_normalize(linear(p, "clip_region", features.patches, false));
    for group in batch.groups.iter().filter(|g| !g.rows.is_empty()) {
        let n = group.rows.len();
        let index = |v: &[i32]| -> Tensor<1, Int> { Tensor::from_data(TensorData::new(v.to_vec(), [n]), device) };
        let chosen = regions.clone().select(0, index(&group.rows));
        let texts = phrases.clone().slice([group.first..group.first + group.count, 0..s.vision_width]);
        let part = cross_entropy(chosen.matmul(texts.transpose()) * scale.clone(), index(&group.targets));
        parts.push(part.clone());
        let weighted = part.mul_scalar(group.weight);
        total = Some(match total {
            Some(total) => total + weighted,
            None => weighted,
        });
    }
    (total.unwrap_or_else(|| Tensor::zeros([1], device)), parts)
}
