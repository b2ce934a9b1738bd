//! Calibration: the device's rates and fixed costs.

use super::{Clock, Timing, time_pass};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::calibrate::{COPY, FMA, FMA_F16, FMA_PER_INVOCATION, copy, fma};
use crate::pass::{Buf, Call, Cost, Kernel, Pass};
use crate::tuning::Operands;
use serde::Serialize;

/// Words per copy: 32 MiB, more than caches hold, and fewer than 65535 workgroups.
const COPIED: u64 = 8 << 20;
/// Invocations of the multiply-add kernels.
const FMA_INVOCATIONS: u32 = 1 << 14;
/// Cost of a copy.
const COPYING: Cost = Cost { bytes: 2 * 4 * COPIED, flops: 0 };
/// Cost of the multiply-adds.
const ADDING: Cost = Cost { bytes: 0, flops: 2 * FMA_PER_INVOCATION * FMA_INVOCATIONS as u64 };
/// Dispatches in the pass that measures a dispatch.
const DISPATCHES: usize = 128;
/// Time spent on each figure, milliseconds.
const TARGET_MS: f64 = 100.0;

/// The device's measured rates and fixed costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calibration {
    /// Bytes read and written per second when copying 32 MiB.
    pub copy_bytes_per_second: f64,
    /// f32 multiply-adds per second in registers, counted as two operations each.
    pub flops_per_second: f64,
    /// The same for 16-bit floats, where the device has them.
    pub f16_flops_per_second: Option<f64>,
    /// Milliseconds of a dispatch in a pass of dependent dispatches.
    pub dispatch_ms: f64,
    /// Milliseconds of a submission with one dispatch, among many submissions.
    pub submit_ms: f64,
    /// Milliseconds of reading four bytes back.
    pub read_back_ms: f64,
    /// Milliseconds by the GPU's own clock, where it is recorded: copy, multiply-adds in f32 and f16, dispatch,
    /// submission.
    gpu_ms: [Option<f64>; 5],
}

impl Calibration {
    /// Returns the milliseconds that `cost` takes at least in this kernel on this device, by the rate of the floats
    /// that it multiplies. Kernels that multiply 8-bit integers, whose rate is not measured, take that of f32.
    pub fn floor_ms(&self, kernel: &Kernel, cost: Cost) -> f64 {
        let rate =
            self.f16_flops_per_second.filter(|_| kernel.operands == Operands::F16).unwrap_or(self.flops_per_second);
        let bytes = cost.bytes as f64 / self.copy_bytes_per_second;
        bytes.max(cost.flops as f64 / rate) * 1e3
    }

    /// Returns name, time and cost of each measurement.
    pub(super) fn lines(&self) -> Vec<(&'static str, Timing, Cost)> {
        let [copying, adding, adding_f16, dispatch, submit] = self.gpu_ms;
        let none = Cost::default();
        let line = |name, ms, gpu_ms, cost| (name, Timing { ms, gpu_ms }, cost);
        let mut lines = vec![
            line("copy", self.floor_ms(&COPY, COPYING), copying, COPYING),
            line("multiply-add", self.floor_ms(&FMA, ADDING), adding, ADDING),
            line("dispatch", self.dispatch_ms, dispatch, none),
            line("submit", self.submit_ms, submit, none),
            line("read back", self.read_back_ms, None, none),
        ];
        if self.f16_flops_per_second.is_some() {
            lines.insert(2, line("multiply-add f16", self.floor_ms(&FMA_F16, ADDING), adding_f16, ADDING));
        }
        lines
    }
}

/// Measures the device; takes about a second.
///
/// # Errors
/// What the device reports; [`Kind::Gpu`](crate::error::Kind::Gpu) when its results are wrong.
pub async fn calibrate(device: &mut Device, now: Clock<'_>) -> Result<Calibration> {
    let x = device.buffer("calibration", COPIED).await?;
    let out = device.buffer("calibration", COPIED).await?;
    let result = measure(device, x, out, now).await;
    device.free(x);
    device.free(out);
    result
}

