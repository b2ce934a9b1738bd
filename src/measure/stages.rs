//! The stages of an answer (encode, prefill, decode) timed against their floors, and the table of all measurements: one
//! format for the command line and for the page.

use super::{Calibration, Clock, Timing, calibrate, check, operations};
use crate::error::Result;
use crate::model::{Model, Passes};
use crate::pass::{Call, Cost, Pass};
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt;

/// Time spent on each kind of operation, milliseconds.
const TARGET_MS: f64 = 50.0;
/// Attention weights on their way to the host, steps: as many as the engine has in flight.
const READ_BACKS: usize = 3;

/// Sizes of a measurement.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BenchOptions {
    /// Rows that are prefilled.
    pub rows: u32,
    /// Tokens that are decoded.
    pub tokens: u32,
    /// Runs of each stage; the fastest counts.
    pub repeat: u32,
    /// Whether each kind of operation is timed on its own, too.
    pub operations: bool,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { rows: 256, tokens: 32, repeat: 5, operations: false }
    }
}

/// A line of the table; its `Display` is CSV with the columns of [`Line::HEADER`]. The share of the floor is empty
/// where the time is 0, `gpu_ms` where no GPU clock was read.
#[derive(Debug, Clone)]
pub struct Line {
    /// `cpu`, `webgpu`, `vulkan`, …
    pub backend: &'static str,
    /// `calibration`, `stage`, `growth`, or the pass that an operation belongs to.
    pub part: &'static str,
    /// The measured rate, stage or operation.
    pub what: String,
    /// Number of operations, rows or tokens.
    pub count: u32,
    /// Time of all operations of a kind, of a stage, or of one decoded token.
    pub timing: Timing,
    /// Bytes and operations that it takes at least.
    pub cost: Cost,
    /// Milliseconds that `cost` takes at the device's calibrated rates.
    pub floor_ms: f64,
}

impl Line {
    /// Names of the columns.
    pub const HEADER: &str = "backend,part,what,count,ms,gpu_ms,gbytes,gflop,floor_ms,share_of_floor";
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, part, what, count, timing: Timing { ms, gpu_ms }, cost, floor_ms } = self;
        let (bytes, flops) = (cost.bytes as f64 / 1e9, cost.flops as f64 / 1e9);
        write!(f, "{backend},{part},{what},{count},{ms:.4},")?;
        gpu_ms.map_or(Ok(()), |gpu_ms| write!(f, "{gpu_ms:.4}"))?;
        write!(f, ",{bytes:.5},{flops:.4},{floor_ms:.4},")?;
        if *ms > 0.0 { write!(f, "{:.3}", floor_ms / ms) } else { Ok(()) }
    }
}

/// Checks the model, calibrates its device, times its stages, and reports each line as soon as it is known. Overwrites
/// the contents of the model's buffers.
///
/// # Errors
/// Those of [`check()`], [`calibrate()`] and [`operations()`]; a model that fails its check is not timed.
pub async fn bench(
    model: &mut Model,
    options: &BenchOptions,
    now: Clock<'_>,
    on_line: &mut dyn FnMut(Line),
) -> Result<()> {
    check(model).await?;
    model.device.record_timestamps(true);
    let measured = measure(model, options, now, on_line).await;
    model.device.record_timestamps(false);
    measured
}

async fn measure(
    model: &mut Model,
    options: &BenchOptions,
    now: Clock<'_>,
    on_line: &mut dyn FnMut(Line),
) -> Result<()> {
    let rates = calibrate(&mut model.device, now).await?;
    let backend = model.device.backend();
    for (what, timing, cost) in rates.lines() {
        on_line(Line { backend, part: "calibration", what: what.into(), count: 1, timing, cost, floor_ms: timing.ms });
    }
    let rows = options.rows.clamp(1, model.chunk().min(model.context - 1));
    if options.operations {
        operations(model, &rates, rows, TARGET_MS, now, on_line).await?;
    }
    let tokens = options.tokens.clamp(1, model.context - rows);
    model.reserve_rows(rows + tokens).await?;
    let sizes = Sizes { image_rows: model.config.tile_rows(), rows, tokens };
    let pixels = vec![0.5; (3 * model.config.vision.image_size.pow(2)) as usize];
    for stage in [AnswerStage::Encode, AnswerStage::Prefill, AnswerStage::Decode, AnswerStage::Attend] {
        model.attend(stage == AnswerStage::Attend).await?;
        let mut timing = Timing { ms: f64::INFINITY, gpu_ms: None };
        for _ in 0..options.repeat.max(1) {
            let start = now();
            stage.run(model, sizes, &pixels).await?;
            let ms = (now() - start) / f64::from(stage.tokens(sizes));
            let gpu_ms = model.device.gpu_ms().await?;
            if ms < timing.ms {
                timing = Timing { ms, gpu_ms };
            }
        }
        let (count, call) = match stage {
            AnswerStage::Encode => (sizes.image_rows, Call::new(1, 0)),
            AnswerStage::Prefill => (rows, Call::new(rows, 0)),
            // The token in the middle of the answer.
            AnswerStage::Decode | AnswerStage::Attend => (tokens, Call::new(1, rows + tokens / 2)),
        };
        let (cost, floor_ms) = floor(model, &rates, stage, &[call]);
        on_line(Line { backend, part: "stage", what: stage.name().into(), count, timing, cost, floor_ms });
    }
    model.attend(false).await
}

