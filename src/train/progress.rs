//! Progress of a training stage: learning-rate schedule, log lines, points of the loss curve.

use crate::error::{Error, Kind, Result};
use std::path::Path;
use std::time::Instant;

/// The length of a stage.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// Number of steps; gives the same result on every machine.
    Steps(u64),
    /// Seconds; the schedule follows the clock.
    Seconds(f64),
}

/// The course of the learning rate over a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// From the peak to 2 % of it along a cosine, with linear warm-up over the first 3 %.
    Cosine,
    /// LLaVA's: linear warm-up from zero over the first 3 % of the steps, then a cosine to zero.
    ///
    /// # Source
    /// `get_cosine_schedule_with_warmup` of transformers.
    Llava,
}

/// Returns the learning rate after the completed `fraction` of a stage: a cosine from the peak to 2 % of it, with linear
/// warm-up over the first 3 %.
pub fn learning_rate(peak: f64, fraction: f64) -> f64 {
    let t = fraction.min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
    peak * (t / 0.03).clamp(0.01, 1.0) * (0.02 + 0.98 * cosine)
}

/// Steps without a finite gradient, in a row, that end a stage. Such steps are skipped: what diverged stays so.
const MOST_DIVERGED: u32 = 50;

/// The progress of one stage.
pub struct Progress {
    /// The course of the learning rate.
    pub schedule: Schedule,
    stage: &'static str,
    budget: Budget,
    peak: f64,
    started: Instant,
    before: f64,
    /// Completed steps, those before a resume included.
    pub step: u64,
    smooth: Option<f32>,
    tokens: u64,
    /// Steps in a row that had no finite gradient.
    diverged: u32,
    /// Points of the loss curve since the last resume: (step, smoothed loss).
    pub curve: Vec<(u64, f32)>,
}

impl Progress {
    /// Starts or resumes a stage that has completed `step` steps in `before` seconds.
    pub fn new(stage: &'static str, budget: Budget, peak: f64, step: u64, before: f64) -> Self {
        let (schedule, started, curve) = (Schedule::Cosine, Instant::now(), Vec::new());
        Self { schedule, stage, budget, peak, started, before, step, smooth: None, tokens: 0, diverged: 0, curve }
    }

    /// Starts the clock anew; the time since [`new`](Self::new) does not count.
    pub fn restart_clock(&mut self) {
        self.started = Instant::now();
    }

    /// Returns the elapsed seconds, those before a resume included.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Returns the completed fraction, 0 at the beginning and 1 at the end.
    pub fn fraction(&self) -> f64 {
        match self.budget {
            Budget::Steps(n) => self.step as f64 / n.max(1) as f64,
            Budget::Seconds(s) => self.seconds() / s.max(1e-3),
        }
    }

