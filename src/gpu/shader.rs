//! Puts a kernel together: the parameters as the device delivers them, then the files that its row lists.

use super::info::ParamsBy;
use crate::plan::Wgsl;

/// The WGSL of a kernel, complete. One of its files declares `struct Params`; the variable `params` is declared here.
pub fn assemble(files: &[Wgsl], params_by: ParamsBy) -> String {
    let params = match params_by {
        ParamsBy::Immediates => "var<immediate> params: Params;\n",
        ParamsBy::Uniform => "@group(1) @binding(0) var<uniform> params: Params;\n",
    };
    std::iter::once(params).chain(files.iter().map(|file| file.text)).collect()
}
