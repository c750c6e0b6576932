//! Kernels as naga understands them.

use gatefold::unstable::gpu::{ParamsBy, assemble};
use gatefold::unstable::plan::Variant;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// A kernel as naga understands it.
pub fn parse(variant: &Variant, params_by: ParamsBy) -> Result<(naga::Module, ModuleInfo), String> {
    let source = assemble(variant.files, params_by);
    let module = naga::front::wgsl::parse_str(&source).map_err(|e| e.emit_to_string(&source))?;
    // WebGPU's own capabilities, and immediates: nothing that a default kernel may not use.
    let capabilities = Capabilities::IMMEDIATES;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.map_err(|e| e.emit_to_string(&source))?;
    Ok((module, info))
}
