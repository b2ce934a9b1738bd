//! Who does the work: one thread, or several that an edge of the program provides.
//!
//! Jobs are cut into parts, and a part belongs to whoever takes it first. So nobody waits for a thread that has not
//! started yet, sleeps, or is slow to wake: what it does not take, the others do.
#![allow(unsafe_code)] // a job borrows what it works on, which the type of a waiting thread cannot say

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads that run parts of a job.
pub trait Team: Send {
    /// How many parts run at once.
    fn size(&self) -> usize;
    /// Calls `job(part)` for every part below `parts`, each once, and returns when all are done.
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync));
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Alone;

impl Team for Alone {
    fn size(&self) -> usize {
        1
    }
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(job);
    }
}

/// What the threads of a team look at: the job of the moment. The thread that owns the device posts jobs and works on
/// them itself; the others [`work`](Self::work).
pub struct Board {
    job: Mutex<Option<Job>>,
    /// Something has been posted, or it is time to go.
    posted: Condvar,
    /// All parts are done.
    finished: Condvar,
    /// Round (high half) and next part that nobody has taken. The round changes while `job` is locked.
    ticket: AtomicU64,
    /// Parts of this round that are done.
    done: AtomicUsize,
    /// Threads that have come to work.
    members: AtomicUsize,
    /// Those of them that sleep.
    asleep: AtomicU32,
    /// Whether the thread that posts sleeps.
    awaited: AtomicBool,
    failed: AtomicBool,
    quit: AtomicBool,
    /// Looks at what is waited for before a thread goes to sleep.
    spins: u32,
}

#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: the function is `Sync`, and `Board::run` does not return before every part that was taken is done.
unsafe impl Send for Job {}

/// Waits as long as `condition` holds, without sleeping; false when it still holds after `spins` looks.
fn spin(spins: u32, condition: impl Fn() -> bool) -> bool {
    (0..spins).any(|_| {
        let over = !condition();
        if !over {
            std::hint::spin_loop();
        }
        over
    })
}

impl Board {
    /// An empty one. Threads look `spins` times before they go to sleep: the next operation usually comes within
    /// microseconds, and waking takes longer.
    pub fn new(spins: u32) -> Arc<Self> {
        Arc::new(Self {
            job: Mutex::default(),
            posted: Condvar::new(),
            finished: Condvar::new(),
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            asleep: AtomicU32::new(0),
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

    /// The next part of `round`, if it still goes on and has one left.
    fn take(&self, round: u64, parts: usize) -> Option<usize> {
        let next = |ticket: u64| (ticket >> 32 == round && ((ticket as u32) as usize) < parts).then(|| ticket + 1);
        let taken = self.ticket.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        taken.ok().map(|ticket| ticket as u32 as usize)
    }

    /// Runs parts of `round` as long as there are some.
    fn run_parts(&self, round: u64, Job { run, parts }: Job) {
        while let Some(part) = self.take(round, parts) {
            // SAFETY: whoever posted the job waits until this part is done.
            let run = unsafe { &*run };
            if catch_unwind(AssertUnwindSafe(|| run(part))).is_err() {
                self.failed.store(true, Ordering::SeqCst);
            }
            self.part_is_done(parts);
        }
    }

    fn part_is_done(&self, parts: usize) {
        if self.done.fetch_add(1, Ordering::SeqCst) + 1 >= parts && self.awaited.load(Ordering::SeqCst) {
            let _job = self.lock();
            self.finished.notify_one();
        }
    }

    /// The life of a thread of the team: it ends with [`dismiss`](Self::dismiss). `joined` is called at its beginning.
    pub fn work(&self, joined: impl FnOnce()) {
        let mut seen = self.round();
        self.members.fetch_add(1, Ordering::SeqCst);
        joined();
        loop {
            let idle = || self.round() == seen && !self.quit.load(Ordering::SeqCst);
            let awake = spin(self.spins, idle);
            let mut job = self.lock();
            if !awake {
                self.asleep.fetch_add(1, Ordering::SeqCst);
                while idle() {
                    job = self.posted.wait(job).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
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

    /// Says that a thread has died within a part: whoever waits for it will panic, instead of waiting for ever.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.part_is_done(0);
    }

    /// Ends the threads.
    pub fn dismiss(&self) {
        let _job = self.lock();
        self.quit.store(true, Ordering::SeqCst);
        self.posted.notify_all();
    }

    fn all_done(&self, parts: usize) -> bool {
        self.done.load(Ordering::SeqCst) >= parts
    }
}

impl Team for Arc<Board> {
    fn size(&self) -> usize {
        self.members.load(Ordering::SeqCst) + 1
    }

    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) {
        if parts < 2 || self.size() < 2 {
            return (0..parts).for_each(job);
        }
        // SAFETY: only the lifetime changes; this call does not end while anyone uses the job.
        let run: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        let (job, round) = (Job { run, parts }, (self.round() + 1) & u64::from(u32::MAX));
        {
            let mut posted = self.lock();
            *posted = Some(job);
            self.done.store(0, Ordering::SeqCst);
            self.ticket.store(round << 32, Ordering::SeqCst);
            if self.asleep.load(Ordering::SeqCst) > 0 {
                self.posted.notify_all();
            }
        }
        self.run_parts(round, job);
        if !spin(self.spins, || !self.all_done(parts)) {
            let mut posted = self.lock();
            self.awaited.store(true, Ordering::SeqCst);
            while !self.all_done(parts) {
                posted = self.finished.wait(posted).unwrap_or_else(PoisonError::into_inner);
            }
            self.awaited.store(false, Ordering::SeqCst);
        }
        assert!(!self.failed.swap(false, Ordering::SeqCst), "a thread of the CPU backend panicked");
    }
}

/// A buffer that parts write to at places of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: the parts of a job write to different elements, and nobody else has the buffer meanwhile.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    /// Of a buffer that is borrowed for as long as the job runs.
    pub fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }
    /// Its first element.
    pub fn pointer(self) -> *mut f32 {
        self.0
    }
}
