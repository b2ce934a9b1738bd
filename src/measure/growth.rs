//! Growth: the time of a token by the length of the cache, and the time of a prompt by its length.

use super::stages::{AnswerStage, floor};
use super::{Calibration, Clock, Line, Timing, calibrate, check};
use crate::ensure;
use crate::error::Result;
use crate::model::Model;
use crate::pass::Call;

/// Number of cache lengths at which tokens are decoded.
const LENGTHS: u32 = 16;
/// Tokens decoded at each length.
const STEPS: u32 = 8;
/// Quarters of a chunk that the prompts shorter than a chunk have.
const SHORT_PROMPTS: [u32; 3] = [1, 2, 3];

/// Measured times, and the rates of the device.
pub struct Growth {
    /// `cpu`, `vulkan`, …
    pub backend: &'static str,
    /// Cached tokens, and milliseconds of the next one.
    pub decode: Vec<(f64, f64)>,
    /// Rows of a prompt, and milliseconds of its prefill.
    pub prefill: Vec<(f64, f64)>,
    /// Bytes of keys and values of a cached token, in all layers.
    pub cache_bytes: u64,
    /// The device's rates.
    pub rates: Calibration,
}

impl Growth {
    /// Returns the microseconds that a cached token's keys and values take at the device's copy rate.
    pub fn cache_us(&self) -> f64 {
        self.cache_bytes as f64 / self.rates.copy_bytes_per_second * 1e6
    }

    /// Returns, for each chunk of a prompt, the rows before it and its milliseconds. The growth from chunk to chunk is
    /// attention.
    pub fn chunks(&self) -> Vec<(f64, f64)> {
        let long = &self.prefill[SHORT_PROMPTS.len()..];
        let before = std::iter::once((0.0, 0.0)).chain(long.iter().copied());
        before.zip(long).map(|((rows, before), (_, after))| (rows, after - before)).collect()
    }
}

/// A line through points, by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// `y` per `x`.
    pub slope: f64,
    /// `y` at 0.
    pub start: f64,
    /// R²: the share of the variance of `y` that the line explains.
    pub r2: f64,
}

impl Fit {
    /// Fits a line to at least two points of different `x`.
    pub fn of(points: &[(f64, f64)]) -> Self {
        let n = points.len() as f64;
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
        let (xx, xy) = (mean(&|p| (p.0 - x).powi(2)), mean(&|p| (p.0 - x) * (p.1 - y)));
        let slope = xy / xx;
        let start = y - slope * x;
        let (total, left) = (mean(&|p| (p.1 - y).powi(2)), mean(&|p| (p.1 - start - slope * p.0).powi(2)));
        Self { slope, start, r2: 1.0 - left / total }
    }
}

/// Checks the model, calibrates its device, then times prompts of up to `max_rows` rows and steps after them, each the
/// fastest of `repeat` runs. Overwrites the contents of the model's buffers.
///
/// # Errors
/// Those of [`check()`] and [`calibrate()`]; [`Kind::Argument`](crate::error::Kind::Argument) when `max_rows` is no
/// multiple of [`Model::chunk`], or the context is shorter than these rows and a token.
pub async fn growth(
    model: &mut Model,
    max_rows: u32,
    repeat: u32,
    now: Clock<'_>,
    on_line: &mut dyn FnMut(Line),
) -> Result<Growth> {
    let chunk = model.chunk();
    let possible = max_rows > 0 && max_rows < model.context && max_rows.is_multiple_of(chunk);
    ensure!(possible, Argument, "growth", "{max_rows} rows: a multiple of {chunk} below {}", model.context);
    check(model).await?;
    let rates = calibrate(&mut model.device, now).await?;
    model.reserve_rows(max_rows + 1).await?;
    let short = SHORT_PROMPTS.map(|quarters| Call::new(chunk * quarters / 4, 0));
    let chunks: Vec<Call> = (0..max_rows).step_by(chunk as usize).map(|pos| Call::new(chunk, pos)).collect();
    let steps: Vec<Call> = (1..=LENGTHS).map(|i| Call::new(1, max_rows * i / LENGTHS)).collect();
    let calls = [&short[..], &chunks, &steps].concat();
    let ms = times(model, &calls, repeat, now).await?;
    let backend = model.device.backend();
    let mut point = |stage: AnswerStage, count: u32, calls: &[Call], ms: &[f64]| {
        let (cost, floor_ms) = floor(model, &rates, stage, calls);
        let timing = Timing { ms: ms.iter().sum(), gpu_ms: None };
        on_line(Line { backend, part: "growth", what: stage.name().into(), count, timing, cost, floor_ms });
        (f64::from(count), timing.ms)
    };
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for (i, call) in calls.iter().enumerate() {
        // The time of a long prompt is the sum of its chunks' times.
        let from = i.min(SHORT_PROMPTS.len());
        match call.rows {
            1 => decode.push(point(AnswerStage::Decode, call.pos, &[*call], &ms[i..=i])),
            rows => {
                let (calls, ms) = (&calls[from..=i], &ms[from..=i]);
                prefill.push(point(AnswerStage::Prefill, call.pos + rows, calls, ms));
            }
        }
    }
    Ok(Growth { backend, decode, prefill, cache_bytes: model.cache_row_bytes(), rates })
}

/// Returns the milliseconds of each call: of a step where it has one row, else of a chunk of a prompt with its head.
async fn times(model: &mut Model, calls: &[Call], repeat: u32, now: Clock<'_>) -> Result<Vec<f64>> {
    let ids = vec![0; model.chunk() as usize];
    let mut best = vec![f64::INFINITY; calls.len()];
    // The outer loop is the repetition, so that a disturbance of the machine does not hit one call alone.
    for _ in 0..repeat.max(1) {
        for (call, best) in calls.iter().zip(&mut best) {
            let many = if call.rows == 1 { STEPS } else { 1 };
            let begun = now();
            for _ in 0..many {
                match call.rows {
                    1 => model.step(call)?,
                    rows => model.prefill(&ids[..rows as usize], call.pos, Some(rows - 1))?,
                }
            }
            model.device.wait_idle().await?;
            *best = best.min((now() - begun) / f64::from(many));
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found() {
        let line = |x: f64| (x, 3.0 + 0.5 * x);
        let fit = Fit::of(&[1.0, 2.0, 4.0, 9.0].map(line));
        assert!((fit.slope - 0.5).abs() < 1e-12 && (fit.start - 3.0).abs() < 1e-12 && fit.r2 > 1.0 - 1e-12, "{fit:?}");
        // By hand: means 2 and 3, Σ(x−2)(y−3) = 1, Σ(x−2)² = 2; left of Σ(y−3)² = 2 are 1.5.
        let fit = Fit::of(&[(1.0, 3.0), (2.0, 2.0), (3.0, 4.0)]);
        assert_eq!(fit, Fit { slope: 0.5, start: 2.0, r2: 0.25 });
    }
}