/// Rows of a picture, rows of a prompt, tokens of an answer.
#[derive(Clone, Copy)]
struct Sizes {
    image_rows: u32,
    rows: u32,
    tokens: u32,
}

/// A stage of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerStage {
    /// Pixel values → image embeds.
    Encode,
    /// A prompt, up to the logits of its last row.
    Prefill,
    /// Tokens, one step each.
    Decode,
    /// The same with attention weights, which the host reads. The floor is that of tokens without.
    Attend,
}

impl AnswerStage {
    /// Returns the label in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Attend => "decode with attention",
        }
    }

    /// Returns the passes of one replay.
    fn passes(self, p: Passes<Pass>) -> Vec<Pass> {
        match self {
            Self::Encode => vec![p.encode],
            Self::Prefill => vec![p.prefill, p.head],
            Self::Decode | Self::Attend => vec![p.step, p.head, p.sample],
        }
    }

    /// Returns the number of replays that the time of a run is divided by.
    fn tokens(self, sizes: Sizes) -> u32 {
        if matches!(self, Self::Decode | Self::Attend) { sizes.tokens } else { 1 }
    }

    /// Runs the stage once and waits for the device.
    async fn run(self, model: &mut Model, sizes: Sizes, pixels: &[f32]) -> Result<()> {
        let Sizes { rows, tokens, .. } = sizes;
        match self {
            Self::Encode => model.encode(pixels, 0)?,
            Self::Prefill => model.prefill(&vec![0; rows as usize], 0, Some(rows - 1))?,
            Self::Decode | Self::Attend => {
                let mut reading = VecDeque::new();
                for step in 0..tokens {
                    model.step(&Call { step, ..Call::new(1, rows + step) })?;
                    reading.extend(model.start_attention_read_back(rows + step + 1));
                    if reading.len() >= READ_BACKS
                        && let Some(oldest) = reading.pop_front()
                    {
                        model.device.finish_read_back(oldest).await?;
                    }
                }
                for rest in reading {
                    model.device.finish_read_back(rest).await?;
                }
            }
        }
        model.device.wait_idle().await
    }
}

/// Returns the least cost of a stage's passes in all of `calls`, and the milliseconds that it takes at the device's
/// rates.
pub(super) fn floor(model: &Model, rates: &Calibration, stage: AnswerStage, calls: &[Call]) -> (Cost, f64) {
    let passes = stage.passes(model.recorded());
    let ops: Vec<_> = passes.iter().flat_map(|pass| &pass.ops).collect();
    let costs: Vec<_> = calls.iter().flat_map(|call| ops.iter().map(|op| (op.kernel, op.cost(call)))).collect();
    let total = costs.iter().map(|(_, cost)| *cost).sum();
    let ms = costs.iter().map(|(kernel, cost)| rates.floor_ms(kernel, *cost) + rates.dispatch_ms).sum();
    (total, ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_zero_has_no_share() {
        let mut line = Line {
            backend: "cpu",
            part: "calibration",
            what: "dispatch".into(),
            count: 1,
            timing: Timing::default(),
            cost: Cost::default(),
            floor_ms: 0.0,
        };
        let share = |line: &Line| line.to_string().rsplit(',').next().unwrap().to_string();
        assert_eq!(share(&line), "");
        (line.timing.ms, line.floor_ms) = (4.0, 1.0);
        assert_eq!(share(&line), "0.250");
        let columns = Line::HEADER.split(',').collect::<Vec<_>>();
        let gpu_ms = columns.iter().position(|name| *name == "gpu_ms").unwrap();
        for (on_gpu, written) in [(None, ""), (Some(2.5), "2.5000")] {
            line.timing.gpu_ms = on_gpu;
            let line = line.to_string();
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!((fields.len(), fields[gpu_ms]), (columns.len(), written));
        }
    }
}
