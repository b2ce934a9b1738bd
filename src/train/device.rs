//! The devices that training runs on: Burn's CPU backend, and burn-wgpu over Vulkan, Metal or DX12.

use super::data_parallel::{GradientWorkers, WorkerGradients};
use super::params::Params;
use crate::error::{Error, Kind, Result};
use burn::tensor::Device;
use std::str::FromStr;
use std::time::Instant;

/// The device that a command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The one on which a step of the stage takes less time; the CPU where the only adapter is a software adapter.
    #[default]
    Auto,
    /// The CPU (Burn's backend `flex`).
    Cpu,
    /// The GPU, or an error.
    Gpu,
}

impl DeviceChoice {
    /// Opens the device that a run begins on: the CPU for [`Auto`](Self::Auto).
    ///
    /// # Errors
    /// Those of [`TrainingDevice::gpu`].
    pub fn open(self) -> Result<TrainingDevice> {
        match self {
            Self::Gpu => TrainingDevice::gpu(),
            Self::Auto | Self::Cpu => Ok(TrainingDevice::cpu()),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            other => Err(format!("`{other}` is not auto, cpu or gpu")),
        }
    }
}

/// A device with its name for people.
#[derive(Debug, Clone)]
pub struct TrainingDevice {
    /// Burn's device, without autodiff.
    pub device: Device,
    /// Name of the adapter, or `CPU`.
    pub name: String,
    /// Whether it is a GPU. Gradient workers are for the CPU only: a GPU computes one part after the other.
    pub gpu: bool,
    /// Whether it is an adapter that computes on the CPU, such as lavapipe.
    pub software: bool,
}

impl TrainingDevice {
    /// Returns the CPU.
    pub fn cpu() -> Self {
        Self { device: Device::flex(), name: "CPU".to_owned(), gpu: false, software: false }
    }

    /// Opens the GPU that wgpu prefers. The variable `CUBECL_WGPU_DEFAULT_DEVICE` names another one, such as `Cpu` for
    /// a software adapter.
    ///
    /// # Errors
    /// [`Kind::NoGpu`] when there is no adapter, or it opens no device.
    #[cfg(feature = "train-gpu")]
    pub fn gpu() -> Result<Self> {
        use std::sync::OnceLock;
        // Burn registers an adapter once; a second initialization would be an error.
        static OPENED: OnceLock<std::result::Result<TrainingDevice, String>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| {
            let (device, setup) = Device::wgpu_options().init_with_setup().map_err(|e| e.to_string())?;
            let info = setup.adapter.get_info();
            let name = format!("{} ({})", info.name, info.backend);
            Ok(Self { device, name, gpu: true, software: info.device_type == wgpu::DeviceType::Cpu })
        });
        opened.clone().map_err(|message| Error::new(Kind::NoGpu, "--device", message))
    }

    /// Returns an error: a build without the feature `train-gpu` trains on the CPU.
    ///
    /// # Errors
    /// [`Kind::NoGpu`], always.
    #[cfg(not(feature = "train-gpu"))]
    pub fn gpu() -> Result<Self> {
        Err(Error::new(
            Kind::NoGpu,
            "--device",
            "this build trains on the CPU alone; the feature train-gpu adds the GPU",
        ))
    }

    /// Makes an empty set of parameters here.
    pub fn params(&self) -> Params {
        let mut params = Params::new(self.device.clone());
        params.pack_below(self.packed_below());
        params
    }

    /// Moves parameters here.
    pub fn take(&self, params: &mut Params) {
        params.to_device(&self.device);
        params.pack_below(self.packed_below());
    }

    /// Returns the size of parameters, values, below which the optimizer updates them together
    /// ([`Params::pack_below`]).
    fn packed_below(&self) -> usize {
        if self.gpu { 1 << 18 } else { 0 }
    }

    /// Computes the gradients of parts, at most one per worker: in parallel on the CPU, one after the other on a GPU.
    pub fn gradients<B: Send>(
        &self,
        workers: &GradientWorkers,
        parts: Vec<B>,
        work: impl Fn(B) -> WorkerGradients + Sync,
    ) -> Vec<WorkerGradients> {
        if self.gpu { parts.into_iter().map(work).collect() } else { workers.run(parts, work) }
    }

    /// Waits for all work on the device.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when an operation failed.
    pub fn wait(&self) -> Result<()> {
        self.device.sync().map_err(|e| Error::new(Kind::Gpu, self.name.clone(), e.to_string()))
    }
}

/// Moves `run` to the device on which `step` takes less time: the CPU, or the GPU where there is one. Prints both times:
/// those of the second of two steps. A software adapter is not measured.
///
/// # Errors
/// Those of [`TrainingDevice::wait`].
pub fn choose<R>(stage: &str, run: &mut R, move_to: impl Fn(&mut R, &TrainingDevice), step: impl Fn(&R)) -> Result<()> {
    let cpu = TrainingDevice::cpu();
    let gpu = match TrainingDevice::gpu() {
        Ok(gpu) if !gpu.software => gpu,
        Ok(gpu) => {
            println!("{stage}: on the CPU ({} computes on it, too)", gpu.name);
            move_to(run, &cpu);
            return Ok(());
        }
        Err(error) => {
            println!("{stage}: on the CPU ({error})");
            move_to(run, &cpu);
            return Ok(());
        }
    };
    let mut times = [0.0; 2];
    for (device, seconds) in [&cpu, &gpu].into_iter().zip(&mut times) {
        move_to(run, device);
        for _ in 0..2 {
            let started = Instant::now();
            step(run);
            device.wait()?;
            *seconds = started.elapsed().as_secs_f64();
        }
    }
    let [on_cpu, on_gpu] = times;
    println!("{stage}: a step takes {on_cpu:.3} s on the CPU, {on_gpu:.3} s on {}", gpu.name);
    move_to(run, if on_gpu < on_cpu { &gpu } else { &cpu });
    Ok(())
}
