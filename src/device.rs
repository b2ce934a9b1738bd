//! A device holds buffers and runs passes: a GPU through wgpu, or the CPU.

use crate::cpu::{Cpu, Level, ThreadPool};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::gpu::{Features, Gpu, GpuReadback};
use crate::pass::{Buf, Call, CopyRange, Op, Pass};
use crate::quant::MAX_BINDING;
use crate::tuning::Tuning;
use serde::{Deserialize, Serialize};

/// The device to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// The GPU if the machine has one, else the CPU.
    #[default]
    Auto,
    /// The GPU, or an error.
    Gpu,
    /// The CPU.
    Cpu,
    /// The CPU, running only the twins of kernels: slow, and the reference for all others.
    Reference,
}

/// Buffers and their executor.
pub struct Device {
    executor: Executor,
    allocated: u64,
}

// A program has one device: the size of the larger variant does not matter.
#[allow(clippy::large_enum_variant)]
enum Executor {
    Gpu(Gpu),
    Cpu(Cpu),
    /// Allocates nothing, and counts what a device would allocate.
    Ledger(Ledger),
}

/// A stand-in for a device, without memory.
#[derive(Default)]
struct Ledger {
    /// Tuning of the device that it stands for.
    tuning: Option<Tuning>,
    /// Features of that device.
    features: Features,
    /// Number of buffers.
    buffers: u32,
}

/// A prepared pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassId(usize);

/// A read-back in progress.
pub struct Readback(ReadbackKind);

enum ReadbackKind {
    Gpu(GpuReadback),
    Cpu(Vec<u32>),
}

impl Device {
    /// Opens the device that `choice` names.
    ///
    /// # Errors
    /// [`Kind::NoGpu`] when `choice` is the GPU and the machine has none.
    pub async fn open(choice: BackendChoice) -> Result<Self> {
        let executor = match choice {
            BackendChoice::Cpu => Executor::Cpu(Cpu::fast(Level::best())),
            BackendChoice::Reference => Executor::Cpu(Cpu::reference()),
            BackendChoice::Gpu => Executor::Gpu(Gpu::open().await?),
            BackendChoice::Auto => match Gpu::open().await {
                Ok(gpu) => Executor::Gpu(gpu),
                Err(_) => Executor::Cpu(Cpu::fast(Level::best())),
            },
        };
        Ok(Self { executor, allocated: 0 })
    }

    /// Runs the CPU's operations on `pool`. The GPU and the reference kernels ignore it.
    pub fn set_thread_pool(&mut self, pool: Box<dyn ThreadPool>) {
        if let Executor::Cpu(cpu) = &mut self.executor {
            cpu.set_thread_pool(pool);
        }
    }

    /// Opens the CPU with these instructions.
    #[cfg(test)]
    pub(crate) fn cpu(level: Level) -> Self {
        Self { executor: Executor::Cpu(Cpu::fast(level)), allocated: 0 }
    }

    /// Returns a device without memory on which passes are recorded with `tuning`, as on a GPU.
    pub fn ledger_with(tuning: Tuning) -> Self {
        Self { executor: Executor::Ledger(Ledger { tuning: Some(tuning), ..Ledger::default() }), allocated: 0 }
    }

    /// Returns a device without memory: [`allocated`](Self::allocated) is what a real one would allocate. It cannot run
    /// passes.
    pub fn ledger() -> Self {
        Self { executor: Executor::Ledger(Ledger::default()), allocated: 0 }
    }

    /// Returns a device without memory for which passes are recorded as for this one.
    pub fn without_memory(&self) -> Self {
        let ledger = Ledger { tuning: self.tuning(), features: self.features(), buffers: 0 };
        Self { executor: Executor::Ledger(ledger), allocated: 0 }
    }

