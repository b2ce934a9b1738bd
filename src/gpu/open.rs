//! Opening a device: which adapter, with which limits and features.

use super::Gpu;
use super::last_error::watch;
use crate::error::{Error, Kind, Result};
use crate::kernels::Tuning;
use crate::pass::Call;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What a device offers beyond WebGPU's defaults. Nothing may need any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// The GPU's own clock.
    pub timestamps: bool,
    /// `dot4I8Packed`, a part of the language that browsers may lack.
    pub integer_dot: bool,
}

impl Gpu {
    /// Opens the fastest adapter there is.
    ///
    /// # Errors
    /// [`Kind::NoGpu`] when there is no adapter or it refuses the default limits.
    pub async fn open() -> Result<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let instance = wgpu::Instance::new(descriptor);
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
