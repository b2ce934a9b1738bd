//! Opens a device: chooses the adapter, its limits and its features.

use super::last_error::watch;
use super::{Gpu, instance};
use crate::error::{Error, Kind, Result};
use crate::pass::Call;
use crate::tuning::{Operands, Tuning};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Features of a device beyond WebGPU's defaults. Everything must also work without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// Whether shaders have 16-bit floats.
    pub f16: bool,
    /// Whether the GPU has timestamps.
    pub timestamps: bool,
    /// Whether WGSL has `dot4I8Packed`, which some browsers lack.
    pub integer_dot: bool,
}

impl Features {
    /// Returns whether the device can multiply in this number type.
    pub fn supports(self, operands: Operands) -> bool {
        match operands {
            Operands::F32 => true,
            Operands::F16 => self.f16,
            Operands::Int8 => self.integer_dot,
        }
    }
}

impl Gpu {
    /// Opens the fastest adapter.
    ///
    /// # Errors
    /// [`Kind::NoGpu`] without an adapter, or when it refuses the default limits.
    pub async fn open() -> Result<Self> {
        let instance = instance();
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let no_gpu = |e: String| Error::new(Kind::NoGpu, "WebGPU", e).hint("the CPU backend works without one");
        let adapter = instance.request_adapter(&options).await.map_err(|e| no_gpu(e.to_string()))?;
        let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::TIMESTAMP_QUERY;
        let offered = adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("llava-web"),
            required_features: offered,
            required_limits: wgpu::Limits::default(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| no_gpu(e.to_string()))?;
        let language = instance.wgsl_language_features();
        let features = Features {
            f16: offered.contains(wgpu::Features::SHADER_F16),
            timestamps: offered.contains(wgpu::Features::TIMESTAMP_QUERY),
            integer_dot: language.contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct),
        };
        let last_error = Arc::new(Mutex::new(None));
        watch(&device, &last_error);
        let call = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("call"),
            size: size_of::<Call>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let adapter = adapter.get_info();
        let software = adapter.device_type == wgpu::DeviceType::Cpu;
        let tuning = if software { Tuning::SOFTWARE } else { Tuning::HARDWARE };
        Ok(Self {
            adapter,
            features,
            device,
            queue,
            call,
            buffers: Vec::new(),
            pipelines: HashMap::new(),
            passes: Vec::new(),
            tuning,
            tuned: software,
            timestamps: None,
            last_error,
        })
    }
}
