//! How long things take, and how long they would take at least: the adapter calibrated, every operation of a model
//! timed against its floor. Who calls brings the clock: `now`, milliseconds.

mod calibrate;
mod check;
mod growth;
mod operations;
mod stages;
mod tune;

pub use calibrate::{Calibration, calibrate};
pub use check::check;
pub use growth::{Fit, Growth, growth};
pub use operations::operations;
pub use stages::{Line, Options, bench};
pub use tune::{is_candidate, tune};

use crate::device::{Device, PassId};
use crate::error::Result;
use crate::pass::{Call, Pass};
use serde::Serialize;

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Milliseconds by the clock of who calls.
    pub ms: f64,
    /// Of these, milliseconds that passed in it by the GPU's own clock, where there is one and it was asked
    /// ([`Device::record_timestamps`]).
    pub gpu_ms: Option<f64>,
}

/// A clock, milliseconds from anywhere on.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// How long one replay of `passes` takes: of many in a row that take `enough` milliseconds together, where one is
/// short; of the first where that alone took so long (ten times `enough`) that what else it did (compiling, first
/// touching its memory) is small beside it.
///
/// # Errors
/// What [`Device::replay`] reports.
pub async fn time(device: &mut Device, passes: &[PassId], call: &Call, enough: f64, now: Clock<'_>) -> Result<Timing> {
    let (mut count, mut warm) = (1u32, false);
    loop {
        let begun = now();
        for _ in 0..count {
            device.replay(passes, call)?;
        }
        device.wait_idle().await?;
        let elapsed = now() - begun;
        let gpu_ms = device.gpu_ms().await?;
        if elapsed >= if warm { enough } else { 10.0 * enough } || count >= 1 << 12 {
            return Ok(Timing { ms: elapsed / f64::from(count), gpu_ms });
        }
        count = if warm { count * 4 } else { count };
        warm = true;
    }
}

/// Normalised mean square error `Σ (found − wanted)² / Σ wanted²` of pairs of those; infinite where it is not a number.
fn normalised_error(pairs: impl Iterator<Item = [f64; 2]>) -> f64 {
    let (mut difference, mut power) = (0.0, 0.0);
    for [found, wanted] in pairs {
        difference += (found - wanted) * (found - wanted);
        power += wanted * wanted;
    }
    match difference / power {
        _ if difference == 0.0 => 0.0,
        error if error.is_nan() => f64::INFINITY,
        error => error,
    }
}

/// [`time`] of a pass that is made for it.
///
/// # Errors
/// What [`Device::prepare`] and [`Device::replay`] report.
pub async fn time_pass(device: &mut Device, pass: Pass, call: &Call, enough: f64, now: Clock<'_>) -> Result<Timing> {
    let id = device.prepare(pass).await?;
    let timing = time(device, &[id], call, enough, now).await;
    device.release(id);
    timing
}
