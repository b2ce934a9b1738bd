//! The GPU executor: wgpu, with pipelines and bind groups made once and replayed in one compute pass.
//!
//! The device has WebGPU's default limits: 128 MiB bindings, 8 storage buffers, 16 KiB of workgroup memory.
//! [`Features`] beyond these are requested where the adapter offers them, but nothing depends on them: everything runs
//! on every WebGPU adapter.

use crate::error::{Error, Kind, Result};
use crate::pass::{Buf, Call, CopyRange, Op, Params, Pass};
use crate::tuning::Tuning;
use last_error::lost;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

mod last_error;
mod open;
mod pipelines;
#[cfg(test)]
mod tests;
mod timestamps;

pub use open::Features;

/// Distance of the slots of the parameter buffer in bytes: WebGPU's `minUniformBufferOffsetAlignment`.
const SLOT: u64 = 256;

/// A wgpu device with its buffers, pipelines and prepared passes.
pub struct Gpu {
    adapter: wgpu::AdapterInfo,
    pub(crate) features: Features,
    device: wgpu::Device,
    queue: wgpu::Queue,
    call: wgpu::Buffer,
    /// Buffers by id; `None` where freed.
    buffers: Vec<Option<wgpu::Buffer>>,
    pipelines: HashMap<String, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    passes: Vec<Vec<Prepared>>,
    pub(crate) tuning: Tuning,
    /// Whether the tuning was measured, or follows from an adapter that reports to be a CPU. (Browsers do not report
    /// it.)
    pub(crate) tuned: bool,
    /// The timestamps, while replays are timed.
    timestamps: Option<timestamps::Timestamps>,
    /// First error reported outside any scope, or the loss of the device.
    last_error: Arc<Mutex<Option<Error>>>,
}

/// An operation ready for replay, with what a new bind group needs.
struct Prepared {
    op: Op,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    /// The parameter buffer of the pass, and the offset of this operation's slot in bytes.
    slots: (wgpu::Buffer, u64),
    bindings: wgpu::BindGroup,
}

/// A read-back in progress.
pub struct GpuReadback {
    staging: wgpu::Buffer,
    done: futures_channel::oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

/// Instance of WebGPU, or of the native drivers.
fn new_instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// The one instance of a process. It is never dropped: with the last instance the drivers' libraries are unloaded, and
/// NVIDIA's leaves destructors behind that every thread calls when it ends, at addresses where nothing is left.
#[cfg(not(target_arch = "wasm32"))]
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: std::sync::OnceLock<wgpu::Instance> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(new_instance)
}

#[cfg(target_arch = "wasm32")]
use new_instance as instance;

