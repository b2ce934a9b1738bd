//! Threads for the CPU backend: they are started once and wait between operations, spinning at first, because the
//! next operation usually comes within microseconds, then asleep.
#![allow(unsafe_code)] // a job borrows what it works on, which the type of a waiting thread cannot say

use crate::cpu::Team;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Looks for a new job before a thread goes to sleep: about 50 µs.
const SPINS: u32 = 5_000;

/// The calling thread and some others.
pub struct Threads {
    board: Arc<Board>,
    others: Vec<JoinHandle<()>>,
}

/// What the threads look at.
#[derive(Default)]
struct Board {
    job: Mutex<Option<Job>>,
    posted: Condvar,
    /// Counts jobs; changes while `job` is locked.
    round: AtomicU64,
    /// Threads that have not finished the job.
    busy: AtomicUsize,
    failed: AtomicBool,
    quit: AtomicBool,
}

#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: the function is `Sync`, and `Threads::run` does not return before every thread is done with it.
unsafe impl Send for Job {}

impl Threads {
    /// `size` threads, the caller included; fewer where the system gives no more.
    pub fn new(size: usize) -> Self {
        let board = Arc::new(Board::default());
        let size = size.clamp(1, 256);
        let work = |index: usize| {
            let board = board.clone();
            std::thread::Builder::new().name(format!("cpu {index}")).spawn(move || board.work(index, size))
        };
        // A part that nobody takes would never be done: all of them or none.
        match (1..size).map(work).collect() {
            Ok(others) => Self { board, others },
            Err(_) => {
                board.dismiss();
                Self { board: Arc::default(), others: Vec::new() }
            }
        }
    }
}

impl Board {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of thread `index` of `size`.
    fn work(&self, index: usize, size: usize) {
        let mut seen = 0;
        loop {
            for _ in 0..SPINS {
                if self.round.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut job = self.lock();
            while self.round.load(Ordering::Acquire) == seen && !self.quit.load(Ordering::Acquire) {
                job = self.posted.wait(job).unwrap_or_else(PoisonError::into_inner);
            }
            if self.quit.load(Ordering::Acquire) {
                return;
            }
            seen = self.round.load(Ordering::Acquire);
            let current = *job;
            drop(job);
            if let Some(Job { run, parts }) = current {
                // SAFETY: whoever posted the job waits until `busy` is 0.
                let run = unsafe { &*run };
                let done = catch_unwind(AssertUnwindSafe(|| (index..parts).step_by(size).for_each(run)));
                if done.is_err() {
                    self.failed.store(true, Ordering::Release);
                }
            }
            self.busy.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn dismiss(&self) {
        let _job = self.lock();
        self.quit.store(true, Ordering::Release);
        self.posted.notify_all();
    }
}

/// Waits for the others when it goes away, so also when the caller's own part panics.
struct Rest<'a>(&'a Board);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let mut spins = 0u32;
        while self.0.busy.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

impl Team for Threads {
    fn size(&self) -> usize {
        self.others.len() + 1
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        if parts < 2 || self.others.is_empty() {
            return (0..parts).for_each(job);
        }
        // SAFETY: only the lifetime changes; `rest` keeps this call from ending while anyone uses the job.
        let run: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        {
            let mut posted = self.board.lock();
            *posted = Some(Job { run, parts });
            self.board.busy.store(self.others.len(), Ordering::Release);
            self.board.round.fetch_add(1, Ordering::AcqRel);
            self.board.posted.notify_all();
        }
        let rest = Rest(&self.board);
        (0..parts).step_by(self.size()).for_each(job);
        drop(rest);
        assert!(!self.board.failed.swap(false, Ordering::AcqRel), "a thread of the CPU backend panicked");
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.board.dismiss();
        for thread in self.others.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once() {
        for size in [1, 2, 3, 7] {
            let team = Threads::new(size);
            for parts in [0, 1, 2, 3, 20] {
                for _ in 0..50 {
                    let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                    team.run(parts, &|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{size} threads, {parts} parts");
                }
            }
        }
    }

    #[test]
    fn a_panic_comes_back_and_the_team_goes_on() {
        let team = Threads::new(3);
        for bad in 0..3 {
            let panicked = catch_unwind(AssertUnwindSafe(|| team.run(3, &|part| assert!(part != bad))));
            assert!(panicked.is_err(), "part {bad}");
            team.run(3, &|_| ());
        }
    }
}
