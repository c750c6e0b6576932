//! Variants: what a WGSL kernel needs, and how many workgroups a run of it takes.

use super::layout::Layout;
use super::params::ParamWords;

/// The order in which a kernel takes its sums; kernels of one class give equal bits on one device.
///
/// `blocks64`: a product over k is summed in blocks of 64 with k ascending and one fused multiply-add a term,
/// from zero; then the block sums are added, k ascending, to what the sum starts from (a bias, an input product).
/// No order depends on the number of rows, on the slot of a row, or on how an op was sharded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderClass {
    /// Nothing is summed.
    None,
    /// Products in blocks of 64.
    Blocks64,
    /// Reductions over a vocabulary: 256 lanes, lane i taking the quads of elements i, i + 256, ..., then a tree.
    Lanes256,
    /// 16 lanes, lane i taking elements i, i + 16, ..., added one after the other at the end: the CPU's fast functions.
    Lanes16,
}

impl std::fmt::Display for OrderClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OrderClass::None => "none",
            OrderClass::Blocks64 => "blocks64",
            OrderClass::Lanes256 => "lanes256",
            OrderClass::Lanes16 => "lanes16",
        })
    }
}

/// A kernel's requirements of an adapter, beyond its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requires {
    /// Invocations in a workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

impl Requires {
    /// A workgroup of this many invocations and no workgroup memory.
    pub const fn invocations(invocations: u32) -> Requires {
        Requires { invocations, workgroup_bytes: 0 }
    }

    /// The same with workgroup memory.
    pub const fn with_memory(self, workgroup_bytes: u32) -> Requires {
        Requires { workgroup_bytes, ..self }
    }
}

/// Adapters on which a variant is the better choice. It runs on the others too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapters {
    /// All.
    Any,
    /// GPUs: elsewhere workgroup memory would be a detour through the CPU's own, and barriers cost most.
    Hardware,
    /// Those that run shaders on the CPU. There a load costs as much as fifty multiply-adds, so each serves many.
    Software,
}

impl Adapters {
    /// Whether an adapter is one of them.
    pub fn include(self, is_software: bool) -> bool {
        match self {
            Adapters::Any => true,
            Adapters::Hardware => !is_software,
            Adapters::Software => is_software,
        }
    }
}

/// Workgroups in x, y and z.
pub type Dispatch = [u32; 3];

/// A WGSL kernel that computes an op.
#[derive(Debug)]
pub struct Variant {
    /// The name.
    pub name: &'static str,
    /// The files that it is put together from, in this order.
    pub files: &'static [Wgsl],
    /// Its requirements of the adapter.
    pub requires: Requires,
    /// Layouts of operands that are not row major.
    pub layouts: &'static [(usize, Layout)],
    /// The order of its sums.
    pub class: OrderClass,
    /// Whether it is the better choice for these parameters, than those that follow in the row.
    pub suits: fn(&ParamWords) -> bool,
    /// Where it is the better choice.
    pub adapters: Adapters,
    /// Workgroups that cover the part that the words describe.
    pub groups: fn(&ParamWords) -> Dispatch,
}

impl Variant {
    /// A kernel, name and files, as most are: for all parameters and adapters, with row-major operands and without sums.
    /// One workgroup; a row says what is otherwise.
    pub const fn new(kernel: (&'static str, &'static [Wgsl]), requires: Requires) -> Variant {
        Variant {
            name: kernel.0,
            files: kernel.1,
            requires,
            layouts: &[],
            class: OrderClass::None,
            suits: |_| true,
            adapters: Adapters::Any,
            groups: |_| [1, 1, 1],
        }
    }

    /// With the order of its sums.
    pub const fn class(self, class: OrderClass) -> Variant {
        Variant { class, ..self }
    }

    /// With the layouts of operands that are not row major.
    pub const fn layouts(self, layouts: &'static [(usize, Layout)]) -> Variant {
        Variant { layouts, ..self }
    }

    /// The better choice on some adapters alone, for parameters that suit it.
    pub const fn better_on(self, adapters: Adapters, suits: fn(&ParamWords) -> bool) -> Variant {
        Variant { adapters, suits, ..self }
    }

    /// With the workgroups that cover the part that the words describe.
    pub const fn groups(self, groups: fn(&ParamWords) -> Dispatch) -> Variant {
        Variant { groups, ..self }
    }

    /// The layout that this kernel wants of an operand.
    pub fn layout(&self, operand: usize) -> Layout {
        self.layouts.iter().find(|(i, _)| *i == operand).map_or(Layout::RowMajor, |(_, layout)| *layout)
    }
}

/// A file of `shaders/`.
#[derive(Clone, Copy, Debug)]
pub struct Wgsl {
    /// Its path there, without the extension.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// A file of `shaders/`, by its path there without the extension.
#[macro_export]
#[doc(hidden)]
macro_rules! wgsl {
    ($path:expr) => {
        $crate::plan::Wgsl {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl")),
        }
    };
}

/// A kernel with a file of its own, for [`Variant::new`]: the file in `shaders/`, after those of `shaders/lib/`.
#[macro_export]
#[doc(hidden)]
macro_rules! kernel {
    ($name:literal $(, $shared:literal)*) => {
        ($name, &[$($crate::wgsl!(concat!("lib/", $shared)),)* $crate::wgsl!($name)])
    };
}

/// Workgroups for `items` invocations one after the other, folded into x and y: a dimension takes 65,535 at most.
/// Kernels undo the fold with `fold(workgroup_id)` of `shaders/lib/base.wgsl`.
pub fn folded(items: u32) -> Dispatch {
    const MOST: u32 = 65_535;
    if items <= MOST { [items, 1, 1] } else { [MOST, items.div_ceil(MOST), 1] }
}
