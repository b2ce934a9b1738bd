//! The check of a device: a loaded model's operations against their twins, one of each kind, on the contents of its
//! buffers. Every measurement begins with it, and the page `proof.html` shows it line by line.

use super::normalised_error;
use super::operations::{describe, pass_calls};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::kernels::process_logits::EXCLUDED;
use crate::model::{CacheType, Model};
use crate::pass::{Access, Buf, Call, Op, Pass, Words};
use crate::tuning::Operands;
use serde::Serialize;
use std::collections::HashSet;

/// Tokens of the prompt. With the image rows they exceed a tile of eight rows.
const TOKENS: u32 = 5;
/// Image rows of the prompt.
const IMAGE_ROWS: u32 = 4;
/// Largest normalised mean square error (NMSE) of f32 sums.
const F32: f64 = 1e-8;
/// Largest NMSE of keys and values in f16: they are rounded by at most a 2048th.
const F16: f64 = 1e-6;
/// Largest NMSE of products in f16 (see `kernels::matmul_tiled`; tests hold it to 2e-6 on uniform values).
const F16_PRODUCTS: f64 = 1e-5;
/// Largest NMSE of products with activations in 8 bits (see `cpu::matmul`; tests hold it to 4e-5 on uniform values).
const BYTES: f64 = 1e-3;

/// Error of one kind of operation on the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedOperation {
    /// Pass that the operation belongs to.
    pub pass: &'static str,
    /// Kernel, constants and sizes.
    pub operation: String,
    /// Normalised mean square error (NMSE) of the values that it writes against its twin's; of several buffers, the one
    /// nearest to its bound. The largest number where a value is infinite or none.
    pub error: f64,
    /// Largest allowed NMSE.
    pub bound: f64,
}

impl CheckedOperation {
    /// Returns whether the error is within the bound.
    pub fn is_right(&self) -> bool {
        self.error <= self.bound
    }
}

/// Checks every kind of operation of an answer, and fails at the first with wrong results.
///
/// # Errors
/// [`Kind::Gpu`], naming the operation with wrong results; those of [`check_operations`].
pub async fn check(model: &mut Model) -> Result<()> {
    check_answer(model, &mut HashSet::new(), &mut |checked| {
        let CheckedOperation { pass, operation, error, bound } = &checked;
        let place = format!("{pass}: {operation}");
        let message =
            format!("computes wrong results: normalised mean square error {error:e}, at most {bound:e} is allowed");
        let wrong = || Error::new(Kind::Gpu, place, message).hint("nothing was timed; try the other backend");
        if checked.is_right() { Ok(()) } else { Err(wrong()) }
    })
    .await
    .map(drop)
}

/// Runs a picture, a prompt, a step, and a step with attention weights, then compares one operation of each kind with
/// its twin, and reports each result as soon as it is known. Ends at the first error of `on_checked`. Overwrites the
/// contents of the model's buffers.
///
/// # Errors
/// Those of `on_checked`; [`Kind::Argument`] when the context is too short for the prompt; what the device reports.
pub async fn check_operations(model: &mut Model, on_checked: OnChecked<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    let step = check_answer(model, &mut seen, on_checked).await?;
    model.attend(true).await?;
    let checked = check_attending(model, &step, &mut seen, on_checked).await;
    model.attend(false).await?;
    checked
}

/// Takes what was checked.
type OnChecked<'a> = &'a mut dyn FnMut(CheckedOperation) -> Result<()>;

/// Checks the passes of an answer, and returns the call of its step.
async fn check_answer(model: &mut Model, seen: &mut HashSet<String>, on_checked: OnChecked<'_>) -> Result<Call> {
    let calls = pass_calls(fill_buffers(model).await?);
    let step = calls.step;
    for (pass, call) in model.recorded().zip(calls) {
        check_pass(model, pass, &call, seen, on_checked).await?;
    }
    Ok(step)
}

async fn check_attending(
    model: &mut Model,
    step: &Call,
    seen: &mut HashSet<String>,
    on_checked: OnChecked<'_>,
) -> Result<()> {
    model.step(step)?;
    let Some(pass) = model.recorded_attending() else { return Ok(()) };
    check_pass(model, pass, step, seen, on_checked).await
}

/// Checks the operations of a pass that are not in `seen`, and adds them to it.
async fn check_pass(
    model: &mut Model,
    pass: Pass,
    call: &Call,
    seen: &mut HashSet<String>,
    on_checked: OnChecked<'_>,
) -> Result<()> {
    let f16_buffers = model.f16_buffers();
    for op in pass.ops {
        let operation = describe(&op);
        if seen.insert(operation.clone()) {
            let (error, bound) = compare(model, &op, call, &f16_buffers).await?;
            on_checked(CheckedOperation { pass: pass.name, operation, error, bound })?;
        }
    }
    Ok(())
}

/// Runs a picture, a prompt and a step, so that the buffers hold values. Returns the rows of the prompt.
async fn fill_buffers(model: &mut Model) -> Result<u32> {
    let side = model.config.vision.image_size;
    // A gradient with some texture, in the range of CLIP's normalised pixels.
    let pixels: Vec<f32> = (0..3 * side * side).map(|i| ((i % 251) as f32 + (i % side) as f32 / 2.0) / 100.0).collect();
    let image_rows = IMAGE_ROWS.min(model.config.tile_rows());
    let vocabulary = model.config.text.vocab_size;
    let mut ids: Vec<u32> = (0..TOKENS).map(|i| (7 + 31 * i) % vocabulary).collect();
    ids.extend((0..image_rows).map(|row| model.image_embed_id(0, row)));
    let rows = ids.len() as u32;
    ensure!(model.context > rows, Argument, "context", "{} rows; measuring takes {}", model.context, rows + 1);
    model.encode(&pixels, 0)?;
    let calls = pass_calls(rows);
    model.prefill(&ids, 0, Some(rows - 1))?;
    model.sample(&calls.prefill)?;
    set_options(model, &ids);
    model.step(&Call { step: 1, ..calls.process })?;
    model.device.wait_idle().await?;
    Ok(rows)
}

