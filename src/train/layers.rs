//! Layers that the tower and the decoder share: linear layers, norms, activations, attention.
//!
//! Rows of all sequences lie in one matrix `[R, C]`, so that every linear layer is one matmul.

use super::params::{Leaves, Matrix};
use burn::tensor::{Int, Tensor, activation};

/// Computes `x · W (+ b)` with the parameters `{name}.weight` and, with `bias`, `{name}.bias`.
pub fn linear(p: &Leaves, name: &str, x: Matrix, bias: bool) -> Matrix {
    let y = x.matmul(p.get(&format!("{name}.weight")));
    if bias { y + p.get(&format!("{name}.bias")) } else { y }
}

/// Applies LayerNorm over the columns.
pub fn layer_norm(p: &Leaves, name: &str, x: Matrix) -> Matrix {
    layer_norm_with(p, name, x, 1e-5)
}

/// Applies LayerNorm with this epsilon.
pub fn layer_norm_with(p: &Leaves, name: &str, x: Matrix, epsilon: f64) -> Matrix {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let inverse = variance.add_scalar(epsilon).sqrt().recip();
    centred * inverse * p.get(&format!("{name}.weight")) + p.get(&format!("{name}.bias"))
}

/// Applies RMSNorm over the columns.
pub fn rms_norm(p: &Leaves, name: &str, x: Matrix) -> Matrix {
    rms_norm_with(p, name, x, 1e-5)
}

/// Applies RMSNorm with this epsilon.
pub fn rms_norm_with(p: &Leaves, name: &str, x: Matrix, epsilon: f64) -> Matrix {
    let inverse = x.clone().square().mean_dim(1).add_scalar(epsilon).sqrt().recip();
    x * inverse * p.get(&format!("{name}.weight"))
}

/// Computes CLIP's activation `x · sigmoid(1.702 x)`.
pub fn quick_gelu(x: Matrix) -> Matrix {
    x.clone() * activation::sigmoid(x.mul_scalar(1.702))
}

/// Splits rows into heads: `[B·T, N·D]` → `[B, N, T, D]`.
pub fn split_heads(x: Matrix, batch: usize, heads: usize) -> Tensor<4> {
    let [rows, width] = x.dims();
    x.reshape([batch, rows / batch, heads, width / heads]).swap_dims(1, 2)
}

/// Joins heads into rows: `[B, N, T, D]` → `[B·T, N·D]`.
pub fn join_heads(x: Tensor<4>) -> Matrix {
    let [batch, heads, rows, size] = x.dims();
    x.swap_dims(1, 2).reshape([batch * rows, heads * size])
}

/// Softmax attention over some of the keys, before the division.
pub struct PartialAttention {
    /// `exp(q kᵀ + mask − most) · v`.
    pub sum: Tensor<4>,
    /// Row sums of the exponentials.
    pub total: Tensor<4>,
    /// The largest score of each row, a constant: with it no exponential overflows, whatever the scores grow to.
    pub most: Tensor<4>,
}

impl PartialAttention {
    /// Computes the attention of queries over some keys.
    pub fn new(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<4>>) -> Self {
        let scores = q.matmul(k.swap_dims(2, 3));
        let scores = match mask {
            Some(mask) => scores + mask,
            None => scores,
        };
        let most = scores.clone().detach().max_dim(3);
        let weights = (scores - most.clone()).exp();
        Self { total: weights.clone().sum_dim(3), sum: weights.matmul(v), most }
    }

    /// Returns the attention, where there are no other keys.
    pub fn whole(self) -> Tensor<4> {
        self.sum / self.total
    }
}

/// Computes one pre-norm block of CLIP (vision or text) over `batch` sequences; `mask` `[B, 1, 1, T]` hides padding.
///
/// # Shapes
/// `x` `[B·T, C]` → `[B·T, C]`.
pub fn clip_block(p: &Leaves, name: &str, x: Matrix, batch: usize, heads: usize, mask: Option<Tensor<4>>) -> Matrix {
    let scale = 1.0 / ((x.dims()[1] / heads) as f32).sqrt();
    let normed = layer_norm(p, &format!("{name}.layer_norm1"), x.clone());
    let project = |which: &str| linear(p, &format!("{name}.self_attn.{which}_proj"), normed.clone(), true);
    let mixed = PartialAttention::new(
        split_heads(project("q").mul_scalar(scale), batch, heads),
        split_heads(project("k"), batch, heads),
        split_heads(project("v"), batch, heads),
        mask,
    );
    let x = x + linear(p, &format!("{name}.self_attn.out_proj"), join_heads(mixed.whole()), true);
    let normed = layer_norm(p, &format!("{name}.layer_norm2"), x.clone());
    let hidden = quick_gelu(linear(p, &format!("{name}.mlp.fc1"), normed, true));
    x + linear(p, &format!("{name}.mlp.fc2"), hidden, true)
}

/// Computes the mean cross-entropy of `logits` `[R, V]` against one class per row.
pub fn cross_entropy(logits: Matrix, targets: Tensor<1, Int>) -> Tensor<1> {
    let rows = logits.dims()[0];
    let chosen = logits.clone().gather(1, targets.reshape([rows, 1]));
    let peak = logits.clone().detach().max_dim(1);
    let sums = (logits - peak.clone()).exp().sum_dim(1).log() + peak;
    (sums - chosen).mean()
}

/// Scales rows to length one.
pub fn l2_normalize(x: Matrix) -> Matrix {
    let inverse = x.clone().square().sum_dim(1).add_scalar(1e-6).sqrt().recip();
    x * inverse
}
