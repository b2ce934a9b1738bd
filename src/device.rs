//! A device is where buffers live and passes run: a GPU through wgpu, or the CPU.

use crate::cpu::{Cpu, Level, ThreadPool};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::gpu::{Features, Gpu, Reading};
use crate::kernels::Tuning;
use crate::pass::{Buf, Call, Op, Pass};
use crate::quant::MAX_BINDING;
use serde::{Deserialize, Serialize};

/// Which device is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// The GPU when there is one, else the CPU.
    #[default]
    Auto,
    /// The GPU, or an error.
    Gpu,
    /// The CPU.
    Cpu,
    /// The CPU, with nothing but the kernels' twins: slow, and what everything else is compared with.
    Reference,
}

/// Buffers and the executor that works on them.
pub struct Device {
    executor: Executor,
    allocated: u64,
}

// There is one device in a program: the size of the larger variant does not matter.
#[allow(clippy::large_enum_variant)]
enum Executor {
    Gpu(Gpu),
    Cpu(Cpu),
    /// Allocates nothing and counts: what would be needed.
    Ledger(Ledger),
}

/// What stands in for a device that is not there.
#[derive(Default)]
struct Ledger {
    /// Of the device that it stands for.
    tuning: Option<Tuning>,
    /// Likewise.
    features: Features,
    /// Given out so far.
    buffers: u32,
}

/// A prepared pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassId(usize);

/// A read-back under way.
pub struct Pending(PendingKind);

enum PendingKind {
    Gpu(Reading),
    Cpu(Vec<u32>),
}

impl Device {
    /// Opens the device that `choice` names.
    ///
    /// # Errors
    /// [`Kind::NoGpu`] when a GPU was asked for and there is none.
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

    /// The CPU with these instructions.
    #[cfg(test)]
    pub(crate) fn cpu(level: Level) -> Self {
        Self { executor: Executor::Cpu(Cpu::fast(level)), allocated: 0 }
    }

    /// A device without memory: [`allocated`](Self::allocated) tells what a real one would have given. It runs
    /// nothing.
    pub fn ledger() -> Self {
        Self { executor: Executor::Ledger(Ledger::default()), allocated: 0 }
    }

    /// A device without memory on which passes are recorded as for this one.
    pub fn without_memory(&self) -> Self {
        let ledger = Ledger { tuning: self.tuning(), features: self.features(), buffers: 0 };
        Self { executor: Executor::Ledger(ledger), allocated: 0 }
    }

