//! The float model of imported parts: tower, connector and decoder of any configuration that the engine reads with
//! LLaVA-1.5's connector.
//!
//! Tower and decoder are those of [`tower`](super::super::tower) and [`decoder`](super::super::decoder) with what real
//! checkpoints need besides: SigLIP, grouped queries, biases of Qwen2, other epsilons and rotary bases, tied heads,
//! softmax that cannot overflow.

use super::super::layers::{join_heads, layer_norm_with, linear, quick_gelu, rms_norm_with, split_heads};
use super::super::params::{Leaves, Matrix};
use super::batches::SequenceBatch;
use super::lora;
use crate::config::{Activation, Config, TextConfig};
use crate::format::names::{
    EMBED_TOKENS, LM_HEAD, PATCH_EMBEDDING,
    llava::{
        CLASS_EMBEDDING, NORM, PATCH_BIAS, POSITION_EMBEDDING, PRE_LAYRNORM, connector_linear, decoder_block,
        vision_block,
    },
};
use burn::tensor::{Device, Int, Tensor, TensorData, activation, module};

/// Added to a score that the causal mask hides.
const HIDDEN: f32 = -1e9;

fn activate(x: Matrix, kind: Activation) -> Matrix {
    match kind {
        Activation::QuickGelu => quick_gelu(x),
        Activation::Gelu => activation::gelu(x),
        Activation::GeluTanh => activation::gelu_approximate(x),
        Activation::Relu => activation::relu(x),
    }
}

/// Removes `.weight` from a name.
fn stem(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

/// Computes softmax attention: `softmax(q kᵀ + mask) · v`.
fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<4>>) -> Tensor<4> {
    let scores = q.matmul(k.swap_dims(2, 3));
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    activation::softmax(scores, 3).matmul(v)
}

/// Computes the features of `images` pictures given as patches.
///
/// # Shapes
/// `[I · P, 3 · p · p]` → `[I · R, C]` with `R` rows per picture ([`Config::feature_rows`]).
pub fn image_features(p: &Leaves, config: &Config, patches: Matrix, images: usize) -> Matrix {
    let v = &config.vision;
    let (c, n, rows) = (v.hidden_size as usize, v.patches() as usize, v.rows() as usize);
    let mut embedded = patches.matmul(p.get(PATCH_EMBEDDING));
    if v.tower.has_patch_bias() {
        embedded = embedded + p.get(PATCH_BIAS);
    }
    let mut x: Tensor<3> = embedded.reshape([images, n, c]);
    if v.tower.has_class_row() {
        let class: Tensor<3> = p.get(CLASS_EMBEDDING).reshape([1, 1, c]);
        x = Tensor::cat(vec![class.expand([images, 1, c]), x], 1);
    }
    let position: Tensor<3> = p.get(POSITION_EMBEDDING).reshape([1, rows, c]);
    let mut x: Matrix = (x + position).reshape([images * rows, c]);
    let eps = f64::from(v.layer_norm_eps);
    if v.tower.has_pre_norm() {
        x = layer_norm_with(p, PRE_LAYRNORM, x, eps);
    }
    let heads = v.num_attention_heads as usize;
    let scale = (v.head_dim() as f32).powf(-0.5);
    for block in (0..config.vision_blocks).map(vision_block) {
        let normed = layer_norm_with(p, &block.layer_norm1, x.clone(), eps);
        let [q, k, value] = [0, 1, 2].map(|i| linear(p, &block.attention[i], normed.clone(), true));
        let split = |x: Matrix| split_heads(x, images, heads);
        let mixed = join_heads(attention(split(q.mul_scalar(scale)), split(k), split(value), None));
        x = x + linear(p, &block.attention[3], mixed, true);
        let normed = layer_norm_with(p, &block.layer_norm2, x.clone(), eps);
        let hidden = activate(linear(p, &block.fc1, normed, true), v.hidden_act);
        x = x + linear(p, &block.fc2, hidden, true);
    }
    let first = usize::from(v.tower.has_class_row() && !config.keep_class_row);
    let x: Tensor<3> = x.reshape([images, rows, c]);
    x.slice([0..images, first..rows]).reshape([images * (rows - first), c])
}

/// Computes image embeds: linear, exact GELU, linear.
///
/// # Shapes
/// `[I · R, C]` → `[I · R, H]`.
pub fn connect(p: &Leaves, features: Matrix) -> Matrix {
    let hidden = activation::gelu(linear(p, &connector_linear(1), features, true));
    linear(p, &connector_linear(2), hidden, true)
}

/// Cosines and sines of the rotary embedding, `[1, 1, L, D]`.
struct Rope(Tensor<4>, Tensor<4>);

