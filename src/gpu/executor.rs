//! The GPU executor: memory, submissions of many dispatches in one pass, and tickets for what is read back.

mod params;
mod recording;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::device::Gpu;
use super::lower::{Dispatch, Lowered, lower, lower_pack, select};
use super::memory::{GUARD, Memory, Shard, Stored, new_buffer, pad_rows};
use super::readback::{Callback, Readback, staging};
use super::timer::Timer;
use crate::error::{Error, Result};
use crate::executor::{Executor, Kernel, Run, Ticket, Values, check_reads, check_sizes};
use crate::plan::{Buffer, Instance, Layout, OpNode, Plan, SectionId, Sizes, TensorId};
use params::Params;

pub use recording::{BufferRange, RecordedDispatch, Recording};

/// How an executor is made; the default is what users get.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Variants by op name, where not the preferred one.
    pub forced: HashMap<String, String>,
    /// Bounds checks in kernels.
    pub checked: bool,
    /// Guard words after every buffer; see [`GpuExecutor::guards_intact`].
    pub guards: bool,
}

/// Runs a plan on an opened device.
pub struct GpuExecutor {
    gpu: Arc<Gpu>,
    plan: Plan,
    capacity: Sizes,
    checked: bool,
    /// The tensors that its sections use.
    used: Vec<bool>,
    memory: Memory,
    sections: HashMap<SectionId, Vec<Lowered>>,
    params: Params,
    timer: Option<Timer>,
    /// GPU time of the submissions that were taken, in microseconds, since somebody asked.
    device_us: f64,
    tickets: u64,
    in_flight: BTreeMap<u64, Readback>,
}

impl GpuExecutor {
    /// Memory and kernels for some sections of a plan.
    ///
    /// # Errors
    /// A tensor that cannot be bound even in parts, too little memory, a kernel that the driver refuses.
    pub fn new(
        gpu: Arc<Gpu>,
        plan: Plan,
        capacity: Sizes,
        sections: &[SectionId],
        options: &GpuOptions,
    ) -> Result<GpuExecutor> {
        let selection = select(&gpu, &plan, sections, capacity, &options.forced)?;
        let memory =
            Memory::new(&gpu, plan.clone(), capacity, &selection.wanted, &selection.multiples, options.guards)?;
        let mut lowered = HashMap::new();
        for (section, nodes) in selection.nodes {
            let ops = nodes
                .into_iter()
                .map(|(node, variant)| lower(&gpu, &plan, &memory, &node, variant, capacity, options.checked));
            lowered.insert(section, ops.collect::<Result<Vec<_>>>()?);
        }
        gpu.check()?;
        let checked = options.checked;
        let used = plan.used_by(sections);
        let timer = gpu.timestamps.map(|place| Timer::new(&gpu.device, &gpu.queue, place));
        Ok(GpuExecutor {
            gpu,
            plan,
            capacity,
            checked,
            used,
            memory,
            sections: lowered,
            params: Params::default(),
            timer,
            device_us: 0.0,
            tickets: 0,
            in_flight: BTreeMap::new(),
        })
    }

