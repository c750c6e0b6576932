//! Buffers of a plan's tensors: sharded where a binding would be too large, rows padded to vec4.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::device::Gpu;
use crate::error::{Error, Result};
use crate::plan::{ARENA_BLOCK, Buffer, Element, Layout, Plan, ShardGroup, Sizes, Tensor, TensorId};

/// Guard words after each buffer that no kernel may touch, written where a test asks for guards.
pub(super) const GUARD: [u32; 16] = [0xdead_beef; 16];

/// A tensor in one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stored {
    pub tensor: TensorId,
    pub layout: Layout,
}

impl PartialOrd for Layout {
    fn partial_cmp(&self, other: &Layout) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Layout {
    fn cmp(&self, other: &Layout) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

/// How one part of a tensor lies in its buffer, for layouts that keep rows together.
#[derive(Clone, Debug)]
struct PartRows {
    /// Blocks of rows that are contiguous in the whole tensor and in the part.
    blocks: usize,
    /// Rows of a block in the part.
    rows: usize,
    /// Elements between blocks in the whole tensor.
    block_step: usize,
    /// First element of the first block in the whole tensor.
    first: usize,
    /// Elements of a row.
    width: usize,
    /// Elements between rows in the buffer.
    stride: usize,
}

impl PartRows {
    fn new(shape: &[usize], element: Element, cut: Option<(usize, &Range<usize>)>) -> PartRows {
        let width = *shape.last().expect("tensors have an axis");
        let total: usize = shape.iter().product();
        let rows_and_width = match cut {
            None => (1, total / width.max(1), total, 0, width),
            Some((axis, range)) => {
                let blocks: usize = shape[..axis].iter().product();
                let inner: usize = shape[axis + 1..].iter().product();
                let step = shape[axis] * inner;
                if axis + 1 == shape.len() {
                    (blocks, 1, step, range.start, range.len())
                } else {
                    (blocks, range.len() * inner / width, step, range.start * inner, width)
                }
            }
        };
        let (blocks, rows, block_step, first, width) = rows_and_width;
        let stride = if element == Element::F32 { width.next_multiple_of(4) } else { width };
        PartRows { blocks, rows, block_step, first, width, stride }
    }

    fn len(&self) -> usize {
        self.blocks * self.rows * self.stride
    }

    /// (offset in the whole tensor, offset in the part) of each row.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.blocks * self.rows).map(|i| {
            let (block, row) = (i / self.rows, i % self.rows);
            (self.first + block * self.block_step + row * self.width, i * self.stride)
        })
    }
}

/// Where a part, or the whole, of a tensor lies.
#[derive(Clone)]
pub(super) struct Shard {
    pub buffer: wgpu::Buffer,
    /// Byte at which it begins: 0, but for members of an arena.
    pub offset: u64,
    /// Bytes that are bound; guard words may follow where it does not lie in an arena.
    pub bytes: u64,
    /// Whether the buffer is an arena's, which stands for itself where buffers are counted.
    pub in_arena: bool,
}

/// Rows of `width` at distances of `stride`; the last one may be shorter.
pub(super) fn pad_rows(words: &[u32], width: usize, stride: usize) -> Vec<u32> {
    let mut padded = Vec::with_capacity(words.len() / width * stride + width);
    for (row, values) in words.chunks(width).enumerate() {
        padded.resize(row * stride, 0);
        padded.extend_from_slice(values);
    }
    padded
}

/// Elements at whose multiples a binding may begin, by WebGPU's floor: 256 bytes.
const BINDING_ALIGNMENT: usize = 64;

/// A part of an arena while its members are placed.
#[derive(Default)]
struct ArenaPart {
    /// Elements so far.
    len: usize,
    /// Parts of members: their first element here, and their elements.
    members: Vec<(Stored, usize, usize)>,
}

/// The buffers of a plan.
pub(super) struct Memory {
    plan: Plan,
    capacity: Sizes,
    guards: bool,
    /// Ranges along the shard axis, for groups that are sharded.
    shards: BTreeMap<ShardGroup, Vec<Range<usize>>>,
    stored: HashMap<Stored, Vec<Shard>>,
    /// Elements of each shard of an arena, padding included, one shard after another.
    arenas: HashMap<TensorId, Vec<Range<usize>>>,
}