impl Rope {
    fn new(t: &TextConfig, length: usize, device: &Device) -> Self {
        let (size, half) = (t.head_dim as usize, t.head_dim as usize / 2);
        // In f32, as transformers computes them.
        let angle = |i: usize| {
            let frequency = 1.0 / t.rope_theta.powf((2 * (i % size % half)) as f32 / size as f32);
            (i / size) as f32 * frequency
        };
        let table = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (0..length * size).map(|i| f(angle(i))).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, length, size]), device)
        };
        Self(table(f32::cos), table(f32::sin))
    }

    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, n, l, d] = x.dims();
        let half = d / 2;
        let (low, high) = (x.clone().slice([0..b, 0..n, 0..l, 0..half]), x.clone().slice([0..b, 0..n, 0..l, half..d]));
        x * self.0.clone() + Tensor::cat(vec![high.neg(), low], 3) * self.1.clone()
    }
}

/// Returns the causal mask for `groups` query heads that share a key head, `[1, 1, groups · L, L]`.
fn causal(length: usize, groups: usize, device: &Device) -> Tensor<4> {
    let hidden = |i: usize| if i % length > i / length % length { HIDDEN } else { 0.0 };
    let values: Vec<f32> = (0..groups * length * length).map(hidden).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, groups * length, length]), device)
}

/// Computes the input embeds of a batch: text embeds, with the image embeds in their places.
fn input_embeds(p: &Leaves, config: &Config, b: &SequenceBatch, device: &Device) -> Matrix {
    let (h, n) = (config.text.hidden_size as usize, b.ids.len());
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(b.ids.clone(), [1, n]), device);
    let text: Matrix = module::embedding(p.get(EMBED_TOKENS), ids).reshape([n, h]);
    if b.images == 0 {
        return text;
    }
    let columns = 3 * (config.vision.patch_size as usize).pow(2);
    let rows = b.patches.len() / columns;
    let patches = Tensor::from_data(TensorData::new(b.patches.clone(), [rows, columns]), device);
    let image = connect(p, image_features(p, config, patches, b.images));
    let places: Tensor<1, Int> = Tensor::from_data(TensorData::new(b.places.clone(), [n]), device);
    Tensor::cat(vec![text, image], 0).select(0, places)
}

/// Computes the logits at the batch's `rows`.
///
/// # Shapes
/// → `[rows, V]`.
pub fn logits(p: &Leaves, config: &Config, b: &SequenceBatch, device: &Device) -> Matrix {
    let t = &config.text;
    let (length, sequences) = (b.length, b.ids.len() / b.length);
    let [heads, shared, size] = [t.num_attention_heads, t.num_key_value_heads, t.head_dim].map(|n| n as usize);
    let (groups, eps) = (heads / shared, f64::from(t.rms_norm_eps));
    let (rope, mask) = (Rope::new(t, length, device), causal(length, groups, device));
    let at: Tensor<1, Int> = Tensor::from_data(TensorData::new(b.rows.clone(), [b.rows.len()]), device);
    let mut x = input_embeds(p, config, b, device);
    for i in 0..t.num_hidden_layers {
        let block = decoder_block(i);
        let normed = rms_norm_with(p, stem(&block.input_layernorm), x.clone(), eps);
        let project = |which: usize, heads: usize| {
            let y = lora::linear(p, stem(&block.attention[which]), normed.clone(), t.attention_bias);
            split_heads(y, sequences, heads)
        };
        let q = rope.apply(project(0, heads).mul_scalar((size as f32).powf(-0.5)));
        let (k, v) = (rope.apply(project(1, shared)), project(2, shared));
        // Query heads that share a key head are further rows of it.
        let q = q.reshape([sequences, shared, groups * length, size]);
        let mixed = attention(q, k, v, Some(mask.clone())).reshape([sequences, heads, length, size]);
        let mut mixed = join_heads(mixed);
        if i + 1 == t.num_hidden_layers {
            // After the last attention only the requested rows are needed.
            (x, mixed) = (x.select(0, at.clone()), mixed.select(0, at.clone()));
        }
        x = x + lora::linear(p, stem(&block.attention[3]), mixed, false);
        let normed = rms_norm_with(p, stem(&block.post_attention_layernorm), x.clone(), eps);
        let gate = lora::linear(p, stem(&block.gate_proj), normed.clone(), false);
        let up = lora::linear(p, stem(&block.up_proj), normed, false);
        let gated = activation::silu(gate) * up;
        x = x + lora::linear(p, stem(&block.down_proj), gated, false);
    }
    let x = rms_norm_with(p, stem(NORM), x, eps);
    match t.tie_word_embeddings {
        true => x.matmul(p.get(EMBED_TOKENS).transpose()),
        false => x.matmul(p.get(LM_HEAD)),
    }
}

/// Computes the sum of the cross-entropies of the batch's `targets`, divided by `total`: the number of targets in all
/// batches of a step, so that their gradients add up to that of the mean.
pub fn loss(p: &Leaves, config: &Config, b: &SequenceBatch, total: usize, device: &Device) -> Tensor<1> {
    let n = b.targets.len();
    let targets: Tensor<1, Int> = Tensor::from_data(TensorData::new(b.targets.clone(), [n]), device);
    let logits = logits(p, config, b, device);
    let chosen = logits.clone().gather(1, targets.reshape([n, 1]));
    let peak = logits.clone().detach().max_dim(1);
    let sums = (logits - peak.clone()).exp().sum_dim(1).log() + peak;
    (sums - chosen).sum().div_scalar(total as f32)
}