    /// `cpu`, `webgpu`, `vulkan`, `metal`, `dx12`.
    pub fn backend(&self) -> &'static str {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.backend(),
            Executor::Cpu(_) => "cpu",
            Executor::Ledger(_) => "none",
        }
    }

    /// Name of the adapter; for the CPU, what runs there.
    pub fn adapter(&self) -> String {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.adapter(),
            Executor::Cpu(cpu) => cpu.name(),
            Executor::Ledger(_) => "none".into(),
        }
    }

    /// How passes for this device are to be recorded; none where nothing but the plain kernels runs.
    pub fn tuning(&self) -> Option<Tuning> {
        match &self.executor {
            Executor::Gpu(gpu) => Some(gpu.tuning),
            Executor::Cpu(_) => None,
            Executor::Ledger(ledger) => ledger.tuning,
        }
    }

    /// What a GPU offers beyond WebGPU's defaults; nothing elsewhere.
    pub fn features(&self) -> Features {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.features,
            Executor::Cpu(_) => Features::default(),
            Executor::Ledger(ledger) => ledger.features,
        }
    }

    /// Whether it is a guess how passes for this GPU are to be recorded.
    pub fn wants_tuning(&self) -> bool {
        matches!(&self.executor, Executor::Gpu(gpu) if !gpu.tuned)
    }

    /// What [`measure::tune`](crate::measure::tune) has found, for passes that are recorded from now on.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        if let Executor::Gpu(gpu) = &mut self.executor {
            (gpu.tuning, gpu.tuned) = (tuning, true);
        }
    }

    /// An empty pass, to be recorded for this device.
    pub fn pass(&self, name: &'static str) -> Pass {
        Pass::tuned(name, self.tuning().unwrap_or_default())
    }

    /// Bytes in buffers at present.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// A zeroed buffer of `words` 32-bit words; `name` is for errors.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`]; [`Kind::Tensor`] when it could not be bound ([`MAX_BINDING`]); [`Kind::GpuLost`].
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

    /// Gives a buffer's memory back. Prepared passes that use it must not be replayed any more.
    pub fn free(&mut self, buffer: Buf) {
        let words = match &mut self.executor {
            Executor::Gpu(gpu) => gpu.free(buffer),
            Executor::Cpu(cpu) => cpu.free(buffer),
            Executor::Ledger(_) => buffer.words,
        };
        self.allocated -= words * 4;
    }

    /// Makes a buffer longer or shorter. Contents stay as far as they fit, the rest is zero; it is the same buffer to
    /// everyone who has a copy of its [`Buf`], prepared passes too. Old and new memory exist together for a moment.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer), and [`Kind::Gpu`]; then the buffer is as it was.
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
    /// When they do not fit or are not whole words: callers check what comes from outside.
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

    /// Copies `words` words between two buffers, after everything replayed so far.
    ///
    /// # Panics
    /// When a range lies outside its buffer.
    pub fn copy(&mut self, from: Buf, to: Buf, to_offset: usize, words: usize) {
        assert!(words as u64 <= from.words && (to_offset + words) as u64 <= to.words, "copy outside a buffer");
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.copy(from, to, to_offset, words),
            Executor::Cpu(cpu) => cpu.copy(from, to, to_offset, words),
            Executor::Ledger(_) => {}
        }
    }

    /// Makes the pipeline that a GPU runs this operation with, unless it is there.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the driver refuses the shader; [`Kind::GpuLost`].
    pub async fn compile(&mut self, op: &Op) -> Result<()> {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.compile(op).await,
            Executor::Cpu(_) | Executor::Ledger(_) => Ok(()),
        }
    }

    /// Pipelines that a GPU has made so far; 0 where there are none.
    pub fn pipelines(&self) -> usize {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.pipelines(),
            Executor::Cpu(_) | Executor::Ledger(_) => 0,
        }
    }

    /// Makes a recorded pass ready for [`replay`](Self::replay).
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

    /// The operations of a prepared pass.
    pub fn ops(&self, pass: PassId) -> Vec<Op> {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.ops(pass.0),
            Executor::Cpu(cpu) => cpu.ops(pass.0),
            Executor::Ledger(_) => Vec::new(),
        }
    }

    /// Lets go of a prepared pass; it must not be replayed any more.
    pub fn forget(&mut self, pass: PassId) {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.forget(pass.0),
            Executor::Cpu(cpu) => cpu.forget(pass.0),
            Executor::Ledger(_) => {}
        }
    }

    /// Runs prepared passes in order, as one submission. On a GPU it returns before they have run.
    ///
    /// # Errors
    /// [`Kind::Gpu`], [`Kind::GpuLost`] or [`Kind::OutOfMemory`] when the device has reported trouble since.
    pub fn replay(&mut self, passes: &[PassId], call: &Call) -> Result<()> {
        let passes: Vec<usize> = passes.iter().map(|p| p.0).collect();
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.replay(&passes, call)?,
            Executor::Cpu(cpu) => cpu.replay(&passes, call),
            Executor::Ledger(_) => return Err(Self::no_work()),
        }
        Ok(())
    }

    /// Starts reading words back; [`finish_reading`](Self::finish_reading) waits for them.
    pub fn start_reading(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Pending {
        Pending(match &mut self.executor {
            Executor::Gpu(gpu) => PendingKind::Gpu(gpu.start_reading(buffer, word_offset, words)),
            Executor::Cpu(cpu) => PendingKind::Cpu(cpu.read(buffer, word_offset, words)),
            Executor::Ledger(_) => PendingKind::Cpu(vec![0; words]),
        })
    }

    /// Waits for a reading.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; what else it has reported.
    pub async fn finish_reading(&mut self, pending: Pending) -> Result<Vec<u32>> {
        match (pending.0, &mut self.executor) {
            (PendingKind::Cpu(words), _) => Ok(words),
            (PendingKind::Gpu(reading), Executor::Gpu(gpu)) => gpu.finish_reading(reading).await,
            (PendingKind::Gpu(_), _) => Err(Error::new(Kind::State, "read back", "of another device")),
        }
    }

    /// Reads words back and waits for them.
    pub async fn read_back(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Result<Vec<u32>> {
        let pending = self.start_reading(buffer, word_offset, words);
        self.finish_reading(pending).await
    }

    /// [`read_back`](Self::read_back), as floats.
    pub async fn read_back_f32(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_vec(self.read_back(buffer, word_offset, words).await?))
    }

    fn no_work() -> Error {
        Error::new(Kind::State, "device", "this one only counts what is needed")
    }

    /// Has the GPU's own clock time every replay from now on, or none; without one, none is timed.
    pub fn keep_time(&mut self, keep: bool) {
        if let Executor::Gpu(gpu) = &mut self.executor {
            gpu.keep_time(keep);
        }
    }

    /// Milliseconds of a replay by the GPU's own clock, the mean of those since this was last asked; none where none was
    /// timed, or nothing believable came of it.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; what else it has reported.
    pub async fn gpu_ms(&mut self) -> Result<Option<f64>> {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.gpu_ms().await,
            Executor::Cpu(_) | Executor::Ledger(_) => Ok(None),
        }
    }

    /// Waits until everything replayed so far has run.
    ///
    /// # Errors
    /// [`Kind::GpuLost`] when the device was lost; what else it has reported.
    pub async fn settle(&mut self) -> Result<()> {
        if let Executor::Gpu(gpu) = &mut self.executor {
            gpu.settle().await?;
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