impl Gpu {
    /// Returns `webgpu` in a browser, else the name of the native API.
    pub fn backend(&self) -> &'static str {
        match self.adapter.backend {
            wgpu::Backend::BrowserWebGpu => "webgpu",
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            _ => "gpu",
        }
    }

    /// Returns the name of the adapter, as the driver reports it.
    pub fn adapter(&self) -> String {
        let info = &self.adapter;
        let words = [info.name.as_str(), info.driver.as_str(), info.driver_info.as_str()];
        words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" · ")
    }

    /// Waits for an error scope and returns the error that it caught. A scope on a lost device catches nothing, so the
    /// loss is checked first.
    async fn scope(&self, guard: wgpu::ErrorScopeGuard, kind: Kind, place: &str) -> Result<()> {
        let caught = guard.pop().await;
        self.check().or_else(|e| if e.kind == Kind::GpuLost { Err(e) } else { Ok(()) })?;
        caught.map_or(Ok(()), |error| Err(Error::new(kind, place, error.to_string())))
    }

    /// Creates a zeroed buffer.
    pub(crate) async fn buffer(&mut self, name: &str, words: u64) -> Result<Buf> {
        let buffer = self.allocate(name, words).await?;
        self.buffers.push(Some(buffer));
        Ok(Buf { id: self.buffers.len() as u32 - 1, words })
    }

    /// Allocates the memory of a buffer. Reports a lack of memory here, not at first use.
    async fn allocate(&self, name: &str, words: u64) -> Result<wgpu::Buffer> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: words.max(1) * 4,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let place = format!("GPU buffer `{name}` of {} bytes", words * 4);
        self.scope(validation, Kind::Gpu, &place).await?;
        self.scope(memory, Kind::OutOfMemory, &place).await?;
        Ok(buffer)
    }

    /// Returns the memory of a buffer.
    ///
    /// # Panics
    /// When it was freed, which no input can cause.
    fn at(&self, buffer: Buf) -> &wgpu::Buffer {
        self.buffers[buffer.id as usize].as_ref().expect("freed buffers are not used")
    }

    /// Returns the current length of a buffer in words. A [`Buf`] copied before a resize has the old one.
    pub(crate) fn words(&self, buffer: Buf) -> u64 {
        self.at(buffer).size() / 4
    }

    /// Frees the memory of a buffer and returns its length in words. (In a browser, dropping the handle would leave
    /// that to the garbage collector.)
    pub(crate) fn free(&mut self, buffer: Buf) -> u64 {
        let freed = self.buffers[buffer.id as usize].take();
        freed.map_or(0, |buffer| {
            buffer.destroy();
            buffer.size() / 4
        })
    }

    /// Changes the length of a buffer: allocates new memory, copies the contents, binds it in all prepared passes, then
    /// frees the old memory.
    pub(crate) async fn resize(&mut self, buffer: Buf, words: u64) -> Result<()> {
        let new = self.allocate("resized", words).await?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let kept = words.min(self.words(buffer)) * 4;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(self.at(buffer), 0, &new, 0, kept);
        self.queue.submit([encoder.finish()]);
        let rebind = |prepared: &Prepared| {
            let uses = prepared.op.buffers.iter().any(|b| b.id == buffer.id);
            uses.then(|| self.bind(&prepared.op, &prepared.layout, &prepared.slots, Some((buffer, &new))))
        };
        let bound: Vec<_> = self.passes.iter().flatten().map(rebind).collect();
        self.scope(scope, Kind::Gpu, "a buffer that changes its size").await?;
        for (prepared, bindings) in self.passes.iter_mut().flatten().zip(bound) {
            prepared.bindings = bindings.unwrap_or_else(|| prepared.bindings.clone());
        }
        if let Some(old) = self.buffers[buffer.id as usize].replace(new) {
            old.destroy();
        }
        Ok(())
    }

    pub(crate) fn upload(&mut self, buffer: Buf, word_offset: usize, bytes: &[u8]) {
        self.queue.write_buffer(self.at(buffer), word_offset as u64 * 4, bytes);
    }

    /// Copies ranges in one submission.
    pub(crate) fn copy(&mut self, ranges: &[CopyRange]) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for CopyRange { from, from_offset, to, to_offset, words } in ranges {
            let [from, to] = [*from, *to].map(|buffer| self.at(buffer));
            encoder.copy_buffer_to_buffer(from, from_offset * 4, to, to_offset * 4, words * 4);
        }
        self.queue.submit([encoder.finish()]);
    }

    /// Compiles the pipelines of a pass and binds its buffers.
    pub(crate) async fn prepare(&mut self, pass: Pass) -> Result<usize> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let slots = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(pass.name),
            size: SLOT * pass.ops.len().max(1) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut prepared = Vec::with_capacity(pass.ops.len());
        for (index, op) in pass.ops.into_iter().enumerate() {
            let offset = SLOT * index as u64;
            self.queue.write_buffer(&slots, offset, bytemuck::cast_slice(&op.params));
            let (pipeline, layout) = self.pipeline(&op).await?;
            let slots = (slots.clone(), offset);
            let bindings = self.bind(&op, &layout, &slots, None);
            prepared.push(Prepared { op, pipeline, layout, slots, bindings });
        }
        self.scope(scope, Kind::Gpu, &format!("pass `{}`", pass.name)).await?;
        self.passes.push(prepared);
        Ok(self.passes.len() - 1)
    }

    pub(crate) fn ops(&self, pass: usize) -> Vec<Op> {
        self.passes[pass].iter().map(|prepared| prepared.op.clone()).collect()
    }

    /// Drops the bind groups of a pass. Its pipelines stay, for other passes.
    pub(crate) fn release(&mut self, pass: usize) {
        self.passes[pass].clear();
    }

    /// Creates the bind group of an operation. `instead` is a buffer and the memory that is bound in place of its own.
    fn bind(
        &self,
        op: &Op,
        layout: &wgpu::BindGroupLayout,
        (slots, offset): &(wgpu::Buffer, u64),
        instead: Option<(Buf, &wgpu::Buffer)>,
    ) -> wgpu::BindGroup {
        let size = wgpu::BufferSize::new(size_of::<Params>() as u64);
        let slot = wgpu::BufferBinding { buffer: slots, offset: *offset, size };
        let memory = |b: &Buf| match instead {
            Some((buffer, new)) if buffer.id == b.id => new,
            _ => self.at(*b),
        };
        let mut entries = vec![
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(slot) },
            wgpu::BindGroupEntry { binding: 1, resource: self.call.as_entire_binding() },
        ];
        entries.extend(
            op.buffers.iter().zip(2..).map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: memory(buffer).as_entire_binding(),
            }),
        );
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(op.kernel.name),
            layout,
            entries: &entries,
        })
    }

    /// Replays prepared passes in order, in one compute pass and one submission.
    pub(crate) fn replay(&mut self, passes: &[usize], call: &Call) -> Result<()> {
        self.check()?;
        self.queue.write_buffer(&self.call, 0, bytemuck::bytes_of(call));
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut compute = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: self.timestamps.as_mut().and_then(|timestamps| timestamps.next()),
            });
            for prepared in passes.iter().flat_map(|&p| &self.passes[p]) {
                let [x, y, z] = (prepared.op.kernel.grid)(&prepared.op.params, call);
                compute.set_pipeline(&prepared.pipeline);
                compute.set_bind_group(0, &prepared.bindings, &[]);
                compute.dispatch_workgroups(x, y, z);
            }
        }
        self.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Starts to read `words` words back. The copy comes after everything replayed before.
    pub(crate) fn start_read_back(&mut self, buffer: Buf, word_offset: usize, words: usize) -> GpuReadback {
        self.start_read_back_from(self.at(buffer), word_offset as u64 * 4, words as u64 * 4)
    }

    /// Starts to read back any buffer that can be copied; offset and size in bytes.
    fn start_read_back_from(&self, buffer: &wgpu::Buffer, offset: u64, size: u64) -> GpuReadback {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
        let submission = self.queue.submit([encoder.finish()]);
        let (tell, done) = futures_channel::oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // Sending fails only if the read-back was dropped.
            let _ = tell.send(result);
        });
        GpuReadback { staging, done, submission }
    }

    /// Waits for a read-back.
    pub(crate) async fn finish_read_back(&mut self, reading: GpuReadback) -> Result<Vec<u32>> {
        // In a browser `poll` does nothing and the event loop drives the callback.
        let wait = wgpu::PollType::Wait { submission_index: Some(reading.submission), timeout: None };
        self.device.poll(wait).map_err(|e| self.explain(e))?;
        let mapped = reading.done.await.map_err(|e| self.explain(e))?;
        self.check()?;
        mapped.map_err(|e| self.explain(e))?;
        let view = reading.staging.slice(..).get_mapped_range().map_err(|e| self.explain(e))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        // A browser would free it only at its next garbage collection.
        reading.staging.destroy();
        Ok(words)
    }

    /// Waits until everything submitted has run.
    pub(crate) async fn wait_idle(&self) -> Result<()> {
        let (tell, done) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // Sending fails only if the wait was dropped.
            let _ = tell.send(());
        });
        // In a browser `poll` does nothing and the event loop drives the callback.
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| self.explain(e))?;
        done.await.map_err(|e| self.explain(e))?;
        self.check()
    }

    /// Returns the first error that was reported outside any scope, or the loss of the device.
    fn check(&self) -> Result<()> {
        // A native device reports its loss only when it is polled.
        let _ = self.device.poll(wgpu::PollType::Poll);
        match self.last_error.lock().map(|t| t.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::new(Kind::Gpu, "device", "the error handler panicked")),
        }
    }

    /// Explains a failed wait: the error that the device reported, else that it was lost. (Our waits are valid, so only
    /// a loss can end them; a browser may report it a moment later.)
    fn explain(&self, error: impl std::fmt::Display) -> Error {
        self.check().err().unwrap_or_else(|| lost(&error.to_string()))
    }
}

impl Drop for Gpu {
    /// Frees all memory. (In a browser, dropping the handles would leave that to the garbage collector.)
    fn drop(&mut self) {
        self.device.destroy();
    }
}
