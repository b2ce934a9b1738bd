//! Threads of the system for the CPU backend.

use crate::cpu::{Board, Team};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Looks for a new job before a thread goes to sleep: about 50 µs.
const SPINS: u32 = 5_000;

/// The calling thread and some others.
pub struct Threads {
    board: Arc<Board>,
    others: Vec<JoinHandle<()>>,
}

impl Threads {
    /// `size` threads, the caller included; fewer where the system gives no more.
    pub fn new(size: usize) -> Self {
        let board = Board::new(SPINS);
        let work = |index: usize| {
            let board = board.clone();
            std::thread::Builder::new().name(format!("cpu {index}")).spawn(move || board.work(|| ()))
        };
        let others: Vec<_> = (1..size.clamp(1, 256)).map_while(|index| work(index).ok()).collect();
        // So that whoever asks for the size is told what it will be.
        while board.size() <= others.len() {
            std::thread::yield_now();
        }
        Self { board, others }
    }
}

impl Team for Threads {
    fn size(&self) -> usize {
        self.board.size()
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        self.board.run(parts, job);
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
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    #[test]
    fn a_thread_that_dies_in_its_part_is_not_waited_for() {
        let board = Board::new(0);
        let (others, caller) = (board.clone(), std::thread::current().id());
        std::thread::spawn(move || others.work(|| ()));
        while board.size() < 2 {
            std::thread::yield_now();
        }
        let taken = AtomicUsize::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            board.run(2, &|_| {
                taken.fetch_add(1, Ordering::SeqCst);
                while taken.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                if std::thread::current().id() != caller {
                    // As a worker's script does where its program has trapped.
                    board.fail();
                    loop {
                        std::thread::park();
                    }
                }
            });
        }));
        assert!(panicked.is_err());
    }
}
