//! Times of candidates, measured in alternation: the clock of a real GPU rises while it works, and a candidate that is
//! measured as a whole before the next one would look slower than it is.

use super::super::Clock;
use crate::device::{Device, PassId};
use crate::error::Result;
use crate::pass::{Call, Pass};

/// Least duration of a replay, milliseconds: beside it a submission takes little, and browsers round their clocks to
/// 0.1 ms.
const REPLAY_MS: f64 = 3.0;
/// Maximum repetitions of a candidate's operations in a pass.
const MAX_REPEAT: usize = 256;
/// Maximum rounds, each of one replay of every candidate.
const ROUNDS: u32 = 5;
/// Milliseconds after which no further round begins.
const ROUNDS_MS: f64 = 300.0;
/// Multiple of the best time above which a candidate is not measured again: after its first replays, when the GPU's
/// clock may not have risen yet, and after a round.
const HOPELESS: [f64; 2] = [8.0, 3.0];
/// Duration of a first replay above which it counts alone, milliseconds: compiling is little beside it.
const SLOW_MS: f64 = 100.0;

/// A prepared pass, the number of times that it repeats a candidate's operations, and its least duration by now.
struct Timed {
    pass: PassId,
    repeat: usize,
    ms: f64,
}

impl Timed {
    /// Prepares `pass` with its operations repeated until a replay takes [`REPLAY_MS`].
    async fn new(device: &mut Device, pass: &Pass, now: Clock<'_>) -> Result<Self> {
        let mut timed = Self::repeated(device, pass, 1).await?;
        // The driver may compile at the first replay.
        let first = timed.replay(device, now).await?;
        if first >= SLOW_MS {
            return Ok(timed);
        }
        timed.ms = f64::INFINITY;
        while timed.replay(device, now).await? < REPLAY_MS && timed.repeat < MAX_REPEAT {
            device.release(timed.pass);
            timed = Self::repeated(device, pass, 4 * timed.repeat).await?;
        }
        Ok(timed)
    }

    async fn repeated(device: &mut Device, pass: &Pass, repeat: usize) -> Result<Self> {
        let ops = std::iter::repeat_n(&pass.ops, repeat).flatten().cloned().collect();
        let pass = device.prepare(Pass { ops, ..*pass }).await?;
        Ok(Self { pass, repeat, ms: f64::INFINITY })
    }

    /// Replays the pass once and returns its milliseconds.
    async fn replay(&mut self, device: &mut Device, now: Clock<'_>) -> Result<f64> {
        let begun = now();
        device.replay(&[self.pass], &Call::new(1, 0))?;
        device.wait_idle().await?;
        let ms = now() - begun;
        self.ms = self.ms.min(ms / self.repeat as f64);
        Ok(ms)
    }
}

/// Returns the milliseconds of each pass: the least of several replays, in turn with those of the other passes.
///
/// # Errors
/// What the device reports.
pub(super) async fn times(device: &mut Device, passes: &[Pass], now: Clock<'_>) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(passes.len());
    for pass in passes {
        all.push(Timed::new(device, pass, now).await?);
    }
    let begun = now();
    for round in 0..ROUNDS {
        let best = all.iter().map(|timed| timed.ms).fold(f64::INFINITY, f64::min);
        let hopeless = best * HOPELESS[usize::from(round > 0)];
        for timed in all.iter_mut().filter(|timed| timed.ms <= hopeless) {
            if now() - begun < ROUNDS_MS {
                timed.replay(device, now).await?;
            }
        }
    }
    all.iter().for_each(|timed| device.release(timed.pass));
    Ok(all.into_iter().map(|timed| timed.ms).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BackendChoice;
    use crate::kernels::calibrate::{FMA, fma};
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;
    use std::cell::Cell;

    fn passes(device: &mut Device) -> [Pass; 2] {
        let out = block_on(device.buffer("out", 4 << 14)).unwrap();
        [1 << 14, 1 << 10].map(|count| {
            let mut pass = Pass::new("fma");
            fma(&mut pass, &FMA, out, count);
            pass
        })
    }

    #[test]
    fn sixteen_times_the_work_takes_longer() {
        if !gpu_or_skip() {
            return;
        }
        let mut device = block_on(Device::open(BackendChoice::Gpu)).unwrap();
        let passes = passes(&mut device);
        let begun = std::time::Instant::now();
        let ms = block_on(times(&mut device, &passes, &|| begun.elapsed().as_secs_f64() * 1e3)).unwrap();
        assert!(ms[1] > 0.0 && ms[0] > 2.0 * ms[1], "{ms:?}");
    }

    /// By this clock every replay takes less time than the one before it, as while a GPU's clock rises, down to 4 ms.
    #[test]
    fn a_rising_clock_favours_no_candidate() {
        let mut device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
        let [_, pass] = passes(&mut device);
        let [ms, step] = [Cell::new(0.0), Cell::new(16.0)];
        let now = || {
            step.set(f64::max(step.get() * 0.95, 4.0));
            ms.set(ms.get() + step.get());
            ms.get()
        };
        let found = block_on(times(&mut device, &[pass.clone(), pass.clone(), pass], &now)).unwrap();
        assert_eq!(found, [4.0; 3]);
    }
}
