//! Puts a kernel together from its file, the files of `shaders/lib` that it imports, and the parameters.

use super::info::ParamsBy;

/// What kernels share, by name.
const LIBRARY: &[(&str, &str)] = &[
    ("activation", crate::wgsl!("lib/activation")),
    ("advance", crate::wgsl!("lib/advance")),
    ("backward", crate::wgsl!("lib/backward")),
    ("backward_row", crate::wgsl!("lib/backward_row")),
    ("backward_rows", crate::wgsl!("lib/backward_rows")),
    ("backward_tile", crate::wgsl!("lib/backward_tile")),
    ("bins", crate::wgsl!("lib/bins")),
    ("decode_source", crate::wgsl!("lib/decode_source")),
    ("decode_tile", crate::wgsl!("lib/decode_tile")),
    ("digits", crate::wgsl!("lib/digits")),
    ("filters", crate::wgsl!("lib/filters")),
    ("flags", crate::wgsl!("lib/flags")),
    ("gru", crate::wgsl!("lib/gru")),
    ("gru_backward", crate::wgsl!("lib/gru_backward")),
    ("gru_decode", crate::wgsl!("lib/gru_decode")),
    ("gru_quads", crate::wgsl!("lib/gru_quads")),
    ("gru_recurrent", crate::wgsl!("lib/gru_recurrent")),
    ("gru_row", crate::wgsl!("lib/gru_row")),
    ("gru_slices", crate::wgsl!("lib/gru_slices")),
    ("gru_step", crate::wgsl!("lib/gru_step")),
    ("gru_step_quads", crate::wgsl!("lib/gru_step_quads")),
    ("gru_step_units", crate::wgsl!("lib/gru_step_units")),
    ("gru_tile", crate::wgsl!("lib/gru_tile")),
    ("index", crate::wgsl!("lib/index")),
    ("input_gradient", crate::wgsl!("lib/input_gradient")),
    ("lstm", crate::wgsl!("lib/lstm")),
    ("lstm_backward", crate::wgsl!("lib/lstm_backward")),
    ("lstm_decode", crate::wgsl!("lib/lstm_decode")),
    ("lstm_finish", crate::wgsl!("lib/lstm_finish")),
    ("lstm_quads", crate::wgsl!("lib/lstm_quads")),
    ("lstm_recurrent", crate::wgsl!("lib/lstm_recurrent")),
    ("lstm_row", crate::wgsl!("lib/lstm_row")),
    ("lstm_slices", crate::wgsl!("lib/lstm_slices")),
    ("lstm_step", crate::wgsl!("lib/lstm_step")),
    ("lstm_step_quads", crate::wgsl!("lib/lstm_step_quads")),
    ("lstm_step_units", crate::wgsl!("lib/lstm_step_units")),
    ("lstm_tile", crate::wgsl!("lib/lstm_tile")),
    ("math", crate::wgsl!("lib/math")),
    ("matmul", crate::wgsl!("lib/matmul")),
    ("matmul_quads", crate::wgsl!("lib/matmul_quads")),
    ("noise", crate::wgsl!("lib/noise")),
    ("output_gradient", crate::wgsl!("lib/output_gradient")),
    ("panels", crate::wgsl!("lib/panels")),
    ("product", crate::wgsl!("lib/product")),
    ("product_gradient", crate::wgsl!("lib/product_gradient")),
    ("quad", crate::wgsl!("lib/quad")),
    ("recurrent", crate::wgsl!("lib/recurrent")),
    ("row", crate::wgsl!("lib/row")),
    ("slices", crate::wgsl!("lib/slices")),
    ("softmax", crate::wgsl!("lib/softmax")),
    ("state_row", crate::wgsl!("lib/state_row")),
    ("state_rows", crate::wgsl!("lib/state_rows")),
    ("tile", crate::wgsl!("lib/tile")),
    ("tree_sum", crate::wgsl!("lib/tree_sum")),
    ("weight_gradient", crate::wgsl!("lib/weight_gradient")),
    ("wide", crate::wgsl!("lib/wide")),
];

/// The WGSL of a kernel file, complete.
///
/// A line `// import: a, b` names files of `shaders/lib`; imports may import. The kernel declares `struct Params`
/// and what it binds, or imports the file that does for all kernels of its op; the variable `params` is declared here, as
/// the device delivers it.
pub fn assemble(source: &str, params_by: ParamsBy) -> String {
    let mut imported: Vec<&str> = Vec::new();
    collect_imports(source, &mut imported);
    let mut text = String::from(match params_by {
        ParamsBy::Immediates => "var<immediate> params: Params;\n",
        ParamsBy::Uniform => "@group(1) @binding(0) var<uniform> params: Params;\n",
    });
    for name in imported {
        text.push_str(library(name));
    }
    text.push_str(source);
    text
}

/// The texts of all shared files.
pub(super) fn library_texts() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|(_, text)| *text)
}

fn library(name: &str) -> &'static str {
    LIBRARY.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("shaders/lib has no file `{name}`")).1
}

fn collect_imports<'a>(source: &'a str, imported: &mut Vec<&'a str>) {
    let lines = source.lines().filter_map(|line| line.strip_prefix("// import:"));
    for name in lines.flat_map(|names| names.split(',')).map(str::trim) {
        if !imported.contains(&name) {
            imported.push(name);
            collect_imports(library(name), imported);
        }
    }
}
