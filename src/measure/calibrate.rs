//! What the device can do at most.

use super::{Clock, Timing, time_pass};
use crate::device::Device;
use crate::error::{Error, Kind, Result};
use crate::kernels::calibrate::{FMA_PER_INVOCATION, copy, fma};
use crate::kernels::cost::Cost;
use crate::pass::{Call, Pass};
use serde::Serialize;

/// Words that are copied: 32 MiB, more than caches hold, and less than 65535 workgroups.
const COPIED: u64 = 8 << 20;
/// Invocations that multiply and add.
const FMA_INVOCATIONS: u32 = 1 << 14;
/// What these two do.
const COPY: Cost = Cost { bytes: 2 * 4 * COPIED, flops: 0 };
const FMA: Cost = Cost { bytes: 0, flops: 2 * FMA_PER_INVOCATION * FMA_INVOCATIONS as u64 };
/// Dispatches in one pass, to see what one costs.
const DISPATCHES: usize = 128;
/// Each figure is measured for about so long, milliseconds.
const ENOUGH: f64 = 100.0;

/// The device's rates and fixed costs, as measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calibration {
    /// Bytes read and written per second when copying 32 MiB.
    pub copy_bytes_per_second: f64,
    /// f32 multiply-adds per second in registers, counted as two operations each.
    pub flops_per_second: f64,
    /// Milliseconds of a dispatch among many in one pass, each waiting for the one before.
    pub dispatch_ms: f64,
    /// Milliseconds of a submission of one dispatch among many.
    pub submit_ms: f64,
    /// Milliseconds from asking for four bytes to having them.
    pub read_back_ms: f64,
    /// By the GPU's own clock, where it was asked: copying 32 MiB, the multiply-adds, a dispatch, a submission.
    gpu_ms: [Option<f64>; 4],
}

impl Calibration {
    /// The time below which no kernel on this device can do `cost`, milliseconds.
    pub fn floor_ms(&self, cost: Cost) -> f64 {
        let bytes = cost.bytes as f64 / self.copy_bytes_per_second;
        let operations = cost.flops as f64 / self.flops_per_second;
        bytes.max(operations) * 1e3
    }

    /// What was measured: name, how long it took, and what was moved and computed meanwhile.
    pub(super) fn lines(&self) -> [(&'static str, Timing, Cost); 5] {
        let [copy, fma, dispatch, submit] = self.gpu_ms;
        let line = |name, ms, gpu_ms, cost| (name, Timing { ms, gpu_ms }, cost);
        [
            line("copy", self.floor_ms(COPY), copy, COPY),
            line("multiply-add", self.floor_ms(FMA), fma, FMA),
            line("dispatch", self.dispatch_ms, dispatch, Cost::default()),
            line("submit", self.submit_ms, submit, Cost::default()),
            line("read back", self.read_back_ms, None, Cost::default()),
        ]
    }
}

/// Measures the device; takes about a second.
///
/// # Errors
/// What the device reports; [`Kind::Gpu`] when its results are wrong.
pub async fn calibrate(device: &mut Device, now: Clock<'_>) -> Result<Calibration> {
    let x = device.buffer("calibration", COPIED).await?;
    let out = device.buffer("calibration", COPIED).await?;
    let result = measure(device, x, out, now).await;
    device.free(x);
    device.free(out);
    result
}

async fn measure(
    device: &mut Device,
    x: crate::pass::Buf,
    out: crate::pass::Buf,
    now: Clock<'_>,
) -> Result<Calibration> {
    let call = Call::new(1, 0);
    let one = |record: &dyn Fn(&mut Pass)| {
        let mut pass = Pass::new("calibrate");
        record(&mut pass);
        pass
    };
    device.upload(x, COPIED as usize - 4, bytemuck::cast_slice(&[1u32, 2, 3, 4]));
    let copying = time_pass(device, one(&|p| copy(p, x, out, (COPIED / 4) as u32)), &call, ENOUGH, now).await?;
    let copied = device.read_back(out, COPIED as usize - 4, 4).await?;
    crate::ensure!(copied == [1, 2, 3, 4], Gpu, "calibration", "the device copies wrongly: {copied:?}");
    let adding = time_pass(device, one(&|p| fma(p, out, FMA_INVOCATIONS)), &call, ENOUGH, now).await?;
    let sums = device.read_back_f32(out, 0, 4).await?;
    // y ← y · a + b ends at b / (1 − a): 8 chains of 8 · lane, and what is left of where they began.
    let right = sums.iter().enumerate().all(|(lane, y)| (y - 64.0 * lane as f32).abs() < 0.1);
    if !right {
        return Err(Error::new(Kind::Gpu, "calibration", format!("the device adds wrongly: {sums:?}")));
    }
    let submit = time_pass(device, one(&|p| copy(p, x, out, 0)), &call, ENOUGH, now).await?;
    let many = one(&|p| (0..DISPATCHES).for_each(|_| copy(p, x, out, 0)));
    let many = time_pass(device, many, &call, ENOUGH, now).await?;
    let dispatch = |many: f64, one: f64| (many - one) / (DISPATCHES - 1) as f64;
    let on_gpu = many.gpu_ms.zip(submit.gpu_ms).map(|(many, one)| dispatch(many, one));
    let begun = now();
    let mut readings = 0;
    while readings < 2 || now() - begun < ENOUGH && readings < 1 << 12 {
        device.read_back(out, 0, 1).await?;
        readings += 1;
    }
    Ok(Calibration {
        copy_bytes_per_second: COPY.bytes as f64 / (copying.ms / 1e3),
        flops_per_second: FMA.flops as f64 / (adding.ms / 1e3),
        dispatch_ms: dispatch(many.ms, submit.ms).max(0.0),
        submit_ms: submit.ms,
        read_back_ms: (now() - begun) / f64::from(readings),
        gpu_ms: [copying.gpu_ms, adding.gpu_ms, on_gpu.filter(|ms| *ms > 0.0), submit.gpu_ms],
    })
}
