//! Operating system threads for the CPU backend.

use crate::cpu::{JobQueue, ThreadPool};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Polls for a new job before a thread goes to sleep: about 50 µs.
const SPINS: u32 = 5_000;

/// A pool of the calling thread and worker threads.
pub struct Threads {
    queue: Arc<JobQueue>,
    others: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts `size - 1` worker threads, so that the pool has `size` with the caller; fewer where the system gives
    /// no more.
    pub fn new(size: usize) -> Self {
        let queue = JobQueue::new(SPINS);
        let work = |index: usize| {
            let queue = queue.clone();
            std::thread::Builder::new().name(format!("cpu {index}")).spawn(move || queue.run_worker(|| ()))
        };
        let others: Vec<_> = (1..size.clamp(1, 256)).map_while(|index| work(index).ok()).collect();
        // The size that is reported from now on counts every worker.
        while queue.size() <= others.len() {
            std::thread::yield_now();
        }
        Self { queue, others }
    }
}

impl ThreadPool for Threads {
    fn size(&self) -> usize {
        self.queue.size()
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        self.queue.run(parts, job);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.shut_down();
        for thread in self.others.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_part_runs_once() {
        for size in [1, 2, 3, 7] {
            let pool = Threads::new(size);
            for parts in [0, 1, 2, 3, 20] {
                for _ in 0..50 {
                    let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(parts, &|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{size} threads, {parts} parts");
                }
            }
        }
    }

    #[test]
    fn a_panic_is_reported_and_the_pool_goes_on() {
        let pool = Threads::new(3);
        for bad in 0..3 {
            let panicked = catch_unwind(AssertUnwindSafe(|| pool.run(3, &|part| assert!(part != bad))));
            assert!(panicked.is_err(), "part {bad}");
            pool.run(3, &|_| ());
        }
    }

    #[test]
    fn a_thread_that_dies_in_its_part_is_not_waited_for() {
        let queue = JobQueue::new(0);
        let (others, caller) = (queue.clone(), std::thread::current().id());
        std::thread::spawn(move || others.run_worker(|| ()));
        while queue.size() < 2 {
            std::thread::yield_now();
        }
        let taken = AtomicUsize::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            queue.run(2, &|_| {
                taken.fetch_add(1, Ordering::SeqCst);
                while taken.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                if std::thread::current().id() != caller {
                    // As a worker's script does where its program has trapped.
                    queue.fail_worker();
                    loop {
                        std::thread::park();
                    }
                }
            });
        }));
        assert!(panicked.is_err());
    }
}
