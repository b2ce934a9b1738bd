//! The GPU executor: wgpu, with pipelines and bind groups made once and replayed in one compute pass.
//!
//! Asks for WebGPU's default limits and no feature, whatever the adapter could do: 128 MiB bindings, 8
//! storage buffers, 16 KiB of workgroup memory, no f16, no subgroups. What runs in the tests therefore runs
//! on every adapter that has WebGPU at all.

use crate::error::{Error, Kind, Result};
use crate::pass::{Access, Buf, Call, Op, Params, Pass};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Slots of the parameter buffer are this far apart: WebGPU's `minUniformBufferOffsetAlignment`.
const SLOT: u64 = 256;

/// A wgpu device with its buffers, pipelines and prepared passes.
pub struct Gpu {
    adapter: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    call: wgpu::Buffer,
    buffers: Vec<wgpu::Buffer>,
    pipelines: HashMap<String, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    passes: Vec<Vec<Prepared>>,
    /// First error reported outside any scope: a lost device, a driver's complaint.
    trouble: Arc<Mutex<Option<Error>>>,
}

/// An operation ready to be replayed.
struct Prepared {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: fn(&Params, &Call) -> [u32; 3],
    params: Params,
}

/// A read-back under way; it settles when the GPU has reached it.
pub struct Reading {
    staging: wgpu::Buffer,
    done: futures_channel::oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
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
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("llava-web"),
            required_limits: wgpu::Limits::default(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| no_gpu(e.to_string()))?;
        let trouble = Arc::new(Mutex::new(None));
        watch(&device, &trouble);
        let call = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("call"),
            size: size_of::<Call>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let adapter = adapter.get_info();
        Ok(Self {
            adapter,
            device,
            queue,
            call,
            buffers: Vec::new(),
            pipelines: HashMap::new(),
            passes: Vec::new(),
            trouble,
        })
    }

    /// `webgpu` in a browser, else the native interface.
    pub fn backend(&self) -> &'static str {
        match self.adapter.backend {
            wgpu::Backend::BrowserWebGpu => "webgpu",
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            _ => "gpu",
        }
    }

    /// Name of the adapter, as the driver gives it.
    pub fn adapter(&self) -> String {
        let info = &self.adapter;
        let words = [info.name.as_str(), info.driver.as_str(), info.driver_info.as_str()];
        words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" · ")
    }

    /// Waits for an error scope and turns what it caught into ours.
    async fn scope(guard: wgpu::ErrorScopeGuard, kind: Kind, place: &str) -> Result<()> {
        match guard.pop().await {
            None => Ok(()),
            Some(error) => Err(Error::new(kind, place, error.to_string())),
        }
    }

    /// Makes a zeroed buffer. Out of memory is caught here, not at first use.
    pub(crate) async fn buffer(&mut self, name: &str, words: u64) -> Result<Buf> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: words.max(1) * 4,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let place = format!("GPU buffer `{name}` of {} bytes", words * 4);
        Self::scope(validation, Kind::Gpu, &place).await?;
        Self::scope(memory, Kind::OutOfMemory, &place).await?;
        self.buffers.push(buffer);
        Ok(Buf { id: self.buffers.len() as u32 - 1, words })
    }

    pub(crate) fn upload(&mut self, buffer: Buf, word_offset: usize, bytes: &[u8]) {
        self.queue.write_buffer(&self.buffers[buffer.id as usize], word_offset as u64 * 4, bytes);
    }

    pub(crate) fn copy(&mut self, from: Buf, to: Buf, to_offset: usize, words: usize) {
        let [from, to] = [from, to].map(|b| &self.buffers[b.id as usize]);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, to, to_offset as u64 * 4, words as u64 * 4);
        self.queue.submit([encoder.finish()]);
    }

    /// Compiles what the pass needs and binds its buffers.
    pub(crate) async fn prepare(&mut self, pass: Pass) -> Result<usize> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let slots = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(pass.name),
            size: SLOT * pass.ops.len().max(1) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut prepared = Vec::with_capacity(pass.ops.len());
        for (index, op) in pass.ops.iter().enumerate() {
            let offset = SLOT * index as u64;
            self.queue.write_buffer(&slots, offset, bytemuck::cast_slice(&op.params));
            let (pipeline, layout) = self.pipeline(op);
            prepared.push(Prepared {
                bindings: self.bind(op, &layout, &slots, offset),
                pipeline,
                grid: op.kernel.grid,
                params: op.params,
            });
        }
        Self::scope(scope, Kind::Gpu, &format!("pass `{}`", pass.name)).await?;
        self.passes.push(prepared);
        Ok(self.passes.len() - 1)
    }

    fn pipeline(&mut self, op: &Op) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        let key = format!("{} {:?}", op.kernel.name, op.consts);
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

    fn bind(&self, op: &Op, layout: &wgpu::BindGroupLayout, slots: &wgpu::Buffer, offset: u64) -> wgpu::BindGroup {
        let slot =
            wgpu::BufferBinding { buffer: slots, offset, size: wgpu::BufferSize::new(size_of::<Params>() as u64) };
        let mut entries = vec![
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(slot) },
            wgpu::BindGroupEntry { binding: 1, resource: self.call.as_entire_binding() },
        ];
        entries.extend(op.buffers.iter().zip(2..).map(|(buffer, binding)| wgpu::BindGroupEntry {
            binding,
            resource: self.buffers[buffer.id as usize].as_entire_binding(),
        }));
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(op.kernel.name),
            layout,
            entries: &entries,
        })
    }

    /// Replays prepared passes, one after the other, in one compute pass and one submit.
    pub(crate) fn replay(&mut self, passes: &[usize], call: &Call) -> Result<()> {
        self.healthy()?;
        self.queue.write_buffer(&self.call, 0, bytemuck::bytes_of(call));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut compute = encoder.begin_compute_pass(&Default::default());
            for op in passes.iter().flat_map(|&p| &self.passes[p]) {
                let [x, y, z] = (op.grid)(&op.params, call);
                compute.set_pipeline(&op.pipeline);
                compute.set_bind_group(0, &op.bindings, &[]);
                compute.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Starts reading `words` words back; the copy happens after everything replayed so far.
    pub(crate) fn start_reading(&mut self, buffer: Buf, word_offset: usize, words: usize) -> Reading {
        let size = words as u64 * 4;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.buffers[buffer.id as usize], word_offset as u64 * 4, &staging, 0, size);
        let submission = self.queue.submit([encoder.finish()]);
        let (tell, done) = futures_channel::oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only when the reading was dropped: nobody waits any more.
            let _ = tell.send(result);
        });
        Reading { staging, done, submission }
    }

    /// Waits for a reading.
    pub(crate) async fn finish_reading(&mut self, reading: Reading) -> Result<Vec<u32>> {
        let lost = |e: String| Error::new(Kind::Gpu, "read back", e).hint("reload the page to get a new device");
        // In a browser `poll` does nothing and the event loop drives the callback.
        let wait = wgpu::PollType::Wait { submission_index: Some(reading.submission), timeout: None };
        self.device.poll(wait).map_err(|e| lost(e.to_string()))?;
        let mapped = reading.done.await.map_err(|e| lost(e.to_string()))?;
        self.healthy()?;
        mapped.map_err(|e| lost(e.to_string()))?;
        let view = reading.staging.slice(..).get_mapped_range().map_err(|e| lost(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    /// Waits until everything submitted has run.
    pub(crate) async fn settle(&self) -> Result<()> {
        let (tell, done) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone only when nobody waits any more.
            let _ = tell.send(());
        });
        let lost = |e: String| Error::new(Kind::Gpu, "GPU", e).hint("reload the page to get a new device");
        // In a browser `poll` does nothing and the event loop drives the callback.
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| lost(e.to_string()))?;
        done.await.map_err(|e| lost(e.to_string()))?;
        self.healthy()
    }

    /// The first error that was reported outside any scope, if there was one.
    fn healthy(&self) -> Result<()> {
        match self.trouble.lock().map(|t| t.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::new(Kind::Gpu, "device", "the error handler panicked")),
        }
    }
}

/// Remembers the first error that the device reports on its own.
fn watch(device: &wgpu::Device, trouble: &Arc<Mutex<Option<Error>>>) {
    let note = |slot: &Arc<Mutex<Option<Error>>>, error: Error| {
        if let Ok(mut slot) = slot.lock() {
            slot.get_or_insert(error);
        }
    };
    let slot = trouble.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let kind = if matches!(error, wgpu::Error::OutOfMemory { .. }) { Kind::OutOfMemory } else { Kind::Gpu };
        note(&slot, Error::new(kind, "GPU", error.to_string()));
    }));
    let slot = trouble.clone();
    device.set_device_lost_callback(move |reason, message| {
        if reason != wgpu::DeviceLostReason::Destroyed {
            let message = format!("the GPU device was lost: {message}");
            note(&slot, Error::new(Kind::Gpu, "GPU", message).hint("reload the page to get a new device"));
        }
    });
}
