//! Data-parallel training: threads that compute gradients, and a thread that prefetches batches.
//!
//! Burn's CPU backend runs most element-wise operations on one thread. Each worker therefore computes the gradients of
//! its own part of the batch, in its own rayon pool of one thread, and the optimizer averages them.

use super::params::Matrix;
use crate::error::{Error, Kind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};

/// The result of one worker: gradients, losses to report, and the number of tokens or pictures.
pub struct WorkerGradients {
    /// Gradients by parameter name.
    pub gradients: BTreeMap<String, Matrix>,
    /// The loss, then its parts.
    pub losses: Vec<f32>,
    /// Tokens or pictures in the part.
    pub tokens: usize,
}

/// A set of gradient workers, one thread pool of one thread each.
pub struct GradientWorkers(Vec<ThreadPool>);

impl GradientWorkers {
    /// Starts `n` workers, at least one.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`] when a thread cannot be started.
    pub fn new(n: usize) -> Result<Self> {
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .stack_size(16 << 20)
                .build()
                .map_err(|e| Error::new(Kind::OutOfMemory, "threads", e.to_string()))
        };
        Ok(Self((0..n.max(1)).map(pool).collect::<Result<_>>()?))
    }

    /// Returns the number of workers.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs `work` on each part in parallel; returns the results in the order of the parts.
    pub fn run<B: Send>(&self, parts: Vec<B>, work: impl Fn(B) -> WorkerGradients + Sync) -> Vec<WorkerGradients> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = parts
                .into_iter()
                .zip(&self.0)
                .map(|(part, pool)| scope.spawn(move || pool.install(|| work(part))))
                .collect();
            threads.into_iter().filter_map(|t| t.join().ok()).collect()
        })
    }
}

/// Makes batches `first`, `first + 1`, … on a thread of their own, up to four in advance.
pub fn prefetch<B: Send + 'static>(
    first: u64,
    make: impl Fn(u64) -> Result<B> + Send + 'static,
) -> Receiver<Result<B>> {
    let (send, receive) = sync_channel(4);
    std::thread::spawn(move || {
        // Ends when the receiver is dropped.
        for step in first.. {
            if send.send(make(step)).is_err() {
                break;
            }
        }
    });
    receive
}
