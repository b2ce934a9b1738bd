//! A forward pass as data: a list of operations over named buffers.
//!
//! `model/` records a [`Pass`] once, when the weights are loaded. A [`Device`](crate::device::Device) prepares it
//! (pipelines and bind groups on a GPU, fast versions of the kernels on the CPU) and replays it any number of times.
//! The values that differ between replays, such as the number of rows and their position, travel in a [`Call`], a small
//! buffer that every kernel reads. A decoding step therefore allocates nothing.

use crate::tuning::{Operands, Tuning};
use bytemuck::{Pod, Zeroable};

/// A handle of a buffer of 32-bit words. The device that made it owns the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buf {
    pub(crate) id: u32,
    /// Length in 32-bit words.
    pub words: u64,
}

/// A range of words of one buffer, and its place in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRange {
    /// The buffer that is read.
    pub from: Buf,
    /// First word read.
    pub from_offset: u64,
    /// The buffer that is written: another one.
    pub to: Buf,
    /// First word written.
    pub to_offset: u64,
    /// Number of words.
    pub words: u64,
}

impl CopyRange {
    /// Returns whether both ranges lie inside their buffers.
    pub(crate) fn is_inside(&self) -> bool {
        let inside = |offset: u64, buffer: Buf| offset.checked_add(self.words).is_some_and(|end| end <= buffer.words);
        inside(self.from_offset, self.from) && inside(self.to_offset, self.to)
    }
}

/// The values that differ from replay to replay. Same layout as `struct Call` in every shader.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Call {
    /// `T`, number of rows in this pass.
    pub rows: u32,
    /// Position of row 0 in the context: the number of rows already cached.
    pub pos: u32,
    /// Index of the sampled token, counted from the first of this answer.
    pub step: u32,
    /// Seed of the sampler.
    pub seed: u32,
    /// Temperature; 0 means argmax.
    pub temperature: f32,
    /// Cumulative probability of the tokens that are kept; 1 keeps all.
    pub top_p: f32,
    /// Number of most likely tokens that are kept; 0 keeps all.
    pub top_k: u32,
    /// Index of the row that the head reads (the last, except in tests).
    pub head_row: u32,
    /// Largest distance of a kept logit from the largest one: `-temperature · ln(min_p)`.
    pub max_gap: f32,
    /// Divisor of the positive logits of tokens that prompt or answer hold, factor of the negative ones; 1 changes none.
    pub repetition_penalty: f32,
    /// Subtracted from a token's logit for each of its occurrences in the answer.
    pub frequency_penalty: f32,
    /// Subtracted from the logit of each token that the answer holds.
    pub presence_penalty: f32,
    /// 1 where the logit biases on the device are added, else 0.
    pub biased: u32,
    /// 1 where the mask on the device excludes tokens, else 0.
    pub masked: u32,
}

impl Call {
    /// Returns a greedy call of `rows` rows from position `pos` on, whose head reads the last row.
    pub fn new(rows: u32, pos: u32) -> Self {
        Self {
            rows,
            pos,
            step: 0,
            seed: 0,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            head_row: rows.saturating_sub(1),
            max_gap: f32::MAX,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            biased: 0,
            masked: 0,
        }
    }

    /// Returns whether logits are processed before a token is sampled from them: whether a penalty, bias or mask is set.
    pub fn processes_logits(&self) -> bool {
        let penalised = self.repetition_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0;
        penalised || self.biased == 1 || self.masked == 1
    }
}

/// The fixed parameters of an operation: `struct Params` of its shader. Floats are stored as their bits.
pub type Params = [u32; 8];

/// Access of a kernel to a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// The memory of one binding while the CPU executor runs an operation.
#[derive(Debug, Default)]
pub struct Words(pub Vec<u32>);

impl Words {
    /// Returns the words as floats.
    pub fn f32(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
    /// Returns the words as floats that can be written.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// The least memory traffic and arithmetic of an operation: the floor that its time is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Cost {
    /// Bytes of operands and results, each counted once.
    pub bytes: u64,
    /// Multiplications and additions of matrix products and attention. A multiply-add counts as two.
    pub flops: u64,
}

impl Cost {
    /// Returns zero: the [`Kernel::cost`] of kernels that move little beside products and attention. Their time is that
    /// of a dispatch.
    pub fn negligible(_: &Op, _: &Call) -> Self {
        Self::default()
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |a, b| Self { bytes: a.bytes + b.bytes, flops: a.flops + b.flops })
    }
}

