//! Whitening of the image features for the connector.
//!
//! The variance of the tower's features is a thousand times larger along some directions than along others, and the
//! directions that distinguish written words have a small variance. During training the connector's first layer
//! therefore reads `(x − mean) · basis`, which has unit variance in every direction. The export folds mean and basis
//! into that layer, so that the checkpoint is an ordinary LLaVA.

use super::decoder::ImageInput;
use super::dialogue_batches::DialogueSampler;
use super::model_shape::ModelShape;
use super::params::{Matrix, Params, floats};
use super::tower;
use crate::error::Result;
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

/// Parameter name of the mean, `[1, C]`; not exported.
pub const MEAN: &str = "clip_white_mean";
/// Parameter name of the basis, `[C, C]`; not exported.
pub const BASIS: &str = "clip_white_basis";
/// The connector's first layer.
const WEIGHT: &str = "multi_modal_projector.linear_1.weight";
/// Its bias.
const BIAS: &str = "multi_modal_projector.linear_1.bias";
/// Added to the variances; directions of a smaller variance count as noise.
const FLOOR: f64 = 0.05;

/// Initializes mean and basis to the identity transform.
pub fn init(p: &mut Params, s: &ModelShape) {
    let c = s.vision_width;
    p.constant(MEAN.to_owned(), [1, c], 0.0);
    p.set(BASIS.to_owned(), [c, c], (0..c * c).map(|i| f32::from(u8::from(i % c == i / c))).collect());
}

/// Sets mean and basis from the features of 16 training batches. With `keep` the connector's first layer changes with
/// them, so that the connector computes what it did.
///
/// # Errors
/// When a batch cannot be made.
pub fn fit(p: &mut Params, s: &ModelShape, sampler: &DialogueSampler, keep: bool) -> Result<()> {
    let c = s.vision_width;
    let before = folded(p);
    let leaves = p.leaves(|_| false);
    let mut rows: Vec<f32> = Vec::new();
    for i in 0..16 {
        let batch = sampler.batch(i)?;
        if let ImageInput::Patches(patches) = batch.image_input {
            let shape = [batch.images * s.patches(), 3 * s.patch_size * s.patch_size];
            let pixels: Matrix = Tensor::from_data(TensorData::new(patches, shape), p.device());
            rows.extend(floats(tower::features(&leaves, s, pixels, batch.images, false).patches));
        }
    }
    let n = (rows.len() / c) as f64;
    let mean: Vec<f64> = (0..c).map(|i| rows.chunks(c).map(|r| f64::from(r[i])).sum::<f64>() / n).collect();
    let mut covariance = vec![0.0; c * c];
    for row in rows.chunks(c) {
        let centred: Vec<f64> = row.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m).collect();
        for i in 0..c {
            for j in 0..=i {
                covariance[i * c + j] += centred[i] * centred[j] / n;
            }
        }
    }
    (0..c).for_each(|i| covariance[i * c + i] += FLOOR);
    let lower = cholesky(covariance, c);
    let basis = inverse_transpose(&lower, c);
    p.set(MEAN.to_owned(), [1, c], mean.iter().map(|&m| m as f32).collect());
    p.set(BASIS.to_owned(), [c, c], basis.iter().map(|&b| b as f32).collect());
    if let (true, Some((shape, weight)), Some((_, bias))) = (keep, before.get(WEIGHT), before.get(BIAS)) {
        let (weight, bias) = unfold(&mean, &lower, weight, bias);
        p.set(WEIGHT.to_owned(), *shape, weight);
        p.set(BIAS.to_owned(), [1, shape[1]], bias);
    }
    Ok(())
}

/// Returns weight and bias of the first layer on whitened features that equal `weight` `[C, H]` and `bias` on plain
/// ones, when the whitening is `(x − mean) · (L⁻¹)ᵀ`: the weight is `Lᵀ · weight`.
fn unfold(mean: &[f64], lower: &[f64], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (c, h) = (mean.len(), bias.len());
    let mut unfolded = vec![0.0f64; c * h];
    for k in 0..c {
        for i in k..c {
            for j in 0..h {
                unfolded[k * h + j] += lower[i * c + k] * f64::from(weight[i * h + j]);
            }
        }
    }
    let shifted = (0..h).map(|j| {
        let shift: f64 = (0..c).map(|i| mean[i] * f64::from(weight[i * h + j])).sum();
        (f64::from(bias[j]) + shift) as f32
    });
    (unfolded.into_iter().map(|v| v as f32).collect(), shifted.collect())
}

/// Returns the Cholesky factor `L` of `a = L · Lᵀ`, `[n, n]`; reads the lower triangle of `a`.
fn cholesky(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            a[i * n + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / a[j * n + j] };
        }
        (i + 1..n).for_each(|j| a[i * n + j] = 0.0);
    }
    a
}

