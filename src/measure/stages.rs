//! Stages of an answer timed against their floors, and the table of everything that is measured: one format for the
//! command line and for the page.

use super::{Calibration, Clock, Timing, calibrate, check, operations};
use crate::error::Result;
use crate::model::Model;
use crate::pass::{Call, Cost};
use serde::Deserialize;
use std::fmt;

/// How long each kind of operation is timed, milliseconds.
const ENOUGH: f64 = 50.0;

/// What is measured.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Rows that are prefilled.
    pub rows: u32,
    /// Tokens that are decoded.
    pub tokens: u32,
    /// Every stage is the best of so many runs.
    pub repeat: u32,
    /// Also every kind of operation on its own.
    pub operations: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { rows: 256, tokens: 32, repeat: 5, operations: false }
    }
}

/// A line of the table; its `Display` is CSV, as [`Line::HEADER`] says. What took no time has no share of a floor, what no
/// GPU has timed has no `gpu_ms`.
#[derive(Debug, Clone)]
pub struct Line {
    /// `cpu`, `webgpu`, `vulkan`, …
    pub backend: &'static str,
    /// `calibration`, `stage`, or the pass that an operation is of.
    pub part: &'static str,
    /// What was timed.
    pub what: String,
    /// How many operations, rows or tokens.
    pub count: u32,
    /// Of all operations of a kind, of a stage, of one decoded token.
    pub timing: Timing,
    /// What that costs at least.
    pub cost: Cost,
    /// The least time for it by this device's own rates.
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

/// Checks the model, calibrates its device and times its stages by the clock `now`; every line is told as soon as it is
/// known. What the model's buffers hold is overwritten.
///
/// # Errors
/// Those of [`check()`], [`calibrate()`] and [`operations()`]: nothing is timed on a device that computes wrongly.
pub async fn bench(model: &mut Model, options: &Options, now: Clock<'_>, tell: &mut dyn FnMut(Line)) -> Result<()> {
    check(model).await?;
    model.device.record_timestamps(true);
    let measured = measure(model, options, now, tell).await;
    model.device.record_timestamps(false);
    measured
}

async fn measure(model: &mut Model, options: &Options, now: Clock<'_>, tell: &mut dyn FnMut(Line)) -> Result<()> {
    let rates = calibrate(&mut model.device, now).await?;
    let backend = model.device.backend();
    for (what, timing, cost) in rates.lines() {
        tell(Line { backend, part: "calibration", what: what.into(), count: 1, timing, cost, floor_ms: timing.ms });
    }
    let rows = options.rows.clamp(1, model.chunk().min(model.context - 1));
    if options.operations {
        operations(model, &rates, rows, ENOUGH, now, tell).await?;
    }
    let tokens = options.tokens.clamp(1, model.context - rows);
    model.make_room(rows + tokens).await?;
    let pixels = vec![0.5; (3 * model.config.vision.image_size.pow(2)) as usize];
    let image_rows = model.config.image_rows();
    for (stage, count, per) in [("encode", image_rows, 1), ("prefill", rows, 1), ("decode", tokens, tokens)] {
        let mut timing = Timing { ms: f64::INFINITY, gpu_ms: None };
        for _ in 0..options.repeat.max(1) {
            let start = now();
            run(model, stage, count, rows, &pixels).await?;
            let ms = (now() - start) / f64::from(per);
            let gpu_ms = model.device.gpu_ms().await?;
            if ms < timing.ms {
                timing = Timing { ms, gpu_ms };
            }
        }
        // A token's is that of the middle of the answer.
        let (passes, call): (&[&str], Call) = match stage {
            "encode" => (&["encode"], Call::new(1, 0)),
            "prefill" => (&["prefill", "head"], Call::new(rows, 0)),
            _ => (&["step", "head", "sample"], Call::new(1, rows + tokens / 2)),
        };
        let (cost, floor_ms) = floor(model, &rates, passes, &[call]);
        tell(Line { backend, part: "stage", what: stage.into(), count, timing, cost, floor_ms });
    }
    Ok(())
}

/// What these passes cost at least, in all of these calls, and the milliseconds that takes.
pub(super) fn floor(model: &Model, rates: &Calibration, passes: &[&str], calls: &[Call]) -> (Cost, f64) {
    let recorded = model.recorded();
    let ops: Vec<_> = recorded.iter().filter(|p| passes.contains(&p.name)).flat_map(|p| &p.ops).collect();
    let costs: Vec<_> = calls.iter().flat_map(|call| ops.iter().map(|op| (op.kernel, op.cost(call)))).collect();
    let total = costs.iter().map(|(_, cost)| *cost).sum();
    let ms = costs.iter().map(|(kernel, cost)| rates.floor_ms(kernel, *cost) + rates.dispatch_ms).sum();
    (total, ms)
}

/// One run of a stage, waited for.
async fn run(model: &mut Model, stage: &str, count: u32, prefilled: u32, pixels: &[f32]) -> Result<()> {
    match stage {
        "encode" => model.encode(pixels, 0)?,
        "prefill" => model.prefill(&vec![0; count as usize], 0, Some(count - 1))?,
        _ => {
            for step in 0..count {
                model.step(&Call { step, ..Call::new(1, prefilled + step) })?;
            }
        }
    }
    model.device.wait_idle().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_no_time_has_no_share() {
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
