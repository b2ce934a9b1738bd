//! Measurements: the device's calibrated rates, a model's operations and stages timed against the floor that these
//! rates set, the tuning of a GPU, and the estimate of a speed before a download. The caller passes the clock, `now`.

mod calibrate;
mod check;
mod estimate;
mod growth;
mod operations;
mod stages;
mod tune;

pub use calibrate::{Calibration, calibrate};
pub use check::{CheckedOperation, check, check_operations};
pub use estimate::{SpeedEstimate, estimate_speed};
pub use growth::{Fit, Growth, growth};
pub use operations::operations;
pub use stages::{BenchOptions, Line, bench};
pub use tune::{Tier, candidates, is_candidate, tiers, tune};

use crate::device::{Device, PassId};
use crate::error::Result;
use crate::pass::{Call, Pass};
use serde::Serialize;

/// Duration of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Milliseconds by the caller's clock.
    pub ms: f64,
    /// Milliseconds between its GPU timestamps; `None` without a GPU clock or where it is not recorded
    /// ([`Device::record_timestamps`]).
    pub gpu_ms: Option<f64>,
}

/// A monotonic clock: milliseconds since an arbitrary moment.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// Times one replay of `passes`. The first replay counts where it alone takes ten times `target_ms`: compiling and
/// touching memory for the first time are small beside that. Else the result is the mean of consecutive replays that
/// take `target_ms` milliseconds together.
///
/// # Errors
/// What [`Device::replay`] reports.
pub async fn time(
    device: &mut Device,
    passes: &[PassId],
    call: &Call,
    target_ms: f64,
    now: Clock<'_>,
) -> Result<Timing> {
    let (mut count, mut warm) = (1u32, false);
    loop {
        let begun = now();
        for _ in 0..count {
            device.replay(passes, call)?;
        }
        device.wait_idle().await?;
        let elapsed = now() - begun;
        let gpu_ms = device.gpu_ms().await?;
        if elapsed >= if warm { target_ms } else { 10.0 * target_ms } || count >= 1 << 12 {
            return Ok(Timing { ms: elapsed / f64::from(count), gpu_ms });
        }
        count = if warm { count * 4 } else { count };
        warm = true;
    }
}

/// Returns the normalised mean square error `Σ (found − wanted)² / Σ wanted²` of pairs `[found, wanted]`; infinity
/// where it is not a number.
pub(crate) fn normalised_error(pairs: impl Iterator<Item = [f64; 2]>) -> f64 {
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

/// Prepares a pass, [times](time()) it, and releases it.
///
/// # Errors
/// What [`Device::prepare`] and [`Device::replay`] report.
pub async fn time_pass(device: &mut Device, pass: Pass, call: &Call, target_ms: f64, now: Clock<'_>) -> Result<Timing> {
    let id = device.prepare(pass).await?;
    let timing = time(device, &[id], call, target_ms, now).await;
    device.release(id);
    timing
}
