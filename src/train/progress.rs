//! Progress of a training stage: learning-rate schedule, log lines, points of the loss curve.

use std::time::Instant;

/// The length of a stage.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// Number of steps; gives the same result on every machine.
    Steps(u64),
    /// Seconds; the schedule follows the clock.
    Seconds(f64),
}

/// Returns the learning rate after the completed `fraction` of a stage: a cosine from the peak to 2 % of it, with linear
/// warm-up over the first 3 %.
pub fn learning_rate(peak: f64, fraction: f64) -> f64 {
    let t = fraction.min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
    peak * (t / 0.03).clamp(0.01, 1.0) * (0.02 + 0.98 * cosine)
}

/// The progress of one stage.
pub struct Progress {
    stage: &'static str,
    budget: Budget,
    peak: f64,
    started: Instant,
    before: f64,
    /// Completed steps, those before a resume included.
    pub step: u64,
    smooth: Option<f32>,
    tokens: u64,
    /// Points of the loss curve: (step, smoothed loss).
    pub curve: Vec<(u64, f32)>,
}

impl Progress {
    /// Starts or resumes a stage that has completed `step` steps in `before` seconds.
    pub fn new(stage: &'static str, budget: Budget, peak: f64, step: u64, before: f64) -> Self {
        Self { stage, budget, peak, started: Instant::now(), before, step, smooth: None, tokens: 0, curve: Vec::new() }
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
        learning_rate(self.peak, self.fraction())
    }

    /// Counts a step; prints a line for the first three steps and every `every` steps.
    pub fn tick(&mut self, loss: f32, norm: f32, tokens: usize, every: u64, extra: &str) {
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
    }
}
