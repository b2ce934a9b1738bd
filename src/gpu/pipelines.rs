//! Pipelines: one per kernel and constants, made once and shared by all passes.

use super::Gpu;
use crate::error::{Kind, Result};
use crate::pass::{Access, Op};

impl Gpu {
    /// Makes the pipeline of an operation, unless it is there, and waits until the device has it.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the driver refuses the shader; [`Kind::GpuLost`].
    pub(crate) async fn compile(&mut self, op: &Op) -> Result<()> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        self.pipeline(op);
        self.scope(scope, Kind::Gpu, &format!("shader `{}`", op.kernel.name)).await
    }

    /// Pipelines made so far.
    pub(crate) fn pipelines(&self) -> usize {
        self.pipelines.len()
    }

    /// The pipeline of an operation, made where it is not there.
    pub(super) fn pipeline(&mut self, op: &Op) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        let key = op.pipeline();
        if let Some(found) = self.pipelines.get(&key) {
            return found.clone();
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(op.kernel.name),
            source: wgpu::ShaderSource::Wgsl(op.wgsl().into()),
        });
        let entry = |binding: u32, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform), entry(1, wgpu::BufferBindingType::Uniform)];
        entries.extend(op.kernel.access.iter().zip(2..).map(|(access, binding)| {
            entry(binding, wgpu::BufferBindingType::Storage { read_only: *access == Access::Read })
        }));
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(op.kernel.name),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(op.kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&key),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        self.pipelines.insert(key, (pipeline.clone(), layout.clone()));
        (pipeline, layout)
    }
}
