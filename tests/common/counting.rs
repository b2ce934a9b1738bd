//! An allocator that counts what each thread holds, for the rule that no input makes a parser allocate more than a
//! stated multiple of the input's size. The tests of parsers and the fuzz targets install it.
#![allow(unsafe_code)] // an allocator can only be written so
#![allow(dead_code)] // each user needs a part

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, counting.
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static LIMIT: Cell<isize> = const { Cell::new(isize::MAX) };
}

fn count(bytes: isize) {
    // Threads may free after their counters are gone.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
        let _ = LIMIT.try_with(|limit| {
            if bytes > 0 && held.get() > limit.get() {
                let over = held.get() - limit.get();
                limit.set(isize::MAX); // printing allocates
                eprintln!("an allocation of {bytes} bytes goes {over} bytes beyond the limit");
                std::process::abort();
            }
        });
    });
}

// SAFETY: everything is passed on to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work`; returns its result and its peak memory, bytes.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    (result, (MOST.get() - before) as usize)
}

/// Whether an allocation beyond a limit aborts the program: set by the fuzzer.
pub static ABORT: AtomicBool = AtomicBool::new(false);

/// Runs `work` and returns its result. Under a fuzzer the allocation that goes beyond `bytes` aborts the program, so
/// that the stack shows it; elsewhere the call panics afterwards.
pub fn bounded<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if ABORT.load(Ordering::Relaxed) {
        LIMIT.set(HELD.get().saturating_add(bytes as isize));
    }
    let (result, most) = measured(work);
    LIMIT.set(isize::MAX);
    assert!(most <= bytes, "{most} bytes were held; at most {bytes} are allowed");
    result
}

/// Memory that this thread holds, bytes.
pub fn held() -> isize {
    HELD.get()
}
