//! The operations of a model's passes, timed against their floors.

use super::{Calibration, Clock, Line, time_pass};
use crate::error::Result;
use crate::model::{Model, Passes};
use crate::pass::{Call, Cost, Op, Pass};

/// Times the operations of every pass of `model`, those of a kind together, each kind for about `target_ms`
/// milliseconds, and reports each line as soon as it is known. Prefill takes `rows` rows at position 0; a step is one
/// row after them. Overwrites the contents of the model's buffers.
///
/// # Errors
/// What the device reports.
pub async fn operations(
    model: &mut Model,
    floors: &Calibration,
    rows: u32,
    target_ms: f64,
    now: Clock<'_>,
    on_line: &mut dyn FnMut(Line),
) -> Result<()> {
    let backend = model.device.backend();
    for (pass, call) in model.recorded().zip(pass_calls(rows)) {
        let mut kinds: Vec<(String, Vec<Op>)> = Vec::new();
        for op in pass.ops {
            let name = describe(&op);
            match kinds.iter_mut().find(|(known, _)| *known == name) {
                Some((_, ops)) => ops.push(op),
                None => kinds.push((name, vec![op])),
            }
        }
        for (operation, ops) in kinds {
            let cost: Cost = ops.iter().map(|op| op.cost(&call)).sum();
            let (count, kernel) = (ops.len() as u32, ops[0].kernel);
            let timing =
                time_pass(&mut model.device, Pass { name: "measure", ops, ..Pass::default() }, &call, target_ms, now)
                    .await?;
            let floor_ms = floors.floor_ms(kernel, cost) + f64::from(count) * floors.dispatch_ms;
            on_line(Line { backend, part: pass.name, what: operation, count, timing, cost, floor_ms });
        }
    }
    Ok(())
}

/// Returns the calls that operations are run with: `rows` rows at position 0 in prefill, one row after them elsewhere,
/// and every option that processes logits where they are processed.
pub(super) fn pass_calls(rows: u32) -> Passes<Call> {
    let step = Call::new(1, rows);
    let options = Call { repetition_penalty: 1.25, frequency_penalty: 0.5, presence_penalty: -0.75, ..step };
    let process = Call { biased: 1, masked: 1, ..options };
    Passes { encode: step, prefill: Call::new(rows, 0), step, head: step, sample: step, process }
}

/// Describes an operation; operations with the same description differ only in their buffers.
pub(super) fn describe(op: &Op) -> String {
    let consts: Vec<String> = op.consts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sizes = op.params.map(|p| p.to_string()).join(" ");
    format!("{} {} [{sizes}]", op.kernel.name, consts.join(" ")).replace("  ", " ")
}
