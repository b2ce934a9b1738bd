//! Who does the work: one thread, or several that an edge of the program provides.

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

/// A buffer that parts write to at places of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: the parts of a job write to different elements, and nobody else has the buffer meanwhile.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
#[allow(unsafe_code)]
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
