//! Two kinds of threads: those that make batches ahead of time, and those that compute gradients.
//!
//! Burn's CPU backend runs most element-wise operations on one thread, so the cores are used by giving each
//! worker its own part of the batch (and its own rayon pool of one thread) and averaging the gradients.

use super::params::Matrix;
use crate::error::{Error, Kind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};

/// One worker's result: gradients, the losses to report, and tokens (or pictures) seen.
pub struct Outcome {
    /// By parameter.
    pub gradients: BTreeMap<String, Matrix>,
    /// The loss and its parts.
    pub losses: Vec<f32>,
    /// Tokens or pictures.
    pub tokens: usize,
}

/// The gradient workers.
pub struct Workers(Vec<ThreadPool>);

impl Workers {
    /// `n` workers of one thread each.
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

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs `work` on each part, in parallel.
    pub fn run<B: Send>(&self, parts: Vec<B>, work: impl Fn(B) -> Outcome + Sync) -> Vec<Outcome> {
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

/// Batches `first`, `first + 1`, … made ahead on a thread of their own.
pub fn ahead<B: Send + 'static>(first: u64, make: impl Fn(u64) -> Result<B> + Send + 'static) -> Receiver<Result<B>> {
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
