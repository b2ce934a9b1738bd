//! Threads of the CPU backend in a tab: workers that share the engine's memory and call [`work`] in it.
//!
//! The engine's worker starts them (www/worker/team.js) and they end with it. In a build without shared memory nobody
//! comes, and the engine works alone.

use crate::cpu::Board;
use js_sys::Function;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Looks for a new job before a thread goes to sleep: under a millisecond. (WebAssembly has no instruction to pause.)
const SPINS: u32 = 100_000;

/// A place where threads find work, for a device and, as an address, for those who come.
pub fn post() -> (Arc<Board>, usize) {
    let board = Board::new(SPINS);
    // It stays as long as the memory: a thread may look at it at any time.
    let address = Arc::into_raw(board.clone()) as usize;
    (board, address)
}

/// # Safety
/// `board` comes from [`post`], in this memory.
#[allow(unsafe_code)] // JavaScript carries the address from one thread to another
unsafe fn at(board: usize) -> &'static Board {
    unsafe { &*(board as *const Board) }
}

/// Works for the engine from now on, and never returns. `board` is what [`Llava::employ`](super::Llava::employ) gave;
/// `joined` is called as soon as this thread can be counted on.
#[wasm_bindgen]
pub fn work(board: usize, joined: &Function) {
    #[allow(unsafe_code)] // as `at` asks
    let board = unsafe { at(board) };
    board.work(|| drop(joined.call0(&JsValue::NULL)));
}

/// To be called where [`work`] has thrown: the engine then says so, instead of waiting for ever.
#[wasm_bindgen]
pub fn fail(board: usize) {
    #[allow(unsafe_code)] // as `at` asks
    unsafe { at(board) }.fail();
}
