//! Data-parallel training: threads that compute gradients, and threads that make batches in advance.
//!
//! Burn's CPU backend runs most element-wise operations on one thread. Each worker therefore computes the gradients of
//! its own part of the batch, in its own rayon pool of one thread, and the optimizer averages them.

use super::params::Matrix;
use crate::error::{Error, Kind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;
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

/// Batches that threads make in advance, in order.
pub struct Prefetch<B> {
    lanes: Vec<Receiver<Result<B>>>,
    next: u64,
}

impl<B> Prefetch<B> {
    /// Returns the next batch.
    ///
    /// # Errors
    /// That of making it; [`Kind::State`] when its thread died.
    pub fn receive(&mut self) -> Result<B> {
        let lane = (self.next % self.lanes.len() as u64) as usize;
        self.next += 1;
        self.lanes[lane].recv().map_err(|e| Error::new(Kind::State, "batches", e.to_string()))?
    }
}

/// Makes batches `first`, `first + 1`, … on `threads` threads, up to four per thread in advance. Batch `i` is always
/// thread `i mod threads`'s, so the order does not depend on their speed.
pub fn prefetch<B: Send + 'static>(
    first: u64,
    threads: usize,
    make: impl Fn(u64) -> Result<B> + Send + Sync + 'static,
) -> Prefetch<B> {
    let (make, threads) = (Arc::new(make), threads.max(1) as u64);
    let lane = |lane: u64| {
        let (send, receive) = sync_channel(4);
        let make = make.clone();
        std::thread::spawn(move || {
            // Ends when the receiver is dropped.
            for step in (0..).map(|i| i * threads + lane).filter(|&step| step >= first) {
                if send.send(make(step)).is_err() {
                    break;
                }
            }
        });
        receive
    };
    Prefetch { lanes: (0..threads).map(lane).collect(), next: first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_in_order_from_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let mut batches = prefetch(7, threads, |step| {
                std::thread::sleep(std::time::Duration::from_millis(step % 3));
                Ok(step)
            });
            let order: Vec<u64> = (0..20).map(|_| batches.receive().unwrap_or(0)).collect();
            assert_eq!(order, (7..27).collect::<Vec<u64>>(), "{threads}");
        }
    }
}
