//! The threads that run the CPU's operations: one, or several that an edge of the program provides.
//!
//! A job is cut into parts, and each part belongs to the thread that takes it first. A thread that has not started
//! yet, sleeps, or is slow to wake holds nothing up: the other threads take its parts.
#![allow(unsafe_code)] // a job borrows what it works on, which the type of a waiting thread cannot say

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads that run the parts of a job.
pub trait ThreadPool: Send {
    /// Number of parts that run at the same time.
    fn size(&self) -> usize;
    /// Calls `job(part)` for every part below `parts`, each once, and returns when all are done.
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone.
#[derive(Debug)]
pub(crate) struct SingleThread;

impl ThreadPool for SingleThread {
    fn size(&self) -> usize {
        1
    }
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(job);
    }
}

/// Three threads, started for every job.
#[cfg(test)]
pub(crate) struct Three;

#[cfg(test)]
impl ThreadPool for Three {
    fn size(&self) -> usize {
        3
    }
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..parts).for_each(|part| drop(scope.spawn(move || job(part)))));
    }
}

/// The current job of a pool, shared by its threads. The thread that owns the device posts jobs and takes parts of
/// them; the worker threads run [`run_worker`](Self::run_worker).
pub struct JobQueue {
    job: Mutex<Option<Job>>,
    /// A job was posted, or the workers are to end.
    job_posted: Condvar,
    /// All parts of the job are done.
    job_done: Condvar,
    /// Round (high half) and next part that no thread has taken. The round changes while `job` is locked.
    ticket: AtomicU64,
    /// Parts of this round that are done.
    parts_done: AtomicUsize,
    /// Worker threads.
    workers: AtomicUsize,
    /// Worker threads that sleep.
    sleeping: AtomicU32,
    /// Whether the posting thread sleeps until the job is done.
    awaited: AtomicBool,
    failed: AtomicBool,
    quit: AtomicBool,
    /// Polls before a thread goes to sleep.
    spins: u32,
}

#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: the function is `Sync`, and `JobQueue::run` does not return before every part that was taken is done.
unsafe impl Send for Job {}

/// Polls while `condition` holds, without sleeping. Returns false when it still holds after `spins` polls.
fn spin(spins: u32, condition: impl Fn() -> bool) -> bool {
    (0..spins).any(|_| {
        let over = !condition();
        if !over {
            std::hint::spin_loop();
        }
        over
    })
}

impl JobQueue {
    /// Makes an empty queue. Threads poll `spins` times before they go to sleep: the next operation usually comes
    /// within microseconds, and waking takes longer.
    pub fn new(spins: u32) -> Arc<Self> {
        Arc::new(Self {
            job: Mutex::default(),
            job_posted: Condvar::new(),
            job_done: Condvar::new(),
            ticket: AtomicU64::new(0),
            parts_done: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            sleeping: AtomicU32::new(0),
            awaited: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            spins,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn round(&self) -> u64 {
        self.ticket.load(Ordering::SeqCst) >> 32
    }

    /// Takes the next part of `round`; `None` when the round is over or all of its parts are taken.
    fn take(&self, round: u64, parts: usize) -> Option<usize> {
        let next = |ticket: u64| (ticket >> 32 == round && ((ticket as u32) as usize) < parts).then(|| ticket + 1);
        let taken = self.ticket.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        taken.ok().map(|ticket| ticket as u32 as usize)
    }

    /// Takes and runs parts of `round` until none is left.
    fn run_parts(&self, round: u64, Job { run, parts }: Job) {
        while let Some(part) = self.take(round, parts) {
            // SAFETY: the thread that posted the job waits until this part is done.
            let run = unsafe { &*run };
            if catch_unwind(AssertUnwindSafe(|| run(part))).is_err() {
                self.failed.store(true, Ordering::SeqCst);
            }
            self.part_is_done(parts);
        }
    }

    fn part_is_done(&self, parts: usize) {
        if self.parts_done.fetch_add(1, Ordering::SeqCst) + 1 >= parts && self.awaited.load(Ordering::SeqCst) {
            let _job = self.lock();
            self.job_done.notify_one();
        }
    }

    /// Runs jobs until [`shut_down`](Self::shut_down). `started` is called once the thread counts as a worker.
    pub fn run_worker(&self, started: impl FnOnce()) {
        let mut seen = self.round();
        self.workers.fetch_add(1, Ordering::SeqCst);
        started();
        loop {
            let idle = || self.round() == seen && !self.quit.load(Ordering::SeqCst);
            let awake = spin(self.spins, idle);
            let mut job = self.lock();
            if !awake {
                self.sleeping.fetch_add(1, Ordering::SeqCst);
                while idle() {
                    job = self.job_posted.wait(job).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleeping.fetch_sub(1, Ordering::SeqCst);
            }
            if self.quit.load(Ordering::SeqCst) {
                return;
            }
            seen = self.round();
            let current = *job;
            drop(job);
            if let Some(job) = current {
                self.run_parts(seen, job);
            }
        }
    }

    /// Reports that a thread died within a part: the thread that waits for the job panics instead of waiting for ever.
    pub fn fail_worker(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.part_is_done(0);
    }

    /// Ends the worker threads.
    pub fn shut_down(&self) {
        let _job = self.lock();
        self.quit.store(true, Ordering::SeqCst);
        self.job_posted.notify_all();
    }

    fn all_done(&self, parts: usize) -> bool {
        self.parts_done.load(Ordering::SeqCst) >= parts
    }
}

impl ThreadPool for Arc<JobQueue> {
    fn size(&self) -> usize {
        self.workers.load(Ordering::SeqCst) + 1
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        if parts < 2 || self.size() < 2 {
            return (0..parts).for_each(job);
        }
        // SAFETY: only the lifetime changes; this call does not end while a thread uses the job.
        let run: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        let (job, round) = (Job { run, parts }, (self.round() + 1) & u64::from(u32::MAX));
        {
            let mut posted = self.lock();
            *posted = Some(job);
            self.parts_done.store(0, Ordering::SeqCst);
            self.ticket.store(round << 32, Ordering::SeqCst);
            if self.sleeping.load(Ordering::SeqCst) > 0 {
                self.job_posted.notify_all();
            }
        }
        self.run_parts(round, job);
        if !spin(self.spins, || !self.all_done(parts)) {
            let mut posted = self.lock();
            self.awaited.store(true, Ordering::SeqCst);
            while !self.all_done(parts) {
                posted = self.job_done.wait(posted).unwrap_or_else(PoisonError::into_inner);
            }
            self.awaited.store(false, Ordering::SeqCst);
        }
        assert!(!self.failed.swap(false, Ordering::SeqCst), "a thread of the CPU backend panicked");
    }
}

/// A buffer of which each part of a job writes elements of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<T = f32>(*mut T);

// SAFETY: the parts of a job write to different elements, and nothing else uses the buffer meanwhile.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Shares a buffer that is borrowed for as long as the job runs.
    pub fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr())
    }
    /// Returns the address of its first element.
    pub fn pointer(self) -> *mut T {
        self.0
    }
}