/// Sets what the options of the sampler read: tokens of the prompt and of an answer, biases, and a mask. Each is set for
/// some tokens and not for others, in every combination.
fn set_options(model: &mut Model, prompt: &[u32]) {
    let vocabulary = model.config.text.vocab_size;
    let answer: Vec<u32> =
        (0..vocabulary).filter(|id| id % 3 == 0).flat_map(|id| vec![id; 1 + id as usize % 2]).collect();
    model.set_counts(prompt, &answer);
    model.set_bias((0..vocabulary).filter(|id| id % 5 < 2).map(|id| (id, if id % 10 == 0 { EXCLUDED } else { 0.5 })));
    model.set_mask(&vec![0xb6db_6db7; model.mask_words()]);
}

/// Runs `op` on the device and its twin on copies of the same buffers. Returns the error and its bound; of several
/// written buffers, those of the one nearest to its bound.
async fn compare(model: &mut Model, op: &Op, call: &Call, f16_buffers: &[Buf]) -> Result<(f64, f64)> {
    let device = &mut model.device;
    let mut twin = Vec::with_capacity(op.buffers.len());
    for buffer in &op.buffers {
        twin.push(Words(device.read_back(*buffer, 0, buffer.words as usize).await?));
    }
    let pass = device.prepare(Pass { ops: vec![op.clone()], ..device.pass("check") }).await?;
    device.replay(&[pass], call)?;
    let on_cpu = !device.is_gpu();
    let written = op.buffers.iter().enumerate().filter(|(i, _)| op.kernel.access[*i] == Access::ReadWrite);
    let before: Vec<(usize, Vec<u32>)> = written.map(|(i, _)| (i, twin[i].0.clone())).collect();
    (op.kernel.reference)(op, call, &mut twin);
    let mut worst = (0.0, F32);
    for (index, before) in &before {
        let buffer = op.buffers[*index];
        let found = device.read_back(buffer, 0, buffer.words as usize).await?;
        let stored = if f16_buffers.iter().any(|b| b.id == buffer.id) { CacheType::F16 } else { CacheType::F32 };
        let bound = match stored {
            _ if on_cpu || op.kernel.operands == Operands::Int8 => BYTES,
            _ if op.kernel.operands == Operands::F16 => F16_PRODUCTS,
            CacheType::F16 => F16,
            CacheType::F32 => F32,
        };
        let error = error(&found, &twin[*index].0, before, stored).min(f64::MAX);
        if error / bound >= worst.0 / worst.1 {
            worst = (error, bound);
        }
    }
    device.release(pass);
    Ok(worst)
}

/// Returns the normalised mean square error over the words that either of two runs has changed.
fn error(found: &[u32], wanted: &[u32], before: &[u32], stored: CacheType) -> f64 {
    let values = |word: u32| match stored {
        CacheType::F32 => [f64::from(f32::from_bits(word)), 0.0],
        CacheType::F16 => [word as u16, (word >> 16) as u16].map(|bits| half::f16::from_bits(bits).to_f64()),
    };
    let words = found.iter().zip(wanted).zip(before);
    let changed = words.filter(|((found, wanted), before)| found != before || wanted != before);
    normalised_error(changed.flat_map(|((found, wanted), _)| {
        let [[f0, f1], [w0, w1]] = [values(*found), values(*wanted)];
        // Equal words are right even where they are not finite floats: some buffers hold ids. Excluded logits would hide
        // the errors of the others.
        let same = found == wanted;
        [[f0, w0], [f1, w1]].into_iter().filter(move |[_, w]| !same || w.is_finite() && *w != f64::from(EXCLUDED))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_words_are_noticed() {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let (before, wanted) = (bits(&[9e9, 0.0, 0.0]), bits(&[9e9, 1.0, 2.0]));
        let of = |found: &[f32]| error(&bits(found), &wanted, &before, CacheType::F32);
        assert_eq!(of(&[9e9, 1.0, 2.0]), 0.0);
        assert!(of(&[9e9, 1.0, 2.000001]) < F32);
        assert!(of(&[9e9, 1.0, 2.001]) > F32, "a value that stays would hide it");
        assert!(of(&[9e9, 1.0, 0.0]) > F32, "not written");
        assert!(of(&[0.0, 1.0, 2.0]) > F32, "written outside the output");
        assert_eq!(of(&[9e9, 1.0, f32::NAN]), f64::INFINITY);
        let none = bits(&[f32::NAN]);
        assert_eq!(error(&none, &none, &[0], CacheType::F32), 0.0, "equal words");
        assert!(error(&[5], &[6], &[0], CacheType::F32) > BYTES, "another token");
        let (excluded, found) = (bits(&[EXCLUDED, 1.0]), bits(&[EXCLUDED, 1.001]));
        assert!(error(&found, &excluded, &[0, 0], CacheType::F32) > F32, "an excluded logit would hide it");
        let pair = |low: f32, high: f32| {
            let f16 = |x: f32| u32::from(half::f16::from_f32(x).to_bits());
            [f16(low) | f16(high) << 16]
        };
        let of = |found: [u32; 1]| error(&found, &pair(0.5, -3.0), &[0], CacheType::F16);
        assert!(of(pair(0.5, -3.001)) < F16);
        assert!(of(pair(0.51, -3.0)) > F16);
    }
}
