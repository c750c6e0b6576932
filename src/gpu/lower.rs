//! From ops to dispatches: which variant, which layouts, which parts, which bindings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::device::{Gpu, Pipeline};
use super::memory::{Memory, Shard, Stored, new_buffer};
use crate::error::{DeviceFault, Error, Result};
use crate::ops::pack_weight;
use crate::plan::{
    Builder, Dim, FIRST_PART, Index, LAST_PART, Layout, OPERAND_CUT, OUTPUT_CUT, OpNode, PARAM_WORDS, Plan, Role,
    SectionId, ShardGroup, Sizes, TensorId, Variant,
};

/// An op, ready to be dispatched.
pub(super) struct Lowered {
    node: OpNode,
    pub variant: &'static Variant,
    pipeline: Arc<Pipeline>,
    parts: Vec<LoweredPart>,
    /// Makes the packed forms of weights that the op wrote.
    packs: Vec<Pack>,
}

/// One dispatch of an op: the whole of it, or one combination of the shards of its operands.
struct LoweredPart {
    bind_group: wgpu::BindGroup,
    /// The group's bindings, in order.
    bound: Vec<Shard>,
    /// `first` and `len` of each sharded axis.
    shards: Vec<[u32; 2]>,
    flags: u32,
}

/// A dispatch that makes a packed form of one part of a weight.
pub(super) struct Pack {
    pub pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    bound: Vec<Shard>,
    pub words: [u32; PARAM_WORDS],
    groups: [u32; 3],
}

impl Pack {
    /// As the encoder wants it.
    pub fn dispatch(&self) -> Dispatch<'_> {
        let Pack { pipeline, bind_group, bound, words, groups } = self;
        Dispatch { pipeline, bind_group, bound, words: *words, groups: *groups }
    }
}

/// A dispatch, as the encoder needs it.
pub(super) struct Dispatch<'a> {
    pub pipeline: &'a Arc<Pipeline>,
    pub bind_group: &'a wgpu::BindGroup,
    pub bound: &'a [Shard],
    pub words: [u32; PARAM_WORDS],
    pub groups: [u32; 3],
}

impl Lowered {
    /// The dispatches of one run of the op.
    pub fn dispatches(&self, sizes: Sizes, index: Index) -> impl Iterator<Item = Dispatch<'_>> {
        let words = self.node.words(sizes, index);
        let passes = if self.parts.len() > 1 { (self.node.op.passes)(&words) } else { 1 };
        let all = (0..passes).flat_map(|pass| self.parts.iter().map(move |part| (pass, part)));
        let parts = all.filter_map(move |(pass, part)| {
            let mut words = words;
            words.set_pass(pass);
            words.set_part(part.shards.iter().copied(), part.flags);
            let groups = (self.variant.groups)(&words);
            let (pipeline, bind_group, bound) = (&self.pipeline, &part.bind_group, &part.bound[..]);
            (!groups.contains(&0)).then_some(Dispatch { pipeline, bind_group, bound, words: *words.raw(), groups })
        });
        parts.chain(self.packs.iter().map(Pack::dispatch))
    }
}

/// The variant for an op: the forced one, else the one that was measured to be the fastest, else the first that suits
/// the parameters and that the device supports.
pub(super) fn choose(
    gpu: &Gpu,
    plan: &Plan,
    node: &OpNode,
    capacity: Sizes,
    forced: &HashMap<String, String>,
) -> Result<&'static Variant> {
    let op = node.op;
    let unsupported = |name: &str| Error::Device {
        device: gpu.info.name.clone(),
        fault: DeviceFault::Failed { reason: format!("kernel `{name}` needs more than this device has") },
    };
    if let Some(name) = forced.get(op.name) {
        let variant = op.variants.iter().find(|v| v.name == name).ok_or_else(|| {
            let names: Vec<_> = op.variants.iter().map(|v| v.name).collect();
            let value = format!("{}={name}", op.name);
            Error::Option { name: "kernel".into(), value, expected: format!("one of {}", names.join(", ")) }
        })?;
        return if gpu.supports(variant) { Ok(variant) } else { Err(unsupported(name)) };
    }
    let words = plan.words(node, capacity, Index::default());
    let fits = |v: &&Variant| gpu.supports(v) && (v.suits)(&words) && v.adapters.include(gpu.is_software());
    let first = if gpu.default_kernels { op.variants.len() - 1 } else { 0 };
    let preferred = op.variants[first..].iter().find(fits).ok_or_else(|| unsupported(op.name))?;
    // A measurement may choose another kernel, but never another order of sums.
    let measured = gpu.choices.variant(op, &words).filter(|v| gpu.supports(v) && v.class == preferred.class);
    Ok(measured.filter(|_| !gpu.default_kernels).unwrap_or(preferred))
}

