//! Every operation of a model's passes, timed against its floor.

use super::{Calibration, Clock, Line, time_pass};
use crate::error::Result;
use crate::model::Model;
use crate::pass::{Call, Cost, Op, Pass};

/// Times the operations of every pass of `model`, those of a kind together; each kind for about `enough` milliseconds. A
/// line is told as soon as it is known.
/// Prefill takes `rows` rows at position 0, a step is one row after them. What the model's buffers hold is overwritten.
///
/// # Errors
/// What the device reports.
pub async fn operations(
    model: &mut Model,
    floors: &Calibration,
    rows: u32,
    enough: f64,
    now: Clock<'_>,
    tell: &mut dyn FnMut(Line),
) -> Result<()> {
    let backend = model.device.backend();
    for pass in model.recorded() {
        let call = if pass.name == "prefill" { Call::new(rows, 0) } else { Call::new(1, rows) };
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
                time_pass(&mut model.device, Pass { name: "measure", ops, ..Pass::default() }, &call, enough, now)
                    .await?;
            let floor_ms = floors.floor_ms(kernel, cost) + f64::from(count) * floors.dispatch_ms;
            tell(Line { backend, part: pass.name, what: operation, count, timing, cost, floor_ms });
        }
    }
    Ok(())
}

/// Operations of the same description do the same to other buffers.
pub(super) fn describe(op: &Op) -> String {
    let consts: Vec<String> = op.consts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sizes = op.params.map(|p| p.to_string()).join(" ");
    format!("{} {} [{sizes}]", op.kernel.name, consts.join(" ")).replace("  ", " ")
}