async fn measure(device: &mut Device, x: Buf, out: Buf, now: Clock<'_>) -> Result<Calibration> {
    let call = Call::new(1, 0);
    let one = |record: &dyn Fn(&mut Pass)| {
        let mut pass = Pass::new("calibrate");
        record(&mut pass);
        pass
    };
    device.upload(x, COPIED as usize - 4, bytemuck::cast_slice(&[1u32, 2, 3, 4]));
    let copying = time_pass(device, one(&|p| copy(p, x, out, (COPIED / 4) as u32)), &call, TARGET_MS, now).await?;
    let copied = device.read_back(out, COPIED as usize - 4, 4).await?;
    crate::ensure!(copied == [1, 2, 3, 4], Gpu, "calibration", "a copy has wrong results: {copied:?}");
    let adding = add(device, &FMA, out, now).await?;
    let adding_f16 = match device.features().f16 {
        true => Some(add(device, &FMA_F16, out, now).await?),
        false => None,
    };
    let submit = time_pass(device, one(&|p| copy(p, x, out, 0)), &call, TARGET_MS, now).await?;
    let many = one(&|p| (0..DISPATCHES).for_each(|_| copy(p, x, out, 0)));
    let many = time_pass(device, many, &call, TARGET_MS, now).await?;
    let dispatch = |many: f64, one: f64| (many - one) / (DISPATCHES - 1) as f64;
    let on_gpu = many.gpu_ms.zip(submit.gpu_ms).map(|(many, one)| dispatch(many, one));
    let begun = now();
    let mut readings = 0;
    while readings < 2 || now() - begun < TARGET_MS && readings < 1 << 12 {
        device.read_back(out, 0, 1).await?;
        readings += 1;
    }
    Ok(Calibration {
        copy_bytes_per_second: COPYING.bytes as f64 / (copying.ms / 1e3),
        flops_per_second: ADDING.flops as f64 / (adding.ms / 1e3),
        f16_flops_per_second: adding_f16.map(|timing| ADDING.flops as f64 / (timing.ms / 1e3)),
        dispatch_ms: dispatch(many.ms, submit.ms).max(0.0),
        submit_ms: submit.ms,
        read_back_ms: (now() - begun) / f64::from(readings),
        gpu_ms: [
            copying.gpu_ms,
            adding.gpu_ms,
            adding_f16.and_then(|timing| timing.gpu_ms),
            on_gpu.filter(|ms| *ms > 0.0),
            submit.gpu_ms,
        ],
    })
}

/// Times the multiply-adds of `kernel` and checks their results.
async fn add(device: &mut Device, kernel: &'static Kernel, out: Buf, now: Clock<'_>) -> Result<Timing> {
    let mut pass = Pass::new("calibrate");
    fma(&mut pass, kernel, out, FMA_INVOCATIONS);
    let timing = time_pass(device, pass, &Call::new(1, 0), TARGET_MS, now).await?;
    let sums = device.read_back_f32(out, 0, 4).await?;
    // y ← y · a + b converges to b / (1 − a): 8 chains of 8 · lane each.
    let right = sums.iter().enumerate().all(|(lane, y)| (y - 64.0 * lane as f32).abs() < 0.1);
    crate::ensure!(right, Gpu, "calibration", "{} has wrong results: {sums:?}", kernel.name);
    Ok(timing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::matmul_tiled::{MATMUL_F16, MATMUL_INT8};

    #[test]
    fn a_floor_is_the_larger_of_both_times() {
        let gpu_ms = [None; 5];
        let (copy_bytes_per_second, flops_per_second, f16_flops_per_second) = (1e9, 1e12, Some(4e12));
        let (dispatch_ms, submit_ms, read_back_ms) = (0.0, 0.0, 0.0);
        let rates = Calibration {
            copy_bytes_per_second,
            flops_per_second,
            f16_flops_per_second,
            dispatch_ms,
            submit_ms,
            read_back_ms,
            gpu_ms,
        };
        let cost = |bytes| Cost { bytes, flops: 8_000_000_000 };
        assert_eq!(rates.floor_ms(&FMA, cost(0)), 8.0);
        assert_eq!(rates.floor_ms(&MATMUL_INT8, cost(0)), 8.0);
        assert_eq!(rates.floor_ms(&MATMUL_F16, cost(0)), 2.0, "by the rate of f16");
        assert_eq!(rates.floor_ms(&MATMUL_F16, cost(3_000_000)), 3.0, "by bytes");
        let unmeasured = Calibration { f16_flops_per_second: None, ..rates };
        assert_eq!(unmeasured.floor_ms(&MATMUL_F16, cost(0)), 8.0);
        let names = |rates: Calibration| rates.lines().iter().map(|line| line.0).collect::<Vec<_>>();
        assert_eq!((names(rates).len(), names(unmeasured).len()), (6, 5));
    }
}
