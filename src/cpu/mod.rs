//! The CPU executor: replays a pass with the kernels' fast versions, or with their twins alone.

pub(crate) mod activation;
mod activations;
pub(crate) mod attention;
pub(crate) mod calibrate;
pub(crate) mod matmul;
pub(crate) mod norm;
mod panel;
mod simd;
mod thread_pool;

pub(crate) use simd::Level;
pub use thread_pool::{JobQueue, ThreadPool};

use crate::pass::{Buf, Call, Op, Pass, Words};
use activations::Activations;
use std::cell::RefCell;
use std::collections::TryReserveError;
use thread_pool::SingleThread;

/// An operation of fewer multiply-adds is not divided: some 10 µs in a browser, and handing it over takes one or two.
const DIVISIBLE: usize = 1 << 16;
/// Parts beyond one per thread, so that a slow one holds up less, have at least so many.
const PART: usize = 1 << 20;

/// Buffers in main memory.
#[derive(Debug, Default)]
pub struct Cpu {
    buffers: Vec<Words>,
    passes: Vec<Pass>,
    /// None: only the twins run.
    tools: Option<Tools>,
}

/// What fast kernels share: instructions, threads, and memory that is used again by every operation.
pub struct Tools {
    level: Level,
    pool: Box<dyn ThreadPool>,
    /// What a mat-mul multiplies.
    activations: Activations,
}

thread_local! {
    /// Memory of a thread for its part of an operation.
    static LANE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Tools {
    /// How many parts to cut an operation of so many multiply-adds into.
    fn parts(&self, multiply_adds: usize) -> usize {
        let threads = self.pool.size();
        if threads == 1 || multiply_adds < DIVISIBLE { 1 } else { (multiply_adds / PART).clamp(threads, 4 * threads) }
    }

    fn new(level: Level, pool: Box<dyn ThreadPool>) -> Self {
        Self { level, pool, activations: Activations::default() }
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = self.pool.size();
        write!(f, "{}, {threads} thread{}", self.level.name(), if threads == 1 { "" } else { "s" })
    }
}

impl Cpu {
    /// Runs the kernels' fast versions where there are some.
    pub(crate) fn fast(level: Level) -> Self {
        Self { tools: Some(Tools::new(level, Box::new(SingleThread))), ..Self::default() }
    }

    /// Runs nothing but the twins.
    pub(crate) fn reference() -> Self {
        Self::default()
    }

    pub(crate) fn set_thread_pool(&mut self, pool: Box<dyn ThreadPool>) {
        if let Some(tools) = &mut self.tools {
            *tools = Tools::new(tools.level, pool);
        }
    }

    /// What runs here.
    pub(crate) fn name(&self) -> String {
        self.tools.as_ref().map_or("Rust reference kernels".into(), |tools| format!("{tools:?}"))
    }

    pub(crate) fn buffer(&mut self, words: u64) -> Result<Buf, TryReserveError> {
        self.buffers.push(zeroed(words)?);
        Ok(Buf { id: self.buffers.len() as u32 - 1, words })
    }

    /// Frees the memory of a buffer; returns the words it had.
    pub(crate) fn free(&mut self, buffer: Buf) -> u64 {
        std::mem::take(&mut self.buffers[buffer.id as usize]).0.len() as u64
    }

    /// Words of a buffer: those it has, not those that an old copy of its [`Buf`] remembers.
    pub(crate) fn words(&self, buffer: Buf) -> u64 {
        self.buffers[buffer.id as usize].0.len() as u64
    }

    /// Other memory behind the same buffer, with the same contents as far as they fit.
    pub(crate) fn resize(&mut self, buffer: Buf, words: u64) -> Result<(), TryReserveError> {
        let mut new = zeroed(words)?;
        let old = &mut self.buffers[buffer.id as usize];
        let kept = old.0.len().min(new.0.len());
        new.0[..kept].copy_from_slice(&old.0[..kept]);
        *old = new;
        Ok(())
    }

    pub(crate) fn upload(&mut self, buffer: Buf, word_offset: usize, bytes: &[u8]) {
        let words = &mut self.buffers[buffer.id as usize].0[word_offset..];
        let destination: &mut [u8] = bytemuck::cast_slice_mut(words);
        destination[..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn read(&self, buffer: Buf, word_offset: usize, words: usize) -> Vec<u32> {
        self.buffers[buffer.id as usize].0[word_offset..word_offset + words].to_vec()
    }

    pub(crate) fn copy(&mut self, from: Buf, to: Buf, to_offset: usize, words: usize) {
        let source = self.read(from, 0, words);
        self.buffers[to.id as usize].0[to_offset..to_offset + words].copy_from_slice(&source);
    }

    pub(crate) fn prepare(&mut self, pass: Pass) -> usize {
        self.passes.push(pass);
        self.passes.len() - 1
    }

    pub(crate) fn ops(&self, pass: usize) -> Vec<Op> {
        self.passes[pass].ops.clone()
    }

    pub(crate) fn forget(&mut self, pass: usize) {
        self.passes[pass].ops.clear();
    }

    pub(crate) fn replay(&mut self, passes: &[usize], call: &Call) {
        for &index in passes {
            for op in &self.passes[index].ops {
                // Lend each buffer to the twin for the time of the operation; none is bound twice.
                let lend = |b: &Buf| std::mem::take(&mut self.buffers[b.id as usize]);
                let mut bound: Vec<Words> = op.buffers.iter().map(lend).collect();
                match (op.kernel.fast, &mut self.tools) {
                    (Some(fast), Some(tools)) => fast(op, call, &mut bound, tools),
                    _ => (op.kernel.reference)(op, call, &mut bound),
                }
                for (buffer, words) in op.buffers.iter().zip(bound) {
                    self.buffers[buffer.id as usize] = words;
                }
            }
        }
    }
}

fn zeroed(words: u64) -> Result<Words, TryReserveError> {
    let mut memory = Vec::new();
    let length = usize::try_from(words).unwrap_or(usize::MAX);
    memory.try_reserve_exact(length)?;
    memory.resize(length, 0);
    Ok(Words(memory))
}
