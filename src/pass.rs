//! A forward pass as data: a list of operations over named buffers.
//!
//! `model/` records a [`Pass`] once, when the weights are in place; a [`Device`](crate::device::Device)
//! prepares it (pipelines and bind groups on a GPU, nothing on the CPU) and replays it as often as needed.
//! What changes between replays, the number of rows and their position, travels in a [`Call`], a small
//! buffer that every kernel reads; so a decoding step makes no new object anywhere.

use crate::cpu::Tools;
use crate::kernels::Tuning;
use bytemuck::{Pod, Zeroable};

/// A buffer of 32-bit words on the device that made it. Cheap to copy; the device owns the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buf {
    pub(crate) id: u32,
    /// Length in 32-bit words.
    pub words: u64,
}

/// What changes from one replay to the next. Same layout as `struct Call` in every kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Call {
    /// `T`, rows in this pass.
    pub rows: u32,
    /// Position of row 0 in the context, which is also `S`, the rows already cached.
    pub pos: u32,
    /// Index of the token that is being sampled, counted from the first of this answer.
    pub step: u32,
    /// Seed of the sampler.
    pub seed: u32,
    /// 0 means argmax.
    pub temperature: f32,
    /// Cumulative probability that is kept; 1 keeps all.
    pub top_p: f32,
    /// Number of most likely tokens that are kept; 0 keeps all.
    pub top_k: u32,
    /// Which row of the pass the head reads (the last, except in tests).
    pub head_row: u32,
}

impl Call {
    /// `rows` rows starting at `pos`, greedy; the head reads the last of them.
    pub fn new(rows: u32, pos: u32) -> Self {
        Self { rows, pos, step: 0, seed: 0, temperature: 0.0, top_p: 1.0, top_k: 0, head_row: rows.saturating_sub(1) }
    }
}

/// Words of the fixed parameters of an operation: `struct Params` of its shader. Floats travel as bits.
pub type Params = [u32; 8];

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// Memory of one binding while the CPU executor runs an operation.
#[derive(Debug, Default)]
pub struct Words(pub Vec<u32>);

impl Words {
    /// As floats.
    pub fn f32(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
    /// As floats, to write.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// A fast CPU version of a kernel: the twin's arguments, and the executor's [`Tools`].
pub type Fast = fn(&Op, &Call, &mut [Words], &mut Tools);

/// A kernel: the shader, its CPU twin, and how both are called. One `static` per file in `kernels/`.
pub struct Kernel {
    /// Name in reports and labels.
    pub name: &'static str,
    /// WGSL: its own file, then the files of `kernels/shared/` that it needs, joined by `concat!`. Valid as it stands;
    /// `consts` of an [`Op`] replace values in the `const` block at its beginning.
    pub wgsl: &'static str,
    /// Storage bindings, from `@binding(2)` on. (0 is `Params`, 1 is `Call`, both uniform.)
    pub access: &'static [Access],
    /// `@workgroup_size`.
    pub workgroup: [u32; 3],
    /// Workgroups for a call.
    pub grid: fn(&Params, &Call) -> [u32; 3],
    /// The twin: defines what the shader computes.
    pub reference: fn(&Op, &Call, &mut [Words]),
    /// What the CPU runs where speed counts; the twin where there is nothing faster.
    pub fast: Option<Fast>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One operation: a kernel, its constants, and the buffers it works on.
#[derive(Debug, Clone)]
pub struct Op {
    /// What runs.
    pub kernel: &'static Kernel,
    /// Values for the shader's `const` block: (name, value).
    pub consts: Vec<(&'static str, u32)>,
    /// Fixed parameters.
    pub params: Params,
    /// One buffer per entry of `kernel.access`; no buffer twice.
    pub buffers: Vec<Buf>,
}

impl Op {
    /// The value of a constant; `panic`s when the launcher forgot it, which no input can cause.
    pub fn constant(&self, name: &str) -> u32 {
        self.consts.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).expect("launchers set every constant")
    }

    /// Name of its pipeline: operations with the same name run the same shader text.
    pub fn pipeline(&self) -> String {
        format!("{} {:?}", self.kernel.name, self.consts)
    }

    /// Returns the joined shader text with this operation's constants filled in.
    ///
    /// Only lines of the form `const NAME: u32 = 0u;` change, so that line numbers stay.
    pub fn wgsl(&self) -> String {
        let mut out = String::with_capacity(self.kernel.wgsl.len());
        for line in self.kernel.wgsl.lines() {
            let name = line.strip_prefix("const ").and_then(|rest| rest.split_once(": u32 = ")).map(|(name, _)| name);
            match name.and_then(|name| self.consts.iter().find(|(n, _)| *n == name)) {
                Some((name, value)) => out.push_str(&format!("const {name}: u32 = {value}u;")),
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }
}

/// A recorded list of operations.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// For labels and reports.
    pub name: &'static str,
    /// How its operations are to be computed.
    pub tuning: Tuning,
    /// In order; each sees the results of those before it.
    pub ops: Vec<Op>,
}

impl Pass {
    /// An empty pass.
    pub fn new(name: &'static str) -> Self {
        Self::tuned(name, Tuning::default())
    }

    /// An empty pass for a device of that kind.
    pub fn tuned(name: &'static str, tuning: Tuning) -> Self {
        Self { name, tuning, ops: Vec::new() }
    }

    /// Appends an operation.
    ///
    /// # Panics
    /// When the buffers do not match the kernel's bindings or one appears twice: a mistake of a launcher,
    /// which no input can cause.
    pub fn push(&mut self, op: Op) {
        assert_eq!(op.buffers.len(), op.kernel.access.len(), "{}: bindings", op.kernel.name);
        for (i, buffer) in op.buffers.iter().enumerate() {
            assert!(!op.buffers[..i].contains(buffer), "{}: buffer bound twice", op.kernel.name);
        }
        self.ops.push(op);
    }
}
