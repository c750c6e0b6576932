//! Every kernel, with parameters delivered either way, through naga to SPIR-V (which spirv-val accepts), MSL and HLSL.

use std::io::Write;
use std::process::{Command, Stdio};

use gatefold::unstable::gpu::ParamsBy;
use gatefold::unstable::ops::TABLE;
use gatefold::unstable::plan::{Adapters, OpRow, Variant};
use libtest_mimic::{Completion, Trial};
use naga::valid::ModuleInfo;

use crate::report::{DONE, Outcome, export, trial};
use crate::wgsl::parse;

pub fn trials() -> Vec<Trial> {
    let variants = TABLE.iter().flat_map(|op| op.variants.iter().map(move |v| (*op, v)));
    variants.map(|(op, v)| trial(format!("translation: {}", v.name), move || translate(op, v))).collect()
}

fn translate(op: &OpRow, variant: &Variant) -> Outcome {
    let mut validated = true;
    for params_by in [ParamsBy::Immediates, ParamsBy::Uniform] {
        let (module, info) = parse(variant, params_by)?;
        validated &= to_spirv(&module, &info)?;
        if params_by == ParamsBy::Immediates && variant.adapters != Adapters::Software {
            export(&format!("{}.spv", variant.name), &release_spirv(&module, &info)?)?;
        }
        to_msl(op, &module, &info)?;
        for checked in [false, true] {
            let text = to_hlsl(&module, &info, checked)?;
            let checks = if checked { "checked" } else { "unchecked" };
            export(&format!("{}.{params_by:?}.{checks}.hlsl", variant.name), text.as_bytes())?;
        }
    }
    if validated { DONE } else { Ok(Completion::ignored_with("spirv-val is not installed (package spirv-tools)")) }
}

/// As wgpu hands it to a Vulkan driver in release: without checks.
fn release_spirv(module: &naga::Module, info: &ModuleInfo) -> Result<Vec<u8>, String> {
    use naga::back::spv::{Options, PipelineOptions, ZeroInitializeWorkgroupMemoryMode};
    let unchecked = naga::proc::BoundsCheckPolicy::Unchecked;
    let options = Options {
        lang_version: (1, 6),
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..Default::default()
    };
    let entry = PipelineOptions { entry_point: "main".into(), shader_stage: naga::ShaderStage::Compute };
    let words = naga::back::spv::write_vec(module, info, &options, Some(&entry)).map_err(|e| e.to_string())?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// Whether spirv-val was there to accept the result.
fn to_spirv(module: &naga::Module, info: &ModuleInfo) -> Result<bool, String> {
    let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    let words = naga::back::spv::write_vec(module, info, &options, None).map_err(|e| e.to_string())?;
    let validator = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut validator = match validator {
        Ok(validator) => validator,
        Err(_) if cfg!(target_os = "linux") && std::env::var("GATEFOLD_GPU").as_deref() == Ok("required") => {
            return Err("spirv-val is not installed (package spirv-tools)".into());
        }
        Err(_) => return Ok(false),
    };
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    validator.stdin.take().expect("piped").write_all(&bytes).map_err(|e| e.to_string())?;
    let output = validator.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(true) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn to_msl(op: &OpRow, module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    // Buffer slots as wgpu gives them: operands, then parameters, then the sizes of the buffers.
    let slots = op.operands.len() as u8 + 1;
    let resources = naga::back::msl::EntryPointResources {
        immediates_buffer: Some(slots),
        sizes_buffer: Some(slots + 1),
        ..Default::default()
    };
    let options = naga::back::msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [("main".to_string(), resources)].into(),
        fake_missing_bindings: true,
        ..Default::default()
    };
    let (text, translated) =
        naga::back::msl::write_string(module, info, &options, &Default::default()).map_err(|e| e.to_string())?;
    translated.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if text.contains("kernel void") { Ok(()) } else { Err("the MSL has no kernel".into()) }
}

/// As wgpu has it written for DX12: with its checks, as tests run, or without, as releases do.
fn to_hlsl(module: &naga::Module, info: &ModuleInfo, checked: bool) -> Result<String, String> {
    let target = naga::back::hlsl::BindTarget { space: 7, ..Default::default() };
    let options = naga::back::hlsl::Options {
        immediates_target: Some(target),
        restrict_indexing: checked,
        force_loop_bounding: checked,
        zero_initialize_workgroup_memory: checked,
        ..Default::default()
    };
    let pipeline = Default::default();
    let mut text = String::new();
    let mut writer = naga::back::hlsl::Writer::new(&mut text, &options, &pipeline);
    let translated = writer.write(module, info, None).map_err(|e| e.to_string())?;
    translated.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if text.contains("numthreads") { Ok(text) } else { Err("the HLSL has no kernel".into()) }
}