    /// Bytes of device memory that the plan's tensors take.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.buffers().map(|part| part.bytes).sum()
    }

    /// Writes a weight into one of the packed layouts: each shard row major first, then through the packing kernel.
    fn write_packed(&mut self, stored: Stored, words: &[u32]) -> Result<()> {
        let raw = self.memory.to_parts(stored.tensor, words);
        let staged: Vec<Shard> = raw
            .iter()
            .map(|raw| {
                let bytes = (4 * raw.len() as u64).next_multiple_of(16).max(16);
                let staging = new_buffer(&self.gpu, "row-major weight", bytes, false);
                self.gpu.queue.write_buffer(&staging.buffer, 0, bytemuck::cast_slice(raw));
                staging
            })
            .collect();
        let packs = lower_pack(&self.gpu, &self.plan, &self.memory, stored, &staged, self.checked)?;
        self.params.deliver(&self.gpu, packs.iter().map(|pack| pack.words));
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (place, pack) in packs.iter().enumerate() {
                pass.set_pipeline(&pack.pipeline.raw);
                self.dispatch(&mut pass, pack.dispatch(), place);
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, dispatch: Dispatch<'_>, place: usize) {
        pass.set_bind_group(0, dispatch.bind_group, &[]);
        self.params.set(&self.gpu, pass, &dispatch.words, place);
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// One pass with the dispatches of all runs.
    fn encode(&mut self, encoder: &mut wgpu::CommandEncoder, runs: &[Run]) {
        let mut instances = Vec::new();
        for run in runs {
            for step in run.steps.clone() {
                let all = self.plan.instances(run.section, run.sizes, step);
                let end = run.ops.end.min(all.len());
                let some = all[run.ops.start.min(end)..end].iter().copied();
                instances.extend(some.map(|instance| (run.section, run.sizes, instance)));
            }
        }
        let dispatches = (instances.iter())
            .flat_map(|(section, sizes, at)| self.sections[section][at.node].dispatches(*sizes, at.index));
        self.params.deliver(&self.gpu, dispatches.map(|dispatch| dispatch.words));
        let timestamp_writes = self.timer.as_ref().and_then(Timer::around);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
        if let Some(timer) = &self.timer {
            timer.begin(&mut pass);
        }
        let mut current = std::ptr::null();
        let mut place = 0;
        for (section, sizes, at) in instances {
            let op = &self.sections[&section][at.node];
            for dispatch in op.dispatches(sizes, at.index) {
                if current != Arc::as_ptr(dispatch.pipeline) {
                    pass.set_pipeline(&dispatch.pipeline.raw);
                    current = Arc::as_ptr(dispatch.pipeline);
                }
                self.dispatch(&mut pass, dispatch, place);
                place += 1;
            }
        }
        if let Some(timer) = &self.timer {
            timer.end(&mut pass);
        }
    }

    /// Copies tensors into a staging buffer; gives each tensor's range of words.
    fn encode_reads(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        read: &[TensorId],
    ) -> (wgpu::Buffer, Vec<(TensorId, std::ops::Range<usize>)>) {
        let parts_of = |id: TensorId| self.memory.parts(self.readable(id)).iter();
        let total: u64 = read.iter().flat_map(|id| parts_of(*id)).map(|part| part.bytes).sum();
        let total = total + self.timer.as_ref().map_or(0, |_| Timer::BYTES);
        let staging = staging(&self.gpu.device, "readback", total);
        let mut at = 0;
        let ranges = read.iter().map(|&id| {
            let start = at;
            for part in parts_of(id) {
                encoder.copy_buffer_to_buffer(&part.buffer, part.offset, &staging, at, part.bytes);
                at += part.bytes;
            }
            (id, start as usize / 4..at as usize / 4)
        });
        let ranges = ranges.collect();
        if let Some(timer) = &self.timer {
            timer.read(encoder, &staging, at);
        }
        (staging, ranges)
    }

    /// The stored form that can be read back as the plan has it.
    fn readable(&self, id: TensorId) -> Stored {
        Stored { tensor: id, layout: self.plan.tensor(id).layout }
    }

    /// Whether the guard words after every buffer are as they were written; blocks.
    ///
    /// # Errors
    /// A lost device.
    pub fn guards_intact(&mut self) -> Result<bool> {
        assert!(self.memory.guards(), "the executor was made with guards");
        let guard_bytes = 4 * GUARD.len() as u64;
        let guards: Vec<_> =
            self.memory.buffers().map(|part| (part.buffer.clone(), part.bytes..part.bytes + guard_bytes)).collect();
        Ok(self.fetch(&guards)?.chunks(GUARD.len()).all(|guard| guard == GUARD))
    }

    /// Writes down a run of ops that pack no weight; blocks.
    ///
    /// # Errors
    /// As [`Executor::submit`].
    pub fn record(&mut self, run: &Run) -> Result<Recording> {
        check_sizes(run, self.capacity)?;
        let mut recording = Recording::default();
        for step in run.steps.clone() {
            for at in self.plan.instances(run.section, run.sizes, step) {
                recording.add(&self.sections[&run.section][at.node], run.sizes, at.index);
            }
        }
        for raw in recording.raw.clone() {
            let whole = 0..raw.size();
            recording.buffers.push(self.fetch(&[(raw, whole)])?);
        }
        Ok(recording)
    }

    /// Where a tensor lies in a recording's buffers, and its values as they lie there: rows padded, part by part.
    pub fn place(&self, recording: &mut Recording, id: TensorId, values: &[u32]) -> Vec<(BufferRange, Vec<u32>)> {
        let parts = self.memory.parts(self.readable(id));
        let words = match self.plan.tensor(id).layout {
            Layout::RowMajor => self.memory.to_parts(id, values),
            _ => vec![values.to_vec()],
        };
        parts.iter().zip(words).map(|(part, words)| (recording.place(part), words)).collect()
    }

    /// The words of some ranges of bytes, one after another; blocks.
    fn fetch(&mut self, ranges: &[(wgpu::Buffer, std::ops::Range<u64>)]) -> Result<Vec<u32>> {
        let bytes: u64 = ranges.iter().map(|(_, range)| range.end - range.start).sum();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let staging = staging(&self.gpu.device, "fetched", bytes);
        let mut at = 0;
        for (buffer, range) in ranges {
            encoder.copy_buffer_to_buffer(buffer, range.start, &staging, at, range.end - range.start);
            at += range.end - range.start;
        }
        let ticket = self.send(encoder, staging, Vec::new());
        let mut words = self.wait_for_flight(ticket)?.words(&self.gpu.info.name)?;
        words.truncate(bytes as usize / 4);
        Ok(words)
    }

    fn send(
        &mut self,
        encoder: wgpu::CommandEncoder,
        staging: wgpu::Buffer,
        reads: Vec<(TensorId, std::ops::Range<usize>)>,
    ) -> Ticket {
        let submission = self.gpu.queue.submit([encoder.finish()]);
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.in_flight.insert(ticket.0, Readback::map(staging, reads, submission));
        ticket
    }

    /// Blocks until the results of a submission have arrived.
    fn wait_for_flight(&mut self, ticket: Ticket) -> Result<Readback> {
        let index = self.flight(ticket)?.submission.clone();
        self.gpu.poll(Some(&index))?;
        let flight = self.in_flight.remove(&ticket.0).expect("just looked at");
        flight.wait_for_news();
        Ok(flight)
    }

    fn flight(&self, ticket: Ticket) -> Result<&Readback> {
        self.in_flight.get(&ticket.0).ok_or_else(|| Error::Limit("the results of this submission were taken".into()))
    }

    fn unpack(&mut self, flight: &Readback, words: &[u32]) -> Vec<Buffer<f32>> {
        if let Some(timer) = &self.timer {
            let read = flight.reads.last().map_or(0, |(_, range)| range.end);
            self.device_us += timer.elapsed_us(&words[read..]);
        }
        flight.reads.iter().map(|(id, range)| self.memory.gather_parts(*id, &words[range.clone()])).collect()
    }
}

impl Executor for GpuExecutor {
    fn device(&self) -> String {
        self.gpu.info.in_words()
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> Sizes {
        self.capacity
    }

    fn write(&mut self, id: TensorId, first_row: usize, values: Values<'_>) -> Result<()> {
        let words: &[u32] = match values {
            Values::F32(v) => bytemuck::cast_slice(v),
            Values::U32(v) => v,
        };
        let tensor = self.plan.tensor(id);
        let (len, width, name) = (tensor.len(self.capacity), tensor.width(self.capacity), tensor.name.clone());
        if first_row * width + words.len() > len {
            let rows = len / width.max(1);
            return Err(Error::Limit(format!(
                "tensor `{name}` has {rows} rows of {width}: {} values from row {first_row} on do not fit",
                words.len()
            )));
        }
        let own_layout = tensor.layout;
        for layout in self.memory.layouts(id) {
            if layout != own_layout {
                self.write_packed(Stored { tensor: id, layout }, words)?;
                continue;
            }
            let parts = self.memory.parts(Stored { tensor: id, layout });
            if layout == Layout::RowMajor && words.len() == len {
                for (part, padded) in parts.iter().zip(self.memory.to_parts(id, words)) {
                    self.gpu.queue.write_buffer(&part.buffer, part.offset, bytemuck::cast_slice(&padded));
                }
                continue;
            }
            assert_eq!(parts.len(), 1, "`{name}` is sharded and is written whole");
            let stride = if layout == Layout::RowMajor { self.memory.row_stride(id) } else { width };
            let offset = parts[0].offset + 4 * (first_row * stride) as u64;
            let padded = pad_rows(words, width, stride);
            self.gpu.queue.write_buffer(&parts[0].buffer, offset, bytemuck::cast_slice(&padded));
        }
        self.gpu.check()
    }

    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket> {
        for run in runs {
            check_sizes(run, self.capacity)?;
        }
        check_reads(&self.plan, &self.used, read)?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.encode(&mut encoder, runs);
        let (staging, reads) = self.encode_reads(&mut encoder, read);
        let ticket = self.send(encoder, staging, reads);
        self.gpu.check()?;
        Ok(ticket)
    }

    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>> {
        self.gpu.poll(None)?;
        if !self.flight(ticket)?.has_arrived() {
            return Ok(None);
        }
        let flight = self.in_flight.remove(&ticket.0).expect("just looked at");
        Ok(Some(self.unpack(&flight, &flight.words(&self.gpu.info.name)?)))
    }

    fn on_ready(&mut self, ticket: Ticket, then: Callback) {
        match self.flight(ticket) {
            Ok(flight) => flight.on_arrival(then),
            Err(_) => then(),
        }
    }

    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>> {
        let flight = self.wait_for_flight(ticket)?;
        Ok(self.unpack(&flight, &flight.words(&self.gpu.info.name)?))
    }

    fn device_time_us(&mut self) -> Option<f64> {
        self.timer.as_ref().map(|_| std::mem::take(&mut self.device_us))
    }

    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize {
        let instances = self.plan.instances(section, sizes, 0);
        let dispatches = |at: &Instance| self.sections[&section][at.node].dispatches(sizes, at.index).count();
        instances.iter().map(dispatches).sum()
    }

    fn kernels(&self, section: SectionId) -> Vec<Kernel> {
        let kernel = |(node, lowered): (&OpNode, &Lowered)| Kernel {
            op: node.op.name,
            name: lowered.variant.name,
            class: lowered.variant.class,
        };
        self.plan.ops(section).into_iter().zip(&self.sections[&section]).map(kernel).collect()
    }
}
