//! A model tried out before it is there: one matrix of it, as large and as it will be held, multiplied for a moment.
//!
//! A token reads every weight of the decoder once, so its time is the matrix's, times how many of them there are;
//! what else a token costs is small beside that at the sizes where anyone asks.

use super::Loader;
use crate::device::Device;
use crate::error::{Error, Kind, Result};
use crate::format::blueprint::Planned;
use crate::format::names::{Role, Stage};
use crate::kernels::matmul::{Epilogue, matmul};
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::{Rows, Weight};
use crate::measure::time_pass;
use crate::pass::{Buf, Call};
use crate::quant::{MAX_BINDING, plane_bytes};
use serde::Serialize;

/// Rows at a time when reading is measured: many enough that the weights no longer count; fewer where one row
/// takes longer than [`SLOW`].
const MANY_ROWS: [u32; 2] = [64, 8];
/// Milliseconds for one row from which a device is slow.
const SLOW: f64 = 30.0;
/// Each measurement goes on for about so long, milliseconds.
const LONG_ENOUGH: f64 = 50.0;

/// What to expect.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// Tokens per second of an answer, at most.
    pub decode_tokens_per_second: f64,
    /// Rows per second (text or picture) of reading, at most.
    pub prefill_rows_per_second: f64,
    /// Whether the device gave all the memory that the plan needs.
    pub fits: bool,
    /// If not, what it said.
    pub message: String,
}

impl Loader {
    /// Measures with the clock `now` (milliseconds); everything allocated for it is freed again.
    ///
    /// # Errors
    /// [`Kind::Gpu`] and [`Kind::GpuLost`]; a lack of memory is a result, no error.
    pub async fn probe(&mut self, now: &dyn Fn() -> f64) -> Result<Probe> {
        let plan = self.plan(None).await?;
        let matrix = |t: &&Planned| t.expected.stage == Stage::Decoder && t.expected.role == Role::Matrix;
        let largest = self.inner.blueprint().tensors.iter().filter(matrix).max_by_key(|t| t.bytes());
        let Some(largest) = largest.cloned() else {
            return Err(Error::new(Kind::State, "probe", "the model has no decoder"));
        };
        self.tune(now).await?;
        let device = self.inner.device();
        let (fits, message) = match reserve(device, plan.memory.total).await {
            Ok(()) => (true, String::new()),
            Err(e) if e.kind == Kind::OutOfMemory => (false, e.to_string()),
            Err(e) => return Err(e),
        };
        // Some devices clear memory when it is first touched, or given back: that is not to be timed.
        device.wait_idle().await?;
        let (tile, row_ms) = measure(device, &largest, now).await?;
        // Milliseconds per row of a tile of so many bytes → rows per second.
        let tiles_per_token = plan.bytes_per_token as f64 / tile;
        let [decode_tokens_per_second, prefill_rows_per_second] =
            row_ms.map(|ms| 1e3 / (ms.max(1e-6) * tiles_per_token));
        Ok(Probe { decode_tokens_per_second, prefill_rows_per_second, fits, message })
    }
}

/// Asks for as much memory as that, in buffers as the model's, and gives it back.
async fn reserve(device: &mut Device, bytes: u64) -> Result<()> {
    let mut held = Vec::new();
    let mut left = bytes;
    let mut result = Ok(());
    while left > 3 && result.is_ok() {
        let next = left.min(MAX_BINDING);
        match device.buffer("probe", next / 4).await {
            Ok(buffer) => held.push(buffer),
            Err(e) => result = Err(e),
        }
        left -= next;
    }
    held.into_iter().for_each(|buffer| device.free(buffer));
    result
}

/// Times one row and many through a tile of `tensor`: its bytes, and milliseconds per row of both.
async fn measure(device: &mut Device, tensor: &Planned, now: &dyn Fn() -> f64) -> Result<(f64, [f64; 2])> {
    let (k, [first, end]) = (tensor.expected.shape[1], tensor.tiles[0]);
    let (kind, rows) = (tensor.weight_type, end - first);
    let (block_bytes, scale_bytes) = plane_bytes(kind, rows, k)?;
    let most = u64::from(MANY_ROWS[0]);
    let mut buffers: Vec<Buf> = Vec::new();
    for words in [block_bytes / 4, (scale_bytes / 4).max(1), most * u64::from(k), most * u64::from(rows), 1] {
        buffers.push(device.buffer("probe", words).await?);
    }
    let [blocks, scales, x, out, unused] = buffers[..] else { unreachable!("five were made") };
    let placeholders = Placeholders::new(device).await?;
    buffers.extend(placeholders.0);
    let weight = Weight { kind, first_row: 0, rows, cols: k, plane_rows: rows, plane_first: 0, blocks, scales };
    let mut row_ms = [0.0; 2];
    for index in 0..2 {
        let m = [1, MANY_ROWS[usize::from(row_ms[0] > SLOW)]][index];
        let mut pass = device.pass("probe");
        if m == 1 && device.is_gpu() {
            matvec(&mut pass, RowInput::Plain(x), weight, RowOutput::Store(out), placeholders);
        } else {
            matmul(&mut pass, Rows::Fixed(m), x, weight, None, unused, out, rows, Epilogue::Store);
        }
        row_ms[index] = time_pass(device, pass, &Call::new(m, 0), LONG_ENOUGH, now).await?.ms / f64::from(m);
    }
    buffers.into_iter().for_each(|buffer| device.free(buffer));
    Ok(((block_bytes + scale_bytes) as f64, row_ms))
}
