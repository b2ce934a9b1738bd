//! Pipelines compiled by the Vulkan drivers of graphics cards that are not in the machine.
//!
//! AMD's driver (RADV) opens a null device of the family that `RADV_FORCE_FAMILY` names: its compiler runs, and nothing
//! else. Intel's (ANV) has no such device; the program stands in for the kernel that it asks (`intel_kernel/i915.rs`). A
//! process compiles for one family.

// Vulkan has no safe interface below wgpu's, which cannot open a null device: wgpu submits work when it opens one.
#![allow(unsafe_code)]

use crate::spirv::spirv;
use ash::khr::pipeline_executable_properties as executables;
use ash::vk;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};

/// The extension that describes compiled pipelines.
const EXTENSION: &CStr = vk::KHR_PIPELINE_EXECUTABLE_PROPERTIES_NAME;

/// A compiled pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// The driver's statistics by name: registers, spills, instructions.
    pub statistics: BTreeMap<String, u64>,
    /// The disassembly.
    pub assembly: String,
}

/// An opened device.
pub struct NullDevice {
    // Keeps the library of the loader in memory.
    _entry: ash::Entry,
    instance: ash::Instance,
    physical: vk::PhysicalDevice,
    device: ash::Device,
    executables: executables::Device,
}

impl NullDevice {
    /// Opens the first device of the driver that the environment names to the Vulkan loader.
    ///
    /// # Errors
    /// A message where the loader, the driver or its extension is missing.
    pub fn open() -> Result<Self, String> {
        // SAFETY: the loader of the system is the Vulkan loader; handles below come from it and live as long as `Self`.
        unsafe {
            let entry = ash::Entry::load().map_err(|e| format!("no Vulkan loader: {e}"))?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).map_err(|e| format!("no Vulkan driver: {e}"))?;
            let all = instance.enumerate_physical_devices().map_err(|e| format!("no null device: {e}"))?;
            let physical = *all.first().ok_or("the driver knows no such family")?;
            let known = instance.enumerate_device_extension_properties(physical).map_err(|e| e.to_string())?;
            if !known.iter().any(|e| e.extension_name_as_c_str() == Ok(EXTENSION)) {
                return Err("this driver does not describe its pipelines".into());
            }
            let (priorities, names) = ([1.0], [EXTENSION.as_ptr()]);
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priorities)];
            let mut describe =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut v1_1 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
            let mut v1_2 = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).shader_int8(true);
            let mut v1_3 = vk::PhysicalDeviceVulkan13Features::default().shader_integer_dot_product(true);
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&names)
                .push_next(&mut describe)
                .push_next(&mut v1_1)
                .push_next(&mut v1_2)
                .push_next(&mut v1_3);
            let device = instance.create_device(physical, &create, None).map_err(|e| format!("no device: {e}"))?;
            let executables = executables::Device::new(&instance, &device);
            Ok(Self { _entry: entry, instance, physical, device, executables })
        }
    }

    /// Returns name and version of the driver: other versions have other compilers.
    pub fn driver(&self) -> String {
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the instance is alive and the physical device is its own.
        unsafe { self.instance.get_physical_device_properties2(self.physical, &mut all) };
        [text(&driver.driver_name), text(&driver.driver_info)].join(" ")
    }

    /// Compiles a WGSL shader with `bindings` bindings, of which the first two are uniforms.
    ///
    /// # Errors
    /// What naga or the driver complains about.
    pub fn compile(&self, wgsl: &str, bindings: u32) -> Result<Compiled, String> {
        let words = spirv(wgsl)?;
        // SAFETY: naga validated the module, the layout has the bindings that it declares, and what is made here is
        // destroyed here.
        unsafe { self.compiled(&words, bindings).map_err(|e| e.to_string()) }
    }

    unsafe fn compiled(&self, words: &[u32], bindings: u32) -> Result<Compiled, vk::Result> {
        let device = &self.device;
        let uniform =
            |binding| if binding < 2 { vk::DescriptorType::UNIFORM_BUFFER } else { vk::DescriptorType::STORAGE_BUFFER };
        let bindings: Vec<_> = (0..bindings)
            .map(|binding| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(uniform(binding))
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        // SAFETY: as the caller promises.
        unsafe {
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [device.create_descriptor_set_layout(&create, None)?];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&create, None)?;
            let module = device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let create = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            );
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let pipeline = made.map_err(|(_, e)| e)?[0];
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let described = self.described(&info);
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(sets[0], None);
            described
        }
    }

    unsafe fn described(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Compiled, vk::Result> {
        let mut compiled = Compiled::default();
        // SAFETY: the pipeline is alive and was made with both flags; both drivers' statistics are 64-bit integers, and
        // the texts are as long as the first call says.
        unsafe {
            for statistic in self.executables.get_pipeline_executable_statistics(info)? {
                compiled.statistics.insert(text(&statistic.name), statistic.value.u64);
            }
            let mut all = self.executables.get_pipeline_executable_internal_representations(info)?;
            let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in all.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast::<c_void>();
            }
            let read = self.executables.fp().get_pipeline_executable_internal_representations_khr;
            let mut count = all.len() as u32;
            read(self.device.handle(), info, &mut count, all.as_mut_ptr()).result()?;
            let assembly = all.iter().zip(texts).rfind(|(one, _)| text(&one.name).ends_with("Assembly"));
            let bytes = assembly.map(|(_, bytes)| bytes).unwrap_or_default();
            compiled.assembly = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string();
        }
        Ok(compiled)
    }
}

impl Drop for NullDevice {
    fn drop(&mut self) {
        // SAFETY: nothing of either is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// Returns a text of the driver, up to its zero.
fn text(chars: &[c_char]) -> String {
    chars.iter().take_while(|c| **c != 0).map(|c| char::from(*c as u8)).collect()
}
