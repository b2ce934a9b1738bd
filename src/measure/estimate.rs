//! The expected speed of a model, estimated before it is downloaded: one matrix of the model's size and weight type is
//! multiplied for a moment.
//!
//! A token reads every weight of the decoder once. Its time is therefore the time of one matrix, times the bytes per
//! token over the bytes of that matrix. The other work of a token is small beside it in models of a useful size.

use super::{Clock, time_pass};
use crate::device::Device;
use crate::error::{Kind, Result};
use crate::format::piece::DeviceTensor;
use crate::kernels::matmul::{Epilogue, matmul};
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::{Rows, Weight};
use crate::pass::{Buf, Call};
use crate::quant::{MAX_BINDING, plane_bytes};
use serde::Serialize;

/// Rows of a prefill measurement: enough that reading the weights no longer counts, fewer on a slow device.
const PREFILL_ROWS: [u32; 2] = [64, 8];
/// Milliseconds per row from which a device counts as slow.
const SLOW_ROW_MS: f64 = 30.0;
/// Time spent on each measurement, milliseconds.
const TARGET_MS: f64 = 50.0;

/// Expected speed of a model, and whether it fits.
#[derive(Debug, Clone, Serialize)]
pub struct SpeedEstimate {
    /// Upper bound of an answer's tokens per second.
    pub decode_tokens_per_second: f64,
    /// Upper bound of the prompt's rows (text or picture) per second.
    pub prefill_rows_per_second: f64,
    /// Lower bound of the seconds that tower and connector take for a tile of a picture; 0 where there is no picture.
    pub tile_seconds: f64,
    /// Whether the device allocated all the memory of the plan.
    pub fits: bool,
    /// The device's error, if it did not.
    pub message: String,
}

/// Estimates the speed of a model whose largest decoder matrix is `matrix`, and allocates `memory` bytes to see whether
/// the model fits. Frees everything again.
///
/// # Errors
/// [`Kind::Gpu`] and [`Kind::GpuLost`]; a lack of memory is part of the result.
pub async fn estimate_speed(
    device: &mut Device,
    matrix: &DeviceTensor,
    bytes_per_token: u64,
    memory: u64,
    now: Clock<'_>,
) -> Result<SpeedEstimate> {
    let (fits, message) = match reserve(device, memory).await {
        Ok(()) => (true, String::new()),
        Err(e) if e.kind == Kind::OutOfMemory => (false, e.to_string()),
        Err(e) => return Err(e),
    };
    // Some devices clear memory when it is first touched or freed; that work must be done before the timing.
    device.wait_idle().await?;
    let (tile_bytes, row_ms) = time_tile(device, matrix, now).await?;
    let tiles_per_token = bytes_per_token as f64 / tile_bytes;
    let [decode_tokens_per_second, prefill_rows_per_second] = row_ms.map(|ms| 1e3 / (ms.max(1e-6) * tiles_per_token));
    Ok(SpeedEstimate { decode_tokens_per_second, prefill_rows_per_second, tile_seconds: 0.0, fits, message })
}

/// Allocates `bytes` in buffers like the model's, and frees them.
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

/// Times products of one row and of many rows with the first tile of `tensor`. Returns the tile's bytes, and the
/// milliseconds per row of both.
async fn time_tile(device: &mut Device, tensor: &DeviceTensor, now: Clock<'_>) -> Result<(f64, [f64; 2])> {
    let (k, [first, end]) = (tensor.expected.shape[1], tensor.tiles[0]);
    let (kind, rows) = (tensor.weight_type, end - first);
    let (block_bytes, scale_bytes) = plane_bytes(kind, rows, k)?;
    let max_rows = u64::from(PREFILL_ROWS[0]);
    let mut buffers: Vec<Buf> = Vec::new();
    for words in [block_bytes / 4, (scale_bytes / 4).max(1), max_rows * u64::from(k), max_rows * u64::from(rows), 1] {
        buffers.push(device.buffer("probe", words).await?);
    }
    let [blocks, scales, x, out, unused] = buffers[..] else { unreachable!("five were made") };
    let placeholders = Placeholders::new(device).await?;
    buffers.extend(placeholders.0);
    let weight = Weight { kind, first_row: 0, rows, cols: k, plane_rows: rows, plane_first: 0, blocks, scales };
    let mut row_ms = [0.0; 2];
    for index in 0..2 {
        let m = [1, PREFILL_ROWS[usize::from(row_ms[0] > SLOW_ROW_MS)]][index];
        let mut pass = device.pass("probe");
        if m == 1 && device.is_gpu() {
            matvec(&mut pass, RowInput::Plain(x), weight, RowOutput::Store(out), placeholders);
        } else {
            matmul(&mut pass, Rows::Fixed(m), x, weight, None, unused, out, rows, Epilogue::Store);
        }
        row_ms[index] = time_pass(device, pass, &Call::new(m, 0), TARGET_MS, now).await?.ms / f64::from(m);
    }
    buffers.into_iter().for_each(|buffer| device.free(buffer));
    Ok(((block_bytes + scale_bytes) as f64, row_ms))
}