impl Memory {
    /// Buffers for tensors in the layouts that the chosen kernels want. `multiples` says for each shard group of
    /// what its parts' lengths must be multiples.
    pub fn new(
        gpu: &Gpu,
        plan: Plan,
        capacity: Sizes,
        wanted: &[Stored],
        multiples: &BTreeMap<ShardGroup, usize>,
        guards: bool,
    ) -> Result<Memory> {
        let mut memory =
            Memory { plan, capacity, guards, shards: BTreeMap::new(), stored: HashMap::new(), arenas: HashMap::new() };
        memory.cut(gpu.max_binding_bytes, wanted, multiples)?;
        let arenas: Vec<TensorId> = memory.plan.ids().filter(|id| memory.plan.tensor(*id).is_arena()).collect();
        for arena in arenas.into_iter().filter(|arena| wanted.iter().any(|stored| stored.tensor == *arena)) {
            memory.place_arena(gpu, arena)?;
        }
        for &stored in wanted {
            if memory.stored.contains_key(&stored) {
                continue;
            }
            let parts = memory.part_lens(stored).into_iter().enumerate().map(|(i, elements)| {
                let bytes = (4 * elements as u64).next_multiple_of(16).max(16);
                let name = &memory.plan.tensor(stored.tensor).name;
                if bytes > gpu.max_binding_bytes {
                    return Err(too_large(name, bytes, gpu.max_binding_bytes));
                }
                Ok(new_buffer(gpu, &format!("{name} part {i}"), bytes, guards))
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            memory.stored.insert(stored, parts);
        }
        gpu.check()?;
        Ok(memory)
    }

    /// Buffers for an arena and its members: part after part of each, as many in a buffer as may be bound together.
    /// Arenas whose members are alike get parts that are alike.
    fn place_arena(&mut self, gpu: &Gpu, arena: TensorId) -> Result<()> {
        let name = self.plan.tensor(arena).name.clone();
        let most = usize::try_from(gpu.max_binding_bytes / 4).unwrap_or(usize::MAX) / ARENA_BLOCK * ARENA_BLOCK;
        let mut parts = vec![ArenaPart::default()];
        for member in &self.plan.tensor(arena).members {
            let stored = Stored { tensor: *member, layout: Layout::RowMajor };
            for elements in self.part_lens(stored) {
                if elements > most {
                    let name = &self.plan.tensor(*member).name;
                    return Err(too_large(name, 4 * elements as u64, 4 * most as u64));
                }
                if parts.last().expect("one at least").len + elements > most {
                    parts.push(ArenaPart::default());
                }
                let part = parts.last_mut().expect("one at least");
                part.members.push((stored, part.len, elements));
                part.len = (part.len + elements).next_multiple_of(BINDING_ALIGNMENT);
            }
        }
        let (mut first, mut ranges, mut buffers) = (0, Vec::new(), Vec::new());
        for (i, ArenaPart { len, members }) in parts.into_iter().enumerate() {
            let len = len.next_multiple_of(ARENA_BLOCK);
            let whole = new_buffer(gpu, &format!("{name} part {i}"), 4 * len as u64, self.guards);
            for (stored, at, elements) in members {
                let bytes = (4 * elements as u64).next_multiple_of(16).max(16);
                let buffer = whole.buffer.clone();
                let part = Shard { buffer, offset: 4 * at as u64, bytes, in_arena: true };
                self.stored.entry(stored).or_default().push(part);
            }
            ranges.push(first..first + len);
            buffers.push(whole);
            first += len;
        }
        self.stored.insert(Stored { tensor: arena, layout: Layout::RowMajor }, buffers);
        self.arenas.insert(arena, ranges);
        Ok(())
    }

    /// Decides where each group is sharded: all its members at the same indices.
    fn cut(&mut self, limit: u64, wanted: &[Stored], multiples: &BTreeMap<ShardGroup, usize>) -> Result<()> {
        let mut longest: BTreeMap<ShardGroup, (usize, usize)> = BTreeMap::new();
        for stored in wanted {
            let tensor = self.plan.tensor(stored.tensor);
            let Some(shard) = tensor.shard else { continue };
            let units = tensor.shape[shard.axis].value(self.capacity);
            let unit_bytes = 4 * self.unit_len(tensor, stored.layout) as u64;
            let most = usize::try_from(limit / unit_bytes.max(1)).unwrap_or(usize::MAX);
            let entry = longest.entry(shard.group).or_insert((units, most));
            entry.1 = entry.1.min(most);
            if most == 0 {
                return Err(too_large(&tensor.name, unit_bytes, limit));
            }
        }
        for (group, (units, most)) in longest {
            if units <= most {
                continue;
            }
            let multiple = multiples.get(&group).copied().unwrap_or(1);
            let len = most / multiple * multiple;
            if len == 0 {
                let members = self.plan.tensors.iter().filter(|t| t.shard.is_some_and(|s| s.group == group));
                let names: Vec<&str> = members.map(|t| t.name.as_str()).collect();
                let (needs, limit) = (multiple, limit);
                return Err(Error::Limit(format!(
                    "parts of {} must have a multiple of {needs} units, but a binding of {limit} bytes holds {most}",
                    names.join(", ")
                )));
            }
            let parts = (0..units).step_by(len).map(|first| first..(first + len).min(units)).collect();
            self.shards.insert(group, parts);
        }
        Ok(())
    }

    /// Elements that one unit along the shard axis takes.
    fn unit_len(&self, tensor: &Tensor, layout: Layout) -> usize {
        let shape = tensor.shape(self.capacity);
        let axis = tensor.shard.expect("only sharded tensors are asked").axis;
        if layout == Layout::RowMajor {
            let one = PartRows::new(&shape, tensor.element, Some((axis, &(0..1))));
            // A row that is sharded is padded once a shard, not once a unit.
            if axis + 1 == shape.len() { one.blocks } else { one.len() }
        } else {
            layout.len([shape[0], 1, shape[2]])
        }
    }

    fn part_lens(&self, stored: Stored) -> Vec<usize> {
        let tensor = self.plan.tensor(stored.tensor);
        let shape = tensor.shape(self.capacity);
        let ranges = self.ranges(stored.tensor);
        let len_of = |range: &Range<usize>| match stored.layout {
            Layout::RowMajor => self.part_rows(stored.tensor, (ranges.len() > 1).then_some(range)).len(),
            layout if tensor.shard.is_none() => layout.len([shape[0], shape[1], shape[2]]),
            layout => layout.len([shape[0], range.len(), shape[2]]),
        };
        ranges.iter().map(len_of).collect()
    }

    fn part_rows(&self, id: TensorId, range: Option<&Range<usize>>) -> PartRows {
        let tensor = self.plan.tensor(id);
        let cut = range.map(|r| (tensor.shard.expect("only sharded tensors have ranges").axis, r));
        PartRows::new(&tensor.shape(self.capacity), tensor.element, cut)
    }

    /// The ranges along the shard axis of a tensor's parts; one range where it is whole.
    pub fn ranges(&self, id: TensorId) -> Vec<Range<usize>> {
        let tensor = self.plan.tensor(id);
        if let Some(ranges) = self.arenas.get(&id) {
            return ranges.clone();
        }
        match tensor.shard {
            Some(shard) => match self.shards.get(&shard.group) {
                Some(ranges) => ranges.clone(),
                None => std::iter::once(0..tensor.shape[shard.axis].value(self.capacity)).collect(),
            },
            None => std::iter::once(0..1).collect(),
        }
    }

    /// The buffers of a tensor in a layout.
    pub fn parts(&self, stored: Stored) -> &[Shard] {
        &self.stored[&stored]
    }

    /// Every buffer, once.
    pub fn buffers(&self) -> impl Iterator<Item = &Shard> {
        self.stored.values().flatten().filter(|part| !part.in_arena)
    }

    /// Layouts that a tensor has in memory.
    pub fn layouts(&self, id: TensorId) -> Vec<Layout> {
        self.stored.keys().filter(|s| s.tensor == id).map(|s| s.layout).collect()
    }

    /// Each part of a row-major tensor as it lies in its buffer: (part, padded words).
    pub fn to_parts(&self, id: TensorId, words: &[u32]) -> Vec<Vec<u32>> {
        let ranges = self.ranges(id);
        let part = |range| {
            let rows = self.part_rows(id, (ranges.len() > 1).then_some(range));
            let mut part = vec![0; rows.len()];
            for (whole, local) in rows.rows() {
                part[local..local + rows.width].copy_from_slice(&words[whole..whole + rows.width]);
            }
            part
        };
        ranges.iter().map(part).collect()
    }

    /// A row-major tensor from the words of its parts, one after the other.
    pub fn gather_parts(&self, id: TensorId, parts: &[u32]) -> Buffer<f32> {
        let tensor = self.plan.tensor(id);
        let len = tensor.len(self.capacity);
        if tensor.layout != Layout::RowMajor {
            return Buffer::Real(bytemuck::cast_slice(&parts[..len]).to_vec());
        }
        let ranges = self.ranges(id);
        let mut words = vec![0; len];
        let mut start = 0;
        for range in &ranges {
            let rows = self.part_rows(id, (ranges.len() > 1).then_some(range));
            for (whole, local) in rows.rows() {
                words[whole..whole + rows.width].copy_from_slice(&parts[start + local..start + local + rows.width]);
            }
            start += rows.len().next_multiple_of(4).max(4);
        }
        match tensor.element {
            Element::F32 => Buffer::Real(bytemuck::allocation::cast_vec(words)),
            Element::U32 => Buffer::Word(words),
        }
    }

    /// Byte offset of a row in an uncut row-major tensor's buffer, and the padded row's elements.
    pub fn row_stride(&self, id: TensorId) -> usize {
        self.part_rows(id, None).stride
    }

    /// Whether guard words follow each buffer.
    pub fn guards(&self) -> bool {
        self.guards
    }
}

fn too_large(name: &str, bytes: u64, limit: u64) -> Error {
    Error::Binding { tensor: name.into(), bytes, limit }
}

/// A zeroed storage buffer, with guard words after it if asked for.
pub(super) fn new_buffer(gpu: &Gpu, label: &str, bytes: u64, guards: bool) -> Shard {
    let guard_bytes = if guards { 4 * GUARD.len() as u64 } else { 0 };
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes + guard_bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    if guards {
        gpu.queue.write_buffer(&buffer, bytes, bytemuck::cast_slice(&GUARD));
    }
    Shard { buffer, offset: 0, bytes, in_arena: false }
}