/// Returns `(L⁻¹)ᵀ` of a lower triangle `[n, n]`.
fn inverse_transpose(l: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for column in 0..n {
        for i in column..n {
            let dot: f64 = (column..i).map(|k| l[i * n + k] * out[column * n + k]).sum();
            let unit = f64::from(u8::from(i == column));
            out[column * n + i] = (unit - dot) / l[i * n + i];
        }
    }
    out
}

/// Folds mean and basis into the first layer: returns the weight `[C, H]` and bias that act on plain features.
pub fn fold(mean: &[f32], basis: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (c, h) = (mean.len(), bias.len());
    let mut folded = vec![0.0f64; c * h];
    for (row, basis) in folded.chunks_mut(h).zip(basis.chunks(c)) {
        for (&b, weight) in basis.iter().zip(weight.chunks(h)) {
            row.iter_mut().zip(weight).for_each(|(sum, &w)| *sum += f64::from(b) * f64::from(w));
        }
    }
    let mut shifted: Vec<f64> = bias.iter().map(|&b| f64::from(b)).collect();
    for (&m, row) in mean.iter().zip(folded.chunks(h)) {
        shifted.iter_mut().zip(row).for_each(|(sum, w)| *sum -= f64::from(m) * w);
    }
    let single = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
    (single(folded), single(shifted))
}

/// Returns the parameters, with mean and basis folded into the connector's first layer.
pub fn folded(params: &Params) -> BTreeMap<String, ([usize; 2], Vec<f32>)> {
    let mut all: BTreeMap<_, _> =
        params.values().map(|(name, dims, values)| (name.to_owned(), (dims, values))).collect();
    let parts = [MEAN, BASIS, WEIGHT, BIAS].map(|name| all.get(name).map(|(_, v)| v.clone()));
    if let [Some(mean), Some(basis), Some(w), Some(b)] = parts {
        let (folded, shifted) = fold(&mean, &basis, &w, &b);
        all.entry(WEIGHT.to_owned()).and_modify(|(_, values)| *values = folded);
        all.entry(BIAS.to_owned()).and_modify(|(_, values)| *values = shifted);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_whitens() {
        // Σ = A · Aᵀ; with B = L⁻ᵀ, Bᵀ Σ B is the identity.
        let a = [2.0, 0.0, 0.0, 1.0, 3.0, 0.0, -1.0, 0.5, 0.2f64];
        let sigma: Vec<f64> = (0..9).map(|i| (0..3).map(|k| a[i / 3 * 3 + k] * a[i % 3 * 3 + k]).sum()).collect();
        let b = inverse_transpose(&cholesky(sigma.clone(), 3), 3);
        for i in 0..3 {
            for j in 0..3 {
                let mut sum = 0.0;
                for k in 0..9 {
                    sum += b[k / 3 * 3 + i] * sigma[k] * b[k % 3 * 3 + j];
                }
                assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {sum}");
            }
        }
    }

    #[test]
    fn unfolding_undoes_folding() {
        let lower = cholesky(vec![2.0, 0.0, 0.5, 3.0], 2);
        let basis: Vec<f32> = inverse_transpose(&lower, 2).iter().map(|&b| b as f32).collect();
        let (weight, bias) = ([1.0, 2.0, 3.0, -1.0, 0.5, 2.0], [0.1, 0.2, 0.3]);
        let (inner, shift) = unfold(&[1.0, -2.0], &lower, &weight, &bias);
        let (folded, shifted) = fold(&[1.0, -2.0], &basis, &inner, &shift);
        for (got, want) in folded.iter().chain(&shifted).zip(weight.iter().chain(&bias)) {
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
    }

    #[test]
    fn folding_changes_nothing() {
        let (mean, basis) = ([1.0, -2.0], [0.5, 1.0, 0.0, 4.0]);
        let (weight, bias) = ([1.0, 2.0, 3.0, -1.0, 0.5, 2.0], [0.1, 0.2, 0.3]);
        let (folded, shifted) = fold(&mean, &basis, &weight, &bias);
        let x = [0.7f32, 0.9];
        let white: Vec<f32> = (0..2).map(|j| (0..2).map(|i| (x[i] - mean[i]) * basis[i * 2 + j]).sum()).collect();
        for h in 0..3 {
            let want = bias[h] + (0..2).map(|c| white[c] * weight[c * 3 + h]).sum::<f32>();
            let got = shifted[h] + (0..2).map(|c| x[c] * folded[c * 3 + h]).sum::<f32>();
            assert!((want - got).abs() < 1e-5, "{want} {got}");
        }
    }
}
