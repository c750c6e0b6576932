//! A device that only compiles, and what its driver says of a pipeline (VK_KHR_pipeline_executable_properties).

use std::ffi::{CStr, c_char};
use std::time::Instant;

use ash::vk;

use crate::Result;

/// The storage buffers of a kernel at most: WebGPU's floor.
const BUFFERS: u32 = 8;
/// Bytes of parameters.
const IMMEDIATES: u32 = 64;

/// A device with its compiler.
pub struct Device {
    /// As the driver calls it.
    pub name: String,
    device: ash::Device,
    properties: ash::khr::pipeline_executable_properties::Device,
    layout: vk::PipelineLayout,
    // Unloads the driver when it goes, so it goes last.
    _instance: ash::Instance,
    _entry: ash::Entry,
}

/// A compiled kernel, with the compiler's statistics.
pub struct Kernel {
    /// How long it took.
    pub compile_us: u128,
    /// In the driver's words, spaces replaced.
    pub statistics: Vec<(String, String)>,
    /// The last representation that the driver gives: machine code, where it has a disassembler.
    pub assembly: String,
}

impl Device {
    /// The first device of the first driver.
    pub fn open(robust: bool) -> Result<Device> {
        // SAFETY: the loader is a well-behaved library, loaded once; all objects below are made from one another and live
        // until the process ends.
        unsafe {
            let entry = ash::Entry::load()?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None)?;
            let physical = *instance.enumerate_physical_devices()?.first().ok_or("no device")?;
            let name = text(&instance.get_physical_device_properties(physical).device_name);
            let device = create_device(&instance, physical, robust)?;
            let properties = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            let layout = layout(&device)?;
            Ok(Device { name, device, properties, layout, _instance: instance, _entry: entry })
        }
    }

    /// Compiles a kernel.
    pub fn compile(&self, words: &[u32]) -> Result<Kernel> {
        let begun = Instant::now();
        let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        // SAFETY: handles of this device; the SPIR-V was validated when it was written.
        unsafe {
            let module = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let create = vk::ComputePipelineCreateInfo::default().stage(stage).layout(self.layout).flags(flags);
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let pipeline = made.map_err(|(_, error)| error)?[0];
            let compile_us = begun.elapsed().as_micros();
            let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
            let mut kernel = Kernel { compile_us, statistics: Vec::new(), assembly: String::new() };
            let executables = self.properties.get_pipeline_executable_properties(&info)?;
            for (index, executable) in (0..).zip(&executables) {
                let of = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(index);
                kernel.statistics.push(("subgroup".into(), executable.subgroup_size.to_string()));
                let statistics = self.properties.get_pipeline_executable_statistics(&of)?;
                kernel.statistics.extend(statistics.iter().map(statistic));
                kernel.assembly = self.representations(&of)?.pop().unwrap_or_default();
            }
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            Ok(kernel)
        }
    }

    /// All representations of an executable, from the first to machine code.
    ///
    /// # Safety
    /// The executable's pipeline is there.
    unsafe fn representations(&self, of: &vk::PipelineExecutableInfoKHR) -> Result<Vec<String>> {
        let get = self.properties.fp().get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: asked three times, as Vulkan has it: for the number, for the lengths, for the texts.
        unsafe {
            get(device, of, &mut count, std::ptr::null_mut()).result()?;
            let mut all = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(device, of, &mut count, all.as_mut_ptr()).result()?;
            let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in all.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            get(device, of, &mut count, all.as_mut_ptr()).result()?;
            Ok(texts.iter().map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_string()).collect())
        }
    }
}

/// A device with what kernels use.
///
/// # Safety
/// `physical` is the instance's.
unsafe fn create_device(instance: &ash::Instance, physical: vk::PhysicalDevice, robust: bool) -> Result<ash::Device> {
    // SAFETY: as above; the structures outlive the call.
    unsafe {
        let there = instance.enumerate_device_extension_properties(physical)?;
        let has =
            |name: &CStr| there.iter().any(|extension| text(&extension.extension_name).as_bytes() == name.to_bytes());
        let mut extensions = vec![ash::khr::pipeline_executable_properties::NAME.as_ptr()];
        let mut executable =
            vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let mut memory = vk::PhysicalDeviceVulkan12Features::default()
            .vulkan_memory_model(true)
            .vulkan_memory_model_device_scope(true);
        let mut maintenance = vk::PhysicalDeviceVulkan13Features::default()
            .maintenance4(true)
            .shader_zero_initialize_workgroup_memory(true);
        let plain = vk::PhysicalDeviceFeatures::default().robust_buffer_access(robust);
        let mut features = vk::PhysicalDeviceFeatures2::default()
            .features(plain)
            .push_next(&mut executable)
            .push_next(&mut memory)
            .push_next(&mut maintenance);
        if robust && has(ash::ext::robustness2::NAME) {
            extensions.push(ash::ext::robustness2::NAME.as_ptr());
            features = features.push_next(&mut robustness);
        }
        let queue = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queue)
            .enabled_extension_names(&extensions)
            .push_next(&mut features);
        Ok(instance.create_device(physical, &create, None)?)
    }
}

/// Storage buffers in set 0, immediates after them.
///
/// # Safety
/// The device is there.
unsafe fn layout(device: &ash::Device) -> Result<vk::PipelineLayout> {
    let compute = vk::ShaderStageFlags::COMPUTE;
    let buffer = |binding| {
        vk::DescriptorSetLayoutBinding::default()
            .binding(binding)
            .descriptor_count(1)
            .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
            .stage_flags(compute)
    };
    let buffers: Vec<_> = (0..BUFFERS).map(buffer).collect();
    let immediates = [vk::PushConstantRange::default().stage_flags(compute).size(IMMEDIATES)];
    // SAFETY: a live device; the structures outlive the calls.
    unsafe {
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&buffers);
        let sets = [device.create_descriptor_set_layout(&set, None)?];
        let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&immediates);
        Ok(device.create_pipeline_layout(&create, None)?)
    }
}

fn statistic(statistic: &vk::PipelineExecutableStatisticKHR) -> (String, String) {
    use vk::PipelineExecutableStatisticFormatKHR as Format;
    // SAFETY: the format says which member of the union was written.
    let value = unsafe {
        match statistic.format {
            Format::BOOL32 => statistic.value.b32.to_string(),
            Format::INT64 => statistic.value.i64.to_string(),
            Format::UINT64 => statistic.value.u64.to_string(),
            _ => format!("{:.3}", statistic.value.f64),
        }
    };
    (text(&statistic.name).replace(' ', "_"), value)
}

/// A string of fixed length, up to its zero.
fn text(characters: &[c_char]) -> String {
    characters.iter().take_while(|c| **c != 0).map(|c| char::from(*c as u8)).collect()
}
