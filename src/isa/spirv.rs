//! WGSL to SPIR-V, as a browser's or wgpu's translator makes it.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Returns the SPIR-V of a shader with the entry point `main`, with clamped indices and without zeroed workgroup memory.
///
/// Clamped indices are what browsers without robust buffers add. Workgroup memory is not zeroed because natively the
/// engine asks wgpu to leave that out. Loops are not bounded: Chromium adds no such counter on Vulkan.
///
/// # Errors
/// The message of naga for a shader that it refuses.
pub fn spirv(wgsl: &str) -> Result<Vec<u32>, String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SHADER_FLOAT16;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(|e| format!("{e:?}"))?;
    let restrict = BoundsCheckPolicy::Restrict;
    let options = spv::Options {
        lang_version: (1, 4),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies { index: restrict, buffer: restrict, ..Default::default() },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(&module, &info, &options, Some(&entry)).map_err(|e| e.to_string())
}