    /// Returns `cpu`, `webgpu`, `vulkan`, `metal` or `dx12`.
    pub fn backend(&self) -> &'static str {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.backend(),
            Executor::Cpu(_) => "cpu",
            Executor::Ledger(_) => "none",
        }
    }

    /// Returns the name of the adapter; for the CPU, its instructions and threads.
    pub fn adapter(&self) -> String {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.adapter(),
            Executor::Cpu(cpu) => cpu.name(),
            Executor::Ledger(_) => "none".into(),
        }
    }

    /// Returns whether passes are recorded for a GPU. A device without memory answers for the device it stands for.
    pub fn is_gpu(&self) -> bool {
        self.tuning().is_some()
    }

    /// Returns the tuning that passes are recorded with; `None` on the CPU, which runs the plain kernels.
    pub fn tuning(&self) -> Option<Tuning> {
        match &self.executor {
            Executor::Gpu(gpu) => Some(gpu.tuning),
            Executor::Cpu(_) => None,
            Executor::Ledger(ledger) => ledger.tuning,
        }
    }

    /// Returns the features of a GPU beyond WebGPU's defaults; none on the CPU.
    pub fn features(&self) -> Features {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.features,
            Executor::Cpu(_) => Features::default(),
            Executor::Ledger(ledger) => ledger.features,
        }
    }

    /// Returns whether the tuning of this GPU was not measured yet.
    pub fn wants_tuning(&self) -> bool {
        matches!(&self.executor, Executor::Gpu(gpu) if !gpu.tuned)
    }

    /// Sets the tuning of passes that are recorded from now on, as [`measure::tune`](crate::measure::tune) chose it.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        match &mut self.executor {
            Executor::Gpu(gpu) => (gpu.tuning, gpu.tuned) = (tuning, true),
            Executor::Ledger(ledger) => ledger.tuning = Some(tuning),
            Executor::Cpu(_) => (),
        }
    }

    /// Returns an empty pass with the tuning of this device.
    pub fn pass(&self, name: &'static str) -> Pass {
        Pass::tuned(name, self.tuning().unwrap_or_default())
    }

    /// Returns the number of bytes in buffers.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Creates a zeroed buffer of `words` 32-bit words; `name` is for errors.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]; [`Kind::Tensor`] when it is too large for a binding ([`MAX_BINDING`]); [`Kind::GpuLost`].
    pub async fn buffer(&mut self, name: &str, words: u64) -> Result<Buf> {
        bindable(name, words)?;
        let buffer = match &mut self.executor {
            Executor::Gpu(gpu) => gpu.buffer(name, words).await?,
            Executor::Cpu(cpu) => cpu.buffer(words).map_err(|e| Error::new(Kind::OutOfMemory, name, e.to_string()))?,
            Executor::Ledger(ledger) => {
                ledger.buffers += 1;
                Buf { id: ledger.buffers, words }
            }
        };
        self.allocated += words * 4;
        Ok(buffer)
    }

    /// Frees the memory of a buffer. Prepared passes that use it must not be replayed afterwards.
    pub fn free(&mut self, buffer: Buf) {
        let words = match &mut self.executor {
            Executor::Gpu(gpu) => gpu.free(buffer),
            Executor::Cpu(cpu) => cpu.free(buffer),
            Executor::Ledger(_) => buffer.words,
        };
        self.allocated -= words * 4;
    }

    /// Changes the length of a buffer. Contents stay as far as they fit; the rest is zero. Copies of its [`Buf`] and
    /// prepared passes stay valid. Old and new memory exist at the same time for a moment.
    ///
    /// # Errors
    /// Those of [`buffer`](Self::buffer), and [`Kind::Gpu`]. The buffer does not change then.
    pub async fn resize(&mut self, buffer: Buf, words: u64) -> Result<Buf> {
        let name = "a buffer that changes its size";
        bindable(name, words)?;
        let before = match &mut self.executor {
            Executor::Gpu(gpu) => gpu.words(buffer),
            Executor::Cpu(cpu) => cpu.words(buffer),
            Executor::Ledger(_) => buffer.words,
        };
        if words != before {
            match &mut self.executor {
                Executor::Gpu(gpu) => gpu.resize(buffer, words).await?,
                Executor::Cpu(cpu) => {
                    cpu.resize(buffer, words).map_err(|e| Error::new(Kind::OutOfMemory, name, e.to_string()))?;
                }
                Executor::Ledger(_) => {}
            }
            self.allocated = self.allocated - before * 4 + words * 4;
        }
        Ok(Buf { words, ..buffer })
    }

    /// Writes `bytes` at `word_offset`.
    ///
    /// # Panics
    /// When they do not fit or are not whole words: callers check external input.
    pub fn upload(&mut self, buffer: Buf, word_offset: usize, bytes: &[u8]) {
        assert!(
            bytes.len().is_multiple_of(4) && (word_offset + bytes.len() / 4) as u64 <= buffer.words,
            "upload outside the buffer"
        );
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.upload(buffer, word_offset, bytes),
            Executor::Cpu(cpu) => cpu.upload(buffer, word_offset, bytes),
            Executor::Ledger(_) => {}
        }
    }

    /// Copies ranges between buffers, in order, after everything replayed so far.
    ///
    /// # Panics
    /// When a range lies outside its buffer.
    pub fn copy(&mut self, ranges: &[CopyRange]) {
        assert!(ranges.iter().all(CopyRange::is_inside), "copy outside a buffer");
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.copy(ranges),
            Executor::Cpu(cpu) => cpu.copy(ranges),
            Executor::Ledger(_) => {}
        }
    }

    /// Compiles the pipeline of an operation on a GPU, unless it was compiled before.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the driver refuses the shader; [`Kind::GpuLost`].
    pub async fn compile(&mut self, op: &Op) -> Result<()> {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.compile(op).await,
            Executor::Cpu(_) | Executor::Ledger(_) => Ok(()),
        }
    }

    /// Returns the number of pipelines that a GPU has compiled; 0 on the CPU.
    pub fn pipelines(&self) -> usize {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.pipelines(),
            Executor::Cpu(_) | Executor::Ledger(_) => 0,
        }
    }

    /// Prepares a recorded pass for [`replay`](Self::replay).
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the driver refuses a shader or a binding; [`Kind::GpuLost`].
    pub async fn prepare(&mut self, pass: Pass) -> Result<PassId> {
        Ok(PassId(match &mut self.executor {
            Executor::Gpu(gpu) => gpu.prepare(pass).await?,
            Executor::Cpu(cpu) => cpu.prepare(pass),
            Executor::Ledger(_) => return Err(Self::no_work()),
        }))
    }

    /// Returns the operations of a prepared pass.
    pub fn ops(&self, pass: PassId) -> Vec<Op> {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.ops(pass.0),
            Executor::Cpu(cpu) => cpu.ops(pass.0),
            Executor::Ledger(_) => Vec::new(),
        }
    }

    /// Releases a prepared pass. It must not be replayed afterwards.
    pub fn release(&mut self, pass: PassId) {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.release(pass.0),
            Executor::Cpu(cpu) => cpu.release(pass.0),
            Executor::Ledger(_) => {}
        }
    }

    /// Replays prepared passes in order, in one submission. On a GPU it returns before they have run.
    ///
    /// # Errors
    /// [`Kind::Gpu`], [`Kind::GpuLost`] or [`Kind::OutOfMemory`] when the device has reported an error.
    pub fn replay(&mut self, passes: &[PassId], call: &Call) -> Result<()> {
        let passes: Vec<usize> = passes.iter().map(|p| p.0).collect();
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.replay(&passes, call)?,
            Executor::Cpu(cpu) => cpu.replay(&passes, call),
            Executor::Ledger(_) => return Err(Self::no_work()),
        }
        Ok(())
    }

    /// Starts to read words back; [`finish_read_back`](Self::finish_read_back) waits for them.
    pub fn start_read_back(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Readback {
        Readback(match &mut self.executor {
            Executor::Gpu(gpu) => ReadbackKind::Gpu(gpu.start_read_back(buffer, word_offset, words)),
            Executor::Cpu(cpu) => ReadbackKind::Cpu(cpu.read(buffer, word_offset, words)),
            Executor::Ledger(_) => ReadbackKind::Cpu(vec![0; words]),
        })
    }

    /// Waits for a read-back.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; other errors that it reported.
    pub async fn finish_read_back(&mut self, pending: Readback) -> Result<Vec<u32>> {
        match (pending.0, &mut self.executor) {
            (ReadbackKind::Cpu(words), _) => Ok(words),
            (ReadbackKind::Gpu(reading), Executor::Gpu(gpu)) => gpu.finish_read_back(reading).await,
            (ReadbackKind::Gpu(_), _) => Err(Error::new(Kind::State, "read back", "of another device")),
        }
    }

    /// Reads words back, and waits for them.
    pub async fn read_back(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Result<Vec<u32>> {
        let pending = self.start_read_back(buffer, word_offset, words);
        self.finish_read_back(pending).await
    }

    /// Reads words [back](Self::read_back), as floats.
    pub async fn read_back_f32(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_vec(self.read_back(buffer, word_offset, words).await?))
    }

    fn no_work() -> Error {
        Error::new(Kind::State, "device", "a ledger has no memory and cannot run passes")
    }

    /// Starts or stops timing every replay by the GPU's clock. Without such a clock, none is timed.
    pub fn record_timestamps(&mut self, keep: bool) {
        if let Executor::Gpu(gpu) = &mut self.executor {
            gpu.record_timestamps(keep);
        }
    }

    /// Returns the milliseconds of a replay by the GPU's clock: the mean over the replays since the last call. `None`
    /// where none was timed, or the times are impossible.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; other errors that it reported.
    pub async fn gpu_ms(&mut self) -> Result<Option<f64>> {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.gpu_ms().await,
            Executor::Cpu(_) | Executor::Ledger(_) => Ok(None),
        }
    }

    /// Waits until everything replayed so far has run.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; other errors that it reported.
    pub async fn wait_idle(&mut self) -> Result<()> {
        if let Executor::Gpu(gpu) = &mut self.executor {
            gpu.wait_idle().await?;
        }
        Ok(())
    }
}

fn bindable(name: &str, words: u64) -> Result<()> {
    ensure!(
        words > 0 && words <= MAX_BINDING / 4,
        Tensor,
        name,
        "a buffer of {} bytes; one binding holds 4 to {MAX_BINDING}",
        words.saturating_mul(4)
    );
    Ok(())
}
