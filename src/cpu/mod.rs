//! The CPU executor: replays a pass with the fast versions of kernels, or with the twins alone.

mod activation;
mod activations;
mod attention;
mod attention_products;
mod attention_weights;
mod calibrate;
mod fast;
mod huge_pages;
mod map;
mod matmul;
mod micro_kernel;
mod norm;
mod panel;
mod products;
mod rope;
mod simd;
mod thread_pool;

pub(crate) use simd::Level;
#[cfg(test)]
pub(crate) use thread_pool::Three;
pub use thread_pool::{JobQueue, ThreadPool};

use crate::pass::{Buf, Call, CopyRange, Op, Pass, Words};
use crate::quant::WeightType;
use activations::Activations;
use fast::{Fast, fast_version};
use std::cell::RefCell;
use std::collections::TryReserveError;
use std::ops::Range;
use thread_pool::{Shared, SingleThread};

/// Minimum multiply-adds of an operation that runs on several threads. One thread takes about 10 µs for them in a
/// browser; passing parts to other threads takes one or two.
const MIN_PARALLEL_MULTIPLY_ADDS: usize = 1 << 16;
/// Minimum multiply-adds per part where an operation has more parts than threads, which shortens the wait for a slow
/// one.
const MIN_PART_MULTIPLY_ADDS: usize = 1 << 20;

/// Buffers in main memory.
#[derive(Debug, Default)]
pub struct Cpu {
    buffers: Vec<Words>,
    passes: Vec<Vec<Step>>,
    /// The number of buffers, the first ones, that are in huge pages where the system has them.
    in_huge_pages: usize,
    /// `None` where only the twins run.
    workspace: Option<Workspace>,
}

/// What is replayed, resolved once.
#[derive(Debug)]
enum Step {
    /// An operation by its fast version.
    Fast(Op, Fast),
    /// An operation by its twin.
    Twin(Op),
    /// Mat-muls of the same rows, as one job.
    Products(Vec<Op>),
}

/// The resources of fast kernels: instructions, threads, and memory that every operation reuses.
pub struct Workspace {
    level: Level,
    pool: Box<dyn ThreadPool>,
    /// The prepared rows of a mat-mul.
    activations: Activations,
}

thread_local! {
    /// Scratch memory of a thread for its part of an operation.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Workspace {
    /// Returns the number of parts of an operation with this number of multiply-adds.
    fn parts(&self, multiply_adds: usize) -> usize {
        let threads = self.pool.size();
        if threads == 1 || multiply_adds < MIN_PARALLEL_MULTIPLY_ADDS {
            1
        } else {
            (multiply_adds / MIN_PART_MULTIPLY_ADDS).clamp(threads, 4 * threads)
        }
    }

    fn new(level: Level, pool: Box<dyn ThreadPool>) -> Self {
        Self { level, pool, activations: Activations::default() }
    }

    /// Prepares the rows `x [m, k]` for a mat-mul with weights of type `kind`.
    fn prepare_rows(&mut self, kind: WeightType, x: &[f32], m: usize, k: usize) {
        let mut activations = std::mem::take(&mut self.activations);
        match kind {
            WeightType::F32 | WeightType::F16 => activations.floats(self, x, m, k),
            integers => activations.integers(self, integers, x, m, k),
        }
        self.activations = activations;
    }

    /// Calls `job` with ranges that cover `0..count`, on several threads where that pays: an element takes about as long
    /// as `multiply_adds` multiply-adds.
    fn ranges(&self, count: usize, multiply_adds: usize, job: &(dyn Fn(Range<usize>) + Sync)) {
        let parts = self.parts(count * multiply_adds).min(count);
        self.pool.run(parts, &|part| job(count * part / parts..count * (part + 1) / parts));
    }

    /// Calls `job(row, values)` for every row of `values`, each of `width`, on several threads where that pays: a value takes
    /// about as long as `work` multiply-adds.
    #[allow(unsafe_code)] // threads write rows of their own
    fn each_row(&self, values: &mut [f32], width: usize, work: usize, job: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let count = values.len() / width;
        let values = Shared::new(values);
        self.ranges(count, width * work, &|rows| {
            for row in rows {
                // SAFETY: `values` has `count` rows; parts have disjoint rows.
                job(row, unsafe { std::slice::from_raw_parts_mut(values.pointer().add(row * width), width) });
            }
        });
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = self.pool.size();
        write!(f, "{}, {threads} thread{}", self.level.name(), if threads == 1 { "" } else { "s" })
    }
}

impl Cpu {
    /// Returns an executor that runs the fast versions of kernels, and the twins of the others.
    pub(crate) fn fast(level: Level) -> Self {
        Self { workspace: Some(Workspace::new(level, Box::new(SingleThread))), ..Self::default() }
    }

    /// Returns an executor that runs only the twins.
    pub(crate) fn reference() -> Self {
        Self::default()
    }

    pub(crate) fn set_thread_pool(&mut self, pool: Box<dyn ThreadPool>) {
        if let Some(workspace) = &mut self.workspace {
            *workspace = Workspace::new(workspace.level, pool);
        }
    }

