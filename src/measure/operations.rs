//! Every operation of a model's passes, timed against its floor.

use super::{Calibration, Clock, time_pass};
use crate::error::Result;
use crate::kernels::cost::{Cost, cost};
use crate::model::Model;
use crate::pass::{Call, Op, Pass};
use serde::Serialize;

/// Operations of one kind in one pass.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The pass.
    pub pass: &'static str,
    /// Kernel, constants and sizes.
    pub operation: String,
    /// How many of them the pass has.
    pub count: u32,
    /// Milliseconds of all of them, one after another.
    pub ms: f64,
    /// What they cost at least.
    pub cost: Cost,
    /// The least time for that on this device: bytes over bandwidth or operations over rate, and their dispatches.
    pub floor_ms: f64,
}

/// Times the operations of every pass of `model`, those of a kind together; each kind for about `enough` milliseconds.
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
) -> Result<Vec<Row>> {
    let mut table = Vec::new();
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
            let cost: Cost = ops.iter().map(|op| cost(op, &call)).sum();
            let count = ops.len() as u32;
            let ms = time_pass(&mut model.device, Pass { name: "measure", ops, ..Pass::default() }, &call, enough, now)
                .await?;
            let floor_ms = floors.floor_ms(cost) + f64::from(count) * floors.dispatch_ms;
            table.push(Row { pass: pass.name, operation, count, ms, cost, floor_ms });
        }
    }
    Ok(table)
}

/// Operations of the same description do the same to other buffers.
pub(super) fn describe(op: &Op) -> String {
    let consts: Vec<String> = op.consts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sizes = op.params.map(|p| p.to_string()).join(" ");
    format!("{} {} [{sizes}]", op.kernel.name, consts.join(" ")).replace("  ", " ")
}
