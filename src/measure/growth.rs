//! How the time of a token grows with what is cached, and that of a prompt with its length.

use super::stages::floor;
use super::{Calibration, Clock, Line, Timing, calibrate, check};
use crate::ensure;
use crate::error::Result;
use crate::model::Model;
use crate::pass::Call;

/// Lengths of the cache at which tokens are decoded.
const LENGTHS: u32 = 16;
/// Tokens that are decoded at each.
const STEPS: u32 = 8;
/// Quarters of a prompt's first part where that is shorter than a whole one.
const SHORT: [u32; 3] = [1, 2, 3];

/// What was measured, and the rates of the device that it was measured on.
pub struct Growth {
    /// `cpu`, `vulkan`, …
    pub backend: &'static str,
    /// Tokens cached, and milliseconds of the next one.
    pub decode: Vec<(f64, f64)>,
    /// Rows of a prompt, and milliseconds of reading it.
    pub prefill: Vec<(f64, f64)>,
    /// Bytes of keys and values of a cached token, in all layers.
    pub cache_bytes: u64,
    /// The device's.
    pub rates: Calibration,
}

impl Growth {
    /// Microseconds that reading a cached token's keys and values takes at the rate at which the device copies.
    pub fn cache_us(&self) -> f64 {
        self.cache_bytes as f64 / self.rates.copy_bytes_per_second * 1e6
    }

    /// Rows read before, and milliseconds of the next part: what a prompt's length adds to each of its rows
    /// is attention.
    pub fn parts(&self) -> Vec<(f64, f64)> {
        let long = &self.prefill[SHORT.len()..];
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
    /// R²: the part of the variance of `y` that the line explains.
    pub r2: f64,
}

impl Fit {
    /// The line through at least two points of different `x`.
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

/// Checks the model, calibrates its device, then reads prompts of up to `most` rows and decodes after as many, each the
/// best of `repeat` runs. What the model's buffers hold is overwritten.
///
/// # Errors
/// Those of [`check()`] and [`calibrate()`]; [`Kind::Argument`](crate::error::Kind::Argument) when `most` is no multiple
/// of [`Model::chunk`], or the context has no room for as many rows and a token.
pub async fn growth(
    model: &mut Model,
    most: u32,
    repeat: u32,
    now: Clock<'_>,
    tell: &mut dyn FnMut(Line),
) -> Result<Growth> {
    let chunk = model.chunk();
    let possible = most > 0 && most < model.context && most.is_multiple_of(chunk);
    ensure!(possible, Argument, "growth", "{most} rows: a multiple of {chunk} below {}", model.context);
    check(model).await?;
    let rates = calibrate(&mut model.device, now).await?;
    model.make_room(most + 1).await?;
    let short = SHORT.map(|quarters| Call::new(chunk * quarters / 4, 0));
    let parts: Vec<Call> = (0..most).step_by(chunk as usize).map(|pos| Call::new(chunk, pos)).collect();
    let steps: Vec<Call> = (1..=LENGTHS).map(|i| Call::new(1, most * i / LENGTHS)).collect();
    let calls = [&short[..], &parts, &steps].concat();
    let ms = times(model, &calls, repeat, now).await?;
    let backend = model.device.backend();
    let mut point = |what: &str, count: u32, passes: &[&str], calls: &[Call], ms: &[f64]| {
        let (cost, floor_ms) = floor(model, &rates, passes, calls);
        let timing = Timing { ms: ms.iter().sum(), gpu_ms: None };
        tell(Line { backend, part: "growth", what: what.into(), count, timing, cost, floor_ms });
        (f64::from(count), timing.ms)
    };
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for (i, call) in calls.iter().enumerate() {
        // A long prompt is read part by part, and takes as long as these together.
        let from = i.min(SHORT.len());
        match call.rows {
            1 => decode.push(point("decode", call.pos, &["step", "head", "sample"], &[*call], &ms[i..=i])),
            rows => {
                let (calls, ms) = (&calls[from..=i], &ms[from..=i]);
                prefill.push(point("prefill", call.pos + rows, &["prefill", "head"], calls, ms));
            }
        }
    }
    Ok(Growth { backend, decode, prefill, cache_bytes: model.cache_row_bytes(), rates })
}

/// Milliseconds of each of these calls: of a step where there is one row, else of a part of a prompt with its head.
async fn times(model: &mut Model, calls: &[Call], repeat: u32, now: Clock<'_>) -> Result<Vec<f64>> {
    let ids = vec![0; model.chunk() as usize];
    let mut best = vec![f64::INFINITY; calls.len()];
    // All of them again and again: what disturbs the machine for a while disturbs none in particular.
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
