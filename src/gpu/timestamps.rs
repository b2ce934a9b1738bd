//! Timestamps of the GPU: the time of replayed passes, without that of the host and the queue.

use super::Gpu;
use crate::error::Result;

/// Maximum passes per query set: WebGPU limits the queries of a set, and a pass takes two.
const PASSES: u32 = wgpu::QUERY_SET_MAX_QUERIES / 2;

/// The times when passes began and ended.
pub(super) struct Timestamps {
    queries: wgpu::QuerySet,
    /// Number of passes that were timed.
    passes: u32,
}

impl Timestamps {
    /// Returns the queries of the next pass; `None` when the set is full.
    pub(super) fn next(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let begin = 2 * self.passes;
        (self.passes < PASSES).then(|| {
            self.passes += 1;
            wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: Some(begin),
                end_of_pass_write_index: Some(begin + 1),
            }
        })
    }
}

impl Drop for Timestamps {
    /// Frees the query set. (In a browser, dropping the handle would leave that to the garbage collector.)
    fn drop(&mut self) {
        self.queries.destroy();
    }
}

impl Gpu {
    /// Starts or stops timing every replay. Without timestamps, none is timed.
    pub(crate) fn record_timestamps(&mut self, keep: bool) {
        self.timestamps = (keep && self.features.timestamps).then(|| Timestamps {
            queries: self.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PASSES,
            }),
            passes: 0,
        });
    }

    /// Returns the milliseconds of a replay on the GPU: the mean over the replays since the last call, at most the
    /// first 2048. `None` where none was timed, or where the clock ran backwards or was too coarse. (Browsers may round
    /// it to 0.1 ms.)
    ///
    /// # Errors
    /// Those that the device reports.
    pub(crate) async fn gpu_ms(&mut self) -> Result<Option<f64>> {
        let Some(timestamps) = self.timestamps.as_mut().filter(|t| t.passes > 0) else { return Ok(None) };
        let count = 2 * std::mem::take(&mut timestamps.passes);
        let size = u64::from(count * wgpu::QUERY_SIZE);
        let resolved = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.resolve_query_set(&timestamps.queries, 0..count, &resolved, 0);
        self.queue.submit([encoder.finish()]);
        let reading = self.start_read_back_from(&resolved, 0, size);
        let ticks = self.finish_read_back(reading).await?;
        resolved.destroy();
        let ticks: Vec<u64> = ticks.chunks_exact(2).map(|word| u64::from(word[0]) | u64::from(word[1]) << 32).collect();
        Ok(mean(&ticks).map(|ticks| ticks * f64::from(self.queue.get_timestamp_period()) * 1e-6))
    }
}

/// Returns the mean distance between begin and end over pairs of both; `None` where it is not positive.
fn mean(ticks: &[u64]) -> Option<f64> {
    let apart: Option<u64> = ticks.chunks_exact(2).map(|pass| pass[1].checked_sub(pass[0])).sum();
    apart.filter(|ticks| *ticks > 0).map(|apart| apart as f64 / (ticks.len() / 2) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::calibrate::{FMA, fma};
    use crate::kernels::harness::gpu_or_skip;
    use crate::pass::{Call, Pass};
    use pollster::block_on;
    use std::time::Instant;

    #[test]
    fn impossible_times_are_none() {
        assert_eq!(mean(&[5, 9, 20, 22]), Some(3.0));
        assert_eq!(mean(&[5, 9, 20, 19]), None, "backwards");
        assert_eq!(mean(&[5, 5, 20, 20]), None, "too coarse");
        assert_eq!(mean(&[]), None);
    }

    /// Returns the mean milliseconds of ten replays of `pass`, by the GPU's clock and by the host's.
    async fn timed(gpu: &mut Gpu, pass: usize) -> (Option<f64>, f64) {
        let begun = Instant::now();
        for _ in 0..10 {
            gpu.replay(&[pass], &Call::new(1, 0)).unwrap();
        }
        gpu.wait_idle().await.unwrap();
        let ms = begun.elapsed().as_secs_f64() * 1e2;
        (gpu.gpu_ms().await.unwrap(), ms)
    }

    #[test]
    fn a_replay_takes_some_of_the_time_between_submitting_and_having_waited() {
        if !gpu_or_skip() {
            return;
        }
        block_on(async {
            let mut gpu = Gpu::open().await.unwrap();
            let out = gpu.buffer("out", 1 << 16).await.unwrap();
            let mut passes = Vec::new();
            for invocations in [1 << 10, 1 << 14] {
                let mut pass = Pass::new("fma");
                fma(&mut pass, &FMA, out, invocations);
                passes.push(gpu.prepare(pass).await.unwrap());
                // The driver may compile at the first replay.
                assert_eq!(timed(&mut gpu, *passes.last().unwrap()).await.0, None, "timing is off");
            }
            gpu.record_timestamps(true);
            let (small, small_ms) = timed(&mut gpu, passes[0]).await;
            let (large, large_ms) = timed(&mut gpu, passes[1]).await;
            assert_eq!(gpu.gpu_ms().await.unwrap(), None, "nothing was replayed since");
            if gpu.features.timestamps {
                let (small, large) = (small.unwrap(), large.unwrap());
                assert!(small > 0.0 && small <= small_ms, "{small} of {small_ms} ms");
                assert!(large > small && large <= large_ms, "{large} of {large_ms} ms; a 16th of it: {small}");
            } else {
                assert_eq!((small, large), (None, None), "no clock, no figure");
            }
            gpu.record_timestamps(false);
            assert_eq!(timed(&mut gpu, passes[0]).await.0, None, "timing is off again");
        });
    }

    #[test]
    fn more_passes_than_there_is_room_for() {
        if !gpu_or_skip() {
            return;
        }
        block_on(async {
            let mut gpu = Gpu::open().await.unwrap();
            gpu.record_timestamps(true);
            for _ in 0..PASSES + 2 {
                gpu.replay(&[], &Call::new(1, 0)).unwrap();
            }
            // The first call takes all timings, whatever their mean is.
            gpu.gpu_ms().await.unwrap();
            assert_eq!(gpu.gpu_ms().await.unwrap(), None);
        });
    }
}
