//! Pipelines: one per kernel and constants, made once and shared by all passes.

use super::Gpu;
use crate::error::{Error, Kind, Result};
use crate::pass::{Access, Op};

impl Gpu {
    /// Compiles the pipeline of an operation, unless the device has it already, and waits for it.
    ///
    /// # Errors
    /// [`Kind::Gpu`] when the driver refuses the shader, with the lines it complains about; [`Kind::GpuLost`].
    pub(crate) async fn compile(&mut self, op: &Op) -> Result<()> {
        self.pipeline(op).await.map(|_| ())
    }

    /// The number of compiled pipelines.
    pub(crate) fn pipelines(&self) -> usize {
        self.pipelines.len()
    }

    /// Returns the pipeline of an operation, compiled on first use. Errors as [`compile`](Self::compile).
    pub(super) async fn pipeline(&mut self, op: &Op) -> Result<(wgpu::ComputePipeline, wgpu::BindGroupLayout)> {
        let key = op.pipeline();
        if let Some(found) = self.pipelines.get(&key) {
            return Ok(found.clone());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let wgsl = op.wgsl();
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(op.kernel.name),
            source: wgpu::ShaderSource::Wgsl(wgsl.as_str().into()),
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
            // Every shader writes what it reads of workgroup memory. (Browsers write zeros all the same.)
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let compiled = self.scope(scope, Kind::Gpu, &format!("shader `{}`", op.kernel.name)).await;
        compiled.map_err(|e| if e.kind == Kind::Gpu { with_source(e, &wgsl) } else { e })?;
        self.pipelines.insert(key, (pipeline.clone(), layout.clone()));
        Ok((pipeline, layout))
    }
}

/// Lines shown before and after the one that a message points to.
const CONTEXT: usize = 2;

/// Puts the numbered lines of the shader before a compiler's message that points to one of them.
fn with_source(error: Error, wgsl: &str) -> Error {
    let Some(line) = line_in(&error.message) else { return error };
    let lines =
        wgsl.lines().zip(1usize..).skip(line.saturating_sub(CONTEXT + 1)).take_while(|(_, n)| *n <= line + CONTEXT);
    let source: String = lines.map(|(text, n)| format!("{n:>5} │ {text}\n")).collect();
    Error::new(error.kind, error.place, format!("line {line} of the shader:\n{source}{}", error.message))
}

/// Returns the line that a compiler's message points to: the first `LINE:COLUMN`, as naga and the browsers write it.
fn line_in(message: &str) -> Option<usize> {
    message.match_indices(':').find_map(|(at, _)| {
        let (before, after) = (&message[..at], &message[at + 1..]);
        let name = before.trim_end_matches(|c: char| c.is_ascii_digit());
        after.starts_with(|c: char| c.is_ascii_digit()).then(|| before[name.len()..].parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::calibrate::COPY;
    use crate::kernels::harness::gpu_or_skip;
    use crate::pass::{Kernel, Pass};
    use pollster::block_on;

    #[test]
    fn the_line_is_found_in_the_messages_of_all_engines() {
        assert_eq!(line_in("Shader 'matmul' parsing error: error: no definition\n   ┌─ wgsl:12:5\n"), Some(12));
        assert_eq!(line_in("Error while parsing WGSL: :19:5 error: unresolved value 'y'"), Some(19), "Chromium");
        assert_eq!(
            line_in("1 error generated while compiling the shader:\n8:17: unresolved identifier"),
            Some(8),
            "WebKit"
        );
        assert_eq!(line_in("no shader: at all, 3 : 4"), None);
    }

    #[test]
    fn a_shader_that_does_not_compile_shows_the_line_of_its_joined_text() {
        if !gpu_or_skip() {
            return;
        }
        const WGSL: &str = concat!(
            "const ROUNDS: u32 = 1u;\n\n",
            "fn twice(x: u32) -> u32 {\n    return x + missing;\n}\n",
            "@compute @workgroup_size(64)\nfn main() {}\n",
        );
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel { name: "broken", wgsl: WGSL, ..COPY }));
        block_on(async {
            let mut gpu = Gpu::open().await.unwrap();
            let buffers = vec![gpu.buffer("x", 4).await.unwrap(), gpu.buffer("out", 4).await.unwrap()];
            let mut pass = Pass::new("broken");
            pass.push(Op { kernel, consts: vec![("ROUNDS", 7)], params: [0; 8], buffers });
            let first = gpu.compile(&pass.ops[0]).await.unwrap_err();
            let again = gpu.prepare(pass).await.unwrap_err();
            for error in [first, again] {
                assert_eq!((error.kind, error.place.as_str()), (Kind::Gpu, "shader `broken`"));
                let lines = "    2 │ \n    3 │ fn twice(x: u32) -> u32 {\n    4 │     return x + missing;\n    5 │ }\n";
                assert!(error.message.starts_with("line 4 of the shader:\n"), "{error}");
                assert!(error.message.contains(lines) && error.message.contains("missing`"), "{error}");
            }
            assert_eq!(gpu.pipelines(), 0, "what does not compile is not kept");
        });
    }
}