    /// Returns the instructions and threads, for reports.
    pub(crate) fn name(&self) -> String {
        self.workspace.as_ref().map_or("Rust reference kernels".into(), |workspace| format!("{workspace:?}"))
    }

    pub(crate) fn buffer(&mut self, words: u64) -> Result<Buf, TryReserveError> {
        self.buffers.push(zeroed(words)?);
        Ok(Buf { id: self.buffers.len() as u32 - 1, words })
    }

    /// Frees the memory of a buffer; returns the words it had.
    pub(crate) fn free(&mut self, buffer: Buf) -> u64 {
        std::mem::take(&mut self.buffers[buffer.id as usize]).0.len() as u64
    }

    /// Returns the current length of a buffer in words. A [`Buf`] copied before a resize has the old one.
    pub(crate) fn words(&self, buffer: Buf) -> u64 {
        self.buffers[buffer.id as usize].0.len() as u64
    }

    /// Changes the length of a buffer. Contents stay as far as they fit; the rest is zero.
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

    pub(crate) fn copy(&mut self, ranges: &[CopyRange]) {
        for CopyRange { from, from_offset, to, to_offset, words } in ranges {
            let mut target = std::mem::take(&mut self.buffers[to.id as usize]);
            let [from_offset, to_offset, words] = [*from_offset, *to_offset, *words].map(|n| n as usize);
            let source = &self.buffers[from.id as usize].0[from_offset..from_offset + words];
            target.0[to_offset..to_offset + words].copy_from_slice(source);
            self.buffers[to.id as usize] = target;
        }
    }

    /// Moves the buffers that were created since the last call into huge pages: passes are prepared when the weights
    /// are loaded.
    fn use_huge_pages(&mut self) {
        for buffer in self.buffers.iter().skip(self.in_huge_pages).filter(|b| b.0.len() >= huge_pages::MIN_WORDS) {
            huge_pages::collapse(&buffer.0);
        }
        self.in_huge_pages = self.buffers.len();
    }

    pub(crate) fn prepare(&mut self, pass: Pass) -> usize {
        self.use_huge_pages();
        let mut steps: Vec<Step> = Vec::with_capacity(pass.ops.len());
        for op in pass.ops {
            let is_product = self.workspace.is_some() && products::is_product(&op);
            match (steps.last_mut(), fast_version(op.kernel)) {
                (Some(Step::Products(ops)), _) if is_product && ops.iter().all(|o| products::share_rows(o, &op)) => {
                    ops.push(op)
                }
                _ if is_product => steps.push(Step::Products(vec![op])),
                (_, Some(fast)) if self.workspace.is_some() => steps.push(Step::Fast(op, fast)),
                _ => steps.push(Step::Twin(op)),
            }
        }
        self.passes.push(steps);
        self.passes.len() - 1
    }

    pub(crate) fn ops(&self, pass: usize) -> Vec<Op> {
        let ops = |step: &Step| match step {
            Step::Fast(op, _) | Step::Twin(op) => vec![op.clone()],
            Step::Products(ops) => ops.clone(),
        };
        self.passes[pass].iter().flat_map(ops).collect()
    }

    pub(crate) fn release(&mut self, pass: usize) {
        self.passes[pass].clear();
    }

    pub(crate) fn replay(&mut self, passes: &[usize], call: &Call) {
        for &index in passes {
            for step in &self.passes[index] {
                match (step, &mut self.workspace) {
                    (Step::Products(ops), Some(workspace)) => products::run(ops, call, &mut self.buffers, workspace),
                    (Step::Fast(op, fast), Some(workspace)) => {
                        lend(op, &mut self.buffers, |bound| fast(op, call, bound, workspace));
                    }
                    (Step::Twin(op), _) => lend(op, &mut self.buffers, |bound| (op.kernel.reference)(op, call, bound)),
                    (Step::Products(_) | Step::Fast(..), None) => unreachable!("prepared for twins alone"),
                }
            }
        }
    }
}

/// Lends the buffers of an operation to `run`. None is bound twice.
fn lend(op: &Op, buffers: &mut [Words], run: impl FnOnce(&mut [Words])) {
    let mut bound: Vec<Words> = op.buffers.iter().map(|b| std::mem::take(&mut buffers[b.id as usize])).collect();
    run(&mut bound);
    for (buffer, words) in op.buffers.iter().zip(bound) {
        buffers[buffer.id as usize] = words;
    }
}

/// Returns whether the CPU has a fast version of a kernel.
#[cfg(test)]
pub(crate) fn has_fast_version(kernel: &'static crate::pass::Kernel) -> bool {
    fast_version(kernel).is_some() || std::ptr::eq(kernel, &crate::kernels::matmul::MATMUL)
}

fn zeroed(words: u64) -> Result<Words, TryReserveError> {
    let mut memory = Vec::new();
    let length = usize::try_from(words).unwrap_or(usize::MAX);
    memory.try_reserve_exact(length)?;
    huge_pages::request(&memory);
    memory.resize(length, 0);
    Ok(Words(memory))
}