impl Gpu {
    /// The variant that the first op of a section runs as on this device, when none is forced.
    ///
    /// # Errors
    /// The device has none of its variants.
    pub fn variant(&self, plan: &Plan, section: SectionId, capacity: Sizes) -> Result<&'static str> {
        let node = *plan.ops(section).first().expect("a section has an op");
        choose(self, plan, node, capacity, &HashMap::new()).map(|variant| variant.name)
    }
}

/// The sections' ops with their variants, and what memory they want.
pub(super) struct Selection {
    pub nodes: Vec<(SectionId, Vec<(OpNode, &'static Variant)>)>,
    pub wanted: Vec<Stored>,
    pub multiples: BTreeMap<ShardGroup, usize>,
}

/// Chooses a variant for every op of the sections.
pub(super) fn select(
    gpu: &Gpu,
    plan: &Plan,
    sections: &[SectionId],
    capacity: Sizes,
    forced: &HashMap<String, String>,
) -> Result<Selection> {
    let mut wanted = BTreeSet::new();
    let mut multiples = BTreeMap::new();
    let mut nodes = Vec::new();
    for &section in sections {
        let mut chosen = Vec::new();
        for node in plan.ops(section) {
            let variant = choose(gpu, plan, node, capacity, forced)?;
            wanted.extend((0..node.operands.len()).map(|i| stored(plan, node, variant, i)));
            let members = node.operands.iter().flat_map(|id| &plan.tensor(*id).members);
            wanted.extend(members.map(|id| Stored { tensor: *id, layout: plan.tensor(*id).layout }));
            for cut in node.op.shards {
                for &(operand, axis) in cut.axes {
                    let tensor = plan.tensor(node.operands[operand]);
                    plan.cut_axis(node, operand, axis);
                    let Some(shard) = tensor.shard else { continue };
                    let multiple: &mut usize = multiples.entry(shard.group).or_insert(1);
                    *multiple = (*multiple).max(cut.multiple);
                }
            }
            chosen.push((node.clone(), variant));
        }
        nodes.push((section, chosen));
    }
    Ok(Selection { nodes, wanted: wanted.into_iter().collect(), multiples })
}

/// The stored form of a tensor that an operand takes: the layout that the kernel wants, or the plan's own.
fn stored(plan: &Plan, node: &OpNode, variant: &Variant, operand: usize) -> Stored {
    let tensor = node.operands[operand];
    let wish = variant.layout(operand);
    let own = plan.tensor(tensor).layout;
    Stored { tensor, layout: if wish == crate::plan::Layout::RowMajor { own } else { wish } }
}

/// Binds an op's operands, part by part.
pub(super) fn lower(
    gpu: &Gpu,
    plan: &Plan,
    memory: &Memory,
    node: &OpNode,
    variant: &'static Variant,
    capacity: Sizes,
    checked: bool,
) -> Result<Lowered> {
    let op = node.op;
    let pipeline = gpu.pipeline(op, variant, checked);
    // The ranges of each axis: those of the first of its operands that is sharded.
    let ranges: Vec<Vec<std::ops::Range<usize>>> = (op.shards.iter())
        .map(|cut| {
            let in_parts = |id: TensorId| plan.tensor(id).shard.is_some() || plan.tensor(id).is_arena();
            let cut_operand = cut.axes.iter().find(|(i, _)| in_parts(node.operands[*i]));
            let (operand, axis) = *cut_operand.unwrap_or(&cut.axes[0]);
            let id = node.operands[operand];
            if in_parts(id) {
                memory.ranges(id)
            } else {
                std::iter::once(0..plan.tensor(id).shape[axis].value(capacity)).collect()
            }
        })
        .collect();
    let count: usize = ranges.iter().map(Vec::len).product();
    let carry = carry_buffer(gpu, node, capacity, count)?;
    let parts = (0..count)
        .map(|i| {
            // The shards of the first axis run fastest.
            let mut rest = i;
            let at: Vec<usize> = ranges
                .iter()
                .map(|r| {
                    let p = rest % r.len();
                    rest /= r.len();
                    p
                })
                .collect();
            let mut flags = 0;
            if i == 0 {
                flags |= FIRST_PART
            }
            if i + 1 == count {
                flags |= LAST_PART
            }
            if output_is_cut(memory, node) {
                flags |= OUTPUT_CUT
            }
            for operand in (0..node.operands.len()).filter(|i| is_cut(memory, node.operands[*i])) {
                flags |= OPERAND_CUT << operand;
            }
            let shards = at.iter().zip(&ranges).map(|(&p, r)| [r[p].start as u32, r[p].len() as u32]).collect();
            let bound: Vec<&Shard> = (0..node.operands.len())
                .map(|operand| {
                    let all = memory.parts(stored(plan, node, variant, operand));
                    let cut = op.shards.iter().position(|c| c.axes.iter().any(|(o, _)| *o == operand));
                    let part = cut.filter(|_| all.len() > 1).map_or(0, |c| at[c]);
                    &all[part]
                })
                .chain(carry.as_ref())
                .collect();
            let bind_group = bind(gpu, variant.name, &pipeline.bindings, &bound);
            LoweredPart { bind_group, bound: bound.into_iter().cloned().collect(), shards, flags }
        })
        .collect();
    let packs = repack(gpu, plan, memory, node, checked)?;
    Ok(Lowered { node: node.clone(), variant, pipeline, parts, packs })
}

/// Makes the packed forms of the weights that an op writes: an optimiser's parameters.
fn repack(gpu: &Gpu, plan: &Plan, memory: &Memory, node: &OpNode, checked: bool) -> Result<Vec<Pack>> {
    let mut packs = Vec::new();
    for id in plan.written_weights(node) {
        let own = Stored { tensor: id, layout: plan.tensor(id).layout };
        for layout in memory.layouts(id).into_iter().filter(|layout| *layout != own.layout) {
            let stored = Stored { tensor: id, layout };
            packs.extend(lower_pack(gpu, plan, memory, stored, memory.parts(own), checked)?);
        }
    }
    Ok(packs)
}

/// The dispatches that pack a weight from its row-major parts.
pub(super) fn lower_pack(
    gpu: &Gpu,
    plan: &Plan,
    memory: &Memory,
    stored: Stored,
    row_major: &[Shard],
    checked: bool,
) -> Result<Vec<Pack>> {
    assert!([Layout::K4, Layout::K4Panels].contains(&stored.layout), "a layout of the GPU's matrix kernels");
    let sizes = Sizes::of(1, 1);
    let tensor = plan.tensor(stored.tensor);
    let shape = tensor.shape(sizes);
    let pack = |(i, range): (usize, std::ops::Range<usize>)| {
        let units = if tensor.shard.is_some() { range.len() } else { shape[1] };
        let mut b = Builder::new();
        let dims: [Dim; 3] = [shape[0].into(), units.into(), shape[2].into()];
        let w = b.f32(Role::Weight, "w", &dims);
        let packed = b.f32(Role::Weight, "packed", &dims);
        b.layout(packed, stored.layout);
        let section = b.section("pack", |b| pack_weight::record(b, w, packed));
        let plan = b.finish();
        let node = plan.ops(section)[0];
        let variant = choose(gpu, &plan, node, sizes, &HashMap::new())?;
        let pipeline = gpu.pipeline(node.op, variant, checked);
        let bound = [&row_major[i], &memory.parts(stored)[i]];
        let bind_group = bind(gpu, variant.name, &pipeline.bindings, &bound);
        let bound = bound.map(Shard::clone).to_vec();
        let words = node.words(sizes, Index::default());
        Ok(Pack { pipeline, bind_group, bound, words: *words.raw(), groups: (variant.groups)(&words) })
    };
    memory.ranges(stored.tensor).into_iter().enumerate().map(pack).collect()
}

fn output_is_cut(memory: &Memory, node: &OpNode) -> bool {
    let written = (node.operands.iter().zip(node.op.operands)).filter(|(_, o)| o.access == crate::plan::Access::Write);
    written.map(|(id, _)| *id).any(|id| is_cut(memory, id))
}

fn is_cut(memory: &Memory, id: TensorId) -> bool {
    memory.ranges(id).len() > 1
}

/// The buffer that a kernel carries from shard to shard; a stand-in of one row where there is one shard only.
fn carry_buffer(gpu: &Gpu, node: &OpNode, capacity: Sizes, parts: usize) -> Result<Option<Shard>> {
    if node.op.carry_words == 0 {
        return Ok(None);
    }
    let rows = if parts > 1 { u64::from(node.words(capacity, Index::default())["rows"]) } else { 1 };
    let bytes = 4 * rows * node.op.carry_words as u64;
    if bytes > gpu.max_binding_bytes {
        return Err(Error::Binding {
            tensor: format!("{} on {rows} rows, from part to part", node.op.name),
            bytes,
            limit: gpu.max_binding_bytes,
        });
    }
    Ok(Some(new_buffer(gpu, node.op.name, bytes, false)))
}

/// A bind group of whole parts, in order.
pub(super) fn bind(gpu: &Gpu, label: &str, layout: &wgpu::BindGroupLayout, parts: &[&Shard]) -> wgpu::BindGroup {
    let entries: Vec<_> = (parts.iter().enumerate())
        .map(|(i, part)| wgpu::BindGroupEntry {
            binding: i as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &part.buffer,
                offset: part.offset,
                size: wgpu::BufferSize::new(part.bytes),
            }),
        })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout, entries: &entries })
}