    /// Returns the learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        if let (Schedule::Llava, Budget::Steps(total)) = (self.schedule, self.budget) {
            let (warm_up, step, total) = ((0.03 * total as f64).ceil(), self.step as f64, total as f64);
            let done = ((step - warm_up) / (total - warm_up).max(1.0)).min(1.0);
            return self.peak
                * match step < warm_up {
                    true => step / warm_up.max(1.0),
                    false => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
                };
        }
        learning_rate(self.peak, self.fraction())
    }

    /// Counts a step; prints a line for the first three steps and every `every` steps.
    ///
    /// # Errors
    /// [`Kind::State`] after 50 steps in a row whose gradients had no finite norm.
    pub fn tick(&mut self, loss: f32, norm: f32, tokens: usize, every: u64, extra: &str) -> Result<()> {
        self.step += 1;
        self.tokens += tokens as u64;
        if loss.is_finite() {
            self.smooth = Some(self.smooth.map_or(loss, |s| s * 0.95 + loss * 0.05));
        }
        let smooth = self.smooth.unwrap_or(loss);
        if self.step.is_multiple_of(10) {
            self.curve.push((self.step, smooth));
        }
        if self.step.is_multiple_of(every) || self.step <= 3 {
            let elapsed = self.started.elapsed().as_secs_f64();
            let done = self.fraction();
            let left = self.seconds() * (1.0 - done).max(0.0) / done.max(1e-6);
            println!(
                "{} step {} {:.1}% loss {smooth:.4} (now {loss:.4}) norm {norm:.2} lr {:.2e} {:.0} tokens/s \
                 eta {:.0}s {extra}",
                self.stage,
                self.step,
                done * 100.0,
                self.learning_rate(),
                self.tokens as f64 / elapsed,
                left
            );
        }
        self.diverged = if norm.is_finite() { 0 } else { self.diverged + 1 };
        if self.diverged == MOST_DIVERGED {
            let what =
                format!("{MOST_DIVERGED} steps in a row had no finite gradient: train with a lower learning rate");
            return Err(Error::new(Kind::State, self.stage, what));
        }
        Ok(())
    }

    /// Writes the curve to the stage's `curve-*.tsv` in `folder`; the points of an earlier run are kept.
    ///
    /// # Errors
    /// [`Kind::Io`] when the file cannot be written.
    pub fn write_curve(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("curve-{}.tsv", self.stage));
        let first = self.curve.first().map_or(u64::MAX, |(step, _)| *step);
        let before = |line: &&str| line.split('\t').next().and_then(|s| s.parse().ok()).is_some_and(|s: u64| s < first);
        let earlier = std::fs::read_to_string(&path).unwrap_or_default();
        let earlier = earlier.lines().filter(before).map(|line| format!("{line}\n"));
        let lines: String = earlier.chain(self.curve.iter().map(|(step, loss)| format!("{step}\t{loss}\n"))).collect();
        std::fs::write(&path, lines).map_err(|e| Error::new(Kind::Io, path.display().to_string(), e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_stage_keeps_the_points_of_its_curve() {
        let folder = std::env::temp_dir().join(format!("llava-curve-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut progress = Progress::new("stage", Budget::Steps(100), 1.0, 0, 0.0);
        progress.curve = vec![(10, 3.0), (20, 2.0), (30, 1.5)];
        progress.write_curve(&folder).unwrap();
        // It was interrupted behind the checkpoint at step 20.
        let mut resumed = Progress::new("stage", Budget::Steps(100), 1.0, 20, 0.0);
        resumed.curve = vec![(30, 1.0), (40, 0.5)];
        resumed.write_curve(&folder).unwrap();
        let written = std::fs::read_to_string(folder.join("curve-stage.tsv")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(written, "10\t3\n20\t2\n30\t1\n40\t0.5\n");
    }

    #[test]
    fn a_stage_that_diverged_ends() {
        let mut progress = Progress::new("stage", Budget::Steps(1000), 1.0, 0, 0.0);
        let mut tick = |norm: f32| progress.tick(f32::NAN, norm, 1, 1000, "");
        for _ in 0..3 {
            (1..MOST_DIVERGED).for_each(|_| tick(f32::NAN).unwrap());
            // One finite gradient: it goes on.
            tick(1.0).unwrap();
        }
        (1..MOST_DIVERGED).for_each(|_| tick(f32::INFINITY).unwrap());
        let error = tick(f32::NAN).unwrap_err().to_string();
        assert!(error.contains("50 steps in a row") && error.contains("learning rate"), "{error}");
    }

    /// The values of transformers 5.23: `get_cosine_schedule_with_warmup(optimizer, 3, 100)` at the peak 1.
    #[test]
    fn llavas_schedule_is_that_of_transformers() {
        let mut progress = Progress::new("stage", Budget::Steps(100), 1.0, 0, 0.0);
        progress.schedule = Schedule::Llava;
        for (step, wanted) in
            [(0, 0.0), (1, 1.0 / 3.0), (3, 1.0), (4, 0.999_737_8), (50, 0.524_287_2), (99, 0.000_262_2)]
        {
            progress.step = step;
            let rate = progress.learning_rate();
            assert!((rate - wanted).abs() < 1e-4, "{step}: {rate}");
        }
    }
}
