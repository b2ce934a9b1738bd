//! The devices that training runs on: Burn's CPU backend, and burn-wgpu over Vulkan, Metal or DX12.

use crate::error::{Error, Kind, Result};
use burn::tensor::Device;
use std::str::FromStr;

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

    /// Returns the size of parameters, values, below which the optimizer updates them together
    /// ([`Params::pack_below`](super::params::Params::pack_below)).
    pub fn packed_below(&self) -> usize {
        if self.gpu { 1 << 18 } else { 0 }
    }

    /// Waits for all work on the device.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when an operation failed.
    pub fn wait(&self) -> Result<()> {
        self.device.sync().map_err(|e| Error::new(Kind::Gpu, self.name.clone(), e.to_string()))
    }
}

/// Returns the device on which `seconds` is the least: the CPU, or the GPU where there is one. Prints both. A software
/// adapter is not measured.
///
/// # Errors
/// Those of `seconds`.
pub fn fastest(stage: &str, mut seconds: impl FnMut(&TrainingDevice) -> Result<f64>) -> Result<TrainingDevice> {
    let cpu = TrainingDevice::cpu();
    let gpu = match TrainingDevice::gpu() {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("{stage}: on the CPU ({error})");
            return Ok(cpu);
        }
    };
    if gpu.software {
        println!("{stage}: on the CPU ({} computes on it, too)", gpu.name);
        return Ok(cpu);
    }
    let (on_cpu, on_gpu) = (seconds(&cpu)?, seconds(&gpu)?);
    println!("{stage}: a step takes {on_cpu:.3} s on the CPU, {on_gpu:.3} s on {}", gpu.name);
    Ok(if on_gpu < on_cpu { gpu } else { cpu })
}