/// A kernel: a shader, its CPU twin, and everything that executors and measurements need to know about it.
///
/// To add a kernel:
/// 1. Write `kernels/NAME.wgsl` and, in `kernels/NAME.rs`, a `static` of this type with the twin.
/// 2. Write its launcher there: a function that checks shapes and appends an [`Op`] to a [`Pass`].
/// 3. Test the shader against the twin with the harness, within `tolerance`.
/// 4. Add the `static` to the list of the shader test in `kernels/harness.rs`.
/// 5. If the twin is too slow on the CPU, add a fast version to the table in `cpu/fast.rs`.
pub struct Kernel {
    /// Name in reports and labels.
    pub name: &'static str,
    /// WGSL: its own file, then the files of `kernels/shared/` that it needs, joined by `concat!`. Valid as it stands;
    /// `consts` of an [`Op`] replace values in the `const` block at its beginning.
    pub wgsl: &'static str,
    /// Storage bindings, from `@binding(2)` on. Bindings 0 and 1 are the uniforms `Params` and `Call`.
    pub access: &'static [Access],
    /// `@workgroup_size`.
    pub workgroup: [u32; 3],
    /// Returns the number of workgroups of a call.
    pub grid: fn(&Params, &Call) -> [u32; 3],
    /// The twin: defines what the shader computes.
    pub reference: fn(&Op, &Call, &mut [Words]),
    /// Returns the least cost of an operation in a call.
    pub cost: fn(&Op, &Call) -> Cost,
    /// The number type in which the shader multiplies.
    pub operands: Operands,
    /// Largest normalised mean square error of the shader against the twin, on values around 1. Results that are stored
    /// as f16 may add the rounding of that type.
    pub tolerance: f64,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// An operation: a kernel, its constants and parameters, and the buffers that it works on.
#[derive(Debug, Clone)]
pub struct Op {
    /// The kernel that runs.
    pub kernel: &'static Kernel,
    /// Names and values for the shader's `const` block.
    pub consts: Vec<(&'static str, u32)>,
    /// Fixed parameters.
    pub params: Params,
    /// One buffer per entry of `kernel.access`, all different.
    pub buffers: Vec<Buf>,
}

impl Op {
    /// Returns the value of a constant.
    ///
    /// # Panics
    /// When the launcher did not set it, which no input can cause.
    pub fn constant(&self, name: &str) -> u32 {
        self.consts.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).expect("launchers set every constant")
    }

    /// Returns the least cost of this operation in a call.
    pub fn cost(&self, call: &Call) -> Cost {
        (self.kernel.cost)(self, call)
    }

    /// Returns the name of the pipeline: operations with the same name run the same shader text.
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
    /// The tuning that its operations are recorded with.
    pub tuning: Tuning,
    /// The operations in order; each reads the results of those before it.
    pub ops: Vec<Op>,
}

impl Pass {
    /// Returns an empty pass with the default tuning.
    pub fn new(name: &'static str) -> Self {
        Self::tuned(name, Tuning::default())
    }

    /// Returns an empty pass that is recorded with `tuning`.
    pub fn tuned(name: &'static str, tuning: Tuning) -> Self {
        Self { name, tuning, ops: Vec::new() }
    }

    /// Appends an operation.
    ///
    /// # Panics
    /// When the buffers do not match the kernel's bindings, or one is bound twice: a mistake of a launcher, which no
    /// input can cause.
    pub fn push(&mut self, op: Op) {
        assert_eq!(op.buffers.len(), op.kernel.access.len(), "{}: bindings", op.kernel.name);
        for (i, buffer) in op.buffers.iter().enumerate() {
            assert!(!op.buffers[..i].contains(buffer), "{}: buffer bound twice", op.kernel.name);
        }
        self.ops.push(op);
    }
}
