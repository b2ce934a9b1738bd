//! Threads of the CPU backend in a tab: workers that share the engine's memory and call [`run_worker`] in it.
//!
//! The page starts them (www/llava/workers.js, www/worker/thread-pool.js) and they end with it. In a build
//! without shared memory no thread joins, and the engine works on one thread.

use crate::cpu::JobQueue;
use js_sys::Function;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Polls for a new job before a thread goes to sleep: under a millisecond. (WebAssembly has no instruction to pause.)
const SPINS: u32 = 100_000;

/// Makes a job queue: for the device, and as an address for the threads that join.
pub fn create_queue() -> (Arc<JobQueue>, usize) {
    let queue = JobQueue::new(SPINS);
    // It is never freed, since a thread may use it at any time.
    let address = Arc::into_raw(queue.clone()) as usize;
    (queue, address)
}

/// # Safety
/// `address` comes from [`create_queue`], in this memory.
#[allow(unsafe_code)] // JavaScript carries the address from one thread to another
unsafe fn at(address: usize) -> &'static JobQueue {
    unsafe { &*(address as *const JobQueue) }
}

/// Runs jobs of the engine from now on, and never returns. `queue` is the result of
/// [`Llava::job_queue`](super::Llava::job_queue); `started` is called once this thread runs jobs.
#[wasm_bindgen]
pub fn run_worker(queue: usize, started: &Function) {
    #[allow(unsafe_code)] // as `at` asks
    let queue = unsafe { at(queue) };
    queue.run_worker(|| drop(started.call0(&JsValue::NULL)));
}

/// Reports that [`run_worker`] has thrown, so that the engine panics instead of waiting forever.
#[wasm_bindgen]
pub fn fail_worker(queue: usize) {
    #[allow(unsafe_code)] // as `at` asks
    unsafe { at(queue) }.fail_worker();
}
